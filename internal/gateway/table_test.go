package gateway

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"parvis"
)

// rule replaces the applications, as the register does.
func (d *door) rule(apps ...parvis.App) {
	d.t.Helper()
	d.Policy.Replace(policyOf(d.t, apps))
	d.Refresh()
}

func TestRefresh(t *testing.T) {
	begun := make(chan struct{}, 1)
	stream := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			echo(w, r)
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		begun <- struct{}{}
		<-r.Context().Done()
	})
	paie, conges := parvis.App{ID: "paie", Upstream: stream}, parvis.App{ID: "conges", Upstream: stream}
	d := newDoor(t, paie, conges)
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	v.enter("conges", "/")
	kept, changed := d.app("paie"), d.app("conges")

	renamed := conges
	renamed.Headers = true
	d.rule(paie, renamed, parvis.App{ID: "wiki", Forward: true}, parvis.App{ID: "bad", Upstream: "::"})
	if d.app("paie") != kept {
		t.Error("an application that did not change was made again")
	}
	if up := d.app("conges"); up == changed || up.way != changed.way || !up.app.Headers {
		t.Error("an application that changed kept what it was, or lost its way")
	}
	if d.app("wiki") == nil || d.app("bad") != nil {
		t.Error("a new one is not there, or one without an address is")
	}
	if res := v.get(d.url(parvis.Internal, "conges", "/"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("opens with %d after a change", res.StatusCode)
	}

	for name, end := range map[string]func(){
		"removed": func() { d.rule(conges) },
		"moved":   func() { d.rule(conges, parvis.App{ID: "paie", Upstream: app(t, echo)}) },
	} {
		d.rule(paie, conges)
		res, err := v.Get(d.url(parvis.Internal, "paie", "/stream"))
		must(t, err)
		<-begun
		d.clock.Move(2 * time.Second)
		d.watch(context.Background())
		end()
		d.watch(context.Background())
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: the stream ended as if it were whole", name)
		}
		must(t, res.Body.Close())
	}
	d.rule(conges)
	if res := v.get(d.url(parvis.Internal, "paie", "/"), nil); res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("an application that is gone: %d", res.StatusCode)
	}
	if _, down := d.Down("paie"); down {
		t.Error("an application that is gone is down")
	}
	d.rule(paie, conges) // the visit of before is one of the same application
	if res := v.get(d.url(parvis.Internal, "paie", "/"), nil); res.StatusCode != http.StatusOK {
		t.Errorf("an application that came back: %d", res.StatusCode)
	}
}

// Requests find the one table or the other while it is replaced, and a stream
// does not end because something else changed.
func TestRefreshUnderRequests(t *testing.T) {
	paie, conges := parvis.App{ID: "paie", Upstream: app(t, echo)}, parvis.App{ID: "conges", Upstream: app(t, echo)}
	d := newDoor(t, paie, conges)
	v := d.arrive(parvis.Internal)
	v.enter("paie", "/")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			apps := []parvis.App{conges, paie}
			if i%2 == 0 {
				apps = append(apps, parvis.App{ID: "wiki", Forward: true})
			}
			slices.Reverse(apps)
			d.rule(apps...)
		}
	}()
	for range 50 {
		if res := v.get(d.url(parvis.Internal, "paie", "/"), nil); res.StatusCode != http.StatusOK {
			t.Errorf("%d %s", res.StatusCode, res.body)
		}
	}
	close(stop)
	<-done
}
