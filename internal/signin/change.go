package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// change takes the new password of somebody whose old one was right. What was
// proven is in the stored flow; the form carries only its name.
func (h *Hub) change(ctx context.Context, in In, p page, out Outcome, f store.Flow, agent *parvis.Agent, standing *parvis.Standing) (Outcome, error) {
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
	out.Step, out.Reasons = StepDone, nil // it may run again
	f, err := h.stillGood(ctx, tx, in, p)
	if err != nil {
		return err
	}
	agent, err := tx.Agent(ctx, f.Agent)
	if err != nil {
		return err
	}
	if first, err := tx.UseFlow(ctx, f.ID); err != nil || !first {
		return errors.Join(err, errGone)
	}
	v := view{agent: agent, days: h.rememberDays(agent, in.Origin.Channel)}
	if !opens(agent.StateAt(tx.Now())) { // decided again: HR may have acted meanwhile
		return h.blocked(ctx, tx, in, out, &v)
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
	for _, shown := range f.Proofs {
		if shown.Kind != parvis.Password {
			proofs = append(proofs, shown)
		}
	}
	if err := h.begin(ctx, tx, in, out, agent, proofs, device); err != nil {
		return err
	}
	return h.remember(ctx, tx, in, p, out, v, proofs)
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
