package main

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/config"
	"parvis/internal/credential"
	"parvis/internal/moncompte"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

// embeddedID names the embedded provider among the others, in configuration
// and events.
const embeddedID = "moncompte"

// vouchers builds the outside accounts: the providers of the configuration,
// and the one that is served here.
func (h *house) vouchers() error {
	c := h.config.Verifier
	var all []verifier.Provider
	if c.Embedded.Listen != "" {
		all = append(all, h.embed(c))
	}
	for _, p := range c.Providers {
		secret, err := secretIn(p.ClientSecret)
		if err != nil {
			return err
		}
		age, _ := time.ParseDuration(p.MaxAge) // checked by config
		one := verifier.Provider{
			ID: p.ID, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: secret, Auth: p.Auth, Label: parvis.Words(p.Label),
			Owner: parvis.Words(p.Owner), Delay: parvis.Words(p.Delay), Host: p.Host, Recovery: p.Recovery, Create: p.Create,
			ACR: p.ACR, Levels: p.Levels, MaxAge: age, Scopes: p.Scopes, UserInfoSigned: p.UserInfoSigned,
			UserInfoEncrypted: p.UserInfoEncrypted, EmailVerified: p.EmailVerified, Locked: p.Locked,
		}
		if one.Label == (parvis.Words{}) {
			one.Label = parvis.Words(c.Label)
		}
		if one.Host == "" {
			one.Host = hostOf(p.Issuer)
		}
		all = append(all, one)
	}
	if len(all) > 0 {
		h.link = &verifier.Link{
			Store: h.store, Keys: h.keys, Clock: h.clock, Log: h.log, Providers: all, Addresses: h.addresses,
		}
	}
	return nil
}

// embed builds the provider that is served here. It is a provider like any
// other: the two meet over HTTP alone, with a secret that both derive.
func (h *house) embed(c config.Verifier) verifier.Provider {
	const client = "parvis"
	e := c.Embedded
	shared := h.keys.MAC("client of the embedded verifier", []byte(e.Address))
	secret := seal.Secret(hex.EncodeToString(shared[:]))
	var returns, portals []string
	for _, origin := range h.config.Origins() {
		returns, portals = append(returns, origin+"/verifier/return"), append(portals, origin+"/")
	}
	slices.Sort(returns)
	slices.Sort(portals)
	name := h.config.Organisation.Name
	h.embedded = &moncompte.Service{
		Store: h.store, Keys: h.keys, Vault: h.vault, Outbox: h.outbox, Catalog: h.words, Clock: h.clock, Log: h.log,
		Address: e.Address, Label: parvis.Words(e.Label), Lang: text.Lang(h.config.Organisation.Language),
		Clients: []moncompte.Client{{ID: client, Secret: secret, Name: parvis.Words{FR: name, EN: name}, Redirects: returns, LogoutRedirects: portals}},
		Peer:    peer(config.Prefixes(e.Proxies)),
	}
	p := verifier.Provider{
		ID: embeddedID, Issuer: e.Address, ClientID: client, ClientSecret: secret, Label: parvis.Words(e.Label), Owner: parvis.Words(e.Owner),
		Delay: parvis.Words(e.Delay), Host: hostOf(e.Address), Recovery: e.Address + "/recover", Create: e.Address + "/create", EmailVerified: true,
	}
	if p.Label == (parvis.Words{}) {
		p.Label = parvis.Words{FR: "Mon Compte", EN: "Mon Compte"}
	}
	return p
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// vouching adds what sentences say of the outside account. With several
// providers each page says whose.
func (h *house) vouching(v text.Args, l text.Lang) {
	if h.link == nil || len(h.link.Providers) != 1 {
		return
	}
	p := h.link.Providers[0]
	for name, value := range map[string]string{
		"verifier_label": p.Label.In(string(l)), "verifier_owner": p.Owner.In(string(l)), "verifier_delay": p.Delay.In(string(l)), "verifier_host": p.Host,
	} {
		if value != "" {
			v[name] = value
		}
	}
}

// verifierMode is the part that the outside account has for an agent at the
// strictest entrance.
func (h *house) verifierMode(a *parvis.Agent) parvis.VerifierMode {
	modes := []parvis.VerifierMode{parvis.VerifierOff, parvis.VerifierOffered, parvis.VerifierFirst, parvis.VerifierEach}
	most := 0
	for ch := range h.config.Origins() {
		most = max(most, slices.Index(modes, h.policy.VerifierMode(a, ch)))
	}
	return modes[most]
}

// peer tells from which address a request comes to the embedded provider: the
// connection's, or what the reverse proxies say of it, read from the right.
func peer(proxies []netip.Prefix) func(*http.Request) string {
	ours := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return func(r *http.Request) string {
		ap, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return ""
		}
		from := ap.Addr().Unmap()
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && ours(from); i-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break // what a proxy does not write is not read
			}
			from = hop.Unmap()
		}
		return from.String()
	}
}

// contacts gives the addresses of whoever passes on the requests of an agent:
// the IT contacts of their unit, or else the mailbox of that role.
func (h *house) contacts(ctx context.Context, agent *parvis.Agent) []string {
	var all []string
	known, err := h.helpers.list(ctx, h)
	if err != nil {
		h.log.ErrorContext(ctx, "the IT contacts of a unit were not found", "unit", agent.Unit, "err", err)
	}
	for _, c := range known {
		if covers(c.units, agent.Unit) {
			all = append(all, c.email)
		}
	}
	if len(all) > 0 {
		return all
	}
	for _, p := range h.config.Organisation.Contacts {
		if p.Role == string(parvis.RoleITContact) && p.Email != "" {
			all = append(all, p.Email)
		}
	}
	return all
}

// helpers are the IT contacts, looked for among everybody: once a minute at most.
type helpers struct {
	mu    sync.Mutex
	since time.Time
	known []helper
}

type helper struct {
	email string
	units []parvis.UnitPath // none: everywhere
}

func (l *helpers) list(ctx context.Context, h *house) ([]helper, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := h.clock()
	if age := now.Sub(l.since); age >= 0 && age < time.Minute {
		return l.known, nil
	}
	var known []helper
	err := h.store.EachStanding(ctx, store.AgentFilter{}, func(a *parvis.Agent, _ *parvis.Standing) error {
		if !slices.Contains(a.Roles, parvis.RoleITContact) || a.Email == "" || a.StateAt(now) != parvis.Active {
			return nil
		}
		grants, err := h.store.Given(ctx, a.Number)
		for _, g := range grants {
			if g.Kind == store.GivenRole && g.Name == string(parvis.RoleITContact) {
				known = append(known, helper{email: a.Email, units: g.Units})
			}
		}
		return err
	})
	if err == nil {
		l.known, l.since = known, now
	}
	return known, err
}

// covers tells whether a unit is one of some, or under one. No units: everywhere.
func covers(units []parvis.UnitPath, unit parvis.UnitPath) bool {
	return len(units) == 0 || slices.ContainsFunc(units, func(u parvis.UnitPath) bool {
		return unit == u || strings.HasPrefix(string(unit), string(u)+"/")
	})
}

// attestation reads which passkeys are believed.
func attestation(a config.Attestation) (credential.Attestation, error) {
	out := credential.Attestation{Require: a.Required, AAGUIDs: a.Models}
	if a.Roots == "" {
		return out, nil
	}
	b, err := os.ReadFile(a.Roots)
	if err != nil {
		return out, err
	}
	out.Roots = x509.NewCertPool()
	if !out.Roots.AppendCertsFromPEM(b) {
		return out, fmt.Errorf("%s holds no certificate", a.Roots)
	}
	return out, nil
}

// textMessages builds the providers of text messages, in the order in which
// they are tried.
func textMessages(c config.SMS, log *slog.Logger) ([]notify.Sender, error) {
	var all []notify.Sender
	for _, p := range c.Providers {
		wait, _ := time.ParseDuration(p.Timeout) // checked by config
		password, err1 := secretIn(p.Password)
		secret, err2 := secretIn(p.Secret)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if p.Kind != "smpp" {
			headers := map[string]string{}
			for _, f := range p.Headers {
				headers[f.Name] = f.Value
			}
			all = append(all, &notify.HTTPGateway{
				Method: p.Method, URL: p.URL, Headers: headers, Body: p.Body, Secret: secret, Success: p.Success, Pointer: p.Pointer,
				Equals: p.Equals, Receipt: p.Receipt, Refused: p.Refused, Authority: p.Authority, Timeout: wait,
			})
			continue
		}
		host, port, err := net.SplitHostPort(p.Server)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		transport := notify.TransportImplicit
		if p.TLS == "none" {
			transport = notify.TransportPlain
		}
		all = append(all, &notify.SMPP{
			Host: host, Port: n, Transport: transport, Authority: p.Authority, System: p.System, Password: password, Type: p.Type,
			From: p.From, UCS2: p.UCS2, Timeout: wait, Log: log,
		})
	}
	return all, nil
}

// leads lists the origins where a form of ours may end besides our own: those
// of the verifiers, to which leaving is a redirect.
func (h *house) leads() []string {
	if h.link == nil {
		return nil
	}
	var all []string
	for _, p := range h.link.Providers {
		for _, address := range []string{p.Issuer, "https://" + p.Host} {
			if u, err := url.Parse(address); err == nil && u.Host != "" && !slices.Contains(all, u.Scheme+"://"+u.Host) {
				all = append(all, u.Scheme+"://"+u.Host)
			}
		}
	}
	return all
}
