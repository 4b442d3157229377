package portal

import (
	"net/http"
	"net/url"
	"strings"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/text"
)

// enrolling is somebody who adds a method: who, and where the pages of this walk
// stand, which are the same for whoever is in and within an activation.
type enrolling struct {
	holder signin.Holder
	screen string // what the names of the screens begin with
	base   string // the path they begin with; itself the list one comes back to
	onward string // the ticket of whoever needs it for an application, and goes back there
	done   func(w http.ResponseWriter, out signin.ProofOutcome, kind parvis.ProofKind) error
	lost   func(w http.ResponseWriter) error // the session or the activation is over
}

// at is an address of the walk: a page after base, or the list itself.
func (e enrolling) at(page string) string {
	switch {
	case e.onward == "":
		return e.base + page
	case page == "":
		return proving{ticket: e.onward}.address("")
	}
	return e.base + page + "?return=" + url.QueryEscape(e.onward)
}

// giveAgain hands over the session's new identifier when an act made one.
func (p *Portal) giveAgain(w http.ResponseWriter, out signin.ProofOutcome) {
	if out.Token != (session.Token{}) {
		p.Sessions.Give(w, out.Token)
	}
}

// enrolment is one page of the walk.
type enrolment struct {
	enrolling
	kind     parvis.ProofKind
	sent     url.Values // nil when nothing was sent
	out      signin.ProofOutcome
	replaces string
	faults   []page.Fault
	notice   *page.Notice
}

// action is where the page posts to.
func (e enrolment) action() string { return e.at("/" + nameOfKind(e.kind)) }

func (e enrolment) hidden(more ...page.Hidden) []page.Hidden {
	if e.replaces != "" {
		more = append(more, page.Hidden{Name: "replaces", Value: e.replaces})
	}
	return more
}

// name is the field that lets people tell their methods apart.
func (v *visit) nameField(e enrolment) page.Field {
	return page.Field{
		Name: "name", Label: v.say("factor.name.label"), Hint: v.say("factor.name.hint"), Value: e.sent.Get("name"), Autocomplete: "off",
	}
}

// getEnrol opens the page of one kind. What it offers is kept nowhere before it
// worked once.
func (p *Portal) getEnrol(kind parvis.ProofKind) func(http.ResponseWriter, *http.Request, *visit, enrolling) error {
	return func(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
		return p.offer(w, r, v, enrolment{enrolling: e, kind: kind, replaces: r.URL.Query().Get("replaces")}, http.StatusOK)
	}
}

// offer shows the first page of a kind, after a form too that nothing came of.
func (p *Portal) offer(w http.ResponseWriter, r *http.Request, v *visit, e enrolment, status int) error {
	var err error
	switch e.kind {
	case parvis.TOTP:
		e.out, err = p.Door.OfferTOTP(r.Context(), e.holder)
	case parvis.Passkey:
		e.out, err = p.Door.OfferPasskey(r.Context(), e.holder)
	default:
		e.out.Reason, err = p.Door.MayEnrol(r.Context(), e.holder)
	}
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return e.lost(w)
	case err != nil:
		return err
	case e.out.Reason.Code != "":
		return p.stopped(w, r, v, e.enrolling, e.out, e.again())
	}
	return v.show(w, r, status, v.enrolPage(e))
}

// again is the first page of the walk.
func (e enrolment) again() string {
	if e.replaces == "" {
		return e.action()
	}
	sep := "?"
	if e.onward != "" {
		sep = "&"
	}
	return e.action() + sep + "replaces=" + url.QueryEscape(e.replaces)
}

// stopped answers what stands between somebody and an act on their proofs: a
// method to be shown first, and back; otherwise why, and who helps.
func (p *Portal) stopped(w http.ResponseWriter, r *http.Request, v *visit, e enrolling, out signin.ProofOutcome, back string) error {
	why := out.Reason.Code
	if why == parvis.WhyStepUpRequired && e.holder.Activation == "" {
		address, err := p.proveFor(back, "", true)
		if err != nil {
			return err
		}
		return to(w, address)
	}
	pg := v.blockedPage([]parvis.Reason{out.Reason}, "", out.Args)
	if body, ok := pg.Body.(page.Refusal); ok && why == parvis.WhyFactorEnrolHereForbidden && v.in {
		address, err := p.proveFor(back, string(parvis.TemporaryCode), false)
		if err != nil {
			return err
		}
		if len(body.Steps) > 0 {
			body.Steps[len(body.Steps)-1].Actions = []page.Button{
				{Text: v.say("action.have_temporary_code"), Kind: "primary", Href: address},
				{Text: v.say("action.ask_code"), Href: e.at("/request")},
			}
		}
		pg.Body = body
	}
	return v.show(w, r, http.StatusForbidden, pg)
}

// enrolPage is the page of a kind, first or after a fault.
func (v *visit) enrolPage(e enrolment) page.Page {
	name := nameOfKind(e.kind)
	pg := page.Page{
		Screen: e.screen + "_" + name, Title: v.say("factor_" + name + ".title"), Lead: v.say("factor_" + name + ".lead"), Errors: e.faults,
	}
	var body page.Stack
	if e.notice != nil {
		body, pg.Erroneous = append(body, *e.notice), true
	}
	if e.out.Reason.Code != "" {
		reasons := []parvis.Reason{e.out.Reason}
		told := v.tell(parvis.Decision{Reasons: reasons}, parvis.App{}, v.origin.Channel, e.out.Args)
		body = append(body, v.codeFaults(&pg, &told, reasons, e.out.Verdict)...)
		v.refuses(&pg, told, "")
	}
	switch e.kind {
	case parvis.TOTP:
		body = append(body, v.totpOffer(e)...)
	case parvis.SMS:
		body = append(body, v.smsOffer(e)...)
	case parvis.Passkey:
		body = append(body, v.passkeyOffer(e)...)
	default:
		body = append(body, v.codesOffer(e)...)
	}
	pg.Body = append(body, page.Links{{Text: v.say("factor.other"), Href: e.at("")}})
	return pg
}

func (v *visit) totpOffer(e enrolment) page.Stack {
	offer := e.out.TOTP
	return page.Stack{
		page.Section{Title: v.say("factor_totp.app"), Body: page.Para(v.say("factor_totp.app.text"))},
		page.Section{Title: v.say("factor_totp.scan"), Lead: v.say("factor_totp.scan.text"), Body: page.Stack{
			page.Drawing{SVG: offer.QR, Alt: v.say("factor_totp.alt")},
			page.Copyable{ID: "totp-key", Label: v.say("factor_totp.key"), Text: inFours(offer.Secret.Reveal())},
			page.Para(v.say("factor_totp.key.text")),
		}},
		page.Section{Title: v.say("factor_totp.code"), Body: page.Form{
			Action: e.action(), Hidden: e.hidden(page.Hidden{Name: "ticket", Value: offer.Ticket}),
			Body: page.Stack{
				page.Field{Name: "code", Type: "code", Required: true, Label: v.say("second_factor.code.totp"), Hint: v.say("factor_totp.code.hint")},
				v.nameField(e),
			},
			Buttons: []page.Button{{Text: v.say("factor_totp.submit"), Kind: "primary"}},
		}},
	}
}

// inFours writes a key as people copy it.
func inFours(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (v *visit) smsOffer(e enrolment) page.Stack {
	phone := e.sent.Get("phone")
	on := e.sent.Get("sent")
	if e.out.Sent.ID != "" {
		on = e.out.Sent.ID
	}
	if on == "" {
		return page.Stack{page.Form{
			Action: e.action(), Hidden: e.hidden(page.Hidden{Name: "send", Value: "1"}),
			Body: page.Field{
				Name: "phone", Type: "tel", Required: true, Label: v.say("factor_sms.phone"), Hint: v.say("factor_sms.phone.hint"),
				Value: phone, Autocomplete: "tel",
			},
			Note:    v.say("factor_sms.use"),
			Buttons: []page.Button{{Text: v.say("second_factor.sms.send"), Kind: "primary"}},
		}}
	}
	hint := e.out.Sent.Hint
	if hint == "" {
		hint = maskedPhone(phone)
	}
	kept := e.hidden(page.Hidden{Name: "sent", Value: on}, page.Hidden{Name: "phone", Value: phone})
	return page.Stack{
		page.Form{
			Action: e.action(), Hidden: kept,
			Body: page.Stack{
				page.Field{
					Name: "code", Type: "code", Required: true, Label: v.say("second_factor.code.sms"),
					Hint: v.say("second_factor.code.sms.hint", text.Args{"destination_masked": hint}),
				},
				v.nameField(e),
			},
			Buttons: []page.Button{{Text: v.say("factor_sms.submit"), Kind: "primary"}},
		},
		page.Section{Title: v.say("second_factor.sms.missing"), Body: page.Stack{
			page.Para(v.say("second_factor.sms.late")),
			page.Actions{
				{Text: v.say("second_factor.sms.again"), Post: e.action(), Hidden: append(kept[:len(kept):len(kept)], page.Hidden{Name: "send", Value: "1"})},
				{Text: v.say("factor_sms.correct"), Kind: "plain", Href: e.again()},
			},
		}},
	}
}

func (v *visit) passkeyOffer(e enrolment) page.Stack {
	return page.Stack{
		page.List{v.say("factor_passkey.what"), v.say("factor_passkey.gesture"), v.say("factor_passkey.where")},
		page.Passkey{
			Action: e.action(), Options: e.out.Options, Ticket: e.out.Ticket, Make: true, Hidden: e.hidden(), Body: v.nameField(e),
			Button:    page.Button{Text: v.say("factor_passkey.submit"), Kind: "primary", Icon: "fingerprint"},
			Cancelled: v.say("passkey.cancelled"), Already: v.say("passkey.already"), Unable: v.say("passkey.unable"), NoScript: v.say("passkey.no_script"),
		},
	}
}

// codesOffer: the codes are made by a form, and shown once.
func (v *visit) codesOffer(e enrolment) page.Stack {
	return page.Stack{
		page.List{v.say("factor_codes.once"), v.say("factor_codes.keep"), v.say("factor_codes.before")},
		page.Form{Action: e.action(), Hidden: e.hidden(), Buttons: []page.Button{{Text: v.say("factor_codes.make"), Kind: "primary"}}},
	}
}

// made is where one goes on once a method was added.
func (e enrolling) made(kind parvis.ProofKind) string {
	if e.onward != "" {
		return e.at("")
	}
	return e.base + "?added=" + string(kind)
}

// codesPage is the sheet. It prints on one A4 page, with nothing on it that
// tells where the password is.
func (v *visit) codesPage(e enrolment) page.Page {
	var codes []string
	for _, c := range e.out.Codes {
		codes = append(codes, c.Reveal())
	}
	return page.Page{
		Screen: e.screen + "_codes_sheet", Title: v.say("factor_codes.sheet"), Lead: v.say("factor_codes.sheet.lead", text.Args{"date": v.at}),
		Body: page.Stack{
			page.Codes{List: codes, Print: v.say("action.print")},
			page.List{v.say("factor_codes.once"), v.say("factor_codes.keep")},
			page.Actions{{Text: v.say("factor_codes.printed"), Kind: "primary", Href: e.made(parvis.RecoveryCode)}},
		},
	}
}

// postEnrol takes the answer to the page of one kind.
func (p *Portal) postEnrol(kind parvis.ProofKind) func(http.ResponseWriter, *http.Request, *visit, enrolling) error {
	return func(w http.ResponseWriter, r *http.Request, v *visit, e enrolling) error {
		sent, err := form(r)
		if err != nil {
			return err
		}
		return p.enrol(w, r, v, enrolment{enrolling: e, kind: kind, sent: sent, replaces: sent.Get("replaces")})
	}
}

func (p *Portal) enrol(w http.ResponseWriter, r *http.Request, v *visit, e enrolment) error {
	in := signin.Enrolment{
		Holder: e.holder, Ticket: e.sent.Get("ticket"), Sent: e.sent.Get("sent"), Code: seal.Secret(e.sent.Get("code")),
		Phone: e.sent.Get("phone"), Name: e.sent.Get("name"), Replaces: e.replaces,
	}
	sending := e.kind == parvis.SMS && e.sent.Has("send")
	var err error
	switch {
	case e.kind == parvis.TOTP:
		e.out, err = p.Door.AddTOTP(r.Context(), in)
	case sending && strings.TrimSpace(in.Phone) == "":
		e.faults = []page.Fault{{Field: "phone", Text: v.say("factor_sms.phone.required")}}
		return p.offer(w, r, v, e, http.StatusUnprocessableEntity)
	case sending:
		e.out, err = p.Door.SendEnrolSMS(r.Context(), in)
	case e.kind == parvis.SMS:
		e.out, err = p.Door.AddSMS(r.Context(), in)
	case e.kind == parvis.Passkey:
		in.Ticket, in.Response = e.sent.Get("passkey_ticket"), []byte(e.sent.Get("passkey"))
		e.out, err = p.Door.AddPasskey(r.Context(), in)
	default:
		e.out, err = p.Door.NewRecoveryCodes(r.Context(), e.holder)
	}
	switch parvis.CodeOf(err) {
	case "":
	case parvis.CodeNotFound:
		return e.lost(w)
	case parvis.CodeInvalid:
		if sending {
			e.faults = []page.Fault{{Field: "phone", Text: v.say("field.personal_mobile.shape")}}
			e.sent.Del("sent")
			return p.offer(w, r, v, e, http.StatusUnprocessableEntity)
		}
		e.notice = &page.Notice{Mark: page.Warn, Alert: true, Title: v.say("factor.late.title"), Text: v.say("factor.late.text")}
		return p.offer(w, r, v, e, http.StatusUnprocessableEntity)
	case parvis.CodeConflict:
		e.notice = &page.Notice{
			Mark: page.Warn, Alert: true, Title: v.say("factor.held.title"), Text: v.say("factor.held.text"),
			Actions: []page.Button{{Text: v.say("security_factors.back"), Href: e.at("")}},
		}
		e.sent.Del("sent")
		return p.offer(w, r, v, e, http.StatusUnprocessableEntity)
	default:
		return err
	}
	return p.enrolled(w, r, v, e, sending)
}

// enrolled goes on after an answer that was examined.
func (p *Portal) enrolled(w http.ResponseWriter, r *http.Request, v *visit, e enrolment, sending bool) error {
	switch {
	case e.out.Done && sending:
		return v.show(w, r, http.StatusOK, v.enrolPage(e))
	case e.out.Done && e.kind == parvis.RecoveryCode:
		p.giveAgain(w, e.out)
		return v.show(w, r, http.StatusOK, v.codesPage(e))
	case e.out.Done:
		return e.done(w, e.out, e.kind)
	}
	switch e.out.Reason.Code {
	case parvis.WhyStepUpRequired, parvis.WhyFactorEnrolHereForbidden, parvis.WhyFactorChangeWait:
		return p.stopped(w, r, v, e.enrolling, e.out, e.again())
	case parvis.WhyPasskeyUnavailable: // the browser's answer was not good: another offer
		e.notice = &page.Notice{Mark: page.Warn, Alert: true, Title: v.say("passkey.not_made.title"), Text: v.say("passkey.not_made.text")}
		return p.offer(w, r, v, e, http.StatusUnprocessableEntity)
	}
	return v.show(w, r, http.StatusUnprocessableEntity, v.enrolPage(e))
}
