package moncompte

import (
	"net/http"
	"net/url"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

func (s *Service) getRecover(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.recoverPage(sent{flow: readFlow(r.URL.Query().Get("flow"))}))
}

// postRecover sends a code to an address, if it is somebody's. Nobody can tell.
func (s *Service) postRecover(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	v.back = "/recover" + flowQuery(f.flow)
	if f.email == "" {
		return v.wrong(w, r, v.recoverPage(f), page.Fault{Field: "email", Text: v.say("moncompte.email.required")})
	}
	if !isAddress(f.email) {
		return v.wrong(w, r, v.recoverPage(f), page.Fault{Field: "email", Text: v.say("moncompte.email.shape")})
	}
	browser := v.owner(w)
	var id string
	var until time.Time
	err = s.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		if err := v.spend(r.Context(), tx, "asks", asksPerNetwork); err != nil {
			return err
		}
		l := letter{purpose: toRecover, to: f.email, flow: f.flow, browser: browser}
		c, err := s.reveal(tx.CitizenByKey(r.Context(), s.addressKey(f.email)))
		if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
			return err
		}
		if err == nil {
			l.template, l.citizen, l.coded = "moncompte_recover", c, true
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
	return see(w, "/recover/new?"+url.Values{"id": {id}}.Encode())
}

// getRenew shows where to choose another password. Opening the link uses
// nothing up.
func (s *Service) getRenew(w http.ResponseWriter, r *http.Request, v *visit) error {
	f := sent{id: r.URL.Query().Get("id"), link: r.URL.Query().Get("link")}
	_, kept, ok, err := v.letterOf(r.Context(), toRecover, f.link, f.id)
	if err != nil {
		return err
	}
	if !ok {
		return v.show(w, r, http.StatusGone, v.overPage("/recover"))
	}
	return v.show(w, r, http.StatusOK, v.renewPage(f, kept))
}

// postRenew chooses another password, with the digits in the browser that asked
// or with the link anywhere. Every session of the account ends, and the address
// counts as confirmed: its owner read the message.
func (s *Service) postRenew(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	c, kept, ok, err := v.letterOf(r.Context(), toRecover, f.link, f.id)
	if err != nil {
		return err
	}
	if !ok {
		return v.show(w, r, http.StatusGone, v.overPage("/recover"))
	}
	v.back = "/recover/new?" + url.Values{"id": {c.ID}}.Encode()
	pg := v.renewPage(f, kept)
	var faults []page.Fault
	if f.link == "" && !isDigits(f.code) {
		faults = append(faults, page.Fault{Field: "code", Text: v.say("moncompte.code.shape")})
	}
	if key := s.judge(f.newPassword, kept.To, ""); key != "" {
		faults = append(faults, page.Fault{Field: "new_password", Text: v.say(key, text.Args{"n": leastPassword, "most": mostPassword})})
	}
	if faults != nil {
		return v.wrong(w, r, pg, faults...)
	}
	if f.link == "" {
		fit, left := false, 0
		if err := s.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
			fit, left, err = v.fits(r.Context(), tx, c, f.code)
			return err
		}); err != nil {
			return err
		}
		if !fit {
			return v.wrong(w, r, pg, page.Fault{Field: "code", Text: v.codeLeft(left)})
		}
	}
	// Before the code is used up: a queue that is full must not cost it.
	phc, err := s.Vault.HashFor(r.Context(), purpose, f.newPassword)
	if err != nil {
		return err
	}
	if err := s.Store.Write(r.Context(), func(tx *store.Tx) error { return v.renew(r, tx, c, phc) }); err != nil {
		return err
	}
	s.keep(w, cookieSession, "", 0)
	q := url.Values{"done": {"recovered"}}
	if kept.Flow != "" {
		q.Set("flow", kept.Flow)
	}
	return see(w, "/signin?"+q.Encode())
}

func (v *visit) renew(r *http.Request, tx *store.Tx, c store.CitizenCode, phc string) error {
	ctx := r.Context()
	used, err := tx.UseCitizenCode(ctx, c.ID)
	if err == nil && used {
		used, err = tx.SetCitizenPassword(ctx, c.Citizen, phc)
	}
	if err == nil && used {
		used, err = tx.ConfirmCitizen(ctx, c.Citizen)
	}
	if err != nil {
		return err
	}
	if !used {
		return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.renew"}
	}
	tx.Record(v.event("recovered", c.Citizen))
	for _, ladder := range [][32]byte{v.s.Keys.MAC("citizen try", c.Key[:]), v.ladder(r, c.Key)} {
		if err := v.forgive(ctx, tx, ladder); err != nil {
			return err
		}
	}
	owner, err := v.s.reveal(tx.Citizen(ctx, c.Citizen))
	if err != nil {
		return err
	}
	return v.tell(ctx, tx, owner, "moncompte_changed")
}

// codeLeft says that the digits do not fit, and how many tries are left.
func (v *visit) codeLeft(left int) string {
	if left == 0 {
		return v.say("moncompte.code.none_left")
	}
	return v.say("moncompte.code.wrong") + " " + v.say("moncompte.tries_left", text.Args{"n": left})
}
