package oidc

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
)

// scopeNames are the scopes that mean something here.
const scopeNames = "openid offline_access profile email phone uid given_name usual_name siret siren organizational_unit belonging_population groups"

// scopeClaims says what a scope asks for (OpenID Connect Core §5.4); those that
// bear the name of their claim are ProConnect's (domain.md 3.1).
func scopeClaims(scope string) []string {
	switch scope {
	case "profile":
		return []string{"name", "given_name", "family_name", "usual_name"}
	case "phone":
		return []string{"phone_number"}
	case "email", "uid", "given_name", "usual_name", "siret", "siren", "organizational_unit", "belonging_population", "groups":
		return []string{scope}
	}
	return nil
}

// claimNames lists every claim that may be told.
func claimNames() []string {
	return append([]string{"sub", "acr", "amr", "auth_time", "sid", "channel", "limited", "email_verified"}, parvis.ClaimNames()...)
}

// mayScope tells whether an application may be granted a scope. The two that
// every client asks for are granted to all: what they tell is another matter.
func mayScope(app parvis.App, scope string) bool {
	switch scope {
	case "openid", "profile", "email":
		return true
	case "offline_access":
		return app.OIDC.Offline
	}
	return slices.ContainsFunc(scopeClaims(scope), func(c string) bool { return slices.Contains(app.Attributes, c) })
}

// narrow keeps of the scopes asked for those that an application may be granted.
// The others are ignored, whether known or not (domain.md 3.1): what was granted
// is told with the token (RFC 6749 §3.3).
func narrow(asked string, app parvis.App) string {
	var kept []string
	for scope := range strings.FieldsSeq(asked) {
		if mayScope(app, scope) && !slices.Contains(kept, scope) {
			kept = append(kept, scope)
		}
	}
	return strings.Join(kept, " ")
}

// wish is one claim of the parameter claims (OpenID Connect Core §5.5.1).
type wish struct {
	Essential bool     `json:"essential"`
	Value     string   `json:"value"`
	Values    []string `json:"values"`
}

// wishes are what the parameter claims asks for.
type wishes struct {
	ID   map[string]wish
	User map[string]wish
}

// readWishes reads the parameter claims. A wish that cannot be read asks for the
// claim and nothing more.
func readWishes(s string) (wishes, error) {
	var raw struct {
		ID   map[string]json.RawMessage `json:"id_token"`
		User map[string]json.RawMessage `json:"userinfo"`
	}
	if s == "" {
		return wishes{}, nil
	}
	if err := json.Unmarshal([]byte(s), &raw); err != nil {
		return wishes{}, err
	}
	read := func(from map[string]json.RawMessage) map[string]wish {
		to := map[string]wish{}
		for name, r := range from {
			var w wish
			_ = json.Unmarshal(r, &w)
			to[name] = w
		}
		return to
	}
	return wishes{read(raw.ID), read(raw.User)}, nil
}

// named lists, of what is wished for, the claims that could be told.
func named(from map[string]wish) []string {
	var all []string
	for _, name := range parvis.ClaimNames() {
		if _, ok := from[name]; ok {
			all = append(all, name)
		}
	}
	return all
}

// levelNames orders the levels of domain.md 3.1 that can be reached here.
func levelNames() []string { return []string{"eidas1", "eidas1-mfa", "eidas2", "eidas3"} }

// rank orders levels; 0 for what is none.
func rank(level string) int { return 1 + slices.Index(levelNames(), level) }

// told is what was told of an agent when the application was granted something,
// and stays true of it.
type told struct {
	Issuer string         `json:"o"`
	Scopes string         `json:"s,omitempty"`
	User   []string       `json:"u,omitempty"` // claims asked for by name, for UserInfo
	ID     []string       `json:"d,omitempty"` // … for the ID token
	ACR    string         `json:"l,omitempty"`
	AMR    []string       `json:"m,omitempty"`
	Proved int64          `json:"t"` // auth_time
	Proofs []parvis.Proof `json:"p,omitempty"`
	JKT    string         `json:"j,omitempty"` // the key the tokens are bound to (RFC 9449)
}

// asks lists the claims that a grant may tell through UserInfo: the scopes and
// the wishes are an upper bound of what the application may be told.
func (t *told) asks() []string {
	all := slices.Clone(t.User)
	for scope := range strings.FieldsSeq(t.Scopes) {
		all = append(all, scopeClaims(scope)...)
	}
	return all
}

// idClaims adds to an ID token how and when somebody signed in.
func (p *Provider) idClaims(ctx context.Context, g *goidc.Grant) map[string]any {
	x := exchangeOf(ctx)
	f, ok := x.found[g.ID]
	if !ok {
		return nil
	}
	claims := map[string]any{"auth_time": f.told.Proved, "sid": f.grant.SID}
	if f.told.ACR != "" {
		claims["acr"] = f.told.ACR
	}
	if len(f.told.AMR) > 0 {
		claims["amr"] = f.told.AMR
	}
	maps.Copy(claims, p.claims(ctx, f, f.told.ID))
	return claims
}

// userClaims tells who somebody is, as far as the application may know.
func (p *Provider) userClaims(ctx context.Context, g *goidc.Grant) map[string]any {
	x := exchangeOf(ctx)
	f, ok := x.found[g.ID]
	if !ok {
		return nil
	}
	if x.scope != nil { // a refresh may have asked for less (RFC 6749 §6)
		f.told.Scopes = *x.scope
	}
	claims := p.claims(ctx, f, f.told.asks())
	if f.told.ACR != "" {
		claims["acr"] = f.told.ACR
	}
	return claims
}

// tokenClaims makes an access token what RFC 9068 §2.2 says, with how somebody
// signed in (RFC 9470 §6).
func (p *Provider) tokenClaims(ctx context.Context, t *goidc.Token, g *goidc.Grant) map[string]any {
	x := exchangeOf(ctx)
	claims := map[string]any{}
	if x.iss != nil {
		claims["aud"] = x.iss.address
	}
	if f, ok := x.found[g.ID]; ok {
		claims["auth_time"], claims["channel"] = f.told.Proved, string(f.grant.Channel)
		if f.told.ACR != "" {
			claims["acr"] = f.told.ACR
		}
	}
	return claims
}

// claims gives those of some names that the application may be told, with the
// entrance. What is unknown is left out.
func (p *Provider) claims(ctx context.Context, f found, names []string) map[string]any {
	app, ok := p.client(string(f.grant.App))
	if !ok {
		return map[string]any{}
	}
	agent, _, err := p.Directory.Facts(ctx, f.grant.Agent)
	if err != nil {
		if parvis.CodeOf(err) != parvis.CodeNotFound {
			p.Log.Error("an agent could not be read", "err", err)
		}
		return map[string]any{}
	}
	if app.External { // what the agent was asked about, and no more, whatever it may have since
		given, err := p.given(ctx, f.grant.Agent, app.ID)
		if err != nil || given == nil {
			given = &consent{}
		}
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(given.Claims, name) })
	}
	all := p.Door.Claims(app, agent, f.grant.Channel)
	maps.DeleteFunc(all, func(name string, _ any) bool {
		return name != "channel" && name != "limited" && !slices.Contains(names, name)
	})
	if _, ok := all["email"]; ok {
		all["email_verified"] = true // the organisation gave it
	}
	return all
}
