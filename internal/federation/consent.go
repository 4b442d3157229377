package federation

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// An application outside the organisation is told nothing of an agent who did
// not agree to it. What was agreed to is kept where the agent can take it back,
// beside that of OpenID Connect.

const (
	consentKind = "consent"
	consentPath = "/federation/consent"
)

// consent is what an agent agreed to tell, by claim name.
type consent struct {
	Claims []string `json:"c"`
}

// asking is what the page of a consent sends back.
type asking struct {
	App    parvis.AppID       `json:"a"`
	Agent  parvis.AgentNumber `json:"n"`
	Claims []string           `json:"c"`
	Back   string             `json:"b"`
}

func consentID(agent parvis.AgentNumber, app parvis.AppID) string {
	return string(agent) + "/" + string(app) + "/federation"
}

// agreed tells whether the agent agreed to what an application would be told,
// where that is asked.
func (f *Federation) agreed(ctx context.Context, app parvis.App, agent parvis.AgentNumber) (bool, error) {
	if !app.External {
		return true, nil
	}
	id := consentID(agent, app.ID)
	d, err := f.Store.Document(ctx, consentKind, id)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var given consent
	body, err := f.kept.Open(d.Body, consentKind+"/"+id)
	if err == nil {
		err = json.Unmarshal(body, &given)
	}
	if err != nil {
		return false, &parvis.Error{Code: parvis.CodeInternal, Op: "federation.agreed", Err: err}
	}
	return !slices.ContainsFunc(app.Attributes, func(c string) bool { return !slices.Contains(given.Claims, c) }), nil
}

// askConsent asks the agent before anything is told of them. lead is where the
// answer to the form may end.
func (f *Federation) askConsent(w http.ResponseWriter, r *http.Request, v *visitor, lead string) error {
	back, err := v.back(v.mark.Tried)
	if err != nil {
		return err
	}
	ticket, err := f.agrees.Issue(asking{v.app.ID, v.session.Agent, v.app.Attributes, back}, f.Clock(), askedLife)
	if err != nil {
		return err
	}
	edge.Lead(w.Header(), lead)
	return f.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		say := func(key string, a text.Args) string { return f.Words.Say(l, key, a) }
		args := text.Args{"app": v.app.Name.In(string(l))}
		told := page.List{say("oidc.claim.sub", nil)}
		for _, name := range parvis.ClaimNames() {
			if slices.Contains(v.app.Attributes, name) {
				told = append(told, say("oidc.claim."+name, nil))
			}
		}
		return page.Page{
			Screen: "federation_consent", Title: say("oidc.consent.title", args), Lead: say("oidc.consent.lead", args),
			Body: page.Stack{
				page.Section{Title: say("oidc.consent.told", args), Body: told},
				page.Para(say("oidc.consent.after", args)),
				page.Form{
					Action: consentPath, Hidden: []page.Hidden{{Name: "ticket", Value: ticket}},
					Buttons: []page.Button{
						{Text: say("oidc.consent.yes", nil), Kind: "primary", Name: "answer", Value: "yes"},
						{Text: say("oidc.consent.no", nil), Name: "answer", Value: "no"},
					},
				},
			},
		}
	})
}

// postConsent keeps what the agent answered, and goes on; or home, where
// nothing is told to anybody.
func (f *Federation) postConsent(w http.ResponseWriter, r *http.Request, _ parvis.Channel) error {
	const op = "federation.postConsent"
	if err := r.ParseForm(); err != nil {
		return unreadable(err)
	}
	var a asking
	if err := f.agrees.Redeem(r.PostForm.Get("ticket"), f.Clock(), &a); err != nil {
		return err
	}
	s, err := f.Sessions.Of(r)
	if err != nil || s.Agent != a.Agent || a.Back == "" {
		return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("somebody else, or nobody any more")}
	}
	if r.PostForm.Get("answer") != "yes" {
		return f.home(w, r)
	}
	id := consentID(a.Agent, a.App)
	body, err := json.Marshal(consent{a.Claims})
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	err = f.Store.Write(r.Context(), func(tx *store.Tx) error {
		d, err := tx.Document(r.Context(), consentKind, id)
		if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
			return err
		}
		_, err = tx.PutDocument(r.Context(), store.Document{
			Kind: consentKind, ID: id, Version: d.Version, Agent: a.Agent, App: a.App, Body: f.kept.Seal(body, consentKind+"/"+id),
		})
		tx.Record(parvis.Event{
			Kind: "consent.given", Agent: a.Agent, Actor: string(a.Agent), Channel: s.Channel, App: a.App,
			Detail: map[string]string{"claims": strings.Join(a.Claims, ",")},
		})
		return err
	})
	if err != nil {
		return err
	}
	f.Edge.See(w, r, a.Back)
	return nil
}
