package page

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"parvis/internal/htmlcheck"
)

func rendered(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEveryScreenHoldsTheClaims(t *testing.T) {
	for _, lang := range []string{"fr", "en"} {
		for _, p := range append(testScreens(lang), testLeaving(lang)...) {
			t.Run(lang+"/"+p.Screen, func(t *testing.T) {
				out := rendered(t, p)
				for _, f := range htmlcheck.Check([]byte(out)) {
					t.Error(f)
				}
				if !strings.Contains(out, `data-screen="`+p.Screen+`"`) {
					t.Error("the screen does not say which it is")
				}
			})
		}
	}
}

// soil puts a hostile text in every string of a value, component fields included.
func soil(v reflect.Value, hostile string) reflect.Value {
	switch v.Kind() {
	case reflect.String:
		out := reflect.New(v.Type()).Elem()
		out.SetString(hostile)
		return out
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			// These choose between shapes; they are constants of the caller.
			if name := v.Type().Field(i).Name; name == "Assets" || name == "Type" || name == "Kind" {
				continue
			}
			out.Field(i).Set(soil(v.Field(i), hostile))
		}
		return out
	case reflect.Slice:
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(soil(v.Index(i), hostile))
		}
		return out
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(soil(v.Elem(), hostile))
		return out
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type()).Elem()
		out.Set(soil(v.Elem(), hostile))
		return out
	}
	return v
}

func TestHostileTextsStayText(t *testing.T) {
	tags := regexp.MustCompile(`<[a-z]+`)
	for _, hostile := range []string{
		`"><script>alert(1)</script>`, `' onload='alert(1)`, `</title><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `--><svg onload=alert(1)>`,
		`" onfocus="alert(1)" autofocus="`, "\x00<b>", `x" style="color:red`,
	} {
		for _, p := range append(testScreens("fr"), testLeaving("fr")...) {
			clean := rendered(t, soil(reflect.ValueOf(p), "sain").Interface().(Page))
			dirty := rendered(t, soil(reflect.ValueOf(p), hostile).Interface().(Page))
			if got, want := len(tags.FindAllString(dirty, -1)), len(tags.FindAllString(clean, -1)); got != want {
				t.Errorf("%s with %q: %d elements, %d without", p.Screen, hostile, got, want)
			}
			for _, f := range htmlcheck.Check([]byte(dirty)) {
				for _, bad := range []string{"attribute on", "inline", "script address"} {
					if strings.Contains(f, bad) {
						t.Errorf("%s with %q: %s", p.Screen, hostile, f)
					}
				}
			}
		}
	}
}

func TestErrorsReachTheirField(t *testing.T) {
	p := Page{
		Lang: "fr", Screen: "x", Title: "Titre", Chrome: testChrome("fr", false), Errors: []Fault{{"code", "Saisissez le code"}, {"who", "Choisissez"}},
		Body: Form{Action: "/x", Body: Stack{
			Field{Name: "code", Label: "Code", Type: "code", Hint: "6 chiffres", Required: true},
			Field{Name: "note", Label: "Note"},
			Choices{Name: "who", Legend: "Qui", Options: []Option{{Value: "a", Label: "A"}, {Value: "b", Label: "B"}}},
		}},
	}
	out := rendered(t, p)
	for _, want := range []string{
		`<title>Erreur : Titre – Espace des agents – Ville de Belleroche</title>`, `href="#code"`, `href="#who"`, `aria-describedby="code-hint code-error"`, `id="code-error"`,
		`aria-invalid="true"`, `aria-required="true"`, `inputmode="numeric"`, `autocomplete="one-time-code"`, `(facultatif)`, `(obligatoire)`, `id="who"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if n := strings.Count(out, `aria-invalid`); n != 1 {
		t.Errorf("%d fields are wrong, want 1", n)
	}
	if strings.Contains(out, `type="number"`) {
		t.Error("a code is not a number")
	}
}

func TestPasswordIsNeverWrittenBack(t *testing.T) {
	out := rendered(t, Field{Name: "password", Label: "Mot de passe", Type: "password", Value: "correct horse", Autocomplete: "current-password"})
	if strings.Contains(out, "correct horse") {
		t.Error("the password is in the page")
	}
}

func TestRefusalCarriesItsCodes(t *testing.T) {
	p := Page{Lang: "fr", Screen: "why_not", Title: "Non", Reasons: []string{"a_b", "c_d"}, Reference: "K7QP-3M9T", Chrome: testChrome("fr", true)}
	out := rendered(t, p)
	if !strings.Contains(out, `<body data-screen="why_not" data-reason="a_b c_d" data-reference="K7QP-3M9T">`) {
		t.Error("the body does not carry codes and reference")
	}
	if out := rendered(t, Page{Lang: "fr", Screen: "home", Title: "Oui"}); strings.Contains(out, "data-reason") {
		t.Error("a page that refuses nothing carries a reason")
	}
}

func TestTheme(t *testing.T) {
	for current, want := range map[string]string{"": `<html lang="fr">`, "dark": `<html lang="fr" data-theme="dark">`} {
		c := testChrome("fr", false)
		c.Theme.Current = current
		out := rendered(t, Page{Lang: "fr", Screen: "x", Title: "T", Chrome: c})
		if !strings.Contains(out, want) {
			t.Errorf("theme %q: no %s", current, want)
		}
		pressed := map[string]string{"": "system", "dark": "dark"}[current]
		if strings.Count(out, `aria-pressed="true"`) != 1 || !strings.Contains(out, `value="`+pressed+`" aria-pressed="true"`) {
			t.Errorf("theme %q: %q is not the one pressed", current, pressed)
		}
	}
}

func TestPiecesStandAlone(t *testing.T) {
	// Outside a page there are no words, and nothing breaks.
	for _, c := range []templ.Component{
		Stack{nil, Para("un")},
		Columns{Para("un"), Para("deux")},
		List{"un"},
		Section{Title: "Un"},
		Links{{Text: "a", Href: "/", Icon: "mail", Lang: "en"}},
		Progress{Text: "3 sur 2", Done: 3, Total: 2},
		Table{Caption: "Rien", Empty: &Empty{Title: "Rien"}},
		Refusal{},
		Form{Action: "/x"},
		Tasks{},
		Timeline{},
		Field{Name: "a", Label: "A", Strength: &Strength{Level: 99}},
		Choices{Name: "m", Legend: "L", Menu: true, Required: true, Error: "e", Hint: "h", Options: []Option{{Value: "1", Label: "Un", Checked: true}}},
		Choices{Name: "m", Legend: "L", Many: true, Error: "e", Hint: "h", Options: []Option{{Label: "Un"}}},
		Choices{Name: "c", Error: "e", Required: true, Options: []Option{{Label: "Un"}}},
		Identity{Text: "A1"},
		Masked{Text: "•"},
		Square{},
		Pair{},
		Notice{},
		Person{Email: "a@example.org"}.asPeople(),
		Checklist{},
		Matrix{},
		Rows{},
		AutoPost{},
		Frames{},
	} {
		out := rendered(t, c)
		if strings.Contains(out, "strength-99") || strings.Contains(out, "%!") {
			t.Errorf("%T: %s", c, out)
		}
	}
}

func (p Person) asPeople() People { return People{p} }

func TestEveryIconIsThere(t *testing.T) {
	known := icons()
	names := []string{}
	for _, m := range []Mark{Open, Done, Todo, Wait, Warn, Stop, Locked, Info, "?"} {
		names = append(names, m.icon())
	}
	used := regexp.MustCompile(`@icon\("([a-z-]+)"\)`)
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".templ") {
			continue
		}
		b, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
	}
	if len(names) < 15 {
		t.Fatalf("only %d icons found in use", len(names))
	}
	for _, n := range names {
		if s := known[n]; !strings.HasPrefix(s, "<svg class=\"icon\"") || !strings.Contains(s, "<path") || !strings.HasSuffix(s, "</svg>") || strings.Contains(s, "style") {
			t.Errorf("icon %q: %q", n, s)
		}
	}
}

func BenchmarkHome(b *testing.B) {
	p := testScreens("fr")[5]
	var buf bytes.Buffer
	for b.Loop() {
		buf.Reset()
		if err := p.Render(context.Background(), &buf); err != nil {
			b.Fatal(err)
		}
	}
}
