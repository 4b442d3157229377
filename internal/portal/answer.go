package portal

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"parvis"
	"parvis/internal/edge"
	"parvis/internal/page"
	"parvis/internal/text"
)

// refuses marks a page as one that refuses, for people's tools and for programs
// alike: the codes and the reference are on the page, and the same sentences are
// in the answer to a program.
func (v *visit) refuses(pg *page.Page, told text.Told, ref parvis.Reference) {
	pg.Reasons = nil
	for _, r := range told.Reasons {
		pg.Reasons = append(pg.Reasons, r.Code)
	}
	pg.Reference = string(ref)
	v.told = told
}

// show writes one page, whole or not at all. A program that is refused, or that
// has something to correct, reads why instead (RFC 9457).
func (v *visit) show(w http.ResponseWriter, r *http.Request, status int, pg page.Page) error {
	if edge.WantsJSON(r) && (status >= http.StatusBadRequest || len(pg.Reasons) > 0) {
		return v.answer(w, r, status, v.problem(r, status, pg))
	}
	pg.Lang = string(v.lang)
	pg.Chrome = v.chrome(pg.Screen)
	var b bytes.Buffer
	if err := pg.Render(r.Context(), &b); err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "portal.show", Err: err}
	}
	v.write(w, r, status, "text/html; charset=utf-8", b.Bytes())
	return nil
}

func (v *visit) write(w http.ResponseWriter, r *http.Request, status int, media string, body []byte) {
	h := w.Header()
	edge.Lead(h, v.leads...)
	h.Set("Content-Type", media)
	h.Set("Content-Language", string(v.lang))
	h.Set("Vary", "Accept, Accept-Language, Cookie")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader who left is not an error
	}
}

// problem is what a program reads instead of a page, in the shape that
// contract.md promises. Errors are the fields to correct.
type problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail,omitempty"`
	Reference string            `json:"reference,omitempty"`
	Reasons   []text.ToldReason `json:"reasons,omitempty"`
	Ways      []text.ToldWay    `json:"ways,omitempty"`
	Errors    []wrong           `json:"errors,omitempty"`
	Request   string            `json:"request,omitempty"`
}

type wrong struct {
	Field string `json:"field"`
	Title string `json:"title"`
}

func (v *visit) problem(r *http.Request, status int, pg page.Page) problem {
	out := problem{
		Type: "about:blank", Title: pg.Title, Status: status, Detail: pg.Lead, Reference: pg.Reference,
		Reasons: v.told.Reasons, Ways: v.told.Ways, Request: edge.RequestID(r),
	}
	for _, f := range pg.Errors {
		out.Errors = append(out.Errors, wrong{f.Field, f.Text})
	}
	if len(pg.Reasons) > 0 {
		out.Type = "urn:parvis:reason:" + pg.Reasons[0]
	}
	if len(v.told.Reasons) > 0 {
		out.Title, out.Detail = v.told.Reasons[0].Title, v.told.Reasons[0].Answer.Why
	}
	return out
}

// answer writes to a program: a problem when its request failed, the same
// object under its plain name when it did not.
func (v *visit) answer(w http.ResponseWriter, r *http.Request, status int, p problem) error {
	body, err := json.Marshal(p)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "portal.answer", Err: err}
	}
	media := "application/problem+json"
	if status < http.StatusBadRequest {
		media = "application/json"
	}
	v.write(w, r, status, media, body)
	return nil
}
