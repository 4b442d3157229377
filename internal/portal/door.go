package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/signin"
	"parvis/internal/store"
	"parvis/internal/text"
)

// getSignin opens the door, or goes on at once for whoever is in.
func (p *Portal) getSignin(w http.ResponseWriter, r *http.Request, v *visit) error {
	ticket := r.URL.Query().Get("return")
	if v.in {
		return to(w, p.goal(ticket).address(ticket))
	}
	out, err := p.Door.Advance(r.Context(), signin.In{Return: ticket, Origin: v.origin, Lang: v.lang})
	if err != nil {
		return err
	}
	return p.step(w, r, v, attempt{out: out, ticket: ticket})
}

// attempt is one answer of the door and what the form held.
type attempt struct {
	out    signin.Outcome
	ticket string     // where the visitor was going
	sent   url.Values // nil when nothing was sent
}

// left tells whether a field of the form was left empty.
func (a attempt) left(field string) bool {
	return a.sent.Has(field) && a.sent.Get(field) == ""
}

func (p *Portal) postSignin(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	ticket := sent.Get("return")
	out, err := p.Door.Advance(r.Context(), signin.In{
		Posted: true, Flow: sent.Get("flow"), Cookie: v.cookie(r, cookieDoor),
		Identifier: sent.Get("identifier"), Password: seal.Secret(sent.Get("password")), NewPassword: seal.Secret(sent.Get("new_password")),
		Device: v.cookie(r, cookieDevice), Browser: r.UserAgent(), Return: ticket, Origin: v.origin, Lang: v.lang,
		Method: sent.Get("method"), Code: seal.Secret(sent.Get("code")), Send: sent.Get("send") != "",
		Passkey: []byte(sent.Get("passkey")), PasskeyTicket: sent.Get("passkey_ticket"), Remember: sent.Get("remember") != "",
	})
	if err != nil {
		return err
	}
	return p.goOn(w, r, v, attempt{out: out, ticket: ticket, sent: sent})
}

// goOn goes on after an answer of the door, or after the way back from a
// verifier: the page of the next step, or in.
func (p *Portal) goOn(w http.ResponseWriter, r *http.Request, v *visit, a attempt) error {
	out := a.out
	if out.Cookie != "" {
		v.keep(w, cookieDoor, out.Cookie.Reveal(), doorWaits)
	}
	if out.Step != signin.StepDone {
		return p.step(w, r, v, a)
	}
	if v.in { // the browser lets go of the session it had: nobody would end it
		err := p.Store.Write(r.Context(), func(tx *store.Tx) error { return p.Sessions.End(tx, v.session.ID, "raised") })
		if err != nil {
			return err
		}
	}
	p.Sessions.Give(w, out.Token)
	if out.Device != "" {
		v.keep(w, cookieDevice, out.Device, year)
	}
	v.drop(w, cookieDoor)
	return to(w, p.goal(out.Return).address(out.Return))
}

// step shows the page of a step: a function of the outcome and of what was
// typed, of nothing else.
func (p *Portal) step(w http.ResponseWriter, r *http.Request, v *visit, a attempt) error {
	status := http.StatusOK
	// Whoever has just proven the old password has nothing to correct; a program
	// still has to be told that this is not the end.
	if a.sent != nil && len(a.out.Reasons) > 0 && (a.out.Step != signin.StepNewPassword || edge.WantsJSON(r)) {
		status = http.StatusUnprocessableEntity
	}
	if a.out.Retry > 0 {
		status = http.StatusTooManyRequests
		if a.out.Reasons[0].Code == parvis.WhyServiceUnavailable {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Retry-After", strconv.Itoa(int((a.out.Retry+time.Second-1)/time.Second)))
	}
	g := p.goal(a.ticket)
	v.leads = g.leads()
	var pg page.Page
	switch a.out.Step {
	case signin.StepIdentifier:
		pg = v.identifierPage(a, g, p.Sessions.Gone(r))
	case signin.StepSecret:
		pg = v.secretPage(a)
	case signin.StepSecondFactor:
		pg = v.showSecond(a)
	case signin.StepVerifier:
		pg = v.showVerifier(a)
	case signin.StepNewPassword:
		pg = v.changePage(a)
	case signin.StepWait:
		status, pg = http.StatusForbidden, v.waitPage(a)
	case signin.StepBlocked:
		status, pg = http.StatusForbidden, v.blockedPage(a.out.Reasons, a.out.Reference, a.out.Args)
		if codeIs(a.out.Reasons, parvis.WhyVerifierUnavailable) {
			pg = v.untilItAnswers(pg, a)
		}
	default:
		return &parvis.Error{Code: parvis.CodeInternal, Op: "portal.step", Err: errors.New("a step without a page: " + string(a.out.Step))}
	}
	if len(pg.Errors) > 0 && status == http.StatusOK {
		status = http.StatusUnprocessableEntity
	}
	return v.show(w, r, status, pg)
}

// untilItAnswers makes of the page of a silent verifier one that promises no
// other way, since there is none, but to try again, and somebody to ask.
func (v *visit) untilItAnswers(pg page.Page, a attempt) page.Page {
	body := pg.Body.(page.Refusal)
	body.Why = []string{v.say("verifier_return.wait.text")}
	body.Steps = []page.Step{{Title: v.say("verifier_return.then"), Actions: []page.Button{
		{Text: v.say("action.retry"), Kind: "primary", Href: a.again()},
	}}}
	if len(body.People) == 0 {
		body.People = v.people(2, "it_contact", "support_desk")
	}
	pg.Body = body
	return pg
}

func (a attempt) hidden() []page.Hidden {
	h := []page.Hidden{{Name: "flow", Value: a.out.Flow}}
	if a.ticket != "" {
		h = append(h, page.Hidden{Name: "return", Value: a.ticket})
	}
	return h
}

// again is the address of the first step, which keeps where one was going.
func (a attempt) again() string {
	if a.ticket == "" {
		return "/signin"
	}
	return "/signin?return=" + url.QueryEscape(a.ticket)
}

func (v *visit) identifierPage(a attempt, g goal, gone parvis.ReasonCode) page.Page {
	pg := page.Page{Screen: "sign_in_identifier", Title: v.say("sign_in_identifier.title"), Lead: v.say("sign_in_identifier.lead")}
	var body page.Stack
	if g.app.ID != "" {
		args := text.Args{"app": g.goingTo(v.lang)}
		pg.Screen, pg.Title, pg.Lead = "sign_in_context", v.say("sign_in_context.title", args), v.say("sign_in_context.why", args)
		pg.Short = v.say("sign_in_context.title_short")
	}
	if a.sent == nil && gone != "" {
		body = append(body, v.gone(gone))
	}
	told := v.tell(parvis.Decision{Reasons: a.out.Reasons}, parvis.App{}, v.origin.Channel, a.out.Args)
	v.refuses(&pg, told, a.out.Reference)
	for _, reason := range told.Reasons {
		switch parvis.ReasonCode(reason.Code) {
		case parvis.WhyIdentifierRequired, parvis.WhyIdentifierWrongCircuit:
			pg.Errors = append(pg.Errors, page.Fault{Field: "identifier", Text: reason.Title})
			if reason.Answer.Why != "" {
				body = append(body, page.Para(reason.Answer.Why))
			}
		default:
			pg.Erroneous = a.sent != nil
			body = append(body, page.Notice{Mark: page.Warn, Alert: a.sent != nil, Title: reason.Title, Text: reason.Answer.Why})
		}
	}
	typed := a.out.Identifier
	if a.sent == nil && typed == "" {
		typed = g.hint
	}
	complete := "username"
	if len(a.out.PasskeyOptions) > 0 { // the browser offers them in the list of the field
		complete = "username webauthn"
	}
	body = append(body, page.Form{
		Action: "/signin", Hidden: a.hidden(),
		Body: page.Field{
			Name: "identifier", Label: v.say("field.identifier.label"), Hint: v.say("field.identifier.hint"),
			Value: typed, Required: true, Autocomplete: complete,
		},
		Buttons: []page.Button{{Text: v.say("sign_in_identifier.submit"), Kind: "primary"}},
	})
	if len(a.out.PasskeyOptions) > 0 {
		body = append(body, page.Passkey{
			Action: "/signin", Options: a.out.PasskeyOptions, Ticket: a.out.PasskeyTicket, Auto: true, Hidden: a.hidden(),
			Button:    page.Button{Text: v.say("sign_in_identifier.passkey"), Icon: "fingerprint"},
			Cancelled: v.say("passkey.cancelled"),
		})
	}
	pg.Body = append(body,
		page.Links{
			{Text: v.say("sign_in_identifier.forgotten"), Href: "/recover"},
			{Text: v.say("sign_in_identifier.first_time"), Href: "/activate"},
		})
	return pg
}

// gone says why the session of before opens nothing any more.
func (v *visit) gone(code parvis.ReasonCode) page.Notice {
	rest := 60 * time.Minute
	if v.door == parvis.Mobile {
		rest = 30 * time.Minute
	}
	if l, ok := v.p.Sessions.Limits[v.door]; ok {
		rest = l.Idle
	}
	answer := v.p.Catalog.Reason(v.lang, string(code), v.with(text.Args{"n": int(rest / time.Minute)}))
	return page.Notice{Mark: page.Info, Title: answer.Title}
}

func (v *visit) secretPage(a attempt) page.Page {
	pg := page.Page{Screen: "sign_in_secret", Title: v.say("sign_in_secret.title")}
	var body page.Stack
	told := v.tell(parvis.Decision{Reasons: a.out.Reasons}, parvis.App{}, v.origin.Channel, a.out.Args)
	v.refuses(&pg, told, a.out.Reference)
	switch {
	case a.out.Retry > 0 && a.out.Reasons[0].Code == parvis.WhyServiceUnavailable:
		pg.Erroneous = true
		body = append(body, page.Notice{
			Mark: page.Wait, Alert: true, Title: v.say("service_unavailable.busy.title"),
			Text: v.say("sign_in_secret.busy", text.Args{"duration": a.out.Retry}),
		})
	default:
		for i, reason := range told.Reasons {
			mark := page.Stop
			if i > 0 {
				mark = page.Warn
			}
			pg.Erroneous = true
			body = append(body, page.Notice{Mark: mark, Alert: true, Title: reason.Title, Text: reason.Answer.Why})
		}
	}
	if len(a.out.Reasons) == 0 && a.left("password") {
		pg.Errors = append(pg.Errors, page.Fault{Field: "password", Text: v.say("field.password.required")})
	}
	pg.Body = append(body,
		page.Form{
			Action: "/signin", Hidden: a.hidden(),
			Body: page.Stack{
				page.Identity{
					Label: v.say("refusal.account.agent"), Text: a.out.Identifier,
					Change: page.Link{Text: v.say("sign_in_secret.change"), Href: a.again()},
				},
				page.Field{
					Name: "password", Label: v.say("field.password.label"), Hint: v.say("sign_in_secret.not_verifier"),
					Type: "password", Required: true, Autocomplete: "current-password",
				},
			},
			Buttons: []page.Button{{Text: v.say("sign_in_secret.submit"), Kind: "primary"}},
		},
		page.Links{{Text: v.say("sign_in_secret.forgotten"), Href: "/recover"}})
	if a.out.Reference != "" {
		pg.Body = append(pg.Body.(page.Stack), page.Para(v.say("portal.reference.line", text.Args{"ref": string(a.out.Reference)})))
	}
	return pg
}

func (v *visit) changePage(a attempt) page.Page {
	pg := page.Page{Screen: "password_change_required", Title: v.say("password_change_required.title"), Short: v.say("portal.new_password.short")}
	var why page.Stack
	told := v.tell(parvis.Decision{Reasons: a.out.Reasons}, parvis.App{}, v.origin.Channel, a.out.Args)
	for i, reason := range told.Reasons {
		if strings.HasPrefix(reason.Code, "password_rule_") {
			reason = v.rule(a.out.Reasons[i], a.out.Quality.Least, a.sent.Get("new_password"))
			told.Reasons[i] = reason
			pg.Errors = append(pg.Errors, page.Fault{Field: "new_password", Text: reason.Title})
			continue
		}
		why = append(why, page.Notice{Mark: page.Info, Title: reason.Title, Text: reason.Answer.Why})
	}
	v.refuses(&pg, told, a.out.Reference)
	// The form of the step before may hold the field too, not yet asked for.
	if a.left("new_password") && a.sent.Get("password") == "" && len(pg.Errors) == 0 {
		pg.Errors = append(pg.Errors, page.Fault{Field: "new_password", Text: v.say("field.new_password.required")})
	}
	chosen := v.newPassword(a.out.Quality.Least, a.out.Quality.Strength, len(pg.Errors) > 0 && !a.left("new_password"))
	pg.Body = append(why, page.Form{
		Action: "/signin", Hidden: a.hidden(),
		Body: page.Stack{
			page.Identity{Label: v.say("refusal.account.agent"), Text: a.out.Identifier},
			chosen, v.rules(a.out.Quality.Least),
		},
		Note:    v.say("password_change_required.after"),
		Buttons: []page.Button{{Text: v.say("password_change_required.submit"), Kind: "primary"}},
	})
	return pg
}

// leastAlone is said when the door has not said how long a password must be;
// longest is the most it may be (product.md section 5).
const (
	leastAlone = 15
	longest    = 128
)

// rule says a rule that a new password does not follow. Length has two ends.
func (v *visit) rule(reason parvis.Reason, least int, typed string) text.ToldReason {
	args := text.Args{"n": least}
	if !utf8.ValidString(typed) || utf8.RuneCountInString(norm.NFKC.String(typed)) > longest {
		args["most"] = longest
	}
	return v.tell(parvis.Decision{Reasons: []parvis.Reason{reason}}, parvis.App{}, v.origin.Channel, args).Reasons[0]
}

func (v *visit) newPassword(least int, strength string, judged bool) page.Field {
	if least == 0 {
		least = leastAlone
	}
	f := page.Field{
		Name: "new_password", Label: v.say("field.new_password.label"), Hint: v.say("field.new_password.hint", text.Args{"n": least}),
		Type: "password", Required: true, Autocomplete: "new-password",
	}
	if judged {
		level := map[string]int{"weak": 1, "fair": 2, "good": 3, "strong": 4}[strength]
		f.Strength = &page.Strength{Label: v.say("portal.strength"), Text: v.say("password.strength." + strength), Level: level}
	}
	return f
}

func (v *visit) rules(least int) page.Section {
	if least == 0 {
		least = leastAlone
	}
	return page.Section{Title: v.say("password.rules.title"), Body: page.List{
		v.say("password.rules.length", text.Args{"n": least, "max": longest}),
		v.say("password.rules.free"), v.say("password.rules.common"), v.say("password.rules.personal"),
		v.say("password.rules.paste"), v.say("password.rules.other"),
	}}
}

func (v *visit) waitPage(a attempt) page.Page {
	told := v.tell(parvis.Decision{Reasons: a.out.Reasons}, parvis.App{}, v.origin.Channel, a.out.Args)
	at := text.Args{"time": v.p.local(a.out.Reasons[0].At)}
	pg := page.Page{
		Screen: "locked_wait", Title: v.say("locked_wait.title", at), Width: page.Wide,
		Body: page.Refusal{
			Why: []string{told.Reasons[0].Answer.Why},
			Steps: []page.Step{
				{Title: v.say("portal.wait.end", at), Text: v.say("locked_wait.ends", at) + " " + v.say("locked_wait.count"), Actions: []page.Button{
					{Text: v.say("portal.wait.retry"), Href: a.again()},
				}},
				{Title: v.say("portal.wait.known"), Text: v.say("locked_wait.known")},
				{Title: v.say("portal.wait.not_me")},
			},
			Ticket: v.ticket(string(a.out.Reference), v.at, v.origin.Channel, a.out.Identifier),
			People: v.people(2, "support_desk", "it_contact"),
			Other:  &page.Link{Text: v.say("action.diagnosis"), Href: "/diagnosis"},
		},
	}
	v.refuses(&pg, told, a.out.Reference)
	return pg
}

// ticket is what to give to the support desk. account is what was typed, or the
// number of whoever has proven it.
func (v *visit) ticket(ref string, at time.Time, ch parvis.Channel, account string) *page.Ticket {
	if ref == "" {
		return nil
	}
	facts := page.Record{
		{Term: v.say("refusal.give.time"), Text: v.p.Catalog.Format(v.lang, v.p.local(at))},
		{Term: v.say("portal.entrance"), Text: v.channel(ch, "label")},
	}
	if account != "" {
		facts = append(facts, page.Fact{Term: v.say("portal.account"), Text: v.say("refusal.account.agent", text.Args{"agent_number": account})})
	}
	return &page.Ticket{Reference: ref, Facts: facts}
}

// getEnter lets a session into the application that its holder was going to.
func (p *Portal) getEnter(w http.ResponseWriter, r *http.Request, v *visit) error {
	ticket := r.URL.Query().Get("return")
	if !v.in {
		if ticket == "" {
			return to(w, "/signin")
		}
		return to(w, "/signin?return="+url.QueryEscape(ticket))
	}
	g := p.goal(ticket)
	switch {
	case g.app.ID == "" || g.here:
		return to(w, g.address(ticket))
	case !served(g.app):
		href, _ := v.front(g.app, v.door) // from configuration
		return to(w, href)
	}
	origin := p.Addresses.App(v.door, g.app.ID)
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "portal.getEnter", Err: err}
	}
	pass, err := p.Sessions.Ticket(v.session, g.app.ID, u.Host, g.path)
	if err != nil {
		return err
	}
	return to(w, origin+"/.parvis/enter?ticket="+url.QueryEscape(pass))
}

func (p *Portal) getSignout(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.in {
		return v.show(w, r, http.StatusOK, page.Page{
			Screen: "sign_out", Title: v.say("signed_out.confirm.title"), Lead: v.say("signed_out.confirm.text"),
			Body: page.Form{Action: "/signout", Buttons: []page.Button{
				{Text: v.say("action.sign_out"), Kind: "primary"}, {Text: v.say("portal.stay"), Kind: "plain", Href: "/"},
			}},
		})
	}
	body := page.Stack{
		page.Para(v.say("signed_out.shared")),
		page.Actions{{Text: v.say("signed_out.sign_in"), Kind: "primary", Href: "/signin"}},
	}
	var apps told
	if err := p.Keys.Box("portal-signed-out").Redeem(r.URL.Query().Get("told"), p.Clock(), &apps); err == nil && len(apps.URLs) > 0 {
		edge.Frame(w.Header(), apps.URLs...)
		body = append(body, page.Para(v.say("signed_out.apps")), page.Frames{URLs: apps.URLs})
	}
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "signed_out", Title: v.say("signed_out.title"), Lead: v.say("signed_out.text"),
		Body: body, Aside: page.Square{},
	})
}

// postSignout ends the session, and with it what applications were told through
// it; those that listen in the browser are told by the page that follows.
func (p *Portal) postSignout(w http.ResponseWriter, r *http.Request, v *visit) error {
	after := "/signout"
	if v.in {
		frames, err := v.tellingFrames(r.Context())
		if err != nil {
			return err
		}
		err = p.Store.Write(r.Context(), func(tx *store.Tx) error { return p.Sessions.End(tx, v.session.ID, "signed_out") })
		if err != nil {
			return err
		}
		if len(frames) > 0 {
			ticket, err := p.Keys.Box("portal-signed-out").Issue(told{frames}, p.Clock(), 5*time.Minute)
			if err != nil {
				return err
			}
			after += "?told=" + url.QueryEscape(ticket)
		}
	}
	p.Sessions.Drop(w)
	return to(w, after)
}

// postExtend lets the session rest for its whole time again. A script reads the
// seconds that are left in Session-Left.
func (p *Portal) postExtend(w http.ResponseWriter, r *http.Request, v *visit) error {
	err := p.Store.Write(r.Context(), func(tx *store.Tx) error { return p.Sessions.Extend(tx, v.session.ID) })
	if err != nil {
		return err
	}
	if s, ok := p.Sessions.Session(r.Context(), v.session.ID); ok {
		w.Header().Set("Session-Left", strconv.Itoa(int(s.Idle.Sub(p.now())/time.Second)))
	}
	if edge.WantsJSON(r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return to(w, "/")
}
