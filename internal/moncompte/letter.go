package moncompte

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"parvis"
	"parvis/internal/notify"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/text"
)

// The codes that are sent: how long they serve, how many wrong ones are looked
// at, and how many messages one address may be sent.
const (
	codeLasts   = 30 * time.Minute
	codeTries   = 5
	mailsSoon   = 3
	mailsSoonIn = 15 * time.Minute
	mailsDaily  = 10
)

// The purposes of a code.
const (
	toConfirm = "confirm"
	toRecover = "recover"
)

// letter is something to send to an address, which somebody may have or not.
type letter struct {
	purpose  string
	template string  // empty: nothing is sent, and nobody can tell
	to       string  // as typed
	citizen  citizen // whose address it is, if anybody's
	coded    bool    // it brings a code; otherwise no code fits
	flow     string
	browser  [32]byte
}

// carried is what waits with a code for its owner to come back.
type carried struct {
	Flow string `json:"flow,omitempty"`
	To   string `json:"to"`
}

// send writes a letter and keeps its code, in the act it belongs to. It does as
// much when there is nobody to write to. The time is until when the address has
// been written to often enough; nothing was done then.
func (v *visit) send(ctx context.Context, tx *store.Tx, l letter) (string, time.Time, error) {
	key := v.s.addressKey(l.to)
	for _, limit := range []struct {
		name string
		n    int
		in   time.Duration
	}{{"soon", mailsSoon, mailsSoonIn}, {"daily", mailsDaily, 24 * time.Hour}} {
		until, err := tx.Spend(ctx, v.s.Keys.MAC("citizen mail", []byte(limit.name), key[:]), limit.n, limit.in)
		if err != nil || !until.IsZero() {
			tx.Record(v.event("mail_limited", "", "who", who(key), "purpose", l.purpose))
			return "", until, err
		}
	}
	id := random()
	token, link := seal.Token()
	digits, err := sixDigits()
	if err != nil {
		return "", time.Time{}, err
	}
	whose := ""
	if l.coded {
		whose = l.citizen.ID
	}
	body, err := v.s.carry.Issue(carried{Flow: l.flow, To: l.to}, v.at, codeLasts)
	if err != nil {
		return "", time.Time{}, err
	}
	until := v.at.Add(codeLasts)
	tx.Record(v.event("code_sent", "", "who", who(key), "purpose", l.purpose))
	if err := tx.PutCitizenCode(ctx, store.CitizenCode{
		ID: id, Purpose: l.purpose, Citizen: whose, Key: key, Link: link, Code: v.s.codeMAC(id, digits.Reveal()),
		Browser: l.browser, Carried: body, Created: v.at, Expires: until,
	}); err != nil {
		return "", time.Time{}, err
	}
	if l.template == "" {
		return id, time.Time{}, nil
	}
	m := notify.Message{
		To: []string{l.citizen.Email}, From: v.label(), Lang: l.citizen.Lang, Template: l.template, Until: until,
		Args: text.Args{"name": l.citizen.Name, "account": v.label(), "host": v.s.host, "duration": codeLasts},
	}
	if l.coded {
		path := map[string]string{toConfirm: "/confirm", toRecover: "/recover/new"}[l.purpose]
		m.Code, m.Link = digits.Reveal(), v.s.Address+path+"?"+url.Values{"link": {token}}.Encode()
	} else {
		m.Link = v.s.Address + "/signin"
	}
	_, err = v.s.Outbox.Queue(ctx, tx, m) // an address that no mail can be sent to looks like any other
	return id, time.Time{}, err
}

// tell sends a notice that holds no code.
func (v *visit) tell(ctx context.Context, tx *store.Tx, c citizen, template string) error {
	_, err := v.s.Outbox.Queue(ctx, tx, notify.Message{
		To: []string{c.Email}, From: v.label(), Lang: c.Lang, Template: template,
		Args: text.Args{"name": c.Name, "account": v.label(), "host": v.s.host},
	})
	return err
}

func sixDigits() (seal.Secret, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.sixDigits", Err: err}
	}
	return seal.Secret(fmt.Sprintf("%06d", n)), nil
}

func (s *Service) codeMAC(id, digits string) [32]byte {
	return s.Keys.MAC("citizen code", []byte(id), []byte(digits))
}

// letterOf finds the code that a page is about, by its link or by its name. By
// its name it is for the browser that asked alone. It answers none when there
// is none that still serves.
func (v *visit) letterOf(ctx context.Context, purpose, link, id string) (store.CitizenCode, carried, bool, error) {
	var c store.CitizenCode
	var err error
	if link != "" {
		c, err = v.s.Store.CitizenCodeByLink(ctx, seal.Hash(link))
	} else {
		c, err = v.s.Store.CitizenCode(ctx, id)
	}
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return store.CitizenCode{}, carried{}, false, nil
	}
	if err != nil {
		return store.CitizenCode{}, carried{}, false, err
	}
	if c.Purpose != purpose || !c.Used.IsZero() || !v.at.Before(c.Expires) || link == "" && !v.owns(c.Browser) || link != "" && c.Citizen == "" {
		return store.CitizenCode{}, carried{}, false, nil
	}
	var kept carried
	if err := v.s.carry.Redeem(c.Carried, v.at, &kept); err != nil {
		return store.CitizenCode{}, carried{}, false, &parvis.Error{Code: parvis.CodeInternal, Op: "moncompte.letterOf", Err: err}
	}
	if !v.owns(c.Browser) {
		kept.Flow = "" // the sign-in belongs to the browser that began it
	}
	return c, kept, true, nil
}

// fits counts one try at the digits of a code, then compares. The count is of
// the act it stands in, so that act must be committed even when they do not.
func (v *visit) fits(ctx context.Context, tx *store.Tx, c store.CitizenCode, digits string) (fit bool, left int, err error) {
	tx.Record(v.event("code_tried", "", "who", who(c.Key), "purpose", c.Purpose))
	looked, err := tx.TryCitizenCode(ctx, c.ID, codeTries)
	if err != nil || !looked {
		return false, 0, err
	}
	mac := v.s.codeMAC(c.ID, digits)
	fit = subtle.ConstantTimeCompare(mac[:], c.Code[:]) == 1 && c.Citizen != ""
	return fit, max(0, codeTries-c.Tries-1), nil
}
