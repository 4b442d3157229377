package moncompte

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/htmlcheck"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

const (
	right   = "une girafe traverse le boulevard"
	fresh   = "quatre nuages au bord du canal"
	address = "camille@habitants.example.org"
	back    = "http://agents.localhost:8080/verifier/return"
	home    = "http://agents.localhost:8080/signout"
	secret  = "0123456789abcdef0123456789abcdef"
)

// town is a service that answers on a loopback address.
type town struct {
	*testing.T
	s     *Service
	clock *storetest.Clock
	url   string
	from  string // where requests come from
}

func open(t *testing.T, s *store.Store, clock *storetest.Clock) *town {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	words, err := text.Load()
	if err != nil {
		t.Fatal(err)
	}
	outbox, err := notify.New(notify.Config{
		Store: s, Keys: keys, Words: words, Clock: clock.Now, From: "moncompte@ville.example.org", Lang: text.French,
		SMTP: notify.SMTP{Host: "127.0.0.1", Port: 1, Transport: notify.TransportPlain},
	})
	if err != nil {
		t.Fatal(err)
	}
	tn := &town{T: t, clock: clock, from: "192.0.2.7"}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tn.handler().ServeHTTP(w, r) }))
	tn.url = "http://" + server.Listener.Addr().String()
	tn.s = &Service{
		Store: s, Keys: keys, Vault: &credential.Vault{Store: s, Keys: keys, Clock: clock.Now}, Outbox: outbox, Catalog: words,
		Clock: clock.Now, Log: storetest.Logger(t), Address: tn.url, Peer: func(*http.Request) string { return tn.from },
		Clients: []Client{
			{ID: "agents", Secret: secret, Name: parvis.Words{FR: "le portail des agents", EN: "the staff portal"}, Redirects: []string{back}, LogoutRedirects: []string{home}},
			{ID: "signed", Secret: secret, Name: parvis.Words{FR: "l'autre", EN: "the other"}, Redirects: []string{back}, SignedUserInfo: true, RS256: true},
		},
	}
	if _, err := tn.s.Handler(); err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(server.Close)
	return tn
}

// handler is made for each request: the second is as good as the first.
func (t *town) handler() http.Handler {
	h, err := t.s.Handler()
	if err != nil {
		t.Error(err)
		return http.NotFoundHandler()
	}
	return h
}

// each runs f over both engines.
func each(t *testing.T, f func(t *town)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) { f(open(t, s, clock)) })
}

// browser is one person's, with its own cookies.
type browser struct {
	*town
	client *http.Client
	lang   string
	site   string // the Sec-Fetch-Site of what it posts
}

func (t *town) browser() *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{town: t, lang: "fr", site: "same-origin", client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 60 * time.Second,
	}}
}

// answer is what a browser got.
type answer struct {
	*browser
	status int
	header http.Header
	body   string
}

func (b *browser) do(r *http.Request) answer {
	b.Helper()
	b.clock.Move(time.Second) // so that what was written has an order
	r.Header.Set("Accept-Language", b.lang)
	res, err := b.client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	a := answer{b, res.StatusCode, res.Header, string(body)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") && res.StatusCode != http.StatusSeeOther {
		for _, fault := range htmlcheck.Check(body) {
			b.Errorf("%s %s: %s", r.Method, r.URL.Path, fault)
		}
		if strings.ContainsAny(a.body, "⟦⟧") {
			b.Errorf("%s %s: a sentence lacks a value: %s", r.Method, r.URL.Path, regexp.MustCompile(`[^<>]*⟦[^<]*`).FindString(a.body))
		}
	}
	return a
}

// path is an address of the service, whole or from its host on.
func (b *browser) request(method, path string, form url.Values) *http.Request {
	b.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	r, err := http.NewRequestWithContext(b.Context(), method, path, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", b.site)
	}
	return r
}

func (b *browser) get(path string) answer {
	b.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

func (b *browser) post(path string, pairs ...string) answer {
	b.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(b.request(http.MethodPost, path, form))
}

// to follows the redirect of an answer within the service.
func (a answer) follow() answer {
	a.Helper()
	if a.status != http.StatusSeeOther {
		a.Fatalf("status %d, want a redirect: %s", a.status, a.body)
	}
	return a.get(a.header.Get("Location"))
}

func (a answer) screen() string {
	m := regexp.MustCompile(`data-screen="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		return ""
	}
	return m[1]
}

// is checks the status and the screen.
func (a answer) is(status int, screen string) answer {
	a.Helper()
	if a.status != status || a.screen() != screen {
		a.Fatalf("status %d on %q, want %d on %q: to %q\n%s", a.status, a.screen(), status, screen, a.header.Get("Location"), a.body)
	}
	return a
}

// hidden gives the value of a hidden field.
func (a answer) hidden(name string) string {
	a.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		a.Fatalf("no hidden %s on %s", name, a.screen())
	}
	return html.UnescapeString(m[1])
}

func (a answer) location() *url.URL {
	a.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther {
		a.Fatalf("status %d, %v: %s", a.status, err, a.body)
	}
	return u
}

// mail is a message as its reader sees it.
type mail struct{ To, Template, Subject, Text string }

var (
	digits = regexp.MustCompile(`\b\d{6}\b`)
	links  = regexp.MustCompile(`http://\S+`)
)

func (m mail) code() string { return digits.FindString(m.Text) }
func (m mail) link() string { return links.FindString(m.Text) }

// mails gives what was written, newest last.
func (t *town) mails() []mail {
	t.Helper()
	rows, err := t.s.Store.Messages(t.Context(), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var all []mail
	for _, row := range slices.Backward(rows) {
		plain, err := t.s.Keys.Box("message").Open(row.Body, row.ID)
		var letter struct{ S, T, To, From string }
		if err == nil {
			err = json.Unmarshal(plain, &letter)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(letter.T, "⟦⟧") {
			t.Errorf("a mail lacks a value: %s", letter.T)
		}
		if row.To == letter.To || letter.From != "Mon Compte" && letter.From != "My Account" {
			t.Errorf("the row shows %q, the letter comes from %q", row.To, letter.From)
		}
		all = append(all, mail{letter.To, row.Template, letter.S, letter.T})
	}
	return all
}

// latest is the last message, which must be of a template.
func (t *town) latest(template string) mail {
	t.Helper()
	all := t.mails()
	if len(all) == 0 || all[len(all)-1].Template != template {
		t.Fatalf("no %s at the end of %+v", template, all)
	}
	return all[len(all)-1]
}

// citizen opens a confirmed account.
func (t *town) citizen(email string) string {
	t.Helper()
	subject, err := t.s.Add(t.Context(), email, "Camille Moreau", right)
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// signIn signs somebody in, without a client.
func (b *browser) signIn(email, password string) answer {
	b.Helper()
	return b.post("/signin", "email", email, "password", password)
}

// events gives the kinds of what was recorded, oldest first.
func (t *town) events() []parvis.Event {
	t.Helper()
	var all []parvis.Event
	if err := t.s.Store.EachEvent(t.Context(), 0, func(e parvis.Event) error { all = append(all, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// config is the client of the city.
func (t *town) config(id string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: id, ClientSecret: secret, RedirectURL: back, Scopes: []string{"openid", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: t.url + "/authorize", TokenURL: t.url + "/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
}

// ask is the address where a client sends somebody.
func (t *town) ask(id, verifier string, more ...string) string {
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", "n-1")}
	for i := 0; i+1 < len(more); i += 2 {
		options = append(options, oauth2.SetAuthURLParam(more[i], more[i+1]))
	}
	return t.config(id).AuthCodeURL("s-1", options...)
}

// code signs in for a client and gives the code it would get.
func (b *browser) code(id, verifier string, more ...string) string {
	b.Helper()
	a := b.get(b.ask(id, verifier, more...))
	if u := a.location(); u.Path == "/signin" {
		pg := a.follow().is(http.StatusOK, "citizen_sign_in")
		a = b.post("/signin", "flow", pg.hidden("flow"), "email", address, "password", right).follow()
	}
	u := a.location()
	if got := u.Scheme + "://" + u.Host + u.Path; got != back || u.Query().Get("code") == "" {
		b.Fatalf("sent to %s", u)
	}
	return u.Query().Get("code")
}
