package edge

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"parvis"
	"parvis/internal/text"
)

// Handler answers a request or returns the error that stopped it.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Failure is an error ready to be drawn for a person.
type Failure struct {
	Status int
	Code   parvis.ReasonCode
	Retry  time.Duration // after which trying again makes sense; 0 when unknown
}

// Refused is a decision ready to be told.
type Refused struct {
	Decision  parvis.Decision
	Reference parvis.Reference
	App       parvis.App
	Channel   parvis.Channel
	Sensitive bool // the agent's own profiles demand a second proof
	Status    int
	Retry     time.Duration
}

// Handle makes an [http.Handler] of h. This is the only place where an error
// becomes a response: its code gives the status, the visitor reads a sentence
// and the request's name, the log keeps the rest.
func (e *Edge) Handle(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			e.fail(w, r, err)
		}
	})
}

func (e *Edge) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := failure(err)
	e.protect(w.Header(), Origin(r).Channel)
	if f.Status >= http.StatusInternalServerError {
		e.Log.Error("request failed", "request", RequestID(r), "method", r.Method, "path", r.URL.Path, "err", err)
	} else {
		e.Log.Debug("request refused", "request", RequestID(r), "path", r.URL.Path, "err", err)
	}
	if f.Retry > 0 {
		w.Header().Set("Retry-After", statusText(int(f.Retry.Seconds())))
	}
	if e.Page != nil && !WantsJSON(r) {
		e.Page(w, r, f)
		return
	}
	args := text.Args{"n": max(1, int(f.Retry.Minutes()))}
	title := e.Catalog.Reason(text.Match(r.Header.Get("Accept-Language"), text.French), string(f.Code), args).Title
	e.write(w, f.Status, problem{Type: "urn:parvis:reason:" + string(f.Code), Title: title, Status: f.Status, Request: RequestID(r)})
}

// failure maps the closed list of codes to the closed list of answers.
func failure(err error) Failure {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return Failure{Status: http.StatusRequestEntityTooLarge, Code: parvis.WhyFormExpired}
	}
	switch parvis.CodeOf(err) {
	case parvis.CodeInvalid:
		return Failure{Status: http.StatusBadRequest, Code: parvis.WhyFormExpired}
	case parvis.CodeNotFound:
		return Failure{Status: http.StatusNotFound, Code: parvis.WhyNotFound}
	case parvis.CodeConflict:
		return Failure{Status: http.StatusConflict, Code: parvis.WhyFormExpired}
	case parvis.CodeRefused:
		return Failure{Status: http.StatusForbidden, Code: parvis.WhyFormExpired}
	case parvis.CodeLimited:
		return Failure{Status: http.StatusTooManyRequests, Code: parvis.WhyRateLimited, Retry: time.Minute}
	case parvis.CodeUnavailable:
		return Failure{Status: http.StatusServiceUnavailable, Code: parvis.WhyServiceProblem, Retry: 5 * time.Second}
	}
	return Failure{Status: http.StatusInternalServerError, Code: parvis.WhyServiceProblem}
}

// WantsJSON tells a program from a person: it says that it accepts JSON, or it
// is a script's request that does not accept pages.
func WantsJSON(r *http.Request) bool {
	accept := strings.ToLower(r.Header.Get("Accept"))
	if strings.Contains(accept, "text/html") {
		return false
	}
	if strings.Contains(accept, "json") {
		return true
	}
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode != "" && mode != "navigate" || r.Header.Get("X-Requested-With") == "XMLHttpRequest"
}

// problem is the answer to a program (RFC 9457 §3).
type problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail,omitempty"`
	Reference string            `json:"reference,omitempty"`
	Reasons   []text.ToldReason `json:"reasons,omitempty"`
	Ways      []text.ToldWay    `json:"ways,omitempty"`
	SignIn    string            `json:"sign_in,omitempty"`
	Request   string            `json:"request,omitempty"`
}

// Problem answers a program with a refusal: the same reasons and ways as the page.
func (e *Edge) Problem(w http.ResponseWriter, r *http.Request, f Refused) {
	e.protect(w.Header(), Origin(r).Channel)
	lang := text.Match(r.Header.Get("Accept-Language"), text.French)
	scene := text.Scene{App: f.App, Channel: f.Channel, Sensitive: f.Sensitive, Zone: e.Zone, Now: e.Clock()}
	if e.Values != nil {
		scene.Values = e.Values(lang)
	}
	told := e.Catalog.Tell(lang, f.Decision, scene)
	p := problem{Status: f.Status, Reference: string(f.Reference), Reasons: told.Reasons, Ways: told.Ways, Type: "about:blank", Request: RequestID(r)}
	if p.Status == 0 {
		p.Status = http.StatusForbidden
	}
	if len(told.Reasons) > 0 {
		p.Type = "urn:parvis:reason:" + told.Reasons[0].Code
		p.Title = told.Reasons[0].Title
		p.Detail = told.Reasons[0].Answer.Why
	}
	if f.Retry > 0 {
		w.Header().Set("Retry-After", statusText(int(f.Retry.Seconds())))
	}
	e.write(w, p.Status, p)
}

// SignIn answers a program that has no session: 401, and where a person signs in.
func (e *Edge) SignIn(w http.ResponseWriter, r *http.Request, address string) {
	e.protect(w.Header(), Origin(r).Channel)
	lang := text.Match(r.Header.Get("Accept-Language"), text.French)
	e.write(w, http.StatusUnauthorized, problem{
		Type: "urn:parvis:sign_in", Title: e.Catalog.Say(lang, "sign_in_context.title_short", nil),
		Status: http.StatusUnauthorized, SignIn: address, Request: RequestID(r),
	})
}

func (e *Edge) write(w http.ResponseWriter, status int, p problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		e.Log.Debug("answer not delivered", "err", err)
	}
}
