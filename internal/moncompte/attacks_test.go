package moncompte

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"parvis"
)

// same hides what differs from one person to the next by nature: the address
// typed, the names of rows, the tickets.
func same(a answer, email string) string {
	body := strings.ReplaceAll(a.body, email, "ADDRESS")
	body = strings.ReplaceAll(body, url.QueryEscape(email), "ADDRESS")
	body = regexp.MustCompile(`(value="|id%3D|id=)[A-Za-z0-9_-]{24}`).ReplaceAllString(body, "${1}ID")
	location := regexp.MustCompile(`id=[A-Za-z0-9_-]{24}`).ReplaceAllString(a.header.Get("Location"), "id=ID")
	return fmt.Sprint(a.status, location, a.header.Get("Retry-After"), a.header["Set-Cookie"] != nil, len(a.header.Get("Content-Length")), body)
}

// 1. The enemy has a list of addresses and wants to know who has an account.
// 2. They try each at the door, at the creation of accounts, at recovery, with
// wrong codes, and ask for more messages, until they have to wait.
// 3. What comes back is the same for an address that has an account and for
// one that nobody has, byte for byte, and so is the number of writes.
func TestNothingTellsWhoHasAnAccount(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		const nobody = "nobody1@habitants.example.org" // as long as the other
		walk := func(email string) (seen []string) {
			b := tn.browser()
			keep := func(a answer) answer {
				seen = append(seen, same(a, email))
				return a
			}
			for range freeTries + 2 {
				keep(b.signIn(email, "faux mot de passe"))
			}
			a := keep(b.post("/create", "name", "Un nom", "email", email, "new_password", fresh))
			a = keep(a.follow())
			a = keep(b.post("/confirm", "id", a.hidden("id"), "code", "123456"))
			keep(b.post("/confirm/again", "id", a.hidden("id"), "to", "confirm").follow())
			a = keep(b.post("/recover", "email", email))
			a = keep(a.follow())
			for range codeTries + 1 {
				keep(b.post("/recover/new", "id", a.hidden("id"), "code", "123456", "new_password", fresh))
			}
			keep(b.post("/recover", "email", email))
			keep(b.get("/signin"))
			return seen
		}
		one, two := walk(address), walk(nobody)
		for i := range one {
			if one[i] != two[i] {
				tn.Errorf("answer %d differs:\n%s\n%s", i, one[i], two[i])
			}
		}
		var templates []string
		for _, m := range tn.mails() {
			templates = append(templates, m.To+" "+m.Template)
		}
		want := []string{
			address + " moncompte_exists", address + " moncompte_exists", address + " moncompte_recover",
			nobody + " moncompte_confirm", nobody + " moncompte_confirm", nobody + " moncompte_recover",
		}
		if strings.Join(templates, "\n") != strings.Join(want, "\n") {
			tn.Errorf("messages:\n%s", strings.Join(templates, "\n"))
		}
	})
}

// 1. The enemy opens an account at the victim's address, with a password of
// their own, and waits.
// 2. The victim opens one too, or only reads the message and presses its link.
// 3. In neither case does the enemy's password open the victim's account.
func TestNobodyWaitsAtAnotherAddress(t *testing.T) {
	each(t, func(tn *town) {
		enemy, victim := tn.browser(), tn.browser()
		pg := enemy.post("/create", "name", "Enemy", "email", address, "new_password", fresh).follow()
		trap := strings.TrimPrefix(tn.latest("moncompte_confirm").link(), tn.url)
		token := trap[strings.Index(trap, "=")+1:]
		victim.get(trap).is(http.StatusOK, "citizen_confirm")
		victim.post("/confirm", "link", token).is(http.StatusUnprocessableEntity, "citizen_confirm")

		own := victim.post("/create", "name", "Camille", "email", address, "new_password", right).follow()
		victim.post("/confirm", "link", token, "password", right).is(http.StatusGone, "citizen_over")
		m := tn.latest("moncompte_confirm")
		enemy.post("/confirm", "id", pg.hidden("id"), "code", m.code()).is(http.StatusGone, "citizen_over")
		enemy.post("/confirm", "id", own.hidden("id"), "code", m.code()).is(http.StatusGone, "citizen_over")
		victim.post("/confirm", "id", own.hidden("id"), "code", m.code()).follow().is(http.StatusOK, "citizen_account")
		enemy.signIn(address, fresh).is(http.StatusUnprocessableEntity, "citizen_sign_in")
	})
}

// 1. The enemy sends the victim to a link of ours that says where to go next.
// 2. The victim does what the page asks.
// 3. Wherever they end, it is here.
func TestNothingLeadsElsewhere(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		b := tn.browser()
		for _, evil := range []string{
			"https://enemy.example.org/", "//enemy.example.org/", `/\enemy.example.org/`, "/\t/enemy.example.org/", `\\enemy.example.org`,
			"javascript:alert(1)", "enemy", "http:enemy.example.org", "/%09/enemy\r\nX: y", "///enemy.example.org",
		} {
			q := url.QueryEscape(evil)
			for name, u := range map[string]*url.URL{
				"lang":   b.get("/lang?to=fr&return=" + q).location(),
				"theme":  b.post("/theme", "theme", "dark", "return", evil).location(),
				"signin": b.post("/signin", "email", address, "password", right, "return", evil, "flow", evil, "next", evil).location(),
			} {
				if u.String() != "/" && u.String() != "/authorize/enemy" { // a page of ours that says that it is over
					tn.Errorf("%s with %q led to %s", name, evil, u)
				}
			}
		}
		for path, want := range map[string]int{"//enemy.example.org/": http.StatusNotFound, "/signin/../signin": http.StatusNotFound, "/./create": http.StatusNotFound} {
			r := b.request(http.MethodGet, "/", nil)
			r.URL.Path, r.URL.RawPath = path, ""
			if a := b.do(r); a.status != want || a.header.Get("Location") != "" {
				tn.Errorf("%s: %d to %q", path, a.status, a.header.Get("Location"))
			}
		}
	})
}

// 1. The victim is signed in here, and visits the enemy's page.
// 2. That page posts to every form of ours.
// 3. Nothing is done.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		b := tn.browser()
		b.signIn(address, right)
		before := len(tn.events())
		for _, site := range []string{"cross-site", "same-site"} {
			b.site = site
			for _, path := range []string{"/signin", "/create", "/confirm", "/confirm/again", "/recover", "/recover/new", "/password", "/signout", "/theme", "/logout/x", "/authorize/x/cancel"} {
				b.post(path, "email", address, "password", right, "new_password", fresh, "name", "X").is(http.StatusForbidden, "citizen_problem")
			}
		}
		r := b.request(http.MethodPost, "/signout", nil) // an old browser: no Sec-Fetch-Site, but an Origin
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Set("Origin", "https://enemy.example.org")
		b.do(r).is(http.StatusForbidden, "citizen_problem")
		if got := len(tn.events()); got != before {
			tn.Errorf("%d events were recorded", got-before)
		}
		b.site = "same-origin"
		b.get("/").is(http.StatusOK, "citizen_account")
	})
}

func TestOpeningPagesChangesNothing(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		b := tn.browser()
		b.get("/jwks") // the first look makes the keys
		before := len(tn.events())
		for _, path := range []string{
			"/", "/signin", "/create", "/recover", "/confirm?id=x", "/confirm?link=x", "/recover/new?id=x", "/recover/new?link=x", "/password", "/lang?to=en",
			"/logout", "/userinfo", "/.well-known/openid-configuration", "/nowhere",
		} {
			b.get(path)
		}
		for range 20 {
			b.get(tn.ask("agents", oauth2.GenerateVerifier())).follow().is(http.StatusOK, "citizen_sign_in")
			b.get(tn.ask("agents", oauth2.GenerateVerifier(), "prompt", "none"))
		}
		if got := len(tn.events()); got != before {
			tn.Errorf("%d events were recorded", got-before)
		}
	})
}

func TestOneNetworkCannotFloodOthers(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		for i := range asksPerNetwork {
			tn.from = fmt.Sprintf("192.0.2.%d", i)
			if a := b.post("/recover", "email", fmt.Sprintf("p%d@habitants.example.org", i)); a.status != http.StatusSeeOther {
				tn.Fatalf("message %d: %d", i, a.status)
			}
		}
		a := b.post("/recover", "email", "one@habitants.example.org").is(http.StatusTooManyRequests, "citizen_problem")
		if a.header.Get("Retry-After") == "" {
			tn.Error("it is not said when")
		}
		tn.from = "198.51.100.1"
		b.post("/recover", "email", "one@habitants.example.org").follow().is(http.StatusOK, "citizen_recover_new")
		for from, want := range map[string]string{
			"2001:db8:1:2ff:1::1": "2001:db8:1:200::/56", "::ffff:192.0.2.9": "192.0.2.0/24", "fe80::1%eth0": "fe80::/56", "": "unknown", "x": "unknown",
		} {
			if got := (&visit{peer: from}).network(); got != want {
				tn.Errorf("%q is of %q, want %q", from, got, want)
			}
		}
	})
}

func TestHeadersAndHosts(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		b.get("/signin").is(http.StatusOK, "citizen_sign_in")
		for _, path := range []string{"/", "/signin", "/nowhere", "/jwks", "/lang", "/.well-known/openid-configuration"} {
			h := b.get(path).header
			for name, want := range map[string]string{
				"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
				"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Permissions-Policy": "camera=()",
			} {
				if !strings.Contains(h.Get(name), want) {
					tn.Errorf("%s: %s is %q", path, name, h.Get(name))
				}
			}
			if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") || !strings.Contains(h.Get("Content-Security-Policy"), "form-action 'self' http://agents.localhost:8080;") {
				tn.Errorf("%s: %q", path, h.Get("Content-Security-Policy"))
			}
			if h.Get("Access-Control-Allow-Origin") != "" {
				tn.Errorf("%s is open to scripts of other sites", path)
			}
		}
		r := b.request(http.MethodGet, "/signin", nil)
		r.Host = "enemy.example.org"
		if a := b.do(r); a.status != http.StatusMisdirectedRequest {
			tn.Errorf("another host: %d", a.status)
		}
		a := b.post("/signin", "email", address, "password", strings.Repeat("x", maxForm))
		if a.status != http.StatusBadRequest && a.status != http.StatusRequestEntityTooLarge {
			tn.Errorf("a form without end: %d", a.status)
		}
		for _, c := range tn.browser().get(tn.ask("agents", oauth2.GenerateVerifier())).header["Set-Cookie"] {
			if !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") || strings.Contains(c, "Domain") {
				tn.Errorf("cookie %q", c)
			}
		}
	})
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	each(t, func(tn *town) {
		ok := Client{ID: "c", Secret: secret, Redirects: []string{back}}
		for name, change := range map[string]func(s *Service){
			"no store":                 func(s *Service) { s.Store = nil },
			"no clock":                 func(s *Service) { s.Clock = nil },
			"a path after the address": func(s *Service) { s.Address += "/x" },
			"no scheme":                func(s *Service) { s.Address = "moncompte.localhost" },
			"a short secret":           func(s *Service) { c := ok; c.Secret = "short"; s.Clients = []Client{c} },
			"nowhere to return":        func(s *Service) { c := ok; c.Redirects = nil; s.Clients = []Client{c} },
			"a relative return":        func(s *Service) { c := ok; c.Redirects = []string{"/return"}; s.Clients = []Client{c} },
			"a script to return to":    func(s *Service) { c := ok; c.Redirects = []string{"javascript:x"}; s.Clients = []Client{c} },
			"a fragment":               func(s *Service) { c := ok; c.LogoutRedirects = []string{back + "#x"}; s.Clients = []Client{c} },
			"a client without a name":  func(s *Service) { c := ok; c.ID = ""; s.Clients = []Client{c} },
		} {
			s := &Service{
				Store: tn.s.Store, Keys: tn.s.Keys, Vault: tn.s.Vault, Outbox: tn.s.Outbox, Catalog: tn.s.Catalog, Clock: tn.clock.Now,
				Address: "https://moncompte.example.org", Clients: []Client{ok},
			}
			change(s)
			for range 2 {
				if _, err := s.Handler(); parvis.CodeOf(err) != parvis.CodeInvalid {
					tn.Errorf("%s: %v", name, err)
				}
			}
		}
		s := &Service{
			Store: tn.s.Store, Keys: tn.s.Keys, Vault: tn.s.Vault, Outbox: tn.s.Outbox, Catalog: tn.s.Catalog, Clock: tn.clock.Now,
			Address: "https://moncompte.example.org", Label: parvis.Words{FR: "Compte citadin", EN: "Citizen account"},
		}
		if _, err := s.Handler(); err != nil || s.cookieName("x") != "__Host-x" || !s.secure {
			tn.Errorf("%v", err)
		}
	})
}
