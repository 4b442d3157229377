package citytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis"
)

// forgeries are tokens that say what claims say, by whoever does not have the key
// of which public is known: kid is its name.
func (e *enemy) forgeries(public jose.JSONWebKey, typ string, claims map[string]any) map[string]string {
	e.t.Helper()
	der, err := json.Marshal(public)
	if err != nil {
		e.t.Fatal(err)
	}
	h := func(more map[string]any) map[string]any {
		all := map[string]any{"kid": public.KeyID, "typ": typ}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	own := e.other
	own.KeyID = public.KeyID
	return map[string]string{
		"none":                      e.unsigned(h(nil), claims),
		"None":                      e.unsigned(h(map[string]any{"alg": "None"}), claims),
		"none, no algorithm":        e.unsigned(h(map[string]any{"alg": ""}), claims),
		"a signature cut off":       strings.TrimSuffix(e.unsigned(h(map[string]any{"alg": "ES256"}), claims), "."),
		"an empty signature":        e.unsigned(h(map[string]any{"alg": "ES256"}), claims),
		"a signature of zeros":      e.unsigned(h(map[string]any{"alg": "ES256"}), claims) + strings.Repeat("A", 86),
		"HS256 with the public key": e.signed(own, jose.HS256, der, h(nil), claims),
		"HS256 with its set":        e.signed(own, jose.HS256, []byte(`{"keys":[`+string(der)+`]}`), h(nil), claims),
		"HS256 with nothing":        e.signed(own, jose.HS256, make([]byte, 32), h(nil), claims),
		"HS256 with its name":       e.signed(own, jose.HS256, []byte(strings.Repeat(public.KeyID+" ", 16)), h(nil), claims),
		"another key of the name":   e.signed(own, jose.ES256, nil, h(nil), claims),
		"a key it brings":           e.signed(own, jose.ES256, nil, h(map[string]any{"jwk": own.Public()}), claims),
		"a key to be fetched":       e.signed(own, jose.ES256, nil, h(map[string]any{"jku": "http://" + e.heard.Addr().String() + "/k", "x5u": "http://" + e.heard.Addr().String() + "/x"}), claims),
		"a key without a name":      e.signed(own, jose.ES256, nil, map[string]any{"typ": typ}, claims),
		"a name that is a path":     e.signed(own, jose.ES256, nil, map[string]any{"typ": typ, "kid": "../../dev/null"}, claims),
	}
}

// Somebody wants to be taken for an application that signs what it says:
//
//  1. they know its public key, which everybody may: an assertion that nobody
//     signed, one whose shared secret is the public key, one by another key;
//  2. each is refused, at every endpoint; the true one passes, once;
//  3. what it said is shown again, for another application, to the other entrance.
func (e *enemy) confusesClients() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	n := 0
	claims := func() map[string]any {
		n++
		at := time.Now().Unix()
		return map[string]any{"iss": "signe", "sub": "signe", "aud": portal, "exp": at + 60, "iat": at, "jti": fmt.Sprintf("assertion-%d", n)}
	}
	by := func(path, assertion string, f url.Values) said {
		e.t.Helper()
		e.note("an assertion", assertion)
		return e.program(http.MethodPost, portal+path, add(f, "client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
	}
	good := func(c map[string]any) string { return e.signed(e.key, jose.ES256, nil, map[string]any{"kid": "k1"}, c) }
	true1 := good(claims())
	mine := by("/token", true1, redemption("signe", e.code(v, "signe")))
	if mine.Access == "" {
		e.t.Fatalf("its own signature: %d %v", mine.status, mine.all)
	}
	bad := map[string]string{"shown again": true1}
	for name, assertion := range e.forgeries(e.key.Public(), "JWT", claims()) {
		bad[name] = assertion
	}
	for name, change := range map[string]map[string]any{
		"for another": {"sub": "essai"}, "by another": {"iss": "essai"}, "for the other entrance": {"aud": e.town.Portal(parvis.Mobile)}, "for nobody": {"aud": nil},
		"of yesterday": {"exp": time.Now().Add(-24 * time.Hour).Unix()}, "for ever": {"exp": time.Now().AddDate(10, 0, 0).Unix()}, "without a name": {"jti": ""},
	} {
		c := claims()
		for claim, value := range change {
			c[claim] = value
		}
		bad[name] = good(c)
	}
	for name, assertion := range bad {
		for path, f := range map[string]url.Values{
			"/token": redemption("signe", e.code(v, "signe")), "/introspect": {"token": {mine.Access}}, "/revoke": {"token": {mine.Refresh}},
			"/par": asked(e.asks(parvis.Internal, "signe")),
		} {
			if a := by(path, assertion, f); a.Error != "invalid_client" || a.status != http.StatusUnauthorized || !a.nothing() || a.Pushed != "" {
				e.t.Errorf("%s at %s: %d %v", name, path, a.status, a.all)
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"a secret": e.as("signe"), "an empty secret": func(r *http.Request) { r.SetBasicAuth("signe", "") }, "its name alone": func(*http.Request) {},
	} {
		if a := e.program(http.MethodPost, portal+"/token", redemption("signe", e.code(v, "signe"), "client_id", "signe"), change); a.Error != "invalid_client" {
			e.t.Errorf("%s: %d %v", name, a.status, a.all)
		}
	}
	if a := e.user(parvis.Internal, mine.Access); a.status != http.StatusOK {
		e.t.Errorf("what nobody revoked: %d", a.status)
	}
	if a := by("/introspect", good(claims()), url.Values{"token": {mine.Refresh}}); !a.Active {
		e.t.Errorf("after all that: %d %v", a.status, a.all)
	}
}

// Somebody writes tokens of ours:
//
//  1. with the keys that we publish: an access token for Hélène, an ID token as a
//     hint of who is there, one to sign Camille out with; none of them signed by
//     us;
//  2. they show one of our own for another: an ID token as an access token, an
//     access token as a hint, a refresh token as both.
func (e *enemy) confusesTokens() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	got := e.tokens(v, "essai")
	var set jose.JSONWebKeySet
	e.town.json(portal+"/.well-known/jwks.json", &set)
	if len(set.Keys) < 2 {
		e.t.Fatalf("the keys: %+v", set)
	}
	for _, key := range set.Keys {
		if !key.IsPublic() {
			e.t.Fatalf("a key that is no public one: %s", key.KeyID)
		}
	}
	at := time.Now().Unix()
	base := claimsOf(e.t, got.Access)
	base["sub"], base["exp"], base["iat"] = "A100003", at+300, at
	id := claimsOf(e.t, got.ID)
	id["exp"], id["iat"] = at+300, at
	for _, key := range set.Keys {
		for name, token := range e.forgeries(key, "at+jwt", base) {
			if a := e.user(parvis.Internal, token); a.status != http.StatusUnauthorized || len(a.all) > 0 && a.all["sub"] != nil {
				e.t.Errorf("an access token, %s (%s): %d %v", name, key.Algorithm, a.status, a.all)
			}
			if e.active("essai", token) {
				e.t.Errorf("an access token, %s (%s): active", name, key.Algorithm)
			}
		}
		for name, token := range e.forgeries(key, "JWT", id) {
			e.isNoHint(v, name, token)
		}
	}
	for name, token := range map[string]string{"an ID token": got.ID, "a refresh token": got.Refresh, "altered": swap(got.Access), "cut": got.Access[:len(got.Access)-4]} {
		if a := e.user(parvis.Internal, token); a.status != http.StatusUnauthorized {
			e.t.Errorf("%s at UserInfo: %d %v", name, a.status, a.all)
		}
	}
	for name, token := range map[string]string{"an access token": got.Access, "a refresh token": got.Refresh, "of another": e.tokens(v, "autre").ID, "altered": swap(got.ID)} {
		e.isNoHint(v, name, token)
	}
	if !e.still(v) {
		e.t.Fatal("signed out by what nobody signed")
	}
	// The assertion of the gateway is signed with a key of the same set.
	e.lives("after all that", "essai", got)
}

// isNoHint wants a token to open nothing and to sign nobody out.
func (e *enemy) isNoHint(v *Visitor, name, token string) {
	e.t.Helper()
	if u := e.led(v, e.asks(parvis.Internal, "essai", "prompt", "none", "id_token_hint", token)); u.Query().Get("error") != "login_required" || u.Query().Get("code") != "" {
		e.t.Errorf("a hint, %s: %s", name, u)
	}
	p := v.Get(e.town.Portal(parvis.Internal) + "/oidc/logout?" + url.Values{"id_token_hint": {token}, "client_id": {"essai"}, "post_logout_redirect_uri": {outOf("essai")}}.Encode())
	if p.Status != http.StatusBadRequest || p.Screen != "oidc_logout" || p.Header.Get("Location") != "" {
		e.t.Errorf("a hint to sign out, %s: %d %s to %q", name, p.Status, p.Screen, p.Header.Get("Location"))
	}
}

// Somebody has us fetch, or connect to, a place of their choosing:
//
//  1. request_uri, in a link and in a pushed request; request objects; keys that
//     are named in the header of an assertion or of a proof; pgtUrl of CAS; the
//     address that an AuthnRequest names;
//  2. a place that keeps an application's keys leads on to another: not followed;
//  3. nobody connected to theirs.
func (e *enemy) hasUsFetch() {
	v, portal, theirs := e.in("A100001"), e.town.Portal(parvis.Internal), "http://"+e.heard.Addr().String()
	for _, uri := range []string{
		theirs, theirs + "/r", theirs + "/r#x", "https" + strings.TrimPrefix(theirs, "http") + "/r", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "gopher://127.0.0.1:25/",
		"urn:ietf:params:oauth:request_uri", "urn:ietf:params:oauth:request_ur1:x", "URN:ietf:params:oauth:request_uri:x",
	} {
		u := e.led(v, e.asks(parvis.Internal, "essai", "request_uri", uri))
		if u.Query().Get("error") != "request_uri_not_supported" || u.Query().Get("code") != "" {
			e.t.Errorf("request_uri=%s: %s", uri, u)
		}
		if a := e.post("/par", "essai", add(asked(e.asks(parvis.Internal, "essai")), "request_uri", uri)); a.Error == "" || a.Pushed != "" {
			e.t.Errorf("request_uri=%s, pushed: %d %v", uri, a.status, a.all)
		}
	}
	at := time.Now().Unix()
	object := e.unsigned(nil, map[string]any{"client_id": "essai", "redirect_uri": theirs, "response_type": "code"})
	if u := e.led(v, e.asks(parvis.Internal, "essai", "request", object)); u.Query().Get("error") != "request_not_supported" || !strings.HasPrefix(u.String(), backOf("essai")) {
		e.t.Errorf("a request object: %s", u)
	}
	away := map[string]any{"jku": theirs + "/k", "x5u": theirs + "/x", "kid": theirs + "/kid"}
	for _, path := range []string{"/token", "/par", "/introspect"} {
		assertion := e.signed(e.other, jose.ES256, nil, away, map[string]any{"iss": "signe", "sub": "signe", "aud": portal, "exp": at + 60, "iat": at, "jti": "away" + path})
		if a := e.program(http.MethodPost, portal+path, add(redemption("signe", "x"), "client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")); a.Error != "invalid_client" {
			e.t.Errorf("keys elsewhere at %s: %d %v", path, a.status, a.all)
		}
	}
	ticket := e.ticket(v, forum)
	if b := e.validates(parvis.Internal, "/cas/p3/serviceValidate", forum, ticket, "pgtUrl", theirs+"/pgt"); strings.Contains(b, "PGTIOU") {
		e.t.Errorf("a proxy ticket: %s", b)
	}
	// Its keys are where somebody leads elsewhere.
	lures := httptest.NewServer(http.RedirectHandler(theirs+"/keys", http.StatusFound))
	defer lures.Close()
	takeApps(e.t, e.town, map[string]string{"leurre": appFile("leurre", "channels: [internal]\noidc:\n  redirects: [\""+backOf("leurre")+"\"]\n  auth: private_key_jwt\n  jwks_uri: \""+lures.URL+"/keys\"\n")})
	e.town.Visitor(e.t).until("known to the city", e.asks(parvis.Internal, "leurre"), atDoor)
	assertion := e.signed(e.other, jose.ES256, nil, map[string]any{"kid": "k1"}, map[string]any{"iss": "leurre", "sub": "leurre", "aud": portal, "exp": at + 60, "iat": at, "jti": "lured"})
	if a := e.program(http.MethodPost, portal+"/token", add(redemption("leurre", e.code(v, "leurre")), "client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")); !a.nothing() || a.Error == "" {
		e.t.Errorf("keys behind a redirect: %d %v", a.status, a.all)
	}
	if n := e.heard.count(); n != 0 {
		e.t.Errorf("somebody connected %d times", n)
	}
}

// An application's owner, or whoever took over their repository, declares
// addresses of the inner network for us to reach: none is taken, nothing of the
// folder is.
func (e *enemy) hasUsReach() {
	before, _, _ := Run(e.t, "app", "list", "--json", "--data", e.town.Data)
	for kind, addresses := range map[string][]string{
		"a network of our own": {
			"https://169.254.169.254/latest/", "https://[::ffff:169.254.169.254]/", "https://[::ffff:a9fe:a9fe]/", "https://10.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://192.168.1.1/",
			"https://172.16.0.1/", "https://100.64.0.1/", "https://0.0.0.0/", "https://[::1]/", "https://[::]/", "https://[fe80::1]/", "https://[fd00::1]/", "https://[64:ff9b::a9fe:a9fe]/",
			"https://[2002:a9fe:a9fe::]/", "https://224.0.0.1/", "https://255.255.255.255/",
		},
		"no https": {
			"http://moncompte.example.org/", "http://169.254.169.254/", "http://2852039166/", "ftp://example.org/", "file:///etc/passwd", "//example.org/k", "gopher://127.0.0.1:25/", "http://localhost.example.org/",
		},
	} {
		dir, want := e.t.TempDir(), map[string]string{}
		declare := func(id, more string) {
			text := appFile(id, "channels: [internal]\noidc:\n  redirects: [\""+backOf(id)+"\"]\n"+more)
			if err := os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600); err != nil {
				e.t.Fatal(err)
			}
		}
		declare("avant", "  auth: none\n") // in order, and taken with the others or not at all
		for i, address := range addresses {
			id := fmt.Sprintf("taupe%d", i)
			declare(id, "  auth: private_key_jwt\n  jwks_uri: \""+address+"\"\n  back_channel_logout: \""+address+"\"\n")
			want[id] = address
		}
		out, errs, status := Run(e.t, "app", "import", dir, "--data", e.town.Data)
		if status == 0 {
			e.t.Errorf("%s: taken\n%s", kind, out)
		}
		for id, address := range want {
			for _, field := range []string{"oidc.jwks_uri", "oidc.back_channel_logout"} {
				if !slices.ContainsFunc(strings.Split(errs, "\n"), func(line string) bool { return strings.Contains(line, id+".yaml") && strings.Contains(line, field) }) {
					e.t.Errorf("%s: %s %s is not named in\n%s", kind, field, address, errs)
				}
			}
		}
	}
	if after, _, _ := Run(e.t, "app", "list", "--json", "--data", e.town.Data); after != before {
		e.t.Errorf("something was taken:\n%s", after)
	}
}

// proves makes a proof of possession (RFC 9449 §4.2); pairs change its claims.
func (e *enemy) proves(key jose.JSONWebKey, method, address, jti string, pairs ...any) string {
	e.t.Helper()
	c := map[string]any{"htm": method, "htu": address, "jti": jti, "iat": time.Now().Unix()}
	for i := 0; i+1 < len(pairs); i += 2 {
		c[pairs[i].(string)] = pairs[i+1]
	}
	public := key.Public()
	public.KeyID, public.Use = "", ""
	proof := e.signed(key, jose.ES256, nil, map[string]any{"typ": "dpop+jwt", "jwk": public}, c)
	e.note("a proof", proof)
	return proof
}

func shows(proofs ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header["Dpop"] = proofs }
}

// Somebody reads a request of an application that binds its tokens to a key:
//
//  1. its proof again; one for another method, address or entrance; of an hour
//     ago; by HS256, by nobody, with the private key inside; two; none: no tokens;
//  2. its token, without the key, as a bearer, with a proof of theirs, with the
//     one they saw, with one for another token: nothing is told;
//  3. its refresh token, with a key of theirs, or with none: refused, and it
//     goes on for its owner.
func (e *enemy) replaysDPoP() {
	v, portal := e.in("A100001"), e.town.Portal(parvis.Internal)
	at, user := portal+"/token", portal+"/userinfo"
	redeem := func(proof func(*http.Request)) said {
		e.t.Helper()
		return e.post("/token", "lie", redemption("lie", e.code(v, "lie")), proof)
	}
	seen := e.proves(e.key, "POST", at, "seen-0")
	got := redeem(shows(seen))
	if got.Type != "DPoP" || got.Refresh == "" {
		e.t.Fatalf("with a proof: %d %v", got.status, got.all)
	}
	private := e.signed(e.key, jose.ES256, nil, map[string]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: e.key.Key}}, map[string]any{"htm": "POST", "htu": at, "jti": "seen-1", "iat": time.Now().Unix()})
	bad := map[string]func(*http.Request){
		"none": shows(), "empty": shows(""), "seen before": shows(seen), "altered": shows(swap(seen)), "two": shows(e.proves(e.key, "POST", at, "seen-2"), e.proves(e.key, "POST", at, "seen-3")),
		"another method": shows(e.proves(e.key, "GET", at, "seen-4")), "another address": shows(e.proves(e.key, "POST", user, "seen-5")),
		"the other entrance": shows(e.proves(e.key, "POST", e.town.Portal(parvis.Mobile)+"/token", "seen-6")), "another path": shows(e.proves(e.key, "POST", at+"/x", "seen-7")),
		"an hour ago": shows(e.proves(e.key, "POST", at, "seen-8", "iat", time.Now().Add(-time.Hour).Unix())), "in an hour": shows(e.proves(e.key, "POST", at, "seen-9", "iat", time.Now().Add(time.Hour).Unix())),
		"without a name": shows(e.proves(e.key, "POST", at, "")), "the private key in it": shows(private), "another host": shows(e.proves(e.key, "POST", "http://evil.example/token", "seen-10")),
	}
	for name, token := range e.forgeries(e.key.Public(), "dpop+jwt", map[string]any{"htm": "POST", "htu": at, "jti": "forged", "iat": time.Now().Unix()}) {
		if name != "a key it brings" { // which is what a proof is
			bad[name] = shows(token)
		}
	}
	for name, proof := range bad {
		if a := redeem(proof); a.Error != "invalid_dpop_proof" || a.status != http.StatusBadRequest || !a.nothing() {
			e.t.Errorf("a proof, %s: %d %v", name, a.status, a.all)
		}
	}
	ask := func(scheme string, proof ...string) said {
		e.t.Helper()
		return e.user(parvis.Internal, "", func(r *http.Request) {
			r.Header.Set("Authorization", scheme+" "+got.Access)
			if len(proof) > 0 {
				r.Header["Dpop"] = proof
			}
		})
	}
	own := e.proves(e.key, "GET", user, "own-1", "ath", s256(got.Access))
	if a := ask("DPoP", own); a.status != http.StatusOK || a.all["sub"] == nil {
		e.t.Fatalf("its owner: %d %v", a.status, a.all)
	}
	for name, a := range map[string]said{
		"stripped": ask("Bearer"), "without a proof": ask("DPoP"), "a proof that was seen": ask("DPoP", own), "stripped, with its proof": ask("Bearer", e.proves(e.key, "GET", user, "own-2", "ath", s256(got.Access))),
		"with a proof of theirs": ask("DPoP", e.proves(e.other, "GET", user, "own-3", "ath", s256(got.Access))), "for another token": ask("DPoP", e.proves(e.key, "GET", user, "own-4", "ath", s256("x"))),
		"for no token": ask("DPoP", e.proves(e.key, "GET", user, "own-5")), "for another method": ask("DPoP", e.proves(e.key, "POST", user, "own-6", "ath", s256(got.Access))),
		"in a form":         e.program(http.MethodPost, user, url.Values{"access_token": {got.Access}}),
		"its refresh token": e.user(parvis.Internal, got.Refresh),
	} {
		if a.status != http.StatusUnauthorized || a.all["sub"] != nil || a.header.Get("WWW-Authenticate") == "" {
			e.t.Errorf("a stolen token, %s: %d %v %v", name, a.status, a.all, a.header)
		}
	}
	again := func(proof ...string) said {
		e.t.Helper()
		return e.post("/token", "lie", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}}, shows(proof...))
	}
	for name, a := range map[string]said{"without a proof": again(), "a proof that was seen": again(seen)} {
		if a.Error != "invalid_dpop_proof" || !a.nothing() {
			e.t.Errorf("a stolen refresh token, %s: %d %v", name, a.status, a.all)
		}
	}
	if a := again(e.proves(e.key, "POST", at, "again-1")); a.Type != "DPoP" {
		e.t.Errorf("its owner refreshes: %d %v", a.status, a.all)
	}
	// One without a secret is bound by its refresh token alone (RFC 9449 §5).
	public := e.post("/token", "ouvert", redemption("ouvert", e.code(v, "ouvert")), shows(e.proves(e.key, "POST", at, "open-1")))
	for name, proof := range map[string][]string{"with a key of theirs": {e.proves(e.other, "POST", at, "open-2")}, "with none": {}} {
		f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {public.Refresh}}
		if a := e.post("/token", "ouvert", f, shows(proof...)); a.Error == "" || !a.nothing() {
			e.t.Errorf("a stolen refresh token of an application without a secret, %s: %d %v", name, a.status, a.all)
		}
	}
}

// An application that is curious:
//
//  1. every scope, every claim, every resource there is: it is told what its
//     declaration says, and that it was granted less;
//  2. a password, an exchange of tokens, a grant of its own, an implicit answer:
//     refused;
//  3. a refresh for more than was granted: refused; for less: granted.
func (e *enemy) asksForMore() {
	v := e.in("A100001")
	got := e.tokens(v, "peu", "scope", "openid profile email phone address groups uid siret offline_access admin *", "resource", "https://api.example/", "authorization_details", `[{"type":"all"}]`,
		"claims", `{"userinfo":{"siret":{"essential":true},"email":null,"password":null,"name":null},"id_token":{"uid":{"essential":true},"groups":null,"email":{"essential":true}}}`)
	if words := strings.Fields(got.Scope); slices.ContainsFunc(words, func(s string) bool { return !slices.Contains([]string{"openid", "profile", "email"}, s) }) {
		e.t.Errorf("granted: %q", got.Scope)
	}
	for where, all := range map[string]map[string]any{"UserInfo": e.user(parvis.Internal, got.Access).all, "the ID token": claimsOf(e.t, got.ID), "the access token": claimsOf(e.t, got.Access)} {
		for _, name := range []string{"email", "name", "given_name", "uid", "siret", "groups", "phone_number", "password"} {
			if all[name] != nil {
				e.t.Errorf("%s tells %s: %v", where, name, all[name])
			}
		}
		if all["sub"] == nil {
			e.t.Errorf("%s tells nothing: %v", where, all)
		}
	}
	camille := e.town.Person("A100001")
	for _, grant := range []url.Values{
		{"grant_type": {"password"}, "username": {camille.Number}, "password": {camille.Password}, "scope": {"openid"}},
		{"grant_type": {"client_credentials"}, "scope": {"openid profile"}},
		{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {got.Access}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}},
		{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {got.ID}},
		{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {"x"}},
		{"grant_type": {"implicit"}},
		{"grant_type": {""}},
		{},
	} {
		if a := e.post("/token", "essai", grant); a.status != http.StatusBadRequest || a.Error != "unsupported_grant_type" && a.Error != "invalid_request" || !a.nothing() {
			e.t.Errorf("%v: %d %v", grant["grant_type"], a.status, a.all)
		}
	}
	if a := e.post("/device_authorization", "essai", url.Values{"scope": {"openid"}}); a.Error != "unauthorized_client" && a.Error != "invalid_client" || a.all["device_code"] != nil {
		e.t.Errorf("a device, where none is declared: %d %v", a.status, a.all)
	}
	for _, kind := range []string{"token", "id_token", "id_token token", "code token", "code id_token", "none", "code code"} {
		if u := e.led(v, e.asks(parvis.Internal, "essai", "response_type", kind)); u.Query().Get("error") != "unsupported_response_type" || u.Fragment != "" {
			e.t.Errorf("response_type=%s: %s", kind, u)
		}
	}
	mine := e.tokens(v, "essai")
	if a := e.refresh("essai", mine.Refresh, "scope", "openid profile email siret"); a.Error != "invalid_scope" || !a.nothing() {
		e.t.Errorf("a refresh for more: %d %v", a.status, a.all)
	}
	less := e.refresh("essai", mine.Refresh, "scope", "openid")
	if who := e.user(parvis.Internal, less.Access).all; less.Scope != "openid" || who["sub"] == nil || who["email"] != nil || who["name"] != nil {
		e.t.Errorf("a refresh for less: %d %q, told %v", less.status, less.Scope, who)
	}
}
