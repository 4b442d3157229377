package oidc

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// The kinds of document that are kept.
const (
	kindKey     = "oidc-key"
	kindPushed  = "oidc-par"
	kindDevice  = "oidc-device"
	kindConsent = "consent" // of the agent; whatever protocol asked for it
)

// exchange is one request to the protocol, as the library's callbacks find it.
type exchange struct {
	iss      *issuer
	path     string
	app      parvis.App // the client that the library asked for
	redirect string     // where the answer goes, once looked at
	refused  error      // why the request cannot be granted, told to the client
	issuing  *ticket    // what a code is made of
	pushing  *pushed    // what a pushed request is kept as
	keyID    string     // of the assertion that a client shows
	device   string     // the document that a device redeems
	ticket   *ticket    // what is being redeemed
	found    map[string]found
	scope    *string    // of the access token that is shown
	spends   [][32]byte // shown once, to be written with what it serves for
	noted    bool       // the owner was told already
	err      error      // the last that the library told
}

// found is a grant that was read.
type found struct {
	grant store.Grant
	told  told
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{found: map[string]found{}} // nothing is asked, nobody is known
}

// ticket is a grant that was not redeemed: the code itself, sealed, or what a
// device was allowed.
type ticket struct {
	Grant     string             `json:"g"`
	App       parvis.AppID       `json:"a"`
	Agent     parvis.AgentNumber `json:"n"`
	Session   []byte             `json:"i"`
	Channel   parvis.Channel     `json:"c"`
	SID       string             `json:"k"`
	Redirect  string             `json:"r,omitempty"`
	Nonce     string             `json:"e,omitempty"`
	Challenge string             `json:"h,omitempty"`
	Offline   bool               `json:"f,omitempty"`
	Ends      time.Time          `json:"z"` // when the grant does; city's clock
	Machine   int64              `json:"x"` // not redeemed after; this machine's clock, seconds
	City      int64              `json:"y"` // … the city's, microseconds
	Told      told               `json:"w"`
}

// keeper is the library's memory. Interactions are not kept at all; a code is its
// own record until it is redeemed; a grant is written only over the version that
// was read.
type keeper struct{ p *Provider }

// SaveSession keeps what waits for its agent: a pushed request, a device. What is
// decided at once, or asked again from its own address, is not kept.
func (k keeper) SaveSession(ctx context.Context, as *goidc.AuthnSession) error {
	x := exchangeOf(ctx)
	switch {
	case as.UserCode != "" && as.Status == goidc.StatusPending:
		return k.p.keepDevice(ctx, x, as)
	case as.PushedAuthReqID != "" && as.Status == goidc.StatusPending && x.refused != nil:
		return x.refused
	case as.PushedAuthReqID != "" && as.Status == goidc.StatusPending && x.pushing != nil:
		return k.p.keepPushed(ctx, x, as)
	}
	return nil
}

// Session finds nothing: the library's own interactions are never resumed, so
// that none can be replayed.
func (keeper) Session(context.Context, string) (*goidc.AuthnSession, error) {
	return nil, goidc.ErrNotFound
}

// SessionByPushedAuthReqID finds nothing: request.go reads pushed requests.
func (keeper) SessionByPushedAuthReqID(context.Context, string) (*goidc.AuthnSession, error) {
	return nil, goidc.ErrNotFound
}

// consume lets an identifier of an assertion or of a proof serve once: here at
// once, elsewhere with the transaction that it serves for.
func (k keeper) consume(ctx context.Context, jti string) error {
	x := exchangeOf(ctx)
	hash := seal.Hash("jti " + jti)
	if !k.p.spent.first(hash, spentLasts) {
		return errShownBefore
	}
	x.spends = append(x.spends, hash)
	return nil
}

// spentLasts is how long what was shown once could be shown again if it were not
// remembered: an assertion may expire when one life is over, and be as old.
const spentLasts = (2*proofSeconds + 2*skewSeconds) * time.Second

var errShownBefore = errors.New("it was shown before")

// spend writes down what this request showed.
func (x *exchange) spend(ctx context.Context, tx *store.Tx) error {
	for _, hash := range x.spends {
		fresh, err := tx.SpendOnce(ctx, hash, tx.Now().Add(spentLasts))
		if err != nil {
			return err
		}
		if !fresh {
			return goidc.WrapError(goidc.ErrorCodeInvalidRequest, "it was shown before", errShownBefore)
		}
	}
	return nil
}

// SaveGrant makes a code, redeems one, renews a grant or ends it.
func (k keeper) SaveGrant(ctx context.Context, g *goidc.Grant) error {
	x := exchangeOf(ctx)
	f, known := x.found[g.ID]
	switch {
	case x.issuing != nil && g.AuthCode != "":
		x.issuing.Grant = g.ID
		g.AuthCode = k.p.sealCode(x.issuing)
		return nil
	case !known:
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.SaveGrant", Err: errors.New("a grant that nobody asked for")}
	case x.ticket != nil && g.RevokedAt != 0:
		return k.p.burn(ctx, x, f)
	case x.ticket != nil:
		return k.p.redeem(ctx, x, f, g)
	case g.RevokedAt != 0:
		return k.p.end(ctx, f.grant, "revoked")
	}
	return k.p.renew(ctx, x, f, g)
}

// sealCode makes the code: nothing is stored, and whoever has it can read nothing
// of it.
func (p *Provider) sealCode(t *ticket) string {
	t.Machine = now() + codeSeconds
	t.City = p.Clock().Add(codeSeconds * time.Second).UnixMicro()
	body, err := json.Marshal(t)
	if err != nil {
		panic("oidc: " + err.Error()) // strings, numbers and times of four digits
	}
	return base64.RawURLEncoding.EncodeToString(p.boxes.codes.Seal(body, "code"))
}

// grantOf gives the row that a ticket becomes.
func (t *ticket) grantOf(at time.Time, tells bool) store.Grant {
	g := store.Grant{
		ID: t.Grant, Protocol: parvis.OIDC, App: t.App, Agent: t.Agent, Channel: t.Channel, SID: t.SID,
		Offline: t.Offline, Tells: tells, Began: at, Expires: t.Ends,
	}
	copy(g.Session[:], t.Session)
	return g
}

// hold gives the library a ticket as one of its grants, and remembers it.
func (p *Provider) hold(x *exchange, app parvis.App, t *ticket) *goidc.Grant {
	tells := app.OIDC.BackChannel != ""
	x.ticket = t
	x.found[t.Grant] = found{t.grantOf(p.Clock(), tells), t.Told}
	g := &goidc.Grant{
		ID: t.Grant, CreatedAt: int(now()), Subject: p.Door.Subject(app, t.Agent, parvis.OIDC), ClientID: string(t.App), Scopes: t.Told.Scopes,
		RefreshToken: secret(), JWKThumbprint: t.Told.JKT, Store: map[string]any{},
		AuthParams: goidc.AuthorizationParameters{RedirectURI: t.Redirect, Nonce: t.Nonce},
	}
	if t.Challenge != "" {
		g.AuthParams.CodeChallenge, g.AuthParams.CodeChallengeMethod = t.Challenge, goidc.CodeChallengeMethodSHA256
	}
	return g
}

// GrantByAuthCode opens a code. One whose time is over is opened too: showing it
// again ends what it got.
func (k keeper) GrantByAuthCode(ctx context.Context, code string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	t := &ticket{}
	body, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err == nil {
		body, err = k.p.boxes.codes.Open(body, "code")
	}
	if err == nil {
		err = json.Unmarshal(body, t)
	}
	if err != nil || strings.ContainsAny(code, "\r\n") {
		k.p.tell(x, x.app.ID, "invalid_grant", "a code that was never given")
		return nil, goidc.ErrNotFound
	}
	app, ok := k.p.client(string(t.App))
	if !ok || x.iss == nil || t.Told.Issuer != x.iss.address {
		k.p.tell(x, x.app.ID, "invalid_grant", "a code of another issuer, or of an application that is no more")
		return nil, goidc.ErrNotFound
	}
	if err := k.p.follow(ctx, t); err != nil {
		return nil, err
	}
	g := k.p.hold(x, app, t)
	g.AuthCode, g.AuthCodeExpiresAt = code, int(t.Machine)
	if k.p.Clock().UnixMicro() >= t.City { // on the city's clock too; the library has only this machine's
		g.AuthCodeExpiresAt = 0
	}
	return g, nil
}

// follow finds the session of a ticket when it was raised since, and has another
// identifier: its name for the application is the same, and no other's.
func (p *Provider) follow(ctx context.Context, t *ticket) error {
	var id parvis.SessionID
	copy(id[:], t.Session)
	if _, err := p.Sessions.Live(ctx, id); parvis.CodeOf(err) != parvis.CodeNotFound {
		return err
	}
	rows, err := p.Sessions.List(ctx, t.Agent)
	for _, row := range rows {
		if p.Sessions.SID(row.Session, t.App) == t.SID {
			t.Session = row.ID[:]
		}
	}
	return err
}

// redeem writes the grant of a ticket: of any number of requests with one code,
// one is told that it did; the others end what it got (RFC 6749 §4.1.2).
func (p *Provider) redeem(ctx context.Context, x *exchange, f found, g *goidc.Grant) error {
	if err := p.still(ctx, f); err != nil {
		return err
	}
	if app, ok := p.client(string(f.grant.App)); ok && app.External { // it may have been taken back since
		if given, err := p.given(ctx, f.grant.Agent, app.ID); err != nil || given == nil {
			return errors.Join(err, errGrant("the agent took back what they agreed to"))
		}
	}
	f.told.JKT = g.JWKThumbprint
	row := f.grant
	row.Finder = seal.Hash(g.RefreshToken)
	row.Body = p.sealTold(row.ID, &f.told)
	err := p.Store.Write(ctx, func(tx *store.Tx) error {
		if err := x.spend(ctx, tx); err != nil {
			return err
		}
		if x.device != "" {
			if first, err := tx.DropDocument(ctx, kindDevice, x.device); err != nil || !first {
				return errors.Join(err, errGrant("the device has its tokens already"))
			}
		}
		row.Began = tx.Now()
		switch put, err := tx.PutGrant(ctx, row); {
		case err != nil:
			return err
		case !put:
			return errTaken // with what was spent for nothing
		}
		tx.Record(parvis.Event{
			Kind: "grant.began", Agent: row.Agent, Actor: string(row.Agent), Channel: row.Channel, App: row.App,
			Detail: map[string]string{"grant": row.ID, "protocol": string(parvis.OIDC)},
		})
		return nil
	})
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return errGrant("the session is over")
	case errors.Is(err, errTaken):
		return errGrant("the code was used before: what it got has ended") // SaveGrant ends it next
	case err != nil:
		return err
	}
	row.Version = 1
	x.found[g.ID] = found{row, f.told}
	x.ticket = nil
	return nil
}

// errTaken takes a transaction back: somebody else was first. A transaction that
// spends and does nothing else would be refused by the store.
var errTaken = errors.New("oidc: somebody else was first")

// errGrant is what a client is told of what it cannot use; why is for its owner.
func errGrant(why string) error {
	return goidc.WrapError(goidc.ErrorCodeInvalidGrant, "invalid grant", errors.New(why))
}

// burn ends what a ticket got, or spoils it when it got nothing yet: whoever
// shows a code wrongly may be another than the one it was for.
func (p *Provider) burn(ctx context.Context, x *exchange, f found) error {
	if x.device != "" {
		return nil // an answer that fails leaves the device where it was
	}
	live := p.Clock().UnixMicro() < x.ticket.City
	return p.Store.Write(ctx, func(tx *store.Tx) error {
		row := f.grant
		row.Tells, row.Began = false, tx.Now()
		why := "code_reused"
		if live {
			switch first, err := tx.PutGrant(ctx, row); {
			case parvis.CodeOf(err) == parvis.CodeNotFound:
				// With its session it has ended, unless it may outlive it.
			case err != nil:
				return err
			case first:
				why = "code_spoilt"
			}
		}
		return p.ends(ctx, tx, row, why)
	})
}

// end ends a grant, once.
func (p *Provider) end(ctx context.Context, g store.Grant, why string) error {
	return p.Store.Write(ctx, func(tx *store.Tx) error { return p.ends(ctx, tx, g, why) })
}

func (p *Provider) ends(ctx context.Context, tx *store.Tx, g store.Grant, why string) error {
	ended, err := tx.EndGrant(ctx, g.ID, why)
	if err != nil || !ended {
		return err
	}
	tx.Record(parvis.Event{
		Kind: "grant.ended", Agent: g.Agent, Actor: "system", Channel: g.Channel, App: g.App,
		Detail: map[string]string{"grant": g.ID, "protocol": string(parvis.OIDC), "why": why},
	})
	return nil
}

// renew writes what a refresh changed: its secret, once. Whoever comes second
// showed a secret that was used, and ends the grant.
func (p *Provider) renew(ctx context.Context, x *exchange, f found, g *goidc.Grant) error {
	row := f.grant
	f.told.JKT = g.JWKThumbprint
	row.Finder, row.Body = seal.Hash(g.RefreshToken), p.sealTold(row.ID, &f.told)
	err := p.Store.Write(ctx, func(tx *store.Tx) error {
		if err := x.spend(ctx, tx); err != nil {
			return err
		}
		switch put, err := tx.PutGrant(ctx, row); {
		case err != nil:
			return err
		case !put:
			return errTaken
		}
		tx.Record(parvis.Event{
			Kind: "grant.renewed", Actor: "system", Channel: row.Channel, App: row.App, // of nobody: nothing about the agent changes
			Detail: map[string]string{"grant": row.ID, "protocol": string(parvis.OIDC)},
		})
		return nil
	})
	if errors.Is(err, errTaken) {
		if err := p.end(ctx, row, "refresh_reused"); err != nil {
			return err
		}
		return errGrant("the refresh token was used before: the grant has ended")
	}
	if err != nil {
		return err
	}
	p.used(row)
	x.found[g.ID] = found{row, f.told}
	return nil
}

// sealTold seals what is kept of a grant; readTold reads it.
func (p *Provider) sealTold(id string, t *told) []byte {
	body, err := json.Marshal(t)
	if err != nil {
		panic("oidc: " + err.Error())
	}
	return p.boxes.kept.Seal(body, "grant/"+id)
}

func (p *Provider) readTold(id string, sealed []byte) (t told, err error) {
	body, err := p.boxes.kept.Open(sealed, "grant/"+id)
	if err == nil {
		err = json.Unmarshal(body, &t)
	}
	if err != nil {
		return t, &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.readTold", Err: err}
	}
	return t, nil
}

// still asks the door again, for what is redeemed, refreshed or asked about.
func (p *Provider) still(ctx context.Context, f found) error {
	open, _, said, err := p.Door.Still(ctx, f.grant, f.told.Proofs...)
	if err != nil {
		return err
	}
	if !open {
		why := "the agent's session is over, or was never here"
		if codes := said.Codes(); len(codes) > 0 {
			why = "the application is not open to the agent now: " + string(codes[0])
		}
		return errGrant(why)
	}
	return nil
}

// library gives the library a grant that was read, and remembers it.
func (p *Provider) library(x *exchange, row store.Grant) (*goidc.Grant, error) {
	app, ok := p.client(string(row.App))
	if !ok || row.Protocol != parvis.OIDC || !row.Ended.IsZero() || !p.Clock().Before(row.Expires) {
		return nil, goidc.ErrNotFound
	}
	t, err := p.readTold(row.ID, row.Body)
	if err != nil {
		return nil, err
	}
	if x.iss == nil || t.Issuer != x.iss.address {
		return nil, goidc.ErrNotFound
	}
	x.found[row.ID] = found{row, t}
	return &goidc.Grant{
		ID: row.ID, CreatedAt: int(row.Began.Unix()), Subject: p.Door.Subject(app, row.Agent, parvis.OIDC), ClientID: string(row.App),
		Scopes: t.Scopes, JWKThumbprint: t.JKT, Store: map[string]any{},
	}, nil
}

// Grant reads a grant by its name, for what its access token asks. Whoever takes
// it back need not be let in any more.
func (k keeper) Grant(ctx context.Context, id string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	row, err := k.p.Store.Grant(ctx, id)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, goidc.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	g, err := k.p.library(x, row)
	if err != nil || x.path == pathRevoke {
		return g, err
	}
	switch err := k.p.still(ctx, x.found[id]); {
	case isGrant(err):
		k.p.tell(x, row.App, "invalid_token", whyOf(err))
		return nil, goidc.ErrNotFound
	case err != nil:
		return nil, err
	}
	if x.path == pathUserInfo {
		k.p.used(row)
	}
	if f := x.found[id]; x.path == pathIntrospect { // RFC 7662 §2.2: a mail server knows agents by address
		g.Username, _ = k.p.claims(ctx, f, f.told.asks())["email"].(string)
	}
	return g, nil
}

// GrantByRefreshToken reads the grant of a refresh token. One that was replaced
// was shown by somebody else before or now: the whole grant ends (RFC 9700
// §4.14.2). Only a question about it changes nothing.
func (k keeper) GrantByRefreshToken(ctx context.Context, token string) (*goidc.Grant, error) {
	x := exchangeOf(ctx)
	if x.path == pathUserInfo { // RFC 6749 §1.5: for this server alone, never to read with
		return nil, goidc.ErrNotFound
	}
	row, spent, err := k.p.Store.GrantBy(ctx, seal.Hash(token))
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, goidc.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if spent && x.path == pathToken {
		k.p.tell(x, row.App, "invalid_grant", "a refresh token was used twice: everything that came of it has ended")
		return nil, errors.Join(goidc.ErrNotFound, k.p.end(ctx, row, "refresh_reused"))
	}
	if spent && x.path != pathRevoke {
		return nil, goidc.ErrNotFound
	}
	g, err := k.p.library(x, row)
	if err != nil || x.path == pathRevoke {
		return g, err
	}
	switch err := k.p.still(ctx, x.found[row.ID]); {
	case isGrant(err):
		k.p.tell(x, row.App, "invalid_grant", whyOf(err))
		return nil, goidc.ErrNotFound
	case err != nil:
		return nil, err
	}
	g.RefreshToken = token
	g.RefreshTokenExpiresAt = int(now() + int64(row.Expires.Sub(k.p.Clock())/time.Second) + 1)
	return g, nil
}

// tell tells the owner of an application why, once for a request.
func (p *Provider) tell(x *exchange, app parvis.AppID, code, why string) {
	x.noted = true
	p.note(app, code, why)
}

func isGrant(err error) bool {
	var e goidc.Error
	return errors.As(err, &e) && e.Code == goidc.ErrorCodeInvalidGrant
}

// whyOf says why, for the owner of an application.
func whyOf(err error) string {
	var e goidc.Error
	if !errors.As(err, &e) {
		return "something failed here"
	}
	if inner := errors.Unwrap(e); inner != nil {
		var deeper goidc.Error
		if errors.As(inner, &deeper) {
			return whyOf(inner)
		}
		return inner.Error()
	}
	return e.Description
}

// hashName names a document by a secret without being it.
func hashName(s string) string {
	hash := seal.Hash(s)
	return hex.EncodeToString(hash[:])
}
