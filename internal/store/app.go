package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"parvis"
)

// AppRow is an application as it is kept here. Version is 0 before it is
// written; every change gives it a greater one.
type AppRow struct {
	App     parvis.App
	Version int64
	By      string // who wrote it last
	At      time.Time
}

const appColumns = "SELECT id, version, app, by_whom, at FROM application WHERE app <> ''"

func scanApp(scan func(...any) error) (AppRow, error) {
	var r AppRow
	var id, text string
	var at int64
	if err := scan(&id, &r.Version, &text, &r.By, &at); err != nil {
		return r, err
	}
	r.At = timeOf(at)
	// A field that this release does not know may be a restriction: an
	// application is not opened without it.
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r.App); err != nil {
		return AppRow{}, internalf("store.App", "application %q cannot be read: %w", id, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || string(r.App.ID) != id {
		return AppRow{}, internalf("store.App", "application %q is not what its row says", id)
	}
	return r, nil
}

// Apps lists the applications kept here, by identifier. One that cannot be read
// whole is an error: nothing is guessed about what may be opened.
func (r reader) Apps(ctx context.Context) ([]AppRow, error) {
	return many(ctx, r, "store.Apps", scanApp, appColumns+" ORDER BY id")
}

// App reads one application; [parvis.CodeNotFound] when it is not kept here.
func (r reader) App(ctx context.Context, id parvis.AppID) (AppRow, error) {
	return one(ctx, r, "store.App", scanApp, appColumns+" AND id = $1", id)
}

// PutApp writes an application if nobody wrote it since it was read: Version
// must be the one that is kept, 0 for none. It answers false, and changes
// nothing, otherwise. At is the moment of the transaction.
func (tx *Tx) PutApp(ctx context.Context, r AppRow) (bool, error) {
	const op = "store.PutApp"
	if r.App.ID == "" {
		return false, invalid(op, errors.New("an application without an identifier"))
	}
	text, err := json.Marshal(r.App)
	if err != nil {
		return false, fail(op, err)
	}
	query := "UPDATE application SET version = version + 1, app = $2, by_whom = $3, at = $4 WHERE id = $1 AND version = $5 AND app <> ''"
	args := []any{r.App.ID, string(text), r.By, micros(tx.now), r.Version}
	if r.Version == 0 {
		query = `INSERT INTO application (id, version, app, by_whom, at) VALUES ($1, 1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET version = application.version + 1, app = excluded.app, by_whom = excluded.by_whom, at = excluded.at
			WHERE application.app = ''`
		args = args[:4]
	}
	n, err := tx.exec(ctx, query, args...)
	return n == 1, err
}

// RemoveApp removes an application if nobody wrote it since it was read, and
// tells whether it did. Its grants are ended with [Tx.EndAppGrants].
func (tx *Tx) RemoveApp(ctx context.Context, id parvis.AppID, version int64) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE application SET version = version + 1, app = '', at = $1 WHERE id = $2 AND version = $3 AND app <> ''",
		micros(tx.now), id, version)
	return n == 1, err
}
