package recovery

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// How long things are good, and how often they may be asked for.
const (
	handOverGood = 30 * 24 * time.Hour
	mailGood     = 24 * time.Hour   // NIST SP 800-63B-4 4.2: codes by mail
	flowGood     = 60 * time.Minute // the same code opens another one
	floorOfStart = 250 * time.Millisecond

	whyLimited parvis.ReasonCode = "recovery_rate_limited"

	quarter = 15 * time.Minute
	day     = 24 * time.Hour
)

// Desk is the recovery desk. The first group is required, the rest works when
// zero.
type Desk struct {
	Store     *store.Store
	Vault     *credential.Vault
	Outbox    *notify.Outbox
	Keys      *seal.Keys
	Addresses *parvis.Addresses
	Clock     func() time.Time

	Profiles     []parvis.Profile // for the days a password lasts and who needs a second proof
	HandOverDays int              // how long a code handed over is good; 0 for 30, at most 90
	Verifier     bool             // the organisation asks for the second account; not read when Mode is there
	Floor        time.Duration    // the least time Start takes; 0 for 250 ms, negative for none

	// What policy asks of an agent at the strictest entrance: whether a second
	// proof, and what part the second account has. Nil: as Profiles and Verifier
	// say.
	Second func(*parvis.Agent) bool
	Mode   func(*parvis.Agent) parvis.VerifierMode
}

// Pair is the two things a newcomer knows.
type Pair struct {
	AgentNumber string
	Email       string
	Origin      parvis.Origin
	Lang        text.Lang
}

// Answer is what may be said to anybody: the reason is identity_pair_neutral
// whether or not the pair matches, or recovery_rate_limited, which depends on
// what was typed and on the address alone. Sender and Subject tell what to look
// for in a mailbox.
type Answer struct {
	Reasons []parvis.Reason
	Sender  string
	Subject string
}

// Start answers a pair. When it matches an account that waits to be activated,
// a link and a code leave for that address and for the personal contact that HR
// knows; when the account cannot be activated, the mailbox is told why, and
// nobody else is. Reads and writes are the same in every case but for the
// message, and the answer comes after a fixed time, so that neither bytes nor
// clock tell one case from another (product rule 5).
func (d *Desk) Start(ctx context.Context, pair Pair) (Answer, error) {
	defer d.level(ctx, time.Now())
	number, _ := parvis.ParseAgentNumber(pair.AgentNumber)
	email := credential.Canonical(pair.Email)
	code, token := d.newTicket()
	answer := Answer{Sender: d.Outbox.From(), Subject: d.Outbox.Subject(pair.Lang, "mail_activation")}
	limits := d.startLimits(number, email, pair.Origin)
	// What is over its limit costs a read, not a write: nobody fills the trail.
	until, err := exhausted(ctx, d.Store.Spent, limits, d.Clock())
	if err != nil {
		return Answer{}, err
	}
	if !until.IsZero() {
		answer.Reasons = []parvis.Reason{{Code: whyLimited, At: until}}
		return answer, nil
	}
	err = d.Store.Write(ctx, func(tx *store.Tx) error {
		event := parvis.Event{
			Kind: "activation.requested", Actor: "system", Channel: pair.Origin.Channel, Address: pair.Origin.Address,
		}
		until, err := exhausted(ctx, tx.Spend, limits, tx.Now())
		if err != nil {
			return err
		}
		if !until.IsZero() {
			answer.Reasons = []parvis.Reason{{Code: whyLimited, At: until}}
			event.Reasons = []parvis.ReasonCode{whyLimited}
			tx.Record(event)
			return nil
		}
		answer.Reasons = []parvis.Reason{{Code: parvis.WhyIdentityPairNeutral}}
		agent, err := found(tx.Agent(ctx, number))
		if err != nil {
			return err
		}
		standing, err := tx.Standing(ctx, number)
		if err != nil {
			return err
		}
		outcome := "no_match"
		if agent != nil {
			event.Agent = agent.Number
			if to := onRecord(agent, email); to != "" {
				outcome, err = d.write(ctx, tx, agent, standing, pair, to, code, token)
			}
		}
		event.Detail = map[string]string{"outcome": outcome}
		tx.Record(event)
		return err
	})
	return answer, err
}

// level holds an answer back until the next whole number of floors has passed
// since began, on the machine's clock.
func (d *Desk) level(ctx context.Context, began time.Time) {
	floor := d.Floor
	if floor == 0 {
		floor = floorOfStart
	}
	if floor < 0 {
		return
	}
	wait := time.NewTimer(floor - time.Since(began)%floor)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// allowance is how often something may be done in a time.
type allowance struct {
	key [32]byte
	n   int
	in  time.Duration
}

func (d *Desk) allowance(what, key string, n int, in time.Duration) allowance {
	return allowance{key: d.Keys.MAC("allowance", []byte(what), []byte(key)), n: n, in: in}
}

// exhausted asks use about every allowance (to spend it, or to look) and tells
// until when there is nothing left; the zero time when there is.
func exhausted(ctx context.Context, use func(context.Context, [32]byte, int, time.Duration) (time.Time, error), all []allowance, now time.Time) (time.Time, error) {
	until := now
	for _, a := range all {
		end, err := use(ctx, a.key, a.n, a.in)
		if err != nil {
			return time.Time{}, err
		}
		if end.After(until) {
			until = end
		}
	}
	if !until.After(now) {
		return time.Time{}, nil
	}
	return until, nil
}

// startLimits are the limits of a request: of everybody together, of the network
// it came from, of the number typed and of the pair, known or not. Our own side
// and everybody else have each their own, so that no stranger can close the
// activation for the city.
func (d *Desk) startLimits(number parvis.AgentNumber, email string, from parvis.Origin) []allowance {
	side, perNetwork := sideOf(from), 20
	if from.Ours() {
		perNetwork = 400 // a whole building arrives through one address
	}
	pair := side + string(number) + "\x00" + email
	return []allowance{
		d.allowance("start everybody", side, 4000, quarter),
		d.allowance("start network", networkOf(from), perNetwork, quarter),
		d.allowance("start number", side+string(number), 12, quarter),
		d.allowance("start number of the day", side+string(number), 40, day),
		d.allowance("start pair", pair, 3, quarter),
		d.allowance("start pair of the day", pair, 10, day),
	}
}

func sideOf(from parvis.Origin) string {
	if from.Ours() {
		return "ours\x00"
	}
	return "elsewhere\x00"
}

// networkOf names where a request came from. One network may hold both sides.
func networkOf(from parvis.Origin) string {
	return sideOf(from) + parvis.Network(from.Address).String()
}

// write sends what a matching pair deserves, and says what it was. to is the
// address on record that matched: nothing is sent to one as typed.
func (d *Desk) write(ctx context.Context, tx *store.Tx, agent *parvis.Agent, standing *parvis.Standing, pair Pair, to, code, token string) (string, error) {
	message := notify.Message{
		Agent: agent.Number, Lang: pair.Lang,
		Args: text.Args{"name": agent.Name(), "agent_number": string(agent.Number), "date_time": tx.Now()},
	}
	if why := cannot(agent, standing, tx.Now()); why != "" {
		message.To, message.Template, message.Cause = []string{to}, "mail_blocked_cause", why
		_, err := d.Outbox.Queue(ctx, tx, message)
		return string(why), err
	}
	until := tx.Now().Add(mailGood)
	message.To, message.Template, message.Code, message.Until = notify.Contacts(agent), "mail_activation", code, until
	message.Args["date_time"] = until
	message.Link = d.portal(pair.Origin.Channel) + "/activate?link=" + url.QueryEscape(token)
	// The code of before stays good unless this one really leaves.
	queued, err := d.Outbox.Queue(ctx, tx, message)
	if err != nil || !queued {
		return "limited", err
	}
	return "sent", d.put(ctx, tx, agent.Number, "mail", "system", code, token, until)
}

// portal is the address of the entrance that was used, or of any other one when
// that one has none: never what the request claims.
func (d *Desk) portal(ch parvis.Channel) string {
	for _, ch := range append([]parvis.Channel{ch, parvis.Mobile}, parvis.Channels()...) {
		if origin := d.Addresses.Portal(ch); origin != "" {
			return origin
		}
	}
	return ""
}

// cannot tells why nobody may begin to activate an account; empty when they may.
func cannot(agent *parvis.Agent, standing *parvis.Standing, at time.Time) parvis.ReasonCode {
	if why := shut(agent, at); why != "" || !standing.Activated {
		return why
	}
	return parvis.WhyActivationCodeUsed
}

// shut tells why an account is not for activating, begun or not.
func shut(agent *parvis.Agent, at time.Time) parvis.ReasonCode {
	switch agent.StateAt(at) {
	case parvis.PreArrival, parvis.Active, parvis.RestrictedHR, parvis.DocumentsOnly:
		return ""
	case parvis.Suspended:
		return parvis.WhyAccountSuspended
	}
	return parvis.WhyAccountClosed
}

// onRecord gives the address that HR knows for the agent and that reads as the
// one typed, in its canonical form; empty when there is none.
func onRecord(agent *parvis.Agent, email string) string {
	for _, known := range notify.Contacts(agent) {
		if credential.Canonical(known) == email {
			return known
		}
	}
	return ""
}

// Issue makes a code to hand over in person or on paper, good until expires. It
// replaces the one before. by is who hands it over: an agent number or
// "operator:NAME"; nobody hands one to themselves. Errors: not_found;
// conflict when the account is activated; refused when it may not be.
func (d *Desk) Issue(ctx context.Context, number parvis.AgentNumber, by string) (code seal.Secret, expires time.Time, err error) {
	const op = "recovery.Issue"
	if by == "" || by == string(number) {
		return "", time.Time{}, &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: errors.New("nobody hands a code to themselves")}
	}
	days := handOverGood
	if d.HandOverDays > 0 {
		days = time.Duration(min(d.HandOverDays, 90)) * day
	}
	shown, _ := d.newTicket()
	err = d.Store.Write(ctx, func(tx *store.Tx) error {
		agent, err := tx.Agent(ctx, number)
		if err != nil {
			return err
		}
		standing, err := tx.Standing(ctx, number)
		if err != nil {
			return err
		}
		switch why := cannot(agent, standing, tx.Now()); why {
		case "":
		case parvis.WhyActivationCodeUsed:
			return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the account is activated")}
		default:
			return &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: errors.New(string(why))}
		}
		expires = tx.Now().Add(days)
		return d.put(ctx, tx, number, "hand_over", by, shown, "", expires)
	})
	if err != nil {
		return "", time.Time{}, err
	}
	return seal.Secret(shown), expires, nil
}

// newTicket makes a code as shown and a link token of 256 bits.
func (d *Desk) newTicket() (code, token string) {
	token, _ = seal.Token()
	return newCode(), token
}

// put keeps a code and, when it is not empty, a token.
func (d *Desk) put(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, kind, by, code, token string, until time.Time) error {
	canonical, _ := parseCode(code)
	c := store.ActivationCode{
		ID: newID(), Agent: number, Kind: kind, Code: d.Keys.MAC("activation code", []byte(canonical)),
		By: by, Created: tx.Now(), Expires: until,
	}
	if token != "" {
		c.Link = d.Keys.MAC("activation link", []byte(token))
	}
	tx.Record(parvis.Event{
		Kind: "activation.code_issued", Agent: number, Actor: by,
		Detail: map[string]string{"kind": kind, "expires": until.Format(time.RFC3339)},
	})
	return tx.PutActivationCode(ctx, c)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return hex.EncodeToString(b[:])
}

// found makes of an agent who does not exist one who is nil.
func found(agent *parvis.Agent, err error) (*parvis.Agent, error) {
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, nil
	}
	return agent, err
}
