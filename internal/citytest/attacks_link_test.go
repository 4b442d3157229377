package citytest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"parvis"
)

// Answers of the verifier that are swapped, altered or brought by somebody else.
func TestAttacksOnTheLink(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	town.SetClock(officeDay(t, 10, 0))
	t.Run("a return of another", func(t *testing.T) { attackReturn(t, town) })
	t.Run("the account of another", func(t *testing.T) { attackAccount(t, town) })
	wholeLog(t, town.Data)
}

// vouch goes to the embedded verifier from the session of a visitor, as the
// owner of an account there, and gives the address that leads back, unused.
func vouch(t *testing.T, v *Visitor, ch parvis.Channel, account Person) *url.URL {
	t.Helper()
	back := ""
	v.HTTP.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Path == "/verifier/return" {
			back = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { v.HTTP.CheckRedirect = nil }()
	p := v.Get(v.Town.Portal(ch)+"/verifier").at(t, "verifier_redirect")
	p = v.press(p, "/verifier/leave", nil)
	if back == "" {
		p = v.Submit(p.at(t, "citizen_sign_in"), map[string]string{"email": account.Verifier.Email, "password": account.Verifier.Password})
	}
	u, err := url.Parse(back)
	if err != nil || back == "" {
		t.Fatalf("no way back from the verifier, at %s %s %v:\n%s", p.Screen, p.URL, err, p.Text())
	}
	return u
}

// refusedReturn brings an answer back and wants it refused.
func refusedReturn(t *testing.T, v *Visitor, what string, u *url.URL, reason string) {
	t.Helper()
	if p := v.Get(u.String()); !p.Has(reason) || p.Status != http.StatusForbidden {
		t.Errorf("%s: %d %s %v at %s, not %s", what, p.Status, p.Screen, p.Reasons, p.URL, reason)
	}
}

// Somebody has an account of their own at the verifier, and wants it to vouch
// for Camille, or hers to vouch for them:
//
//  1. Camille's own answer opens once; the same state again is refused;
//  2. her answer in Denis's browser, who is in: refused, and it is of no use to
//     her afterwards;
//  3. her answer in another browser of hers: refused;
//  4. the answer with another issuer (mix-up, RFC 9207 §2.4): refused, and so
//     with none, since the verifier says that it sends it;
//  5. a state that nobody made, and none at all: refused;
//  6. a browser that goes there as Camille and comes back as Denis, who signed
//     in meanwhile: refused.
func attackReturn(t *testing.T, town *Town) {
	camille, denis := town.Person("A100001"), town.Person("A100010")
	arrive := func(who Person) *Visitor {
		v := town.Visitor(t)
		v.SignIn(parvis.Mobile, who).at(t, "home")
		return v
	}
	v, other := arrive(camille), arrive(denis)

	u := vouch(t, v, parvis.Mobile, camille)
	if p := v.Get(u.String()); p.Status != http.StatusOK || len(p.Reasons) > 0 {
		t.Fatalf("the answer itself: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	refusedReturn(t, v, "the same state again", u, "verifier_cancelled")

	u = vouch(t, v, parvis.Mobile, camille)
	refusedReturn(t, other, "in the browser of Denis", u, "verifier_cancelled")

	u = vouch(t, v, parvis.Mobile, camille)
	refusedReturn(t, arrive(camille), "in another browser of hers", u, "verifier_cancelled")

	for what, iss := range map[string]string{"of another issuer": "http://moncompte.example.net", "without an issuer": ""} {
		u = vouch(t, v, parvis.Mobile, camille)
		q := u.Query()
		q.Set("iss", iss)
		if iss == "" {
			q.Del("iss")
		}
		u.RawQuery = q.Encode()
		if p := v.Get(u.String()); p.Status != http.StatusForbidden || len(p.Reasons) == 0 || !strings.HasPrefix(p.Reasons[0], "verifier_") {
			t.Errorf("%s: %d %s %v", what, p.Status, p.Screen, p.Reasons)
		}
	}

	u = vouch(t, v, parvis.Mobile, camille)
	q := u.Query()
	q.Set("state", strings.Repeat("A", len(q.Get("state"))))
	u.RawQuery = q.Encode()
	refusedReturn(t, v, "a state that nobody made", u, "verifier_cancelled")
	q.Del("state")
	u.RawQuery = q.Encode()
	refusedReturn(t, v, "no state", u, "verifier_cancelled")

	u = vouch(t, v, parvis.Mobile, camille)
	v.press(v.Get(town.Portal(parvis.Mobile)+"/signout"), "/signout", nil)
	v.SignIn(parvis.Mobile, denis).at(t, "home")
	refusedReturn(t, v, "brought to the session of another", u, "verifier_cancelled")
}

// Somebody has an account at the verifier that is not the one tied:
//
//  1. Luc proves with Denis's account: refused, and nothing says whose it is;
//  2. Sonia, who arrives, ties Camille's account: refused, it vouches for
//     somebody already, and nothing says for whom;
//  3. Camille's link is what it was: she proves with it.
func attackAccount(t *testing.T, town *Town) {
	luc, denis, camille, sonia := town.Person("A100030"), town.Person("A100010"), town.Person("A100001"), town.Person("A100008")
	v := town.Visitor(t)
	v.SignIn(parvis.Mobile, luc).at(t, "home")
	p := v.Get(vouch(t, v, parvis.Mobile, denis).String())
	if !p.Has("verifier_account_mismatch") || p.Status != http.StatusForbidden {
		t.Errorf("the account of another: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	if strings.Contains(p.Text(), denis.Number) {
		t.Errorf("the page says whose account it is:\n%s", p.Text())
	}

	v = town.Visitor(t)
	portal := town.Portal(parvis.Mobile)
	v.Submit(v.Get(portal+"/activate"), map[string]string{"code": sonia.ActivationCode}).at(t, "activation_overview")
	p = v.Submit(v.Get(portal+"/activate/verifier?have=yes"), map[string]string{"purpose": "link"}).at(t, "citizen_sign_in")
	p = v.Submit(p, map[string]string{"email": camille.Verifier.Email, "password": camille.Verifier.Password})
	if !p.Has("verifier_already_linked") || p.Status != http.StatusForbidden {
		t.Errorf("an account that is tied: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	if strings.Contains(p.Text(), camille.Number) || strings.Contains(p.Text(), "Morel") {
		t.Errorf("the page says for whom it vouches:\n%s", p.Text())
	}

	v = town.Visitor(t)
	v.SignIn(parvis.Mobile, camille).at(t, "home")
	if p = v.Get(vouch(t, v, parvis.Mobile, camille).String()); p.Status != http.StatusOK || len(p.Reasons) > 0 {
		t.Errorf("her own account: %d %s %v", p.Status, p.Screen, p.Reasons)
	}
	if there := "http://moncompte.localhost:" + strconv.Itoa(town.Base+2); strings.HasPrefix(p.URL.String(), there) {
		t.Errorf("still at %s", there)
	}
}
