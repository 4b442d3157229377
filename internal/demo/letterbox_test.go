package demo

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

func post(box *Letterbox, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/sms", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	box.Handler().ServeHTTP(w, r)
	return w
}

func TestTextMessages(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	box := &Letterbox{Clock: func() time.Time { return at }}
	const text = "204816 est votre code Ville. Ne le donnez à personne.\n@agents.localhost #204816"
	body, err := json.Marshal(map[string]string{"to": "+33600000042", "text": text, "id": "x1"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same message twice is one
		w := post(box, "application/json", string(body))
		var answer struct{ Status, ID string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Status != "accepted" || answer.ID != "1" {
			t.Fatalf("%d %q, %v", w.Code, w.Body, err)
		}
	}
	for _, to := range []string{"%2B33600000042", "+33600000042"} {
		w := httptest.NewRecorder()
		box.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/messages?to="+to, nil))
		var got []Letter
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := []Letter{{ID: "1", Kind: "sms", To: "+33600000042", Text: text, Links: []string{}, Codes: []string{"204816"}, At: at}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("texts to %s (-want +got):\n%s", to, d)
		}
	}
	w := httptest.NewRecorder()
	box.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if page := w.Body.String(); !strings.Contains(page, "SMS to &#43;33600000042") || !strings.Contains(page, "@agents.localhost #204816") {
		t.Errorf("the page lacks the text:\n%s", page)
	}
}

func TestTextMessagesThatAreNone(t *testing.T) {
	box := &Letterbox{Clock: time.Now}
	for _, c := range []struct {
		kind, body string
		want       int
	}{
		{"application/x-www-form-urlencoded", `{"to":"+33600000042","text":"a"}`, http.StatusUnsupportedMediaType},
		{"", `{"to":"+33600000042","text":"a"}`, http.StatusUnsupportedMediaType},
		{"application/json", `{"to":"+336000`, http.StatusBadRequest},
		{"application/json", `{"to":"+33600000042","text":"` + strings.Repeat("a", 20<<10) + `"}`, http.StatusBadRequest},
		{"application/json", `{"to":"0600000042","text":"a"}`, http.StatusUnprocessableEntity},
		{"application/json", `{"to":"+33600000042","text":""}`, http.StatusUnprocessableEntity},
	} {
		if w := post(box, c.kind, c.body); w.Code != c.want {
			t.Errorf("%s %.40s: %d, want %d", c.kind, c.body, w.Code, c.want)
		}
	}
	if n := len(box.For("")); n != 0 {
		t.Errorf("%d messages kept", n)
	}
}

// office is a mail server that keeps, or refuses, what it receives.
type office struct {
	mu       sync.Mutex
	got      []envelope
	refusals int
}

func (o *office) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return &officeDesk{office: o}, nil }

type officeDesk struct {
	office *office
	e      envelope
}

func (d *officeDesk) Mail(from string, _ *gosmtp.MailOptions) error { d.e.from = from; return nil }
func (d *officeDesk) Rcpt(to string, _ *gosmtp.RcptOptions) error   { d.e.to = to; return nil }
func (d *officeDesk) Reset()                                        {}
func (d *officeDesk) Logout() error                                 { return nil }

func (d *officeDesk) Data(r io.Reader) error {
	message, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d.office.mu.Lock()
	defer d.office.mu.Unlock()
	if d.office.refusals > 0 {
		d.office.refusals--
		return &gosmtp.SMTPError{Code: 451, Message: "later"}
	}
	d.e.message = message
	d.office.got = append(d.office.got, d.e)
	return nil
}

func (d *officeDesk) LMTPData(r io.Reader, status gosmtp.StatusCollector) error {
	status.SetStatus(d.e.to, d.Data(r))
	return nil
}

// TestLettersGoOn hands letters to a real mail server, by LMTP and by SMTP, and
// only those of its domain; it refuses the first once.
func TestLettersGoOn(t *testing.T) {
	for _, kind := range []string{"", "smtp:"} {
		o := &office{refusals: 1}
		s := gosmtp.NewServer(o)
		s.LMTP = kind == ""
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = s.Serve(l) }()
		box := &Letterbox{Clock: time.Now, Deliver: kind + l.Addr().String()}
		in, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- box.ServeSMTP(ctx, in) }()
		to := []string{"a@Example.org", "b@perso.example.org"}
		if err := smtp.SendMail(in.Addr().String(), nil, "acces@example.org", to, []byte(letter)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			o.mu.Lock()
			n := len(o.got)
			o.mu.Unlock()
			if n > 0 {
				break
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = s.Close()
		if len(o.got) != 1 || o.got[0].to != "a@Example.org" || o.got[0].from != "acces@example.org" || string(o.got[0].message) != letter {
			t.Errorf("%q delivered %+v", kind, o.got)
		}
		if n := len(box.For("")); n != 2 {
			t.Errorf("%d letters in the box", n)
		}
	}
}

// TestLettersNeverWait fills the queue of a mail server that is not there.
func TestLettersNeverWait(t *testing.T) {
	var says strings.Builder
	box := &Letterbox{Clock: time.Now, Deliver: "127.0.0.1:1", Log: slog.New(slog.NewTextHandler(&says, nil))}
	for range waiting + 1 {
		d := &delivery{box: box, to: []string{"a@example.org"}}
		if err := d.Data(strings.NewReader(letter)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(box.For("a@example.org")); n != waiting+1 || strings.Count(says.String(), "too many are waiting") != 1 {
		t.Errorf("%d letters; %s", n, says.String())
	}
}
