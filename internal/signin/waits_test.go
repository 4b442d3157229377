package signin

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store/storetest"
)

// However one identifier is written, its wait is told once, under one reference.
func TestOneWaitIsWrittenOnce(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	town.agent("A100001", right, nil)
	var locked Outcome
	for try := range 5 {
		locked = town.sign("a100001@ville.example.org", "wrong "+string(rune('a'+try)), In{Origin: from("2001:db8::1")})
	}
	town.want(locked, StepWait, parvis.WhyAccountLockedAttempts)
	before := len(town.events("sign_in.refused"))
	for i := range 40 {
		for _, typed := range []string{
			fmt.Sprintf("a100001+%d@ville.example.org", i), "a" + strings.Repeat(" ", i) + "100001@ville.example.org", "A100001@Ville.Example.ORG",
		} {
			out := town.sign(typed, right, In{Origin: from(fmt.Sprintf("2001:db8::%x", i+1))})
			town.want(out, StepWait, parvis.WhyAccountLockedAttempts)
			if out.Reference != locked.Reference {
				t.Errorf("%q has another reference: %q, %q", typed, out.Reference, locked.Reference)
			}
		}
	}
	if n := len(town.events("sign_in.refused")) - before; n != 0 {
		t.Errorf("%d rows for one wait that was told", n)
	}
}

// Whoever goes through identifiers that wait writes little, and sees the same.
func TestWaitsHaveAShare(t *testing.T) {
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	count := func(w *waits, tries int, origin func(i int) parvis.Origin, at time.Time) (rows int) {
		for i := range tries {
			var key [32]byte
			copy(key[:], fmt.Sprint(origin(i), i, at))
			ref, quiet := w.quiet(key, origin(i), at)
			if ref != "" {
				t.Errorf("a reference that nobody gave: %q", ref)
			}
			if !quiet {
				rows++
			}
		}
		return rows
	}
	one := func(int) parvis.Origin { return from("192.0.2.1") }
	var w waits
	for _, c := range []struct {
		name   string
		origin func(int) parvis.Origin
		at     time.Time
		want   int
	}{
		{"one address", one, now, waitsNetwork},
		{"the same, soon after", one, now.Add(waitsSpan - 1), 0},
		{"one half of IPv6", func(i int) parvis.Origin { return from(fmt.Sprintf("2001:db8::%x", i)) }, now, waitsNetwork},
		{"no addresses", func(i int) parvis.Origin { return from(fmt.Sprint("x", i)) }, now, waitsNetwork},
		{"a building of ours", func(int) parvis.Origin { return parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.1"} }, now, waitsOurs},
		{"from everywhere", func(i int) parvis.Origin { return from(fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&255)) }, now, waitsAll - waitsOurs - 3*waitsNetwork},
		{"a quarter of an hour later", one, now.Add(waitsSpan), waitsNetwork},
		{"the clock went back", one, now, waitsNetwork},
	} {
		if got := count(&w, 6000, c.origin, c.at); got != c.want {
			t.Errorf("%s: %d rows, want %d", c.name, got, c.want)
		}
	}
	for i := range 3 * maxWaited {
		w.tell([32]byte{byte(i), byte(i >> 8), 1}, "K7QP-3M9T")
	}
	if n := len(w.told[0]) + len(w.told[1]); n > 2*maxWaited {
		t.Errorf("remembers %d", n)
	}
}
