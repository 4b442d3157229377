package signin

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Proving is one answer of somebody who is in and shows once more who they are:
// for an application that asks for it, before a change of proofs, or to try a
// method. Nothing in it is believed but Session and Origin.
type Proving struct {
	Session parvis.Session
	Posted  bool   // something was answered; false for a page that is merely opened
	Flow    string // the hidden field of the form
	Method  string // as in [In]; to try one method, its ID
	Code    seal.Secret
	Send    bool
	Passkey []byte

	PasskeyTicket string
	Password      seal.Secret // for whoever holds no second proof: the password of now
	Change        bool        // what follows changes proofs: only what is enough for it is offered
	Level         string      // the level of domain.md 3.1 to reach: only what makes the session reach it is offered; empty for any
	Remember      bool
	Device        string // the value of the device cookie
	Origin        parvis.Origin
	Lang          text.Lang
}

// provingPage is what the form of a step-up remembers.
type provingPage struct {
	Agent  parvis.AgentNumber `json:"a"`
	Sent   string             `json:"s,omitempty"`
	Method string             `json:"o,omitempty"`
}

// Prove adds a proof to a session that is open: StepSecondFactor until it is
// right, then StepDone with the Token that takes the place of the session's.
// Whoever holds nothing that can be shown here is at StepSecondFactor too,
// without methods: a temporary code is taken, and Person hands it over. Where a
// Level is asked, another code than the one asked for may be right and not reach
// it: whoever needs it asks [Reaches] of the session.
// StepSecret and StepWait are about Password, when one was sent.
// [parvis.CodeNotFound] when the session is over.
func (h *Hub) Prove(ctx context.Context, p Proving) (Outcome, error) {
	out, err := h.provenOnce(ctx, p)
	if err != nil {
		return Outcome{}, err
	}
	return h.finish(ctx, out, p.Origin)
}

func (h *Hub) provenOnce(ctx context.Context, p Proving) (Outcome, error) {
	out := Outcome{Step: StepSecondFactor, Args: text.Args{}}
	agent, standing, err := h.Directory.Facts(ctx, p.Session.Agent)
	if err != nil {
		return Outcome{}, err
	}
	v, err := h.look(ctx, agent, standing, p.Origin)
	if err != nil {
		return Outcome{}, err
	}
	var pg provingPage
	if err := h.Keys.Box("proving page").Redeem(p.Flow, h.Clock(), &pg); err != nil || pg.Agent != agent.Number {
		pg = provingPage{Agent: agent.Number}
	}
	need := 1
	if p.Change {
		need = max(need, min(enough, best(heldKinds(v.held))))
		if slices.ContainsFunc(parvis.Channels(), func(ch parvis.Channel) bool { return h.demanded(agent, ch) >= enough }) {
			need = enough // less would be asked for again, see changing.fresh
		}
	}
	out.Methods = reaching(offered(v.held, need), p.Session.Proofs, p.Level)
	out.Method, out.MayRemember = choose(out.Methods, cmp.Or(p.Method, pg.Method)), v.days
	if len(out.Methods) > 0 && len(reaching([]parvis.Held{out.Method}, p.Session.Proofs, p.Level)) == 0 {
		out.Method = out.Methods[0] // a temporary code would not do
	}
	other := p.Method != "" && nameOf(out.Method) != pg.Method
	if other {
		pg.Sent = ""
	}
	pg.Method = nameOf(out.Method)
	switch {
	case !p.Posted:
		return h.askProof(ctx, p, pg, out, v)
	case p.Password != "":
		return h.proveAgain(ctx, p, out, agent)
	case p.Method == string(parvis.VerifierWaived):
		return h.waive(ctx, p, out, v)
	case len(p.Passkey) > 0:
		asserted, err := h.checkPasskey(ctx, agent, p.Passkey, p.PasskeyTicket, p.Origin)
		if parvis.CodeOf(err) == parvis.CodeRefused || err == nil && asserted.Agent != agent.Number {
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyPasskeyUnavailable})
			return h.askProof(ctx, p, pg, out, v)
		}
		if err != nil {
			return Outcome{}, err
		}
		return h.raise(ctx, p, pg, out, v, func(tx *store.Tx, out *Outcome) (parvis.Proof, error) {
			ok, err := h.Vault.AcceptPasskey(ctx, tx, asserted)
			if err != nil || ok {
				return asserted.Proof, err
			}
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyPasskeyUnavailable})
			return parvis.Proof{}, nil
		})
	case p.Send, p.Code == "" && (other || out.Method.Kind == parvis.Passkey):
		return h.askProof(ctx, p, pg, out, v)
	}
	return h.raise(ctx, p, pg, out, v, func(tx *store.Tx, out *Outcome) (parvis.Proof, error) {
		return h.try(ctx, tx, out, credential.CodeTry{
			Agent: agent.Number, Kind: kindOf(out.Method.Kind, p.Code), Code: p.Code, Sent: pg.Sent,
			Browser: h.lineage(p.Session), Origin: p.Origin,
		}, out.Method)
	})
}

// lineage binds codes that are sent to a session, through its changes of
// identifier.
func (h *Hub) lineage(s parvis.Session) [32]byte {
	return h.Keys.MAC("lineage of a session", []byte(s.Agent), binary.BigEndian.AppendUint64(nil, uint64(s.Began.UnixMicro())), []byte(s.Device))
}

// askProof shows the page. A page that is merely opened sends nothing.
func (h *Hub) askProof(ctx context.Context, p Proving, pg provingPage, out Outcome, v view) (Outcome, error) {
	if err := h.prepare(ctx, &out, v.agent, p.Origin.Channel); err != nil {
		return Outcome{}, err
	}
	late := out.Verdict.Reason.Code == parvis.WhyCodeExpired
	if p.Posted && out.Method.Kind == parvis.SMS && (p.Send || pg.Sent == "" || late) {
		err := h.Store.Write(ctx, func(tx *store.Tx) error {
			if _, err := tx.Session(ctx, p.Session.ID); err != nil {
				return err
			}
			return h.send(ctx, tx, &out, sending{
				agent: v.agent, held: out.Method, browser: h.lineage(p.Session), origin: p.Origin, lang: p.Lang,
			})
		})
		if err != nil {
			return Outcome{}, err
		}
		if out.Sent.ID != "" {
			pg.Sent = out.Sent.ID
		}
	}
	ticket, err := h.Keys.Box("proving page").Issue(pg, h.Clock(), pageGood)
	out.Flow = ticket
	return out, err
}

// raise is the transaction that believes a proof: the session has it, and
// another identifier. Without a proof what was recorded stays.
func (h *Hub) raise(ctx context.Context, p Proving, pg provingPage, out Outcome, v view, check func(tx *store.Tx, out *Outcome) (parvis.Proof, error)) (Outcome, error) {
	before := out
	device, err := h.device(ctx, v.agent.Number, p.Device)
	if err != nil {
		return Outcome{}, err
	}
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		out = before // it may run again
		proof, err := check(tx, &out)
		if err != nil || proof.Kind == "" {
			return err
		}
		if out.Token, err = h.Keeper.Raise(tx, p.Session.ID, proof); err != nil {
			return err
		}
		out.Step = StepDone
		days := v.days
		if !p.Remember || days <= 0 || device == "" || !slices.Contains([]parvis.ProofKind{parvis.TOTP, parvis.SMS, parvis.Passkey}, proof.Kind) {
			return nil
		}
		return h.keepBrowser(ctx, tx, v.agent.Number, device, proof, days, p.Origin)
	})
	if err != nil {
		return Outcome{}, err
	}
	if out.Step != StepDone {
		return h.askProof(ctx, p, pg, out, v)
	}
	return out, nil
}

// waive lets a second proof that was just shown stand in for a verifier that
// does not answer, where policy allows it and the agent chose it.
func (h *Hub) waive(ctx context.Context, p Proving, out Outcome, v view) (Outcome, error) {
	if !v.demand.Down || !v.demand.Fallback || !v.linked {
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyStepUpRequired})
		return h.askProof(ctx, p, provingPage{Agent: v.agent.Number}, out, v)
	}
	return h.raise(ctx, p, provingPage{Agent: v.agent.Number}, out, v, func(tx *store.Tx, out *Outcome) (parvis.Proof, error) {
		row, err := tx.Session(ctx, p.Session.ID)
		if err != nil {
			return parvis.Proof{}, err
		}
		shown := changing{Shown: row.Proofs, At: tx.Now(), Demanded: v.demand.Second}
		if shown.fresh() == 0 {
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyStepUpRequired})
			return parvis.Proof{}, nil
		}
		tx.Record(parvis.Event{
			Kind: "sign_in.fallback", Agent: v.agent.Number, Actor: string(v.agent.Number), Channel: p.Origin.Channel,
			Address: p.Origin.Address, Reasons: []parvis.ReasonCode{parvis.WhyVerifierUnavailable},
		})
		return parvis.Proof{Kind: parvis.VerifierWaived, At: tx.Now()}, nil
	})
}

// proveAgain takes the password of whoever has nothing else to show. A try
// counts as one at the door does.
func (h *Hub) proveAgain(ctx context.Context, p Proving, out Outcome, agent *parvis.Agent) (Outcome, error) {
	try := credential.Try{Typed: string(agent.Number), Agent: agent, Password: p.Password, Origin: p.Origin, Device: p.Device}
	verdict, err := h.Vault.Check(ctx, try)
	if err != nil {
		return Outcome{}, err
	}
	if !verdict.OK {
		return h.unproven(ctx, out, agent, verdict)
	}
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		out.Token = session.Token{} // it may run again
		if err := h.Vault.Succeed(ctx, tx, try, verdict); err != nil {
			return err
		}
		out.Token, err = h.Keeper.Raise(tx, p.Session.ID, parvis.Proof{Kind: parvis.Password, At: tx.Now()})
		return err
	})
	if parvis.CodeOf(err) == parvis.CodeConflict { // the password changed while it was checked
		out.Step, out.Reasons = StepSecret, []parvis.Reason{{Code: parvis.WhyCredentialsIncorrect}}
		return out, nil
	}
	out.Step = StepDone
	return out, err
}
