package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"parvis/internal/seal"
)

// Transport is how the connection to the mail server is protected.
type Transport string

// The transports. TransportPlain is for a server on the same machine only.
const (
	TransportStartTLS      Transport = "starttls"      // required: without it nothing is sent
	TransportOpportunistic Transport = "opportunistic" // STARTTLS when the server offers it
	TransportImplicit      Transport = "tls"           // TLS from the first byte (RFC 8314 §3.3)
	TransportPlain         Transport = "none"
)

// SMTP is the mail server that takes our messages.
type SMTP struct {
	Host      string
	Port      int
	Transport Transport // TransportStartTLS when empty
	User      string    // no authentication when empty
	Password  seal.Secret
	Authority string        // file with the certificates to trust; the system's when empty
	Hello     string        // the name to say in EHLO; the machine's when empty
	Timeout   time.Duration // for a connection, and for a message; 10 s when zero
}

// check completes the settings, or says what is wrong with them.
func (s *SMTP) check() (*tls.Config, error) {
	if s.Transport == "" {
		s.Transport = TransportStartTLS
	}
	if s.Timeout <= 0 {
		s.Timeout = 10 * time.Second
	}
	switch s.Transport {
	case TransportStartTLS, TransportOpportunistic, TransportImplicit:
	case TransportPlain:
		if ip := net.ParseIP(s.Host); s.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("mail server %s: transport %q is for a server on this machine", s.Host, s.Transport)
		}
	default:
		return nil, fmt.Errorf("mail server: %q is not a transport", s.Transport)
	}
	if s.Host == "" || s.Port < 1 || s.Port > 65535 {
		return nil, errors.New("mail server: host and port are needed")
	}
	conf, err := trust(s.Host, s.Authority)
	if err != nil {
		return nil, fmt.Errorf("mail server: %w", err)
	}
	return conf, nil
}

// parcel is a message on its way, then what became of it.
type parcel struct {
	id, to string
	letter letter
	at     time.Time
	until  time.Time

	state   string        // accepted, deferred, refused or expired
	reply   string        // the server's words
	code    int           // its three digits; 0 when it did not answer
	receipt string        // by which the provider names it later
	wait    time.Duration // before it is tried again; zero leaves it to the habit
}

// hand gives the parcels to the server over one connection and writes into each
// what became of it. It ends at once when ctx does.
func (o *Outbox) hand(ctx context.Context, parcels []*parcel) {
	for _, p := range parcels {
		p.state = stateDeferred
	}
	conn, send, end, err := o.connect(ctx)
	if err != nil {
		for _, p := range parcels {
			p.reply = oneLine(err.Error())
		}
		return
	}
	defer end()
	for _, p := range parcels {
		o.handOne(func(m *gomail.Msg) error { return send(conn, m) }, p)
	}
}

// connect opens a connection as the settings demand. The mail library looks at
// its context only while connecting, so the connection is cut when ctx ends.
func (o *Outbox) connect(ctx context.Context) (conn *smtp.Client, send func(*smtp.Client, ...*gomail.Msg) error, end func(), err error) {
	stop := func() bool { return true }
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		var dialer net.Dialer
		raw, err := dialer.DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
		if o.smtp.Transport != TransportImplicit {
			return raw, nil
		}
		secured := tls.Client(raw, o.tls)
		if err := secured.HandshakeContext(dialing); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return secured, nil
	}
	options := []gomail.Option{
		gomail.WithPort(o.smtp.Port), gomail.WithTLSConfig(o.tls), gomail.WithTimeout(o.smtp.Timeout),
		gomail.WithDialContextFunc(dial), gomail.WithoutNoop(),
	}
	switch o.smtp.Transport {
	case TransportPlain:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case TransportOpportunistic:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case TransportImplicit:
		options = append(options, gomail.WithSSL())
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if o.smtp.User != "" {
		// PLAIN is refused by the library without TLS, unless the server is this machine.
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthPlain),
			gomail.WithUsername(o.smtp.User), gomail.WithPassword(o.smtp.Password.Reveal()))
	}
	if o.smtp.Hello != "" {
		options = append(options, gomail.WithHELO(o.smtp.Hello))
	}
	client, err := gomail.NewClient(o.smtp.Host, options...)
	if err != nil {
		return nil, nil, nil, err
	}
	conn, err = client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return conn, client.SendWithSMTPClient, func() {
		_ = client.CloseWithSMTPClient(conn) // what was said is said; a lost goodbye changes nothing
		stop()
	}, nil
}

// handOne sends one parcel. Only a server's 5xx refuses it for good: silence, a
// broken connection and our own faults leave it deferred.
func (o *Outbox) handOne(send func(*gomail.Msg) error, p *parcel) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	from := o.from
	if p.letter.From != "" {
		from.Name = p.letter.From
	}
	msg.FromMailAddress(&from)
	if err := msg.To(p.to); err != nil {
		p.state, p.reply = stateRefused, oneLine(err.Error())
		return
	}
	msg.Subject(p.letter.Subject)
	msg.SetDateWithValue(p.at)
	msg.SetMessageIDWithValue(p.id + "@" + domainOf(o.from.Address))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: no holiday notices back
	msg.SetGenHeader("Content-Language", p.letter.Lang)
	msg.SetBodyString(gomail.TypeTextPlain, p.letter.Text)
	if p.letter.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, p.letter.HTML)
	}
	err := send(msg)
	if msg.IsDelivered() { // even if the goodbye after it failed
		p.state, p.reply, p.code = stateAccepted, oneLine(msg.ServerResponse()), 250
		return
	}
	var failed *gomail.SendError
	if errors.As(err, &failed) {
		p.code = failed.ErrorCode()
	}
	if p.code >= 500 && p.code < 600 {
		p.state = stateRefused
	}
	if err != nil {
		p.reply = oneLine(err.Error())
	}
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
