package storetest_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// did writes with an event, and gives what the change answered.
func did(t *testing.T, s *store.Store, f func(tx *store.Tx) (bool, error)) (ok bool) {
	t.Helper()
	if err := recorded(t, s, func(tx *store.Tx) (err error) {
		ok, err = f(tx)
		return err
	}); err != nil {
		t.Error(err)
	}
	return ok
}

// winners runs f from n goroutines at once and counts those it answers true.
func winners(n int, f func(i int) bool) int {
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if f(i) {
				won.Add(1)
			}
		})
	}
	all.Wait()
	return int(won.Load())
}

func TestApps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		row := store.AppRow{By: "operator:it", App: parvis.App{
			ID: "courrier", Name: parvis.Words{FR: "Courrier", EN: "Mail"}, Channels: []parvis.Channel{parvis.Internal, parvis.Mobile},
			ReducedTo: []string{"GET /"}, ProofMaxAge: 300,
			OIDC: &parvis.OIDCClient{
				Redirects: []string{"https://courrier.example.org/cb?a=1&b=<2>"}, Auth: "client_secret_basic", JWKS: `{"keys":[]}`,
				Secrets: []parvis.ClientSecret{{Hash: [32]byte{1, 31: 0xff}, Since: now}, {Hash: [32]byte{2}, Since: now, Expires: now.Add(time.Hour)}},
			},
			SAML: &parvis.SAMLService{Metadata: "<EntityDescriptor entityID=\"é\">\n\t</EntityDescriptor>\n"},
		}}
		put := func(r store.AppRow) bool {
			t.Helper()
			return did(t, s, func(tx *store.Tx) (bool, error) { return tx.PutApp(ctx, r) })
		}
		if n := winners(8, func(int) bool { return put(row) }); n != 1 {
			t.Errorf("%d of 8 made the same application", n)
		}
		row.Version, row.At = 1, now
		got, err := s.App(ctx, "courrier")
		if d := cmp.Diff(row, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		row.App.Name.FR, row.By = "Messagerie", "operator:other"
		if n := winners(8, func(int) bool { return put(row) }); n != 1 {
			t.Errorf("%d of 8 wrote over the same version", n)
		}
		row.Version = 2
		if !put(store.AppRow{App: parvis.App{ID: "agenda"}, By: "operator:it"}) {
			t.Error("a second application was not kept")
		}
		list, err := s.Apps(ctx)
		if d := cmp.Diff([]store.AppRow{{App: parvis.App{ID: "agenda"}, Version: 1, By: "operator:it", At: now}, row}, list); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		remove := func(version int64) bool {
			t.Helper()
			return did(t, s, func(tx *store.Tx) (bool, error) { return tx.RemoveApp(ctx, "courrier", version) })
		}
		if remove(1) || !remove(2) || remove(2) || remove(3) {
			t.Error("an application is removed once, by whoever saw it last")
		}
		if _, err := s.App(ctx, "courrier"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("a removed application: %v", err)
		}
		if put(row) {
			t.Error("a removed application was written over")
		}
		row.Version = 0
		if !put(row) {
			t.Error("an application cannot be made again")
		}
		row.Version = 2
		if put(row) {
			t.Error("whoever saw the first application wrote over the second of its name")
		}
	})
}

// A field that this release does not know may be what keeps people out.
func TestAppNotUnderstood(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		s := storetest.Open(t, address, new(storetest.Clock))
		ctx := t.Context()
		for _, id := range []parvis.AppID{"unknown", "other", "two", "good"} {
			if !did(t, s, func(tx *store.Tx) (bool, error) { return tx.PutApp(ctx, store.AppRow{App: parvis.App{ID: id}}) }) {
				t.Fatal("not kept")
			}
		}
		db := open(t, address)
		for id, text := range map[string]string{
			"unknown": `{"ID":"unknown","OnlyOnMondays":true}`,
			"other":   `{"ID":"good"}`,
			"two":     `{"ID":"two"}{"ID":"two"}`,
		} {
			if _, err := db.ExecContext(ctx, "UPDATE application SET app = $1 WHERE id = $2", text, id); err != nil {
				t.Fatal(err)
			}
			if _, err := s.App(ctx, parvis.AppID(id)); parvis.CodeOf(err) != parvis.CodeInternal || !strings.Contains(err.Error(), id) {
				t.Errorf("%s: %v", id, err)
			}
		}
		if _, err := s.Apps(ctx); parvis.CodeOf(err) != parvis.CodeInternal {
			t.Errorf("a list that leaves some out: %v", err)
		}
		if _, err := s.App(ctx, "good"); err != nil {
			t.Error(err)
		}
	})
}
