package oidc

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis"
)

// published reads what the issuer says of itself.
func (tn *town) published() map[string]any {
	tn.Helper()
	var d map[string]any
	tn.must(json.Unmarshal(tn.get(pathDiscovery).Body.Bytes(), &d))
	return d
}

// The config certification plan.
func TestConfigPlan(t *testing.T) {
	tn := open(t)
	t.Run("discovery-endpoint-verification", func(t *testing.T) {
		d := tn.of(t).published()
		for name, want := range map[string]string{ // Discovery 1.0 §3 and §4.3
			"issuer": inside, "authorization_endpoint": inside + "/authorize", "token_endpoint": inside + "/token",
			"userinfo_endpoint": inside + "/userinfo", "jwks_uri": inside + "/.well-known/jwks.json",
		} {
			if d[name] != want {
				t.Errorf("%s: %v", name, d[name])
			}
		}
		for name, want := range map[string]string{
			"response_types_supported": "code", "subject_types_supported": "public", "id_token_signing_alg_values_supported": "RS256",
			"scopes_supported": "openid", "claims_supported": "sub", "grant_types_supported": "authorization_code",
			"token_endpoint_auth_methods_supported": "client_secret_basic", "code_challenge_methods_supported": "S256",
		} {
			if !has(d[name], want) {
				t.Errorf("%s lacks %s: %v", name, want, d[name])
			}
		}
		for _, name := range []string{"id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported", "token_endpoint_auth_signing_alg_values_supported"} {
			if has(d[name], "none") {
				t.Errorf("%s: %v", name, d[name])
			}
		}
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		tn.must(json.Unmarshal(tn.get(pathKeys).Body.Bytes(), &set))
		seen := map[any]bool{}
		for _, k := range set.Keys {
			if k["kid"] == nil || seen[k["kid"]] || k["use"] != "sig" || k["alg"] == nil || k["d"] != nil || k["p"] != nil {
				t.Errorf("key: %v", k)
			}
			seen[k["kid"]] = true
		}
		if len(set.Keys) < 2 {
			t.Errorf("keys: %v", set)
		}
	})
}

func has(list any, want string) bool {
	all, _ := list.([]any)
	for _, v := range all {
		if v == want {
			return true
		}
	}
	return false
}

// The plan of sign-outs that a client begins (RP-Initiated Logout 1.0).
func TestRPInitiatedLogoutPlan(t *testing.T) {
	tn := open(t)
	enc := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct {
		name   string
		pairs  func(id string) []string
		out    bool   // the agent is signed out at once
		to     string // where they are led
		status int
	}{
		{"rp-initiated-logout", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", back, "state", "o1"}
		}, true, back + "&state=o1", 303},
		{"bad-post-logout-redirect-uri", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", "https://rp.example/other", "state", "o1"}
		}, false, "", 400},
		{"modified-id-token-hint", func(id string) []string {
			part := strings.Split(id, ".")
			return []string{"id_token_hint", enc([]byte(`{"alg":"none"}`)) + "." + part[1] + ".", "post_logout_redirect_uri", back}
		}, false, "", 400},
		{"no-id-token-hint", func(string) []string { return []string{"post_logout_redirect_uri", back, "state", "o1"} }, false, "", 400},
		{"no-params", func(string) []string { return nil }, false, "", 200},
		{"no-post-logout-redirect-uri", func(id string) []string { return []string{"id_token_hint", id, "state", "o1"} }, true, "", 200},
		{"no-state", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", back}
		}, true, back, 303},
		{"only-state", func(string) []string { return []string{"state", "o1"} }, false, "", 200},
		{"query-added-to-post-logout-redirect-uri", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", back + "&foo=bar", "state", "o1"}
		}, false, "", 400},
		{"bad-id-token-hint", func(id string) []string {
			part := strings.Split(id, ".")
			var claims map[string]any
			unverified(id, nil, &claims)
			foreign := sign(t, newKey(t, "ES256", header(t, id)["kid"].(string)), "JWT", false, claims)
			if strings.Split(foreign, ".")[2] == part[2] {
				t.Error("the same signature")
			}
			return []string{"id_token_hint", foreign, "post_logout_redirect_uri", back}
		}, false, "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			tn := tn.of(t)
			tn.cookies = nil
			s := tn.signIn(agentOne)
			id := tn.redeem("rp", tn.code(asks("rp"))).ID
			w := tn.get(signOut(c.pairs(id)...))
			if w.Code != c.status || w.Header().Get("Location") != c.to {
				t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
			}
			_, in := tn.p.Sessions.Session(t.Context(), s.ID)
			u := tn.authorize(asks("rp", "prompt", "none"))
			if in == c.out || (refused(u) == "login_required") != c.out {
				t.Errorf("in: %v, then %s", in, u)
			}
		})
	}
	t.Run("discovery-endpoint-verification", func(t *testing.T) {
		if got := tn.of(t).published()["end_session_endpoint"]; got != inside+pathLogout {
			t.Errorf("end_session_endpoint: %v", got)
		}
	})
}

// The plan of sign-outs that the issuer tells by itself (Back-Channel Logout 1.0).
func TestBackChannelLogoutPlan(t *testing.T) {
	tn := open(t, client("told", func(a *parvis.App) { a.OIDC.BackChannel = "https://rp.example/bcl?x=1" }))
	t.Run("discovery-endpoint-verification", func(t *testing.T) {
		d := tn.of(t).published()
		if d["backchannel_logout_supported"] != true || d["backchannel_logout_session_supported"] != true {
			t.Errorf("%v %v", d["backchannel_logout_supported"], d["backchannel_logout_session_supported"])
		}
	})
	t.Run("backchannel-rp-initiated-logout", func(t *testing.T) {
		tn := tn.of(t)
		tn.signIn(agentOne)
		got := tn.redeem("told", tn.code(asks("told", "redirect_uri", callback)))
		id := tn.claims(got.ID)
		// The agent leaves at once, whatever the application does.
		if u := tn.where(tn.get(signOut("id_token_hint", got.ID, "post_logout_redirect_uri", back))); u.String() != back {
			t.Errorf("led to %s", u)
		}
		due, err := tn.p.Store.DueNotices(t.Context(), tn.clock.Now(), 10)
		if err != nil || len(due) != 1 {
			t.Fatalf("notices: %v, %v", due, err)
		}
		r, err := tn.p.Notice(t.Context(), due[0])
		tn.must(err)
		tn.must(r.ParseForm())
		if r.Method != http.MethodPost || r.URL.String() != "https://rp.example/bcl?x=1" || len(r.PostForm) != 1 {
			t.Errorf("%s %s %v", r.Method, r.URL, r.PostForm)
		}
		token := r.PostForm.Get("logout_token")
		said := tn.claims(token)
		if h := header(t, token); h["typ"] != "logout+jwt" || h["alg"] != "ES256" || h["kid"] == nil {
			t.Errorf("header: %v", h)
		}
		for _, name := range []string{"iss", "sub", "sid", "aud"} {
			if said[name] == nil || said[name] != id[name] {
				t.Errorf("%s: %v, the ID token says %v", name, said[name], id[name])
			}
		}
		events, _ := said["events"].(map[string]any)
		event, _ := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		life := said["exp"].(float64) - said["iat"].(float64)
		if event == nil || len(event) != 0 || said["jti"] == "" || said["jti"] == nil || said["nonce"] != nil || life <= 0 || life > 120 {
			t.Errorf("logout token: %v", said)
		}
	})
}

// The plan of sign-outs that are told through the browser (Front-Channel Logout 1.0).
func TestFrontChannelLogoutPlan(t *testing.T) {
	tn := open(t, client("framed", func(a *parvis.App) { a.OIDC.FrontChannel = "https://rp.example/fcl" }))
	t.Run("discovery-endpoint-verification", func(t *testing.T) {
		d := tn.of(t).published()
		if d["frontchannel_logout_supported"] != true || d["frontchannel_logout_session_supported"] != true {
			t.Errorf("%v %v", d["frontchannel_logout_supported"], d["frontchannel_logout_session_supported"])
		}
	})
	t.Run("frontchannel-rp-initiated-logout", func(t *testing.T) {
		tn := tn.of(t)
		tn.signIn(agentOne)
		got := tn.redeem("framed", tn.code(asks("framed")))
		q := url.Values{"iss": {inside}, "sid": {tn.claims(got.ID)["sid"].(string)}}
		w := tn.get(signOut("id_token_hint", got.ID, "post_logout_redirect_uri", back, "state", "f1"))
		frame := strings.ReplaceAll("https://rp.example/fcl?"+q.Encode(), "&", "&amp;")
		if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, `src="`+frame+`"`) || !strings.Contains(body, "state=f1") {
			t.Errorf("%d %s: %s", w.Code, frame, w.Body)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src https://rp.example") {
			t.Errorf("policy: %s", csp)
		}
	})
}

// A session that was raised has another identifier: a code that was given before
// is redeemed all the same, and ends what it got when it is shown again; one whose
// session ended is not.
func TestCodesFollowTheirSession(t *testing.T) {
	tn := open(t, client("stays", func(a *parvis.App) { a.OIDC.Offline = true }))
	s := tn.signIn(agentOne)
	code, later := tn.code(asks("rp")), tn.code(asks("rp"))
	tn.raise(s, parvis.TOTP)
	got := tn.redeem("rp", code)
	if acr := tn.claims(got.ID)["acr"]; acr != "eidas1" { // what was true when it was given
		t.Errorf("acr: %v", acr)
	}
	if w := tn.form("/token", redemption("rp", code), false); tn.answer(w).Error != "invalid_grant" || tn.active("rp", got.Access) || tn.active("rp", got.Refresh) {
		t.Errorf("shown again after the session was raised: %s", w.Body)
	}
	if w := tn.form("/token", redemption("rp", later, "code_verifier", strings.Repeat("x", 43)), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("another verifier: %s", w.Body)
	}
	if w := tn.form("/token", redemption("rp", later), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("spoilt, then its client: %s", w.Body)
	}
	// Another session of the same agent is not that session.
	tn.cookies = nil
	tn.clock.Move(time.Second)
	s = tn.signIn(agentOne)
	code = tn.code(asks("rp"))
	lasting := tn.code(asks("stays", "scope", "openid offline_access"))
	kept := tn.redeem("stays", lasting)
	tn.leave(s)
	tn.clock.Move(time.Second)
	tn.signIn(agentOne)
	if w := tn.form("/token", redemption("rp", code), false); tn.answer(w).Error != "invalid_grant" {
		t.Errorf("of a session that ended: %s", w.Body)
	}
	// What may outlive the session ends when its code is shown again.
	if !tn.active("stays", kept.Refresh) {
		t.Fatal("it does not outlive its session")
	}
	if w := tn.form("/token", redemption("stays", lasting), false); tn.answer(w).Error != "invalid_grant" || tn.active("stays", kept.Refresh) {
		t.Errorf("shown again after the session: %s", w.Body)
	}
}
