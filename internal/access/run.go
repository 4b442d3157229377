package access

import (
	"fmt"
	"strings"
	"time"

	"parvis"
)

func (p *policy) Run(cases []Case) []string {
	var wrong []string
	for i := range cases {
		c := &cases[i]
		for _, w := range p.differences(c) {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %s: %s", c.File, c.Line, c.Title, w))
		}
	}
	return wrong
}

func (p *policy) differences(c *Case) (wrong []string) {
	compare := func(want, got string) {
		if want != got {
			wrong = append(wrong, fmt.Sprintf("expected %q, got %q", want, got))
		}
	}
	if c.want.conditions != nil {
		conditions := p.Conditions(c.request.Agent, c.request.Standing, c.request.At)
		compare(orNone("conditions", *c.want.conditions), orNone("conditions", inWords(conditions)))
	}
	if c.want.answer == nil {
		return wrong
	}
	d := p.Explain(c.request)
	zone := p.calendar.Zone
	compare(*c.want.answer, answerOf(&d))
	if c.want.until != nil {
		got := furtherNotice
		if !d.Until.IsZero() {
			got = minute(d.Until.In(zone))
		}
		compare("until "+*c.want.until, "until "+got)
	}
	if c.want.ways != nil {
		var got []string
		for _, w := range d.Ways {
			got = append(got, wayInWords(w, zone))
		}
		compare(orNone("way", *c.want.ways), orNone("way", got))
	}
	return wrong
}

func answerOf(d *parvis.Decision) string {
	switch {
	case d.Limited:
		return "opens limited"
	case d.Open:
		return "opens"
	}
	return "refused " + strings.Join(inWords(d.Reasons), " ")
}

func inWords(reasons []parvis.Reason) []string {
	var all []string
	for _, r := range reasons {
		all = append(all, string(r.Code))
	}
	return all
}

func orNone(what string, all []string) string {
	if len(all) == 0 {
		return "no " + what
	}
	return what + " " + strings.Join(all, " / ")
}

func wayInWords(w parvis.Way, zone *time.Location) string {
	var all []string
	for _, c := range w.Changes {
		if c.Kind == parvis.ChangeTime {
			c.To = minute(c.From.In(zone))
		}
		all = append(all, string(c.Kind)+" "+c.To)
	}
	return strings.Join(all, " + ")
}
