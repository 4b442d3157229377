package federation

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"

	"parvis"
	"parvis/internal/apps"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// What time allows.
const (
	skew      = 3 * time.Minute // between a service provider's clock and the machine's
	askedLife = time.Hour       // for signing in, once a request was taken
	spentLife = 24 * time.Hour  // how long a request that was answered is known
)

const (
	ssoPath  = "/saml/sso"
	sloPath  = "/saml/slo"
	metaPath = "/saml/metadata"
)

// entity names the identity provider of an entrance.
func (f *Federation) entity(ch parvis.Channel) string { return f.Addresses.Portal(ch) + metaPath }

// header is what every request of SAML begins with (SAML Core §3.2.1).
type header struct {
	ID, Version, Destination, Issuer string
	Issued                           time.Time
}

func readHeader(el *etree.Element, tag string) (header, error) {
	if !named(el, nsProtocol, tag) {
		return header{}, errors.New("another message")
	}
	issuer, err := only(el, nsAssertion, "Issuer")
	if err != nil {
		return header{}, err
	}
	h := header{
		ID: el.SelectAttrValue("ID", ""), Version: el.SelectAttrValue("Version", ""),
		Destination: el.SelectAttrValue("Destination", ""), Issuer: words(issuer),
	}
	h.Issued, err = moment(el.SelectAttrValue("IssueInstant", ""))
	// An ID has no less than 128 random bits (SAML Core §1.3.4).
	if err != nil || h.Version != "2.0" || h.Issuer == "" || len(h.ID) < 16 || len(h.ID) > 200 {
		return header{}, errors.New("not the beginning of a request")
	}
	return h, nil
}

// moment reads a date of SAML: UTC, in xs:dateTime (SAML Core §1.3.3).
func moment(s string) (time.Time, error) {
	var t saml.RelaxedTime
	if s == "" {
		return time.Time{}, errors.New("no date")
	}
	err := t.UnmarshalText([]byte(s))
	return time.Time(t), err
}

// request is an authentication request that was taken: of a known service
// provider, for us, now, to be answered where its metadata say. It travels sealed
// while somebody signs in.
type request struct {
	App     parvis.AppID       `json:"p"`
	Channel parvis.Channel     `json:"c"`
	ID      string             `json:"i"`
	Address string             `json:"u"`           // where it is answered
	State   string             `json:"s,omitempty"` // RelayState
	Force   bool               `json:"f,omitempty"`
	Passive bool               `json:"q,omitempty"`
	Format  string             `json:"n,omitempty"` // of the NameID
	Alien   bool               `json:"x,omitempty"` // a NameID for somebody else was asked for
	Subject string             `json:"j,omitempty"` // who it must be
	Context *wantedContext     `json:"k,omitempty"`
	Taken   int64              `json:"w"` // when, on the machine's clock
	Since   time.Time          `json:"t"` // since when a fresh proof counts
	Agent   parvis.AgentNumber `json:"a,omitempty"`
	Tried   string             `json:"l,omitempty"`
}

// readAuthn reads what an AuthnRequest asks (SAML Core §3.4.1).
func readAuthn(el *etree.Element) (header, request, string, string, error) {
	h, err := readHeader(el, "AuthnRequest")
	if err != nil {
		return h, request{}, "", "", err
	}
	q := request{ID: h.ID, Force: truth(el.SelectAttrValue("ForceAuthn", "")), Passive: truth(el.SelectAttrValue("IsPassive", ""))}
	if b := el.SelectAttrValue("ProtocolBinding", ""); b != "" && b != saml.HTTPPostBinding {
		return h, q, "", "", errors.New("an answer by another binding than HTTP-POST")
	}
	policy, err := only(el, nsProtocol, "NameIDPolicy")
	if err != nil {
		return h, q, "", "", err
	}
	if policy != nil {
		q.Format = policy.SelectAttrValue("Format", "")
		other := policy.SelectAttrValue("SPNameQualifier", "")
		q.Alien = other != "" && other != h.Issuer
	}
	subject, err := only(el, nsAssertion, "Subject")
	if err == nil && subject != nil {
		var name *etree.Element
		name, err = only(subject, nsAssertion, "NameID")
		if q.Subject = words(name); q.Subject == "" {
			q.Subject = "\x00" // somebody, whom we cannot tell
		}
	}
	if err != nil {
		return h, q, "", "", err
	}
	q.Context, err = readContext(el)
	return h, q, el.SelectAttrValue("AssertionConsumerServiceURL", ""), el.SelectAttrValue("AssertionConsumerServiceIndex", ""), err
}

// truth reads xs:boolean.
func truth(s string) bool { return s == "true" || s == "1" }

// take reads a message that a browser brought, up to what may be believed of it.
func (f *Federation) take(c carried, tag, path string, mustSign bool, ch parvis.Channel) (*etree.Element, *party, problem, error) {
	broken := problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}
	root, err := readXML(c.xml)
	if err != nil || c.answer {
		return nil, nil, broken, cmp.Or(err, errors.New("an answer where a request was expected"))
	}
	claimed, err := readHeader(root, tag)
	if err != nil {
		return nil, nil, broken, err
	}
	p := f.known().parties[claimed.Issuer]
	if p == nil {
		return nil, nil, problem{status: http.StatusForbidden, key: "federation.saml.unknown"}, errors.New("an entity that nobody declared")
	}
	broken.app, _ = f.Register.App(p.app)
	covered, signed, err := c.authentic(root, p.keys)
	if err == nil && !signed && (mustSign || p.signs) {
		err = errors.New("not signed")
	}
	if err != nil {
		return nil, p, broken, err
	}
	// Only what the signature covers is read from here on.
	h, err := readHeader(covered, tag)
	if err != nil || h.Issuer != p.entity {
		return nil, p, broken, cmp.Or(err, errors.New("signed by somebody else"))
	}
	// SAML Bindings §3.4.5.2, §3.5.5.2: a signed message says where it goes.
	if want := f.Addresses.Portal(ch) + path; h.Destination != want && (h.Destination != "" || signed) {
		return nil, p, broken, errors.New("for another destination")
	}
	if age := f.wall().Sub(h.Issued); age > skew || age < -skew {
		broken.key = "federation.saml.late"
		return nil, p, broken, errors.New("too old, or not yet")
	}
	return covered, p, problem{}, nil
}

// longestCause bounds what is written of a cause: that of a document that cannot
// be read repeats parts of it, and strangers write documents.
const longestCause = 200

// fail notes what is wrong with a message and tells the person who brought it.
func (f *Federation) fail(w http.ResponseWriter, r *http.Request, told problem, cause error) error {
	why := cause.Error()
	why = strings.ToValidUTF8(why[:min(len(why), longestCause)], "")
	if told.app.ID != "" {
		f.Register.Note(told.app.ID, apps.Trouble{Protocol: parvis.SAML, Code: "request", Text: why})
	}
	f.Log.Debug("a SAML message was refused", "app", told.app.ID, "cause", why)
	return f.tell(w, r, told)
}

// accept takes an AuthnRequest.
func (f *Federation) accept(c carried, ch parvis.Channel) (request, problem, error) {
	el, p, told, err := f.take(c, "AuthnRequest", ssoPath, false, ch)
	if err != nil {
		return request{}, told, err
	}
	told = problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}
	told.app, _ = f.Register.App(p.app)
	_, q, address, index, err := readAuthn(el)
	if err != nil {
		return request{}, told, err
	}
	var ok bool
	if q.Address, ok = p.consumer(address, index); !ok {
		return request{}, told, errors.New("an answer to an address that is not in the metadata")
	}
	q.App, q.Channel, q.State, q.Taken = p.app, ch, c.state, f.wall().Unix()
	return q, problem{}, nil
}

// getSSO takes a request by the HTTP-Redirect binding, or goes on with one that
// was taken before.
func (f *Federation) getSSO(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	if sealed := r.URL.Query().Get("request"); sealed != "" {
		var q request
		err := f.asked.Redeem(sealed, f.Clock(), &q)
		if err == nil && (q.Channel != ch || f.wall().Sub(time.Unix(q.Taken, 0)) > askedLife) {
			err = seal.ErrExpired
		}
		if err != nil {
			told := problem{status: http.StatusBadRequest, key: "federation.saml.late"}
			told.app, _ = f.Register.App(q.App)
			return f.fail(w, r, told, err)
		}
		return f.sso(w, r, q, r.URL.Query().Has("unmet"))
	}
	c, err := fromQuery(r.URL.RawQuery)
	if err != nil {
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}, err)
	}
	q, told, err := f.accept(c, ch)
	if err != nil {
		return f.fail(w, r, told, err)
	}
	return f.sso(w, r, q, false)
}

// postSSO takes a request by the HTTP-POST binding. The browser sends no cookie
// along with a post of another site: it comes again, by GET.
func (f *Federation) postSSO(w http.ResponseWriter, r *http.Request, ch parvis.Channel) error {
	if err := r.ParseForm(); err != nil {
		return unreadable(err)
	}
	c, err := fromForm(r.PostForm)
	if err != nil {
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.wrong"}, err)
	}
	q, told, err := f.accept(c, ch)
	if err != nil {
		return f.fail(w, r, told, err)
	}
	path, err := f.resume(ssoPath, f.asked, q)
	if err != nil {
		return err
	}
	f.Edge.See(w, r, path)
	return nil
}

// resume gives the path that goes on with what was taken.
func (f *Federation) resume(path string, by *seal.Box, taken any) (string, error) {
	sealed, err := by.Issue(taken, f.Clock(), askedLife)
	return path + "?request=" + url.QueryEscape(sealed), err
}

// sso answers a request: a session, fresh if that is asked, the decision, the
// context of authentication, then the assertion.
func (f *Federation) sso(w http.ResponseWriter, r *http.Request, q request, unmet bool) error {
	app, ok := f.Register.App(q.App)
	p := f.known().byApp[q.App]
	if !ok || p == nil {
		return f.fail(w, r, problem{status: http.StatusForbidden, key: "federation.saml.unknown"}, errors.New("the application is gone"))
	}
	if _, still := p.consumer(q.Address, ""); !still {
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.wrong", app: app}, errors.New("the metadata changed meanwhile"))
	}
	s, err := f.Sessions.Of(r)
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return err
	}
	v := &visitor{in: err == nil, session: s, app: app, channel: q.Channel, path: ssoPath, unmet: unmet}
	v.mark = mark{Since: q.Since, Agent: q.Agent, Tried: q.Tried}.by(s.Agent)
	q.Since, q.Agent, q.Tried = v.mark.Since, v.mark.Agent, v.mark.Tried
	v.back = func(tried string) (string, error) {
		next := q
		if next.Since.IsZero() {
			next.Since = f.Clock()
		}
		if next.Agent == "" {
			next.Agent = s.Agent // from now on it is theirs
		}
		next.Tried = tried
		return f.resume(ssoPath, f.asked, next)
	}
	no := func(second string) error { return f.refuse(w, r, q, app, p, saml.StatusResponder, second) }
	if !v.in {
		if !q.Passive {
			return f.signIn(w, r, v)
		}
		if !f.ration.take(f.wall()) {
			return &parvis.Error{Code: parvis.CodeLimited, Op: "federation.sso", Err: errors.New("too many answers to strangers")}
		}
		return no(saml.StatusNoPassive)
	}
	if q.Force && !v.mark.met(s, f.Clock()) { // SAML Core §3.4.1: it may not rely on a previous one
		switch {
		case q.Passive:
			return no(saml.StatusNoPassive)
		case unmet || q.Tried == again:
			return no(saml.StatusAuthnFailed)
		}
		return f.prove(w, r, v, again)
	}
	a, done, err := f.admit(w, r, v, q.Passive)
	switch {
	case err != nil || done:
		return err
	case !a.Decision.Open && a.Prove != "":
		return no(saml.StatusNoPassive)
	case !a.Decision.Open:
		return no(saml.StatusRequestDenied)
	}
	class, level := q.Context.choose(s.Proofs)
	switch {
	case class != "":
	case level != "" && q.Passive:
		return no(saml.StatusNoPassive)
	case level != "" && !unmet && q.Tried != level:
		return f.prove(w, r, v, level)
	default: // SAML Core §3.3.2.2.1
		return no(saml.StatusNoAuthnContext)
	}
	agreed, err := f.agreed(r.Context(), app, s.Agent)
	switch {
	case err != nil:
		return err
	case !agreed && q.Passive:
		return no(saml.StatusNoPassive)
	case !agreed:
		return f.askConsent(w, r, v, q.Address)
	}
	return f.assert(w, r, q, app, p, s, a.Agent, class)
}

// assert spends the request, keeps what the application is told, and answers.
func (f *Federation) assert(w http.ResponseWriter, r *http.Request, q request, app parvis.App, p *party, s parvis.Session, agent *parvis.Agent, class string) error {
	name, second := f.nameID(app, p, q, s, agent)
	if second != "" {
		top := saml.StatusResponder
		if second == saml.StatusInvalidNameIDPolicy {
			top = saml.StatusRequester
		}
		return f.refuse(w, r, q, app, p, top, second)
	}
	keys, err := f.keys(r.Context())
	if err != nil {
		return err
	}
	told, fresh, err := f.begin(r, q, app, p, s, name)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound: // the session ended meanwhile
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.late", app: app}, err)
	case err != nil:
		return err
	case !fresh:
		return f.fail(w, r, problem{status: http.StatusBadRequest, key: "federation.saml.late", app: app}, errors.New("a request that was answered already"))
	}
	claims := f.Door.Claims(app, agent, q.Channel)
	acr, _ := parvis.Levels(s.Proofs)
	answer, err := f.response(assertion{
		request: q, party: p, name: name, index: told.Index, class: class, acr: acr, claims: claims,
		issuer: f.entity(q.Channel), now: f.wall(), proved: f.onWall(lastProof(s)), ends: f.onWall(s.Ends), encrypt: app.SAML.Encrypt,
	}, keys[0])
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.assert", Err: err}
	}
	return f.answer(w, r, app, q.Address, answer, q.State)
}

// refuse answers a request with a status and no assertion (SAML Core §3.2.2.2).
// The request is not spent: it may succeed later.
func (f *Federation) refuse(w http.ResponseWriter, r *http.Request, q request, app parvis.App, p *party, top, second string) error {
	f.Register.Note(app.ID, apps.Trouble{Protocol: parvis.SAML, Code: second, Text: "a request was answered without an assertion"})
	keys, err := f.keys(r.Context())
	if err != nil {
		return err
	}
	answer, err := status(f.entity(q.Channel), q.Address, q.ID, f.wall(), top, second, keys[0])
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.refuse", Err: err}
	}
	return f.answer(w, r, app, q.Address, answer, q.State)
}

// answer posts a response to the application, by way of the browser.
func (f *Federation) answer(w http.ResponseWriter, r *http.Request, app parvis.App, address string, answer *etree.Element, state string) error {
	document, err := written(answer)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "federation.answer", Err: err}
	}
	fields := []page.Hidden{{Name: "SAMLResponse", Value: base64.StdEncoding.EncodeToString(document)}}
	if state != "" {
		fields = append(fields, page.Hidden{Name: "RelayState", Value: state})
	}
	return f.post(w, r, app, address, fields...)
}

// samlKept is what a SAML grant holds, sealed: how to tell that it ended. Its
// SessionIndex is the grant's own.
type samlKept struct {
	Name   string `json:"name"`
	Format string `json:"format"`
	Index  string `json:"index"`
}

// begin spends a request and keeps what the application is told; fresh is false
// for a request that was answered before. A session that is known to the
// application stays what it was, with its SessionIndex.
func (f *Federation) begin(r *http.Request, q request, app parvis.App, p *party, s parvis.Session, name nameID) (told samlKept, fresh bool, err error) {
	ctx := r.Context()
	token, _ := seal.Token()
	id, index := "saml-"+token[:21], "_"+token[21:]
	err = f.Store.Write(ctx, func(tx *store.Tx) error {
		told = samlKept{Name: name.value, Format: name.format, Index: index}
		event := parvis.Event{
			Kind: "grant.began", Agent: s.Agent, Actor: string(s.Agent), Channel: q.Channel, App: app.ID,
			Detail: map[string]string{"protocol": "saml", "grant": id},
		}
		var err error
		if fresh, err = tx.SpendOnce(ctx, spentName(p, q.ID), tx.Now().Add(spentLife)); err != nil {
			return err
		}
		if !fresh {
			event.Kind, event.Actor = "grant.replayed", "system"
			tx.Record(event)
			return nil
		}
		live, err := tx.GrantsIn(ctx, s.ID)
		if err != nil {
			return err
		}
		for _, was := range live {
			var its samlKept
			if was.Protocol == parvis.SAML && was.App == app.ID && was.Channel == q.Channel && f.opened(was.Body, was.ID, &its) == nil &&
				its.Name == told.Name && its.Format == told.Format {
				told = its
				event.Kind, event.Detail["grant"] = "grant.renewed", was.ID
				tx.Record(event)
				return nil
			}
		}
		body, err := f.closed(id, told)
		if err != nil {
			return err
		}
		if _, err := tx.PutGrant(ctx, store.Grant{
			ID: id, Protocol: parvis.SAML, App: app.ID, Agent: s.Agent, Session: s.ID, Channel: q.Channel, SID: f.Sessions.SID(s, app.ID),
			Finder: samlFinder(app.ID, told.Name, told.Index), Body: body, Tells: p.soap() != "", Began: f.Clock(), Expires: s.Ends,
		}); err != nil {
			return err
		}
		tx.Record(event)
		return nil
	})
	return told, fresh, err
}

// closed seals what a grant keeps; opened opens it.
func (f *Federation) closed(grant string, kept any) ([]byte, error) {
	plain, err := json.Marshal(kept)
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "federation.closed", Err: err}
	}
	return f.kept.Seal(plain, "grant/"+grant), nil
}

func (f *Federation) opened(body []byte, grant string, kept any) error {
	plain, err := f.kept.Open(body, "grant/"+grant)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, kept)
}

func spentName(p *party, id string) [32]byte {
	return seal.Hash("saml\x00" + string(p.app) + "\x00" + strconv.Itoa(len(p.entity)) + p.entity + id)
}

// samlFinder finds a grant by what a logout request names (SAML Core §3.7.1).
func samlFinder(app parvis.AppID, name, index string) [32]byte {
	return seal.Hash("saml\x00" + string(app) + "\x00" + strconv.Itoa(len(name)) + "\x00" + name + index)
}
