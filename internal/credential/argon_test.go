package credential

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

const goodPHC = "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestParsePHC(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		ok       bool
	}{
		"as made":            {"", "", true},
		"more passes":        {"t=1", "t=16", true},
		"less memory":        {"m=47104", "m=19456", true},
		"another Argon2":     {"argon2id", "argon2i", false},
		"another version":    {"v=19", "v=16", false},
		"no version":         {"v=19$", "", false},
		"too many passes":    {"t=1", "t=17", false},
		"no pass":            {"t=1", "t=0", false},
		"too much memory":    {"m=47104", "m=262145", false},
		"memory for ever":    {"m=47104", "m=4294967295", false},
		"memory overflows":   {"m=47104", "m=99999999999999999999", false},
		"no memory":          {"m=47104", "m=0", false},
		"too many threads":   {"p=1", "p=255", false},
		"no thread":          {"p=1", "p=0", false},
		"leading zero":       {"t=1", "t=01", false},
		"a sign":             {"t=1", "t=+1", false},
		"another order":      {"m=47104,t=1", "t=1,m=47104", false},
		"a parameter more":   {"p=1", "p=1,keyid=AA", false},
		"salt too short":     {"$AAAAAAAAAAAAAAAAAAAAAA$", "$AAAA$", false},
		"padding":            {"AAAAAAAAAAAAAAAAAAAAAA$", "AAAAAAAAAAAAAAAAAAAAAA==$", false},
		"loose bits":         {"$AAAAAAAAAAAAAAAAAAAAAA$", "$AAAAAAAAAAAAAAAAAAAAAB$", false},
		"a line break":       {"AAAAAAAAAAAAAAAAAAAAAA$", "AAAAAAAAAAA\nAAAAAAAAAAA$", false},
		"a field more":       {"$argon2id", "$$argon2id", false},
		"nothing":            {goodPHC, "", false},
		"something in front": {"$argon2id", "x$argon2id", false},
	} {
		s := strings.Replace(goodPHC, c.from, c.to, 1)
		h, err := parsePHC(s)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && parvis.CodeOf(err) != parvis.CodeInternal {
			t.Errorf("%s: code %s", name, parvis.CodeOf(err))
		}
		if err == nil && h.String() != s {
			t.Errorf("%s: %s comes back as %s", name, s, h)
		}
	}
}

func TestHashHolds(t *testing.T) {
	a, b := newPHC([32]byte{1}, cost{memoryKiB, 1}), newPHC([32]byte{1}, cost{memoryKiB, 1})
	if cmp.Equal(a.salt, b.salt) || len(a.salt) != saltSize || len(a.key) != keySize {
		t.Error("salts repeat or are short")
	}
	for secret, want := range map[byte]bool{1: true, 2: false} {
		h, err := parsePHC(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if h.holds([32]byte{secret}) != want {
			t.Errorf("secret %d: not %t", secret, want)
		}
	}
	if dummy(cost{memoryKiB, 1}).holds([32]byte{}) {
		t.Error("somebody has the password of nobody")
	}
	for name, c := range map[string]struct {
		h    phc
		want bool
	}{
		"same":            {a, false},
		"fewer passes":    {phc{memory: memoryKiB, passes: 1, salt: a.salt, key: a.key}, true},
		"less memory":     {phc{memory: memoryKiB - 1, passes: 2, salt: a.salt, key: a.key}, true},
		"a shorter salt":  {phc{memory: memoryKiB, passes: 2, salt: a.salt[:8], key: a.key}, true},
		"stronger is not": {phc{memory: memoryKiB, passes: 3, salt: a.salt, key: a.key}, false},
	} {
		passes := uint32(2)
		if name == "same" {
			passes = 1
		}
		if got := c.h.weaker(cost{memoryKiB, passes}); got != c.want {
			t.Errorf("%s: weaker is %t", name, got)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(goodPHC)
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$MDAwMDAwMDAwMDAwMDAwMA")
	f.Add("$argon2id$v=19$m=47104,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Fatalf("%q is written %q", s, h)
		}
		if h.memory > maxMemoryKiB || h.passes < 1 || h.passes > maxPasses || h.threads < 1 || h.threads > maxThreads || len(h.salt) < 8 {
			t.Fatalf("out of bounds: %q", s)
		}
	})
}
