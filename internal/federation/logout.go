package federation

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// leaving is a logout request that was taken: signed by a known service
// provider, for us, now. It travels sealed when it was posted.
type leaving struct {
	App     parvis.AppID   `json:"p"`
	Channel parvis.Channel `json:"c"`
	ID      string         `json:"i"`
	State   string         `json:"s,omitempty"`
	Name    string         `json:"n"`
	Format  string         `json:"f,omitempty"`
	Indexes []string       `json:"x,omitempty"`
	Taken   int64          `json:"w"`
}

// readLogout reads a LogoutRequest (SAML Core §3.7.1).
func readLogout(el *etree.Element) (leaving, time.Time, error) {
	h, err := readHeader(el, "LogoutRequest")
	if err != nil {
		return leaving{}, time.Time{}, err
	}
	name, err := only(el, nsAssertion, "NameID")
	if err != nil || words(name) == "" {
		return leaving{}, time.Time{}, errors.New("nobody is named")
	}
	l := leaving{ID: h.ID, Name: words(name), Format: name.SelectAttrValue("Format", "")}
	for _, c := range el.ChildElements() {
		if named(c, nsProtocol, "SessionIndex") {
			l.Indexes = append(l.Indexes, words(c))
		}
	}
	if len(l.Indexes) > 16 {
		return leaving{}, time.Time{}, errors.New("too many sessions")
	}
	var end time.Time
	if s := el.SelectAttrValue("NotOnOrAfter", ""); s != "" {
		end, err = moment(s)
	}
	return l, end, err
}

// hear takes a LogoutRequest. It must be signed: anybody could sign people out
// otherwise (SAML Profiles §4.4.4.1).
func (f *Federation) hear(c carried, ch parvis.Channel) (leaving, problem, error) {
	el, p, told, err := f.take(c, "LogoutRequest", sloPath, true, ch)
	if err != nil {
		return leaving{}, told, err
	}
	told = problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}
	told.app, _ = f.Register.App(p.app)
	l, end, err := readLogout(el)
	if err == nil && !end.IsZero() && !f.wall().Before(end.Add(skew)) {
		err = errors.New("it came too late")
	}
	l.App, l.Channel, l.State, l.Taken = p.app, ch, c.state, f.wall().Unix()
	return l, told, err
}

// getSLO takes a logout request by the HTTP-Redirect binding, or goes on with
// one that was posted.
func (f *Federation) getSLO(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	if sealed := r.URL.Query().Get("request"); sealed != "" {
		var l leaving
		err := f.leaves.Redeem(sealed, f.Clock(), &l)
		if err == nil && (l.Channel != ch || l.Name == "" || f.wall().Sub(time.Unix(l.Taken, 0)) > skew) {
			err = seal.ErrExpired
		}
		if err != nil {
			return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.late"}, err)
		}
		return f.slo(w, r, l)
	}
	c, err := fromQuery(r.URL.RawQuery)
	if err != nil {
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}, err)
	}
	if c.answer { // we ask nothing through the browser: somebody is done
		return f.home(w, r)
	}
	l, told, err := f.hear(c, ch)
	if err != nil {
		return f.fail(w, r, told, err)
	}
	return f.slo(w, r, l)
}

// postSLO takes a logout request by the HTTP-POST binding; the browser brings
// its cookie with the GET that follows.
func (f *Federation) postSLO(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	if err := r.ParseForm(); err != nil {
		return unreadable(err)
	}
	c, err := fromForm(r.PostForm)
	if err != nil {
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}, err)
	}
	if c.answer {
		return f.home(w, r)
	}
	l, told, err := f.hear(c, ch)
	if err != nil {
		return f.fail(w, r, told, err)
	}
	path, err := f.resume(sloPath, f.leaves, l)
	if err != nil {
		return err
	}
	f.Edge.See(w, r, path)
	return nil
}

// slo ends the sessions that a request names, all that other applications were
// told in them with it, and answers.
func (f *Federation) slo(w http.ResponseWriter, r *http.Request, l leaving) error {
	app, ok := f.Register.App(l.App)
	p := f.known().byApp[l.App]
	if !ok || p == nil {
		return f.fail(w, r, problem{status: http.StatusForbidden, key: "federation.saml.unknown"}, errors.New("the application is gone"))
	}
	here, err := f.Sessions.Of(r)
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return err
	}
	in := err == nil
	var done outcome
	err = f.Store.Write(r.Context(), func(tx *store.Tx) error {
		done = outcome{}
		return f.leave(r.Context(), tx, l, p, here, in, &done)
	})
	if err != nil {
		return err
	}
	if done.replayed {
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.late", app: app}, errors.New("a request that was answered already"))
	}
	if in && slices.Contains(done.sessions, here.ID) {
		f.Sessions.Drop(w)
	}
	top, second := saml.StatusSuccess, ""
	switch {
	case !done.known: // SAML Core §3.2.2.2
		top, second = saml.StatusRequester, saml.StatusUnknownPrincipal
	case done.untold: // §3.7.3.2
		second = saml.StatusPartialLogout
	}
	return f.answerLogout(w, r, app, p, l, top, second)
}

// outcome is what became of a logout request.
type outcome struct {
	replayed bool
	known    bool // somebody it named was here, or had been
	untold   bool // an application in the same session cannot be told
	sessions []parvis.SessionID
}

// leave ends what a logout request names: by SessionIndex, or without one the
// session of this browser, if it is of whom the request names.
func (f *Federation) leave(ctx context.Context, tx *store.Tx, l leaving, p *party, here parvis.Session, in bool, done *outcome) error {
	fresh, err := tx.SpendOnce(ctx, spentName(p, l.ID), tx.Now().Add(spentLife))
	if err != nil {
		return err
	}
	event := parvis.Event{Kind: "grant.logout_asked", Actor: "system", App: l.App, Channel: l.Channel, Detail: map[string]string{"protocol": "saml"}}
	if !fresh {
		done.replayed, event.Kind = true, "grant.replayed"
		tx.Record(event)
		return nil
	}
	var named []store.Grant
	for _, index := range l.Indexes {
		g, _, err := tx.GrantBy(ctx, samlFinder(l.App, l.Name, index))
		if parvis.CodeOf(err) == parvis.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		named = append(named, g)
	}
	if len(l.Indexes) == 0 && in {
		all, err := tx.GrantsIn(ctx, here.ID)
		if err != nil {
			return err
		}
		for _, g := range all {
			var kept samlKept
			if g.Protocol == parvis.SAML && g.App == l.App && f.opened(g.Body, g.ID, &kept) == nil && kept.Name == l.Name {
				named = append(named, g)
			}
		}
	}
	for _, g := range named {
		if g.Protocol != parvis.SAML || g.App != l.App || g.Channel != l.Channel {
			continue
		}
		done.known, event.Agent = true, g.Agent
		if !g.Ended.IsZero() || slices.Contains(done.sessions, g.Session) {
			continue
		}
		if err := f.endWith(ctx, tx, g, done); err != nil {
			return err
		}
	}
	tx.Record(event)
	return nil
}

// endWith ends the session of a grant. The application that asked is not told of
// what it asked for; the others are.
func (f *Federation) endWith(ctx context.Context, tx *store.Tx, g store.Grant, done *outcome) error {
	all, err := tx.GrantsIn(ctx, g.Session)
	if err != nil {
		return err
	}
	for _, other := range all {
		switch {
		case other.ID != g.ID && !other.Offline:
			done.untold = done.untold || !other.Tells
		case other.Tells:
			other.Tells = false
			if _, err := tx.PutGrant(ctx, other); err != nil {
				return err
			}
		}
	}
	done.sessions = append(done.sessions, g.Session)
	return f.Sessions.End(tx, g.Session, "signed_out")
}

// answerLogout sends a LogoutResponse where the metadata say (SAML Core §3.7.2);
// without such a place, somebody who signed out sees that they did.
func (f *Federation) answerLogout(w http.ResponseWriter, r *http.Request, app parvis.App, p *party, l leaving, top, second string) error {
	binding, address := p.logout()
	if address == "" {
		f.Edge.See(w, r, "/signout")
		return nil
	}
	keys, err := f.keys(r.Context())
	if err != nil {
		return err
	}
	code := saml.StatusCode{Value: top}
	if second != "" {
		code.StatusCode = &saml.StatusCode{Value: second}
	}
	answer := saml.LogoutResponse{
		ID: newID(), InResponseTo: l.ID, Version: "2.0", IssueInstant: f.wall(), Destination: address,
		Issuer: &saml.Issuer{Value: f.entity(l.Channel)}, Status: saml.Status{StatusCode: code},
	}
	if binding == saml.HTTPRedirectBinding {
		address, err := toQuery(address, answer.Element(), l.State, keys[0].key)
		if err != nil {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.answerLogout", Err: err}
		}
		f.Edge.See(w, r, address)
		return nil
	}
	if answer.Signature, err = sign(answer.Element(), keys[0]); err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.answerLogout", Err: err}
	}
	return f.answer(w, r, app, address, answer.Element(), l.State)
}

// Notice makes the request that tells an application that what it was told of
// an agent has ended: a LogoutRequest, by SOAP for SAML (SAML Profiles §4.4.3.3), as a
// form for CAS (CAS Protocol §2.3.3). [parvis.CodeNotFound] when it can be told
// nowhere any more.
func (f *Federation) Notice(ctx context.Context, n store.Notice) (*http.Request, error) {
	f.ready()
	const op = "federation.Notice"
	gone := func(why string) error {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New(why)}
	}
	switch n.Protocol {
	case parvis.CAS:
		var kept casKept
		if err := f.opened(n.Body, n.Grant, &kept); err != nil {
			return nil, err
		}
		if app, ok := f.service(kept.Service); !ok || app.ID != n.App {
			return nil, gone("the service is declared no more")
		}
		body := url.Values{"logoutRequest": {casLogout(kept.Ticket, f.wall())}}.Encode()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, kept.Service, strings.NewReader(body))
		if err != nil {
			return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r, nil
	case parvis.SAML:
		var kept samlKept
		if err := f.opened(n.Body, n.Grant, &kept); err != nil {
			return nil, err
		}
		p := f.known().byApp[n.App]
		if p == nil || p.soap() == "" {
			return nil, gone("the metadata offer no logout by SOAP any more")
		}
		return f.soapLogout(ctx, n, p, kept)
	}
	return nil, gone("another protocol")
}

// casLogout is the message of CAS Protocol §2.3.3: a request of SAML in shape.
func casLogout(ticket string, now time.Time) string {
	return `<samlp:LogoutRequest xmlns:samlp="` + nsProtocol + `" ID="` + newID() + `" Version="2.0" IssueInstant="` + now.UTC().Format(time.RFC3339) + `">` +
		`<saml:NameID xmlns:saml="` + nsAssertion + `">@NOT_USED@</saml:NameID>` +
		`<samlp:SessionIndex>` + escaped(ticket) + `</samlp:SessionIndex></samlp:LogoutRequest>`
}

// soapLogout makes a signed LogoutRequest in a SOAP envelope (SAML Bindings §3.2).
func (f *Federation) soapLogout(ctx context.Context, n store.Notice, p *party, kept samlKept) (*http.Request, error) {
	const op = "federation.soapLogout"
	keys, err := f.keys(ctx)
	if err != nil {
		return nil, err
	}
	now, issuer := f.wall(), f.entity(n.Channel)
	end := now.Add(skew)
	ask := saml.LogoutRequest{
		ID: newID(), Version: "2.0", IssueInstant: now, NotOnOrAfter: &end, Destination: p.soap(), Issuer: &saml.Issuer{Value: issuer},
		NameID:       &saml.NameID{Format: kept.Format, NameQualifier: issuer, SPNameQualifier: p.entity, Value: kept.Name},
		SessionIndex: &saml.SessionIndex{Value: kept.Index},
	}
	if ask.Signature, err = sign(ask.Element(), keys[0]); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	envelope := etree.NewElement("soap:Envelope")
	envelope.CreateAttr("xmlns:soap", "http://schemas.xmlsoap.org/soap/envelope/")
	envelope.CreateElement("soap:Body").AddChild(ask.Element())
	body, err := written(envelope)
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.soap(), bytes.NewReader(body))
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	r.Header.Set("Content-Type", "text/xml")
	r.Header.Set("SOAPAction", `"http://www.oasis-open.org/committees/security"`)
	return r, nil
}
