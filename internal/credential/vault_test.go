package credential

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

const right = seal.Secret("cactus tremplin givre bouée")

// scene is a vault in which one agent has a password.
type scene struct {
	*Vault
	t     *testing.T
	clock *storetest.Clock
	agent *parvis.Agent
}

// each tells a story over both engines.
func each(t *testing.T, tell func(s scene)) {
	storetest.Each(t, func(t *testing.T, st *store.Store, clock *storetest.Clock) {
		tell(newScene(t, st, clock))
	})
}

// onSQLite tells it where only the rules matter, not the engine.
func onSQLite(t *testing.T, tell func(s scene)) {
	clock := new(storetest.Clock)
	tell(newScene(t, storetest.Open(t, "sqlite:"+t.TempDir()+"/parvis.db", clock), clock))
}

func newScene(t *testing.T, st *store.Store, clock *storetest.Clock) scene {
	keys, err := seal.OpenKeys(t.TempDir() + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	s := scene{
		Vault: &Vault{Store: st, Keys: keys, Clock: clock.Now, memory: 64},
		t:     t, clock: clock, agent: &parvis.Agent{Number: "A100001"},
	}
	s.set(right, 0)
	return s
}

func (s scene) write(f func(tx *store.Tx) error) {
	s.t.Helper()
	if err := s.Store.Write(s.t.Context(), f); err != nil {
		s.t.Fatal(err)
	}
}

func (s scene) set(password seal.Secret, days int) {
	s.t.Helper()
	h, err := s.Hash(s.t.Context(), password)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(func(tx *store.Tx) error { return s.SetPassword(s.t.Context(), tx, s.agent.Number, h, days) })
}

func (s scene) prove() string {
	s.t.Helper()
	var cookie string
	s.write(func(tx *store.Tx) error {
		secret, _, err := s.Prove(s.t.Context(), tx, s.agent.Number, "Firefox")
		cookie = Remember("", secret)
		return err
	})
	return cookie
}

func (s scene) check(t Try) Verdict {
	s.t.Helper()
	v, err := s.Check(s.t.Context(), t)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// signIn checks and, when right, acts on it.
func (s scene) signIn(t Try) Verdict {
	s.t.Helper()
	v := s.check(t)
	if v.OK {
		s.write(func(tx *store.Tx) error { return s.Succeed(s.t.Context(), tx, t, v) })
	}
	return v
}

var (
	outside = parvis.Origin{Channel: parvis.Mobile, Address: "192.0.2.7"}
	inside  = parvis.Origin{Channel: parvis.Internal, Address: "10.0.0.7", Known: true}
)

// try is one by the agent's own number; from is where.
func (s scene) try(password seal.Secret, from parvis.Origin, device string) Try {
	return Try{Typed: "a100001", Agent: s.agent, Password: password, Origin: from, Device: device}
}

func wrong(n int) seal.Secret { return seal.Secret("wrong password " + strconv.Itoa(n)) }

// from gives a new address each time: the account is what is under test.
func from(n int) parvis.Origin {
	return parvis.Origin{Channel: parvis.Mobile, Address: fmt.Sprintf("10.%d.%d.1", n>>8, n&255)}
}

func (s scene) kinds() []string {
	s.t.Helper()
	var all []string
	err := s.Store.EachEvent(s.t.Context(), 0, func(e parvis.Event) error {
		all = append(all, e.Kind)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestSignIn(t *testing.T) {
	each(t, func(s scene) {
		v := s.signIn(s.try("wrong", outside, ""))
		if v.OK || !v.Wait.IsZero() || v.Left != 0 {
			s.t.Errorf("one wrong try: %+v", v)
		}
		v = s.signIn(s.try(right, outside, ""))
		if !v.OK || v.MustChange != "" || v.Proven {
			s.t.Errorf("the right password: %+v", v)
		}
		// NFKC: the same letters from another keyboard.
		if v = s.signIn(s.try("cactus tremplin givre boue\u0301e", outside, "")); !v.OK {
			s.t.Errorf("the accent typed apart: %+v", v)
		}
		want := []string{"password.changed", "sign_in.failed", "sign_in.failed", "sign_in.ok", "sign_in.failed", "sign_in.ok"}
		if got := s.kinds(); !slices.Equal(got, want) {
			s.t.Errorf("recorded %v", got)
		}
		b, err := s.Store.Budget(s.t.Context(), v.budget)
		if err != nil || b.Failures != 0 || b.InARow != 0 {
			s.t.Errorf("after a success: %+v, %v", b, err)
		}
	})
}

func TestLadderOfAnAccount(t *testing.T) {
	onSQLite(t, func(s scene) {
		begun := s.clock.Now()
		for n := range 5 {
			v := s.signIn(s.try(wrong(n), outside, ""))
			wantLeft := []int{0, 3, 2, 1, 0}[n]
			if v.Left != wantLeft || v.LockedNow != (n == 4) || v.Wait.IsZero() != (n < 4) {
				s.t.Errorf("failure %d: %+v", n+1, v)
			}
		}
		standing, err := s.Store.Standing(s.t.Context(), s.agent.Number)
		if err != nil || !standing.LockedUntil.Equal(begun.Add(time.Minute)) {
			s.t.Errorf("standing says %+v, %v", standing, err)
		}
		done := s.pool.done
		for range 3 { // even the right one, and the wait does not grow
			v := s.signIn(s.try(right, outside, ""))
			if v.OK || !v.Wait.Equal(begun.Add(time.Minute)) {
				s.t.Errorf("during the wait: %+v", v)
			}
			s.clock.Move(19 * time.Second)
		}
		if s.pool.done != done {
			s.t.Errorf("%d hashed during the wait", s.pool.done-done)
		}
		s.clock.Move(3 * time.Second)
		v := s.signIn(s.try(wrong(6), outside, ""))
		if wait := v.Wait.Sub(s.clock.Now()); wait < 108*time.Second || wait > 132*time.Second || v.LockedNow {
			s.t.Errorf("the sixth failure waits %s: %+v", wait, v)
		}
		s.clock.Move(3 * time.Minute)
		if v := s.signIn(s.try(right, outside, "")); !v.OK {
			s.t.Errorf("after the wait: %+v", v)
		}
		if v := s.signIn(s.try(wrong(7), outside, "")); !v.Wait.IsZero() || v.Left != 0 {
			s.t.Errorf("after a success the ladder starts again: %+v", v)
		}
		waited := 0
		for _, k := range s.kinds() {
			if k == "sign_in.waited" {
				waited++
			}
		}
		if waited != 1 {
			s.t.Errorf("%d refused tries recorded in one wait", waited)
		}
	})
}

// A stranger exhausts the account from elsewhere; at work, and from the
// browser that the owner proved, nothing has happened.
func TestBudgetsAreSeparate(t *testing.T) {
	each(t, func(s scene) {
		device := s.prove()
		for n := range 7 {
			s.check(s.try(wrong(n), from(n), ""))
		}
		for name, c := range map[string]struct {
			try Try
			ok  bool
		}{
			"elsewhere":              {s.try(right, outside, ""), false},
			"elsewhere, other entry": {s.try(right, from(300), "forged.device"), false},
			"at work":                {s.try(right, inside, ""), true},
			"from a known network":   {s.try(right, parvis.Origin{Channel: parvis.Mobile, Known: true}, ""), true},
			"proven browser":         {s.try(right, outside, device), true},
		} {
			if v := s.check(c.try); v.OK != c.ok {
				s.t.Errorf("%s: %+v", name, v)
			}
		}
		// Proven for one account, nothing for another.
		other := &parvis.Agent{Number: "A100002"}
		v := s.check(Try{Typed: "A100002", Agent: other, Password: "x", Origin: outside, Device: device})
		if v.Proven {
			s.t.Error("a device proven for one account counts for another")
		}
		// Shared by several agents, in one cookie.
		shared := Remember(Remember(device, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
		if v := s.check(s.try(right, outside, shared)); !v.Proven {
			s.t.Error("the proven secret is not found among others")
		}
		// Recovery takes it away.
		s.write(func(tx *store.Tx) error {
			n, err := s.Distrust(s.t.Context(), tx, s.agent.Number, "", "system")
			if n != 1 {
				s.t.Errorf("%d devices", n)
			}
			return err
		})
		if v := s.check(s.try(right, outside, device)); v.Proven || v.OK {
			s.t.Errorf("a distrusted device still counts: %+v", v)
		}
	})
}

// Whatever strangers do, the verdict of the owner's own browser is the same.
func TestStrangersNeverChangeAProvenDevice(t *testing.T) {
	onSQLite(t, func(s scene) {
		device := s.prove()
		n := 0
		rapid.Check(t, func(t *rapid.T) {
			for range rapid.IntRange(0, 4).Draw(t, "tries") {
				n++
				origin := from(rapid.IntRange(0, 3).Draw(t, "address"))
				if rapid.Bool().Draw(t, "inside") {
					origin.Known = true
				}
				password := wrong(rapid.IntRange(0, 1000).Draw(t, "password"))
				if _, err := s.Check(context.Background(), s.try(password, origin, "x")); err != nil {
					t.Fatal(err)
				}
				s.clock.Move(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			}
			mine := s.try(right, outside, device)
			v, err := s.Check(context.Background(), mine)
			if err != nil || !v.OK || !v.Proven {
				t.Fatalf("after %d foreign tries: %+v, %v", n, v, err)
			}
			if err := s.Store.Write(context.Background(), func(tx *store.Tx) error {
				return s.Succeed(context.Background(), tx, mine, v)
			}); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// An identifier that nobody has meets the same verdicts, rows and records.
func TestPhantomsBehaveAlike(t *testing.T) {
	each(t, func(s scene) {
		empty := &parvis.Agent{Number: "A100009"} // known, not activated
		type seen struct {
			Verdict Verdict
			Hashed  int
			Events  int
		}
		var stories [3][]seen
		start := s.clock.Now()
		for i, who := range []Try{
			{Typed: "A100001", Agent: s.agent},
			{Typed: "A100009", Agent: empty},
			{Typed: "A999999"},
		} {
			s.clock.Set(start)
			for n := range 12 {
				who.Password, who.Origin = wrong(n/2), from(n)
				if n == 9 {
					who.Device = "no.such.device"
				}
				done, events := s.pool.done, len(s.kinds())
				v := s.check(who)
				stories[i] = append(stories[i], seen{v, s.pool.done - done, len(s.kinds()) - events})
				s.clock.Move(25 * time.Second)
			}
		}
		ignore := cmpopts.IgnoreUnexported(Verdict{})
		for i := 1; i < 3; i++ {
			// The jitter is of the row: the end of a doubled wait may differ by it.
			near := cmp.Comparer(func(a, b time.Time) bool { return a.IsZero() == b.IsZero() && a.Sub(b).Abs() < 30*time.Second })
			about := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < 30*time.Second })
			if d := cmp.Diff(stories[0], stories[i], ignore, near, about); d != "" {
				s.t.Errorf("story %d differs:\n%s", i, d)
			}
		}
		rows := 0
		for _, typed := range []string{"A999999", " a999 999"} {
			p, err := s.find(s.t.Context(), Try{Typed: typed, Origin: outside})
			if err != nil {
				s.t.Fatal(err)
			}
			if b, err := s.Store.Budget(s.t.Context(), p.budget); err != nil || b.Failures == 0 {
				s.t.Errorf("%q has no row: %+v, %v", typed, b, err)
			}
			rows++
		}
		if rows != 2 {
			s.t.Error("no phantom was looked at")
		}
	})
}

func TestPasswordThatMustChange(t *testing.T) {
	each(t, func(s scene) {
		s.set("violon marmotte escalier tisane", 30)
		try := s.try("violon marmotte escalier tisane", inside, "")
		s.clock.Move(30*24*time.Hour - time.Second)
		if v := s.signIn(try); v.MustChange != "" {
			s.t.Errorf("before the day: %s", v.MustChange)
		}
		s.clock.Move(time.Second)
		if v := s.signIn(try); !v.OK || v.MustChange != parvis.WhyPasswordExpired {
			s.t.Errorf("on the day: %+v", v)
		}
		s.write(func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "password.leaked", Agent: s.agent.Number})
			return tx.SetPasswordLeaked(s.t.Context(), s.agent.Number)
		})
		if v := s.signIn(try); !v.OK || v.MustChange != parvis.WhyPasswordCompromised {
			s.t.Errorf("leaked: %+v", v)
		}
		for password, want := range map[seal.Secret]bool{try.Password: true, right: false} {
			if got, err := s.Reused(s.t.Context(), s.agent.Number, password); err != nil || got != want {
				s.t.Errorf("reused: %t, %v", got, err)
			}
		}
	})
}

func TestSucceedRefuses(t *testing.T) {
	onSQLite(t, func(s scene) {
		try := s.try(right, outside, "")
		bad, good := s.check(s.try("wrong", outside, "")), s.check(try)
		s.set("violon marmotte escalier tisane", 0)
		for name, c := range map[string]struct {
			verdict Verdict
			code    parvis.Code
		}{
			"a failure":                  {bad, parvis.CodeInvalid},
			"nothing":                    {Verdict{}, parvis.CodeInvalid},
			"made up":                    {Verdict{OK: true}, parvis.CodeInvalid},
			"the password changed since": {good, parvis.CodeConflict},
		} {
			err := s.Store.Write(s.t.Context(), func(tx *store.Tx) error { return s.Succeed(s.t.Context(), tx, try, c.verdict) })
			if parvis.CodeOf(err) != c.code {
				s.t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestWeakHashIsReplaced(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.passes.Store(2)
		if v := s.signIn(s.try(right, outside, "")); !v.OK {
			s.t.Fatalf("%+v", v)
		}
		p, err := s.Store.Password(s.t.Context(), s.agent.Number)
		if err != nil || p.Passes != 2 {
			s.t.Fatalf("%d passes, %v", p.Passes, err)
		}
		if h, err := parsePHC(p.PHC); err != nil || h.passes != 2 {
			s.t.Errorf("%+v, %v", h, err)
		}
		if v := s.signIn(s.try(right, outside, "")); !v.OK || v.rehash.phc != "" {
			s.t.Errorf("%+v", v)
		}
	})
}

// Dummies cost what agents cost: here half of the agents have two passes.
func TestDummiesCostWhatAgentsCost(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.write(func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "password.changed"})
			for n := range 9 {
				p := store.Password{Agent: parvis.AgentNumber(fmt.Sprint("B", n)), PHC: goodPHC, Passes: 1 + uint32(n%3)}
				if err := tx.PutPassword(s.t.Context(), p); err != nil {
					return err
				}
			}
			return nil
		})
		s.clock.Move(time.Hour)
		count := map[uint32]int{}
		for n := range 1000 {
			a := s.Keys.MAC("budget", []byte(fmt.Sprint(n)))
			first, err := s.dummyPasses(s.t.Context(), a)
			again, err2 := s.dummyPasses(s.t.Context(), a)
			if err != nil || err2 != nil || first != again {
				s.t.Fatal(first, again, err, err2)
			}
			count[first]++
		}
		for passes, want := range map[uint32]int{1: 400, 2: 300, 3: 300} { // 4, 3 and 3 of 10 agents
			if got := count[passes]; got < want-70 || got > want+70 {
				s.t.Errorf("%d of 1000 dummies have %d passes, want about %d", got, passes, want)
			}
		}
	})
}

func TestNothingSecretIsRecorded(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.check(Try{Typed: "typed-by-mistake", Password: "hush-hush", Origin: outside})
		n := 0
		err := s.Store.EachEvent(s.t.Context(), 0, func(e parvis.Event) error {
			n++
			text := fmt.Sprintf("%+v", e)
			for _, secret := range []string{"typed-by-mistake", "hush-hush", "argon2id"} {
				if strings.Contains(text, secret) {
					s.t.Errorf("%s holds %q", text, secret)
				}
			}
			return nil
		})
		if err != nil || n != 2 {
			s.t.Fatalf("%d events, %v", n, err)
		}
	})
}

func TestCalibrate(t *testing.T) {
	onSQLite(t, func(s scene) {
		if err := s.Calibrate(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if got := s.passes.Load(); got != maxPasses { // 64 KiB cost next to nothing
			s.t.Errorf("%d passes", got)
		}
		if v := s.signIn(s.try(right, inside, "")); !v.OK || v.rehash.passes != maxPasses {
			s.t.Errorf("%+v", v)
		}
		gone, cancel := context.WithCancel(s.t.Context())
		cancel()
		if err := s.Calibrate(gone); parvis.CodeOf(err) != parvis.CodeUnavailable {
			s.t.Errorf("interrupted: %v", err)
		}
	})
}

// Without its store nobody gets in, and nobody is told that a password is wrong.
func TestStoreDown(t *testing.T) {
	onSQLite(t, func(s scene) {
		before := s.check(s.try(right, inside, ""))
		if err := s.Store.Close(); err != nil {
			s.t.Fatal(err)
		}
		v, err := s.Check(s.t.Context(), s.try(right, inside, ""))
		if !before.OK || v.OK || err == nil {
			s.t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestRemember(t *testing.T) {
	secret := func(n int) seal.Secret { return seal.Secret(fmt.Sprintf("%043d", n)) }
	cookie := ""
	for n := range 8 {
		cookie = Remember(cookie, secret(n))
	}
	want := strings.Join([]string{secret(7).Reveal(), secret(6).Reveal(), secret(5).Reveal(), secret(4).Reveal(), secret(3).Reveal()}, ".")
	if cookie != want {
		t.Errorf("%s", cookie)
	}
	if got := Remember(cookie, secret(5)); strings.Count(got, secret(5).Reveal()) != 1 || !strings.HasPrefix(got, secret(5).Reveal()) {
		t.Errorf("once more: %s", got)
	}
	if got := Remember("<script>..;", secret(1)); got != secret(1).Reveal() {
		t.Errorf("nonsense kept: %s", got)
	}
}

func TestCanonical(t *testing.T) {
	for typed, want := range map[string]string{
		" a100 001 ":                     "A100001",
		"Ａ100001":                        "A100001", // full width
		"Marie.Durand+test@Example.ORG ": "marie.durand@example.org",
		"a+b":                            "a+b",
	} {
		if got := Canonical(typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	if n := len(Canonical(strings.Repeat("x", 1<<20))); n > 512 {
		t.Errorf("%d bytes", n)
	}
}
