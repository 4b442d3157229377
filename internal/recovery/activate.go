package recovery

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
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
// optional; when given it must be the code's. Session is that of the browser,
// zero when it has none: it was found good by whoever asks.
type Redemption struct {
	Code        string
	Link        string
	AgentNumber string
	Session     parvis.Session
	Origin      parvis.Origin
}

// Redeemed is the answer: a cookie for the browser that begins, or resumes, the
// task list; or that one signs in first; or why not. A code that was never
// issued and one that is wrong give the same reason, activation_code_incorrect;
// all else is said of a right code alone.
type Redeemed struct {
	Cookie  seal.Secret
	Expires time.Time
	SignIn  bool // the account has a secret: the code opens the list for its session only
	Reasons []parvis.Reason
}

// Redeem opens the task list. The same code opens it again, here or on another
// device, until the activation is completed; nothing is consumed here, so a
// scanner that follows a link breaks nothing. Once the account has a secret, a
// code alone opens nothing: the browser must hold a session of that agent.
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
				if err := refund(ctx, tx, limits); err != nil {
					return err
				}
				standing, err := tx.Standing(ctx, code.Agent)
				if err != nil {
					return err
				}
				f := store.Flow{
					ID: id, Kind: kindActivation, Agent: code.Agent, Browser: browser, Channel: r.Origin.Channel,
					Code: code.ID, Created: tx.Now(), Expires: tx.Now().Add(flowGood),
				}
				if r.Session.Agent == code.Agent {
					f.Proofs = r.Session.Proofs
				}
				if !proven(standing, f) {
					out.SignIn, event.Detail["next"] = true, "sign_in"
					tx.Record(event)
					return nil
				}
				tx.Record(event)
				out.Cookie, out.Expires = seal.Secret(id+"."+secret), f.Expires
				return tx.PutFlow(ctx, f)
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
	return parvis.Reason{Code: shut(agent, tx.Now())}, nil
}

// reader is what reads, inside a transaction or not.
type reader interface {
	Agent(ctx context.Context, number parvis.AgentNumber) (*parvis.Agent, error)
	Flow(ctx context.Context, id string) (store.Flow, error)
	Standing(ctx context.Context, number parvis.AgentNumber) (*parvis.Standing, error)
}

// flow finds the flow of a cookie: begun, not used, not too old, and still that
// of whoever proved most.
func (d *Desk) flow(ctx context.Context, from reader, cookie seal.Secret, at time.Time) (store.Flow, *parvis.Standing, error) {
	gone := &parvis.Error{Code: parvis.CodeNotFound, Op: "recovery.flow"}
	id, secret, ok := strings.Cut(cookie.Reveal(), ".")
	if !ok {
		return store.Flow{}, nil, gone
	}
	f, err := from.Flow(ctx, id)
	if err != nil {
		return store.Flow{}, nil, err
	}
	hash := seal.Hash(secret)
	if f.Kind != kindActivation || subtle.ConstantTimeCompare(hash[:], f.Browser[:]) != 1 || !f.Used.IsZero() || !f.Expires.After(at) {
		return store.Flow{}, nil, gone
	}
	standing, err := from.Standing(ctx, f.Agent)
	if err != nil {
		return store.Flow{}, nil, err
	}
	if !proven(standing, f) {
		return store.Flow{}, nil, gone
	}
	return f, standing, nil
}

// proven tells whether a flow shows enough for the account as it is: a code
// alone while there is no secret, and the secret once there is one. So a letter
// read by somebody else is worth nothing from that moment.
func proven(standing *parvis.Standing, f store.Flow) bool {
	return !standing.Activated || slices.ContainsFunc(f.Proofs, func(p parvis.Proof) bool {
		return p.Kind == parvis.Password || p.Kind == parvis.Passkey
	})
}

// Flow tells whose activation a cookie stands for and names its flow, for the
// acts of package signin on proofs and links. [parvis.CodeNotFound] when it is
// over, or stands for nothing.
func (d *Desk) Flow(ctx context.Context, cookie seal.Secret) (parvis.AgentNumber, string, error) {
	f, _, err := d.flow(ctx, d.Store, cookie, d.Clock())
	return f.Agent, f.ID, err
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
		f, _, err := d.flow(ctx, tx, cookie, tx.Now())
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
// follow. Quality is what was thought of it either way. Cookie takes the place
// of the one before: the list goes on with it, until Expires. Completed tells
// that nothing that is demanded is left.
type Stored struct {
	Done      bool
	Agent     parvis.AgentNumber
	Reasons   []parvis.Reason
	Quality   credential.Quality
	Cookie    seal.Secret
	Expires   time.Time
	Completed bool
}

// SetPassword stores the first password and tells the contacts, all or nothing;
// of any number of requests at once one succeeds and the others find no flow.
// Every other flow of the agent ends: from now on the code alone opens nothing.
// Nobody is signed in by it. [parvis.CodeConflict] when there is a password:
// changing it is for whoever is in.
func (d *Desk) SetPassword(ctx context.Context, cookie, password seal.Secret, from parvis.Origin, lang text.Lang) (Stored, error) {
	f, standing, err := d.flow(ctx, d.Store, cookie, d.Clock())
	if err != nil {
		return Stored{}, err
	}
	if !standing.PasswordSince.IsZero() {
		return Stored{}, errHasPassword
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
	secret, browser := seal.Token()
	next := store.Flow{ID: newID(), Kind: kindActivation, Browser: browser}
	err = d.Store.Write(ctx, func(tx *store.Tx) error {
		out.Completed, err = d.store(ctx, tx, cookie, hashed, &next, from, lang)
		return err
	})
	if err != nil {
		return Stored{}, err
	}
	out.Done, out.Cookie, out.Expires = true, seal.Secret(next.ID+"."+secret), next.Expires
	return out, nil
}

var errHasPassword = &parvis.Error{Code: parvis.CodeConflict, Op: "recovery.SetPassword"}

// store is the one transaction of a first password. next takes the place of the
// flow that brought it.
func (d *Desk) store(ctx context.Context, tx *store.Tx, cookie seal.Secret, hashed credential.Hashed, next *store.Flow, from parvis.Origin, lang text.Lang) (bool, error) {
	gone := &parvis.Error{Code: parvis.CodeNotFound, Op: "recovery.SetPassword"}
	f, standing, err := d.flow(ctx, tx, cookie, tx.Now())
	if err != nil {
		return false, err
	}
	if !standing.PasswordSince.IsZero() {
		return false, errHasPassword
	}
	code, err := tx.ActivationCodeByID(ctx, f.Code)
	if err != nil {
		return false, err
	}
	code.Used = time.Time{} // completed by a passkey: the list of this browser goes on
	if why, err := d.stillGood(ctx, tx, code, false); err != nil || why.Code != "" {
		return false, errors.Join(err, gone)
	}
	if first, err := tx.UseFlow(ctx, f.ID); err != nil || !first {
		return false, errors.Join(err, gone)
	}
	agent, err := tx.Agent(ctx, f.Agent)
	if err != nil {
		return false, err
	}
	if err := tx.UseFlows(ctx, f.Agent); err != nil {
		return false, err
	}
	if err := d.Vault.SetPassword(ctx, tx, f.Agent, hashed, d.demands(agent).PasswordDays); err != nil {
		return false, err
	}
	next.Agent, next.Code, next.Channel, next.Created, next.Expires = f.Agent, f.Code, from.Channel, tx.Now(), tx.Now().Add(flowGood)
	next.Proofs = append(slices.Clone(f.Proofs), parvis.Proof{Kind: parvis.Password, At: tx.Now()})
	if err := tx.PutFlow(ctx, *next); err != nil {
		return false, err
	}
	_, err = d.Outbox.Queue(ctx, tx, notify.Message{
		Agent: f.Agent, To: notify.Contacts(agent), Lang: lang, Template: "mail_reset_done",
		Args: text.Args{"name": agent.Name(), "date_time": tx.Now()},
	})
	if err != nil {
		return false, err
	}
	return d.settle(ctx, tx, *next, from, false)
}

// Settle records that the activation of a cookie is completed, when nothing
// that is demanded is left: to be called after an act on a proof or a link. The
// list of this browser goes on for what is not demanded; the code is used up.
func (d *Desk) Settle(ctx context.Context, cookie seal.Secret, from parvis.Origin) (completed bool, err error) {
	f, standing, err := d.flow(ctx, d.Store, cookie, d.Clock())
	if err != nil {
		return false, err
	}
	agent, err := d.Store.Agent(ctx, f.Agent)
	if err != nil {
		return false, err
	}
	if d.Remaining(agent, standing).Left > 0 { // the usual case costs no write
		return false, nil
	}
	code, err := d.Store.ActivationCodeByID(ctx, f.Code)
	if err != nil || !code.Used.IsZero() {
		return err == nil, err
	}
	err = d.Store.Write(ctx, func(tx *store.Tx) error {
		f, _, err := d.flow(ctx, tx, cookie, tx.Now())
		if err != nil {
			return err
		}
		completed, err = d.settle(ctx, tx, f, from, false)
		return err
	})
	return completed, err
}

// Finish ends the list because the newcomer says so. What is missing is
// recorded, and waits for them where they sign in. It needs the account to have
// a secret; otherwise [parvis.CodeConflict].
func (d *Desk) Finish(ctx context.Context, cookie seal.Secret, from parvis.Origin) (parvis.AgentNumber, error) {
	var number parvis.AgentNumber
	err := d.Store.Write(ctx, func(tx *store.Tx) error {
		f, standing, err := d.flow(ctx, tx, cookie, tx.Now())
		if err != nil {
			return err
		}
		if !standing.Activated {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "recovery.Finish"}
		}
		number = f.Agent
		if _, err := d.settle(ctx, tx, f, from, true); err != nil {
			return err
		}
		tx.Record(parvis.Event{
			Kind: "activation.step", Agent: f.Agent, Actor: string(f.Agent), Channel: from.Channel, Address: from.Address,
			Detail: map[string]string{"step": "finished"},
		})
		_, err = tx.UseFlow(ctx, f.ID)
		return err
	})
	return number, err
}

// settle completes an activation, once: when nothing demanded is left, or
// because it is wanted.
func (d *Desk) settle(ctx context.Context, tx *store.Tx, f store.Flow, from parvis.Origin, wanted bool) (bool, error) {
	agent, err := tx.Agent(ctx, f.Agent)
	if err != nil {
		return false, err
	}
	standing, err := tx.Standing(ctx, f.Agent)
	if err != nil {
		return false, err
	}
	list := d.Remaining(agent, standing)
	if list.Left > 0 && !wanted {
		return false, nil
	}
	code, err := tx.ActivationCodeByID(ctx, f.Code)
	if err != nil || !code.Used.IsZero() {
		return err == nil, err
	}
	done, err := tx.Activation(ctx, f.Agent)
	if err != nil {
		return false, err
	}
	detail := map[string]string{"identity": "unchecked"}
	switch {
	case done.Reported.After(done.Confirmed):
		detail["identity"] = "disputed"
	case !done.Confirmed.IsZero():
		detail["identity"] = "confirmed"
	}
	var missing []string
	for _, t := range list.Tasks {
		if t.Demanded && t.Status != Done {
			missing = append(missing, t.ID)
		}
	}
	if len(missing) > 0 {
		detail["missing"] = strings.Join(missing, " ")
	}
	tx.Record(parvis.Event{
		Kind: "activation.completed", Agent: f.Agent, Actor: string(f.Agent), Channel: from.Channel, Address: from.Address, Detail: detail,
	})
	return true, tx.UseActivationCodes(ctx, f.Agent)
}

// demands is what the agent's profiles ask, the strictest of each.
func (d *Desk) demands(agent *parvis.Agent) parvis.Profile {
	return parvis.Strictest(d.Profiles, agent)
}
