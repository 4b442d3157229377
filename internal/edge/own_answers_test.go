package edge_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/text"
)

// What answers before the portal does carries the same headers as the portal.
func TestAnswersBeforeThePortalAreProtected(t *testing.T) {
	addresses, err := parvis.NewAddresses(map[parvis.Channel]string{parvis.Mobile: "https://nomade.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := text.Load()
	if err != nil {
		t.Fatal(err)
	}
	e := &edge.Edge{Addresses: addresses, Catalog: catalog, Clock: time.Now, Log: slog.New(slog.DiscardHandler), Portal: http.NotFoundHandler(), Apps: http.NotFoundHandler()}
	door := e.Handler(edge.Entrance{Channel: parvis.Mobile})
	for name, c := range map[string]struct {
		method, host, site string
		status             int
	}{
		"another site's form": {http.MethodPost, "nomade.example.org", "cross-site", http.StatusForbidden},
		"a sibling's form":    {http.MethodPost, "nomade.example.org", "same-site", http.StatusForbidden},
		"an unknown name":     {http.MethodGet, "evil.example", "", http.StatusMisdirectedRequest},
		"a trace":             {http.MethodTrace, "nomade.example.org", "", http.StatusMisdirectedRequest},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.Host = c.host
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %d", name, w.Code)
		}
		for field, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "frame-ancestors 'none'",
			"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=", "X-Request-Id": "",
		} {
			if got := w.Header().Values(field); len(got) != 1 || !strings.Contains(got[0], want) {
				t.Errorf("%s: %s is %q", name, field, got)
			}
		}
	}
}

// A try is recorded as failed before it is examined: the counters must not take
// everybody who signs in for somebody who failed.
func TestTriesAreNotCountedAsFailures(t *testing.T) {
	m := edge.NewMetrics()
	m.Follow([]parvis.Event{{Kind: "sign_in.failed"}, {Kind: "sign_in.ok"}, {Kind: "sign_in.failed"}, {Kind: "session.began"}})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line, want := range map[string]bool{
		`parvis_events_total{kind="sign_in.tried"} 2`: true, `parvis_events_total{kind="sign_in.ok"} 1`: true,
		`parvis_events_total{kind="session.began"} 1`: true, `kind="sign_in.failed"`: false,
	} {
		if strings.Contains(w.Body.String(), line) != want {
			t.Errorf("%s: %t", line, !want)
		}
	}
}
