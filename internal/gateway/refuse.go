package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
)

// navigation tells whether a person goes to a page, so that a redirect shows
// them something. What a page fetches by itself is answered in place.
func navigation(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode") // W3C Fetch Metadata §2.3
	if mode == "navigate" {
		return true
	}
	return mode == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == "" && !edge.WantsJSON(r)
}

// reads tells whether the same address can be asked for again with GET.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// elsewhere answers a request whose entrance is not that of its host: the
// address of an internal application, typed at home.
func (g *Gateway) elsewhere(w http.ResponseWriter, r *http.Request, origin parvis.Origin, up *upstream) error {
	if portal := g.Addresses.Portal(origin.Channel); portal != "" && navigation(r) && reads(r) {
		g.Edge.See(w, r, portal+"/?reason="+string(parvis.WhyInternalAddressOutside))
		return nil
	}
	g.Edge.Problem(w, r, edge.Refused{
		Decision: parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyInternalAddressOutside}}},
		App:      up.app, Channel: origin.Channel, Status: http.StatusMisdirectedRequest, // RFC 9110 §15.5.20
	})
	return nil
}

// stranger sends whoever has no visit to the portal, with a return ticket.
func (g *Gateway) stranger(w http.ResponseWriter, r *http.Request, ch parvis.Channel, up *upstream) error {
	return g.begin(w, r, ch, up, r.URL.RequestURI())
}

// begin sends somebody to the portal, to come back to a path.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request, ch parvis.Channel, up *upstream, to string) error {
	portal := g.Addresses.Portal(ch)
	if !reads(r) || !navigation(r) {
		g.Edge.SignIn(w, r, portal+"/signin")
		return nil
	}
	back, err := g.Keeper.Ask(w, r, up.app.ID, to)
	if err != nil {
		return err
	}
	g.Edge.See(w, r, portal+"/signin?return="+url.QueryEscape(back))
	return nil
}

// own answers under /.parvis/ on an application's host.
func (g *Gateway) own(w http.ResponseWriter, r *http.Request, ch parvis.Channel, up *upstream) error {
	if !reads(r) {
		return errNoPath
	}
	switch r.URL.Path {
	case session.Own + "begin": // where another proxy leads whoever has no visit
		return g.begin(w, r, ch, up, r.URL.Query().Get("to"))
	case session.Own + "enter":
		if r.Method == http.MethodGet {
			return g.enter(w, r, ch, up)
		}
	}
	return errNoPath
}

var errNoPath = &parvis.Error{Code: parvis.CodeNotFound, Op: "gateway.own", Err: errors.New("no such path")}

// enter redeems the ticket with which the portal sends somebody here.
func (g *Gateway) enter(w http.ResponseWriter, r *http.Request, ch parvis.Channel, up *upstream) error {
	home := g.Addresses.App(ch, up.app.ID)
	token, path, err := g.Keeper.Enter(r.Context(), r, r.URL.Query().Get("ticket"), up.app.ID, r.Host)
	switch {
	case err == nil:
		g.Keeper.Give(w, token)
	case errors.Is(err, session.ErrUsed), errors.Is(err, session.ErrStranger), errors.Is(err, seal.ErrExpired):
		// Going there asks again, in this browser's own name: the way back to a
		// page that was reloaded, and nothing for whoever sent somebody else's ticket.
	default:
		// Among these the browser that keeps no cookies: asking again would go in circles.
		return err
	}
	g.Edge.See(w, r, home+path)
	return nil
}

// refuse records a refusal and leads to its explanation.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, id parvis.SessionID, up *upstream, origin parvis.Origin, now time.Time, full bool) error {
	f, err := g.refusal(r, id, up, origin, now, full)
	if err != nil {
		return err
	}
	g.explain(w, r, f)
	return nil
}

// refusal decides again, to say why, and records that. full is set when what
// is asked for is not in the reduced version of the application.
func (g *Gateway) refusal(r *http.Request, id parvis.SessionID, up *upstream, origin parvis.Origin, now time.Time, full bool) (edge.Refused, error) {
	s, q, err := g.question(r.Context(), id, up, origin, now)
	if err != nil {
		return edge.Refused{}, err
	}
	q.Full = full
	d := g.Policy.Explain(q)
	if d.Open {
		// The facts changed between two looks. Asking again opens.
		return edge.Refused{}, &parvis.Error{Code: parvis.CodeUnavailable, Op: "gateway.refuse", Err: errors.New("the decision changed meanwhile")}
	}
	ref, err := g.Counter.Refuse(r.Context(), helpdesk.Refusal{
		Agent: s.Agent, Session: s.ID, Origin: origin, App: up.app.ID, Path: r.URL.Path, Decision: d,
		Facts: store.RefusalFacts{State: q.Agent.StateAt(now), Proofs: s.Proofs}, Generation: uint64(g.Held.Generation()),
	})
	if err != nil {
		return edge.Refused{}, err
	}
	return edge.Refused{Decision: d, Reference: ref, App: up.app, Channel: origin.Channel, Status: http.StatusForbidden}, nil
}

// explain leads a person to the page of a refusal, and answers a program.
func (g *Gateway) explain(w http.ResponseWriter, r *http.Request, f edge.Refused) {
	if portal := g.Addresses.Portal(f.Channel); portal != "" && f.Reference != "" && navigation(r) {
		g.Edge.See(w, r, portal+"/why/"+string(f.Reference))
		return
	}
	g.Edge.Problem(w, r, f)
}

// fault answers a request that the application did not.
func (g *Gateway) fault(w http.ResponseWriter, r *http.Request, p *passage) error {
	switch cause := context.Cause(p); {
	case errors.Is(cause, errOver):
		v, err := g.Keeper.Still(r.Context(), p.visit, p.up.app.ID)
		switch {
		case parvis.CodeOf(err) == parvis.CodeNotFound:
			return g.stranger(w, r, p.origin.Channel, p.up)
		case err != nil:
			return err
		}
		return g.refuse(w, r, v.Session, p.up, p.origin, g.Clock(), false)
	case r.Context().Err() != nil:
		return nil // the visitor left
	}
	if p.cut.Load() {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "gateway.pass", Err: p.failed}
	}
	g.Log.Warn("an application does not answer", "app", p.up.app.ID, "request", edge.RequestID(r), "cause", p.failed)
	return g.down(w, r, p.visit.Session, p.up, p.origin, p.up.health.failing(g.Clock()))
}

// down tells that an application does not answer, under a reference when one
// can be kept.
func (g *Gateway) down(w http.ResponseWriter, r *http.Request, id parvis.SessionID, up *upstream, origin parvis.Origin, since time.Time) error {
	d := parvis.Decision{Reasons: []parvis.Reason{{Code: parvis.WhyAppDown, At: since}}}
	f := edge.Refused{Decision: d, App: up.app, Channel: origin.Channel, Status: http.StatusServiceUnavailable, Retry: 5 * time.Second}
	if s, ok := g.Keeper.Session(r.Context(), id); ok {
		ref, err := g.Counter.Refuse(r.Context(), helpdesk.Refusal{
			Agent: s.Agent, Session: id, Origin: origin, App: up.app.ID, Path: r.URL.Path, Decision: d,
			Facts: store.RefusalFacts{Proofs: s.Proofs}, Generation: uint64(g.Held.Generation()),
		})
		if err != nil {
			g.Log.Error("a refusal could not be kept", "app", up.app.ID, "cause", err)
		}
		f.Reference = ref
	}
	g.explain(w, r, f)
	return nil
}
