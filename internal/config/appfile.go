package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"parvis"
)

// ReadApps reads a folder of application files, ID.yaml, one application each.
// The faults of all come together, each with its file and line; the
// applications can be used when none of them is more than a warning.
func ReadApps(dir string) ([]parvis.App, []Fault) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []Fault{{Message: "the folder cannot be read: " + err.Error()}}
	}
	var all []parvis.App
	var faults []Fault
	for _, e := range entries {
		name := e.Name()
		id, yes := strings.CutSuffix(name, ".yaml")
		if !yes || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		text, err := readNamed(dir, name)
		if err != nil {
			faults = append(faults, Fault{File: name, Message: err.Error()})
			continue
		}
		app, found := parseApp([]byte(text), dir, id)
		for _, f := range found {
			f.File = name
			faults = append(faults, f)
		}
		all = append(all, app)
	}
	return all, faults
}

// parseApp reads the file of one application, which has the name of its id.
// What it names lies in dir.
func parseApp(b []byte, dir, id string) (parvis.App, []Fault) {
	var a App
	src := &source{lines: map[string]int{}}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return parvis.App{}, []Fault{syntaxFault(err)}
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return parvis.App{}, []Fault{{Message: "one application is expected"}}
	}
	body := file.Docs[0].Body
	faults, fits := src.walk(body, reflect.TypeFor[App](), "")
	if !fits {
		return parvis.App{}, faults
	}
	if err := yaml.NodeToValue(body, &a); err != nil {
		return parvis.App{}, append(faults, syntaxFault(err))
	}
	k := &checker{Config: &Config{source: src}}
	if a.ID != id {
		k.fault("id", "the file has the name of its application: %s.yaml", a.ID)
	}
	if len(a.OIDC.SecretFiles) > 0 {
		k.fault("oidc.secret_files", "a repository is no place for secrets: `parvis app secret` makes them")
		a.OIDC.SecretFiles = nil
	}
	app := k.application("", &a, dir)
	for _, f := range k.faults {
		if !slices.ContainsFunc(faults, func(g Fault) bool { return within(f.Path, g.Path) || within(g.Path, f.Path) }) {
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return a.Line - b.Line })
	return app, faults
}

// AppYAML writes the file of an application: what is not set is left out, so
// that a repository shows what was decided. Reading it gives the application
// again, whole; if that cannot be, it is an error.
func AppYAML(app parvis.App) ([]byte, error) {
	want := AppOf(app)
	for _, blocks := range []bool{true, false} { // texts of several lines, as such or, if that loses anything, quoted
		var b strings.Builder
		writeSet(&b, reflect.ValueOf(want), "", blocks)
		var got App
		if err := yaml.Unmarshal([]byte(b.String()), &got); err == nil && reflect.DeepEqual(want, got) {
			return []byte(b.String()), nil
		}
	}
	return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "config.AppYAML", Err: errors.New("it holds a text that no file can hold")}
}

// writeSet writes the fields that say something.
func writeSet(b *strings.Builder, v reflect.Value, indent string, blocks bool) {
	for f := range fields(v.Type()) {
		name, fv := f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		switch {
		case blank(fv):
		case fv.Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			writeSet(b, fv, indent+"  ", blocks)
		case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			for i := range fv.Len() {
				var item strings.Builder
				writeSet(&item, fv.Index(i), indent+"    ", blocks)
				fmt.Fprintf(b, "%s  - %s", indent, strings.TrimPrefix(item.String(), indent+"    "))
			}
		case fv.Kind() == reflect.Slice:
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			for i := range fv.Len() {
				fmt.Fprintf(b, "%s  - %s\n", indent, scalarYAML(fv.Index(i)))
			}
		case fv.Kind() == reflect.String && blocks && block(fv.String()):
			fmt.Fprintf(b, "%s%s: |\n", indent, name)
			for line := range strings.Lines(fv.String()) {
				if line == "\n" {
					b.WriteString(line)
					continue
				}
				b.WriteString(indent + "  " + line)
			}
		default:
			fmt.Fprintf(b, "%s%s: %s\n", indent, name, scalarYAML(fv))
		}
	}
}

// block tells whether a text can be written as it is, line by line (YAML 1.2.2
// §8.1.2): it ends with one line break and begins with no blank.
func block(s string) bool {
	return strings.Contains(strings.TrimSuffix(s, "\n"), "\n") && strings.HasSuffix(s, "\n") && !strings.HasSuffix(s, "\n\n") &&
		strings.Trim(s[:1], " \t\n") != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r > 0x7e })
}

// applications checks those of the configuration itself.
func (k *checker) applications() {
	seen := map[string]bool{}
	for i := range k.Applications {
		a, path := &k.Applications[i], fmt.Sprintf("applications[%d]", i)
		if seen[a.ID] {
			k.fault(path+".id", "%s is declared twice", a.ID)
		}
		seen[a.ID] = true
		app := k.application(path+".", a, "")
		if c := app.OIDC; c != nil && len(c.Secrets) == 0 && (c.Auth == parvis.ClientSecretBasic || c.Auth == parvis.ClientSecretPost) {
			k.fault(path+".oidc.secret_files", "a file that holds its secret is expected, or the hash of one under secrets")
		}
	}
}

// application checks one application, whose fields stand under a prefix.
func (k *checker) application(prefix string, a *App, dir string) parvis.App {
	app, wrong := a.app(dir)
	if len(a.Channels) == 0 {
		k.warn(prefix+"channels", "%s opens nowhere: nothing is open by default", a.ID)
	}
	k.duration(prefix+"proof_max_age", a.ProofMaxAge)
	k.strength(prefix+"second_proof_strength", a.Strength)
	for _, w := range wrong {
		k.fault(prefix+w.field, "%s", w.message)
	}
	for _, f := range app.Faults() {
		if slices.ContainsFunc(wrong, func(w named) bool {
			return f.Field == "saml.metadata" && w.field == "saml.metadata_file" || within(w.field, f.Field)
		}) {
			continue // said already
		}
		field := f.Field
		if field == "name.fr" || field == "name.en" {
			if field = "name"; slices.ContainsFunc(k.faults, func(g Fault) bool { return g.Path == prefix+field }) {
				continue
			}
		}
		k.fault(prefix+field, "%s", inWords(a, f))
	}
	switch {
	case app.OIDC != nil && app.OIDC.NoPKCE:
		k.warn(prefix+"oidc.no_pkce", "a code that is stolen from %s can be used: ask its maker for PKCE (RFC 9700 2.1.1)", a.ID)
	case len(app.ReducedTo) > 0 && len(app.Reduced) == 0:
		k.warn(prefix+"reduced_to", "%s is reduced nowhere: reduced_on is empty", a.ID)
	}
	return app
}

// inWords says what is wrong with an application.
func inWords(a *App, f parvis.AppFault) string {
	field, _, _ := strings.Cut(f.Field, "[")
	switch field + " " + string(f.Code) {
	case "name.fr required", "name.en required":
		return "a name in both languages is expected"
	case "upstream address":
		return "an address such as http://127.0.0.1:9001 is expected"
	case "upstream door":
		return "no way leads in: upstream, forward, oidc, cas or saml is expected"
	case "forward apart":
		return "another proxy serves it: no upstream then"
	case "reduced_on apart":
		return f.Value + " is not among its channels"
	case "second_proof_strength apart":
		return a.ID + " asks for no second proof"
	case "channels unknown", "reduced_on unknown", "second_proof_when_enrolled_on unknown":
		return "internal, vpn or mobile is expected"
	case "attributes unknown":
		return "one of " + strings.Join(parvis.ClaimNames(), ", ") + " is expected"
	case "oidc.auth unknown":
		return "client_secret_basic, client_secret_post, private_key_jwt or none is expected"
	case "oidc.secrets apart":
		return "it does not prove itself by a secret"
	case "oidc.jwks required":
		return "its public keys are expected, or jwks_uri: it proves itself by private_key_jwt"
	case "oidc.jwks_uri apart":
		return "jwks or jwks_uri is expected, not both"
	case "oidc.no_pkce apart", "oidc.introspects apart":
		return "an application that proves nothing (auth: none) cannot have this"
	case "oidc.sector apart":
		return "a sector is of pairwise subjects: pairwise is not set"
	case "saml.name_id unknown":
		return "one of " + strings.Join(parvis.NameIDs(), ", ") + " is expected"
	case "saml.encrypt keys":
		return "its metadata holds no certificate to encrypt to"
	}
	return map[parvis.AppFaultCode]string{
		parvis.FaultRequired: "a value is expected", parvis.FaultLabel: "a host label is expected: small letters, digits, hyphens",
		parvis.FaultUnknown: "there is no such choice: " + f.Value, parvis.FaultTwice: f.Value + " stands there twice",
		parvis.FaultApart: "it does not go with what is set beside", parvis.FaultAddress: "a whole address such as https://agenda.example.org/callback is expected",
		parvis.FaultHTTPS: "https is expected, or an address of this machine", parvis.FaultFragment: "no fragment (#) can stand in it",
		parvis.FaultWildcard: "no wildcard: addresses are compared whole", parvis.FaultOrigin: "the origin of one of its redirects is expected",
		parvis.FaultPattern: "a method and a path are expected, such as GET /search or POST /requests/*", parvis.FaultKeys: "a JWK Set of public keys is expected",
		parvis.FaultMetadata: "the metadata of a SAML service provider is expected, one EntityDescriptor", parvis.FaultDate: "it ends before it begins",
		parvis.FaultNoAnswers: "at least one address is expected to which answers go",
	}[f.Code]
}
