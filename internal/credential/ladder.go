package credential

import (
	"bytes"
	"encoding/binary"
	"time"

	"parvis/internal/store"
)

// The ladder of product.md section 5.
const (
	freeTries = 4
	firstWait = time.Minute
	longest   = 120 * time.Minute
	inARow    = 100            // NIST SP 800-63B-4 3.2.2: then the password is of no more use here
	episode   = 24 * time.Hour // so much quiet ends an episode
	remembers = 3              // wrong passwords of the episode that are not counted again
	markSize  = 8
)

// mark is a keyed, truncated fingerprint of a wrong password: enough to know
// it again within an episode, useless without the key.
type mark [markSize]byte

// waits tells until when tries are refused unhashed; zero when they are not.
func waits(b store.Budget, now time.Time) time.Time {
	if now.Before(b.WaitUntil) {
		return b.WaitUntil
	}
	return time.Time{}
}

// settle ends an episode that a day of quiet has ended: the ladder starts
// again, the number of failures in a row stays.
func settle(b store.Budget, now time.Time) store.Budget {
	if !b.LastAt.IsZero() && now.Sub(b.LastAt) >= episode && !now.Before(b.WaitUntil.Add(episode)) {
		b.Failures, b.Recent, b.WaitUntil = 0, nil, time.Time{}
	}
	return b
}

// charge counts one try as failed, before anybody knows. A password that the
// episode has seen before is not counted.
func charge(b store.Budget, m mark, now time.Time) (store.Budget, bool) {
	b = settle(b, now)
	b.LastAt = now
	for known := range chunks(b.Recent) {
		if bytes.Equal(known, m[:]) {
			return b, false
		}
	}
	b.Recent = append(m[:], b.Recent[:min(len(b.Recent), (remembers-1)*markSize)]...)
	b.Failures++
	b.InARow++
	if b.Failures > freeTries {
		b.WaitUntil = now.Add(wait(b.ID, b.Failures))
	}
	return b, true
}

// wait is how long the n-th failure of an episode lasts. Jitter of a tenth
// either way keeps a machine from knowing the moment; it is a function of the
// row, so that a transaction that runs again finds the same. The first wait
// has none: CNIL 2022-100 wants no less than a minute after five failures.
func wait(id [32]byte, n int) time.Duration {
	over := n - freeTries - 1
	if over < 0 {
		return 0
	}
	if over == 0 {
		return firstWait
	}
	d := longest
	if over < 7 {
		d = min(firstWait<<over, longest)
	}
	seed := binary.BigEndian.Uint64(id[:8]) ^ uint64(n)*0x9e3779b97f4a7c15
	seed ^= seed >> 29
	seed *= 0xbf58476d1ce4e5b9
	tenths := float64(seed>>40)/float64(1<<24)*0.2 - 0.1
	return min(d+time.Duration(tenths*float64(d)), longest).Truncate(time.Second)
}

// left tells how many more failures there may be before a wait, and how long
// that wait would be; 0 when it need not be said yet (domain.md 6.3,
// lock_warning: from the third last try).
func left(b store.Budget) (int, time.Duration) {
	n := freeTries + 1 - b.Failures
	if n > 3 || n < 1 {
		n = 0
	}
	if b.Failures > freeTries {
		n = 1
	}
	if n == 0 {
		return 0, 0
	}
	return n, wait(b.ID, b.Failures+n)
}

func chunks(b []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for ; len(b) >= markSize; b = b[markSize:] {
			if !yield(b[:markSize]) {
				return
			}
		}
	}
}
