package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
)

// pass goes on after a right password: now the state of the account may be
// looked at, and said (P1).
func (h *Hub) pass(ctx context.Context, in In, p page, out Outcome, try credential.Try, standing *parvis.Standing, v credential.Verdict) (Outcome, error) {
	agent := try.Agent
	facts := Facts{State: agent.StateAt(h.Clock()), Change: v.MustChange}
	step := Next(Shown{Identifier: p.Identifier, Proofs: []parvis.ProofKind{parvis.Password}}, facts, Demand{Second: h.demands(agent).Sensitive})
	out.Reasons, out.Return = nil, p.Return
	flow := store.Flow{
		ID: newID(), Kind: kindSignIn, Agent: agent.Number, Channel: in.Origin.Channel, Device: v.Device,
	}
	if step == StepNewPassword {
		out.Reasons = append(out.Reasons, h.changeReason(&out, agent, standing, v.MustChange))
		out.Cookie, flow.Browser = browser(in.Cookie)
		flow.Reason = out.Reasons[0].Code
	}
	if step == StepBlocked {
		why := stateReason(agent, h.Clock())
		why.At = h.local(why.At)
		out.Reasons = append(out.Reasons, why)
		out.Args["date"] = why.At
	}
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		proofs := []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}}
		if err := h.Vault.Succeed(ctx, tx, try, v); err != nil {
			return err
		}
		switch step {
		case StepNewPassword:
			flow.Proofs, flow.Created, flow.Expires = proofs, tx.Now(), tx.Now().Add(flowGood)
			tx.Record(parvis.Event{
				Kind: "sign_in.held", Agent: agent.Number, Actor: string(agent.Number), Channel: in.Origin.Channel,
				Address: in.Origin.Address, Reasons: []parvis.ReasonCode{flow.Reason},
			})
			return tx.PutFlow(ctx, flow)
		case StepDone:
			return h.begin(ctx, tx, in, &out, agent, proofs, v)
		}
		var err error
		out.Reference, err = h.refuse(ctx, tx, in, agent, out.Reasons, parvis.Event{
			Kind: "sign_in.blocked", Reasons: []parvis.ReasonCode{out.Reasons[0].Code},
		})
		return err
	})
	if parvis.CodeOf(err) == parvis.CodeConflict { // the password changed while it was checked
		out.Reasons = []parvis.Reason{{Code: parvis.WhyCredentialsIncorrect}}
		return h.ask(out, p, StepSecret)
	}
	if err != nil {
		return Outcome{}, err
	}
	switch step {
	case StepNewPassword:
		p.Flow = flow.ID
		return h.ask(out, p, step)
	case StepDone:
		out.Step = step
		return out, nil
	}
	out.Step, out.Identifier = StepBlocked, p.Identifier
	return out, nil
}

// begin begins the session and remembers the browser, in the caller's
// transaction. A browser seen for the first time is told to the contacts, but
// for the very first one of an account.
func (h *Hub) begin(ctx context.Context, tx *store.Tx, in In, out *Outcome, agent *parvis.Agent, proofs []parvis.Proof, v credential.Verdict) error {
	from := in.Origin
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
		out.Device = credential.Remember(in.Device, secret)
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

// change takes the new password of somebody whose old one was right. What was
// proven is in the stored flow; the form carries only its name.
func (h *Hub) change(ctx context.Context, in In, p page, out Outcome) (Outcome, error) {
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
	out.Return = p.Return
	if in.NewPassword == "" {
		out.Reasons = append(out.Reasons, h.changeReason(&out, agent, standing, f.Reason))
		return h.ask(out, p, StepNewPassword)
	}
	out.Quality = h.Vault.Judge(in.NewPassword, agent, h.demands(agent).Sensitive)
	rules := out.Quality.Reasons
	if len(rules) == 0 {
		same, err := h.Vault.Reused(ctx, agent.Number, in.NewPassword)
		if err != nil {
			return Outcome{}, err
		}
		if same {
			rules = append(rules, parvis.WhyPasswordRuleReused)
		}
	}
	if len(rules) > 0 { // why a new one is asked for stays true beside what this one lacks
		out.Reasons = append(out.Reasons, h.changeReason(&out, agent, standing, f.Reason))
		for _, code := range rules {
			out.Reasons = append(out.Reasons, parvis.Reason{Code: code})
		}
		return h.ask(out, p, StepNewPassword)
	}
	hashed, err := h.Vault.Hash(ctx, in.NewPassword) // outside Write: it takes its time
	if err != nil {
		return Outcome{}, err
	}
	err = h.Store.Write(ctx, func(tx *store.Tx) error { return h.changed(ctx, tx, in, p, &out, hashed) })
	switch parvis.CodeOf(err) {
	case "":
		if out.Step == "" {
			out.Step = StepDone
		}
		return out, nil
	case parvis.CodeNotFound:
		return h.again(p, out)
	}
	return Outcome{}, err
}

// again sends back to the beginning of the door: what was proven is used, too
// old, or belongs to another browser. The same answer for each.
func (h *Hub) again(p page, out Outcome) (Outcome, error) {
	out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyFormExpired})
	return h.ask(out, page{Return: p.Return}, StepIdentifier)
}

// changed is the one transaction that stores the new password: the flow is
// used, every other session ends, the contacts are told, and this one begins.
func (h *Hub) changed(ctx context.Context, tx *store.Tx, in In, p page, out *Outcome, hashed credential.Hashed) error {
	gone := &parvis.Error{Code: parvis.CodeNotFound, Op: "signin.changed"}
	out.Step, out.Reasons = "", nil // it may run again
	f, err := h.flow(in, p, tx.Now(), func(id string) (store.Flow, error) { return tx.Flow(ctx, id) })
	if err != nil {
		return err
	}
	agent, err := tx.Agent(ctx, f.Agent)
	if err != nil {
		return err
	}
	standing, err := tx.Standing(ctx, f.Agent)
	if err != nil {
		return err
	}
	// The password may have been changed elsewhere since it was shown here.
	if len(f.Proofs) == 0 || standing.PasswordSince.After(f.Proofs[0].At) {
		return gone
	}
	if first, err := tx.UseFlow(ctx, f.ID); err != nil || !first {
		return errors.Join(err, gone)
	}
	if !opens(agent.StateAt(tx.Now())) { // decided again: HR may have acted meanwhile
		why := stateReason(agent, tx.Now())
		why.At = h.local(why.At)
		out.Step, out.Reasons, out.Args["date"] = StepBlocked, []parvis.Reason{why}, why.At
		out.Reference, err = h.refuse(ctx, tx, in, agent, out.Reasons, parvis.Event{
			Kind: "sign_in.blocked", Reasons: []parvis.ReasonCode{why.Code},
		})
		return err
	}
	if err := h.Vault.SetPassword(ctx, tx, agent.Number, hashed, h.demands(agent).PasswordDays); err != nil {
		return err
	}
	if err := tx.UseFlows(ctx, agent.Number); err != nil { // they were proven with the old one
		return err
	}
	ended, err := h.Keeper.EndAll(tx, agent.Number, parvis.SessionID{}, "password_changed")
	if err != nil {
		return err
	}
	device := credential.Verdict{Proven: f.Device != "", Device: f.Device}
	if f.Reason == parvis.WhyPasswordCompromised { // somebody else may have proven a browser with it
		device = credential.Verdict{}
		if _, err := h.Vault.Distrust(ctx, tx, agent.Number, "", "system"); err != nil {
			return err
		}
	}
	if _, err := h.Outbox.Queue(ctx, tx, h.message(tx, agent, "mail_reset_done", in.Lang, text.Args{"n": ended})); err != nil {
		return err
	}
	proofs := []parvis.Proof{{Kind: parvis.Password, At: tx.Now()}}
	return h.begin(ctx, tx, in, out, agent, proofs, device)
}

// flow finds the stored flow of a form: of this browser, through this entrance,
// not used, not too old.
func (h *Hub) flow(in In, p page, at time.Time, read func(id string) (store.Flow, error)) (store.Flow, error) {
	f, err := read(p.Flow)
	if err != nil {
		return store.Flow{}, err
	}
	hash := seal.Hash(in.Cookie)
	if f.Kind != kindSignIn || subtle.ConstantTimeCompare(hash[:], f.Browser[:]) != 1 ||
		f.Channel != in.Origin.Channel || !f.Used.IsZero() || !f.Expires.After(at) {
		return store.Flow{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "signin.flow"}
	}
	return f, nil
}

// changeReason says why the password must change, in the words that fit: it
// expired during an absence, or because of a sensitive profile.
func (h *Hub) changeReason(out *Outcome, agent *parvis.Agent, standing *parvis.Standing, code parvis.ReasonCode) parvis.Reason {
	out.Quality.Least = h.Vault.Judge("", agent, h.demands(agent).Sensitive).Least // said before anything is typed
	why := parvis.Reason{Code: code, At: h.local(standing.PasswordExpires)}
	if code == parvis.WhyPasswordCompromised {
		why.At = time.Time{}
		return why
	}
	out.Args["date"] = why.At
	away := agent.Absence != parvis.NoAbsence && !agent.AbsenceFrom.After(standing.PasswordExpires) &&
		(agent.AbsenceUntil.IsZero() || standing.PasswordExpires.Before(agent.AbsenceUntil.AddDate(0, 0, 1)))
	days := h.demands(agent).PasswordDays
	switch {
	case away:
		why.Code = parvis.WhyPasswordExpiredAbsence
	case h.demands(agent).Sensitive && days > 0:
		why.Code = parvis.WhyPasswordExpiredPrivileged
		out.Args["n"] = max(1, (days+15)/30)
	}
	return why
}

// demands is what the agent's profiles ask, the strictest of each.
func (h *Hub) demands(agent *parvis.Agent) parvis.Profile {
	return parvis.Strictest(h.Profiles, agent)
}
