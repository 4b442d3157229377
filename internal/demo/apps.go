package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
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
	Name    string   `json:"name"`
	Email   string   `json:"email"`
	Channel string   `json:"channel"`
	AMR     []string `json:"amr"`
}

//go:embed app.html
var appHTML string

var styleShape = regexp.MustCompile(`(?s)<style>(.*?)</style>`)

// styleHash allows the one style element of a page (CSP level 3, §8.3).
func styleHash(page string) string {
	sum := sha256.Sum256([]byte(styleShape.FindStringSubmatch(page)[1]))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Handler serves the application: a page, a document that can be read in parts
// (`/document`), a stream (`/live`) and the request itself (`/echo`).
func (a *Application) Handler() http.Handler {
	page := template.Must(template.New("app").Parse(appHTML))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		v, err := a.visitor(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		reduced := slices.Contains(a.App.Reduced, parvis.Channel(v.Channel))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash(appHTML)+"'")
		_ = page.Execute(w, map[string]any{"App": a.App, "V": v, "Reduced": reduced, "Items": items(a.App.ID)}) // a reader who left needs nothing
	})
	mux.HandleFunc("GET /document", func(w http.ResponseWriter, r *http.Request) {
		v, err := a.visitor(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="`+string(a.App.ID)+`.txt"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(document(a.App.ID, v.Subject)))
	})
	mux.HandleFunc("GET /live", a.live)
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "host": r.Host, "header": r.Header}) // likewise
	})
	return mux
}

// live says the time every second until the reader, or the decision, leaves.
func (a *Application) live(w http.ResponseWriter, r *http.Request) {
	if _, err := a.visitor(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err := fmt.Fprintf(w, "data: %s\n\n", a.Clock().UTC().Format(time.RFC3339)); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
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

// items is what an application has to show.
func items(id parvis.AppID) []string {
	return map[parvis.AppID][]string{
		"messagerie": {"Réunion de rentrée du service, lundi 9 h", "Note : nouveaux horaires de la cantine", "Votre demande de congés est acceptée"},
		"paie":       {"Bulletin de paie d'octobre", "Bulletin de paie de septembre", "Attestation annuelle"},
		"conges":     {"Solde : 12 jours", "Demande en cours : du 21 au 24 décembre", "Temps partiel : aucun"},
		"annuaire":   {"Direction des finances, 3e étage", "Direction de l'action sociale, 1er étage", "Urbanisme, rez-de-chaussée"},
		"finances":   {"Engagement 2026-1042, 12 400 €", "Mandat 2026-0871, en attente de visa", "Budget de la direction, consommé à 82 %"},
		"social":     {"Dossier 3318, visite prévue jeudi", "Dossier 3402, pièces reçues", "Dossier 3405, à instruire"},
		"urbanisme":  {"Permis PC 26 0042, avis attendu", "Déclaration DP 26 118, affichée", "Plan local : annexe 4"},
	}[id]
}

// document is long enough to be read in parts.
func document(id parvis.AppID, who string) []byte {
	line := fmt.Sprintf("%s, document of %s of the demonstration city.\n", who, id)
	return []byte(strings.Repeat(line, 400))
}
