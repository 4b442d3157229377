package credential

import (
	"fmt"
	"testing"
	"time"
)

func account(n int) (a [32]byte) {
	a[0], a[1], a[2] = byte(n*7), byte(n*13/4), byte(n)
	return a
}

func TestGuardBoundsAnAddress(t *testing.T) {
	for _, c := range []struct {
		from  func(i int) string
		tries int
		want  int
	}{
		{func(int) string { return "192.0.2.1" }, 100, perAddress},
		{func(i int) string { return fmt.Sprintf("192.0.2.1:%d", i+1) }, 100, perAddress},
		{func(i int) string { return fmt.Sprintf("::ffff:192.0.2.%d", 1) }, 100, perAddress},
		{func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, 100, perAddress}, // one /64
		{func(i int) string { return fmt.Sprintf("no address %d", i) }, 100, perAddress},
		{func(i int) string { return fmt.Sprintf("192.0.2.%d", i) }, 100, 100},
		{func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i) }, 100, 100},
	} {
		var g guard
		admitted := 0
		for i := range c.tries {
			later, _ := g.admit(c.from(i), markOf(i), account(1), monday.Add(time.Duration(i)*time.Millisecond))
			if later.IsZero() {
				admitted++
			} else if wait := later.Sub(monday); wait > 2*time.Minute {
				t.Errorf("%s comes back after %s", c.from(i), wait)
			}
		}
		if admitted != c.want {
			t.Errorf("from %s and so on: %d admitted, want %d", c.from(0), admitted, c.want)
		}
	}
}

func TestGuardMinuteSlides(t *testing.T) {
	var g guard
	var at []time.Time
	for i := range 600 {
		now := monday.Add(time.Duration(i) * time.Second)
		if later, _ := g.admit("192.0.2.1", markOf(i), account(1), now); later.IsZero() {
			at = append(at, now)
		}
	}
	for i := range at {
		if j := i + perAddress; j < len(at) && at[j].Sub(at[i]) < time.Minute {
			t.Fatalf("%d tries in %s", perAddress+1, at[j].Sub(at[i]))
		}
	}
	if len(at) != 10*perAddress {
		t.Errorf("%d admitted in ten minutes", len(at))
	}
}

func TestGuardForgives(t *testing.T) {
	var g guard
	for i := range 200 {
		if later, _ := g.admit("192.0.2.1", markOf(i), account(i), monday); !later.IsZero() {
			t.Fatalf("the right password of agent %d waits until %s", i, later)
		}
		g.forgive("192.0.2.1", monday)
	}
}

func TestGuardSeesOnePasswordOnManyAccounts(t *testing.T) {
	var g guard
	admitted, alarms := 0, 0
	for i := range 10_000 {
		later, found := g.admit(fmt.Sprintf("10.%d.%d.1", i>>8, i&255), markOf(1), account(i), monday.Add(time.Duration(i)*time.Millisecond))
		if later.IsZero() {
			admitted++
		}
		if found {
			alarms++
		}
	}
	if admitted < 30 || admitted > 100 || alarms != 1 {
		t.Errorf("%d admitted, %d alarms", admitted, alarms)
	}
	if later, _ := g.admit("192.0.2.1", markOf(2), account(1), monday); !later.IsZero() {
		t.Error("another password waits too")
	}
	// The campaign is over: an honest one may type it again.
	var last time.Time
	for i := 1; i < 4; i++ {
		last, _ = g.admit("192.0.2.1", markOf(1), account(1), monday.Add(time.Duration(i)*2*campaignSpan))
	}
	if !last.IsZero() {
		t.Error("a campaign never ends")
	}
}

func TestGuardStaysSmall(t *testing.T) {
	var g guard
	for i := range 100_000 {
		g.admit(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), markOf(i), account(i), monday)
	}
	for name, n := range map[string]int{
		"addresses": len(g.addresses.young) + len(g.addresses.old),
		"passwords": len(g.passwords.young) + len(g.passwords.old),
	} {
		if n > 16384 {
			t.Errorf("%d %s kept", n, name)
		}
	}
}
