package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/signin"
	"parvis/internal/text"
)

// asking is a page that asks for a second proof: at the door, or later from
// whoever is in.
type asking struct {
	out    signin.Outcome
	sent   url.Values // nil when nothing was sent
	action string     // where its forms are posted
	hidden []page.Hidden
	strip  page.Identity
	lead   string
	lost   page.Button // for whoever has none of it any more
	unmet  string      // the address for whoever goes on without; empty when nobody can
	noCode bool        // a code from the IT contact would not do
}

// secondPage asks for one method, and offers the others.
func (v *visit) secondPage(a asking) page.Page {
	m := a.out.Method
	pg := page.Page{Screen: "second_factor", Title: v.say("second_factor.title." + string(m.Kind)), Lead: a.lead}
	told := v.tell(parvis.Decision{Reasons: a.out.Reasons}, parvis.App{}, v.origin.Channel, a.out.Args)
	body := v.codeFaults(&pg, &told, a.out.Reasons, a.out.Verdict)
	v.refuses(&pg, told, a.out.Reference)
	body = append(body, v.methodForm(a)...)
	if others := v.otherMethods(a); len(others) > 0 {
		body = append(body, page.Section{Title: v.say("second_factor.others"), Body: others})
	}
	a.lost.Text, a.lost.Kind = v.say("second_factor.lost"), "plain"
	last := page.Actions{a.lost}
	if a.unmet != "" {
		last = append(last, page.Button{Text: v.say("prove.level.without"), Kind: "plain", Href: a.unmet})
	}
	pg.Body = append(body, last)
	return pg
}

// codeFaults says what is wrong with a code beside its field, and above the form
// what concerns the method. It completes told, which programs read.
func (v *visit) codeFaults(pg *page.Page, told *text.Told, reasons []parvis.Reason, verdict credential.CodeVerdict) page.Stack {
	var body page.Stack
	for i := range told.Reasons {
		r := &told.Reasons[i]
		switch reasons[i].Code {
		case parvis.WhyCodeRequired, parvis.WhyCodeLength, parvis.WhyCodeIncorrect, parvis.WhyCodeReused, parvis.WhyCodeExpired:
			if verdict.Drift != 0 {
				side := "ahead"
				if verdict.Drift < 0 {
					side = "late"
				}
				r.Answer.Why = v.say("second_factor.drift."+side, text.Args{"drift": verdict.Drift.Abs()})
			}
			pg.Errors = append(pg.Errors, page.Fault{Field: "code", Text: r.Title})
			why := r.Answer.Why
			if verdict.Left > 0 {
				why += " " + v.say("second_factor.left", text.Args{"n": verdict.Left})
			}
			if why != "" {
				body = append(body, page.Para(why))
			}
			continue
		case parvis.WhyCodeTryLimit:
			if reasons[i].At.IsZero() { // no waiting helps
				r.Title, r.Answer.Why = v.say("second_factor.disabled.title"), v.say("second_factor.disabled.why")
			}
		case parvis.WhyStepUpRequired:
			r.Title, r.Answer.Why = v.say("second_factor.again.title"), v.say("second_factor.again.why")
		}
		pg.Erroneous = true
		body = append(body, page.Notice{Mark: page.Warn, Alert: true, Title: r.Title, Text: r.Answer.Why})
	}
	return body
}

// methodForm is the form of one method.
func (v *visit) methodForm(a asking) page.Stack {
	m := a.out.Method
	remember := v.remember(a)
	if m.Kind == parvis.Passkey {
		body := page.Stack{a.strip}
		if remember != nil {
			body = append(body, *remember)
		}
		return page.Stack{page.Passkey{
			Action: a.action, Options: a.out.PasskeyOptions, Ticket: a.out.PasskeyTicket, Hidden: a.hidden, Body: body,
			Button:    page.Button{Text: v.say("action.use_passkey"), Kind: "primary", Icon: "fingerprint"},
			Cancelled: v.say("passkey.cancelled"), Unable: v.say("passkey.unable"), NoScript: v.say("passkey.no_script"),
		}}
	}
	// A page that is merely opened sends nothing.
	if m.Kind == parvis.SMS && a.sent == nil && a.out.Sent.ID == "" {
		return page.Stack{page.Form{
			Action: a.action, Hidden: append(a.hidden[:len(a.hidden):len(a.hidden)], page.Hidden{Name: "send", Value: "1"}), Body: a.strip,
			Note:    v.say("second_factor.sms.will", v.to(m)),
			Buttons: []page.Button{{Text: v.say("second_factor.sms.send"), Kind: "primary"}},
		}}
	}
	body := page.Stack{a.strip, v.codeField(m)}
	if remember != nil {
		body = append(body, *remember)
	}
	all := page.Stack{page.Form{
		Action: a.action, Hidden: a.hidden, Body: body,
		Buttons: []page.Button{{Text: v.say("action.continue"), Kind: "primary"}},
	}}
	if m.Kind == parvis.SMS {
		again := page.Stack{page.Para(v.say("second_factor.sms.late")), page.Actions{{
			Text: v.say("second_factor.sms.again"), Post: a.action,
			Hidden: append(a.hidden[:len(a.hidden):len(a.hidden)], page.Hidden{Name: "send", Value: "1"}),
		}}}
		all = append(all, page.Section{Title: v.say("second_factor.sms.missing"), Body: again})
	}
	return all
}

func (v *visit) to(m parvis.Held) text.Args {
	if m.Hint == "" {
		return text.Args{}
	}
	return text.Args{"destination_masked": m.Hint}
}

// codeField is one field whatever the code: people paste, and forget hyphens.
func (v *visit) codeField(m parvis.Held) page.Field {
	f := page.Field{
		Name: "code", Type: "code", Required: true,
		Label: v.say("second_factor.code." + string(m.Kind)), Hint: v.say("second_factor.code."+string(m.Kind)+".hint", v.to(m)),
	}
	switch m.Kind {
	case parvis.RecoveryCode, parvis.TemporaryCode:
		f.Type, f.Mono, f.Autocomplete = "", true, "off" // letters too
	case parvis.TOTP:
		if m.Name != "" {
			f.Hint = v.say("second_factor.code.totp.named", text.Args{"name": m.Name})
		}
	}
	return f
}

// remember is the box for a browser of one's own; nil where policy has none, and
// for codes of one use, which prove nothing of the days to come.
func (v *visit) remember(a asking) *page.Choices {
	switch a.out.Method.Kind {
	case parvis.TOTP, parvis.SMS, parvis.Passkey:
	default:
		return nil
	}
	if a.out.MayRemember <= 0 {
		return nil
	}
	return &page.Choices{Name: "remember", Options: []page.Option{{
		Value: "1", Label: v.say("second_factor.remember", text.Args{"n": a.out.MayRemember}), Hint: v.say("second_factor.remember.hint"),
		Checked: a.sent.Get("remember") != "",
	}}}
}

// otherMethods are the rest of what can be shown here, and what the IT contact
// gives to whoever has lost it.
func (v *visit) otherMethods(a asking) page.Rows {
	var rows page.Rows
	use := func(icon, name, hint, method string) {
		rows = append(rows, page.Row{Icon: icon, Name: name, Text: hint, Actions: []page.Button{{
			Text: v.say("second_factor.use"), About: name, Post: a.action,
			Hidden: append(a.hidden[:len(a.hidden):len(a.hidden)], page.Hidden{Name: "method", Value: method}),
		}}})
	}
	for _, m := range a.out.Methods {
		if m.ID != a.out.Method.ID {
			use(iconOf(m.Kind), v.methodName(m), "", m.ID)
		}
	}
	if a.out.Method.Kind != parvis.TemporaryCode && !a.noCode {
		use("key", capital(v.say("proof.temporary_code")), v.say("second_factor.temporary"), string(parvis.TemporaryCode))
	}
	return rows
}

func iconOf(k parvis.ProofKind) string {
	switch k {
	case parvis.TOTP:
		return "device-mobile"
	case parvis.SMS:
		return "message"
	case parvis.Passkey:
		return "fingerprint"
	case parvis.RecoveryCode:
		return "receipt"
	}
	return "key"
}

// methodName is how a method is told from the others.
func (v *visit) methodName(m parvis.Held) string {
	args := text.Args{}
	if m.Name != "" {
		args["name"] = m.Name
	}
	if m.Hint != "" {
		args["destination_masked"] = m.Hint
	}
	return v.say("second_factor.method."+string(m.Kind), args)
}

// showSecond is the door's page of the second proof.
func (v *visit) showSecond(a attempt) page.Page {
	return v.secondPage(asking{
		out: a.out, sent: a.sent, action: "/signin", hidden: a.hidden(),
		strip: page.Identity{
			Label: v.say("refusal.account.agent"), Text: a.out.Identifier,
			Change: page.Link{Text: v.say("sign_in_secret.change"), Href: a.again()},
		},
		lead: v.say("second_factor.lead"),
		lost: page.Button{Post: "/lost", Hidden: a.hidden()},
	})
}

// showVerifier is the door's page before one leaves for the verifier; when it
// does not answer, it says so, and how one may go on.
func (v *visit) showVerifier(a attempt) page.Page {
	pg := v.verifierPage(a.out.Provider, "/verifier/leave", a.hidden())
	if len(a.out.Reasons) == 0 {
		return pg
	}
	told := v.tell(parvis.Decision{Reasons: a.out.Reasons}, parvis.App{}, v.origin.Channel, a.out.Args)
	v.refuses(&pg, told, a.out.Reference)
	body := page.Stack{}
	for _, r := range told.Reasons {
		body = append(body, page.Notice{Mark: page.Warn, Alert: a.sent != nil, Title: r.Title, Text: r.Answer.Why})
	}
	if a.out.Waivable {
		body = append(body, page.Form{
			Action: "/signin", Hidden: append(a.hidden(), page.Hidden{Name: "method", Value: string(parvis.VerifierWaived)}),
			Buttons: []page.Button{{Text: v.say("action.continue_other_way"), Kind: "primary"}},
		})
	}
	pg.Body = append(body, pg.Body)
	return pg
}

// proving is what the address of the step-up says.
type proving struct {
	ticket string // where one was going
	method string
	change bool // what follows changes proofs
}

func provingOf(q url.Values) proving {
	return proving{ticket: q.Get("return"), method: q.Get("method"), change: q.Get("change") != ""}
}

func (p proving) hidden(flow string) []page.Hidden {
	all := []page.Hidden{{Name: "flow", Value: flow}, {Name: "return", Value: p.ticket}}
	if p.change {
		all = append(all, page.Hidden{Name: "change", Value: "1"})
	}
	return all
}

// address is the page itself, asking for one method.
func (p proving) address(method string) string {
	q := url.Values{}
	for name, value := range map[string]string{"return": p.ticket, "method": method} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if p.change {
		q.Set("change", "1")
	}
	return "/prove?" + q.Encode()
}

// proveFor gives the address where one shows a proof and comes back to path.
func (p *Portal) proveFor(path, method string, change bool) (string, error) {
	to := proving{method: method, change: change}
	if local(path) && path != "/" {
		var err error
		if to.ticket, err = p.wicket.returns.Issue(localReturn{Path: path}, p.Clock(), time.Hour); err != nil {
			return "", err
		}
	}
	return to.address(method), nil
}

// getProve asks somebody who is in to show once more who they are.
func (p *Portal) getProve(w http.ResponseWriter, r *http.Request, v *visit) error {
	to := provingOf(r.URL.Query())
	return p.prove(w, r, v, to, nil, signin.Proving{Method: to.method})
}

func (p *Portal) postProve(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	to := provingOf(sent)
	v.leads = p.goal(to.ticket).leads()
	if sent.Has("password") {
		to.method = string(parvis.Password)
		if sent.Get("password") == "" {
			return v.show(w, r, http.StatusUnprocessableEntity, v.confirmPage(to, signin.Outcome{}, sent))
		}
	}
	return p.prove(w, r, v, to, sent, signin.Proving{
		Posted: true, Flow: sent.Get("flow"), Method: sent.Get("method"), Code: seal.Secret(sent.Get("code")), Send: sent.Get("send") != "",
		Passkey: []byte(sent.Get("passkey")), PasskeyTicket: sent.Get("passkey_ticket"), Password: seal.Secret(sent.Get("password")),
		Remember: sent.Get("remember") != "",
	})
}

func (p *Portal) prove(w http.ResponseWriter, r *http.Request, v *visit, goes proving, sent url.Values, in signin.Proving) error {
	g := p.goal(goes.ticket)
	v.leads = g.leads()
	if g.again() && in.Method == "" && sent == nil {
		in.Method = v.firstProof()
		goes.method = in.Method
	}
	switch {
	case g.stronger() && sent == nil && g.shown(v.session.Proofs):
		return to(w, g.path)
	case g.stronger():
		in.Level = g.level
	}
	in.Session, in.Change, in.Device, in.Origin, in.Lang = v.session, goes.change, v.cookie(r, cookieDevice), v.origin, v.lang
	out, err := p.Door.Prove(r.Context(), in)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // the session ended meanwhile
		door, err := p.doorTo(goes.address(""))
		if err != nil {
			return err
		}
		return to(w, door)
	case err != nil:
		return err
	case out.Step == signin.StepDone:
		p.Sessions.Give(w, out.Token)
		if g.stronger() { // was it enough? printed codes are taken in any field
			return to(w, goes.address(""))
		}
		return to(w, g.address(goes.ticket))
	}
	if g.again() {
		out.Methods = slices.DeleteFunc(out.Methods, func(m parvis.Held) bool { return m.Kind != parvis.Passkey })
		if out.Method.Kind != parvis.Passkey {
			goes.method = string(parvis.Password)
		}
	}
	status := http.StatusOK
	switch {
	case out.Retry > 0 && codeIs(out.Reasons, parvis.WhyServiceUnavailable):
		status = http.StatusServiceUnavailable
	case out.Retry > 0:
		status = http.StatusTooManyRequests
	case out.Step == signin.StepWait:
		status = http.StatusForbidden
	case sent != nil && len(out.Reasons) > 0:
		status = http.StatusUnprocessableEntity
	}
	if out.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((out.Retry+time.Second-1)/time.Second)))
	}
	if g.stronger() && len(out.Methods) == 0 && in.Method == "" && !sent.Has("code") {
		return p.reach(w, r, v, goes, g)
	}
	// The password is for whoever holds nothing else, or was asked for it. It
	// does not let anybody change methods that are held, and cannot be shown here.
	elsewhere := goes.change && slices.ContainsFunc(v.standing.Enrolled, func(k parvis.ProofKind) bool { return k != parvis.RecoveryCode && k.Second() })
	if goes.method == string(parvis.Password) || len(out.Methods) == 0 && !elsewhere && goes.method != string(parvis.TemporaryCode) && in.Method == "" && !sent.Has("code") {
		return v.show(w, r, status, v.confirmPage(goes, out, sent))
	}
	return v.show(w, r, status, v.secondPage(asking{
		out: out, sent: sent, action: "/prove", hidden: goes.hidden(out.Flow),
		strip: page.Identity{Label: v.say("refusal.account.agent"), Text: string(v.agent.Number)},
		lead:  v.whyProve(goes),
		lost:  page.Button{Href: "/lost?return=" + url.QueryEscape(goes.ticket)},
		unmet: g.refusing(), noCode: g.again() || !signin.Reaches(withCode(v.session.Proofs), in.Level),
	}))
}

// whyProve says what the proof is for.
func (v *visit) whyProve(to proving) string {
	g := v.p.goal(to.ticket)
	switch {
	case g.stronger() && g.app.ID == "": // for one of our own pages
		return v.say("prove.level.act")
	case g.stronger():
		return v.say("prove.level.why") + " " + v.say("prove.lead.app", text.Args{"app": g.goingTo(v.lang)})
	case g.again() && g.app.ID == "":
		return v.say("prove.again.plain")
	case g.again():
		return v.say("prove.again.lead", text.Args{"app": g.goingTo(v.lang)})
	case g.app.ID != "":
		return v.say("prove.lead.app", text.Args{"app": g.goingTo(v.lang)})
	case to.change:
		return v.say("prove.lead.change")
	}
	return v.say("prove.lead")
}

// confirmPage asks for the password again.
func (v *visit) confirmPage(to proving, out signin.Outcome, sent url.Values) page.Page {
	pg := page.Page{Screen: "prove_password", Title: v.say("prove.password.title"), Lead: v.whyProve(to)}
	var body page.Stack
	told := v.tell(parvis.Decision{Reasons: out.Reasons}, parvis.App{}, v.origin.Channel, out.Args)
	for _, r := range told.Reasons {
		if parvis.ReasonCode(r.Code) == parvis.WhyCredentialsIncorrect {
			pg.Errors = append(pg.Errors, page.Fault{Field: "password", Text: v.say("field.current_password.incorrect")})
			continue
		}
		pg.Erroneous = true
		body = append(body, page.Notice{Mark: page.Warn, Alert: true, Title: r.Title, Text: r.Answer.Why})
	}
	v.refuses(&pg, told, out.Reference)
	if len(out.Reasons) == 0 && sent.Has("password") && sent.Get("password") == "" {
		pg.Errors = append(pg.Errors, page.Fault{Field: "password", Text: v.say("field.password.required")})
	}
	cancel := "/"
	if g := v.p.goal(to.ticket); g.again() {
		cancel = g.unmet()
	}
	pg.Body = append(body,
		page.Form{
			Action: "/prove", Hidden: to.hidden(out.Flow),
			Body: page.Stack{
				page.Identity{Label: v.say("refusal.account.agent"), Text: string(v.agent.Number)},
				page.Field{
					Name: "password", Label: v.say("field.password.label"), Type: "password", Required: true, Autocomplete: "current-password",
				},
			},
			Buttons: []page.Button{{Text: v.say("action.continue"), Kind: "primary"}, {Text: v.say("action.cancel"), Kind: "plain", Href: cancel}},
		},
		v.instead(to))
	return pg
}

// instead are the other ways on of the page that asks for the password.
func (v *visit) instead(to proving) page.Links {
	forgotten := page.Link{Text: v.say("sign_in_secret.forgotten"), Href: "/recover"}
	switch {
	case !v.p.goal(to.ticket).again():
		return page.Links{{Text: v.say("action.have_temporary_code"), Href: to.address(string(parvis.TemporaryCode))}, forgotten}
	case v.passkeyHere():
		return page.Links{{Text: v.say("action.use_passkey"), Href: to.address(string(parvis.Passkey))}, forgotten}
	}
	return page.Links{forgotten}
}

// getLost and postLost say what to do when nothing of it is at hand. The form of
// the door comes along, so that one goes on there; nothing changes here.
func (p *Portal) getLost(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.lostPage("", r.URL.Query().Get("return")))
}

func (p *Portal) postLost(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	return v.show(w, r, http.StatusOK, v.lostPage(sent.Get("flow"), sent.Get("return")))
}

func (v *visit) lostPage(flow, ticket string) page.Page {
	told := v.tell(parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyFactorLost}}}, parvis.App{}, v.origin.Channel, v.account())
	pg := page.Page{Screen: "factor_lost", Title: told.Reasons[0].Title, Lead: v.say("factor_lost.lead"), Width: page.Wide}
	with := func(label string, kind parvis.ProofKind) page.Button {
		b := page.Button{Text: label}
		switch {
		case v.in:
			b.Href = proving{ticket: ticket}.address(string(kind))
		case flow != "":
			b.Post, b.Hidden = "/signin", []page.Hidden{{Name: "flow", Value: flow}, {Name: "return", Value: ticket}, {Name: "method", Value: string(kind)}}
		default:
			b.Href = attempt{ticket: ticket}.again()
		}
		return b
	}
	report := page.Step{Title: v.say("factor_lost.report"), Text: v.say("factor_lost.report.text")}
	if v.in {
		report.Actions = []page.Button{{Text: v.say("action.report_lost"), Href: "/security/factors"}}
	}
	enter := page.Step{Title: v.say("factor_lost.other"), Text: v.say("factor_lost.other.text"), Actions: []page.Button{
		with(v.say("action.have_recovery_code"), parvis.RecoveryCode),
	}}
	if flow != "" && !v.in {
		enter.Actions = append(enter.Actions, page.Button{
			Text: v.say("action.other_method"), Kind: "plain", Post: "/signin",
			Hidden: []page.Hidden{{Name: "flow", Value: flow}, {Name: "return", Value: ticket}},
		})
	}
	meet := page.Step{Title: v.say("factor_lost.meet"), Text: v.say("factor_lost.meet.text"), Actions: []page.Button{
		with(v.say("action.have_temporary_code"), parvis.TemporaryCode),
	}}
	steps := []page.Step{enter, meet, report}
	if v.in {
		steps = []page.Step{report, enter, meet}
	}
	pg.Body = page.Refusal{
		Steps: steps, People: v.people(2, "it_contact", "support_desk"),
		Other: &page.Link{Text: v.say("action.diagnosis"), Href: "/diagnosis"},
	}
	return pg
}
