package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// wrongCodes is how many codes an agent may type wrong without a pause of
// wrongPause (RFC 8628 §5.1).
const (
	wrongCodes = 5
	wrongPause = 5 * time.Minute
)

// device is a device that waits for its agent.
type device struct {
	App     parvis.AppID `json:"a"`
	Issuer  string       `json:"i"`
	Scopes  string       `json:"s"`
	Code    string       `json:"c"`           // what the agent types
	Machine int64        `json:"x"`           // not after, this machine's clock
	Denied  bool         `json:"n,omitempty"` // by the agent
	Ticket  *ticket      `json:"t,omitempty"` // what the agent allowed
}

// plainCode takes out of a code what people put in.
func plainCode(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z':
			return c
		}
		return -1
	}, s[:min(len(s), 64)])
}

// grouped writes a code as it is read aloud.
func grouped(code string) string {
	if len(code) != 8 {
		return code
	}
	return code[:4] + "-" + code[4:]
}

func codeHash(code string) [32]byte { return seal.Hash("device " + code) }

// keepDevice keeps a device that begins to wait.
func (p *Provider) keepDevice(ctx context.Context, x *exchange, as *goidc.AuthnSession) error {
	d := device{App: parvis.AppID(as.ClientID), Issuer: x.iss.address, Scopes: as.Scopes, Code: as.UserCode, Machine: int64(as.ExpiresAt)}
	name := hashName(as.DeviceCode)
	doc, err := p.sealDevice(name, &d)
	if err != nil {
		return err
	}
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		if err := x.spend(ctx, tx); err != nil {
			return err
		}
		doc.Finder, doc.Expires = codeHash(as.UserCode), tx.Now().Add(2*deviceSeconds*time.Second)
		tx.Record(parvis.Event{Kind: "grant.asked", Actor: "app:" + as.ClientID, App: d.App, Detail: map[string]string{"by": "device"}})
		_, err := tx.PutDocument(ctx, doc)
		return err
	})
}

func (p *Provider) sealDevice(name string, d *device) (store.Document, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return store.Document{}, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.sealDevice", Err: err}
	}
	return store.Document{Kind: kindDevice, ID: name, App: d.App, Body: p.boxes.kept.Seal(body, kindDevice+"/"+name)}, nil
}

func (p *Provider) openDevice(doc store.Document, err error) (*device, error) {
	if err != nil {
		return nil, err
	}
	d := &device{}
	body, err := p.boxes.kept.Open(doc.Body, kindDevice+"/"+doc.ID)
	if err == nil {
		err = json.Unmarshal(body, d)
	}
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.openDevice", Err: err}
	}
	return d, nil
}

// waiting reads the device of a device code, at its own issuer.
func (k keeper) waiting(ctx context.Context, code string) (*device, string, error) {
	name := hashName(code)
	d, err := k.p.openDevice(k.p.Store.Document(ctx, kindDevice, name))
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, "", goidc.ErrNotFound
	}
	if err != nil {
		return nil, "", err
	}
	if x := exchangeOf(ctx); x.iss == nil || d.Issuer != x.iss.address {
		return nil, "", goidc.ErrNotFound
	}
	return d, name, nil
}

// GrantByDeviceCode gives what an agent allowed a device, once.
func (k keeper) GrantByDeviceCode(ctx context.Context, code string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	d, name, err := k.waiting(ctx, code)
	if err != nil {
		return nil, err
	}
	app, ok := k.p.client(string(d.App))
	// Only to the client that began (RFC 8628 §3.4): to another the device is
	// still waiting, and stays as it is.
	if d.Ticket == nil || !ok || d.App != x.app.ID {
		return nil, goidc.ErrNotFound
	}
	x.device = name
	if err := k.p.follow(ctx, d.Ticket); err != nil {
		return nil, err
	}
	g := k.p.hold(x, app, d.Ticket)
	g.DeviceCode, g.DeviceCodeExpiresAt = code, int(d.Machine)
	return g, nil
}

// SessionByDeviceCode tells how a device that waits stands.
func (k keeper) SessionByDeviceCode(ctx context.Context, code string) (*goidc.AuthnSession, error) {
	d, _, err := k.waiting(ctx, code)
	if err != nil {
		return nil, err
	}
	as := &goidc.AuthnSession{ClientID: string(d.App), ExpiresAt: int(d.Machine), Status: goidc.StatusPending, Store: map[string]any{}}
	if d.Denied {
		as.Status = goidc.StatusFailure
	}
	return as, nil
}

// SessionByUserCode finds nothing: the page of devices is ours.
func (keeper) SessionByUserCode(context.Context, string) (*goidc.AuthnSession, error) {
	return nil, goidc.ErrNotFound
}

// typing is what the page that asks "is it you?" sends back.
type typing struct {
	Name    string             `json:"d"`
	Version int64              `json:"v"`
	Agent   parvis.AgentNumber `json:"n"`
	Code    string             `json:"c"`
}

// getDevice asks for the code that a device shows. A code in the address is only
// written into the field: the agent compares it and sends it.
func (p *Provider) getDevice(w http.ResponseWriter, r *http.Request, _ *issuer) error {
	code := plainCode(r.URL.Query().Get("user_code"))
	if _, err := p.Sessions.Of(r); parvis.CodeOf(err) == parvis.CodeNotFound {
		to, err := p.SignIn(devicePath(code), "", "")
		if err != nil {
			return err
		}
		return see(w, to)
	} else if err != nil {
		return err
	}
	return p.showDevice(w, r, http.StatusOK, code, "")
}

func devicePath(code string) string {
	if code == "" {
		return pathDevice
	}
	return pathDevice + "?user_code=" + url.QueryEscape(grouped(code))
}

func (p *Provider) showDevice(w http.ResponseWriter, r *http.Request, status int, code, fault string) error {
	return p.Show(w, r, status, func(l text.Lang) page.Page {
		say := func(key string) string { return p.Words.Say(l, key, nil) }
		pg := page.Page{Screen: "oidc_device", Title: say("oidc.device.title"), Lead: say("oidc.device.lead")}
		if fault != "" {
			pg.Errors = []page.Fault{{Field: "user_code", Text: say("oidc.device." + fault)}}
		}
		pg.Body = page.Stack{
			page.Notice{Mark: page.Warn, Title: say("oidc.device.warn.title"), Text: say("oidc.device.warn.text")},
			page.Form{
				Action: pathDevice,
				Body: page.Field{
					Name: "user_code", Label: say("oidc.device.code"), Hint: say("oidc.device.code.hint"), Value: grouped(code),
					Required: true, Autocomplete: "off", Mono: true, Short: true,
				},
				Buttons: []page.Button{{Text: p.Words.Say(l, "action.continue", nil), Kind: "primary"}},
			},
		}
		return pg
	})
}

// postDevice takes the code, then the answer.
func (p *Provider) postDevice(w http.ResponseWriter, r *http.Request, is *issuer) error {
	if err := r.ParseForm(); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: "oidc.postDevice", Err: err}
	}
	s, err := p.Sessions.Of(r)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return see(w, devicePath(plainCode(r.PostForm.Get("user_code"))))
	}
	if err != nil {
		return err
	}
	if r.PostForm.Get("ticket") != "" {
		return p.answerDevice(w, r, is, s)
	}
	code := plainCode(r.PostForm.Get("user_code"))
	if p.typed.count(string(s.Agent), wrongPause) >= wrongCodes {
		return p.showDevice(w, r, http.StatusTooManyRequests, "", "tries")
	}
	doc, err := p.Store.DocumentBy(r.Context(), kindDevice, codeHash(code))
	d, err := p.openDevice(doc, err)
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return err
	}
	if err != nil || d.Ticket != nil || d.Denied || now() >= d.Machine || d.Issuer != is.address {
		p.typed.again(string(s.Agent), wrongPause)
		return p.showDevice(w, r, http.StatusUnprocessableEntity, code, "unknown")
	}
	app, ok := p.client(string(d.App))
	if !ok {
		return p.showDevice(w, r, http.StatusUnprocessableEntity, code, "unknown")
	}
	ticket, err := p.boxes.devices.Issue(typing{doc.ID, doc.Version, s.Agent, code}, p.Clock(), deviceSeconds*time.Second)
	if err != nil {
		return err
	}
	return p.askDevice(w, r, app, d, ticket)
}

// askDevice asks whether it is really the agent's own device: whoever was sent a
// code by somebody else is being robbed (RFC 8628 §5.4).
func (p *Provider) askDevice(w http.ResponseWriter, r *http.Request, app parvis.App, d *device, ticket string) error {
	return p.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		args := text.Args{"app": app.Name.In(string(l)), "code": grouped(d.Code)}
		say := func(key string) string { return p.Words.Say(l, key, args) }
		hidden := []page.Hidden{{Name: "ticket", Value: ticket}}
		return page.Page{
			Screen: "oidc_device_confirm", Title: say("oidc.device.ask.title"), Lead: say("oidc.device.ask.lead"),
			Body: page.Stack{
				page.Record{
					{Term: say("oidc.device.ask.app"), Text: app.Name.In(string(l))},
					{Term: say("oidc.device.ask.code"), Text: grouped(d.Code), Mono: true},
				},
				p.toldTo(l, app, d),
				page.Notice{Mark: page.Stop, Title: say("oidc.device.warn.title"), Text: say("oidc.device.ask.warn")},
				page.Form{
					Action: pathDevice, Hidden: hidden,
					Buttons: []page.Button{
						{Text: say("oidc.device.ask.yes"), Kind: "primary", Name: "answer", Value: "yes"},
						{Text: say("oidc.device.ask.no"), Kind: "stop", Name: "answer", Value: "no"},
					},
				},
			},
		}
	})
}

// toldTo lists what an application outside the organisation is about to be told;
// nothing for one of ours.
func (p *Provider) toldTo(l text.Lang, app parvis.App, d *device) page.Stack {
	if !app.External {
		return nil
	}
	args := text.Args{"app": app.Name.In(string(l))}
	told := page.List{p.Words.Say(l, "oidc.claim.sub", nil)}
	for _, name := range (&request{app: app, scope: d.Scopes}).wanted() {
		told = append(told, p.Words.Say(l, "oidc.claim."+name, nil))
	}
	return page.Stack{page.Section{Title: p.Words.Say(l, "oidc.consent.told", args), Body: told}}
}

// answerDevice writes what the agent answered, if the device still waits and the
// rules open the application.
func (p *Provider) answerDevice(w http.ResponseWriter, r *http.Request, is *issuer, s parvis.Session) error {
	var t typing
	if err := p.boxes.devices.Redeem(r.PostForm.Get("ticket"), p.Clock(), &t); err != nil || t.Agent != s.Agent || t.Name == "" {
		return p.showDevice(w, r, http.StatusUnprocessableEntity, "", "unknown")
	}
	doc, err := p.Store.Document(r.Context(), kindDevice, t.Name)
	d, err := p.openDevice(doc, err)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound, err == nil && (d.Ticket != nil || d.Denied || now() >= d.Machine || doc.Version != t.Version):
		return p.showDevice(w, r, http.StatusUnprocessableEntity, "", "unknown")
	case err != nil:
		return err
	}
	app, ok := p.client(string(d.App))
	if !ok {
		return p.showDevice(w, r, http.StatusUnprocessableEntity, "", "unknown")
	}
	if d.Denied = r.PostForm.Get("answer") != "yes"; !d.Denied {
		a, err := p.Door.Ask(r.Context(), apps.Question{Session: s, Origin: edge.Origin(r), App: app.ID, Path: pathDevice})
		switch {
		case err != nil:
			return err
		case a.Decision.Open:
		case a.Prove != "":
			to, err := p.Prove(devicePath(d.Code), app.ID, a.Prove)
			if err != nil {
				return err
			}
			return see(w, to)
		default:
			return see(w, "/why/"+url.PathEscape(string(a.Reference)))
		}
		acr, _ := parvis.Levels(s.Proofs)
		q := &request{app: app, scope: d.Scopes}
		if app.External { // the page said what it is told
			if err := p.giveConsent(r.Context(), s, asking{App: app.ID, Agent: s.Agent, Claims: q.wanted()}); err != nil {
				return err
			}
		}
		d.Ticket = p.ticket(is, q, &s, entrance(r), acr)
		d.Ticket.Grant, d.Ticket.Machine = random(), d.Machine
		d.Ticket.City = p.Clock().Add(2 * deviceSeconds * time.Second).UnixMicro()
	}
	if err := p.writeDevice(r.Context(), doc, d, s); err != nil {
		return err
	}
	return p.Show(w, r, http.StatusOK, func(l text.Lang) page.Page {
		key := "oidc.device.allowed"
		if d.Denied {
			key = "oidc.device.denied"
		}
		args := text.Args{"app": app.Name.In(string(l))}
		return page.Page{
			Screen: "oidc_device_done", Title: p.Words.Say(l, key+".title", args), Lead: p.Words.Say(l, key+".text", args),
			Body: page.Actions{{Text: p.Words.Say(l, "oidc.problem.home", nil), Href: "/"}},
		}
	})
}

func (p *Provider) writeDevice(ctx context.Context, was store.Document, d *device, s parvis.Session) error {
	doc, err := p.sealDevice(was.ID, d)
	if err != nil {
		return err
	}
	doc.Version, doc.Finder, doc.Expires = was.Version, was.Finder, was.Expires
	kind := "grant.allowed"
	if d.Denied {
		kind = "grant.denied"
	}
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		first, err := tx.PutDocument(ctx, doc)
		if err == nil && !first {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "oidc.writeDevice"}
		}
		tx.Record(parvis.Event{
			Kind: kind, Agent: s.Agent, Actor: string(s.Agent), Channel: s.Channel, App: d.App, Detail: map[string]string{"by": "device"},
		})
		return err
	})
}
