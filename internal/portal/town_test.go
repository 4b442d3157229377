package portal

import (
	"context"
	"io"
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
	"parvis/internal/credential"
	"parvis/internal/demo"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/htmlcheck"
	"parvis/internal/notify"
	"parvis/internal/page"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

const (
	internalHost = "agents.localhost:8080"
	mobileHost   = "nomade.localhost:8081"
	rightOne     = "lanterne cerise marché tram"
)

// town is a small city, its pages and its doors.
type town struct {
	t      testing.TB
	clock  *storetest.Clock
	store  *store.Store
	portal *Portal
	edge   *edge.Edge
	doors  map[parvis.Channel]http.Handler
	down   map[parvis.AppID]time.Time
	phones pocket

	catalog access.Catalog
}

// declare adds applications to those of the demonstration.
func (tn *town) declare(apps ...parvis.App) {
	tn.t.Helper()
	tn.catalog.Apps = append(tn.catalog.Apps, apps...)
	policy, err := access.New(tn.catalog)
	if err != nil {
		tn.t.Fatal(err)
	}
	tn.portal.Policy.Replace(policy)
}

// pocket is where telephones ring.
type pocket chan notify.SMS

func (p pocket) Send(_ context.Context, m notify.SMS) (string, error) {
	p <- m
	return m.ID, nil
}

// carry delivers text messages until the test ends.
func (tn *town) carry() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tn.portal.Door.Outbox.Run(ctx)
	}()
	tn.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func open(t testing.TB) *town {
	t.Helper()
	tn := &town{t: t, clock: &storetest.Clock{}, doors: map[parvis.Channel]http.Handler{}, down: map[parvis.AppID]time.Time{}}
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
	profiles := []parvis.Profile{
		{ID: parvis.Standard, Label: parvis.Words{FR: "standard", EN: "standard"}, RememberDays: 30},
		{ID: parvis.SocialData, Label: parvis.Words{FR: "données sociales", EN: "social data"}, Sensitive: true},
		{ID: parvis.ExtendedRights, Label: parvis.Words{FR: "droits étendus", EN: "extended rights"}, Sensitive: true, PasswordDays: 365},
	}
	office, err := access.OfficeHours("Europe/Paris")
	must(err)
	tn.catalog = access.Catalog{
		Apps: demo.Apps(), Profiles: profiles, Calendar: office, SecondProofReady: true,
		Sites: map[parvis.Channel]string{parvis.Internal: "agents.localhost", parvis.VPN: "agents.localhost", parvis.Mobile: "nomade.localhost"},
	}
	policy, err := access.New(tn.catalog)
	must(err)
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{
		parvis.Internal: "http://" + internalHost, parvis.VPN: "http://agents.localhost", parvis.Mobile: "http://" + mobileHost,
	})
	must(err)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	people := &directory.Directory{Store: tn.store, Clock: tn.clock.Now, Zone: zone}
	vault := &credential.Vault{Store: tn.store, Keys: keys, Clock: tn.clock.Now, Words: []string{"Ville d'Exemple"}}
	keeper := &session.Keeper{Store: tn.store, Keys: keys, Addresses: addresses, Clock: tn.clock.Now, Log: log}
	tn.phones = make(pocket, 64)
	outbox, err := notify.New(notify.Config{
		SMS:   []notify.Sender{tn.phones},
		Store: tn.store, Keys: keys, Words: words, Clock: tn.clock.Now, Log: log, SMTP: notify.SMTP{Host: "127.0.0.1", Port: 9, Transport: notify.TransportPlain},
		From: "acces@example.org", Name: "Espace des agents", Lang: text.French, Zone: zone, Values: text.Args{"org": "Ville d'Exemple"},
	})
	must(err)
	counter := &helpdesk.Counter{Store: tn.store, Clock: tn.clock.Now}
	assets, err := page.NewAssets(page.Brand{Organisation: "Ville d'Exemple"})
	must(err)
	tn.portal = &Portal{
		Catalog: words, Policy: policy, Directory: people, Sessions: keeper, Counter: counter, Vault: vault, Store: tn.store,
		Keys: keys, Addresses: addresses, Clock: tn.clock.Now, Zone: zone, Assets: assets, Organisation: "Ville d'Exemple", Lang: text.French,
		Verifier: false, Profiles: profiles,
		Door: &signin.Hub{
			Store: tn.store, Directory: people, Vault: vault, Keeper: keeper, Outbox: outbox, Keys: keys, Clock: tn.clock.Now,
			Profiles: profiles, Domains: []string{"example.org"}, Policy: policy, SMS: true, Issuer: "Ville d'Exemple",
		},
		Desk: &recovery.Desk{
			Store: tn.store, Vault: vault, Outbox: outbox, Keys: keys, Addresses: addresses, Clock: tn.clock.Now, Profiles: profiles, Floor: -1,
		},
		Contacts: []Contact{
			{Role: "support_desk", Name: parvis.Words{FR: "Assistance informatique", EN: "Support desk"}, Phone: "01 99 00 10 10", Hours: parvis.Words{FR: "du lundi au vendredi, de 7 h 30 à 19 h", EN: "Monday to Friday, 7:30 to 19:00"}, Calendar: office},
			{Role: "it_contact", Name: parvis.Words{FR: "Denis Caron", EN: "Denis Caron"}, Phone: "01 99 00 12 34", Hours: parvis.Words{FR: "mardi et jeudi, de 9 h à 12 h", EN: "Tuesday and Thursday, 9:00 to 12:00"}},
			{Role: "hr_unit", Name: parvis.Words{FR: "UGD centrale", EN: "Central HR"}, Phone: "01 99 00 20 20", Hours: parvis.Words{FR: "du lundi au vendredi, de 9 h à 17 h", EN: "Monday to Friday, 9:00 to 17:00"}},
		},
		Values: func(l text.Lang) text.Args {
			return text.Args{"org": "Ville d'Exemple", "verifier_label": "Mon Compte"}
		},
		Down: func(app parvis.AppID) (time.Time, bool) { since, ok := tn.down[app]; return since, ok },
		JWKS: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) }),
	}
	tn.edge = &edge.Edge{Addresses: addresses, Catalog: words, Clock: tn.clock.Now, Log: log, Apps: http.NotFoundHandler(), Page: tn.portal.Failure}
	tn.edge.Portal = tn.portal.Handler(tn.edge)
	for _, ch := range []parvis.Channel{parvis.Internal, parvis.Mobile, ""} {
		tn.doors[ch] = tn.edge.Handler(edge.Entrance{Channel: ch})
	}
	tn.settle(vault)
	return tn
}

// settle makes the people: they share one passphrase, which saves hashing.
func (tn *town) settle(vault *credential.Vault) {
	tn.t.Helper()
	ctx := context.Background()
	hashed, err := vault.Hash(ctx, rightOne)
	if err != nil {
		tn.t.Fatal(err)
	}
	day := func(offset int) time.Time {
		y, m, d := tn.clock.Now().In(tn.portal.Zone).Date()
		return time.Date(y, m, d+offset, 0, 0, 0, 0, tn.portal.Zone)
	}
	agent := func(number, family, given, email string, apps ...parvis.AppID) *parvis.Agent {
		return &parvis.Agent{
			Number: parvis.AgentNumber(number), FamilyName: family, GivenNames: given, Email: email, PersonalEmail: given + "@perso.example.org",
			Unit: "Ville d'Exemple/Direction des finances/Service du budget", ContractFrom: day(-900), JobLabel: "Gestionnaire budgétaire", Entitlements: apps,
		}
	}
	off := agent("A100007", "Petit", "Julien", "julien.petit@example.org")
	off.OffSince, off.NewUnit = day(-3), "Ville d'Exemple/Direction générale"
	newcomer := agent("A100008", "Benali", "Sonia", "sonia.benali@example.org", "finances")
	newcomer.ContractFrom = day(0)
	gone := agent("A100009", "Durand", "Louis", "louis.durand@example.org")
	gone.ContractUntil = day(-100)
	social := agent("A100004", "Lefèvre", "Inès", "ines.lefevre@example.org", "social")
	social.Profiles = []parvis.ProfileID{parvis.SocialData}
	all := []*parvis.Agent{
		agent("A100001", "Morel", "Camille", "camille.morel@example.org", "finances", "urbanisme"), social, off, newcomer, gone,
		agent("A100010", "Caron", "Denis", "denis.caron@example.org"),
	}
	err = tn.store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutAgents(ctx, all); err != nil {
			return err
		}
		for _, a := range all {
			tx.Record(parvis.Event{Kind: "agent.imported", Agent: a.Number, Actor: "operator:test"})
			if a.Number == newcomer.Number {
				continue
			}
			if err := vault.SetPassword(ctx, tx, a.Number, hashed, 0); err != nil {
				return err
			}
			for _, app := range a.Entitlements {
				if err := tx.PutGiven(ctx, a.Number, store.Given{Kind: "entitlement", Name: string(app), By: "operator:test"}); err != nil {
					return err
				}
			}
			for _, id := range a.Profiles {
				if err := tx.PutGiven(ctx, a.Number, store.Given{Kind: "profile", Name: string(id), By: "operator:test"}); err != nil {
					return err
				}
			}
			if !a.OffSince.IsZero() {
				if err := tx.SetOff(ctx, a.Number, a.OffSince, a.NewUnit); err != nil {
					return err
				}
			}
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
	cookies  map[string]string
}

func (tn *town) from(ch parvis.Channel, lang string) *visitor {
	host := internalHost
	if ch == parvis.Mobile {
		host = mobileHost
	}
	return &visitor{town: tn, entrance: ch, host: host, lang: lang, accept: "text/html", cookies: map[string]string{}}
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
	var body io.Reader
	if sent != nil {
		body = strings.NewReader(sent.Encode())
	}
	r := httptest.NewRequest(method, path, body)
	r.Host = b.host
	r.Header.Set("Accept-Language", b.lang)
	r.Header.Set("Accept", b.accept)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if sent != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.doors[b.entrance].ServeHTTP(w, r)
	res := w.Result()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			b.t.Errorf("%s %s sets a loose cookie: %s", method, path, c)
		}
	}
	out := reply{b.t, method + " " + path, res.StatusCode, res.Header, w.Body.String(), res.Header.Get("Location")}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") && res.StatusCode != http.StatusMisdirectedRequest {
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
// where one is, nothing kept.
func (r reply) sound() {
	r.t.Helper()
	for _, f := range htmlcheck.Check([]byte(r.body)) {
		// A refusal that nobody froze has a reason and no reference; never the
		// other way round.
		if f == "data-reason and data-reference go together" && r.attr("data-reason") != "" {
			continue
		}
		r.t.Errorf("%s: %s", r.path, f)
	}
	if i := strings.IndexRune(r.body, '⟦'); i >= 0 {
		r.t.Errorf("%s: a sentence is missing: %s", r.path, r.body[i:min(len(r.body), i+60)])
	}
	if !strings.Contains(r.body, `class="channel"`) {
		r.t.Errorf("%s: no channel bar", r.path)
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

func (r reply) attr(name string) string {
	body := r.body[max(0, strings.Index(r.body, "<body")):]
	head, _, _ := strings.Cut(body, ">")
	_, rest, ok := strings.Cut(head, name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
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

// main is what a failing test shows of a page.
func (r reply) main() string {
	_, rest, _ := strings.Cut(r.body, "<main")
	rest, _, _ = strings.Cut(rest, "</main>")
	return rest[:min(len(rest), 1500)]
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

// signIn goes through the door, both steps.
func (b *visitor) signIn(number string) *visitor {
	b.t.Helper()
	first := b.get("/signin").is("sign_in_identifier", http.StatusOK)
	second := b.post("/signin", "flow", first.hidden("flow"), "identifier", number).is("sign_in_secret", http.StatusOK)
	b.post("/signin", "flow", second.hidden("flow"), "password", rightOne).to("/")
	return b
}
