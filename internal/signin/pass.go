package signin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

// entry is somebody who has shown a first proof, and what must be done in the
// transaction that believes it.
type entry struct {
	agent    *parvis.Agent
	standing *parvis.Standing
	change   parvis.ReasonCode  // why the password must change
	device   credential.Verdict // its Proven and Device
	proof    parvis.Proof
	accept   func(tx *store.Tx) (bool, error)
}

// view is what the door sees of an agent once something is proven.
type view struct {
	agent    *parvis.Agent
	standing *parvis.Standing
	held     []parvis.Held // what can be shown at this entrance
	demand   Demand
	linked   bool
	provider verifier.Provider
	age      time.Duration // that a second proof may have; 0 for any
	days     int           // for which a browser may be remembered
}

// rememberDays is for how long a browser may be remembered at an entrance.
func (h *Hub) rememberDays(agent *parvis.Agent, ch parvis.Channel) int {
	if h.Shared[ch] {
		return 0
	}
	return h.demands(agent).RememberDays
}

// look gathers it.
func (h *Hub) look(ctx context.Context, agent *parvis.Agent, standing *parvis.Standing, from parvis.Origin) (view, error) {
	v := view{agent: agent, standing: standing, days: h.rememberDays(agent, from.Channel)}
	held, err := h.Vault.Holds(ctx, agent.Number)
	if err != nil {
		return view{}, err
	}
	v.held = h.usable(held, from.Channel)
	asked := h.atTheDoor(agent, standing, from.Channel)
	v.demand, v.age = Demand{Second: asked.Strength, Fallback: h.Fallback}, asked.MaxAge
	v.provider, v.linked = h.linked(standing)
	if h.Policy != nil && h.Link != nil {
		v.demand.Verifier = h.Policy.VerifierMode(agent, from.Channel)
		v.demand.Down = v.linked && h.Link.Down(v.provider.ID)
	}
	return v, nil
}

// atTheDoor is what is asked there: what the entrance demands and, on the way
// in from outside, whatever is held (product.md section 5).
func (h *Hub) atTheDoor(agent *parvis.Agent, standing *parvis.Standing, ch parvis.Channel) parvis.Demand {
	if h.Policy != nil {
		return h.Policy.Asked(agent, standing, "", ch, h.Clock())
	}
	d, _ := parvis.Demanded(h.Profiles, agent, ch, h.Clock())
	if ch != parvis.Internal {
		d.Strength = max(d.Strength, parvis.AnySecond)
	}
	return d
}

// demanded is the least strength that binds at an entrance now.
func (h *Hub) demanded(agent *parvis.Agent, ch parvis.Channel) int {
	if h.Policy != nil {
		return h.Policy.Demand(agent, "", ch, h.Clock()).Strength
	}
	d, _ := parvis.Demanded(h.Profiles, agent, ch, h.Clock())
	return d.Strength
}

// next names the step of somebody who has shown proofs.
func (v *view) next(at time.Time, proofs []parvis.Proof, change parvis.ReasonCode) Step {
	return Next(
		Shown{Identifier: string(v.agent.Number), Proofs: kinds(proofs)},
		Facts{State: v.agent.StateAt(at), Change: change, Held: heldKinds(v.held), Linked: v.linked},
		v.demand,
	)
}

func kinds(proofs []parvis.Proof) []parvis.ProofKind {
	all := make([]parvis.ProofKind, len(proofs))
	for i, p := range proofs {
		all[i] = p.Kind
	}
	return all
}

func heldKinds(held []parvis.Held) []parvis.ProofKind {
	all := make([]parvis.ProofKind, len(held))
	for i, m := range held {
		all[i] = m.Kind
	}
	return all
}

// pass goes on after a right first proof: now the state of the account may be
// looked at, and said (P1).
func (h *Hub) pass(ctx context.Context, in In, p page, out Outcome, e entry) (Outcome, error) {
	v, err := h.look(ctx, e.agent, e.standing, in.Origin)
	if err != nil {
		return Outcome{}, err
	}
	proofs, err := h.remembered(ctx, &v, e)
	if err != nil {
		return Outcome{}, err
	}
	out.Reasons, out.Return = nil, p.Return
	flow := store.Flow{
		ID: newID(), Kind: kindSignIn, Agent: e.agent.Number, Channel: in.Origin.Channel, Device: e.device.Device, Reason: e.change,
	}
	var accepted bool
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		now := []parvis.Proof{e.proof}
		now[0].At = tx.Now()
		now = append(now, proofs...)
		out.Step = v.next(tx.Now(), now, e.change)
		if accepted, err = e.accept(tx); err != nil || !accepted {
			return err
		}
		switch out.Step {
		case StepDone:
			return h.begin(ctx, tx, in, &out, e.agent, now, e.device)
		case StepBlocked:
			return h.blocked(ctx, tx, in, &out, &v)
		}
		out.Cookie, flow.Browser = browser(in.Cookie)
		flow.Proofs, flow.Created, flow.Expires = now, tx.Now(), tx.Now().Add(flowGood)
		tx.Record(parvis.Event{
			Kind: "sign_in.held", Agent: e.agent.Number, Actor: string(e.agent.Number), Channel: in.Origin.Channel,
			Address: in.Origin.Address, Reasons: h.heldFor(out.Step, e), Detail: map[string]string{"step": string(out.Step)},
		})
		return tx.PutFlow(ctx, flow)
	})
	switch {
	case err != nil:
		return Outcome{}, err
	case !accepted: // a passkey that was shown before, or that was copied
		return h.noPasskey(out, p)
	}
	p.Flow, p.Identifier = flow.ID, cmp.Or(p.Identifier, string(e.agent.Number))
	if out.Cookie != "" {
		in.Cookie = out.Cookie.Reveal()
	}
	return h.show(ctx, in, p, out, flow, v, true)
}

// remembered adds the second proof that this browser stands for, as old as it
// is: what asks for a fresher one asks.
func (h *Hub) remembered(ctx context.Context, v *view, e entry) ([]parvis.Proof, error) {
	if e.device.Device == "" || !e.device.Proven || v.days <= 0 || e.proof.Kind != parvis.Password {
		return nil, nil
	}
	proof, until, ok, err := h.Store.Remembered(ctx, v.agent.Number, e.device.Device)
	now := h.Clock()
	// The shortest time that policy now allows, not the one of the day.
	if err != nil || !ok || !now.Before(until) || !now.Before(proof.At.AddDate(0, 0, v.days)) || now.Before(proof.At) ||
		v.age > 0 && now.Sub(proof.At) > v.age {
		return nil, err
	}
	return []parvis.Proof{proof}, nil
}

// heldFor is why the door keeps somebody, for the record.
func (h *Hub) heldFor(step Step, e entry) []parvis.ReasonCode {
	switch step {
	case StepNewPassword:
		return []parvis.ReasonCode{h.changeReason(&Outcome{Args: text.Args{}}, e.agent, e.standing, e.change).Code}
	case StepVerifier:
		return nil
	}
	return []parvis.ReasonCode{parvis.WhyStepUpRequired}
}

// blocked freezes why no session begins, in the caller's transaction.
func (h *Hub) blocked(ctx context.Context, tx *store.Tx, in In, out *Outcome, v *view) error {
	why := parvis.Reason{Code: parvis.WhyVerifierUnavailable}
	if !opens(v.agent.StateAt(tx.Now())) {
		why = stateReason(v.agent, tx.Now())
		why.At = h.local(why.At)
		out.Args["date"] = why.At
	}
	out.Step, out.Reasons, out.Provider = StepBlocked, []parvis.Reason{why}, v.provider
	var err error
	out.Reference, err = h.refuse(ctx, tx, in, v.agent, out.Reasons, parvis.Event{
		Kind: "sign_in.blocked", Reasons: []parvis.ReasonCode{why.Code},
	})
	return err
}

// show ends an answer at the step it led to. Fresh tells that the step was just
// reached: a code is then sent without being asked for.
func (h *Hub) show(ctx context.Context, in In, p page, out Outcome, f store.Flow, v view, fresh bool) (Outcome, error) {
	switch out.Step {
	case StepDone:
		return out, nil
	case StepBlocked:
		out.Identifier = p.Identifier
		return out, nil
	case StepSecondFactor:
		return h.askSecond(ctx, in, p, out, f, v, fresh)
	case StepVerifier:
		out.Provider, out.Purpose = v.provider, purposeProve
		h.tellDown(&out, v)
	case StepNewPassword:
		out.Reasons = append(out.Reasons, h.changeReason(&out, v.agent, v.standing, f.Reason))
	}
	return h.ask(out, p, out.Step)
}

// tellDown says that the verifier does not answer, and whether one may go on
// without it.
func (h *Hub) tellDown(out *Outcome, v view) {
	if v.demand.Down && each(v.demand.Verifier) && v.linked {
		if !slices.ContainsFunc(out.Reasons, func(r parvis.Reason) bool { return r.Code == parvis.WhyVerifierUnavailable }) {
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyVerifierUnavailable})
		}
		out.Provider, out.Waivable = v.provider, v.demand.Fallback
	}
}

// goOn takes the answer of somebody whose first proof was right. What was
// proven is in the stored flow; the form carries only its name.
func (h *Hub) goOn(ctx context.Context, in In, p page, out Outcome) (Outcome, error) {
	f, err := h.flow(in, p, h.Clock(), func(id string) (store.Flow, error) { return h.Store.Flow(ctx, id) })
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return h.again(p, out)
	}
	if err != nil {
		return Outcome{}, err
	}
	agent, standing, err := h.Directory.Facts(ctx, f.Agent)
	if err != nil {
		return Outcome{}, err
	}
	v, err := h.look(ctx, agent, standing, in.Origin)
	if err != nil {
		return Outcome{}, err
	}
	out.Return, out.Step = p.Return, v.next(h.Clock(), f.Proofs, f.Reason)
	switch out.Step {
	case StepSecondFactor:
		return h.answerSecond(ctx, in, p, out, f, v)
	case StepVerifier:
		if in.Posted && in.Method == string(parvis.VerifierWaived) && v.demand.Down {
			return h.add(ctx, in, p, out, v, func(tx *store.Tx, _ *Outcome) (parvis.Proof, error) {
				tx.Record(parvis.Event{
					Kind: "sign_in.fallback", Agent: agent.Number, Actor: string(agent.Number), Channel: in.Origin.Channel,
					Address: in.Origin.Address, Reasons: []parvis.ReasonCode{parvis.WhyVerifierUnavailable},
				})
				return parvis.Proof{Kind: parvis.VerifierWaived, At: tx.Now()}, nil
			})
		}
		return h.show(ctx, in, p, out, f, v, false)
	case StepNewPassword:
		return h.change(ctx, in, p, out, f, agent, standing)
	}
	// Somebody acted meanwhile: nothing more is asked, or nothing helps.
	return h.add(ctx, in, p, out, v, nil)
}

// add is the transaction that believes one more proof: it goes on in the flow,
// or the flow is used and the session begins. A check that finds nothing, and no
// error, leaves everything as it is, but for what it recorded.
func (h *Hub) add(ctx context.Context, in In, p page, out Outcome, v view, check func(tx *store.Tx, out *Outcome) (parvis.Proof, error)) (Outcome, error) {
	var f store.Flow
	before := out
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		var err error
		out = before // it may run again
		if f, err = h.stillGood(ctx, tx, in, p); err != nil {
			return err
		}
		if v.agent, err = tx.Agent(ctx, f.Agent); err != nil { // decided again: HR may have acted meanwhile
			return err
		}
		if check != nil {
			proof, err := check(tx, &out)
			if err != nil || proof.Kind == "" {
				return err
			}
			f.Proofs = append(slices.DeleteFunc(f.Proofs, func(had parvis.Proof) bool { return had.Kind == proof.Kind }), proof)
			if err := tx.AddFlowProof(ctx, f.ID, proof); err != nil {
				return err
			}
		}
		out.Step = v.next(tx.Now(), f.Proofs, f.Reason)
		switch out.Step {
		case StepDone, StepBlocked:
			if first, err := tx.UseFlow(ctx, f.ID); err != nil || !first {
				return errors.Join(err, errGone)
			}
		default:
			return nil
		}
		if out.Step == StepBlocked {
			return h.blocked(ctx, tx, in, &out, &v)
		}
		if err := h.begin(ctx, tx, in, &out, v.agent, f.Proofs, credential.Verdict{Proven: f.Device != "", Device: f.Device}); err != nil {
			return err
		}
		return h.remember(ctx, tx, in, p, &out, v, f.Proofs)
	})
	switch parvis.CodeOf(err) {
	case "":
		return h.show(ctx, in, p, out, f, v, out.Step != before.Step)
	case parvis.CodeNotFound:
		return h.again(p, Outcome{Args: text.Args{}, Return: out.Return})
	}
	return Outcome{}, err
}

var errGone = &parvis.Error{Code: parvis.CodeNotFound, Op: "signin.add", Err: errors.New("what was proven is used, or no longer so")}

// stillGood reads the flow of a form again, inside the transaction that acts.
func (h *Hub) stillGood(ctx context.Context, tx *store.Tx, in In, p page) (store.Flow, error) {
	f, err := h.flow(in, p, tx.Now(), func(id string) (store.Flow, error) { return tx.Flow(ctx, id) })
	if err != nil {
		return f, err
	}
	standing, err := tx.Standing(ctx, f.Agent)
	if err != nil {
		return f, err
	}
	// The password may have been changed elsewhere since it was shown here.
	if len(f.Proofs) == 0 || standing.PasswordSince.After(f.Proofs[0].At) {
		return f, errGone
	}
	return f, nil
}

// begin begins the session and remembers the browser, in the caller's
// transaction. A browser seen for the first time is told to the contacts, but
// for the very first one of an account.
func (h *Hub) begin(ctx context.Context, tx *store.Tx, in In, out *Outcome, agent *parvis.Agent, proofs []parvis.Proof, v credential.Verdict) error {
	from := in.Origin
	out.device = v.Device
	if from.Device == "" {
		from.Device = v.Device
	}
	if !v.Proven {
		standing, err := tx.Standing(ctx, agent.Number)
		if err != nil {
			return err
		}
		name := session.Browser(in.Browser)
		secret, device, err := h.Vault.Prove(ctx, tx, agent.Number, name)
		if err != nil {
			return err
		}
		out.Device, out.device = credential.Remember(in.Device, secret), device.ID
		if from.Device == "" {
			from.Device = device.ID
		}
		if len(standing.Devices) > 0 {
			args := text.Args{}
			if name != "" {
				args["device"] = name
			}
			if _, err := h.Outbox.Queue(ctx, tx, h.message(tx, agent, "mail_new_device", in.Lang, args)); err != nil {
				return err
			}
		}
	}
	var err error
	out.Token, out.Session, err = h.Keeper.Begin(tx, session.Beginning{
		Agent: agent.Number, Origin: from, Proofs: proofs, Browser: in.Browser,
	})
	return err
}

// browser gives the secret that ties a stored flow to the browser: the one it
// already has, so that its other tabs keep theirs, or a new one to be set.
func browser(cookie string) (set seal.Secret, hash [32]byte) {
	if len(cookie) == 43 { // a secret of seal.Token; its worth is the flow's name, which is sealed in the form
		return "", seal.Hash(cookie)
	}
	secret, hash := seal.Token()
	return seal.Secret(secret), hash
}
