package credential

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

const (
	sheetCodes = 10 // on one sheet
	codeSigns  = "23456789ABCDEFGHJKMNPQRSTWXYZ"

	temporaryLeast = 10 * time.Minute
	temporaryMost  = 8 * time.Hour
)

// NewRecoveryCodes makes a sheet of ten codes, each good once, in the place of
// the sheet before. They are shown now and never again.
func (v *Vault) NewRecoveryCodes(ctx context.Context, tx *store.Tx, number parvis.AgentNumber) ([]seal.Secret, error) {
	if number == "" {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "credential.NewRecoveryCodes", Err: errors.New("for whom?")}
	}
	codes, hashes := make([]seal.Secret, sheetCodes), make([][32]byte, sheetCodes)
	for i := range codes {
		code := randomSigns(recoverySigns)
		codes[i], hashes[i] = seal.Secret(grouped(code, 4)), v.recoveryHash(number, code)
	}
	batch := newID()
	if err := tx.PutRecoveryCodes(ctx, number, batch, hashes); err != nil {
		return nil, err
	}
	v.record(tx, "second.enrolled", number, string(number), parvis.Origin{}, parvis.RecoveryCode, batch)
	return codes, nil
}

// IssueTemporaryCode makes a code that stands in once for a second proof, for
// ten minutes to eight hours, in the place of the one before. by is who gives it,
// and why is theirs, for the record. [parvis.CodeRefused] when they give it to
// themselves, [parvis.CodeInvalid] for another duration.
func (v *Vault) IssueTemporaryCode(
	ctx context.Context, tx *store.Tx, number parvis.AgentNumber, by, why string, lasts time.Duration,
) (seal.Secret, time.Time, error) {
	const op = "credential.IssueTemporaryCode"
	switch {
	case by == "" || by == string(number):
		return "", time.Time{}, &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: errors.New("nobody gives a code to themselves")}
	case number == "" || lasts < temporaryLeast || lasts > temporaryMost:
		return "", time.Time{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("ten minutes to eight hours, for somebody")}
	}
	code, until := randomSigns(temporarySigns), tx.Now().Add(lasts)
	err := tx.PutTemporaryCode(ctx, store.TemporaryCode{
		Agent: number, Hash: v.temporaryHash(number, code), By: by, Reason: cleanName(why), Created: tx.Now(), Expires: until,
	})
	if err != nil {
		return "", time.Time{}, err
	}
	// Whoever guessed at the code before does not keep its owner from this one,
	// which nobody can guess either.
	if err := tx.ClearBudgets(ctx, meansOf(number, parvis.TemporaryCode)); err != nil {
		return "", time.Time{}, err
	}
	tx.Record(parvis.Event{
		Kind: "temporary_code.issued", Agent: number, Actor: by,
		Detail: map[string]string{"until": until.UTC().Format(time.RFC3339), "why": cleanName(why)},
	})
	return seal.Secret(grouped(code, 5)), until, nil
}

func (v *Vault) compareRecovery(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, code string) (finding, error) {
	used, err := tx.UseRecoveryCode(ctx, number, v.recoveryHash(number, code))
	if err != nil {
		return finding{}, err
	}
	if !used {
		return finding{reason: parvis.WhyCodeIncorrect, mark: v.guess(number, code, "recovery")}, nil
	}
	sheets, err := ofKind(ctx, tx, number, parvis.RecoveryCode)
	if err != nil || len(sheets) == 0 {
		return finding{}, errors.Join(err, &parvis.Error{Code: parvis.CodeInternal, Op: "credential.compareRecovery", Err: errors.New("codes without a sheet")})
	}
	left, err := tx.RecoveryCodesLeft(ctx, number)
	return finding{ok: true, held: sheets[0].ID, left: left}, err
}

func (v *Vault) compareTemporary(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, code string) (finding, error) {
	hash := v.temporaryHash(number, code)
	good, err := tx.UseTemporaryCode(ctx, number, hash)
	if err != nil || good {
		return finding{ok: good}, err
	}
	f := finding{reason: parvis.WhyCodeIncorrect, mark: v.guess(number, code, "temporary")}
	c, err := tx.TemporaryCode(ctx, number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return f, nil
	}
	if err == nil && subtle.ConstantTimeCompare(c.Hash[:], hash[:]) == 1 {
		f.reason, f.free = parvis.WhyCodeExpired, true
		if !c.Used.IsZero() {
			f.reason = parvis.WhyCodeReused
		}
	}
	return f, err
}

func (v *Vault) recoveryHash(number parvis.AgentNumber, code string) [32]byte {
	return v.Keys.MAC("recovery code", []byte(number), []byte(code))
}

func (v *Vault) temporaryHash(number parvis.AgentNumber, code string) [32]byte {
	return v.Keys.MAC("temporary code", []byte(number), []byte(code))
}

// randomSigns gives n signs of which none is mistaken for another.
func randomSigns(n int) string {
	const fair = 256 - 256%len(codeSigns)
	b, all := make([]byte, 1), make([]byte, 0, n)
	for len(all) < n {
		_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
		if int(b[0]) < fair {
			all = append(all, codeSigns[int(b[0])%len(codeSigns)])
		}
	}
	return string(all)
}

// grouped puts a hyphen after every n signs, to be read and typed.
func grouped(s string, n int) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%n == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}
