package office

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// tryProofs are what can be said to have been shown.
var tryProofs = []parvis.ProofKind{parvis.Password, parvis.Verifier, parvis.SMS, parvis.TOTP, parvis.Passkey}

// trial is an agent before an application, and what they would be answered.
type trial struct {
	app      parvis.App
	sent     url.Values // what was typed; nil on a page that is merely opened
	faults   []tryFault
	agent    *parvis.Agent // nil until somebody was found
	standing *parvis.Standing
	channel  parvis.Channel
	said     parvis.Decision
	claims   map[string]any
	subjects []value // by door
}

type tryFault struct{ field, key string }

func (o *Office) getTry(w http.ResponseWriter, r *http.Request, v *visit) error {
	app, _, err := o.app(r)
	if err != nil {
		return err
	}
	t := trial{app: app, sent: url.Values{
		"agent_number": {string(v.agent.Number)}, "channel": {string(v.origin.Channel)}, "proofs": {string(parvis.Password)},
	}}
	return o.Show(w, r, http.StatusOK, func(l text.Lang) page.Page { return o.voice(l).tryPage(&t) })
}

// postTry asks the one function that decides. Nothing is opened and nothing
// changes, but that somebody looked is recorded, and the agent can read it.
func (o *Office) postTry(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "office.form", Err: err}
	}
	app, _, err := o.app(r)
	if err != nil {
		return err
	}
	t := trial{app: app, sent: r.PostForm, channel: parvis.Channel(r.PostForm.Get("channel"))}
	if err := o.whom(r.Context(), &t); err != nil {
		return err
	}
	if len(t.sent["proofs"]) == 0 { // whoever has shown nothing has no session
		t.faults = append(t.faults, tryFault{"proofs", "office.try.proofs.required"})
	}
	if !t.channel.Known() {
		t.faults = append(t.faults, tryFault{"channel", "office.try.channel.required"})
	}
	status := http.StatusOK
	if len(t.faults) > 0 {
		t.agent, status = nil, http.StatusUnprocessableEntity
	} else {
		err := o.Store.Write(r.Context(), func(tx *store.Tx) error {
			tx.Record(parvis.Event{
				Kind: "app.tried", Agent: t.agent.Number, Actor: v.by(), Channel: v.origin.Channel, Address: v.origin.Address, App: app.ID,
				Detail: map[string]string{"from": string(t.channel)},
			})
			return nil
		})
		if err != nil {
			return err
		}
		o.decide(&t, v.at)
	}
	return o.Show(w, r, status, func(l text.Lang) page.Page { return o.voice(l).tryPage(&t) })
}

// whom finds the agent that was named.
func (o *Office) whom(ctx context.Context, t *trial) error {
	typed := strings.TrimSpace(t.sent.Get("agent_number"))
	number, ok := parvis.ParseAgentNumber(typed)
	switch {
	case typed == "":
		t.faults = append(t.faults, tryFault{"agent_number", "office.try.agent.required"})
		return nil
	case !ok:
		t.faults = append(t.faults, tryFault{"agent_number", "office.try.agent.unreadable"})
		return nil
	}
	agent, standing, err := o.Directory.Facts(ctx, number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		t.faults = append(t.faults, tryFault{"agent_number", "office.try.agent.unknown"})
		return nil
	}
	t.agent, t.standing = agent, standing
	return err
}

func (o *Office) decide(t *trial, at time.Time) {
	q := access.Request{Agent: t.agent, Standing: t.standing, App: t.app.ID, Channel: t.channel, At: at}
	for _, kind := range tryProofs {
		if slices.Contains(t.sent["proofs"], string(kind)) {
			q.Proofs = append(q.Proofs, parvis.Proof{Kind: kind, At: at})
		}
	}
	if t.sent.Get("device") != "" {
		if i := slices.IndexFunc(t.standing.Devices, func(d parvis.Device) bool { return d.Validated }); i >= 0 {
			q.Device = t.standing.Devices[i]
		}
	}
	t.said = o.Policy.Explain(q)
	for _, p := range []struct {
		there    bool
		protocol parvis.Protocol
	}{{t.app.OIDC != nil, parvis.OIDC}, {t.app.CAS != nil, parvis.CAS}, {t.app.SAML != nil, parvis.SAML}} {
		if p.there {
			t.subjects = append(t.subjects, value{string(p.protocol), o.Door.Subject(t.app, t.agent.Number, p.protocol)})
		}
	}
	if len(t.subjects) > 0 {
		t.claims = o.Door.Claims(t.app, t.agent, t.channel)
	}
}

func (s voice) tryPage(t *trial) page.Page {
	pg := page.Page{Screen: "admin_application_try", Title: s.say("office.try.title", args("app", s.name(&t.app))), Lead: s.say("office.try.lead"), Width: page.Wide}
	for _, f := range t.faults {
		pg.Errors = append(pg.Errors, page.Fault{Field: f.field, Text: s.say(f.key)})
	}
	body := page.Stack{}
	if t.agent != nil {
		pg.Short = s.say("office.try.short")
		body = append(body, s.tryAnswer(t))
	}
	pg.Body = append(body, s.tryForm(t), page.Actions{{Text: s.say("office.back.one"), Kind: "plain", Href: place(t.app.ID, "")}})
	return pg
}

func (s voice) tryForm(t *trial) page.Section {
	channel := page.Choices{Name: "channel", Legend: s.say("office.try.channel"), Required: true}
	for _, ch := range parvis.Channels() {
		channel.Options = append(channel.Options, page.Option{Value: string(ch), Label: s.say("channel." + string(ch) + ".label"), Checked: t.sent.Get("channel") == string(ch)})
	}
	proofs := page.Choices{Name: "proofs", Legend: s.say("office.try.proofs"), Hint: s.say("office.try.proofs.hint"), Many: true, Required: true}
	for _, kind := range tryProofs {
		proofs.Options = append(proofs.Options, page.Option{Value: string(kind), Label: s.say("office.proof." + string(kind)), Checked: slices.Contains(t.sent["proofs"], string(kind))})
	}
	return page.Section{Title: s.say("office.try.ask"), Body: page.Form{
		Action: place(t.app.ID, "try"),
		Body: page.Stack{
			page.Field{
				Name: "agent_number", Label: s.say("office.try.agent"), Hint: s.say("office.try.agent.hint"), Value: t.sent.Get("agent_number"),
				Required: true, Mono: true, Short: true, Autocomplete: "off",
			},
			channel, proofs,
			page.Choices{Name: "device", Options: []page.Option{{Value: "1", Label: s.say("office.try.device"), Hint: s.say("office.try.device.hint"), Checked: t.sent.Get("device") != ""}}},
		},
		Note: s.say("office.try.note"), Buttons: []page.Button{{Text: s.say("office.try.submit"), Kind: "primary"}},
	}}
}

// tryAnswer tells the decision, as the agent would read it in both languages,
// and what the application would be told of them.
func (s voice) tryAnswer(t *trial) page.Stack {
	scene := args("agent", t.agent.Name()+" ("+string(t.agent.Number)+")", "channel", s.say("channel."+string(t.channel)+".label"))
	state := page.Notice{Mark: page.Done, Alert: true, Title: s.say("office.try.open", scene)}
	switch {
	case !t.said.Open:
		state = page.Notice{Mark: page.Stop, Alert: true, Title: s.say("office.try.refused", scene)}
	case t.said.Limited:
		state.Title = s.say("office.try.reduced", scene)
	}
	if t.said.Open && !t.said.Until.IsZero() {
		state.Text = s.say("office.try.until", args("when", s.o.local(t.said.Until)))
	}
	all := page.Stack{state}
	if !t.said.Open {
		both := page.Columns{s.tryTold(t, text.French), s.tryTold(t, text.English)}
		if s.lang == text.English {
			slices.Reverse(both)
		}
		all = append(all, page.Section{Title: s.say("office.try.told"), Lead: s.say("office.try.told.lead"), Body: both})
	}
	if len(t.said.Policies) > 0 {
		all = append(all, page.Section{Title: s.say("office.try.policies"), Lead: s.say("office.try.policies.lead"), Body: page.List(t.said.Policies)})
	}
	return append(all, s.tryReleased(t))
}

// tryTold is what the agent would read in one language.
func (s voice) tryTold(t *trial, l text.Lang) inLang {
	there := s.o.voice(l)
	values := maps.Clone(there.all)
	values["agent_number"], values["n"] = string(t.agent.Number), int(s.o.rest(t.channel)/time.Minute)
	told := s.o.Words.Tell(l, t.said, text.Scene{
		App: t.app, Channel: t.channel, Zone: s.o.Zone, Now: s.o.now(), Sensitive: parvis.Strictest(s.o.Profiles, t.agent).Sensitive, Values: values,
		Enrols: func(kind string, ch parvis.Channel) bool { return s.o.enrols(t.standing, kind, ch) },
	})
	body := page.Stack{}
	for _, reason := range told.Reasons {
		body = append(body, page.Notice{Mark: page.Stop, Title: reason.Title + " (" + reason.Code + ")", Text: reason.Answer.Why})
	}
	var ways page.List
	for _, way := range told.Ways {
		ways = append(ways, way.Title)
	}
	if len(ways) == 0 {
		ways = page.List{there.say("office.try.noway")}
	}
	return inLang{l, append(body, page.Para(there.say("office.try.ways")), ways)}
}

// enrols tells whether a proof is one that the agent would have to add first, as
// the portal says it to them.
func (o *Office) enrols(st *parvis.Standing, kind string, ch parvis.Channel) bool {
	shown := func(k parvis.ProofKind) bool {
		site := o.Policy.Site(ch)
		return slices.Contains(st.Enrolled, k) && (k != parvis.Passkey || site == "" || len(st.Sites) == 0 || slices.Contains(st.Sites, site))
	}
	switch k := parvis.ProofKind(kind); k {
	case parvis.Password, parvis.TemporaryCode, parvis.Verifier:
		return false
	case "second": // a text message that is held does not do, or this would not be the way
		return !shown(parvis.TOTP) && !shown(parvis.Passkey) && !shown(parvis.RecoveryCode)
	default:
		return !shown(k)
	}
}

// rest is how long a session of an entrance may be without use.
func (o *Office) rest(ch parvis.Channel) time.Duration {
	if l, ok := o.Sessions.Limits[ch]; ok {
		return l.Idle
	}
	if ch == parvis.Mobile {
		return 30 * time.Minute
	}
	return time.Hour
}

// tryReleased is what the application would be told of the agent.
func (s voice) tryReleased(t *trial) page.Section {
	out := page.Section{Title: s.say("office.try.claims"), Lead: s.say("office.try.claims.lead")}
	switch {
	case len(t.subjects) == 0:
		out.Lead = s.say("office.try.claims.headers")
		return out
	case !t.said.Open:
		out.Lead = s.say("office.try.claims.refused")
	}
	var facts page.Record
	for _, subject := range t.subjects {
		facts = append(facts, page.Fact{Term: s.say("office.try.subject", args("door", s.say("office.kind."+subject.key))), Text: subject.value, Mono: true})
	}
	for _, name := range slices.Sorted(maps.Keys(t.claims)) {
		facts = append(facts, page.Fact{Term: name, Text: claimText(t.claims[name]), Mono: true})
	}
	out.Body = facts
	return out
}

func claimText(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ", ")
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
		return strings.Join(all, ", ")
	}
	return fmt.Sprint(v)
}
