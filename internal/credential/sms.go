package credential

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// SendCode asks for a code to be sent to a telephone.
type SendCode struct {
	Agent   parvis.AgentNumber
	Purpose string   // "prove", to a telephone that is held; "enrol", to a new one
	Phone   string   // the identifier of the held telephone; to enrol, the number as typed
	Browser [32]byte // the code serves in this browser alone
	Origin  parvis.Origin
	Country string // how a national number is read; "FR" when empty
}

// Sending is a code to be handed to a telephone now. With a Reason nothing is
// to be sent: code_send_limit, until Reason.At.
type Sending struct {
	ID     string
	Code   seal.Secret
	Phone  seal.Secret // E.164
	Hint   string      // what its owner knows the number by
	Until  time.Time   // the code is good until then
	Again  time.Time   // asking for another makes sense from then
	Reason parvis.Reason
}

const (
	purposeProve = "prove"
	purposeEnrol = "enrol"

	sentLasts   = 5 * time.Minute  // product.md section 5
	sentRenewed = time.Minute      // one that is about to end is not sent again
	sentAgain   = 60 * time.Second // domain.md 5.6
	sentTries   = 5
	sendsPerDay = 10
	sendsAtOnce = 3 // in a quarter of an hour
	sendsPerHr  = 1000
)

// sent is what a row of sent_code seals.
type sent struct {
	Code  string `json:"code"`
	Phone string `json:"phone"`
	Held  string `json:"held,omitempty"`
}

// SendCode makes a code for a telephone, or gives the one that this browser was
// already sent while it is good: a message that was late is then right too.
// Sends are counted for the agent, for the number and for the whole city; wrong
// codes are counted elsewhere, and no sending takes any back.
// [parvis.CodeInvalid] for a number that cannot receive a message,
// [parvis.CodeNotFound] for a telephone that is not held.
func (v *Vault) SendCode(ctx context.Context, tx *store.Tx, s SendCode) (Sending, error) {
	const op = "credential.SendCode"
	if s.Agent == "" || s.Purpose != purposeProve && s.Purpose != purposeEnrol {
		return Sending{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("to whom, and what for?")}
	}
	to := sent{}
	if s.Purpose == purposeProve {
		row, err := owned(ctx, tx, s.Agent, s.Phone)
		if err != nil {
			return Sending{}, err
		}
		phone, err := v.open(row, row.Secret)
		if err != nil || row.Kind != parvis.SMS {
			return Sending{}, errors.Join(&parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New("no telephone")}, err)
		}
		to.Phone, to.Held = string(phone), row.ID
	} else {
		phone, ok := ParsePhone(s.Phone, s.Country)
		if !ok {
			return Sending{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("no number of a mobile telephone")}
		}
		to.Phone = phone
	}
	out := Sending{Phone: seal.Secret(to.Phone), Hint: maskPhone(to.Phone), Again: tx.Now().Add(sentAgain)}
	target := v.Keys.MAC("telephone", []byte(to.Phone))
	until, err := v.spendSending(ctx, tx, s.Agent, target)
	if err != nil {
		return Sending{}, err
	}
	if !until.IsZero() {
		out.Reason, out.Phone = parvis.Reason{Code: parvis.WhyCodeSendLimit, At: until}, ""
		v.record(tx, "second.send_refused", s.Agent, "system", s.Origin, parvis.SMS, to.Held, parvis.WhyCodeSendLimit)
		return out, nil
	}
	row, err := tx.SentCodeFor(ctx, s.Agent, s.Purpose, target, s.Browser)
	switch {
	case err == nil && row.Tries < sentTries && row.Expires.Sub(tx.Now()) > sentRenewed:
		if to, err = v.unseal(row); err != nil {
			return Sending{}, err
		}
	case err != nil && parvis.CodeOf(err) != parvis.CodeNotFound:
		return Sending{}, err
	default:
		to.Code = sixDigits()
		row = store.SentCode{
			ID: newID(), Agent: s.Agent, Purpose: s.Purpose, Browser: s.Browser, Target: target,
			Created: tx.Now(), Expires: tx.Now().Add(sentLasts),
		}
		plain, err := json.Marshal(to)
		if err != nil {
			return Sending{}, err
		}
		row.Code = v.boxes().proofs.Seal(plain, sealedFor(row.Agent, row.ID))
	}
	row.Sends++
	if err := tx.PutSentCode(ctx, row); err != nil {
		return Sending{}, err
	}
	v.record(tx, "second.code_sent", s.Agent, "system", s.Origin, parvis.SMS, to.Held)
	out.ID, out.Code, out.Until = row.ID, seal.Secret(to.Code), row.Expires
	return out, nil
}

// spendSending counts one sending, or tells until when none is allowed; then
// none is counted.
func (v *Vault) spendSending(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, target [32]byte) (time.Time, error) {
	inAll := v.SMSPerHour
	if inAll <= 0 {
		inAll = sendsPerHr
	}
	allowances := []struct {
		key [32]byte
		n   int
		in  time.Duration
	}{
		{v.Keys.MAC("sends to an agent", []byte(number)), sendsAtOnce, 15 * time.Minute},
		{v.Keys.MAC("sends to an agent in a day", []byte(number)), sendsPerDay, 24 * time.Hour},
		{v.Keys.MAC("sends to a number", target[:]), sendsAtOnce, 15 * time.Minute},
		{v.Keys.MAC("sends to a number in a day", target[:]), sendsPerDay, 24 * time.Hour},
		{v.Keys.MAC("sends in all"), inAll, time.Hour},
	}
	var until time.Time
	for _, a := range allowances {
		end, err := tx.Spent(ctx, a.key, a.n, a.in)
		if err != nil {
			return time.Time{}, err
		}
		if end.After(tx.Now()) && end.After(until) {
			until = end
		}
	}
	if !until.IsZero() {
		return until, nil
	}
	for _, a := range allowances {
		if _, err := tx.Spend(ctx, a.key, a.n, a.in); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

func (v *Vault) unseal(row store.SentCode) (sent, error) {
	var s sent
	plain, err := v.boxes().proofs.Open(row.Code, sealedFor(row.Agent, row.ID))
	if err == nil {
		err = json.Unmarshal(plain, &s)
	}
	if err != nil {
		return s, &parvis.Error{Code: parvis.CodeInternal, Op: "credential.unseal", Err: fmt.Errorf("the sent code %s: %w", row.ID, err)}
	}
	return s, nil
}

// compareSent compares with the code that went to a telephone. A code that is
// somebody else's, of another browser or of another purpose is no code at all.
func (v *Vault) compareSent(ctx context.Context, tx *store.Tx, t CodeTry, purpose, code string) (sent, finding, error) {
	wrong := finding{reason: parvis.WhyCodeIncorrect, mark: v.guess(t.Agent, code, t.Sent)}
	row, err := tx.SentCode(ctx, t.Sent)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return sent{}, wrong, nil
	}
	if err != nil {
		return sent{}, wrong, err
	}
	if row.Agent != t.Agent || row.Purpose != purpose || subtle.ConstantTimeCompare(row.Browser[:], t.Browser[:]) != 1 {
		return sent{}, wrong, nil
	}
	tries, err := tx.TrySentCode(ctx, row.ID)
	if err != nil {
		return sent{}, wrong, err
	}
	if tries > sentTries { // nothing is compared: a new code has to be asked for
		return sent{}, finding{reason: parvis.WhyCodeExpired, free: true}, nil
	}
	s, err := v.unseal(row)
	if err != nil {
		return sent{}, wrong, err
	}
	if subtle.ConstantTimeCompare([]byte(s.Code), []byte(code)) != 1 {
		return sent{}, wrong, nil
	}
	switch {
	case !row.Used.IsZero():
		return sent{}, finding{reason: parvis.WhyCodeReused, held: s.Held, free: true}, nil
	case !tx.Now().Before(row.Expires):
		return sent{}, finding{reason: parvis.WhyCodeExpired, held: s.Held, free: true}, nil
	}
	first, err := tx.UseSentCode(ctx, row.ID)
	if err != nil {
		return sent{}, wrong, err
	}
	if !first {
		return sent{}, finding{reason: parvis.WhyCodeReused, held: s.Held, free: true}, nil
	}
	if purpose == purposeProve {
		held, err := owned(ctx, tx, t.Agent, s.Held)
		if parvis.CodeOf(err) == parvis.CodeNotFound { // removed since it was sent
			return sent{}, wrong, nil
		}
		if err != nil {
			return sent{}, wrong, err
		}
		if _, err := tx.UseHeld(ctx, held.ID, 0, 0); err != nil {
			return sent{}, wrong, err
		}
	}
	return s, finding{ok: true, held: s.Held}, nil
}

// Phone gives the number of a telephone that an agent holds, to tell its owner
// of a change. [parvis.CodeNotFound] for what is no telephone of theirs.
func (v *Vault) Phone(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, id string) (seal.Secret, error) {
	row, err := owned(ctx, tx, number, id)
	if err != nil {
		return "", err
	}
	if row.Kind != parvis.SMS {
		return "", &parvis.Error{Code: parvis.CodeNotFound, Op: "credential.Phone", Err: errors.New("no telephone")}
	}
	phone, err := v.open(row, row.Secret)
	return seal.Secret(phone), err
}

// EnrolSMS keeps the telephone that received a code. A code has five tries and
// sendings are few, so that nobody claims a telephone they do not have.
// [parvis.CodeConflict] when the agent holds it, or three, already.
func (v *Vault) EnrolSMS(
	ctx context.Context, tx *store.Tx, number parvis.AgentNumber, sentID string, browser [32]byte, code seal.Secret, name string,
) (parvis.Held, CodeVerdict, error) {
	typed, missing, ok := fitting(parvis.SMS, code)
	if !ok {
		return parvis.Held{}, unfit(typed, missing), nil
	}
	to, f, err := v.compareSent(ctx, tx, CodeTry{Agent: number, Sent: sentID, Browser: browser}, purposeEnrol, typed)
	if err != nil {
		return parvis.Held{}, CodeVerdict{}, err
	}
	if !f.ok {
		v.record(tx, "second.enrol_failed", number, string(number), parvis.Origin{}, parvis.SMS, "", f.reason)
		return parvis.Held{}, CodeVerdict{Reason: parvis.Reason{Code: f.reason}}, nil
	}
	rows, err := ofKind(ctx, tx, number, parvis.SMS)
	if err != nil {
		return parvis.Held{}, CodeVerdict{}, err
	}
	for _, row := range rows {
		if phone, err := v.open(row, row.Secret); err != nil || string(phone) == to.Phone {
			return parvis.Held{}, CodeVerdict{}, errors.Join(
				&parvis.Error{Code: parvis.CodeConflict, Op: "credential.EnrolSMS", Err: errors.New("this telephone is held already")}, err)
		}
	}
	held, err := v.keep(ctx, tx, store.HeldRow{
		Held: parvis.Held{Agent: number, Kind: parvis.SMS, Name: name, LastUsed: tx.Now()},
	}, []byte(to.Phone), nil)
	if err != nil {
		return parvis.Held{}, CodeVerdict{}, err
	}
	held.Hint = maskPhone(to.Phone)
	return held, CodeVerdict{OK: true, Proof: parvis.Proof{Kind: parvis.SMS, At: tx.Now()}, Held: held.ID}, nil
}

// sixDigits is a code that nobody can foresee.
func sixDigits() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic("crypto/rand: " + err.Error()) // never fails: crypto/rand ends the program instead
	}
	return fmt.Sprintf("%06d", n)
}

// overseas tells the country code of French numbers that do not begin with +33,
// by their first three digits.
var overseas = map[string]string{
	"690": "590", "691": "590", "694": "594", "696": "596", "697": "596", "692": "262", "693": "262", "639": "262",
}

// countryCodes are the countries whose national form, a 0 and the number, is understood.
var countryCodes = map[string]string{"": "33", "FR": "33", "BE": "32", "CH": "41", "LU": "352", "DE": "49"}

// ParsePhone reads the number of a mobile telephone as people write it, in the
// national form of a country or with + or 00, and gives it as E.164. It answers
// false for what cannot be one; of French numbers, for those that receive no message.
func ParsePhone(s, country string) (e164 string, ok bool) {
	if len(s) > 64 {
		return "", false
	}
	// +33 (0)6 …: the 0 is for those who dial from inside.
	s = strings.Replace(norm.NFKC.String(s), "(0)", "", 1)
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9', r == '+' && b.Len() == 0:
			b.WriteRune(r)
		case unicode.IsSpace(r), r == '.', r == '/', r == '(', r == ')', unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r):
		default:
			return "", false
		}
	}
	n := b.String()
	code, known := countryCodes[country]
	switch {
	case strings.HasPrefix(n, "+"):
		n = n[1:]
	case strings.HasPrefix(n, "00"):
		n = n[2:]
	case !strings.HasPrefix(n, "0") || !known:
		return "", false
	default:
		n = code + n[1:]
	}
	if rest, french := strings.CutPrefix(n, "33"); french {
		rest = strings.TrimPrefix(rest, "0")
		if len(rest) != 9 || rest[0] != '6' && rest[0] != '7' {
			return "", false
		}
		n = "33" + rest
		if abroad := overseas[rest[:3]]; abroad != "" {
			n = abroad + rest
		}
	}
	if len(n) < 8 || len(n) > 15 || n[0] == '0' { // ITU-T E.164 §6
		return "", false
	}
	return "+" + n, true
}

// maskPhone keeps the two digits by which its owner knows a number.
func maskPhone(e164 string) string {
	if len(e164) < 4 {
		return ""
	}
	return "•• •• •• •• " + e164[len(e164)-2:]
}
