// Package session keeps what an agent opened by proving themselves: it begins,
// finds, raises and ends sessions, and gives them to browsers as cookies.
//
// It promises identifiers of 256 random bits, kept only as digests; a new one
// at every sign-in and every raise, so that one planted beforehand is worth
// nothing; reads from memory, whatever the number of sessions; and an end that
// is in force here when the transaction that ends it is answered, and in every
// other process as soon as the store shows its event; when events cannot be
// followed, memory answers nothing. A crash loses no session, and at most the
// last minute of "last used".
//
// Each application host has a cookie of its own. It is begun by a ticket of the
// portal: sealed, for one host, one application and one session, 30 seconds,
// once, and only in the browser that asked that host for it. Neither cookie
// ever reaches an application.
//
// It refuses to know why somebody may open something, what a proof is worth,
// and how a page looks. It speaks HTTP for its cookies only.
//
// Life of a session:
//
//	Begin → used, seen (in memory, written in batches) → Raise: another
//	identifier → … → rested too long, reached its end, End or EndAll
//
// Life of a visit, the part of it that one application host holds:
//
//	Ask (no cookie on this host) → portal: Asked, Ticket → Enter → At, At, At
//	→ over with the session
//
// Memory is a copy: what it lacks is read from the store once, what an event
// ended stays ended in it whatever a slower read brings.
package session

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// Keeper keeps the sessions. Store, Keys, Addresses and Clock are required. It
// must not be copied once used.
type Keeper struct {
	Store     *store.Store
	Keys      *seal.Keys
	Addresses *parvis.Addresses
	Clock     func() time.Time
	Log       *slog.Logger
	Limits    map[parvis.Channel]Limit // those of product.md section 5 where an entrance is absent

	once    sync.Once
	returns *seal.Box // where to go back to after signing in
	tickets *seal.Box // what lets a session into an application host
	table   table
	stamps  stamps
	misses  chan struct{} // bounds the reads that strangers' cookies cause
}

// Limit is how long a session of an entrance may rest, and last in all.
type Limit struct{ Idle, Absolute time.Duration }

// Beginning is what a session begins with.
type Beginning struct {
	Agent   parvis.AgentNumber
	Origin  parvis.Origin
	Proofs  []parvis.Proof
	Browser string // the User-Agent field, as it came
}

func (k *Keeper) limit(c parvis.Channel) Limit {
	if l, ok := k.Limits[c]; ok {
		return l
	}
	if c == parvis.Mobile {
		return Limit{Idle: 30 * time.Minute, Absolute: 12 * time.Hour}
	}
	return Limit{Idle: time.Hour, Absolute: 10 * time.Hour}
}

// ready joins the keeper to the store, the first time it is used.
func (k *Keeper) ready() {
	k.once.Do(func() {
		if k.Log == nil {
			k.Log = slog.New(slog.DiscardHandler)
		}
		k.returns, k.tickets = k.Keys.Box("return"), k.Keys.Box("enter")
		k.misses = make(chan struct{}, 8)
		k.table.open()
		k.Store.Follow(k.follow)
	})
}

// Begin begins a session in the caller's transaction, for an agent who has
// just proved themselves. The Token goes to the browser with [Keeper.Give],
// after the transaction.
func (k *Keeper) Begin(tx *store.Tx, b Beginning) (Token, parvis.Session, error) {
	const op = "session.Begin"
	k.ready()
	if b.Agent == "" || !b.Origin.Channel.Known() || len(b.Proofs) == 0 {
		return Token{}, parvis.Session{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("a session needs an agent, an entrance and a proof")}
	}
	token, id := k.token(portalCookie, b.Origin.Channel)
	now, l := tx.Now(), k.limit(b.Origin.Channel)
	s := parvis.Session{
		ID: id, Agent: b.Agent, Channel: b.Origin.Channel, Device: b.Origin.Device, Proofs: b.Proofs,
		Began: now, LastSeen: now, Idle: now.Add(l.Idle), Ends: now.Add(l.Absolute), Epoch: 1,
	}
	if _, ok := factsOf(&s); !ok {
		return Token{}, parvis.Session{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("a number, a device or a proof that cannot be kept")}
	}
	browser := Browser(b.Browser)
	if err := tx.AddSession(context.Background(), store.SessionRow{Session: s, Browser: browser, Address: b.Origin.Address}); err != nil {
		return Token{}, parvis.Session{}, err
	}
	tx.Record(parvis.Event{
		Kind: "session.began", Agent: s.Agent, Actor: string(s.Agent), Channel: s.Channel, Address: b.Origin.Address,
		Detail: map[string]string{"session": name(id), "proofs": kinds(s.Proofs), "browser": browser},
	})
	return token, s, nil
}

// Raise adds a proof to a session and gives it another identifier: the old one
// is worth nothing when the transaction is answered, and visits go on under
// the new one. [parvis.CodeNotFound] when the session is over.
func (k *Keeper) Raise(tx *store.Tx, id parvis.SessionID, proof parvis.Proof) (Token, error) {
	k.ready()
	row, err := k.live(tx, "session.Raise", id)
	if err != nil {
		return Token{}, err
	}
	s := row.Session
	proofs := []parvis.Proof{}
	for _, p := range s.Proofs {
		if p.Kind != proof.Kind {
			proofs = append(proofs, p)
		}
	}
	s.Proofs, s.Epoch, s.LastSeen = append(proofs, proof), s.Epoch+1, tx.Now()
	if _, ok := factsOf(&s); !ok {
		return Token{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "session.Raise", Err: errors.New("an unknown kind of proof")}
	}
	token, next := k.token(portalCookie, s.Channel)
	s.ID = next
	if err := tx.MoveSession(context.Background(), id, s); err != nil {
		return Token{}, err
	}
	tx.Record(parvis.Event{
		Kind: "session.raised", Agent: s.Agent, Actor: string(s.Agent), Channel: s.Channel,
		Detail: map[string]string{"session": name(id), "to": name(next), "proof": string(proof.Kind)},
	})
	return token, nil
}

// Extend lets a session rest for its whole idle time again, because the agent
// asked for it. It never moves the end.
func (k *Keeper) Extend(tx *store.Tx, id parvis.SessionID) error {
	k.ready()
	row, err := k.live(tx, "session.Extend", id)
	if err != nil {
		return err
	}
	if _, err := tx.SeeSessions(context.Background(), tx.Now(), id); err != nil {
		return err
	}
	tx.Record(parvis.Event{
		Kind: "session.extended", Agent: row.Agent, Actor: string(row.Agent), Channel: row.Channel,
		Detail: map[string]string{"session": name(id)},
	})
	return nil
}

// live reads a session inside a transaction; [parvis.CodeNotFound] when it is
// over. What memory knows of its last use counts: the store may be half a
// minute behind.
func (k *Keeper) live(tx *store.Tx, op string, id parvis.SessionID) (store.SessionRow, error) {
	row, err := tx.Session(context.Background(), id)
	if err != nil {
		return row, err
	}
	seen := row.LastSeen
	if f, at, ok := k.table.session(id, anywhere); ok && f.gone == 0 && at > seen.UnixMicro() {
		seen = time.UnixMicro(at)
	}
	now := tx.Now()
	if !row.Ended.IsZero() || !now.Before(row.Ends) || !now.Before(seen.Add(k.limit(row.Channel).Idle)) {
		return row, &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New("the session is over")}
	}
	return row, nil
}

// End ends one session. Ending what is already over is done, not an error, and
// records nothing. why is one word for the record: "signed_out", "by_owner".
func (k *Keeper) End(tx *store.Tx, id parvis.SessionID, why string) error {
	k.ready()
	row, err := tx.Session(context.Background(), id)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return k.end(tx, row, why)
}

func (k *Keeper) end(tx *store.Tx, row store.SessionRow, why string) error {
	done, with, err := tx.EndSession(context.Background(), row.ID, why)
	if err != nil || !done {
		return err
	}
	tx.Record(parvis.Event{
		Kind: "session.ended", Agent: row.Agent, Actor: actor(row.Agent, why), Channel: row.Channel,
		Detail: counted(with, map[string]string{"session": name(row.ID), "why": why}),
	})
	return nil
}

// counted adds to what is recorded of an end how many grants ended with it,
// and how many applications are to be told.
func counted(with store.Ended, detail map[string]string) map[string]string {
	if with.Grants > 0 {
		detail["grants"] = strconv.FormatInt(with.Grants, 10)
	}
	if with.Notices > 0 {
		detail["notices"] = strconv.FormatInt(with.Notices, 10)
	}
	return detail
}

// actor tells who ended a session: its owner, for the two words that say so.
func actor(a parvis.AgentNumber, why string) string {
	if why == "signed_out" || why == "by_owner" {
		return string(a)
	}
	return "system"
}

// EndAll ends every session of an agent but one, each with its event, and tells
// how many; with the zero identifier it ends them all. What applications were
// granted beyond a session, in any but that one, ends too: whoever ends the rest,
// with a new password or because a telephone is lost, means all of it.
func (k *Keeper) EndAll(tx *store.Tx, number parvis.AgentNumber, except parvis.SessionID, why string) (int, error) {
	k.ready()
	rows, err := tx.SessionsOf(context.Background(), number, time.Time{})
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, row := range rows {
		if row.ID == except {
			continue
		}
		if err := k.end(tx, row, why); err != nil {
			return ended, err
		}
		ended++
	}
	with, err := tx.EndOfflineGrants(context.Background(), number, except, why)
	if err != nil || with.Grants == 0 {
		return ended, err
	}
	tx.Record(parvis.Event{
		Kind: "grant.ended", Agent: number, Actor: actor(number, why),
		Detail: counted(with, map[string]string{"why": why}),
	})
	return ended, nil
}

// Seen notes in memory that a session is used now, by way of an application
// that the agent works in and that asked about them. One that is over, or that
// memory does not know, stays as it is.
func (k *Keeper) Seen(id parvis.SessionID) {
	k.ready()
	now := k.Clock().UnixMicro()
	if f, seen, ok := k.table.session(id, anywhere); ok && f.gone == live && k.usable(&f, seen, now) {
		k.table.touch(id, anywhere, now)
	}
}

// SID is the name of a session for one application: 22 signs, which no other
// application can compare with its own, and which stay when the session is
// raised.
func (k *Keeper) SID(s parvis.Session, app parvis.AppID) string {
	var began [8]byte
	binary.BigEndian.PutUint64(began[:], uint64(s.Began.UnixMicro())) //nolint:gosec // only bits
	mac := k.Keys.MAC("session.sid", []byte(s.Agent), []byte(s.Channel), began[:], []byte(app))
	return base64.RawURLEncoding.EncodeToString(mac[:16])
}

// List gives the sessions of an agent that may be used now, latest first, with
// the browser and the address where each began.
func (k *Keeper) List(ctx context.Context, number parvis.AgentNumber) ([]store.SessionRow, error) {
	k.ready()
	now := k.Clock()
	rows, err := k.Store.SessionsOf(ctx, number, now)
	if err != nil {
		return nil, err
	}
	live := rows[:0]
	for _, row := range rows {
		if f, seen, ok := k.table.session(row.ID, anywhere); ok && f.gone == 0 && seen > row.LastSeen.UnixMicro() {
			row.LastSeen = time.UnixMicro(seen).UTC()
		}
		row.Idle = k.idle(row.Channel, row.LastSeen, row.Ends)
		if now.Before(row.Idle) {
			live = append(live, row)
		}
	}
	return live, nil
}

// idle is when a session ends unless used: never after its end.
func (k *Keeper) idle(c parvis.Channel, seen, ends time.Time) time.Time {
	if at := seen.Add(k.limit(c).Idle); at.Before(ends) {
		return at
	}
	return ends
}

// name writes an identifier for a record. It is a digest, not the secret.
func name(id parvis.SessionID) string { return hex.EncodeToString(id[:]) }

func named(s string) (id parvis.SessionID, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	copy(id[:], b)
	return id, true
}

func kinds(proofs []parvis.Proof) string {
	words := make([]string, len(proofs))
	for i, p := range proofs {
		words[i] = string(p.Kind)
	}
	return strings.Join(words, ",")
}
