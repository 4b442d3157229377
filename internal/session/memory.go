package session

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"parvis"
	"parvis/internal/store"
)

const (
	page       = 2000             // rows read at once when memory is filled
	batch      = 500              // uses written in one transaction, so that nobody waits long behind them
	writeEvery = 59 * time.Second // and to the second: on disk "last used" is at most a minute old
	sweepEvery = 5 * time.Minute
	remember   = time.Hour          // that a session was ended, in memory; the store knows longer
	rowsKept   = 7 * 24 * time.Hour // rows of sessions that are over
)

// Run fills memory from the store, then keeps the store informed of what was
// used, until ctx ends; what is unwritten by then is written before it
// returns. Sessions work before it has finished filling, and without it: only
// "last used" would then stay in memory.
func (k *Keeper) Run(ctx context.Context) error {
	k.ready()
	if err := k.fill(ctx); err != nil && ctx.Err() == nil {
		// Whatever is missing is read when it is asked for.
		k.Log.Warn("sessions could not all be read in advance", "cause", err)
	}
	settle, write, sweep := time.NewTicker(time.Second), time.NewTicker(writeEvery), time.NewTicker(sweepEvery)
	defer settle.Stop()
	defer write.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return k.flush(last)
		case <-settle.C:
			k.stamps.settle()
		case <-write.C:
			if err := k.flush(ctx); err != nil && ctx.Err() == nil {
				k.Log.Warn("last uses not written yet", "cause", err)
			}
		case <-sweep.C:
			k.table.sweep(k.Clock().UnixMicro())
			if err := k.forget(ctx); err != nil && ctx.Err() == nil {
				k.Log.Warn("old sessions not removed yet", "cause", err)
			}
		}
	}
}

// fill reads every live session and visit, a page at a time.
func (k *Keeper) fill(ctx context.Context) error {
	now := k.Clock()
	var after parvis.SessionID
	for {
		rows, err := k.Store.LiveSessions(ctx, after, now, page)
		if err != nil {
			return err
		}
		for i := range rows {
			k.hold(&rows[i])
			after = rows[i].ID
		}
		if len(rows) < page {
			break
		}
	}
	for after = (parvis.SessionID{}); ; {
		rows, err := k.Store.LiveVisits(ctx, after, now, page)
		if err != nil {
			return err
		}
		for _, v := range rows {
			k.holdVisit(v)
			after = v.ID
		}
		if len(rows) < page {
			return nil
		}
	}
}

// hold puts a row in memory, over or not.
func (k *Keeper) hold(row *store.SessionRow) {
	now := k.Clock().UnixMicro()
	if !row.Ended.IsZero() {
		k.table.over(row.ID, ended, now, now+remember.Microseconds())
		return
	}
	if f, ok := factsOf(&row.Session); ok {
		k.table.put(row.ID, f, row.LastSeen.UnixMicro(), now)
	}
}

// holdVisit puts a visit in memory, unless its host is no application's any more.
func (k *Keeper) holdVisit(row store.VisitRow) {
	v := visit{session: row.Session}
	ch, app, ok := k.Addresses.Find(row.Host)
	c := slices.Index(channels[:], ch)
	if ok && app == row.App && c > 0 && len(row.App) <= len(v.app) {
		v.appLen, v.channel = uint8(copy(v.app[:], row.App)), uint8(c)
		k.table.putVisit(row.ID, v)
	}
}

// What the look for a session can come to, besides one.
var (
	errNone    = &parvis.Error{Code: parvis.CodeNotFound, Op: "session.find", Err: errors.New("none that may be used")}
	errUnknown = &parvis.Error{Code: parvis.CodeUnavailable, Op: "session.find", Err: errors.New("what was ended elsewhere is not seen")}
)

// find gives a session that may be used now. What memory does not have, or
// believes unused for too long, is read from the store once: another process
// may know better. While memory cannot be kept true it answers errUnknown; the
// facts that come with errNone say why. place is where to look first.
func (k *Keeper) find(ctx context.Context, id parvis.SessionID, place uint32, now int64) (facts, int64, error) {
	if !k.Store.Current() {
		return facts{}, 0, errUnknown
	}
	f, seen, ok := k.table.session(id, place)
	if ok && f.gone == rested && now < f.began {
		ok = false // found before the clock went back: it rests no longer, or not yet
	}
	if ok && f.gone != live {
		return f, 0, errNone
	}
	if ok && k.usable(&f, seen, now) {
		return f, seen, nil
	}
	if ok && now >= f.ends {
		f.gone = rested
		return f, 0, errNone
	}
	if err := k.read(ctx, func() error {
		row, err := k.Store.Session(ctx, id)
		if err == nil {
			k.hold(&row)
		}
		return err
	}); err != nil {
		return f, 0, err
	}
	f, seen, ok = k.table.session(id, anywhere)
	if ok && f.gone == live && !k.usable(&f, seen, now) {
		k.table.over(id, rested, now, max(f.ends, now))
		f.gone = rested
	}
	if !ok || f.gone != live {
		return f, 0, errNone
	}
	return f, seen, nil
}

func (k *Keeper) usable(f *facts, seen, now int64) bool {
	return now < f.ends && now < seen+k.limit(channels[f.channel]).Idle.Microseconds()
}

// read runs one read that memory could not spare. Few run at once, so that
// cookies made up by strangers cannot take every connection of the store. It
// answers errNone, or that the store does not answer.
func (k *Keeper) read(ctx context.Context, f func() error) error {
	select {
	case k.misses <- struct{}{}:
		defer func() { <-k.misses }()
	case <-ctx.Done():
		return errNone // nobody waits for the answer
	}
	err := f()
	if err == nil {
		return nil
	}
	if parvis.CodeOf(err) == parvis.CodeNotFound || ctx.Err() != nil {
		return errNone
	}
	return &parvis.Error{Code: parvis.CodeUnavailable, Op: "session.read", Err: err}
}

// follow keeps memory true to what was committed, here or elsewhere.
func (k *Keeper) follow(events []parvis.Event) {
	for i := range events {
		e := &events[i]
		id, ok := named(e.Detail["session"])
		switch {
		case e.Kind == "session.ended" && ok:
			k.table.over(id, ended, e.At.UnixMicro(), e.At.Add(remember).UnixMicro())
		case e.Kind == "session.raised" && ok:
			k.table.over(id, renamed, e.At.UnixMicro(), e.At.Add(remember).UnixMicro())
		case e.Kind == "session.extended" && ok:
			if _, seen, ok := k.table.session(id, anywhere); ok && seen < e.At.UnixMicro() {
				k.table.touch(id, anywhere, e.At.UnixMicro())
			}
		}
		k.stamps.note(e)
	}
}

// flush writes the last uses, a batch at a time, each with its event. They are
// written to the second, never later than they were: those of one second are
// then one statement.
func (k *Keeper) flush(ctx context.Context) error {
	uses := k.table.used()
	second := func(u use) int64 { return u.at / time.Second.Microseconds() }
	slices.SortFunc(uses, func(a, b use) int { return cmp.Compare(second(a), second(b)) })
	for len(uses) > 0 {
		some := uses[:min(batch, len(uses))]
		err := k.Store.Write(ctx, func(tx *store.Tx) error {
			var moved int64
			for rest := some; len(rest) > 0; {
				var ids []parvis.SessionID
				at := second(rest[0])
				for len(rest) > 0 && second(rest[0]) == at {
					ids, rest = append(ids, rest[0].id), rest[1:]
				}
				n, err := tx.SeeSessions(ctx, time.Unix(at, 0), ids...)
				if err != nil {
					return err
				}
				moved += n
			}
			if moved > 0 {
				tx.Record(parvis.Event{Kind: "session.seen", Actor: "system", Detail: map[string]string{"sessions": strconv.FormatInt(moved, 10)}})
			}
			return nil
		})
		if err != nil {
			k.table.unwritten(uses)
			return err
		}
		uses = uses[len(some):]
	}
	return nil
}

// forget removes the rows of sessions that have been over for long; what they
// were remains in the audit trail.
func (k *Keeper) forget(ctx context.Context) error {
	return k.Store.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.ForgetSessions(ctx, tx.Now().Add(-rowsKept), batch)
		if err != nil || n == 0 {
			return err
		}
		tx.Record(parvis.Event{Kind: "session.forgotten", Actor: "system", Detail: map[string]string{"sessions": strconv.FormatInt(n, 10)}})
		return nil
	})
}

// stamps tell that something was recorded about an agent, so that a decision
// upon what was known before is taken again. Agents share stamps: one decision
// too many is taken, never one too few.
type stamps struct {
	all   atomic.Uint32
	of    [4096]atomic.Uint32
	again [4096 / 64]atomic.Uint64 // moved since settle
	whole atomic.Bool
}

func stampOf(a parvis.AgentNumber) uint32 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(a) {
		h = (h ^ uint32(a[i])) * 16777619
	}
	return h % uint32(len(stamps{}.of))
}

// at grows with every event that may change a decision about the agents of a stamp.
func (s *stamps) at(stamp uint32) uint32 { return s.all.Load() + s.of[stamp].Load() }

// note moves the stamp of the agent an event is about. Events that follow from
// a decision, and change none, do not count.
func (s *stamps) note(e *parvis.Event) {
	switch e.Kind {
	case "session.began", "session.seen", "session.extended", "session.forgotten", "app.entered", "app.refused":
		return
	case "policy.changed", "hr_file.imported", "app.changed", "app.removed":
		s.whole.Store(true)
		s.all.Add(1)
	}
	if e.Agent != "" && !follows(e.Kind) {
		i := stampOf(e.Agent)
		s.again[i/64].Or(1 << (i % 64))
		s.of[i].Add(1)
	}
}

// follows tells whether a kind of event says what was told or granted after a
// decision. Tokens are renewed every few minutes: none of them may cost the
// agent's other doors their memory.
func follows(kind string) bool {
	family, _, _ := strings.Cut(kind, ".")
	return family == "message" || family == "grant" || family == "notice" || family == "consent"
}

// settle moves once more every stamp that moved since it last ran. Followers
// of the store hear of an event one after the other: a decision taken between
// this one and the next may rest on facts that were about to be dropped.
func (s *stamps) settle() {
	if s.whole.Swap(false) {
		s.all.Add(1)
	}
	for i := range s.again {
		for moved := s.again[i].Swap(0); moved != 0; moved &= moved - 1 {
			s.of[i*64+bits.TrailingZeros64(moved)].Add(1)
		}
	}
}
