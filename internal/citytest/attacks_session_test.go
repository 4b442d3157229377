package citytest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"parvis"
)

// abroad are the spellings under which a redirect has ever left a site.
var abroad = []string{
	"http://evil.example/", "https://evil.example", "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example",
	"\\/evil.example", "/\\/evil.example", "/%2f/evil.example", "/%5cevil.example", "%2f%2fevil.example", "/%09/evil.example", "/\t/evil.example",
	"/\n/evil.example", "\r\n//evil.example", "/\r\nLocation: http://evil.example/", "%0d%0aLocation:%20http://evil.example", "http:evil.example", "http:/evil.example",
	"http:\\\\evil.example", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd",
	"//nomade.localhost@evil.example", "http://nomade.localhost@evil.example/", "http://nomade.localhost.evil.example/", "//evil.example:80\\@nomade.localhost",
	"//evil。example", "//ⓔvil.example", "//%65vil.example", " //evil.example", "\u00a0//evil.example", "\u200b//evil.example", "/..//evil.example", "/.//evil.example",
	"?//evil.example", "#//evil.example", ";//evil.example", "//[::ffff:6.6.6.6]/", "//0x06060606/", "/\x00/evil.example", "//evil.example/%2e%2e", "http://evil.example#nomade.localhost",
}

// Somebody sends agents a link of the city that ends on a site of theirs:
//
//  1. every parameter that says where to go next is given every spelling that
//     ever fooled a check: two slashes, backslashes, blanks, user names, other
//     schemes, other alphabets;
//  2. signed out and signed in, by GET and by POST;
//  3. the path itself is an address of theirs, on the portal and on an application.
//
// No Location leaves the city.
func attackRedirects(t *testing.T, town *Town) {
	if len(abroad) < 40 {
		t.Fatalf("only %d payloads", len(abroad))
	}
	portal := town.Portal(parvis.Mobile)
	in := town.Visitor(t)
	in.SignIn(parvis.Mobile, town.Person("A100001"))
	stay(in)
	out := stay(town.Visitor(t))
	check := func(from string, p *Page) {
		t.Helper()
		for _, to := range p.Header["Location"] {
			if !ourAddress(town, from, to) {
				t.Errorf("%s leads to %q", from, to)
			}
		}
		for name := range p.Header {
			if strings.Contains(strings.ToLower(name), "evil") {
				t.Errorf("%s sets a header %q", from, name)
			}
		}
	}
	redirected := 0
	for _, payload := range abroad {
		q := url.QueryEscape(payload)
		for _, v := range []*Visitor{out, in} {
			for _, path := range []string{"/signin?return=", "/enter?return=", "/lang?to=en&return=", "/signin?next=", "/?return=", "/signout?return="} {
				p := v.Get(portal + path + q)
				redirected += len(p.Header["Location"])
				check(portal+path+q, p)
			}
			for path, fields := range map[string]url.Values{
				"/theme": {"theme": {"dark"}, "return": {payload}}, "/lang": {"to": {"fr"}, "return": {payload}},
				"/signin": {"return": {payload}, "identifier": {"A100001"}},
			} {
				p := v.Post(portal+path, fields)
				redirected += len(p.Header["Location"])
				check(portal+path, p)
			}
			from := town.App(parvis.Mobile, "paie") + "/.parvis/enter?ticket=" + q
			check(from, v.Get(from))
		}
	}
	if redirected < len(abroad) {
		t.Errorf("only %d redirects were looked at", redirected)
	}
	for _, target := range []string{
		"//evil.example", "//evil.example/%2e%2e", "/\\evil.example", "/%2f%2fevil.example/..", "/security//evil.example", "/security/../..//evil.example/", "///evil.example/..", "/%5c%5cevil.example",
		"/activate//evil.example", "/.//evil.example", "//evil.example/security", "/manifest//evil.example/../",
	} {
		for _, host := range []string{strings.TrimPrefix(portal, "http://"), strings.TrimPrefix(town.App(parvis.Mobile, "paie"), "http://")} {
			w := send(t, town.Base+1, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
			if to := w.header(0).Get("Location"); to != "" && !ourAddress(town, "http://"+host+"/", to) {
				t.Errorf("%s on %s leads to %q", target, host, to)
			}
		}
	}
	// The whole way through the door, from an address that is one of theirs.
	v := stay(town.Visitor(t))
	who, at := town.Person("A100001"), town.App(parvis.Mobile, "paie")+"//evil.example/"
	for hops := 0; ; hops++ {
		p := v.Get(at)
		if p.Screen == "sign_in_context" || p.Screen == "sign_in_identifier" {
			p = v.SignInAt(p, who.Number, who.Password)
		}
		to := p.Header.Get("Location")
		if to == "" {
			break
		}
		check(at, p)
		if hops > 9 {
			t.Fatalf("going in circles at %s", at)
		}
		next, err := p.URL.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		at = next.String()
	}
}

// Somebody leaves their own cookie on a shared workstation, to be let in by
// whoever signs in after them:
//
//  1. they plant names of the front door's cookies before the sign-in, on the
//     portal and on an application;
//  2. the victim signs in;
//  3. they use what they planted; and what a session was called before its
//     holder signed in again.
//
// Every sign-in makes a new identifier, and the old one is dead.
func attackFixation(t *testing.T, town *Town) {
	portal, app := town.Portal(parvis.Mobile), town.App(parvis.Mobile, "paie")
	planted := strings.Repeat("A", 43)
	victim := town.Visitor(t)
	plant(t, victim, portal, "parvis", planted)
	plant(t, victim, app, "parvis-app", planted)
	plant(t, victim, app, "parvis-enter", planted)
	who := town.Person("A100010")
	victim.SignIn(parvis.Mobile, who)
	if p := victim.Get(app + "/"); p.Status != http.StatusOK || p.URL.Host != strings.TrimPrefix(app, "http://") {
		t.Fatalf("the victim does not get into the application: %d at %s", p.Status, p.URL)
	}
	first, visit := cookieOf(t, victim, portal, "parvis"), cookieOf(t, victim, app, "parvis-app")
	if first == "" || first == planted || visit == "" || visit == planted || visit == first {
		t.Errorf("cookies after the sign-in: portal %q, application %q", first, visit)
	}
	thief := func(cookie string) *Page {
		v := town.Visitor(t)
		plant(t, v, portal, "parvis", cookie)
		return v.Get(portal + "/security")
	}
	if p := thief(planted); p.Screen == "security" {
		t.Error("the planted cookie opens a session")
	}
	if p := thief(first); p.Screen != "security" {
		t.Fatalf("the cookie of the session shows %s: the test would prove nothing", p.Screen)
	}
	victim.SignInAt(postIdentifier(victim, portal, who.Number), who.Number, who.Password)
	second := cookieOf(t, victim, portal, "parvis")
	if second == first || second == "" {
		t.Errorf("signing in again kept %q", second)
	}
	if p := thief(first); p.Screen == "security" {
		t.Error("the identifier of before the second sign-in is alive")
	}
	// Two cookies of one name: one was planted by a neighbouring host.
	v := stay(town.Visitor(t))
	v.Header = http.Header{"Cookie": {"parvis=" + second + "; parvis=" + planted}}
	if p := v.Get(portal + "/security"); p.Screen == "security" {
		t.Error("of two cookies of one name, one was believed")
	}
}

// postIdentifier gives the first page of the door to somebody who is in.
func postIdentifier(v *Visitor, portal, _ string) *Page {
	return v.Post(portal+"/signin", url.Values{"identifier": {""}})
}

// A page elsewhere sends forms in the name of a visitor who is signed in:
//
//  1. from a foreign site, with their cookies, as an old browser would;
//  2. from an application of the city, which is another origin of the same
//     site, so that SameSite does not help;
//  3. from a sandboxed frame, whose origin is null;
//  4. to every address that changes something.
//
// 403, and nothing has changed.
func attackCrossSite(t *testing.T, town *Town) {
	portal := town.Portal(parvis.Mobile)
	victim := town.Visitor(t)
	victim.SignIn(parvis.Mobile, town.Person("A100030"))
	stay(victim)
	forms := map[string]url.Values{
		"/signout": {}, "/sessions": {"session": {"others"}}, "/extend": {}, "/theme": {"theme": {"dark"}}, "/lang": {"to": {"en"}}, "/diagnosis": {"place": {"home"}},
		"/signin": {"identifier": {"A100003"}, "password": {"x"}}, "/activate": {"agent_number": {"A100008"}, "email": {town.Person("A100008").Email}},
		"/activate/identity": {"answer": {"right"}}, "/activate/password": {"new_password": {"quatre mots choisis ensemble"}},
	}
	before := lastEvent(t, town.Data)
	for name, header := range map[string]http.Header{
		"foreign site":      {"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {"cross-site"}},
		"an application":    {"Origin": {town.App(parvis.Mobile, "paie")}, "Sec-Fetch-Site": {"same-site"}},
		"old browser":       {"Origin": {"http://evil.example"}, "Sec-Fetch-Site": nil},
		"old, application":  {"Origin": {town.App(parvis.Mobile, "paie")}, "Sec-Fetch-Site": nil},
		"the other portal":  {"Origin": {town.Portal(parvis.Internal)}, "Sec-Fetch-Site": nil},
		"sandbox":           {"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}},
		"old, sandbox":      {"Origin": {"null"}, "Sec-Fetch-Site": nil},
		"no Origin at all":  {"Origin": nil, "Sec-Fetch-Site": {"cross-site"}},
		"a lookalike host":  {"Origin": {portal + ".evil.example"}, "Sec-Fetch-Site": nil},
		"method in a field": {"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {"cross-site"}, "X-Http-Method-Override": {"GET"}},
	} {
		victim.Header = header
		for path, fields := range forms {
			p := victim.Post(portal+path, fields)
			if p.Status != http.StatusForbidden || len(p.Header["Set-Cookie"]) > 0 {
				t.Errorf("%s: POST %s is answered with %d, cookies %v", name, path, p.Status, p.Header["Set-Cookie"])
			}
		}
	}
	victim.Header = http.Header{}
	if p := victim.Get(portal + "/security"); p.Screen != "security" {
		t.Errorf("the session did not survive: %s", p.Screen)
	}
	for _, e := range events(t, town.Data, before) {
		if e.Kind != "session.seen" {
			t.Errorf("event %d was recorded: %s %v", e.Seq, e.Kind, e.Detail)
		}
	}
	if p := victim.Post(portal+"/signout", url.Values{}); p.Status != http.StatusSeeOther {
		t.Errorf("an honest form is answered with %d: the test would prove nothing", p.Status)
	}
}

// Somebody reads a ticket over a shoulder, out of a history or a log:
//
//  1. they use it again, in the browser that used it;
//  2. they use a fresh one in their own browser, with and without having asked
//     for one themselves;
//  3. they bring one of an application to another;
//  4. they use one twenty times at once.
//
// A ticket lets one browser into one application, once.
func attackTicket(t *testing.T, town *Town) {
	who := town.Person("A100001")
	paie, conges := town.App(parvis.Mobile, "paie"), town.App(parvis.Mobile, "conges")
	ask := func(v *Visitor, app string) string { // goes as far as the ticket, and does not use it
		t.Helper()
		stay(v)
		at := app + "/document"
		for range 4 {
			p := v.Get(at)
			next, err := p.URL.Parse(p.Header.Get("Location"))
			if err != nil || next.String() == at {
				t.Fatalf("no way to a ticket from %s: %d %s", at, p.Status, p.Screen)
			}
			if at = next.String(); next.Path == "/.parvis/enter" {
				return at
			}
		}
		t.Fatalf("no ticket, but %s", at)
		return ""
	}
	visit := func(p *Page) bool {
		return strings.Contains(strings.Join(p.Header["Set-Cookie"], "\n"), "parvis-app=")
	}
	v := town.Visitor(t)
	v.SignIn(parvis.Mobile, who)
	ticket := ask(v, paie)
	if strings.Contains(ticket, who.Number) {
		t.Errorf("the ticket says whose it is: %s", ticket)
	}
	stranger := stay(town.Visitor(t))
	if p := stranger.Get(ticket); visit(p) || p.Status != http.StatusForbidden {
		t.Errorf("a browser that never asked: %d, let in %v", p.Status, visit(p))
	}
	stranger.Get(paie + "/") // now it has asked in its own name
	if p := stranger.Get(ticket); visit(p) {
		t.Error("a ticket of somebody else let in")
	}
	if p := v.Get(strings.Replace(ticket, paie, conges, 1)); visit(p) || p.Status != http.StatusForbidden {
		t.Errorf("at another application: %d, let in %v", p.Status, visit(p))
	}
	internal := strings.Replace(ticket, paie, town.App(parvis.Internal, "paie"), 1)
	if p := v.Get(internal); visit(p) {
		t.Error("a ticket of the mobile entrance let in at the internal one")
	}
	head := stay(town.Visitor(t))
	head.HTTP.Jar = v.HTTP.Jar
	if p := head.do(http.MethodHead, ticket, nil); visit(p) {
		t.Error("HEAD used the ticket")
	}
	if p := v.Get(ticket); !visit(p) || p.Header.Get("Location") != paie+"/document" {
		t.Fatalf("the rightful browser was not let in: %d to %q", p.Status, p.Header.Get("Location"))
	}
	if p := v.Get(ticket); visit(p) {
		t.Error("the ticket was good twice")
	}
	if p := v.Get(paie + "/document"); p.Status != http.StatusOK {
		t.Errorf("the application does not open after all: %d", p.Status)
	}

	race := town.Visitor(t)
	race.SignIn(parvis.Mobile, who)
	ticket = ask(race, conges)
	let := make([]bool, 20)
	var all sync.WaitGroup
	for i := range let {
		all.Go(func() {
			res, err := race.HTTP.Get(ticket)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			let[i] = strings.Contains(strings.Join(res.Header["Set-Cookie"], "\n"), "parvis-app=")
		})
	}
	all.Wait()
	entered := 0
	for _, ok := range let {
		if ok {
			entered++
		}
	}
	if entered != 1 {
		t.Errorf("of 20 uses at once of one ticket %d entered", entered)
	}
}

// Somebody tries the references of others, which are short:
//
//  1. an agent is refused an application, and gets a reference;
//  2. another agent, signed in, opens the page of that reference;
//  3. a stranger does; and both compare with a reference that does not exist.
//
// The page is its owner's; to anybody else it does not exist.
func attackReference(t *testing.T, town *Town) {
	portal := town.Portal(parvis.Mobile)
	owner := town.Visitor(t)
	owner.SignIn(parvis.Mobile, town.Person("A100001"))
	refused := owner.Get(town.App(parvis.Mobile, "finances") + "/")
	if refused.Reference == "" || refused.Screen != "why_not" {
		t.Fatalf("no refusal to read: %s", refused.Screen)
	}
	if p := owner.Get(portal + "/why/" + refused.Reference); p.Status != http.StatusOK || p.Reference != refused.Reference {
		t.Fatalf("the owner does not see their own: %d", p.Status)
	}
	// Another reference in the right form: same letters, other check or none.
	nobody := refused.Reference[:3] + swap(refused.Reference[3:])
	other := town.Visitor(t)
	other.SignIn(parvis.Mobile, town.Person("A100010"))
	his, none := other.Get(portal+"/why/"+refused.Reference), other.Get(portal+"/why/"+nobody)
	if his.Status != http.StatusNotFound || none.Status != http.StatusNotFound {
		t.Errorf("another agent gets %d, and for one that does not exist %d", his.Status, none.Status)
	}
	plain := func(p *Page) string {
		return strings.NewReplacer(refused.Reference, "REF", nobody, "REF").Replace(p.Body)
	}
	if a, b := plain(his), plain(none); a != b {
		t.Errorf("the pages tell one from the other:\n%s", firstDifference(a, b))
	}
	other.Header = http.Header{"Accept": {"application/json"}}
	if p := other.Get(portal + "/why/" + refused.Reference); p.Status != http.StatusNotFound || strings.Contains(p.Body, "channel_not_allowed") {
		t.Errorf("a program of another agent gets %d: %s", p.Status, p.Body)
	}
	stranger := stay(town.Visitor(t))
	if p := stranger.Get(portal + "/why/" + refused.Reference); p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/signin") {
		t.Errorf("a stranger gets %d to %q", p.Status, p.Header.Get("Location"))
	}
}

// swap exchanges two signs that differ.
func swap(s string) string {
	b := []byte(s)
	for i := range len(b) - 1 {
		if b[i] != b[i+1] && b[i] != '-' && b[i+1] != '-' {
			b[i], b[i+1] = b[i+1], b[i]
			return string(b)
		}
	}
	return strings.Repeat("2", len(s))
}

// firstDifference shows where two texts part.
func firstDifference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(s string) string { return s[max(0, i-60):min(len(s), i+120)] }
	return fmt.Sprintf("at byte %d of %d and %d:\n  %q\n  %q", i, len(a), len(b), cut(a), cut(b))
}

// Somebody copies every cookie of a browser:
//
//  1. while the session lives they are in, as its holder is;
//  2. the holder signs out;
//  3. they go on: at the portal, at the application, and in a stream that was
//     open before.
//
// Signing out ends all of it, everywhere.
func attackStolenCookie(t *testing.T, town *Town) {
	portal, app := town.Portal(parvis.Mobile), town.App(parvis.Mobile, "conges")
	victim := town.Visitor(t)
	victim.SignIn(parvis.Mobile, town.Person("A100010"))
	if p := victim.Get(app + "/document"); p.Status != http.StatusOK || p.Screen != "" {
		t.Fatalf("the application does not open: %d %s", p.Status, p.Screen)
	}
	thief := stay(town.Visitor(t))
	for _, c := range [][2]string{{portal, "parvis"}, {portal, "parvis-device"}, {app, "parvis-app"}, {app, "parvis-enter"}} {
		plant(t, thief, c[0], c[1], cookieOf(t, victim, c[0], c[1]))
	}
	if p := thief.Get(app + "/document"); p.Status != http.StatusOK {
		t.Fatalf("the copy does not work before: %d to %q", p.Status, p.Header.Get("Location"))
	}
	req, err := http.NewRequest(http.MethodGet, app+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := thief.HTTP.Do(req)
	if err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream did not open: %v", err)
	}
	defer func() { _ = stream.Body.Close() }()

	if p := victim.Post(portal+"/signout", url.Values{}); p.Screen != "signed_out" {
		t.Fatalf("signing out led to %s", p.Screen)
	}
	if p := thief.Get(portal + "/security"); p.Screen == "security" {
		t.Error("the stolen cookie opens the portal after the sign-out")
	}
	if p := thief.Get(app + "/document"); p.Status == http.StatusOK {
		t.Error("the stolen cookie opens the application after the sign-out")
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stream.Body)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(hangUp):
		t.Error("the stream of before goes on after the sign-out")
	}
}

// Somebody makes a browser follow links, or a mail scanner opens them all:
//
//  1. every form of the site is sent as a query, by GET, by HEAD;
//  2. other methods are tried on the same addresses;
//  3. the link of an activation is opened twenty times by a scanner.
//
// Nothing changes, nobody is in, and the link works for its owner.
func attackMethods(t *testing.T, town *Town) {
	portal := town.Portal(parvis.Mobile)
	v := town.Visitor(t)
	who := town.Person("A100001")
	v.SignIn(parvis.Mobile, who)
	stay(v)
	stranger := stay(town.Visitor(t))
	before := lastEvent(t, town.Data)
	secret := url.Values{"identifier": {who.Number}, "password": {who.Password}, "session": {"others"}, "code": {town.Person("A100002").ActivationCode}, "answer": {"right"}, "new_password": {"quatre mots choisis ensemble"}}.Encode()
	for _, path := range []string{
		"/signin", "/signout", "/sessions", "/extend", "/activate", "/activate/identity", "/activate/password", "/theme", "/diagnosis",
		"/activate/finish", "/activate/second/codes", "/prove", "/lost", "/security/factors/totp", "/security/factors/codes", "/security/factors/request",
		"/security/verifier", "/verifier/leave",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			for _, who := range []*Visitor{v, stranger} {
				p := who.do(method, portal+path+"?"+secret, nil)
				if set := strings.Join(p.Header["Set-Cookie"], "\n"); strings.Contains(set, "parvis=") || strings.Contains(set, "parvis-activation=") && !strings.Contains(set, "parvis-activation=;") {
					t.Errorf("%s %s sets %s", method, path, set)
				}
				if p.Status >= 500 {
					t.Errorf("%s %s is answered with %d", method, path, p.Status)
				}
			}
		}
		for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND", "get", "PO5T"} {
			if p := v.do(method, portal+path, nil); p.Status < 400 || p.Status >= 500 {
				t.Errorf("%s %s is answered with %d", method, path, p.Status)
			}
		}
	}
	// The fields of a POST are in its body, never in the address.
	stranger.Post(portal+"/signin?"+secret, url.Values{})
	if p := v.Get(portal + "/security"); p.Screen != "security" {
		t.Errorf("the session ended by a link: %s", p.Screen)
	}
	for _, e := range events(t, town.Data, before) {
		if e.Kind != "session.seen" {
			t.Errorf("event %d was recorded: %s %v", e.Seq, e.Kind, e.Detail)
		}
	}

	newcomer := town.Person("A100008")
	town.Visitor(t).Post(portal+"/activate", url.Values{"agent_number": {newcomer.Number}, "email": {newcomer.Email}})
	link := linkOf(activationLetter(t, town, newcomer))
	for i := range 20 {
		scanner := town.Visitor(t)
		method := []string{http.MethodGet, http.MethodHead}[i%2]
		if p := scanner.do(method, link, nil); p.Status != http.StatusOK {
			t.Fatalf("the scanner gets %d", p.Status)
		}
	}
	owner := town.Visitor(t)
	if p := owner.Submit(owner.Get(link), map[string]string{"link": "1"}); p.Screen != "activation_overview" {
		t.Errorf("after the scanner the link leads its owner to %s (%d)", p.Screen, p.Status)
	}
}

// An HR system is fed names that are programs:
//
//  1. a name, a unit and a job in the HR file are scripts, attributes, forged
//     log lines and headers;
//  2. the agent activates, signs in, and looks at every page that shows them;
//  3. what they type themselves is as hostile: identifier, search, user agent.
//
// No page holds an element or an attribute of theirs.
func attackNames(t *testing.T, town *Town) {
	script, image := `<script>alert("1")</script>`, `"><img src=x onerror=alert(2)>`
	file := filepath.Join(t.TempDir(), "hr.csv")
	write(t, file, "agent_number;civil_family_name;given_names;org_unit_path;contract_start;job_label;professional_email\n"+
		`X900001;"`+strings.ReplaceAll(script, `"`, `""`)+`";"O'""><svg onload=alert(3)>";"Ville/`+strings.ReplaceAll(strings.ReplaceAll(image, `"`, `""`), "/", "")+`";2020-01-01;"{{.}} ${7*7} =cmd|' javascript:alert(4)";x900001@example.org`+"\n")
	if out, errs, status := RunPlain(t, "agent", "import", file, "--data", town.Data, "--override", "attacks"); status != 0 {
		t.Fatalf("the import ended with %d:\n%s%s", status, out, errs)
	}
	portal := town.Portal(parvis.Internal)
	v := town.Visitor(t)
	v.Header = http.Header{"User-Agent": {script + image}}
	p := v.Post(portal+"/activate", url.Values{"code": {activationCode(t, town.Data, "X900001")}})
	clean := func(p *Page, what string) {
		t.Helper()
		each(p.root, func(n *html.Node) {
			if n.Type != html.ElementNode {
				return
			}
			if n.Data == "script" && (n.FirstChild != nil || !strings.HasPrefix(attr(n, "src"), "/assets/")) || n.Data == "img" && attr(n, "src") == "x" {
				t.Errorf("%s (%s) holds <%s> of theirs", what, p.Screen, n.Data)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
					t.Errorf("%s (%s) holds <%s %s=%q>", what, p.Screen, n.Data, a.Key, a.Val)
				}
			}
		})
		if !strings.Contains(p.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s has no content security policy", what)
		}
	}
	clean(p, "overview")
	if p.Screen != "activation_overview" || !strings.Contains(p.Text(), script) {
		t.Fatalf("the name is not shown on %s: the test would prove nothing", p.Screen)
	}
	p = v.Get(portal + "/activate/identity")
	clean(p, "identity")
	for _, text := range []string{script, "{{.}} ${7*7}", "onerror=alert(2)"} {
		if !strings.Contains(p.Text(), text) {
			t.Errorf("identity does not show %q as text", text)
		}
	}
	v.Submit(p, map[string]string{"answer": "right"})
	v.Post(portal+"/activate/identity", url.Values{"answer": {"wrong"}, "what": {script + image}})
	password := "sept lanternes vertes au marché"
	if p = v.Post(portal+"/activate/password", url.Values{"new_password": {password}}); p.Screen != "activation_overview" {
		t.Fatalf("the activation led to %s: %s", p.Screen, p.Text())
	}
	clean(p, "overview")
	for _, path := range []string{"/activate/second", "/activate/second/totp", "/activate/verifier?have=" + url.QueryEscape(script)} {
		clean(v.Get(portal+path), path)
	}
	if p = v.Post(portal+"/activate/finish", url.Values{}); p.Screen != "activation_done" {
		t.Fatalf("the end of the activation led to %s: %s", p.Screen, p.Text())
	}
	clean(p, "done")
	if p = v.SignIn(parvis.Internal, Person{Number: "X900001", Password: password}); p.Screen != "home" {
		t.Fatalf("signing in led to %s", p.Screen)
	}
	for _, path := range []string{
		"/", "/security", "/security/factors", "/security/verifier", "/arrival", "/prove", "/sessions", "/activity", "/app/paie", "/app/" + url.PathEscape(script), "/why/" + url.PathEscape(script), "/?q=" + url.QueryEscape(script+image), "/channel", "/help",
		"/?show=" + url.QueryEscape(image), "/sessions?ended=" + url.QueryEscape(script), "/" + url.PathEscape(image), "/activity?before=" + url.QueryEscape(script),
	} {
		clean(v.Get(portal+path), path)
	}
	clean(v.Get(town.App(parvis.Internal, "finances")+"/"+url.PathEscape(image)), "why")
	stranger := town.Visitor(t)
	clean(stranger.Post(portal+"/signin", url.Values{"identifier": {image + script}}), "door")
	clean(stranger.Post(portal+"/signin", url.Values{"identifier": {image + script}, "password": {"x"}}), "door, refused")
	clean(stranger.Post(portal+"/activate", url.Values{"agent_number": {image}, "email": {script}}), "activation, refused")
	clean(stranger.Post(portal+"/activate", url.Values{"code": {image + script}}), "code, refused")
}

// write makes a file.
func write(tb testing.TB, name, content string) {
	tb.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}
