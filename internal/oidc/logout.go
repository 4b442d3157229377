package oidc

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// hint is an ID token that a client shows again: whom it speaks of.
type hint struct {
	Subject  string
	Audience string
	SID      string
}

// readHint reads an ID token that this issuer gave, however old (RP-Initiated
// Logout 1.0 §2, Core §3.1.2.1).
func (p *Provider) readHint(ctx context.Context, is *issuer, token string) (hint, error) {
	set, err := p.jwks(ctx)
	if err != nil {
		return hint{}, err
	}
	parsed, err := jwt.ParseSigned(token, []goidc.SignatureAlgorithm{goidc.ES256, goidc.RS256})
	if err != nil || len(parsed.Headers) != 1 {
		return hint{}, errors.New("not a token of ours")
	}
	key, err := set.Key(parsed.Headers[0].KeyID)
	if err != nil || key.Algorithm != parsed.Headers[0].Algorithm || parsed.Headers[0].ExtraHeaders["typ"] != "JWT" {
		return hint{}, errors.New("not a token of ours") // access tokens and logout tokens say another typ
	}
	var claims jwt.Claims
	var more struct {
		SID string `json:"sid"`
	}
	if err := parsed.Claims(key.Public().Key, &claims, &more); err != nil {
		return hint{}, errors.New("not a token of ours")
	}
	if claims.Issuer != is.address || len(claims.Audience) != 1 || claims.Subject == "" {
		return hint{}, errors.New("a token of another issuer, or no ID token")
	}
	return hint{claims.Subject, claims.Audience[0], more.SID}, nil
}

// leaving is a request to sign out (RP-Initiated Logout 1.0 §2).
type leaving struct {
	app   parvis.App // who asks, when known
	to    string     // where to go back to: an address of the client's, whole
	hint  *hint      // whom it means, when it proved that it may
	wrong string     // what is wrong with the request, for the owner
}

// sealedLeave is a request to sign out that somebody is asked about.
type sealedLeave struct {
	Session string       `json:"s"`
	App     parvis.AppID `json:"a,omitempty"`
	To      string       `json:"t,omitempty"`
}

// readLeave reads a request to sign out. Only a token of ours proves that a client
// may sign somebody out, and where to go back to is believed of no one else.
func (p *Provider) readLeave(ctx context.Context, is *issuer, q url.Values) (leaving, error) {
	var l leaving
	client := q.Get("client_id")
	if token := q.Get("id_token_hint"); token != "" {
		h, err := p.readHint(ctx, is, token)
		switch {
		case parvis.CodeOf(err) == parvis.CodeUnavailable:
			return l, err
		case err != nil:
			l.wrong = "id_token_hint: " + err.Error()
		case client != "" && client != h.Audience:
			l.wrong = "id_token_hint is of another client than client_id"
		default:
			client, l.hint = h.Audience, &h
		}
	}
	app, ok := p.client(client)
	if !ok {
		if client != "" || q.Get("post_logout_redirect_uri") != "" {
			l.wrong = "the client is not known"
		}
		return l, nil
	}
	l.app = app
	to := q.Get("post_logout_redirect_uri")
	switch {
	case to == "":
	case !slices.Contains(app.OIDC.LogoutRedirects, to): // compared whole
		l.wrong = "post_logout_redirect_uri is not one of those declared: " + printable(to)
	case l.wrong == "":
		l.to = to
		if state := q.Get("state"); state != "" {
			l.to = with(to, url.Values{"state": {state}})
		}
	}
	if l.wrong != "" {
		l.to = ""
		p.note(app.ID, string(goidc.ErrorCodeInvalidRequest), "sign-out: "+l.wrong)
	}
	return l, nil
}

// logout is the end_session_endpoint. Who is signed in leaves at once only when
// the client shows a token of this very session; otherwise they are asked, so
// that no other site can sign anybody out.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request, is *issuer) error {
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "oidc.logout", Err: err}
	}
	if r.Method == http.MethodPost {
		if ticket := r.PostForm.Get("ticket"); ticket != "" {
			return p.confirmed(w, r, is, ticket)
		}
		// Another site's post comes without the cookie: it goes on as GET. What
		// counts is in the request itself.
		return see(w, pathLogout+"?"+r.PostForm.Encode())
	}
	l, err := p.readLeave(r.Context(), is, r.URL.Query())
	if err != nil {
		return err
	}
	s, err := p.Sessions.Of(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound && l.wrong == "" && l.to != "" && l.hint != nil:
		return see(w, l.to) // nobody is in: nothing to end
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return p.gone(w, r, l)
	case err != nil:
		return err
	}
	if l.hint != nil && l.wrong == "" && l.hint.SID == p.Sessions.SID(s, l.app.ID) {
		return p.leave(w, r, is, s, l.app, l.to)
	}
	return p.askLeave(w, r, s, l)
}

// askLeave asks whether somebody wants to sign out.
func (p *Provider) askLeave(w http.ResponseWriter, r *http.Request, s parvis.Session, l leaving) error {
	ticket, err := p.boxes.leaves.Issue(sealedLeave{hex.EncodeToString(s.ID[:]), l.app.ID, l.to}, p.Clock(), markLasts)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if l.wrong != "" {
		status = http.StatusBadRequest
	}
	if l.to != "" {
		edge.Lead(w.Header(), l.to)
	}
	return p.Show(w, r, status, func(lang text.Lang) page.Page {
		args := text.Args{}
		if l.app.ID != "" {
			args["app"] = l.app.Name.In(string(lang))
		}
		say := func(key string) string { return p.Words.Say(lang, key, args) }
		body := page.Stack{}
		if l.wrong != "" {
			body = append(body, page.Notice{Mark: page.Warn, Title: say("oidc.logout.wrong.title"), Text: say("oidc.logout.wrong.text")})
		}
		body = append(body, page.Form{
			Action: pathLogout, Hidden: []page.Hidden{{Name: "ticket", Value: ticket}}, Note: say("oidc.logout.everywhere"),
			Buttons: []page.Button{{Text: say("action.sign_out"), Kind: "primary"}, {Text: say("oidc.logout.stay"), Kind: "plain", Href: "/"}},
		})
		return page.Page{Screen: "oidc_logout", Title: say("oidc.logout.title"), Lead: say("oidc.logout.lead"), Body: body, Erroneous: l.wrong != ""}
	})
}

// confirmed ends the session of whoever answered yes, in the browser that was
// asked.
func (p *Provider) confirmed(w http.ResponseWriter, r *http.Request, is *issuer, ticket string) error {
	var t sealedLeave
	if err := p.boxes.leaves.Redeem(ticket, p.Clock(), &t); err != nil {
		return err
	}
	app, _ := p.client(string(t.App))
	s, err := p.Sessions.Of(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound && t.To != "":
		return see(w, t.To)
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return p.gone(w, r, leaving{app: app})
	case err != nil:
		return err
	case t.Session != hex.EncodeToString(s.ID[:]):
		return p.askLeave(w, r, s, leaving{app: app, to: t.To}) // another session since: asked again
	}
	return p.leave(w, r, is, s, app, t.To)
}

// leave ends a session, and everything that any application was granted in it;
// those that can only be told through the browser are told on the way.
func (p *Provider) leave(w http.ResponseWriter, r *http.Request, is *issuer, s parvis.Session, app parvis.App, to string) error {
	grants, err := p.Store.GrantsIn(r.Context(), s.ID)
	if err != nil {
		return err
	}
	if err := p.Store.Write(r.Context(), func(tx *store.Tx) error { return p.Sessions.End(tx, s.ID, "signed_out") }); err != nil {
		return err
	}
	p.Sessions.Drop(w)
	var frames []string
	for _, g := range grants {
		other, ok := p.client(string(g.App))
		if !ok || g.Protocol != parvis.OIDC || other.OIDC.FrontChannel == "" {
			continue
		}
		issuer := is.address
		if t, err := p.readTold(g.ID, g.Body); err == nil {
			issuer = t.Issuer
		}
		// Front-Channel Logout 1.0 §2: the parameters join those it has.
		frame := with(other.OIDC.FrontChannel, url.Values{"iss": {issuer}, "sid": {g.SID}})
		if !slices.Contains(frames, frame) {
			frames = append(frames, frame)
		}
	}
	if len(frames) == 0 && to != "" {
		return see(w, to)
	}
	if len(frames) == 0 {
		return p.gone(w, r, leaving{app: app})
	}
	edge.Frame(w.Header(), frames...)
	return p.Show(w, r, http.StatusOK, func(lang text.Lang) page.Page {
		then := page.Button{Text: p.Words.Say(lang, "action.continue", nil), Kind: "primary", Href: to}
		if to == "" {
			then.Href = "/signin"
		}
		return page.Page{
			Screen: "oidc_logout_frames", Title: p.Words.Say(lang, "oidc.logout.done.title", nil), Lead: p.Words.Say(lang, "oidc.logout.frames", nil),
			Body: page.Frames{URLs: frames, Then: then},
		}
	})
}

// gone says that nobody is signed in any more.
func (p *Provider) gone(w http.ResponseWriter, r *http.Request, l leaving) error {
	status := http.StatusOK
	if l.wrong != "" {
		status = http.StatusBadRequest
	}
	return p.Show(w, r, status, func(lang text.Lang) page.Page {
		say := func(key string) string { return p.Words.Say(lang, key, nil) }
		body := page.Stack{}
		if l.wrong != "" {
			body = append(body, page.Notice{Mark: page.Warn, Title: say("oidc.logout.wrong.title"), Text: say("oidc.logout.wrong.text")})
		}
		return page.Page{
			Screen: "oidc_logout_done", Title: say("oidc.logout.done.title"), Lead: say("oidc.logout.done.text"),
			Body: append(body, page.Actions{{Text: say("oidc.logout.again"), Href: "/signin"}}),
		}
	})
}
