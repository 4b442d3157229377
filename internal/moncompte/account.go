package moncompte

import (
	"net/http"
	"strings"

	"parvis"
	"parvis/internal/page"
	"parvis/internal/store"
	"parvis/internal/text"
)

func (s *Service) getPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	return v.show(w, r, http.StatusOK, v.passwordPage())
}

// postPassword changes the password of whoever is signed in and knows the old
// one. Every other session ends.
func (s *Service) postPassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	var faults []page.Fault
	if f.password == "" {
		faults = append(faults, page.Fault{Field: "password", Text: v.say("moncompte.password.required")})
	}
	if key := s.judge(f.newPassword, v.citizen.Email, v.citizen.Name); key != "" {
		faults = append(faults, page.Fault{Field: "new_password", Text: v.say(key, text.Args{"n": leastPassword, "most": mostPassword})})
	}
	if faults != nil {
		return v.wrong(w, r, v.passwordPage(), faults...)
	}
	a, err := v.try(r, v.citizen.Email, f)
	if err != nil {
		return err
	}
	if !a.wait.IsZero() {
		return v.locked(w, r, a.wait, "")
	}
	if !a.right || a.citizen.ID != v.citizen.ID {
		return v.wrong(w, r, v.passwordPage(), page.Fault{Field: "password", Text: v.triesLeft("moncompte.password.wrong", a.left)})
	}
	phc, err := s.Vault.HashFor(r.Context(), purpose, f.newPassword)
	if err != nil {
		return err
	}
	session, give := v.begin(w, v.citizen.ID, v.at)
	err = s.Store.Write(r.Context(), func(tx *store.Tx) error {
		now, err := tx.Citizen(r.Context(), v.citizen.ID)
		if err != nil || now.PHC != a.citizen.PHC {
			return &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.postPassword", Err: err}
		}
		tx.Record(v.event("password_changed", v.citizen.ID))
		if err := v.forgive(r.Context(), tx, a.ladder); err != nil {
			return err
		}
		if _, err := tx.SetCitizenPassword(r.Context(), v.citizen.ID, phc); err != nil {
			return err
		}
		if err := tx.PutCitizenSession(r.Context(), session); err != nil {
			return err
		}
		return v.tell(r.Context(), tx, v.citizen, "moncompte_changed")
	})
	if err != nil {
		return err
	}
	give()
	return see(w, "/?done=password")
}

func (s *Service) postSignout(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.end(w, r); err != nil {
		return err
	}
	v.back = "/"
	return v.show(w, r, http.StatusOK, v.signedOutPage())
}

// end ends the session of this browser, if it has one.
func (v *visit) end(w http.ResponseWriter, r *http.Request) error {
	if v.in {
		if err := v.s.Store.Write(r.Context(), func(tx *store.Tx) error {
			ended, err := tx.DropCitizenSession(r.Context(), v.session.ID)
			if ended {
				tx.Record(v.event("signed_out", v.citizen.ID))
			}
			return err
		}); err != nil {
			return err
		}
	}
	v.in = false
	v.s.keep(w, cookieSession, "", 0)
	return nil
}

// getLang keeps the language that was chosen. It is a preference of the
// browser, so a link may do it.
func (s *Service) getLang(w http.ResponseWriter, r *http.Request, _ *visit) error {
	q := r.URL.Query()
	if l := text.Lang(q.Get("to")); l == text.French || l == text.English {
		s.keep(w, cookieLang, string(l), preference)
	}
	return see(w, ownPath(q.Get("return")))
}

func (s *Service) postTheme(w http.ResponseWriter, r *http.Request, _ *visit) error {
	f, err := readForm(r)
	if err != nil {
		return err
	}
	switch f.theme {
	case "light", "dark":
		s.keep(w, cookieTheme, f.theme, preference)
	case "system":
		s.keep(w, cookieTheme, "", 0)
	}
	return see(w, ownPath(f.back))
}

// ownPath keeps a path of this host, and leads home from anything else.
func ownPath(path string) string {
	if local(path) {
		return path
	}
	return "/"
}

func (s *Service) getOffline(w http.ResponseWriter, r *http.Request, v *visit) error {
	if r.URL.Query().Get("lang") == string(text.English) {
		v.lang = text.English
	} else {
		v.lang = text.French
	}
	v.in, v.back = false, "/"
	return v.show(w, r, http.StatusOK, page.Page{
		Screen: "citizen_offline", Title: v.say("moncompte.offline.title"), Lead: v.say("moncompte.offline.lead"),
	})
}

// serveAssets serves what pages refer to. The sign of this service stands in
// the place of the portals'.
func (s *Service) serveAssets(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/assets/favicon.") {
		w.Header().Set("Content-Type", "image/svg+xml")
		w.Header().Set("Cache-Control", "public, max-age=86400")
		_, _ = w.Write([]byte(mark)) // a reader who left is not an error
		return
	}
	l := text.Match(r.Header.Get("Accept-Language"), s.Lang)
	if r.URL.Path != "/manifest.webmanifest" {
		l = s.Lang // the assets of both languages are the same
	}
	s.assets[index(l)].ServeHTTP(w, r)
}

func index(l text.Lang) int {
	if l == text.English {
		return 1
	}
	return 0
}
