package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// consent is what an agent agreed to tell an application outside the
// organisation.
type consent struct {
	Claims []string `json:"c"`
}

func consentID(agent parvis.AgentNumber, app parvis.AppID) string {
	return string(agent) + "/" + string(app)
}

// wanted lists what an application would be told: what it asks for, of what it
// may have.
func (q *request) wanted() []string {
	t := told{Scopes: q.scope, User: append(named(q.wishes.User), named(q.wishes.ID)...)}
	asks := t.asks()
	var all []string
	for _, name := range parvis.ClaimNames() {
		if slices.Contains(asks, name) && slices.Contains(q.app.Attributes, name) {
			all = append(all, name)
		}
	}
	return all
}

// consented tells whether an agent agreed to what an application asks for, and
// what is next when not. done is false when nothing is.
func (p *Provider) consented(ctx context.Context, q *request, m mark, agent parvis.AgentNumber) (st step, done bool, err error) {
	wanted := q.wanted()
	switch {
	case m.Declined && m.Agent == agent:
		q.refuse(goidc.ErrorCodeAccessDenied, "the agent declined")
		return step{}, true, nil
	case m.Agreed && m.Agent == agent, !slices.Contains(q.prompts, "consent"): // as it stands now: it may be taken back
		given, err := p.given(ctx, agent, q.app.ID)
		if err != nil || given != nil && !slices.ContainsFunc(wanted, func(c string) bool { return !slices.Contains(given.Claims, c) }) {
			return step{}, err != nil, err
		}
	}
	if q.silent() {
		q.refuse(errConsentRequired, "the agent was not asked yet")
		return step{}, true, nil
	}
	if wanted == nil {
		wanted = []string{}
	}
	return step{consent: wanted}, true, nil
}

// given reads what an agent agreed to; nil when nothing.
func (p *Provider) given(ctx context.Context, agent parvis.AgentNumber, app parvis.AppID) (*consent, error) {
	id := consentID(agent, app)
	d, err := p.Store.Document(ctx, kindConsent, id)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := &consent{}
	body, err := p.boxes.kept.Open(d.Body, kindConsent+"/"+id)
	if err == nil {
		err = json.Unmarshal(body, c)
	}
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.given", Err: err}
	}
	return c, nil
}

// asking is what the page of a consent sends back.
type asking struct {
	App    parvis.AppID       `json:"a"`
	Agent  parvis.AgentNumber `json:"n"`
	Asked  string             `json:"q"`
	Mark   mark               `json:"m"`
	Claims []string           `json:"c"`
}

// askConsent asks an agent before anything is told of them.
func (p *Provider) askConsent(w http.ResponseWriter, r *http.Request, q *request, asked url.Values, m mark, st step) error {
	s, err := p.Sessions.Of(r)
	if err != nil {
		return err
	}
	ticket, err := p.boxes.consents.Issue(asking{q.app.ID, s.Agent, asked.Encode(), m, st.consent}, p.Clock(), markLasts)
	if err != nil {
		return err
	}
	edge.Lead(w.Header(), q.redirect) // the answer to the form is a redirect there
	return p.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		say := func(key string, a text.Args) string { return p.Words.Say(l, key, a) }
		args := text.Args{"app": q.app.Name.In(string(l))}
		told := page.List{say("oidc.claim.sub", nil)}
		for _, name := range st.consent {
			told = append(told, say("oidc.claim."+name, nil))
		}
		hidden := []page.Hidden{{Name: "ticket", Value: ticket}}
		return page.Page{
			Screen: "oidc_consent", Title: say("oidc.consent.title", args), Lead: say("oidc.consent.lead", args),
			Body: page.Stack{
				page.Section{Title: say("oidc.consent.told", args), Body: told},
				page.Para(say("oidc.consent.after", args)),
				page.Form{
					Action: pathConsent, Hidden: hidden,
					Buttons: []page.Button{
						{Text: say("oidc.consent.yes", nil), Kind: "primary", Name: "answer", Value: "yes"},
						{Text: say("oidc.consent.no", nil), Name: "answer", Value: "no"},
					},
				},
			},
		}
	})
}

// postConsent keeps what an agent answered, and goes on with the request.
func (p *Provider) postConsent(w http.ResponseWriter, r *http.Request, _ *issuer) error {
	const op = "oidc.postConsent"
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
	}
	var a asking
	if err := p.boxes.consents.Redeem(r.PostForm.Get("ticket"), p.Clock(), &a); err != nil {
		return err
	}
	s, err := p.Sessions.Of(r)
	if err != nil || s.Agent != a.Agent || a.App == "" {
		return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: err} // somebody else, or nobody any more
	}
	asked, err := url.ParseQuery(a.Asked)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
	}
	a.Mark.Agent = s.Agent
	if a.Mark.Agreed = r.PostForm.Get("answer") == "yes"; a.Mark.Agreed {
		err = p.giveConsent(r.Context(), s, a)
	} else {
		a.Mark.Declined = true
	}
	if err != nil {
		return err
	}
	path, err := p.path(asked, a.Mark)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
	}
	return see(w, path)
}

func (p *Provider) giveConsent(ctx context.Context, s parvis.Session, a asking) error {
	id := consentID(a.Agent, a.App)
	before, err := p.given(ctx, a.Agent, a.App)
	if err != nil {
		return err
	}
	if before != nil { // what was agreed to stays agreed to until it is withdrawn
		a.Claims = slices.Compact(slices.Sorted(slices.Values(slices.Concat(before.Claims, a.Claims))))
	}
	body, err := json.Marshal(consent{a.Claims})
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.giveConsent", Err: err}
	}
	sealed := p.boxes.kept.Seal(body, kindConsent+"/"+id)
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		d, err := tx.Document(ctx, kindConsent, id)
		if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
			return err
		}
		_, err = tx.PutDocument(ctx, store.Document{Kind: kindConsent, ID: id, Version: d.Version, Agent: a.Agent, App: a.App, Body: sealed})
		tx.Record(parvis.Event{
			Kind: "consent.given", Agent: a.Agent, Actor: string(a.Agent), Channel: s.Channel, App: a.App,
			Detail: map[string]string{"claims": strings.Join(a.Claims, ",")},
		})
		return err
	})
}

// used notes that an agent is at work in an application, so that their session
// does not rest. One outside the organisation cannot keep it awake.
func (p *Provider) used(g store.Grant) {
	if app, ok := p.client(string(g.App)); ok && !g.Offline && !app.External {
		p.Sessions.Seen(g.Session)
	}
}
