package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"parvis"
)

// The clock goes back under an open visit. What was signed, held and proved in
// what is now the future is worth nothing by itself: it is signed and decided
// again, and the visit goes on.
func TestClockBackUnderAVisit(t *testing.T) {
	d := newDoor(t, parvis.App{ID: "urbanisme", OfficeHours: true, Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Parvis-Assertion"))
	})})
	d.clock.Set(time.Date(2026, 3, 2, 18, 59, 58, 0, time.UTC)) // 19:59:58 in Paris
	v := d.arrive(parvis.Internal)
	v.enter("urbanisme", "/")
	issued := func() (time.Time, bool) {
		t.Helper()
		res := v.get(d.url(parvis.Internal, "urbanisme", "/"), http.Header{"Accept": {"application/json"}})
		if res.StatusCode != http.StatusOK {
			t.Errorf("at %s: %d %s", d.clock.Now(), res.StatusCode, res.body)
			return time.Time{}, false
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(res.body, ".")[1])
		must(t, err)
		var c claims
		must(t, json.Unmarshal(payload, &c))
		return time.Unix(c.Issued, 0), true
	}
	issued()
	d.clock.Move(-2 * time.Hour)
	if at, ok := issued(); ok && at.After(d.clock.Now()) {
		t.Errorf("at %s the application receives an assertion of %s", d.clock.Now(), at)
	}
	d.clock.Set(time.Date(2026, 3, 2, 5, 30, 0, 0, time.UTC)) // 6:30 in Paris: the offices are closed
	res := v.get(d.url(parvis.Internal, "urbanisme", "/"), http.Header{"Accept": {"application/json"}})
	if res.StatusCode != http.StatusForbidden || !strings.Contains(res.body, "channel_closed") || strings.Contains(res.body, "session_expired") {
		t.Errorf("a decision outlived the clock's move: %d %s", res.StatusCode, res.body)
	}
}

func TestClockBackUnderAStream(t *testing.T) {
	began := make(chan bool, 1)
	d := newDoor(t, parvis.App{ID: "urbanisme", OfficeHours: true, Upstream: app(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		began <- true
		<-r.Context().Done()
	})})
	d.clock.Set(time.Date(2026, 3, 2, 18, 59, 58, 0, time.UTC))
	v := d.arrive(parvis.Internal)
	v.enter("urbanisme", "/")
	res, err := v.Get(d.url(parvis.Internal, "urbanisme", "/stream"))
	must(t, err)
	defer res.Body.Close()
	<-began
	d.clock.Set(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	d.watch(context.Background())
	if n := len(d.flights.lasting(d.clock.Now())); n != 1 {
		t.Errorf("%d streams are looked at", n)
	}
	d.clock.Set(time.Date(2026, 3, 2, 5, 30, 0, 0, time.UTC))
	d.watch(context.Background())
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the stream ended as if it were whole")
	}
}

func TestClockBackWhileAnApplicationIsDown(t *testing.T) {
	up := &upstream{way: new(way)}
	now := time.Date(2026, 3, 2, 18, 0, 0, 0, time.UTC)
	up.health.failing(now)
	if since := up.health.failing(now.Add(-2 * time.Hour)); since.After(now.Add(-2 * time.Hour)) {
		t.Errorf("down since the future: %s", since)
	}
}
