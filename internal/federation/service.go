package federation

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis"
)

// maxService bounds the address of a CAS service.
const maxService = 1000

// casRule is one declared address of a CAS service.
type casRule struct {
	app    parvis.AppID
	text   string // as it was declared
	origin string
	path   string // ends in "/" for a prefix; empty for an address compared whole
}

// newRule reads a declaration: a prefix when it ends in "/", a whole address
// otherwise.
func newRule(app parvis.AppID, declared string) (casRule, bool) {
	u, origin, ok := serviceAddress(declared)
	if !ok {
		return casRule{}, false
	}
	r := casRule{app: app, text: declared, origin: origin}
	if strings.HasSuffix(declared, "/") && u.RawQuery == "" && !u.ForceQuery {
		r.path = u.EscapedPath()
	}
	return r, true
}

// serviceAddress reads the address of a service so that no two readers can take
// it for two places: printable ASCII, no backslash, no user, no fragment, a host
// in small letters or digits, a path without "." segments and without a slash
// or a dot that is written otherwise (RFC 3986 §6.2.2, CAS Protocol §4.2).
func serviceAddress(s string) (u *url.URL, origin string, ok bool) {
	if s == "" || len(s) > maxService {
		return nil, "", false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' || s[i] == '#' || s[i] == '"' || s[i] == '<' || s[i] == '>' || s[i] == '`' {
			return nil, "", false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return nil, "", false
	}
	if !strings.HasPrefix(s, u.Scheme+"://"+u.Host) { // "HTTPS:", or what the parser tidied
		return nil, "", false
	}
	for _, c := range u.Host {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(".-:[]", c) {
			return nil, "", false
		}
	}
	path := u.EscapedPath()
	if path != "" && path[0] != '/' {
		return nil, "", false
	}
	lower := strings.ToLower(path)
	for _, hidden := range []string{"%2f", "%5c", "%2e", "%00", "%25", ";", "//"} {
		if strings.Contains(lower, hidden) {
			return nil, "", false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return nil, "", false
		}
	}
	host := u.Host
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u, u.Scheme + "://" + host, true
}

// allows tells whether a service is the declared one, or lies below it.
func (r casRule) allows(service string) bool {
	u, origin, ok := serviceAddress(service)
	if !ok || origin != r.origin {
		return false
	}
	if r.path == "" {
		return service == r.text
	}
	path := u.EscapedPath()
	return strings.HasPrefix(path, r.path) || path+"/" == r.path
}

// service finds the application of a service: the rule that says most.
func (f *Federation) service(address string) (parvis.App, bool) {
	best := -1
	rules := f.known().rules
	for i, r := range rules {
		if r.allows(address) && (best < 0 || len(r.text) > len(rules[best].text)) {
			best = i
		}
	}
	if best < 0 {
		return parvis.App{}, false
	}
	return f.Register.App(rules[best].app)
}

// withTicket adds a parameter to the address of a service (CAS Protocol §2.2.4).
func withTicket(service, ticket string) string {
	separator := "?"
	if strings.Contains(service, "?") {
		separator = "&"
	}
	return service + separator + "ticket=" + url.QueryEscape(ticket)
}

// casAnswer is what validation says: who, or why not (CAS Protocol §2.5).
type casAnswer struct {
	user       string
	attributes map[string]any // nil where the version has none

	code, text string // of a failure
}

// The codes of a failure (CAS Protocol §2.5.3).
const (
	casInvalidRequest = "INVALID_REQUEST"
	casInvalidTicket  = "INVALID_TICKET"
	casInvalidService = "INVALID_SERVICE"
	casInternal       = "INTERNAL_ERROR"
)

func failure(code, text string) casAnswer { return casAnswer{code: code, text: text} }

// plain is the answer of CAS 1 (CAS Protocol §2.4.2).
func (a casAnswer) plain() []byte {
	if a.code != "" {
		return []byte("no\n\n")
	}
	return []byte("yes\n" + a.user + "\n")
}

// json is the answer with format=JSON (CAS Protocol §2.5.2).
func (a casAnswer) json() ([]byte, error) {
	type object map[string]any
	inside := object{"authenticationFailure": object{"code": a.code, "description": a.text}}
	if a.code == "" {
		success := object{"user": a.user}
		if a.attributes != nil {
			attributes := object{}
			for name, v := range a.attributes {
				attributes[name] = v
			}
			success["attributes"] = attributes
		}
		inside = object{"authenticationSuccess": success}
	}
	return json.Marshal(object{"serviceResponse": inside})
}

// xml is the answer as CAS Protocol appendix A describes it. The names of
// attributes are ours; everything else is escaped.
func (a casAnswer) xml() []byte {
	var b strings.Builder
	b.WriteString(`<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas">` + "\n")
	if a.code != "" {
		b.WriteString(`  <cas:authenticationFailure code="` + a.code + `">` + escaped(a.text) + "</cas:authenticationFailure>\n")
	} else {
		b.WriteString("  <cas:authenticationSuccess>\n    <cas:user>" + escaped(a.user) + "</cas:user>\n")
		if a.attributes != nil {
			b.WriteString("    <cas:attributes>\n")
			for _, name := range sortedKeys(a.attributes) {
				for _, v := range valuesOf(a.attributes[name]) {
					b.WriteString("      <cas:" + name + ">" + escaped(v) + "</cas:" + name + ">\n")
				}
			}
			b.WriteString("    </cas:attributes>\n")
		}
		b.WriteString("  </cas:authenticationSuccess>\n")
	}
	b.WriteString("</cas:serviceResponse>\n")
	return []byte(b.String())
}

func escaped(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return ""
	}
	return b.String()
}

func sortedKeys(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// valuesOf writes a claim as texts: one for each value of a list.
func valuesOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []string:
		return v
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, valuesOf(one)...)
		}
		return all
	case time.Time:
		return []string{v.UTC().Format(time.RFC3339)}
	}
	return []string{fmt.Sprint(v)}
}
