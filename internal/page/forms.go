package page

import (
	"context"
	"io"
	"strconv"

	"github.com/a-h/templ"
)

// Button is a button or, with Href, a link that looks like one. With Post it
// is a whole form of its own that posts Hidden there; alone inside a Form it
// submits that form. Kind is "" (secondary), "primary", "plain" (a link) or
// "stop" (an act that takes something away).
type Button struct {
	Text, Kind, Icon string
	Href, Post       string
	Name, Value      string // sent with the form when this button was used
	Hidden           []Hidden
	About            string // read after Text by screen readers when the same text is on several rows
	Out              bool   // Href leads to another site; it is marked
}

// Hidden is a field that nobody types.
type Hidden struct{ Name, Value string }

// Actions is a row of buttons.
type Actions []Button

// Form posts to Action, application/x-www-form-urlencoded.
type Form struct {
	Action  string
	Hidden  []Hidden
	Body    templ.Component
	Note    string // just above the buttons
	Buttons []Button
}

// Field is one labelled field. ID defaults to Name. Type is "text", "email",
// "tel", "search", "date", "password" (show button when scripts run), "code"
// (one-time code: numeric keypad, digits apart) or "area". Error defaults to
// the page's fault for this ID.
type Field struct {
	Name, ID, Label, Hint, Type, Value, Error string
	Required                                  bool
	Autocomplete, InputMode                   string
	Mono, Short                               bool
	Strength                                  *Strength
}

// Strength says in words how hard a password is to guess. Level is 0 to 4.
type Strength struct {
	Label, Text string
	Level       int
}

// Option is one choice.
type Option struct {
	Value, Label, Hint string
	Checked            bool
}

// Choices is a group of radio buttons, of checkboxes when Many, or one list to
// pull down when Menu. With a single option and no Legend it is a lone checkbox.
type Choices struct {
	Name, Legend, Hint, Error string
	Required, Many, Menu      bool
	Options                   []Option
}

// Identity is the strip that recalls whose account is being opened.
type Identity struct {
	Label, Text string
	Change      Link
}

// Render writes the piece.
func (b Button) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, button(b)) }

// Render writes the piece.
func (a Actions) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, actions(a)) }

// Render writes the piece.
func (f Form) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, form(f)) }

// Render writes the piece.
func (f Field) Render(ctx context.Context, w io.Writer) error {
	if f.ID == "" {
		f.ID = f.Name
	}
	if f.Error == "" {
		f.Error = faultOf(ctx, f.ID)
	}
	return render(ctx, w, field(f))
}

// Render writes the piece.
func (c Choices) Render(ctx context.Context, w io.Writer) error {
	if c.Error == "" {
		c.Error = faultOf(ctx, c.Name)
	}
	return render(ctx, w, choices(c))
}

// Render writes the piece.
func (i Identity) Render(ctx context.Context, w io.Writer) error { return render(ctx, w, identity(i)) }

func (b Button) class() string {
	if b.Kind == "" {
		return "button"
	}
	return "button button-" + b.Kind
}

func (f Field) describedBy() string {
	s := ""
	for _, p := range []struct {
		on   bool
		part string
	}{{f.Hint != "", "-hint"}, {f.Error != "", "-error"}, {f.Strength != nil, "-strength"}} {
		if p.on {
			if s != "" {
				s += " "
			}
			s += f.ID + p.part
		}
	}
	return s
}

// attrs are the attributes that depend on what the field is for.
func (f Field) attrs() templ.Attributes {
	a := templ.Attributes{}
	class := "input"
	typ, mode, complete := f.Type, f.InputMode, f.Autocomplete
	switch f.Type {
	case "":
		typ = "text"
	case "code":
		// One text field, never type=number: leading zeros, spaces and paste.
		typ, class = "text", "input input-code mono"
		if mode == "" {
			mode = "numeric"
		}
		if complete == "" {
			complete = "one-time-code"
		}
	case "email":
		if mode == "" {
			mode = "email"
		}
	}
	if f.Mono && f.Type != "code" {
		class += " mono"
	}
	if f.Short {
		class += " input-short"
	}
	a["class"] = class
	if f.Type != "area" {
		a["type"] = typ
	}
	if mode != "" {
		a["inputmode"] = mode
	}
	if complete != "" {
		a["autocomplete"] = complete
	}
	if f.Type != "area" && f.Type != "search" {
		a["spellcheck"] = "false"
		a["autocapitalize"] = "none"
	}
	// "required" would let the browser speak first, in its own words.
	if f.Required {
		a["aria-required"] = "true"
	}
	if f.Error != "" {
		a["aria-invalid"] = "true"
	}
	if d := f.describedBy(); d != "" {
		a["aria-describedby"] = d
	}
	return a
}

func (c Choices) optionID(i int) string {
	// The first option carries the plain name: the error summary links to it.
	if i == 0 {
		return c.Name
	}
	return c.Name + "-" + strconv.Itoa(i+1)
}

func (c Choices) optionType() string {
	if c.Many || c.Legend == "" {
		return "checkbox"
	}
	return "radio"
}

func (c Choices) attrs() templ.Attributes {
	a := templ.Attributes{}
	d := ""
	if c.Hint != "" && c.Legend != "" {
		d = c.Name + "-hint"
	}
	if c.Error != "" {
		if d != "" {
			d += " "
		}
		d += c.Name + "-error"
		if c.Menu || c.Legend == "" {
			a["aria-invalid"] = "true"
		}
	}
	// aria-required belongs to fields and radio groups, not to a fieldset.
	if c.Required && (c.Menu || c.Legend == "") {
		a["aria-required"] = "true"
	}
	if d != "" {
		a["aria-describedby"] = d
	}
	return a
}

// level keeps a class name inside the five that the stylesheet knows.
func level(n int) string { return strconv.Itoa(min(max(n, 0), 4)) }
