package moncompte

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/seal"
)

// sent is what a form of ours can hold, read and bounded.
type sent struct {
	email, name           string
	password, newPassword seal.Secret
	code, id, link, flow  string
	to, back, theme       string
}

// The longest values that are looked at. Longer ones are nobody's.
const (
	maxAddress = 254 // RFC 5321 §4.5.3.1.3, less the brackets
	maxName    = 80
	maxSecret  = 1024
	maxID      = 64
)

// readForm reads a posted form; what is in the address does not count.
func readForm(r *http.Request) (sent, error) {
	if err := r.ParseForm(); err != nil {
		return sent{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.readForm", Err: err}
	}
	get := r.PostForm.Get
	short := func(name string) string {
		if s := get(name); len(s) <= maxID && local("/"+s) {
			return s
		}
		return ""
	}
	f := sent{
		email: strings.TrimSpace(get("email")), name: oneLine(get("name")),
		password: seal.Secret(get("password")), newPassword: seal.Secret(get("new_password")),
		code: readCode(get("code")), id: short("id"), link: short("link"), flow: readFlow(get("flow")),
		to: get("to"), back: get("return"), theme: get("theme"),
	}
	if len(f.password) > maxSecret || len(f.newPassword) > maxSecret {
		return sent{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.readForm"}
	}
	return f, nil
}

// readFlow keeps the sealed sign-in of a client if it could be one.
func readFlow(s string) string {
	if len(s) > maxFlow || strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return ""
	}
	return s
}

// isAddress tells whether s can be written to: one @, a host with a dot, signs
// that need no quoting.
func isAddress(s string) bool {
	box, host, ok := strings.Cut(s, "@")
	if !ok || box == "" || len(box) > 64 || len(s) > maxAddress || !strings.Contains(host, ".") {
		return false
	}
	const plain = "!#$%&'*+-/=?^_`{|}~" // RFC 5322 §3.2.3 atext, beside letters and digits
	for part := range strings.SplitSeq(box, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return !ascii(r) && !strings.ContainsRune(plain, r) }) {
			return false
		}
	}
	for part := range strings.SplitSeq(host, ".") {
		if part == "" || len(part) > 63 || part[0] == '-' || part[len(part)-1] == '-' ||
			strings.ContainsFunc(part, func(r rune) bool { return !ascii(r) && r != '-' }) {
			return false
		}
	}
	return true
}

func ascii(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// readCode reads six digits as people type them: spaces, dashes and the wide
// digits of some keyboards are accepted. Anything else comes back as it is.
func readCode(s string) string {
	if len(s) > maxID {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r):
			return -1
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		}
		return r
	}, s)
}

// oneLine makes a name fit one line of a page or a mail.
func oneLine(s string) string {
	if !utf8.ValidString(s) || len(s) > 8*maxName {
		return ""
	}
	s = strings.Join(strings.FieldsFunc(norm.NFC.String(s), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}), " ")
	if utf8.RuneCountInString(s) > maxName {
		return ""
	}
	return s
}
