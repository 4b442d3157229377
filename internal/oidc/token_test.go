package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
)

func TestClientsAuthenticate(t *testing.T) {
	tn := open(t, client("pub", func(a *parvis.App) { a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil }))
	tn.signIn(agentOne)
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
	}
	for name, c := range map[string]struct {
		id     string
		pairs  []string
		change func(*http.Request)
		want   string
	}{
		"basic":              {"rp", []string{"client_id", "", "client_secret", ""}, basic("rp", pass), ""},
		"basic and the id":   {"rp", []string{"client_secret", ""}, basic("rp", pass), ""},
		"post":               {"rp", nil, func(*http.Request) {}, ""},
		"extra parameters":   {"rp", []string{"sp_id", "1", "sp_name", "x", "scope", "admin", "resource", "https://x"}, func(*http.Request) {}, ""},
		"public":             {"pub", []string{"client_secret", ""}, func(*http.Request) {}, ""},
		"public by basic":    {"pub", []string{"client_secret", ""}, basic("pub", ""), ""},
		"nothing":            {"rp", []string{"client_id", "", "client_secret", ""}, func(*http.Request) {}, "invalid_client"},
		"no secret":          {"rp", []string{"client_secret", ""}, func(*http.Request) {}, "invalid_client"},
		"another secret":     {"rp", []string{"client_secret", pass + "x"}, func(*http.Request) {}, "invalid_client"},
		"unknown":            {"rp", []string{"client_id", "nobody"}, func(*http.Request) {}, "invalid_client"},
		"two ways at once":   {"rp", nil, basic("rp", pass), "invalid_request"},
		"another id":         {"rp", []string{"client_id", "pub", "client_secret", ""}, basic("rp", pass), "invalid_client"},
		"an assertion of rp": {"rp", []string{"client_secret", "", "client_assertion", "e30.e30.AA", "client_assertion_type", string(goidc.AssertionTypeJWTBearer)}, func(*http.Request) {}, "invalid_client"},
	} {
		code := tn.code(asks(c.id))
		w := tn.form("/token", redemption(c.id, code, c.pairs...), false, c.change)
		got := tn.answer(w)
		if got.Error != c.want || (c.want == "") != (got.Access != "") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be stored", name)
		}
		if c.want == "invalid_client" && (w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ")) {
			t.Errorf("%s: %d %s", name, w.Code, w.Header())
		}
	}
	w := tn.form("/token", url.Values{"grant_type": {"password"}, "username": {"a"}, "password": {"b"}, "client_id": {"rp"}, "client_secret": {pass}}, false)
	if tn.answer(w).Error != "unsupported_grant_type" || w.Code != http.StatusBadRequest {
		t.Errorf("a password: %d %s", w.Code, w.Body)
	}
	f := redemption("rp", tn.code(asks("rp")))
	f.Add("code", "x")
	if w := tn.form("/token", f, false); tn.answer(w).Error != "invalid_request" {
		t.Errorf("a parameter twice: %s", w.Body)
	}
	if w := tn.do(httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(`{"grant_type":"authorization_code"}`)), false); w.Code < 400 || w.Code >= 500 {
		t.Errorf("no form: %d %s", w.Code, w.Body)
	}
}

func newKey(t testing.TB, alg jose.SignatureAlgorithm, name string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: name, Algorithm: string(alg), Use: "sig"}
}

func publicSet(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func sign(t testing.TB, key jose.JSONWebKey, typ string, embed bool, claims map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{EmbedJWK: embed}
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// assertion gives what a client says of itself (RFC 7523 §3); nil takes out.
func assertion(id, jti string, pairs ...any) map[string]any {
	at := time.Now().Unix()
	c := map[string]any{"iss": id, "sub": id, "aud": inside, "exp": at + 60, "iat": at, "jti": jti}
	for i := 0; i+1 < len(pairs); i += 2 {
		c[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		}
	}
	return c
}

// asserts redeems a code with an assertion.
func (tn *town) asserts(id, assertion string) tokens {
	tn.Helper()
	f := redemption(id, tn.code(asks(id)), "client_secret", "", "client_id", "", "client_assertion", assertion, "client_assertion_type", string(goidc.AssertionTypeJWTBearer))
	return tn.answer(tn.form("/token", f, false))
}

func TestPrivateKeyJWT(t *testing.T) {
	key, second, stranger := newKey(t, jose.ES256, "k1"), newKey(t, jose.ES256, "k2"), newKey(t, jose.ES256, "k1")
	tn := open(t, client("signs", func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.JWKS = parvis.PrivateKeyJWT, nil, publicSet(t, key)
	}))
	tn.signIn(agentOne)
	// The public key taken for a shared secret.
	hs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(publicSet(t, key))}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
	tn.must(err)
	shared, err := jwt.Signed(hs).Claims(assertion("signs", "hs")).Serialize()
	tn.must(err)
	body, err := json.Marshal(assertion("signs", "none"))
	tn.must(err)
	enc := base64.RawURLEncoding.EncodeToString
	unsigned := enc([]byte(`{"alg":"none","kid":"k1"}`)) + "." + enc(body) + "."
	by := func(key jose.JSONWebKey, claims map[string]any) string { return sign(t, key, "", false, claims) }
	good := by(key, assertion("signs", "j1"))
	for _, c := range []struct {
		name, assertion, want string
	}{
		{"as it should be", good, ""},
		{"shown twice", good, "invalid_client"},
		{"for the token endpoint", by(key, assertion("signs", "j2", "aud", inside+"/token")), ""},
		{"for somebody else", by(key, assertion("signs", "j3", "aud", "https://other.example")), "invalid_client"},
		{"for the other issuer", by(key, assertion("signs", "j4", "aud", outside)), "invalid_client"},
		{"by another key of the name", by(stranger, assertion("signs", "j5")), "invalid_client"},
		{"by an unknown key", by(second, assertion("signs", "j6")), "invalid_client"},
		{"expired", by(key, assertion("signs", "j7", "exp", time.Now().Unix()-60)), "invalid_client"},
		{"for a day", by(key, assertion("signs", "j8", "exp", time.Now().Unix()+86400)), "invalid_client"},
		{"for ever", by(key, assertion("signs", "j9", "exp", nil)), "invalid_client"},
		{"without a name", by(key, assertion("signs", "")), "invalid_client"},
		{"of another subject", by(key, assertion("signs", "j10", "sub", "rp")), "invalid_client"},
		{"HS256 with the public key", shared, "invalid_client"},
		{"alg none", unsigned, "invalid_client"},
	} {
		if got := tn.asserts("signs", c.assertion); got.Error != c.want {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
	}
}

// FAPI 2.0 §5.3.2.1: the issuer alone.
func TestAssertionsOfStrictClients(t *testing.T) {
	key := newKey(t, jose.ES256, "k1")
	tn := open(t, client("fapi", func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.JWKS, a.OIDC.RequirePAR, a.OIDC.RequireDPoP = parvis.PrivateKeyJWT, nil, publicSet(t, key), true, true
	}))
	for i, aud := range []any{inside, inside + "/par", []string{inside, "https://other.example"}, []string{inside}} {
		f := asks("fapi")
		f.Set("client_assertion", sign(t, key, "", false, assertion("fapi", "f"+string(rune('0'+i)), "aud", aud)))
		f.Set("client_assertion_type", string(goidc.AssertionTypeJWTBearer))
		if uri, w := tn.push(f); (uri != "") != (i == 0) || i > 0 && tn.answer(w).Error != "invalid_client" {
			t.Errorf("aud %v: %s", aud, w.Body)
		}
	}
}

// Keys that a client keeps elsewhere are read once, and again for a new one.
func TestKeysElsewhere(t *testing.T) {
	key, second := newKey(t, jose.ES256, "k1"), newKey(t, jose.ES256, "k2")
	var served atomic.Value
	served.Store(publicSet(t, key))
	var reads atomic.Int32
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		_, _ = w.Write([]byte(served.Load().(string)))
	}))
	t.Cleanup(remote.Close)
	tn := open(t, client("away", func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.JWKSURI = parvis.PrivateKeyJWT, nil, remote.URL
	}))
	tn.signIn(agentOne)
	try := func(key jose.JSONWebKey, jti string) tokens {
		t.Helper()
		return tn.asserts("away", sign(t, key, "", false, assertion("away", jti)))
	}
	for _, jti := range []string{"a1", "a2", "a3"} {
		if got := try(key, jti); got.Error != "" {
			t.Errorf("keys elsewhere: %+v", got)
		}
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("read %d times", n)
	}
	served.Store(publicSet(t, second))
	if got := try(second, "b1"); got.Error != "invalid_client" { // strangers cannot make us ask again and again
		t.Errorf("asked again at once: %+v", got)
	}
	tn.p.remote.sets[remote.URL].read = time.Now().Add(-remoteAgain - time.Second)
	if got := try(second, "b2"); got.Error != "" || reads.Load() != 2 {
		t.Errorf("a new key: %+v, read %d times", got, reads.Load())
	}
	// Other kinds of keys; without names the one of the algorithm is taken.
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	tn.must(err)
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	tn.must(err)
	plain := func(key any) jose.JSONWebKey { return jose.JSONWebKey{Key: key} }
	served.Store(publicSet(t, plain(ed), plain(big), plain(key.Key)))
	for i, k := range []jose.JSONWebKey{{Key: ed, Algorithm: "EdDSA"}, {Key: big, Algorithm: "RS256"}, {Key: key.Key, Algorithm: "ES256"}} {
		tn.p.remote.sets[remote.URL].read = time.Time{}
		if got := try(k, "c"+string(rune('0'+i))); got.Error != "" {
			t.Errorf("%s: %+v", k.Algorithm, got)
		}
	}
	remote.Close()
	tn.p.remote.sets[remote.URL].read = time.Time{}
	if got := try(jose.JSONWebKey{Key: ed, Algorithm: "EdDSA"}, "d1"); got.Error != "" {
		t.Errorf("those that were read serve while they cannot be read again: %+v", got)
	}
}

func TestShortKeysDoNotServe(t *testing.T) {
	for bits, want := range map[int]int{1024: 0, 2047: 0, 2048: 1} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		set, err := readSet([]byte(publicSet(t, jose.JSONWebKey{Key: key, KeyID: "k", Algorithm: "PS256"})))
		if err != nil || len(set.Keys) != want {
			t.Errorf("%d bits: %v, %v", bits, set.Keys, err)
		}
	}
}

func TestRefreshTokens(t *testing.T) {
	tn := open(t, client("other", nil), client("stays", func(a *parvis.App) { a.OIDC.Offline = true }))
	s := tn.signIn(agentOne)
	first := tn.redeem("rp", tn.code(asks("rp")))
	second := tn.refresh("rp", first.Refresh)
	third := tn.refresh("rp", second.Refresh)
	if third.Access == "" {
		t.Fatalf("refresh: %+v", third)
	}
	if got := tn.answer(tn.form("/token", refreshing("other", third.Refresh), false)); got.Error != "invalid_grant" {
		t.Errorf("another client: %+v", got)
	}
	if got := tn.answer(tn.form("/token", refreshing("rp", third.Refresh, "scope", "openid siret"), false)); got.Error != "invalid_scope" {
		t.Errorf("more than was granted: %+v", got)
	}
	if !tn.active("rp", third.Refresh) || tn.active("rp", second.Refresh) {
		t.Error("introspection of the present one and of the one before")
	}
	fourth := tn.answer(tn.form("/token", refreshing("rp", third.Refresh, "scope", "openid"), false))
	if fourth.Scope != "openid" {
		t.Errorf("less than was granted: %+v", fourth)
	}
	// One that was replaced is shown again: everything that came of it ends.
	if got := tn.refresh("rp", first.Refresh); got.Error != "invalid_grant" {
		t.Errorf("reuse: %+v", got)
	}
	for name, token := range map[string]string{"refresh": fourth.Refresh, "access": fourth.Access, "first access": first.Access} {
		if tn.active("rp", token) {
			t.Errorf("the %s token outlived a reuse", name)
		}
	}
	if got := tn.refresh("rp", fourth.Refresh); got.Error != "invalid_grant" {
		t.Errorf("after a reuse: %+v", got)
	}
	found := false
	for _, trouble := range tn.p.Register.Troubles("rp") {
		found = found || strings.Contains(trouble.Text, "used twice")
	}
	if !found {
		t.Error("the owner is not told of the reuse")
	}
	// With its session a grant ends, unless it may outlive it.
	bound := tn.redeem("stays", tn.code(asks("stays")))
	stays := tn.redeem("stays", tn.code(asks("stays", "scope", "openid offline_access")))
	tn.leave(s)
	if got := tn.refresh("stays", bound.Refresh); got.Error != "invalid_grant" {
		t.Errorf("after the session: %+v", got)
	}
	for range 3 {
		tn.clock.Move(20 * 24 * time.Hour)
		next := tn.refresh("stays", stays.Refresh)
		if next.Access == "" {
			t.Fatalf("offline: %+v", next)
		}
		stays = next
	}
	tn.clock.Move(31 * 24 * time.Hour)
	if got := tn.refresh("stays", stays.Refresh); got.Error != "invalid_grant" {
		t.Errorf("after 91 days: %+v", got)
	}
}

func TestOfficeHoursStopTokens(t *testing.T) {
	tn := open(t, client("office", func(a *parvis.App) { a.OfficeHours = true }))
	tn.signIn(agentOne)
	got := tn.redeem("office", tn.code(asks("office")))
	tn.clock.Set(time.Date(2026, 11, 24, 18, 30, 0, 0, time.UTC)) // 19:30 in Paris
	tn.signIn(agentOne)
	late := tn.redeem("office", tn.code(asks("office")))
	tn.clock.Set(time.Date(2026, 11, 24, 19, 0, 1, 0, time.UTC)) // 20:00
	if again := tn.refresh("office", late.Refresh); again.Error != "invalid_grant" {
		t.Errorf("refresh after hours: %+v", again)
	}
	if status, _ := tn.userInfo(late.Access); status != http.StatusUnauthorized || tn.active("office", late.Access) {
		t.Errorf("userinfo after hours: %d", status)
	}
	if got.Refresh == late.Refresh {
		t.Error("the same token twice")
	}
	tn.clock.Set(time.Date(2026, 11, 24, 18, 59, 0, 0, time.UTC)) // what was refused for its hour has not ended
	if again := tn.refresh("office", late.Refresh); again.Access == "" {
		t.Errorf("within hours again: %+v", again)
	}
}

func TestRevocationAndIntrospection(t *testing.T) {
	tn := open(t, client("other", nil), client("api", func(a *parvis.App) { a.OIDC.Introspects = true }), client("pub", func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets = parvis.PublicClient, nil
	}))
	tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	ask := func(id, secret, token string) (int, map[string]any) {
		t.Helper()
		w := tn.form("/introspect", url.Values{"token": {token}, "client_id": {id}, "client_secret": {secret}}, false)
		var said map[string]any
		tn.must(json.Unmarshal(w.Body.Bytes(), &said))
		return w.Code, said
	}
	nothing := map[string]any{"active": false}
	status, said := ask("api", pass, got.Access)
	if status != http.StatusOK || said["active"] != true || said["client_id"] != "rp" || said["sub"] != string(agentOne) || said["acr"] != "eidas1" || said["scope"] != "openid profile email" || said["username"] != "a100001@example.org" {
		t.Errorf("a resource server: %d %v", status, said)
	}
	for name, token := range map[string]string{"nonsense": "x", "an ID token": got.ID, "empty form": "a.b.c"} {
		if status, said := ask("api", pass, token); status != http.StatusOK || !cmp.Equal(said, nothing) {
			t.Errorf("%s: %d %v", name, status, said)
		}
	}
	if status, said := ask("other", pass, got.Access); status != http.StatusOK || !cmp.Equal(said, nothing) {
		t.Errorf("another client: %d %v", status, said)
	}
	if _, said := ask("pub", "", got.Access); said["active"] == true {
		t.Errorf("a public client: %v", said)
	}
	if status, _ := ask("api", "wrong", got.Access); status != http.StatusUnauthorized {
		t.Errorf("without its secret: %d", status)
	}
	revoke := func(id, token string) int {
		t.Helper()
		return tn.form("/revoke", url.Values{"token": {token}, "client_id": {id}, "client_secret": {pass}}, false).Code
	}
	if code := revoke("other", got.Refresh); code != http.StatusBadRequest || !tn.active("rp", got.Refresh) {
		t.Errorf("another client's: %d", code)
	}
	if code := revoke("rp", "never given"); code != http.StatusOK { // RFC 7009 §2.2
		t.Errorf("unknown: %d", code)
	}
	if code := revoke("rp", got.Refresh); code != http.StatusOK || tn.active("rp", got.Refresh) || tn.active("rp", got.Access) {
		t.Errorf("its own: %d", code)
	}
	more := tn.redeem("rp", tn.code(asks("rp")))
	if code := revoke("rp", more.Access); code != http.StatusOK || tn.active("rp", more.Access) {
		t.Errorf("an access token: %d", code)
	}
	if status, _ := tn.userInfo(more.Access); status != http.StatusUnauthorized {
		t.Errorf("userinfo after: %d", status)
	}
}

func TestUserInfo(t *testing.T) {
	tn := open(t, client("jwt", func(a *parvis.App) { a.OIDC.SignedUserInfo, a.OIDC.RS256 = true, true }))
	tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	if w := tn.form("/userinfo", url.Values{"access_token": {got.Access}}, false); w.Code != http.StatusOK {
		t.Errorf("in the body: %d %s", w.Code, w.Body)
	}
	if w := tn.form("/userinfo", nil, false, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.Access) }); w.Code != http.StatusOK {
		t.Errorf("posted, in the header: %d %s", w.Code, w.Body)
	}
	for name, c := range map[string]struct {
		header, body, challenge string
		status                  int
	}{
		"nothing":    {"", "", `Bearer realm="` + inside + `"`, 401},
		"unknown":    {"Bearer x", "", `Bearer realm="` + inside + `", error="invalid_token"`, 401},
		"ID token":   {"Bearer " + got.ID, "", `Bearer realm="` + inside + `", error="invalid_token"`, 401},
		"basic":      {"Basic " + got.Access, "", `Bearer realm="` + inside + `", error="invalid_token"`, 401},
		"as DPoP":    {"DPoP " + got.Access, "", `DPoP realm="` + inside + `", algs="ES256 PS256 EdDSA", error="invalid_token"`, 401},
		"both":       {"Bearer " + got.Access, got.Access, "", 400},
		"in a query": {"", "", `Bearer realm="` + inside + `"`, 401},
	} {
		r := httptest.NewRequest(http.MethodPost, "/userinfo?access_token="+got.Access, strings.NewReader(url.Values{"access_token": {c.body}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		if w := tn.do(r, false); w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %q", name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
	signed := tn.redeem("jwt", tn.code(asks("jwt")))
	r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+signed.Access)
	w := tn.do(r, false)
	if w.Header().Get("Content-Type") != "application/jwt" || header(t, w.Body.String())["alg"] != "RS256" {
		t.Fatalf("signed: %s %s", w.Header(), w.Body)
	}
	if who := tn.claims(w.Body.String()); who["aud"] != "jwt" || who["iss"] != inside || who["sub"] != string(agentOne) || who["email"] == nil {
		t.Errorf("signed: %v", who)
	}
}

func TestPairwiseSubjects(t *testing.T) {
	pairwise := func(sector string) func(*parvis.App) {
		return func(a *parvis.App) { a.OIDC.Pairwise, a.OIDC.Sector = true, sector }
	}
	tn := open(t, client("p1", pairwise("")), client("p2", pairwise("")), client("s1", pairwise("s")), client("s2", pairwise("s")))
	tn.signIn(agentOne)
	subs := map[string]any{}
	for _, id := range []string{"p1", "p2", "s1", "s2"} {
		got := tn.redeem(id, tn.code(asks(id)))
		claims := tn.claims(got.ID)
		_, who := tn.userInfo(got.Access)
		subs[id] = claims["sub"]
		if claims["sub"] == string(agentOne) || claims["sub"] != who["sub"] || tn.claims(got.Access)["sub"] != claims["sub"] {
			t.Errorf("%s: %v, %v", id, claims["sub"], who["sub"])
		}
		if u := tn.authorize(asks(id, "id_token_hint", got.ID, "prompt", "none")); u.Query().Get("code") == "" {
			t.Errorf("%s: its own hint: %s", id, u)
		}
	}
	if subs["p1"] == subs["p2"] || subs["s1"] != subs["s2"] || subs["s1"] == subs["p1"] {
		t.Errorf("subjects: %v", subs)
	}
}

func TestManyRedeemOneCode(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	code := tn.code(asks("rp"))
	var wg sync.WaitGroup
	answers := make([]tokens, 20)
	for i := range answers {
		wg.Go(func() {
			w := tn.form("/token", redemption("rp", code), false)
			_ = json.Unmarshal(w.Body.Bytes(), &answers[i])
		})
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.Access == "" {
			if a.Error != "invalid_grant" {
				t.Errorf("the others: %+v", a)
			}
			continue
		}
		won++
		if tn.active("rp", a.Access) || tn.active("rp", a.Refresh) {
			t.Error("what the first got outlived the others")
		}
	}
	if won > 1 {
		t.Errorf("%d won", won)
	}
}

func TestManyRefreshAtOnce(t *testing.T) {
	tn := open(t)
	tn.signIn(agentOne)
	got := tn.redeem("rp", tn.code(asks("rp")))
	var wg sync.WaitGroup
	answers := make([]tokens, 8)
	for i := range answers {
		wg.Go(func() {
			w := tn.form("/token", refreshing("rp", got.Refresh), false)
			_ = json.Unmarshal(w.Body.Bytes(), &answers[i])
		})
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.Refresh != "" {
			won++
			if tn.active("rp", a.Refresh) {
				t.Error("a token that was used by several goes on")
			}
		}
	}
	if won > 1 {
		t.Errorf("%d won", won)
	}
}
