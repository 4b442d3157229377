package text

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// entry is one sentence in each language, in the order of languages.
type entry [2][]node

// node is a piece of a sentence: exactly one of literal, value, plural or group.
type node struct {
	literal string
	name    string // of a value or of the number that chooses the plural form
	upper   bool   // {^name}
	forms   []form // of a plural
	group   []node // of [ … ]
}

type form struct {
	zero bool // "=0", before the rules of the language
	is   plural.Form
	text string
}

// groupDepth bounds the nesting of brackets.
const groupDepth = 4

var (
	errBrace   = errors.New("a { without its }")
	errBracket = errors.New("a [ or ] without its pair")
	errDepth   = errors.New("brackets nested too deep")
)

// compile reads the template of one sentence.
func compile(s string) ([]node, error) {
	nodes, rest, err := compileUntil(s, 0)
	if err != nil {
		return nil, err
	}
	if rest != "" {
		return nil, errBracket
	}
	return nodes, nil
}

// compileUntil reads up to the ] that closes the group, or the end at depth 0.
func compileUntil(s string, depth int) (nodes []node, rest string, err error) {
	if depth > groupDepth {
		return nil, "", errDepth
	}
	for s != "" {
		i := strings.IndexAny(s, "{}[]")
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			nodes = append(nodes, node{literal: s[:i]})
			s = s[i:]
			continue
		}
		switch s[0] {
		case '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return nil, "", errBrace
			}
			n, err := compileValue(s[1:end])
			if err != nil {
				return nil, "", err
			}
			nodes, s = append(nodes, n), s[end+1:]
		case '}':
			return nil, "", errBrace
		case '[':
			group, after, err := compileUntil(s[1:], depth+1)
			if err != nil {
				return nil, "", err
			}
			nodes, s = append(nodes, node{group: group}), after
		default:
			if depth == 0 {
				return nil, "", errBracket
			}
			return nodes, s[1:], nil
		}
	}
	if depth > 0 {
		return nil, "", errBracket
	}
	return nodes, "", nil
}

// compileValue reads what stands between braces.
func compileValue(s string) (node, error) {
	name, choices, isPlural := strings.Cut(s, "|")
	var n node
	n.name, n.upper = strings.CutPrefix(name, "^")
	if !isName(n.name) {
		return node{}, fmt.Errorf("%q is not the name of a value", n.name)
	}
	if !isPlural {
		return n, nil
	}
	if n.upper {
		return node{}, fmt.Errorf("{^%s|…}: a plural takes no capital", n.name)
	}
	other := false
	for choice := range strings.SplitSeq(choices, "|") {
		label, text, ok := strings.Cut(choice, ":")
		if !ok {
			return node{}, fmt.Errorf("the plural of %s has a form without its colon", n.name)
		}
		f := form{text: strings.TrimPrefix(text, " ")}
		switch label {
		case "=0":
			f.zero = true
		case "one":
			f.is = plural.One
		case "many":
			f.is = plural.Many
		case "other":
			f.is, other = plural.Other, true
		default:
			return node{}, fmt.Errorf("the plural of %s has an unknown form %q", n.name, label)
		}
		if slices.ContainsFunc(n.forms, func(g form) bool { return g.zero == f.zero && g.is == f.is }) {
			return node{}, fmt.Errorf("the plural of %s has the form %q twice", n.name, label)
		}
		n.forms = append(n.forms, f)
	}
	if !other {
		return node{}, fmt.Errorf("the plural of %s lacks the form other", n.name)
	}
	return n, nil
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// names adds the values a sentence asks for, each once.
func names(nodes []node, into []string) []string {
	for i := range nodes {
		if n := &nodes[i]; n.name != "" && !slices.Contains(into, n.name) {
			into = append(into, n.name)
		}
		into = names(nodes[i].group, into)
	}
	return into
}

func (c *Catalog) render(l Lang, nodes []node, a Args) string {
	var b bytes.Buffer
	c.write(&b, l, nodes, a, false)
	return b.String()
}

// write reports whether every value was there. Inside a group it stops at the
// first that is not, for the group is then dropped.
func (c *Catalog) write(b *bytes.Buffer, l Lang, nodes []node, a Args, inGroup bool) bool {
	for _, n := range nodes {
		switch {
		case n.group != nil:
			var g bytes.Buffer
			if c.write(&g, l, n.group, a, true) {
				b.Write(g.Bytes())
			}
		case n.forms != nil:
			if inGroup && a[n.name] == nil {
				return false
			}
			b.WriteString(choose(l, n.forms, a[n.name]))
		case n.name != "":
			s := c.value(l, n.name, a, inGroup)
			if inGroup && s == "" {
				return false
			}
			switch {
			case n.upper:
				s = capital(s)
			case l.index() == French.index():
				s = contract(b, s)
			}
			b.WriteString(s)
		default:
			b.WriteString(n.literal)
		}
	}
	return true
}

// contractions are what French makes of a preposition and the article after it.
var contractions = []struct{ before, article, is string }{
	{"à ", "le ", "au "},
	{"à ", "les ", "aux "},
	{"de ", "le ", "du "},
	{"de ", "les ", "des "},
	{"À ", "le ", "Au "},
	{"À ", "les ", "Aux "},
	{"De ", "le ", "Du "},
	{"De ", "les ", "Des "},
}

// contract joins the preposition that a sentence ends with so far and the
// article that a value begins with: "demander à {who}" and "le service" make
// "demander au service". It takes the preposition back from b and gives what to
// write; what stands inside a value is never touched.
func contract(b *bytes.Buffer, value string) string {
	for _, c := range contractions {
		rest, ok := strings.CutPrefix(value, c.article)
		if !ok || !bytes.HasSuffix(b.Bytes(), []byte(c.before)) {
			continue
		}
		stem := b.Bytes()[:b.Len()-len(c.before)]
		if last, _ := utf8.DecodeLastRune(stem); len(stem) > 0 && (unicode.IsLetter(last) || last == '\'' || last == '’') {
			continue // the end of a longer word
		}
		b.Truncate(len(stem))
		return c.is + rest
	}
	return value
}

// value writes one value, or what stands for it when it is absent.
func (c *Catalog) value(l Lang, name string, a Args, optional bool) string {
	v := a[name]
	if v == nil {
		if optional {
			return ""
		}
		if e := c.entries["value."+name]; e != nil {
			return c.render(l, e[l.index()], nil)
		}
		return missing(name)
	}
	now, _ := asTime(a["now"])
	return c.format(l, name, v, now)
}

// choose picks the plural form of a whole number by the CLDR rules. What is not
// a whole number takes the form other.
func choose(l Lang, forms []form, v any) string {
	n, whole := asInt(v)
	if whole && n == 0 {
		for _, f := range forms {
			if f.zero {
				return f.text
			}
		}
	}
	want := plural.Other
	if whole {
		tag := language.French
		if l == English {
			tag = language.English
		}
		want = plural.Cardinal.MatchPlural(tag, int(max(n, -n)%10_000_000), 0, 0, 0, 0)
	}
	var fallback string
	for _, f := range forms {
		if f.zero {
			continue
		}
		if f.is == want {
			return f.text
		}
		if f.is == plural.Other {
			fallback = f.text
		}
	}
	return fallback
}

func asInt(v any) (int64, bool) {
	switch r := reflect.ValueOf(v); {
	case !r.IsValid():
		return 0, false
	case r.CanInt():
		return r.Int(), true
	case r.CanUint():
		return int64(r.Uint()), r.Uint() < 1<<63
	}
	return 0, false
}

// capital makes the first letter a capital and leaves the rest.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 || r == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(r)) + s[size:]
}
