package demo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func post(box *Letterbox, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/sms", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	box.Handler().ServeHTTP(w, r)
	return w
}

func TestTextMessages(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	box := &Letterbox{Clock: func() time.Time { return at }}
	const text = "204816 est votre code Ville. Ne le donnez à personne.\n@agents.localhost #204816"
	body, err := json.Marshal(map[string]string{"to": "+33600000042", "text": text, "id": "x1"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same message twice is one
		w := post(box, "application/json", string(body))
		var answer struct{ Status, ID string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Status != "accepted" || answer.ID != "1" {
			t.Fatalf("%d %q, %v", w.Code, w.Body, err)
		}
	}
	for _, to := range []string{"%2B33600000042", "+33600000042"} {
		w := httptest.NewRecorder()
		box.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/messages?to="+to, nil))
		var got []Letter
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := []Letter{{ID: "1", Kind: "sms", To: "+33600000042", Text: text, Links: []string{}, Codes: []string{"204816"}, At: at}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("texts to %s (-want +got):\n%s", to, d)
		}
	}
	w := httptest.NewRecorder()
	box.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if page := w.Body.String(); !strings.Contains(page, "SMS to &#43;33600000042") || !strings.Contains(page, "@agents.localhost #204816") {
		t.Errorf("the page lacks the text:\n%s", page)
	}
}

func TestTextMessagesThatAreNone(t *testing.T) {
	box := &Letterbox{Clock: time.Now}
	for _, c := range []struct {
		kind, body string
		want       int
	}{
		{"application/x-www-form-urlencoded", `{"to":"+33600000042","text":"a"}`, http.StatusUnsupportedMediaType},
		{"", `{"to":"+33600000042","text":"a"}`, http.StatusUnsupportedMediaType},
		{"application/json", `{"to":"+336000`, http.StatusBadRequest},
		{"application/json", `{"to":"+33600000042","text":"` + strings.Repeat("a", 20<<10) + `"}`, http.StatusBadRequest},
		{"application/json", `{"to":"0600000042","text":"a"}`, http.StatusUnprocessableEntity},
		{"application/json", `{"to":"+33600000042","text":""}`, http.StatusUnprocessableEntity},
	} {
		if w := post(box, c.kind, c.body); w.Code != c.want {
			t.Errorf("%s %.40s: %d, want %d", c.kind, c.body, w.Code, c.want)
		}
	}
	if n := len(box.For("")); n != 0 {
		t.Errorf("%d messages kept", n)
	}
}
