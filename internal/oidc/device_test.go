package oidc

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/store"
)

type deviceAnswer struct {
	Device   string `json:"device_code"`
	User     string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
	Expires  int    `json:"expires_in"`
	Interval int    `json:"interval"`
}

// screens is a town with applications on devices.
func screens(t *testing.T) *town {
	screen := func(a *parvis.App) {
		a.OIDC.Auth, a.OIDC.Secrets, a.OIDC.Device, a.OIDC.Redirects = parvis.PublicClient, nil, true, nil
	}
	return open(t, client("tv", screen), client("tv2", screen), client("inner", func(a *parvis.App) {
		screen(a)
		a.Channels = []parvis.Channel{parvis.VPN}
	}))
}

// begin has a device ask for a code.
func (tn *town) begin(id string) deviceAnswer {
	tn.Helper()
	w := tn.form("/device_authorization", url.Values{"client_id": {id}, "scope": {"openid email admin"}}, false)
	var d deviceAnswer
	tn.must(json.Unmarshal(w.Body.Bytes(), &d))
	if w.Code != http.StatusOK || len(d.User) != 9 || d.URI != inside+"/device" || d.Complete != d.URI+"?user_code="+d.User || d.Expires != 300 || d.Interval != 5 {
		tn.Fatalf("%d %s", w.Code, w.Body)
	}
	return d
}

// poll has a device ask for its tokens, as if five seconds had passed.
func (tn *town) poll(id string, d deviceAnswer) tokens {
	tn.Helper()
	tn.p.polled.mu.Lock()
	clear(tn.p.polled.of)
	tn.p.polled.mu.Unlock()
	return tn.pollNow(id, d)
}

func (tn *town) pollNow(id string, d deviceAnswer) tokens {
	tn.Helper()
	return tn.answer(tn.form("/token", url.Values{"grant_type": {string(goidc.GrantDeviceCode)}, "device_code": {d.Device}, "client_id": {id}}, false))
}

// allow has the agent type a code, and answer.
func (tn *town) allow(d deviceAnswer, answer string) *httptest.ResponseRecorder {
	tn.Helper()
	w := tn.form("/device", url.Values{"user_code": {strings.ToLower(strings.ReplaceAll(d.User, "-", " "))}}, true)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), d.User) || !strings.Contains(w.Body.String(), "oidc_device_confirm") {
		tn.Fatalf("%d %s", w.Code, w.Body)
	}
	return tn.form("/device", url.Values{"ticket": {ticketIn(tn, w)}, "answer": {answer}}, true)
}

func TestADeviceGetsItsTokens(t *testing.T) {
	tn := screens(t)
	if w := tn.form("/device_authorization", url.Values{"client_id": {"rp"}, "client_secret": {pass}}, false); tn.answer(w).Error != "unauthorized_client" {
		t.Errorf("a client without devices: %s", w.Body)
	}
	d := tn.begin("tv")
	if got := tn.poll("tv", d); got.Error != "authorization_pending" {
		t.Errorf("at once: %+v", got)
	}
	if got := tn.pollNow("tv", d); got.Error != "slow_down" {
		t.Errorf("too soon: %+v", got)
	}
	if u := tn.where(tn.get("/device?user_code=" + d.User)); u.Path != "/signin" || u.Query().Get("to") != "/device?user_code="+d.User {
		t.Errorf("nobody is in: %s", u)
	}
	tn.signIn(agentOne)
	// An address with the code in it allows nothing: it is compared and sent.
	if w := tn.get("/device?user_code=" + d.User); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `value="`+d.User+`"`) {
		t.Errorf("the page: %d %s", w.Code, w.Body)
	}
	if got := tn.poll("tv", d); got.Error != "authorization_pending" {
		t.Errorf("the page alone: %+v", got)
	}
	if w := tn.allow(d, "yes"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "oidc_device_done") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := tn.poll("tv2", d); got.Access != "" || got.Error != "invalid_grant" {
		t.Errorf("another client's device: %+v", got)
	}
	got := tn.poll("tv", d)
	if got.Access == "" || got.Refresh == "" || got.Scope != "openid email" || tn.claims(got.ID)["sub"] != string(agentOne) {
		t.Fatalf("allowed: %+v", got)
	}
	if got := tn.poll("tv", d); got.Error != "invalid_grant" {
		t.Errorf("twice: %+v", got)
	}
	if got := tn.refresh("tv", got.Refresh); got.Access == "" {
		t.Errorf("refresh: %+v", got)
	}
}

func TestADeviceIsRefused(t *testing.T) {
	tn := screens(t)
	s := tn.signIn(agentOne)
	d := tn.begin("tv")
	if w := tn.allow(d, "no"); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := tn.poll("tv", d); got.Error != "access_denied" {
		t.Errorf("denied: %+v", got)
	}
	if w := tn.allow(tn.begin("inner"), "yes"); !strings.HasPrefix(w.Header().Get("Location"), "/why/") {
		t.Errorf("an application that is closed here: %d %s", w.Code, w.Header())
	}
	// Its five minutes are over.
	d = tn.begin("tv")
	late := hashName(d.Device)
	doc, err := tn.p.Store.Document(t.Context(), kindDevice, late)
	waits, err := tn.p.openDevice(doc, err)
	tn.must(err)
	waits.Machine = now() - 1
	kept, err := tn.p.sealDevice(late, waits)
	tn.must(err)
	doc.Body = kept.Body
	tn.write(func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "grant.asked", Actor: "system"})
		_, err := tx.PutDocument(t.Context(), doc)
		return err
	})
	if got := tn.poll("tv", d); got.Error != "expired_token" {
		t.Errorf("too late: %+v", got)
	}
	if w := tn.form("/device", url.Values{"user_code": {d.User}}, true); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("too late, typed: %d", w.Code)
	}
	// A device ends with the session that allowed it, before it has its tokens too.
	d = tn.begin("tv")
	tn.allow(d, "yes")
	tn.leave(s)
	if got := tn.poll("tv", d); got.Error != "invalid_grant" {
		t.Errorf("after the session: %+v", got)
	}
}

func TestCodesOfDevicesCannotBeGuessed(t *testing.T) {
	tn := open(t, client("tv", func(a *parvis.App) { a.OIDC.Device = true }))
	tn.signIn(agentOne)
	w := tn.form("/device_authorization", url.Values{"client_id": {"tv"}, "client_secret": {pass}, "scope": {"openid"}}, false)
	var d deviceAnswer
	tn.must(json.Unmarshal(w.Body.Bytes(), &d))
	for i := range wrongCodes {
		if w := tn.form("/device", url.Values{"user_code": {"BBBB-BBB" + string(rune('B'+i))}}, true); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("wrong code %d: %d", i, w.Code)
		}
	}
	if w := tn.form("/device", url.Values{"user_code": {d.User}}, true); w.Code != http.StatusTooManyRequests {
		t.Errorf("the right one after %d wrong ones: %d", wrongCodes, w.Code)
	}
	tn.p.typed.mu.Lock()
	for name, was := range tn.p.typed.of {
		was.last = was.last.Add(-wrongPause - time.Second)
		tn.p.typed.of[name] = was
	}
	tn.p.typed.mu.Unlock()
	w = tn.form("/device", url.Values{"user_code": {d.User}}, true)
	ticket := ticketIn(t, w)
	// The answer is that of whoever was asked.
	tn.cookies = nil
	tn.signIn("A100002")
	if w := tn.form("/device", url.Values{"ticket": {ticket}, "answer": {"yes"}}, true); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("another agent's page: %d", w.Code)
	}
}

func TestConsent(t *testing.T) {
	tn := open(t, client("ext", func(a *parvis.App) { a.External = true }))
	tn.signIn(agentOne)
	if got := refused(tn.authorize(asks("ext", "prompt", "none"))); got != "consent_required" {
		t.Errorf("silently: %q", got)
	}
	ask := func(q url.Values) *httptest.ResponseRecorder { return tn.get("/authorize?" + q.Encode()) }
	w := ask(asks("ext"))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "your work email address") || strings.Contains(w.Body.String(), "your agent number") {
		t.Fatalf("the page: %d %s", w.Code, w.Body)
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "https://rp.example") {
		t.Errorf("the answer cannot lead back: %s", csp)
	}
	first := ticketIn(t, w)
	u := tn.where(tn.form("/consent", url.Values{"ticket": {first}, "answer": {"no"}}, true))
	if got := refused(tn.where(tn.get(u.String()))); got != "access_denied" {
		t.Errorf("declined: %q", got)
	}
	u = tn.where(tn.form("/consent", url.Values{"ticket": {ticketIn(t, ask(asks("ext")))}, "answer": {"yes"}}, true))
	if u = tn.where(tn.get(u.String())); u.Query().Get("code") == "" {
		t.Errorf("agreed: %s", u)
	}
	if got := tn.redeem("ext", tn.code(asks("ext", "prompt", "none"))); got.ID == "" {
		t.Error("agreed before")
	}
	if w := ask(asks("ext", "scope", "openid email uid")); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "your agent number") {
		t.Errorf("more than was agreed to: %d", w.Code)
	}
	w = ask(asks("ext", "prompt", "consent"))
	u = tn.where(tn.form("/consent", url.Values{"ticket": {ticketIn(t, w)}, "answer": {"yes"}}, true))
	if u = tn.where(tn.get(u.String())); u.Query().Get("code") == "" {
		t.Errorf("asked for: %s", u)
	}
	documents, err := tn.p.Store.DocumentsOf(t.Context(), kindConsent, agentOne)
	if err != nil || len(documents) != 1 || documents[0].App != "ext" {
		t.Errorf("kept: %v, %v", documents, err)
	}
	tn.cookies = nil
	tn.signIn("A100002")
	if w := tn.form("/consent", url.Values{"ticket": {first}, "answer": {"yes"}}, true); w.Code != http.StatusConflict {
		t.Errorf("another agent's page: %d", w.Code)
	}
}
