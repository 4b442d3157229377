package store

import (
	"context"
	"errors"
	"time"

	"parvis"
)

// Document is something else that a protocol keeps: a pushed request, a device
// that waits, a consent, a signing key. Body is sealed by its owner. Version is
// 0 before it is written, then 1, 2, …
type Document struct {
	Kind    string
	ID      string
	Version int64
	Agent   parvis.AgentNumber // whose, if anybody's
	App     parvis.AppID       // for which application, if any
	Finder  [32]byte           // SHA-256 of the secret that finds it; zero when nothing does
	Body    []byte
	Expires time.Time // zero: until it is dropped
}

const keptColumns = "kind, id, version, agent, app, finder, body, expires"

func scanKept(scan func(...any) error) (Document, error) {
	var d Document
	var finder []byte
	var expires int64
	err := scan(&d.Kind, &d.ID, &d.Version, &d.Agent, &d.App, &finder, &d.Body, &expires)
	copy(d.Finder[:], finder)
	d.Expires = timeOf(expires)
	return d, err
}

// Document reads a document, expired or not; [parvis.CodeNotFound] for none.
func (r reader) Document(ctx context.Context, kind, id string) (Document, error) {
	return one(ctx, r, "store.Document", scanKept, "SELECT "+keptColumns+" FROM protocol_document WHERE kind = $1 AND id = $2", kind, id)
}

// DocumentBy reads the document that a secret finds, by its hash, expired or
// not; [parvis.CodeNotFound] for none.
func (r reader) DocumentBy(ctx context.Context, kind string, finder [32]byte) (Document, error) {
	return one(ctx, r, "store.DocumentBy", scanKept,
		"SELECT "+keptColumns+" FROM protocol_document WHERE kind = $1 AND finder = $2", kind, finder[:])
}

// Documents lists every document of a kind, by identifier: for kinds of a few.
func (r reader) Documents(ctx context.Context, kind string) ([]Document, error) {
	return many(ctx, r, "store.Documents", scanKept, "SELECT "+keptColumns+" FROM protocol_document WHERE kind = $1 ORDER BY id", kind)
}

// DocumentsOf lists the documents of a kind that are an agent's, by identifier.
func (r reader) DocumentsOf(ctx context.Context, kind string, agent parvis.AgentNumber) ([]Document, error) {
	return many(ctx, r, "store.DocumentsOf", scanKept,
		"SELECT "+keptColumns+" FROM protocol_document WHERE agent = $1 AND agent <> '' AND kind = $2 ORDER BY id", agent, kind)
}

// PutDocument writes a document if nobody wrote it since it was read: Version
// must be the one that is kept, 0 for none. It answers false, and changes
// nothing, otherwise, or when the finder of a new one is taken.
func (tx *Tx) PutDocument(ctx context.Context, d Document) (bool, error) {
	if d.Kind == "" || d.ID == "" {
		return false, invalid("store.PutDocument", errors.New("a document without a kind or a name"))
	}
	if d.Body == nil {
		d.Body = []byte{}
	}
	query := `UPDATE protocol_document SET version = version + 1, agent = $4, app = $5, finder = $6, body = $7, expires = $8
		WHERE kind = $1 AND id = $2 AND version = $3`
	if d.Version == 0 {
		query = "INSERT INTO protocol_document (" + keptColumns + ") VALUES ($1, $2, $3 + 1, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
	}
	n, err := tx.exec(ctx, query, d.Kind, d.ID, d.Version, d.Agent, d.App, hashOrNull(d.Finder), d.Body, micros(d.Expires))
	return n == 1, err
}

// DropDocument removes a document and tells whether there was one: of any
// number of uses of it at once, one is told true.
func (tx *Tx) DropDocument(ctx context.Context, kind, id string) (bool, error) {
	n, err := tx.exec(ctx, "DELETE FROM protocol_document WHERE kind = $1 AND id = $2", kind, id)
	return n == 1, err
}

// SpendOnce tells whether what has this hash is shown for the first time, here
// or to another process. It is known to have been at least until a moment:
// after that, what it stands for must be refused for its age.
func (tx *Tx) SpendOnce(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error) {
	n, err := tx.exec(ctx, "INSERT INTO spent_once (hash, expires) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING", hash[:], micros(until))
	return n == 1, err
}

// ForgetDocuments removes at most limit documents that expired before t, and as
// many of what was shown once and was known until an hour before that of t, and
// tells how many in all.
func (tx *Tx) ForgetDocuments(ctx context.Context, t time.Time, limit int) (int64, error) {
	documents, err := tx.exec(ctx, `DELETE FROM protocol_document WHERE (kind, id) IN
		(SELECT kind, id FROM protocol_document WHERE expires <> 0 AND expires < $1 ORDER BY expires LIMIT $2)`, micros(t), limit)
	if err != nil {
		return 0, err
	}
	spent, err := tx.forget(ctx, "spent_once", "hash", t, limit)
	return documents + spent, err
}
