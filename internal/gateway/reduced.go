package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"parvis"
)

// entry is one thing that the reduced version of an application can do.
type entry struct {
	method string
	path   string // decoded; of a whole folder it ends in "/"
	below  bool
}

// entries reads a list of "METHOD PATH", and gives what in it is neither.
func entries(words []string) (list []entry, not []string) {
	for _, w := range words {
		method, path, _ := strings.Cut(w, " ")
		folder, below := strings.CutSuffix(path, "/*")
		if below {
			path = folder + "/"
		}
		plain, ok := plainPath((&url.URL{Path: path}).EscapedPath())
		if !ok || path == "" || method == "" || strings.ToUpper(method) != method {
			not = append(not, w)
			continue
		}
		list = append(list, entry{method: method, path: plain, below: below})
	}
	return list, not
}

// reduced tells whether an application opens in its reduced version there.
func (up *upstream) reduced(ch parvis.Channel) bool { return slices.Contains(up.app.Reduced, ch) }

// reduces tells whether only what is listed may pass there.
func (up *upstream) reduces(ch parvis.Channel) bool {
	if len(up.app.ReducedTo) == 0 {
		return false
	}
	as := up.seenAs[ch]
	return as == nil || as.reduced
}

// within tells whether a request is for something listed. path is as it goes
// on to the application. Whatever two programs might read in two ways is not
// listed: what is compared here is then exactly what the application acts upon.
func (up *upstream) within(method, path, query string, h http.Header) bool {
	plain, ok := plainPath(path)
	if !ok || overridden(method, query, h) {
		return false
	}
	if method == http.MethodHead { // RFC 9110 §9.3.2: GET without its content
		method = http.MethodGet
	}
	return slices.ContainsFunc(up.list, func(e entry) bool {
		return e.method == method && (e.path == plain || e.below && strings.HasPrefix(plain, e.path))
	})
}

// plainPath decodes a path that every program reads alike: no segment of dots,
// no empty one, no parameters, and nothing encoded that needs not be, or that
// would mean something decoded (RFC 3986 §6.2.2, §7.3).
func plainPath(escaped string) (string, bool) {
	if escaped == "" {
		escaped = "/" // RFC 9110 §4.2.3
	}
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch {
		case c >= 0x80 || c <= ' ' || strings.IndexByte(`"#;<>?[\]^`+"`{|}\x7f", c) >= 0:
			return "", false
		case c != '%':
			continue
		case i+2 >= len(escaped):
			return "", false
		}
		if c, ok := hexByte(escaped[i+1], escaped[i+2]); !ok || c < 0x80 && !encodable(c) {
			return "", false
		}
		i += 2
	}
	plain, err := url.PathUnescape(escaped)
	if err != nil || plain[0] != '/' || !utf8.ValidString(plain) || strings.ContainsFunc(plain, odd) {
		return "", false
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(plain[1:], "/"), "/") {
		if segment == "" && plain != "/" || strings.Trim(segment, ".") == "" && segment != "" {
			return "", false
		}
	}
	return plain, true
}

// encodable tells whether an octet of ASCII may come encoded: it is written so
// by browsers, and means nothing when it is decoded.
func encodable(c byte) bool { return strings.IndexByte(` "<>[]^{|}!$&'()*+,=:@`+"`", c) >= 0 }

// odd are characters beyond ASCII that some programs take for others: those of
// other widths, and all that are neither letters, marks nor digits.
func odd(r rune) bool {
	return r >= utf8.RuneSelf && (r >= 0xff00 && r <= 0xffef || !unicode.In(r, unicode.L, unicode.M, unicode.N))
}

func hexByte(a, b byte) (byte, bool) {
	hi, ok := hexDigit(a)
	lo, also := hexDigit(b)
	return hi<<4 | lo, ok && also
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// overridden tells whether a request asks to be taken for one with another
// method, in a way that frameworks obey. What a form says in its body is not
// looked at.
func overridden(method, query string, h http.Header) bool {
	for name := range h {
		if strings.Contains(name, "ethod") {
			switch strings.TrimPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-") {
			case "http-method-override", "http-method", "method-override":
				return true
			}
		}
	}
	if method != http.MethodPost || query == "" {
		return false
	}
	plain, err := url.QueryUnescape(query)
	return err != nil || strings.Contains(strings.ToLower(plain), "_method")
}
