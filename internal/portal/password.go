package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/signin"
	"parvis/internal/text"
)

const ownPassword = "/security/password"

// getPassword lets somebody who is in choose another password.
func (p *Portal) getPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.ownPasswordPage(signin.Outcome{}, nil))
}

func (p *Portal) postPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	sent, err := form(r)
	if err != nil {
		return err
	}
	if sent.Get("password") == "" || sent.Get("new_password") == "" {
		return v.show(w, r, http.StatusUnprocessableEntity, v.ownPasswordPage(signin.Outcome{}, sent))
	}
	out, err := p.Door.Renew(r.Context(), signin.Renewal{
		Session: v.session, Password: seal.Secret(sent.Get("password")), NewPassword: seal.Secret(sent.Get("new_password")),
		KeepOthers: sent.Get("others") == "keep", Device: v.cookie(r, cookieDevice), Origin: v.origin, Lang: v.lang,
	})
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // the session ended meanwhile
		door, err := p.doorTo(ownPassword)
		if err != nil {
			return err
		}
		return to(w, door)
	case err != nil:
		return err
	case out.Step == signin.StepDone:
		p.Sessions.Give(w, out.Token)
		return to(w, "/security?changed=1")
	case len(out.Reasons) == 0:
		return &parvis.Error{Code: parvis.CodeInternal, Op: "portal.postPassword", Err: errors.New("neither done nor refused")}
	}
	status := http.StatusUnprocessableEntity
	switch {
	case out.Retry > 0 && codeIs(out.Reasons, parvis.WhyServiceUnavailable):
		status = http.StatusServiceUnavailable
	case out.Retry > 0:
		status = http.StatusTooManyRequests
	case out.Step == signin.StepWait:
		status = http.StatusForbidden
	}
	if out.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((out.Retry+time.Second-1)/time.Second)))
	}
	return v.show(w, r, status, v.ownPasswordPage(out, sent))
}

// ownPasswordPage says beside each field what is wrong with it, and above the
// form what concerns neither.
func (v *visit) ownPasswordPage(out signin.Outcome, sent url.Values) page.Page {
	pg := page.Page{Screen: "security_password", Title: v.say("security_password.title"), Short: v.say("portal.new_password.short")}
	least := out.Quality.Least
	if least == 0 {
		least = v.p.Vault.Judge("", v.agent, v.sensitive()).Least
	}
	var body page.Stack
	told := v.tell(parvis.Decision{Reasons: out.Reasons}, parvis.App{}, v.origin.Channel, out.Args)
	judged := false
	for i, reason := range told.Reasons {
		switch {
		case strings.HasPrefix(reason.Code, "password_rule_"):
			judged = true
			told.Reasons[i] = v.rule(out.Reasons[i], least, sent.Get("new_password"))
			pg.Errors = append(pg.Errors, page.Fault{Field: "new_password", Text: told.Reasons[i].Title})
		case parvis.ReasonCode(reason.Code) == parvis.WhyCredentialsIncorrect:
			pg.Errors = append(pg.Errors, page.Fault{Field: "password", Text: v.say("field.current_password.incorrect")})
		case out.Retry > 0 && codeIs(out.Reasons, parvis.WhyServiceUnavailable):
			pg.Erroneous = true
			body = append(body, page.Notice{
				Mark: page.Wait, Alert: true, Title: v.say("service_unavailable.busy.title"),
				Text: v.say("service_unavailable.busy.text", text.Args{"duration": out.Retry}),
			})
		default:
			pg.Erroneous = true
			body = append(body, page.Notice{Mark: page.Warn, Alert: true, Title: reason.Title, Text: reason.Answer.Why})
		}
	}
	v.refuses(&pg, told, "")
	for _, field := range []string{"password", "new_password"} {
		if sent != nil && len(out.Reasons) == 0 && sent.Get(field) == "" {
			pg.Errors = append(pg.Errors, page.Fault{Field: field, Text: v.say("field." + field + ".required")})
		}
	}
	keep := sent.Get("others") == "keep"
	pg.Body = append(body, page.Form{
		Action: ownPassword,
		Body: page.Stack{
			// For managers that keep the name with the password.
			page.Identity{Label: v.say("refusal.account.agent"), Text: string(v.agent.Number)},
			page.Field{
				Name: "password", Label: v.say("field.current_password.label"), Type: "password", Required: true, Autocomplete: "current-password",
			},
			v.newPassword(least, out.Quality.Strength, judged),
			v.rules(least),
			page.Choices{
				Name: "others", Legend: v.say("portal.others"), Options: []page.Option{
					{Value: "end", Label: v.say("security_password.others"), Hint: v.say("portal.others.end"), Checked: !keep},
					{Value: "keep", Label: v.say("portal.others.keep"), Checked: keep},
				},
			},
		},
		Buttons: []page.Button{
			{Text: v.say("security_password.submit"), Kind: "primary"}, {Text: v.say("action.back"), Kind: "plain", Href: "/security"},
		},
	}, page.Links{{Text: v.say("sign_in_secret.forgotten"), Href: "/recover"}})
	return pg
}
