package moncompte

import (
	"context"
	"net/http"
	"time"

	"parvis"
	"parvis/internal/store"
)

// The ladder of waits, that of product.md section 5.
const (
	freeTries = 4
	firstWait = time.Minute
	longest   = 120 * time.Minute
	episode   = 24 * time.Hour // so much quiet ends an episode
)

// What one network may ask in an hour: passwords to be looked at, and accounts
// or messages.
const (
	triesPerNetwork = 600
	asksPerNetwork  = 60
	askIn           = time.Hour
)

// purpose separates the pepper of these passwords from every other.
const purpose = "moncompte"

// charge counts one try as failed before anybody looks.
func charge(t store.CitizenTry, now time.Time) store.CitizenTry {
	if !t.Last.IsZero() && now.Sub(t.Last) >= episode && !now.Before(t.Wait.Add(episode)) {
		t.Failures, t.Wait = 0, time.Time{}
	}
	t.Last = now
	t.Failures++
	if over := t.Failures - freeTries - 1; over >= 0 {
		wait := longest
		if over < 7 {
			wait = min(firstWait<<over, longest)
		}
		t.Wait = now.Add(wait)
	}
	return t
}

// knownBrowser is what a browser where somebody signed in carries: it has a
// ladder of its own for that account, so that strangers cannot use it up.
type knownBrowser struct {
	Key [32]byte `json:"k"`
	ID  string   `json:"i"`
}

// ladder names the count that a try at an address is charged to.
func (v *visit) ladder(r *http.Request, key [32]byte) [32]byte {
	var b knownBrowser
	if ticket := v.s.cookie(r, cookieKnown); ticket != "" {
		if err := v.s.known.Redeem(ticket, v.at, &b); err == nil && b.Key == key {
			return v.s.Keys.MAC("citizen try", key[:], []byte(b.ID))
		}
	}
	return v.s.Keys.MAC("citizen try", key[:])
}

// know makes this browser one where the owner of an address signed in.
func (v *visit) know(w http.ResponseWriter, key [32]byte) error {
	ticket, err := v.s.known.Issue(knownBrowser{Key: key, ID: random()}, v.at, knownLasts)
	if err != nil {
		return err
	}
	v.s.keep(w, cookieKnown, ticket, knownLasts)
	return nil
}

// attempt is one try at the password of an address.
type attempt struct {
	right   bool
	wait    time.Time // not looked at: tries are refused until then
	left    int       // tries before a wait; 0: not to be said
	citizen citizen
	key     [32]byte
	ladder  [32]byte
}

// try charges a try at a password, then looks. All that happens is the same
// whether or not anybody has the address.
func (v *visit) try(r *http.Request, email string, f sent) (attempt, error) {
	a := attempt{key: v.s.addressKey(email)}
	a.ladder = v.ladder(r, a.key)
	var phc string
	err := v.s.Store.Write(r.Context(), func(tx *store.Tx) error {
		a.wait, a.left, phc = time.Time{}, 0, ""
		t, err := tx.CitizenTry(r.Context(), a.ladder)
		if err != nil {
			return err
		}
		if v.at.Before(t.Wait) {
			a.wait = t.Wait
			return nil
		}
		if err := v.spend(r.Context(), tx, "tries", triesPerNetwork); err != nil {
			return err
		}
		t = charge(t, v.at)
		a.left = max(0, freeTries+1-t.Failures)
		tx.Record(v.event("tried", "", "who", who(a.key)))
		if t.Wait.After(v.at) {
			tx.Record(v.event("locked", "", "who", who(a.key), "until", t.Wait.Format(time.RFC3339)))
		}
		if err := tx.PutCitizenTry(r.Context(), t, v.at.Add(-2*episode)); err != nil {
			return err
		}
		a.citizen, err = v.s.reveal(tx.CitizenByKey(r.Context(), a.key))
		switch {
		case parvis.CodeOf(err) == parvis.CodeNotFound:
			a.citizen = citizen{}
		case err != nil:
			return err
		}
		phc = a.citizen.PHC
		return nil
	})
	if err != nil || !a.wait.IsZero() {
		return a, err
	}
	a.right, err = v.s.Vault.HoldsFor(r.Context(), purpose, phc, f.password)
	return a, err
}

// forgive forgets the failed tries of a ladder: somebody proved themselves.
func (v *visit) forgive(ctx context.Context, tx *store.Tx, ladder [32]byte) error {
	return tx.PutCitizenTry(ctx, store.CitizenTry{Key: ladder}, v.at.Add(-2*episode))
}

// spend counts what a network asks for; [parvis.CodeLimited] when that is enough.
func (v *visit) spend(ctx context.Context, tx *store.Tx, what string, n int) error {
	until, err := tx.Spend(ctx, v.s.Keys.MAC("citizen network", []byte(what), []byte(v.network())), n, askIn)
	if err == nil && !until.IsZero() {
		err = &parvis.Error{Code: parvis.CodeLimited, Op: "moncompte.spend"}
	}
	return err
}
