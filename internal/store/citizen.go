package store

import (
	"context"
	"errors"
	"time"

	"parvis"
)

// Citizen is an account of the embedded verifier. It is nobody's agent account:
// the two meet over OpenID alone.
type Citizen struct {
	ID        string   // random; what clients are told
	Key       [32]byte // keyed MAC of the address
	Card      []byte   // the address and the name, sealed by their owner
	PHC       string
	Created   time.Time
	Confirmed time.Time // zero until the address was shown to be theirs
	Changed   time.Time // the password
}

const citizenColumns = "id, email_key, card, phc, created_at, confirmed_at, changed_at"

func scanCitizen(scan func(...any) error) (Citizen, error) {
	var c Citizen
	var key []byte
	var created, confirmed, changed int64
	err := scan(&c.ID, &key, &c.Card, &c.PHC, &created, &confirmed, &changed)
	copy(c.Key[:], key)
	c.Created, c.Confirmed, c.Changed = timeOf(created), timeOf(confirmed), timeOf(changed)
	return c, err
}

// Citizen reads an account; [parvis.CodeNotFound] when there is none.
func (r reader) Citizen(ctx context.Context, id string) (Citizen, error) {
	return one(ctx, r, "store.Citizen", scanCitizen, "SELECT "+citizenColumns+" FROM citizen WHERE id = $1", id)
}

// CitizenByKey reads the account of an address, by its keyed MAC;
// [parvis.CodeNotFound] when there is none.
func (r reader) CitizenByKey(ctx context.Context, key [32]byte) (Citizen, error) {
	return one(ctx, r, "store.CitizenByKey", scanCitizen, "SELECT "+citizenColumns+" FROM citizen WHERE email_key = $1", key[:])
}

// PutCitizen opens an account. It answers false, and changes nothing, when a
// confirmed one has the address; one that was never confirmed is replaced, its
// password and its identifier with it, so that nobody can wait at an address
// that is not theirs. Accounts left unconfirmed since before a moment go.
func (tx *Tx) PutCitizen(ctx context.Context, c Citizen, unconfirmedSince time.Time) (bool, error) {
	if c.ID == "" || c.PHC == "" || c.Card == nil {
		return false, &parvis.Error{Code: parvis.CodeInvalid, Op: "store.PutCitizen", Err: errors.New("an account that lacks something")}
	}
	if _, err := tx.exec(ctx, "DELETE FROM citizen WHERE confirmed_at = 0 AND created_at < $1", micros(unconfirmedSince)); err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, "INSERT INTO citizen ("+citizenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (email_key) DO UPDATE SET id = excluded.id, card = excluded.card, phc = excluded.phc,
			created_at = excluded.created_at, confirmed_at = excluded.confirmed_at, changed_at = excluded.changed_at
		WHERE citizen.confirmed_at = 0`,
		c.ID, c.Key[:], c.Card, c.PHC, micros(c.Created), micros(c.Confirmed), micros(c.Changed))
	return n == 1, err
}

// ConfirmCitizen keeps that the address of an account is its owner's. It
// answers false when there is no such account; a second time changes nothing.
func (tx *Tx) ConfirmCitizen(ctx context.Context, id string) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE citizen SET confirmed_at = CASE confirmed_at WHEN 0 THEN $1 ELSE confirmed_at END WHERE id = $2", micros(tx.Now()), id)
	return n == 1, err
}

// SetCitizenPassword replaces the password of an account, and ends its sessions
// and what was granted through them.
func (tx *Tx) SetCitizenPassword(ctx context.Context, id, phc string) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE citizen SET phc = $1, changed_at = $2 WHERE id = $3", phc, micros(tx.Now()), id)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.exec(ctx, "DELETE FROM citizen_session WHERE citizen = $1", id); err != nil {
		return false, err
	}
	_, err = tx.exec(ctx, "DELETE FROM citizen_document WHERE citizen = $1 AND kind = 'grant'", id)
	return true, err
}

// CitizenSession is a browser signed in at the embedded verifier.
type CitizenSession struct {
	ID      [32]byte // hash of the secret in its cookie
	Citizen string
	Proved  time.Time // when the password was last right
	Ends    time.Time
}

// CitizenSession reads a session that has not ended; [parvis.CodeNotFound] when
// there is none.
func (r reader) CitizenSession(ctx context.Context, id [32]byte, at time.Time) (CitizenSession, error) {
	return one(ctx, r, "store.CitizenSession", func(scan func(...any) error) (CitizenSession, error) {
		s := CitizenSession{ID: id}
		var proved, ends int64
		err := scan(&s.Citizen, &proved, &ends)
		s.Proved, s.Ends = timeOf(proved), timeOf(ends)
		return s, err
	}, "SELECT citizen, proved_at, ends_at FROM citizen_session WHERE id = $1 AND ends_at > $2", id[:], micros(at))
}

// PutCitizenSession begins a session, and removes those that have ended.
func (tx *Tx) PutCitizenSession(ctx context.Context, s CitizenSession) error {
	if _, err := tx.exec(ctx, "DELETE FROM citizen_session WHERE ends_at <= $1", micros(tx.Now())); err != nil {
		return err
	}
	_, err := tx.exec(ctx, "INSERT INTO citizen_session (id, citizen, proved_at, ends_at) VALUES ($1, $2, $3, $4)",
		s.ID[:], s.Citizen, micros(s.Proved), micros(s.Ends))
	return err
}

// DropCitizenSession ends a session; false when it had ended.
func (tx *Tx) DropCitizenSession(ctx context.Context, id [32]byte) (bool, error) {
	n, err := tx.exec(ctx, "DELETE FROM citizen_session WHERE id = $1", id[:])
	return n == 1, err
}

// CitizenTry is how often the password of an address was wrong, whether or not
// anybody has the address.
type CitizenTry struct {
	Key      [32]byte
	Failures int
	Wait     time.Time // no try is looked at before
	Last     time.Time
}

// CitizenTry reads it; the zero count when nothing is kept.
func (r reader) CitizenTry(ctx context.Context, key [32]byte) (CitizenTry, error) {
	list, err := many(ctx, r, "store.CitizenTry", func(scan func(...any) error) (CitizenTry, error) {
		t := CitizenTry{Key: key}
		var wait, last int64
		err := scan(&t.Failures, &wait, &last)
		t.Wait, t.Last = timeOf(wait), timeOf(last)
		return t, err
	}, "SELECT failures, wait_until, last_at FROM citizen_try WHERE key = $1", key[:])
	if err != nil || len(list) == 0 {
		return CitizenTry{Key: key}, err
	}
	return list[0], nil
}

// PutCitizenTry writes it, or forgets it when nothing failed. Counts last
// touched before a moment go.
func (tx *Tx) PutCitizenTry(ctx context.Context, t CitizenTry, forget time.Time) error {
	if _, err := tx.exec(ctx, "DELETE FROM citizen_try WHERE last_at < $1 AND wait_until < $1", micros(forget)); err != nil {
		return err
	}
	if t.Failures == 0 {
		_, err := tx.exec(ctx, "DELETE FROM citizen_try WHERE key = $1", t.Key[:])
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO citizen_try (key, failures, wait_until, last_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (key) DO UPDATE SET failures = excluded.failures, wait_until = excluded.wait_until, last_at = excluded.last_at`,
		t.Key[:], t.Failures, micros(t.Wait), micros(t.Last))
	return err
}

// CitizenCode is a link and six digits sent to an address. A row without a
// citizen was sent to nobody: it is there so that both look alike.
type CitizenCode struct {
	ID      string
	Purpose string // confirm, recover
	Citizen string
	Key     [32]byte // of the address
	Link    [32]byte
	Code    [32]byte
	Browser [32]byte
	Carried string // what to go on with afterwards; the caller's
	Tries   int
	Created time.Time
	Expires time.Time
	Used    time.Time
}

const citizenCodeColumns = "id, purpose, citizen, email_key, link, code, browser, carried, tries, created_at, expires_at, used_at"

func scanCitizenCode(scan func(...any) error) (CitizenCode, error) {
	var c CitizenCode
	var key, link, code, browser []byte
	var created, expires, used int64
	err := scan(&c.ID, &c.Purpose, &c.Citizen, &key, &link, &code, &browser, &c.Carried, &c.Tries, &created, &expires, &used)
	copy(c.Key[:], key)
	copy(c.Link[:], link)
	copy(c.Code[:], code)
	copy(c.Browser[:], browser)
	c.Created, c.Expires, c.Used = timeOf(created), timeOf(expires), timeOf(used)
	return c, err
}

// CitizenCode reads a code, used or not; [parvis.CodeNotFound] when there is none.
func (r reader) CitizenCode(ctx context.Context, id string) (CitizenCode, error) {
	return one(ctx, r, "store.CitizenCode", scanCitizenCode, "SELECT "+citizenCodeColumns+" FROM citizen_code WHERE id = $1", id)
}

// CitizenCodeByLink reads the code whose link has the given hash;
// [parvis.CodeNotFound] when there is none.
func (r reader) CitizenCodeByLink(ctx context.Context, link [32]byte) (CitizenCode, error) {
	return one(ctx, r, "store.CitizenCodeByLink", scanCitizenCode,
		"SELECT "+citizenCodeColumns+" FROM citizen_code WHERE link = $1", link[:])
}

// PutCitizenCode keeps a code that was sent, and ends the earlier ones of its
// purpose for its address; those that ended more than a day ago are removed.
func (tx *Tx) PutCitizenCode(ctx context.Context, c CitizenCode) error {
	if _, err := tx.exec(ctx, "DELETE FROM citizen_code WHERE expires_at < $1", micros(tx.Now().Add(-24*time.Hour))); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, "UPDATE citizen_code SET used_at = $1 WHERE email_key = $2 AND purpose = $3 AND used_at = 0",
		micros(tx.Now()), c.Key[:], c.Purpose); err != nil {
		return err
	}
	_, err := tx.exec(ctx, "INSERT INTO citizen_code ("+citizenCodeColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, 0)",
		c.ID, c.Purpose, c.Citizen, c.Key[:], c.Link[:], c.Code[:], c.Browser[:], c.Carried, micros(c.Created), micros(c.Expires))
	return err
}

// TryCitizenCode counts one try at the digits before they are compared. It
// answers false when the code has none left, is used or is over: of any number
// of requests at once, no more than most are told true.
func (tx *Tx) TryCitizenCode(ctx context.Context, id string, most int) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE citizen_code SET tries = tries + 1 WHERE id = $1 AND tries < $2 AND used_at = 0 AND expires_at > $3",
		id, most, micros(tx.Now()))
	return n == 1, err
}

// UseCitizenCode ends a code; false when it was used or is over.
func (tx *Tx) UseCitizenCode(ctx context.Context, id string) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE citizen_code SET used_at = $1 WHERE id = $2 AND used_at = 0 AND expires_at > $1", micros(tx.Now()), id)
	return n == 1, err
}

// CitizenDocument is something that the OpenID protocol keeps: a grant, a
// finished interaction, a signing key. Body is sealed by its owner. Version is
// 0 before it is written, then 1, 2, …
type CitizenDocument struct {
	Kind    string
	ID      string
	Version int64
	Citizen string   // whose, if anybody's
	Finder  [32]byte // hash of the secret that finds it; zero when nothing does
	Body    []byte
	Expires time.Time
}

const documentColumns = "kind, id, version, citizen, finder, body, expires_at"

func scanDocument(scan func(...any) error) (CitizenDocument, error) {
	var d CitizenDocument
	var finder []byte
	var expires int64
	err := scan(&d.Kind, &d.ID, &d.Version, &d.Citizen, &finder, &d.Body, &expires)
	copy(d.Finder[:], finder)
	d.Expires = timeOf(expires)
	return d, err
}

// CitizenDocument reads a document; [parvis.CodeNotFound] when there is none.
func (r reader) CitizenDocument(ctx context.Context, kind, id string) (CitizenDocument, error) {
	return one(ctx, r, "store.CitizenDocument", scanDocument,
		"SELECT "+documentColumns+" FROM citizen_document WHERE kind = $1 AND id = $2", kind, id)
}

// CitizenDocumentBy reads the document that a secret finds, by its hash;
// [parvis.CodeNotFound] when there is none.
func (r reader) CitizenDocumentBy(ctx context.Context, kind string, finder [32]byte) (CitizenDocument, error) {
	return one(ctx, r, "store.CitizenDocumentBy", scanDocument,
		"SELECT "+documentColumns+" FROM citizen_document WHERE kind = $1 AND finder = $2", kind, finder[:])
}

// CitizenDocuments reads every document of a kind: for kinds of a few.
func (r reader) CitizenDocuments(ctx context.Context, kind string) ([]CitizenDocument, error) {
	return many(ctx, r, "store.CitizenDocuments", scanDocument,
		"SELECT "+documentColumns+" FROM citizen_document WHERE kind = $1 ORDER BY id", kind)
}

// PutCitizenDocument writes a document if nobody wrote it since it was read:
// Version must be the one that is kept, 0 for none. It answers false, and
// changes nothing, otherwise. Documents whose time is over are removed.
func (tx *Tx) PutCitizenDocument(ctx context.Context, d CitizenDocument) (bool, error) {
	if _, err := tx.exec(ctx, "DELETE FROM citizen_document WHERE expires_at <= $1", micros(tx.Now())); err != nil {
		return false, err
	}
	var finder []byte
	if d.Finder != ([32]byte{}) {
		finder = d.Finder[:]
	}
	query := `UPDATE citizen_document SET version = version + 1, citizen = $4, finder = $5, body = $6, expires_at = $7
		WHERE kind = $1 AND id = $2 AND version = $3`
	if d.Version == 0 {
		query = "INSERT INTO citizen_document (" + documentColumns + ") VALUES ($1, $2, $3 + 1, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
	}
	n, err := tx.exec(ctx, query, d.Kind, d.ID, d.Version, d.Citizen, finder, d.Body, micros(d.Expires))
	return n == 1, err
}
