package office

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/a-h/templ"

	"parvis"
	"parvis/internal/page"
)

// input draws one field with what stands in it.
func (s voice) input(f field, v url.Values, w wrong) templ.Component {
	hint := ""
	if key := "office.field." + f.name + ".hint"; s.o.Words.Has(key) {
		hint = s.say(key)
	}
	name := s.say("office.field." + f.name)
	switch f.shape {
	case box:
		return page.Choices{Name: f.name, Error: w.beside[f.name], Options: []page.Option{{Value: "1", Label: name, Hint: hint, Checked: one(v[f.name]) != ""}}}
	case boxes:
		c := page.Choices{Name: f.name, Legend: name, Hint: hint, Error: w.beside[f.name], Many: true, Required: f.need}
		for _, option := range union(f.options, v[f.name]) {
			c.Options = append(c.Options, page.Option{Value: option, Label: s.option(f, option), Checked: slices.Contains(v[f.name], option)})
		}
		return c
	case menu:
		c := page.Choices{Name: f.name, Legend: name, Hint: hint, Error: w.beside[f.name], Menu: true, Required: f.need}
		for _, option := range f.options {
			c.Options = append(c.Options, page.Option{Value: option, Label: s.option(f, option), Checked: one(v[f.name]) == option})
		}
		return c
	case area:
		return page.Field{Name: f.name, Label: name, Hint: hint, Type: "area", Value: one(v[f.name]), Error: w.beside[f.name], Required: f.need, Mono: f.mono}
	default:
		return page.Field{Name: f.name, Label: name, Hint: hint, Value: one(v[f.name]), Error: w.beside[f.name], Required: f.need, Mono: f.mono, Autocomplete: "off"}
	}
}

// option names one option of a field.
func (s voice) option(f field, option string) string {
	keys := []string{"office.option." + f.name + "." + option, "office.claim." + option, "channel." + option + ".label"}
	if option == "" {
		keys = []string{"office.option." + f.name + ".none"}
	}
	if said := s.sayOr(nil, keys...); said != "" {
		return said
	}
	return option
}

// union adds to a list what was chosen besides: what is kept is shown, even if
// nobody could choose it today.
func union(all, chosen []string) []string {
	out := slices.Clone(all)
	for _, c := range chosen {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// doorBoxes asks by which doors an application learns who is there.
func (s voice) doorBoxes(v url.Values, w wrong) page.Choices {
	c := page.Choices{Name: "doors", Legend: s.say("office.field.doors"), Hint: s.say("office.field.doors.hint"), Error: w.beside["doors"], Many: true, Required: true}
	for _, kind := range kinds {
		c.Options = append(c.Options, page.Option{Value: kind, Label: s.say("office.kind." + kind), Checked: slices.Contains(v["doors"], kind)})
	}
	return c
}

// wrong is what is wrong with a form: for its summary, where each sentence names
// its field, and beside the fields, where none needs to.
type wrong struct {
	summary []page.Fault
	beside  map[string]string
}

// faults says what is wrong, field by field in the order in which they were
// asked for: each field once, with all that is wrong in it.
func (s voice) faults(all []parvis.AppFault, asked []string) wrong {
	w := wrong{beside: map[string]string{}}
	for _, field := range append(slices.Clone(asked), "") {
		var said []string
		for _, f := range all {
			name, _, _ := strings.Cut(f.Field, "[")
			if name == "upstream" && f.Code == parvis.FaultDoor && !slices.Contains(asked, "upstream") {
				name = "doors"
			}
			sentence := s.fault(f)
			switch {
			case name != field && (field != "" || slices.Contains(asked, name)):
				continue
			case field == "" && name != "": // not on this form: it says which one it is
				sentence = s.say("office.fault.elsewhere", args("field", name, "what", sentence))
			}
			if len(said) > 0 || field == "" {
				sentence = capital(sentence)
			}
			if !slices.Contains(said, sentence) {
				said = append(said, sentence)
			}
		}
		switch {
		case field == "":
			for _, sentence := range said {
				w.summary = append(w.summary, page.Fault{Text: sentence})
			}
		case len(said) > 0:
			what := strings.Join(said, " ")
			w.beside[field] = capital(what)
			w.summary = append(w.summary, page.Fault{Field: field, Text: s.say("office.fault.line", args("field", s.say("office.field."+field), "what", what))})
		}
	}
	return w
}

func capital(s string) string {
	for i, r := range s {
		return string(unicode.ToUpper(r)) + s[i+len(string(r)):]
	}
	return s
}

func (s voice) fault(f parvis.AppFault) string {
	value := args()
	if f.Value != "" {
		value = args("value", f.Value)
	}
	name, _, _ := strings.Cut(f.Field, "[")
	if said := s.sayOr(value, "office.fault."+name+"."+string(f.Code), "office.fault."+string(f.Code)); said != "" {
		return said
	}
	return s.say("office.fault.other", args("code", string(f.Code)))
}
