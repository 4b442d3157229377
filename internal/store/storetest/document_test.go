package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestDocument(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		put := func(d store.Document) bool {
			t.Helper()
			return did(t, s, func(tx *store.Tx) (bool, error) { return tx.PutDocument(ctx, d) })
		}
		d := store.Document{Kind: "device", ID: "d", Agent: "A1", App: "borne", Finder: [32]byte{1}, Body: []byte("one"), Expires: now.Add(time.Hour)}
		if !put(d) || put(d) {
			t.Error("a document is made once")
		}
		other := d
		if other.ID = "e"; put(other) {
			t.Error("two documents of one kind and finder")
		}
		if other.Kind = "par"; !put(other) {
			t.Error("a finder belongs to its kind")
		}
		d.Version, d.Body = 1, []byte("two")
		if won := winners(8, func(int) bool { return put(d) }); won != 1 {
			t.Errorf("%d of 8 wrote the same version", won)
		}
		d.Version = 2
		got, err := s.DocumentBy(ctx, "device", d.Finder)
		if diff := cmp.Diff(d, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		consent := store.Document{Kind: "consent", ID: "c", Version: 1, Agent: "A1", App: "dehors", Body: []byte("three")}
		if !put(store.Document{Kind: "consent", ID: "c", Agent: "A1", App: "dehors", Body: []byte("three")}) ||
			!put(store.Document{Kind: "consent", ID: "b", Agent: "A2", App: "dehors"}) || !put(store.Document{Kind: "key", ID: "k"}) {
			t.Error("not kept")
		}
		list, err := s.DocumentsOf(ctx, "consent", "A1")
		if diff := cmp.Diff([]store.Document{consent}, list); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		if list, err := s.DocumentsOf(ctx, "key", ""); err != nil || len(list) != 0 {
			t.Errorf("what is nobody's: %v, %v", list, err)
		}
		if list, err := s.Documents(ctx, "consent"); err != nil || len(list) != 2 || list[0].ID != "b" {
			t.Errorf("%+v, %v", list, err)
		}
		for _, kind := range []string{"", "key"} {
			if _, err := s.DocumentBy(ctx, kind, d.Finder); parvis.CodeOf(err) != parvis.CodeNotFound {
				t.Errorf("of another kind: %v", err)
			}
		}
		if won := winners(8, func(int) bool {
			return did(t, s, func(tx *store.Tx) (bool, error) { return tx.DropDocument(ctx, "device", "d") })
		}); won != 1 {
			t.Errorf("%d of 8 used the same document", won)
		}
		if put(d) {
			t.Error("a dropped document came back")
		}
		clock.Move(time.Hour + time.Second)
		if _, err := s.Document(ctx, "par", "e"); err != nil {
			t.Errorf("before it is swept: %v", err)
		}
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Document(ctx, "par", "e"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("after: %v", err)
		}
		if got, err := s.Document(ctx, "consent", "c"); err != nil || got.ID != "c" {
			t.Errorf("one without end: %+v, %v", got, err)
		}
	})
}

// The attack:
//  1. the proof that goes with a token is taken on its way, with its jti;
//  2. it is shown at once to both processes of the front door, many times;
//  3. one request is served.
func TestShownOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		clock := new(storetest.Clock)
		stores := [2]*store.Store{storetest.Open(t, address, clock), storetest.Open(t, address, clock)}
		until := clock.Now().Add(time.Minute)
		show := func(i int) bool {
			return did(t, stores[i%2], func(tx *store.Tx) (bool, error) { return tx.SpendOnce(context.Background(), [32]byte{7}, until) })
		}
		if n := winners(20, show); n != 1 {
			t.Errorf("%d of 20 were the first", n)
		}
		clock.Move(30 * time.Second)
		if err := stores[0].Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if show(1) {
			t.Error("a sweep forgot it before its time")
		}
		clock.Move(time.Hour)
		if err := stores[0].Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var left int64
		if err := recorded(t, stores[0], func(tx *store.Tx) (err error) {
			left, err = tx.ForgetDocuments(t.Context(), clock.Now(), 10)
			return err
		}); err != nil || left != 0 {
			t.Errorf("%d left after the sweep, %v", left, err)
		}
	})
}
