package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"parvis"
	"parvis/internal/store"
)

// Find tells whose identifier was typed: an agent number, or a professional
// mailbox in any case, with or without a "+tag". [parvis.CodeNotFound] for
// nobody's; either way it is one look in the store.
func (d *Directory) Find(ctx context.Context, identifier string) (parvis.AgentNumber, error) {
	notFound := &parvis.Error{Code: parvis.CodeNotFound, Op: "directory.Find"}
	identifier = strings.TrimSpace(norm.NFC.String(identifier))
	if local, domain, ok := strings.Cut(identifier, "@"); ok {
		if len(identifier) > 254 {
			return "", notFound
		}
		untagged, _, _ := strings.Cut(local, "+")
		a, err := d.Store.AgentByEmail(ctx, identifier, untagged+"@"+domain)
		if err != nil {
			return "", err
		}
		return a.Number, nil
	}
	n, ok := parvis.ParseAgentNumber(identifier)
	if !ok {
		return "", notFound
	}
	a, err := d.Store.Agent(ctx, n)
	if err != nil {
		return "", err
	}
	return a.Number, nil
}

// Filter chooses agents to list. Empty fields do not choose; Limit 0 is 100.
type Filter struct {
	store.AgentFilter
	State parvis.State // as of now
}

// List lists agents in the order of their numbers; the last number is the
// After of the next page.
func (d *Directory) List(ctx context.Context, f Filter) ([]parvis.Agent, error) {
	want := f.Limit
	if want <= 0 {
		want = 100
	}
	f.Limit = want
	if f.State != "" {
		f.Limit = 0 // a state is computed, so they are looked through
	}
	errEnough := errors.New("enough")
	now := d.Clock()
	var all []parvis.Agent
	err := d.Store.EachAgent(ctx, f.AgentFilter, func(a *parvis.Agent) error {
		d.localise(a)
		if f.State != "" && a.StateAt(now) != f.State {
			return nil
		}
		if len(all) == want {
			return errEnough
		}
		all = append(all, *a)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

// Record is all the directory knows of one agent.
type Record struct {
	Agent  parvis.Agent
	State  parvis.State // as of now
	Grants []store.Given
	Stays  []store.UnitStay // latest first
}

// Show reads one agent from the store.
func (d *Directory) Show(ctx context.Context, number parvis.AgentNumber) (Record, error) {
	a, err := d.Store.Agent(ctx, number)
	if err != nil {
		return Record{}, err
	}
	d.localise(a)
	r := Record{Agent: *a, State: a.StateAt(d.Clock())}
	if r.Grants, err = d.Store.Given(ctx, number); err != nil {
		return Record{}, err
	}
	r.Stays, err = d.Store.Stays(ctx, number)
	return r, err
}

// Unit is a node of the tree of units.
type Unit struct {
	Path   parvis.UnitPath
	Agents int // in the unit itself
	Total  int // … and in those under it
}

// Units gives the tree of units, every node after the one above it.
func (d *Directory) Units(ctx context.Context) ([]Unit, error) {
	sizes, err := d.Store.UnitSizes(ctx)
	if err != nil {
		return nil, err
	}
	nodes := map[parvis.UnitPath]*Unit{}
	for path, n := range sizes {
		for i, p := range path.Ancestors() {
			if nodes[p] == nil {
				nodes[p] = &Unit{Path: p}
			}
			nodes[p].Total += n
			if i == 0 {
				nodes[p].Agents += n
			}
		}
	}
	all := make([]Unit, 0, len(nodes))
	for _, u := range nodes {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b Unit) int { // "a/b" before "a b", whatever the signs
		return slices.Compare(strings.Split(string(a.Path), "/"), strings.Split(string(b.Path), "/"))
	})
	return all, nil
}

// GrantRole gives a role, limited to units when some are named; given again it
// changes the units. Like every act here it is done by somebody: an agent
// number, "system" or "operator:NAME". An agent may not act on themselves, nor
// without more than local authority, nor give more authority than their own:
// that is [parvis.CodeRefused]. An act that changes nothing records nothing.
func (d *Directory) GrantRole(ctx context.Context, number parvis.AgentNumber, role parvis.Role, units []parvis.UnitPath, by string) error {
	const op = "directory.GrantRole"
	if !slices.Contains(parvis.Roles(), role) {
		return invalid(op, "there is no role %q", role)
	}
	return d.act(ctx, op, number, by, role, func(tx *store.Tx, _ *parvis.Agent) (parvis.Event, error) {
		return give(ctx, tx, number, store.Given{Kind: store.GivenRole, Name: string(role), Units: units, By: by}, "agent.role_granted")
	})
}

// RevokeRole takes a role back.
func (d *Directory) RevokeRole(ctx context.Context, number parvis.AgentNumber, role parvis.Role, by string) error {
	return d.act(ctx, "directory.RevokeRole", number, by, role, func(tx *store.Tx, _ *parvis.Agent) (parvis.Event, error) {
		return take(ctx, tx, number, store.GivenRole, string(role), "agent.role_revoked")
	})
}

// SetProfiles makes these the profiles of an agent, and no others.
func (d *Directory) SetProfiles(ctx context.Context, number parvis.AgentNumber, profiles []parvis.ProfileID, by string) error {
	const op = "directory.SetProfiles"
	for _, p := range profiles {
		if !word(string(p)) {
			return invalid(op, "%q cannot be a profile", p)
		}
	}
	return d.act(ctx, op, number, by, "", func(tx *store.Tx, a *parvis.Agent) (parvis.Event, error) {
		want := slices.Clone(profiles)
		slices.Sort(want)
		want = slices.Compact(want)
		if slices.Equal(a.Profiles, want) {
			return parvis.Event{}, nil
		}
		for _, p := range a.Profiles {
			if !slices.Contains(want, p) {
				if _, err := tx.DropGiven(ctx, number, store.GivenProfile, string(p)); err != nil {
					return parvis.Event{}, err
				}
			}
		}
		names := make([]string, len(want))
		for i, p := range want {
			names[i] = string(p)
			if slices.Contains(a.Profiles, p) {
				continue
			}
			if err := tx.PutGiven(ctx, number, store.Given{Kind: store.GivenProfile, Name: string(p), By: by}); err != nil {
				return parvis.Event{}, err
			}
		}
		return parvis.Event{Kind: "agent.profile_set", Detail: map[string]string{"profiles": strings.Join(names, ",")}}, nil
	})
}

// Entitle lets an agent use an application that asks for it.
func (d *Directory) Entitle(ctx context.Context, number parvis.AgentNumber, app parvis.AppID, by string) error {
	const op = "directory.Entitle"
	if !word(string(app)) {
		return invalid(op, "%q cannot be an application", app)
	}
	return d.act(ctx, op, number, by, "", func(tx *store.Tx, _ *parvis.Agent) (parvis.Event, error) {
		e, err := give(ctx, tx, number, store.Given{Kind: store.GivenEntitlement, Name: string(app), By: by}, "agent.entitled")
		e.App = app
		return e, err
	})
}

// Disentitle takes an entitlement back.
func (d *Directory) Disentitle(ctx context.Context, number parvis.AgentNumber, app parvis.AppID, by string) error {
	return d.act(ctx, "directory.Disentitle", number, by, "", func(tx *store.Tx, _ *parvis.Agent) (parvis.Event, error) {
		e, err := take(ctx, tx, number, store.GivenEntitlement, string(app), "agent.disentitled")
		e.App = app
		return e, err
	})
}

// MarkOff switches an account off since a change of assignment that HR has not
// confirmed; newUnit is where it leads, when known.
func (d *Directory) MarkOff(ctx context.Context, number parvis.AgentNumber, newUnit parvis.UnitPath, by string) error {
	return d.act(ctx, "directory.MarkOff", number, by, "", func(tx *store.Tx, a *parvis.Agent) (parvis.Event, error) {
		if !a.OffSince.IsZero() && a.NewUnit == newUnit {
			return parvis.Event{}, nil
		}
		e := parvis.Event{Kind: "agent.off", Detail: map[string]string{"from": string(a.Unit), "to": string(newUnit)}}
		since := a.OffSince
		if since.IsZero() {
			since = tx.Now()
			if d.Shut != nil {
				if err := d.Shut(tx, number, "off"); err != nil {
					return e, err
				}
			}
		}
		return e, tx.SetOff(ctx, number, since, newUnit)
	})
}

// Reactivate confirms a change of assignment: the account is on again, in the
// new unit when one was named.
func (d *Directory) Reactivate(ctx context.Context, number parvis.AgentNumber, by string) error {
	return d.act(ctx, "directory.Reactivate", number, by, "", func(tx *store.Tx, a *parvis.Agent) (parvis.Event, error) {
		if a.OffSince.IsZero() {
			return parvis.Event{}, nil
		}
		e := parvis.Event{Kind: "agent.reactivated"}
		if a.NewUnit != "" && a.NewUnit != a.Unit {
			e.Detail = map[string]string{"from": string(a.Unit), "to": string(a.NewUnit)}
			a.Unit = a.NewUnit
			if err := tx.PutAgents(ctx, []*parvis.Agent{a}); err != nil {
				return e, err
			}
		}
		return e, tx.SetOff(ctx, number, time.Time{}, "")
	})
}

// act runs one act on one agent in one transaction with its event; an event
// without a kind means that there was nothing to do.
func (d *Directory) act(ctx context.Context, op string, number parvis.AgentNumber, by string, role parvis.Role,
	f func(*store.Tx, *parvis.Agent) (parvis.Event, error),
) error {
	if by == "" {
		return invalid(op, "an act has a name under it")
	}
	return d.Store.Write(ctx, func(tx *store.Tx) error {
		a, err := tx.Agent(ctx, number)
		if err != nil {
			return err
		}
		if err := mayAct(ctx, tx, op, a, by, role); err != nil {
			return err
		}
		e, err := f(tx, a)
		if err != nil || e.Kind == "" {
			return err
		}
		e.Agent, e.Actor = number, by
		tx.Record(e)
		return nil
	})
}

// mayAct holds product.md section 2: nobody acts on themselves, nor on somebody
// with more authority than their own, nor gives it. Roles that only cover some units act
// through their desk, not here, save HR's; the finer rules are the desks'.
func mayAct(ctx context.Context, tx *store.Tx, op string, on *parvis.Agent, by string, role parvis.Role) error {
	if by == "system" || strings.HasPrefix(by, "operator:") {
		return nil
	}
	refused := func(why string) error {
		return &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: errors.New(why)}
	}
	if by == string(on.Number) {
		return refused("nobody acts on themselves")
	}
	actor, err := tx.Agent(ctx, parvis.AgentNumber(by))
	if err != nil {
		return refused("whoever acts is not known")
	}
	own := authority(actor.Roles)
	if own < authority([]parvis.Role{parvis.RoleHROfficer}) || own < authority(on.Roles) || own < authority([]parvis.Role{role}) {
		return refused("not with that authority")
	}
	return nil
}

// authority ranks roles. An auditor reads, and acts on nobody.
func authority(roles []parvis.Role) int {
	highest := -1
	for _, r := range roles {
		if r != parvis.RoleAuditor {
			highest = max(highest, slices.Index(parvis.Roles(), r))
		}
	}
	return highest
}

// give writes a grant unless it stands already.
func give(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, g store.Given, event string) (parvis.Event, error) {
	held, err := tx.Given(ctx, number)
	if err != nil {
		return parvis.Event{}, err
	}
	for _, h := range held {
		if h.Kind == g.Kind && h.Name == g.Name && slices.Equal(h.Units, g.Units) {
			return parvis.Event{}, nil
		}
	}
	names := make([]string, len(g.Units))
	for i, u := range g.Units {
		names[i] = string(u)
	}
	e := parvis.Event{Kind: event, Detail: map[string]string{g.Kind: g.Name}}
	if len(names) > 0 {
		e.Detail["units"] = strings.Join(names, ", ")
	}
	return e, tx.PutGiven(ctx, number, g)
}

func take(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, kind, name, event string) (parvis.Event, error) {
	had, err := tx.DropGiven(ctx, number, kind, name)
	if err != nil || !had {
		return parvis.Event{}, err
	}
	return parvis.Event{Kind: event, Detail: map[string]string{kind: name}}, nil
}

// word tells whether s can be an identifier set in configuration.
func word(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func invalid(op, format string, args ...any) error {
	return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: fmt.Errorf(format, args...)}
}
