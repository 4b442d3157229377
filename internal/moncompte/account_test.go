package moncompte

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"parvis/internal/seal"
)

func TestAnAccountIsCreatedForAClient(t *testing.T) {
	each(t, func(tn *town) {
		verifier := oauth2.GenerateVerifier()
		b := tn.browser()
		flow := b.get(tn.ask("agents", verifier)).follow().hidden("flow")
		b.get("/create?flow="+flow).is(http.StatusOK, "citizen_create")
		pg := b.post("/create", "flow", flow, "name", "Camille  Moreau", "email", address, "new_password", right).follow().is(http.StatusOK, "citizen_confirm")
		if !strings.Contains(pg.body, address) {
			tn.Error("the page does not say where the message went")
		}
		m := tn.latest("moncompte_confirm")
		if m.To != address || m.code() == "" || !strings.HasPrefix(m.link(), tn.url+"/confirm?link=") || !strings.Contains(m.Text, "Camille Moreau") {
			tn.Errorf("%+v", m)
		}
		wrong := "000000"
		if m.code() == wrong {
			wrong = "111111"
		}
		b.post("/confirm", "id", pg.hidden("id"), "code", "12").is(http.StatusUnprocessableEntity, "citizen_confirm")
		b.post("/confirm", "id", pg.hidden("id"), "code", wrong).is(http.StatusUnprocessableEntity, "citizen_confirm")
		spaced := m.code()[:3] + " " + m.code()[3:]
		u := b.post("/confirm", "id", pg.hidden("id"), "code", spaced).follow().location()
		if u.Query().Get("code") == "" {
			tn.Fatalf("not back at the client: %s", u)
		}
		b.get("/").is(http.StatusOK, "citizen_account")
		b.post("/confirm", "id", pg.hidden("id"), "code", m.code()).is(http.StatusGone, "citizen_over")
	})
}

func TestALinkConfirmsWhenItIsPressed(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		b.post("/create", "name", "Camille", "email", address, "new_password", right).follow()
		link := tn.latest("moncompte_confirm").link()
		path := strings.TrimPrefix(link, tn.url)
		// A program that opens the links of mails, several times.
		program := tn.browser()
		for range 3 {
			program.get(path).is(http.StatusOK, "citizen_confirm")
		}
		if c, err := tn.s.Store.CitizenByKey(tn.Context(), tn.s.addressKey(address)); err != nil || !c.Confirmed.IsZero() {
			tn.Fatalf("confirmed by being opened: %v", err)
		}
		// In another browser the password is needed as well.
		token := path[strings.Index(path, "=")+1:]
		program.post("/confirm", "link", token).is(http.StatusUnprocessableEntity, "citizen_confirm")
		program.post("/confirm", "link", token, "password", fresh).is(http.StatusUnprocessableEntity, "citizen_confirm")
		program.post("/confirm", "link", token, "password", right).follow().is(http.StatusOK, "citizen_account")
		b.get(path).is(http.StatusGone, "citizen_over")

		second := "dominique@habitants.example.org"
		b.post("/create", "name", "Dominique", "email", second, "new_password", right).follow()
		path = strings.TrimPrefix(tn.latest("moncompte_confirm").link(), tn.url)
		pg := b.get(path).is(http.StatusOK, "citizen_confirm")
		if strings.Contains(pg.body, `name="password"`) {
			tn.Error("the password is asked where the account was created")
		}
		b.post("/confirm", "link", pg.hidden("link")).follow().is(http.StatusOK, "citizen_account")
		late := tn.browser()
		late.post("/create", "name", "X", "email", "late@habitants.example.org", "new_password", right).follow()
		tn.clock.Move(codeLasts)
		late.get(strings.TrimPrefix(tn.latest("moncompte_confirm").link(), tn.url)).is(http.StatusGone, "citizen_over")
	})
}

func TestWhatAFormLacksIsSaid(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		for _, c := range []struct {
			path   string
			send   []string
			fields []string
		}{
			{"/create", nil, []string{"name", "email", "new_password"}},
			{"/create", []string{"name", "Camille", "email", "camille", "new_password", "court"}, []string{"email", "new_password"}},
			{"/create", []string{"name", "Camille", "email", address, "new_password", "motdepasse2026"}, []string{"new_password"}},
			{"/create", []string{"name", "Camille Moreau", "email", address, "new_password", "camille moreau 75"}, []string{"new_password"}},
			{"/create", []string{"name", "Camille", "email", address, "new_password", strings.Repeat("grande girafe ", 20)}, []string{"new_password"}},
			{"/signin", nil, []string{"email", "password"}},
			{"/signin", []string{"email", "nobody"}, []string{"email", "password"}},
			{"/recover", nil, []string{"email"}},
			{"/recover", []string{"email", "a@b"}, []string{"email"}},
		} {
			a := b.post(c.path, c.send...)
			if a.status != http.StatusUnprocessableEntity {
				tn.Errorf("%s %v: %d", c.path, c.send, a.status)
			}
			for _, field := range c.fields {
				if !strings.Contains(a.body, `href="#`+field+`"`) {
					tn.Errorf("%s %v: nothing about %s", c.path, c.send, field)
				}
			}
			if strings.Count(a.body, `href="#`) != len(c.fields)+1 { // and the way to the content
				tn.Errorf("%s %v: more is said to be wrong than is", c.path, c.send)
			}
		}
		if len(tn.mails()) != 0 {
			tn.Error("something was sent")
		}
	})
}

func TestAnAccountThatIsNotConfirmed(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		b.post("/create", "name", "Camille", "email", address, "new_password", right).follow()
		first := tn.latest("moncompte_confirm")
		other := tn.browser()
		other.signIn(address, fresh).is(http.StatusUnprocessableEntity, "citizen_sign_in")
		pg := other.signIn(address, right).follow().is(http.StatusOK, "citizen_confirm")
		m := tn.latest("moncompte_confirm")
		if m.code() == first.code() || !strings.Contains(pg.body, "pas encore confirmée") {
			tn.Errorf("%+v\n%s", m, pg.body)
		}
		other.get("/").is(http.StatusOK, "citizen_start")
		// The earlier message is replaced, in its own browser too.
		b.get(strings.TrimPrefix(first.link(), tn.url)).is(http.StatusGone, "citizen_over")
		other.post("/confirm", "id", pg.hidden("id"), "code", m.code()).follow().is(http.StatusOK, "citizen_account")
	})
}

func TestAnotherMessage(t *testing.T) {
	each(t, func(tn *town) {
		b := tn.browser()
		pg := b.post("/create", "name", "Camille", "email", address, "new_password", right).follow()
		first := tn.latest("moncompte_confirm")
		again := b.post("/confirm/again", "id", pg.hidden("id"), "to", "confirm").follow().is(http.StatusOK, "citizen_confirm")
		m := tn.latest("moncompte_confirm")
		if len(tn.mails()) != 2 || m.link() == first.link() {
			tn.Errorf("%d messages", len(tn.mails()))
		}
		tn.browser().post("/confirm/again", "id", again.hidden("id"), "to", "confirm").is(http.StatusGone, "citizen_over")
		third := b.post("/confirm/again", "id", again.hidden("id"), "to", "confirm").follow()
		a := b.post("/confirm/again", "id", third.hidden("id"), "to", "confirm").is(http.StatusTooManyRequests, "citizen_problem")
		if a.header.Get("Retry-After") == "" || len(tn.mails()) != 3 {
			tn.Errorf("after three: %q, %d messages", a.header.Get("Retry-After"), len(tn.mails()))
		}
		b.post("/confirm", "id", third.hidden("id"), "code", tn.latest("moncompte_confirm").code()).follow().is(http.StatusOK, "citizen_account")
		tn.clock.Move(mailsSoonIn)
		pg = b.post("/recover", "email", address).follow().is(http.StatusOK, "citizen_recover_new")
		b.post("/confirm/again", "id", pg.hidden("id"), "to", "recover").follow().is(http.StatusOK, "citizen_recover_new")
		tn.latest("moncompte_recover")
	})
}

func TestRecovery(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		elsewhere := tn.browser()
		elsewhere.signIn(address, right).follow().is(http.StatusOK, "citizen_account")
		b := tn.browser()
		for range freeTries + 1 {
			b.signIn(address, "faux mot de passe")
		}
		b.signIn(address, right).is(http.StatusTooManyRequests, "citizen_locked")
		flow := b.get(tn.ask("agents", oauth2.GenerateVerifier())).follow().hidden("flow")
		pg := b.post("/recover", "email", address, "flow", flow).follow().is(http.StatusOK, "citizen_recover_new")
		m := tn.latest("moncompte_recover")
		wrong := "000000"
		if m.code() == wrong {
			wrong = "111111"
		}
		b.post("/recover/new", "id", pg.hidden("id"), "code", wrong, "new_password", fresh).is(http.StatusUnprocessableEntity, "citizen_recover_new")
		b.post("/recover/new", "id", pg.hidden("id"), "code", m.code(), "new_password", "court").is(http.StatusUnprocessableEntity, "citizen_recover_new")
		b.get(strings.TrimPrefix(m.link(), tn.url)).is(http.StatusOK, "citizen_recover_new")
		tn.browser().post("/recover/new", "id", pg.hidden("id"), "code", m.code(), "new_password", fresh).is(http.StatusGone, "citizen_over")
		done := b.post("/recover/new", "id", pg.hidden("id"), "code", m.code(), "new_password", fresh)
		signin := done.follow().is(http.StatusOK, "citizen_sign_in")
		if done.location().Query().Get("flow") != flow || !strings.Contains(signin.body, "Votre mot de passe est changé") {
			tn.Errorf("led to %s", done.location())
		}
		tn.latest("moncompte_changed")
		b.post("/recover/new", "id", pg.hidden("id"), "code", m.code(), "new_password", right).is(http.StatusGone, "citizen_over")
		elsewhere.get("/").is(http.StatusOK, "citizen_start") // its session ended
		b.signIn(address, right).is(http.StatusUnprocessableEntity, "citizen_sign_in")
		if u := b.post("/signin", "flow", flow, "email", address, "password", fresh).follow().location(); u.Query().Get("code") == "" {
			tn.Errorf("led to %s", u)
		}
		// By the link, on another device.
		desk := tn.browser()
		desk.post("/recover", "email", address, "flow", desk.get(tn.ask("agents", oauth2.GenerateVerifier())).follow().hidden("flow"))
		phone := tn.browser()
		pg = phone.get(strings.TrimPrefix(tn.latest("moncompte_recover").link(), tn.url)).is(http.StatusOK, "citizen_recover_new")
		renewed := phone.post("/recover/new", "link", pg.hidden("link"), "new_password", right)
		if q := renewed.location().Query(); q.Get("flow") != "" { // it goes on where it began
			tn.Errorf("led to %s", renewed.location())
		}
		renewed.follow().is(http.StatusOK, "citizen_sign_in")
		phone.signIn(address, right).follow().is(http.StatusOK, "citizen_account")
	})
}

// Five wrong codes end a code, also when the sixth is right.
func TestFiveTriesAtACode(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		b := tn.browser()
		pg := b.post("/recover", "email", address).follow()
		m := tn.latest("moncompte_recover")
		wrong := "000000"
		if m.code() == wrong {
			wrong = "111111"
		}
		for range codeTries {
			b.post("/recover/new", "id", pg.hidden("id"), "code", wrong, "new_password", fresh).is(http.StatusUnprocessableEntity, "citizen_recover_new")
		}
		a := b.post("/recover/new", "id", pg.hidden("id"), "code", m.code(), "new_password", fresh).is(http.StatusUnprocessableEntity, "citizen_recover_new")
		if !strings.Contains(a.body, "Ce code ne sert plus") {
			tn.Error("it is not said that the code is over")
		}
		b.signIn(address, right).follow().is(http.StatusOK, "citizen_account")
	})
}

func TestTheLadderOfWaits(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		mine := tn.browser()
		mine.signIn(address, right).follow().is(http.StatusOK, "citizen_account")
		mine.post("/signout")
		enemy := tn.browser()
		for i := range freeTries + 1 {
			a := enemy.signIn(address, "faux mot de passe").is(http.StatusUnprocessableEntity, "citizen_sign_in")
			if said := strings.Contains(a.body, "Encore"); said != (i >= 1 && i < freeTries) {
				tn.Errorf("try %d: the tries left are said: %v", i+1, said)
			}
		}
		a := enemy.signIn(address, right).is(http.StatusTooManyRequests, "citizen_locked")
		if a.header.Get("Retry-After") != "59" || !strings.Contains(a.body, "dans 1 minute<") {
			tn.Errorf("Retry-After %q: %s", a.header.Get("Retry-After"), a.body)
		}
		// The owner, in their own browser, is not concerned.
		mine.signIn(address, right).follow().is(http.StatusOK, "citizen_account")
		// It ends by itself, then doubles.
		tn.clock.Move(firstWait)
		enemy.signIn(address, "faux").is(http.StatusUnprocessableEntity, "citizen_sign_in")
		if a := enemy.signIn(address, right).is(http.StatusTooManyRequests, "citizen_locked"); a.header.Get("Retry-After") != "119" {
			tn.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
		tn.clock.Move(2 * firstWait)
		enemy.signIn(address, right).follow().is(http.StatusOK, "citizen_account")
		enemy.post("/signout")
		if a := enemy.signIn(address, "faux mot de passe"); strings.Contains(a.body, "Encore") {
			tn.Error("a right password did not clear the count")
		}
	})
}

func TestThePasswordIsChanged(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		tn.browser().get("/password").follow().is(http.StatusOK, "citizen_sign_in")
		elsewhere, b := tn.browser(), tn.browser()
		elsewhere.signIn(address, right)
		b.signIn(address, right)
		b.get("/password").is(http.StatusOK, "citizen_password")
		b.post("/password").is(http.StatusUnprocessableEntity, "citizen_password")
		b.post("/password", "password", fresh, "new_password", fresh).is(http.StatusUnprocessableEntity, "citizen_password")
		b.post("/password", "password", right, "new_password", fresh).follow().is(http.StatusOK, "citizen_account")
		tn.latest("moncompte_changed")
		elsewhere.get("/").is(http.StatusOK, "citizen_start")
		b.get("/").is(http.StatusOK, "citizen_account")
		b.post("/signout").is(http.StatusOK, "citizen_signed_out")
		b.signIn(address, fresh).follow().is(http.StatusOK, "citizen_account")
		for range freeTries + 1 {
			b.post("/password", "password", "faux", "new_password", right)
		}
		b.post("/password", "password", fresh, "new_password", right).is(http.StatusTooManyRequests, "citizen_locked")
	})
}

func TestAddIsForTheDemonstration(t *testing.T) {
	each(t, func(tn *town) {
		first := tn.citizen(address)
		again, err := tn.s.Add(tn.Context(), strings.ToUpper(address), "Other", fresh)
		if err != nil || again != first || strings.Contains(first, "@") {
			tn.Errorf("%q then %q, %v", first, again, err)
		}
		tn.browser().signIn(address, fresh).is(http.StatusUnprocessableEntity, "citizen_sign_in")
		if _, err := tn.s.Add(tn.Context(), "nobody", "X", right); err == nil {
			tn.Error("an account without an address")
		}
		if _, err := tn.s.Add(tn.Context(), "x@y.example", "X", seal.Secret("")); err == nil {
			tn.Error("an account without a password")
		}
	})
}

func TestPagesInBothLanguages(t *testing.T) {
	each(t, func(tn *town) {
		for _, lang := range []string{"fr", "en"} {
			b := tn.browser()
			b.lang = lang
			for path, screen := range map[string]string{
				"/": "citizen_start", "/signin": "citizen_sign_in", "/create": "citizen_create", "/recover": "citizen_recover", "/offline?lang=" + lang: "citizen_offline",
			} {
				a := b.get(path).is(http.StatusOK, screen)
				if !strings.Contains(a.body, `<html lang="`+lang+`"`) || a.header.Get("Content-Language") != lang {
					tn.Errorf("%s is not in %s", path, lang)
				}
			}
			b.get("/nowhere").is(http.StatusNotFound, "citizen_problem")
		}
		b := tn.browser()
		if u := b.get("/lang?to=en&return=" + url.QueryEscape("/create?flow=x")).location(); u.String() != "/create?flow=x" {
			tn.Errorf("back to %s", u)
		}
		if a := b.get("/"); !strings.Contains(a.body, "My Account") {
			tn.Error("the language was not kept")
		}
		if u := b.post("/theme", "theme", "dark", "return", "/create").location(); u.String() != "/create" {
			tn.Errorf("back to %s", u)
		}
		if a := b.get("/"); !strings.Contains(a.body, `data-theme="dark"`) {
			tn.Error("the theme was not kept")
		}
		b.post("/theme", "theme", "system")
		if a := b.get("/"); strings.Contains(a.body, "data-theme=") {
			tn.Error("the theme was not dropped")
		}
		for _, path := range regexp.MustCompile(`(?:href|src)="(/(?:assets/|manifest)[^"]*)"`).FindAllStringSubmatch(b.get("/").body, -1) {
			if a := b.get(path[1]); a.status != http.StatusOK || a.body == "" {
				tn.Errorf("%s: %d", path[1], a.status)
			}
		}
		if a := b.get("/sw.js"); a.status != http.StatusOK {
			tn.Errorf("the worker: %d", a.status)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(tn *town) {
		tn.citizen(address)
		b := tn.browser()
		b.signIn(address, right)
		tn.clock.Move(sessionLasts - 10*time.Second)
		b.get("/").is(http.StatusOK, "citizen_account")
		b.get("/signin").follow().is(http.StatusOK, "citizen_account")
		tn.clock.Move(10 * time.Second)
		b.get("/").is(http.StatusOK, "citizen_start")
	})
}
