package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/verifier"
)

// citizens is an outside provider: whoever comes is who the test says.
type citizens struct {
	*httptest.Server
	town   *town
	signer jose.Signer
	public jose.JSONWebKey
	down   atomic.Bool
	mu     sync.Mutex
	codes  map[string]map[string]any // claims by code
}

// outside puts a provider beside a town, with the rules that bring people there.
func (t *town) outside(mode parvis.VerifierMode, fallback bool) *citizens {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &citizens{town: t, codes: map[string]map[string]any{}, public: jose.JSONWebKey{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}
	c.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	t.hub.Link = &verifier.Link{
		Store: t.store, Keys: t.hub.Keys, Clock: t.clock.Now, Addresses: t.hub.Keeper.Addresses,
		Providers: []verifier.Provider{{ID: "compte", Issuer: c.URL, ClientID: "parvis", ClientSecret: "s", Label: parvis.Words{FR: "Mon Compte", EN: "My Account"}}},
	}
	t.hub.Fallback = fallback
	calendar, err := access.OfficeHours("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	t.hub.Policy, err = access.New(access.Catalog{
		Profiles: t.hub.Profiles, Calendar: calendar, SecondProofReady: true, VerifierFallback: fallback,
		VerifierRules: []parvis.VerifierRule{{Mode: mode}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ServeHTTP is what a client asks of a provider.
func (c *citizens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": c.URL, "authorization_endpoint": c.URL + "/authorize", "token_endpoint": c.URL + "/token", "jwks_uri": c.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		}
	case "/keys":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{c.public}}
	case "/token":
		c.mu.Lock()
		claims := c.codes[r.FormValue("code")]
		delete(c.codes, r.FormValue("code"))
		c.mu.Unlock()
		if claims == nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		payload, _ := json.Marshal(claims)
		signed, err := c.signer.Sign(payload)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		token, _ := signed.CompactSerialize()
		answer = map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// visit signs somebody in over there, and gives what their browser brings back.
func (c *citizens) visit(address, subject string) url.Values {
	c.town.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, c.URL+"/authorize?") {
		c.town.Fatalf("sent to %q", address)
	}
	code, _ := seal.Token()
	now := c.town.clock.Now()
	c.mu.Lock()
	c.codes[code] = map[string]any{
		"iss": c.URL, "aud": "parvis", "sub": subject, "nonce": u.Query().Get("nonce"),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "auth_time": now.Unix(),
	}
	c.mu.Unlock()
	return url.Values{"state": {u.Query().Get("state")}, "code": {code}}
}

func (t *town) leave(l Leaving) Outcome {
	t.Helper()
	out, err := t.hub.LeaveForVerifier(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (t *town) back(w Holder, cookie string, away seal.Secret, query url.Values) Outcome {
	t.Helper()
	out, err := t.hub.ReturnFromVerifier(context.WithoutCancel(t.Context()), Returning{
		Holder: w, Cookie: cookie, Arrival: verifier.Arrival{Query: query, Cookie: away.Reveal(), Origin: w.Origin},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tie links an account, as its owner would.
func (t *town) tie(c *citizens, number parvis.AgentNumber, subject string) {
	t.Helper()
	w := t.holder(number, office)
	out := t.leave(Leaving{Holder: w, Purpose: purposeLink, Return: "HOME"})
	if out.Leave == "" {
		t.Fatalf("%s %q", out.Step, codes(out))
	}
	done := t.back(w, "", out.Away, c.visit(out.Leave, subject))
	if done.Step != StepDone || done.Return != "HOME" || done.Purpose != purposeLink || t.live(w.Session) {
		t.Fatalf("%s %q", done.Step, codes(done))
	}
}

func (t *town) links(number parvis.AgentNumber) []string {
	t.Helper()
	links, err := t.store.Links(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, l := range links {
		subjects = append(subjects, l.Subject)
	}
	return subjects
}

func TestLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		c := town.outside(parvis.VerifierFirst, false)
		town.agent("A100001", right, nil)
		town.agent("A100002", right, nil)
		town.tie(c, "A100001", "citizen-1")
		if got := town.links("A100001"); !slices.Equal(got, []string{"citizen-1"}) {
			t.Errorf("links %q", got)
		}
		if mails := town.mails("A100001"); !slices.Equal(mails, []string{"mail_verifier_linked"}) {
			t.Errorf("mails %q", mails)
		}
		// One account vouches for one agent; another one does not take its place unseen.
		for number, subject := range map[parvis.AgentNumber]string{"A100002": "citizen-1", "A100001": "citizen-9"} {
			w := town.holder(number, office)
			out := town.leave(Leaving{Holder: w, Purpose: purposeLink})
			back := town.back(w, "", out.Away, c.visit(out.Leave, subject))
			want := map[parvis.AgentNumber]parvis.ReasonCode{"A100002": parvis.WhyVerifierAlreadyLinked, "A100001": parvis.WhyVerifierAccountMismatch}[number]
			if back.Step != StepVerifier || !slices.Equal(codes(back), []parvis.ReasonCode{want}) || back.Person == "" {
				t.Errorf("%s with %s: %s %q", number, subject, back.Step, codes(back))
			}
		}
		// what one brings back is nothing in the session of another, and serves once.
		mine, theirs := town.holder("A100001", office), town.holder("A100002", office)
		out := town.leave(Leaving{Holder: theirs, Purpose: purposeLink})
		query := c.visit(out.Leave, "citizen-2")
		if back := town.back(mine, "", out.Away, query); back.Step != StepVerifier || !slices.Equal(codes(back), []parvis.ReasonCode{parvis.WhyVerifierCancelled}) {
			t.Errorf("in the session of another: %s %q", back.Step, codes(back))
		}
		if back := town.back(theirs, "", out.Away, query); back.Step != StepVerifier || len(town.links("A100002")) != 0 {
			t.Errorf("the same once more: %s %q", back.Step, codes(back))
		}
		// Who came in long ago, and holds nothing, shows first that they still are who they were.
		clock.Move(recent)
		if out := town.leave(Leaving{Holder: theirs, Purpose: purposeLink}); out.Leave != "" || !slices.Equal(codes(out), []parvis.ReasonCode{parvis.WhyStepUpRequired}) {
			t.Errorf("long after: %q", codes(out))
		}
		if out := town.prove(Proving{Session: theirs.Session, Posted: true, Password: right, Origin: office}); out.Step != StepDone {
			t.Errorf("the password again: %s %q", out.Step, codes(out))
		}
		if out := town.leave(Leaving{Holder: town.moved(theirs), Purpose: purposeLink}); out.Leave == "" {
			t.Errorf("then: %q", codes(out))
		}
	})
}

func TestReplaceAndUnlink(t *testing.T) {
	clock := new(storetest.Clock)
	town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
	c := town.outside(parvis.VerifierFirst, false)
	town.agent("A100001", right, nil)
	town.tie(c, "A100001", "citizen-1")
	secret := town.totp("A100001")
	w := town.holder("A100001", office)
	if out := town.leave(Leaving{Holder: w, Purpose: purposeReplace}); out.Leave != "" || !slices.Equal(codes(out), []parvis.ReasonCode{parvis.WhyStepUpRequired}) {
		t.Errorf("with a password alone: %q", codes(out))
	}
	if out := town.prove(Proving{Session: w.Session, Posted: true, Code: town.code(secret), Origin: office, Change: true}); out.Step != StepDone {
		t.Fatalf("%s %q", out.Step, codes(out))
	}
	w = town.moved(w)
	out := town.leave(Leaving{Holder: w, Purpose: purposeReplace})
	if back := town.back(w, "", out.Away, url.Values{"state": c.visit(out.Leave, "x")["state"], "error": {"access_denied"}}); !slices.Equal(codes(back), []parvis.ReasonCode{parvis.WhyVerifierCancelled}) {
		t.Errorf("cancelled: %q", codes(back))
	}
	if got := town.links("A100001"); !slices.Equal(got, []string{"citizen-1"}) {
		t.Errorf("after a replacement that was cancelled: %q", got)
	}
	out = town.leave(Leaving{Holder: w, Purpose: purposeReplace})
	clock.Move(9 * time.Minute) // it takes the time it takes
	if back := town.back(w, "", out.Away, c.visit(out.Leave, "citizen-2")); back.Step != StepDone {
		t.Fatalf("%s %q", back.Step, codes(back))
	}
	w = town.moved(w)
	if got := town.links("A100001"); !slices.Equal(got, []string{"citizen-2"}) {
		t.Errorf("links %q", got)
	}
	if out := town.act(town.hub.UnlinkVerifier(t.Context(), w, c.URL)); out.Done || out.Reason.Code != parvis.WhyFactorRemovalForbidden {
		t.Errorf("where one must be linked: %+v", out)
	}
	town.outside(parvis.VerifierOffered, false)
	if out := town.act(town.hub.UnlinkVerifier(t.Context(), w, c.URL)); !out.Done || len(town.links("A100001")) != 0 {
		t.Errorf("where it is offered: %+v", out)
	}
	if mails := town.mails("A100001"); !slices.Equal(mails, []string{"mail_verifier_linked", "mail_verifier_linked", "mail_verifier_unlinked"}) {
		t.Errorf("mails %q", mails)
	}
}

func TestVerifierAtTheDoor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		c := town.outside(parvis.VerifierEach, false)
		town.agent("A100001", right, nil)
		town.want(town.sign("A100001", right, In{}), StepDone) // nothing is linked: applications say so
		town.tie(c, "A100001", "citizen-1")
		page := town.sign("A100001", right, In{Return: "RETURN"})
		town.want(page, StepVerifier)
		if page.Provider.ID != "compte" || page.Person != parvis.ByVerifierOwner || page.Waivable {
			t.Errorf("%+v", page)
		}
		cookie := page.Cookie.Reveal()
		at := Holder{Origin: street}
		leaving := Leaving{Holder: at, Flow: page.Flow, Cookie: cookie}
		// A form that is not of this browser leaves for nowhere.
		stolen := leaving
		stolen.Cookie = strings.Repeat("A", 43)
		if out := town.leave(stolen); out.Leave != "" || out.Step != StepIdentifier {
			t.Errorf("another browser left: %s", out.Step)
		}
		out := town.leave(leaving)
		query := c.visit(out.Leave, "citizen-1")
		if back := town.back(at, strings.Repeat("A", 43), out.Away, query); back.Step == StepDone {
			t.Error("another browser came back")
		}
		out = town.leave(leaving)
		back := town.back(at, cookie, out.Away, url.Values{"state": c.visit(out.Leave, "x")["state"], "error": {"access_denied"}})
		town.want(back, StepVerifier, parvis.WhyVerifierCancelled)
		if back.Flow == "" || back.Waivable {
			t.Errorf("cancelled: %+v", back)
		}
		leaving.Flow = back.Flow
		out = town.leave(leaving)
		back = town.back(at, cookie, out.Away, c.visit(out.Leave, "citizen-9"))
		town.want(back, StepVerifier, parvis.WhyVerifierAccountMismatch)
		if masked, _ := back.Args["verifier_masked"].(string); !strings.HasPrefix(masked, "•••") {
			t.Errorf("args %v", back.Args)
		}
		// Nobody goes on without it by saying so.
		town.want(town.answer(back, In{Cookie: cookie, Method: string(parvis.VerifierWaived)}), StepVerifier)
		leaving.Flow = back.Flow
		out = town.leave(leaving)
		done := town.back(at, cookie, out.Away, c.visit(out.Leave, "citizen-1"))
		town.want(done, StepDone)
		town.shown(done, parvis.Password, parvis.Verifier)
		if done.Return != "RETURN" || done.Device == "" {
			t.Errorf("%+v", done)
		}
	})
}

// When the verifier does not answer, what policy allows is said, chosen and
// recorded; otherwise the door stays closed, with somebody to ask.
func TestVerifierDown(t *testing.T) {
	clock := new(storetest.Clock)
	for _, fallback := range []bool{false, true} {
		town := open(t, storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock), clock)
		c := town.outside(parvis.VerifierEach, fallback)
		town.agent("A100001", right, nil)
		town.tie(c, "A100001", "citizen-1")
		secret := town.totp("A100001")
		page := town.sign("A100001", right, In{})
		town.want(page, StepSecondFactor)
		cookie := page.Cookie.Reveal()
		page = town.answer(page, In{Code: town.code(secret)})
		town.want(page, StepVerifier)
		c.down.Store(true)
		clock.Move(time.Minute)
		leaving := Leaving{Holder: Holder{Origin: street}, Flow: page.Flow, Cookie: cookie}
		out := town.leave(leaving)
		if !fallback {
			town.want(out, StepBlocked, parvis.WhyVerifierUnavailable)
			if out.Person != parvis.ByITContact || out.Reference == "" {
				t.Errorf("%+v", out)
			}
			continue
		}
		town.want(out, StepVerifier, parvis.WhyVerifierUnavailable)
		if !out.Waivable || out.Leave != "" {
			t.Errorf("%+v", out)
		}
		done := town.answer(out, In{Cookie: cookie, Method: string(parvis.VerifierWaived)})
		town.want(done, StepDone)
		if n := len(town.events("sign_in.fallback")); n != 1 {
			t.Errorf("%d recorded", n)
		}
		if !slices.Contains(kinds(done.Session.Proofs), parvis.VerifierWaived) || slices.Contains(kinds(done.Session.Proofs), parvis.Verifier) {
			t.Errorf("proofs %v", done.Session.Proofs)
		}
		// Whoever holds nothing to show instead stays outside.
		c.down.Store(false)
		clock.Move(2 * time.Minute)
		town.agent("A100002", right, nil)
		town.tie(c, "A100002", "citizen-2")
		c.down.Store(true)
		clock.Move(2 * time.Minute)
		page = town.sign("A100002", right, In{})
		town.want(page, StepVerifier)
		leaving.Flow, leaving.Cookie = page.Flow, page.Cookie.Reveal()
		town.want(town.leave(leaving), StepBlocked, parvis.WhyVerifierUnavailable)
	}
}

// Of many returns with one answer, one begins a session.
func TestRaceOfReturns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		town := open(t, s, clock)
		c := town.outside(parvis.VerifierEach, false)
		town.agent("A100001", right, nil)
		town.tie(c, "A100001", "citizen-1")
		before := len(town.events("session.began"))
		page := town.sign("A100001", right, In{})
		cookie := page.Cookie.Reveal()
		var trips []Outcome
		for range 2 {
			trips = append(trips, town.leave(Leaving{Holder: Holder{Origin: street}, Flow: page.Flow, Cookie: cookie}))
		}
		queries := []url.Values{c.visit(trips[0].Leave, "citizen-1"), c.visit(trips[1].Leave, "citizen-1")}
		var wait sync.WaitGroup
		var done atomic.Int32
		for i := range 8 {
			wait.Go(func() {
				if out := town.back(Holder{Origin: street}, cookie, trips[i%2].Away, queries[i%2]); out.Step == StepDone {
					done.Add(1)
				}
			})
		}
		wait.Wait()
		if n := len(town.events("session.began")) - before; n != 1 || done.Load() != 1 {
			t.Errorf("%d came in, %d sessions", done.Load(), n)
		}
	})
}
