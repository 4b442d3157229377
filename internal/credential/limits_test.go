package credential

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
)

// 50 wrong passwords at once: five are examined, and then nobody.
func TestParallelTriesAreCharged(t *testing.T) {
	each(t, func(s scene) {
		var all sync.WaitGroup
		verdicts := make(chan Verdict, 50)
		before := 1 // of the password that was set
		for n := range 50 {
			all.Go(func() {
				v, err := s.Check(s.t.Context(), s.try(wrong(n), from(n), ""))
				if err != nil {
					s.t.Error(err)
				}
				verdicts <- v
			})
		}
		all.Wait()
		close(verdicts)
		if got := s.pool.done - before; got != 5 {
			s.t.Errorf("%d hashed", got)
		}
		waiting, locked := 0, 0
		for v := range verdicts {
			if !v.Wait.IsZero() {
				waiting++
			}
			if v.LockedNow {
				locked++
			}
		}
		if waiting != 46 || locked != 1 || s.pool.peak > s.pool.workers {
			s.t.Errorf("%d wait, %d began the wait, %d at once", waiting, locked, s.pool.peak)
		}
		failed := 0
		for _, k := range s.kinds() {
			if k == "sign_in.failed" {
				failed++
			}
		}
		if failed != 5 {
			s.t.Errorf("%d recorded", failed)
		}
	})
}

// The right password typed twice at once is no wrong one.
func TestDoubleClick(t *testing.T) {
	onSQLite(t, func(s scene) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if v, err := s.Check(s.t.Context(), s.try(right, outside, "")); err != nil || !v.OK {
					s.t.Errorf("%+v, %v", v, err)
				}
			})
		}
		all.Wait()
		if v := s.signIn(s.try(right, outside, "")); !v.OK {
			s.t.Errorf("%+v", v)
		}
	})
}

func TestAHundredInARow(t *testing.T) {
	onSQLite(t, func(s scene) {
		device := s.prove()
		hashed := 0
		for n := 0; n < 130; n++ {
			done := s.pool.done
			v := s.check(s.try(wrong(n), from(n), ""))
			if v.LockedNow != (v.Disabled && n == 99 || n == 4) || v.Disabled != (n >= 99) {
				s.t.Fatalf("failure %d: %+v", n+1, v)
			}
			hashed += s.pool.done - done
			if v.Wait.IsZero() != (n < 4) {
				s.t.Fatalf("failure %d does not wait as before: %+v", n+1, v)
			}
			s.clock.Move(2 * time.Hour)
		}
		if hashed != 130 {
			s.t.Errorf("%d hashed: the cost tells that the password is disabled", hashed)
		}
		if v := s.signIn(s.try(right, outside, "")); v.OK {
			s.t.Error("a disabled password is accepted")
		}
		if v := s.signIn(s.try(right, inside, "")); !v.OK {
			s.t.Errorf("strangers disabled the password at work: %+v", v)
		}
		if v := s.signIn(s.try(right, outside, device)); !v.OK {
			s.t.Errorf("strangers disabled the password of a proven browser: %+v", v)
		}
		s.clock.Move(48 * time.Hour)
		if v := s.signIn(s.try(right, outside, "")); v.OK {
			s.t.Error("time, or a success in another place, brings a disabled password back")
		}
		s.set(right, 0)
		if v := s.signIn(s.try(right, outside, "")); !v.OK {
			s.t.Errorf("after a recovery: %+v", v)
		}
	})
}

func TestAHundredOnAProvenDevice(t *testing.T) {
	onSQLite(t, func(s scene) {
		device := s.prove()
		for n := range 100 {
			if v := s.check(s.try(wrong(n), outside, device)); !v.Proven {
				s.t.Fatalf("failure %d is not the device's", n+1)
			}
			s.clock.Move(2 * time.Hour)
		}
		if v := s.signIn(s.try(right, outside, device)); v.Proven || !v.OK {
			s.t.Errorf("the device that failed a hundred times: %+v", v)
		}
	})
}

// A success anywhere ends the row of failures, not the ladder of others.
func TestInARow(t *testing.T) {
	onSQLite(t, func(s scene) {
		for n := range 99 {
			s.check(s.try(wrong(n), from(n), ""))
			s.clock.Move(2 * time.Hour)
		}
		s.signIn(s.try(right, inside, ""))
		v := s.check(s.try(wrong(100), outside, ""))
		if v.Disabled || v.Wait.Sub(s.clock.Now()) < time.Hour {
			s.t.Errorf("after the owner's success at work: %+v", v)
		}
	})
}

func TestStrangersAreLimited(t *testing.T) {
	onSQLite(t, func(s scene) {
		limited := 0
		for n := range 40 {
			v := s.check(Try{Typed: fmt.Sprint("B", n), Password: wrong(n), Origin: outside})
			if v.Limited {
				limited++
				if v.Next <= 0 || v.Next > time.Minute {
					s.t.Errorf("come back in %s", v.Next)
				}
			}
		}
		if limited != 10 {
			s.t.Errorf("%d of 40 limited", limited)
		}
		if v := s.check(s.try(right, inside, "")); !v.OK {
			s.t.Errorf("at work: %+v", v)
		}
	})
}

func TestBusy(t *testing.T) {
	onSQLite(t, func(s scene) {
		s.pool.waiting = 0
		leave := fill(s.t, s.pool)
		v := s.check(s.try(right, outside, ""))
		if v.OK || !v.Busy || v.Next <= 0 || v.Next > time.Second {
			s.t.Errorf("a full queue: %+v", v)
		}
		if _, err := s.Hash(s.t.Context(), right); parvis.CodeOf(err) != parvis.CodeUnavailable {
			s.t.Errorf("Hash: %v", err)
		}
		leave()
		if v := s.signIn(s.try(right, outside, "")); !v.OK {
			s.t.Errorf("afterwards: %+v", v)
		}
		if n := len(s.kinds()); n != 3 { // changed, failed, ok: the busy try was not charged
			s.t.Errorf("%d events", n)
		}
	})
}

func TestSweep(t *testing.T) {
	each(t, func(s scene) {
		for n := range 3 {
			s.check(Try{Typed: fmt.Sprint("B", n), Password: "x", Origin: from(n)})
		}
		s.check(s.try("wrong", outside, ""))
		sweep := func() (n int) {
			s.write(func(tx *store.Tx) (err error) {
				n, err = s.Sweep(s.t.Context(), tx)
				return err
			})
			return n
		}
		if n := sweep(); n != 0 {
			s.t.Errorf("%d swept at once", n)
		}
		s.clock.Move(27 * time.Hour)
		if n := sweep(); n != 3 {
			s.t.Errorf("%d swept, want the three that nobody has", n)
		}
		if v := s.check(s.try("other", outside, "")); v.OK {
			s.t.Errorf("%+v", v)
		}
		s.write(func(tx *store.Tx) error { // a bound on rows, whatever their age
			n, err := tx.SweepBudgets(s.t.Context(), time.Time{}, 0)
			if n != 0 {
				s.t.Errorf("%d rows of agents swept", n)
			}
			return err
		})
	})
}
