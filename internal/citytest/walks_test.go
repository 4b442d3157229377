package citytest

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"parvis"
)

// told is a decision as programs read it: an answer of RFC 9457, or what
// `parvis why --json` prints.
type told struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Reference string       `json:"reference"`
	Reasons   []toldReason `json:"reasons"`
	Ways      []toldWay    `json:"ways"`

	Open     bool       `json:"open"`
	Until    *time.Time `json:"until"`
	Policies []string   `json:"policies"`
}

type toldReason struct {
	Code  string `json:"code"`
	Title string `json:"title"`
}

type toldWay struct {
	Changes []toldChange `json:"changes"`
	Title   string       `json:"title"`
}

type toldChange struct {
	Kind string     `json:"kind"`
	To   string     `json:"to"`
	By   string     `json:"by"`
	Lead string     `json:"lead"`
	From *time.Time `json:"from"`
}

func (d told) codes() []string {
	var all []string
	for _, r := range d.Reasons {
		all = append(all, r.Code)
	}
	return all
}

// way tells whether one of the ways changes this to that.
func (d told) way(kind, to string) bool {
	return slices.ContainsFunc(d.Ways, func(w toldWay) bool {
		return slices.ContainsFunc(w.Changes, func(c toldChange) bool { return c.Kind == kind && (to == "" || c.To == to) })
	})
}

// program asks for an address as a program does, with the cookies of a visitor.
func program(t *testing.T, v *Visitor, address string) (*Page, told) {
	t.Helper()
	v.Header.Set("Accept", "application/json")
	defer v.Header.Del("Accept")
	p := v.Get(address)
	kind := "application/problem+json" // RFC 9457 §3
	if p.Status == http.StatusOK {     // a refusal that is read again is no problem
		kind = "application/json"
	}
	if got := p.Header.Get("Content-Type"); got != kind {
		t.Fatalf("%s answers a program with %d, %q:\n%s", address, p.Status, got, p.Body)
	}
	var d told
	if err := json.Unmarshal([]byte(p.Body), &d); err != nil {
		t.Fatal(err)
	}
	return p, d
}

// why is what the operator's command says.
func why(t *testing.T, town *Town, args ...string) told {
	t.Helper()
	out, errs, status := Run(t, append([]string{"why", "--json", "--data", town.Data}, args...)...)
	if status != 0 {
		t.Fatalf("parvis why %v: status %d\n%s", args, status, errs)
	}
	var d told
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// officeDay is an hour of a working day to come, in Paris: a Tuesday or a
// Wednesday, on which no public holiday falls but those of a fixed date.
func officeDay(t *testing.T, hour, minute int) time.Time {
	t.Helper()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Now().In(paris).AddDate(0, 0, 1)
	fixed := []string{"01-01", "05-01", "05-08", "07-14", "08-15", "11-01", "11-11", "12-25"}
	for (day.Weekday() != time.Tuesday && day.Weekday() != time.Wednesday) || slices.Contains(fixed, day.Format("01-02")) {
		day = day.AddDate(0, 0, 1)
	}
	return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, paris)
}

func want(t *testing.T, s seen, screen string) {
	t.Helper()
	if s.Screen != screen {
		t.Fatalf("screen %q (%d, %s), not %q:\n%s", s.Screen, s.Status, s.URL, screen, s.Text)
	}
}

// TestSignIn is the first walk: whoever lacks a session is sent to the door
// with a return ticket, answers it, and is where they wanted to go.
func TestSignIn(t *testing.T) {
	t.Parallel()
	town := Open(t)
	camille := town.Person("A100001")
	w := openBrowser(t).window(t, "fr")

	s := w.open(town.App(parvis.Mobile, "paie") + "/?mois=octobre")
	want(t, s, "sign_in_context")
	if portal := town.Portal(parvis.Mobile); !strings.HasPrefix(s.URL, portal+"/signin?return=") {
		t.Fatalf("the door of %s is at %s", portal, s.URL)
	}
	w.shot("signin-1-context")
	want(t, w.send("identifier", camille.Number), "sign_in_secret")

	s = w.send("password", "ce n'est pas le bon")
	want(t, s, "sign_in_secret")
	if !strings.Contains(s.Text, camille.Number) {
		t.Errorf("the identifier is not on the page of its password:\n%s", s.Text)
	}
	w.shot("signin-2-wrong")

	s = w.send("password", camille.Password)
	if s.App != "paie" || !strings.Contains(s.Text, camille.Name) {
		t.Fatalf("the pay slips of %s are not at %s:\n%s", camille.Name, s.URL, s.Text)
	}
	if want := town.App(parvis.Mobile, "paie") + "/?mois=octobre"; s.URL != want {
		t.Errorf("came to %s, wanted %s", s.URL, want)
	}
	w.shot("signin-3-paie")

	// The door does not ask twice, whichever application comes next.
	if s = w.open(town.App(parvis.Mobile, "conges") + "/"); s.App != "conges" {
		t.Fatalf("a second application asks again, at %s (%s)", s.URL, s.Screen)
	}
	want(t, w.open(town.Portal(parvis.Mobile)+"/"), "home")

	// Out is out, at every address.
	want(t, w.press(`form[action="/signout"] button`), "signed_out")
	want(t, w.open(town.App(parvis.Mobile, "paie")+"/"), "sign_in_context")
	want(t, w.open(town.App(parvis.Mobile, "conges")+"/"), "sign_in_context")
}

// TestSignInWithoutScripts walks the same way in a browser that runs no script.
func TestSignInWithoutScripts(t *testing.T) {
	t.Parallel()
	town := Open(t)
	camille := town.Person("A100001")
	w := openBrowser(t).window(t, "en")
	w.scripts(false)
	want(t, w.open(town.Portal(parvis.Internal)+"/signin"), "sign_in_identifier")
	want(t, w.send("identifier", camille.Email), "sign_in_secret")
	s := w.send("password", camille.Password)
	want(t, s, "home")
	if s.Lang != "en" {
		t.Errorf("an English page is in %q", s.Lang)
	}
	w.do(chromedp.Click(chromedp.CSS("details:has(form[action='/theme']) summary")))
	s = w.press(`form[action="/theme"] button[value=dark]`)
	if !strings.Contains(s.Source, `data-theme="dark"`) {
		t.Error("the dark theme was chosen and is not there")
	}
	if s = w.press(`a[href^="` + town.App(parvis.Internal, "paie") + `"]`); s.App != "paie" {
		t.Fatalf("the pay slips do not open, at %s (%s)", s.URL, s.Screen)
	}
}

// TestOpenAnApplication is the second walk: the gateway decides, and opens, or
// says why not, what would open, and under which reference.
func TestOpenAnApplication(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	town.SetClock(officeDay(t, 10, 0))
	camille := town.Person("A100001")
	b := openBrowser(t)

	t.Run("mobile", func(t *testing.T) { openOnMobile(t, town, b, camille) })
	t.Run("second proof", func(t *testing.T) { openWithOneProof(t, town, b, camille) })
	t.Run("office hours", func(t *testing.T) { openInOfficeHours(t, town, b, camille) })
}

func openOnMobile(t *testing.T, town *Town, b *browser, camille Person) {
	w := b.window(t, "fr")
	w.open(town.Portal(parvis.Mobile) + "/signin")
	want(t, w.signIn(camille), "home")
	s := w.press(`a[href^="` + town.App(parvis.Mobile, "paie") + `"]`)
	if s.App != "paie" || !strings.Contains(s.Text, camille.Name) {
		t.Fatalf("the pay slips do not open, at %s:\n%s", s.URL, s.Text)
	}

	finances := town.App(parvis.Mobile, "finances") + "/"
	s = w.open(finances)
	want(t, s, "why_not")
	w.shot("open-1-why-finances-mobile")
	if !s.has("channel_not_allowed") {
		t.Errorf("refused for %v, the entrance is not among them", s.Reasons)
	}
	if _, ok := parvis.ParseReference(s.Reference); !ok || !strings.Contains(s.Text, s.Reference) {
		t.Errorf("the reference %q cannot be read on the page", s.Reference)
	}
	if s.URL != town.Portal(parvis.Mobile)+"/why/"+s.Reference {
		t.Errorf("the refusal is explained at %s", s.URL)
	}

	// A program reads the same reasons and ways, under a reference that opens.
	v := town.Visitor(t)
	v.SignIn(parvis.Mobile, camille)
	if p := v.Get(finances); p.Screen != "why_not" || !slices.Equal(p.Reasons, s.Reasons) {
		t.Fatalf("a visitor is refused for %v, the browser for %v", p.Reasons, s.Reasons)
	}
	p, d := program(t, v, finances)
	if p.Status != http.StatusForbidden || d.Status != p.Status || d.Type != "urn:parvis:reason:"+s.Reasons[0] || d.Title == "" {
		t.Errorf("the answer to a program: %d, %+v", p.Status, d)
	}
	if diff := cmp.Diff(s.Reasons, d.codes()); diff != "" {
		t.Errorf("the page and the program read other reasons (-page +program):\n%s", diff)
	}
	if !d.way("channel", "vpn") && !d.way("channel", "internal") {
		t.Errorf("no way leads to another entrance: %+v", d.Ways)
	}
	for _, r := range d.Reasons {
		if !strings.Contains(s.Text, r.Title) {
			t.Errorf("the page does not say %q:\n%s", r.Title, s.Text)
		}
	}
	for _, way := range d.Ways {
		if !strings.Contains(s.Text, way.Title) {
			t.Errorf("the page does not offer %q:\n%s", way.Title, s.Text)
		}
	}
	if p = v.Get(town.Portal(parvis.Mobile) + "/why/" + d.Reference); p.Screen != "why_not" || p.Reference != d.Reference {
		t.Errorf("the reference %s opens %s", d.Reference, p.Screen)
	}
	_, again := program(t, v, town.Portal(parvis.Mobile)+"/why/"+d.Reference)
	if diff := cmp.Diff([]any{d.Reasons, d.Ways, d.Reference}, []any{again.Reasons, again.Ways, again.Reference}); diff != "" {
		t.Errorf("the reference says something else than the refusal did:\n%s", diff)
	}

	// And so does the operator, for the same moment.
	cli := why(t, town, camille.Number, "finances", "--channel", "mobile", "--lang", "fr")
	if cli.Open || len(cli.Policies) == 0 {
		t.Errorf("parvis why: open %v by %v", cli.Open, cli.Policies)
	}
	if diff := cmp.Diff([]any{d.Reasons, d.Ways}, []any{cli.Reasons, cli.Ways}); diff != "" {
		t.Errorf("parvis why says something else (-gateway +operator):\n%s", diff)
	}
	for _, row := range mapOf(t, town, camille.Number) {
		if row.App == "finances" && row.Channel == "mobile" && (row.Open || !slices.Equal(row.Reasons, d.codes())) {
			t.Errorf("parvis map says %+v", row)
		}
	}

	// Nobody else reads this refusal.
	other := town.Visitor(t)
	other.SignIn(parvis.Mobile, town.Person("A100010"))
	if p = other.Get(town.Portal(parvis.Mobile) + "/why/" + d.Reference); p.Status != http.StatusNotFound {
		t.Errorf("somebody else's refusal: %d, %s", p.Status, p.Screen)
	}
}

type mapRow struct {
	App, Channel string
	Open         bool
	Limited      bool
	Until        *time.Time
	Reasons      []string
}

func mapOf(t *testing.T, town *Town, args ...string) []mapRow {
	t.Helper()
	out, errs, status := Run(t, append([]string{"map", "--json", "--data", town.Data}, args...)...)
	if status != 0 {
		t.Fatalf("parvis map: status %d\n%s", status, errs)
	}
	var rows []mapRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// openWithOneProof: at the office, finance asks for a second proof, says so,
// and says who gives one.
func openWithOneProof(t *testing.T, town *Town, b *browser, camille Person) {
	w := b.window(t, "fr")
	w.open(town.App(parvis.Internal, "finances") + "/")
	s := w.signIn(camille)
	want(t, s, "why_not")
	w.shot("open-2-why-finances-internal")
	if !slices.Equal(s.Reasons, []string{"factor_required"}) && !slices.Equal(s.Reasons, []string{"step_up_required"}) {
		t.Errorf("refused for %v, the second proof alone was expected", s.Reasons)
	}
	v := town.Visitor(t)
	v.SignIn(parvis.Internal, camille)
	v.Get(town.App(parvis.Internal, "finances") + "/")
	_, d := program(t, v, town.App(parvis.Internal, "finances")+"/")
	if !d.way("proof", "") {
		t.Fatalf("no way with a proof: %+v", d.Ways)
	}
	for _, way := range d.Ways {
		if !strings.Contains(s.Text, way.Title) {
			t.Errorf("the page does not offer %q:\n%s", way.Title, s.Text)
		}
	}
	cli := why(t, town, camille.Number, "finances", "--channel", "internal", "--lang", "fr")
	if diff := cmp.Diff([]any{d.Reasons, d.Ways}, []any{cli.Reasons, cli.Ways}); diff != "" {
		t.Errorf("parvis why says something else (-gateway +operator):\n%s", diff)
	}
	with := why(t, town, camille.Number, "finances", "--channel", "internal", "--proof", "password,totp")
	if !with.Open {
		t.Errorf("finance stays closed with the second proof that it asks for: %v", with.codes())
	}
}

// openInOfficeHours: planning opens from 7:00 to 20:00, and what is open at
// 20:00 ends then.
func openInOfficeHours(t *testing.T, town *Town, b *browser, camille Person) {
	w := b.window(t, "fr")
	urbanisme := town.App(parvis.Internal, "urbanisme")
	w.open(urbanisme + "/")
	if s := w.signIn(camille); s.App != "urbanisme" {
		t.Fatalf("planning does not open in office hours: %s (%v)\n%s", s.URL, s.Reasons, s.Text)
	}
	closes := officeDay(t, 20, 0)
	d := why(t, town, camille.Number, "urbanisme", "--channel", "internal")
	if !d.Open || d.Until == nil || !d.Until.Equal(closes) {
		t.Errorf("planning opens: %v, until %v, not %v", d.Open, d.Until, closes)
	}

	// Five minutes before, somebody else begins to follow a stream.
	town.SetClock(closes.Add(-5 * time.Minute))
	v := town.Visitor(t)
	v.SignIn(parvis.Internal, camille)
	v.Get(urbanisme + "/")
	live := openStream(t, v, urbanisme+"/live")
	if line, err := live.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	town.SetClock(closes.Add(time.Second))
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, live)
		ended <- err
	}()
	select {
	case err := <-ended: // an end without an end-of-body is one too: the visitor must not take it for the whole
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the stream ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the stream goes on after office hours")
	}

	w = b.window(t, "fr")
	w.open(urbanisme + "/")
	s := w.signIn(camille)
	want(t, s, "why_not")
	w.shot("open-3-why-urbanisme-evening")
	if !slices.Equal(s.Reasons, []string{"channel_closed"}) {
		t.Errorf("refused for %v after office hours", s.Reasons)
	}
	v.Get(urbanisme + "/")
	_, d = program(t, v, urbanisme+"/")
	opens := time.Time{}
	for _, way := range d.Ways {
		for _, c := range way.Changes {
			if c.Kind == "time" && c.From != nil {
				opens = *c.From
			}
		}
	}
	if opens.In(closes.Location()).Format("15:04") != "07:00" || !opens.After(closes) {
		t.Errorf("the way says to come back at %v", opens)
	}
	if cli := why(t, town, camille.Number, "urbanisme", "--channel", "internal", "--lang", "fr", "--at", closes.Add(-time.Second).Format(time.RFC3339)); !cli.Open {
		t.Errorf("a second before 20:00 planning is closed: %v", cli.codes())
	}
}

// openStream asks for what does not end by itself.
func openStream(t *testing.T, v *Visitor, address string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *v.HTTP
	c.Timeout = 0
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the stream: %s", res.Status)
	}
	return bufio.NewReader(res.Body)
}

// TestActivate is a first day: a number and an address, a message, a link, a
// list of tasks, a password, and the door.
func TestActivate(t *testing.T) {
	t.Parallel()
	town := Open(t)
	sonia := town.Person("A100008")
	w := openBrowser(t).window(t, "fr")
	portal := town.Portal(parvis.Mobile)

	want(t, w.open(portal+"/"), "start")
	want(t, w.press(`a[href="/activate"]`), "activation_code")
	w.fill("agent_number", sonia.Number)
	s := w.send("email", sonia.Email)
	want(t, s, "activation_code")
	w.shot("activate-1-sent")

	letter := town.Letter(sonia.Email, func(l Letter) bool { return len(l.Links) > 0 })
	i := slices.IndexFunc(letter.Links, func(l string) bool { return strings.Contains(l, "/activate") })
	if i < 0 {
		t.Fatalf("no link to activate in %v:\n%s", letter.Links, letter.Text)
	}
	link := letter.Links[i]
	if !strings.HasPrefix(link, portal+"/") {
		t.Errorf("the link leads to %s", link)
	}
	// A mail scanner follows the link, twice: nothing is used up.
	for range 2 {
		if p := town.Visitor(t).Get(link); p.Status != http.StatusOK || p.Screen != "activation_code" {
			t.Fatalf("the link shows %d, %s", p.Status, p.Screen)
		}
	}
	s = w.open(link)
	want(t, s, "activation_code")
	if u, err := url.Parse(s.URL); err != nil || u.RawQuery != "" {
		t.Errorf("the token of the link stays in the address: %s", s.URL)
	}
	w.shot("activate-2-link")
	want(t, w.press(`main form[action="/activate"] button[type=submit]`), "activation_overview")
	w.shot("activate-3-overview")

	s = w.press(`a[href="/activate/identity"]`)
	want(t, s, "activation_check_identity")
	if !strings.Contains(s.Text, sonia.Name) {
		t.Errorf("the identity to check is not that of %s:\n%s", sonia.Name, s.Text)
	}
	want(t, w.press(`main form[action="/activate/identity"] button[type=submit]`), "activation_agent_account")
	s = w.send("new_password", "benali2026")
	want(t, s, "activation_agent_account")
	if s.Status != http.StatusUnprocessableEntity {
		t.Errorf("a poor password is answered with %d", s.Status)
	}
	w.shot("activate-4-poor-password")
	const chosen = "quatre chevaux bleus sous la pluie"
	s = w.send("new_password", chosen)
	want(t, s, "activation_overview") // the second account is still to be tied
	if strings.Contains(s.Source, chosen) {
		t.Error("the list of tasks holds the password")
	}
	w.shot("activate-4b-overview")
	s = w.press(`form[action="/activate/finish"] button[type=submit]`)
	want(t, s, "activation_done")
	w.shot("activate-5-done")
	if !strings.Contains(s.Text, sonia.Number) || strings.Contains(s.Source, chosen) {
		t.Error("the last page names the identifier, and never the password")
	}

	// Once the activation has ended the link has been used.
	late := town.Visitor(t)
	if p := late.Submit(late.Get(link), map[string]string{"link": "1"}); p.Screen != "activation_code" || p.Status == http.StatusOK {
		t.Errorf("a used link opens %s (%d)", p.Screen, p.Status)
	}

	want(t, w.press(`main a[href="/signin"]`), "sign_in_identifier")
	sonia.Password = chosen
	s = w.signIn(sonia)
	want(t, s, "home")
	if !strings.Contains(s.Text, sonia.Name) {
		t.Errorf("home does not greet %s", sonia.Name)
	}
	town.Letter(sonia.Email, func(l Letter) bool { return l.Subject != letter.Subject }) // the notice that a password was chosen
}
