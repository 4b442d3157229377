package verifier

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"parvis"
)

func set(name string, value any) func(*outside) {
	return func(o *outside) { o.claims = func(c map[string]any) { c[name] = value } }
}

// at sets a date, so long after now.
func at(name string, d time.Duration) func(*outside) {
	return func(o *outside) { o.claims = func(c map[string]any) { c[name] = o.clock.Now().Add(d).Unix() } }
}

// text changes the claims as they are written.
func text(from, to string) func(*outside) {
	return func(o *outside) {
		o.text = func(s string) string {
			if !strings.Contains(s, from) {
				panic(fmt.Sprintf("no %s in %s", from, s))
			}
			return strings.Replace(s, from, to, 1)
		}
	}
}

func hour(p *Provider) { p.MaxAge = time.Hour }

func levels(p *Provider) { p.Levels = []string{"eidas1", "eidas2"} }

func confirmed(p *Provider) { p.EmailVerified = true }

func TestClaims(t *testing.T) {
	const wrong = whyUnavailable
	each(t, []turn{
		{name: "another issuer", outside: set("iss", "https://evil.example"), want: wrong, cause: "id_token"},
		{name: "the issuer with a slash", outside: func(o *outside) { set("iss", o.issuer+"/")(o) }, want: wrong, cause: "id_token"},
		{name: "no issuer", outside: set("iss", nil), want: wrong, cause: "id_token"},
		{name: "two issuers", outside: text(`"iss":`, `"iss":"https://evil.example","iss":`), want: wrong, cause: "id_token_claims"},
		{name: "another audience", outside: set("aud", "somebody-else"), want: wrong, cause: "id_token"},
		{name: "no audience", outside: set("aud", nil), want: wrong, cause: "id_token"},
		{name: "an audience like ours", outside: set("aud", clientID+" "), want: wrong, cause: "id_token"},
		{name: "a list of one", outside: set("aud", []string{clientID})},
		{name: "for two, and whose it is not said", outside: set("aud", []string{clientID, "other"}), want: wrong, cause: "authorised_party"},
		{name: "for two, the other's", outside: func(o *outside) {
			o.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{clientID, "other"}, "other" }
		}, want: wrong, cause: "authorised_party"},
		{name: "for two, ours", outside: func(o *outside) {
			o.claims = func(c map[string]any) { c["aud"], c["azp"] = []string{clientID, "other"}, clientID }
		}},
		{name: "the other's", outside: set("azp", "other"), want: wrong, cause: "authorised_party"},
		{name: "another nonce", outside: set("nonce", strings.Repeat("n", 43)), want: wrong, cause: "nonce"},
		{name: "no nonce", outside: set("nonce", nil), want: wrong, cause: "nonce"},
		{name: "a nonce that is none", outside: set("nonce", 7), want: wrong, cause: "id_token"},
		{name: "ended", outside: at("exp", -defaultSkew-time.Second), want: wrong, cause: "id_token"},
		{name: "ended a moment ago", outside: at("exp", -defaultSkew+time.Second)},
		{name: "without end", outside: set("exp", nil), want: wrong, cause: "id_token"},
		{name: "from the future", outside: at("iat", defaultSkew+time.Second), want: wrong, cause: "issued_in_the_future"},
		{name: "from the near future", outside: at("iat", defaultSkew-time.Second)},
		{name: "undated", outside: set("iat", nil), want: wrong, cause: "id_token_claims"},
		{name: "older than the question", outside: at("iat", -defaultSkew-time.Second), want: wrong, cause: "issued_before"},
		{name: "not yet", outside: at("nbf", defaultSkew+time.Second), want: wrong, cause: "not_yet"},
		{name: "no subject", outside: set("sub", nil), want: wrong, cause: "subject"},
		{name: "an empty subject", outside: set("sub", ""), want: wrong, cause: "subject"},
		{name: "a subject that is a number", outside: set("sub", 7), want: wrong, cause: "id_token"},
		{name: "a long subject", outside: set("sub", strings.Repeat("s", 256)), want: wrong, cause: "subject"},
		{name: "the longest subject", outside: set("sub", strings.Repeat("s", 255))},
		{name: "a subject with a zero", outside: set("sub", "a\x00b"), want: wrong, cause: "subject"},
		{name: "a subject with an accent", outside: set("sub", "é"), want: wrong, cause: "subject"},
		{name: "two subjects", outside: text(`"sub":`, `"sub":"citizen-2","sub":`), want: wrong, cause: "id_token_claims"},
		{name: "a subject in capitals after it", outside: text(`"sub":"citizen-1"`, `"sub":"citizen-1","SUB":"citizen-2"`), want: wrong, cause: "id_token_claims"},
		{name: "a subject in capitals alone", outside: text(`"sub":`, `"Sub":`), want: wrong, cause: "id_token_claims"},
		{name: "an audience in capitals", outside: text(`"aud":`, `"Aud":`), want: wrong, cause: "id_token_claims"},
		{name: "an end in capitals", outside: text(`"exp":`, `"EXP":`), want: wrong, cause: "id_token_claims"},
		{name: "a date in capitals", outside: text(`"iat":`, `"Iat":`), want: wrong, cause: "id_token_claims"},
		{name: "no object", outside: func(o *outside) { o.text = func(string) string { return `["sub"]` } }, want: wrong, cause: "id_token"},
		{name: "signed in tomorrow", outside: at("auth_time", defaultSkew+time.Second), want: wrong, cause: "signed_in_in_the_future"},
		{name: "signed in at some time", outside: set("auth_time", "1770000000"), want: wrong, cause: "id_token_claims"},
		{name: "signed in long ago, no matter", outside: at("auth_time", -48*time.Hour)},
		{name: "signed in when, no matter", outside: set("auth_time", nil)},
		{name: "signed in when", provider: hour, outside: set("auth_time", nil), want: wrong, cause: "no_auth_time"},
		{name: "signed in too long ago", provider: hour, outside: at("auth_time", -time.Hour-defaultSkew-time.Second), want: wrong, cause: "signed_in_too_long_ago"},
		{name: "signed in lately", provider: hour, outside: at("auth_time", -time.Hour)},
		{name: "access token of another", outside: set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), want: wrong, cause: "access_token_hash"},
		{name: "its access token", outside: func(o *outside) {
			sum := sha256.Sum256([]byte(bearer))
			set("at_hash", base64.RawURLEncoding.EncodeToString(sum[:16]))(o)
		}},
		{name: "an accepted level", provider: levels},
		{name: "a better level", provider: levels, outside: set("acr", "eidas2"), leave: Departure{Level: "eidas2"}},
		{name: "under the level asked", provider: levels, leave: Departure{Level: "eidas2"}, want: whyTooLow, cause: "level"},
		{name: "a level nobody knows", provider: levels, outside: set("acr", "eidas4"), want: whyTooLow, cause: "level"},
		{name: "no level", provider: levels, outside: set("acr", nil), want: whyTooLow, cause: "level"},
		{name: "a level that is a list", provider: levels, outside: set("acr", []string{"eidas2"}), want: wrong, cause: "id_token_claims"},
		{name: "a level asked that is no more", provider: levels, leave: Departure{Level: "eidas2"}, between: func(w *town, _ *Arrival) {
			p := w.link.Providers[0]
			p.Levels = []string{"eidas1"}
			w.knows(p)
		}, want: whyTooLow, cause: "level"},
		{name: "a level asked where any will do now", provider: levels, leave: Departure{Level: "eidas2"}, between: func(w *town, _ *Arrival) {
			p := w.link.Providers[0]
			p.Levels = nil
			w.knows(p)
		}, want: whyTooLow, cause: "level"},
		{name: "address confirmed", provider: confirmed, outside: set("email_verified", true)},
		{name: "address confirmed, in a string", provider: confirmed, outside: set("email_verified", "true")},
		{name: "address confirmed, says UserInfo", provider: confirmed},
		{name: "address not confirmed", provider: confirmed, outside: set("email_verified", false), want: whyUnverified, cause: "email_not_verified"},
		{name: "address perhaps confirmed", provider: confirmed, outside: set("email_verified", 1), want: wrong, cause: "id_token_claims"},
	})
}

func signs(sign func(o *outside, payload []byte) string) func(*outside) {
	return func(o *outside) { o.sign = func(payload []byte) string { return sign(o, payload) } }
}

func raw(header string, payload []byte, signature []byte) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString(payload) + "." + e.EncodeToString(signature)
}

func offers(keys ...jose.JSONWebKey) func(*outside) {
	return func(o *outside) { o.jwks = func() []jose.JSONWebKey { return keys } }
}

func both(all ...func(*outside)) func(*outside) {
	return func(o *outside) {
		for _, f := range all {
			f(o)
		}
	}
}

func by(alg jose.SignatureAlgorithm, key any, kid string) func(*outside) {
	return signs(func(_ *outside, p []byte) string { return signed(alg, key, kid, p) })
}

func TestSignatures(t *testing.T) {
	const wrong = whyUnavailable
	der, err := x509.MarshalPKIXPublicKey(prime().Public())
	if err != nil {
		t.Fatal(err)
	}
	pemmed := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk, err := json.Marshal(public(elliptical().Public(), "ec"))
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := jose.JSONWebKey{Key: elliptical().Public()}
	encrypting := public(elliptical().Public(), "ec")
	encrypting.Use = "enc"
	other := public(prime().Public(), "rsa")
	other.Algorithm = "PS256"
	private := public(elliptical(), "ec")
	each(t, []turn{
		{name: "RS256", outside: by(jose.RS256, prime(), "rsa")},
		{name: "PS256", outside: by(jose.PS256, prime(), "rsa")},
		{name: "RS512", outside: by(jose.RS512, prime(), "rsa"), want: wrong, cause: "id_token"},
		{name: "none", outside: signs(func(_ *outside, p []byte) string { return raw(`{"alg":"none"}`, p, nil) }), want: wrong, cause: "id_token"},
		{name: "None", outside: signs(func(_ *outside, p []byte) string { return raw(`{"alg":"None","kid":"ec"}`, p, nil) }), want: wrong, cause: "id_token"},
		{name: "no algorithm", outside: signs(func(_ *outside, p []byte) string { return raw(`{"kid":"ec"}`, p, []byte("x")) }), want: wrong, cause: "id_token"},
		{name: "HS256 with the client's secret", outside: by(jose.HS256, []byte(clientSecret+strings.Repeat("0", 32)), "ec"), want: wrong, cause: "id_token"},
		{name: "HS256 with the public key in PEM", outside: by(jose.HS256, pemmed, "rsa"), want: wrong, cause: "id_token"},
		{name: "HS256 with the public key in JSON", outside: by(jose.HS256, jwk, "ec"), want: wrong, cause: "id_token"},
		{name: "HS256 with a key of the set", outside: both(by(jose.HS256, jwk, "s"), offers(jose.JSONWebKey{Key: jwk, KeyID: "s"})), want: wrong, cause: "id_token"},
		{name: "somebody else's key of that name", outside: by(jose.ES256, foreign(), "ec"), want: wrong, cause: "id_token"},
		{name: "a key of another name", outside: by(jose.ES256, elliptical(), "x"), want: wrong, cause: "id_token"},
		{name: "the name of another key", outside: by(jose.ES256, elliptical(), "rsa"), want: wrong, cause: "id_token"},
		{name: "no name, some keys", outside: by(jose.ES256, elliptical(), "")},
		{name: "no name, one key", outside: both(by(jose.ES256, elliptical(), ""), offers(unnamed))},
		{name: "no keys", outside: offers(), want: wrong, cause: "id_token"},
		{name: "a key for encryption", outside: offers(encrypting), want: wrong, cause: "id_token"},
		{name: "a key for another algorithm", outside: both(by(jose.RS256, prime(), "rsa"), offers(other)), want: wrong, cause: "id_token"},
		{name: "a key that everybody knows", outside: offers(private), want: wrong, cause: "id_token"},
		{name: "a weak key", outside: both(by(jose.RS256, weak, "w"), offers(public(weak.Public(), "w"))), want: wrong, cause: "id_token"},
		{name: "its key in its header", outside: signs(func(_ *outside, p []byte) string {
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: foreign()}, &jose.SignerOptions{EmbedJWK: true})
			if err != nil {
				panic(err)
			}
			jws, err := s.Sign(p)
			if err != nil {
				panic(err)
			}
			text, _ := jws.CompactSerialize()
			return text
		}), want: wrong, cause: "id_token"},
		{name: "changed afterwards", outside: signs(func(_ *outside, p []byte) string {
			parts := strings.Split(signed(jose.ES256, elliptical(), "ec", p), ".")
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(p), somebody, "citizen-2", 1)))
			return strings.Join(parts, ".")
		}), want: wrong, cause: "id_token"},
		{name: "a signature of zeros", outside: signs(func(_ *outside, p []byte) string {
			return raw(`{"alg":"ES256","kid":"ec"}`, p, make([]byte, 64))
		}), want: wrong, cause: "id_token"},
		{name: "in JSON", outside: signs(func(_ *outside, p []byte) string {
			parts := strings.Split(signed(jose.ES256, elliptical(), "ec", p), ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
		}), want: wrong, cause: "id_token"},
		{name: "must be understood", outside: signs(func(_ *outside, p []byte) string {
			return raw(`{"alg":"ES256","kid":"ec","crit":["x"],"x":1}`, p, make([]byte, 64))
		}), want: wrong, cause: "id_token"},
		{name: "nothing", outside: signs(func(*outside, []byte) string { return "" }), want: wrong, cause: "id_token"},
	})
}

func answers(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func hangsUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func instead(path string, h http.HandlerFunc) func(*outside) {
	return func(o *outside) { o.instead(path, h) }
}

func TestTokenEndpoint(t *testing.T) {
	const wrong = whyUnavailable
	const asJSON = "application/json"
	huge := `{"access_token":"a","id_token":"` + strings.Repeat("a", longest) + `"}`
	each(t, []turn{
		{name: "in a redirection", outside: func(o *outside) {
			o.instead("/elsewhere", func(http.ResponseWriter, *http.Request) { panic("the code went along") })
			o.instead("/token", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, o.issuer+"/elsewhere", http.StatusTemporaryRedirect)
			})
		}, want: wrong, cause: "code"},
		{name: "refused", outside: instead("/token", answers(400, asJSON, `{"error":"invalid_grant"}`)), want: wrong, cause: "code"},
		{name: "refused politely", outside: instead("/token", answers(200, asJSON, `{"error":"invalid_grant"}`)), want: wrong, cause: "code"},
		{name: "broken", outside: instead("/token", answers(500, "text/html", `<h1>no</h1>`)), want: wrong, cause: "code"},
		{name: "huge", outside: instead("/token", answers(200, asJSON, huge)), want: wrong, cause: "token_endpoint"},
		{name: "not JSON", outside: instead("/token", answers(200, asJSON, `{`)), want: wrong, cause: "token_endpoint"},
		{name: "hangs up", outside: instead("/token", hangsUp), want: wrong, cause: "token_endpoint"},
		{name: "no access token", outside: func(o *outside) { o.token = func(a map[string]any) { delete(a, "access_token") } }, want: wrong, cause: "token_endpoint"},
		{name: "no ID token", outside: func(o *outside) { o.token = func(a map[string]any) { delete(a, "id_token") } }, want: wrong, cause: "no_id_token"},
		{name: "an ID token that is none", outside: func(o *outside) { o.token = func(a map[string]any) { a["id_token"] = []string{"x"} } }, want: wrong, cause: "no_id_token"},
		{name: "the key of another question", outside: func(o *outside) {
			o.front = func(back url.Values) {
				o.mu.Lock()
				defer o.mu.Unlock()
				g := o.codes[back.Get("code")]
				g.challenge = base64.RawURLEncoding.EncodeToString(make([]byte, 32))
				o.codes[back.Get("code")] = g
			}
		}, want: wrong, cause: "code"},
		{name: "keys hang up", outside: instead("/keys", hangsUp), want: wrong, cause: "keys"},
		{name: "keys are missing", outside: instead("/keys", answers(404, asJSON, `{}`)), want: wrong, cause: "keys"},
		{name: "keys are elsewhere", outside: instead("/keys", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}), want: wrong, cause: "keys"},
		{name: "keys are huge", outside: instead("/keys", answers(200, asJSON, `{"keys":[`+strings.Repeat(" ", longest)+`]}`)), want: wrong, cause: "keys"},
		{name: "keys are none", outside: instead("/keys", answers(200, asJSON, `[]`)), want: wrong, cause: "keys"},
		{name: "keys of other kinds beside", outside: func(o *outside) {
			k, _ := json.Marshal(public(elliptical().Public(), "ec"))
			o.instead("/keys", answers(200, asJSON, `{"keys":[{"kty":"FUTURE","x":1},7,`+string(k)+`]}`))
		}},
		{name: "silent since", between: func(w *town, in *Arrival) {
			o := w.link.remotes["compte"]
			w.clock.Move(5 * time.Minute)
			o.got = time.Time{}
			o.fail(w.clock.Now())
		}, want: wrong, cause: "silent"},
	})
}

func claimsOf(subject string, more map[string]any) []byte {
	c := map[string]any{"sub": subject, "email_verified": true}
	for k, v := range more {
		c[k] = v
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return text
}

// jwt is an answer of UserInfo as a token.
func jwt(make func(subject string) string) func(*outside) {
	return func(o *outside) {
		o.user = func(w http.ResponseWriter, subject string) {
			w.Header().Set("Content-Type", "application/jwt; charset=utf-8")
			_, _ = w.Write([]byte(make(subject)))
		}
	}
}

func sealed(key *ecdsa.PublicKey, alg jose.KeyAlgorithm, plain []byte) string {
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: alg, Key: key}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		panic(err)
	}
	jwe, err := e.Encrypt(plain)
	if err != nil {
		panic(err)
	}
	text, err := jwe.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

func TestUserInfo(t *testing.T) {
	const wrong = whyUnavailable
	signedOnly := func(p *Provider) { p.UserInfoSigned = true }
	good := func(s string) string { return signed(jose.ES256, elliptical(), "ec", claimsOf(s, nil)) }
	says := func(more map[string]any) func(*outside) {
		return jwt(func(s string) string { return signed(jose.ES256, elliptical(), "ec", claimsOf(s, more)) })
	}
	plain := func(body string) func(*outside) { return instead("/userinfo", answers(200, "application/json", body)) }
	each(t, []turn{
		{name: "about somebody else", provider: confirmed, outside: plain(`{"sub":"citizen-2","email_verified":true}`), want: wrong, cause: "userinfo_subject"},
		{name: "about nobody", provider: confirmed, outside: plain(`{"email_verified":true}`), want: wrong, cause: "userinfo_subject"},
		{name: "about two", provider: confirmed, outside: plain(`{"sub":"citizen-2","sub":"citizen-1","email_verified":true}`), want: wrong, cause: "userinfo_claims"},
		{name: "about one in capitals", provider: confirmed, outside: plain(`{"SUB":"citizen-1","email_verified":true}`), want: wrong, cause: "userinfo_subject"},
		{name: "not confirmed", provider: confirmed, outside: plain(`{"sub":"citizen-1","email_verified":false}`), want: whyUnverified, cause: "email_not_verified"},
		{name: "silent on it", provider: confirmed, outside: plain(`{"sub":"citizen-1"}`), want: whyUnverified, cause: "email_not_verified"},
		{name: "no such place", provider: confirmed, outside: func(o *outside) {
			o.meta = func(m map[string]any) { delete(m, "userinfo_endpoint") }
		}, want: whyUnverified, cause: "email_not_verified"},
		{name: "refused", provider: confirmed, outside: instead("/userinfo", answers(401, "application/json", "{}")), want: wrong, cause: "userinfo"},
		{name: "elsewhere", provider: confirmed, outside: instead("/userinfo", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}), want: wrong, cause: "userinfo"},
		{name: "huge", provider: confirmed, outside: plain(`{"sub":"citizen-1","x":"` + strings.Repeat("x", longest) + `"}`), want: wrong, cause: "userinfo"},
		{name: "broken", provider: confirmed, outside: plain(`{"sub":`), want: wrong, cause: "userinfo_claims"},

		{name: "signed", provider: signedOnly, outside: jwt(good)},
		{name: "signed for us", provider: signedOnly, outside: says(map[string]any{"aud": []string{"x", clientID}})},
		{name: "signed for another", provider: signedOnly, outside: says(map[string]any{"aud": "other"}), want: wrong, cause: "userinfo_audience"},
		{name: "signed by another", provider: signedOnly, outside: says(map[string]any{"iss": "https://evil.example"}), want: wrong, cause: "userinfo_audience"},
		{name: "signed and old", provider: signedOnly, outside: says(map[string]any{"exp": 1}), want: wrong, cause: "userinfo_expired"},
		{name: "signed about another", provider: signedOnly, outside: says(map[string]any{"sub": "citizen-2"}), want: wrong, cause: "userinfo_subject"},
		{name: "signed with another key", provider: signedOnly, outside: jwt(func(s string) string {
			return signed(jose.ES256, foreign(), "ec", claimsOf(s, nil))
		}), want: wrong, cause: "userinfo_signature"},
		{name: "signed with nothing", provider: signedOnly, outside: jwt(func(s string) string {
			return raw(`{"alg":"none"}`, claimsOf(s, nil), nil)
		}), want: wrong, cause: "userinfo_signature"},
		{name: "not signed", provider: signedOnly, want: wrong, cause: "userinfo_signature"},
		{name: "not signed, says it is", provider: signedOnly, outside: jwt(func(s string) string { return string(claimsOf(s, nil)) }), want: wrong, cause: "userinfo_signature"},
		{name: "nothing to sign", provider: signedOnly, outside: func(o *outside) {
			o.meta = func(m map[string]any) { delete(m, "userinfo_endpoint") }
		}, want: wrong, cause: "no_userinfo"},
	})
}

// What is encrypted is for us: the provider has our key of JWKS.
func TestEncryptedUserInfo(t *testing.T) {
	const wrong = whyUnavailable
	our := func(w *town) *ecdsa.PublicKey {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(w.link.JWKS(), &set); err != nil {
			w.Fatal(err)
		}
		for _, k := range set.Keys {
			if !k.IsPublic() || k.KeyID == "" {
				w.Fatalf("key %+v", k)
			}
			if k.Use == "enc" {
				return k.Key.(*ecdsa.PublicKey)
			}
		}
		w.Fatal("no key")
		return nil
	}
	cases := []struct {
		name         string
		signed       bool
		make         func(us *ecdsa.PublicKey, claims []byte) string
		want         parvis.ReasonCode
		cause        string
		alsoIDTokens bool
	}{
		{"encrypted", false, func(us *ecdsa.PublicKey, c []byte) string { return sealed(us, jose.ECDH_ES, c) }, "", "", false},
		{"with a wrapped key", false, func(us *ecdsa.PublicKey, c []byte) string { return sealed(us, jose.ECDH_ES_A256KW, c) }, "", "", false},
		{"signed then encrypted", true, func(us *ecdsa.PublicKey, c []byte) string {
			return sealed(us, jose.ECDH_ES, []byte(signed(jose.ES256, elliptical(), "ec", c)))
		}, "", "", true},
		{"signed by another, then encrypted", false, func(us *ecdsa.PublicKey, c []byte) string {
			return sealed(us, jose.ECDH_ES, []byte(signed(jose.ES256, foreign(), "ec", c)))
		}, wrong, "userinfo_signature", false},
		{"encrypted, not signed", true, func(us *ecdsa.PublicKey, c []byte) string { return sealed(us, jose.ECDH_ES, c) }, wrong, "userinfo_signature", false},
		{"signed, not encrypted", true, func(_ *ecdsa.PublicKey, c []byte) string {
			return signed(jose.ES256, elliptical(), "ec", c)
		}, wrong, "userinfo_encryption", false},
		{"for somebody else", false, func(_ *ecdsa.PublicKey, c []byte) string {
			return sealed(&foreign().PublicKey, jose.ECDH_ES, c)
		}, wrong, "userinfo_encryption", false},
		{"changed on the way", false, func(us *ecdsa.PublicKey, c []byte) string {
			parts := strings.Split(sealed(us, jose.ECDH_ES, c), ".")
			parts[3] = base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", 40)))
			return strings.Join(parts, ".")
		}, wrong, "userinfo_encryption", false},
		{"nothing in it", false, func(us *ecdsa.PublicKey, _ []byte) string { return sealed(us, jose.ECDH_ES, nil) }, wrong, "userinfo_claims", false},
	}
	var turns []turn
	for _, c := range cases {
		turns = append(turns, turn{
			name: c.name, provider: func(p *Provider) { p.UserInfoSigned, p.UserInfoEncrypted = c.signed, true },
			between: func(w *town, _ *Arrival) {
				us := our(w)
				current := w.there
				jwt(func(s string) string { return c.make(us, claimsOf(s, nil)) })(current)
				if c.alsoIDTokens {
					current.sign = func(p []byte) string {
						return sealed(us, jose.ECDH_ES, []byte(signed(jose.ES256, elliptical(), "ec", p)))
					}
				}
			}, want: c.want, cause: c.cause,
		})
	}
	turns = append(turns, turn{
		name: "in the clear", provider: func(p *Provider) { p.UserInfoEncrypted = true }, want: wrong, cause: "userinfo_encryption",
	}, turn{
		name: "an ID token encrypted and not signed", between: func(w *town, _ *Arrival) {
			us := our(w)
			w.there.sign = func(p []byte) string { return sealed(us, jose.ECDH_ES, p) }
		}, want: wrong, cause: "id_token",
	}, turn{
		name: "an ID token for somebody else", between: func(w *town, _ *Arrival) {
			w.there.sign = func(p []byte) string { return sealed(&foreign().PublicKey, jose.ECDH_ES, p) }
		}, want: wrong, cause: "id_token_encryption",
	})
	each(t, turns)
}
