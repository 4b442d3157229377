package federation

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
)

func forum() parvis.App {
	return parvis.App{
		ID: "forum", CAS: &parvis.CASService{Services: []string{"https://forum.example.org/app/", "https://old.example.org/login?from=cas"}, Logout: true},
		Attributes: []string{"name", "email", "groups"},
	}
}

const forumPage = "https://forum.example.org/app/read?topic=3&x=é"

// login is the path of the front door for a service.
func login(service string, more ...string) string {
	return "/cas/login?service=" + url.QueryEscape(service) + strings.Join(more, "")
}

var ticketShape = regexp.MustCompile(`^ST-[A-Za-z0-9-]+$`)

// ticketOf reads the ticket from an answer that leads back to a service.
func ticketOf(t testing.TB, a answer, service string) string {
	t.Helper()
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.location(), service) {
		t.Fatalf("%d to %q: %s", a.StatusCode, a.location(), a.body)
	}
	u, err := url.Parse(a.location())
	must(t, err)
	ticket := u.Query().Get("ticket")
	if !ticketShape.MatchString(ticket) || len(ticket) > 256 { // CAS Protocol §3.7
		t.Fatalf("ticket of %d signs: %q", len(ticket), ticket)
	}
	return ticket
}

// shown is what the application learns when it shows a ticket.
func (tn *town) shown(path, service, ticket string, more ...string) string {
	tn.t.Helper()
	res := tn.browser(parvis.Internal).get(path + "?service=" + url.QueryEscape(service) + "&ticket=" + url.QueryEscape(ticket) + strings.Join(more, ""))
	if res.StatusCode != http.StatusOK {
		tn.t.Fatalf("validation: %d %s", res.StatusCode, res.body)
	}
	return res.body
}

func TestCASWalk(t *testing.T) {
	tn := newTown(t, forum())
	service := "https://forum.example.org/app/read?topic=3"
	v := tn.browser(parvis.Internal)
	back := v.get(login(service)).back(t, "/signin")
	tn.clock.Move(time.Minute)
	v.signIn(parvis.Password)
	ticket := ticketOf(t, v.get(back), service)

	var got struct {
		User       string `xml:"authenticationSuccess>user"`
		Attributes struct {
			Name   string   `xml:"name"`
			Email  string   `xml:"email"`
			Groups []string `xml:"groups"`
			Member []string `xml:"memberOf"`
			ACR    string   `xml:"acr"`
			New    string   `xml:"isFromNewLogin"`
			Date   string   `xml:"authenticationDate"`
			Unit   string   `xml:"organizational_unit"`
		} `xml:"authenticationSuccess>attributes"`
	}
	must(t, xml.Unmarshal([]byte(tn.shown("/cas/p3/serviceValidate", service, ticket)), &got))
	a := got.Attributes
	if got.User != "A100001" || a.Name != "Zoé Müller-Lefèvre" || a.Email != "zoe@example.org" || len(a.Groups) != 1 || len(a.Member) != 1 ||
		a.ACR != "eidas1" || a.New != "true" || a.Date != tn.clock.Now().UTC().Format(time.RFC3339) || a.Unit != "" {
		t.Errorf("told %+v", got)
	}
	if n := tn.events("grant.began"); n != 1 {
		t.Errorf("%d grants recorded", n)
	}

	// Already in: not a new login, and the forms of the other versions.
	ticket = ticketOf(t, v.get(login(service)), service)
	var object struct {
		ServiceResponse struct {
			AuthenticationSuccess struct {
				User       string
				Attributes map[string]any
			}
		}
	}
	must(t, json.Unmarshal([]byte(tn.shown("/cas/p3/serviceValidate", service, ticket, "&format=JSON")), &object))
	if s := object.ServiceResponse.AuthenticationSuccess; s.User != "A100001" || s.Attributes["isFromNewLogin"] != false || s.Attributes["email"] != "zoe@example.org" {
		t.Errorf("JSON %+v", object)
	}
	if got := tn.shown("/cas/validate", service, ticketOf(t, v.get(login(service)), service)); got != "yes\nA100001\n" {
		t.Errorf("CAS 1: %q", got)
	}
	if got := tn.shown("/cas/serviceValidate", service, ticketOf(t, v.get(login(service)), service)); !strings.Contains(got, "<cas:user>A100001</cas:user>") || strings.Contains(got, "attributes") {
		t.Errorf("CAS 2: %s", got)
	}

	// By form.
	to, fields := v.get(login(service, "&method=POST")).form(t)
	if to != service || !strings.Contains(tn.shown("/cas/proxyValidate", service, fields.Get("ticket")), "<cas:email>zoe@example.org</cas:email>") {
		t.Errorf("posted to %q: %v", to, fields)
	}
}

func TestCASGatewayAndRenew(t *testing.T) {
	tn := newTown(t, forum())
	service := "https://forum.example.org/app/"
	v := tn.browser(parvis.Mobile)
	if res := v.get(login(service, "&gateway=true")); res.StatusCode != http.StatusSeeOther || res.location() != service {
		t.Errorf("gateway without a session: %d to %q", res.StatusCode, res.location())
	}
	v.signIn(parvis.Password)
	ticketOf(t, v.get(login(service, "&gateway=true")), service)

	v = tn.browser(parvis.Internal).signIn(parvis.Password)
	plain := ticketOf(t, v.get(login(service)), service)
	if got := tn.shown("/cas/p3/serviceValidate", service, plain, "&renew=true"); !strings.Contains(got, casInvalidTicket) {
		t.Errorf("a ticket of an old proof passes for fresh: %s", got)
	}
	tn.clock.Move(time.Minute)
	res := v.get(login(service, "&renew=true", "&gateway=true"))
	back := res.back(t, "/prove")
	if !strings.Contains(res.location(), "level=eidas1&") {
		t.Errorf("asked for %q", res.location())
	}
	// Coming back with nothing shown is not enough, and no circle.
	if res := v.get(back); res.StatusCode != http.StatusForbidden || !strings.Contains(res.body, "federation_problem") {
		t.Errorf("nothing shown: %d %s", res.StatusCode, res.location())
	}
	tn.clock.Move(time.Minute)
	v.raise(parvis.Password)
	fresh := ticketOf(t, v.get(back), service)
	if got := tn.shown("/cas/p3/serviceValidate", service, fresh, "&renew=true"); !strings.Contains(got, "authenticationSuccess") {
		t.Errorf("a ticket of a fresh proof: %s", got)
	}
	// Nor does it serve somebody else, who proved themselves since.
	tn.browser(parvis.Internal).signInAs("A100002", parvis.Password).get(back).back(t, "/prove")
	// The mark of one request is worth nothing for another.
	u, err := url.Parse(back)
	must(t, err)
	tn.clock.Move(time.Minute)
	v.get(login(service+"other", "&renew=true", "&after=", url.QueryEscape(u.Query().Get("after")))).back(t, "/prove")
}

func TestCASRefused(t *testing.T) {
	closed := forum()
	closed.Channels = []parvis.Channel{parvis.Internal}
	tn := newTown(t, closed)
	v := tn.browser(parvis.Mobile).signIn(parvis.Password)
	service := "https://forum.example.org/app/"
	res := v.get(login(service))
	reference, ok := strings.CutPrefix(res.location(), nomade+"/why/")
	if res.StatusCode != http.StatusSeeOther || !ok {
		t.Fatalf("refused: %d to %q", res.StatusCode, res.location())
	}
	kept, err := tn.Door.Counter.Look(t.Context(), reference)
	must(t, err)
	if !kept.Decision.Has(parvis.WhyChannelNotAllowed) || kept.App != "forum" {
		t.Errorf("kept %+v", kept)
	}
	if res := v.get(login(service, "&gateway=true")); res.location() != service {
		t.Errorf("gateway, refused: to %q", res.location())
	}
	// A person at the other entrance's address is led to their own.
	r := tn.browser(parvis.Internal)
	tn.site[parvis.Internal], tn.site[parvis.Mobile] = tn.site[parvis.Mobile], tn.site[parvis.Internal]
	if res := r.get(login(service)); res.location() != nomade+"/?reason=internal_address_outside" {
		t.Errorf("the internal address, from outside: %d %q", res.StatusCode, res.location())
	}
}

func TestCASServices(t *testing.T) {
	tn := newTown(t, forum(), parvis.App{ID: "admin", CAS: &parvis.CASService{Services: []string{"https://forum.example.org/app/admin/"}}})
	for service, want := range map[string]parvis.AppID{
		"https://forum.example.org/app/":                       "forum",
		"https://forum.example.org/app":                        "forum",
		"https://forum.example.org/app?x=1":                    "forum",
		"https://forum.example.org:443/app/deep/er?a=b&c=d%2F": "forum",
		"https://forum.example.org/app/admin/users":            "admin",
		"https://forum.example.org/app/administrators":         "forum",
		"https://old.example.org/login?from=cas":               "forum",

		// Near misses: each is read otherwise by somebody.
		"https://forum.example.org/application":                            "",
		"https://forum.example.org/ap":                                     "",
		"https://forum.example.org/":                                       "",
		"https://forum.example.org/APP/":                                   "",
		"https://forum.example.org/app/../other":                           "",
		"https://forum.example.org/app/./x":                                "",
		"https://forum.example.org/app/%2e%2e/other":                       "",
		"https://forum.example.org/app/..%2fother":                         "",
		"https://forum.example.org/app%2fx":                                "",
		"https://forum.example.org/app/%252e%252e/other":                   "",
		"https://forum.example.org/app/..;/other":                          "",
		"https://forum.example.org//app/":                                  "",
		"https://forum.example.org/app\\..\\other":                         "",
		"https://forum.example.org\\@evil.example/app/":                    "",
		"https://forum.example.org@evil.example/app/":                      "",
		"https://user:secret@forum.example.org/app/":                       "",
		"https://forum.example.org.evil.example/app/":                      "",
		"https://evil.example/https://forum.example.org/app/":              "",
		"https://evilforum.example.org/app/":                               "",
		"https://sub.forum.example.org/app/":                               "",
		"https://forum.example.org:8443/app/":                              "",
		"https://forum.example.org:0443/app/":                              "",
		"https://forum.example.org./app/":                                  "",
		"https://FORUM.example.org/app/":                                   "",
		"http://forum.example.org/app/":                                    "",
		"HTTPS://forum.example.org/app/":                                   "",
		"//forum.example.org/app/":                                         "",
		"https:forum.example.org/app/":                                     "",
		"https:///forum.example.org/app/":                                  "",
		"https://forum.example.org/app/#frag":                              "",
		"https://forum.example.org/app/\r\nX: y":                           "",
		"https://forum.example.org/app/\tx":                                "",
		" https://forum.example.org/app/":                                  "",
		"https://forum.example.org/app/é":                                  "",
		"https://fоrum.example.org/app/":                                   "", // a Cyrillic o
		"javascript:https://forum.example.org/app/":                        "",
		"https://old.example.org/login":                                    "",
		"https://old.example.org/login?from=cas&more=1":                    "",
		"https://old.example.org/login/?from=cas":                          "",
		"https://[::1]/app/":                                               "",
		"https://forum.example.org/app/" + strings.Repeat("a", maxService): "",
	} {
		app, ok := tn.service(service)
		if app.ID != want || ok != (want != "") {
			t.Errorf("%q is of %q", service, app.ID)
		}
		if want != "" {
			continue
		}
		// nobody is led there, in or not.
		for _, v := range []*browser{tn.browser(parvis.Internal), tn.browser(parvis.Internal).signIn(parvis.Password)} {
			for _, path := range []string{login(service), login(service, "&gateway=true"), "/cas/logout?service=" + url.QueryEscape(service)} {
				res := v.get(path)
				if to := res.location(); strings.Contains(to, "example.org/") || strings.Contains(to, "evil") || strings.Contains(to, "forum") || strings.HasPrefix(to, "http") {
					t.Errorf("%q leads to %q", path, to)
				}
			}
		}
	}
}

func TestRefresh(t *testing.T) {
	tn := newTown(t)
	tn.Register.Apply = func([]parvis.App) error { tn.Refresh(); return nil }
	sp := provider("gestion")
	tn.knows(sp, parvis.Internal)
	app := declared(sp, "gestion", nil)
	app.Name, app.Channels = parvis.Words{FR: "Gestion", EN: "Gestion"}, parvis.Channels()
	app.CAS = &parvis.CASService{Services: []string{"https://gestion.example.org/"}}
	if _, ok := tn.service("https://gestion.example.org/x"); ok || tn.known().parties[sp.EntityID] != nil {
		t.Fatal("known before it was declared")
	}
	must(t, tn.Register.Put(t.Context(), app, 0, "operator:test"))
	if got, ok := tn.service("https://gestion.example.org/x"); !ok || got.ID != "gestion" || tn.known().parties[sp.EntityID] == nil {
		t.Error("not known at once")
	}
	must(t, tn.Register.Remove(t.Context(), "gestion", 1, "operator:test"))
	if _, ok := tn.service("https://gestion.example.org/x"); ok || tn.known().parties[sp.EntityID] != nil {
		t.Error("known when it is gone")
	}
}

// TestCASTicketReuse is an attack:
//
//  1. An agent signs in to an application; its address, with the ticket, stays in
//     a proxy's log.
//  2. Somebody reads it and shows the ticket again, first to the same service,
//     then many times at once, then after its time.
func TestCASTicketReuse(t *testing.T) {
	tn := newTown(t, forum())
	service := "https://forum.example.org/app/"
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	ticket := ticketOf(t, v.get(login(service)), service)
	var wg sync.WaitGroup
	yes := make(chan bool, 8)
	for range cap(yes) {
		wg.Go(func() {
			yes <- strings.Contains(tn.shown("/cas/p3/serviceValidate", service, ticket), "authenticationSuccess")
		})
	}
	wg.Wait()
	close(yes)
	n := 0
	for ok := range yes {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("one ticket was good %d times", n)
	}
	if got := tn.events("grant.replayed"); got != 7 {
		t.Errorf("%d replays recorded, want 7", got)
	}
	for _, sign := range "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" {
		other := ticket[:len(ticket)-1] + string(sign)
		for _, same := range []string{other, strings.ToLower(other), other + "=", other + "\n"} {
			if strings.Contains(tn.shown("/cas/p3/serviceValidate", service, same), "authenticationSuccess") {
				t.Errorf("the ticket is good again, written %q", same)
			}
		}
	}
	late := ticketOf(t, v.get(login(service)), service)
	tn.clock.Move(casLife + time.Second)
	if got := tn.shown("/cas/p3/serviceValidate", service, late); !strings.Contains(got, casInvalidTicket) {
		t.Errorf("after ten seconds: %s", got)
	}
	if tn.Register.Troubles("forum")[0].Code != casInvalidTicket {
		t.Error("the application's owner sees nothing of it")
	}
}

// TestCASTicketForAnotherService is an attack:
//
//  1. The owner of a small application receives the ticket of an agent.
//  2. They show it in the name of a greater one.
//  3. Refused there, they show it where it was made for, to hide the try.
func TestCASTicketForAnotherService(t *testing.T) {
	tn := newTown(t, forum(), parvis.App{ID: "small", CAS: &parvis.CASService{Services: []string{"https://small.example.org/"}}})
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	small, service := "https://small.example.org/", "https://forum.example.org/app/"
	ticket := ticketOf(t, v.get(login(small)), small)
	for _, other := range []string{service, "https://small.example.org/elsewhere", small} {
		if got := tn.shown("/cas/p3/serviceValidate", other, ticket); !strings.Contains(got, "authenticationFailure") {
			t.Errorf("shown for %s: %s", other, got)
		}
	}
	if n := tn.events("grant.began"); n != 0 {
		t.Errorf("%d grants", n)
	}
	if tn.events("grant.refused") != 1 || tn.events("grant.replayed") != 2 {
		t.Error("not recorded")
	}
	// What is no ticket, or of the other entrance.
	other := ticketOf(t, tn.browser(parvis.Mobile).signIn(parvis.Password).get(login(small)), small)
	for _, bad := range []string{other, "ST-", "ST-x", "PT-" + ticket[3:], ticket[3:], ticket + "A"} {
		if got := tn.shown("/cas/p3/serviceValidate", small, bad); !strings.Contains(got, casInvalidTicket) {
			t.Errorf("%q: %s", bad, got)
		}
	}
	for _, q := range []string{"", "?service=" + url.QueryEscape(small), "?ticket=x", "?service=a&service=b&ticket=x", "?service=a&ticket=x&ticket=y"} {
		if got := tn.browser(parvis.Internal).get("/cas/serviceValidate" + q).body; !strings.Contains(got, casInvalidRequest) {
			t.Errorf("%q: %s", q, got)
		}
	}
}

// TestCASTicketAfterTheSession: what ended between the ticket and its showing.
func TestCASTicketAfterTheSession(t *testing.T) {
	tn := newTown(t, forum())
	service := "https://forum.example.org/app/"
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	ticket := ticketOf(t, v.get(login(service)), service)
	tn.write(func(tx *store.Tx) error { return tn.Sessions.End(tx, v.session.ID, "by_owner") })
	if got := tn.shown("/cas/p3/serviceValidate", service, ticket); !strings.Contains(got, casInvalidTicket) {
		t.Errorf("after the session: %s", got)
	}
}

// TestCASLogout: a link asks, a post does, and the applications are told.
func TestCASLogout(t *testing.T) {
	tn := newTown(t, forum())
	service := "https://forum.example.org/app/"
	v := tn.browser(parvis.Internal).signIn(parvis.Password)
	ticket := ticketOf(t, v.get(login(service)), service)
	tn.shown("/cas/p3/serviceValidate", service, ticket)

	// Attack: a picture on a page of another site signs everybody out.
	asked := v.get("/cas/logout?service=" + url.QueryEscape(service))
	to, fields := asked.form(t)
	if to != "/cas/logout" || fields.Get("service") != service {
		t.Fatalf("the question leads to %q with %v", to, fields)
	}
	if policy := asked.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://forum.example.org") && !strings.Contains(policy, " https://forum.example.org") {
		t.Errorf("the form cannot end at the service: %s", policy)
	}
	forged := v.send(http.MethodPost, to, fields, http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}})
	if forged.StatusCode != http.StatusForbidden {
		t.Errorf("a post of another site: %d", forged.StatusCode)
	}
	if _, ok := tn.Sessions.Session(t.Context(), v.session.ID); !ok {
		t.Fatal("the session is over")
	}
	if res := v.send(http.MethodPost, to, fields, nil); res.location() != service || len(v.cookies) != 0 {
		t.Errorf("signed out: to %q, cookies %v", res.location(), v.cookies)
	}
	if _, ok := tn.Sessions.Session(t.Context(), v.session.ID); ok {
		t.Error("the session goes on")
	}
	due, err := tn.Store.DueNotices(t.Context(), tn.clock.Now(), 10)
	must(t, err)
	if len(due) != 1 {
		t.Fatalf("%d notices", len(due))
	}
	r, err := tn.Notice(context.Background(), due[0])
	must(t, err)
	must(t, r.ParseForm())
	message := r.PostForm.Get("logoutRequest")
	if r.URL.String() != service || r.Method != http.MethodPost || !strings.Contains(message, "<samlp:SessionIndex>"+ticket+"</samlp:SessionIndex>") {
		t.Errorf("%s %s: %s", r.Method, r.URL, message)
	}
	if _, err := readXML([]byte(message)); err != nil {
		t.Errorf("the message: %v", err)
	}
	if res := v.get("/cas/logout?service=" + url.QueryEscape(service)); res.location() != service {
		t.Errorf("nobody in: to %q", res.location())
	}
	if res := v.get("/cas/logout?service=https://evil.example/"); res.location() != "/signout" {
		t.Errorf("an unknown service: to %q", res.location())
	}
}

func FuzzServiceAddress(f *testing.F) {
	for _, s := range []string{forumPage, "https://a/", "http://[::1]:80/x?y", "https://a.b/%2e%2e/", "https:\\\\a", "https://a/..;/"} {
		f.Add(s)
	}
	rule, ok := newRule("forum", "https://forum.example.org/app/")
	if !ok {
		f.Fatal("no rule")
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !rule.allows(s) {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.Hostname() != "forum.example.org" || u.Port() != "" && u.Port() != "443" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q is allowed", s)
		}
		if clean := u.JoinPath().Path; clean != "/app" && !strings.HasPrefix(clean, "/app/") {
			t.Fatalf("%q is below %q", s, clean)
		}
		if to, err := url.Parse(withTicket(s, "ST-x")); err != nil || to.Host != u.Host || to.Query().Get("ticket") == "" {
			t.Fatalf("%q with a ticket", s)
		}
	})
}
