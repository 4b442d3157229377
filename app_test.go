package parvis_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

// fill gives every field under v a value of its own.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, *n, 5000, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("é<%d>&\"\n\x00", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a field of kind %v, which this test cannot fill", v.Kind())
	}
}

// An application is kept as JSON: whatever field it has, or will have, comes
// back as it was, or somebody is let in where they were not.
func TestAppAsJSON(t *testing.T) {
	var full parvis.App
	n := 0
	fill(t, reflect.ValueOf(&full).Elem(), &n)
	for name, app := range map[string]parvis.App{"full": full, "empty": {}, "bare": {OIDC: &parvis.OIDCClient{Secrets: []parvis.ClientSecret{{}}}}} {
		text, err := json.Marshal(app)
		if err != nil {
			t.Fatal(err)
		}
		var back parvis.App
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v in %s", name, err, text)
		}
		if d := cmp.Diff(app, back); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

func TestClientSecretAsJSON(t *testing.T) {
	s := parvis.ClientSecret{Hash: [32]byte{0xab, 31: 1}, Since: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	text, err := json.Marshal(s)
	want := `{"sha256":"ab` + strings.Repeat("0", 60) + `01","since":"2026-03-02T09:00:00Z"}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	for _, text := range []string{
		`{}`, `{"sha256":""}`, `{"sha256":"ab"}`, `{"sha256":"` + strings.Repeat("0", 66) + `"}`, `{"sha256":"` + strings.Repeat("x", 64) + `"}`,
		`"` + strings.Repeat("0", 64) + `"`, strings.Replace(want, `"since"`, `"until"`, 1), strings.Replace(want, "2026", "soon", 1),
	} {
		kept := s
		if err := json.Unmarshal([]byte(text), &kept); err == nil || kept != s {
			t.Errorf("%s reads as %+v, %v", text, kept, err)
		}
	}
}

func FuzzClientSecret(f *testing.F) {
	f.Add([]byte(`{"sha256":"` + strings.Repeat("0f", 32) + `","since":"2026-03-02T09:00:00Z","expires":"2026-03-02T09:00:00+02:00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s, back parvis.ClientSecret
		if json.Unmarshal(text, &s) != nil {
			return
		}
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &back); err != nil || back.Hash != s.Hash || !back.Since.Equal(s.Since) || !back.Expires.Equal(s.Expires) {
			t.Fatalf("%s comes back from %s as %+v, %v", text, written, back, err)
		}
	})
}
