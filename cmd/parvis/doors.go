package main

import (
	"context"
	"net/http"
	"net/netip"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/apps"
	"parvis/internal/config"
	"parvis/internal/edge"
	"parvis/internal/federation"
	"parvis/internal/office"
	"parvis/internal/oidc"
	"parvis/internal/portal"
	"parvis/internal/store"
)

// applications has everybody decide and answer by these applications from now
// on; when the policies do not hold with them, nothing changes.
func (h *house) applications(all []parvis.App) error {
	catalog := h.catalog
	catalog.Apps = all
	next, err := access.New(catalog, h.own...)
	if err != nil {
		return err
	}
	h.policy.Replace(next)
	for _, learn := range h.learn {
		if err := learn(); err != nil { // of one door: the others go on
			h.log.Error("a door does not know the applications of now", "err", err)
		}
	}
	return nil
}

// outbound are the networks, besides public ones, where applications may be.
func (h *house) outbound() []netip.Prefix { return config.Prefixes(h.config.Outbound) }

// protocols are the doors of applications that are not behind the gateway, and
// the staff's pages about applications.
type protocols struct {
	provider   *oidc.Provider
	federation *federation.Federation
	office     *office.Office
	notices    *apps.Notices
}

// protocols builds them; the portal lends its pages and its door.
func (h *house) protocols(held *access.Held, pages *portal.Portal, e *edge.Edge) *protocols {
	client := apps.Outbound(h.outbound())
	door := &apps.Door{
		Policy: h.policy, Held: held, Directory: h.directory, Sessions: h.sessions, Counter: h.counter, Keys: h.keys,
		SIRET: h.config.Organisation.SIRET, Clock: h.clock,
	}
	p := &protocols{
		provider: &oidc.Provider{
			Store: h.store, Keys: h.keys, Sessions: h.sessions, Directory: h.directory, Register: h.register, Door: door,
			Addresses: h.addresses, Words: h.words, Edge: e, Clock: h.clock, Log: h.log, HTTP: client,
			Show: pages.Show, SignIn: pages.SignInTo, Prove: pages.ProveTo,
		},
		federation: &federation.Federation{
			Store: h.store, Keys: h.keys, Sessions: h.sessions, Directory: h.directory, Register: h.register, Door: door,
			Addresses: h.addresses, Words: h.words, Edge: e, Clock: h.clock, Log: h.log,
			Show: pages.Show, SignIn: pages.SignInTo, Prove: pages.ProveTo,
		},
	}
	p.office = &office.Office{
		Store: h.store, Sessions: h.sessions, Directory: h.directory, Register: h.register, Door: door, Policy: h.policy,
		Addresses: h.addresses, Words: h.words, Edge: e, Clock: h.clock,
		Show: pages.Show, SignIn: pages.SignInTo, Prove: pages.ProveTo,
		Zone: h.zone, Values: h.values, Profiles: h.catalog.Profiles, SAML: p.federation.Identity, YAML: config.AppYAML,
	}
	p.notices = &apps.Notices{
		Store: h.store, Clock: h.clock, Log: h.log, HTTP: client,
		Make: map[parvis.Protocol]func(context.Context, store.Notice) (*http.Request, error){
			parvis.OIDC: p.provider.Notice, parvis.CAS: p.federation.Notice, parvis.SAML: p.federation.Notice,
		},
	}
	h.learn = append(h.learn, p.provider.Refresh, func() error { p.federation.Refresh(); return nil })
	return p
}

// front shares the hosts of the portals between their pages and the protocols.
func (p *protocols) front(pages http.Handler) http.Handler {
	provider, fed, staff := p.provider.Handler(), p.federation.Handler(), p.office.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case p.provider.Serves(path):
			provider.ServeHTTP(w, r)
		case p.federation.Serves(path):
			fed.ServeHTTP(w, r)
		case p.office.Serves(path):
			staff.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
}

// programs are the endpoints that other sites, and their browsers' pages, post to.
func programs() []string {
	return []string{
		"POST /authorize", "POST /par", "POST /token", "POST /userinfo", "POST /introspect", "POST /revoke", "POST /device_authorization",
		"POST /oidc/logout", "POST /saml/sso", "POST /saml/slo",
	}
}
