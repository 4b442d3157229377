package credential

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parvis/internal/store"
)

func markOf(n int) (m mark) {
	binary.BigEndian.PutUint64(m[:], uint64(n)+1)
	return m
}

var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func TestLadder(t *testing.T) {
	b := store.Budget{ID: [32]byte{1, 2, 3}}
	now := monday
	for n, want := range []time.Duration{
		0, 0, 0, 0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute,
		64 * time.Minute, 120 * time.Minute, 120 * time.Minute,
	} {
		b, _ = charge(b, markOf(n), now)
		got := time.Duration(0)
		if end := waits(b, now); !end.IsZero() {
			got = end.Sub(now)
		}
		if got < want*9/10 || got > min(want*11/10, 120*time.Minute) {
			t.Errorf("failure %d waits %s, want about %s", n+1, got, want)
		}
		if n == 4 && got != time.Minute {
			t.Errorf("the fifth failure waits %s", got)
		}
		if got > 0 && (waits(b, now.Add(got-1)).IsZero() || !waits(b, now.Add(got)).IsZero()) {
			t.Errorf("failure %d: the wait does not end when it says", n+1)
		}
		now = now.Add(got)
	}
}

// CNIL: at most 25 tries in 24 hours, whatever a patient machine does.
func TestTriesInADay(t *testing.T) {
	for id := range byte(50) {
		b, now, tries := store.Budget{ID: [32]byte{id, id}}, monday, 0
		for end := monday.Add(24 * time.Hour); now.Before(end); tries++ {
			b, _ = charge(b, markOf(tries), now)
			if w := waits(b, now); !w.IsZero() {
				now = w
			}
		}
		if tries < 21 || tries > 24 {
			t.Errorf("row %d: %d tries in a day, want 22 give or take the jitter", id, tries)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b, now := store.Budget{ID: [32]byte{rapid.Byte().Draw(t, "row")}}, monday
		var at []time.Time
		for n := range rapid.IntRange(1, 120).Draw(t, "tries") {
			b, _ = charge(b, markOf(n), now)
			at = append(at, now)
			if w := waits(b, now); !w.IsZero() {
				now = w
			}
			if rapid.IntRange(0, 9).Draw(t, "pause") == 0 {
				now = now.Add(time.Duration(rapid.IntRange(0, 30*3600).Draw(t, "seconds")) * time.Second)
			}
		}
		for i := range at {
			if j := i + 25; j < len(at) && at[j].Sub(at[i]) < 24*time.Hour {
				t.Fatalf("26 tries in %s", at[j].Sub(at[i]))
			}
		}
		if b.InARow != len(at) {
			t.Fatalf("%d in a row, want %d", b.InARow, len(at))
		}
		if w := waits(b, now); !w.IsZero() && w.Sub(now) > longest {
			t.Fatalf("a wait of %s", w.Sub(now))
		}
	})
}

func TestSameWrongPasswordIsNotCounted(t *testing.T) {
	b := store.Budget{}
	for i, c := range []struct {
		mark    int
		counted bool
	}{{1, true}, {1, false}, {2, true}, {1, false}, {3, true}, {1, false}, {4, true}, {1, true}} {
		var counted bool
		before := b.Failures
		b, counted = charge(b, markOf(c.mark), monday)
		if counted != c.counted || (b.Failures > before) != c.counted {
			t.Errorf("try %d: counted %t", i, counted)
		}
		if len(b.Recent) > remembers*markSize {
			t.Errorf("try %d: %d bytes remembered", i, len(b.Recent))
		}
	}
}

func TestLeft(t *testing.T) {
	for failures, want := range []struct {
		n    int
		wait time.Duration
	}{{0, 0}, {0, 0}, {3, time.Minute}, {2, time.Minute}, {1, time.Minute}, {1, 2 * time.Minute}, {1, 4 * time.Minute}} {
		n, wait := left(store.Budget{Failures: failures})
		if n != want.n || wait < want.wait*9/10 || wait > want.wait*11/10 {
			t.Errorf("after %d failures: %d left before %s, want %v", failures, n, wait, want)
		}
	}
}

func TestADayOfQuietEndsTheEpisode(t *testing.T) {
	b := store.Budget{}
	for n := range 6 {
		b, _ = charge(b, markOf(n), monday)
	}
	for quiet, want := range map[time.Duration]int{23 * time.Hour: 7, 25 * time.Hour: 1} {
		after, _ := charge(b, markOf(9), monday.Add(quiet))
		if after.Failures != want || after.InARow != 7 {
			t.Errorf("after %s: %d failures, %d in a row", quiet, after.Failures, after.InARow)
		}
	}
}
