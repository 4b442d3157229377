package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parvis"
	"parvis/internal/seal"
)

// SMPP is a provider that takes text messages over SMPP 3.4. The connection is
// opened by the first message, watched, opened again when it is lost (1, 2, 4…
// 60 s apart while that fails) and ended with an unbind by [Outbox.Run]. Several
// messages may be under way over it.
//
// The sender is a number with its +, a short number, or up to 11 letters; the
// provider's own when empty. Not to be copied once used.
type SMPP struct {
	Host      string
	Port      int
	Transport Transport // TransportImplicit when empty; TransportPlain when the line itself is private
	Authority string    // file with the certificates to trust; the system's when empty
	System    string    // system_id, up to 15 characters
	Password  seal.Secret
	Type      string        // system_type; empty for most providers
	From      string        // the sender that telephones show
	UCS2      bool          // always: for a provider whose default alphabet is not that of GSM
	Keep      time.Duration // silence after which the line is tested (enquire_link); 30 s when zero
	Timeout   time.Duration // for a connection, and for an answer; 10 s when zero
	Log       *slog.Logger

	tls    *tls.Config
	now    func() time.Time           // time.Now when nil
	noted  func(receipt, note string) // told what becomes of messages; does not wait
	source [2]byte                    // type and plan of From
	mu     sync.Mutex                 // guards what follows, and is held while connecting
	line   *line                      // nil when there is none
	wanted bool                       // it was open once
	failed int                        // connections refused in a row
	next   time.Time                  // no new connection before
	reason error                      // why the last one was refused
}

// String names the provider for the log.
func (p *SMPP) String() string { return "smpp " + net.JoinHostPort(p.Host, strconv.Itoa(p.Port)) }

// check completes the settings, or says what is wrong with them.
func (p *SMPP) check() error {
	if p.Timeout <= 0 {
		p.Timeout = 10 * time.Second
	}
	if p.Keep <= 0 {
		p.Keep = 30 * time.Second
	}
	if p.Transport == "" {
		p.Transport = TransportImplicit
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.Host == "" || p.Port < 1 || p.Port > 65535 {
		return errors.New("text messages: host and port are needed")
	}
	if p.Transport != TransportImplicit && p.Transport != TransportPlain {
		return fmt.Errorf("%s: %q is not a transport", p, p.Transport)
	}
	// The greatest lengths of §5.2, without the zero at the end.
	for name, field := range map[string]struct {
		value string
		most  int
	}{"system": {p.System, 15}, "password": {p.Password.Reveal(), 8}, "type": {p.Type, 12}, "from": {p.From, 20}} {
		if len(field.value) > field.most || strings.ContainsFunc(field.value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("%s: %s has at most %d plain characters", p, name, field.most)
		}
	}
	var err error
	if p.tls, err = trust(p.Host, p.Authority); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	const international, short, letters, isdn = 1, 3, 5, 1
	switch number := strings.TrimPrefix(p.From, "+"); {
	case p.From == "":
	case strings.Trim(number, "0123456789") != "" || number == "":
		if len(p.From) > 11 {
			return fmt.Errorf("%s: a sender in letters has at most 11", p)
		}
		p.source = [2]byte{letters, 0}
	case number != p.From:
		p.source = [2]byte{international, isdn}
	default:
		p.source = [2]byte{short, 0}
	}
	return nil
}

// Send hands a message over and returns the provider's name for it (of its last
// part). The error is [parvis.CodeRefused] when the provider will never take it,
// [parvis.CodeLimited] when it may later, and [parvis.CodeUnavailable] when the
// provider itself does not work now.
func (p *SMPP) Send(ctx context.Context, m SMS) (string, error) {
	if p.now == nil {
		return "", failure(parvis.CodeInvalid, errors.New("the provider was not checked"))
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	coding, parts := split(m.Text, reference(m.ID), p.UCS2)
	if parts == nil {
		return "", failure(parvis.CodeRefused, errors.New("the text is too long"))
	}
	l, err := p.open(ctx)
	if err != nil {
		return "", failure(parvis.CodeUnavailable, err)
	}
	var id string
	for _, part := range parts {
		answer, err := p.ask(ctx, l, submitSM, p.submission(m, coding, part, len(parts) > 1))
		if err != nil {
			return "", failure(parvis.CodeUnavailable, err)
		}
		if answer.status != statusOK {
			return "", failure(meaning(answer), fmt.Errorf("submit_sm: %s", statusName(answer.status)))
		}
		id = named([]byte((&scanner{rest: answer.body}).text()))
	}
	return id, nil
}

// submission is the body of a submit_sm (§4.4.1).
func (p *SMPP) submission(m SMS, coding byte, part []byte, several bool) []byte {
	const international, isdn = 1, 1
	const header, tell = 0x40, 1 // esm_class: user data header; registered_delivery: what became of it
	var class byte
	if several {
		class = header
	}
	return fields(nil).text("").
		octets(p.source[:]...).text(strings.TrimPrefix(p.From, "+")).
		octets(international, isdn).text(strings.TrimPrefix(m.To, "+")).
		octets(class, 0, 0).
		text("").text(relative(m.Good)).
		octets(tell, 0, coding, 0).
		sized(part)
}

// relative writes how long a message is worth delivering (§7.1.1): the network
// drops a code that no longer works.
func relative(good time.Duration) string {
	if good < time.Second {
		return ""
	}
	s := int(min(good, 30*24*time.Hour) / time.Second)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", s/86400, s/3600%24, s/60%60, s%60)
}

// meaning tells what the answer to a submit_sm says: of this message, or of the
// provider. What is not known is said of the message: one that a provider
// dislikes must not stop those of others.
func meaning(answer pdu) parvis.Code {
	if answer.command == genericNack {
		return parvis.CodeUnavailable
	}
	switch answer.status {
	case noSuchTarget, invalidTON, invalidNPI, forGood:
		return parvis.CodeRefused
	case wrongState, systemError:
		return parvis.CodeUnavailable
	}
	return parvis.CodeLimited
}

// open gives the line, a new one when there is none. While connecting keeps
// failing it answers at once with the reason, until it is time to try again.
func (p *SMPP) open(ctx context.Context) (*line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil && !p.line.over() {
		return p.line, nil
	}
	p.line = nil
	if wait := p.next.Sub(p.now()); wait > 0 {
		return nil, fmt.Errorf("%s: next connection in %v: %w", p, wait.Round(time.Second), p.reason)
	}
	l, err := p.connect(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", p, err)
		if !errors.Is(ctx.Err(), context.Canceled) { // our own end is no fault of theirs
			p.failed++
			p.reason, p.next = err, p.now().Add(min(time.Second<<min(p.failed-1, 6), time.Minute))
		}
		return nil, err
	}
	p.line, p.wanted, p.failed, p.next = l, true, 0, time.Time{}
	return l, nil
}

// connect opens a connection and binds it for sending and for receipts (§2.2.1).
func (p *SMPP) connect(ctx context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(p.Host, strconv.Itoa(p.Port)))
	if err != nil {
		return nil, err
	}
	if p.Transport == TransportImplicit {
		secured := tls.Client(conn, p.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn = secured
	}
	l := &line{conn: conn, patience: p.Timeout, now: p.now, waiting: map[uint32]chan pdu{}, ended: make(chan struct{})}
	l.heard.Store(p.now().UnixNano())
	go l.listen(func(r receipt) {
		if note := strings.TrimSpace(r.state + " " + r.fault); p.noted != nil {
			p.noted(p.String()+"/"+r.id, note)
		}
	})
	const version = 0x34
	bind := fields(nil).text(p.System).text(p.Password.Reveal()).text(p.Type).octets(version, 0, 0).text("")
	answer, err := l.ask(ctx, bindTransceiver, bind)
	if err == nil && answer.status != statusOK {
		err = fmt.Errorf("bind_transceiver: %s", statusName(answer.status))
	}
	if err != nil {
		l.cut(err)
		<-l.ended
		return nil, err
	}
	return l, nil
}

// ask is a question over the line. A line that does not answer in time is given
// up: the next message has a new one.
func (p *SMPP) ask(ctx context.Context, l *line, command uint32, body []byte) (pdu, error) {
	answer, err := l.ask(ctx, command, body)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			l.cut(errors.New("no answer in time"))
		}
		return pdu{}, fmt.Errorf("%s: %w", p, err)
	}
	return answer, nil
}

// tend tests a line that has been silent, and opens again one that was lost: a
// receipt may come at any time.
func (p *SMPP) tend(ctx context.Context) {
	p.mu.Lock()
	wanted, l := p.wanted, p.line
	p.mu.Unlock()
	if !wanted {
		return
	}
	if l == nil || l.over() {
		if _, err := p.open(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("a provider of text messages cannot be reached", "err", err)
		}
		return
	}
	if p.now().Sub(time.Unix(0, l.heard.Load())) < p.Keep {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if _, err := p.ask(ctx, l, enquireLink, nil); err != nil && !errors.Is(err, context.Canceled) {
		p.Log.Warn("the line to a provider of text messages was lost", "err", err)
	}
}

// leave says goodbye and closes the line.
func (p *SMPP) leave(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.line
	p.line, p.wanted = nil, false
	if l == nil {
		return
	}
	if !l.over() {
		_, _ = l.ask(ctx, unbind, nil) // a lost goodbye changes nothing
	}
	l.cut(net.ErrClosed)
	<-l.ended
}

// line is one bound connection. Its reader ends with it.
type line struct {
	conn     net.Conn
	patience time.Duration // for a write
	now      func() time.Time
	heard    atomic.Int64 // when something last came, in nanoseconds

	writing sync.Mutex // one PDU after the other

	mu      sync.Mutex
	last    uint32 // sequence_number of the last question
	waiting map[uint32]chan pdu
	fault   error // why it ended

	ended chan struct{}
}

func (l *line) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault != nil
}

// cut ends the line; the reader wakes whoever waits.
func (l *line) cut(why error) {
	l.mu.Lock()
	if l.fault == nil {
		l.fault = why
	}
	l.mu.Unlock()
	_ = l.conn.Close()
}

// ask sends a question and waits for its answer.
func (l *line) ask(ctx context.Context, command uint32, body []byte) (pdu, error) {
	if err := ctx.Err(); err != nil {
		return pdu{}, err
	}
	answer := make(chan pdu, 1)
	sequence, err := l.put(command, body, answer)
	defer func() {
		l.mu.Lock()
		delete(l.waiting, sequence)
		l.mu.Unlock()
	}()
	if err != nil {
		return pdu{}, err
	}
	select {
	case p := <-answer:
		if p.command != command|answered && p.command != genericNack {
			l.cut(fmt.Errorf("the answer to 0x%08X is 0x%08X", command, p.command))
			return pdu{}, errors.New("the answer is that to another question")
		}
		if p.command == genericNack && p.status == statusOK {
			p.status = systemError
		}
		return p, nil
	case <-ctx.Done():
		return pdu{}, ctx.Err()
	case <-l.ended:
		l.mu.Lock()
		defer l.mu.Unlock()
		return pdu{}, fmt.Errorf("the line ended: %w", l.fault)
	}
}

// put writes a question whose answer goes to a channel. Questions leave in the
// order of their numbers.
func (l *line) put(command uint32, body []byte, answer chan pdu) (uint32, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	l.last = l.last%0x7fffffff + 1 // from 1 to 7FFFFFFF (§5.1.4)
	sequence := l.last
	l.waiting[sequence] = answer
	l.mu.Unlock()
	return sequence, l.writeLocked(pdu{command: command, sequence: sequence, body: body})
}

func (l *line) write(p pdu) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.writeLocked(p)
}

func (l *line) writeLocked(p pdu) error {
	_ = l.conn.SetWriteDeadline(time.Now().Add(l.patience)) // a closed connection tells below
	if _, err := l.conn.Write(p.bytes()); err != nil {
		l.cut(err) // half a PDU may have left: nothing can follow it
		return err
	}
	return nil
}

// listen reads until the line ends: answers go to who asked, questions are
// answered here.
func (l *line) listen(told func(receipt)) {
	defer close(l.ended)
	for {
		p, err := readPDU(l.conn)
		if err != nil {
			if errors.Is(err, errLength) { // where the next one begins is not known (§3.3)
				_ = l.write(pdu{command: genericNack, status: invalidLength, sequence: p.sequence})
			}
			l.cut(err)
			return
		}
		l.heard.Store(l.now().UnixNano())
		if p.command&answered != 0 {
			l.mu.Lock()
			answer := l.waiting[p.sequence]
			delete(l.waiting, p.sequence) // a second answer is nobody's
			l.mu.Unlock()
			if answer != nil {
				answer <- p
			}
			continue
		}
		reply := pdu{command: p.command | answered, sequence: p.sequence}
		switch p.command {
		case deliverSM, dataSM:
			reply.body = fields(nil).text("") // message_id is unused (§4.6.2)
			if r, ok := readReceipt(p.body); ok && p.command == deliverSM {
				told(r)
			}
		case enquireLink, unbind:
		case alert:
			continue
		default:
			reply.command, reply.status = genericNack, invalidCommand
		}
		if l.write(reply) != nil {
			return
		}
		if p.command == unbind {
			l.cut(errors.New("the provider unbound"))
			return
		}
	}
}
