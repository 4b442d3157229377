package apps

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"parvis"
)

// What a federation accepts of a value (domain.md 3.1).
const (
	longestClaim = 256
	sirenDigits  = 9 // of a SIRET, the first
)

// Claims gives what an application is told of an agent, by claim name: those
// that it was granted, then the entrance ("channel") and, where the application
// opens reduced, "limited". What is unknown is left out, never sent empty. A
// SIRET that is missing or wrong is replaced by that of the organisation.
func (d *Door) Claims(app parvis.App, a *parvis.Agent, ch parvis.Channel) map[string]any {
	all := map[string]any{"channel": string(ch)}
	if slices.Contains(app.Reduced, ch) {
		all["limited"] = true
	}
	for _, name := range app.Attributes {
		switch name {
		case "groups":
			all[name] = groups(a)
		default:
			if v := clean(d.claim(name, a)); v != "" {
				all[name] = v
			}
		}
	}
	return all
}

// claim gives one claim; empty when it is not known. One that is not on the
// list is never known.
func (d *Door) claim(name string, a *parvis.Agent) string {
	switch name {
	case "uid":
		return string(a.Number)
	case "given_name":
		return strings.Join(strings.Fields(a.GivenNames), " ")
	case "usual_name":
		if a.UsageName != "" {
			return a.UsageName
		}
		return a.FamilyName
	case "family_name":
		return a.FamilyName
	case "name":
		return a.Name()
	case "email":
		return a.Email
	case "siret":
		return d.siret(a)
	case "siren":
		return d.siret(a)[:min(len(d.siret(a)), sirenDigits)]
	case "organizational_unit":
		return string(a.Unit)
	case "belonging_population":
		return population(a)
	case "phone_number":
		return "" // of the work place; HR files hold private ones only, which are nobody's business
	}
	return ""
}

// population says what kind of member of staff somebody is, in the words of
// ProConnect.
func population(a *parvis.Agent) string {
	switch a.Category {
	case "":
		return ""
	case "external":
		return "prestataire"
	case "intern":
		return "stagiaire"
	case "elected":
		return "elu"
	}
	return "agent"
}

// siret gives the establishment that employs an agent, or that of the
// organisation; empty when neither is right.
func (d *Door) siret(a *parvis.Agent) string {
	if s := strings.Join(strings.Fields(a.Employer), ""); parvis.SIRET(s) {
		return s
	}
	if s := strings.Join(strings.Fields(d.SIRET), ""); parvis.SIRET(s) {
		return s
	}
	return ""
}

// groups are the agent's profiles, then the roles they hold, as the gateway
// tells them.
func groups(a *parvis.Agent) []string {
	var all []string
	for _, p := range a.Profiles {
		all = append(all, clean(string(p)))
	}
	if len(all) == 0 {
		all = append(all, string(parvis.Standard))
	}
	for _, r := range a.Roles {
		all = append(all, string(r))
	}
	return all
}

// clean makes a value fit to be told: one line, of at most 256 characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if n := []rune(s); len(n) > longestClaim {
		s = strings.TrimSpace(string(n[:longestClaim]))
	}
	return s
}

// Subject names an agent to an application, the same for as long as the agent
// and the application exist: the agent number or, where it was asked for, a
// name that no other application can compare.
func (d *Door) Subject(app parvis.App, a parvis.AgentNumber, p parvis.Protocol) string {
	switch {
	case p == parvis.OIDC && app.OIDC != nil && app.OIDC.Pairwise:
		if app.OIDC.Sector != "" {
			return d.pairwise("sector", app.OIDC.Sector, a)
		}
		return d.pairwise("oidc", string(app.ID), a)
	case p == parvis.SAML && app.SAML != nil && (app.SAML.NameID == "" || app.SAML.NameID == "persistent"):
		return d.pairwise("saml", string(app.ID), a)
	}
	return string(a)
}

// pairwise names an agent to one sector (OpenID Connect Core §8.1).
func (d *Door) pairwise(kind, sector string, a parvis.AgentNumber) string {
	name := d.Keys.MAC("pairwise", []byte(kind), []byte(sector), []byte(a))
	return base64.RawURLEncoding.EncodeToString(name[:])
}
