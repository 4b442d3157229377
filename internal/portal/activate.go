package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/text"
)

// getActivate shows the two ways to begin. A link from a message changes
// nothing: its token waits in a cookie, out of the history and out of the
// address, until a button is pressed. A scanner that follows it uses nothing.
func (p *Portal) getActivate(w http.ResponseWriter, r *http.Request, v *visit) error {
	if token := r.URL.Query().Get("link"); token != "" {
		if len(token) > 200 {
			return &parvis.Error{Code: parvis.CodeNotFound, Op: "portal.getActivate"}
		}
		v.keep(w, cookieLink, url.QueryEscape(token), linkWaits)
		return to(w, "/activate/link")
	}
	return v.show(w, r, http.StatusOK, v.activatePage(nil, nil))
}

func (p *Portal) getActivateLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.cookie(r, cookieLink) == "" {
		if v.cookie(r, cookieCode) == "" {
			return to(w, "/activate")
		}
		return p.waitingCode(w, r, v)
	}
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "activation_code", Title: v.say("portal.link.title"),
		Lead: v.say("activation_code.link.text"),
		Body: page.Form{
			Action: "/activate", Hidden: []page.Hidden{{Name: "link", Value: "1"}},
			Buttons: []page.Button{{Text: v.say("activation_code.link.submit"), Kind: "primary"}},
		},
	})
}

// postActivate takes a code, the link that waits, or a number and an address.
func (p *Portal) postActivate(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	in := recovery.Redemption{
		Code: strings.TrimSpace(sent.Get("code")), AgentNumber: strings.TrimSpace(sent.Get("agent_number")), Session: v.session, Origin: v.origin,
	}
	switch {
	case sent.Has("link"):
		in.Code, in.AgentNumber = "", ""
		if in.Link, err = url.QueryUnescape(v.cookie(r, cookieLink)); err != nil || in.Link == "" {
			if in.Code = p.codeThatWaits(r, v); in.Code == "" {
				return to(w, "/activate")
			}
		}
		return p.redeem(w, r, v, in, sent)
	case in.Code != "":
		return p.redeem(w, r, v, in, sent)
	case sent.Has("code") && !sent.Has("email"):
		return v.show(w, r, http.StatusUnprocessableEntity, v.activatePage(sent, []page.Fault{{Field: "code", Text: v.say("field.code.required")}}))
	}
	return p.begin(w, r, v, sent)
}

func (p *Portal) redeem(w http.ResponseWriter, r *http.Request, v *visit, in recovery.Redemption, sent url.Values) error {
	out, err := p.Desk.Redeem(r.Context(), in)
	if err != nil {
		return err
	}
	if out.SignIn {
		return p.signInFirst(w, r, v, in)
	}
	v.drop(w, cookieLink)
	v.drop(w, cookieCode)
	if out.Cookie != "" {
		v.keep(w, cookieActivation, out.Cookie.Reveal(), out.Expires.Sub(p.Clock()))
		return to(w, "/activate/overview")
	}
	told := v.reasonOf(out.Reasons)
	title, why := told.Reasons[0].Title, told.Reasons[0].Answer.Why
	pg := v.activatePage(nil, nil)
	if in.Link == "" && !codeIs(out.Reasons, parvis.WhyRateLimited) {
		pg = v.activatePage(sent, []page.Fault{{Field: "code", Text: title}})
	} else {
		pg.Erroneous = true
		pg.Body = append(page.Stack{page.Notice{Mark: page.Stop, Alert: true, Title: title, Text: why}}, pg.Body.(page.Stack)...)
	}
	v.refuses(&pg, told, "")
	return v.show(w, r, http.StatusUnprocessableEntity, pg)
}

func codeIs(reasons []parvis.Reason, code parvis.ReasonCode) bool {
	return len(reasons) > 0 && reasons[0].Code == code
}

// reasonOf says the first of the reasons, with how long there is to wait. There
// is always one: no reason at all would be a fault of ours.
func (v *visit) reasonOf(reasons []parvis.Reason, more ...text.Args) text.Told {
	if len(reasons) == 0 {
		reasons = []parvis.Reason{{Code: parvis.WhyServiceProblem}}
	}
	args := v.account()
	if at := reasons[0].At; at.After(v.at) {
		args["n"] = max(1, int((at.Sub(v.at)+time.Minute-1)/time.Minute))
	}
	return v.tell(parvis.Decision{Reasons: reasons[:1]}, parvis.App{}, v.origin.Channel, append([]text.Args{args}, more...)...)
}

// begin answers a number and an address: the same for everybody who typed them.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request, v *visit, sent url.Values) error {
	number, email := strings.TrimSpace(sent.Get("agent_number")), strings.TrimSpace(sent.Get("email"))
	var faults []page.Fault
	if number == "" {
		faults = append(faults, page.Fault{Field: "agent_number", Text: v.say("field.agent_number.required")})
	}
	switch at := strings.IndexByte(email, '@'); {
	case email == "":
		faults = append(faults, page.Fault{Field: "email", Text: v.say("field.email.required")})
	case at < 1 || at == len(email)-1 || strings.ContainsAny(email, " \t"):
		faults = append(faults, page.Fault{Field: "email", Text: v.say("field.email.shape")})
	}
	if len(faults) > 0 {
		return v.show(w, r, http.StatusUnprocessableEntity, v.activatePage(sent, faults))
	}
	answer, err := p.Desk.Start(r.Context(), recovery.Pair{AgentNumber: number, Email: email, Origin: v.origin, Lang: v.lang})
	if err != nil {
		return err
	}
	told := v.reasonOf(answer.Reasons, text.Args{"sender": answer.Sender, "subject": answer.Subject})
	title, why := told.Reasons[0].Title, told.Reasons[0].Answer.Why
	if !codeIs(answer.Reasons, parvis.WhyIdentityPairNeutral) {
		pg := v.activatePage(sent, nil)
		pg.Erroneous = true
		pg.Body = append(page.Stack{page.Notice{Mark: page.Wait, Alert: true, Title: title, Text: why}}, pg.Body.(page.Stack)...)
		v.refuses(&pg, told, "")
		return v.show(w, r, http.StatusTooManyRequests, pg)
	}
	pg := page.Page{
		Screen: "activation_code", Title: title, Lead: why, Short: v.say("portal.sent.short"),
		Body: page.Stack{
			page.Para(v.say("activation_code.sent.next")),
			v.codeForm(nil),
			page.Para(v.say("activation_code.sent.nothing")),
			page.Links{{Text: v.say("portal.start_again"), Href: "/activate"}},
		},
	}
	v.refuses(&pg, told, "") // not a refusal, but the one answer there is
	return v.show(w, r, http.StatusOK, pg)
}

func (v *visit) codeForm(sent url.Values) page.Form {
	return page.Form{
		Action: "/activate",
		Body: page.Field{
			Name: "code", Label: v.say("field.code.label"), Hint: v.say("field.code.hint"),
			Value: sent.Get("code"), Required: true, Mono: true, Autocomplete: "one-time-code",
		},
		Buttons: []page.Button{{Text: v.say("activation_code.code.submit"), Kind: "primary"}},
	}
}

func (v *visit) activatePage(sent url.Values, faults []page.Fault) page.Page {
	return page.Page{
		Screen: "activation_code", Title: v.say("activation_code.title"), Lead: v.say("activation_code.lead"), Errors: faults,
		Body: page.Stack{
			page.Section{Title: v.say("activation_code.code.title"), Body: v.codeForm(sent)},
			page.Section{
				Title: v.say("activation_code.pair.title"), Lead: v.say("activation_code.pair.lead"),
				Body: page.Form{
					Action: "/activate",
					Body: page.Stack{
						page.Field{
							Name: "agent_number", Label: v.say("field.agent_number.label"), Hint: v.say("field.agent_number.hint"),
							Value: sent.Get("agent_number"), Required: true, Mono: true, Autocomplete: "username",
						},
						page.Field{
							Name: "email", Label: v.say("field.email.label"), Hint: v.say("field.email.hint"), Type: "email",
							Value: sent.Get("email"), Required: true, Autocomplete: "email",
						},
					},
					Buttons: []page.Button{{Text: v.say("activation_code.pair.submit")}},
				},
			},
			page.Section{Title: v.say("activation_code.none.title"), Body: page.Para(v.say("activation_code.none.text"))},
		},
	}
}

// task reads the task list of this browser; when there is none any more, it
// says so where one begins and answers false.
func (p *Portal) task(w http.ResponseWriter, r *http.Request, v *visit) (recovery.Overview, bool, error) {
	over, err := p.Desk.Overview(r.Context(), v.activation(r))
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return over, false, p.lost(w, r, v)
	}
	return over, err == nil, err
}

// lost is the answer to a task list that is over, unknown or of another browser.
func (p *Portal) lost(w http.ResponseWriter, r *http.Request, v *visit) error {
	v.drop(w, cookieActivation)
	if v.cookie(r, cookieActivation) == "" {
		return to(w, "/activate")
	}
	pg := v.activatePage(nil, nil)
	told := v.reasonOf([]parvis.Reason{{Code: parvis.WhyFormExpired}})
	v.refuses(&pg, told, "")
	pg.Body = append(page.Stack{page.Notice{Mark: page.Warn, Title: told.Reasons[0].Title, Text: v.say("portal.lost")}}, pg.Body.(page.Stack)...)
	return v.show(w, r, http.StatusNotFound, pg)
}

func (p *Portal) getIdentity(w http.ResponseWriter, r *http.Request, v *visit) error {
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	return v.show(w, r, http.StatusOK, v.identityPage(over, r.URL.Query().Has("wrong")))
}

func (v *visit) identityPage(over recovery.Overview, wrong bool) page.Page {
	a := over.Agent
	facts := page.Record{
		{Term: v.say("activation_check_identity.name"), Text: a.Name()},
		{Term: v.say("activation_check_identity.number"), Text: string(a.Number), Mono: true},
		{Term: v.say("activation_check_identity.unit"), Text: lastOf(a.Unit)},
	}
	if a.JobLabel != "" {
		facts = append(facts, page.Fact{Term: v.say("activation_check_identity.job"), Text: a.JobLabel})
	}
	if !a.ContractFrom.IsZero() {
		facts = append(facts, page.Fact{Term: v.say("activation_check_identity.start"), Text: v.day(a.ContractFrom)})
	}
	email := a.Email
	if email == "" {
		email = v.say("activation_check_identity.no_email")
	}
	facts = append(facts, page.Fact{Term: v.say("activation_check_identity.email"), Text: email})
	pg := page.Page{Screen: "activation_check_identity", Title: v.say("activation_check_identity.title"), Lead: v.say("activation_check_identity.lead")}
	if wrong {
		pg.Title, pg.Lead = v.say("activation_check_identity.wrong.title"), v.say("portal.wrong.lead")
		pg.Body = page.Stack{facts, page.Form{
			Action: "/activate/identity", Hidden: []page.Hidden{{Name: "answer", Value: "wrong"}},
			Body: page.Field{Name: "what", Label: v.say("portal.wrong.what"), Type: "area", Required: true},
			Buttons: []page.Button{
				{Text: v.say("action.send"), Kind: "primary"}, {Text: v.say("action.back"), Kind: "plain", Href: "/activate/identity"},
			},
		}}
		return pg
	}
	pg.Body = page.Stack{facts, page.Form{
		Action: "/activate/identity", Hidden: []page.Hidden{{Name: "answer", Value: "right"}},
		Buttons: []page.Button{
			{Text: v.say("activation_check_identity.yes"), Kind: "primary"},
			{Text: v.say("activation_check_identity.no"), Kind: "plain", Href: "/activate/identity?wrong=1"},
		},
	}}
	return pg
}

// day writes a date alone.
func (v *visit) day(t time.Time) string { return v.say("portal.day", text.Args{"date": v.p.local(t)}) }

func (p *Portal) postIdentity(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	cookie := v.activation(r)
	what := strings.TrimSpace(sent.Get("what"))
	switch wrong := sent.Get("answer") == "wrong"; {
	case wrong && what == "":
		over, ok, err := p.task(w, r, v)
		if !ok {
			return err
		}
		pg := v.identityPage(over, true)
		pg.Errors = []page.Fault{{Field: "what", Text: v.say("portal.wrong.required")}}
		return v.show(w, r, http.StatusUnprocessableEntity, pg)
	case wrong:
		err = p.Desk.ReportWrongIdentity(r.Context(), cookie, v.origin, what)
	default:
		err = p.Desk.ConfirmIdentity(r.Context(), cookie, v.origin)
	}
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return p.lost(w, r, v)
	}
	if err != nil {
		return err
	}
	return to(w, "/activate/password")
}

func (p *Portal) getNewPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	if over.Password {
		return to(w, "/activate/overview")
	}
	return v.show(w, r, http.StatusOK, v.passwordPage(over, recovery.Stored{}, "", nil))
}

func (v *visit) passwordPage(over recovery.Overview, out recovery.Stored, typed string, faults []page.Fault) page.Page {
	least := out.Quality.Least
	if least == 0 {
		least = v.p.Vault.Judge("", over.Agent, over.Second).Least
	}
	var told text.Told
	for _, reason := range out.Reasons {
		told.Reasons = append(told.Reasons, v.rule(reason, least, typed))
		faults = append(faults, page.Fault{Field: "new_password", Text: told.Reasons[len(told.Reasons)-1].Title})
	}
	body := page.Stack{
		page.Identity{Label: v.say("refusal.account.agent"), Text: string(over.Agent.Number)},
		// For managers that keep the name with the password.
		v.newPassword(least, out.Quality.Strength, len(out.Reasons) > 0),
		v.rules(least),
		page.Section{Title: v.say("activation_agent_account.charter"), Body: page.Para(v.say("activation_agent_account.charter.text"))},
	}
	pg := page.Page{
		Screen: "activation_agent_account", Title: v.say("activation_agent_account.title"), Lead: v.say("activation_agent_account.lead"), Errors: faults,
		Body: page.Stack{page.Form{
			Action: "/activate/password", Body: body, Note: v.say("portal.charter"),
			Buttons: []page.Button{{Text: v.say("activation_agent_account.submit"), Kind: "primary"}, {Text: v.say("action.back"), Kind: "plain", Href: "/activate/overview"}},
		}},
	}
	if v.p.Policy.Site(v.origin.Channel) != "" && !over.Activated {
		instead := page.Section{Title: v.say("activation_agent_account.passkey.title"), Lead: v.say("activation_agent_account.passkey.text"), Body: page.Actions{
			{Text: v.say("activation_agent_account.passkey.submit"), Icon: "fingerprint", Href: "/activate/second/passkey"},
		}}
		pg.Body = append(page.Stack{instead}, page.Section{Title: v.say("activation_agent_account.or"), Body: pg.Body})
	}
	v.refuses(&pg, told, "")
	if !over.Disputed.IsZero() {
		pg.Body = append(page.Stack{page.Notice{Mark: page.Done, Title: v.say("portal.wrong.sent")}}, pg.Body.(page.Stack)...)
	}
	return pg
}

func (p *Portal) postNewPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	over, ok, err := p.task(w, r, v)
	if !ok {
		return err
	}
	password := seal.Secret(sent.Get("new_password"))
	if password == "" {
		fault := []page.Fault{{Field: "new_password", Text: v.say("field.new_password.required")}}
		return v.show(w, r, http.StatusUnprocessableEntity, v.passwordPage(over, recovery.Stored{}, "", fault))
	}
	out, err := p.Desk.SetPassword(r.Context(), v.activation(r), password, v.origin, v.lang)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return p.lost(w, r, v)
	case parvis.CodeOf(err) == parvis.CodeConflict: // there is one: sent twice
		return to(w, "/activate/overview")
	case err != nil:
		return err
	case !out.Done && len(out.Reasons) == 0:
		return &parvis.Error{Code: parvis.CodeInternal, Op: "portal.postNewPassword", Err: errors.New("neither done nor refused")}
	case !out.Done:
		return v.show(w, r, http.StatusUnprocessableEntity, v.passwordPage(over, out, password.Reveal(), nil))
	}
	v.keep(w, cookieActivation, out.Cookie.Reveal(), out.Expires.Sub(p.Clock()))
	if !out.Completed {
		return to(w, "/activate/overview")
	}
	return p.toDone(w, v, out.Agent)
}

// toDone leads to the last page of an activation.
func (p *Portal) toDone(w http.ResponseWriter, v *visit, number parvis.AgentNumber) error {
	ticket, err := p.wicket.activated.Issue(activated{number}, p.Clock(), doneShown)
	if err != nil {
		return err
	}
	v.keep(w, cookieActivated, ticket, doneShown)
	return to(w, "/activate/done")
}
