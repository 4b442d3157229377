package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"parvis"
	"parvis/internal/store"
)

const (
	askLife    = time.Hour        // how long somebody may take to sign in and still come back where they were going
	ticketLife = 30 * time.Second // product: redeemed once, at once
	pathLimit  = 2000             // longer addresses are not remembered: the application opens at its start
)

// Return is where somebody was going when they were asked to sign in. It
// travels sealed. Path is for [Keeper.Ticket] alone: it also says, in a form
// that only the host that asked understands, which browser asked.
type Return struct {
	App  parvis.AppID `json:"app"`
	Path string       `json:"path"`
}

// Own is where the paths of an application's host belong to the front door.
const Own = "/.parvis/"

// Ask makes what an application host sends along to the portal when it has no
// visit, and marks the browser, so that what comes back lets in this browser
// and no other: nobody can be led into somebody else's session.
func (k *Keeper) Ask(w http.ResponseWriter, r *http.Request, app parvis.AppID, path string) (string, error) {
	k.ready()
	if !local(path) {
		path = "/"
	}
	mark, _, ok := k.cookie(r, askCookie)
	if !ok {
		c, _, _ := k.Addresses.Find(r.Host)
		var t Token
		t, mark = k.token(askCookie, c)
		k.Give(w, t)
	}
	return k.returns.Issue(Return{App: app, Path: Own + base64.RawURLEncoding.EncodeToString(mark[:]) + path}, k.Clock(), askLife)
}

// Asked opens what [Keeper.Ask] made: code invalid, or errors.Is
// [seal.ErrExpired].
func (k *Keeper) Asked(sealed string) (Return, error) {
	k.ready()
	var to Return
	err := k.returns.Redeem(sealed, k.Clock(), &to)
	return to, err
}

// pass is what a ticket says.
type pass struct {
	ID      [16]byte     `json:"i"`
	Session string       `json:"s"`
	App     parvis.AppID `json:"a"`
	Host    string       `json:"h"`
	Path    string       `json:"p"`
}

// Ticket lets a session into one application host: for 30 seconds, once, and
// only in the browser that asked. path is that of [Keeper.Asked].
func (k *Keeper) Ticket(s parvis.Session, app parvis.AppID, host, path string) (string, error) {
	k.ready()
	p := pass{Session: name(s.ID), App: app, Host: strings.ToLower(host), Path: path}
	_, _ = rand.Read(p.ID[:]) // crypto/rand.Read never fails
	return k.tickets.Issue(p, k.Clock(), ticketLife)
}

// The ways in which a ticket does not let in. They are told apart because the
// host can ask again for some of them, and would ask for ever for others.
var (
	ErrUsed     = errors.New("the ticket was already used")
	ErrStranger = errors.New("the ticket is not of this browser")
	ErrCookies  = errors.New("the browser keeps no cookies")
)

// Enter redeems a ticket and begins the visit: once, whatever restarts come
// between. It answers the path to go on to, which is local to the host; with
// an error too, when the ticket says one. Errors have code refused; errors.Is
// tells [ErrUsed], [ErrStranger], [ErrCookies] and [seal.ErrExpired].
func (k *Keeper) Enter(ctx context.Context, r *http.Request, ticket string, app parvis.AppID, host string) (Token, string, error) {
	const op = "session.Enter"
	k.ready()
	refuse := func(err error) error { return &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: err} }
	var p pass
	if err := k.tickets.Redeem(ticket, k.Clock(), &p); err != nil {
		return Token{}, "/", refuse(err)
	}
	mark, path := marked(p.Path)
	id, ok := named(p.Session)
	if !ok || p.App != app || p.Host != strings.ToLower(host) {
		return Token{}, "/", refuse(errors.New("the ticket is for another host"))
	}
	switch own, _, ok := k.cookie(r, askCookie); {
	case !ok:
		return Token{}, path, refuse(ErrCookies)
	case subtle.ConstantTimeCompare(own[:], mark[:]) != 1:
		return Token{}, path, refuse(ErrStranger)
	}
	c, _, _ := k.Addresses.Find(host)
	var token Token
	err := k.Store.Write(ctx, func(tx *store.Tx) error {
		row, err := k.live(tx, op, id)
		if parvis.CodeOf(err) == parvis.CodeNotFound {
			return refuse(err)
		}
		if err != nil {
			return err
		}
		var visit parvis.SessionID
		token, visit = k.token(visitCookie, c)
		fresh, err := tx.AddVisit(ctx, store.VisitRow{ID: visit, Session: id, App: app, Host: p.Host, Ticket: p.ID, Began: tx.Now()})
		if err != nil {
			return err
		}
		if !fresh {
			return refuse(ErrUsed)
		}
		tx.Record(parvis.Event{
			Kind: "app.entered", Agent: row.Agent, Actor: string(row.Agent), Channel: c, App: app,
			Detail: map[string]string{"session": name(id)},
		})
		return nil
	})
	if err != nil {
		return Token{}, path, err
	}
	return token, path, nil
}

// marked divides the path of a ticket into which browser asked and where to.
func marked(s string) (mark parvis.SessionID, path string) {
	rest, ok := strings.CutPrefix(s, Own)
	word, path, found := strings.Cut(rest, "/")
	b, err := base64.RawURLEncoding.DecodeString(word)
	if path = "/" + path; !ok || !found || err != nil || len(b) != len(mark) || !local(path) {
		return mark, "/"
	}
	copy(mark[:], b)
	return mark, path
}

// local tells whether s is a path on this very host whatever reads it: one
// slash first, no second one, no backslash (which browsers read as a slash),
// nothing invisible, nothing beyond ASCII.
func local(s string) bool {
	if len(s) == 0 || len(s) > pathLimit || s[0] != '/' || strings.HasPrefix(s, "//") || strings.HasPrefix(s, Own) {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
