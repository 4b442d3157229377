package gateway

import (
	"net/http"
	"strings"
)

// clean takes out of a request everything that an application could believe
// and that only the front door may say (RFC 9700 §4.13, ASVS 4.1.3): who is
// there, through what they came, under which address.
func clean(h http.Header) {
	for name := range h {
		if forbidden(name) {
			delete(h, name)
		}
	}
}

// sameOrigin has no exceptions.
var sameOrigin = http.NewCrossOriginProtection()

// foreign tells whether the page of another site makes a browser act here, in
// the name of whoever sits before it: with a method that changes something (RFC
// 9110 §9.2.1), or with a WebSocket, which asks with GET and is held to no
// same-origin rule (RFC 6455 §10.2). Sibling applications are other sites. A
// program sends neither Sec-Fetch-Site nor Origin, and no page deceives it.
func foreign(r *http.Request) bool {
	if len(r.Header["Upgrade"]) > 0 {
		changing := *r
		changing.Method = http.MethodPost
		r = &changing
	}
	return sameOrigin.Check(r) != nil
}

// forbidden tells whether a request header stops here. name is as net/http
// gives it: each word begins with a capital.
//
// CGI, FastCGI, WSGI and PHP make one variable of X-User, X_User and, on some
// servers, X.User (RFC 3875 §4.1.18): a name with anything but letters, digits
// and hyphens is never an honest one.
func forbidden(name string) bool {
	word := len(name)
	for i := range len(name) {
		switch c := name[i]; {
		case c == '-':
			word = min(word, i)
		case (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9'):
			return true
		}
	}
	if name[:word] != "X" {
		return firstWords[name[:word]] || wholeNames[name]
	}
	if word == len(name) {
		return false
	}
	rest := name[word+1:]
	first, _, _ := strings.Cut(rest, "-")
	if firstWordsX[first] || strings.HasPrefix(rest, "User") {
		return true
	}
	for _, b := range beginningsX {
		if strings.HasPrefix(rest, b) {
			return true
		}
	}
	return false
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// firstWords are families of names, by their first word: ours, and those by
// which other doors, proxies and modules say who is there or whence.
var firstWords = set(`Parvis Remote Forwarded Proxy Ssl Tls Cf Tailscale Oidc Mellon Shib Saml Sm Smuser
	Impersonate Authenticated Authentik Authelia Pomerium Vouch Auth Groups Group Username Userid Useremail
	Agent Http Https Fly Fastly Wl`)

// wholeNames are names of mixed families.
var wholeNames = set(`True-Client-Ip Client-Ip Client-Cert Client-Cert-Chain Client-Verify
	User User-Id User-Name User-Email User-Groups User-Role`)

// firstWordsX are families of names that begin with X, by their second word.
var firstWordsX = set(`Forwarded Forward Real Client Cluster Original Originating Rewrite Rewritten Auth Authentik
	Authenticated Authentication Authelia Webauth Agent Remote Token Ssl Tls Arr Parvis Proxy Proxyuser Pomerium Vouch
	Envoy Host Scheme Proto Protocol Port Url Https Identity Email Mail Group Groups Role Roles Name Login Account
	Employee Sub Subject Permissions Admin Credential Consumer Shib Saml Oidc Iss Jwt Cdn Waws Sso Cas Dex Verified
	Accel Sendfile Script Path Matched Appengine Azure Bluecoat Peer Source True Ip Internal Trusted Channel Displayname`)

// beginningsX are the families whose second word is also that of honest names.
var beginningsX = []string{"Goog-Authenticated-", "Goog-Iap-", "Ms-Client-Principal", "Ms-Token-", "Amzn-Oidc-", "Amzn-Mtls-", "Amz-Cf-"}
