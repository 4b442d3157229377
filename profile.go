package parvis

import "time"

// Demand is what must be shown beyond the first proof.
type Demand struct {
	Strength int           // the least [ProofKind.Strength]; 0 for none
	MaxAge   time.Duration // how old the second proof may be; 0 for the whole session
	From     time.Time     // it is announced, and binds from then; zero when it binds now
}

// with gives what two demands ask together. Both bind.
func (d Demand) with(o Demand) Demand {
	d.Strength = max(d.Strength, o.Strength)
	if d.MaxAge == 0 || o.MaxAge > 0 && o.MaxAge < d.MaxAge {
		d.MaxAge = o.MaxAge
	}
	return d
}

// Profile is a set of demands that IT decides and the agent sees as locked.
type Profile struct {
	ID           ProfileID
	Label        Words
	Sensitive    bool      // a second proof everywhere, no SMS, two people for some acts
	SMSUntil     time.Time // until then a text message will do all the same; zero for no such exception
	PasswordDays int       // the password expires after so many days; 0 for never
	RememberDays int       // a browser may be remembered for so many days; 0 for never

	Second    map[Channel]Demand // by entrance; "" for every one
	Announced map[Channel]Demand // what [Strictest] knows of later; not read from what is declared
}

// demand gives what the profile asks at an entrance at a moment, and the next
// moment after it when that may change; zero when there is none.
func (p *Profile) demand(c Channel, at time.Time) (Demand, time.Time) {
	var all Demand
	var next time.Time
	later := func(t time.Time) {
		if t.After(at) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	add := func(d Demand) {
		if d.From.After(at) {
			later(d.From)
			return
		}
		all = all.with(d)
	}
	if p.Sensitive {
		least := NoSMS
		if at.Before(p.SMSUntil) && !at.IsZero() {
			least = AnySecond
			later(p.SMSUntil)
		}
		add(Demand{Strength: least})
	}
	add(p.Second[""])
	if c != "" {
		add(p.Second[c])
	}
	all.From = time.Time{}
	return all, next
}

// Words is one label in both languages.
type Words struct{ FR, EN string }

// In gives the words in a language, French when lang is not "en".
func (w Words) In(lang string) string {
	if lang == "en" {
		return w.EN
	}
	return w.FR
}

// Demanded gives what the profiles of an agent demand together at an entrance:
// what binds at a moment, and the next announced change of it, whose From says
// when; zero when nothing is announced. A profile that is not among those
// declared is sensitive (unknown means refused). It allocates nothing.
func Demanded(declared []Profile, a *Agent, c Channel, at time.Time) (binds, next Demand) {
	binds, turn := demanded(declared, a, c, at)
	for !turn.IsZero() {
		later, after := demanded(declared, a, c, turn)
		if later != binds {
			later.From = turn
			return binds, later
		}
		turn = after
	}
	return binds, Demand{}
}

func demanded(declared []Profile, a *Agent, c Channel, at time.Time) (all Demand, next time.Time) {
	known := 0
	for i := range declared {
		if !a.Is(declared[i].ID) {
			continue
		}
		known++
		d, turn := declared[i].demand(c, at)
		all = all.with(d)
		if !turn.IsZero() && (next.IsZero() || turn.Before(next)) {
			next = turn
		}
	}
	if known < len(a.Profiles) {
		all = all.with(Demand{Strength: NoSMS})
	}
	return all, next
}

// Strictest gives what all the profiles of an agent demand together: sensitive
// when any of them is, or is not among those declared (unknown means refused);
// the shortest life of a password; the least time a browser is remembered. Its
// ID and Label are empty.
//
// Second is what binds whatever the date, without the dated exceptions, and
// Announced the first dated change of it; [Demanded] is exact at a moment.
func Strictest(declared []Profile, a *Agent) Profile {
	var all Profile
	known := 0
	for _, p := range declared {
		if !a.Is(p.ID) {
			continue
		}
		known++
		all.Sensitive = all.Sensitive || p.Sensitive
		if p.PasswordDays > 0 && (all.PasswordDays == 0 || p.PasswordDays < all.PasswordDays) {
			all.PasswordDays = p.PasswordDays
		}
		if known == 1 || p.RememberDays < all.RememberDays {
			all.RememberDays = p.RememberDays
		}
	}
	if known < len(a.Profiles) {
		all.Sensitive, all.RememberDays = true, 0
	}
	for _, c := range Channels() {
		binds, next := Demanded(declared, a, c, time.Time{})
		if binds != (Demand{}) {
			put(&all.Second, c, binds)
		}
		if next != (Demand{}) {
			put(&all.Announced, c, next)
		}
	}
	return all
}

func put(m *map[Channel]Demand, c Channel, d Demand) {
	if *m == nil {
		*m = map[Channel]Demand{}
	}
	(*m)[c] = d
}
