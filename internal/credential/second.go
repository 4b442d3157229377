package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// CodeTry is one code that an agent typed as a second proof.
type CodeTry struct {
	Agent   parvis.AgentNumber
	Kind    parvis.ProofKind // totp, sms, recovery_code or temporary_code; empty for whichever fits the length
	Code    seal.Secret      // as typed: blanks, hyphens, full-width digits and small letters are fine
	Sent    string           // the code that was sent ([Sending]), for an SMS
	Browser [32]byte         // the browser that asked for it
	Origin  parvis.Origin
}

// CodeVerdict is what came of a typed code. A zero Reason.At with the reason
// code_try_limit means that no waiting helps: Disabled says so.
type CodeVerdict struct {
	OK       bool
	Proof    parvis.Proof  // what was shown, when OK
	Held     string        // the held proof it belongs to; empty for a temporary code
	Reason   parvis.Reason // why not: code_required, code_length, code_incorrect, code_reused, code_expired, code_try_limit
	Missing  int           // with code_length: signs missing, or too many when below zero
	Drift    time.Duration // how far the clock of the telephone is ahead (below zero: late) when that explains a wrong code
	Left     int           // wrong codes left before a wait, 0 when it need not be said; recovery codes left when OK
	Locked   bool          // this try began the first wait of an episode, or disabled the means: tell the owner
	Disabled bool          // a hundred wrong codes in a row: of no use until another proof, or a desk, clears it
}

// finding is what one means made of a code.
type finding struct {
	ok     bool
	held   string
	left   int
	reason parvis.ReasonCode
	drift  time.Duration
	free   bool // no guess was examined: nothing is charged
	mark   mark // the same guess at the same thing
}

// means is one kind of second proof of one agent, with its own ladder.
type means struct {
	kind    parvis.ProofKind
	budget  store.Budget
	finding finding
}

// TryCode examines a typed code. Comparing, charging and using it up are of one
// transaction, so that of any number of tries at once one wins: the caller
// commits whatever the verdict, since an error would give the guess for free.
// Tries are counted for each agent and kind, whatever the session, the browser or
// the code sent (security.md 2.4, A-15).
func (v *Vault) TryCode(ctx context.Context, tx *store.Tx, t CodeTry) (CodeVerdict, error) {
	const op = "credential.TryCode"
	if t.Agent == "" {
		return CodeVerdict{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("whose code?")}
	}
	code, missing, ok := fitting(t.Kind, t.Code)
	if !ok {
		return unfit(code, missing), nil
	}
	kinds, err := v.kinds(ctx, tx, t, code)
	if err != nil {
		return CodeVerdict{}, err
	}
	var tried, waiting []means
	for _, kind := range kinds {
		m := means{kind: kind}
		if m.budget, err = tx.Budget(ctx, v.meansID(t.Agent, kind)); err != nil {
			return CodeVerdict{}, err
		}
		if m.budget.Disabled || !waits(m.budget, tx.Now()).IsZero() {
			waiting = append(waiting, m)
			continue
		}
		if m.finding, err = v.compare(ctx, tx, t, kind, code); err != nil {
			return CodeVerdict{}, err
		}
		if m.finding.ok {
			return v.accept(ctx, tx, t, m)
		}
		tried = append(tried, m)
	}
	if len(tried) == 0 {
		return v.wait(ctx, tx, t, waiting)
	}
	return v.fail(ctx, tx, t, tried)
}

// compare asks one means.
func (v *Vault) compare(ctx context.Context, tx *store.Tx, t CodeTry, kind parvis.ProofKind, code string) (finding, error) {
	switch kind {
	case parvis.TOTP:
		return v.compareTOTP(ctx, tx, t.Agent, code)
	case parvis.SMS:
		_, f, err := v.compareSent(ctx, tx, t, purposeProve, code)
		return f, err
	case parvis.RecoveryCode:
		return v.compareRecovery(ctx, tx, t.Agent, code)
	case parvis.TemporaryCode:
		return v.compareTemporary(ctx, tx, t.Agent, code)
	}
	return finding{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "credential.TryCode", Err: fmt.Errorf("%q is not typed", kind)}
}

// kinds lists the means that a code may belong to.
func (v *Vault) kinds(ctx context.Context, tx *store.Tx, t CodeTry, code string) ([]parvis.ProofKind, error) {
	switch {
	case t.Kind != "":
		return []parvis.ProofKind{t.Kind}, nil
	case len(code) == recoverySigns:
		return []parvis.ProofKind{parvis.RecoveryCode}, nil
	case len(code) == temporarySigns:
		return []parvis.ProofKind{parvis.TemporaryCode}, nil
	case t.Sent == "":
		return []parvis.ProofKind{parvis.TOTP}, nil
	}
	held, err := ofKind(ctx, tx, t.Agent, parvis.TOTP)
	if err != nil || len(held) == 0 {
		return []parvis.ProofKind{parvis.SMS}, err
	}
	return []parvis.ProofKind{parvis.TOTP, parvis.SMS}, nil
}

// accept ends a right try: the ladder of its means begins again, and what is no
// stronger may be tried again after a hundred failures.
func (v *Vault) accept(ctx context.Context, tx *store.Tx, t CodeTry, m means) (CodeVerdict, error) {
	if err := v.pardon(ctx, tx, t.Agent, m.kind); err != nil {
		return CodeVerdict{}, err
	}
	v.record(tx, "second.ok", t.Agent, string(t.Agent), t.Origin, m.kind, m.finding.held)
	return CodeVerdict{
		OK: true, Proof: parvis.Proof{Kind: m.kind, At: tx.Now()}, Held: m.finding.held, Left: m.finding.left,
	}, nil
}

// pardon forgets the failures of a means that was right, and the row of
// failures of those that are no stronger. Their ladders stay: whoever holds one
// means must not buy tries at another.
func (v *Vault) pardon(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, right parvis.ProofKind) error {
	for _, kind := range []parvis.ProofKind{parvis.TOTP, parvis.SMS, parvis.RecoveryCode, parvis.TemporaryCode} {
		b, err := tx.Budget(ctx, v.meansID(number, kind))
		if err != nil {
			return err
		}
		switch {
		case b.Agent == "": // whole
		case kind == right:
			if err := tx.ClearBudgets(ctx, meansOf(number, kind)); err != nil {
				return err
			}
		case (b.Disabled || b.InARow > 0) && kind.Strength() <= right.Strength():
			b.Disabled, b.InARow = false, 0
			if err := tx.PutBudget(ctx, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// fail charges every means that was asked.
func (v *Vault) fail(ctx context.Context, tx *store.Tx, t CodeTry, tried []means) (CodeVerdict, error) {
	verdict := CodeVerdict{}
	for _, m := range tried {
		if m.finding.drift != 0 {
			verdict.Drift = m.finding.drift
		}
		if rank(m.finding.reason) > rank(verdict.Reason.Code) {
			verdict.Reason = parvis.Reason{Code: m.finding.reason}
		}
		if m.finding.free {
			v.record(tx, "second.failed", t.Agent, "system", t.Origin, m.kind, m.finding.held, m.finding.reason)
			continue
		}
		b, counted := charge(m.budget, m.finding.mark, tx.Now())
		b.Agent, b.Class = meansOf(t.Agent, m.kind), "second"
		b.Disabled = b.InARow >= inARow
		if err := tx.PutBudget(ctx, b); err != nil {
			return CodeVerdict{}, err
		}
		v.record(tx, "second.failed", t.Agent, "system", t.Origin, m.kind, m.finding.held, m.finding.reason)
		if counted && (b.Failures == freeTries+1 || b.Disabled) {
			verdict.Locked = true
			v.record(tx, "second.locked", t.Agent, "system", t.Origin, m.kind, "")
		}
		verdict.Disabled = verdict.Disabled || b.Disabled
		if end := waits(b, tx.Now()); end.After(verdict.Reason.At) {
			verdict.Reason.At = end
		} else if n, _ := left(b); end.IsZero() && n > 0 && (verdict.Left == 0 || n < verdict.Left) {
			verdict.Left = n
		}
	}
	if end := verdict.Reason.At; !end.IsZero() || verdict.Disabled {
		// Said at once: the next code typed would not be looked at.
		verdict.Reason = parvis.Reason{Code: parvis.WhyCodeTryLimit, At: end}
	}
	return verdict, nil
}

// rank orders what is worth saying when several means refused one code.
func rank(why parvis.ReasonCode) int {
	return slices.Index([]parvis.ReasonCode{"", parvis.WhyCodeExpired, parvis.WhyCodeIncorrect, parvis.WhyCodeReused}, why)
}

// wait answers while every means that fits is waiting. Nothing is compared,
// and the wait grows no longer; the first such try of each wait is recorded.
func (v *Vault) wait(ctx context.Context, tx *store.Tx, t CodeTry, waiting []means) (CodeVerdict, error) {
	verdict := CodeVerdict{Reason: parvis.Reason{Code: parvis.WhyCodeTryLimit}, Disabled: true}
	for _, m := range waiting {
		b := m.budget
		end := waits(b, tx.Now())
		if !b.Disabled {
			verdict.Disabled = false
			if verdict.Reason.At.IsZero() || end.Before(verdict.Reason.At) {
				verdict.Reason.At = end
			}
		}
		if !b.Noted.Equal(b.WaitUntil) {
			b.Noted = b.WaitUntil
			v.record(tx, "second.waited", t.Agent, "system", t.Origin, m.kind, "", parvis.WhyCodeTryLimit)
			if err := tx.PutBudget(ctx, b); err != nil {
				return CodeVerdict{}, err
			}
		}
	}
	return verdict, nil
}

// meansOf is the account under which a means is counted. It is no agent number:
// a right password, or a new one, gives no new tries at the second proof, which
// is there for the day when the password is stolen.
func meansOf(number parvis.AgentNumber, kind parvis.ProofKind) parvis.AgentNumber {
	return number + "/" + parvis.AgentNumber(kind)
}

func (v *Vault) meansID(number parvis.AgentNumber, kind parvis.ProofKind) [32]byte {
	return v.Keys.MAC("budget of a second proof", []byte(number), []byte(kind))
}

// record writes what happened to a proof: its kind and its name, never a code.
func (v *Vault) record(
	tx *store.Tx, event string, about parvis.AgentNumber, actor string, from parvis.Origin, kind parvis.ProofKind, held string,
	why ...parvis.ReasonCode,
) {
	e := parvis.Event{
		Kind: event, Agent: about, Actor: actor, Channel: from.Channel, Address: from.Address, Reasons: why,
		Detail: map[string]string{"kind": string(kind)},
	}
	if held != "" {
		e.Detail["held"] = held
	}
	tx.Record(e)
}

// The lengths of codes, in signs, without their hyphens. They tell the kinds apart.
const (
	digits         = 6  // NIST SP 800-63B-4 3.1.3.2, RFC 6238: six digits
	temporarySigns = 10 // 48 bits
	recoverySigns  = 16 // 77 bits; NIST SP 800-63B-4 4.2.1 wants 64
	longestCode    = 96 // bytes of typing that are looked at
)

// normalCode gives what was meant: NFKC, upper case, without blanks, hyphens,
// dots and invisible signs.
func normalCode(typed seal.Secret) string {
	s := typed.Reveal()
	if len(s) > longestCode {
		s = s[:longestCode]
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf, unicode.Cc) {
			return -1
		}
		return unicode.ToUpper(r)
	}, norm.NFKC.String(strings.ToValidUTF8(s, "?")))
}

// fitting normalises a code and tells whether its length is one that the kind
// has, and otherwise how many signs are missing.
func fitting(kind parvis.ProofKind, typed seal.Secret) (code string, missing int, ok bool) {
	code = normalCode(typed)
	n := len([]rune(code))
	figures := strings.Trim(code, "0123456789") == ""
	want := digits
	switch kind {
	case parvis.RecoveryCode:
		want = recoverySigns
	case parvis.TemporaryCode:
		want = temporarySigns
	case "":
		switch {
		case n == temporarySigns || n == recoverySigns:
			want = n
		case figures:
		case n < temporarySigns:
			want = temporarySigns
		default:
			want = recoverySigns
		}
	}
	return code, want - n, n == want && len(code) == n && (want != digits || figures)
}

// unfit is the verdict on what cannot be a code. It costs no try.
func unfit(code string, missing int) CodeVerdict {
	switch {
	case code == "":
		return CodeVerdict{Reason: parvis.Reason{Code: parvis.WhyCodeRequired}}
	case missing == 0:
		return CodeVerdict{Reason: parvis.Reason{Code: parvis.WhyCodeIncorrect}}
	}
	return CodeVerdict{Reason: parvis.Reason{Code: parvis.WhyCodeLength}, Missing: missing}
}

// The most proofs of one kind that one agent holds: each authenticator more is
// one more code that a guess may hit.
var mostHeld = map[parvis.ProofKind]int{parvis.TOTP: 3, parvis.SMS: 3, parvis.Passkey: 10}

// keep stores a new proof, seals its secret, and records it.
func (v *Vault) keep(ctx context.Context, tx *store.Tx, row store.HeldRow, secret, public []byte) (parvis.Held, error) {
	const op = "credential.keep"
	if row.Agent == "" {
		return parvis.Held{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("whose proof?")}
	}
	held, err := ofKind(ctx, tx, row.Agent, row.Kind)
	if err != nil {
		return parvis.Held{}, err
	}
	if most := mostHeld[row.Kind]; most > 0 && len(held) >= most {
		return parvis.Held{}, &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: fmt.Errorf("%d proofs of this kind are held", most)}
	}
	row.ID, row.Name, row.Since = newID(), cleanName(row.Name), tx.Now()
	row.Secret = v.boxes().proofs.Seal(secret, sealedFor(row.Agent, row.ID))
	if public != nil {
		row.Public = v.boxes().proofs.Seal(public, sealedFor(row.Agent, row.ID))
	}
	if err := tx.PutHeld(ctx, row); err != nil {
		return parvis.Held{}, err
	}
	// What a browser was remembered for was said of the proofs as they were.
	if err := tx.ForgetRemembered(ctx, row.Agent); err != nil {
		return parvis.Held{}, err
	}
	v.record(tx, "second.enrolled", row.Agent, string(row.Agent), parvis.Origin{}, row.Kind, row.ID)
	return row.Held, nil
}

// open gives back what keep sealed.
func (v *Vault) open(row store.HeldRow, sealed []byte) ([]byte, error) {
	plain, err := v.boxes().proofs.Open(sealed, sealedFor(row.Agent, row.ID))
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "credential.open", Err: fmt.Errorf("the proof %s: %w", row.ID, err)}
	}
	return plain, nil
}

func sealedFor(number parvis.AgentNumber, id string) string { return string(number) + "/" + id }

func newID() string { return strings.ToLower(rand.Text()[:16]) }

// cleanName is a name given by an agent to a proof: one line, 60 signs.
func cleanName(name string) string {
	name = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(name, ""), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf)
	}), " ")
	if r := []rune(name); len(r) > 60 {
		name = strings.TrimSpace(string(r[:60]))
	}
	return name
}

type heldReader interface {
	Held(ctx context.Context, number parvis.AgentNumber) ([]store.HeldRow, error)
}

func ofKind(ctx context.Context, r heldReader, number parvis.AgentNumber, kind parvis.ProofKind) ([]store.HeldRow, error) {
	rows, err := r.Held(ctx, number)
	return slices.DeleteFunc(rows, func(r store.HeldRow) bool { return r.Kind != kind }), err
}

// Holds lists the second proofs of an agent, the last used first: recovery
// codes with how many are left, telephones with a masked number.
func (v *Vault) Holds(ctx context.Context, number parvis.AgentNumber) ([]parvis.Held, error) {
	rows, err := v.Store.Held(ctx, number)
	if err != nil {
		return nil, err
	}
	all := make([]parvis.Held, 0, len(rows))
	for _, row := range rows {
		h := row.Held
		switch h.Kind {
		case parvis.SMS:
			phone, err := v.open(row, row.Secret)
			if err != nil {
				return nil, err
			}
			h.Hint = maskPhone(string(phone))
		case parvis.RecoveryCode:
			if h.Left, err = v.Store.RecoveryCodesLeft(ctx, number); err != nil {
				return nil, err
			}
		}
		all = append(all, h)
	}
	slices.SortStableFunc(all, func(a, b parvis.Held) int {
		if c := b.LastUsed.Compare(a.LastUsed); c != 0 {
			return c
		}
		return a.Since.Compare(b.Since)
	})
	return all, nil
}

// Rename gives a proof another name. [parvis.CodeNotFound] when the agent does
// not hold it.
func (v *Vault) Rename(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, id, name string) error {
	row, err := owned(ctx, tx, number, id)
	if err != nil {
		return err
	}
	if err := tx.RenameHeld(ctx, number, id, cleanName(name)); err != nil {
		return err
	}
	v.record(tx, "second.renamed", number, string(number), parvis.Origin{}, row.Kind, id)
	return nil
}

// Remove takes a proof away and says which. Whether it may go is the caller's
// to know. [parvis.CodeNotFound] when the agent does not hold it.
func (v *Vault) Remove(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, id string) (parvis.Held, error) {
	row, err := owned(ctx, tx, number, id)
	if err != nil {
		return parvis.Held{}, err
	}
	if row.Kind == parvis.RecoveryCode {
		if err := tx.PutRecoveryCodes(ctx, number, "", nil); err != nil {
			return parvis.Held{}, err
		}
	}
	if _, err := tx.DropHeld(ctx, number, id); err != nil {
		return parvis.Held{}, err
	}
	if err := tx.ForgetRemembered(ctx, number); err != nil {
		return parvis.Held{}, err
	}
	v.record(tx, "second.removed", number, string(number), parvis.Origin{}, row.Kind, id)
	return row.Held, nil
}

func owned(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, id string) (store.HeldRow, error) {
	row, err := tx.HeldByID(ctx, id)
	if err == nil && row.Agent != number {
		err = &parvis.Error{Code: parvis.CodeNotFound, Op: "credential.owned", Err: errors.New("a proof of somebody else")}
	}
	return row, err
}

// boxes of the second proofs, made once.
type boxes struct{ proofs, offers, challenges *seal.Box }

func (v *Vault) boxes() *boxes {
	v.boxed.Do(func() {
		v.sealing = boxes{
			proofs: v.Keys.Box("second proof"), offers: v.Keys.Box("offer of a second proof"),
			challenges: v.Keys.Box("challenge of a passkey"),
		}
	})
	return &v.sealing
}
