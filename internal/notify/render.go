package notify

import (
	"errors"
	"fmt"
	"html/template"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode"

	"parvis"
	"parvis/internal/text"
)

// letter is a message as it will be read: what is sealed in the database.
type letter struct {
	Subject string `json:"s,omitempty"`
	Text    string `json:"t"`
	HTML    string `json:"h,omitempty"`
	Lang    string `json:"l"`
	To      string `json:"to,omitempty"`   // an address that is nobody's business here
	From    string `json:"from,omitempty"` // the sender's name, when it is another
}

// parts are the pieces of a mail in their language: every mail says which
// account, why, what to do, and how to check the sender (domain.md 6.5).
type parts struct {
	Lang, Subject, Greeting, Account string
	WhyTitle, Why                    string
	DoTitle                          string
	Do                               []string
	Link, Button                     string
	CheckTitle                       string
	Check, Signature                 []string
}

// render writes a message in its language: a text message when it goes to a
// telephone, a mail otherwise.
func (o *Outbox) render(m Message, now time.Time) (letter, error) {
	args := o.fill(m, now)
	say := func(key string) string {
		if !o.words.Has(key) {
			return ""
		}
		return o.words.Say(m.Lang, key, args)
	}
	// A service with a look of its own closes its mails in its own words.
	own := func(part string) string {
		if o.words.Has(m.Template + "." + part) {
			return say(m.Template + "." + part)
		}
		return say("mail." + part)
	}
	if m.Phone != "" {
		return o.renderText(m, args, now)
	}
	p := parts{
		Lang: string(m.Lang), Subject: oneLine(say(m.Template + ".subject")), Greeting: own("greeting"),
		Account: say(m.Template + ".account"), WhyTitle: say("mail.why.title"), Why: say(m.Template + ".why"),
		DoTitle: say("mail.do.title"), Do: lines(say(m.Template + ".do")),
		CheckTitle: say("mail.check.title"), Check: lines(own("check")), Signature: lines(own("signature")),
	}
	if p.Subject == "" {
		return letter{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "notify.Queue", Err: fmt.Errorf("no template %q", m.Template)}
	}
	if m.Link != "" {
		p.Link, p.Button = m.Link, say(m.Template+".button")
	}
	var page strings.Builder
	if err := sheet.Execute(&page, p); err != nil {
		return letter{}, fmt.Errorf("notify: write page: %w", err)
	}
	return letter{Subject: p.Subject, Text: p.text(), HTML: page.String(), Lang: p.Lang, From: oneLine(m.From)}, nil
}

// fill gathers the values of a message. What comes from outside the catalogue,
// names above all, loses its control characters first, so that no value can end
// a line of the subject or add one to the text. A kind of proof and an entrance
// are named in the message's language.
func (o *Outbox) fill(m Message, now time.Time) text.Args {
	args := text.Args{"now": now.In(o.zone), "sender": o.from.Address}
	set := func(values text.Args) {
		for k, v := range values {
			switch v := v.(type) {
			case string:
				args[k] = oneLine(v)
			case time.Time:
				args[k] = v.In(o.zone)
			case parvis.ProofKind: // a caller that does not know the language gives the thing itself
				args[k] = o.words.Say(m.Lang, "proof."+string(v), o.values)
			case parvis.Channel:
				args[k] = o.words.Say(m.Lang, "channel."+string(v)+".the", o.values)
			default:
				args[k] = v
			}
		}
	}
	set(o.values)
	set(m.Args)
	if m.Link != "" {
		args["link"] = m.Link
	}
	if m.Code != "" {
		args["code"] = m.Code
	}
	if m.Cause != "" {
		set(o.cause(m, args))
	}
	return args
}

// renderText writes a text message: the sentence of TEMPLATE.text, whose last
// line, when there is a code, binds it to the host it is for. Telephones then
// offer it on that site and on no other (WICG, origin-bound one-time codes: the
// line is "@host #code", with one space, and nothing after it).
func (o *Outbox) renderText(m Message, args text.Args, now time.Time) (letter, error) {
	key := m.Template + ".text"
	if !o.words.Has(key) {
		return letter{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "notify.Queue", Err: fmt.Errorf("no text message %q", m.Template)}
	}
	if m.Code != "" {
		host, ok := hostOf(args)
		if !ok || strings.Trim(m.Code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return letter{}, &parvis.Error{Code: parvis.CodeInvalid, Op: "notify.Queue", Err: errors.New("a code by text message needs the host it is for")}
		}
		args["host"] = host
		if args["service"] == nil {
			args["service"] = o.words.Say(m.Lang, "sms.service", args)
		}
		if purpose, _ := args["purpose"].(string); o.words.Has("sms_purpose." + purpose) {
			args["purpose"] = o.words.Say(m.Lang, "sms_purpose."+purpose, args)
		}
		if args["duration"] == nil && !m.Until.IsZero() {
			args["duration"] = max(m.Until.Sub(now).Truncate(time.Minute), time.Minute)
		}
	}
	said := strings.Join(lines(o.words.Say(m.Lang, key, args)), "\n")
	// The alphabet of telephones has one space; the catalogue's typography
	// would make every message a long one.
	said = strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(said)
	return letter{Text: said, Lang: string(m.Lang)}, nil
}

// hostOf is the host name that a code is bound to: of the entrance's portal
// when the caller named it, of the portal otherwise. An address is cut down to
// its host.
func hostOf(args text.Args) (string, bool) {
	for _, name := range []string{"host", "portal"} {
		s, _ := args[name].(string)
		if s == "" {
			continue
		}
		if !strings.Contains(s, "://") {
			s = "https://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || strings.Trim(strings.ToLower(u.Hostname()), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			return "", false
		}
		return strings.ToLower(u.Hostname()), true
	}
	return "", false
}

// cause says in words what kept somebody out, with the steps that help.
func (o *Outbox) cause(m Message, args text.Args) text.Args {
	answer := o.words.Reason(m.Lang, string(m.Cause), args)
	values := text.Args{"cause": strings.TrimRight(answer.Title, "."), "explanation": answer.Why}
	for i, name := range []string{"first_step", "second_step", "third_step"} {
		if i < len(answer.Do) {
			values[name] = answer.Do[i]
		}
	}
	return values
}

// lines splits what the catalogue wrote on several lines; those whose values
// are all absent are gone.
func lines(s string) []string {
	var all []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// text is the version without markup.
func (p *parts) text() string {
	var b strings.Builder
	block := func(title string, body ...string) {
		if len(body) == 0 || body[0] == "" {
			return
		}
		if title != "" {
			b.WriteString(title + "\n")
		}
		b.WriteString(strings.Join(body, "\n") + "\n\n")
	}
	block("", p.Greeting)
	block("", p.Account)
	block(p.WhyTitle, p.Why)
	steps := make([]string, len(p.Do))
	for i, step := range p.Do {
		steps[i] = fmt.Sprintf("%d. %s", i+1, step)
	}
	block(p.DoTitle, steps...)
	block(p.Button, p.Link)
	block(p.CheckTitle, p.Check...)
	b.WriteString("-- \n" + strings.Join(p.Signature, "\n") + "\n") // RFC 3676 §4.3
	return b.String()
}

// oneLine makes every run of blanks and control characters one blank; a
// no-break space stays.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == ' ' || r == '\u2028' || r == '\u2029'
	}), " ")
}

// sheet is the whole HTML version: it says its language, has its headings in
// order, no picture, no script and nothing to fetch.
var sheet = template.Must(template.New("mail").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Subject}}</title></head>
<body style="font-family:sans-serif;line-height:1.5;max-width:40em;margin:1em auto;padding:0 1em">
<main>
<h1 style="font-size:1.3em">{{.Subject}}</h1>
<p>{{.Greeting}}</p>
{{with .Account}}<p>{{.}}</p>
{{end}}{{with .Why}}<h2 style="font-size:1.1em">{{$.WhyTitle}}</h2>
<p>{{.}}</p>
{{end}}{{with .Do}}<h2 style="font-size:1.1em">{{$.DoTitle}}</h2>
<ol>{{range .}}<li>{{.}}</li>{{end}}</ol>
{{end}}{{with .Link}}<p><a href="{{.}}"><strong>{{$.Button}}</strong></a><br>{{.}}</p>
{{end}}{{with .Check}}<h2 style="font-size:1.1em">{{$.CheckTitle}}</h2>
{{range .}}<p>{{.}}</p>{{end}}
{{end}}<p>{{range $i, $line := .Signature}}{{if $i}}<br>{{end}}{{$line}}{{end}}</p>
</main>
</body>
</html>
`))

// Contacts lists the addresses that HR vouches for, the professional one first:
// where notices about the account go. There are none for somebody who has died:
// their family is not told of tries at a password.
func Contacts(a *parvis.Agent) []string {
	var all []string
	if !a.DeceasedOn.IsZero() {
		return nil
	}
	for _, address := range []string{a.Email, a.PersonalEmail} {
		if address != "" && (len(all) == 0 || !strings.EqualFold(all[0], address)) {
			all = append(all, address)
		}
	}
	return all
}

// plain accepts one address and nothing else: no name, no list, no control
// character (RFC 5322 §3.4.1).
func plain(s string) (string, bool) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || strings.ContainsFunc(s, unicode.IsControl) {
		return "", false
	}
	return a.Address, true
}
