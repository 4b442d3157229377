package signin

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// usable lists what can be shown at an entrance: a passkey belongs to one site
// (WebAuthn §5.1.4.1), a text message needs somebody to carry it, a sheet of
// codes one that is left.
func (h *Hub) usable(held []parvis.Held, ch parvis.Channel) []parvis.Held {
	return slices.DeleteFunc(slices.Clone(held), func(m parvis.Held) bool {
		switch m.Kind {
		case parvis.Passkey:
			return h.site(ch) == "" || m.Site != h.site(ch)
		case parvis.SMS:
			return !h.SMS
		case parvis.RecoveryCode:
			return m.Left == 0
		}
		return !m.Kind.Second()
	})
}

// site is the one whose passkeys are shown at an entrance; empty for none.
func (h *Hub) site(ch parvis.Channel) string {
	if h.Policy == nil {
		return ""
	}
	return h.Policy.Site(ch)
}

// offered are the methods that are enough, the likeliest first: the last used,
// then the strongest; printed codes, which are for other days, at the end.
func offered(held []parvis.Held, least int) []parvis.Held {
	all := slices.DeleteFunc(slices.Clone(held), func(m parvis.Held) bool { return m.Kind.Strength() < least })
	slices.SortStableFunc(all, func(a, b parvis.Held) int {
		printed := func(m parvis.Held) int {
			if m.Kind == parvis.RecoveryCode {
				return 1
			}
			return 0
		}
		return cmp.Or(printed(a)-printed(b), b.LastUsed.Compare(a.LastUsed), b.Kind.Strength()-a.Kind.Strength())
	})
	return all
}

// choose finds the method that was asked for, by its ID or its kind; the first
// when none was. A temporary code is taken from anybody: it is what the IT
// contact gives to somebody who has lost the rest.
func choose(methods []parvis.Held, asked string) parvis.Held {
	for _, m := range methods {
		if asked != "" && (asked == m.ID || asked == string(m.Kind)) {
			return m
		}
	}
	if asked == string(parvis.TemporaryCode) || len(methods) == 0 {
		return parvis.Held{Kind: parvis.TemporaryCode}
	}
	return methods[0]
}

// nameOf is how a form names a method.
func nameOf(m parvis.Held) string { return cmp.Or(m.ID, string(m.Kind)) }

// askSecond shows the page of the second proof.
func (h *Hub) askSecond(ctx context.Context, in In, p page, out Outcome, f store.Flow, v view, fresh bool) (Outcome, error) {
	out.Methods = offered(v.held, least(max(v.demand.Second, 1), heldKinds(v.held)))
	out.Method = choose(out.Methods, cmp.Or(in.Method, p.Method))
	p.Method, out.MayRemember = nameOf(out.Method), v.days
	p.Remember = in.Remember && v.days > 0
	h.tellDown(&out, v)
	if err := h.prepare(ctx, &out, v.agent, in.Origin.Channel); err != nil {
		return Outcome{}, err
	}
	late := out.Verdict.Reason.Code == parvis.WhyCodeExpired
	if out.Method.Kind == parvis.SMS && (fresh || in.Send || p.Sent == "" || late) {
		err := h.Store.Write(ctx, func(tx *store.Tx) error {
			return h.send(ctx, tx, &out, sending{agent: v.agent, held: out.Method, browser: f.Browser, origin: in.Origin, lang: in.Lang})
		})
		if err != nil {
			return Outcome{}, err
		}
		p.Sent = cmp.Or(out.Sent.ID, p.Sent)
	}
	return h.ask(out, p, StepSecondFactor)
}

// prepare gives the browser what it needs to ask its passkeys, when one of them
// can be shown.
func (h *Hub) prepare(ctx context.Context, out *Outcome, agent *parvis.Agent, ch parvis.Channel) error {
	if !slices.ContainsFunc(out.Methods, func(m parvis.Held) bool { return m.Kind == parvis.Passkey }) {
		return nil
	}
	var err error
	out.PasskeyOptions, out.PasskeyTicket, err = h.askPasskey(ctx, agent, ch)
	return err
}

// askPasskey makes a challenge; agent is nil when nobody is known yet.
func (h *Hub) askPasskey(ctx context.Context, agent *parvis.Agent, ch parvis.Channel) (json.RawMessage, string, error) {
	return h.Vault.AskPasskey(ctx, credential.PasskeyAsk{Agent: agent, Site: h.site(ch), Origins: h.origins(ch)})
}

// origins are where a passkey may be shown: this entrance's portal, no other.
func (h *Hub) origins(ch parvis.Channel) []string { return []string{h.Keeper.Addresses.Portal(ch)} }

// sending is a code that must reach a telephone.
type sending struct {
	agent   *parvis.Agent
	held    parvis.Held // to prove
	phone   string      // to enrol: as typed
	browser [32]byte
	origin  parvis.Origin
	lang    text.Lang
}

// send makes the code and the message that carries it, in the caller's
// transaction. What the outcome keeps of it is nothing secret.
func (h *Hub) send(ctx context.Context, tx *store.Tx, out *Outcome, s sending) error {
	order := credential.SendCode{
		Agent: s.agent.Number, Purpose: "prove", Phone: s.held.ID, Browser: s.browser, Origin: s.origin, Country: h.Country,
	}
	if s.phone != "" {
		order.Purpose, order.Phone = "enrol", s.phone
	}
	sent, err := h.Vault.SendCode(ctx, tx, order)
	if err != nil {
		return err
	}
	if out.Args == nil {
		out.Args = text.Args{}
	}
	if sent.Reason.Code != "" {
		sent.Reason.At = h.local(sent.Reason.At)
		out.Args["time"] = sent.Reason.At
		out.Reasons = append(out.Reasons, sent.Reason)
	} else {
		out.Args["destination_masked"] = sent.Hint
		queued, err := h.Outbox.Queue(ctx, tx, notify.Message{
			Agent: s.agent.Number, Phone: sent.Phone.Reveal(), Lang: s.lang, Template: "sms_code", Code: sent.Code.Reveal(), Until: sent.Until,
			Args: text.Args{"host": h.host(s.origin.Channel), "purpose": order.Purpose},
		})
		if err != nil {
			return err
		}
		// That telephone was sent enough, whoever asked: nothing is on its way.
		if !queued {
			sent.ID, sent.Reason = "", parvis.Reason{Code: parvis.WhyCodeSendLimit, At: h.local(tx.Now().Add(recent))}
			out.Args["time"] = sent.Reason.At
			out.Reasons = append(out.Reasons, sent.Reason)
			delete(out.Args, "destination_masked")
		}
	}
	sent.Code, sent.Phone = "", ""
	out.Sent = sent
	return nil
}

// host is the name for which a code is good, as a telephone reads it in the last
// line of the message.
func (h *Hub) host(ch parvis.Channel) string {
	u, err := url.Parse(h.Keeper.Addresses.Portal(ch))
	if err != nil {
		return ""
	}
	return u.Host
}

// answerSecond takes what was typed, or what a passkey answered.
func (h *Hub) answerSecond(ctx context.Context, in In, p page, out Outcome, f store.Flow, v view) (Outcome, error) {
	need := least(max(v.demand.Second, 1), heldKinds(v.held))
	methods := offered(v.held, need)
	method := choose(methods, cmp.Or(in.Method, p.Method))
	other := in.Method != "" && nameOf(method) != p.Method
	p.Remember = in.Remember && v.days > 0
	switch {
	case len(in.Passkey) > 0:
		asserted, err := h.checkPasskey(ctx, v.agent, in.Passkey, in.PasskeyTicket, in.Origin)
		if parvis.CodeOf(err) == parvis.CodeRefused || err == nil && asserted.Agent != v.agent.Number {
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyPasskeyUnavailable})
			return h.askSecond(ctx, in, p, out, f, v, false)
		}
		if err != nil {
			return Outcome{}, err
		}
		return h.add(ctx, in, p, out, v, func(tx *store.Tx, out *Outcome) (parvis.Proof, error) {
			ok, err := h.Vault.AcceptPasskey(ctx, tx, asserted)
			if err != nil || ok {
				return asserted.Proof, err
			}
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyPasskeyUnavailable})
			return parvis.Proof{}, nil
		})
	case in.Send, !in.Posted, in.Code == "" && (other || method.Kind == parvis.Passkey):
		return h.askSecond(ctx, in, p, out, f, v, other)
	}
	return h.add(ctx, in, p, out, v, func(tx *store.Tx, out *Outcome) (parvis.Proof, error) {
		return h.try(ctx, tx, out, credential.CodeTry{
			Agent: v.agent.Number, Kind: kindOf(method.Kind, in.Code), Code: in.Code, Sent: p.Sent, Browser: f.Browser, Origin: in.Origin,
		}, method)
	})
}

// try examines a typed code in the caller's transaction, which commits whatever
// comes of it; no proof when it is not right, and the outcome then says why.
func (h *Hub) try(ctx context.Context, tx *store.Tx, out *Outcome, t credential.CodeTry, method parvis.Held) (parvis.Proof, error) {
	verdict, err := h.Vault.TryCode(ctx, tx, t)
	if err != nil {
		return parvis.Proof{}, err
	}
	out.Verdict = verdict
	if verdict.OK {
		return verdict.Proof, nil
	}
	if out.Args == nil {
		out.Args = text.Args{}
	}
	why := h.tellVerdict(out.Args, verdict)
	tellCode(out.Args, method.Kind, t.Code)
	out.Reasons = append(out.Reasons, why)
	if method.Hint != "" && why.Code != parvis.WhyCodeExpired {
		out.Args["destination_masked"] = method.Hint
	}
	if !verdict.Locked || why.At.IsZero() {
		return parvis.Proof{}, nil
	}
	agent, err := tx.Agent(ctx, t.Agent)
	if err != nil {
		return parvis.Proof{}, err
	}
	// Whoever typed these codes knew the password: its owner must hear of it.
	m := h.message(tx, agent, "mail_blocked_cause", "", text.Args{"time": why.At})
	m.Cause = why.Code
	_, err = h.Outbox.Queue(ctx, tx, m)
	return parvis.Proof{}, err
}

// tellVerdict gives why a code was not right, and the values of the sentence.
func (h *Hub) tellVerdict(args text.Args, v credential.CodeVerdict) parvis.Reason {
	why := v.Reason
	why.At = h.local(why.At)
	switch {
	case v.Missing > 0:
		args["missing"] = v.Missing
	case v.Missing < 0:
		args["extra"] = -v.Missing
	}
	if !why.At.IsZero() {
		args["time"] = why.At
	}
	if v.Drift != 0 {
		args["drift"] = v.Drift.Abs()
	}
	return why
}

// tellCode says of which kind a code that was not right is, when it is not one of
// six digits: what was asked for, unless the length tells that it is another.
func tellCode(args text.Args, asked parvis.ProofKind, code seal.Secret) {
	n := signs(code)
	kind := asked
	switch {
	case n == 10, n > 8 && n < 16 && (asked == parvis.TOTP || asked == parvis.SMS):
		kind = parvis.TemporaryCode
	case n == 16:
		kind = parvis.RecoveryCode
	}
	if kind != parvis.RecoveryCode && kind != parvis.TemporaryCode {
		return
	}
	args["code_of"] = kind
	delete(args, "missing") // of whichever kind was nearest
	delete(args, "extra")
}

// signs counts what a code is made of: neither blanks nor hyphens.
func signs(code seal.Secret) int {
	n := 0
	for _, r := range code.Reveal() {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			n++
		}
	}
	return n
}

// kindOf is the kind that a typed code is tried as: that of the method, unless it
// is longer than its codes. A printed or a temporary code is taken in any field.
func kindOf(method parvis.ProofKind, code seal.Secret) parvis.ProofKind {
	if (method == parvis.TOTP || method == parvis.SMS) && signs(code) <= 8 {
		return method
	}
	return ""
}

// remember keeps, when the agent asked for it and policy allows it, that this
// browser need not show a second proof for some days. Codes for emergencies are
// of one use.
func (h *Hub) remember(ctx context.Context, tx *store.Tx, in In, p page, out *Outcome, v view, proofs []parvis.Proof) error {
	if !p.Remember && !in.Remember || v.days <= 0 || out.device == "" {
		return nil
	}
	i := slices.IndexFunc(proofs, func(shown parvis.Proof) bool {
		return shown.Kind == parvis.TOTP || shown.Kind == parvis.SMS || shown.Kind == parvis.Passkey
	})
	if i < 0 {
		return nil
	}
	return h.keepBrowser(ctx, tx, v.agent.Number, out.device, proofs[i], v.days, in.Origin)
}

func (h *Hub) keepBrowser(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, id parvis.DeviceID, proof parvis.Proof, days int, from parvis.Origin) error {
	kept, err := tx.RememberDevice(ctx, id, proof, tx.Now().AddDate(0, 0, days))
	if err != nil || !kept {
		return err
	}
	tx.Record(parvis.Event{
		Kind: "device.remembered", Agent: number, Actor: string(number), Channel: from.Channel, Address: from.Address,
		Detail: map[string]string{"device": string(id), "kind": string(proof.Kind), "days": strconv.Itoa(days)},
	})
	return nil
}

// checkPasskey examines what a browser answered: no transaction waits for it.
func (h *Hub) checkPasskey(ctx context.Context, agent *parvis.Agent, response []byte, ticket string, from parvis.Origin) (credential.Asserted, error) {
	return h.Vault.CheckPasskey(ctx, credential.PasskeyAnswer{
		Agent: agent, Ticket: ticket, Response: response, Site: h.site(from.Channel), Origins: h.origins(from.Channel), Origin: from,
	})
}

// passkey takes a passkey as the only proof: whoever holds it was verified on
// their device.
func (h *Hub) passkey(ctx context.Context, in In, p page, out Outcome) (Outcome, error) {
	asserted, err := h.checkPasskey(ctx, nil, in.Passkey, in.PasskeyTicket, in.Origin)
	if parvis.CodeOf(err) == parvis.CodeRefused {
		return h.noPasskey(out, p)
	}
	if err != nil {
		return Outcome{}, err
	}
	agent, standing, err := h.Directory.Facts(ctx, asserted.Agent)
	if err != nil {
		return Outcome{}, err
	}
	e := entry{agent: agent, standing: standing, proof: asserted.Proof}
	switch now := h.Clock(); {
	case standing.PasswordLeaked:
		e.change = parvis.WhyPasswordCompromised
	case !standing.PasswordExpires.IsZero() && !now.Before(standing.PasswordExpires):
		e.change = parvis.WhyPasswordExpired
	}
	if e.device.Device, err = h.device(ctx, asserted.Agent, in.Device); err != nil {
		return Outcome{}, err
	}
	e.device.Proven = e.device.Device != ""
	e.accept = func(tx *store.Tx) (bool, error) {
		ok, err := h.Vault.AcceptPasskey(ctx, tx, asserted)
		if err != nil || !ok {
			return false, err
		}
		if e.device.Proven {
			if err := tx.SeeDevice(ctx, e.device.Device); err != nil {
				return false, err
			}
		}
		tx.Record(parvis.Event{
			Kind: "sign_in.ok", Agent: agent.Number, Actor: string(agent.Number), Channel: in.Origin.Channel, Address: in.Origin.Address,
			Detail: map[string]string{"kind": string(parvis.Passkey), "held": asserted.Held},
		})
		return true, nil
	}
	return h.pass(ctx, in, p, out, e)
}

// noPasskey says the same of every passkey that is not right.
func (h *Hub) noPasskey(out Outcome, p page) (Outcome, error) {
	p.Flow = ""
	out.Reasons = []parvis.Reason{{Code: parvis.WhyPasskeyUnavailable}}
	return h.ask(out, p, StepIdentifier)
}

// device finds the browser that an agent proved, by the value of its cookie,
// which may hold secrets of several agents.
func (h *Hub) device(ctx context.Context, number parvis.AgentNumber, cookie string) (parvis.DeviceID, error) {
	for _, secret := range strings.SplitN(cookie, ".", 6) {
		if len(secret) != 43 { // a secret of seal.Token
			continue
		}
		if id, err := h.Store.ProvenDevice(ctx, number, seal.Hash(secret)); err != nil || id != "" {
			return id, err
		}
	}
	return "", nil
}
