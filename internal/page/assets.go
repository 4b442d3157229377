package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
)

// Brand is what the organisation replaces. Accent and AccentDark are
// "#rrggbb"; AccentDark may be empty, it is then Accent lightened until it can
// be read on the dark ground. An empty Accent keeps the copper green.
type Brand struct {
	Organisation, Short string
	Accent, AccentDark  string
	Logo                []byte
	LogoType            string // image/svg+xml, image/png or image/webp
}

// Assets serves everything a page refers to: /assets/…, under names that
// contain a hash of what they hold (cached for ever), /sw.js and
// /manifest.webmanifest. It is read only once made and safe for parallel use.
type Assets struct {
	byPath map[string]*asset
	paths  map[string]string
}

type asset struct {
	typ, tag, cache string
	plain, gzipped  []byte
}

// plainAssets are those of a page whose Chrome names none.
var plainAssets = sync.OnceValue(func() *Assets {
	a, err := NewAssets(Brand{})
	if err != nil {
		return &Assets{} // cannot be: TestPlainAssets
	}
	return a
})

// NewAssets prepares the assets. It refuses an accent that cannot be read as
// text (4.5:1) on the house's grounds, and a logo of another type than those above.
func NewAssets(b Brand) (*Assets, error) {
	a := &Assets{byPath: map[string]*asset{}, paths: map[string]string{}}
	for _, f := range []string{"next.woff2", "mono.woff2", "favicon.svg"} {
		if err := a.addFile(f); err != nil {
			return nil, err
		}
	}
	css, err := files.ReadFile("assets/page.css")
	if err != nil {
		return nil, fmt.Errorf("page.NewAssets: %w", err)
	}
	for _, f := range []string{"next.woff2", "mono.woff2"} {
		css = bytes.ReplaceAll(css, []byte(`url("`+f+`")`), []byte(`url("`+a.paths[f]+`")`))
	}
	a.add("page.css", "text/css; charset=utf-8", css)
	for _, f := range []string{"page.js", "passkey.js", "autopost.js"} {
		if err := a.addFile(f); err != nil {
			return nil, err
		}
	}
	if b.Accent != "" {
		sheet, err := b.sheet()
		if err != nil {
			return nil, err
		}
		a.add("brand.css", "text/css; charset=utf-8", sheet)
	}
	if len(b.Logo) > 0 {
		ext, ok := map[string]string{"image/svg+xml": "svg", "image/png": "png", "image/webp": "webp"}[b.LogoType]
		if !ok {
			return nil, fmt.Errorf("page.NewAssets: logo of type %q: want image/svg+xml, image/png or image/webp", b.LogoType)
		}
		a.add("logo."+ext, b.LogoType, b.Logo)
		a.paths["logo"] = a.paths["logo."+ext]
	}
	if err := a.addWorker(); err != nil {
		return nil, err
	}
	return a, a.addManifest(b)
}

func (a *Assets) addFile(name string) error {
	b, err := files.ReadFile("assets/" + name)
	if err != nil {
		return fmt.Errorf("page.NewAssets: %w", err)
	}
	typ := map[string]string{
		".woff2": "font/woff2", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8",
	}[path.Ext(name)]
	a.add(name, typ, b)
	return nil
}

func (a *Assets) add(name, typ string, b []byte) {
	sum := sha256.Sum256(b)
	tag := hex.EncodeToString(sum[:6])
	ext := path.Ext(name)
	p := "/assets/" + strings.TrimSuffix(name, ext) + "." + tag + ext
	a.paths[name] = p
	a.put(p, typ, "public, max-age=31536000, immutable", b)
}

func (a *Assets) put(p, typ, cache string, b []byte) {
	sum := sha256.Sum256(b)
	x := &asset{typ: typ, tag: hex.EncodeToString(sum[:8]), cache: cache, plain: b}
	// Fonts and bitmaps are compressed already.
	if strings.HasPrefix(typ, "text/") || strings.Contains(typ, "svg") || strings.Contains(typ, "json") {
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
		_, _ = w.Write(b) // to memory
		_ = w.Close()
		if z.Len() < len(b) {
			x.gzipped = z.Bytes()
		}
	}
	a.byPath[p] = x
}

// addWorker writes the list of what may be kept on the device into the
// service worker: the shell and the offline page, nothing else.
func (a *Assets) addWorker() error {
	src, err := files.ReadFile("assets/sw.js")
	if err != nil {
		return fmt.Errorf("page.NewAssets: %w", err)
	}
	shell := []string{}
	for _, n := range []string{"page.css", "brand.css", "page.js", "next.woff2", "mono.woff2", "favicon.svg", "logo"} {
		if p := a.paths[n]; p != "" {
			shell = append(shell, p)
		}
	}
	list, err := json.Marshal(shell)
	if err != nil {
		return fmt.Errorf("page.NewAssets: %w", err)
	}
	src = bytes.ReplaceAll(src, []byte(`"SHELL"`), list)
	sum := sha256.Sum256(src)
	src = bytes.ReplaceAll(src, []byte("VERSION"), []byte(hex.EncodeToString(sum[:6])))
	a.put("/sw.js", "text/javascript; charset=utf-8", "no-cache", src)
	return nil
}

func (a *Assets) addManifest(b Brand) error {
	type img struct {
		Src   string `json:"src"`
		Sizes string `json:"sizes"`
		Type  string `json:"type"`
	}
	name, short := b.Organisation, b.Short
	if name == "" {
		name = "Parvis"
	}
	if short == "" {
		short = name
	}
	m, err := json.Marshal(struct {
		Name       string `json:"name"`
		Short      string `json:"short_name"`
		ID         string `json:"id"`
		Start      string `json:"start_url"`
		Scope      string `json:"scope"`
		Display    string `json:"display"`
		Background string `json:"background_color"`
		Theme      string `json:"theme_color"`
		Icons      []img  `json:"icons"`
	}{name, short, "/", "/", "/", "standalone", "#fbfaf6", "#fbfaf6", []img{{a.paths["favicon.svg"], "any", "image/svg+xml"}}})
	if err != nil {
		return fmt.Errorf("page.NewAssets: %w", err)
	}
	a.put("/manifest.webmanifest", "application/manifest+json", "no-cache", m)
	return nil
}

// path is the address of an asset, empty when there is none of that name.
func (a *Assets) path(name string) string { return a.paths[name] }

// ServeHTTP answers GET and HEAD for the paths named above and 404 for others.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := a.byPath[r.URL.Path]
	if x == nil {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", x.typ)
	h.Set("Cache-Control", x.cache)
	h.Set("X-Content-Type-Options", "nosniff")
	body, tag := x.plain, `"`+x.tag+`"`
	if x.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			// RFC 9110 §8.8.3: each encoding is a representation with its own tag.
			body, tag = x.gzipped, `"`+x.tag+`-gz"`
		}
	}
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a reader who left is not an error
	}
}

// acceptsGzip reads RFC 9110 §12.5.3 as far as gzip is concerned.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q := strings.ReplaceAll(params, " ", "")
		return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
	}
	return false
}
