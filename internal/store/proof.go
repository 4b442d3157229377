package store

import (
	"context"
	"errors"
	"time"

	"parvis"
)

// HeldRow is a second proof as it is kept. Secret and Public are sealed by
// their owner.
type HeldRow struct {
	parvis.Held
	Secret     []byte
	Public     []byte   // of a passkey: its public key and flags
	Credential [32]byte // of a passkey: the SHA-256 of its credential id; zero otherwise
	Step       int64    // of an authenticator: the step used last
	Counter    uint32   // of a passkey: its signature counter
}

const heldColumns = `SELECT h.id, h.agent, h.kind, h.name, h.site, h.hint, h.hardware, h.synced, h.credential, h.secret, h.public,
	h.since, h.last_used, h.last_step, h.counter,
	(SELECT count(*) FROM recovery_code c WHERE c.agent = h.agent AND c.batch = h.id AND c.used_at = 0) FROM held_proof h`

func scanHeld(scan func(...any) error) (HeldRow, error) {
	var h HeldRow
	var credential []byte
	var since, used int64
	err := scan(&h.ID, &h.Agent, &h.Kind, &h.Name, &h.Site, &h.Hint, &h.Hardware, &h.Synced, &credential, &h.Secret, &h.Public,
		&since, &used, &h.Step, &h.Counter, &h.Left)
	copy(h.Credential[:], credential)
	h.Since, h.LastUsed = timeOf(since), timeOf(used)
	return h, err
}

// Held lists the second proofs of an agent, oldest first. A sheet of recovery
// codes is one of them, also when none is left of it.
func (r reader) Held(ctx context.Context, number parvis.AgentNumber) ([]HeldRow, error) {
	return many(ctx, r, "store.Held", scanHeld, heldColumns+` WHERE h.agent = $1 ORDER BY h.since, h.id`, number)
}

// HeldByID reads one second proof, whosever it is; [parvis.CodeNotFound] for none.
func (r reader) HeldByID(ctx context.Context, id string) (HeldRow, error) {
	return one(ctx, r, "store.HeldByID", scanHeld, heldColumns+` WHERE h.id = $1`, id)
}

// HeldByCredential reads the passkey whose credential id has this SHA-256;
// [parvis.CodeNotFound] for none.
func (r reader) HeldByCredential(ctx context.Context, hash [32]byte) (HeldRow, error) {
	return one(ctx, r, "store.HeldByCredential", scanHeld, heldColumns+` WHERE h.credential = $1`, hash[:])
}

// PutHeld keeps a second proof, new or known; what only use changes
// ([Tx.UseHeld]) stays as it is in one that is known. [parvis.CodeConflict]
// when the identifier is somebody else's, or the passkey is kept already.
func (tx *Tx) PutHeld(ctx context.Context, h HeldRow) error {
	const op = "store.PutHeld"
	if h.ID == "" || h.Agent == "" || h.Kind == "" {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("a proof without a name, an owner or a kind")}
	}
	conflict := &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the identifier or the passkey is taken")}
	var credential []byte
	if h.Credential != ([32]byte{}) {
		credential = h.Credential[:]
		known, err := tx.HeldByCredential(ctx, h.Credential)
		switch {
		case err == nil && known.ID != h.ID:
			return conflict
		case err != nil && parvis.CodeOf(err) != parvis.CodeNotFound:
			return err
		}
	}
	n, err := tx.exec(ctx, `INSERT INTO held_proof (id, agent, kind, name, site, hint, hardware, synced, credential, secret, public,
			since, last_used, last_step, counter) VALUES `+places(1, 15)+`
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, site = excluded.site, hint = excluded.hint, hardware = excluded.hardware,
			synced = excluded.synced, credential = excluded.credential, secret = excluded.secret, public = excluded.public
		WHERE held_proof.agent = excluded.agent AND held_proof.kind = excluded.kind`,
		h.ID, h.Agent, h.Kind, h.Name, h.Site, h.Hint, h.Hardware, h.Synced, credential, h.Secret, h.Public,
		micros(h.Since), micros(h.LastUsed), h.Step, int64(h.Counter))
	if err == nil && n == 0 {
		return conflict
	}
	return err
}

// UseHeld keeps that a proof was used now, and answers false, changing
// nothing, when it may not have been: the step of an authenticator is not
// later than the one used last (RFC 6238 §5.2), or the counter of a passkey
// did not grow (WebAuthn §6.1.1; 0 after 0 is a passkey that does not count).
// Of any number of uses of one step at once, one is told true. Kinds without
// steps pass 0, which leaves the step; kinds without a counter pass 0.
func (tx *Tx) UseHeld(ctx context.Context, id string, step int64, counter uint32) (bool, error) {
	query := `UPDATE held_proof SET last_used = $1, counter = $2 WHERE id = $3 AND counter < $2`
	args := []any{micros(tx.now), int64(counter), id}
	switch {
	case step != 0:
		query = `UPDATE held_proof SET last_used = $1, counter = $2, last_step = $4 WHERE id = $3 AND counter = $2 AND last_step < $4`
		args = append(args, step)
	case counter == 0:
		query = `UPDATE held_proof SET last_used = $1, counter = $2 WHERE id = $3 AND counter = $2`
	}
	n, err := tx.exec(ctx, query, args...)
	return n == 1, err
}

// RenameHeld gives a proof of an agent another name; [parvis.CodeNotFound]
// when it is not theirs.
func (tx *Tx) RenameHeld(ctx context.Context, number parvis.AgentNumber, id, name string) error {
	n, err := tx.exec(ctx, `UPDATE held_proof SET name = $1 WHERE agent = $2 AND id = $3`, name, number, id)
	if err == nil && n == 0 {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "store.RenameHeld"}
	}
	return err
}

// DropHeld takes a proof of an agent away with its secret, and with the codes
// when it is a sheet of them, and tells whether it was theirs. No browser of
// the agent is remembered any more.
func (tx *Tx) DropHeld(ctx context.Context, number parvis.AgentNumber, id string) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM held_proof WHERE agent = $1 AND id = $2`, number, id)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE agent = $1 AND batch = $2`, number, id); err != nil {
		return false, err
	}
	return true, tx.ForgetRemembered(ctx, number)
}

// PutRecoveryCodes gives an agent a new sheet of codes, by their keyed hashes,
// in place of every sheet before it. The sheet is a held proof whose identifier
// is batch; it is kept here, unless that was done. No hashes: no sheet.
func (tx *Tx) PutRecoveryCodes(ctx context.Context, number parvis.AgentNumber, batch string, hashes [][32]byte) error {
	if _, err := tx.exec(ctx, `DELETE FROM recovery_code WHERE agent = $1`, number); err != nil {
		return err
	}
	if len(hashes) == 0 {
		batch = ""
	}
	_, err := tx.exec(ctx, `DELETE FROM held_proof WHERE agent = $1 AND kind = $2 AND id <> $3`, number, parvis.RecoveryCode, batch)
	if err != nil || len(hashes) == 0 {
		return err
	}
	switch known, err := tx.HeldByID(ctx, batch); {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		sheet := HeldRow{Held: parvis.Held{ID: batch, Agent: number, Kind: parvis.RecoveryCode, Since: tx.now}}
		if err := tx.PutHeld(ctx, sheet); err != nil {
			return err
		}
	case err != nil:
		return err
	case known.Agent != number || known.Kind != parvis.RecoveryCode:
		return &parvis.Error{Code: parvis.CodeConflict, Op: "store.PutRecoveryCodes", Err: errors.New("the identifier is that of another proof")}
	}
	for i := range hashes {
		if _, err := tx.exec(ctx, `INSERT INTO recovery_code (hash, agent, batch) VALUES ($1, $2, $3)`, hashes[i][:], number, batch); err != nil {
			return err
		}
	}
	return nil
}

// UseRecoveryCode uses a code of an agent, and tells whether there was one:
// of any number of uses at once, one is told true.
func (tx *Tx) UseRecoveryCode(ctx context.Context, number parvis.AgentNumber, hash [32]byte) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE recovery_code SET used_at = $1 WHERE hash = $2 AND agent = $3 AND used_at = 0`, micros(tx.now), hash[:], number)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.exec(ctx, `UPDATE held_proof SET last_used = $1 WHERE agent = $2 AND kind = $3`, micros(tx.now), number, parvis.RecoveryCode)
	return true, err
}

// RecoveryCodesLeft counts the codes of an agent that were not used.
func (r reader) RecoveryCodesLeft(ctx context.Context, number parvis.AgentNumber) (int, error) {
	return one(ctx, r, "store.RecoveryCodesLeft", func(scan func(...any) error) (n int, err error) {
		err = scan(&n)
		return n, err
	}, `SELECT count(*) FROM recovery_code WHERE agent = $1 AND used_at = 0`, number)
}

// TemporaryCode is what a desk gives to somebody who lost the rest. It is good
// once, before it expires.
type TemporaryCode struct {
	Agent   parvis.AgentNumber
	Hash    [32]byte // keyed hash of the code
	By      string
	Reason  string
	Created time.Time
	Expires time.Time
	Used    time.Time
}

// TemporaryCode reads the latest temporary code of an agent, good or not;
// [parvis.CodeNotFound] for none.
func (r reader) TemporaryCode(ctx context.Context, number parvis.AgentNumber) (TemporaryCode, error) {
	return one(ctx, r, "store.TemporaryCode", func(scan func(...any) error) (TemporaryCode, error) {
		var c TemporaryCode
		var hash []byte
		var created, expires, used int64
		err := scan(&c.Agent, &hash, &c.By, &c.Reason, &created, &expires, &used)
		copy(c.Hash[:], hash)
		c.Created, c.Expires, c.Used = timeOf(created), timeOf(expires), timeOf(used)
		return c, err
	}, `SELECT agent, hash, issued_by, reason, created_at, expires_at, used_at FROM temporary_code WHERE agent = $1`, number)
}

// PutTemporaryCode keeps a temporary code in place of the one before.
func (tx *Tx) PutTemporaryCode(ctx context.Context, c TemporaryCode) error {
	_, err := tx.exec(ctx, `INSERT INTO temporary_code (agent, hash, issued_by, reason, created_at, expires_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, 0)
		ON CONFLICT (agent) DO UPDATE SET hash = excluded.hash, issued_by = excluded.issued_by, reason = excluded.reason,
			created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = 0`,
		c.Agent, c.Hash[:], c.By, c.Reason, micros(c.Created), micros(c.Expires))
	return err
}

// UseTemporaryCode uses the temporary code of an agent, and tells whether it
// was good: of any number of uses at once, one is told true.
func (tx *Tx) UseTemporaryCode(ctx context.Context, number parvis.AgentNumber, hash [32]byte) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE temporary_code SET used_at = $1 WHERE agent = $2 AND hash = $3 AND used_at = 0 AND expires_at > $1`,
		micros(tx.now), number, hash[:])
	return n == 1, err
}

// SentCode is a code that went to a telephone.
type SentCode struct {
	ID      string
	Agent   parvis.AgentNumber
	Purpose string   // prove, enrol
	Browser [32]byte // hash of the cookie of the browser that asked for it
	Target  [32]byte // keyed hash of the number it went to
	Code    []byte   // sealed by its owner
	Created time.Time
	Expires time.Time
	Tries   int
	Sends   int
	Used    time.Time
}

const sentColumns = "id, agent, purpose, browser, target, code, created_at, expires_at, tries, sends, used_at"

func scanSent(scan func(...any) error) (SentCode, error) {
	var c SentCode
	var browser, target []byte
	var created, expires, used int64
	err := scan(&c.ID, &c.Agent, &c.Purpose, &browser, &target, &c.Code, &created, &expires, &c.Tries, &c.Sends, &used)
	copy(c.Browser[:], browser)
	copy(c.Target[:], target)
	c.Created, c.Expires, c.Used = timeOf(created), timeOf(expires), timeOf(used)
	return c, err
}

// SentCode reads a sent code, good or not; [parvis.CodeNotFound] for none.
func (r reader) SentCode(ctx context.Context, id string) (SentCode, error) {
	return one(ctx, r, "store.SentCode", scanSent, "SELECT "+sentColumns+" FROM sent_code WHERE id = $1", id)
}

// SentCodeFor reads the newest code that went to a number of an agent for a
// purpose, asked for by one browser, and is still good; [parvis.CodeNotFound]
// for none.
func (tx *Tx) SentCodeFor(ctx context.Context, number parvis.AgentNumber, purpose string, target, browser [32]byte) (SentCode, error) {
	return one(ctx, tx.reader, "store.SentCodeFor", scanSent, "SELECT "+sentColumns+` FROM sent_code
		WHERE agent = $1 AND purpose = $2 AND target = $3 AND browser = $4 AND used_at = 0 AND expires_at > $5
		ORDER BY created_at DESC, id LIMIT 1`, number, purpose, target[:], browser[:], micros(tx.now))
}

// PutSentCode keeps a sent code, and of one that is known when it was sent
// again: until when it is good and how often it went out, never its tries.
// Those that ended more than a day ago are removed.
func (tx *Tx) PutSentCode(ctx context.Context, c SentCode) error {
	if _, err := tx.exec(ctx, "DELETE FROM sent_code WHERE expires_at < $1", micros(tx.now.Add(-24*time.Hour))); err != nil {
		return err
	}
	_, err := tx.exec(ctx, "INSERT INTO sent_code ("+sentColumns+") VALUES "+places(1, 11)+`
		ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, sends = excluded.sends`,
		c.ID, c.Agent, c.Purpose, c.Browser[:], c.Target[:], c.Code, micros(c.Created), micros(c.Expires), c.Tries, c.Sends, micros(c.Used))
	return err
}

// TrySentCode counts a try and tells how many there were, this one included;
// [parvis.CodeNotFound] for no such code.
func (tx *Tx) TrySentCode(ctx context.Context, id string) (int, error) {
	if _, err := tx.exec(ctx, "UPDATE sent_code SET tries = tries + 1 WHERE id = $1", id); err != nil {
		return 0, err
	}
	c, err := tx.SentCode(ctx, id)
	return c.Tries, err
}

// UseSentCode uses a sent code that is still good. It answers false when it is
// not: of any number of uses at once, one is told true.
func (tx *Tx) UseSentCode(ctx context.Context, id string) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE sent_code SET used_at = $1 WHERE id = $2 AND used_at = 0 AND expires_at > $1", micros(tx.now), id)
	return n == 1, err
}

// RememberDevice keeps that a second proof need not be shown again on a proven
// device until a moment. It tells whether the device is one.
func (tx *Tx) RememberDevice(ctx context.Context, id parvis.DeviceID, p parvis.Proof, until time.Time) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE device SET remembered_kind = $1, remembered_hardware = $2, remembered_at = $3, remembered_until = $4
		WHERE id = $5 AND secret IS NOT NULL`, p.Kind, p.Hardware, micros(p.At), micros(until), id)
	return n == 1, err
}

// Remembered gives the second proof that a proven device of an agent stands
// for, and until when: a moment that may have passed. It answers false when
// there is none.
func (r reader) Remembered(ctx context.Context, number parvis.AgentNumber, id parvis.DeviceID) (p parvis.Proof, until time.Time, ok bool, err error) {
	type remembered struct {
		proof parvis.Proof
		until time.Time
	}
	found, err := many(ctx, r, "store.Remembered", func(scan func(...any) error) (m remembered, err error) {
		var at, until int64
		err = scan(&m.proof.Kind, &m.proof.Hardware, &at, &until)
		m.proof.At, m.until = timeOf(at), timeOf(until)
		return m, err
	}, `SELECT remembered_kind, remembered_hardware, remembered_at, remembered_until FROM device
		WHERE id = $1 AND agent = $2 AND secret IS NOT NULL AND remembered_until <> 0`, id, number)
	if err != nil || len(found) == 0 {
		return parvis.Proof{}, time.Time{}, false, err
	}
	return found[0].proof, found[0].until, true, nil
}

// ForgetRemembered asks the second proof of an agent again on every device.
func (tx *Tx) ForgetRemembered(ctx context.Context, number parvis.AgentNumber) error {
	_, err := tx.exec(ctx, `UPDATE device SET `+forgotten+` WHERE agent = $1 AND remembered_until <> 0`, number)
	return err
}

const forgotten = `remembered_kind = '', remembered_hardware = FALSE, remembered_at = 0, remembered_until = 0`
