package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/htmlcheck"
)

// front is a front door of its own: it signs for one application at a time.
type front struct {
	t    *testing.T
	now  time.Time
	keys *httptest.Server
	key  *ecdsa.PrivateKey
}

func newFront(t *testing.T) *front {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, key: key, now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	f.keys = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256"}}})
	}))
	t.Cleanup(f.keys.Close)
	return f
}

// app starts an application of the catalogue.
func (f *front) app(id parvis.AppID) http.Handler {
	i := slices.IndexFunc(Apps(), func(a parvis.App) bool { return a.ID == id })
	if i < 0 {
		f.t.Fatalf("there is no %s", id)
	}
	a := &Application{App: Apps()[i], Keys: f.keys.URL, Clock: func() time.Time { return f.now }, HTTP: f.keys.Client()}
	return a.Handler()
}

// caller is somebody at an entrance, as the door vouches for them.
type caller struct {
	front   *front
	app     parvis.AppID
	h       http.Handler
	number  string
	lang    string
	channel parvis.Channel
	limited bool
	header  http.Header
}

func (f *front) caller(app parvis.AppID, number string) *caller {
	return &caller{front: f, app: app, h: f.app(app), number: number, lang: "fr", channel: parvis.Internal, header: http.Header{}}
}

func (c *caller) sign(audience string) string {
	c.front.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: c.front.key, KeyID: "k"}}, nil)
	if err != nil {
		c.front.t.Fatal(err)
	}
	now := c.front.now
	s, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "http://agents.localhost:8080", "aud": audience, "sub": c.number, "name": "Camille Morel", "channel": c.channel, "limited": c.limited,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}).Serialize()
	if err != nil {
		c.front.t.Fatal(err)
	}
	return s
}

func (c *caller) do(method, path string, form url.Values) *httptest.ResponseRecorder {
	c.front.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set(assertionHeader, c.sign(string(c.app)))
	r.Header.Set("Accept-Language", c.lang)
	for name, values := range c.header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return w
}

// page gets a page that is right: whole, with nothing missing in its words.
func (c *caller) page(path string) string {
	c.front.t.Helper()
	w := c.do(http.MethodGet, path, nil)
	if w.Code != http.StatusOK {
		c.front.t.Fatalf("%s answers %d:\n%s", path, w.Code, w.Body)
	}
	c.whole(path, w)
	return w.Body.String()
}

func (c *caller) whole(path string, w *httptest.ResponseRecorder) {
	c.front.t.Helper()
	if b := w.Body.String(); strings.ContainsAny(b, "⟦⟧") || !strings.Contains(b, "</html>") || !strings.Contains(b, `lang="`+c.lang+`"`) {
		c.front.t.Errorf("%s in %s lacks something:\n%s", path, c.lang, b)
	}
	for _, f := range htmlcheck.Check(w.Body.Bytes()) {
		// An application is no screen of Parvis, and its one style is known by its hash.
		if f != "inline style element" && f != "body has no data-screen" {
			c.front.t.Errorf("%s: %s", path, f)
		}
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, styleHash(w.Body.String())) {
		c.front.t.Errorf("the policy %q does not allow the style of %s", policy, path)
	}
}

func TestApplicationsBelieveOnlyTheDoor(t *testing.T) {
	f := newFront(t)
	for _, id := range []parvis.AppID{"paie", "conges", "annuaire", "messagerie"} {
		c := f.caller(id, "A100001")
		for _, header := range []string{"", "Bearer x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJBMTAwMDAxIn0.", c.sign("another")} {
			for _, path := range []string{"/", "/document", "/live", "/payslips/2026-10.pdf", "/search", "/export.csv", "/requests/x"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header.Set(assertionHeader, header)
				r.Header.Set("Remote-User", "A100001")
				w := httptest.NewRecorder()
				c.h.ServeHTTP(w, r)
				if w.Code == http.StatusOK || strings.Contains(w.Body.String(), "A100001") {
					t.Errorf("%s%s with %q answers %d", id, path, header, w.Code)
				}
			}
		}
	}
}

// TestEveryApplicationHasAPage opens the first page of each, in both languages
// and at both versions: it says who is there and through which entrance.
func TestEveryApplicationHasAPage(t *testing.T) {
	f := newFront(t)
	var ids []parvis.AppID
	for _, app := range Apps() {
		ids = append(ids, app.ID)
		if app.OIDC != nil {
			continue
		}
		for lang, entrance := range map[string]string{"fr": "Portail mobile", "en": "Mobile portal"} {
			c := f.caller(app.ID, "A100001")
			c.lang, c.channel, c.limited = lang, parvis.Mobile, app.ID == "annuaire"
			page := c.page("/")
			for _, want := range []string{"Camille Morel", entrance, app.Name.In(lang), `data-app="` + string(app.ID) + `"`, `href="http://agents.localhost:8080/"`} {
				if !strings.Contains(page, want) {
					t.Errorf("%s in %s lacks %q", app.ID, lang, want)
				}
			}
			if reduced := strings.Contains(page, "version réduite") || strings.Contains(page, "reduced version"); reduced != c.limited {
				t.Errorf("%s in %s says reduced: %v", app.ID, lang, reduced)
			}
		}
	}
	slices.Sort(ids)
	if d := cmp.Diff([]parvis.AppID{"annuaire", "conges", "demo-confidential", "demo-public", "demo-second", "finances", "messagerie", "paie", "social", "urbanisme"}, ids); d != "" {
		t.Errorf("applications (-want +got):\n%s", d)
	}
}

func TestDocumentInParts(t *testing.T) {
	c := newFront(t).caller("finances", "A100001")
	c.header.Set("Range", "bytes=0-6")
	if w := c.do(http.MethodGet, "/document", nil); w.Code != http.StatusPartialContent || w.Body.String() != "A100001" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestDirectory(t *testing.T) {
	f := newFront(t)
	whole, reduced := f.caller("annuaire", "A100001"), f.caller("annuaire", "A100001")
	reduced.channel, reduced.limited = parvis.Mobile, true

	for query, want := range map[string]string{"garnier": "Hélène Garnier", "HELENE": "Hélène Garnier", "budget": "Service du budget", "morel budget": "Camille Morel"} {
		for _, c := range []*caller{whole, reduced} {
			page := c.page("/search?q=" + url.QueryEscape(query))
			if !strings.Contains(page, want) || strings.Contains(page, "Marc Simon") {
				t.Errorf("%q does not find %q alone", query, want)
			}
			if strings.Contains(page, "/cards/") == c.limited && query != "budget" || strings.Contains(page, "/export.csv") == c.limited {
				t.Errorf("%q, reduced %v: the links are wrong:\n%s", query, c.limited, page)
			}
		}
	}
	if page := whole.page("/search?q=%3Cscript%3E"); strings.Contains(page, "<script>") || !strings.Contains(page, "&lt;script&gt;") {
		t.Errorf("what was typed comes back as it is:\n%s", page)
	}
	if page := whole.page("/cards/A100003"); !strings.Contains(page, "Directrice générale adjointe") || !strings.Contains(page, "helene.garnier@example.org") {
		t.Errorf("a card lacks something:\n%s", page)
	}
	if w := whole.do(http.MethodGet, "/cards/A999999", nil); w.Code != http.StatusNotFound {
		t.Errorf("the card of nobody answers %d", w.Code)
	}
	w := whole.do(http.MethodGet, "/export.csv", nil)
	if lines := strings.Count(w.Body.String(), "\r\n"); w.Code != http.StatusOK || lines != len(people())+1 || !strings.Contains(w.Body.String(), "Camille Morel;Gestionnaire budgétaire;") {
		t.Errorf("%d, %d lines:\n%s", w.Code, lines, w.Body)
	}
	for _, path := range []string{"/export.csv", "/cards/A100003"} {
		w := reduced.do(http.MethodGet, path, nil)
		if reduced.whole(path, w); w.Code != http.StatusForbidden {
			t.Errorf("the reduced version answers %d at %s", w.Code, path)
		}
	}
}

// TestExportIsNoFormula is for a name that a spreadsheet would compute.
func TestExportIsNoFormula(t *testing.T) {
	v := &visit{counter: newCounter(&Application{Clock: time.Now})}
	got := string(v.export([]entry{{Name: "=1+1", Job: "-x", Email: "@y"}}))
	if !strings.Contains(got, "'=1+1;'-x;;;'@y\r\n") {
		t.Errorf("%q", got)
	}
}

func TestPaySlips(t *testing.T) {
	f := newFront(t)
	c := f.caller("paie", "A100001")
	page := c.page("/")
	links := regexp.MustCompile(`href="(/(?:payslips|certificates)/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) != 2*24+2 || !strings.Contains(page, "/payslips/2026-10.pdf") || strings.Contains(page, "2026-11") || !strings.Contains(page, "/certificates/2025.pdf") || strings.Contains(page, "/certificates/2026") {
		t.Errorf("%d links:\n%s", len(links), page)
	}
	for _, link := range links {
		if strings.HasSuffix(link[1], ".pdf") {
			w := c.do(http.MethodGet, link[1], nil)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/pdf" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), `attachment; filename="`) {
				t.Errorf("%s: %d %v", link[1], w.Code, w.Header())
			}
			sound(t, w.Body.Bytes())
		} else {
			c.page(link[1])
		}
	}
	if page := c.page("/payslips/2026-10"); !strings.Contains(page, "Traitement de base") || !strings.Contains(page, "octobre 2026") {
		t.Errorf("a pay slip lacks something:\n%s", page)
	}
	for _, path := range []string{"/payslips/2026-11.pdf", "/payslips/2020-01.pdf", "/payslips/x", "/certificates/2026.pdf", "/certificates/2025"} {
		if w := c.do(http.MethodGet, path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
	// Whoever arrives today has none yet, and one when the month is over.
	young := f.caller("paie", "A100002")
	if page := young.page("/"); strings.Contains(page, "/payslips/") || !strings.Contains(page, "premier bulletin") {
		t.Errorf("a newcomer has been paid:\n%s", page)
	}
	f.now = f.now.AddDate(0, 1, 0)
	if page := young.page("/"); strings.Count(page, "/payslips/2026-11.pdf") != 1 || strings.Contains(page, "2026-10") {
		t.Errorf("a month later:\n%s", page)
	}
}

// TestPaySlipInParts reads one as a telephone on a bad network does.
func TestPaySlipInParts(t *testing.T) {
	f := newFront(t)
	c := f.caller("paie", "A100001")
	const path = "/payslips/2026-10.pdf"
	whole := c.do(http.MethodGet, path, nil)
	tag := whole.Header().Get("ETag")
	if tag == "" || !strings.Contains(whole.Body.String(), "A100001") {
		t.Fatalf("%v", whole.Header())
	}
	c.header.Set("Range", "bytes=5-14")
	c.header.Set("If-Range", tag)
	if w := c.do(http.MethodGet, path, nil); w.Code != http.StatusPartialContent || w.Body.String() != whole.Body.String()[5:15] {
		t.Errorf("a part: %d %q", w.Code, w.Body)
	}
	c.header = http.Header{"If-None-Match": {tag}}
	f.now = f.now.Add(time.Hour)
	if w := c.do(http.MethodGet, path, nil); w.Code != http.StatusNotModified {
		t.Errorf("the same file an hour later: %d", w.Code)
	}
	other := f.caller("paie", "A100003")
	if w := other.do(http.MethodGet, path, nil); w.Header().Get("ETag") == tag || strings.Contains(w.Body.String(), "A100001") {
		t.Error("somebody else gets the same pay slip")
	}
}

func TestMoney(t *testing.T) {
	v := &visit{Lang: "fr"}
	for cents, want := range map[int64]string{0: "0,00 €", -5: "-0,05 €", 123456: "1\u00a0234,56 €", 100000000: "1\u00a0000\u00a0000,00 €"} {
		if got := v.money(cents); got != strings.ReplaceAll(want, " €", "\u00a0€") {
			t.Errorf("%d: %q", cents, got)
		}
	}
	if v.Lang = "en"; v.money(-123456) != "-€1,234.56" {
		t.Error(v.money(-123456))
	}
}

// sound holds a PDF against its own table: each object is where it says, and its
// stream as long as it says.
func sound(t *testing.T, file []byte) {
	t.Helper()
	s := string(file)
	at := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindStringSubmatch(s)
	if !strings.HasPrefix(s, "%PDF-1.") || at == nil || !strings.HasPrefix(s[number(t, at[1]):], "xref\n") {
		t.Fatal("no PDF")
	}
	for i, m := range regexp.MustCompile(`(?m)^(\d{10}) 00000 n `).FindAllStringSubmatch(s, -1) {
		if want := string(rune('1'+i)) + " 0 obj\n"; !strings.HasPrefix(s[number(t, m[1]):], want) {
			t.Errorf("object %d is elsewhere", i+1)
		}
	}
	m := regexp.MustCompile(`(?s)/Length (\d+) >>\nstream\n(.*?)\nendstream`).FindStringSubmatch(s)
	if m == nil || len(m[2]) != number(t, m[1]) {
		t.Error("the stream has another length")
	}
}

func number(t *testing.T, s string) int {
	t.Helper()
	n := 0
	for _, r := range s {
		n = n*10 + int(r-'0')
	}
	return n
}
