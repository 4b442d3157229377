package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func parse(s string) (*Catalog, error) {
	p := newParser()
	p.file("t.txt", s)
	return p.finish()
}

// A fault is reported with its line, and one fault does not hide the next.
func TestFaultsNameTheirLine(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no key", "  fr: a\n", "t.txt:1: a sentence without its key"},
		{"key without dot", "skip\n", `t.txt:1: "skip" is not a key`},
		{"key in capitals", "Chrome.skip\n", "is not a key"},
		{"empty part", "chrome..skip\n", "is not a key"},
		{"neither language", "a.b\n  de: x\n", "t.txt:2: \"de: x\" is neither fr: nor en:"},
		{"one language", "a.b\n  fr: x\n", "t.txt:1: a.b has no sentence in en"},
		{"twice", "a.b\n  fr: x\n  en: x\n\na.b\n", "t.txt:5: a.b is already at t.txt:1"},
		{"other values", "a.b\n  fr: {x}\n  en: {y}\n", "a.b asks for {x} in fr only"},
		{"open brace", "a.b\n  fr: {x\n  en: {x}\n", "a {"},
		{"lone brace", "a.b\n  fr: x}\n  en: x\n", "a {"},
		{"open bracket", "a.b\n  fr: [x\n  en: x\n", "a [ or ]"},
		{"lone bracket", "a.b\n  fr: x]\n  en: x\n", "a [ or ]"},
		{"deep", "a.b\n  fr: [[[[[[x]]]]]]\n  en: x\n", "nested too deep"},
		{"bad value", "a.b\n  fr: {X}\n  en: x\n", `"X" is not the name of a value`},
		{"empty value", "a.b\n  fr: {}\n  en: x\n", `"" is not the name of a value`},
		{"plural without other", "a.b\n  fr: {n|one: x}\n  en: {n}\n", "lacks the form other"},
		{"plural form unknown", "a.b\n  fr: {n|some: x|other: y}\n  en: {n}\n", "unknown form"},
		{"plural form twice", "a.b\n  fr: {n|other: x|other: y}\n  en: {n}\n", "twice"},
		{"plural without colon", "a.b\n  fr: {n|one}\n  en: {n}\n", "without its colon"},
		{"capital plural", "a.b\n  fr: {^n|other: x}\n  en: {n}\n", "takes no capital"},
		{"short reason", "reason x P0\n", "t.txt:1: a reason names its code, level and actors"},
		{"reason code", "reason X-1 P0 self\n", "is not a reason code"},
		{"reason twice", "reason x P0 self\n title fr: a\n title en: a\nreason x P0 self\n", "t.txt:4: the reason x is here twice"},
		{"level", "reason x P9 self\n title fr: a\n title en: a\n", `"P9" is not a level`},
		{"actor", "reason x P0 boss\n title fr: a\n title en: a\n", `"boss" is not an actor`},
		{"reason without title", "reason x P0 self\n", "reason.x.title has no sentence in fr"},
		{"part", "reason x P0 self\n hello fr: a\n", `"hello" is not a part of a reason`},
		{"part without language", "reason x P0 self\n title hello\n", "is neither a part"},
		{"step in one language", "reason x P0 self\n title fr: a\n title en: a\n do fr: a\n", "t.txt:4: reason.x.do.1 has no sentence in en"},
		{"action without label", "reason x P0 self\n title fr: a\n title en: a\n actions go\n", "reason x: the action go has no label"},
		{"action name", "reason x P0 self\n title fr: a\n title en: a\n actions Go!\n", `t.txt:4: "Go!" is not an action`},
		{"all at once", "skip\nb.c\n  fr: }\n", "t.txt:2: b.c has no sentence in en"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(tt.in)
			if err == nil || c != nil {
				t.Fatalf("accepted: %v", c)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestPlural(t *testing.T) {
	c, err := parse("a.b\n" +
		"  fr: {n} {n|=0: zéro|one: jour|many: de jours|other: jours}\n" +
		"  en: {n} {n|=0: none|one: day|other: days}\n" +
		"c.d\n  fr: x[{n|one: jour|other: jours}]\n  en: x[{n|one: day|other: days}]\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		n      any
		fr, en string
	}{
		{0, "0 zéro", "0 none"},
		{1, "1 jour", "1 day"},
		{-1, "-1 jour", "-1 day"},
		{2, "2 jours", "2 days"},
		{int64(21), "21 jours", "21 days"},
		{uint8(1), "1 jour", "1 day"},
		{"1", "1 jours", "1 days"},
		{1.5, "1.5 jours", "1.5 days"},
	} {
		if got := c.Say(French, "a.b", Args{"n": tt.n}); got != tt.fr {
			t.Errorf("%v: got %q, want %q", tt.n, got, tt.fr)
		}
		if got := c.Say(English, "a.b", Args{"n": tt.n}); got != tt.en {
			t.Errorf("%v: got %q, want %q", tt.n, got, tt.en)
		}
	}
	if got := c.Say(French, "c.d", nil); got != "x" {
		t.Errorf("a group without its number stays: %q", got)
	}
}

func TestGroups(t *testing.T) {
	c, err := parse("a.b\n" +
		"  fr: A[ {x}[, {y}].][ {^z}]\n  en: A[ {x}[, {y}].][ {^z}]\n" +
		"a.lines\n  fr: un\n  fr:\n  fr: deux : {x}\n  en: one\n  en:\n  en: two: {x}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args Args
		want string
	}{
		{nil, "A"},
		{Args{"x": "1"}, "A 1."},
		{Args{"y": "2"}, "A"},
		{Args{"x": "1", "y": "2"}, "A 1, 2."},
		{Args{"x": "", "y": "2", "z": "été"}, "A Été"},
		{Args{"x": nil, "z": "\xff"}, "A \xff"},
	} {
		if got := c.Say(French, "a.b", tt.args); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.args, got, tt.want)
		}
	}
	if got := c.Say(French, "a.lines", Args{"x": 1}); got != "un\n\ndeux\u00a0: 1" {
		t.Errorf("%q", got)
	}
}

// Whatever the files hold, they are read or refused with a place, and what was
// read can be said.
func FuzzParse(f *testing.F) {
	f.Add("a.b\n  fr: {x}[ {n|one: a|other: b}]\n  en: {x}[ {n|one: a|other: b}]\n")
	f.Add("reason lock P0 self\n  title fr: A {^x}\n  title en: B {^x}\n  do fr: c\n  do en: d\n  actions go\naction.go\n fr: Aller\n en: Go\n")
	f.Add("# remark\n\n\tx\n{[}]")
	f.Add("a.b\n  fr: [[[[[\n  en: ]]]]]\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parse(s)
		if err != nil {
			if !strings.Contains(err.Error(), "t.txt:") && !strings.Contains(err.Error(), "reason ") {
				t.Fatalf("a fault without a place: %v", err)
			}
			return
		}
		for key := range c.entries {
			for _, l := range languages {
				got := c.Say(l, key, Args{"x": 1, "n": 2})
				if utf8.ValidString(s) && !utf8.ValidString(got) {
					t.Fatalf("%s: %q", key, got)
				}
			}
		}
		for _, r := range c.Reasons() {
			if a := c.Reason(French, r.Code, nil); strings.HasPrefix(a.Title, "⟦"+r.Code) {
				t.Fatalf("%s is listed and unknown", r.Code)
			}
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("fr-FR,fr;q=0.9,en;q=0.8,*;q=0.1")
	f.Add("en-u-co-phonebk,x-private;q=1.000")
	f.Fuzz(func(t *testing.T, s string) {
		if got := Match(s, English); got != French && got != English {
			t.Fatalf("Match(%q) = %q", s, got)
		}
	})
}
