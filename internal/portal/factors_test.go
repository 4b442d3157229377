package portal

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"parvis"
)

// codeAt is what an authenticator shows (RFC 4226 §5.3).
func codeAt(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(secret, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	from := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[from:])&0x7fffffff%1e6)
}

// returns is where the form of the page leads; the head of every page has
// others.
func (r reply) returns() string {
	_, r.body, _ = strings.Cut(r.body, "<main")
	return r.hidden("return")
}

var heldShape = regexp.MustCompile(`href="/security/factors/([a-z2-7]{16})"`)

var keyShape = regexp.MustCompile(`id="totp-key">([^<]*)<`)

// addTOTP goes through the page of an authenticator, and gives its secret.
func (b *visitor) addTOTP(path string) string {
	b.t.Helper()
	first := b.get(path).is("security_factors_totp", http.StatusOK).has("<img", "data:image/svg+xml", `autocomplete="one-time-code"`)
	key := keyShape.FindStringSubmatch(first.body)
	if key == nil {
		b.t.Fatalf("no key\n%s", first.main())
	}
	b.post(path, "ticket", first.hidden("ticket"), "code", codeAt(b.t, key[1], b.clock.Now()), "name", "Téléphone de service").to("/security/factors?added=totp")
	return key[1]
}

// upTo goes through the door up to the step after the password.
func (b *visitor) upTo(number, path string) reply {
	b.t.Helper()
	first := b.get(path)
	if first.screen() != "sign_in_context" {
		first.is("sign_in_identifier", http.StatusOK)
	}
	second := b.post("/signin", "flow", first.hidden("flow"), "return", first.returns(), "identifier", number).is("sign_in_secret", http.StatusOK)
	return b.post("/signin", "flow", second.hidden("flow"), "return", second.returns(), "password", rightOne)
}

// TestAuthenticator: added at the office, asked outside, remembered, tried,
// renamed, removed.
func TestAuthenticator(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		number := map[string]string{"fr": "A100001", "en": "A100010"}[lang]
		office := tn.from(parvis.Internal, lang).signIn(number)
		office.get("/security").has(`href="/security/factors"`)
		office.get("/security/factors").is("security_factors", http.StatusOK).has(`href="/security/factors/totp"`, `href="/security/factors/passkey"`, `href="/security/factors/sms"`, `href="/security/factors/codes"`)

		// What is wrong is said beside the field, and what was typed stays.
		first := office.get("/security/factors/totp")
		wrong := office.post("/security/factors/totp", "ticket", first.hidden("ticket"), "code", "12 34", "name", "Mon <appareil>").is("security_factors_totp", http.StatusUnprocessableEntity)
		wrong.reason("code_length").has(`aria-invalid="true"`, "Mon &lt;appareil&gt;")
		if wrong.hidden("ticket") == "" || keyShape.FindStringSubmatch(wrong.body)[1] != keyShape.FindStringSubmatch(first.body)[1] {
			t.Error("another key after a fault")
		}
		late := codeAt(t, keyShape.FindStringSubmatch(first.body)[1], tn.clock.Now().Add(-2*time.Minute))
		drift := office.post("/security/factors/totp", "ticket", first.hidden("ticket"), "code", late)
		drift.reason("code_incorrect").has(map[string]string{"fr": "en retard de 2", "en": "2\u00a0minutes late"}[lang])
		office.post("/security/factors/totp", "ticket", "x", "code", "123456").is("security_factors_totp", http.StatusUnprocessableEntity)

		secret := office.addTOTP("/security/factors/totp")
		list := office.get("/security/factors?added=totp").is("security_factors", http.StatusOK).has("Téléphone de service", `href="/security/factors/codes"`)
		tn.clock.Move(time.Hour)

		// At the door from outside: the code, its faults, the other ways.
		out := tn.from(parvis.Mobile, lang)
		asked := out.upTo(number, "/signin").is("second_factor", http.StatusOK).has(number, "Téléphone de service", `name="remember"`)
		bad := out.post("/signin", "flow", asked.hidden("flow"), "code", "000000", "remember", "1").is("second_factor", http.StatusUnprocessableEntity)
		bad.reason("code_incorrect").has(" checked")
		other := out.post("/signin", "flow", bad.hidden("flow"), "method", "temporary_code").is("second_factor", http.StatusOK).hasNot(`inputmode="numeric"`)
		other = out.post("/signin", "flow", other.hidden("flow"), "code", "ABCD").is("second_factor", http.StatusUnprocessableEntity).reason("code_length").has("10 sign")
		lost := out.post("/lost", "flow", other.hidden("flow")).is("factor_lost", http.StatusOK).has(`value="recovery_code"`, `value="temporary_code"`)
		back := out.post("/signin", "flow", lost.hidden("flow"), "method", "totp").is("second_factor", http.StatusOK)
		out.post("/signin", "flow", back.hidden("flow"), "code", codeAt(t, secret, tn.clock.Now()), "remember", "1").to("/")
		out.get("/signout")
		out.post("/signout")
		out.upTo(number, "/signin").to("/") // this browser is remembered

		// A change asks for a method held, and comes back.
		tn.clock.Move(20 * time.Minute)
		id := heldShape.FindStringSubmatch(list.body)[1]
		proof := out.get("/security/factors/sms")
		if proof.status != http.StatusSeeOther || !strings.HasPrefix(proof.location, "/prove?change=1&return=") {
			t.Fatalf("%d %q", proof.status, proof.location)
		}
		ask := out.get(proof.location).is("second_factor", http.StatusOK)
		out.post("/prove", "flow", ask.hidden("flow"), "return", ask.returns(), "change", "1", "code", "").reason("code_required")
		out.post("/prove", "flow", ask.hidden("flow"), "return", ask.returns(), "change", "1", "code", codeAt(t, secret, tn.clock.Now())).to("/security/factors/sms")
		out.get("/security/factors/sms").is("security_factors_sms", http.StatusOK)

		// Tried, renamed, and taken away with the consequences spelled out.
		tn.clock.Move(time.Minute)
		test := regexp.MustCompile(`href="(/prove\?[^"]*method=` + id + `[^"]*)"`).FindStringSubmatch(out.get("/security/factors").body)
		if test == nil {
			t.Fatal("no link to try it")
		}
		ask = out.get(html.UnescapeString(test[1])).is("second_factor", http.StatusOK)
		out.post("/prove", "flow", ask.hidden("flow"), "return", ask.returns(), "code", codeAt(t, secret, tn.clock.Now())).to("/security/factors?tested=1")
		out.post("/security/factors/"+id, "act", "rename", "name", "Ancien").to("/security/factors?renamed=1")
		out.get("/security/factors/"+id).is("security_factor", http.StatusOK).has("Ancien")
		out.get("/security/factors/"+id+"?remove=1").is("security_factor_remove", http.StatusOK)
		out.get("/security/factors/"+id+"?lost=1").is("security_factor_lost", http.StatusOK)
		out.post("/security/factors/"+id, "act", "other").is("form_expired", http.StatusBadRequest)
		if number == "A100001" { // entitled to what demands one: the rule is said; nobody demands it of the other
			out.get("/security/factors").has("Règle de la direction informatique", "Finances demande au moins une méthode")
			out.get("/security/factors/" + id).has("Finances demande au moins une méthode").hasNot("?remove=1")
			out.post("/security/factors/"+id, "act", "remove").is("security_factor", http.StatusUnprocessableEntity).reason("factor_removal_forbidden").has("Finances demande au moins une méthode")
			out.post("/security/factors/codes").is("security_factors_codes_sheet", http.StatusOK)
		}
		out.post("/security/factors/"+id, "act", "remove").to("/security/factors?removed=1")
		out.get("/security/factors/"+id).is("not_found", http.StatusNotFound)
	}
}

// TestEnrolElsewhere: outside, a password alone adds nothing; a code handed in
// person does.
func TestEnrolElsewhere(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		number := map[string]string{"fr": "A100001", "en": "A100010"}[lang]
		out := tn.from(parvis.Mobile, lang).signIn(number)
		out.get("/security/factors").is("security_factors", http.StatusOK).has(`method=temporary_code`)
		for _, kind := range []string{"totp", "sms", "passkey", "codes"} {
			out.get("/security/factors/"+kind).reason("factor_enrol_here_forbidden").has("method=temporary_code", `href="/security/factors/request"`)
		}
		stop := out.post("/security/factors/codes").reason("factor_enrol_here_forbidden")
		link := regexp.MustCompile(`href="(/prove\?[^"]*)"`).FindStringSubmatch(stop.body)
		ask := out.get(html.UnescapeString(link[1])).is("second_factor", http.StatusOK)
		if r := out.post("/prove", "flow", ask.hidden("flow"), "return", ask.returns(), "code", "ABCDEFGHJK"); r.attr("data-reason") != "code_incorrect" {
			t.Errorf("%d %s", r.status, r.main())
		}
		code, _, err := tn.portal.Door.IssueTemporaryCode(context.Background(), parvis.AgentNumber(number), "operator:test", "seen", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		out.post("/prove", "flow", ask.hidden("flow"), "return", ask.returns(), "code", strings.ToLower(code.Reveal())).to("/security/factors/codes")
		out.get("/security/factors/codes").is("security_factors_codes", http.StatusOK)
		sheet := out.post("/security/factors/codes").is("security_factors_codes_sheet", http.StatusOK)
		codes := regexp.MustCompile(`<li>([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})</li>`).FindAllStringSubmatch(sheet.body, -1)
		if len(codes) != 10 {
			t.Fatalf("%d codes\n%s", len(codes), sheet.main())
		}
		out.get("/security/factors?added=recovery_code").is("security_factors", http.StatusOK).has("10 code")
		// They open the door, once each.
		again := tn.from(parvis.Mobile, lang)
		asked := again.upTo(number, "/signin").is("second_factor", http.StatusOK).hasNot(`name="remember"`)
		again.post("/signin", "flow", asked.hidden("flow"), "code", codes[0][1]).to("/")
		again.get("/security/factors").has("9 code")
	}
}

// TestFactorHelp: every answer ends with one recommendation, or with somebody
// who has a name and the request already.
func TestFactorHelp(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		number := map[string]string{"fr": "A100001", "en": "A100010"}[lang]
		b := tn.from(parvis.Internal, lang).signIn(number)
		b.get("/security/factors/help").is("security_factors_help", http.StatusOK)
		b.post("/security/factors/help").is("security_factors_help", http.StatusUnprocessableEntity).has(`aria-describedby`)
		for have, want := range map[string]string{
			"work_phone": "passkey", "own_phone": "passkey", "computer": "passkey", "key": "passkey", "old_phone": "sms", "none": "codes",
		} {
			b.post("/security/factors/help", "have", have).is("security_factors_help", http.StatusOK).has(`class="button button-primary" href="/security/factors/` + want + `"`)
		}
		if _, standing, _ := tn.portal.Directory.Facts(t.Context(), parvis.AgentNumber(number)); !standing.SecondAsked.IsZero() {
			t.Error("a recommendation asked somebody")
		}
		b.post("/security/factors/help", "have", "unknown").is("security_factors_request", http.StatusOK).has("Denis Caron")
		b.get("/security/factors/request").is("security_factors_request", http.StatusOK)
		b.post("/security/factors/request", "note", "Une clé").is("security_factors_request", http.StatusOK)
		if _, standing, _ := tn.portal.Directory.Facts(t.Context(), parvis.AgentNumber(number)); standing.SecondAsked.IsZero() {
			t.Error("nobody was asked")
		}
		b.get("/lost").is("factor_lost", http.StatusOK).has(`href="/security/factors"`)
		tn.from(parvis.Mobile, lang).get("/lost").is("factor_lost", http.StatusOK).has(`href="/signin"`)
		b.get("/prove").is("prove_password", http.StatusOK).has(`autocomplete="current-password"`)
		b.post("/prove", "password", "").is("prove_password", http.StatusUnprocessableEntity)
		b.post("/prove", "password", "faux").is("prove_password", http.StatusUnprocessableEntity).reason("credentials_incorrect")
		b.post("/prove", "password", rightOne).to("/")
	}
}

// TestTelephone: the number, the code that arrives, and at the door the masked
// number and another sending.
func TestTelephone(t *testing.T) {
	tn := open(t)
	tn.carry()
	read := func() string {
		select {
		case m := <-tn.phones:
			return m.Text[strings.LastIndexByte(m.Text, '#')+1:]
		case <-time.After(30 * time.Second):
			t.Fatal("no telephone rings")
		}
		return ""
	}
	for _, lang := range []string{"fr", "en"} {
		number := map[string]string{"fr": "A100001", "en": "A100010"}[lang]
		phone := map[string]string{"fr": "06 12 34 56 78", "en": "06 12 34 56 79"}[lang]
		b := tn.from(parvis.Internal, lang).signIn(number)
		b.get("/security/factors/sms").is("security_factors_sms", http.StatusOK).has(`type="tel"`)
		b.post("/security/factors/sms", "send", "1", "phone", "").is("security_factors_sms", http.StatusUnprocessableEntity)
		b.post("/security/factors/sms", "send", "1", "phone", "12").is("security_factors_sms", http.StatusUnprocessableEntity).has(`value="12"`)
		sent := b.post("/security/factors/sms", "send", "1", "phone", phone).is("security_factors_sms", http.StatusOK).has(`name="code"`)
		code := read()
		b.post("/security/factors/sms", "sent", sent.hidden("sent"), "phone", phone, "code", "1").reason("code_length").has(`name="sent"`)
		b.post("/security/factors/sms", "sent", sent.hidden("sent"), "phone", phone, "code", code, "name", "Le mien").to("/security/factors?added=sms")
		tn.clock.Move(time.Hour)
		out := tn.from(parvis.Mobile, lang)
		asked := out.upTo(number, "/signin").is("second_factor", http.StatusOK).has("••").hasNot("34 56 7")
		code = read()
		asked = out.post("/signin", "flow", asked.hidden("flow"), "send", "1").is("second_factor", http.StatusOK)
		if again := read(); again != code {
			t.Errorf("%s, then %s", code, again)
		}
		out.post("/signin", "flow", asked.hidden("flow"), "code", code).to("/")
		// A page that is merely opened sends nothing.
		b = tn.from(parvis.Internal, lang).signIn(number)
		first := b.get("/prove").is("second_factor", http.StatusOK).has(`name="send"`).hasNot(`name="code"`)
		b.post("/prove", "flow", first.hidden("flow"), "send", "1").is("second_factor", http.StatusOK).has(`name="code"`)
		read()
		tn.clock.Move(time.Hour)
	}
}

// TestPasskeyPages: the pages ask a browser, and offer the rest without scripts.
func TestPasskeyPages(t *testing.T) {
	tn := open(t)
	for _, lang := range []string{"fr", "en"} {
		door := tn.from(parvis.Mobile, lang).get("/signin").has(`autocomplete="username webauthn"`, `data-auto="1"`, "passkey.")
		if door.hidden("passkey_ticket") == "" {
			t.Error("nothing to bind the answer to")
		}
		tn.from(parvis.Mobile, lang).post("/signin", "flow", door.hidden("flow"), "passkey", "{}", "passkey_ticket", door.hidden("passkey_ticket")).
			is("sign_in_identifier", http.StatusUnprocessableEntity).reason("passkey_unavailable")
		b := tn.from(parvis.Internal, lang).signIn("A100001")
		page := b.get("/security/factors/passkey").is("security_factors_passkey", http.StatusOK).has(`data-make="1"`, "<noscript>")
		b.post("/security/factors/passkey", "passkey", "{}", "passkey_ticket", page.hidden("passkey_ticket")).is("security_factors_passkey", http.StatusUnprocessableEntity)
	}
}

// TestWhyLeadsToProof: from the refusal to the method and into the application.
func TestWhyLeadsToProof(t *testing.T) {
	tn := open(t)
	b := tn.from(parvis.Internal, "fr").signIn("A100001")
	secret := b.addTOTP("/security/factors/totp")
	tn.clock.Move(time.Hour)
	b = tn.from(parvis.Internal, "fr").signIn("A100001")
	why := b.get("/why/" + refuse(tn, "A100001", "finances", parvis.Internal)).reason("step_up_required")
	link := regexp.MustCompile(`href="(/prove\?[^"]*)"`).FindStringSubmatch(why.body)
	if link == nil {
		t.Fatal(why.main())
	}
	ask := b.get(html.UnescapeString(link[1])).is("second_factor", http.StatusOK).has("Finances")
	in := b.post("/prove", "flow", ask.hidden("flow"), "return", ask.returns(), "code", codeAt(t, secret, tn.clock.Now()))
	if !strings.HasPrefix(in.location, "/enter?return=") {
		t.Fatalf("%d %q", in.status, in.location)
	}
	if r := b.get(in.location); !strings.HasPrefix(r.location, tn.portal.Addresses.App(parvis.Internal, "finances")+"/.parvis/enter?ticket=") {
		t.Errorf("%d %q", r.status, r.location)
	}
}
