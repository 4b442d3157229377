package oidc

import (
	"sync"
	"time"
)

// most bounds what a process remembers of what it was shown: what lies beyond is
// forgotten oldest first, and the transactions remember still.
const most = 1 << 17

// spent remembers what was shown once. The zero value is ready.
type spent struct {
	mu       sync.Mutex
	now, old map[[32]byte]struct{}
	turned   time.Time
}

// first tells whether a hash is shown for the first time. It is remembered for at
// least the time given, unless very many are shown.
func (s *spent) first(hash [32]byte, lasts time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := time.Now(); s.now == nil || at.Sub(s.turned) > lasts || len(s.now) >= most {
		s.old, s.now, s.turned = s.now, map[[32]byte]struct{}{}, at
	}
	_, new := s.now[hash]
	_, old := s.old[hash]
	if new || old {
		return false
	}
	s.now[hash] = struct{}{}
	return true
}

// lately counts what happened to whom of late. The zero value is ready.
type lately struct {
	mu sync.Mutex
	of map[string]times
}

type times struct {
	last  time.Time
	count int
}

// again counts one more for a name, and tells how long ago the one before was and
// how many there have been without a pause of that length.
func (l *lately) again(name string, pause time.Duration) (ago time.Duration, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now()
	if l.of == nil || len(l.of) >= most {
		l.of = map[string]times{}
	}
	was, known := l.of[name]
	ago = at.Sub(was.last)
	if !known || ago > pause {
		was.count = 0
	}
	l.of[name] = times{at, was.count + 1}
	return ago, was.count + 1
}

// within counts one more for a name, and tells how many there have been in this
// while: a name that never pauses is counted anew in the next one.
func (l *lately) within(name string, while time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now()
	if l.of == nil || len(l.of) >= most {
		l.of = map[string]times{}
	}
	was, known := l.of[name]
	if !known || at.Sub(was.last) > while {
		was = times{last: at}
	}
	was.count++
	l.of[name] = was
	return was.count
}

// count tells how many there have been without a pause of a length.
func (l *lately) count(name string, pause time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.of[name]
	if !known || time.Since(was.last) > pause {
		return 0
	}
	return was.count
}
