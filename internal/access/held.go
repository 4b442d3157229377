package access

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
)

// Held remembers open decisions for the gateway, so that the thousandth
// request of a page costs a look in memory. It is bounded: it never grows, and
// forgets the decision that ends soonest to make room. It holds no pointer, so
// that the garbage collector has nothing to follow in it.
//
// A decision is held for one session at one epoch, and for one generation of
// rules and facts: a session that proves something more, and [Held.Clear], make
// everything earlier unknown again. It is held from the moment it was taken: a
// clock that goes back makes it unknown too.
type Held struct {
	generation atomic.Uint32
	locks      [64]sync.RWMutex // lock i guards the sets whose number ends in i
	slots      []heldSlot       // in sets of heldWays
}

// HeldKey names a held decision: [Policy.HeldKey] makes it.
type HeldKey struct {
	session parvis.SessionID
	era     uint32 // of the policy: its applications have other numbers in another
	app     uint16
	channel uint8
}

type heldSlot struct {
	key        HeldKey
	generation uint32 // 0 in an empty slot
	epoch      uint32
	from       int64 // Unix microseconds
	until      int64
}

const (
	heldWays    = 4
	heldDefault = 1 << 17
	heldMinimum = heldWays * 64 // every lock guards at least one set
)

// NewHeld makes room for at least size decisions; 131,072 when size is not
// positive. Each takes 48 bytes once used.
func NewHeld(size int) *Held {
	if size <= 0 {
		size = heldDefault
	}
	size = 1 << bits.Len(uint(max(size, heldMinimum)-1))
	h := &Held{slots: make([]heldSlot, size)}
	h.generation.Store(1)
	return h
}

func (p *policy) HeldKey(s parvis.SessionID, app parvis.AppID, c parvis.Channel) (HeldKey, bool) {
	i, ok := p.byID[app]
	k := HeldKey{session: s, app: uint16(i)} // i < maxApps
	switch c {
	case parvis.Internal:
		k.channel = 1
	case parvis.VPN:
		k.channel = 2
	case parvis.Mobile:
		k.channel = 3
	default:
		ok = false
	}
	return k, ok
}

// Generation is read before the facts are gathered and given back to
// [Held.Keep], so that a decision upon facts that have changed meanwhile is
// not held.
func (h *Held) Generation() uint32 { return h.generation.Load() }

// Clear forgets everything at once.
func (h *Held) Clear() {
	if h.generation.Add(1) == 0 { // after 2^32 times: 0 means empty
		h.generation.Add(1)
	}
}

// Keep holds an open decision from the moment it was about until another; the
// zero moment is for ever. It does nothing when generation is no longer the
// present one.
func (h *Held) Keep(k HeldKey, epoch, generation uint32, from, until time.Time) {
	end := int64(math.MaxInt64)
	if !until.IsZero() {
		end = until.UnixMicro()
	}
	set, lock := h.set(&k)
	lock.Lock()
	defer lock.Unlock()
	if generation != h.generation.Load() {
		return
	}
	place := 0
	for i := range set {
		if set[i].key == k {
			place = i
			break
		}
		if h.worth(&set[i], generation) < h.worth(&set[place], generation) {
			place = i
		}
	}
	set[place] = heldSlot{key: k, generation: generation, epoch: epoch, from: from.UnixMicro(), until: end}
}

// worth orders slots by how little would be lost with them.
func (h *Held) worth(s *heldSlot, generation uint32) int64 {
	if s.generation != generation {
		return math.MinInt64
	}
	return s.until
}

// Lookup tells whether an open decision is held at now, and until when; the
// zero moment is for ever. It allocates nothing.
func (h *Held) Lookup(k HeldKey, epoch uint32, now time.Time) (until time.Time, ok bool) {
	set, lock := h.set(&k)
	lock.RLock()
	defer lock.RUnlock()
	at := now.UnixMicro()
	for i := range set {
		s := &set[i]
		if s.key != k {
			continue
		}
		if s.generation != h.generation.Load() || s.epoch != epoch || at < s.from || s.until <= at {
			return time.Time{}, false
		}
		if s.until == math.MaxInt64 {
			return time.Time{}, true
		}
		return time.UnixMicro(s.until), true
	}
	return time.Time{}, false
}

// set finds the few slots where a key may lie. Session names are digests, so
// eight of their bytes spread well enough by themselves.
func (h *Held) set(k *HeldKey) ([]heldSlot, *sync.RWMutex) {
	x := binary.LittleEndian.Uint64(k.session[:]) ^ (uint64(k.app)<<8 | uint64(k.channel))
	x *= 0x9e3779b97f4a7c15 // Knuth, The Art of Computer Programming, 6.4: the golden ratio spreads neighbours
	x ^= x >> 32
	n := int(x & uint64(len(h.slots)/heldWays-1))
	return h.slots[n*heldWays : (n+1)*heldWays], &h.locks[n%len(h.locks)]
}
