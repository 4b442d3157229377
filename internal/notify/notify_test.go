package notify

import (
	"bytes"
	"context"
	"mime"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAccepted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		var server post
		server.open(t, nil, false)
		o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
		if !queue(t, s, o, activation(clock)) {
			t.Fatal("not queued")
		}
		waiting := only(t, s, "A100008")
		for _, secret := range []string{theCode, "TOKEN", "Camille"} {
			if bytes.Contains(waiting.Body, []byte(secret)) {
				t.Errorf("%q is readable in the database", secret)
			}
		}
		pass(t, o)
		m := only(t, s, "A100008")
		if m.State != "accepted" || m.Body != nil || m.Attempts != 1 || !strings.Contains(m.Reply, "OK") {
			t.Errorf("after delivery: %+v", m)
		}
		got := server.mails()
		if len(got) != 1 {
			t.Fatalf("%d mails delivered, want 1", len(got))
		}
		read, err := mail.ReadMessage(strings.NewReader(got[0]))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
		if err != nil || subject != "Activez votre accès\u00a0: vos deux comptes en 5 étapes" {
			t.Errorf("subject %q, %v", subject, err)
		}
		from, err := mail.ParseAddress(read.Header.Get("From"))
		if err != nil || from.Address != "parvis@ville.example.org" || from.Name != "Portail des agents, Ville" {
			t.Errorf("from %v, %v", from, err)
		}
		if id := read.Header.Get("Message-Id"); id != "<"+m.ID+"@ville.example.org>" {
			t.Errorf("Message-ID %q does not name the message", id)
		}
		if date, err := read.Header.Date(); err != nil || !date.Equal(clock.Now().Truncate(time.Second)) {
			t.Errorf("date %v, %v", date, err)
		}
		if read.Header.Get("Auto-Submitted") != "auto-generated" || !strings.HasPrefix(read.Header.Get("Content-Type"), "multipart/alternative") {
			t.Errorf("headers: %v", read.Header)
		}
		want := []string{"message.queued", "message.tried", "message.accepted"}
		if all := kinds(t, s); !slices.Equal(all, want) {
			t.Errorf("events %q, want %q", all, want)
		}
		pass(t, o)
		if n := len(server.mails()); n != 1 {
			t.Errorf("delivered %d times", n)
		}
	})
}

func TestDeferredThenAccepted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		busy := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
		server := post{answers: []error{busy, busy}}
		server.open(t, nil, false)
		o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
		queue(t, s, o, activation(clock))
		for i, wait := range []time.Duration{time.Minute, 5 * time.Minute} {
			pass(t, o)
			m := only(t, s, "A100008")
			if m.State != "deferred" || m.Attempts != i+1 || !m.Due.Equal(clock.Now().UTC().Add(wait)) || !strings.Contains(m.Reply, "451") {
				t.Fatalf("try %d: %+v", i+1, m)
			}
			clock.Move(wait - time.Second)
			pass(t, o)
			if again := only(t, s, "A100008"); again.Attempts != i+1 {
				t.Fatalf("tried again a second too early")
			}
			clock.Move(time.Second)
		}
		pass(t, o)
		if m := only(t, s, "A100008"); m.State != "accepted" || m.Attempts != 3 || m.Body != nil {
			t.Errorf("at last: %+v", m)
		}
		if n := len(server.mails()); n != 1 {
			t.Errorf("delivered %d times", n)
		}
	})
}

func TestRefused(t *testing.T) {
	server := post{rcpt: &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such box"}}
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
	queue(t, s, o, activation(clock))
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "refused" || m.Body != nil || !strings.Contains(m.Reply, "550") {
		t.Errorf("after a 550: %+v", m)
	}
	clock.Move(48 * time.Hour)
	pass(t, o)
	if m := only(t, s, "A100008"); m.Attempts != 1 {
		t.Error("tried again after a 550")
	}
	if !slices.Contains(kinds(t, s), "message.refused") {
		t.Error("the refusal is not recorded")
	}
}

func TestExpiredCodeIsNotSent(t *testing.T) {
	var server post
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
	queue(t, s, o, activation(clock))
	clock.Move(24 * time.Hour)
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "expired" || m.Body != nil || len(server.mails()) != 0 {
		t.Errorf("a code that is no longer good: %+v, %d sent", m, len(server.mails()))
	}
}

// A server that takes everything and answers nothing holds up one try, no more.
func TestHang(t *testing.T) {
	server := post{hang: true}
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain, Timeout: 100 * time.Millisecond})
	queue(t, s, o, activation(clock))
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "deferred" || m.Body == nil {
		t.Errorf("after silence: %+v", m)
	}
}

// Run ends at once with its context, whatever the server is doing, and what was
// on its way is due at the next start.
func TestRunEnds(t *testing.T) {
	server := post{hang: true}
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	queue(t, s, o, activation(clock))
	for only(t, s, "A100008").Attempts == 0 { // the commit wakes it
		time.Sleep(5 * time.Millisecond)
	}
	for {
		server.mu.Lock()
		n := len(server.rcpts)
		server.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if m := only(t, s, "A100008"); m.State != "deferred" || m.Due.After(clock.Now()) || m.Body == nil {
		t.Errorf("after the end: %+v", m)
	}
}

func TestRunDeliversWhatIsCommitted(t *testing.T) {
	var server post
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	for i := range 40 {
		m := activation(clock)
		m.Agent = parvis.AgentNumber("B" + string(rune('A'+i%26)) + string(rune('A'+i/26)))
		queue(t, s, o, m)
	}
	for len(server.mails()) < 40 {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTransports(t *testing.T) {
	pair, authority := certificate(t)
	tests := []struct {
		name      string
		transport Transport
		offered   bool // TLS at the server
		implicit  bool
		authority string
		password  string
		want      string
	}{
		{"required and absent", TransportStartTLS, false, false, "", "", "deferred"},
		{"required and present", TransportStartTLS, true, false, authority, "", "accepted"},
		{"required, unknown authority", TransportStartTLS, true, false, "", "", "deferred"},
		{"opportunistic and absent", TransportOpportunistic, false, false, "", "", "accepted"},
		{"opportunistic and present", TransportOpportunistic, true, false, authority, "", "accepted"},
		{"from the first byte", TransportImplicit, true, true, authority, "", "accepted"},
		{"from the first byte, with a password", TransportImplicit, true, true, authority, "right", "accepted"},
		{"with a password", TransportStartTLS, true, false, authority, "right", "accepted"},
		{"with a wrong password", TransportStartTLS, true, false, authority, "wrong", "deferred"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := post{password: "right"}
			if test.offered {
				server.open(t, &pair, test.implicit)
			} else {
				server.open(t, nil, false)
			}
			clock := new(storetest.Clock)
			s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
			conf := SMTP{Host: server.host, Port: server.port, Transport: test.transport, Authority: test.authority}
			if test.password != "" {
				conf.User, conf.Password = "parvis", seal.Secret(test.password)
			}
			o := outbox(t, s, clock, conf)
			queue(t, s, o, activation(clock))
			pass(t, o)
			m := only(t, s, "A100008")
			if m.State != test.want || (len(server.mails()) == 1) != (test.want == "accepted") {
				t.Errorf("%s (%s), %d delivered, want %s", m.State, m.Reply, len(server.mails()), test.want)
			}
			if strings.Contains(m.Reply, "right") {
				t.Errorf("the reply shows the password: %s", m.Reply)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for _, bad := range []SMTP{
		{Host: "mx.example.org", Port: 25, Transport: TransportPlain},
		{Host: "10.0.0.1", Port: 25, Transport: TransportPlain},
		{Host: "mx.example.org", Port: 0},
		{Port: 25},
		{Host: "mx.example.org", Port: 25, Transport: "ssl"},
		{Host: "mx.example.org", Port: 25, Authority: "/nowhere/ca.pem"},
	} {
		if _, err := bad.check(); err == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
	for _, from := range []string{"", "nobody", "A <a@b.example>", "a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example"} {
		if _, ok := plain(from); ok {
			t.Errorf("address %q accepted", from)
		}
	}
}

func TestLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		o := outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain})
		send := func(n int, apart time.Duration) (sent int) {
			for range n {
				m := activation(clock)
				m.To = append(m.To, "camille@perso.example.org") // copies count once
				if queue(t, s, o, m) {
					sent++
				}
				clock.Move(apart)
			}
			return sent
		}
		if got := send(6, time.Minute); got != 3 {
			t.Errorf("%d activation mails in a quarter of an hour, want 3", got)
		}
		if got := send(20, 20*time.Minute); got != 7 {
			t.Errorf("%d more in the day, want 7", got)
		}
		cause := Message{Agent: "A1", To: []string{"a@b.example"}, Template: "mail_blocked_cause", Cause: parvis.WhyAccountSuspended}
		if !queue(t, s, o, cause) || queue(t, s, o, cause) {
			t.Error("the cause is told once")
		}
		clock.Move(time.Hour)
		if !queue(t, s, o, cause) {
			t.Error("and again an hour later")
		}
	})
}

func TestSweep(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		o := outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain})
		queue(t, s, o, activation(clock))
		if err := o.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if only(t, s, "A100008").Body == nil {
			t.Fatal("a message that can still be sent was erased")
		}
		clock.Move(25 * time.Hour)
		if err := o.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := only(t, s, "A100008"); m.Body != nil || m.State != "expired" {
			t.Fatalf("after its day: %+v", m)
		}
		clock.Move(366 * 24 * time.Hour)
		if err := o.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all, err := s.Messages(t.Context(), "A100008", 10); err != nil || len(all) != 0 {
			t.Errorf("after a year: %v, %v", all, err)
		}
	})
}

func TestUnknownTemplateStopsTheAct(t *testing.T) {
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain})
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		_, err := o.Queue(t.Context(), tx, Message{Agent: "A1", To: []string{"a@b.example"}, Template: "mail_nothing"})
		return err
	})
	if parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("error %v", err)
	}
}

// Nothing that a name or another value holds can add a header, a recipient, a
// line of text or a piece of markup.
func TestInjection(t *testing.T) {
	var server post
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
	evil := "x\r\nBcc: thief@evil.example\r\n\r\n<script>alert(1)</script>\u2028.\r\nMAIL FROM:<a@b>"
	m := Message{
		Agent: "A1", To: []string{"a@ville.example.org", "b@ville.example.org\r\nBcc: thief@evil.example", "Evil <c@d.example>"},
		Template: "mail_new_device", Lang: text.English, Args: text.Args{"name": evil, "device": evil, "date_time": clock.Now()},
	}
	queue(t, s, o, m)
	pass(t, o)
	got := server.mails()
	if len(got) != 1 || !slices.Equal(server.rcpts, []string{"a@ville.example.org"}) {
		t.Fatalf("delivered %d to %q", len(got), server.rcpts)
	}
	head, _, _ := strings.Cut(got[0], "\r\n\r\n")
	if strings.Contains(strings.ToLower(head), "bcc") || strings.Contains(head, "evil") {
		t.Errorf("injected:\n%s", got[0])
	}
	if l, err := o.render(m, clock.Now()); err != nil || strings.Contains(l.Text, "\nBcc") || strings.Contains(l.HTML, "<script") {
		t.Errorf("rendered %v:\n%s\n%s", err, l.Text, l.HTML)
	}
}

// Every mail of the catalogue that the door and the desk send is whole in both
// languages.
func TestEveryMail(t *testing.T) {
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain})
	at := clock.Now()
	for template, m := range map[string]Message{
		"mail_activation":    {Link: theLink, Code: theCode, Args: text.Args{"date_time": at, "agent_number": "A1"}},
		"mail_locked":        {Args: text.Args{"time": at.Add(time.Hour), "when": at}},
		"mail_reset_done":    {Args: text.Args{"date_time": at}},
		"mail_new_device":    {Args: text.Args{"date_time": at, "device": "Firefox, Linux"}},
		"mail_blocked_cause": {Cause: parvis.WhyAgentAccountNotActivated, Args: text.Args{"date_time": at, "ref": "K7QP-3M9T"}},
	} {
		for _, lang := range []text.Lang{text.French, text.English} {
			m.Template, m.Lang = template, lang
			m.Args["name"] = "Camille"
			l, err := o.render(m, at)
			if err != nil {
				t.Errorf("%s: %v", template, err)
				continue
			}
			for _, part := range []string{l.Subject, l.Text, l.HTML} {
				if part == "" || strings.Contains(part, "⟦") || strings.Contains(part, "<no value>") {
					t.Errorf("%s in %s:\n%s", template, lang, part)
				}
			}
			if m.Link != "" && (!strings.Contains(l.Text, theLink) || !strings.Contains(l.HTML, `href="`+theLink+`"`) || !strings.Contains(l.Text, theCode)) {
				t.Errorf("%s lacks its link or code:\n%s\n%s", template, l.Text, l.HTML)
			}
			if !strings.Contains(l.HTML, `<html lang="`+string(lang)+`">`) {
				t.Errorf("%s does not say its language", template)
			}
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("Camille", "Firefox")
	f.Add("a\r\nBcc: b", "</p><script>")
	words, err := text.Load()
	if err != nil {
		f.Fatal(err)
	}
	o := &Outbox{words: words, zone: time.UTC}
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	plain, err := o.render(Message{Template: "mail_new_device", Args: text.Args{"name": "x", "device": "x", "date_time": at}}, at)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, device string) {
		if strings.TrimSpace(oneLine(name)) == "" || strings.TrimSpace(oneLine(device)) == "" {
			return
		}
		l, err := o.render(Message{Template: "mail_new_device", Args: text.Args{"name": name, "device": device, "date_time": at}}, at)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(l.Subject, "\r\n") || strings.Count(l.Text, "\n") != strings.Count(plain.Text, "\n") {
			t.Errorf("lines were added:\n%s", l.Text)
		}
		if strings.Count(l.HTML, "<") != strings.Count(plain.HTML, "<") {
			t.Errorf("markup was added:\n%s", l.HTML)
		}
	})
}
