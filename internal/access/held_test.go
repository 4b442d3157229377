package access

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"testing"
	"time"
	"unsafe"

	"parvis"
)

func sessionNumber(i int) parvis.SessionID {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(i))
	sum := sha256.Sum256(b[:])
	return parvis.SessionID(sum[:16])
}

func TestHeld(t *testing.T) {
	p := mustNew(t, city(t))
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	key := func(i int, app parvis.AppID, c parvis.Channel) HeldKey {
		k, ok := p.HeldKey(sessionNumber(i), app, c)
		if !ok {
			t.Fatalf("no key for %s on %s", app, c)
		}
		return k
	}
	paie := key(1, "paie", parvis.Internal)
	h := NewHeld(10)
	h.Keep(paie, 7, h.Generation(), now, now.Add(time.Hour))
	h.Keep(key(2, "paie", parvis.Mobile), 7, h.Generation(), now, time.Time{})

	for _, c := range []struct {
		name  string
		key   HeldKey
		epoch uint32
		now   time.Time
		until time.Time
		ok    bool
	}{
		{"held", paie, 7, now, now.Add(time.Hour), true},
		{"held for ever", key(2, "paie", parvis.Mobile), 7, now.AddDate(100, 0, 0), time.Time{}, true},
		{"at its end", paie, 7, now.Add(time.Hour), time.Time{}, false},
		{"before it was taken: the clock went back", paie, 7, now.Add(-time.Microsecond), time.Time{}, false},
		{"of another epoch", paie, 8, now, time.Time{}, false},
		{"of another session", key(3, "paie", parvis.Internal), 7, now, time.Time{}, false},
		{"of another application", key(1, "conges", parvis.Internal), 7, now, time.Time{}, false},
		{"of another channel", key(1, "paie", parvis.VPN), 7, now, time.Time{}, false},
	} {
		until, ok := h.Lookup(c.key, c.epoch, c.now)
		if ok != c.ok || !until.Equal(c.until) {
			t.Errorf("%s: got %v until %v", c.name, ok, until)
		}
	}

	before := h.Generation()
	h.Clear()
	if _, ok := h.Lookup(paie, 7, now); ok {
		t.Error("a decision outlived Clear")
	}
	h.Keep(paie, 7, before, now, now.Add(time.Hour))
	if _, ok := h.Lookup(paie, 7, now); ok {
		t.Error("a decision upon old facts was held")
	}
	h.generation.Store(1<<32 - 1)
	h.Clear()
	if h.Generation() != 1 {
		t.Errorf("after the last generation comes %d", h.Generation())
	}

	for _, c := range []struct {
		app parvis.AppID
		ch  parvis.Channel
	}{{"paie", ""}, {"paie", "kiosk"}, {"unheard-of", parvis.Internal}} {
		if _, ok := p.HeldKey(sessionNumber(1), c.app, c.ch); ok {
			t.Errorf("%q on %q has a key", c.app, c.ch)
		}
	}
}

// What is held is bounded, and what makes room is what would have ended first.
func TestHeldMakesRoom(t *testing.T) {
	p := mustNew(t, city(t))
	h := NewHeld(1)
	if len(h.slots) != heldMinimum {
		t.Fatalf("%d slots", len(h.slots))
	}
	if got := len(NewHeld(0).slots); got != heldDefault {
		t.Errorf("%d slots by default", got)
	}
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	kept := 0
	for i := range 4 * heldMinimum {
		k, _ := p.HeldKey(sessionNumber(i), "paie", parvis.Internal)
		h.Keep(k, 1, h.Generation(), now, now.Add(time.Duration(i+1)*time.Minute))
		if _, ok := h.Lookup(k, 1, now); !ok {
			t.Fatalf("decision %d was not held", i)
		}
	}
	for i := range 4 * heldMinimum {
		k, _ := p.HeldKey(sessionNumber(i), "paie", parvis.Internal)
		if _, ok := h.Lookup(k, 1, now); ok {
			kept++
			if i < heldMinimum/4 {
				t.Errorf("decision %d, of the first to end, is still held", i)
			}
		}
	}
	if kept < heldMinimum*9/10 || kept > heldMinimum {
		t.Errorf("%d of %d slots are used", kept, heldMinimum)
	}
	if size := unsafe.Sizeof(heldSlot{}); size != 48 {
		t.Errorf("a slot takes %d bytes", size)
	}
}

func TestHeldAllocatesNothing(t *testing.T) {
	p, h := mustNew(t, city(t)), NewHeld(0)
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	s := sessionNumber(1)
	if n := testing.AllocsPerRun(100, func() {
		k, _ := p.HeldKey(s, "paie", parvis.Internal)
		h.Keep(k, 1, h.Generation(), now, now.Add(time.Hour))
		if _, ok := h.Lookup(k, 1, now); !ok {
			t.Fatal("not held")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHeldByMany(t *testing.T) {
	p, h := mustNew(t, city(t)), NewHeld(1)
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				k, _ := p.HeldKey(sessionNumber(i), "paie", parvis.Internal)
				h.Keep(k, uint32(i), h.Generation(), now, now.Add(time.Hour))
				if until, ok := h.Lookup(k, uint32(i), now); ok && !until.Equal(now.Add(time.Hour)) {
					t.Errorf("session %d is held until %v", i, until)
				}
				if g == 0 && i%100 == 0 {
					h.Clear()
				}
			}
		})
	}
	wg.Wait()
}
