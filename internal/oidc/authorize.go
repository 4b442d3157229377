package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/text"
)

// reauthorize is OpenID Connect Core 3.1.2.1: the request may be posted. It goes
// on as GET, so that the cookie of this host, which other sites cannot send with
// a post, is there.
func (p *Provider) reauthorize(w http.ResponseWriter, r *http.Request, _ *issuer) error {
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "oidc.reauthorize", Err: err}
	}
	return see(w, pathAuthorize+"?"+r.PostForm.Encode())
}

// see redirects, never with 307 (RFC 9700 §4.12).
func see(w http.ResponseWriter, address string) error {
	w.Header().Set("Location", address)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// authorize answers an authorization request, or leads to what is missing. It is
// the same for a request that is new and for one that comes back.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, is *issuer) error {
	asked := r.URL.Query()
	sealed, unmet := asked.Get("after"), asked.Get("unmet") != ""
	asked.Del("after")
	asked.Del("unmet")
	m, back := p.marked(asked, sealed)
	q, err := p.read(r.Context(), is, asked, back)
	if err != nil {
		return p.explain(w, r, err)
	}
	p.speak(w, r, asked.Get("ui_locales"))
	step, err := p.next(r, is, q, m, back && unmet)
	if err != nil {
		return err
	}
	to := ""
	switch {
	case step.door:
		to, err = p.lead(asked, m, func(path string) (string, error) { return p.SignIn(path, q.app.ID, q.loginHint) })
	case step.prove:
		to, err = p.lead(asked, m, func(path string) (string, error) { return p.Prove(path, q.app.ID, step.level) })
	case step.why != "":
		p.note(q.app.ID, string(goidc.ErrorCodeAccessDenied), "the agent was told why: "+string(step.why))
		to = "/why/" + url.PathEscape(string(step.why))
	case step.consent != nil:
		return p.askConsent(w, r, q, asked, m, step)
	}
	if errors.Is(err, errTooLong) || parvis.CodeOf(err) == parvis.CodeInvalid && err != nil {
		q.refuse(goidc.ErrorCodeInvalidRequest, errTooLong.Error())
	} else if err != nil {
		return err
	} else if to != "" {
		return see(w, to)
	}
	return p.answer(w, r, is, q, step.ticket)
}

// cookieLang is where the portal keeps the language that somebody chose.
const cookieLang = "parvis-lang"

// speak takes the first language of ui_locales that is spoken here, for whoever
// never chose one.
func (p *Provider) speak(w http.ResponseWriter, r *http.Request, locales string) {
	ch, _, _ := p.Addresses.Find(r.Host)
	name, secure := cookieLang, p.Addresses.Secure(ch)
	if secure {
		name = "__Host-" + name
	}
	if _, err := r.Cookie(name); err == nil {
		return
	}
	for _, tag := range words(locales) {
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if l := text.Lang(base); l == text.French || l == text.English {
			c := &http.Cookie{Name: name, Value: base, Path: "/", Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
			http.SetCookie(w, c)
			r.AddCookie(c)
			return
		}
	}
}

// lead makes the way back, and the address that leads to it.
func (p *Provider) lead(asked url.Values, m mark, through func(path string) (string, error)) (string, error) {
	path, err := p.path(asked, m)
	if err != nil {
		return "", err
	}
	return through(path)
}

// step is what an authorization request needs next. The zero step is an answer:
// what the request refuses, or the ticket.
type step struct {
	door    bool             // to sign in
	prove   bool             // to reach level, or to show a proof again
	level   string           //
	why     parvis.Reference // the refusal that the agent is shown
	consent []string         // the claims that the agent is asked about
	ticket  *ticket
}

// next decides what a request needs. What it says no to is in q.refused.
func (p *Provider) next(r *http.Request, is *issuer, q *request, m mark, unmet bool) (step, error) {
	if q.refused != nil {
		return step{}, nil
	}
	refuse := func(code goidc.ErrorCode, why string) (step, error) {
		q.refuse(code, why)
		return step{}, nil
	}
	s, err := p.Sessions.Of(r)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound && q.silent():
		return refuse(goidc.ErrorCodeLoginRequired, "nobody is signed in")
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return step{door: true}, nil
	case err != nil:
		return step{}, err
	}
	if expected, why := p.expected(r.Context(), is, q, &s); !expected {
		return refuse(goidc.ErrorCodeLoginRequired, why)
	}
	if !q.serves(&s, m, p.Clock()) {
		switch {
		case q.silent(), unmet:
			return refuse(goidc.ErrorCodeLoginRequired, "a fresh sign-in is needed")
		default:
			return step{prove: true, level: levelNames()[0]}, nil
		}
	}
	a, err := p.Door.Ask(r.Context(), apps.Question{Session: s, Origin: edge.Origin(r), App: q.app.ID, Path: pathAuthorize, Tried: unmet})
	switch {
	case err != nil:
		return step{}, err
	case !a.Decision.Open && q.silent() && a.Prove != "":
		return refuse(errInteractionRequired, "another proof is needed")
	case !a.Decision.Open && q.silent():
		return refuse(goidc.ErrorCodeAccessDenied, "the rules do not open the application: "+codes(a.Decision))
	case !a.Decision.Open && a.Prove != "":
		return step{prove: true, level: a.Prove}, nil
	case !a.Decision.Open:
		return step{why: a.Reference}, nil
	}
	acr, _ := parvis.Levels(s.Proofs)
	acr, missing := q.level(acr)
	switch {
	case missing != "" && (unmet || missing == unreachable):
		return refuse(errUnmet, "the level that is asked for cannot be reached")
	case missing != "" && q.silent():
		return refuse(errInteractionRequired, "another proof is needed")
	case missing != "":
		return step{prove: true, level: missing}, nil
	}
	if q.app.External {
		if st, done, err := p.consented(r.Context(), q, m, s.Agent); err != nil || done {
			return st, err
		}
	}
	return step{ticket: p.ticket(is, q, &s, edge.Origin(r).Channel, acr)}, nil
}

func codes(d parvis.Decision) string {
	all := ""
	for _, c := range d.Codes() {
		all += " " + string(c)
	}
	return all
}

// expected tells whether who is signed in is whom the client means.
func (p *Provider) expected(ctx context.Context, is *issuer, q *request, s *parvis.Session) (bool, string) {
	subject := p.Door.Subject(q.app, s.Agent, parvis.OIDC)
	if w := q.wishes.ID["sub"]; w.Value != "" && w.Value != subject { // Core §5.5.1
		return false, "somebody else is signed in"
	}
	if q.idHint == "" {
		return true, ""
	}
	h, err := p.readHint(ctx, is, q.idHint)
	if err != nil || h.Audience != string(q.app.ID) {
		return false, "id_token_hint is not a token that this issuer gave to this client"
	}
	return h.Subject == subject, "somebody else is signed in"
}

// serves tells whether who is there proved themselves recently enough: after the
// request came, when it asks for that.
func (q *request) serves(s *parvis.Session, m mark, at time.Time) bool {
	proved := fresh(s)
	// Since the request came, and lately: a mark can be made beforehand, and put
	// into a browser where somebody has signed in since.
	if !proved.Before(micro(m.At)) && at.Sub(proved) <= freshLasts {
		return true
	}
	if q.anew() {
		return false
	}
	return q.maxAge < 0 || at.Sub(proved) <= time.Duration(q.maxAge)*time.Second
}

// unreachable is a level that nobody can reach here.
const unreachable = "unreachable"

// level tells which level to declare, of those reached, and which one is missing.
// What is merely wished for changes nothing; what is essential is one of the
// values asked for, or fails (OpenID Connect Core §5.5.1.1).
func (q *request) level(reached string) (declared, missing string) {
	w, ok := q.wishes.ID["acr"]
	if !ok || !w.Essential {
		return reached, ""
	}
	values := w.Values
	if w.Value != "" {
		values = append(slices.Clone(values), w.Value)
	}
	switch {
	case len(values) == 0 && reached != "", slices.Contains(values, reached) && reached != "":
		return reached, ""
	case len(values) == 0:
		return "", levelNames()[0]
	}
	for _, l := range levelNames() {
		switch {
		case !slices.Contains(values, l):
		case rank(l) <= rank(reached):
			declared = l // lower than what is true, never higher
		case missing == "":
			missing = l
		}
	}
	if declared != "" {
		return declared, ""
	}
	if missing == "" {
		missing = unreachable
	}
	return "", missing
}

// ticket makes what a code is.
func (p *Provider) ticket(is *issuer, q *request, s *parvis.Session, ch parvis.Channel, acr string) *ticket {
	proved, _ := p.proved(s)
	_, amr := parvis.Levels(s.Proofs)
	t := &ticket{
		App: q.app.ID, Agent: s.Agent, Session: s.ID[:], Channel: ch, SID: p.Sessions.SID(*s, q.app.ID), Redirect: q.redirect,
		Nonce: q.nonce, Challenge: q.challenge, Ends: s.Ends,
		Told: told{
			Issuer: is.address, Scopes: q.scope, User: named(q.wishes.User), ID: named(q.wishes.ID), ACR: acr, AMR: amr, Proved: proved, JKT: q.jkt,
		},
	}
	p.outlives(t, q.app, s)
	return t
}

// outlives lets a grant outlive its session where the application may ask for it
// and did.
func (p *Provider) outlives(t *ticket, app parvis.App, s *parvis.Session) {
	if app.OIDC.Offline && slices.Contains(words(t.Told.Scopes), "offline_access") {
		t.Offline, t.Ends, t.Told.Proofs = true, p.Clock().Add(offlineLasts), s.Proofs
	}
}

// verdict is what the library's policy says: what was decided before.
func (p *Provider) verdict(_ http.ResponseWriter, r *http.Request, as *goidc.AuthnSession, _ *goidc.Client) (goidc.Status, error) {
	x := exchangeOf(r.Context())
	if x.refused != nil || x.issuing == nil || as.Status != goidc.StatusPending {
		return goidc.StatusFailure, x.refused
	}
	as.Subject, as.GrantedScopes = string(x.issuing.Agent), x.issuing.Told.Scopes
	return goidc.StatusSuccess, nil
}

// answer answers the client through the library: with a code, or with why not.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, is *issuer, q *request, t *ticket) error {
	x := &exchange{iss: is, path: pathAuthorize, redirect: q.redirect, refused: q.refused, found: map[string]found{}}
	if q.refused == nil {
		x.issuing = t
		if q.pushed != "" {
			if err := p.usePushed(r.Context(), q); err != nil {
				return p.explain(w, r, err)
			}
		}
	} else {
		p.note(q.app.ID, codeOf(q.refused), whyOf(q.refused))
	}
	asked := r.Clone(context.WithValue(r.Context(), exchangeKey{}, x))
	// As a form that was read already: of an address the library reads each
	// parameter from the beginning again.
	asked.Method, asked.Body, asked.PostForm = http.MethodPost, http.NoBody, q.clean()
	asked.Form = asked.PostForm
	asked.Header.Del("Content-Type")
	c := &captured{header: http.Header{}, status: http.StatusOK}
	is.op.ServeHTTP(c, asked)
	to := c.header.Get("Location")
	if c.status != http.StatusSeeOther || to == "" {
		if x.err != nil && codeOf(x.err) == "" {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.answer", Err: x.err}
		}
		return p.explain(w, r, &problem{"redirect", q.app.ID, whyOf(x.err)})
	}
	if q.mode == "form_post" {
		return p.post(w, r, q, to)
	}
	// The address of the client is not told to others (RFC 9700 §4.2.4).
	w.Header().Set("Referrer-Policy", "no-referrer")
	return see(w, to)
}

// codeOf gives the code of a protocol error; empty for another.
func codeOf(err error) string {
	var e goidc.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}

// post hands the answer over in a form (OAuth 2.0 Form Post Response Mode), under
// our own policy: the library's page would have a script inside.
func (p *Provider) post(w http.ResponseWriter, r *http.Request, q *request, to string) error {
	u, err := url.Parse(to)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.post", Err: err}
	}
	var fields []page.Hidden
	for _, name := range []string{"code", "state", "iss", "error", "error_description"} {
		if v := u.Query().Get(name); v != "" {
			fields = append(fields, page.Hidden{Name: name, Value: v})
		}
	}
	edge.Lead(w.Header(), q.redirect)
	return p.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		args := text.Args{"app": q.app.Name.In(string(l))}
		return page.Page{
			Screen: "oidc_post", Title: p.Words.Say(l, "oidc.post.title", args), Lead: p.Words.Say(l, "oidc.post.lead", args),
			Body: page.AutoPost{Action: q.redirect, Fields: fields, Button: page.Button{Text: p.Words.Say(l, "oidc.post.button", nil), Kind: "primary"}},
		}
	})
}

// explain shows a person why a request cannot go on and cannot be answered to
// the client either, and tells its owner.
func (p *Provider) explain(w http.ResponseWriter, r *http.Request, err error) error {
	var e *problem
	if !errors.As(err, &e) {
		return err
	}
	if e.app != "" {
		p.note(e.app, string(goidc.ErrorCodeInvalidRequest), e.note)
	}
	return p.Show(w, r, http.StatusBadRequest, func(l text.Lang) page.Page {
		args := text.Args{}
		if app, ok := p.client(string(e.app)); ok {
			args["app"] = app.Name.In(string(l))
		}
		return page.Page{
			Screen: "oidc_problem", Title: p.Words.Say(l, "oidc.problem."+e.key+".title", args), Lead: p.Words.Say(l, "oidc.problem."+e.key+".why", args),
			Erroneous: true,
			Body:      page.Stack{page.Para(p.Words.Say(l, "oidc.problem.do", args)), page.Actions{{Text: p.Words.Say(l, "oidc.problem.home", nil), Href: "/"}}},
		}
	})
}
