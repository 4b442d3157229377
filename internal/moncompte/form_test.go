package moncompte

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"parvis/internal/store"
)

func TestIsAddress(t *testing.T) {
	for s, want := range map[string]bool{
		"camille@habitants.example.org": true, "c.m+x@a-b.example": true, "o'neil@example.org": true, "A@B.C": true,
		"": false, "camille": false, "@example.org": false, "a@": false, "a@localhost": false, "a@b.": false, "a@.b": false, "a@b..c": false, "a..b@c.d": false, ".a@c.d": false,
		"a@-b.c": false, "a@b-.c": false, "a b@c.d": false, "a@b.c\r\nBcc: x@y.z": false, "a@b.c,d@e.f": false, "<a@b.c>": false, `"a"@b.c`: false, "a@b@c.d": false,
		"é@example.org": false, strings.Repeat("a", 65) + "@b.c": false, "a@" + strings.Repeat("b", 64) + ".c": false, "a@" + strings.Repeat("b.", 130) + "c": false,
	} {
		if got := isAddress(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestReadCode(t *testing.T) {
	for s, want := range map[string]string{
		"123456": "123456", " 123 456 ": "123456", "123-456": "123456", "123–456": "123456", "１２３４５６": "123456", "12a456": "12a456", "": "", strings.Repeat("1", 65): "",
	} {
		if got := readCode(s); got != want {
			t.Errorf("%q gives %q", s, got)
		}
	}
}

// The waits never shorten within an episode, never pass two hours, and end.
func TestTheLadderRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
		var c store.CitizenTry
		before := time.Duration(0)
		for range rapid.IntRange(1, 40).Draw(t, "tries") {
			pause := time.Duration(rapid.Int64Range(0, int64(episode-1)).Draw(t, "pause"))
			if c.Failures > 0 {
				now = c.Last.Add(pause)
			}
			quiet := c.Failures > 0 && pause >= episode
			c = charge(c, now)
			wait := max(0, c.Wait.Sub(now))
			if c.Failures <= freeTries && wait != 0 || c.Failures > freeTries && (wait < firstWait || wait > longest) {
				t.Fatalf("failure %d waits %v", c.Failures, wait)
			}
			if !quiet && wait < before {
				t.Fatalf("the wait went from %v to %v", before, wait)
			}
			before = wait
		}
		if later := charge(c, c.Last.Add(episode+longest)); later.Failures != 1 || !later.Wait.IsZero() {
			t.Fatalf("a day of quiet leaves %+v", later)
		}
	})
}

func FuzzReadForm(f *testing.F) {
	f.Add("email=a%40b.c&password=x&new_password=y&code=123+456&id=abc&link=def&flow=AAA&return=%2Fx&theme=dark&to=recover&name=Camille")
	f.Add("email=%zz&;&=&name=%00%0a&flow=../../x&id=//e")
	f.Add("code=%EF%BC%91&name=%E2%80%AE&id=%5C")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/signin?email=from@query.example&flow=QUERY", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got, err := readForm(r)
		if err != nil {
			return
		}
		if got.email == "from@query.example" && !strings.Contains(body, "from") || got.flow == "QUERY" && !strings.Contains(body, "Q") {
			t.Errorf("the address was read: %+v", got)
		}
		if utf8.RuneCountInString(got.name) > maxName || strings.ContainsFunc(got.name, unicode.IsControl) {
			t.Errorf("name %q", got.name)
		}
		for _, s := range []string{got.id, got.link} {
			if s != "" && (len(s) > maxID || !local("/"+s)) {
				t.Errorf("%q passed", s)
			}
		}
		if !local(after(got.flow)) || !local("/signin"+flowQuery(got.flow)) {
			t.Errorf("flow %q leads elsewhere", got.flow)
		}
		if !local(ownPath(got.back)) {
			t.Errorf("%q is led to", got.back)
		}
		if isAddress(got.email) && strings.ContainsAny(got.email, " \r\n,<>\"\x00") {
			t.Errorf("%q can be written to", got.email)
		}
	})
}
