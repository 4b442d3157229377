package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// refused runs f in a recorded transaction that must fail with a code.
func refused(t *testing.T, s *store.Store, want parvis.Code, f func(*store.Tx) error) {
	t.Helper()
	err := s.Write(t.Context(), func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "test.acted"})
		return f(tx)
	})
	if parvis.CodeOf(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// told runs f in a recorded transaction and gives its answer.
func told(t *testing.T, s *store.Store, f func(*store.Tx) (bool, error)) (answer bool) {
	t.Helper()
	act(t, s, func(tx *store.Tx) (err error) {
		answer, err = f(tx)
		return err
	})
	return answer
}

// once runs f twenty times at once; exactly one must be told true.
func once(t *testing.T, s *store.Store, what string, f func(*store.Tx) (bool, error)) {
	t.Helper()
	var wait sync.WaitGroup
	var won atomic.Int32
	for range 20 {
		wait.Go(func() {
			if told(t, s, f) {
				won.Add(1)
			}
		})
	}
	wait.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%s: used %d times", what, n)
	}
}

func TestHeldProofsComeBackAsPut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		app := store.HeldRow{Held: parvis.Held{ID: "h1", Agent: "A1", Kind: parvis.TOTP, Name: "Téléphone", Since: now}, Secret: []byte("sealed")}
		key := store.HeldRow{
			Held: parvis.Held{
				ID: "h2", Agent: "A1", Kind: parvis.Passkey, Name: "Clé", Since: now.Add(time.Minute), Site: "agents.example.org",
				Hardware: true, Synced: true, Hint: "•• 42", LastUsed: now,
			},
			Public: []byte("public"), Credential: [32]byte{7}, Counter: 5,
		}
		act(t, s, func(tx *store.Tx) error { return tx.PutHeld(ctx, key) })
		act(t, s, func(tx *store.Tx) error { return tx.PutHeld(ctx, app) })
		expect := func(what string, want ...store.HeldRow) {
			t.Helper()
			got, err := s.Held(ctx, "A1")
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("%s: %v\n%s", what, err, d)
			}
		}
		expect("as put", app, key)
		if got, err := s.HeldByID(ctx, "h2"); err != nil || got.Agent != "A1" || got.Counter != 5 {
			t.Errorf("by id: %+v, %v", got, err)
		}
		if got, err := s.HeldByCredential(ctx, [32]byte{7}); err != nil || got.ID != "h2" {
			t.Errorf("by credential: %+v, %v", got, err)
		}
		_, err1 := s.HeldByID(ctx, "h9")
		_, err2 := s.HeldByCredential(ctx, [32]byte{})
		if parvis.CodeOf(err1) != parvis.CodeNotFound || parvis.CodeOf(err2) != parvis.CodeNotFound {
			t.Errorf("nothing: %v, %v", err1, err2)
		}
		// The same passkey again, somebody else's identifier, and what is not whole.
		for what, row := range map[string]store.HeldRow{
			"a passkey twice":     {Held: parvis.Held{ID: "h3", Agent: "A2", Kind: parvis.Passkey}, Credential: [32]byte{7}},
			"an id of another":    {Held: parvis.Held{ID: "h1", Agent: "A2", Kind: parvis.TOTP}},
			"an id of other kind": {Held: parvis.Held{ID: "h1", Agent: "A1", Kind: parvis.SMS}},
		} {
			t.Run(what, func(t *testing.T) {
				refused(t, s, parvis.CodeConflict, func(tx *store.Tx) error { return tx.PutHeld(ctx, row) })
			})
		}
		refused(t, s, parvis.CodeInvalid, func(tx *store.Tx) error {
			return tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{ID: "h4", Kind: parvis.SMS}})
		})
		expect("after refusals", app, key)

		key.Public, key.Name = []byte("flags changed"), "Clé bleue"
		changed := key
		changed.Counter, changed.LastUsed = 99, time.Time{} // only use changes them
		act(t, s, func(tx *store.Tx) error { return tx.PutHeld(ctx, changed) })
		act(t, s, func(tx *store.Tx) error { return tx.RenameHeld(ctx, "A1", "h1", "Montre") })
		app.Name = "Montre"
		refused(t, s, parvis.CodeNotFound, func(tx *store.Tx) error { return tx.RenameHeld(ctx, "A2", "h1", "à moi") })
		expect("changed", app, key)

		if told(t, s, func(tx *store.Tx) (bool, error) { return tx.DropHeld(ctx, "A2", "h1") }) {
			t.Error("somebody else's proof was dropped")
		}
		if !told(t, s, func(tx *store.Tx) (bool, error) { return tx.DropHeld(ctx, "A1", "h2") }) {
			t.Error("a proof was not dropped")
		}
		expect("after one went", app)
		act(t, s, func(tx *store.Tx) error { // the same passkey may come back
			key.ID = "h5"
			return tx.PutHeld(ctx, key)
		})
		expect("the passkey is back", app, key)
	})
}

func TestAProofIsUsedOnceForEachStep(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := t.Context()
		for id, kind := range map[string]parvis.ProofKind{"t": parvis.TOTP, "k": parvis.Passkey, "s": parvis.Passkey} {
			act(t, s, func(tx *store.Tx) error {
				return tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{ID: id, Agent: "A1", Kind: kind, Since: tx.Now()}})
			})
		}
		const step = int64(1) << 40 // no 32 bits are enough for ever
		once(t, s, "one step", func(tx *store.Tx) (bool, error) { return tx.UseHeld(ctx, "t", step, 0) })
		for _, c := range []struct {
			id      string
			step    int64
			counter uint32
			want    bool
		}{
			{"t", step, 0, false},
			{"t", step - 1, 0, false},
			{"t", step + 1, 0, true},
			{"t", 0, 0, true}, // stamped only
			{"t", step + 1, 0, false},
			{"s", 0, 0, true}, // a passkey that does not count
			{"s", 0, 0, true},
			{"k", 0, 3, true},
			{"k", 0, 3, false}, // cloned
			{"k", 0, 2, false},
			{"k", 0, 0, false},
			{"k", 0, 4_000_000_000, true},
			{"nobody's", 0, 0, false},
		} {
			clock.Move(time.Second)
			if got := told(t, s, func(tx *store.Tx) (bool, error) { return tx.UseHeld(ctx, c.id, c.step, c.counter) }); got != c.want {
				t.Errorf("%+v: %v", c, got)
			}
			if row, err := s.HeldByID(ctx, c.id); c.want && (err != nil || !row.LastUsed.Equal(clock.Now())) {
				t.Errorf("%+v: last used %v, %v", c, row.LastUsed, err)
			}
		}
		if row, err := s.HeldByID(ctx, "k"); err != nil || row.Counter != 4_000_000_000 {
			t.Errorf("%+v, %v", row, err)
		}
		if row, err := s.HeldByID(ctx, "t"); err != nil || row.Step != step+1 {
			t.Errorf("%+v, %v", row, err)
		}
	})
}

func TestRecoveryCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx := t.Context()
		sheet := func(agent parvis.AgentNumber, batch string, hashes ...[32]byte) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.PutRecoveryCodes(ctx, agent, batch, hashes) }
		}
		left := func(want int) {
			t.Helper()
			n, err := s.RecoveryCodesLeft(ctx, "A1")
			rows, err2 := s.Held(ctx, "A1")
			standing, err3 := s.Standing(ctx, "A1")
			if err != nil || err2 != nil || err3 != nil || n != want {
				t.Errorf("%d left, want %d: %v, %v, %v", n, want, err, err2, err3)
			}
			if len(rows) != 1 || rows[0].Kind != parvis.RecoveryCode || rows[0].Left != want {
				t.Errorf("held: %+v, want one sheet with %d", rows, want)
			}
			if standing.SecondEnrolled() != (want > 0) {
				t.Errorf("with %d codes: %v", want, standing.Enrolled)
			}
		}
		act(t, s, sheet("A1", "b1", [32]byte{1}, [32]byte{2}))
		act(t, s, sheet("A2", "b9", [32]byte{9}))
		left(2)
		use := func(agent parvis.AgentNumber, n byte) func(*store.Tx) (bool, error) {
			return func(tx *store.Tx) (bool, error) { return tx.UseRecoveryCode(ctx, agent, [32]byte{n}) }
		}
		if told(t, s, use("A1", 9)) || told(t, s, use("A2", 1)) {
			t.Error("somebody else's code is good")
		}
		once(t, s, "a code", use("A1", 1))
		left(1)
		if !told(t, s, use("A1", 2)) {
			t.Error("the last one is not good")
		}
		left(0)
		act(t, s, sheet("A1", "b2", [32]byte{3}, [32]byte{4}, [32]byte{5}))
		left(3)
		if told(t, s, use("A1", 1)) {
			t.Error("a code of an earlier sheet is good")
		}
		// A sheet that was kept before, by its own name, is the same one.
		act(t, s, func(tx *store.Tx) error {
			row := store.HeldRow{Held: parvis.Held{ID: "b3", Agent: "A1", Kind: parvis.RecoveryCode, Name: "Coffre", Since: tx.Now()}}
			if err := tx.PutHeld(ctx, row); err != nil {
				return err
			}
			return tx.PutRecoveryCodes(ctx, "A1", "b3", [][32]byte{{6}})
		})
		left(1)
		refused(t, s, parvis.CodeConflict, sheet("A1", "b9", [32]byte{7}))
		refused(t, s, parvis.CodeConflict, sheet("A1", "b4", [32]byte{9})) // the very code of somebody else
		left(1)
		if !told(t, s, func(tx *store.Tx) (bool, error) { return tx.DropHeld(ctx, "A1", "b3") }) || told(t, s, use("A1", 6)) {
			t.Error("a code outlives its sheet")
		}
		act(t, s, sheet("A2", "", nil...))
		if rows, err := s.Held(ctx, "A2"); err != nil || len(rows) != 0 || told(t, s, use("A2", 9)) {
			t.Errorf("no sheet: %+v, %v", rows, err)
		}
	})
}

func TestTemporaryCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		put := func(n byte) store.TemporaryCode {
			c := store.TemporaryCode{Agent: "A1", Hash: [32]byte{n}, By: "A40", Reason: "téléphone perdu", Created: clock.Now(), Expires: clock.Now().Add(time.Hour)}
			act(t, s, func(tx *store.Tx) error { return tx.PutTemporaryCode(ctx, c) })
			return c
		}
		use := func(agent parvis.AgentNumber, n byte) func(*store.Tx) (bool, error) {
			return func(tx *store.Tx) (bool, error) { return tx.UseTemporaryCode(ctx, agent, [32]byte{n}) }
		}
		standing := func(want time.Time) {
			t.Helper()
			if st, err := s.Standing(ctx, "A1"); err != nil || !st.Temporary.Equal(want) || st.SecondEnrolled() {
				t.Errorf("good until %v, want %v; %v", st.Temporary, want, err)
			}
		}
		if _, err := s.TemporaryCode(ctx, "A1"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("none: %v", err)
		}
		put(1)
		second := put(2)
		standing(now.Add(time.Hour))
		if told(t, s, use("A1", 1)) || told(t, s, use("A2", 2)) {
			t.Error("a replaced code, or somebody else's, is good")
		}
		once(t, s, "a code", use("A1", 2))
		standing(time.Time{})
		second.Used = now
		if got, err := s.TemporaryCode(ctx, "A1"); err != nil || !cmp.Equal(got, second) {
			t.Errorf("%s %v", cmp.Diff(second, got), err)
		}
		put(3)
		clock.Move(time.Hour)
		if told(t, s, use("A1", 3)) {
			t.Error("good at its end")
		}
	})
}

func TestSentCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		code := func(id string, browser byte) store.SentCode {
			return store.SentCode{
				ID: id, Agent: "A1", Purpose: "prove", Browser: [32]byte{browser}, Target: [32]byte{5}, Code: []byte("sealed"),
				Created: clock.Now(), Expires: clock.Now().Add(5 * time.Minute), Sends: 1,
			}
		}
		put := func(c store.SentCode) {
			t.Helper()
			act(t, s, func(tx *store.Tx) error { return tx.PutSentCode(ctx, c) })
		}
		find := func(want string, agent parvis.AgentNumber, purpose string, target, browser byte) {
			t.Helper()
			act(t, s, func(tx *store.Tx) error {
				c, err := tx.SentCodeFor(ctx, agent, purpose, [32]byte{target}, [32]byte{browser})
				if c.ID != want || (err == nil) != (want != "") {
					t.Errorf("%s %s %d %d: %q, %v", agent, purpose, target, browser, c.ID, err)
				}
				return nil
			})
		}
		one := code("1", 1)
		put(one)
		if got, err := s.SentCode(ctx, "1"); err != nil || !cmp.Equal(got, one) {
			t.Errorf("%s %v", cmp.Diff(one, got), err)
		}
		find("1", "A1", "prove", 5, 1)
		find("", "A2", "prove", 5, 1)
		find("", "A1", "enrol", 5, 1)
		find("", "A1", "prove", 6, 1)
		find("", "A1", "prove", 5, 2)
		for want := 1; want <= 3; want++ {
			act(t, s, func(tx *store.Tx) error {
				n, err := tx.TrySentCode(ctx, "1")
				if n != want {
					t.Errorf("try %d counts as %d", want, n)
				}
				return err
			})
		}
		again := one
		again.Sends, again.Tries, again.Expires = 2, 0, now.Add(10*time.Minute)
		put(again)
		again.Tries = 3 // sending again gives no new tries
		if got, err := s.SentCode(ctx, "1"); err != nil || !cmp.Equal(got, again) {
			t.Errorf("%s %v", cmp.Diff(again, got), err)
		}
		refused(t, s, parvis.CodeNotFound, func(tx *store.Tx) error {
			_, err := tx.TrySentCode(ctx, "9")
			return err
		})
		clock.Move(time.Minute)
		put(code("2", 1))
		find("2", "A1", "prove", 5, 1)
		once(t, s, "a code", func(tx *store.Tx) (bool, error) { return tx.UseSentCode(ctx, "2") })
		find("1", "A1", "prove", 5, 1)
		clock.Move(9 * time.Minute)
		find("", "A1", "prove", 5, 1)
		if told(t, s, func(tx *store.Tx) (bool, error) { return tx.UseSentCode(ctx, "1") }) {
			t.Error("good at its end")
		}
		clock.Move(25 * time.Hour)
		put(code("3", 1))
		if _, err := s.SentCode(ctx, "1"); parvis.CodeOf(err) != parvis.CodeNotFound {
			t.Errorf("an old code is kept: %v", err)
		}
	})
}

func TestRememberedDevices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		proof := parvis.Proof{Kind: parvis.Passkey, At: now, Hardware: true}
		until := now.Add(30 * 24 * time.Hour)
		remember := func(id parvis.DeviceID) bool {
			return told(t, s, func(tx *store.Tx) (bool, error) { return tx.RememberDevice(ctx, id, proof, until) })
		}
		is := func(agent parvis.AgentNumber, id parvis.DeviceID) bool {
			t.Helper()
			p, end, ok, err := s.Remembered(ctx, agent, id)
			if err != nil || ok && (p != proof || !end.Equal(until)) || !ok && (p != parvis.Proof{} || !end.IsZero()) {
				t.Errorf("%+v until %v, %v", p, end, err)
			}
			return ok
		}
		reset := func() {
			t.Helper()
			act(t, s, func(tx *store.Tx) error {
				for id, secret := range map[parvis.DeviceID]*[32]byte{"browser": {1}, "machine": {2}, "told": nil} {
					d := parvis.Device{ID: id, Agent: "A1", Validated: id != "browser"}
					if err := tx.PutDevice(ctx, d, secret); err != nil {
						return err
					}
				}
				return tx.PutHeld(ctx, store.HeldRow{Held: parvis.Held{ID: "h", Agent: "A1", Kind: parvis.TOTP}})
			})
			if !remember("browser") || !remember("machine") || remember("told") || remember("nothing") {
				t.Error("not what can be remembered")
			}
			if !is("A1", "browser") || !is("A1", "machine") || is("A2", "browser") || is("A1", "told") {
				t.Error("not what was remembered")
			}
		}
		for what, forget := range map[string]func(tx *store.Tx) error{
			"when asked":      func(tx *store.Tx) error { return tx.ForgetRemembered(ctx, "A1") },
			"with a proof":    func(tx *store.Tx) error { _, err := tx.DropHeld(ctx, "A1", "h"); return err },
			"with the device": func(tx *store.Tx) error { _, err := tx.DropProvenDevices(ctx, "A1", "", 0); return err },
		} {
			reset()
			act(t, s, forget)
			if is("A1", "browser") || is("A1", "machine") {
				t.Errorf("%s: still remembered", what)
			}
			act(t, s, func(tx *store.Tx) error { // proven again, it is not remembered again
				return tx.PutDevice(ctx, parvis.Device{ID: "machine", Agent: "A1", Validated: true}, &[32]byte{2})
			})
			if is("A1", "machine") {
				t.Errorf("%s: remembered again", what)
			}
		}
		reset()
		act(t, s, func(tx *store.Tx) error { return tx.ForgetRemembered(ctx, "A2") })
		if !is("A1", "browser") {
			t.Error("forgotten for somebody else")
		}
	})
}

func TestFlowKeepsItsDataAndItsProofs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		ctx, now := t.Context(), clock.Now()
		act(t, s, func(tx *store.Tx) error {
			return tx.PutFlow(ctx, store.Flow{
				ID: "f", Kind: "verifier", Agent: "A1", Data: `{"a":1}`, Created: now, Expires: now.Add(time.Hour),
				Proofs: []parvis.Proof{{Kind: parvis.Password, At: now}, {Kind: parvis.SMS, At: now}},
			})
		})
		later := now.Add(time.Minute)
		data := func(tx *store.Tx) error { return tx.SetFlowData(ctx, "f", `{"a":2}`) }
		proof := func(tx *store.Tx) error {
			return tx.AddFlowProof(ctx, "f", parvis.Proof{Kind: parvis.Passkey, At: later, Hardware: true}, parvis.Proof{Kind: parvis.SMS, At: later})
		}
		act(t, s, data)
		act(t, s, proof)
		want := []parvis.Proof{{Kind: parvis.Password, At: now}, {Kind: parvis.Passkey, At: later, Hardware: true}, {Kind: parvis.SMS, At: later}}
		if f, err := s.Flow(ctx, "f"); err != nil || f.Data != `{"a":2}` || !cmp.Equal(f.Proofs, want) {
			t.Errorf("%+v, %v", f, err)
		}
		refused(t, s, parvis.CodeNotFound, func(tx *store.Tx) error { return tx.SetFlowData(ctx, "g", "") })
		refused(t, s, parvis.CodeNotFound, func(tx *store.Tx) error { return tx.AddFlowProof(ctx, "g") })
		clock.Move(time.Hour)
		refused(t, s, parvis.CodeNotFound, data)
		refused(t, s, parvis.CodeNotFound, proof)
		clock.Set(now)
		act(t, s, func(tx *store.Tx) error { return tx.UseFlows(ctx, "A1") })
		refused(t, s, parvis.CodeNotFound, data)
		refused(t, s, parvis.CodeNotFound, proof)
	})
}

// A database of the release before keeps its ties. What it said of proofs that
// nobody kept is gone.
func TestProofsOfAnEarlierRelease(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		ctx, clock := t.Context(), new(storetest.Clock)
		if err := store.OpenBefore(ctx, store.Options{URL: address, Clock: clock.Now}, 9); err != nil {
			t.Fatal(err)
		}
		run(t, by(t, address),
			"INSERT INTO verifier_link (agent, issuer, subject, at) VALUES ('A1', 'https://id.example.org', 's1', 1000000)",
			"INSERT INTO enrolled_proof (agent, kind, since) VALUES ('A1', 'totp', 1000000)",
			"INSERT INTO device (id, agent, name, secret, validated, pending, first_seen, last_seen) VALUES ('d', 'A1', '', NULL, TRUE, FALSE, 1000000, 1000000)",
			`INSERT INTO flow (id, kind, agent, browser, channel, proofs, created_at, expires_at) SELECT 'f', 'activation', 'A1', root, '', '[]', 1, 2 FROM audit_head`,
		)
		s := storetest.Open(t, address, clock)
		at := time.Unix(1, 0).UTC()
		links, err := s.Links(ctx, "A1")
		if d := cmp.Diff([]store.Link{{Agent: "A1", Issuer: "https://id.example.org", Subject: "s1", At: at}}, links); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		standing, err := s.Standing(ctx, "A1")
		want := &parvis.Standing{
			VerifierLinked: true, Links: []string{"https://id.example.org"},
			Devices: []parvis.Device{{ID: "d", Agent: "A1", Validated: true, FirstSeen: at, LastSeen: at}},
		}
		if d := cmp.Diff(want, standing); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
		if f, err := s.Flow(ctx, "f"); err != nil || f.Data != "" {
			t.Errorf("%+v, %v", f, err)
		}
	})
}
