package recovery

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

const kindActivation = "activation"

// Redemption is a code as typed, or the token of a link. AgentNumber is
// optional; when given it must be the code's.
type Redemption struct {
	Code        string
	Link        string
	AgentNumber string
	Origin      parvis.Origin
}

// Redeemed is the answer: a cookie for the browser that begins, or resumes, the
// task list; or why not. A code that was never issued and one that is wrong
// give the same reason, activation_code_incorrect; expired, replaced and used
// are said of a right code alone.
type Redeemed struct {
	Cookie  seal.Secret
	Expires time.Time
	Reasons []parvis.Reason
}

// Redeem opens the task list. The same code opens it again, here or on another
// device, until the password is stored; nothing is consumed here, so a scanner
// that follows a link breaks nothing.
func (d *Desk) Redeem(ctx context.Context, r Redemption) (Redeemed, error) {
	var hash [32]byte
	if r.Link != "" {
		hash = d.Keys.MAC("activation link", []byte(r.Link))
	} else {
		canonical, ok := parseCode(r.Code)
		if !ok { // a slip of the pen, found by the check sign: not a try
			return Redeemed{Reasons: []parvis.Reason{{Code: parvis.WhyActivationCodeIncorrect}}}, nil
		}
		hash = d.Keys.MAC("activation code", []byte(canonical))
	}
	secret, browser := seal.Token()
	id := newID()
	limits := d.tryLimits(r)
	// A stranger who is over the limit costs a read, not a write.
	until, err := exhausted(ctx, d.Store.Spent, limits, d.Clock())
	if err != nil {
		return Redeemed{}, err
	}
	if !until.IsZero() {
		return Redeemed{Reasons: []parvis.Reason{{Code: parvis.WhyRateLimited, At: until}}}, nil
	}
	var out Redeemed
	err = d.Store.Write(ctx, func(tx *store.Tx) error {
		out = Redeemed{}
		event := parvis.Event{
			Kind: "activation.refused", Actor: "system", Channel: r.Origin.Channel, Address: r.Origin.Address,
		}
		until, err := exhausted(ctx, tx.Spend, limits, tx.Now())
		if err != nil {
			return err
		}
		why := parvis.Reason{Code: parvis.WhyRateLimited, At: until}
		if until.IsZero() {
			var code store.ActivationCode
			if code, why, err = d.judge(ctx, tx, hash, r); err != nil {
				return err
			}
			event.Agent = code.Agent
			if why.Code == "" {
				event.Kind, event.Actor = "activation.redeemed", string(code.Agent)
				event.Detail = map[string]string{"kind": code.Kind}
				tx.Record(event)
				out.Cookie, out.Expires = seal.Secret(id+"."+secret), tx.Now().Add(flowGood)
				if err := refund(ctx, tx, limits); err != nil {
					return err
				}
				return tx.PutFlow(ctx, store.Flow{
					ID: id, Kind: kindActivation, Agent: code.Agent, Browser: browser, Channel: r.Origin.Channel,
					Code: code.ID, Created: tx.Now(), Expires: out.Expires,
				})
			}
		}
		out.Reasons = []parvis.Reason{why}
		event.Reasons = []parvis.ReasonCode{why.Code}
		tx.Record(event)
		return nil
	})
	return out, err
}

// tryLimits count a try as wrong before it is looked at: by network, and by the
// agent number typed, whether or not anybody has it; on our own side apart, so
// that no stranger uses up what a newcomer has at the office.
func (d *Desk) tryLimits(r Redemption) []allowance {
	perNetwork := 5
	if r.Origin.Ours() {
		perNetwork = 100 // newcomers side by side in one room
	}
	all := []allowance{d.allowance("redeem network", networkOf(r.Origin), perNetwork, quarter)}
	if number, ok := parvis.ParseAgentNumber(r.AgentNumber); ok {
		all = append(all, d.allowance("redeem number", sideOf(r.Origin)+string(number), 5, quarter))
	}
	return all
}

func refund(ctx context.Context, tx *store.Tx, all []allowance) error {
	var failed []error
	for _, a := range all {
		failed = append(failed, tx.Refund(ctx, a.key))
	}
	return errors.Join(failed...)
}

// judge finds a code and says what is wrong with it; no reason when it is good.
func (d *Desk) judge(ctx context.Context, tx *store.Tx, hash [32]byte, r Redemption) (store.ActivationCode, parvis.Reason, error) {
	incorrect := parvis.Reason{Code: parvis.WhyActivationCodeIncorrect}
	code, err := tx.ActivationCode(ctx, hash)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return store.ActivationCode{}, incorrect, nil
	}
	if err != nil {
		return store.ActivationCode{}, incorrect, err
	}
	if r.AgentNumber != "" {
		if number, ok := parvis.ParseAgentNumber(r.AgentNumber); !ok || number != code.Agent {
			return store.ActivationCode{}, incorrect, nil
		}
	}
	why, err := d.stillGood(ctx, tx, code, r.Link != "")
	return code, why, err
}

// stillGood says what stands between a right code and the task list.
func (d *Desk) stillGood(ctx context.Context, tx *store.Tx, code store.ActivationCode, byLink bool) (parvis.Reason, error) {
	switch {
	case !code.Used.IsZero():
		return parvis.Reason{Code: parvis.WhyActivationCodeUsed, At: code.Used}, nil
	case !code.Replaced.IsZero() && byLink:
		return parvis.Reason{Code: "recovery_link_replaced", At: code.Replaced}, nil
	case !code.Replaced.IsZero():
		return parvis.Reason{Code: parvis.WhyActivationCodeExpired, At: code.Replaced}, nil
	case !code.Expires.After(tx.Now()):
		return parvis.Reason{Code: parvis.WhyActivationCodeExpired, At: code.Expires}, nil
	}
	agent, err := tx.Agent(ctx, code.Agent)
	if err != nil {
		return parvis.Reason{}, err
	}
	standing, err := tx.Standing(ctx, code.Agent)
	if err != nil {
		return parvis.Reason{}, err
	}
	return parvis.Reason{Code: cannot(agent, standing, tx.Now())}, nil
}

// flow finds the flow of a cookie: begun, not used, not too old.
func (d *Desk) flow(cookie seal.Secret, at time.Time, read func(id string) (store.Flow, error)) (store.Flow, error) {
	gone := &parvis.Error{Code: parvis.CodeNotFound, Op: "recovery.flow"}
	id, secret, ok := strings.Cut(cookie.Reveal(), ".")
	if !ok {
		return store.Flow{}, gone
	}
	f, err := read(id)
	if err != nil {
		return store.Flow{}, err
	}
	hash := seal.Hash(secret)
	if f.Kind != kindActivation || subtle.ConstantTimeCompare(hash[:], f.Browser[:]) != 1 || !f.Used.IsZero() || !f.Expires.After(at) {
		return store.Flow{}, gone
	}
	return f, nil
}

// ConfirmIdentity notes that the newcomer finds what HR wrote right.
func (d *Desk) ConfirmIdentity(ctx context.Context, cookie seal.Secret, from parvis.Origin) error {
	return d.note(ctx, cookie, from, "activation.identity_confirmed", "", func(a *store.Activation, now time.Time) {
		a.Confirmed = now
	})
}

// ReportWrongIdentity records for HR that it is not right. what is the
// newcomer's own words, cut at 500 signs; the activation goes on meanwhile.
func (d *Desk) ReportWrongIdentity(ctx context.Context, cookie seal.Secret, from parvis.Origin, what string) error {
	words := []rune(strings.Join(strings.Fields(what), " "))
	what = string(words[:min(len(words), 500)])
	return d.note(ctx, cookie, from, "activation.identity_disputed", what, func(a *store.Activation, now time.Time) {
		a.Reported = now
	})
}

func (d *Desk) note(ctx context.Context, cookie seal.Secret, from parvis.Origin, kind, what string, change func(*store.Activation, time.Time)) error {
	return d.Store.Write(ctx, func(tx *store.Tx) error {
		f, err := d.flow(cookie, tx.Now(), func(id string) (store.Flow, error) { return tx.Flow(ctx, id) })
		if err != nil {
			return err
		}
		done, err := tx.Activation(ctx, f.Agent)
		if err != nil {
			return err
		}
		change(&done, tx.Now())
		event := parvis.Event{Kind: kind, Agent: f.Agent, Actor: string(f.Agent), Channel: from.Channel, Address: from.Address}
		if what != "" {
			event.Detail = map[string]string{"what": what}
		}
		tx.Record(event)
		return tx.PutActivation(ctx, f.Agent, done)
	})
}

// Stored is the answer to a new password: Done, or the rules it does not
// follow. Quality is what was thought of it either way.
type Stored struct {
	Done    bool
	Agent   parvis.AgentNumber
	Reasons []parvis.Reason
	Quality credential.Quality
}

// SetPassword ends the activation, whatever else of the list was done: the code and the flow are consumed, the
// password is stored and the contacts are told, all or nothing; of any number
// of requests at once one succeeds and the others find no flow. Nobody is
// signed in by it: what comes next is the door.
func (d *Desk) SetPassword(ctx context.Context, cookie, password seal.Secret, from parvis.Origin, lang text.Lang) (Stored, error) {
	f, err := d.flow(cookie, d.Clock(), func(id string) (store.Flow, error) { return d.Store.Flow(ctx, id) })
	if err != nil {
		return Stored{}, err
	}
	agent, err := d.Store.Agent(ctx, f.Agent)
	if err != nil {
		return Stored{}, err
	}
	out := Stored{Agent: f.Agent, Quality: d.Vault.Judge(password, agent, d.demands(agent).Sensitive)}
	for _, code := range out.Quality.Reasons {
		out.Reasons = append(out.Reasons, parvis.Reason{Code: code})
	}
	if len(out.Reasons) > 0 {
		return out, nil
	}
	hashed, err := d.Vault.Hash(ctx, password) // outside Write: it takes its time
	if err != nil {
		return Stored{}, err
	}
	err = d.Store.Write(ctx, func(tx *store.Tx) error {
		return d.complete(ctx, tx, cookie, hashed, from, lang)
	})
	if err != nil {
		return Stored{}, err
	}
	out.Done = true
	return out, nil
}

// complete is the one transaction that ends an activation.
func (d *Desk) complete(ctx context.Context, tx *store.Tx, cookie seal.Secret, hashed credential.Hashed, from parvis.Origin, lang text.Lang) error {
	gone := &parvis.Error{Code: parvis.CodeNotFound, Op: "recovery.SetPassword"}
	f, err := d.flow(cookie, tx.Now(), func(id string) (store.Flow, error) { return tx.Flow(ctx, id) })
	if err != nil {
		return err
	}
	code, err := tx.ActivationCodeByID(ctx, f.Code)
	if err != nil {
		return err
	}
	if why, err := d.stillGood(ctx, tx, code, false); err != nil || why.Code != "" {
		return errors.Join(err, gone)
	}
	if first, err := tx.UseFlow(ctx, f.ID); err != nil || !first {
		return errors.Join(err, gone)
	}
	agent, err := tx.Agent(ctx, f.Agent)
	if err != nil {
		return err
	}
	if err := errors.Join(tx.UseActivationCodes(ctx, f.Agent), tx.UseFlows(ctx, f.Agent)); err != nil {
		return err
	}
	if err := d.Vault.SetPassword(ctx, tx, f.Agent, hashed, d.demands(agent).PasswordDays); err != nil {
		return err
	}
	done, err := tx.Activation(ctx, f.Agent)
	if err != nil {
		return err
	}
	identity := "unchecked"
	switch {
	case done.Reported.After(done.Confirmed):
		identity = "disputed"
	case !done.Confirmed.IsZero():
		identity = "confirmed"
	}
	tx.Record(parvis.Event{
		Kind: "activation.completed", Agent: f.Agent, Actor: string(f.Agent), Channel: from.Channel, Address: from.Address,
		Detail: map[string]string{"identity": identity},
	})
	_, err = d.Outbox.Queue(ctx, tx, notify.Message{
		Agent: f.Agent, To: notify.Contacts(agent), Lang: lang, Template: "mail_reset_done",
		Args: text.Args{"name": agent.Name(), "date_time": tx.Now()},
	})
	return err
}

// demands is what the agent's profiles ask, the strictest of each.
func (d *Desk) demands(agent *parvis.Agent) parvis.Profile {
	return parvis.Strictest(d.Profiles, agent)
}
