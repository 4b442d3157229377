package portal

import (
	"net/http"
	"path"
	"strings"

	"parvis"
	"parvis/internal/edge"
)

// act answers one request of a visit, or returns the error that stopped it.
type act func(w http.ResponseWriter, r *http.Request, v *visit) error

// Handler is the site map. What is not here is not found; errors go to the
// edge, whose Page should be [Portal.Failure].
func (p *Portal) Handler(e *edge.Edge) http.Handler {
	p.ready()
	p.edge = e
	mux := http.NewServeMux()
	open := func(pattern string, f act) { mux.Handle(pattern, e.Handle(p.open(f))) }
	mine := func(pattern string, f act) { mux.Handle(pattern, e.Handle(p.open(p.mine(f)))) }

	// The square: anybody.
	open("GET /{$}", p.getHome) // start, or the launcher
	open("GET /help", p.getHelp)
	open("GET /channel", p.getChannel)
	open("GET /recover", p.getRecover)
	open("GET /diagnosis", p.getDiagnosis)
	open("POST /diagnosis", p.postDiagnosis)
	open("GET /legal", p.getLegal)
	open("GET /privacy", p.getPrivacy)
	open("GET /accessibility", p.getAccessibility)
	open("GET /lang", p.setLang)
	open("POST /lang", p.setLang)
	open("POST /theme", p.postTheme)

	// The door.
	open("GET /signin", p.getSignin)
	open("POST /signin", p.postSignin)
	open("GET /lost", p.getLost)
	open("POST /lost", p.postLost)
	open("GET /enter", p.getEnter)
	open("GET /signout", p.getSignout)
	open("POST /signout", p.postSignout)
	mine("POST /extend", p.postExtend)
	open("GET /extend", func(w http.ResponseWriter, _ *http.Request, _ *visit) error { return to(w, "/") })

	p.arrivals(open, mine)

	// Whoever holds a session.
	mine("GET /app/{app}", p.getApp)
	mine("GET /why/{reference}", p.getWhy)
	mine("GET /security", p.getSecurity)
	mine("GET "+ownPassword, p.getPassword)
	mine("POST "+ownPassword, p.postPassword)
	mine("GET /prove", p.getProve)
	mine("POST /prove", p.postProve)
	mine("GET "+factorsPath, p.getFactors)
	mine("GET "+factorsPath+"/{id}", p.getFactor)
	mine("POST "+factorsPath+"/{id}", p.postFactor)
	mine("GET "+factorsPath+"/help", p.own(p.getFactorHelp))
	mine("POST "+factorsPath+"/help", p.own(p.postFactorHelp))
	mine("GET "+factorsPath+"/request", p.own(p.getFactorRequest))
	mine("POST "+factorsPath+"/request", p.own(p.postFactorRequest))
	for _, kind := range []parvis.ProofKind{parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode} {
		mine("GET "+factorsPath+"/"+nameOfKind(kind), p.own(p.getEnrol(kind)))
		mine("POST "+factorsPath+"/"+nameOfKind(kind), p.own(p.postEnrol(kind)))
	}
	mine("GET "+appsPath, p.getApps)
	mine("GET "+appsPath+"/{app}", p.getAppEnd)
	mine("POST "+appsPath+"/{app}", p.postAppEnd)
	mine("GET /sessions", p.getSessions)
	mine("POST /sessions", p.postSessions)
	mine("GET /activity", p.getActivity)

	// What is the same for everybody, and needs no entrance.
	mux.Handle("GET /assets/", p.assets())
	mux.Handle("GET /sw.js", p.assets())
	mux.Handle("GET /manifest.webmanifest", p.assets())
	mux.Handle("GET /manifest", http.RedirectHandler("/manifest.webmanifest", http.StatusPermanentRedirect))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("GET /offline", e.Handle(p.getOffline))
	if p.JWKS != nil {
		mux.Handle("GET /.well-known/jwks.json", p.JWKS)
	}

	open("/", func(w http.ResponseWriter, r *http.Request, v *visit) error {
		methods := allowed(mux, r)
		if len(methods) == 0 {
			return &parvis.Error{Code: parvis.CodeNotFound, Op: "portal"}
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		pg := v.missing()
		pg.Title = v.say("not_found.method.title")
		return v.show(w, r, http.StatusMethodNotAllowed, pg)
	})
	missing := e.Handle(p.open(func(http.ResponseWriter, *http.Request, *visit) error {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "portal"}
	}))
	mux.Handle("/assets", missing)
	// The mux would lead to the tidy form of a path with 307, which repeats what
	// was posted, passwords too (RFC 9700 §4.12). Nothing of ours is written so.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tidy := path.Clean(r.URL.Path); tidy != r.URL.Path && tidy+"/" != r.URL.Path {
			missing.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// arrivals are the paths of newcomers, and of the outside account.
func (p *Portal) arrivals(open, mine func(pattern string, f act)) {
	// The first activation.
	open("GET /activate", p.getActivate)
	open("POST /activate", p.postActivate)
	open("GET /activate/link", p.getActivateLink)
	open("GET /activate/overview", p.getOverview)
	open("GET /activate/identity", p.getIdentity)
	open("POST /activate/identity", p.postIdentity)
	open("GET /activate/password", p.getNewPassword)
	open("POST /activate/password", p.postNewPassword)
	open("GET /activate/verifier", p.getVerifier)
	open("GET /activate/second", p.newcomer(p.getSecond))
	open("GET /activate/contact", p.getContact)
	open("GET /activate/channels", p.getChannels)
	open("POST /activate/finish", p.postFinish)
	open("GET /activate/done", p.getActivated)
	open("GET /activate/second/help", p.newcomer(p.getFactorHelp))
	open("POST /activate/second/help", p.newcomer(p.postFactorHelp))
	open("GET /activate/second/request", p.newcomer(p.getFactorRequest))
	open("POST /activate/second/request", p.newcomer(p.postFactorRequest))
	for _, kind := range []parvis.ProofKind{parvis.TOTP, parvis.SMS, parvis.Passkey, parvis.RecoveryCode} {
		open("GET /activate/second/"+nameOfKind(kind), p.newcomer(p.getEnrol(kind)))
		open("POST /activate/second/"+nameOfKind(kind), p.newcomer(p.postEnrol(kind)))
	}

	// The outside account: the page before leaving, the way there and back.
	open("GET /verifier", p.getLeave)
	open("POST /verifier/leave", p.postLeave)
	open("GET /verifier/return", p.getReturn)
	mine("GET /security/verifier", p.getLink)
	mine("POST /security/verifier", p.postLink)
	mine("GET /arrival", p.getArrival)
}

// allowed lists the methods that the site map has for the path of r: there is
// something there, but not for this method (RFC 9110 §15.5.6).
func allowed(mux *http.ServeMux, r *http.Request) []string {
	var all []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := mux.Handler(probe); pattern != "" && pattern != "/" {
			all = append(all, method)
		}
	}
	return all
}

// open lets a visit in when its entrance is known and this is its address.
func (p *Portal) open(f act) edge.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		v := p.receive(r)
		switch {
		case !v.origin.Channel.Known():
			return p.refuseEntrance(w, r, v, parvis.WhyChannelUnknown)
		case v.door != v.origin.Channel:
			// Somebody at the office who uses the mobile address is at the office:
			// the edge has recognised the network. They belong at the other address.
			if own := p.Addresses.Portal(v.origin.Channel); own != "" && v.door == parvis.Mobile && safe(r) {
				return to(w, own+v.back)
			}
			return p.refuseEntrance(w, r, v, parvis.WhyInternalAddressOutside)
		}
		if err := v.know(r); err != nil {
			return err
		}
		return f(w, r, v)
	}
}

func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// mine sends whoever has no session to the door, and back afterwards.
func (p *Portal) mine(f act) act {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		if v.in {
			return f(w, r, v)
		}
		path := v.back
		if !safe(r) {
			path = "/" + strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)[0]
		}
		door, err := p.doorTo(path)
		if err != nil {
			return err
		}
		if edge.WantsJSON(r) {
			p.edge.SignIn(w, r, p.Addresses.Portal(v.door)+door)
			return nil
		}
		return to(w, door)
	}
}
