package credential

import (
	"context"
	"errors"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/seal"
)

// HashFor hashes a password that is kept elsewhere, in the same bounded pool,
// behind everybody we know. Purpose separates its pepper from every other: what
// is kept for one purpose holds for no other. [parvis.CodeUnavailable] when the
// queue is full or ctx ended. Never call it inside a transaction.
func (v *Vault) HashFor(ctx context.Context, purpose string, s seal.Secret) (string, error) {
	const op = "credential.HashFor"
	if n := length(s.Reveal()); purpose == "" || n == 0 || n > maxLength {
		return "", &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("no purpose, or the length of the password")}
	}
	v.begin()
	if err := v.pool.enter(ctx, strangers); err != nil {
		return "", unavailable(op, err)
	}
	defer v.pool.leave()
	var h phc
	v.pool.run(func() { h = newPHC(v.pepperFor(purpose, s), v.cost()) })
	return h.String(), nil
}

// HoldsFor tells whether a password is the one that [Vault.HashFor] hashed for
// the same purpose. An empty hash holds for nothing, and takes as long to say so.
func (v *Vault) HoldsFor(ctx context.Context, purpose, phc string, s seal.Secret) (bool, error) {
	const op = "credential.HoldsFor"
	v.begin()
	h, exists := dummy(v.cost()), phc != ""
	if exists {
		var err error
		if h, err = parsePHC(phc); err != nil {
			return false, err
		}
	}
	if err := v.pool.enter(ctx, strangers); err != nil {
		return false, unavailable(op, err)
	}
	defer v.pool.leave()
	holds := false
	v.pool.run(func() { holds = h.holds(v.pepperFor(purpose, s)) })
	return holds && exists && purpose != "", nil
}

func (v *Vault) pepperFor(purpose string, s seal.Secret) [32]byte {
	typed := s.Reveal()
	if len(typed) > longestTyped {
		return v.Keys.MAC("pepper for others", []byte(purpose), []byte("too long"), []byte(typed))
	}
	return v.Keys.MAC("pepper for others", []byte(purpose), []byte(norm.NFKC.String(typed)))
}
