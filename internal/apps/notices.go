package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/store"
)

// Notices tells applications that what they were given ended: that an agent
// left, above all. Store, Clock and Make are required. It must not be copied
// once used.
type Notices struct {
	Store *store.Store
	Clock func() time.Time
	Log   *slog.Logger
	HTTP  *http.Client // what [Outbound] gives; nil: that, to public addresses only

	// Make writes the message of a protocol, for one application. An error of
	// code not found or invalid, and no request, mean that nobody can be told:
	// the notice is given up.
	Make map[parvis.Protocol]func(context.Context, store.Notice) (*http.Request, error)

	once sync.Once
	wake chan struct{}

	mu      sync.Mutex
	flights map[parvis.AppID]int
	flying  int
	gone    sync.WaitGroup
}

const (
	mostFlights = 16               // notices on their way at once
	mostForApp  = 4                // … to one application: one that hangs holds up few others
	looked      = 256              // due notices that one look reads
	poll        = 2 * time.Second  // how often to look without being told; wall clock
	settle      = 5 * time.Second  // to write down a receipt while the program ends
	lastWait    = 10 * time.Second // for the answer to the last try
	readAnswer  = 4 << 10          // bytes read of an answer, so that its connection serves again
)

// waits are the pauses after each try that failed; after the last comes no
// other try but one.
func waits() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour}
}

func (n *Notices) ready() {
	n.once.Do(func() {
		n.wake, n.flights = make(chan struct{}, 1), map[parvis.AppID]int{}
		if n.Log == nil {
			n.Log = slog.New(slog.DiscardHandler)
		}
		if n.HTTP == nil {
			n.HTTP = Outbound(nil)
		}
		n.Store.Follow(func(events []parvis.Event) {
			for i := range events {
				switch events[i].Kind {
				case "grant.ended", "session.ended", "app.removed":
					n.nudge()
					return
				}
			}
		})
	})
}

func (n *Notices) nudge() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, then waits for what is on its way. Any number of
// processes may run it on one store: each notice is taken by one.
func (n *Notices) Run(ctx context.Context) error {
	n.ready()
	defer n.gone.Wait()
	for {
		if err := n.look(ctx); err != nil && ctx.Err() == nil {
			n.Log.Error("notices that are due could not be taken", "cause", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-time.After(poll):
		}
	}
}

// look takes the notices that are due, as many as there is room for, and sends
// each on its way. An application that has as many on their way as it may is
// passed over, however many more it waits for: those behind it wait for nobody.
func (n *Notices) look(ctx context.Context) error {
	var due []store.Notice
	for {
		full, busy := n.busy()
		if full {
			break
		}
		some, err := n.Store.DueNotices(ctx, n.Clock(), looked, busy...)
		if err != nil && len(due) == 0 {
			return err
		}
		taken := n.room(some)
		if due = append(due, taken...); err != nil || len(some) < looked || len(taken) == 0 {
			break
		}
	}
	if len(due) == 0 {
		return nil
	}
	taken, err := n.take(ctx, due)
	for _, d := range due {
		if err != nil || !taken[d.ID] {
			n.landed(d.App)
			continue
		}
		d.Version, d.Tries, d.Next = d.Version+1, d.Tries+1, n.Clock().Add(after(d.Tries))
		n.gone.Go(func() {
			defer n.nudge() // there is room again
			defer n.landed(d.App)
			n.send(ctx, d)
		})
	}
	return err
}

// busy tells whether there is room for nobody, and which applications have no
// room.
func (n *Notices) busy() (full bool, busy []parvis.AppID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for app, flights := range n.flights {
		if flights >= mostForApp {
			busy = append(busy, app)
		}
	}
	return n.flying >= mostFlights, busy
}

// room keeps those of the notices for which there is room now.
func (n *Notices) room(due []store.Notice) []store.Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []store.Notice
	for _, d := range due {
		if n.flying < mostFlights && n.flights[d.App] < mostForApp {
			n.flying++
			n.flights[d.App]++
			all = append(all, d)
		}
	}
	return all
}

func (n *Notices) landed(app parvis.AppID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flying--
	if n.flights[app]--; n.flights[app] == 0 {
		delete(n.flights, app)
	}
}

// after is how long a notice rests once it is taken for one more try, so that
// no other process sends it meanwhile, and whoever took it may die.
func after(tries int) time.Duration {
	if w := waits(); tries < len(w) {
		return w[tries]
	}
	return lastWait
}

// take marks notices as being tried, and tells which were still there.
func (n *Notices) take(ctx context.Context, due []store.Notice) (map[string]bool, error) {
	var taken map[string]bool
	err := n.Store.Write(ctx, func(tx *store.Tx) error {
		taken = map[string]bool{}
		for _, d := range due {
			d.Tries, d.Next = d.Tries+1, tx.Now().Add(after(d.Tries))
			done, err := tx.PutNotice(ctx, d)
			if err != nil {
				return err
			}
			if done {
				taken[d.ID] = true
			}
		}
		if len(taken) > 0 {
			tx.Record(parvis.Event{Kind: "notice.tried", Actor: "system", Detail: map[string]string{"notices": strconv.Itoa(len(taken))}})
		}
		return nil
	})
	return taken, err
}

// send tries once, and writes down how it went.
func (n *Notices) send(ctx context.Context, d store.Notice) {
	answer, err := n.deliver(ctx, d)
	if err != nil && ctx.Err() != nil {
		return // the program ends: it is tried again
	}
	d.State, d.Answer = "delivered", answer
	event := "notice.delivered"
	if err != nil {
		d.State, d.Answer, event = "waiting", cut(cause(err), longestText), "notice.failed"
		code := parvis.CodeOf(err)
		if d.Tries > len(waits()) || code == parvis.CodeNotFound || code == parvis.CodeInvalid {
			d.State, event = "given_up", "notice.given_up"
		}
		n.Log.Warn("an application could not be told that a session ended", "app", d.App, "try", d.Tries, "cause", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	if err := n.Store.Write(ctx, func(tx *store.Tx) error {
		done, err := tx.PutNotice(ctx, d)
		if err == nil && done {
			tx.Record(parvis.Event{
				Kind: event, Agent: d.Agent, Actor: "system", Channel: d.Channel, App: d.App,
				Detail: map[string]string{"grant": d.Grant, "tries": strconv.Itoa(d.Tries), "answer": d.Answer},
			})
		}
		return err
	}); err != nil {
		n.Log.Error("what an application answered could not be kept", "app", d.App, "cause", err)
	}
}

// deliver sends a notice, and gives what was answered.
func (n *Notices) deliver(ctx context.Context, d store.Notice) (string, error) {
	const op = "apps.deliver"
	write := n.Make[d.Protocol]
	if write == nil {
		return "", &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: fmt.Errorf("nobody speaks %q", d.Protocol)}
	}
	if d.Tries > len(waits())+1 { // whoever took the last try did not live to tell
		return "", &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("tried often enough")}
	}
	r, err := write(ctx, d)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New("nobody to tell")}
	}
	answer, err := n.HTTP.Do(r.WithContext(ctx))
	if err != nil {
		return "", &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: err}
	}
	defer func() { _ = answer.Body.Close() }() // nothing is expected of it
	_, _ = io.CopyN(io.Discard, answer.Body, readAnswer)
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return "", &parvis.Error{Code: parvis.CodeUnavailable, Op: op, Err: errors.New(answer.Status)}
	}
	return cut(answer.Status, longestText), nil
}

// cause says what happened, without our own words around it: it is read by
// whoever looks after the application.
func cause(err error) string {
	var ours *parvis.Error
	if errors.As(err, &ours) && ours.Err != nil {
		return ours.Err.Error()
	}
	return err.Error()
}

// cut keeps the beginning of what somebody else wrote, on one line.
func cut(s string, most int) string {
	s = strings.ToValidUTF8(s[:min(len(s), most)], "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}
