package storetest_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func TestCitizen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		first := store.Citizen{ID: "c1", Key: [32]byte{1}, Card: []byte("card"), PHC: "p1", Created: now, Changed: now}
		second := first
		second.ID, second.PHC = "c2", "p2"
		third := first
		third.ID, third.PHC = "c3", "p3"
		put := func(c store.Citizen) (ok bool) {
			t.Helper()
			if err := recorded(t, s, func(tx *store.Tx) (err error) {
				ok, err = tx.PutCitizen(ctx, c, now.Add(-time.Hour))
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !put(first) || !put(second) {
			t.Fatal("an account that was never confirmed stands in the way")
		}
		if _, err := s.Citizen(ctx, "c1"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("the account that was replaced: %v", err)
		}
		if err := recorded(t, s, func(tx *store.Tx) error {
			if ok, err := tx.ConfirmCitizen(ctx, "c1"); ok || err != nil {
				t.Errorf("a confirmation of the account that was replaced: %v, %v", ok, err)
			}
			if ok, err := tx.ConfirmCitizen(ctx, "c2"); !ok || err != nil {
				t.Errorf("confirmed: %v, %v", ok, err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if put(third) {
			t.Error("a confirmed account was replaced")
		}
		second.Confirmed = now
		got, err := s.CitizenByKey(ctx, first.Key)
		if d := cmp.Diff(second, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		clock.Move(2 * time.Hour)
		if !put(store.Citizen{ID: "c4", Key: [32]byte{4}, Card: []byte{0}, PHC: "p", Created: now, Changed: now}) || !put(store.Citizen{ID: "c5", Key: [32]byte{5}, Card: []byte{0}, PHC: "p", Created: now.Add(2 * time.Hour), Changed: now}) {
			t.Error("other addresses were not taken")
		}
		if err := recorded(t, s, func(tx *store.Tx) error {
			_, err := tx.PutCitizen(ctx, store.Citizen{ID: "c6", Key: [32]byte{6}, Card: []byte{0}, PHC: "p", Created: now, Changed: now}, now.Add(time.Hour))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]parvis.Code{"c2": "", "c4": parvis.CodeNotFound, "c5": "", "c6": ""} {
			if _, err := s.Citizen(ctx, id); parvis.CodeOf(err) != want {
				t.Errorf("%s after the sweep: %v", id, err)
			}
		}
		for _, bad := range []store.Citizen{{PHC: "p", Card: []byte{0}}, {ID: "x", Card: []byte{0}}, {ID: "x", PHC: "p"}} {
			err := recorded(t, s, func(tx *store.Tx) error { _, err := tx.PutCitizen(ctx, bad, now); return err })
			if parvis.CodeOf(err) != parvis.CodeInvalid {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

func TestCitizenPasswordEndsEverything(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		if err := recorded(t, s, func(tx *store.Tx) error {
			for i, id := range []string{"c1", "c2"} {
				n := byte(i + 1)
				if _, err := tx.PutCitizen(ctx, store.Citizen{ID: id, Key: [32]byte{n}, Card: []byte{0}, PHC: "p", Created: now, Changed: now}, now); err != nil {
					return err
				}
				if err := tx.PutCitizenSession(ctx, store.CitizenSession{ID: [32]byte{n}, Citizen: id, Proved: now, Ends: now.Add(time.Hour)}); err != nil {
					return err
				}
				if _, err := tx.PutCitizenDocument(ctx, store.CitizenDocument{Kind: "grant", ID: id, Citizen: id, Body: []byte("b"), Expires: now.Add(time.Hour)}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		clock.Move(time.Minute)
		if err := recorded(t, s, func(tx *store.Tx) error {
			if ok, err := tx.SetCitizenPassword(ctx, "nobody", "q"); ok || err != nil {
				t.Errorf("nobody's password: %v, %v", ok, err)
			}
			ok, err := tx.SetCitizenPassword(ctx, "c1", "q")
			if !ok {
				t.Error("not changed")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if c, err := s.Citizen(ctx, "c1"); err != nil || c.PHC != "q" || !c.Changed.Equal(now.Add(time.Minute)) {
			t.Errorf("%+v, %v", c, err)
		}
		for i, want := range []parvis.Code{parvis.CodeNotFound, ""} {
			if _, err := s.CitizenSession(ctx, [32]byte{byte(i + 1)}, clock.Now()); parvis.CodeOf(err) != want {
				t.Errorf("session %d: %v", i+1, err)
			}
			if _, err := s.CitizenDocument(ctx, "grant", []string{"c1", "c2"}[i]); parvis.CodeOf(err) != want {
				t.Errorf("grant %d: %v", i+1, err)
			}
		}
		if _, err := s.CitizenSession(ctx, [32]byte{2}, now.Add(time.Hour)); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("a session at its end: %v", err)
		}
		for _, want := range []bool{true, false} {
			if err := recorded(t, s, func(tx *store.Tx) error {
				ok, err := tx.DropCitizenSession(ctx, [32]byte{2})
				if ok != want {
					t.Errorf("dropped: %v", ok)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCitizenTry(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		one := store.CitizenTry{Key: [32]byte{1}, Failures: 3, Wait: now.Add(time.Minute), Last: now}
		if err := recorded(t, s, func(tx *store.Tx) error {
			return tx.PutCitizenTry(ctx, one, now.Add(-time.Hour))
		}); err != nil {
			t.Fatal(err)
		}
		got, err := s.CitizenTry(ctx, one.Key)
		if d := cmp.Diff(one, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if none, err := s.CitizenTry(ctx, [32]byte{9}); err != nil || none != (store.CitizenTry{Key: [32]byte{9}}) {
			t.Errorf("%+v, %v", none, err)
		}
		if err := recorded(t, s, func(tx *store.Tx) error { // the first is forgotten with time, the second at once
			return tx.PutCitizenTry(ctx, store.CitizenTry{Key: [32]byte{2}}, now.Add(time.Hour))
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.CitizenTry(ctx, one.Key); err != nil || got.Failures != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestCitizenCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		code := func(n byte, purpose string) store.CitizenCode {
			return store.CitizenCode{
				ID: string('a' + rune(n)), Purpose: purpose, Citizen: "c1", Key: [32]byte{1}, Link: [32]byte{n}, Code: [32]byte{9},
				Browser: [32]byte{7}, Carried: "x", Created: now, Expires: now.Add(time.Hour),
			}
		}
		put := func(c store.CitizenCode) {
			t.Helper()
			if err := recorded(t, s, func(tx *store.Tx) error { return tx.PutCitizenCode(ctx, c) }); err != nil {
				t.Fatal(err)
			}
		}
		put(code(1, "confirm"))
		put(code(2, "recover"))
		put(code(3, "confirm"))
		if c, err := s.CitizenCode(ctx, "b"); err != nil || c.Used.IsZero() {
			t.Errorf("the earlier code is still good: %+v, %v", c, err)
		}
		got, err := s.CitizenCodeByLink(ctx, [32]byte{3})
		if d := cmp.Diff(code(3, "confirm"), got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if _, err := s.CitizenCodeByLink(ctx, [32]byte{8}); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("no such link: %v", err)
		}
		// Twelve at once: five may look, one may use.
		var looked, used atomic.Int32
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if err := recorded(t, s, func(tx *store.Tx) error {
					ok, err := tx.TryCitizenCode(ctx, "d", 5)
					if ok {
						looked.Add(1)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for range 3 {
			if err := recorded(t, s, func(tx *store.Tx) error {
				ok, err := tx.UseCitizenCode(ctx, "d")
				if ok {
					used.Add(1)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		if looked.Load() != 5 || used.Load() != 1 {
			t.Errorf("%d looked, %d used", looked.Load(), used.Load())
		}
		clock.Move(time.Hour)
		if err := recorded(t, s, func(tx *store.Tx) error {
			tried, err := tx.TryCitizenCode(ctx, "c", 5)
			if err != nil {
				return err
			}
			used, err := tx.UseCitizenCode(ctx, "c")
			if tried || used {
				t.Error("a code that is over")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCitizenDocument(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now().UTC()
		d := store.CitizenDocument{Kind: "grant", ID: "g", Citizen: "c1", Finder: [32]byte{1}, Body: []byte("one"), Expires: now.Add(time.Hour)}
		put := func(d store.CitizenDocument) (ok bool) {
			t.Helper()
			if err := recorded(t, s, func(tx *store.Tx) (err error) {
				ok, err = tx.PutCitizenDocument(ctx, d)
				return err
			}); err != nil {
				t.Error(err)
			}
			return ok
		}
		if !put(d) || put(d) {
			t.Error("a document is made once")
		}
		other := d
		other.ID = "h"
		if put(other) {
			t.Error("two documents of one finder")
		}
		d.Version, d.Body = 1, []byte("two")
		var won atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if put(d) {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 8 wrote the same version", won.Load())
		}
		d.Version = 2
		got, err := s.CitizenDocumentBy(ctx, "grant", d.Finder)
		if diff := cmp.Diff(d, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		if _, err := s.CitizenDocumentBy(ctx, "key", d.Finder); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("of another kind: %v", err)
		}
		clock.Move(time.Hour)
		if !put(store.CitizenDocument{Kind: "key", ID: "k", Body: []byte("k"), Expires: now.Add(2 * time.Hour)}) {
			t.Error("a key was not kept")
		}
		if _, err := s.CitizenDocument(ctx, "grant", "g"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("a document that is over: %v", err)
		}
		if list, err := s.CitizenDocuments(ctx, "key"); err != nil || len(list) != 1 || list[0].ID != "k" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
