package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// Hash prepares a password to be kept, at today's cost. [parvis.CodeUnavailable]
// when the queue is full or ctx ended. Never call it inside a transaction.
func (v *Vault) Hash(ctx context.Context, password seal.Secret) (Hashed, error) {
	v.begin()
	const op = "credential.Hash"
	if n := length(password.Reveal()); n == 0 || n > maxLength {
		return Hashed{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("the length of the password")}
	}
	if err := v.pool.enter(ctx, trusted); err != nil {
		return Hashed{}, unavailable(op, err)
	}
	defer v.pool.leave()
	secret, c := v.pepper(password), v.cost()
	var h Hashed
	v.pool.run(func() { h = Hashed{phc: newPHC(secret, c).String(), passes: c.passes} })
	return h, nil
}

// Reused tells whether a password is the one the agent has: then it must not be
// the new one (reason password_rule_reused). It hashes; never call it inside a
// transaction.
func (v *Vault) Reused(ctx context.Context, number parvis.AgentNumber, password seal.Secret) (bool, error) {
	v.begin()
	const op = "credential.Reused"
	p, err := v.Store.Password(ctx, number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h, err := parsePHC(p.PHC)
	if err != nil {
		return false, err
	}
	if err := v.pool.enter(ctx, trusted); err != nil {
		return false, unavailable(op, err)
	}
	defer v.pool.leave()
	same := false
	v.pool.run(func() { same = h.holds(v.pepper(password)) })
	return same, nil
}

// SetPassword keeps a new password and forgets every failure of the agent. It
// expires after so many days of 24 hours, never when days is 0.
func (v *Vault) SetPassword(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, h Hashed, days int) error {
	if number == "" || h.phc == "" || days < 0 {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "credential.SetPassword", Err: errors.New("no agent, no hash or no term")}
	}
	p := store.Password{Agent: number, PHC: h.phc, Passes: h.passes, Since: tx.Now()}
	e := parvis.Event{Kind: "password.changed", Agent: number, Actor: string(number)}
	if days > 0 {
		p.Expires = tx.Now().Add(time.Duration(days) * 24 * time.Hour)
		e.Detail = map[string]string{"expires": p.Expires.Format(time.RFC3339)}
	}
	if err := tx.PutPassword(ctx, p); err != nil {
		return err
	}
	tx.Record(e)
	return tx.ClearBudgets(ctx, number)
}

// Forget takes away an agent's password, every failure counted and every
// browser that was proven: only an activation code lets them in again.
func (v *Vault) Forget(ctx context.Context, tx *store.Tx, number parvis.AgentNumber) error {
	tx.Record(parvis.Event{Kind: "password.forgotten", Agent: number, Actor: "system"})
	if err := tx.DropPassword(ctx, number); err != nil {
		return err
	}
	if err := tx.ClearBudgets(ctx, number); err != nil {
		return err
	}
	_, err := tx.DropProvenDevices(ctx, number, "", 0)
	return err
}

const (
	maxProven  = 10 // browsers that one agent may have proven; the one unused for longest goes
	maxDevices = 5  // agents who may have proven the same browser
	deviceSep  = "."
)

// Prove remembers a browser as proven for an agent, under a name that the agent
// will know again. The secret goes into the device cookie through [Remember]; it
// is kept only as a hash, and gives nothing to any other account. Call it when
// the agent has just shown who they are.
func (v *Vault) Prove(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, name string) (seal.Secret, parvis.Device, error) {
	secret, hash := seal.Token()
	if r := []rune(strings.ToValidUTF8(name, "")); len(r) > 80 {
		name = string(r[:80])
	}
	d := parvis.Device{
		ID: parvis.DeviceID(strings.ToLower(rand.Text()[:16])), Agent: number, Name: name,
		FirstSeen: tx.Now(), LastSeen: tx.Now(),
	}
	if err := tx.PutDevice(ctx, d, &hash); err != nil {
		return "", parvis.Device{}, err
	}
	if _, err := tx.DropProvenDevices(ctx, number, "", maxProven); err != nil {
		return "", parvis.Device{}, err
	}
	tx.Record(parvis.Event{Kind: "device.proven", Agent: number, Actor: string(number), Detail: map[string]string{"device": string(d.ID)}})
	return seal.Secret(secret), d, nil
}

// Remember puts a device secret into the value of the device cookie, which may
// hold those of a few agents who share the browser; the newest comes first.
func Remember(cookie string, secret seal.Secret) string {
	all := []string{secret.Reveal()}
	for s := range strings.SplitSeq(cookie, deviceSep) {
		if len(s) == len(all[0]) && !slices.Contains(all, s) && len(all) < maxDevices {
			all = append(all, s)
		}
	}
	return strings.Join(all, deviceSep)
}

// Distrust forgets what the browsers of an agent proved: one of them, or all
// when id is empty. For a recovery, a loss, or "sign out everywhere". It answers how
// many were concerned, and records when any were.
func (v *Vault) Distrust(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, id parvis.DeviceID, actor string) (int, error) {
	n, err := tx.DropProvenDevices(ctx, number, id, 0)
	if err != nil || n == 0 {
		return 0, err
	}
	tx.Record(parvis.Event{
		Kind: "device.distrusted", Agent: number, Actor: actor,
		Detail: map[string]string{"device": string(id), "count": strconv.Itoa(n)},
	})
	return n, nil
}

const maxPhantoms = 100_000

// Sweep forgets tries on identifiers that nobody has, once they make no
// difference any more: their episode is over. Run it now and then; it answers how
// many rows went, a few thousand at most, and records when any did.
func (v *Vault) Sweep(ctx context.Context, tx *store.Tx) (int, error) {
	n, err := tx.SweepBudgets(ctx, tx.Now().Add(-episode-longest), maxPhantoms)
	if err != nil || n == 0 {
		return 0, err
	}
	tx.Record(parvis.Event{Kind: "budget.swept", Actor: "system", Detail: map[string]string{"count": strconv.Itoa(n)}})
	return n, nil
}
