package session

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
)

// table is the memory. Nothing in it points anywhere, so that a million
// sessions cost the garbage collector nothing (performance.md): numbers and
// devices lie inside the records, and records lie in large blocks.
type table struct {
	parts [64]part
}

type part struct {
	mu       sync.RWMutex
	sessions slab[record]
	visits   slab[visit]

	dirtyMu sync.Mutex
	dirty   []parvis.SessionID // used since the last batch, each once
}

// record is a session. All but its last two fields change under the lock.
type record struct {
	id parvis.SessionID
	facts
	seen  int64  // atomic: last used, microseconds
	dirty uint32 // atomic: 1 when listed in part.dirty
}

// facts are what memory keeps of a session.
type facts struct {
	agent     [32]byte
	device    [48]byte
	proofs    [len(proofKinds)]int64 // when each kind was shown; 0 for never
	began     int64                  // of one that is over: when that was found
	ends      int64
	epoch     uint32
	stamp     uint32 // which of the stamps follows its agent
	agentLen  uint8
	deviceLen uint8
	channel   uint8 // its place in channels, from 1
	gone      gone  // why it can no longer be used; 0 while it can
	hardware  bool  // the passkey shown last never leaves its device
}

// visit is what one application host holds of a session.
type visit struct {
	session parvis.SessionID // whose record was at place when the visit was put here
	app     [32]byte
	appLen  uint8
	channel uint8 // of the host where it began: its place in channels, from 1
	place   uint32
}

// gone is why a session is over.
type gone uint8

const (
	live    gone = iota
	rested       // nobody used it
	ended        // somebody ended it
	renamed      // it goes on under another identifier
)

var proofKinds = [...]parvis.ProofKind{
	parvis.Password, parvis.Verifier, parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode, parvis.TemporaryCode,
	parvis.VerifierWaived,
}

var channels = [...]parvis.Channel{"", parvis.Internal, parvis.VPN, parvis.Mobile}

// factsOf packs a session; false when something does not fit, which is then
// refused rather than cut.
func factsOf(s *parvis.Session) (facts, bool) {
	f := facts{began: s.Began.UnixMicro(), ends: s.Ends.UnixMicro(), epoch: s.Epoch, stamp: stampOf(s.Agent)}
	if len(s.Agent) > len(f.agent) || len(s.Device) > len(f.device) {
		return f, false
	}
	f.agentLen, f.deviceLen = uint8(copy(f.agent[:], s.Agent)), uint8(copy(f.device[:], s.Device))
	c := slices.Index(channels[:], s.Channel)
	if c <= 0 {
		return f, false
	}
	f.channel = uint8(c)
	for _, p := range s.Proofs {
		i := slices.Index(proofKinds[:], p.Kind)
		if i < 0 {
			return f, false
		}
		if at := p.At.UnixMicro(); at >= f.proofs[i] {
			f.proofs[i] = at
			if p.Kind == parvis.Passkey {
				f.hardware = p.Hardware
			}
		}
	}
	return f, true
}

// session unpacks; the keeper adds what it rules, the idle end.
func (f *facts) session(id parvis.SessionID, seen int64) parvis.Session {
	s := parvis.Session{
		ID: id, Agent: parvis.AgentNumber(f.agent[:f.agentLen]), Device: parvis.DeviceID(f.device[:f.deviceLen]),
		Channel: channels[f.channel], Epoch: f.epoch,
		Began: time.UnixMicro(f.began).UTC(), LastSeen: time.UnixMicro(seen).UTC(), Ends: time.UnixMicro(f.ends).UTC(),
	}
	for i, at := range f.proofs {
		if at != 0 {
			s.Proofs = append(s.Proofs, parvis.Proof{
				Kind: proofKinds[i], At: time.UnixMicro(at).UTC(), Hardware: f.hardware && proofKinds[i] == parvis.Passkey,
			})
		}
	}
	slices.SortStableFunc(s.Proofs, func(a, b parvis.Proof) int { return a.At.Compare(b.At) })
	return s
}

func (t *table) open() {
	for i := range t.parts {
		t.parts[i].sessions.at = map[parvis.SessionID]uint32{}
		t.parts[i].visits.at = map[parvis.SessionID]uint32{}
	}
}

// part finds the part of an identifier: digests spread by themselves.
func (t *table) part(id parvis.SessionID) *part { return &t.parts[int(id[0])%len(t.parts)] }

// session copies out a session and when it was last used.
func (t *table) session(id parvis.SessionID, place uint32) (f facts, seen int64, ok bool) {
	p := t.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	r := p.record(id, place)
	if r == nil {
		return f, 0, false
	}
	return r.facts, atomic.LoadInt64(&r.seen), true
}

// record finds a session: where it was once seen, if it is still there, which
// spares a look in a large map, or wherever it is. Any place may be tried.
func (p *part) record(id parvis.SessionID, place uint32) *record {
	if place < p.sessions.next {
		if r := p.sessions.value(place); r.id == id {
			return r
		}
	}
	return p.sessions.get(id)
}

// anywhere is the place of a session of which none is known.
const anywhere = math.MaxUint32

// keep finds the record of a session, or begins one.
func (p *part) keep(id parvis.SessionID) *record {
	r := p.sessions.get(id)
	if r == nil {
		r = p.sessions.add(id)
		r.id = id
	}
	return r
}

// put keeps what was read from the store. What is over in memory stays over,
// and a use that only memory knows is not forgotten: the read may be the older.
// A use after now, from before the clock went back, does not lengthen the rest
// of a session that memory has seen since.
func (t *table) put(id parvis.SessionID, f facts, seen, now int64) {
	p := t.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.keep(id)
	if r.gone == rested && now < r.began {
		r.gone, r.seen = live, 0
	}
	if r.gone != live {
		return
	}
	r.facts = f
	if seen > r.seen && (seen <= now || r.seen == 0) {
		r.seen = seen
	}
}

// over marks a session as over, as was found at a moment; until is when memory
// may forget that.
func (t *table) over(id parvis.SessionID, why gone, at, until int64) {
	p := t.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.keep(id)
	r.facts = facts{gone: why, began: at, ends: until}
}

// touch notes a use of a session, at most once a second; one that comes before
// the last by more than that tells that the clock went back, and counts.
func (t *table) touch(id parvis.SessionID, place uint32, now int64) {
	p := t.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	r := p.record(id, place)
	if r == nil || r.gone != live {
		return
	}
	if before := atomic.LoadInt64(&r.seen); max(now-before, before-now) < time.Second.Microseconds() {
		return
	}
	atomic.StoreInt64(&r.seen, now)
	if atomic.CompareAndSwapUint32(&r.dirty, 0, 1) {
		p.dirtyMu.Lock()
		p.dirty = append(p.dirty, id)
		p.dirtyMu.Unlock()
	}
}

// use is a session and the moment of its last use.
type use struct {
	id parvis.SessionID
	at int64
}

// used takes the list of the sessions used since it was last taken.
func (t *table) used() []use {
	var all []use
	for i := range t.parts {
		p := &t.parts[i]
		p.dirtyMu.Lock()
		ids := p.dirty
		p.dirty = nil
		p.dirtyMu.Unlock()
		p.mu.RLock()
		for _, id := range ids {
			if r := p.sessions.get(id); r != nil {
				atomic.StoreUint32(&r.dirty, 0)
				all = append(all, use{id, atomic.LoadInt64(&r.seen)})
			}
		}
		p.mu.RUnlock()
	}
	return all
}

// unwritten gives back uses that could not be written.
func (t *table) unwritten(uses []use) {
	for _, u := range uses {
		p := t.part(u.id)
		p.mu.RLock()
		if r := p.sessions.get(u.id); r != nil && atomic.CompareAndSwapUint32(&r.dirty, 0, 1) {
			p.dirtyMu.Lock()
			p.dirty = append(p.dirty, u.id)
			p.dirtyMu.Unlock()
		}
		p.mu.RUnlock()
	}
}

// visit copies out what an application host holds.
func (t *table) visit(id parvis.SessionID) (visit, bool) {
	p := t.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	v := p.visits.get(id)
	if v == nil {
		return visit{}, false
	}
	return *v, true
}

func (t *table) putVisit(id parvis.SessionID, v visit) {
	v.place = t.place(v.session)
	p := t.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.visits.get(id)
	if at == nil {
		at = p.visits.add(id)
	}
	*at = v
}

// place tells where a session is now.
func (t *table) place(id parvis.SessionID) uint32 {
	p := t.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if i, ok := p.sessions.at[id]; ok {
		return i
	}
	return anywhere
}

// sweep forgets the sessions whose time is past, and the visits of sessions
// that memory does not have: a visit that comes back is read again.
func (t *table) sweep(now int64) {
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.Lock()
		for id := range p.sessions.at {
			if r := p.sessions.get(id); r.ends <= now {
				p.sessions.remove(id)
			}
		}
		p.mu.Unlock()
	}
	for i := range t.parts {
		p := &t.parts[i]
		p.mu.RLock()
		held := make(map[parvis.SessionID]parvis.SessionID, len(p.visits.at))
		for id := range p.visits.at {
			held[id] = p.visits.get(id).session
		}
		p.mu.RUnlock()
		for id, session := range held {
			if f, _, ok := t.session(session, anywhere); ok && f.gone == live {
				continue
			}
			p.mu.Lock()
			if v := p.visits.get(id); v != nil && v.session == session {
				p.visits.remove(id)
			}
			p.mu.Unlock()
		}
	}
}

// slab keeps values in blocks of their own, so that growing copies nothing and
// addresses stay good while the lock is held.
type slab[T any] struct {
	at     map[parvis.SessionID]uint32
	blocks []*[blockSize]T
	free   []uint32
	next   uint32
}

const blockSize = 64

func (s *slab[T]) get(id parvis.SessionID) *T {
	i, ok := s.at[id]
	if !ok {
		return nil
	}
	return s.value(i)
}

func (s *slab[T]) value(i uint32) *T { return &s.blocks[i/blockSize][i%blockSize] }

func (s *slab[T]) add(id parvis.SessionID) *T {
	var i uint32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = s.next
		s.next++
		if i%blockSize == 0 {
			s.blocks = append(s.blocks, new([blockSize]T))
		}
	}
	s.at[id] = i
	return s.value(i)
}

func (s *slab[T]) remove(id parvis.SessionID) {
	i := s.at[id]
	var zero T
	*s.value(i) = zero
	delete(s.at, id)
	s.free = append(s.free, i)
}
