package demo

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

const (
	// mailboxes is the domain whose letters a real mail server keeps too.
	mailboxes = "@example.org"
	waiting   = 256 // letters, at most, for a mail server that is slow
	carries   = 15 * time.Second
)

// pauses between attempts to deliver a letter; then it stays in the box alone.
func pauses() []time.Duration { return []time.Duration{2 * time.Second, 10 * time.Second} }

// envelope is a message on its way to a mail server.
type envelope struct {
	from, to string
	message  []byte
}

// passOn hands a message to whoever delivers it, and never waits.
func (b *Letterbox) passOn(e envelope) {
	if b.Deliver == "" || !strings.HasSuffix(strings.ToLower(e.to), mailboxes) {
		return
	}
	select {
	case b.queue() <- e:
	default:
		b.log().Warn("a letter was not delivered: too many are waiting", "to", e.to)
	}
}

func (b *Letterbox) queue() chan envelope {
	b.queued.Do(func() { b.letterQueue = make(chan envelope, waiting) })
	return b.letterQueue
}

func (b *Letterbox) log() *slog.Logger {
	if b.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return b.Log
}

// carry delivers what is queued until ctx ends.
func (b *Letterbox) carry(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-b.queue():
			b.deliver(ctx, e)
		}
	}
}

func (b *Letterbox) deliver(ctx context.Context, e envelope) {
	err := b.hand(ctx, e)
	for _, pause := range pauses() {
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err = b.hand(ctx, e)
	}
	if err != nil {
		b.log().Warn("a letter was not delivered", "server", b.Deliver, "to", e.to, "error", err)
	}
}

// hand gives one message to the mail server: by LMTP (RFC 2033), or by SMTP when
// the address says so.
func (b *Letterbox) hand(ctx context.Context, e envelope) error {
	address, plain := strings.CutPrefix(b.Deliver, "smtp:")
	d := net.Dialer{Timeout: carries}
	conn, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(address, "lmtp:"))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	client := smtp.NewClientLMTP(conn)
	if plain {
		client = smtp.NewClient(conn)
	}
	defer func() { _ = client.Close() }()
	client.CommandTimeout, client.SubmissionTimeout = carries, carries
	if err := client.Hello("messages.localhost"); err != nil {
		return err
	}
	if err := client.SendMail(e.from, []string{e.to}, bytes.NewReader(e.message)); err != nil {
		return err
	}
	return client.Quit()
}
