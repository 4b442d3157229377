package oidc

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parvis"
	"parvis/internal/edge"
)

// The addresses of the protocol, on every portal.
const (
	pathDiscovery  = "/.well-known/openid-configuration"
	pathKeys       = "/.well-known/jwks.json"
	pathAuthorize  = "/authorize"
	pathPAR        = "/par"
	pathToken      = "/token"
	pathUserInfo   = "/userinfo"
	pathIntrospect = "/introspect"
	pathRevoke     = "/revoke"
	pathDeviceAuth = "/device_authorization"
	pathDevice     = "/device"
	pathLogout     = "/oidc/logout"
	pathConsent    = "/consent"
)

func paths() []string {
	return []string{
		pathDiscovery, pathKeys, pathAuthorize, pathPAR, pathToken, pathUserInfo, pathIntrospect, pathRevoke, pathDeviceAuth, pathDevice,
		pathLogout, pathConsent,
	}
}

// Serves tells whether a path of a portal's host is one of the protocol's.
func (p *Provider) Serves(path string) bool { return slices.Contains(paths(), path) }

// route is one address: what answers there, and whether pages of other origins
// may read it.
type route struct {
	answer func(http.ResponseWriter, *http.Request, *issuer) error
	shared bool // with pages of public clients (CORS); never /authorize (RFC 9700 §2.6)
	open   bool // with any page: what is published
}

// Handler serves the paths of [Provider.Serves] on the portals' hosts.
func (p *Provider) Handler() http.Handler {
	routes := map[string]route{
		"GET " + pathDiscovery: {answer: p.discovery, open: true}, "GET " + pathKeys: {answer: p.keys, open: true},
		"GET " + pathAuthorize: {answer: p.authorize}, "POST " + pathAuthorize: {answer: p.reauthorize},
		"POST " + pathPAR: {answer: p.program}, "POST " + pathToken: {answer: p.program, shared: true},
		"GET " + pathUserInfo: {answer: p.program, shared: true}, "POST " + pathUserInfo: {answer: p.program, shared: true},
		"POST " + pathIntrospect: {answer: p.program}, "POST " + pathRevoke: {answer: p.program, shared: true},
		"POST " + pathDeviceAuth: {answer: p.program},
		"GET " + pathDevice:      {answer: p.getDevice}, "POST " + pathDevice: {answer: p.postDevice},
		"GET " + pathLogout: {answer: p.logout}, "POST " + pathLogout: {answer: p.logout},
		"POST " + pathConsent: {answer: p.postConsent},
	}
	return p.Edge.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := p.ready(); err != nil {
			return err
		}
		is := p.at(r)
		if is == nil || !p.Serves(r.URL.Path) {
			return &parvis.Error{Code: parvis.CodeNotFound, Op: "oidc.Handler"}
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if method == http.MethodOptions {
			method = r.Header.Get("Access-Control-Request-Method")
		}
		to, ok := routes[method+" "+r.URL.Path]
		if !ok {
			var allow []string
			for pattern := range routes {
				if verb, path, _ := strings.Cut(pattern, " "); path == r.URL.Path {
					allow = append(allow, verb)
				}
			}
			slices.Sort(allow)
			w.Header().Set("Allow", strings.Join(allow, ", "))
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return nil
		}
		p.share(w.Header(), r, to)
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return to.answer(w, r, is)
	})
}

// share lets a page of another origin read this answer (the CORS protocol of the
// Fetch standard): any page what is published, the pages of public clients what
// they ask for with their own token. Cookies never count.
func (p *Provider) share(h http.Header, r *http.Request, to route) {
	origin := r.Header.Get("Origin")
	switch {
	case to.open:
		h.Set("Access-Control-Allow-Origin", "*")
	case !to.shared || origin == "":
		return
	default:
		h.Add("Vary", "Origin")
		if !p.shares(origin) {
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
	}
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
		h.Set("Access-Control-Max-Age", "600")
	}
}

// words gives the words of a parameter.
func words(s string) []string { return strings.Fields(s) }

// entrance tells through which entrance a request came.
func entrance(r *http.Request) parvis.Channel { return edge.Origin(r).Channel }

// with adds parameters to an address that may have some, and leaves those as
// they are written.
func with(address string, more url.Values) string {
	if len(more) == 0 {
		return address
	}
	sep := "?"
	if strings.Contains(address, "?") {
		sep = "&"
	}
	return address + sep + more.Encode()
}
