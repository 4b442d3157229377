package notify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

// post is a mail server that answers as it is told to.
type post struct {
	mu       sync.Mutex
	answers  []error // to DATA, one after the other; then yes
	rcpt     error
	hang     bool
	got      []string
	rcpts    []string
	password string

	host  string
	port  int
	ended chan struct{}
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &visit{p}, nil }

type visit struct{ p *post }

func (v *visit) AuthMechanisms() []string { return []string{sasl.Plain} }

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if v.p.password == "" || user != "parvis" || password != v.p.password {
			return errors.New("no")
		}
		return nil
	}), nil
}
func (v *visit) Reset()                               {}
func (v *visit) Logout() error                        { return nil }
func (v *visit) Mail(string, *smtp.MailOptions) error { return nil }
func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	v.p.mu.Lock()
	defer v.p.mu.Unlock()
	v.p.rcpts = append(v.p.rcpts, to)
	return v.p.rcpt
}

func (v *visit) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	v.p.mu.Lock()
	hang := v.p.hang
	v.p.mu.Unlock()
	if hang {
		<-v.p.ended
	}
	v.p.mu.Lock()
	defer v.p.mu.Unlock()
	if len(v.p.answers) > 0 {
		err := v.p.answers[0]
		v.p.answers = v.p.answers[1:]
		if err != nil {
			return err
		}
	}
	v.p.got = append(v.p.got, string(b))
	return nil
}

func (p *post) mails() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// open starts the server; with a certificate it offers STARTTLS, or speaks TLS
// from the first byte.
func (p *post) open(t *testing.T, certificate *tls.Certificate, implicit bool) {
	t.Helper()
	s := smtp.NewServer(p)
	s.Domain, s.AllowInsecureAuth = "mx.example.org", true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if certificate != nil {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
		if implicit {
			l = tls.NewListener(l, s.TLSConfig)
		}
	}
	p.host, p.port, p.ended = "127.0.0.1", l.Addr().(*net.TCPAddr).Port, make(chan struct{})
	done := make(chan struct{})
	go func() { _ = s.Serve(l); close(done) }()
	t.Cleanup(func() {
		close(p.ended)
		_ = s.Close()
		<-done
	})
}

func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func catalogue(t *testing.T) *text.Catalog {
	t.Helper()
	words, err := text.Load()
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func outbox(t *testing.T, s *store.Store, clock *storetest.Clock, server SMTP) *Outbox {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	o, err := New(Config{
		Store: s, Keys: keys, Words: catalogue(t), Clock: clock.Now, Log: storetest.Logger(t), SMTP: server,
		From: "parvis@ville.example.org", Name: "Portail des agents, Ville", Lang: text.French, Zone: paris,
		Values: text.Args{"org": "Ville d'Exemple", "portal": "https://agents.example.org", "phone": "3975"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

const (
	theLink = "https://agents.example.org/activate?link=TOKENTOKENTOKEN"
	theCode = "K7QP-3M9T-XW24"
)

func activation(clock *storetest.Clock) Message {
	return Message{
		Agent: "A100008", To: []string{"camille@ville.example.org"}, Lang: text.French, Template: "mail_activation",
		Args: text.Args{"name": "Camille Été", "agent_number": "A100008", "date_time": clock.Now().Add(24 * time.Hour)},
		Link: theLink, Code: theCode, Until: clock.Now().Add(24 * time.Hour),
	}
}

func queue(t *testing.T, s *store.Store, o *Outbox, m Message) bool {
	t.Helper()
	var queued bool
	err := s.Write(t.Context(), func(tx *store.Tx) (err error) {
		queued, err = o.Queue(t.Context(), tx, m)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return queued
}

func pass(t *testing.T, o *Outbox) {
	t.Helper()
	for _, kind := range []string{kindMail, kindSMS} {
		if _, err := o.pass(t.Context(), kind); err != nil {
			t.Fatal(err)
		}
	}
}

func only(t *testing.T, s *store.Store, agent parvis.AgentNumber) store.Message {
	t.Helper()
	all, err := s.Messages(t.Context(), agent, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d messages for %s, want 1", len(all), agent)
	}
	return all[0]
}

func kinds(t *testing.T, s *store.Store) []string {
	t.Helper()
	var all []string
	if err := s.EachEvent(t.Context(), 0, func(e parvis.Event) error {
		all = append(all, e.Kind)
		for k, v := range e.Detail {
			if strings.Contains(v, theCode) || strings.Contains(v, "TOKEN") || strings.Contains(v, "@") {
				t.Errorf("event %s shows %s=%s", e.Kind, k, v)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFromIsForPeople: a page shows the sender as a mailbox does, not as it travels.
func TestFromIsForPeople(t *testing.T) {
	for _, c := range []struct {
		from mail.Address
		want string
	}{
		{mail.Address{Name: "Accès de la ville d'Exemple", Address: "acces@example.org"}, "Accès de la ville d'Exemple <acces@example.org>"},
		{mail.Address{Address: "acces@example.org"}, "acces@example.org"},
	} {
		if got := (&Outbox{from: c.from}).From(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
