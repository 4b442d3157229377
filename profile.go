package parvis

// Profile is a set of demands that IT decides and the agent sees as locked.
type Profile struct {
	ID           ProfileID
	Label        Words
	Sensitive    bool // a second proof everywhere, no SMS, two people for some acts
	PasswordDays int  // the password expires after so many days; 0 for never
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

// Strictest gives what all the profiles of an agent demand together: sensitive
// when any of them is, or is not among those declared (unknown means refused);
// the shortest life of a password. Its ID and Label are empty.
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
	}
	if known < len(a.Profiles) {
		all.Sensitive = true
	}
	return all
}
