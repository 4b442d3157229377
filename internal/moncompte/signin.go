package moncompte

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

// getHome is the account of whoever is signed in, and a door for others.
func (s *Service) getHome(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.in {
		return v.show(w, r, http.StatusOK, v.accountPage(r.URL.Query().Get("done") == "password"))
	}
	return v.show(w, r, http.StatusOK, v.startPage())
}

func (s *Service) getSignin(w http.ResponseWriter, r *http.Request, v *visit) error {
	flow := readFlow(r.URL.Query().Get("flow"))
	f := sent{flow: flow}
	if flow != "" {
		as, err := s.openInteraction(flow, v.at)
		if err != nil {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.getSignin", Err: err}
		}
		if isAddress(as.LoginHint) {
			f.email = as.LoginHint
		}
	}
	if v.in && flow == "" {
		return see(w, "/")
	}
	return v.show(w, r, http.StatusOK, v.signinPage(f, r.URL.Query().Get("done")))
}

func (s *Service) postSignin(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	v.back = "/signin" + flowQuery(f.flow)
	var faults []page.Fault
	if f.email == "" {
		faults = append(faults, page.Fault{Field: "email", Text: v.say("moncompte.email.required")})
	} else if !isAddress(f.email) {
		faults = append(faults, page.Fault{Field: "email", Text: v.say("moncompte.email.shape")})
	}
	if f.password == "" {
		faults = append(faults, page.Fault{Field: "password", Text: v.say("moncompte.password.required")})
	}
	if faults != nil {
		return v.wrong(w, r, v.signinPage(f, ""), faults...)
	}
	a, err := v.try(r, f.email, f)
	if err != nil {
		return err
	}
	if !a.wait.IsZero() {
		return v.locked(w, r, a.wait, f.flow)
	}
	if !a.right {
		return v.wrong(w, r, v.signinPage(f, ""), page.Fault{Text: v.triesLeft("moncompte.signin.wrong", a.left)})
	}
	if a.citizen.Confirmed.IsZero() {
		return v.unconfirmed(w, r, a, f)
	}
	session, give := v.begin(w, a.citizen.ID, v.at)
	err = s.Store.Write(r.Context(), func(tx *store.Tx) error {
		// The account may have changed while the password was looked at.
		if now, err := tx.Citizen(r.Context(), a.citizen.ID); err != nil || now.PHC != a.citizen.PHC {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.postSignin", Err: err}
		}
		tx.Record(v.event("signed_in", a.citizen.ID))
		if err := v.forgive(r.Context(), tx, a.ladder); err != nil {
			return err
		}
		if v.in { // one session a browser
			if _, err := tx.DropCitizenSession(r.Context(), v.session.ID); err != nil {
				return err
			}
		}
		return tx.PutCitizenSession(r.Context(), session)
	})
	if err != nil {
		return err
	}
	if err := v.know(w, a.key); err != nil {
		return err
	}
	give()
	return see(w, after(f.flow))
}

// unconfirmed asks whoever knows the password to show that the address is
// theirs first.
func (v *visit) unconfirmed(w http.ResponseWriter, r *http.Request, a attempt, f sent) error {
	var id string
	var until time.Time
	err := v.s.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		if err := v.forgive(r.Context(), tx, a.ladder); err != nil {
			return err
		}
		id, until, err = v.send(r.Context(), tx, letter{
			purpose: toConfirm, template: "moncompte_confirm", to: a.citizen.Email, citizen: a.citizen, coded: true, flow: f.flow, browser: v.owner(w),
		})
		tx.Record(v.event("unconfirmed", a.citizen.ID))
		return err
	})
	if err != nil {
		return err
	}
	if !until.IsZero() {
		return v.enough(w, r, until)
	}
	return see(w, "/confirm?"+url.Values{"id": {id}, "first": {"1"}}.Encode())
}

// locked says how long to wait; the same for an address that nobody has.
func (v *visit) locked(w http.ResponseWriter, r *http.Request, until time.Time, flow string) error {
	wait := until.Sub(v.at)
	w.Header().Set("Retry-After", seconds(wait))
	return v.show(w, r, http.StatusTooManyRequests, v.lockedPage(wait, flow))
}

// enough says that an address was written to often enough.
func (v *visit) enough(w http.ResponseWriter, r *http.Request, until time.Time) error {
	wait := until.Sub(v.at)
	w.Header().Set("Retry-After", seconds(wait))
	pg := v.problem("moncompte.problem.mails", text.Args{"n": minutes(wait)})
	return v.show(w, r, http.StatusTooManyRequests, pg)
}

// wrong shows a page again with what has to be corrected.
func (v *visit) wrong(w http.ResponseWriter, r *http.Request, pg page.Page, faults ...page.Fault) error {
	pg.Errors, pg.Erroneous = faults, true
	return v.show(w, r, http.StatusUnprocessableEntity, pg)
}

// triesLeft adds to a sentence how many tries are left, from the third last.
func (v *visit) triesLeft(key string, left int) string {
	s := v.say(key)
	if left > 0 && left <= 3 {
		s += " " + v.say("moncompte.tries_left", text.Args{"n": left})
	}
	return s
}

// after is where somebody goes who has signed in: back to the client that
// asked, or to their account. A flow is ours, sealed: no address can be put there.
func after(flow string) string {
	if flow == "" {
		return "/"
	}
	return "/authorize/" + flow
}

func flowQuery(flow string) string {
	if flow == "" {
		return ""
	}
	return "?" + url.Values{"flow": {flow}}.Encode()
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

func minutes(d time.Duration) int {
	return max(1, int((d+time.Minute-1)/time.Minute))
}
