package notify

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

// fake is a provider that answers as it is told to.
type fake struct {
	mu     sync.Mutex
	errs   []error // one after the other; then yes
	during func()  // while it is asked
	got    []SMS
}

func (f *fake) Send(ctx context.Context, m SMS) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, m)
	if f.during != nil {
		f.during()
	}
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return "", err
	}
	return "r" + m.ID, ctx.Err()
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

var (
	down   = failure(parvis.CodeUnavailable, errors.New("down"))
	later  = failure(parvis.CodeLimited, errors.New("later"))
	never  = failure(parvis.CodeRefused, errors.New("never"))
	errOdd = errors.New("odd")
)

const phone = "+33600000042"

func code(clock *storetest.Clock) Message {
	return Message{
		Agent: "A100008", Phone: phone, Lang: text.French, Template: "sms_code", Code: "204816", Until: clock.Now().Add(5 * time.Minute),
		Args: text.Args{"purpose": "prove", "host": "agents.example.org:8443"},
	}
}

func town(t *testing.T, senders ...Sender) (*store.Store, *storetest.Clock, *Outbox) {
	t.Helper()
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	return s, clock, with(t, outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain}), senders...)
}

func with(t *testing.T, o *Outbox, senders ...Sender) *Outbox {
	t.Helper()
	if err := o.employ(senders); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.dismiss(t.Context()) })
	return o
}

func TestTextMessageAccepted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		f := new(fake)
		o := with(t, outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain}), f)
		if !queue(t, s, o, code(clock)) {
			t.Fatal("not queued")
		}
		waiting := only(t, s, "A100008")
		for _, secret := range []string{"204816", "600000042"} {
			if bytes.Contains(waiting.Body, []byte(secret)) || strings.Contains(waiting.To, secret) || bytes.Contains(waiting.Target, []byte(secret)) {
				t.Errorf("%q is readable in the database", secret)
			}
		}
		if waiting.Kind != "sms" || waiting.To != "•••42" {
			t.Errorf("waiting: %+v", waiting)
		}
		clock.Move(time.Minute)
		pass(t, o)
		m := only(t, s, "A100008")
		if m.State != "accepted" || m.Body != nil || m.Attempts != 1 || m.Reply != "provider 1: r"+m.ID {
			t.Errorf("after delivery: %+v", m)
		}
		pass(t, o)
		if len(f.got) != 1 {
			t.Fatalf("sent %d times", len(f.got))
		}
		want := SMS{
			ID: m.ID, To: phone, Good: 4 * time.Minute,
			Text: "204816 est votre code Ville d'Exemple pour vérifier que c'est vous, valable 5 minutes. Ne le donnez à personne.\n@agents.example.org #204816",
		}
		if f.got[0] != want {
			t.Errorf("sent %+v", f.got[0])
		}
		if all := kinds(t, s); !slices.Equal(all, []string{"message.queued", "message.tried", "message.accepted"}) {
			t.Errorf("events %q", all)
		}
		if err := s.EachEvent(t.Context(), 0, func(e parvis.Event) error {
			if e.Detail["kind"] != "sms" {
				t.Errorf("%s does not say its kind: %v", e.Kind, e.Detail)
			}
			for _, v := range e.Detail {
				if strings.Contains(v, "204816") || strings.Contains(v, "600000042") {
					t.Errorf("%s tells: %v", e.Kind, e.Detail)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// The last line is for telephones: exactly "@host #code", in one part.
func TestLastLine(t *testing.T) {
	_, clock, o := town(t, new(fake))
	for _, lang := range []text.Lang{text.French, text.English} {
		for _, purpose := range []string{"", "prove", "enrol"} {
			for host, want := range map[string]string{
				"https://Agents.Ville.example.org:8080/x": "agents.ville.example.org", "agents.localhost": "agents.localhost", "": "agents.example.org",
			} {
				m := code(clock)
				m.Lang, m.Args = lang, text.Args{"host": host, "purpose": purpose}
				l, err := o.render(m, clock.Now())
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(l.Text, "\n")
				if lines[len(lines)-1] != "@"+want+" #204816" || len(lines) != 2 || strings.Contains(l.Text, "⟦") || !strings.HasPrefix(l.Text, "204816 ") {
					t.Errorf("%s, %q: %q", lang, host, l.Text)
				}
				if coding, parts := split(l.Text, 0, false); coding != codingGSM || len(parts) != 1 {
					t.Errorf("%d parts in coding %d: %q", len(parts), coding, l.Text)
				}
			}
		}
	}
	for _, host := range []string{"ville.example.org #999999", "évil", "a\nb", "://", "a b"} {
		m := code(clock)
		m.Args = text.Args{"host": host}
		if l, err := o.render(m, clock.Now()); parvis.CodeOf(err) != parvis.CodeInvalid {
			t.Errorf("host %q: %v, %q", host, err, l.Text)
		}
	}
	m := code(clock)
	m.Code = "20 48"
	if _, err := o.render(m, clock.Now()); parvis.CodeOf(err) != parvis.CodeInvalid {
		t.Errorf("a code with a blank: %v", err)
	}
}

func TestFailover(t *testing.T) {
	first, second := &fake{errs: []error{down}}, new(fake)
	s, clock, o := town(t, first, second)
	send := func() store.Message {
		t.Helper()
		if !queue(t, s, o, code(clock)) {
			t.Fatal("not queued")
		}
		pass(t, o)
		all, err := s.Messages(t.Context(), "A100008", 1)
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	if m := send(); m.State != "accepted" || !strings.HasPrefix(m.Reply, "provider 2: ") || first.asked() != 1 || second.asked() != 1 {
		t.Fatalf("first: %+v", m)
	}
	if first.got[0] != second.got[0] {
		t.Error("the second provider gets another message than the first")
	}
	clock.Move(59 * time.Second)
	if m := send(); m.State != "accepted" || first.asked() != 1 {
		t.Errorf("the first is asked while it rests: %+v", m)
	}
	clock.Move(time.Second)
	if m := send(); m.State != "accepted" || first.asked() != 2 || second.asked() != 2 {
		t.Errorf("the first is not asked again: %+v", m)
	}
	clock.Move(time.Hour)
	first.errs = []error{later} // of this message, not of the provider
	send()
	if send(); first.asked() != 4 || second.asked() != 3 {
		t.Errorf("asked %d and %d times", first.asked(), second.asked())
	}
	clock.Move(time.Hour)
	first.errs = []error{never}
	if m := send(); m.State != "refused" || m.Body != nil || second.asked() != 3 {
		t.Errorf("refused: %+v", m)
	}
}

// When every provider rests, messages wait for the first to come back, and none
// is asked meanwhile.
func TestAllRest(t *testing.T) {
	first, second := &fake{errs: []error{errOdd}}, &fake{errs: []error{down}}
	s, clock, o := town(t, first, second)
	queue(t, s, o, code(clock))
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "deferred" || m.Body == nil || !m.Due.Equal(clock.Now().UTC().Add(5*time.Second)) {
		t.Fatalf("after two failures: %+v", m)
	}
	clock.Move(5 * time.Second)
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "deferred" || !m.Due.Equal(clock.Now().UTC().Add(55*time.Second)) || first.asked()+second.asked() != 2 {
		t.Fatalf("while they rest: %+v", m)
	}
	clock.Move(55 * time.Second)
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "accepted" || m.Attempts != 3 {
		t.Errorf("at last: %+v", m)
	}
}

func TestThrottledThenAccepted(t *testing.T) {
	f := &fake{errs: []error{later, later}}
	s, clock, o := town(t, f)
	queue(t, s, o, code(clock))
	for _, wait := range []time.Duration{5 * time.Second, 15 * time.Second} {
		pass(t, o)
		if m := only(t, s, "A100008"); m.State != "deferred" || !m.Due.Equal(clock.Now().UTC().Add(wait)) {
			t.Fatalf("throttled: %+v", m)
		}
		clock.Move(wait)
	}
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "accepted" || f.got[0].ID != f.got[2].ID {
		t.Errorf("at last: %+v", m)
	}
}

func TestNoCodeTooLate(t *testing.T) {
	first, second := &fake{errs: []error{down}}, new(fake)
	s, clock, o := town(t, first, second)
	queue(t, s, o, code(clock))
	clock.Move(5 * time.Minute)
	pass(t, o)
	if m := only(t, s, "A100008"); m.State != "expired" || m.Body != nil || first.asked() != 0 {
		t.Errorf("a code that is no longer good: %+v", m)
	}
	// The first provider takes its time, and fails.
	first.during = func() { clock.Move(5 * time.Minute) }
	m := code(clock)
	m.Agent = "A100009"
	queue(t, s, o, m)
	pass(t, o)
	if m := only(t, s, "A100009"); m.State != "expired" || m.Body != nil || first.asked() != 1 || second.asked() != 0 {
		t.Errorf("a code that grew old on its way: %+v", m)
	}
}

func TestLimitsByAddress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		o := with(t, outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain}), new(fake))
		count := func(n int, apart time.Duration, next func(i int) Message) (sent int) {
			for i := range n {
				if queue(t, s, o, next(i)) {
					sent++
				}
				clock.Move(apart)
			}
			return sent
		}
		// One telephone, whoever asks.
		numbers := []parvis.AgentNumber{"A1", "A2", "A3", "A4", "A5", "A6"}
		text := func(i int) Message {
			m := code(clock)
			m.Agent = numbers[i%len(numbers)]
			return m
		}
		if got := count(6, time.Second, text); got != 3 {
			t.Errorf("%d codes to a number in a quarter of an hour, want 3", got)
		}
		if got := count(20, 20*time.Minute, text); got != 7 {
			t.Errorf("%d more in the day, want 7", got)
		}
		// Somebody who is no agent.
		stranger := func(to string) func(int) Message {
			return func(int) Message {
				return Message{To: []string{to}, Template: "mail_reset_done", Args: map[string]any{"date_time": clock.Now()}}
			}
		}
		if got := count(5, time.Second, stranger("Citizen@perso.example.org")); got != 3 {
			t.Errorf("%d mails to an address, want 3", got)
		}
		if got := count(1, time.Second, stranger("citizen@perso.example.org")); got != 0 {
			t.Error("another case is another address")
		}
		if got := count(1, time.Second, stranger("other@perso.example.org")); got != 1 {
			t.Error("the address of somebody else is counted")
		}
		all, err := s.Messages(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if strings.Contains(strings.ToLower(m.To), "citizen") {
				t.Errorf("the address stays readable: %q", m.To)
			}
		}
	})
}

// A mail to somebody who is no agent arrives, under the name of who speaks.
func TestMailToAStranger(t *testing.T) {
	var server post
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	o := outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain})
	queue(t, s, o, Message{To: []string{"citizen@perso.example.org"}, From: "Mon Compte\r\nBcc: x@y.example", Template: "mail_reset_done", Args: text.Args{"date_time": clock.Now()}})
	if m := only(t, s, ""); m.To != "c•••@perso.example.org" || bytes.Contains(m.Body, []byte("citizen")) {
		t.Errorf("waiting: %+v", m)
	}
	pass(t, o)
	got := server.mails()
	if len(got) != 1 || !slices.Equal(server.rcpts, []string{"citizen@perso.example.org"}) || !strings.Contains(got[0], "\"Mon Compte Bcc: x@y.example\" <parvis@ville.example.org>") {
		t.Errorf("to %q: %.300s", server.rcpts, got)
	}
}

func TestWhatIsNoTextMessage(t *testing.T) {
	s, clock, o := town(t, new(fake))
	for _, number := range []string{"0600000042", "+0600000042", "+33", "+336000000421234567", "+33 600000042", "+33600000042\n", "tel:+33600000042"} {
		m := code(clock)
		m.Phone = number
		if queue(t, s, o, m) {
			t.Errorf("%q is written to", number)
		}
	}
	fails := func(o *Outbox, m Message, want parvis.Code) {
		t.Helper()
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			_, err := o.Queue(t.Context(), tx, m)
			return err
		})
		if parvis.CodeOf(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	m := code(clock)
	m.Template = "mail_activation"
	fails(o, m, parvis.CodeInvalid)
	none := outbox(t, s, clock, SMTP{Host: "127.0.0.1", Port: 1, Transport: TransportPlain})
	fails(none, code(clock), parvis.CodeUnavailable)
	for _, bad := range [][]Sender{{nil}, {&SMPP{}}, {&HTTPGateway{}}} {
		if err := none.employ(bad); err == nil {
			t.Errorf("%v is employed", bad)
		}
	}
}

// A mail server that hangs holds up no code.
func TestKindsDoNotWaitForEachOther(t *testing.T) {
	server := post{hang: true}
	server.open(t, nil, false)
	clock := new(storetest.Clock)
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), clock)
	f := new(fake)
	o := with(t, outbox(t, s, clock, SMTP{Host: server.host, Port: server.port, Transport: TransportPlain, Timeout: time.Hour}), f)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	queue(t, s, o, activation(clock))
	for !slices.Contains(kinds(t, s), "message.tried") {
		time.Sleep(5 * time.Millisecond)
	}
	m := code(clock)
	m.Agent = "A100009"
	queue(t, s, o, m)
	for only(t, s, "A100009").State != "accepted" {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// With real providers: the first throttles, the second takes it, and what it
// says later is noted beside the message.
func TestTwoProviders(t *testing.T) {
	busy, good := provider(t, nil), provider(t, nil)
	busy.statuses = []uint32{0x58}
	good.set(func() { good.before = delivered(77, "id-1", "DELIVRD") }) // even before the answer
	line := func(s *smsc) *SMPP {
		return &SMPP{Host: s.host, Port: s.port, Transport: TransportPlain, System: "parvis", Timeout: 5 * time.Second}
	}
	s, clock, o := town(t, line(busy), line(good))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	queue(t, s, o, code(clock))
	for only(t, s, "A100008").State != "accepted" {
		time.Sleep(5 * time.Millisecond)
	}
	name := o.routes[1].name
	if !o.write(ctx, note{receipt: name + "/id-1", said: "UNKNOWN"}) {
		t.Error("what is known is not found")
	}
	if o.write(ctx, note{receipt: name + "/id-2", said: "DELIVRD"}) || o.write(ctx, note{said: "DELIVRD"}) {
		t.Error("what is not known is written")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if m := only(t, s, "A100008"); !strings.HasPrefix(m.Reply, name+": id-1; ") || m.State != "accepted" || m.Body != nil {
		t.Errorf("in the end: %+v", m)
	}
	if !slices.Contains(kinds(t, s), "message.noted") {
		t.Error("the note is not recorded")
	}
	for _, server := range []*smsc{busy, good} {
		if _, _, others := server.seen(); !slices.Contains(others, 0x6) {
			t.Errorf("no goodbye: %x", others)
		}
	}
}

// A receipt that comes before its message is settled is tried again, not for ever.
func TestEarlyReceipts(t *testing.T) {
	s, clock, o := town(t, new(fake))
	queue(t, s, o, code(clock))
	early := o.again(t.Context(), []note{{receipt: "provider 1/r" + only(t, s, "A100008").ID, said: "DELIVRD 000"}, {receipt: "x/y", said: "DELIVRD"}})
	if len(early) != 2 {
		t.Fatalf("%d are kept, want 2", len(early))
	}
	pass(t, o)
	if early = o.again(t.Context(), early); len(early) != 1 {
		t.Fatalf("%d are kept, want 1", len(early))
	}
	if m := only(t, s, "A100008"); !strings.HasSuffix(m.Reply, "; DELIVRD 000") {
		t.Errorf("reply %q", m.Reply)
	}
	for range noteTries {
		early = o.again(t.Context(), early)
	}
	if len(early) != 0 {
		t.Error("a receipt of nothing is kept for ever")
	}
	for range mostNotes + 10 {
		o.note("x/y", "DELIVRD") // does not wait
	}
}

func TestFactorMails(t *testing.T) {
	_, clock, o := town(t, new(fake))
	at := clock.Now()
	for template, args := range map[string]text.Args{
		"mail_factor_added":      {"factor": parvis.Passkey, "factor_name": "iPhone", "channel_label": parvis.Mobile},
		"mail_factor_removed":    {"factor": parvis.TOTP, "n": 0},
		"mail_phone_changed":     {"destination_masked": "•••42", "old_masked": "•••17"},
		"mail_verifier_linked":   {"verifier_label": "Mon Compte"},
		"mail_verifier_unlinked": {"verifier_label": "Mon Compte", "who": "l'assistance"},
		"mail_recovery_codes":    {},
		"mail_temporary_code":    {"until": at.Add(time.Hour), "note": "téléphone perdu"},
		"mail_factor_request":    {"agent_number": "A100008", "unit": "Voirie", "note": "je voyage"},
	} {
		for _, lang := range []text.Lang{text.French, text.English} {
			args["date_time"], args["name"] = at, "Camille Été"
			l, err := o.render(Message{Template: template, Lang: lang, Args: args}, at)
			if err != nil {
				t.Errorf("%s: %v", template, err)
				continue
			}
			for _, part := range []string{l.Subject, l.Text, l.HTML} {
				if part == "" || strings.ContainsAny(part, "⟦[") || strings.Contains(part, "  ") {
					t.Errorf("%s in %s:\n%s", template, lang, part)
				}
			}
		}
	}
	l, err := o.render(Message{Template: "mail_factor_added", Lang: text.French, Args: text.Args{"factor": parvis.Passkey, "date_time": at, "channel_label": parvis.Mobile}}, at)
	if err != nil || !strings.Contains(l.Text, "clé d'accès") || !strings.Contains(l.Text, "depuis le portail mobile") {
		t.Errorf("%v:\n%s", err, l.Text)
	}
	l, err = o.render(Message{Template: "mail_factor_request", Lang: text.French, Args: text.Args{"name": "Camille Été", "date_time": at}}, at)
	if err != nil || !strings.HasPrefix(l.Text, "Bonjour,\n") {
		t.Errorf("%v:\n%s", err, l.Text)
	}
}
