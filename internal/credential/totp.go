package credential

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"rsc.io/qr"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// TOTPOffer is an authenticator that may be enrolled. Nothing of it is kept.
type TOTPOffer struct {
	Secret seal.Secret // base32, to be typed
	URI    seal.Secret // otpauth://, to be opened
	QR     []byte      // the URI as an SVG picture: as secret as the URI
	Ticket string      // what [Vault.EnrolTOTP] wants back; good for half an hour
}

// The numbers of RFC 6238: others are ignored by what people have installed.
const (
	stepSeconds = 30
	seedBytes   = 20 // RFC 4226 §4 R6: 160 bits
	skew        = 1  // RFC 6238 §5.2: one step either way
	drifts      = 20 // steps either way that are looked at for an explanation, never accepted
	offerLasts  = 30 * time.Minute
)

// offer is what a ticket holds.
type offer struct {
	Agent   parvis.AgentNumber `json:"agent"`
	Secret  string             `json:"secret"`
	Issuer  string             `json:"issuer"`
	Account string             `json:"account"`
}

// OfferTOTP makes a secret for an authenticator of an agent. Issuer is the name
// under which the authenticator shows it.
func (v *Vault) OfferTOTP(agent *parvis.Agent, issuer string, at time.Time) (TOTPOffer, error) {
	const op = "credential.OfferTOTP"
	if agent == nil || agent.Number == "" {
		return TOTPOffer{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("for whom?")}
	}
	seed := make([]byte, seedBytes)
	_, _ = rand.Read(seed) // never fails: crypto/rand ends the program instead
	o := offer{
		Agent: agent.Number, Issuer: issuer, Account: string(agent.Number),
		Secret: base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed),
	}
	ticket, err := v.boxes().offers.Issue(o, at, offerLasts)
	if err != nil {
		return TOTPOffer{}, err
	}
	return o.show(ticket)
}

// ReofferTOTP shows an offer again, after a wrong code. [parvis.CodeInvalid]
// when the ticket is not ours or its time is over.
func (v *Vault) ReofferTOTP(ticket string) (TOTPOffer, error) {
	var o offer
	if err := v.boxes().offers.Redeem(ticket, v.Clock(), &o); err != nil {
		return TOTPOffer{}, err
	}
	return o.show(ticket)
}

func (o offer) show(ticket string) (TOTPOffer, error) {
	// The issuer stands twice, as every authenticator reads one or the other.
	// %20 for a blank: some read a plus as a plus.
	issuer := strings.ReplaceAll(url.QueryEscape(o.Issuer), "+", "%20")
	uri := "otpauth://totp/" + issuer + ":" + url.PathEscape(o.Account) +
		"?secret=" + o.Secret + "&issuer=" + issuer + "&algorithm=SHA1&digits=6&period=30"
	code, err := qr.Encode(uri, qr.M)
	if err != nil {
		return TOTPOffer{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "credential.OfferTOTP", Err: errors.New("the name is too long for a picture")}
	}
	return TOTPOffer{Secret: seal.Secret(o.Secret), URI: seal.Secret(uri), QR: svg(code), Ticket: ticket}, nil
}

// svg draws a code with its quiet zone of four modules (ISO/IEC 18004 §6.3.8):
// one path, one stroke for each run of dark modules.
func svg(code *qr.Code) []byte {
	const quiet = 4
	var b bytes.Buffer
	side := code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" aria-hidden="true">`+
		`<path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="`, side, side, side, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			if !code.Black(x, y) {
				continue
			}
			run := 1
			for code.Black(x+run, y) {
				run++
			}
			fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
			x += run
		}
	}
	b.WriteString(`"/></svg>`)
	return b.Bytes()
}

// EnrolTOTP keeps an offered authenticator once it gave a right code, which is
// used up by that. A wrong one costs nothing: the secret is on the page.
// [parvis.CodeInvalid] when the ticket is not of this agent or its time is over,
// [parvis.CodeConflict] when it was used, or three authenticators are held.
func (v *Vault) EnrolTOTP(
	ctx context.Context, tx *store.Tx, number parvis.AgentNumber, ticket string, code seal.Secret, name string,
) (parvis.Held, CodeVerdict, error) {
	const op = "credential.EnrolTOTP"
	var o offer
	if err := v.boxes().offers.Redeem(ticket, tx.Now(), &o); err != nil {
		return parvis.Held{}, CodeVerdict{}, err
	}
	if o.Agent != number || number == "" {
		return parvis.Held{}, CodeVerdict{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("an offer to somebody else")}
	}
	typed, missing, ok := fitting(parvis.TOTP, code)
	if !ok {
		return parvis.Held{}, unfit(typed, missing), nil
	}
	now := stepAt(tx.Now())
	step, found := match(o.Secret, typed, now, 0)
	if !found {
		verdict := CodeVerdict{Reason: parvis.Reason{Code: parvis.WhyCodeIncorrect}}
		verdict.Drift, _ = drift(o.Secret, typed, now)
		return parvis.Held{}, verdict, nil
	}
	if later, err := tx.Spend(ctx, v.Keys.MAC("offer", []byte(o.Secret)), 1, offerLasts); err != nil {
		return parvis.Held{}, CodeVerdict{}, err
	} else if !later.IsZero() {
		return parvis.Held{}, CodeVerdict{}, &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the offer was used")}
	}
	held, err := v.keep(ctx, tx, store.HeldRow{
		Held: parvis.Held{Agent: number, Kind: parvis.TOTP, Name: name, LastUsed: tx.Now()}, Step: step,
	}, []byte(o.Secret), nil)
	if err != nil {
		return parvis.Held{}, CodeVerdict{}, err
	}
	return held, CodeVerdict{OK: true, Proof: parvis.Proof{Kind: parvis.TOTP, At: tx.Now()}, Held: held.ID}, nil
}

// compareTOTP compares with each authenticator of the agent.
func (v *Vault) compareTOTP(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, code string) (finding, error) {
	rows, err := ofKind(ctx, tx, number, parvis.TOTP)
	if err != nil {
		return finding{}, err
	}
	now := stepAt(tx.Now())
	f := finding{reason: parvis.WhyCodeIncorrect, mark: v.guess(number, code, fmt.Sprint(now))}
	for _, row := range rows {
		secret, err := v.open(row, row.Secret)
		if err != nil {
			return finding{}, err
		}
		step, found := match(string(secret), code, now, row.Step)
		if !found {
			if err := v.explain(ctx, tx, row, string(secret), code, now, &f); err != nil {
				return finding{}, err
			}
			continue
		}
		early, err := tx.Spent(ctx, v.earlyKey(row.ID, step), 1, 0)
		if err != nil {
			return finding{}, err
		}
		if used := step <= row.Step || early.After(tx.Now()); !used {
			// RFC 6238 §5.2: a code is accepted once. The step moves forward or the
			// try fails, and a clock that goes back brings no code back.
			moved, err := tx.UseHeld(ctx, row.ID, step, 0)
			if err != nil {
				return finding{}, err
			}
			if moved {
				return finding{ok: true, held: row.ID}, nil
			}
		}
		f.reason, f.held, f.free, f.drift = parvis.WhyCodeReused, row.ID, true, 0
	}
	return f, nil
}

// explain looks for the moment that a wrong code is right at. To be told that
// a code will be right in a few minutes is to be told a code: such a code is used
// up by saying so.
func (v *Vault) explain(ctx context.Context, tx *store.Tx, row store.HeldRow, secret, code string, now int64, f *finding) error {
	by, step := drift(secret, code, now)
	if by == 0 || f.reason == parvis.WhyCodeReused {
		return nil
	}
	if f.drift == 0 || by.Abs() < f.drift.Abs() {
		f.drift = by
	}
	if step < now {
		return nil
	}
	until := time.Unix((step+skew+1)*stepSeconds, 0)
	_, err := tx.Spend(ctx, v.earlyKey(row.ID, step), 1, until.Sub(tx.Now()))
	return err
}

func (v *Vault) earlyKey(id string, step int64) [32]byte {
	return v.Keys.MAC("early code", []byte(id), fmt.Append(nil, step))
}

// guess marks a code typed for one thing: typed again for the same thing it is
// no new guess. The same digits in another half minute, or for another message, are.
func (v *Vault) guess(number parvis.AgentNumber, code, at string) mark {
	m := v.Keys.MAC("wrong code", []byte(number), []byte(code), []byte(at))
	return mark(m[:markSize])
}

func stepAt(t time.Time) int64 { return t.Unix() / stepSeconds }

// match finds the step within the window at which a code is right, the one
// after last if there is a choice. It looks at the whole window whatever it finds.
func match(secret, code string, now, last int64) (step int64, found bool) {
	for at := now - skew; at <= now+skew; at++ {
		if rightAt(secret, code, at) && (!found || step <= last) {
			step, found = at, true
		}
	}
	return step, found
}

// drift tells by how much the clock that made a code differs, and the step that
// it showed; zero when no step nearby explains it.
func drift(secret, code string, now int64) (time.Duration, int64) {
	for k := int64(skew + 1); k <= drifts; k++ {
		for _, by := range []int64{-k, k} {
			if rightAt(secret, code, now+by) {
				return time.Duration(by) * stepSeconds * time.Second, now + by
			}
		}
	}
	return 0, 0
}

// rightAt compares in constant time.
func rightAt(secret, code string, step int64) bool {
	if step < 0 {
		return false
	}
	want, err := hotp.GenerateCodeCustom(secret, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	return err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1
}
