package page

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func get(a *Assets, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAssetsAreNamedByWhatTheyHold(t *testing.T) {
	a, err := NewAssets(Brand{Organisation: "Ville", Accent: "#7a2048", Logo: []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), LogoType: "image/svg+xml"})
	if err != nil {
		t.Fatal(err)
	}
	hashed := regexp.MustCompile(`^/assets/[a-z]+\.[0-9a-f]{12}\.(css|js|svg|woff2)$`)
	types := map[string]string{
		"page.css": "text/css; charset=utf-8", "brand.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8",
		"next.woff2": "font/woff2", "mono.woff2": "font/woff2", "favicon.svg": "image/svg+xml", "logo": "image/svg+xml",
	}
	for name, typ := range types {
		p := a.path(name)
		if !hashed.MatchString(p) {
			t.Errorf("%s is at %q", name, p)
		}
		r := get(a, "GET", p)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != typ || r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", name, r.StatusCode, r.Header)
		}
		if again := get(a, "GET", p, "If-None-Match", r.Header.Get("ETag")); again.StatusCode != 304 || len(body(t, again)) != 0 {
			t.Errorf("%s: %d for the same tag", name, again.StatusCode)
		}
		if head := get(a, "HEAD", p); head.StatusCode != 200 || len(body(t, head)) != 0 {
			t.Errorf("%s: HEAD answers %d with a body", name, head.StatusCode)
		}
	}
	if plainAssets().path("page.css") != a.path("page.css") {
		t.Error("the same stylesheet has two names")
	}
	if r := get(a, "POST", a.path("page.css")); r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", r.StatusCode)
	}
	for _, p := range []string{"/assets/", "/assets/page.css", "/assets/../page.go", "/assets/icons/LICENSE", "/"} {
		if r := get(a, "GET", "http://x"+p); r.StatusCode != 404 {
			t.Errorf("%s: %d, want 404", p, r.StatusCode)
		}
	}
}

func TestGzipHoldsTheSame(t *testing.T) {
	a := plainAssets()
	for accept, zipped := range map[string]bool{"gzip, br": true, "br;q=1, GZIP;q=0.5": true, "": false, "br": false, "gzip;q=0": false, "gzip; q=0.0": false, "xgzip": false} {
		r := get(a, "GET", a.path("page.css"), "Accept-Encoding", accept)
		b := body(t, r)
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: gzip is %v", accept, got)
		}
		if zipped {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if b, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if want := body(t, get(a, "GET", a.path("page.css"))); !bytes.Equal(b, want) {
			t.Errorf("Accept-Encoding %q: another stylesheet", accept)
		}
		if r.Header.Get("Vary") != "Accept-Encoding" {
			t.Error("no Vary")
		}
	}
}

func TestNothingComesFromElsewhere(t *testing.T) {
	a := plainAssets()
	css := string(body(t, get(a, "GET", a.path("page.css"))))
	if strings.Contains(css, "@import") {
		t.Error("the stylesheet imports another")
	}
	urls := regexp.MustCompile(`url\(([^)]*)\)`).FindAllStringSubmatch(css, -1)
	if len(urls) != 2 {
		t.Errorf("%d addresses in the stylesheet, want the two fonts", len(urls))
	}
	for _, u := range urls {
		if p := strings.Trim(u[1], `"`); get(a, "GET", p).StatusCode != 200 {
			t.Errorf("the stylesheet asks for %s", p)
		}
	}
	for _, p := range []string{a.path("page.js"), "/sw.js", a.path("page.css")} {
		if b := string(body(t, get(a, "GET", p))); strings.Contains(b, "://") || strings.Contains(b, "eval(") || strings.Contains(b, "innerHTML") {
			t.Errorf("%s reaches elsewhere or writes markup", p)
		}
	}
}

func TestWorkerKeepsOnlyTheShell(t *testing.T) {
	a := plainAssets()
	r := get(a, "GET", "/sw.js")
	src := string(body(t, r))
	if r.Header.Get("Cache-Control") != "no-cache" {
		t.Error("the worker would not be renewed")
	}
	_, list, _ := strings.Cut(src, "const shell = ")
	list, _, _ = strings.Cut(list, ";")
	var shell []string
	if err := json.Unmarshal([]byte(list), &shell); err != nil {
		t.Fatalf("%q: %v", list, err)
	}
	if len(shell) < 4 {
		t.Errorf("the shell is only %q", shell)
	}
	for _, p := range shell {
		if !strings.HasPrefix(p, "/assets/") || get(a, "GET", p).StatusCode != 200 {
			t.Errorf("%s in the shell", p)
		}
	}
	if strings.Contains(src, "VERSION") || strings.Count(src, ".put(") != 1 || !strings.Contains(src, "cache.put(spoken, new Response(event.data))") {
		t.Error("the worker keeps something else than the shell and the language of the last page")
	}
}

func TestManifest(t *testing.T) {
	a, err := NewAssets(Brand{Organisation: `Ville "de" <Belleroche>`, Short: "Belleroche"})
	if err != nil {
		t.Fatal(err)
	}
	r := get(a, "GET", "/manifest.webmanifest")
	var m struct {
		Name, Display string
		Short         string `json:"short_name"`
		Icons         []struct{ Src string }
	}
	if err := json.Unmarshal(body(t, r), &m); err != nil {
		t.Fatal(err)
	}
	if m.Name != `Ville "de" <Belleroche>` || m.Short != "Belleroche" || m.Display != "standalone" || len(m.Icons) != 1 || get(a, "GET", m.Icons[0].Src).StatusCode != 200 {
		t.Errorf("manifest %+v", m)
	}
	if got := r.Header.Get("Content-Type"); got != "application/manifest+json" {
		t.Errorf("type %s", got)
	}
}

// TestFirstPageIsLight: under 50 kB without fonts, before compression even.
func TestFirstPageIsLight(t *testing.T) {
	a := plainAssets()
	total := len(rendered(t, testScreens("fr")[0]))
	for _, p := range []string{a.path("page.css"), a.path("page.js"), a.path("favicon.svg")} {
		total += len(body(t, get(a, "GET", p)))
	}
	if total >= 50_000 {
		t.Errorf("the first page weighs %d bytes", total)
	}
	t.Logf("first page: %d bytes", total)
}

func TestBrandRefusals(t *testing.T) {
	for _, c := range []struct {
		brand Brand
		want  string // part of the error, "" for none
	}{
		{Brand{Accent: "#0b6357"}, ""},
		{Brand{Accent: "#1a3c8b", AccentDark: "#9db8ff"}, ""},
		{Brand{Accent: "#ffcc00"}, "4.5:1"},
		{Brand{Accent: "#1a3c8b", AccentDark: "#1a3c8b"}, "dark ground"},
		{Brand{Accent: "green"}, "want #rrggbb"},
		{Brand{Accent: "#12345g"}, "want #rrggbb"},
		{Brand{Accent: "#1a3c8b", AccentDark: "red;}"}, "want #rrggbb"},
		{Brand{Logo: []byte("x"), LogoType: "text/html"}, "logo of type"},
	} {
		_, err := NewAssets(c.brand)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.brand, err, c.want)
		}
	}
}

// Whatever accent is accepted, both themes stay readable.
func TestAcceptedAccentsAreReadable(t *testing.T) {
	pair := regexp.MustCompile(`--accent:(#[0-9a-f]{6});--on-accent:(#[0-9a-f]{6})`)
	rapid.Check(t, func(t *rapid.T) {
		c := colour{rapid.Byte().Draw(t, "r"), rapid.Byte().Draw(t, "g"), rapid.Byte().Draw(t, "b")}
		sheet, err := Brand{Accent: c.String()}.sheet()
		if readable := worst(c, lightGrounds) >= 4.5; readable != (err == nil) {
			t.Fatalf("%s readable %v: %v", c, readable, err)
		}
		if err != nil {
			return
		}
		got := pair.FindAllStringSubmatch(string(sheet), -1)
		if len(got) != 3 {
			t.Fatalf("sheet %s", sheet)
		}
		for i, m := range got {
			accent, _ := parseColour(m[1])
			on, _ := parseColour(m[2])
			grounds := lightGrounds
			if i > 0 {
				grounds = darkGrounds
			}
			if w := worst(accent, grounds); w < 4.5 {
				t.Errorf("%s reads at %.2f", accent, w)
			}
			if w := contrast(accent, on); w < 4.5 {
				t.Errorf("%s on %s reads at %.2f", on, accent, w)
			}
		}
	})
}

func tokens(t *testing.T, block string) map[string]colour {
	t.Helper()
	out := map[string]colour{}
	for _, m := range regexp.MustCompile(`--([a-z-]+):\s*(#[0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
		c, err := parseColour(m[2])
		if err != nil {
			t.Fatal(err)
		}
		out[m[1]] = c
	}
	return out
}

// TestContrast measures every pair of tokens that meets on a page.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root[^{]*\{\s*color-scheme.*?\}`).FindAllString(string(css), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of tokens, want light, dark by system, dark by choice", len(blocks))
	}
	light, system, chosen := tokens(t, blocks[0]), tokens(t, blocks[1]), tokens(t, blocks[2])
	for k, v := range system {
		if chosen[k] != v {
			t.Errorf("--%s: %s by system, %s by choice", k, v, chosen[k])
		}
	}
	if len(system) != len(chosen) || len(light) != len(chosen) || len(light) != 14 {
		t.Errorf("%d, %d and %d tokens", len(light), len(system), len(chosen))
	}
	for name, theme := range map[string]map[string]colour{"light": light, "dark": chosen} {
		for _, c := range []struct {
			text, ground string
			least        float64
		}{
			{"ink", "paper", 7},
			{"ink", "card", 7},
			{"ink", "stone", 7},
			{"ink", "warn-ground", 7},
			{"ink", "stop-ground", 7},
			{"soft", "paper", 4.5},
			{"soft", "card", 4.5},
			{"soft", "stone", 4.5},
			{"accent", "paper", 4.5},
			{"accent", "card", 4.5},
			{"accent", "stone", 4.5},
			{"on-accent", "accent", 4.5},
			{"warn", "paper", 4.5},
			{"warn", "card", 4.5},
			{"warn", "stone", 4.5},
			{"warn", "warn-ground", 4.5},
			{"stop", "paper", 4.5},
			{"stop", "card", 4.5},
			{"stop", "stone", 4.5},
			{"stop", "stop-ground", 4.5},
			{"done", "paper", 4.5},
			{"done", "card", 4.5},
			{"done", "stone", 4.5},
			{"paper", "ink", 4.5}, // the primary button under the pointer
			{"line", "paper", 3},
			{"line", "card", 3},
		} {
			a, b := theme[c.text], theme[c.ground]
			if r := contrast(a, b); r < c.least {
				t.Errorf("%s: %s on %s is %.2f:1, want %.1f:1", name, c.text, c.ground, r, c.least)
			}
		}
	}
	for i, g := range []string{"card", "paper", "stone"} {
		if lightGrounds[i] != light[g] {
			t.Errorf("ground %s is not the stylesheet's", g)
		}
	}
	for i, g := range []string{"paper", "card", "stone"} {
		if darkGrounds[i] != chosen[g] {
			t.Errorf("dark ground %s is not the stylesheet's", g)
		}
	}
}

// Black on white is 21:1 and #777 on white 4.48:1, the known border of the rule.
func TestContrastFormula(t *testing.T) {
	white, black, grey := colour{255, 255, 255}, colour{}, colour{0x77, 0x77, 0x77}
	if c := contrast(white, black); c < 20.99 || c > 21.01 {
		t.Errorf("black on white %.3f", c)
	}
	if c := contrast(grey, white); c < 4.47 || c > 4.49 {
		t.Errorf("#777 on white %.3f", c)
	}
}

func FuzzParseColour(f *testing.F) {
	for _, s := range []string{"#0b6357", "#FFF", "", "#-12345", "#00000é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseColour(s)
		if err == nil && c.String() != strings.ToLower(s) {
			t.Errorf("%q became %s", s, c)
		}
	})
}
