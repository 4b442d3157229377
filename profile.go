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
