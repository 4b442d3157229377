package notify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"parvis"
	"parvis/internal/store"
)

// SMS is a text message on its way to a telephone.
type SMS struct {
	ID   string        // ours; the same when it is tried again
	To   string        // E.164, with its +
	Text string        // in any characters
	Good time.Duration // how long it is worth delivering
}

// Sender is a provider of text messages: [SMPP] or [HTTPGateway]. Send returns
// the provider's name for what it took. Its error is [parvis.CodeRefused] when
// this message will never be taken, [parvis.CodeLimited] when it may be later;
// any other means that the provider does not work now.
type Sender interface {
	Send(ctx context.Context, m SMS) (receipt string, err error)
}

const (
	rest      = time.Minute     // a provider that failed is not asked before
	attendant = 5 * time.Second // how often lines are looked after; wall clock
	farewell  = 2 * time.Second // to take leave
	mostNotes = 256             // receipts that wait to be written down
	noteTries = 6               // a receipt may come before what it speaks of is settled
)

// e164 is a telephone number of the world (ITU-T E.164 §6.2.1: at most 15 digits).
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// route is a provider in its place.
type route struct {
	Sender
	name string

	mu    sync.Mutex
	until time.Time // it rests
}

func (r *route) resting(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until.Sub(now)
}

func (r *route) tire(until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = until
}

// employ checks the providers and puts them in their order.
func (o *Outbox) employ(senders []Sender) error {
	for i, s := range senders {
		r := &route{Sender: s, name: fmt.Sprintf("provider %d", i+1)}
		var err error
		switch s := s.(type) {
		case *SMPP:
			if s.noted = o.note; s.Log == nil {
				s.Log = o.log
			}
			r.name, err = s.String(), s.check()
		case *HTTPGateway:
			r.name, err = s.String(), s.check()
		case nil:
			err = errors.New("a provider of text messages is missing")
		}
		if err != nil {
			return err
		}
		o.routes = append(o.routes, r)
	}
	return nil
}

// dispatch gives a text message to the first provider that takes it. One that
// does not work rests a minute, so that a dead one does not hold up every
// message; one that dislikes a message is asked for the next all the same.
func (o *Outbox) dispatch(ctx context.Context, p *parcel) {
	p.state = stateDeferred
	var soonest time.Duration
	asked := false
	for _, r := range o.routes {
		if wait := r.resting(o.clock()); wait > 0 {
			if soonest == 0 || wait < soonest {
				soonest = wait
			}
			continue
		}
		left := p.until.Sub(o.clock())
		if left <= 0 { // the providers before took too long
			p.state, p.reply = stateExpired, ""
			return
		}
		asked = true
		id, err := r.Send(ctx, SMS{ID: p.id, To: p.to, Text: p.letter.Text, Good: left})
		if err == nil {
			p.state, p.reply = stateAccepted, r.name+": "+id
			if id != "" {
				p.receipt = r.name + "/" + id
			}
			return
		}
		p.reply = oneLine(err.Error())
		switch code := parvis.CodeOf(err); {
		case ctx.Err() != nil:
			return
		case code == parvis.CodeRefused:
			p.state = stateRefused
			return
		case code != parvis.CodeLimited:
			o.log.Warn("a provider of text messages failed and rests", "provider", r.name, "err", err)
			r.tire(o.clock().Add(rest))
		}
	}
	if !asked { // never all of them for longer than one rests
		p.wait, p.reply = min(soonest, rest), "every provider rests after a failure"
	}
}

// note is what a provider says later of a message.
type note struct {
	receipt, said string
	tries         int
}

// note takes what a line heard; it never holds the line up. What is too much is
// lost: the message was accepted all the same.
func (o *Outbox) note(receipt, said string) {
	select {
	case o.notes <- note{receipt: receipt, said: said}:
	default:
	}
}

// attend looks after the lines and writes down what becomes of messages, until
// ctx ends.
func (o *Outbox) attend(ctx context.Context) {
	tick := time.NewTicker(attendant)
	defer tick.Stop()
	var early []note // for a message that is not settled yet
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-o.notes:
			if !o.write(ctx, n) {
				early = append(early, n)
			}
		case <-tick.C:
			early = o.again(ctx, early)
			for _, r := range o.routes {
				if p, ok := r.Sender.(*SMPP); ok {
					p.tend(ctx)
				}
			}
		}
	}
}

// again writes what could not be written, and gives up what never can.
func (o *Outbox) again(ctx context.Context, early []note) []note {
	var left []note
	for _, n := range early {
		if n.tries++; !o.write(ctx, n) && n.tries < noteTries && len(left) < mostNotes {
			left = append(left, n)
		}
	}
	return left
}

// write adds what a provider said to the reply of its message; false when there
// is no such message.
func (o *Outbox) write(ctx context.Context, n note) bool {
	err := o.store.Write(ctx, func(tx *store.Tx) error {
		m, err := tx.MessageByReceipt(ctx, n.receipt)
		if err != nil {
			return err
		}
		m.Reply, m.Changed = cut(m.Reply+"; "+n.said), tx.Now()
		tx.Record(parvis.Event{
			Kind: "message.noted", Agent: m.Agent, Actor: "system",
			Detail: map[string]string{"message": m.ID, "template": m.Template, "kind": m.Kind, "reply": n.said},
		})
		return tx.PutMessage(ctx, m)
	})
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound && ctx.Err() == nil {
		o.log.Warn("what became of a text message cannot be written down", "err", err)
	}
	return err == nil
}

// dismiss takes leave of the providers.
func (o *Outbox) dismiss(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for _, r := range o.routes {
		switch s := r.Sender.(type) {
		case *SMPP:
			s.leave(ctx)
		case *HTTPGateway:
			s.leave()
		}
	}
}

func failure(code parvis.Code, err error) error {
	return &parvis.Error{Code: code, Op: "notify.Send", Err: err}
}

// reference tells the parts of one text from those of another; it stays the
// same when the text is sent again.
func reference(id string) byte {
	digest := sha256.Sum256([]byte(id))
	return digest[0]
}

// hint is what may stay readable of an address that is kept sealed.
func hint(address string) string {
	if _, err := mail.ParseAddress(address); err == nil {
		first, _ := utf8.DecodeRuneInString(address)
		return string(first) + "•••" + address[strings.LastIndexByte(address, '@'):]
	}
	return "•••" + address[max(0, len(address)-2):]
}

// cut keeps what is stored of a reply within bounds.
func cut(reply string) string {
	if len(reply) <= longest {
		return reply
	}
	return strings.ToValidUTF8(reply[:longest], "")
}
