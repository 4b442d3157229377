package moncompte

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// How long an interaction may take, how long a grant serves after it, and the
// longest interaction that travels in an address.
const (
	interactionLasts = 30 * time.Minute
	grantLasts       = 15 * time.Minute
	maxFlow          = 5000
)

// errOver says that an interaction is finished, or no longer good.
var errOver = &parvis.Error{Code: parvis.CodeConflict, Op: "moncompte.interaction", Err: errors.New("it is over")}

// openInteraction opens what authenticate sealed.
func (s *Service) openInteraction(flow string, at time.Time) (*goidc.AuthnSession, error) {
	as := &goidc.AuthnSession{}
	if err := s.asked.Redeem(flow, at, as); err != nil {
		return nil, err
	}
	if as.Store == nil || as.ID == "" {
		return nil, errOver
	}
	return as, nil
}

// keeper is the library's memory. An interaction that is pending is kept by the
// browser, sealed; a grant and the end of an interaction are kept in the
// database, each written only over the version that was read.
type keeper struct{ s *Service }

// version is a grant as it was read, to be written over.
type version struct {
	n      int64
	finder [32]byte
}

// SaveSession keeps the end of an interaction. The end that gives a code is
// kept with its grant, in one act.
func (k keeper) SaveSession(ctx context.Context, as *goidc.AuthnSession) error {
	x := exchangeOf(ctx)
	switch as.Status {
	case goidc.StatusPending:
		return nil
	case goidc.StatusSuccess:
		x.finished = as
		return nil
	}
	if x.loaded == nil {
		return nil // nobody else holds it
	}
	return k.s.Store.Write(ctx, func(tx *store.Tx) error {
		tx.Record(x.v.event("declined", "", "client", as.ClientID))
		return k.finish(ctx, tx, as.ID)
	})
}

// finish ends an interaction, once.
func (k keeper) finish(ctx context.Context, tx *store.Tx, id string) error {
	first, err := tx.PutCitizenDocument(ctx, store.CitizenDocument{
		Kind: "finished", ID: id, Body: []byte{0}, Expires: tx.Now().Add(2 * interactionLasts),
	})
	if err == nil && !first {
		err = errOver
	}
	return err
}

// Session gives the interaction that [Service.resume] opened.
func (k keeper) Session(ctx context.Context, _ string) (*goidc.AuthnSession, error) {
	x := exchangeOf(ctx)
	if x.loaded == nil {
		return nil, goidc.ErrNotFound
	}
	return x.loaded, nil
}

// SaveGrant keeps a grant: new, redeemed or revoked. Of any number of requests
// with one code, one writes that it redeemed it; the others revoke what it got
// (RFC 6749 §4.1.2).
func (k keeper) SaveGrant(ctx context.Context, g *goidc.Grant) error {
	x := exchangeOf(ctx)
	was, known := x.read[g.ID]
	if !known {
		if x.v == nil || x.finished == nil || g.AuthCode == "" {
			return &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.SaveGrant", Err: errors.New("a grant that nobody asked for")}
		}
		was.finder = seal.Hash(g.AuthCode)
	}
	kind := "code_redeemed"
	switch {
	case !known:
		kind = "authorised"
	case g.RevokedAt != 0:
		kind = "grant_revoked"
	}
	put := false
	err := k.s.Store.Write(ctx, func(tx *store.Tx) (err error) {
		d, err := k.document(g, was, tx.Now())
		if err != nil {
			return err
		}
		if !known && x.loaded != nil {
			if err := k.finish(ctx, tx, x.finished.ID); err != nil {
				return err
			}
		}
		if put, err = tx.PutCitizenDocument(ctx, d); put {
			tx.Record(parvis.Event{Kind: "citizen." + kind, Actor: "citizen", Detail: map[string]string{"citizen": g.Subject, "client": g.ClientID}})
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case put:
		was.n++
		x.read[g.ID] = was
		return nil
	case g.RevokedAt != 0:
		if err := k.revoke(ctx, g.ID, g.RevokedAt); err != nil {
			return err
		}
	}
	return goidc.NewError(goidc.ErrorCodeInvalidGrant, "invalid grant")
}

// revoke revokes a grant whatever became of it meanwhile.
func (k keeper) revoke(ctx context.Context, id string, at int) error {
	return k.s.Store.Write(ctx, func(tx *store.Tx) error {
		d, err := tx.CitizenDocument(ctx, "grant", id)
		if parvis.CodeOf(err) == parvis.CodeNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		g, err := k.grant(d)
		if err != nil || g.RevokedAt != 0 {
			return err
		}
		g.RevokedAt = at
		again, err := k.document(g, version{d.Version, d.Finder}, tx.Now())
		if err != nil {
			return err
		}
		tx.Record(parvis.Event{Kind: "citizen.grant_revoked", Actor: "citizen", Detail: map[string]string{"citizen": g.Subject, "client": g.ClientID}})
		_, err = tx.PutCitizenDocument(ctx, again)
		return err
	})
}

// document seals a grant. The code itself is not kept: its hash finds the grant.
func (k keeper) document(g *goidc.Grant, was version, now time.Time) (store.CitizenDocument, error) {
	plain := *g
	plain.AuthCode = ""
	body, err := json.Marshal(plain)
	if err != nil {
		return store.CitizenDocument{}, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.document", Err: err}
	}
	return store.CitizenDocument{
		Kind: "grant", ID: g.ID, Version: was.n, Citizen: g.Subject, Finder: was.finder,
		Body: k.s.kept.Seal(body, "grant/"+g.ID), Expires: now.Add(grantLasts),
	}, nil
}

func (k keeper) grant(d store.CitizenDocument) (*goidc.Grant, error) {
	g := &goidc.Grant{}
	plain, err := k.s.kept.Open(d.Body, "grant/"+d.ID)
	if err == nil {
		err = json.Unmarshal(plain, g)
	}
	if err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.grant", Err: err}
	}
	if g.Store == nil { // an empty map comes back as none
		g.Store = map[string]any{}
	}
	return g, nil
}

// found checks that a grant still serves: in time, of an account that is there.
func (k keeper) found(ctx context.Context, d store.CitizenDocument, err error) (*goidc.Grant, error) {
	if parvis.CodeOf(err) == parvis.CodeNotFound || err == nil && !k.s.Clock().Before(d.Expires) {
		return nil, goidc.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	g, err := k.grant(d)
	if err != nil {
		return nil, err
	}
	if _, err := k.s.Store.Citizen(ctx, g.Subject); parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil, goidc.ErrNotFound
	} else if err != nil {
		return nil, err
	}
	exchangeOf(ctx).remember(g.ID, version{d.Version, d.Finder})
	return g, nil
}

func (x *exchange) remember(id string, v version) {
	if x.read != nil {
		x.read[id] = v
	}
}

// Grant reads a grant by its name, for what its access token asks.
func (k keeper) Grant(ctx context.Context, id string) (*goidc.Grant, error) {
	d, err := k.s.Store.CitizenDocument(ctx, "grant", id)
	return k.found(ctx, d, err)
}

// GrantByAuthCode reads the grant of a code.
func (k keeper) GrantByAuthCode(ctx context.Context, code string) (*goidc.Grant, error) {
	d, err := k.s.Store.CitizenDocumentBy(ctx, "grant", seal.Hash(code))
	g, err := k.found(ctx, d, err)
	if err != nil {
		return nil, err
	}
	g.AuthCode = code
	// On the service's clock too; the library has only the machine's.
	until, _ := g.Store["good_until"].(string)
	if us, err := strconv.ParseInt(until, 10, 64); err != nil || k.s.Clock().UnixMicro() >= us {
		g.AuthCodeExpiresAt = 0
	}
	return g, nil
}
