package signin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

const (
	pageGood = 60 * time.Minute // how long a page may stay open before its answer
	flowGood = 15 * time.Minute // how long a proof waits for a required change
	longest  = 254              // an identifier is at most an address (RFC 5321 §4.5.3.1)

	kindSignIn = "sign_in"
)

// Hub is the door. The first group is required, the rest works when zero. It
// must not be copied once used.
type Hub struct {
	Store     *store.Store
	Directory *directory.Directory
	Vault     *credential.Vault
	Keeper    *session.Keeper
	Outbox    *notify.Outbox
	Keys      *seal.Keys
	Clock     func() time.Time

	Profiles []parvis.Profile // for the days a password lasts and who needs a second proof
	Domains  []string         // of professional addresses; none: any address is taken for one

	Policy   *access.Policy // what each entrance demands; nil: what the profiles do, no passkey, no verifier
	Link     *verifier.Link // the outside accounts; nil: none
	Fallback bool           // a second proof may stand in for a verifier that does not answer
	SMS      bool           // codes can be sent to telephones
	Issuer   string         // the name under which an authenticator shows the account
	Country  string         // of telephone numbers typed without one; empty: "FR"

	// Shared are the entrances whose stations several people use: no browser is
	// remembered there, whatever a profile allows.
	Shared map[parvis.Channel]bool

	// Contacts gives the addresses of whoever passes on the requests of an
	// agent; nil: nobody is written to, the request is kept all the same.
	Contacts func(ctx context.Context, agent *parvis.Agent) []string

	waits waits
}

// In is one answer given at the door, and how it arrived. Everything but Origin
// may be empty, and nothing in it is believed.
type In struct {
	Posted      bool   // a form was sent; false for a page that is merely opened
	Flow        string // the hidden field of the form
	Cookie      string // the door's cookie
	Identifier  string
	Password    seal.Secret
	NewPassword seal.Secret
	Device      string // the value of the device cookie
	Browser     string // the User-Agent field
	Return      string // where to go afterwards, sealed by whoever sent the visitor
	Origin      parvis.Origin
	Lang        text.Lang

	Method        string      // how: the ID of a method held, or a kind of proof; "verifier_waived" goes on without a verifier that does not answer
	Code          seal.Secret // the code typed
	Send          bool        // send the code, once more
	Passkey       []byte      // what the browser answered, with its ticket
	PasskeyTicket string
	Remember      bool // do not ask this browser again for a while
}

// Outcome is what to show or do next. Reasons are of level P0 until a proof is
// right; Args are the values of their sentences.
type Outcome struct {
	Step       Step
	Flow       string      // for the hidden field
	Cookie     seal.Secret // to be set as the door's cookie, when not empty
	Identifier string      // as it was typed, for the strip
	Reasons    []parvis.Reason
	Args       text.Args
	Reference  parvis.Reference
	Retry      time.Duration // too many at once: when to come back (Retry-After)
	Quality    credential.Quality
	Person     parvis.Actor // who helps whoever cannot do what is asked; empty when done

	Methods        []parvis.Held          // the second proofs that can be shown here, the likeliest first
	Method         parvis.Held            // the one asked for now
	Sent           credential.Sending     // the code sent to a telephone; nothing secret
	Verdict        credential.CodeVerdict // of the code typed
	PasskeyOptions json.RawMessage        // what the browser asks its passkeys, with its ticket
	PasskeyTicket  string
	MayRemember    int // for how many days this browser need not be asked again; 0: it cannot be remembered

	Provider verifier.Provider // of StepVerifier
	Purpose  string            // why one left for it: link, prove, replace
	Waivable bool              // it does not answer, and one may go on without it
	Leave    string            // where to go now
	Away     seal.Secret       // to be set as the verifier's cookie, when not empty

	Token   session.Token // when done
	Session parvis.Session
	Device  string // the new value of the device cookie, when not empty
	Return  string

	device parvis.DeviceID // the proven browser
}

// page is what a form remembers before anything is proven: sealed in the form
// itself, so that tabs do not disturb each other and nothing is kept for a
// visitor who has shown nothing.
type page struct {
	Identifier string `json:"i,omitempty"`
	Return     string `json:"r,omitempty"`
	Flow       string `json:"f,omitempty"` // the stored flow, once something is proven
	Method     string `json:"o,omitempty"` // how the second proof is shown
	Sent       string `json:"s,omitempty"` // the code on its way to a telephone
	Remember   bool   `json:"m,omitempty"`
}

// Advance takes one answer and names the step that follows. Each answer that
// changes something is one transaction, recorded; a try at a password is
// recorded as failed before it is examined.
func (h *Hub) Advance(ctx context.Context, in In) (Outcome, error) {
	out, err := h.advance(ctx, in)
	if err != nil {
		return Outcome{}, err
	}
	return h.finish(ctx, out, in.Origin)
}

// finish says of any answer who helps, and offers the passkeys of the entrance
// to whoever is not known yet: the same to everybody.
func (h *Hub) finish(ctx context.Context, out Outcome, from parvis.Origin) (Outcome, error) {
	var why parvis.ReasonCode
	if len(out.Reasons) > 0 {
		why = out.Reasons[0].Code
	}
	out.Person = helper(out.Step, why)
	if out.Step != StepIdentifier || h.site(from.Channel) == "" {
		return out, nil
	}
	var err error
	out.PasskeyOptions, out.PasskeyTicket, err = h.askPasskey(ctx, nil, from.Channel)
	return out, err
}

func (h *Hub) advance(ctx context.Context, in In) (Outcome, error) {
	var p page
	out := Outcome{Args: text.Args{}}
	switch err := h.Keys.Box("sign-in page").Redeem(in.Flow, h.Clock(), &p); {
	case in.Flow == "":
		p.Return = in.Return
	case err != nil:
		p = page{Return: in.Return}
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyFormExpired})
		return h.ask(out, p, StepIdentifier)
	}
	if p.Flow != "" {
		return h.goOn(ctx, in, p, out)
	}
	if len(in.Passkey) > 0 {
		return h.passkey(ctx, in, p, out)
	}
	if typed := tidy(in.Identifier); typed != "" {
		p.Identifier = typed
		if h.otherCircuit(typed) {
			out.Identifier, p.Identifier = typed, ""
			if !strings.Contains(typed, "@") {
				out.Args["phone_typed"] = true
			}
			out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyIdentifierWrongCircuit})
			return h.ask(out, p, StepIdentifier)
		}
	}
	step := Next(Shown{Identifier: p.Identifier}, Facts{}, Demand{})
	switch {
	case step == StepIdentifier && in.Posted:
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyIdentifierRequired})
		return h.ask(out, p, step)
	case step == StepIdentifier || in.Password == "":
		return h.ask(out, p, step)
	}
	return h.prove(ctx, in, p, out)
}

// ask ends an answer that leads to a form.
func (h *Hub) ask(out Outcome, p page, step Step) (Outcome, error) {
	ticket, err := h.Keys.Box("sign-in page").Issue(p, h.Clock(), pageGood)
	if err != nil {
		return Outcome{}, err
	}
	out.Step, out.Flow = step, ticket
	if p.Identifier != "" {
		out.Identifier = p.Identifier
	}
	return out, nil
}

// tidy makes what was typed fit for a strip on a page.
func tidy(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != '\u00a0' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "")
	}
	return s
}

// otherCircuit tells an identifier of another account by its shape alone: a
// phone number, or an address outside the professional domains. Nobody is
// looked up, so nothing is learned from the answer.
func (h *Hub) otherCircuit(typed string) bool {
	if _, domain, ok := strings.Cut(typed, "@"); ok {
		return len(h.Domains) > 0 && !slices.ContainsFunc(h.Domains, func(d string) bool {
			return strings.EqualFold(d, strings.TrimSpace(domain))
		})
	}
	digits, plus := 0, strings.HasPrefix(typed, "+")
	for i, r := range typed {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r == '+' && i == 0, r == ' ', r == '.', r == '-', r == '(', r == ')', r == '\u00a0':
		default:
			return false
		}
	}
	compact := strings.NewReplacer(" ", "", ".", "", "-", "", "\u00a0", "").Replace(typed)
	french := digits == 10 && (strings.HasPrefix(compact, "06") || strings.HasPrefix(compact, "07"))
	return plus && digits >= 8 || french
}

// prove examines a password. Whatever the identifier, the same is read, hashed
// and written, in the same order; only a right password leads further.
func (h *Hub) prove(ctx context.Context, in In, p page, out Outcome) (Outcome, error) {
	agent, standing, err := h.who(ctx, p.Identifier)
	if err != nil {
		return Outcome{}, err
	}
	try := credential.Try{Typed: p.Identifier, Agent: agent, Password: in.Password, Origin: in.Origin, Device: in.Device}
	verdict, err := h.Vault.Check(ctx, try)
	if err != nil {
		return Outcome{}, err
	}
	switch {
	case h.busy(&out, verdict):
		return h.ask(out, p, StepSecret)
	case !verdict.OK:
		return h.fail(ctx, in, p, out, agent, standing, verdict)
	}
	e := entry{
		agent: agent, standing: standing, change: verdict.MustChange, device: verdict,
		proof:  parvis.Proof{Kind: parvis.Password},
		accept: func(tx *store.Tx) (bool, error) { return true, h.Vault.Succeed(ctx, tx, try, verdict) },
	}
	out, err = h.pass(ctx, in, p, out, e)
	if parvis.CodeOf(err) == parvis.CodeConflict { // the password changed while it was checked
		return h.ask(Outcome{Args: text.Args{}, Reasons: []parvis.Reason{{Code: parvis.WhyCredentialsIncorrect}}}, p, StepSecret)
	}
	return out, err
}

// busy tells whether a try was put off, and says when to come back.
func (h *Hub) busy(out *Outcome, v credential.Verdict) bool {
	switch {
	case v.Busy:
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyServiceUnavailable})
	case v.Limited:
		out.Args["n"] = max(1, int((v.Next+time.Minute-1)/time.Minute))
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyRateLimited, At: h.local(h.Clock().Add(v.Next))})
	default:
		return false
	}
	out.Retry = v.Next
	return true
}

// wrong says what may be said to anybody of a password that is not right, or
// not examined, and names the step.
func (h *Hub) wrong(out *Outcome, v credential.Verdict) Step {
	if !v.Wait.IsZero() {
		why := parvis.Reason{Code: parvis.WhyAccountLockedAttempts, At: h.local(v.Wait)}
		out.Args["time"] = why.At
		out.Reasons = append(out.Reasons, why)
		return StepWait
	}
	out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyCredentialsIncorrect})
	if v.Left > 0 {
		out.Reasons = append(out.Reasons, parvis.Reason{Code: parvis.WhyLockWarning})
		out.Args["n"], out.Args["duration"] = v.Left, v.Next
	}
	return StepSecret
}

// tellLocked tells the owner of an account that a wait began.
func (h *Hub) tellLocked(ctx context.Context, tx *store.Tx, agent *parvis.Agent, v credential.Verdict) error {
	_, err := h.Outbox.Queue(ctx, tx, h.message(tx, agent, "mail_locked", "", text.Args{"time": v.Wait, "when": tx.Now()}))
	return err
}

// who finds the agent an identifier names; both are nil when it names nobody.
func (h *Hub) who(ctx context.Context, identifier string) (*parvis.Agent, *parvis.Standing, error) {
	number, err := h.Directory.Find(ctx, identifier)
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return nil, nil, err
	}
	agent, standing, err := h.Directory.Facts(ctx, number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		_, err = h.Store.Standing(ctx, number) // what reading somebody would have cost
		return nil, nil, err
	}
	return agent, standing, err
}

// fail answers a password that is not right, or not examined. The page says
// what may be said to anybody; the reference and the mailbox of the account
// know more.
func (h *Hub) fail(ctx context.Context, in In, p page, out Outcome, agent *parvis.Agent, standing *parvis.Standing, v credential.Verdict) (Outcome, error) {
	before := len(out.Reasons)
	step := h.wrong(&out, v)
	reasons := out.Reasons[before:]
	// However it is written, one identifier has one wait, told once to one network.
	wait := h.Keys.MAC("wait", []byte(credential.Canonical(p.Identifier)),
		[]byte(parvis.Network(in.Origin.Address).String()), strconv.AppendInt(nil, v.Wait.UnixMicro(), 10))
	if step == StepWait && !v.LockedNow {
		ref, quiet := h.waits.quiet(wait, in.Origin, h.Clock())
		if quiet {
			out.Reference = ref
			return h.ask(out, p, step)
		}
	}
	cause := hidden(agent, standing, h.Clock())
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		out.Reference = ""
		event := parvis.Event{Kind: "sign_in.refused", Reasons: []parvis.ReasonCode{reasons[0].Code}}
		if cause.Code != "" {
			event.Reasons = append(event.Reasons, cause.Code)
		}
		var err error
		if out.Reference, err = h.refuse(ctx, tx, in, agent, reasons, event); err != nil || agent == nil {
			return err
		}
		if v.LockedNow {
			if err := h.tellLocked(ctx, tx, agent, v); err != nil {
				return err
			}
		}
		if cause.Code == "" {
			return nil
		}
		m := h.message(tx, agent, "mail_blocked_cause", "", text.Args{"ref": string(out.Reference), "date": cause.At})
		m.Cause = cause.Code
		_, err = h.Outbox.Queue(ctx, tx, m)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	if step == StepWait {
		h.waits.tell(wait, out.Reference)
	}
	return h.ask(out, p, step)
}

// hidden is what keeps an agent out besides the password: the cause that only
// the verified contact and the desk may know. No code when there is none.
func hidden(agent *parvis.Agent, standing *parvis.Standing, at time.Time) parvis.Reason {
	switch {
	case agent == nil:
		return parvis.Reason{}
	case !opens(agent.StateAt(at)) && agent.StateAt(at) != parvis.PreArrival:
		return stateReason(agent, at)
	case !standing.Activated:
		return parvis.Reason{Code: parvis.WhyAgentAccountNotActivated}
	}
	return parvis.Reason{}
}

// stateReason says which state keeps a session from beginning, and the date
// that the sentence needs.
func stateReason(agent *parvis.Agent, at time.Time) parvis.Reason {
	switch agent.StateAt(at) {
	case parvis.PreArrival:
		return parvis.Reason{Code: parvis.WhyAccountNotStarted, At: agent.ContractFrom}
	case parvis.Suspended:
		return parvis.Reason{Code: parvis.WhyAccountSuspended, At: agent.AbsenceFrom}
	}
	since := agent.DeceasedOn
	if since.IsZero() {
		since = agent.ContractUntil.AddDate(0, 0, 1)
	}
	return parvis.Reason{Code: parvis.WhyAccountClosed, At: since}
}

// refuse freezes what was refused under a reference. What is kept there is what
// was shown; the event beside it says the whole.
func (h *Hub) refuse(ctx context.Context, tx *store.Tx, in In, agent *parvis.Agent, shown []parvis.Reason, event parvis.Event) (parvis.Reference, error) {
	r := store.Refusal{
		At: tx.Now(), Origin: in.Origin, Path: "/signin", Decision: parvis.Decision{Reasons: shown},
	}
	if agent != nil {
		r.Agent, r.Facts.State = agent.Number, agent.StateAt(tx.Now())
	}
	for range 8 {
		var random [7]byte
		_, _ = rand.Read(random[:]) // never fails (Go 1.24)
		r.Reference = parvis.NewReference(random)
		taken, err := tx.AddRefusal(ctx, r)
		if err != nil {
			return "", err
		}
		if taken {
			event.Agent, event.Actor, event.Reference = r.Agent, "system", r.Reference
			event.Channel, event.Address = in.Origin.Channel, in.Origin.Address
			tx.Record(event)
			return r.Reference, nil
		}
	}
	return "", &parvis.Error{Code: parvis.CodeInternal, Op: "signin.refuse", Err: errors.New("no reference is free")}
}

// message is a notice to the contacts that HR vouches for. Unless the agent has
// just proven who they are it is in the organisation's language, not in that of
// whoever stands at the door.
func (h *Hub) message(tx *store.Tx, agent *parvis.Agent, template string, lang text.Lang, args text.Args) notify.Message {
	args["name"], args["agent_number"] = agent.Name(), string(agent.Number)
	if _, ok := args["date_time"]; !ok {
		args["date_time"] = tx.Now()
	}
	return notify.Message{Agent: agent.Number, To: notify.Contacts(agent), Lang: lang, Template: template, Args: args}
}

// local gives a time in the organisation's zone, in which sentences say it.
func (h *Hub) local(t time.Time) time.Time {
	if h.Directory.Zone == nil || t.IsZero() {
		return t
	}
	return t.In(h.Directory.Zone)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return hex.EncodeToString(b[:])
}
