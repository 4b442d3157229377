package store_test

import (
	"fmt"
	"testing"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// Statements are kept between transactions: more of them than are kept, and a
// table that changed beneath them, make no difference.
func TestStatementsAreKept(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		s := storetest.Open(t, address, new(storetest.Clock))
		db, ctx := by(t, address), t.Context()
		run(t, db, "CREATE TABLE thing_kept (id TEXT PRIMARY KEY, n BIGINT NOT NULL)")
		round := func(n int) {
			t.Helper()
			write(t, s, func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "test.changed"})
				for i := range 300 {
					query := fmt.Sprintf("INSERT INTO thing_kept (id, n) VALUES ($1, %d) ON CONFLICT (id) DO UPDATE SET n = thing_kept.n + 1", i)
					if _, err := tx.Exec(ctx, query, fmt.Sprint(i)); err != nil {
						return err
					}
					got, err := tx.QueryInt(ctx, "SELECT n FROM thing_kept WHERE id = $1", fmt.Sprint(i))
					if err != nil || got != int64(i+n) {
						t.Errorf("round %d: %d is %d, %v", n, i, got, err)
					}
				}
				return nil
			})
		}
		round(0)
		round(1)
		run(t, db, "ALTER TABLE thing_kept ADD COLUMN more BIGINT NOT NULL DEFAULT 0")
		round(2)
		run(t, db, "ALTER TABLE thing_kept RENAME TO thing_hidden")
		err := s.Write(ctx, func(tx *store.Tx) error {
			tx.Record(parvis.Event{Kind: "test.changed"})
			_, err := tx.Exec(ctx, "INSERT INTO thing_kept (id, n) VALUES ($1, 299) ON CONFLICT (id) DO UPDATE SET n = thing_kept.n + 1", "299")
			return err
		})
		if err == nil {
			t.Error("a statement outlived its table")
		}
		run(t, db, "ALTER TABLE thing_hidden RENAME TO thing_kept")
		round(3)
	})
}
