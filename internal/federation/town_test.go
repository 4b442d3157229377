package federation

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
	"go.uber.org/goleak"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/apps"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/helpdesk"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
	"parvis/internal/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	agents = "https://agents.example.org"
	nomade = "https://nomade.example.org"
)

// town is a federation with one agent, A100001, two entrances and the
// applications of a test. The portal's pages are marks of where it led.
type town struct {
	*Federation
	t     testing.TB
	clock *storetest.Clock
	site  map[parvis.Channel]http.Handler
}

func newTown(t testing.TB, list ...parvis.App) *town {
	t.Helper()
	tn := openTown(t, new(storetest.Clock), map[parvis.Channel]string{parvis.Internal: agents, parvis.Mobile: nomade}, list...)
	tn.machine = tn.clock.Now
	return tn
}

// openTown opens a town whose clock and addresses are given.
func openTown(t testing.TB, clock *storetest.Clock, origins map[parvis.Channel]string, list ...parvis.App) *town {
	t.Helper()
	before := saml.TimeNow
	saml.TimeNow = clock.Now // of the service providers
	t.Cleanup(func() { saml.TimeNow = before })
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "parvis.db"), clock)
	addresses, err := parvis.NewAddresses(origins)
	must(t, err)
	for i := range list {
		list[i].Name = parvis.Words{FR: "Application " + string(list[i].ID), EN: "Application " + string(list[i].ID)}
		if list[i].Channels == nil {
			list[i].Channels = parvis.Channels()
		}
		if faults := list[i].Faults(); len(faults) > 0 {
			t.Fatalf("%s: %v", list[i].ID, faults)
		}
	}
	hours, err := access.OfficeHours("Europe/Paris")
	must(t, err)
	policy, err := access.New(access.Catalog{Apps: list, Calendar: hours, SecondProofReady: true, Profiles: []parvis.Profile{{ID: parvis.Standard}}})
	must(t, err)
	keys, err := seal.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	words, err := text.Load()
	must(t, err)
	log := storetest.Logger(t)
	keeper := &session.Keeper{Store: s, Keys: keys, Addresses: addresses, Clock: clock.Now, Log: log}
	people := &directory.Directory{Store: s, Clock: clock.Now, Zone: time.UTC}
	register := &apps.Register{Store: s, Clock: clock.Now, Log: log, Declared: list, Apply: func([]parvis.App) error { return nil }}
	must(t, register.Load(t.Context()))
	tn := &town{t: t, clock: clock, site: map[parvis.Channel]http.Handler{}}
	e := &edge.Edge{Addresses: addresses, Catalog: words, Clock: clock.Now, Log: log, Metrics: edge.NewMetrics(), Programs: []string{ssoPath, sloPath}, Apps: http.NotFoundHandler()}
	tn.Federation = &Federation{
		Store: s, Keys: keys, Sessions: keeper, Directory: people, Register: register, Addresses: addresses, Words: words, Edge: e, Clock: clock.Now, Log: log,
		Door: &apps.Door{
			Policy: policy, Held: access.NewHeld(1024), Directory: people, Sessions: keeper,
			Counter: &helpdesk.Counter{Store: s, Clock: clock.Now}, Keys: keys, Clock: clock.Now,
		},
		Show: func(w http.ResponseWriter, r *http.Request, status int, draw func(text.Lang) page.Page) error {
			pg := draw(text.French)
			pg.Lang = "fr"
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			return pg.Render(r.Context(), w)
		},
		SignIn: func(path string, app parvis.AppID, _ string) (string, error) {
			return "/signin?app=" + string(app) + "&back=" + url.QueryEscape(path), nil
		},
		Prove: func(path string, app parvis.AppID, level string) (string, error) {
			return "/prove?app=" + string(app) + "&level=" + level + "&back=" + url.QueryEscape(path), nil
		},
	}
	e.Portal = tn.Handler()
	for ch := range origins {
		tn.site[ch] = e.Handler(edge.Entrance{Channel: ch})
	}
	tn.write(func(tx *store.Tx) error {
		a := &parvis.Agent{
			Number: "A100001", GivenNames: "Zoé", FamilyName: "Müller-Lefèvre", Email: "zoe@example.org", Unit: "VILLE/DRH",
			ContractFrom: clock.Now().AddDate(-1, 0, 0), Employer: "21750001600019", Category: "tenured",
		}
		other := *a
		other.Number, other.Email = "A100002", "other@example.org"
		if err := tx.PutAgents(t.Context(), []*parvis.Agent{a, &other}); err != nil {
			return err
		}
		tx.Record(parvis.Event{Kind: "agent.imported", Agent: a.Number, Actor: "system"})
		body := tn.kept.Seal(serverKey(), keyKind+"/000000")
		if _, err := tx.PutDocument(t.Context(), store.Document{Kind: keyKind, ID: "000000", Body: body, Expires: clock.Now().Add(keyKept)}); err != nil {
			return err
		}
		return tx.PutPassword(t.Context(), store.Password{Agent: a.Number, PHC: "$none$", Since: clock.Now()})
	})
	return tn
}

// serverKey is made once: RSA keys take long.
var serverKey = sync.OnceValue(func() []byte {
	body, err := newKey(new(storetest.Clock).Now())
	if err != nil {
		panic(err)
	}
	return body
})

func (tn *town) write(f func(tx *store.Tx) error) {
	tn.t.Helper()
	must(tn.t, tn.Store.Write(context.Background(), f))
}

// events counts those of a kind.
func (tn *town) events(kind string) int {
	tn.t.Helper()
	all, err := tn.Store.Events(context.Background(), store.EventFilter{Limit: 1000})
	must(tn.t, err)
	n := 0
	for _, e := range all {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// browser is one that follows nothing.
type browser struct {
	tn      *town
	ch      parvis.Channel
	cookies map[string]*http.Cookie
	session parvis.Session
}

func (tn *town) browser(ch parvis.Channel) *browser {
	return &browser{tn: tn, ch: ch, cookies: map[string]*http.Cookie{}}
}

// signIn begins a session of A100001 in this browser.
func (v *browser) signIn(kinds ...parvis.ProofKind) *browser {
	v.tn.t.Helper()
	return v.signInAs("A100001", kinds...)
}

func (v *browser) signInAs(agent parvis.AgentNumber, kinds ...parvis.ProofKind) *browser {
	v.tn.t.Helper()
	var token session.Token
	v.tn.write(func(tx *store.Tx) error {
		var proofs []parvis.Proof
		for _, k := range kinds {
			proofs = append(proofs, parvis.Proof{Kind: k, At: tx.Now()})
		}
		var err error
		token, v.session, err = v.tn.Sessions.Begin(tx, session.Beginning{Agent: agent, Origin: parvis.Origin{Channel: v.ch}, Proofs: proofs})
		return err
	})
	v.give(token)
	return v
}

// raise adds a proof to the session.
func (v *browser) raise(kind parvis.ProofKind) {
	v.tn.t.Helper()
	var token session.Token
	v.tn.write(func(tx *store.Tx) error {
		var err error
		token, err = v.tn.Sessions.Raise(tx, v.session.ID, parvis.Proof{Kind: kind, At: tx.Now()})
		return err
	})
	v.give(token)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	v.dress(r)
	var err error
	v.session, err = v.tn.Sessions.Of(edge.WithOrigin(r, parvis.Origin{Channel: v.ch}))
	must(v.tn.t, err)
}

func (v *browser) give(token session.Token) {
	rec := httptest.NewRecorder()
	v.tn.Sessions.Give(rec, token)
	v.keep(rec.Result())
}

func (v *browser) keep(res *http.Response) {
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
			continue
		}
		v.cookies[c.Name] = c
	}
}

func (v *browser) dress(r *http.Request) {
	r.Host = strings.TrimPrefix(strings.TrimPrefix(v.tn.Addresses.Portal(v.ch), "https://"), "http://")
	for _, c := range v.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
}

type answer struct {
	*http.Response
	body string
}

func (a answer) location() string { return a.Header.Get("Location") }

// back is the path that a page of the portal would lead back to.
func (a answer) back(t testing.TB, page string) string {
	t.Helper()
	u, err := url.Parse(a.location())
	must(t, err)
	if a.StatusCode != http.StatusSeeOther || u.Path != page || u.Query().Get("back") == "" {
		t.Fatalf("%d to %q, want %s: %s", a.StatusCode, a.location(), page, a.body)
	}
	return u.Query().Get("back")
}

var (
	inputs = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	action = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
)

// form reads the form of a page: where it leads, and its fields.
func (a answer) form(t testing.TB) (string, url.Values) {
	t.Helper()
	fields := url.Values{}
	for _, m := range inputs.FindAllStringSubmatch(a.body, -1) {
		fields.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	to := action.FindStringSubmatch(a.body)
	if a.StatusCode != http.StatusOK || to == nil {
		t.Fatalf("%d, no form: %s %s", a.StatusCode, a.location(), a.body)
	}
	return html.UnescapeString(to[1]), fields
}

func (v *browser) get(path string) answer { return v.send(http.MethodGet, path, nil, nil) }

func (v *browser) send(method, path string, form url.Values, header http.Header) answer {
	v.tn.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, strings.TrimPrefix(path, v.tn.Addresses.Portal(v.ch)), body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	v.dress(r)
	rec := httptest.NewRecorder()
	v.tn.site[v.ch].ServeHTTP(rec, r)
	v.keep(rec.Result())
	return answer{rec.Result(), rec.Body.String()}
}

// cross posts as a form of another site does: a browser sends no Lax cookie.
func (v *browser) cross(path string, form url.Values) answer {
	v.tn.t.Helper()
	other := &browser{tn: v.tn, ch: v.ch, cookies: map[string]*http.Cookie{}}
	return other.send(http.MethodPost, path, form, http.Header{"Origin": {"https://sp.example.org"}, "Sec-Fetch-Site": {"cross-site"}})
}

// partyKey is the key of every service provider of the tests.
var partyKey = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) { return newPair("sp") })

// otherKey is a key that nobody declared.
var otherKey = sync.OnceValues(func() (*rsa.PrivateKey, *x509.Certificate) { return newPair("other") })

func newPair(name string) (*rsa.PrivateKey, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	now := new(storetest.Clock).Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-50, 0, 0), NotAfter: now.AddDate(50, 0, 0), // the library looks at the real clock
	}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return key, cert
}

// provider is a service provider of github.com/crewjam/saml, not ours.
func provider(name string) *saml.ServiceProvider {
	key, cert := partyKey()
	at := func(path string) url.URL {
		return url.URL{Scheme: "https", Host: name + ".example.org", Path: path}
	}
	return &saml.ServiceProvider{
		EntityID: "https://" + name + ".example.org/saml", Key: key, Certificate: cert, SignatureMethod: dsig.RSASHA256SignatureMethod,
		MetadataURL: at("/saml"), AcsURL: at("/acs"), SloURL: at("/slo"), AuthnNameIDFormat: saml.UnspecifiedNameIDFormat,
		LogoutBindings: []string{saml.HTTPPostBinding},
	}
}

// declared is the application of a service provider.
func declared(sp *saml.ServiceProvider, id parvis.AppID, change func(*saml.EntityDescriptor)) parvis.App {
	m := sp.Metadata()
	if change != nil {
		change(m)
	}
	document, err := xml.Marshal(m)
	if err != nil {
		panic(err)
	}
	return parvis.App{ID: id, SAML: &parvis.SAMLService{Metadata: string(document)}}
}

// knows has a service provider read our metadata, as published.
func (tn *town) knows(sp *saml.ServiceProvider, ch parvis.Channel) {
	tn.t.Helper()
	res := tn.browser(ch).get(metaPath)
	if res.StatusCode != http.StatusOK {
		tn.t.Fatalf("metadata: %d %s", res.StatusCode, res.body)
	}
	sp.IDPMetadata = new(saml.EntityDescriptor)
	must(tn.t, xml.NewDecoder(bytes.NewReader([]byte(res.body))).Decode(sp.IDPMetadata))
}

// read has the service provider judge an answer, as its address was posted to.
func read(t testing.TB, sp *saml.ServiceProvider, a answer, ids ...string) *saml.Assertion {
	t.Helper()
	to, fields := a.form(t)
	if to != sp.AcsURL.String() {
		t.Fatalf("answered to %q", to)
	}
	raw, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	must(t, err)
	got, err := sp.ParseXMLResponse(raw, ids, sp.AcsURL)
	if err != nil {
		var invalid *saml.InvalidResponseError
		if errors.As(err, &invalid) {
			err = invalid.PrivateErr
		}
		t.Fatalf("the service provider refuses the answer: %v\n%s", err, raw)
	}
	return got
}

// statusOf reads the status of an answer without an assertion.
func statusOf(t testing.TB, a answer) (top, second string) {
	t.Helper()
	_, fields := a.form(t)
	raw, err := base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	must(t, err)
	if strings.Contains(string(raw), "Assertion ") {
		t.Errorf("an assertion in %s", raw)
	}
	root, err := readXML(raw)
	must(t, err)
	st, err := only(root, nsProtocol, "Status")
	must(t, err)
	code, err := only(st, nsProtocol, "StatusCode")
	must(t, err)
	top = code.SelectAttrValue("Value", "")
	if inner, _ := only(code, nsProtocol, "StatusCode"); inner != nil {
		second = inner.SelectAttrValue("Value", "")
	}
	return top, second
}
