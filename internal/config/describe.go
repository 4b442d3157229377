package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Describe prints every field, its default and its comment.
func Describe(w io.Writer) error {
	var b strings.Builder
	describe(&b, reflect.ValueOf(*Default()), "")
	_, err := io.WriteString(w, b.String())
	return err
}

func describe(b *strings.Builder, v reflect.Value, path string) {
	for f := range fields(v.Type()) {
		name, fv := path+f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		switch {
		case f.Type.Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s\n    %s\n", name, f.Tag.Get("doc"))
			describe(b, fv, name+".")
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s[]\n    %s\n", name, f.Tag.Get("doc"))
			describe(b, reflect.Zero(f.Type.Elem()), name+"[].")
		default:
			fmt.Fprintf(b, "%s%s\n    %s\n", name, defaultText(fv), f.Tag.Get("doc"))
		}
	}
}

func defaultText(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (default %s)", scalarYAML(v))
}

func scalarYAML(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = scalarYAML(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// Init writes a complete, commented file to begin with: two entrances on this
// machine and one application.
func Init(w io.Writer) error {
	c := Default()
	c.Portals = Portals{Internal: "http://agents.localhost:8080", Mobile: "http://nomade.localhost:8081"}
	c.Entrances = []Entrance{{Channel: "internal", Listen: "127.0.0.1:8080"}, {Channel: "mobile", Listen: "127.0.0.1:8081"}}
	c.Organisation.Contacts = []Contact{{
		Role: "support_desk", Name: Words{FR: "Assistance", EN: "Support desk"}, Phone: "01 23 45 67 89",
		Email: "assistance@example.org", Hours: Words{FR: "du lundi au vendredi, 8 h à 18 h", EN: "Monday to Friday, 8:00 to 18:00"},
	}}
	c.Applications = []App{{
		ID: "intranet", Name: Words{FR: "Intranet", EN: "Intranet"}, Purpose: Words{FR: "Les nouvelles de la maison", EN: "News of the house"},
		Group: Words{FR: "Mon quotidien", EN: "Every day"}, Owner: Words{FR: "la communication", EN: "the communication department"}, Upstream: "http://127.0.0.1:9001",
		Channels: []string{"internal", "vpn", "mobile"},
	}}
	var b strings.Builder
	b.WriteString("# Parvis: the configuration. `parvis config check -c FILE` reports every fault with its line;\n" +
		"# `parvis config describe` prints what each field means. Absent fields keep the values shown here.\n")
	write(&b, reflect.ValueOf(*c), "")
	_, err := io.WriteString(w, b.String())
	return err
}

func write(b *strings.Builder, v reflect.Value, indent string) {
	for f := range fields(v.Type()) {
		name, fv := f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		fmt.Fprintf(b, "%s# %s\n", indent, f.Tag.Get("doc"))
		switch {
		case f.Type.Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			write(b, fv, indent+"  ")
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			if fv.Len() == 0 {
				fmt.Fprintf(b, "%s%s: []\n", indent, name)
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			for i := range fv.Len() {
				var item strings.Builder
				write(&item, fv.Index(i), indent+"    ")
				text := item.String()
				if i > 0 { // the comments once are enough
					text = withoutComments(text)
				}
				b.WriteString(indent + "  -\n" + text)
			}
		default:
			fmt.Fprintf(b, "%s%s: %s\n", indent, name, scalarYAML(fv))
		}
	}
}

func withoutComments(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
