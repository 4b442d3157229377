package office

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
)

// The doors by which an application learns who is there, as files call them.
const (
	gateway = "gateway"
	forward = "forward"
	oidc    = "oidc"
	cas     = "cas"
	saml    = "saml"
)

var kinds = []string{gateway, forward, oidc, cas, saml}

// doorsOf lists the doors of an application, in their order.
func doorsOf(a *parvis.App) []string {
	there := []bool{a.Upstream != "", a.Forward, a.OIDC != nil, a.CAS != nil, a.SAML != nil}
	var all []string
	for i, kind := range kinds {
		if there[i] {
			all = append(all, kind)
		}
	}
	return all
}

// shape is how a field is asked for.
type shape int

const (
	line  shape = iota
	area        // several lines
	box         // yes or no
	boxes       // some of its options
	menu        // one of its options
)

// field is one thing that is known of an application, under the name it has in
// files: a fault names the same one.
type field struct {
	name    string
	door    string // of which door; empty: of every application
	shape   shape
	first   bool // asked for when an application is added
	need    bool
	mono    bool
	options []string
	get     func(*parvis.App) []string
	set     func(*parvis.App, []string) bool // false: it cannot be read
}

func text1(name, door string, at func(*parvis.App) *string) field {
	return field{
		name: name, door: door, mono: true,
		get: func(a *parvis.App) []string { return some(*at(a)) },
		set: func(a *parvis.App, v []string) bool { *at(a) = first(v); return true },
	}
}

// said is a text in one language.
func said(name string, at func(*parvis.App) *string) field {
	f := text1(name, "", at)
	f.mono = false
	return f
}

func document(name, door string, at func(*parvis.App) *string) field {
	f := text1(name, door, at)
	f.shape = area
	f.set = func(a *parvis.App, v []string) bool { // as a browser sends it, without its line ends (HTML, form submission)
		*at(a) = strings.TrimSpace(strings.ReplaceAll(one(v), "\r\n", "\n"))
		return true
	}
	return f
}

func several(name, door string, at func(*parvis.App) *[]string) field {
	return field{
		name: name, door: door, shape: area, mono: true,
		get: func(a *parvis.App) []string { return some(strings.Join(*at(a), "\n")) },
		set: func(a *parvis.App, v []string) bool {
			var all []string
			for l := range strings.Lines(one(v)) {
				if l = strings.TrimSpace(l); l != "" {
					all = append(all, l)
				}
			}
			*at(a) = all
			return true
		},
	}
}

func yes(name, door string, at func(*parvis.App) *bool) field {
	return field{
		name: name, door: door, shape: box,
		get: func(a *parvis.App) []string {
			if *at(a) {
				return []string{"1"}
			}
			return nil
		},
		set: func(a *parvis.App, v []string) bool { *at(a) = one(v) != ""; return true },
	}
}

func entrances(name string, at func(*parvis.App) *[]parvis.Channel) field {
	f := field{name: name, shape: boxes}
	for _, ch := range parvis.Channels() {
		f.options = append(f.options, string(ch))
	}
	f.get = func(a *parvis.App) (all []string) {
		for _, ch := range *at(a) {
			all = append(all, string(ch))
		}
		return all
	}
	f.set = func(a *parvis.App, v []string) bool {
		if same(f.get(a), v) {
			return true // in the order in which it was written
		}
		var all []parvis.Channel
		for _, ch := range v {
			all = append(all, parvis.Channel(ch))
		}
		*at(a) = all
		return true
	}
	return f
}

func among(name, door string, at func(*parvis.App) *string, options ...string) field {
	f := text1(name, door, at)
	f.shape, f.options = menu, options
	return f
}

func (f field) asked(need bool) field { f.first, f.need = true, need; return f }

// client, service and provider give what an application is at one door; there
// is one whenever a field of that door is read or set.
func client(a *parvis.App) *parvis.OIDCClient {
	if a.OIDC == nil {
		a.OIDC = &parvis.OIDCClient{}
	}
	return a.OIDC
}

func service(a *parvis.App) *parvis.CASService {
	if a.CAS == nil {
		a.CAS = &parvis.CASService{}
	}
	return a.CAS
}

func provider(a *parvis.App) *parvis.SAMLService {
	if a.SAML == nil {
		a.SAML = &parvis.SAMLService{}
	}
	return a.SAML
}

// part is what is asked for together.
type part struct {
	name   string
	fields []field
}

// parts lists all that is known of an application, in the order in which it is
// asked for. Its doors and secrets are asked for apart.
func parts() []part {
	type app = *parvis.App
	return []part{
		{"about", []field{
			said("name.fr", func(a app) *string { return &a.Name.FR }).asked(true),
			said("name.en", func(a app) *string { return &a.Name.EN }).asked(false),
			said("purpose.fr", func(a app) *string { return &a.Purpose.FR }).asked(false),
			said("purpose.en", func(a app) *string { return &a.Purpose.EN }),
			said("group.fr", func(a app) *string { return &a.Group.FR }),
			said("group.en", func(a app) *string { return &a.Group.EN }),
			said("owner.fr", func(a app) *string { return &a.Owner.FR }),
			said("owner.en", func(a app) *string { return &a.Owner.EN }),
		}},
		{gateway, []field{
			text1("upstream", gateway, func(a app) *string { return &a.Upstream }).asked(true),
			yes("identity_headers", gateway, func(a app) *bool { return &a.Headers }).asked(false),
			several("pass_headers", gateway, func(a app) *[]string { return &a.PassHeaders }),
			yes("cross_origin_posts", gateway, func(a app) *bool { return &a.CrossOrigin }),
		}},
		{oidc, clientFields()},
		{cas, []field{
			several("cas.services", cas, func(a app) *[]string { return &service(a).Services }).asked(true),
			yes("cas.logout", cas, func(a app) *bool { return &service(a).Logout }).asked(false),
		}},
		{saml, []field{
			document("saml.metadata", saml, func(a app) *string { return &provider(a).Metadata }).asked(true),
			among("saml.name_id", saml, func(a app) *string { return &provider(a).NameID }, append([]string{""}, parvis.NameIDs()...)...),
			yes("saml.encrypt", saml, func(a app) *bool { return &provider(a).Encrypt }),
		}},
		{"opens", []field{
			text1("start", "", func(a app) *string { return &a.Start }).asked(false),
			entrances("channels", func(a app) *[]parvis.Channel { return &a.Channels }).asked(true),
			yes("entitlement", "", func(a app) *bool { return &a.Entitled }).asked(false),
			yes("second_proof", "", func(a app) *bool { return &a.Second }).asked(false),
			strength(),
			entrances("second_proof_when_enrolled_on", func(a app) *[]parvis.Channel { return &a.SecondOn }),
			age(),
			yes("validated_device_on_vpn", "", func(a app) *bool { return &a.OnDeviceVPN }),
			yes("office_hours", "", func(a app) *bool { return &a.OfficeHours }),
			yes("hr_documents", "", func(a app) *bool { return &a.HRDocuments }),
			yes("hr_service", "", func(a app) *bool { return &a.HRService }),
		}},
		{"reduced", []field{
			entrances("reduced_on", func(a app) *[]parvis.Channel { return &a.Reduced }),
			said("reduced_can.fr", func(a app) *string { return &a.ReducedCan.FR }),
			said("reduced_can.en", func(a app) *string { return &a.ReducedCan.EN }),
			said("reduced_cannot.fr", func(a app) *string { return &a.ReducedNot.FR }),
			said("reduced_cannot.en", func(a app) *string { return &a.ReducedNot.EN }),
			several("reduced_to", "", func(a app) *[]string { return &a.ReducedTo }),
		}},
		{"told", []field{
			attributes(),
			yes("external", "", func(a app) *bool { return &a.External }),
		}},
	}
}

// fields lists them one after the other.
func fields() []field {
	var all []field
	for _, p := range parts() {
		all = append(all, p.fields...)
	}
	return all
}

// short lists what is asked for when an application of one kind is added.
func short(kind string) []field {
	var all []field
	for _, f := range fields() {
		if f.first && (f.door == "" || f.door == kind) && (f.name != "start" || kind != gateway) {
			all = append(all, f)
		}
	}
	return all
}

func clientFields() []field {
	type app = *parvis.App
	return []field{
		several("oidc.redirects", oidc, func(a app) *[]string { return &client(a).Redirects }).asked(true),
		several("oidc.logout_redirects", oidc, func(a app) *[]string { return &client(a).LogoutRedirects }),
		among("oidc.auth", oidc, func(a app) *string { return &client(a).Auth },
			parvis.ClientSecretBasic, parvis.ClientSecretPost, parvis.PrivateKeyJWT, parvis.PublicClient).asked(false),
		text1("oidc.jwks_uri", oidc, func(a app) *string { return &client(a).JWKSURI }),
		document("oidc.jwks", oidc, func(a app) *string { return &client(a).JWKS }),
		text1("oidc.back_channel_logout", oidc, func(a app) *string { return &client(a).BackChannel }),
		text1("oidc.front_channel_logout", oidc, func(a app) *string { return &client(a).FrontChannel }),
		yes("oidc.offline_access", oidc, func(a app) *bool { return &client(a).Offline }),
		yes("oidc.pairwise", oidc, func(a app) *bool { return &client(a).Pairwise }),
		text1("oidc.sector", oidc, func(a app) *string { return &client(a).Sector }),
		yes("oidc.rs256", oidc, func(a app) *bool { return &client(a).RS256 }),
		yes("oidc.signed_userinfo", oidc, func(a app) *bool { return &client(a).SignedUserInfo }),
		yes("oidc.require_par", oidc, func(a app) *bool { return &client(a).RequirePAR }),
		yes("oidc.require_dpop", oidc, func(a app) *bool { return &client(a).RequireDPoP }),
		yes("oidc.device", oidc, func(a app) *bool { return &client(a).Device }),
		yes("oidc.introspects", oidc, func(a app) *bool { return &client(a).Introspects }),
		yes("oidc.no_pkce", oidc, func(a app) *bool { return &client(a).NoPKCE }),
	}
}

// strengths names the strengths of a second proof as files do; the first stands
// for none said.
var strengths = []string{"", "any", "no_sms", "phishing_resistant"}

func strength() field {
	return field{
		name: "second_proof_strength", shape: menu, options: strengths,
		get: func(a *parvis.App) []string { return some(strengths[min(max(a.SecondStrength, 0), len(strengths)-1)]) },
		set: func(a *parvis.App, v []string) bool {
			i := slices.Index(strengths, one(v))
			a.SecondStrength = max(i, 0)
			return i >= 0
		},
	}
}

// age is in minutes, or as files write a duration.
func age() field {
	return field{
		name: "proof_max_age", mono: true,
		get: func(a *parvis.App) []string {
			d := time.Duration(a.ProofMaxAge) * time.Second
			switch {
			case d == 0:
				return nil
			case d%time.Minute == 0:
				return []string{strconv.Itoa(int(d / time.Minute))}
			}
			return []string{d.String()}
		},
		set: func(a *parvis.App, v []string) bool {
			s := first(v)
			if s == "" {
				a.ProofMaxAge = 0
				return true
			}
			if n, err := strconv.ParseUint(s, 10, 16); err == nil {
				a.ProofMaxAge = parvis.Seconds(n * 60)
				return true
			}
			d, err := time.ParseDuration(s)
			if err != nil || d%time.Second != 0 {
				return false
			}
			a.ProofMaxAge = parvis.Seconds(d / time.Second)
			return true
		},
	}
}

func attributes() field {
	f := field{name: "attributes", shape: boxes, options: parvis.ClaimNames()}
	f.get = func(a *parvis.App) []string { return slices.Clone(a.Attributes) }
	f.set = func(a *parvis.App, v []string) bool {
		if !same(a.Attributes, v) {
			a.Attributes = slices.Clone(v)
		}
		return true
	}
	return f
}

// typed is what a form says of an application.
func typed(a parvis.App) url.Values {
	v := url.Values{"id": {string(a.ID)}, "doors": doorsOf(&a)}
	for _, f := range fields() {
		if f.door != "" && !slices.Contains(v["doors"], f.door) {
			continue
		}
		if all := f.get(&a); len(all) > 0 {
			v[f.name] = all
		}
	}
	return v
}

// read makes an application of what was typed, on the ground of what it was:
// fields that were not asked for stay. What cannot be read is a fault; what can
// but does not do is for [parvis.App.Faults] to say.
func read(base parvis.App, sent url.Values, asked []field) (parvis.App, []parvis.AppFault) {
	var faults []parvis.AppFault
	a := separate(base)
	doors := sent["doors"]
	a.Forward = slices.Contains(doors, forward)
	for door, close := range map[string]func(){
		gateway: func() { a.Upstream = "" }, oidc: func() { a.OIDC = nil }, cas: func() { a.CAS = nil }, saml: func() { a.SAML = nil },
	} {
		if !slices.Contains(doors, door) {
			close()
		}
	}
	for _, f := range asked {
		if f.door != "" && !slices.Contains(doors, f.door) {
			continue
		}
		v := sent[f.name]
		if !f.set(&a, v) {
			faults = append(faults, parvis.AppFault{Field: f.name, Code: unreadable, Value: first(v)})
		}
	}
	if slices.Contains(doors, gateway) && a.Upstream == "" { // another door would hide that this one leads nowhere
		faults = append(faults, parvis.AppFault{Field: "upstream", Code: parvis.FaultRequired})
	}
	if len(doors) == 0 {
		faults = append(faults, parvis.AppFault{Field: "doors", Code: parvis.FaultRequired})
	}
	return a, faults
}

// unreadable is what a form alone can get wrong: what is typed is no duration.
const unreadable parvis.AppFaultCode = "unreadable"

// separate gives a copy whose doors are not those of a.
func separate(a parvis.App) parvis.App {
	if a.OIDC != nil {
		c := *a.OIDC
		a.OIDC = &c
	}
	if a.CAS != nil {
		c := *a.CAS
		a.CAS = &c
	}
	if a.SAML != nil {
		c := *a.SAML
		a.SAML = &c
	}
	return a
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func one(v []string) string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

func first(v []string) string { return strings.TrimSpace(one(v)) }

// same tells whether two lists have the same members.
func same(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
