package office

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/apps"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/htmlcheck"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

const (
	internalHost = "agents.localhost:8080"
	mobileHost   = "nomade.localhost:8081"
	itAgent      = parvis.AgentNumber("A100040")
)

// town is a small city with an IT department.
type town struct {
	t      testing.TB
	clock  *storetest.Clock
	store  *store.Store
	office *Office
	doors  map[parvis.Channel]http.Handler
	proved []string // where a proof was asked, in order
	spoilt error    // why applications cannot be applied, when they cannot
}

func open(t testing.TB) *town {
	t.Helper()
	tn := &town{t: t, clock: &storetest.Clock{}, doors: map[parvis.Channel]http.Handler{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tn.clock.Set(time.Date(2026, 11, 24, 9, 20, 0, 0, time.UTC)) // a Tuesday, during office hours
	dir := t.TempDir()
	tn.store = storetest.Open(t, "sqlite:"+filepath.Join(dir, "parvis.db"), tn.clock)
	keys, err := seal.OpenKeys(filepath.Join(dir, "keys"))
	must(err)
	words, err := text.Load()
	must(err)
	zone, err := time.LoadLocation("Europe/Paris")
	must(err)
	hours, err := access.OfficeHours("Europe/Paris")
	must(err)
	catalog := access.Catalog{
		Profiles: []parvis.Profile{{ID: parvis.Standard, Label: parvis.Words{FR: "standard", EN: "standard"}}},
		Calendar: hours, SecondProofReady: true,
	}
	policy, err := access.New(catalog)
	must(err)
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "http://" + internalHost, parvis.VPN: "http://agents.localhost", parvis.Mobile: "http://" + mobileHost,
	})
	must(err)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	people := &directory.Directory{Store: tn.store, Clock: tn.clock.Now, Zone: zone}
	keeper := &session.Keeper{Store: tn.store, Keys: keys, Addresses: addresses, Clock: tn.clock.Now, Log: log}
	declared := parvis.App{
		ID: "paie", Name: parvis.Words{FR: "Bulletins de paie", EN: "Pay slips"}, Upstream: "http://127.0.0.1:9001", Channels: parvis.Channels(),
	}
	register := &apps.Register{Store: tn.store, Clock: tn.clock.Now, Log: log, Declared: []parvis.App{declared}, Apply: func(all []parvis.App) error {
		if tn.spoilt != nil {
			return tn.spoilt
		}
		catalog.Apps = all
		next, err := access.New(catalog)
		if err == nil {
			policy.Replace(next)
		}
		return err
	}}
	must(register.Load(t.Context()))
	tn.office = &Office{
		Store: tn.store, Sessions: keeper, Directory: people, Register: register, Policy: policy, Addresses: addresses, Words: words, Clock: tn.clock.Now,
		Door: &apps.Door{
			Policy: policy, Held: &access.Held{}, Directory: people, Sessions: keeper, Counter: &helpdesk.Counter{Store: tn.store, Clock: tn.clock.Now},
			Keys: keys, Clock: tn.clock.Now,
		},
		SignIn: func(path string, _ parvis.AppID, _ string) (string, error) {
			return "/signin?return=" + url.QueryEscape(path), nil
		},
		Prove: func(path string, _ parvis.AppID, level string) (string, error) {
			tn.proved = append(tn.proved, path)
			return "/prove?level=" + level, nil
		},
		Zone: zone,
		SAML: func(ch parvis.Channel) (string, string) {
			return addresses.Portal(ch) + "/saml/metadata", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
		},
		YAML:   func(a parvis.App) ([]byte, error) { return []byte("id: " + string(a.ID) + "\n"), nil },
		Values: func(text.Lang) text.Args { return text.Args{"org": "Ville d'Exemple", "verifier_label": "Mon Compte"} },
	}
	tn.office.Show = tn.show
	e := &edge.Edge{Addresses: addresses, Catalog: words, Clock: tn.clock.Now, Log: log, Apps: http.NotFoundHandler()}
	tn.office.Edge = e
	handler := tn.office.Handler()
	e.Portal = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !tn.office.Serves(r.URL.Path) {
			http.Error(w, "not ours", http.StatusTeapot)
			return
		}
		handler.ServeHTTP(w, r)
	})
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile, ""} {
		tn.doors[ch] = e.Handler(edge.Entrance{Channel: ch})
	}
	tn.settle()
	return tn
}

// show is what the portal's frame comes to for a test: enough around a page for
// every claim of htmlcheck to be made of it.
func (tn *town) show(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error {
	l := text.Match(r.Header.Get("Accept-Language"), text.French)
	pg := draw(l)
	pg.Lang = string(l)
	say := func(key string) string { return tn.office.Words.Say(l, key, nil) }
	pg.Chrome = page.Chrome{
		Organisation: "Ville d'Exemple", Service: "Espace des agents", Home: "/",
		Words: page.Words{
			Skip: say("chrome.skip"), Required: say("chrome.required"), Optional: say("chrome.optional"), ErrorPrefix: "! ", ErrorMark: "!",
			ErrorHeading: say("chrome.errors.title"), Copy: say("portal.copy"), Copied: say("chrome.copied"), Sending: say("chrome.loading"),
		},
	}
	var b bytes.Buffer
	if err := pg.Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}

// settle makes one agent of each role, and one of none.
func (tn *town) settle() {
	tn.t.Helper()
	ctx := context.Background()
	people := map[parvis.AgentNumber]parvis.Role{
		itAgent: parvis.RoleITDepartment, "A100041": parvis.RoleITDepartment, "A100010": parvis.RoleITContact, "A100020": parvis.RoleSupportDesk,
		"A100030": parvis.RoleHROfficer, "A100050": parvis.RoleAuditor, "A100060": parvis.RoleSecurityOfficer, "A100001": "", "A100007": parvis.RoleITDepartment,
	}
	err := tn.store.Write(ctx, func(tx *store.Tx) error {
		for number, role := range people {
			a := &parvis.Agent{
				Number: number, FamilyName: "Morel", GivenNames: "Camille", Email: strings.ToLower(string(number)) + "@example.org",
				Unit: "Ville d'Exemple/DSI", ContractFrom: tn.clock.Now().AddDate(-2, 0, 0),
			}
			if err := tx.PutAgents(ctx, []*parvis.Agent{a}); err != nil {
				return err
			}
			if err := tx.PutPassword(ctx, store.Password{Agent: number, PHC: "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", Passes: 1, Since: tx.Now()}); err != nil {
				return err
			}
			if role != "" {
				if err := tx.PutGiven(ctx, number, store.Given{Kind: store.GivenRole, Name: string(role), By: "operator:test"}); err != nil {
					return err
				}
			}
			if number == "A100007" { // of the IT department, but off since a move
				if err := tx.SetOff(ctx, number, tn.clock.Now().AddDate(0, 0, -3), "Ville d'Exemple/Finances"); err != nil {
					return err
				}
			}
			tx.Record(parvis.Event{Kind: "agent.imported", Agent: number, Actor: "operator:test"})
		}
		return nil
	})
	if err != nil {
		tn.t.Fatal(err)
	}
}

// visitor is a browser at one entrance.
type visitor struct {
	*town
	entrance parvis.Channel
	host     string
	lang     string
	accept   string
	origin   string // Sec-Fetch-Site of what it sends
	cookies  map[string]string
}

func (tn *town) stranger(lang string) *visitor {
	return &visitor{town: tn, entrance: parvis.Internal, host: internalHost, lang: lang, accept: "text/html", origin: "same-origin", cookies: map[string]string{}}
}

// signed is a browser in which somebody has a session, with a second proof of
// now unless other proofs are named.
func (tn *town) signed(number parvis.AgentNumber, lang string, proofs ...parvis.Proof) *visitor {
	tn.t.Helper()
	b := tn.stranger(lang)
	if len(proofs) == 0 {
		proofs = []parvis.Proof{{Kind: parvis.Password, At: tn.clock.Now()}, {Kind: parvis.TOTP, At: tn.clock.Now()}}
	}
	var token session.Token
	err := tn.store.Write(tn.t.Context(), func(tx *store.Tx) (err error) {
		token, _, err = tn.office.Sessions.Begin(tx, session.Beginning{Agent: number, Origin: parvis.Origin{Channel: parvis.Internal}, Proofs: proofs})
		return err
	})
	if err != nil {
		tn.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	tn.office.Sessions.Give(w, token)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
	}
	return b
}

type reply struct {
	t        testing.TB
	path     string
	status   int
	header   http.Header
	body     string
	location string
}

func (b *visitor) send(method, path string, sent url.Values) reply {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(sent.Encode()))
	if sent == nil {
		r = httptest.NewRequest(method, path, nil)
	} else {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", b.origin)
	}
	r.Host = b.host
	r.Header.Set("Accept-Language", b.lang)
	r.Header.Set("Accept", b.accept)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.doors[b.entrance].ServeHTTP(w, r)
	out := reply{b.t, method + " " + path, w.Code, w.Header(), w.Body.String(), w.Header().Get("Location")}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		out.sound()
	}
	return out
}

func (b *visitor) get(path string) reply { b.t.Helper(); return b.send(http.MethodGet, path, nil) }

func (b *visitor) post(path string, pairs ...string) reply {
	b.t.Helper()
	sent := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		sent.Add(pairs[i], pairs[i+1])
	}
	return b.send(http.MethodPost, path, sent)
}

// sound holds for every page: the claims of htmlcheck, no sentence missing,
// nothing kept.
func (r reply) sound() {
	r.t.Helper()
	for _, f := range htmlcheck.Check([]byte(r.body)) {
		r.t.Errorf("%s: %s", r.path, f)
	}
	if i := strings.IndexRune(r.body, '⟦'); i >= 0 {
		r.t.Errorf("%s: a sentence is missing: %s", r.path, r.body[i:min(len(r.body), i+80)])
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		r.t.Errorf("%s: Cache-Control %q", r.path, got)
	}
}

var screenShape = regexp.MustCompile(`<body[^>]* data-screen="([^"]*)"`)

func (r reply) screen() string {
	if m := screenShape.FindStringSubmatch(r.body); m != nil {
		return m[1]
	}
	return ""
}

func (r reply) is(screen string, status int) reply {
	r.t.Helper()
	if r.screen() != screen || r.status != status {
		r.t.Fatalf("%s: screen %q, status %d, to %q; want %q, %d\n%s", r.path, r.screen(), r.status, r.location, screen, status, r.main())
	}
	return r
}

func (r reply) to(location string) reply {
	r.t.Helper()
	if r.status != http.StatusSeeOther || r.location != location {
		r.t.Fatalf("%s: status %d to %q, want %q\n%s", r.path, r.status, r.location, location, r.main())
	}
	return r
}

func (r reply) has(words ...string) reply {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.body, w) {
			r.t.Errorf("%s: %q is not on the page\n%s", r.path, w, r.main())
		}
	}
	return r
}

func (r reply) hasNot(words ...string) reply {
	r.t.Helper()
	for _, w := range words {
		if strings.Contains(r.body, w) {
			r.t.Errorf("%s: %q is on the page", r.path, w)
		}
	}
	return r
}

// main is what a failing test shows of a page.
func (r reply) main() string {
	_, rest, _ := strings.Cut(r.body, "<main")
	rest, _, _ = strings.Cut(rest, "</main>")
	return rest[:min(len(rest), 2500)]
}

var hiddenShape = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

func (r reply) hidden(name string) string {
	for _, m := range hiddenShape.FindAllStringSubmatch(r.body, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	return ""
}

var shownSecret = regexp.MustCompile(`id="secret">([^<]+)<`)

// secret is the secret that a page shows; empty when it shows none.
func (r reply) secret() string {
	if m := shownSecret.FindStringSubmatch(r.body); m != nil {
		return m[1]
	}
	return ""
}

// addOIDC adds a client as the short form does, and gives its first secret.
func (b *visitor) addOIDC(id string) string {
	b.t.Helper()
	r := b.post(applications, "kind", "oidc", "id", id, "name.fr", "Agenda "+id, "oidc.redirects", "https://agenda.example.org/callback",
		"oidc.auth", "client_secret_basic", "channels", "internal", "channels", "mobile").is("admin_application_paste", http.StatusOK)
	if r.secret() == "" {
		b.t.Fatal("no secret is shown")
	}
	return r.secret()
}

func (tn *town) events(kind string) []parvis.Event {
	tn.t.Helper()
	var all []parvis.Event
	err := tn.store.EachEvent(tn.t.Context(), 0, func(e parvis.Event) error {
		if e.Kind == kind {
			all = append(all, e)
		}
		return nil
	})
	if err != nil {
		tn.t.Fatal(err)
	}
	return all
}

var errSpoilt = errors.New("the rules do not load")
