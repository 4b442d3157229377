package parvis

import (
	"net/url"
	"strings"
)

// Addresses knows under which names the portal and the applications answer,
// entrance by entrance. Every absolute address the product writes is made
// here, from configuration, never from what a request claims (RFC 9110 §7.4
// is why a Host field proves nothing).
type Addresses struct {
	portals map[Channel]*url.URL
	hosts   map[string]Channel
}

// NewAddresses takes the origin of each entrance's portal, such as
// "https://agents.example.org". Applications live one label below it.
func NewAddresses(origins map[Channel]string) (*Addresses, error) {
	a := &Addresses{portals: map[Channel]*url.URL{}, hosts: map[string]Channel{}}
	for ch, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
			return nil, &Error{Code: CodeInvalid, Op: "parvis.NewAddresses", Err: err}
		}
		a.portals[ch] = &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
		a.hosts[strings.ToLower(u.Host)] = ch
	}
	return a, nil
}

// Portal gives the origin of an entrance's portal, without a final slash;
// empty when that entrance has none.
func (a *Addresses) Portal(ch Channel) string {
	u := a.portals[ch]
	if u == nil {
		return ""
	}
	return u.String()
}

// App gives the origin of an application seen from an entrance; empty when
// that entrance has no portal.
func (a *Addresses) App(ch Channel, id AppID) string {
	u := a.portals[ch]
	if u == nil {
		return ""
	}
	return u.Scheme + "://" + string(id) + "." + u.Host
}

// Find reads a Host field: which entrance it belongs to and, when it is not
// the portal itself, which application. It answers false for any other name.
func (a *Addresses) Find(host string) (Channel, AppID, bool) {
	host = strings.ToLower(host)
	if ch, ok := a.hosts[host]; ok {
		return ch, "", true
	}
	label, rest, ok := strings.Cut(host, ".")
	if !ok {
		return "", "", false
	}
	ch, ok := a.hosts[rest]
	if !ok || label == "" {
		return "", "", false
	}
	return ch, AppID(label), true
}

// Secure tells whether the entrance answers over TLS, hence whether its
// cookies may be marked Secure.
func (a *Addresses) Secure(ch Channel) bool {
	u := a.portals[ch]
	return u != nil && u.Scheme == "https"
}
