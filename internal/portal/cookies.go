package portal

import (
	"net/http"
	"time"
)

// The cookies of the portal, besides that of the session. Over TLS their names
// begin with "__Host-" (RFC 6265bis §4.1.3.2), so that no neighbouring host can
// plant one. Their names begin as those of the session do, which keeps them
// from ever reaching an application.
const (
	cookieDoor       = "parvis-door"       // ties a proof that waits to its browser
	cookieDevice     = "parvis-device"     // what this browser has proven
	cookieActivation = "parvis-activation" // the task list of a newcomer
	cookieLink       = "parvis-link"       // the token of a link that was opened, not used
	cookieActivated  = "parvis-activated"  // whose activation just ended
	cookieLang       = "parvis-lang"
	cookieTheme      = "parvis-theme"
)

const (
	year       = 365 * 24 * time.Hour
	linkWaits  = 30 * time.Minute
	doorWaits  = time.Hour
	doneShown  = 15 * time.Minute
	preference = year
)

func (v *visit) name(base string) string {
	if v.p.Addresses.Secure(v.door) {
		return "__Host-" + base
	}
	return base
}

// cookie reads one of ours. Two of one name mean that somebody planted one:
// neither is believed.
func (v *visit) cookie(r *http.Request, base string) string {
	all := r.CookiesNamed(v.name(base))
	if len(all) != 1 {
		return ""
	}
	return all[0].Value
}

// keep sets one of ours; for no time at all, it removes it.
func (v *visit) keep(w http.ResponseWriter, base, value string, lasts time.Duration) {
	age := int(lasts / time.Second)
	if value == "" || age <= 0 {
		value, age = "", -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: v.name(base), Value: value, Path: "/", MaxAge: age,
		Secure: v.p.Addresses.Secure(v.door), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (v *visit) drop(w http.ResponseWriter, base string) { v.keep(w, base, "", 0) }
