package citytest

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"

	"parvis"
)

// scenes may come to a screen by an address, and then by what names a button.
func then(name, screen, address, selector string) scene {
	return scene{name, screen, func(w *window) seen {
		w.open(address)
		return w.press(selector)
	}}
}

// typed comes to a screen by an address, and by what is typed into one field.
func typed(name, screen, address, field, text string) scene {
	return scene{name, screen, func(w *window) seen {
		w.open(address)
		return w.send(field, text)
	}}
}

// chosen comes to a screen by an answer to the question about equipment.
func chosen(name, screen, address, have string) scene {
	return scene{name, screen, func(w *window) seen {
		w.open(address)
		w.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("input[name=have][value=%s]", have))))
		return w.press("form:has(input[name=have]) button[type=submit]")
	}}
}

// arriving is what a newcomer sees of the second proof and of the second account.
func (g *gallery) arriving() []scene {
	step := g.town.Portal(parvis.Internal) + "/activate/"
	return []scene{
		at("activation_verifier-have", "verifier_redirect", step+"verifier?have=yes"),
		at("activation_verifier-none", "activation_verifier", step+"verifier?have=no"),
		at("activation_verifier-unknown", "activation_verifier", step+"verifier?have=unknown"),
		at("", "activation_second_totp", step+"second/totp"),
		typed("activation_second_totp-wrong", "activation_second_totp", step+"second/totp", "code", "000000"),
		at("", "activation_second_sms", step+"second/sms"),
		at("", "activation_second_passkey", step+"second/passkey"),
		at("", "activation_second_codes", step+"second/codes"),
		at("", "activation_second_help", step+"second/help"),
		chosen("activation_second_help-none", "activation_second_help", step+"second/help", "none"),
		at("", "activation_second_request", step+"second/request"),
		{"verifier_return-cancelled", "verifier_return", func(w *window) seen {
			w.open(step + "verifier?have=yes")
			w.press(`form[action="/verifier/leave"] button[type=submit]`)
			return w.press(`form[action$="/cancel"] button`)
		}},
	}
}

// already is the return from a trip with an account that vouches for somebody.
func (g *gallery) already() []scene {
	step := g.town.Portal(parvis.Internal) + "/activate/"
	return []scene{
		{"verifier_return-already", "verifier_return", func(w *window) seen {
			w.open(step + "verifier?have=yes")
			return g.there(w, w.press(`form[action="/verifier/leave"] button[type=submit]`), "A100001")
		}},
	}
}

// there signs in at the verifier, when it asks.
func (g *gallery) there(w *window, s seen, number string) seen {
	if s.Screen != "citizen_sign_in" {
		return s
	}
	who := g.town.Person(number).Verifier
	w.fill("email", who.Email)
	return w.send("password", who.Password)
}

// proofs is what whoever is in sees of their methods and accounts.
func (g *gallery) proofs(t *testing.T, b *browser) {
	camille := g.town.Person("A100001")
	mobile, office := g.town.Portal(parvis.Mobile), g.town.Portal(parvis.Internal)
	w := b.window(t, "fr")
	w.open(mobile + "/signin")
	want(t, w.signIn(camille), "home")
	g.walk(t, w, []scene{
		at("security_factors-none", "security_factors", mobile+"/security/factors"),
		at("factor_enrol_here_forbidden", "blocked", mobile+"/security/factors/totp"),
		at("", "security_factors_help", mobile+"/security/factors/help"),
		at("", "security_factors_request", mobile+"/security/factors/request"),
		at("", "prove_password", mobile+"/prove"),
		typed("prove_password-wrong", "prove_password", mobile+"/prove", "password", "ce n'est pas cela"),
		at("second_factor-temporary", "second_factor", mobile+"/prove?method=temporary_code"),
		typed("second_factor-temporary-wrong", "second_factor", mobile+"/prove?method=temporary_code", "code", "AAAA-AAAA-AAAA"),
		at("factor_lost-in", "factor_lost", mobile+"/lost"),
		at("", "security_verifier", mobile+"/security/verifier"),
		at("security_verifier-unlink", "security_verifier", mobile+"/security/verifier?unlink=moncompte"),
		at("", "verifier_redirect", mobile+"/verifier"),
		{"verifier_return-mismatch", "verifier_return", func(w *window) seen {
			w.open(mobile + "/verifier")
			return g.there(w, w.press(`form[action="/verifier/leave"] button[type=submit]`), "A100010")
		}},
		at("arrival-done", "arrival", mobile+"/arrival"),
	})

	w = b.window(t, "fr")
	w.open(office + "/signin")
	want(t, w.signIn(camille), "home")
	factors := office + "/security/factors"
	g.walk(t, w, []scene{
		at("", "security_factors", factors),
		at("", "security_factors_totp", factors+"/totp"),
		typed("security_factors_totp-wrong", "security_factors_totp", factors+"/totp", "code", "000000"),
		at("", "security_factors_passkey", factors+"/passkey"),
		at("", "security_factors_codes", factors+"/codes"),
		at("", "security_factors_sms", factors+"/sms"),
		typed("security_factors_sms-shape", "security_factors_sms", factors+"/sms", "phone", "12"),
		chosen("security_factors_help-phone", "security_factors_help", factors+"/help", "own_phone"),
		chosen("security_factors_request-unknown", "security_factors_request", factors+"/help", "unknown"),
		typed("security_factors_sms-sent", "security_factors_sms", factors+"/sms", "phone", "06 39 98 11 01"),
	})
	want(t, w.send("code", smsCode(t, g.town, url.QueryEscape("+262639981101"), 0)), "security_factors")
	sheet := ""
	g.walk(t, w, []scene{{"", "security_factors_codes_sheet", func(w *window) seen {
		if s := w.open(factors + "/codes"); s.Screen == "second_factor" { // a sheet is replaced by a code of it
			w.send("code", sheet)
		}
		s := w.press(`form[action$="/codes"] button[type=submit]`)
		sheet = regexp.MustCompile(`[0-9A-Z]{4}(-[0-9A-Z]{4}){3}`).FindString(s.Text)
		return s
	}}})
	w.authenticator()
	w.open(factors + "/passkey")
	want(t, w.press(`form[data-passkey] button[type=submit]`), "security_factors")
	g.walk(t, w, []scene{
		at("security_factors-three", "security_factors", factors),
		then("", "security_factor", factors, `a[href^="/security/factors/"]:not([href$="/totp"], [href$="/sms"], [href$="/passkey"], [href$="/codes"], [href$="/help"], [href$="/request"])`),
	})
	factor := w.see().URL
	g.walk(t, w, []scene{
		at("", "security_factor_remove", factor+"?remove=1"),
		at("", "security_factor_lost", factor+"?lost=1"),
		at("second_factor-passkey", "second_factor", office+"/prove?method=passkey"),
		at("second_factor-codes", "second_factor", office+"/prove?method=recovery_code"),
		at("second_factor-sms", "second_factor", office+"/prove?method=sms"),
		then("second_factor-sms-sent", "second_factor", office+"/prove?method=sms", `form:has(input[name=send]) button[type=submit]`),
	})
}

// second is the door of those who hold a second proof.
func (g *gallery) second(t *testing.T, b *browser) {
	tel := telephone(t, g.town, officeDay(t, 10, 30), g.town.Person("A100003").TOTPSecret)
	mobile, office := g.town.Portal(parvis.Mobile), g.town.Portal(parvis.Internal)
	door := func(w *window, portal, number string) seen {
		w.open(portal + "/signin")
		return w.signIn(g.town.Person(number))
	}
	w := b.window(t, "fr")
	g.walk(t, w, []scene{
		{"", "second_factor", func(w *window) seen { return door(w, mobile, "A100003") }},
		{"second_factor-wrong", "second_factor", func(w *window) seen {
			door(w, mobile, "A100003")
			return w.send("code", "000000")
		}},
		{"factor_lost", "factor_lost", func(w *window) seen {
			door(w, mobile, "A100003")
			return w.press(`form[action="/lost"] button`)
		}},
		{"second_factor-recovery", "second_factor", func(w *window) seen {
			door(w, mobile, "A100003")
			w.press(`form[action="/lost"] button`)
			return w.press(`form:has(input[name=method][value=recovery_code]) button`)
		}},
		{"second_factor-office", "second_factor", func(w *window) seen { return door(w, office, "A100005") }},
		{"second_factor-limit", "second_factor", func(w *window) seen {
			s := door(w, mobile, "A100050")
			for i := 0; !s.has("code_try_limit") && s.Screen == "second_factor" && i < 10; i++ {
				s = w.send("code", fmt.Sprintf("%06d", i))
			}
			return s
		}},
	})
	door(w, mobile, "A100003")
	want(t, w.send("code", tel.code(0)), "home")
	g.walk(t, w, []scene{
		at("home-executive", "home", mobile+"/"),
		at("security-executive", "security", mobile+"/security"),
		at("security_factors-one", "security_factors", mobile+"/security/factors"),
		then("security_factor-locked", "security_factor", mobile+"/security/factors", `a[href^="/security/factors/"]:not([href$="/totp"], [href$="/sms"], [href$="/passkey"], [href$="/codes"], [href$="/help"], [href$="/request"])`),
		at("second_factor-again", "second_factor", mobile+"/prove"),
	})
	w = b.window(t, "fr") // who holds several, by [gallery.proofs]
	g.walk(t, w, []scene{{"second_factor-several", "second_factor", func(w *window) seen { return door(w, mobile, "A100001") }}})
}

// verifier is the second account's own house.
func (g *gallery) verifier(t *testing.T, b *browser) {
	house := "http://moncompte.localhost:" + strconv.Itoa(g.town.Base+2)
	w := b.window(t, "fr")
	n := 0
	g.walk(t, w, []scene{
		at("", "citizen_start", house+"/"),
		at("", "citizen_sign_in", house+"/signin"),
		{"citizen_sign_in-wrong", "citizen_sign_in", func(w *window) seen {
			w.open(house + "/signin")
			w.fill("email", "personne@example.org")
			return w.send("password", "ce n'est pas cela")
		}},
		at("", "citizen_create", house+"/create"),
		typed("citizen_create-wrong", "citizen_create", house+"/create", "email", "pas une adresse"),
		{"", "citizen_confirm", func(w *window) seen {
			n++
			w.open(house + "/create")
			w.fill("name", "Sonia Benali")
			w.fill("email", fmt.Sprintf("sonia%d@chez-elle.example.org", n))
			return w.send("new_password", chosenThere)
		}},
		{"citizen_confirm-wrong", "citizen_confirm", func(w *window) seen {
			n++
			w.open(house + "/create")
			w.fill("name", "Sonia Benali")
			w.fill("email", fmt.Sprintf("sonia%d@chez-elle.example.org", n))
			w.send("new_password", chosenThere)
			return w.send("code", "000000")
		}},
		at("", "citizen_recover", house+"/recover"),
		typed("", "citizen_recover_new", house+"/recover", "email", "quelquun@chez-elle.example.org"),
		at("", "citizen_over", house+"/recover/new?link=unknown"),
		at("", "citizen_problem", house+"/nowhere"),
		{"", "citizen_locked", func(w *window) seen {
			s := w.open(house + "/signin")
			for i := 0; s.Screen == "citizen_sign_in" && i < 10; i++ {
				w.fill("email", "quelquun@example.org")
				s = w.send("password", fmt.Sprintf("essai numéro %d", i))
			}
			return s
		}},
	})
	want(t, g.there(w, w.open(house+"/signin"), "A100020"), "citizen_account")
	g.walk(t, w, []scene{
		at("", "citizen_account", house+"/"),
		at("", "citizen_password", house+"/password"),
		typed("citizen_password-wrong", "citizen_password", house+"/password", "new_password", "court"),
	})
	g.walk(t, w, []scene{{"", "citizen_signed_out", func(w *window) seen {
		if s := g.there(w, w.open(house+"/signin"), "A100020"); s.Screen != "citizen_account" {
			return s
		}
		return w.press(`form[action="/signout"] button`)
	}}})
}
