package citytest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parvis"
)

// mailHouse is a city with a real webmail: Roundcube and Dovecot, started by the
// script that a city would use.
type mailHouse struct {
	*Town
	t    *testing.T
	dir  string
	base int // first of the webmail's ports
}

func openMailHouse(t *testing.T) *mailHouse {
	t.Helper()
	// Not t.TempDir, which nobody else may enter: as root, the script runs
	// everything as another user.
	dir, err := os.MkdirTemp("", "parvis-webmail-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := &mailHouse{t: t, dir: dir, base: freePorts(t, 6)}
	m.Town = Open(t, "--webmail", "http://"+m.port(0), "--deliver", m.port(3), "--smtp-port", strconv.Itoa(m.base+5))
	script := func(name string, args ...string) {
		cmd := exec.Command(filepath.Join("..", "..", "deploy", "webmail", name), append([]string{dir}, args...)...)
		// To files: a pipe would be held open by what the script starts.
		out, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = out.Close() }()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			b, _ := os.ReadFile(out.Name()) // for the words of a failure
			t.Fatalf("%s: %v\n%s", name, err, b)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			m.tell()
		}
		script("stop")
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	script("start", "--demo", strconv.Itoa(m.Base), "--smtp", m.port(5), "--base-port", strconv.Itoa(m.base), "--until", strconv.Itoa(os.Getpid()))
	return m
}

func (m *mailHouse) port(n int) string { return "127.0.0.1:" + strconv.Itoa(m.base+n) }

// tell logs what the programs had to say.
func (m *mailHouse) tell() {
	for _, name := range []string{"errors.log", "dovecot.log", "php.log", "nginx.log"} {
		b, err := os.ReadFile(filepath.Join(m.dir, "log", name))
		if err == nil && len(b) > 0 {
			m.t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
		}
	}
}

// until waits for a condition, written in the page's language.
func (w *window) until(condition string) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	for {
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+condition+")"))
		if yes {
			return
		}
		if ctx.Err() != nil {
			w.tb.Fatalf("never: %s (%v), at %s", condition, err, w.trySee())
		}
		time.Sleep(50 * time.Millisecond) // also when a page was just leaving
	}
}

// inbox waits until the window shows a mailbox, and that it is somebody's.
func (m *mailHouse) inbox(w *window, ch parvis.Channel, who Person) {
	m.t.Helper()
	w.until(`window.rcmail && rcmail.env && rcmail.env.task === "mail" && document.querySelector("#messagelist")`)
	whose := strings.TrimSpace(w.string(`document.querySelector(".username").textContent`))
	if s := w.see(); whose != who.Email || !strings.HasPrefix(s.URL, m.App(ch, "messagerie")+"/") {
		m.t.Fatalf("not the inbox of %s but that of %s, at %s:\n%s", who.Email, whose, s.URL, s.Text)
	}
}

// reads finds a message by its subject, opens it as a person does, and waits for
// what it says.
func (m *mailHouse) reads(w *window, subject, says string) {
	m.t.Helper()
	row := fmt.Sprintf(`[...document.querySelectorAll("#messagelist tbody tr")].find((r) => r.innerText.replace(/\s+/g, " ").includes(%q))`, strings.Join(strings.Fields(subject), " "))
	w.until(row + ` || Date.now() > (window.asked || 0) + 1000 && (window.asked = Date.now(), document.querySelector("#mailboxlist li.inbox a").click(), false)`)
	w.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("[id=%q] td.subject a", w.string(row+".id")))))
	w.until(fmt.Sprintf(`document.querySelector("#messagecontframe").contentDocument.body.innerText.includes(%q)`, says))
}

// TestWebmail is the service that every entrance promises first: from the portal
// to one's own mailbox with one sign-in, and out of both with one.
func TestWebmail(t *testing.T) {
	t.Parallel()
	m := openMailHouse(t)
	b := openBrowser(t)
	camille, denis := m.Person("A100001"), m.Person("A100010")

	w := b.window(t, "fr")
	w.open(m.Portal(parvis.Mobile) + "/signin")
	want(t, w.signIn(camille), "home")
	w.press(`a[href^="` + m.App(parvis.Mobile, "messagerie") + `"]`)
	m.inbox(w, parvis.Mobile, camille)
	w.shot("webmail-1-inbox")

	// What the city sends is read there.
	v := m.Visitor(t)
	v.Submit(v.Get(m.Portal(parvis.Mobile)+"/activate"), map[string]string{"agent_number": camille.Number, "email": camille.Email})
	letter := m.Letter(camille.Email, func(Letter) bool { return true })
	m.reads(w, letter.Subject, "Compte concerné")
	w.shot("webmail-2-read")

	// What is written there goes out, and reaches a colleague, who reads it through
	// the other entrance.
	const subject, says = "Budget de la cantine", "Bonjour Denis, le voici."
	to := url.QueryEscape(denis.Email + ", quelqu.un@ailleurs.example")
	w.open(m.App(parvis.Mobile, "messagerie") + "/?_task=mail&_action=compose&_to=" + to)
	w.until(`document.querySelector("#composebody")`)
	w.do(chromedp.SendKeys(chromedp.CSS("input[name=_subject]"), subject), chromedp.SendKeys(chromedp.CSS("#composebody"), says))
	w.shot("webmail-3-write")
	w.do(chromedp.Click(chromedp.CSS("button.send")))
	for _, address := range []string{denis.Email, "quelqu.un@ailleurs.example"} {
		m.Letter(address, func(l Letter) bool { return l.Subject == subject && strings.Contains(l.Text, says) })
	}
	m.inbox(w, parvis.Mobile, camille)
	other := b.window(t, "en")
	other.open(m.App(parvis.Internal, "messagerie") + "/")
	other.signIn(denis)
	m.inbox(other, parvis.Internal, denis)
	m.reads(other, subject, says)
	other.shot("webmail-4-other-entrance")

	m.leave(w, denis)
	m.telephone(b, denis)

	// Out of the webmail is out of the portal too.
	s := other.toPage(chromedp.Navigate(m.App(parvis.Internal, "messagerie") + "/?_task=logout&_token=" + other.string("rcmail.env.request_token")))
	if want(t, s, "sign_out"); !strings.HasPrefix(s.URL, m.Portal(parvis.Internal)) {
		t.Errorf("signing out of the webmail leads to %s", s.URL)
	}
}

// string asks the page for a text.
func (w *window) string(expression string) string {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

// leave signs out at the portal: the mailbox is closed, and whoever comes next to
// the same browser, where Roundcube's cookies still lie, sees their own.
func (m *mailHouse) leave(w *window, denis Person) {
	m.t.Helper()
	want(m.t, w.open(m.Portal(parvis.Mobile)+"/"), "home")
	want(m.t, w.press(`form[action="/signout"] button`), "signed_out")
	want(m.t, w.open(m.App(parvis.Mobile, "messagerie")+"/?_task=mail"), "sign_in_context")
	w.signIn(denis)
	m.inbox(w, parvis.Mobile, denis)
}

// telephone looks at the mailbox on a screen of 320 pixels.
func (m *mailHouse) telephone(b *browser, who Person) {
	m.t.Helper()
	w := b.window(m.t, "fr")
	w.look(320, 1, false)
	w.open(m.App(parvis.Mobile, "messagerie") + "/")
	w.signIn(who)
	m.inbox(w, parvis.Mobile, who)
	w.until(`document.querySelector("#messagelist tbody tr")`)
	w.shot("webmail-5-telephone")
}

// TestWebmailTokens is about the token that opens a mailbox:
//
//  1. an agent's token is shown to the mail server for a colleague's mailbox;
//  2. another application, to which the agent signs in as well, shows the token
//     that it was given for itself;
//  3. the token was taken before the agent signed out, and is shown after;
//  4. somebody guesses a password;
//  5. a colleague has the agent's browser carry the colleague's own code to the
//     webmail, so that the agent writes in a mailbox that is not theirs.
//
// Only the agent's own token, from the webmail, while the session lives, opens.
func TestWebmailTokens(t *testing.T) {
	t.Parallel()
	m := openMailHouse(t)
	camille, denis := m.Person("A100001"), m.Person("A100010")
	v := m.Visitor(t)
	v.SignIn(parvis.Mobile, camille)
	roundcube := client{"messagerie", "demo-messagerie-secret", m.App(parvis.Mobile, "messagerie") + "/index.php/login/oauth", ""}
	own := m.tokenOf(v, roundcube)
	theirs := m.tokenOf(v, client{"demo-confidential", "demo-secret", "http://127.0.0.1:7999/cb", "a-verifier-of-forty-three-signs-and-some-more-0"})

	bearer := func(who Person, token string) string {
		return "AUTHENTICATE XOAUTH2 " + base64.StdEncoding.EncodeToString([]byte("user="+who.Email+"\x01auth=Bearer "+token+"\x01\x01"))
	}
	for _, try := range []struct {
		what, says string
		opens      bool
	}{
		{"one's own token", bearer(camille, own), true},
		{"a colleague's mailbox", bearer(denis, own), false},
		{"another application's token", bearer(camille, theirs), false},
		{"an invented token", bearer(camille, own[:len(own)-4]+"AAAA"), false},
		{"a password", "LOGIN " + camille.Email + " \"" + camille.Password + "\"", false},
	} {
		if got := m.imap(try.says); got != try.opens {
			t.Errorf("%s opens the mailbox: %v", try.what, got)
		}
	}
	// A colleague's own code, on the way through somebody else's browser.
	other := m.Visitor(t)
	other.SignIn(parvis.Mobile, denis)
	q := url.Values{"code": {m.codeOf(other, roundcube)}, "state": {"s"}}
	v.Get(m.App(parvis.Mobile, "messagerie") + "/") // whoever comes without Roundcube's cookie is not let in anyway
	p := v.Get(roundcube.redirect + "?" + q.Encode())
	if p.Status != http.StatusForbidden || strings.Contains(p.Body, denis.Email) {
		t.Errorf("the code of %s: %d %s\n%s", denis.Name, p.Status, p.URL, p.Text())
	}
	if p := v.Get(m.App(parvis.Mobile, "messagerie") + "/"); !strings.Contains(p.Body, camille.Email) || strings.Contains(p.Body, denis.Email) {
		t.Errorf("after it, %s sees:\n%s", camille.Name, p.Text())
	}
	// Nobody who goes around the gateway sees anything.
	req, err := http.NewRequest(http.MethodGet, "http://"+m.port(0)+"/?_task=mail", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = strings.TrimPrefix(m.App(parvis.Mobile, "messagerie"), "http://")
	res, err := Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("around the gateway: %s", res.Status)
	}

	if p := v.Post(m.Portal(parvis.Mobile)+"/signout", url.Values{}); p.Screen != "signed_out" {
		t.Fatalf("signing out led to %s (%s)", p.Screen, p.URL)
	}
	if m.imap(bearer(camille, own)) {
		t.Error("after signing out at the portal the token still opens the mailbox")
	}
}

// TestWebmailIsDeclared imports the applications that deploy/webmail ships into an
// installation that has just begun, and makes the secrets that its script takes.
func TestWebmailIsDeclared(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "parvis.yaml")
	run := func(args ...string) (string, string) {
		t.Helper()
		out, said, status := Run(t, args...)
		if status != 0 {
			t.Fatalf("%v: %d\n%s", args, status, said)
		}
		return out, said
	}
	run("config", "init", file)
	_, said := run("app", "import", filepath.Join("..", "..", "deploy", "webmail", "applications"), "-c", file)
	if !strings.Contains(said, "oidc.no_pkce: warning") {
		t.Errorf("nothing warns that Roundcube sends no PKCE:\n%s", said)
	}
	for _, id := range []string{"messagerie", "messagerie-imap"} {
		out, _ := run("app", "secret", id, "-c", file)
		if secret := strings.TrimSpace(out); !regexp.MustCompile(`^[A-Za-z0-9_-]{32,}$`).MatchString(secret) {
			t.Errorf("the secret of %s is none that the script takes: %d signs", id, len(secret))
		}
	}
}

// client is an OpenID client of the city, as a program that signs somebody in.
type client struct{ id, secret, redirect, verifier string }

// codeOf lets an agent be signed in to a client, and catches the code on its way.
func (m *mailHouse) codeOf(v *Visitor, as client) string {
	m.t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {as.id}, "redirect_uri": {as.redirect}, "scope": {"openid email"}, "state": {"s"}}
	if as.verifier != "" {
		sum := sha256.Sum256([]byte(as.verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	c := *v.HTTP
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	at := m.Portal(parvis.Mobile) + "/authorize?" + q.Encode()
	for range 10 {
		res, err := c.Get(at)
		if err != nil {
			m.t.Fatal(err)
		}
		_ = res.Body.Close()
		to, err := res.Location()
		if err != nil {
			m.t.Fatalf("%s leads nowhere: %s", at, res.Status)
		}
		if at = to.String(); strings.HasPrefix(at, as.redirect+"?") {
			return to.Query().Get("code")
		}
	}
	m.t.Fatalf("it leads round and round, to %s", at)
	return ""
}

// tokenOf redeems a code as the client would.
func (m *mailHouse) tokenOf(v *Visitor, as client) string {
	m.t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {m.codeOf(v, as)}, "redirect_uri": {as.redirect},
		"client_id": {as.id}, "client_secret": {as.secret},
	}
	if as.verifier != "" {
		form.Set("code_verifier", as.verifier)
	}
	res, err := Client().PostForm(m.Portal(parvis.Mobile)+"/token", form)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Token == "" {
		m.t.Fatalf("no token for %s: %s %s", as.id, res.Status, b)
	}
	return answer.Token
}

// imap makes a connection of its own, says one command, and tells whether the
// mailbox opened (RFC 9051 §7.1).
func (m *mailHouse) imap(command string) bool {
	m.t.Helper()
	conn, err := net.Dial("tcp", m.port(1))
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	say := func(line string) {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			m.t.Fatal(err)
		}
	}
	if _, err := in.ReadString('\n'); err != nil { // the greeting
		m.t.Fatal(err)
	}
	say("a " + command)
	for {
		line, err := in.ReadString('\n')
		switch {
		case err != nil:
			m.t.Fatal(err)
		case strings.HasPrefix(line, "+"): // why not, which is acknowledged (RFC 7628 §3.2.3)
			say("")
		case strings.HasPrefix(line, "a "):
			return strings.HasPrefix(line, "a OK")
		}
	}
}
