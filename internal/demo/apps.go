package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"parvis"
)

// assertionHeader is how an application learns who is there (contract.md).
const assertionHeader = "Parvis-Assertion"

// Application is a small application that knows nothing about passwords: it
// believes a signed assertion, and only one made for itself.
type Application struct {
	App   parvis.App
	Keys  string // address of the signing keys, …/.well-known/jwks.json
	Clock func() time.Time
	HTTP  *http.Client // fetches the keys

	mu   sync.Mutex
	keys jose.JSONWebKeySet
}

// visitor is what the assertion says of the person.
type visitor struct {
	jwt.Claims
	Who     string         `json:"name"`
	Email   string         `json:"email"`
	Channel parvis.Channel `json:"channel"`
	Limited bool           `json:"limited"` // the reduced version is asked for
}

// Handler serves the application: what it is for (pay slips, leave, the
// directory, or a plain list), a document that can be read in parts
// (`/document`), a stream (`/live`) and the request itself (`/echo`). What
// agents did in it lasts as long as the handler.
func (a *Application) Handler() http.Handler {
	c := newCounter(a)
	mux := http.NewServeMux()
	switch a.App.ID {
	case "paie":
		c.paySlips(mux)
	case "conges":
		c.leave(mux)
	case "annuaire":
		c.phoneBook(mux)
	default:
		mux.HandleFunc("GET /{$}", c.to(func(v *visit) { v.show("list", a.App.Purpose.In(string(v.Lang)), c.items(v)) }))
	}
	mux.HandleFunc("GET /document", c.to(func(v *visit) {
		v.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		v.w.Header().Set("Content-Disposition", `attachment; filename="`+string(a.App.ID)+`.txt"`)
		http.ServeContent(v.w, v.r, "", time.Time{}, bytes.NewReader(document(a.App.ID, v.Subject)))
	}))
	mux.HandleFunc("GET /live", c.to(a.live))
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "host": r.Host, "header": r.Header}) // a reader who left needs nothing
	})
	return mux
}

// live says the time every second until the reader, or the decision, leaves.
func (a *Application) live(v *visit) {
	v.w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(v.w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err := fmt.Fprintf(v.w, "data: %s\n\n", a.Clock().UTC().Format(time.RFC3339)); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-v.r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

var errStranger = errors.New("this application opens through the gateway only")

// visitor checks the assertion: signed by the door, for this application, now
// (RFC 7519 §4.1, RFC 8725 §3.1: one algorithm, chosen here).
func (a *Application) visitor(r *http.Request) (*visitor, error) {
	tok, err := jwt.ParseSigned(r.Header.Get(assertionHeader), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(tok.Headers) != 1 {
		return nil, errStranger
	}
	key, err := a.key(r.Context(), tok.Headers[0].KeyID)
	if err != nil {
		return nil, err
	}
	var v visitor
	if err := tok.Claims(key, &v); err != nil {
		return nil, errStranger
	}
	if err := v.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{string(a.App.ID)}, Time: a.Clock()}, 5*time.Second); err != nil {
		return nil, errStranger
	}
	return &v, nil
}

func (a *Application) key(ctx context.Context, id string) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if found := a.keys.Key(id); len(found) > 0 {
		return found[0].Key, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Keys, nil)
	if err != nil {
		return nil, err
	}
	res, err := a.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(&a.keys); err != nil {
		return nil, err
	}
	if found := a.keys.Key(id); len(found) > 0 {
		return found[0].Key, nil
	}
	return nil, errStranger
}

// document is long enough to be read in parts.
func document(id parvis.AppID, who string) []byte {
	line := fmt.Sprintf("%s, document of %s of the demonstration city.\n", who, id)
	return []byte(strings.Repeat(line, 400))
}
