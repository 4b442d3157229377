package notify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// The kinds of message, each with its own way out: a mail server that hangs
// holds up no code by text message.
const (
	kindMail = "mail"
	kindSMS  = "sms"
)

// The states of a message.
const (
	stateQueued   = "queued"
	stateDeferred = "deferred"
	stateAccepted = "accepted"
	stateRefused  = "refused"
	stateExpired  = "expired"
)

const (
	batch   = 16                   // messages claimed at once
	lanes   = 4                    // connections at once
	lease   = 2 * time.Minute      // a claimed message is not claimed again before
	settle  = 5 * time.Second      // to write down a result while the program ends
	poll    = 5 * time.Second      // how often to look without being told; wall clock
	good    = 72 * time.Hour       // how long a message without a date is worth sending
	keep    = 365 * 24 * time.Hour // how long the trace of a settled message stays
	longest = 300                  // bytes kept of a server's reply
)

// waits are the pauses before a message is tried again; the last repeats. A
// text message has a code that lives five minutes: somebody waits for it.
var waits = map[string][]time.Duration{
	kindMail: {time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour},
	kindSMS:  {5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute},
}

// limit is how many messages of one kind an account may be sent in a time.
type limit struct {
	n  int
	in time.Duration
}

// limits keep anybody from being flooded through us (domain.md 6.1, product.md
// section 5 "codes"). They count messages in the store: a restart or a second
// replica does not forget.
var limits = map[string][]limit{
	"mail_blocked_cause": {{1, time.Hour}},
	"mail_locked":        {{1, time.Hour}},
	"mail_activation":    {{3, 15 * time.Minute}, {10, 24 * time.Hour}},
}

// strangers bounds what one address is sent when no account stands behind it or
// it is a telephone: of each template.
var strangers = []limit{{3, 15 * time.Minute}, {10, 24 * time.Hour}}

// Config is what an outbox needs.
type Config struct {
	Store *store.Store
	Keys  *seal.Keys
	Words *text.Catalog
	Clock func() time.Time
	Log   *slog.Logger

	SMTP   SMTP
	SMS    []Sender       // providers of text messages, tried in this order; none: no text message can be queued
	From   string         // the sender's address
	Name   string         // the sender's name, as people read it
	Lang   text.Lang      // for a message that does not choose its own
	Zone   *time.Location // in which times are written
	Values text.Args      // what every mail may say: org, portal, phone, it_department, verifier_label…
}

// Outbox writes messages and delivers them.
type Outbox struct {
	store *store.Store
	box   *seal.Box
	words *text.Catalog
	clock func() time.Time
	log   *slog.Logger
	smtp  SMTP
	tls   *tls.Config
	from  mail.Address
	lang  text.Lang
	zone  *time.Location
	wake  map[string]chan struct{}

	values text.Args
	target func(address string) []byte
	routes []*route
	notes  chan note
}

// Message is something to tell an agent. Template is a key of domain.md 6.5
// ("mail_activation"); Args are the values of its sentences. Cause, for
// mail_blocked_cause, is the reason to tell in words. Link, when there is one,
// was made by the caller from a configured address. Until is when the code or
// link stops being good: the message is not sent after it.
//
// With a Phone it is a text message (sms_code, whose last line binds the code to
// the value host, otherwise to that of portal; value purpose: prove or enrol).
// Agent is empty for somebody who is not an agent. Their addresses, like all
// telephone numbers, are kept sealed, and limits count what they were sent.
type Message struct {
	Agent    parvis.AgentNumber
	To       []string
	Phone    string // E.164 ("+33612345678"): a text message; To is not used
	From     string // the sender's name, when another service speaks
	Lang     text.Lang
	Template string
	Args     text.Args
	Cause    parvis.ReasonCode
	Link     string
	Code     string
	Until    time.Time
}

// New checks the settings and makes an outbox; [Outbox.Run] delivers.
func New(c Config) (*Outbox, error) {
	o := &Outbox{
		store: c.Store, box: c.Keys.Box("message"), words: c.Words, clock: c.Clock, log: c.Log,
		smtp: c.SMTP, lang: c.Lang, zone: c.Zone, values: c.Values, notes: make(chan note, mostNotes),
		wake: map[string]chan struct{}{kindMail: make(chan struct{}, 1), kindSMS: make(chan struct{}, 1)},
		target: func(address string) []byte {
			digest := c.Keys.MAC("message target", []byte(strings.ToLower(address)))
			return digest[:]
		},
	}
	if o.zone == nil {
		o.zone = time.UTC
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	from, ok := plain(c.From)
	if !ok {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "notify.New", Err: fmt.Errorf("%q is not a sender's address", c.From)}
	}
	o.from = mail.Address{Name: oneLine(c.Name), Address: from}
	var err error
	if o.tls, err = o.smtp.check(); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "notify.New", Err: err}
	}
	if err := o.employ(c.SMS); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "notify.New", Err: err}
	}
	c.Store.Follow(func(events []parvis.Event) {
		for _, e := range events {
			if wake := o.wake[e.Detail["kind"]]; e.Kind == "message.queued" && wake != nil {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}
	})
	return o, nil
}

// Queue writes a message, one copy for each address, in the transaction of the
// act it tells of. It answers false, and writes nothing, when the account or
// the address was sent enough of that kind lately, or when no address is left to
// write to. A template that the catalogue does not know is an error, and so is a
// text message without a provider ([parvis.CodeUnavailable]): better no act than
// an act that cannot be told.
func (o *Outbox) Queue(ctx context.Context, tx *store.Tx, m Message) (bool, error) {
	if m.Lang == "" {
		m.Lang = o.lang
	}
	kind := kindMail
	if m.Phone != "" {
		if kind = kindSMS; len(o.routes) == 0 {
			return false, &parvis.Error{Code: parvis.CodeUnavailable, Op: "notify.Queue", Err: errors.New("no provider of text messages")}
		}
	}
	if m.Agent != "" {
		enough, err := reached(limits[m.Template], tx.Now(), func(since time.Time) (int, error) {
			return tx.MessagesSince(ctx, m.Agent, m.Template, since)
		})
		if enough || err != nil {
			return false, err
		}
	}
	if m.Until.IsZero() {
		m.Until = tx.Now().Add(good)
	}
	written, err := o.render(m, tx.Now())
	if err != nil {
		return false, err
	}
	queued := false
	for _, to := range o.addresses(m) {
		wrote, err := o.queueOne(ctx, tx, m, kind, to, written)
		if err != nil {
			return false, err
		}
		queued = queued || wrote
	}
	return queued, nil
}

// addresses are those that can be written to.
func (o *Outbox) addresses(m Message) []string {
	if m.Phone != "" {
		if e164.MatchString(m.Phone) {
			return []string{m.Phone}
		}
		o.log.Warn("a telephone number cannot be written to", "agent", m.Agent)
		return nil
	}
	var all []string
	for _, to := range m.To {
		to, ok := plain(to)
		if !ok {
			o.log.Warn("an address cannot be written to", "agent", m.Agent)
			continue
		}
		all = append(all, to)
	}
	return all
}

// queueOne writes the copy for one address.
func (o *Outbox) queueOne(ctx context.Context, tx *store.Tx, m Message, kind, to string, written letter) (bool, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	row := store.Message{
		ID: hex.EncodeToString(random[:]), Kind: kind, Agent: m.Agent, To: to, Template: m.Template, State: stateQueued,
		Created: tx.Now(), Due: tx.Now(), Expires: m.Until, Changed: tx.Now(),
	}
	if kind == kindSMS || m.Agent == "" {
		written.To, row.To, row.Target = to, hint(to), o.target(to)
		enough, err := reached(strangers, tx.Now(), func(since time.Time) (int, error) {
			return tx.MessagesTo(ctx, row.Target, m.Template, since)
		})
		if enough || err != nil {
			return false, err
		}
	}
	body, err := json.Marshal(written)
	if err != nil {
		return false, fmt.Errorf("notify: write letter: %w", err)
	}
	row.Body = o.box.Seal(body, row.ID)
	if err := tx.PutMessage(ctx, row); err != nil {
		return false, err
	}
	tx.Record(parvis.Event{
		Kind: "message.queued", Agent: m.Agent, Actor: "system",
		Detail: map[string]string{"message": row.ID, "template": m.Template, "kind": kind},
	})
	return true, nil
}

// reached tells whether one of the limits is.
func reached(limits []limit, now time.Time, sent func(since time.Time) (int, error)) (bool, error) {
	for _, l := range limits {
		n, err := sent(now.Add(-l.in))
		if err != nil || n >= l.n {
			return true, err
		}
	}
	return false, nil
}

// Subject and From tell a page what to look for in a mailbox. They depend on
// nobody's account.
func (o *Outbox) Subject(lang text.Lang, template string) string {
	return oneLine(o.words.Say(lang, template+".subject", nil))
}

// From is the sender as a mailbox shows it to people: not the encoded form that
// travels (RFC 2047).
func (o *Outbox) From() string {
	if o.from.Name == "" {
		return o.from.Address
	}
	return o.from.Name + " <" + o.from.Address + ">"
}

// Run delivers until ctx ends, then takes leave of the providers and returns
// nil. What was on its way is tried again at the next start. A database that
// does not answer is tried again too: messages wait, nothing is lost.
func (o *Outbox) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { o.run(ctx, kindMail) })
	if len(o.routes) > 0 {
		work.Go(func() { o.run(ctx, kindSMS) })
		work.Go(func() { o.attend(ctx) })
	}
	work.Wait()
	o.dismiss(ctx)
	return nil
}

func (o *Outbox) run(ctx context.Context, kind string) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		for {
			n, err := o.pass(ctx, kind)
			if err != nil && ctx.Err() == nil {
				o.log.Error("messages cannot be delivered now", "kind", kind, "err", err)
			}
			if err != nil || n < batch {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake[kind]:
		case <-tick.C:
		}
	}
}

// pass delivers what is due of a kind, one batch, and tells how many it looked at.
func (o *Outbox) pass(ctx context.Context, kind string) (int, error) {
	due, err := o.store.MessageDue(ctx, o.clock(), kind)
	if err != nil || !due {
		return 0, err
	}
	var claimed []store.Message
	err = o.store.Write(ctx, func(tx *store.Tx) error {
		var err error
		claimed, err = tx.ClaimMessages(ctx, tx.Now().Add(lease), batch, kind)
		if len(claimed) > 0 {
			tx.Record(parvis.Event{
				Kind: "message.tried", Actor: "system",
				Detail: map[string]string{"messages": strconv.Itoa(len(claimed)), "kind": kind},
			})
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	var byLane [lanes][]store.Message
	for i, m := range claimed {
		byLane[i%lanes] = append(byLane[i%lanes], m)
	}
	var wait sync.WaitGroup
	failed := make([]error, lanes)
	for i, messages := range byLane {
		if len(messages) > 0 {
			wait.Go(func() { failed[i] = o.deliver(ctx, kind, messages) })
		}
	}
	wait.Wait()
	return len(claimed), errors.Join(failed...)
}

// deliver hands the messages over, then writes each result. A text message is
// written down before the next leaves: a code that arrived is not sent again
// because another one hung.
func (o *Outbox) deliver(ctx context.Context, kind string, messages []store.Message) error {
	var failed []error
	var parcels []*parcel
	var sent []store.Message
	for _, m := range messages {
		if !m.Expires.After(o.clock()) {
			failed = append(failed, o.settle(ctx, m, &parcel{state: stateExpired}))
			continue
		}
		p := &parcel{id: m.ID, to: m.To, at: m.Created, until: m.Expires}
		plain, err := o.box.Open(m.Body, m.ID)
		if err == nil {
			err = json.Unmarshal(plain, &p.letter)
		}
		if err != nil {
			o.log.Error("a message can no longer be opened", "message", m.ID)
			failed = append(failed, o.settle(ctx, m, &parcel{state: stateRefused, reply: "the body can no longer be opened"}))
			continue
		}
		if p.letter.To != "" {
			p.to = p.letter.To
		}
		parcels, sent = append(parcels, p), append(sent, m)
	}
	if len(parcels) > 0 && kind == kindMail {
		o.hand(ctx, parcels)
	}
	for i, p := range parcels {
		if kind == kindSMS {
			o.dispatch(ctx, p)
		}
		failed = append(failed, o.settle(ctx, sent[i], p))
	}
	return errors.Join(failed...)
}

// settle writes what became of a message. The body goes in the same act, unless
// the message is to be tried again.
func (o *Outbox) settle(ctx context.Context, m store.Message, p *parcel) error {
	stopping := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	return o.store.Write(ctx, func(tx *store.Tx) error {
		m := m
		m.State, m.Reply, m.Receipt, m.Changed = p.state, cut(p.reply), p.receipt, tx.Now()
		switch {
		case p.state != stateDeferred:
			m.Body = nil
		case stopping:
			m.Due = tx.Now() // it was cut, not refused
		default:
			habit := waits[m.Kind]
			m.Due = tx.Now().Add(max(p.wait, habit[min(m.Attempts, len(habit))-1]))
			if !m.Due.Before(m.Expires) {
				m.State, m.Body = stateExpired, nil
			}
		}
		tx.Record(parvis.Event{
			Kind: "message." + m.State, Agent: m.Agent, Actor: "system",
			Detail: map[string]string{"message": m.ID, "template": m.Template, "kind": m.Kind, "reply": strconv.Itoa(p.code), "attempt": strconv.Itoa(m.Attempts)},
		})
		return tx.PutMessage(ctx, m)
	})
}

// Sweep erases the bodies of messages that are too old to be sent and the
// traces that have been kept long enough. To be called now and then, by one or
// by several: what is done twice changes nothing.
func (o *Outbox) Sweep(ctx context.Context) error {
	return o.store.Write(ctx, func(tx *store.Tx) error {
		expired, purged, err := tx.SweepMessages(ctx, tx.Now(), tx.Now().Add(-keep))
		if err != nil || expired+purged == 0 {
			return err
		}
		tx.Record(parvis.Event{
			Kind: "message.purged", Actor: "system",
			Detail: map[string]string{"expired": strconv.FormatInt(expired, 10), "purged": strconv.FormatInt(purged, 10)},
		})
		return nil
	})
}
