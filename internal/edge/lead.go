package edge

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

const policyField = "Content-Security-Policy"

// Lead lets the forms of this one answer end at other places too, those of an
// application that is being signed in to: browsers hold form-action against the
// redirects after a post (CSP Level 3 §6.4.1). Addresses are https, or http on a
// loopback address, where any port may answer (RFC 8252 §7.3); only their origin
// counts, and what is no such address adds nothing. Without a policy on h
// nothing happens.
func Lead(h http.Header, addresses ...string) { extend(h, "form-action", addresses) }

// Frame lets this one answer frame pages of these origins, told as for [Lead].
func Frame(h http.Header, addresses ...string) { extend(h, "frame-src", addresses) }

// extend adds sources to one directive of the policy on h; one that is not there
// fell back to default-src, 'none'.
func extend(h http.Header, directive string, addresses []string) {
	policy := h.Get(policyField)
	var more []string
	for _, a := range addresses {
		if s := source(a); s != "" && !slices.Contains(more, s) {
			more = append(more, s)
		}
	}
	if policy == "" || len(more) == 0 {
		return
	}
	parts := strings.Split(policy, ";")
	i := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(strings.TrimSpace(p)+" ", directive+" ") })
	if i < 0 {
		parts, i = append(parts, " "+directive), len(parts)
	}
	for _, s := range more {
		if !slices.Contains(strings.Fields(parts[i]), s) {
			parts[i] += " " + s
		}
	}
	h.Set(policyField, strings.Join(parts, ";"))
}

// source is the origin of an address as a policy writes it; empty when a policy
// cannot name it safely.
func source(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(u.Host, " ;,'\"*%\t\r\n") {
		return ""
	}
	switch {
	case u.Scheme == "http" && loopback(u.Hostname()):
		return "http://" + strings.TrimSuffix(u.Host, ":"+u.Port()) + ":*"
	case u.Scheme == "https":
		return "https://" + strings.ToLower(u.Host)
	}
	return ""
}

// loopback tells the addresses of the visitor's own machine.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
