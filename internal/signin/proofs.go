package signin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
)

// Holder is whoever changes what they prove themselves with: somebody who is
// in, or somebody within an activation, whose flow was found good by whoever
// asks. Only Number, one of Session and Activation, and Origin are needed.
type Holder struct {
	Number     parvis.AgentNumber
	Session    parvis.Session // zero in an activation
	Activation string         // the flow of the activation
	Origin     parvis.Origin
	Lang       text.Lang
	Device     string // the value of the device cookie
	Browser    string // the User-Agent field
}

// Enrolment is one answer on the way to a new method.
type Enrolment struct {
	Holder
	Ticket   string      // of the offer, for an authenticator and a passkey
	Sent     string      // the code that was sent ([credential.Sending].ID), for a telephone
	Code     seal.Secret // as typed
	Phone    string      // as typed, to have a code sent there
	Response []byte      // what the browser answered, for a passkey
	Name     string
	Replaces string // the ID of the method that this one takes the place of, once it worked
}

// ProofOutcome is what came of an act on one's proofs. When it was not done,
// Reason says why and Person who helps; step_up_required leads to [Hub.Prove],
// with Change. Token, when not zero, takes the place of the session's.
type ProofOutcome struct {
	Done    bool
	Reason  parvis.Reason
	Args    text.Args
	Person  parvis.Actor
	Rule    Rule // whose it is, with factor_removal_forbidden
	Held    parvis.Held
	Verdict credential.CodeVerdict
	Token   session.Token

	TOTP    credential.TOTPOffer // an authenticator to add, also after a wrong code
	Sent    credential.Sending   // nothing secret
	Options json.RawMessage      // what to ask the browser for, with its ticket
	Ticket  string
	Codes   []seal.Secret // shown once
}

// gate is what is known inside the transaction that acts.
type gate struct {
	agent    *parvis.Agent
	held     []parvis.Held
	changing changing
}

// gate reads it: the session or the activation as it is now, not as it was when
// the page was asked for.
func (h *Hub) gate(ctx context.Context, tx *store.Tx, w Holder) (gate, error) {
	const op = "signin.gate"
	gone := &parvis.Error{Code: parvis.CodeNotFound, Op: op}
	g := gate{changing: changing{At: tx.Now(), Here: h.enrolHere(w.Origin.Channel)}}
	if w.Activation != "" {
		f, err := tx.Flow(ctx, w.Activation)
		if err != nil {
			return g, err
		}
		if f.Kind != "activation" || f.Agent != w.Number || !f.Used.IsZero() || !f.Expires.After(tx.Now()) {
			return g, gone
		}
		// Once the account has a secret, a code that was read by somebody else is
		// worth nothing, nor is what was begun with it.
		standing, err := tx.Standing(ctx, w.Number)
		if err != nil {
			return g, err
		}
		if standing.Activated && !slices.ContainsFunc(kinds(f.Proofs), first) {
			return g, gone
		}
		g.changing.Activation, g.changing.Shown = true, f.Proofs
	} else {
		row, err := tx.Session(ctx, w.Session.ID)
		if err != nil {
			return g, err
		}
		if row.Agent != w.Number || !row.Ended.IsZero() || !row.Ends.After(tx.Now()) {
			return g, gone
		}
		g.changing.Shown = row.Proofs
	}
	var err error
	if g.agent, err = tx.Agent(ctx, w.Number); err != nil {
		return g, err
	}
	links, err := tx.Links(ctx, w.Number)
	if err != nil {
		return g, err
	}
	g.changing.Tied = len(links) > 0
	rows, err := tx.Held(ctx, w.Number)
	for _, row := range rows {
		if row.Kind.Second() && (row.Kind != parvis.RecoveryCode || row.Left > 0) {
			g.held = append(g.held, row.Held)
		}
	}
	g.changing.Held = heldKinds(g.held)
	for _, ch := range parvis.Channels() {
		g.changing.Demanded = max(g.changing.Demanded, h.demanded(g.agent, ch))
	}
	return g, err
}

func (h *Hub) enrolHere(ch parvis.Channel) bool {
	if h.Policy == nil {
		return ch == parvis.Internal
	}
	return h.Policy.EnrolHere(ch)
}

// alter is the one transaction of an act on somebody's proofs: is it theirs to
// do now, then do it.
func (h *Hub) alter(ctx context.Context, w Holder, may func(changing) parvis.ReasonCode, act func(tx *store.Tx, g gate, out *ProofOutcome) error) (ProofOutcome, error) {
	var out ProofOutcome
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		out = ProofOutcome{Args: text.Args{}} // it may run again
		g, err := h.gate(ctx, tx, w)
		if err != nil {
			return err
		}
		if why := may(g.changing); why != "" {
			out.Reason = parvis.Reason{Code: why}
			return nil
		}
		return act(tx, g, &out)
	})
	if err != nil {
		return ProofOutcome{}, err
	}
	switch out.Reason.Code {
	case "":
	case parvis.WhyFactorRemovalForbidden:
		out.Person = parvis.ByITDepartment
	default:
		out.Person = parvis.ByITContact
	}
	return out, nil
}

// anyHolder is for what needs no proof besides being in.
func anyHolder(changing) parvis.ReasonCode { return "" }

// nothing changes nothing: it is for asking whether one may.
func nothing(*store.Tx, gate, *ProofOutcome) error { return nil }

// MayEnrol tells what stands between somebody and a method more; no code when
// nothing does: factor_enrol_here_forbidden where a password alone proves too
// little, step_up_required when a method that is held must be shown first.
// [parvis.CodeNotFound] when the session or the activation is over.
func (h *Hub) MayEnrol(ctx context.Context, w Holder) (parvis.Reason, error) {
	out, err := h.alter(ctx, w, mayAdd, nothing)
	return out.Reason, err
}

// OfferTOTP makes a secret for an authenticator. Nothing is kept before
// [Hub.AddTOTP].
func (h *Hub) OfferTOTP(ctx context.Context, w Holder) (ProofOutcome, error) {
	return h.alter(ctx, w, mayAdd, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		var err error
		out.TOTP, err = h.Vault.OfferTOTP(g.agent, h.Issuer, tx.Now())
		return err
	})
}

// AddTOTP adds the authenticator that was offered, once a code of it is right.
// [parvis.CodeInvalid] when the offer is too old.
func (h *Hub) AddTOTP(ctx context.Context, e Enrolment) (ProofOutcome, error) {
	out, err := h.alter(ctx, e.Holder, mayAdd, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		var err error
		out.Held, out.Verdict, err = h.Vault.EnrolTOTP(ctx, tx, g.agent.Number, e.Ticket, e.Code, e.Name)
		if err != nil {
			return err
		}
		return h.added(ctx, tx, e, g, out)
	})
	if err != nil || out.Done || out.Verdict.Reason.Code == "" {
		return out, err
	}
	out.TOTP, err = h.Vault.ReofferTOTP(e.Ticket)
	return out, err
}

// SendEnrolSMS sends a code to the telephone to be added.
func (h *Hub) SendEnrolSMS(ctx context.Context, e Enrolment) (ProofOutcome, error) {
	return h.alter(ctx, e.Holder, mayAdd, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		if !h.SMS {
			return &parvis.Error{Code: parvis.CodeUnavailable, Op: "signin.SendEnrolSMS"}
		}
		shown := Outcome{Args: out.Args}
		err := h.send(ctx, tx, &shown, sending{
			agent: g.agent, phone: e.Phone, browser: h.browserOf(e.Holder), origin: e.Origin, lang: e.Lang,
		})
		if len(shown.Reasons) > 0 {
			out.Reason = shown.Reasons[0]
		}
		out.Sent, out.Done = shown.Sent, err == nil && shown.Sent.ID != "" && out.Reason.Code == ""
		return err
	})
}

// AddSMS adds the telephone that received the code.
func (h *Hub) AddSMS(ctx context.Context, e Enrolment) (ProofOutcome, error) {
	return h.alter(ctx, e.Holder, mayAdd, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		var err error
		out.Held, out.Verdict, err = h.Vault.EnrolSMS(ctx, tx, g.agent.Number, e.Sent, h.browserOf(e.Holder), e.Code, e.Name)
		if err != nil {
			return err
		}
		return h.added(ctx, tx, e, g, out)
	})
}

// OfferPasskey gives what the browser needs to make a passkey for the site of
// this entrance; passkey_unavailable where there is none.
func (h *Hub) OfferPasskey(ctx context.Context, w Holder) (ProofOutcome, error) {
	out, err := h.alter(ctx, w, mayAdd, nothing)
	if err != nil || out.Reason.Code != "" {
		return out, err
	}
	if h.site(w.Origin.Channel) == "" {
		out.Reason = parvis.Reason{Code: parvis.WhyPasskeyUnavailable}
		return out, nil
	}
	agent, _, err := h.Directory.Facts(ctx, w.Number)
	if err != nil {
		return ProofOutcome{}, err
	}
	out.Options, out.Ticket, err = h.Vault.OfferPasskey(ctx, credential.PasskeyAsk{
		Agent: agent, Site: h.site(w.Origin.Channel), Origins: h.origins(w.Origin.Channel),
	})
	return out, err
}

// AddPasskey adds the passkey that the browser made.
func (h *Hub) AddPasskey(ctx context.Context, e Enrolment) (ProofOutcome, error) {
	return h.alter(ctx, e.Holder, mayAdd, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		var err error
		out.Held, out.Verdict.Proof, err = h.Vault.EnrolPasskey(ctx, tx, credential.PasskeyAnswer{
			Agent: g.agent, Ticket: e.Ticket, Response: e.Response, Name: e.Name,
			Site: h.site(e.Origin.Channel), Origins: h.origins(e.Origin.Channel),
		})
		switch {
		case parvis.CodeOf(err) == parvis.CodeRefused:
			out.Reason = parvis.Reason{Code: parvis.WhyPasskeyUnavailable}
			return nil
		case err != nil:
			return err
		}
		out.Verdict.OK = true
		return h.added(ctx, tx, e, g, out)
	})
}

// browserOf binds a code that is sent to whoever asked for it.
func (h *Hub) browserOf(w Holder) [32]byte {
	if w.Activation != "" {
		return h.Keys.MAC("browser of an activation", []byte(w.Activation))
	}
	return h.lineage(w.Session)
}

// added ends an enrolment: the new method has just been shown, what it replaces
// goes now and not before, and the contacts are told.
func (h *Hub) added(ctx context.Context, tx *store.Tx, e Enrolment, g gate, out *ProofOutcome) error {
	if !out.Verdict.OK {
		out.Reason = h.tellVerdict(out.Args, out.Verdict)
		return nil
	}
	out.Done = true
	template, args := "mail_factor_added", of(out.Held)
	replaces, err := h.replaced(ctx, tx, e, g, out)
	if err != nil {
		return err
	}
	if replaces {
		if err := h.tellPhones(ctx, tx, e, out.Held); err != nil {
			return err
		}
		old, err := h.Vault.Remove(ctx, tx, e.Number, e.Replaces)
		switch {
		case parvis.CodeOf(err) == parvis.CodeNotFound: // it is gone already
		case err != nil:
			return err
		case old.Kind == parvis.SMS && out.Held.Kind == parvis.SMS && out.Held.Hint != "":
			template, args["destination_masked"] = "mail_phone_changed", out.Held.Hint
			if old.Hint != "" {
				args["old_masked"] = old.Hint
			}
		default:
			if err := h.tellChange(ctx, tx, e.Holder, g.agent, "mail_factor_removed", of(old)); err != nil {
				return err
			}
		}
	}
	if err := tx.ForgetRemembered(ctx, e.Number); err != nil {
		return err
	}
	if _, err := tx.AnswerSecondRequest(ctx, e.Number, string(e.Number)); err != nil {
		return err
	}
	if err := h.shown(ctx, tx, e.Holder, out, out.Verdict.Proof); err != nil {
		return err
	}
	return h.tellChange(ctx, tx, e.Holder, g.agent, template, args)
}

// tellPhones tells the number that no longer gets codes, and the one that now
// does, when one takes the place of the other: a thief holds at most one of them.
func (h *Hub) tellPhones(ctx context.Context, tx *store.Tx, e Enrolment, now parvis.Held) error {
	if !h.SMS || now.Kind != parvis.SMS {
		return nil
	}
	before, err := h.Vault.Phone(ctx, tx, e.Number, e.Replaces)
	if parvis.CodeOf(err) == parvis.CodeNotFound { // another kind of method, or gone
		return nil
	}
	if err != nil {
		return err
	}
	after, err := h.Vault.Phone(ctx, tx, e.Number, now.ID)
	if err != nil {
		return err
	}
	for _, phone := range []seal.Secret{before, after} {
		message := notify.Message{Agent: e.Number, Phone: phone.Reveal(), Lang: e.Lang, Template: "sms_phone_changed"}
		if _, err := h.Outbox.Queue(ctx, tx, message); err != nil {
			return err
		}
	}
	return nil
}

// replaced tells whether the method that another was to take the place of goes:
// not when something demands what only it meets, for else a replacement would
// remove what may not be removed. Then both stay, and Rule says whose it is.
func (h *Hub) replaced(ctx context.Context, tx *store.Tx, e Enrolment, g gate, out *ProofOutcome) (bool, error) {
	if e.Replaces == "" {
		return false, nil
	}
	standing, err := tx.Standing(ctx, e.Number)
	if err != nil {
		return false, err
	}
	rule, kept := h.Keeps(g.agent, standing, append(slices.Clone(g.held), out.Held), e.Replaces)
	if kept {
		out.Rule = rule
	}
	return !kept, nil
}

// shown keeps that a proof was shown just now: in the session, under another
// identifier, or in the activation.
func (h *Hub) shown(ctx context.Context, tx *store.Tx, w Holder, out *ProofOutcome, proof parvis.Proof) error {
	if w.Activation != "" {
		return tx.AddFlowProof(ctx, w.Activation, proof)
	}
	var err error
	out.Token, err = h.Keeper.Raise(tx, w.Session.ID, proof)
	return err
}

// tellChange tells every contact that HR vouches for.
func (h *Hub) tellChange(ctx context.Context, tx *store.Tx, w Holder, agent *parvis.Agent, template string, args text.Args) error {
	if w.Origin.Channel.Known() {
		args["channel_label"] = w.Origin.Channel
	}
	if browser := session.Browser(w.Browser); browser != "" {
		args["device"] = browser
	}
	_, err := h.Outbox.Queue(ctx, tx, h.message(tx, agent, template, w.Lang, args))
	return err
}

// of gives the values of a mail about a method.
func of(held parvis.Held) text.Args {
	args := text.Args{"factor": held.Kind}
	if held.Name != "" {
		args["factor_name"] = held.Name
	}
	return args
}

// NewRecoveryCodes makes ten codes to print, in the place of those before.
func (h *Hub) NewRecoveryCodes(ctx context.Context, w Holder) (ProofOutcome, error) {
	return h.alter(ctx, w, mayAdd, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		var err error
		if out.Codes, err = h.Vault.NewRecoveryCodes(ctx, tx, w.Number); err != nil {
			return err
		}
		out.Done = true
		if err := tx.ForgetRemembered(ctx, w.Number); err != nil {
			return err
		}
		return h.tellChange(ctx, tx, w, g.agent, "mail_recovery_codes", text.Args{})
	})
}

// RenameProof gives a method another name. [parvis.CodeNotFound] when it is not
// theirs.
func (h *Hub) RenameProof(ctx context.Context, w Holder, id, name string) (ProofOutcome, error) {
	return h.alter(ctx, w, anyHolder, func(tx *store.Tx, _ gate, out *ProofOutcome) error {
		out.Done = true
		return h.Vault.Rename(ctx, tx, w.Number, id, name)
	})
}

// RemoveProof takes a method away, after one was shown; factor_removal_forbidden
// for the last that a demand needs. Lost tells that it is in other hands: then
// it goes although a demand needs it, with every other session and every browser
// that was proven. The last way in never goes.
func (h *Hub) RemoveProof(ctx context.Context, w Holder, id string, lost bool) (ProofOutcome, error) {
	return h.alter(ctx, w, mayTake, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		standing, err := tx.Standing(ctx, w.Number)
		if err != nil {
			return err
		}
		if rule, kept := h.Keeps(g.agent, standing, g.held, id); kept && (rule.OnlyWay || !lost) {
			out.Reason, out.Rule = parvis.Reason{Code: parvis.WhyFactorRemovalForbidden}, rule
			return nil
		}
		if out.Held, err = h.Vault.Remove(ctx, tx, w.Number, id); err != nil {
			return err
		}
		out.Done = true
		if err := tx.ForgetRemembered(ctx, w.Number); err != nil {
			return err
		}
		if lost {
			if _, err := h.Keeper.EndAll(tx, w.Number, w.Session.ID, "by_owner"); err != nil {
				return err
			}
			if _, err := h.Vault.Distrust(ctx, tx, w.Number, "", string(w.Number)); err != nil {
				return err
			}
		}
		args := of(out.Held)
		args["n"] = len(g.held) - 1
		return h.tellChange(ctx, tx, w, g.agent, "mail_factor_removed", args)
	})
}

// AskSecond asks the IT contact for a second method. It is done once: the answer
// is factor_request_sent, At when it was asked, first or again.
func (h *Hub) AskSecond(ctx context.Context, w Holder, note string) (ProofOutcome, error) {
	words := []rune(strings.Join(strings.Fields(tidyNote(note)), " "))
	note = string(words[:min(len(words), 500)])
	agent, _, err := h.Directory.Facts(ctx, w.Number)
	if err != nil {
		return ProofOutcome{}, err
	}
	var to []string
	if h.Contacts != nil {
		to = h.Contacts(ctx, agent)
	}
	return h.alter(ctx, w, anyHolder, func(tx *store.Tx, g gate, out *ProofOutcome) error {
		out.Done, out.Reason = true, parvis.Reason{Code: parvis.WhyFactorRequestSent, At: h.local(tx.Now())}
		out.Args["date"] = out.Reason.At
		first, err := tx.PutSecondRequest(ctx, store.SecondRequest{Agent: w.Number, Note: note})
		if err != nil {
			return err
		}
		if !first {
			asked, err := tx.SecondRequest(ctx, w.Number)
			out.Reason.At = h.local(asked.At)
			out.Args["date"] = out.Reason.At
			return err
		}
		tx.Record(parvis.Event{
			Kind: "second.requested", Agent: w.Number, Actor: string(w.Number), Channel: w.Origin.Channel, Address: w.Origin.Address,
		})
		if len(to) == 0 {
			return nil
		}
		args := text.Args{}
		if note != "" {
			args["note"] = note
		}
		m := h.message(tx, g.agent, "mail_factor_request", "", args)
		m.To = to
		_, err = h.Outbox.Queue(ctx, tx, m)
		return err
	})
}

// tidyNote keeps what people write of what browsers send.
func tidyNote(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

// IssueTemporaryCode gives a code that stands in once for every second proof of
// an agent, from ten minutes to eight hours. by is who gives it, and has seen the
// agent; reason is theirs, for the record. The contacts of the agent are told.
func (h *Hub) IssueTemporaryCode(ctx context.Context, number parvis.AgentNumber, by, reason string, lasts time.Duration) (seal.Secret, time.Time, error) {
	var code seal.Secret
	var until time.Time
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		agent, err := tx.Agent(ctx, number)
		if err != nil {
			return err
		}
		if code, until, err = h.Vault.IssueTemporaryCode(ctx, tx, number, by, reason, lasts); err != nil {
			return err
		}
		args := text.Args{"until": h.local(until)}
		if reason != "" {
			args["note"] = reason
		}
		_, err = h.Outbox.Queue(ctx, tx, h.message(tx, agent, "mail_temporary_code", "", args))
		return err
	})
	return code, until, err
}
