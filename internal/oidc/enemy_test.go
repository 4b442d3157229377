package oidc

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
)

// 1. A stranger reads the name of a public client in its page.
// 2. They push requests in its name, as fast and as large as they can: each is
// kept for an hour, and its event for ever.
func TestAttackStrangersPushRequests(t *testing.T) {
	tn := open(t, client("spa", func(a *parvis.App) { a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil }))
	if w := tn.form("/par", asks("spa", "more", strings.Repeat("x", 200<<10)), false); tn.answer(w).Error != "invalid_request" {
		t.Errorf("200 KB: %d %s", w.Code, w.Body)
	}
	count := map[int]int{}
	for range 2 * mostBegun {
		count[tn.form("/par", asks("spa"), false).Code]++
	}
	kept, err := tn.p.Store.Documents(t.Context(), kindPushed)
	tn.must(err)
	if len(kept) >= 2*mostBegun || count[http.StatusCreated] != len(kept) || len(kept) > mostBegun {
		t.Errorf("kept %d, answers %v", len(kept), count)
	}
	// Clients that show who they are wait for nobody.
	q := asks("rp")
	q.Set("client_secret", pass)
	if w := tn.form("/par", q, false); w.Code != http.StatusCreated {
		t.Errorf("another client: %d %s", w.Code, w.Body)
	}
}

// 1. The enemy begins a request with prompt=login where nobody is signed in, and
// keeps the way back; it is made again whenever they show it.
// 2. Days later a colleague signs in, works for hours and leaves their desk.
// 3. The enemy puts the way back into that browser.
func TestAttackAMarkMadeBeforehand(t *testing.T) {
	for _, days := range []bool{false, true} {
		tn := open(t)
		path := "/authorize?" + asks("rp", "prompt", "login").Encode()
		enemy := tn.of(t)
		renew := func() {
			path = enemy.where(enemy.get(path)).Query().Get("to")
			tn.clock.Move(20 * time.Minute)
		}
		if renew(); days {
			for range 100 {
				renew()
			}
		}
		tn.signIn(agentOne)
		renew()
		if u := tn.where(tn.get(path)); u.Path != "/prove" || u.Query().Get("level") != "eidas1" {
			t.Errorf("days %v: a proof of 20 minutes ago is a new one: %s", days, u)
		}
	}
}

// 1. A client outside the organisation uses the device grant, so that nobody is
// asked whether it may be told who they are.
func TestAttackADeviceIsToldWithoutConsent(t *testing.T) {
	tn := open(t, client("tv", func(a *parvis.App) {
		a.External, a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.Device, a.OIDC.Redirects = true, parvis.PublicClient, nil, true, nil
	}))
	tn.signIn(agentOne)
	d := tn.begin("tv")
	w := tn.form("/device", map[string][]string{"user_code": {d.User}}, true)
	if told := tn.p.Words.Say("en", "oidc.claim.email", nil); !strings.Contains(w.Body.String(), told) {
		t.Errorf("the page does not say what is told (%q)", told)
	}
	tn.allow(d, "yes")
	if got := tn.poll("tv", d); got.Access == "" {
		t.Errorf("%+v", got)
	}
	given, err := tn.p.given(t.Context(), agentOne, "tv")
	if err != nil || given == nil || strings.Join(given.Claims, " ") != "email" {
		t.Errorf("agreed to: %+v, %v", given, err)
	}
	events, err := tn.p.Store.Events(t.Context(), store.EventFilter{Kind: "consent.given"})
	if err != nil || len(events) != 1 {
		t.Errorf("%d recorded, %v", len(events), err)
	}
}

// An application outside the organisation waits for IT to let it have more.
//
//  1. It asks for the address and the number of the agent, who agrees to the
//     address: it may have no more that day.
//  2. IT lets it have the number too.
//  3. With the tokens of before it asks UserInfo again.
func TestNoMoreThanConsented(t *testing.T) {
	tn := open(t, client("ext", func(a *parvis.App) { a.External = true }))
	if err := tn.p.ready(); err != nil {
		t.Fatal(err)
	}
	told := func() map[string]any {
		return tn.p.claims(t.Context(), found{grant: store.Grant{App: "ext", Agent: agentOne, Channel: parvis.Mobile}}, []string{"email", "uid"})
	}
	if got := told(); got["email"] != nil || got["uid"] != nil {
		t.Errorf("before any consent: %v", got)
	}
	for _, step := range []struct {
		agree      string
		email, uid bool
	}{{"email", true, false}, {"uid", true, true}} { // a second consent takes nothing back
		if err := tn.p.giveConsent(t.Context(), parvis.Session{}, asking{App: "ext", Agent: agentOne, Claims: []string{step.agree}}); err != nil {
			t.Fatal(err)
		}
		if got := told(); (got["email"] != nil) != step.email || (got["uid"] != nil) != step.uid {
			t.Errorf("agreed to %s: told %v", step.agree, got)
		}
	}
}
