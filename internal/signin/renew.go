package signin

import (
	"context"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Renewal is a new password chosen by somebody who is in, and the one of now,
// which must be shown again (ASVS 6.2.3).
type Renewal struct {
	Session     parvis.Session
	Password    seal.Secret // the one of now
	NewPassword seal.Secret
	KeepOthers  bool   // the other sessions go on
	Device      string // the value of the device cookie
	Origin      parvis.Origin
	Lang        text.Lang
}

// Renew changes the password of whoever holds a session. A try at the password
// of now counts as one at the door does. The steps of the answer: StepNewPassword
// with the rules that the new one does not follow, StepSecret or StepWait when
// the one of now is not right or was not examined, StepDone with the Token that
// takes the place of the session's. [parvis.CodeNotFound] when the session is over.
func (h *Hub) Renew(ctx context.Context, r Renewal) (Outcome, error) {
	out := Outcome{Step: StepNewPassword, Args: text.Args{}}
	agent, _, err := h.Directory.Facts(ctx, r.Session.Agent)
	if err != nil {
		return Outcome{}, err
	}
	out.Quality = h.Vault.Judge(r.NewPassword, agent, h.demands(agent).Sensitive)
	for _, code := range out.Quality.Reasons {
		out.Reasons = append(out.Reasons, parvis.Reason{Code: code})
	}
	if len(out.Reasons) > 0 {
		return out, nil
	}
	try := credential.Try{Typed: string(agent.Number), Agent: agent, Password: r.Password, Origin: r.Origin, Device: r.Device}
	verdict, err := h.Vault.Check(ctx, try)
	if err != nil {
		return Outcome{}, err
	}
	if !verdict.OK {
		return h.unproven(ctx, out, agent, verdict)
	}
	// Only now: whoever cannot show the password must not learn it by comparing.
	same, err := h.Vault.Reused(ctx, agent.Number, r.NewPassword)
	if err != nil {
		return Outcome{}, err
	}
	var hashed credential.Hashed
	if !same {
		if hashed, err = h.Vault.Hash(ctx, r.NewPassword); err != nil {
			return Outcome{}, err
		}
	}
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		out.Token = session.Token{} // it may run again
		if err := h.Vault.Succeed(ctx, tx, try, verdict); err != nil {
			return err
		}
		tx.Record(parvis.Event{
			Kind: "password.confirmed", Agent: agent.Number, Actor: string(agent.Number), Channel: r.Origin.Channel, Address: r.Origin.Address,
		})
		if same {
			return nil
		}
		return h.renewed(ctx, tx, r, &out, hashed, verdict.MustChange)
	})
	switch {
	case parvis.CodeOf(err) == parvis.CodeConflict: // the password changed while it was checked
		out.Step, out.Reasons = StepSecret, []parvis.Reason{{Code: parvis.WhyCredentialsIncorrect}}
	case err != nil:
		return Outcome{}, err
	case same:
		out.Reasons = []parvis.Reason{{Code: parvis.WhyPasswordRuleReused}}
	default:
		out.Step = StepDone
	}
	return out, nil
}

// unproven says what came of a password of now that is not right, or was not
// examined; the owner is told when it began a wait.
func (h *Hub) unproven(ctx context.Context, out Outcome, agent *parvis.Agent, v credential.Verdict) (Outcome, error) {
	out.Step = StepSecret
	if h.busy(&out, v) {
		return out, nil
	}
	out.Step = h.wrong(&out, v)
	if !v.LockedNow {
		return out, nil
	}
	return out, h.Store.Write(ctx, func(tx *store.Tx) error { return h.tellLocked(ctx, tx, agent, v) })
}

// renewed is the one transaction that stores the new password: what was begun
// with the old one ends, this session gets another identifier, and the contacts
// are told.
func (h *Hub) renewed(ctx context.Context, tx *store.Tx, r Renewal, out *Outcome, hashed credential.Hashed, why parvis.ReasonCode) error {
	agent, err := tx.Agent(ctx, r.Session.Agent)
	if err != nil {
		return err
	}
	if err := h.Vault.SetPassword(ctx, tx, agent.Number, hashed, h.demands(agent).PasswordDays); err != nil {
		return err
	}
	if err := tx.UseFlows(ctx, agent.Number); err != nil { // they were proven with the old one
		return err
	}
	args := text.Args{}
	if !r.KeepOthers || why == parvis.WhyPasswordCompromised {
		if args["n"], err = h.Keeper.EndAll(tx, agent.Number, r.Session.ID, "password_changed"); err != nil {
			return err
		}
	}
	if why == parvis.WhyPasswordCompromised { // somebody else may have proven a browser with it
		if _, err := h.Vault.Distrust(ctx, tx, agent.Number, "", "system"); err != nil {
			return err
		}
	}
	if out.Token, err = h.Keeper.Raise(tx, r.Session.ID, parvis.Proof{Kind: parvis.Password, At: tx.Now()}); err != nil {
		return err
	}
	_, err = h.Outbox.Queue(ctx, tx, h.message(tx, agent, "mail_reset_done", r.Lang, args))
	return err
}
