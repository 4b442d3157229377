package oidc

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

var ticketField = regexp.MustCompile(`name="ticket" value="([^"]+)"`)

func ticketIn(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	found := ticketField.FindStringSubmatch(w.Body.String())
	if found == nil {
		t.Fatalf("no form in the page: %d %s", w.Code, w.Body)
	}
	return found[1]
}

func signOut(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "/oidc/logout?" + q.Encode()
}

func TestSignOutAsked(t *testing.T) {
	tn := open(t, client("other", nil))
	s := tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	in := func() bool { _, ok := tn.p.Sessions.Session(t.Context(), s.ID); return ok }
	foreign := open(t)
	foreign.signIn(agentOne)
	strange := foreign.redeem("rp", foreign.code(asks("rp"))).ID
	none := "eyJhbGciOiJub25lIn0" + got.ID[strings.IndexByte(got.ID, '.'):strings.LastIndexByte(got.ID, '.')+1]
	// Nobody is signed out, and nobody is led elsewhere, by a request that does
	// not prove where it comes from: a page asks, or says what is wrong.
	for name, c := range map[string]struct {
		path   string
		status int
	}{
		"no parameters":           {signOut(), 200},
		"only a state":            {signOut("state", "x"), 200},
		"no hint":                 {signOut("client_id", "rp", "post_logout_redirect_uri", back, "state", "x"), 200},
		"only an address":         {signOut("post_logout_redirect_uri", back), 400},
		"a hint by another key":   {signOut("id_token_hint", strange, "post_logout_redirect_uri", back), 400},
		"a hint without a key":    {signOut("id_token_hint", none, "post_logout_redirect_uri", back), 400},
		"a hint that is altered":  {signOut("id_token_hint", got.ID[:len(got.ID)-5]+"AAAAA"), 400},
		"an access token as hint": {signOut("id_token_hint", got.Access), 400},
		"another address":         {signOut("id_token_hint", got.ID, "post_logout_redirect_uri", "https://rp.example/out"), 400},
		"an address with more":    {signOut("id_token_hint", got.ID, "post_logout_redirect_uri", back+"&b=2"), 400},
		"another client":          {signOut("id_token_hint", got.ID, "client_id", "other", "post_logout_redirect_uri", back), 400},
		"an unknown client":       {signOut("client_id", "nobody"), 400},
	} {
		w := tn.get(c.path)
		if w.Code != c.status || w.Header().Get("Location") != "" || !in() {
			t.Errorf("%s: %d %s, still in: %v", name, w.Code, w.Header().Get("Location"), in())
		}
		ticketIn(t, w)
	}
	// Confirmed: then only.
	w := tn.get(signOut("client_id", "rp", "post_logout_redirect_uri", back, "state", "x y"))
	w = tn.form("/oidc/logout", url.Values{"ticket": {ticketIn(t, w)}}, true)
	if to := w.Header().Get("Location"); to != back+"&state=x+y" || in() || len(tn.cookies) != 0 {
		t.Errorf("confirmed: %d %s, still in: %v", w.Code, to, in())
	}
	if tn.active("rp", got.Access) || tn.active("rp", got.Refresh) {
		t.Error("tokens outlived the session")
	}
	if w := tn.get(signOut("id_token_hint", got.ID, "post_logout_redirect_uri", back)); w.Header().Get("Location") != back {
		t.Errorf("nobody is in any more: %d %s", w.Code, w.Header())
	}
	if w := tn.get(signOut()); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "oidc_logout_done") {
		t.Errorf("nobody, nothing: %d", w.Code)
	}
}

func TestSignOutWithAHint(t *testing.T) {
	tn := open(t, client("other", nil))
	for name, q := range map[string][]string{
		"as ProConnect does, without client_id": {"post_logout_redirect_uri", back, "state", "42"},
		"with client_id":                        {"post_logout_redirect_uri", back, "state", "42", "client_id", "rp"},
	} {
		s := tn.signIn(agentOne)
		id := tn.redeem("rp", tn.code(asks("rp"))).ID
		w := tn.get(signOut(append(q, "id_token_hint", id)...))
		if _, in := tn.p.Sessions.Session(t.Context(), s.ID); in || w.Header().Get("Location") != back+"&state=42" {
			t.Errorf("%s: %d %s, in: %v", name, w.Code, w.Header().Get("Location"), in)
		}
	}
	s := tn.signIn(agentOne)
	id := tn.redeem("rp", tn.code(asks("rp"))).ID
	if w := tn.get(signOut("id_token_hint", id)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "oidc_logout_done") {
		t.Errorf("without an address: %d", w.Code)
	}
	if _, in := tn.p.Sessions.Session(t.Context(), s.ID); in {
		t.Error("still in")
	}
	// It may be posted; the session's cookie does not come with another site's post.
	w := tn.form("/oidc/logout", url.Values{"id_token_hint": {id}, "post_logout_redirect_uri": {back}}, false)
	if u := tn.where(w); u.Path != "/oidc/logout" || u.Query().Get("id_token_hint") != id {
		t.Errorf("posted: %s", u)
	}
}

func TestSignOutTellsApplications(t *testing.T) {
	tn := open(t,
		client("front", func(a *parvis.App) { a.OIDC.FrontChannel = "https://rp.example/front?x=1" }),
		client("backs", func(a *parvis.App) {
			a.OIDC.BackChannel, a.OIDC.RS256, a.OIDC.Pairwise = "https://rp.example/bcl", true, true
		}))
	tn.signIn(agentOne)
	front := tn.claims(tn.redeem("front", tn.code(asks("front"))).ID)
	backs := tn.redeem("backs", tn.code(asks("backs")))
	hint := tn.redeem("rp", tn.code(asks("rp"))).ID
	w := tn.get(signOut("id_token_hint", hint, "post_logout_redirect_uri", back))
	frame := "https://rp.example/front?x=1&amp;iss=http%3A%2F%2Fagents.localhost%3A8080&amp;sid=" + front["sid"].(string)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), frame) || !strings.Contains(w.Body.String(), "https://rp.example/out?a=1") {
		t.Errorf("%d: %s is not in %s", w.Code, frame, w.Body)
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src https://rp.example") {
		t.Errorf("policy: %s", csp)
	}
	due, err := tn.p.Store.DueNotices(t.Context(), tn.clock.Now(), 10)
	if err != nil || len(due) != 1 || due[0].App != "backs" {
		t.Fatalf("notices: %v, %v", due, err)
	}
	r, err := tn.p.Notice(t.Context(), due[0])
	tn.must(err)
	if r.URL.String() != "https://rp.example/bcl" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("%s %s %s", r.Method, r.URL, r.Header)
	}
	tn.must(r.ParseForm())
	token := r.PostForm.Get("logout_token")
	got, id := tn.claims(token), tn.claims(backs.ID)
	if h := header(t, token); h["typ"] != "logout+jwt" || h["alg"] != "RS256" {
		t.Errorf("header: %v", h)
	}
	want := map[string]any{
		"iss": inside, "aud": "backs", "sub": id["sub"], "sid": id["sid"], "events": map[string]any{logoutEvent: map[string]any{}},
		"iat": got["iat"], "exp": got["iat"].(float64) + 120, "jti": got["jti"],
	}
	if d := cmp.Diff(want, got); d != "" || got["jti"] == "" {
		t.Errorf("logout token:\n%s", d)
	}
	// A logout token is no ID token, and no access token.
	if status, _ := tn.userInfo(token); status != http.StatusUnauthorized {
		t.Errorf("a logout token at UserInfo: %d", status)
	}
	tn.signIn(agentOne)
	if w := tn.get(signOut("id_token_hint", token)); w.Code != http.StatusBadRequest {
		t.Errorf("a logout token as a hint: %d", w.Code)
	}
	due[0].App = "rp"
	if _, err := tn.p.Notice(t.Context(), due[0]); parvis.CodeOf(err) != parvis.CodeNotFound {
		t.Errorf("an application that is not to be told: %v", err)
	}
}
