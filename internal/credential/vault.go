// Package credential holds everything that proves an agent, and how often one
// may try.
//
// It promises:
//   - a password is kept as an Argon2id hash under a keyed pepper; hashing is
//     bounded in parallel and in memory, and a storm queues, then is refused;
//   - a try is written down as failed before it is examined, so that nothing
//     done in parallel, and no crash, buys a free one;
//   - separate budgets of tries: one for each device proven for an account;
//     one from known networks and one from elsewhere for each identifier. A
//     stranger cannot use up the others, and every wait ends by itself;
//   - an identifier that nobody has meets the same waits, the same work and
//     the same verdicts as one that somebody has, and nothing tells that a
//     number and an address are of one agent: outside their own devices an
//     agent has two ladders and two rows of a hundred, one for each;
//   - a password is judged by how many guesses it would take, without rules
//     of composition and without asking anybody else;
//   - a second proof is sealed at rest, and a code of one is good once: it is
//     compared, charged and used up in one transaction. Tries are counted for
//     each agent and kind, whatever is sent again; a stolen password buys none.
//
// It refuses to know pages, cookies, sessions and messages: a [Verdict] says
// what happened, others say it to people. A try that the pool, the store or the
// caller's patience stopped is never taken for a right one.
//
// Life cycle of a try: [Vault.Check] places it in a budget, queues, charges
// it, hashes; when the password was right, [Vault.Succeed] gives the charge
// back in the transaction that lets the agent in. A code is tried in the
// caller's transaction ([Vault.TryCode]); a passkey is verified before it
// ([Vault.CheckPasskey]) and used up in it ([Vault.AcceptPasskey]).
package credential

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// Vault checks and keeps passwords and second proofs. Its exported fields are set before the
// first call and never after; its methods may be called by many goroutines.
type Vault struct {
	Store *store.Store
	Keys  *seal.Keys
	Clock func() time.Time
	Words []string // names that are no secret here: the organisation, its abbreviation

	Memory  int64 // bytes that hashing may take, collector included; 0 for 1 GiB, and never more workers than processors
	Waiting int   // tries that may wait, in each of two lanes; 0 for 256

	Attestation Attestation // which passkeys are believed to be hardware

	SMSPerHour int // messages with a code that the whole city may be sent in an hour; 0 for 1,000

	once    sync.Once
	boxed   sync.Once
	sealing boxes
	pool    *pool
	guard   guard
	memory  uint32 // KiB of each hash; only tests make it less
	passes  atomic.Uint32
	costs   atomic.Pointer[costs]
}

// Try is one password typed for one identifier.
type Try struct {
	Typed    string        // the identifier as typed
	Agent    *parvis.Agent // whom it names; nil when nobody
	Password seal.Secret
	Origin   parvis.Origin
	Device   string // the value of the device cookie, or empty
}

// Verdict is what came of a try. Wait, Left, Next, Limited and Busy do not
// depend on whether anybody has the identifier, and may be shown; Disabled,
// LockedNow and Device may not.
type Verdict struct {
	OK         bool              // the password is right; call [Vault.Succeed]
	Wait       time.Time         // tries are refused until then, right ones too; zero when they are not
	Left       int               // failures left before a wait; 0: not to be said
	Next       time.Duration     // how long that wait would be, or when to come back after Limited or Busy
	Limited    bool              // too many tries from this address, or one password on many accounts; nothing was hashed or charged
	Busy       bool              // the queue is full; nothing was hashed or charged
	Disabled   bool              // a hundred failures in a row: the password is not accepted from this class of origins until it changes
	LockedNow  bool              // this try began the first wait of an episode, or disabled the password: tell the owner
	Proven     bool              // it came from a device proven for this account
	Device     parvis.DeviceID   // that device
	MustChange parvis.ReasonCode // when OK: why the password must be changed first; empty when it need not

	phc    string
	rehash Hashed
	budget [32]byte
	try    string
}

// Hashed is a password ready to be kept. Only this package makes one.
type Hashed struct {
	phc    string
	passes uint32
}

// The classes of origins, each with its own budget.
const (
	proven    = "proven"
	known     = "known"
	elsewhere = "elsewhere"
)

// place is where a try stands.
type place struct {
	account [32]byte // keyed hash of the identifier as typed, in its canonical form
	number  parvis.AgentNumber
	class   string
	device  parvis.DeviceID
	budget  [32]byte // keyed hash of the identifier and the class; of the agent and the device when it is proven
	secret  [32]byte // the peppered password
	mark    mark
}

func (p place) lane() lane {
	if p.class == elsewhere {
		return strangers
	}
	return trusted
}

// targetCost is what one hash should take at least: a bulwark for whoever
// steals the database, and thirty sign-ins a second on two cores.
const targetCost = 60 * time.Millisecond

func (v *Vault) begin() {
	v.once.Do(func() {
		memory, waiting := v.Memory, v.Waiting
		if memory <= 0 {
			memory = 1 << 30
		}
		if waiting <= 0 {
			waiting = 256
		}
		// Each worker has one block in use and, until the collector comes, one
		// that is not.
		workers := min(runtime.GOMAXPROCS(0), int(memory/(2*hashBytes)))
		v.pool = newPool(max(1, workers), waiting)
		v.passes.CompareAndSwap(0, minPasses)
		if v.memory == 0 {
			v.memory = memoryKiB
		}
	})
}

// cost is that of a hash made now.
func (v *Vault) cost() cost { return cost{v.memory, v.passes.Load()} }

// Calibrate measures this machine and sets what new hashes cost: as many
// passes as fit in about 60 ms, one at least. Run it beside the start, not in its
// way; until it ends the cost is the least allowed.
func (v *Vault) Calibrate(ctx context.Context) error {
	v.begin()
	const op = "credential.Calibrate"
	if err := v.pool.enter(ctx, trusted); err != nil {
		return unavailable(op, err)
	}
	defer v.pool.leave()
	best := time.Duration(math.MaxInt64)
	for range 3 {
		v.pool.run(func() {
			began := time.Now()
			newPHC([32]byte{}, cost{v.memory, minPasses})
			best = min(best, time.Since(began))
		})
		if err := ctx.Err(); err != nil {
			return unavailable(op, err)
		}
	}
	v.passes.Store(uint32(min(max(targetCost/max(best, time.Microsecond), minPasses), maxPasses)))
	debug.FreeOSMemory() // an idle server need not keep the blocks
	return nil
}

// Check examines a try. The error is for what could not be examined at all (the
// store is down, the caller went away); everything else is a verdict, and a
// zero one is a plain failure.
func (v *Vault) Check(ctx context.Context, t Try) (Verdict, error) {
	v.begin()
	const op = "credential.Check"
	p, err := v.find(ctx, t)
	if err != nil {
		return Verdict{}, err
	}
	if b, err := v.Store.Budget(ctx, p.budget); err != nil {
		return Verdict{}, err
	} else if !waits(b, v.Clock()).IsZero() {
		return v.refuse(ctx, t, p)
	}
	if p.class == elsewhere {
		later, err := v.admit(ctx, t, p)
		if err != nil {
			return Verdict{}, err
		}
		if !later.IsZero() {
			return Verdict{Limited: true, Next: later.Sub(v.Clock())}, nil
		}
	}
	passes, err := v.dummyPasses(ctx, p.account)
	if err != nil {
		return Verdict{}, err
	}
	if err := v.pool.enter(ctx, p.lane()); err != nil {
		if p.class == elsewhere {
			v.guard.forgive(t.Origin.Address, v.Clock())
		}
		if errors.Is(err, errBusy) {
			return Verdict{Busy: true, Next: v.pool.retry()}, nil
		}
		return Verdict{}, unavailable(op, err)
	}
	defer v.pool.leave()
	return v.examine(ctx, t, p, passes)
}

// examine has its turn: charge, then hash.
func (v *Vault) examine(ctx context.Context, t Try, p place, passes uint32) (Verdict, error) {
	b, counted, try, err := v.charge(ctx, t, p)
	if err != nil {
		return Verdict{}, err
	}
	if try == "" { // another try began a wait meanwhile
		return v.refuse(ctx, t, p)
	}
	stored, err := v.Store.Password(ctx, p.number)
	exists := err == nil
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return Verdict{}, err
	}
	h := dummy(cost{v.memory, passes})
	if exists {
		if h, err = parsePHC(stored.PHC); err != nil {
			return Verdict{}, err
		}
	}
	verdict := Verdict{Proven: p.class == proven, Device: p.device, Disabled: b.Disabled, budget: p.budget, try: try}
	right := false
	v.pool.run(func() {
		right = h.holds(p.secret)
	})
	if right = right && exists && !b.Disabled; right {
		if now := v.cost(); h.weaker(now) {
			v.pool.run(func() { h = newPHC(p.secret, now) })
			verdict.rehash = Hashed{phc: h.String(), passes: now.passes}
		}
		if p.class == elsewhere {
			v.guard.forgive(t.Origin.Address, v.Clock())
		}
		verdict.OK, verdict.phc = true, stored.PHC
		verdict.MustChange = mustChange(stored, v.Clock())
		return verdict, nil
	}
	verdict.Wait = waits(b, v.Clock())
	if verdict.Wait.IsZero() {
		verdict.Left, verdict.Next = left(b)
	}
	verdict.LockedNow = counted && b.Failures == freeTries+1
	if counted && b.InARow == inARow {
		verdict.Disabled, verdict.LockedNow = true, true
		if err := v.disable(ctx, t, p); err != nil {
			return Verdict{}, err
		}
	}
	return verdict, nil
}

func mustChange(p store.Password, now time.Time) parvis.ReasonCode {
	switch {
	case p.Leaked:
		return parvis.WhyPasswordCompromised
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return parvis.WhyPasswordExpired
	}
	return ""
}

// charge writes the try down as failed. It answers an empty name of the try
// when the budget is waiting: then nothing was charged.
func (v *Vault) charge(ctx context.Context, t Try, p place) (b store.Budget, counted bool, try string, err error) {
	secret, _ := seal.Token()
	err = v.Store.Write(ctx, func(tx *store.Tx) error {
		var err error
		try, counted = "", false
		if b, err = tx.Budget(ctx, p.budget); err != nil || !waits(b, tx.Now()).IsZero() {
			return err
		}
		try = secret[:12]
		if b.Agent != p.number {
			// The identifier has changed hands: what its last holder, or nobody,
			// failed in a row disables nothing for the next. The ladder, which
			// anybody can see, stays.
			b.InARow, b.Disabled = 0, false
		}
		b.Agent, b.Class = p.number, p.class
		b.Disabled = b.Disabled || b.InARow >= inARow
		b, counted = charge(b, p.mark, tx.Now())
		if err := tx.PutBudget(ctx, b); err != nil {
			return err
		}
		e := v.event("sign_in.failed", t, p)
		e.Detail["try"] = try
		if !counted {
			e.Detail["again"] = "true"
		}
		if end := waits(b, tx.Now()); !end.IsZero() {
			e.Detail["wait_until"] = end.Format(time.RFC3339)
		}
		tx.Record(e)
		return nil
	})
	return b, counted, try, err
}

// disable ends what a class of origins may do with the password: for a device,
// by forgetting that it was proven; for the others until the password
// changes. NIST SP 800-63B-4 3.2.2.
func (v *Vault) disable(ctx context.Context, t Try, p place) error {
	return v.Store.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		b, err := tx.Budget(ctx, p.budget)
		if err != nil || b.Disabled {
			return err
		}
		b.Disabled = true
		if err := tx.PutBudget(ctx, b); err != nil {
			return err
		}
		if p.class == proven {
			if _, err := tx.DropProvenDevices(ctx, p.number, p.device, 0); err != nil {
				return err
			}
		}
		tx.Record(v.event("account.locked", t, p))
		return nil
	})
}

// refuse answers a try during a wait. Nothing is hashed and the wait grows no
// longer; the first such try of each wait is recorded.
func (v *Vault) refuse(ctx context.Context, t Try, p place) (Verdict, error) {
	var end time.Time
	note := func(b store.Budget, now time.Time) bool {
		end = waits(b, now)
		return !end.IsZero() && !b.Noted.Equal(end)
	}
	b, err := v.Store.Budget(ctx, p.budget)
	if err == nil && note(b, v.Clock()) {
		err = v.Store.Write(ctx, func(tx *store.Tx) error {
			b, err := tx.Budget(ctx, p.budget)
			if err != nil || !note(b, tx.Now()) {
				return err
			}
			b.Noted = end
			tx.Record(v.event("sign_in.waited", t, p))
			return tx.PutBudget(ctx, b)
		})
	}
	return Verdict{Wait: end, Proven: p.class == proven, Device: p.device, Disabled: b.Disabled}, err
}

// admit asks the guard against strangers who go from account to account.
func (v *Vault) admit(ctx context.Context, t Try, p place) (time.Time, error) {
	all := v.Keys.MAC("sprayed", p.secret[:])
	later, found := v.guard.admit(t.Origin.Address, mark(all[:markSize]), p.account, v.Clock())
	if !found {
		return later, nil
	}
	return later, v.Store.Write(ctx, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "sign_in.sprayed", Actor: "system", Channel: t.Origin.Channel, Address: t.Origin.Address})
		return nil
	})
}

// Succeed gives back the charge of a right try: call it in the transaction that
// acts on it, soon after [Vault.Check]. The failures of this budget are forgotten,
// the row of failures ends for the whole account, and a hash that has become weak is
// replaced. [parvis.CodeConflict] when the password changed since.
func (v *Vault) Succeed(ctx context.Context, tx *store.Tx, t Try, verdict Verdict) error {
	const op = "credential.Succeed"
	if !verdict.OK || t.Agent == nil || verdict.phc == "" {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("the try did not succeed")}
	}
	number := t.Agent.Number
	p, err := tx.Password(ctx, number)
	if err != nil || p.PHC != verdict.phc {
		return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.Join(errors.New("the password changed meanwhile"), err)}
	}
	if err := tx.ClearBudget(ctx, verdict.budget, number); err != nil {
		return err
	}
	if verdict.rehash.phc != "" {
		p.PHC, p.Passes = verdict.rehash.phc, verdict.rehash.passes
		if err := tx.PutPassword(ctx, p); err != nil {
			return err
		}
	}
	if verdict.Device != "" {
		if err := tx.SeeDevice(ctx, verdict.Device); err != nil {
			return err
		}
	}
	tx.Record(parvis.Event{
		Kind: "sign_in.ok", Agent: number, Actor: string(number), Channel: t.Origin.Channel, Address: t.Origin.Address,
		Detail: map[string]string{"try": verdict.try},
	})
	return nil
}

// event is about the account, but nobody has shown yet who acts. What was
// typed is not kept: people type passwords there too.
func (v *Vault) event(kind string, t Try, p place) parvis.Event {
	e := parvis.Event{
		Kind: kind, Agent: p.number, Actor: "system", Channel: t.Origin.Channel, Address: t.Origin.Address,
		Detail: map[string]string{"class": p.class},
	}
	if p.number == "" {
		e.Detail["identifier"] = hex.EncodeToString(p.account[:6])
	}
	return e
}

// find places a try. The same questions are asked for an identifier that
// nobody has, and the identifier as typed is all that counts towards what a
// stranger can see (product rule 5): were the agent counted, the number and the
// address of one would wait together, and those of nobody would not.
func (v *Vault) find(ctx context.Context, t Try) (place, error) {
	p := place{class: elsewhere, secret: v.pepper(t.Password)}
	identifier := []byte(Canonical(t.Typed))
	if t.Agent != nil {
		p.number = t.Agent.Number
	}
	if t.Origin.Ours() {
		p.class = known
	}
	for secret := range strings.SplitSeq(t.Device, deviceSep) {
		if secret == "" || len(t.Device) > maxDevices*64 {
			continue
		}
		device, err := v.Store.ProvenDevice(ctx, p.number, seal.Hash(secret))
		if err != nil {
			return place{}, err
		}
		if device != "" && t.Agent != nil {
			p.class, p.device = proven, device
		}
	}
	p.account = v.Keys.MAC("identifier", identifier)
	p.budget = v.Keys.MAC("budget", identifier, []byte(p.class))
	if p.class == proven {
		p.budget = v.Keys.MAC("budget of a device", []byte(p.number), []byte(p.device))
	}
	m := v.Keys.MAC("wrong password", p.budget[:], p.secret[:])
	p.mark = mark(m[:markSize])
	return p, nil
}

// longestTyped bounds the work on what was typed, in bytes. No password that
// was accepted is longer.
const longestTyped = 4096

// pepper keys a password before it is hashed: whoever has the database alone
// cannot even begin to guess. NFKC makes what two keyboards type one password
// (NIST SP 800-63B-4 3.1.1.2).
func (v *Vault) pepper(password seal.Secret) [32]byte {
	typed := password.Reveal()
	if len(typed) > longestTyped {
		return v.Keys.MAC("pepper", []byte("too long"), []byte(typed))
	}
	return v.Keys.MAC("pepper", []byte(norm.NFKC.String(typed)))
}

// Canonical makes one identifier of what people type for the same one. It folds
// at least what the directory folds to find somebody, and an address has no
// tag: whatever could be varied without end would give tries without end. It is
// for counting and comparing; nothing is ever sent to it.
func Canonical(typed string) string {
	typed = strings.Join(strings.Fields(typed), "")
	if len(typed) > 512 { // longer than any number, and any address (RFC 5321 §4.5.3.1)
		typed = typed[:512]
	}
	// What the directory compares comes first, so that the rest is a function of it.
	typed = norm.NFKC.String(strings.ToLower(norm.NFC.String(typed)))
	typed = norm.NFKC.String(strings.ToLower(typed))
	if n, ok := parvis.ParseAgentNumber(typed); ok {
		return string(n)
	}
	if box, domain, ok := strings.Cut(typed, "@"); ok {
		box, _, _ = strings.Cut(box, "+")
		typed = box + "@" + domain
	}
	return typed
}

// costs is how many stored passwords have how many passes, as of a moment.
type costs struct {
	at     time.Time
	passes []uint32
	upTo   []int // running totals
}

// dummyPasses chooses what a try on nobody costs: distributed over identifiers
// as the stored passwords are over agents, and always the same for the same
// identifier, so that cost tells nothing while hashes of several ages live side by side.
func (v *Vault) dummyPasses(ctx context.Context, account [32]byte) (uint32, error) {
	c := v.costs.Load()
	if now := v.Clock(); c == nil || now.Sub(c.at).Abs() > 10*time.Minute {
		counts, err := v.Store.PasswordCosts(ctx)
		if err != nil {
			return 0, err
		}
		c = &costs{at: now}
		for passes := range counts {
			if passes >= minPasses && passes <= maxPasses {
				c.passes = append(c.passes, passes)
			}
		}
		slices.Sort(c.passes)
		sum := 0
		for _, passes := range c.passes {
			sum += counts[passes]
			c.upTo = append(c.upTo, sum)
		}
		v.costs.Store(c)
	}
	if len(c.upTo) == 0 {
		return v.passes.Load(), nil
	}
	place := (int(account[2])<<16 | int(account[3])<<8 | int(account[4])) * c.upTo[len(c.upTo)-1] >> 24
	for i, upTo := range c.upTo {
		if place < upTo {
			return c.passes[i], nil
		}
	}
	return c.passes[len(c.passes)-1], nil
}

func unavailable(op string, err error) error {
	return &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: err}
}
