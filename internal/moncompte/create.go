package moncompte

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// unconfirmedLasts is how long an account waits for its confirmation.
const unconfirmedLasts = 7 * 24 * time.Hour

func (s *Service) getCreate(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.createPage(sent{flow: readFlow(r.URL.Query().Get("flow"))}))
}

// postCreate opens an account, or tells its owner that there is one. The same
// work is done, and the same page comes, in both cases.
func (s *Service) postCreate(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	v.back = "/create" + flowQuery(f.flow)
	var faults []page.Fault // in the order of the fields
	if f.name == "" {
		faults = append(faults, page.Fault{Field: "name", Text: v.say("moncompte.name.required", text.Args{"n": maxName})})
	}
	if f.email == "" {
		faults = append(faults, page.Fault{Field: "email", Text: v.say("moncompte.email.required")})
	} else if !isAddress(f.email) {
		faults = append(faults, page.Fault{Field: "email", Text: v.say("moncompte.email.shape")})
	}
	if key := s.judge(f.newPassword, f.email, f.name); key != "" {
		faults = append(faults, page.Fault{Field: "new_password", Text: v.say(key, text.Args{"n": leastPassword, "most": mostPassword})})
	}
	if faults != nil {
		return v.wrong(w, r, v.createPage(f), faults...)
	}
	phc, err := s.Vault.HashFor(r.Context(), purpose, f.newPassword)
	if err != nil {
		return err
	}
	browser := v.owner(w)
	var id string
	var until time.Time
	err = s.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		if err := v.spend(r.Context(), tx, "asks", asksPerNetwork); err != nil {
			return err
		}
		c := citizen{
			Citizen: store.Citizen{ID: random(), Key: s.addressKey(f.email), PHC: phc, Created: v.at, Changed: v.at},
			card:    card{Email: f.email, Name: f.name, Lang: v.lang},
		}
		l := letter{purpose: toConfirm, template: "moncompte_confirm", to: f.email, citizen: c, coded: true, flow: f.flow, browser: browser}
		there, err := s.reveal(tx.CitizenByKey(r.Context(), c.Key))
		if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
			return err
		}
		exists := err == nil && !there.Confirmed.IsZero()
		if exists {
			l.template, l.citizen, l.coded = "moncompte_exists", there, false
		}
		id, until, err = v.send(r.Context(), tx, l)
		if err != nil || !until.IsZero() || exists {
			return err
		}
		tx.Record(v.event("created", c.ID, "who", who(c.Key)))
		sealed, err := s.conceal(c)
		if err != nil {
			return err
		}
		_, err = tx.PutCitizen(r.Context(), sealed, v.at.Add(-unconfirmedLasts))
		return err
	})
	if err != nil {
		return err
	}
	if !until.IsZero() {
		return v.enough(w, r, until)
	}
	return see(w, "/confirm?"+url.Values{"id": {id}}.Encode())
}

// judge tells what is wrong with a password, as a key of the catalogue.
func (s *Service) judge(password seal.Secret, email, name string) string {
	if password == "" {
		return "moncompte.new_password.required"
	}
	// The rule of the agents' passwords where a second proof is demanded: twelve
	// characters, hard to guess (CNIL 2022-100).
	q := s.Vault.Judge(password, &parvis.Agent{Email: email, UsageName: name}, true)
	for _, reason := range q.Reasons {
		switch reason {
		case parvis.WhyPasswordRuleLength:
			return "moncompte.new_password.length"
		case parvis.WhyPasswordRulePersonal:
			return "moncompte.new_password.personal"
		default:
			return "moncompte.new_password.common"
		}
	}
	return ""
}

// getConfirm shows where to type the code, or the button of the link. Opening
// the link confirms nothing: programs open the links of mails.
func (s *Service) getConfirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	f := sent{id: r.URL.Query().Get("id"), link: r.URL.Query().Get("link")}
	c, kept, ok, err := v.letterOf(r.Context(), toConfirm, f.link, f.id)
	if err != nil {
		return err
	}
	if !ok {
		return v.show(w, r, http.StatusGone, v.overPage("/create"))
	}
	return v.show(w, r, http.StatusOK, v.confirmPage(f, kept, v.owns(c.Browser), r.URL.Query().Get("first") == "1"))
}

// postConfirm confirms an address: by the digits in the browser that asked, by
// the link anywhere. Elsewhere the password is asked too: somebody may have
// opened an account at another person's address and wait for them to confirm it.
func (s *Service) postConfirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	c, kept, ok, err := v.letterOf(r.Context(), toConfirm, f.link, f.id)
	if err != nil {
		return err
	}
	if !ok {
		return v.show(w, r, http.StatusGone, v.overPage("/create"))
	}
	own := v.owns(c.Browser)
	v.back = "/confirm?" + url.Values{"id": {c.ID}}.Encode()
	pg := v.confirmPage(f, kept, own, false)
	proved := c.Created // the password was chosen, or shown, in this browser then
	ladder := s.Keys.MAC("citizen try", c.Key[:])
	switch {
	case f.link == "" && !isDigits(f.code):
		return v.wrong(w, r, pg, page.Fault{Field: "code", Text: v.say("moncompte.code.shape")})
	case f.link != "" && !own && f.password == "":
		return v.wrong(w, r, pg, page.Fault{Field: "password", Text: v.say("moncompte.password.required")})
	case f.link != "" && !own:
		a, err := v.try(r, kept.To, f)
		if err != nil {
			return err
		}
		if !a.wait.IsZero() {
			return v.locked(w, r, a.wait, "")
		}
		if !a.right || a.citizen.ID != c.Citizen {
			return v.wrong(w, r, pg, page.Fault{Field: "password", Text: v.triesLeft("moncompte.password.wrong", a.left)})
		}
		proved, ladder = v.at, a.ladder
	}
	return v.confirm(w, r, f, confirmation{code: c, carried: kept, page: pg, proved: proved, ladder: ladder})
}

// confirmation is what has been found out of one.
type confirmation struct {
	code    store.CitizenCode
	carried carried
	page    page.Page
	proved  time.Time
	ladder  [32]byte
}

// confirm uses the code once, confirms the address and signs its owner in.
func (v *visit) confirm(w http.ResponseWriter, r *http.Request, f sent, c confirmation) error {
	session, give := v.begin(w, c.code.Citizen, c.proved)
	done, left := false, 0
	err := v.s.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		done = f.link != ""
		if !done {
			if done, left, err = v.fits(r.Context(), tx, c.code, f.code); err != nil || !done {
				return err
			}
		}
		return v.settle(r.Context(), tx, c, session)
	})
	if err != nil {
		return err
	}
	if !done {
		return v.wrong(w, r, c.page, page.Fault{Field: "code", Text: v.codeLeft(left)})
	}
	if err := v.know(w, c.code.Key); err != nil {
		return err
	}
	give()
	return see(w, after(c.carried.Flow))
}

func (v *visit) settle(ctx context.Context, tx *store.Tx, c confirmation, session store.CitizenSession) error {
	used, err := tx.UseCitizenCode(ctx, c.code.ID)
	if err == nil && used {
		used, err = tx.ConfirmCitizen(ctx, c.code.Citizen)
	}
	if err != nil {
		return err
	}
	if !used { // somebody was faster, or the account was replaced meanwhile
		return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.confirm"}
	}
	tx.Record(v.event("confirmed", c.code.Citizen))
	if err := v.forgive(ctx, tx, c.ladder); err != nil {
		return err
	}
	return tx.PutCitizenSession(ctx, session)
}

// postAgain sends another code for what is still waited for in this browser.
func (s *Service) postAgain(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	wanted, path := toConfirm, "/confirm"
	if f.to == toRecover {
		wanted, path = toRecover, "/recover/new"
	}
	c, kept, ok, err := v.letterOf(r.Context(), wanted, "", f.id)
	if err != nil {
		return err
	}
	if !ok {
		return v.show(w, r, http.StatusGone, v.overPage("/signin"))
	}
	var id string
	var until time.Time
	err = s.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		if err := v.spend(r.Context(), tx, "asks", asksPerNetwork); err != nil {
			return err
		}
		l := letter{purpose: wanted, to: kept.To, flow: kept.Flow, browser: c.Browser}
		owner, err := s.reveal(tx.CitizenByKey(r.Context(), c.Key))
		if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
			return err
		}
		switch {
		case err != nil: // nobody
		case wanted == toRecover:
			l.template, l.citizen, l.coded = "moncompte_recover", owner, true
		case c.Citizen == owner.ID:
			l.template, l.citizen, l.coded = "moncompte_confirm", owner, true
		case !owner.Confirmed.IsZero():
			l.template, l.citizen = "moncompte_exists", owner
		}
		id, until, err = v.send(r.Context(), tx, l)
		return err
	})
	if err != nil {
		return err
	}
	if !until.IsZero() {
		return v.enough(w, r, until)
	}
	return see(w, path+"?"+url.Values{"id": {id}}.Encode())
}

// Add opens a confirmed account without asking its owner: for a demonstration
// and for operators. It answers the subject that clients will be told; when the
// address has a confirmed account, that one's, whose password stays.
func (s *Service) Add(ctx context.Context, email, name string, password seal.Secret) (string, error) {
	if !isAddress(email) {
		return "", &parvis.Error{Code: parvis.CodeInvalid, Op: "moncompte.Add"}
	}
	phc, err := s.Vault.HashFor(ctx, purpose, password)
	if err != nil {
		return "", err
	}
	id, subject := random(), ""
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		now := tx.Now()
		key := s.addressKey(email)
		sealed, err := s.conceal(citizen{
			Citizen: store.Citizen{ID: id, Key: key, PHC: phc, Created: now, Confirmed: now, Changed: now},
			card:    card{Email: email, Name: oneLine(name), Lang: s.Lang},
		})
		if err != nil {
			return err
		}
		opened, err := tx.PutCitizen(ctx, sealed, now.Add(-unconfirmedLasts))
		if err != nil {
			return err
		}
		if subject = id; !opened {
			there, err := tx.CitizenByKey(ctx, key)
			if err != nil {
				return err
			}
			subject = there.ID
		}
		tx.Record(parvis.Event{Kind: "citizen.added", Actor: "system", Detail: map[string]string{"citizen": subject, "opened": strconv.FormatBool(opened)}})
		return nil
	})
	return subject, err
}

func isDigits(s string) bool {
	if len(s) != 6 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
