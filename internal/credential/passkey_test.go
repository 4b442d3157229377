package credential

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/store"
)

func (s scene) offer(a PasskeyAsk) (json.RawMessage, string) {
	s.t.Helper()
	options, ticket, err := s.OfferPasskey(s.t.Context(), a)
	if err != nil {
		s.t.Fatal(err)
	}
	return options, ticket
}

// enrol adds the passkey of a device, and gives the error of the vault.
func (s scene) enrol(a PasskeyAnswer) (held parvis.Held, err error) {
	s.t.Helper()
	s.write(func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "test"})
		held, _, err = s.EnrolPasskey(s.t.Context(), tx, a)
		return nil
	})
	return held, err
}

func (s scene) added(d *device, agent *parvis.Agent) parvis.Held {
	s.t.Helper()
	options, ticket := s.offer(at(agent))
	held, err := s.enrol(at(agent).answered(ticket, d.create(options)))
	if err != nil {
		s.t.Fatal(err)
	}
	return held
}

func (s scene) ask(a PasskeyAsk) (json.RawMessage, string) {
	s.t.Helper()
	options, ticket, err := s.AskPasskey(s.t.Context(), a)
	if err != nil {
		s.t.Fatal(err)
	}
	return options, ticket
}

// show answers a new challenge and gives what was checked.
func (s scene) show(d *device, a PasskeyAsk) Asserted {
	s.t.Helper()
	options, ticket := s.ask(a)
	asserted, err := s.CheckPasskey(s.t.Context(), a.answered(ticket, d.get(options)))
	if err != nil {
		s.t.Fatal(err)
	}
	return asserted
}

func (s scene) accept(a Asserted) (ok bool) {
	s.t.Helper()
	s.write(func(tx *store.Tx) (err error) {
		ok, err = s.AcceptPasskey(s.t.Context(), tx, a)
		return err
	})
	return ok
}

func TestPasskey(t *testing.T) {
	each(t, func(s scene) {
		d := newDevice(t)
		options, ticket := s.offer(at(s.agent))
		made := ask(t, options).PublicKey
		if made.RP.ID != here || made.Select.Resident != "required" || made.Select.Verify != "required" ||
			made.Attestation != "none" || len(made.Exclude) != 0 {
			t.Errorf("asked to make: %s", options)
		}
		if raw, err := b64.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(made.User.ID)); err != nil || len(raw) != 32 || strings.Contains(string(raw), "A100001") {
			t.Errorf("the handle: %q, %v", made.User.ID, err)
		}
		held, err := s.enrol(at(s.agent).answered(ticket, d.create(options)))
		want := parvis.Held{
			ID: held.ID, Agent: "A100001", Kind: parvis.Passkey, Name: "Le mien", Site: here, Since: s.clock.Now(), LastUsed: s.clock.Now(),
		}
		if diff := cmp.Diff(want, held); diff != "" || err != nil || held.ID == "" {
			t.Fatalf("%v\n%s", err, diff)
		}
		options, _ = s.offer(at(s.agent))
		again := ask(t, options).PublicKey
		if diff := cmp.Diff([]descriptor{{b64url(d.id)}}, again.Exclude); diff != "" || again.User.ID != made.User.ID || again.Challenge == made.Challenge {
			t.Errorf("asked to make another: %s", options)
		}
		s.clock.Move(time.Hour)
		// Nobody is known: the list is empty whoever exists.
		options, ticket = s.ask(at(nil))
		if get := ask(t, options).PublicKey; len(get.Allow) != 0 || get.RPID != here || get.Verify != "required" {
			t.Errorf("asked to show: %s", options)
		}
		asserted, err := s.CheckPasskey(t.Context(), at(nil).answered(ticket, d.get(options)))
		proof := parvis.Proof{Kind: parvis.Passkey, At: s.clock.Now()}
		if err != nil || asserted.Agent != "A100001" || asserted.Held != held.ID || asserted.Proof != proof {
			t.Fatalf("%+v, %v", asserted, err)
		}
		if !s.accept(asserted) {
			t.Error("not accepted")
		}
		if rows, err := s.Holds(t.Context(), "A100001"); err != nil || len(rows) != 1 || !rows[0].LastUsed.Equal(s.clock.Now()) {
			t.Errorf("%+v, %v", rows, err)
		}
		// Of somebody who is known.
		options, _ = s.ask(at(s.agent))
		if diff := cmp.Diff([]descriptor{{b64url(d.id)}}, ask(t, options).PublicKey.Allow); diff != "" {
			t.Error(diff)
		}
		if !s.accept(s.show(d, at(s.agent))) {
			t.Error("not accepted as a second proof")
		}
		wantEvents := []string{"second.enrolled", "second.ok", "second.ok"}
		if got := slices.DeleteFunc(s.kinds(), func(k string) bool { return !strings.HasPrefix(k, "second.") }); !cmp.Equal(got, wantEvents) {
			t.Errorf("events %v", got)
		}
	})
}

// whatever is not right is refused, and all refusals look the same.
func TestPasskeyRefused(t *testing.T) {
	onSQLite(t, func(s scene) {
		d, other := newDevice(t), newDevice(t)
		s.added(d, s.agent)
		somebody := &parvis.Agent{Number: "A100002"}
		s.added(other, somebody)
		mine, nobody := at(s.agent), at(nil)
		changed := func(f func(d *device)) func(json.RawMessage) []byte {
			c := *d
			f(&c)
			return c.get
		}
		elsewhere := PasskeyAsk{Agent: s.agent, Site: "localhost", Origins: []string{origin}}
		for _, test := range []struct {
			name    string
			ask     PasskeyAsk
			get     func(json.RawMessage) []byte
			as      *PasskeyAsk // answered as, when it is not what was asked
			waits   time.Duration
			allowed bool
		}{
			{name: "right", ask: mine, get: d.get, allowed: true},
			{name: "right, nobody known", ask: nobody, get: d.get, allowed: true},
			{name: "no handle, but known", ask: mine, get: changed(func(d *device) { d.handle = "" }), allowed: true},
			{name: "just in time", ask: mine, get: d.get, waits: passkeyLasts - time.Second, allowed: true},
			{name: "late", ask: mine, get: d.get, waits: passkeyLasts},
			{name: "another origin", ask: mine, get: changed(func(d *device) { d.origin = "http://portal.localhost.example:8080" })},
			{name: "another port", ask: mine, get: changed(func(d *device) { d.origin = "http://portal.localhost:8081" })},
			{name: "another scheme", ask: mine, get: changed(func(d *device) { d.origin = "https://portal.localhost:8080" })},
			{name: "another spelling of the origin", ask: mine, get: changed(func(d *device) { d.origin = "http://PORTAL.localhost:8080/x" })},
			{name: "no origin", ask: mine, get: changed(func(d *device) { d.origin = "" })},
			{name: "in a frame", ask: mine, get: changed(func(d *device) { d.cross = true })},
			{name: "another rpId", ask: mine, get: changed(func(d *device) { d.site = "localhost" })},
			{name: "holder not verified", ask: mine, get: changed(func(d *device) { d.flags = flagUP })},
			{name: "holder not present", ask: mine, get: changed(func(d *device) { d.flags = flagUV })},
			{name: "another ceremony", ask: mine, get: changed(func(d *device) { d.kind = "webauthn.create" })},
			{name: "another challenge", ask: mine, get: changed(func(d *device) { d.challenge = b64url(make([]byte, 32)) })},
			{name: "another key", ask: mine, get: changed(func(d *device) { d.key = other.key })},
			{name: "an unknown credential", ask: nobody, get: changed(func(d *device) { d.id = []byte("unknown") })},
			{name: "somebody else's, by their own key", ask: mine, get: other.get},
			{name: "somebody else's id", ask: mine, get: changed(func(d *device) { d.id = other.id })},
			{name: "somebody else's handle", ask: nobody, get: changed(func(d *device) { d.handle = other.handle })},
			{name: "no handle, nobody known", ask: nobody, get: changed(func(d *device) { d.handle = "" })},
			{name: "suddenly copied", ask: mine, get: changed(func(d *device) { d.flags |= flagBE | flagBS })},
			{name: "asked of nobody, shown as mine", ask: nobody, as: &mine, get: d.get},
			{name: "asked of me, shown by nobody", ask: mine, as: &nobody, get: d.get},
			{name: "another site", ask: elsewhere, get: changed(func(d *device) { d.site = "localhost" })},
			{name: "asked for another site", ask: elsewhere, as: &mine, get: d.get},
			{name: "nothing", ask: mine, get: func(json.RawMessage) []byte { return nil }},
			{name: "no JSON", ask: mine, get: func(json.RawMessage) []byte { return []byte("passkey") }},
			{name: "too long", ask: mine, get: func(o json.RawMessage) []byte {
				return append(d.get(o), bytes.Repeat([]byte(" "), longestAnswer)...)
			}},
		} {
			options, ticket := s.ask(test.ask)
			response := test.get(options)
			as := test.ask
			if test.as != nil {
				as = *test.as
			}
			s.clock.Move(test.waits)
			got, err := s.CheckPasskey(t.Context(), as.answered(ticket, response))
			if (err == nil) != test.allowed {
				t.Errorf("%s: %v", test.name, err)
			}
			if err != nil && (err.Error() != errPasskey().Error() || parvis.CodeOf(err) != parvis.CodeRefused || got != Asserted{}) {
				t.Errorf("%s: %+v, %v", test.name, got, err)
			}
		}
		// A ticket that is not one, and one of another kind.
		options, made := s.offer(mine)
		for _, ticket := range []string{"", "x", made} {
			if _, err := s.CheckPasskey(t.Context(), mine.answered(ticket, d.get(options))); parvis.CodeOf(err) != parvis.CodeRefused {
				t.Errorf("%q: %v", ticket, err)
			}
		}
		// The other way round: a ticket of a passkey makes no authenticator.
		s.write(func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "test"})
			if _, v, err := s.EnrolTOTP(t.Context(), tx, "A100001", made, "328482", ""); err == nil || v.OK {
				t.Errorf("an authenticator out of a challenge: %+v", v)
			}
			return nil
		})
		if err := s.Store.Close(); err != nil {
			t.Fatal(err)
		}
		options, ticket := s.ask(nobody) // opening a page asks nothing of the store
		if _, err := s.CheckPasskey(t.Context(), nobody.answered(ticket, d.get(options))); err == nil || parvis.CodeOf(err) == parvis.CodeRefused {
			t.Errorf("the store is down: %v", err)
		}
	})
}

func TestPasskeyIsNotMade(t *testing.T) {
	onSQLite(t, func(s scene) {
		mine, theirs := at(s.agent), at(&parvis.Agent{Number: "A100002"})
		taken := newDevice(t)
		s.added(taken, theirs.Agent)
		known := newDevice(t)
		s.added(known, s.agent)
		for _, test := range []struct {
			name  string
			lie   func(d *device)
			as    PasskeyAsk
			waits time.Duration
			want  parvis.Code
		}{
			{name: "right", lie: func(*device) {}, as: mine},
			{name: "another origin", lie: func(d *device) { d.origin = "https://portal.localhost" }, as: mine, want: parvis.CodeRefused},
			{name: "another spelling of the origin", lie: func(d *device) { d.origin = origin + "/" }, as: mine, want: parvis.CodeRefused},
			{name: "another rpId", lie: func(d *device) { d.site = "localhost" }, as: mine, want: parvis.CodeRefused},
			{name: "in a frame", lie: func(d *device) { d.cross = true }, as: mine, want: parvis.CodeRefused},
			{name: "holder not verified", lie: func(d *device) { d.flags = flagUP }, as: mine, want: parvis.CodeRefused},
			{name: "copied but not to be copied", lie: func(d *device) { d.flags |= flagBS }, as: mine, want: parvis.CodeRefused},
			{name: "another ceremony", lie: func(d *device) { d.kind = "webauthn.get" }, as: mine, want: parvis.CodeRefused},
			{name: "another challenge", lie: func(d *device) { d.challenge = b64url(make([]byte, 32)) }, as: mine, want: parvis.CodeRefused},
			{name: "offered to somebody else", lie: func(*device) {}, as: theirs, want: parvis.CodeRefused},
			{name: "somebody else's credential", lie: func(d *device) { d.id = taken.id }, as: mine, want: parvis.CodeRefused},
			{name: "held already", lie: func(d *device) { d.id = known.id }, as: mine, want: parvis.CodeConflict},
			{name: "late", lie: func(*device) {}, as: mine, waits: passkeyLasts, want: parvis.CodeRefused},
		} {
			d := newDevice(t)
			test.lie(d)
			options, ticket := s.offer(mine)
			response := d.create(options)
			s.clock.Move(test.waits)
			held, err := s.enrol(test.as.answered(ticket, response))
			if parvis.CodeOf(err) != test.want || (held.ID != "") != (err == nil) {
				t.Errorf("%s: %+v, %v", test.name, held, err)
			}
			if parvis.CodeOf(err) == parvis.CodeRefused && err.Error() != errPasskey().Error() {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		// One offer, one passkey.
		options, ticket := s.offer(mine)
		for _, want := range []parvis.Code{"", parvis.CodeRefused} {
			if _, err := s.enrol(mine.answered(ticket, newDevice(t).create(options))); parvis.CodeOf(err) != want {
				t.Errorf("want %q: %v", want, err)
			}
		}
		for n := range 10 {
			options, ticket := s.offer(mine)
			_, err := s.enrol(mine.answered(ticket, newDevice(t).create(options)))
			if full := n >= mostHeld[parvis.Passkey]-3; full != (parvis.CodeOf(err) == parvis.CodeConflict) { // three are held
				t.Errorf("number %d: %v", n+4, err)
			}
		}
		for name, err := range map[string]error{
			"no agent": func() error { _, _, err := s.OfferPasskey(t.Context(), at(nil)); return err }(),
			"no site": func() error {
				_, _, err := s.AskPasskey(t.Context(), PasskeyAsk{Origins: []string{origin}})
				return err
			}(),
			"no origins": func() error { _, _, err := s.AskPasskey(t.Context(), PasskeyAsk{Site: here}); return err }(),
			"an address": func() error {
				_, _, err := s.AskPasskey(t.Context(), PasskeyAsk{Site: "127.0.0.1", Origins: []string{origin}})
				return err
			}(),
			"unchecked": func() error { _, err := s.AcceptPasskey(t.Context(), nil, Asserted{}); return err }(),
		} {
			if parvis.CodeOf(err) != parvis.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestChallengeIsUsedOnce(t *testing.T) {
	each(t, func(s scene) {
		d := newDevice(t)
		s.added(d, s.agent)
		asserted := s.show(d, at(nil))
		if !s.accept(asserted) || s.accept(asserted) {
			t.Error("not once")
		}
		// The same challenge signed again is no other use.
		options, ticket := s.ask(at(nil))
		var twice [2]Asserted
		for i := range twice {
			d.counter++
			var err error
			if twice[i], err = s.CheckPasskey(t.Context(), at(nil).answered(ticket, d.get(options))); err != nil {
				t.Fatal(err)
			}
		}
		if !s.accept(twice[0]) || s.accept(twice[1]) {
			t.Error("a challenge signed twice counts twice")
		}
		s.clock.Move(passkeyLasts - time.Second)
		if s.accept(twice[1]) {
			t.Error("used again while its ticket is good")
		}
		d.counter = 0
		fresh := newDevice(t)
		s.added(fresh, s.agent)
		parallel := s.show(fresh, at(nil))
		if won := s.race(20, func(tx *store.Tx) (bool, error) { return s.AcceptPasskey(t.Context(), tx, parallel) }); won != 1 {
			t.Errorf("%d of 20 uses were accepted, want 1", won)
		}
	})
}

func TestPasskeyCloned(t *testing.T) {
	each(t, func(s scene) {
		d := newDevice(t)
		d.counter = 7
		held := s.added(d, s.agent)
		for _, test := range []struct {
			counter uint32
			want    bool
		}{{8, true}, {8, false}, {3, false}, {0, false}, {9, true}} {
			d.counter = test.counter
			before := len(s.kinds())
			if got := s.accept(s.show(d, at(nil))); got != test.want {
				t.Errorf("counter %d: %t", test.counter, got)
			}
			if cloned := slices.Contains(s.kinds()[before:], "passkey.cloned"); cloned == test.want {
				t.Errorf("counter %d: recorded as a copy: %t", test.counter, cloned)
			}
		}
		// Taken away between the signature and the act.
		d.counter = 10
		asserted := s.show(d, at(nil))
		s.write(func(tx *store.Tx) error {
			_, err := s.Remove(t.Context(), tx, "A100001", held.ID)
			return err
		})
		if s.accept(asserted) {
			t.Error("a passkey that was taken away is accepted")
		}
		// Nor is it when somebody else holds it meanwhile.
		d.counter = 0
		s.added(d, s.agent)
		d.counter = 1
		asserted = s.show(d, at(nil))
		rows, err := s.Holds(t.Context(), "A100001")
		if err != nil || len(rows) != 1 {
			t.Fatalf("%+v, %v", rows, err)
		}
		s.write(func(tx *store.Tx) error {
			_, err := s.Remove(t.Context(), tx, "A100001", rows[0].ID)
			return err
		})
		d.counter = 0
		s.added(d, &parvis.Agent{Number: "A100002"})
		if s.accept(asserted) {
			t.Error("a passkey that changed hands is accepted")
		}
	})
}

// Only the word of a maker makes a passkey hardware, and none does when it can
// be copied.
func TestHardware(t *testing.T) {
	model := [16]byte{0xee, 0x88, 0x28, 0x79}
	ours, foreign := newMaker(t, model), newMaker(t, model)
	onSQLite(t, func(s scene) {
		for name, test := range map[string]struct {
			attestation Attestation
			lie         func(d *device)
			hardware    bool
			refused     bool
		}{
			"vouched":            {attestation: Attestation{Roots: ours.root}, lie: func(d *device) { d.maker = ours }, hardware: true},
			"vouched, copied":    {attestation: Attestation{Roots: ours.root}, lie: func(d *device) { d.maker, d.flags = ours, d.flags|flagBE }},
			"another maker":      {attestation: Attestation{Roots: ours.root}, lie: func(d *device) { d.maker = foreign }},
			"itself":             {attestation: Attestation{Roots: ours.root}, lie: func(d *device) { d.self = true }},
			"nobody":             {attestation: Attestation{Roots: ours.root}, lie: func(*device) {}},
			"nobody is believed": {lie: func(d *device) { d.maker = ours }},
			"another model":      {attestation: Attestation{Roots: ours.root}, lie: func(d *device) { d.maker, d.model = ours, [16]byte{1} }, refused: true},
			"wanted":             {attestation: Attestation{Require: true, Roots: ours.root}, lie: func(d *device) { d.maker = ours }, hardware: true},
			"wanted, not there":  {attestation: Attestation{Require: true, Roots: ours.root}, lie: func(*device) {}, refused: true},
			"wanted, of nobody":  {attestation: Attestation{Require: true}, lie: func(d *device) { d.maker = ours }, refused: true},
			"wanted, not listed": {attestation: Attestation{Require: true, Roots: ours.root, AAGUIDs: []string{"00000000-0000-0000-0000-000000000001"}}, lie: func(d *device) { d.maker = ours }, refused: true},
			"wanted, and listed": {attestation: Attestation{Require: true, Roots: ours.root, AAGUIDs: []string{"EE882879-0000-0000-0000-000000000000"}}, lie: func(d *device) { d.maker = ours }, hardware: true},
			"a forged signature": {attestation: Attestation{Roots: ours.root}, lie: func(d *device) { d.maker = &maker{key: foreign.key, cert: ours.cert} }, refused: true},
		} {
			t.Run(name, func(t *testing.T) {
				s.Attestation = test.attestation
				agent := at(&parvis.Agent{Number: parvis.AgentNumber(name)})
				d := newDevice(t)
				d.model = model
				test.lie(d)
				options, ticket := s.offer(agent)
				if asked := ask(t, options).PublicKey.Attestation; (asked == "direct") != (test.attestation.Roots != nil) {
					t.Errorf("asked for %q", asked)
				}
				held, err := s.enrol(agent.answered(ticket, d.create(options)))
				if (parvis.CodeOf(err) == parvis.CodeRefused) != test.refused || held.Hardware != test.hardware {
					t.Fatalf("%+v, %v", held, err)
				}
				if test.refused {
					return
				}
				if got := s.show(d, at(nil)).Proof.Hardware; got != test.hardware || held.Synced != (d.flags&flagBE != 0) {
					t.Errorf("hardware: %t, synced: %t", got, held.Synced)
				}
			})
		}
	})
}

// A passkey clears what a hundred wrong codes disabled.
func TestPasskeyPardons(t *testing.T) {
	onSQLite(t, func(s scene) {
		d := newDevice(t)
		s.added(d, s.agent)
		id := s.meansID("A100001", parvis.TOTP)
		s.write(func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "test"})
			return tx.PutBudget(t.Context(), store.Budget{
				ID: id, Agent: meansOf("A100001", parvis.TOTP), Class: "second", Failures: 9, InARow: inARow, Disabled: true, LastAt: tx.Now(),
			})
		})
		if !s.accept(s.show(d, at(nil))) {
			t.Fatal("not accepted")
		}
		if b, err := s.Store.Budget(t.Context(), id); err != nil || b.Disabled || b.InARow != 0 || b.Failures != 9 {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

// Whatever a browser sends, nothing panics, and what is accepted was signed for
// this challenge by this key.
func FuzzPasskeyAnswer(f *testing.F) {
	d := newDevice(f)
	v := benchVault(f, 0)
	ctx := f.Context()
	agent := &parvis.Agent{Number: "A1"}
	options, _, err := v.OfferPasskey(ctx, at(agent))
	if err != nil {
		f.Fatal(err)
	}
	made := d.create(options)
	party, err := v.party(here, []string{origin})
	if err != nil {
		f.Fatal(err)
	}
	user := v.passkeyUser("A1")
	create := challenge{Challenge: ask(f, options).PublicKey.Challenge, Site: here}
	credential, _, err := v.created(party, create, user, made, v.Clock())
	if err != nil {
		f.Fatal(err)
	}
	user.held = append(user.held, *credential)
	options, _, err = v.AskPasskey(ctx, at(nil))
	if err != nil {
		f.Fatal(err)
	}
	get := challenge{Challenge: ask(f, options).PublicKey.Challenge, Site: here}
	f.Add(made)
	f.Add(d.get(options))
	d.self = true
	f.Add(d.create(options))
	d.self, d.maker = false, newMaker(f, d.model)
	f.Add(d.create(options))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA","authenticatorData":"","signature":""}}`))
	f.Fuzz(func(t *testing.T, response []byte) {
		if c, vouched, err := v.created(party, create, user, response, v.Clock()); err == nil {
			if vouched || len(c.ID) == 0 || !c.Flags.UserVerified {
				t.Errorf("%+v", c)
			}
		}
		asserted, err := protocol.ParseCredentialRequestResponseBytes(response)
		if err != nil {
			return
		}
		if err := asserts(party, get, user, asserted); err == nil && !slices.Equal(asserted.RawID, credential.ID) {
			t.Errorf("accepted: %s", response)
		}
	})
}

func BenchmarkCheckPasskey(b *testing.B) {
	v, d := benchVault(b, 0), newDevice(b)
	agent := &parvis.Agent{Number: "A1"}
	options, ticket, err := v.OfferPasskey(b.Context(), at(agent))
	if err != nil {
		b.Fatal(err)
	}
	err = v.Store.Write(b.Context(), func(tx *store.Tx) error {
		_, _, err := v.EnrolPasskey(b.Context(), tx, at(agent).answered(ticket, d.create(options)))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	options, ticket, err = v.AskPasskey(b.Context(), at(nil))
	if err != nil {
		b.Fatal(err)
	}
	answer := at(nil).answered(ticket, d.get(options))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.CheckPasskey(b.Context(), answer); err != nil {
			b.Fatal(err)
		}
	}
}
