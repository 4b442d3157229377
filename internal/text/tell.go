package text

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"parvis"
)

// Scene is what the sentences of a decision are about. Values gives what only
// the caller knows: {org}, {it_department}, {open_list}, {hours}… Sensitive is
// whether a profile of the agent demands a second proof everywhere; when false,
// a second proof that the application or the VPN demands is said to be theirs,
// which is then true of everybody.
//
// Enrols tells whether a proof that a way asks of the agent is one to be added
// first, at an entrance; nil when every one can be shown.
type Scene struct {
	App       parvis.App
	Channel   parvis.Channel
	Zone      *time.Location // for times; UTC when nil
	Now       time.Time
	Sensitive bool
	Values    Args
	Enrols    func(to string, c parvis.Channel) bool
}

// Told is a decision in words: the same on a page, in an answer to a program,
// in a message and at the desk.
type Told struct {
	Reasons []ToldReason `json:"reasons"`
	Ways    []ToldWay    `json:"ways"`
}

// ToldReason is a reason in words. Programs read its code and title.
type ToldReason struct {
	Code   string   `json:"code"`
	Title  string   `json:"title"`
	Answer Answer   `json:"-"`
	Actors []string `json:"-"`
}

// ToldWay is a way in words.
type ToldWay struct {
	Changes []ToldChange `json:"changes"`
	Title   string       `json:"title"`
}

// ToldChange is one change, in the shape that contract.md promises.
type ToldChange struct {
	Kind string     `json:"kind"`
	To   string     `json:"to"`
	By   string     `json:"by"`
	Lead string     `json:"lead,omitempty"` // ISO 8601 duration
	From *time.Time `json:"from,omitempty"`
}

// Tell puts a decision into words. The lists are never nil.
func (c *Catalog) Tell(l Lang, d parvis.Decision, s Scene) Told {
	told := Told{Reasons: []ToldReason{}, Ways: []ToldWay{}}
	for _, r := range d.Reasons {
		a := s.args(c, l, r.At)
		answer := c.variant(l, r.Code, s.variant(r.Code), a)
		told.Reasons = append(told.Reasons, ToldReason{
			Code: string(r.Code), Title: answer.Title, Answer: answer, Actors: c.actors(string(r.Code)),
		})
	}
	for _, w := range d.Ways {
		told.Ways = append(told.Ways, c.tellWay(l, w, s))
	}
	return told
}

// variant names the form of a reason's sentences that is true here, where the
// same code has several causes; empty for the sentence of the closed list.
func (s Scene) variant(code parvis.ReasonCode) string {
	switch code {
	case parvis.WhyFactorRequired:
		switch {
		case s.Sensitive:
		case s.App.Second:
			return "app"
		case s.App.ID != "" && s.Channel == parvis.VPN:
			return "vpn"
		}
	case parvis.WhyChannelClosed:
		if s.App.OfficeHours {
			return "app"
		}
	case parvis.WhyIdentifierWrongCircuit:
		if s.Values["phone_typed"] != nil {
			return "phone"
		}
	case parvis.WhyPasswordRuleLength:
		if s.Values["most"] != nil {
			return "long"
		}
	case parvis.WhyCodeRequired, parvis.WhyCodeLength, parvis.WhyCodeIncorrect, parvis.WhyCodeReused, parvis.WhyCodeExpired:
		// The sentences of the closed list are about codes of six digits.
		if kind, ok := s.Values["code_of"].(parvis.ProofKind); ok {
			return string(kind)
		}
	case parvis.WhyAppReducedHere: // a refusal; the closed list informs
		return "action"
	case parvis.WhyFactorRemovalForbidden:
		rule, _ := s.Values["rule"].(string)
		return rule
	}
	return ""
}

// variant says a reason, its title and why in the form reason.CODE.FORM.
func (c *Catalog) variant(l Lang, code parvis.ReasonCode, form string, a Args) Answer {
	answer := c.Reason(l, string(code), a)
	if form == "" {
		return answer
	}
	key := "reason." + string(code) + "." + form
	for part, into := range map[string]*string{".title": &answer.Title, ".why": &answer.Why} {
		if c.Has(key + part) {
			*into = strings.TrimSpace(c.Say(l, key+part, a))
		}
	}
	return answer
}

func (c *Catalog) tellWay(l Lang, w parvis.Way, s Scene) ToldWay {
	told := ToldWay{Changes: []ToldChange{}}
	var clauses []Change
	there := s.Channel
	for _, ch := range w.Changes {
		if ch.Kind == parvis.ChangeChannel {
			there = parvis.Channel(ch.To)
		}
	}
	for _, ch := range w.Changes {
		a := s.args(c, l, ch.From)
		if ch.Lead > 0 {
			a["lead"] = ch.Lead
		}
		to := ch.To
		if ch.Kind == parvis.ChangeProof && ch.By == parvis.BySelf && s.Enrols != nil {
			switch adds := s.Enrols(ch.To, there); {
			case adds && ch.To == string(parvis.Passkey):
				to = "enrol_passkey"
			case adds:
				to = "enrol"
			case to == "second": // it is held by now
				to = ""
			}
		}
		clauses = append(clauses, Change{Kind: string(ch.Kind), To: to, By: string(ch.By), Args: a})
		t := ToldChange{Kind: string(ch.Kind), To: ch.To, By: string(ch.By), Lead: isoDuration(ch.Lead)}
		if !ch.From.IsZero() {
			from := ch.From.UTC()
			t.From = &from
		}
		told.Changes = append(told.Changes, t)
	}
	told.Title = c.Way(l, clauses)
	return told
}

// args gathers the values; at is the moment the sentence is about, under every
// name by which a sentence may ask for it.
func (s Scene) args(c *Catalog, l Lang, at time.Time) Args {
	a := Args{}
	if s.App.ID != "" {
		a["app"] = s.App.Name.In(string(l))
		for name, words := range map[string]parvis.Words{"owner": s.App.Owner, "can": s.App.ReducedCan, "cannot": s.App.ReducedNot} {
			if said := words.In(string(l)); said != "" {
				a[name] = said
			}
		}
	}
	if s.Channel.Known() {
		a["channel_label"] = c.Say(l, "channel."+string(s.Channel)+".the", s.Values)
	}
	zone := s.Zone
	if zone == nil {
		zone = time.UTC
	}
	if !s.Now.IsZero() {
		a["now"] = s.Now.In(zone)
	}
	if !at.IsZero() {
		for _, name := range []string{"date", "time", "when", "next_open", "date_time", "close_date", "start_date"} {
			a[name] = at.In(zone)
		}
	}
	maps.Copy(a, s.Values)
	return a
}

func (c *Catalog) actors(code string) []string {
	for _, r := range c.reasons {
		if r.Code == code {
			return r.Actors
		}
	}
	return nil
}

// isoDuration writes a duration as ISO 8601-1 §5.5.2.2; empty for none.
func isoDuration(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	day := 24 * time.Hour
	var b strings.Builder
	b.WriteByte('P')
	if n := d / day; n > 0 {
		fmt.Fprintf(&b, "%dD", n)
		d -= n * day
	}
	if d > 0 {
		b.WriteByte('T')
	}
	for _, part := range []struct {
		unit time.Duration
		sign byte
	}{{time.Hour, 'H'}, {time.Minute, 'M'}, {time.Second, 'S'}} {
		if n := d / part.unit; n > 0 {
			fmt.Fprintf(&b, "%d%c", n, part.sign)
			d -= n * part.unit
		}
	}
	return b.String()
}
