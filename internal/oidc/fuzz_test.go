package oidc

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzAuthorize sends any query: it is answered, and leads to no address but
// those declared and ours.
func FuzzAuthorize(f *testing.F) {
	whole := open(f)
	whole.signIn(agentOne)
	f.Add(asks("rp").Encode())
	f.Add(asks("rp", "prompt", "login", "max_age", "1", "claims", acr(true, "eidas2")).Encode())
	f.Add("client_id=rp&redirect_uri=https%3A%2F%2Frp.example%2Fcb&after=x&unmet=1")
	f.Fuzz(func(t *testing.T, query string) {
		tn := whole.of(t)
		if _, err := url.ParseRequestURI("/authorize?" + query); err != nil || strings.ContainsAny(query, " \r\n\x00") {
			return
		}
		w := tn.get("/authorize?" + query)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if at := to.Scheme + "://" + to.Host; to.Host != "" && at != "https://rp.example" && !strings.HasPrefix(at, "http://127.0.0.1") {
			t.Fatalf("led to %s", to)
		}
	})
}

// FuzzToken sends any form: it is answered, and gives no token.
func FuzzToken(f *testing.F) {
	whole := open(f)
	f.Add(redemption("rp", "x").Encode())
	f.Add(refreshing("rp", "x").Encode())
	f.Add("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=x&client_id=rp&client_secret=" + pass)
	f.Add("client_assertion=a.b.c&grant_type=authorization_code")
	f.Fuzz(func(t *testing.T, body string) {
		tn := whole.of(t)
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		for _, path := range []string{pathToken, pathPAR, pathIntrospect, pathRevoke, pathUserInfo} {
			if w := tn.form(path, form, false); w.Code >= 500 || strings.Contains(w.Body.String(), "access_token\":") {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}

// FuzzDeviceCode writes a code as anybody might.
func FuzzDeviceCode(f *testing.F) {
	f.Add("wdjb-mjht")
	f.Add("WDJB MJHT")
	f.Fuzz(func(t *testing.T, s string) {
		code := plainCode(s)
		if strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || plainCode(grouped(code)) != code {
			t.Fatalf("%q is read as %q", s, code)
		}
	})
}
