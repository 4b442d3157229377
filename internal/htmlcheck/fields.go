package htmlcheck

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// completions are the values of HTML's autocomplete that our forms may need
// (WCAG 2.2, 1.3.5), "webauthn" besides.
var completions = []string{
	"off", "on", "name", "given-name", "family-name", "username", "new-password", "current-password", "one-time-code",
	"organization", "organization-title", "street-address", "postal-code", "country", "bday", "email", "tel", "tel-national", "language", "url", "webauthn",
}

func (c *checker) fields() {
	for _, n := range c.nodes {
		switch n.DataAtom {
		case atom.Input, atom.Select, atom.Textarea:
		default:
			continue
		}
		kind := attr(n, "type")
		if kind == "hidden" {
			continue
		}
		if kind == "submit" || kind == "image" || kind == "reset" {
			c.fault("input of type %s: use button", kind)
			continue
		}
		c.field(n, kind)
	}
}

func (c *checker) field(n *html.Node, kind string) {
	who := attr(n, "name")
	if who == "" {
		c.fault("field without a name: id %q", attr(n, "id"))
	}
	label := c.name(n)
	if id := attr(n, "id"); label == "" && id != "" {
		label = strings.TrimSpace(c.labels[id])
	}
	if w := within(n, atom.Label); label == "" && w != nil {
		label = text(w)
	}
	if label == "" || n.DataAtom != atom.Textarea && attr(n, "aria-label") == "" && label == attr(n, "placeholder") {
		c.fault("field %q has no label", who)
	}
	for t := range strings.FieldsSeq(attr(n, "autocomplete")) {
		if !slices.Contains(completions, t) {
			c.fault("field %q: autocomplete %q is not a value", who, t)
		}
	}
	if kind == "password" && attr(n, "autocomplete") == "" {
		c.fault("password field %q does not help password managers", who)
	}
	if kind == "number" {
		c.fault("field %q of type number: use text with inputmode", who)
	}
	if has(n, "required") {
		c.fault("field %q uses required: the browser would answer first; use aria-required", who)
	}
	if attr(n, "aria-invalid") == "true" && attr(n, "aria-describedby") == "" {
		c.fault("field %q is wrong and does not say why", who)
	}
	if kind == "radio" && within(n, atom.Fieldset) == nil {
		c.fault("radio %q outside a fieldset", who)
	}
	if within(n, atom.Form) == nil && attr(n, "form") == "" {
		c.fault("field %q outside a form", who)
	}
}
