package directory

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

// fill gives every field of v a value that no other has, so that one which
// packing forgets, or takes for another, shows.
func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.UnixMicro(1_700_000_000_000_000 + int64(*n)).UTC()))
	case v.Kind() == reflect.String:
		v.SetString("é" + string(rune('A'+*n)))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), n)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a field of an unforeseen kind: %v", v.Type())
	}
}

func TestPackedFactsComeBackWhole(t *testing.T) {
	t.Parallel()
	var full struct {
		Agent    parvis.Agent
		Standing parvis.Standing
	}
	fill(t, reflect.ValueOf(&full).Elem(), new(int))
	old := full
	old.Agent.ContractFrom = time.Date(1931, 2, 3, 0, 0, 0, 0, time.UTC) // before 1970
	long := full
	long.Agent.JobLabel = string(make([]byte, 5000))
	one := full
	one.Standing = parvis.Standing{PasswordLeaked: true}
	for name, both := range map[string]struct {
		Agent    parvis.Agent
		Standing parvis.Standing
	}{"nothing": {}, "everything": full, "long ago": old, "a long text": long, "one flag": one} {
		agent, standing := pack(&both.Agent, &both.Standing).unpack()
		if diff := cmp.Diff(&both.Agent, agent) + cmp.Diff(&both.Standing, standing); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	p := pack(&parvis.Agent{
		Number: "B000001", FamilyName: "Famille", GivenNames: "Camille", Unit: "ville/direction-1/service-12", Employer: "21750001600019",
		Category: "tenured", JobCode: "A012", Email: "agent.1@example.org", ContractFrom: time.Unix(1_600_000_000, 0),
	}, &parvis.Standing{Activated: true, PasswordSince: time.Unix(1_600_000_000, 0)})
	b.ReportAllocs()
	for b.Loop() {
		p.unpack()
	}
}
