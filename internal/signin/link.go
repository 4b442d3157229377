package signin

import (
	"context"
	"slices"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

// Why one leaves for a verifier.
const (
	purposeLink    = "link"    // its account becomes one's second account
	purposeProve   = "prove"   // it vouches for a session
	purposeReplace = "replace" // another account takes the place of the linked one
)

const tripGood = 10 * time.Minute // as long as an answer of a verifier counts

// Leaving is somebody who goes to a verifier: from the door (Flow and Cookie),
// from a session or from an activation (Holder).
type Leaving struct {
	Holder
	Purpose  string // link, prove, replace; at the door prove
	Provider string // empty: the one that is linked, or the first
	Flow     string // at the door: the hidden field of the form
	Cookie   string // at the door: the door's cookie
	Away     string // the verifier's cookie as the browser has it
	Return   string // where to go afterwards; at the door the form knows
	Again    bool   // ask there who one is, even of somebody who is in: another account
}

// Returning is what a browser brings back from a verifier, and who stands there
// now.
type Returning struct {
	Holder
	Arrival verifier.Arrival
	Cookie  string // the door's cookie
}

// linked finds the verifier that vouches for an agent: one that answers, if
// there is a choice; otherwise the first that is declared.
func (h *Hub) linked(standing *parvis.Standing) (verifier.Provider, bool) {
	if h.Link == nil || len(h.Link.Providers) == 0 {
		return verifier.Provider{}, false
	}
	var found []verifier.Provider
	for _, p := range h.Link.Providers {
		if slices.Contains(standing.Links, p.Issuer) {
			found = append(found, p)
		}
	}
	for _, p := range found {
		if !h.Link.Down(p.ID) {
			return p, true
		}
	}
	if len(found) > 0 {
		return found[0], true
	}
	return h.Link.Providers[0], false
}

// LeaveForVerifier gives the address to go to, with the verifier's cookie, in
// the outcome's Leave and Away. Otherwise its Step and Reasons say what stands
// between: verifier_unavailable, with Waivable where one may go on without it;
// step_up_required before an account is replaced.
func (h *Hub) LeaveForVerifier(ctx context.Context, l Leaving) (Outcome, error) {
	out, err := h.leave(ctx, l)
	if err != nil {
		return Outcome{}, err
	}
	return h.finish(ctx, out, l.Origin)
}

func (h *Hub) leave(ctx context.Context, l Leaving) (Outcome, error) {
	out := Outcome{Step: StepVerifier, Args: text.Args{}, Purpose: l.Purpose, Return: l.Return}
	if h.Link == nil {
		return Outcome{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "signin.LeaveForVerifier"}
	}
	d := verifier.Departure{
		Purpose: l.Purpose, Session: l.Session.ID, Flow: l.Activation, Browser: l.Away, Origin: l.Origin, Return: l.Return,
		Lang: string(l.Lang), Again: l.Again, Agent: l.Number,
	}
	atDoor := l.Number == ""
	if atDoor {
		in := In{Flow: l.Flow, Cookie: l.Cookie, Origin: l.Origin, Lang: l.Lang, Device: l.Device, Browser: l.Browser}
		p, f, ok, err := h.formOf(ctx, in)
		if err != nil {
			return Outcome{}, err
		}
		if !ok {
			return h.again(page{Return: p.Return}, out)
		}
		// The form goes along, so that the door goes on where it was.
		d.Agent, d.Flow, d.Return, d.Purpose, out.Purpose = f.Agent, f.ID, l.Flow, purposeProve, purposeProve
	}
	_, standing, err := h.Directory.Facts(ctx, d.Agent)
	if err != nil {
		return Outcome{}, err
	}
	provider, linked := h.linked(standing)
	for _, other := range h.Link.Providers {
		if l.Provider != "" && other.ID == l.Provider {
			provider, linked = other, slices.Contains(standing.Links, other.Issuer)
		}
	}
	out.Provider, d.Provider = provider, provider.ID
	switch {
	case d.Purpose == purposeProve && !linked:
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyVerifierMissing})
		return out, nil
	case !atDoor && d.Purpose != purposeProve:
		stop, err := h.alter(ctx, l.Holder, mayTie(d.Purpose), nothing)
		if err != nil {
			return Outcome{}, err
		}
		if stop.Reason.Code != "" {
			out.Reasons = append(out.Reasons, stop.Reason)
			return out, nil
		}
	}
	out.Leave, out.Away, err = h.Link.Leave(ctx, d)
	if parvis.CodeOf(err) != parvis.CodeUnavailable {
		return out, err
	}
	if atDoor { // the door knows what may be done instead
		return h.goOnAfter(ctx, Returning{Holder: l.Holder, Cookie: l.Cookie}, l.Flow, out)
	}
	out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyVerifierUnavailable})
	out.Waivable = d.Purpose == purposeProve && h.Fallback
	return out, nil
}

// mayTie tells what stands between somebody and the link of an account: to
// replace one, a second proof; to make the first, that whoever is there came in
// a moment ago, with what they hold (security.md 2.4, A-21: a fresh local login).
// Where one is linked, a password from outside neither unties it nor puts another
// beside it: both together would replace it.
func mayTie(purpose string) func(changing) parvis.ReasonCode {
	if purpose == purposeReplace {
		return mayTake
	}
	return func(c changing) parvis.ReasonCode {
		if c.Activation {
			return ""
		}
		if best(c.Held) > 0 {
			return mayTake(c)
		}
		shown := func(enough func(parvis.ProofKind) bool) bool {
			return slices.ContainsFunc(c.Shown, func(p parvis.Proof) bool {
				age := c.At.Sub(p.At)
				return age >= 0 && age < recent+c.Slack && enough(p.Kind)
			})
		}
		switch {
		case shown(func(k parvis.ProofKind) bool { return k.Second() || c.Tied && k == parvis.Verifier }):
			return ""
		case c.Tied && !c.Here:
			return parvis.WhyFactorEnrolHereForbidden
		case shown(first):
			return ""
		}
		return parvis.WhyStepUpRequired
	}
}

// formOf reads the form of the door and the flow it stands for; false when it is
// not good any more.
func (h *Hub) formOf(ctx context.Context, in In) (page, store.Flow, bool, error) {
	var p page
	if err := h.Keys.Box("sign-in page").Redeem(in.Flow, h.Clock(), &p); err != nil || p.Flow == "" {
		return page{}, store.Flow{}, false, nil
	}
	f, err := h.flow(in, p, h.Clock(), func(id string) (store.Flow, error) { return h.Store.Flow(ctx, id) })
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return p, f, false, nil
	}
	return p, f, err == nil, err
}

// ReturnFromVerifier takes what a browser brings back. At the door the answer is
// the door's next step. Elsewhere StepDone says that it is done, with the Token
// that takes the place of the session's when there is one, and StepVerifier, with
// Reasons, that it is not: nothing has changed. Purpose and Return are those of
// the departure.
func (h *Hub) ReturnFromVerifier(ctx context.Context, r Returning) (Outcome, error) {
	if h.Link == nil {
		return Outcome{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "signin.ReturnFromVerifier"}
	}
	answer, err := h.Link.Return(ctx, r.Arrival)
	if err != nil {
		return Outcome{}, err
	}
	out, err := h.returned(ctx, r, answer)
	if err != nil {
		return Outcome{}, err
	}
	if out.Step == StepVerifier && len(out.Reasons) > 0 {
		out.Args["verifier_masked"] = h.maskedOf(ctx, answer)
	}
	return h.finish(ctx, out, r.Origin)
}

// maskedOf is how the linked account is shown to its owner.
func (h *Hub) maskedOf(ctx context.Context, answer verifier.Answer) string {
	links, err := h.Store.Links(ctx, answer.Departure.Agent)
	if err != nil {
		return ""
	}
	for _, l := range links {
		if l.Issuer == answer.Provider.Issuer {
			return l.Label
		}
	}
	return ""
}

func (h *Hub) returned(ctx context.Context, r Returning, answer verifier.Answer) (Outcome, error) {
	d := answer.Departure
	out := Outcome{Step: StepVerifier, Args: text.Args{}, Purpose: d.Purpose, Provider: answer.Provider, Return: d.Return}
	if d.Agent == "" { // it belongs to nobody: another browser's, used, or too old
		out.Reasons = append(out.Reasons, answer.Reason)
		return out, nil
	}
	atDoor := d.Session == (parvis.SessionID{}) && d.Purpose == purposeProve
	switch {
	case atDoor && answer.Reason.Code != "":
		out.Reasons = append(out.Reasons, answer.Reason)
		return h.goOnAfter(ctx, r, d.Return, out)
	case atDoor:
		return h.vouchAtDoor(ctx, r, answer, out)
	case d.Agent != r.Number, r.Activation != d.Flow, d.Flow == "" && d.Session == (parvis.SessionID{}):
		// The answer of one is brought to the session of another.
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyVerifierCancelled})
		return out, nil
	case answer.Reason.Code != "":
		out.Reasons = append(out.Reasons, answer.Reason)
		return out, nil
	}
	return h.vouchInside(ctx, r, answer, out)
}

// goOnAfter shows the step where the door is, with what a verifier said.
func (h *Hub) goOnAfter(ctx context.Context, r Returning, flow string, out Outcome) (Outcome, error) {
	in := h.inOf(r, flow)
	p, f, ok, err := h.formOf(ctx, in)
	if err != nil {
		return Outcome{}, err
	}
	if !ok {
		return h.again(page{Return: p.Return}, Outcome{Args: text.Args{}})
	}
	agent, standing, err := h.Directory.Facts(ctx, f.Agent)
	if err != nil {
		return Outcome{}, err
	}
	v, err := h.look(ctx, agent, standing, r.Origin)
	if err != nil {
		return Outcome{}, err
	}
	out.Return, out.Step = p.Return, v.next(h.Clock(), f.Proofs, f.Reason)
	if out.Step == StepBlocked || out.Step == StepDone {
		return h.add(ctx, in, p, out, v, nil)
	}
	return h.show(ctx, in, p, out, f, v, out.Step == StepSecondFactor)
}

func (h *Hub) inOf(r Returning, flow string) In {
	return In{Flow: flow, Cookie: r.Cookie, Device: r.Device, Browser: r.Browser, Origin: r.Origin, Lang: r.Lang}
}

// vouchAtDoor goes on in the flow that left, and in no other.
func (h *Hub) vouchAtDoor(ctx context.Context, r Returning, answer verifier.Answer, out Outcome) (Outcome, error) {
	in := h.inOf(r, answer.Departure.Return)
	p, f, ok, err := h.formOf(ctx, in)
	if err != nil {
		return Outcome{}, err
	}
	if !ok || f.ID != answer.Departure.Flow || f.Agent != answer.Departure.Agent {
		return h.again(page{Return: p.Return}, Outcome{Args: text.Args{}})
	}
	agent, standing, err := h.Directory.Facts(ctx, f.Agent)
	if err != nil {
		return Outcome{}, err
	}
	v, err := h.look(ctx, agent, standing, r.Origin)
	if err != nil {
		return Outcome{}, err
	}
	out.Return = p.Return
	return h.add(ctx, in, p, out, v, func(tx *store.Tx, out *Outcome) (parvis.Proof, error) {
		why, err := h.Link.Confirm(ctx, tx, answer, f.Agent)
		if err != nil || why.Code != "" {
			out.Reasons = append(out.Reasons, why)
			return parvis.Proof{}, err
		}
		return parvis.Proof{Kind: parvis.Verifier, At: tx.Now()}, nil
	})
}

// vouchInside links an account, or proves with it, for somebody who is in or
// arrives.
func (h *Hub) vouchInside(ctx context.Context, r Returning, answer verifier.Answer, out Outcome) (Outcome, error) {
	may := anyHolder
	if purpose := answer.Departure.Purpose; purpose != purposeProve { // asked again: it may be another session of theirs
		may = func(c changing) parvis.ReasonCode {
			c.Slack = tripGood
			return mayTie(purpose)(c)
		}
	}
	done, err := h.alter(ctx, r.Holder, may, func(tx *store.Tx, g gate, inner *ProofOutcome) error {
		act := h.Link.Tie
		if answer.Departure.Purpose == purposeProve {
			act = h.Link.Confirm
		}
		before, err := tx.Links(ctx, r.Number)
		if err != nil {
			return err
		}
		if inner.Reason, err = act(ctx, tx, answer, r.Number); err != nil || inner.Reason.Code != "" {
			return err
		}
		inner.Done = true
		if err := h.shown(ctx, tx, r.Holder, inner, parvis.Proof{Kind: parvis.Verifier, At: tx.Now()}); err != nil {
			return err
		}
		tied := slices.ContainsFunc(before, func(l store.Link) bool { return l.Issuer == answer.Issuer && l.Subject == answer.Subject })
		if answer.Departure.Purpose == purposeProve || tied {
			return nil
		}
		return h.tellChange(ctx, tx, r.Holder, g.agent, "mail_verifier_linked", text.Args{"verifier_label": answer.Provider.Label.In(string(r.Lang))})
	})
	if err != nil {
		return Outcome{}, err
	}
	if !done.Done {
		out.Reasons = append(out.Reasons, done.Reason)
		return out, nil
	}
	out.Step, out.Token = StepDone, done.Token
	return out, nil
}

// UnlinkVerifier unties the account of a provider, after a proof was shown.
// factor_removal_forbidden where one must be linked: it can be replaced.
func (h *Hub) UnlinkVerifier(ctx context.Context, w Holder, issuer string) (ProofOutcome, error) {
	if h.Link == nil {
		return ProofOutcome{}, &parvis.Error{Code: parvis.CodeNotFound, Op: "signin.UnlinkVerifier"}
	}
	return h.alter(ctx, w, mayTie(purposeLink), func(tx *store.Tx, g gate, out *ProofOutcome) error {
		links, err := tx.Links(ctx, w.Number)
		if err != nil {
			return err
		}
		for _, ch := range parvis.Channels() {
			if h.Policy == nil || len(links) > 1 {
				break
			}
			if mode := h.Policy.VerifierMode(g.agent, ch); mode == parvis.VerifierFirst || each(mode) {
				out.Reason = parvis.Reason{Code: parvis.WhyFactorRemovalForbidden}
				return nil
			}
		}
		if err := h.Link.Untie(ctx, tx, w.Number, issuer, string(w.Number)); err != nil {
			return err
		}
		out.Done = true
		label := ""
		for _, p := range h.Link.Providers {
			if p.Issuer == issuer {
				label = p.Label.In(string(w.Lang))
			}
		}
		args := text.Args{}
		if label != "" {
			args["verifier_label"] = label
		}
		return h.tellChange(ctx, tx, w, g.agent, "mail_verifier_unlinked", args)
	})
}
