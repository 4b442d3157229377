package store_test

import (
	"context"
	"database/sql"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// With a million grants, nothing that happens when an agent enters, renews,
// leaves or is listed may look at them all.
func TestGrantsAreFoundByIndex(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		clock := new(storetest.Clock)
		s := storetest.Open(t, address, clock)
		db, explain := by(t, address), "EXPLAIN QUERY PLAN "
		whole := regexp.MustCompile(`\b(?:SCAN|Seq Scan on) (?:app_grant|g|s|session|grant_finder|notice|protocol_document|spent_once)\b`)
		if strings.HasPrefix(address, "postgres") {
			// It looks at how much there is before it chooses.
			const some = " FROM generate_series(1, 5000) AS n"
			run(t, db,
				"INSERT INTO session SELECT sha256(n::text::bytea), n, '', '', '', '', '[]', 1, n, n, n, n % 2, ''"+some,
				"INSERT INTO app_grant SELECT n, 1, '', n, n, sha256(n::text::bytea), '', '', NULL, '', n % 2 = 0, TRUE, n, n * 3600000000, 0, ''"+some,
				"INSERT INTO grant_finder SELECT sha256(n::text::bytea), n, n * 3600000000"+some,
				"INSERT INTO notice SELECT n, 1, n, '', n, n, '', '', '', 0, "+strconv.FormatInt(clock.Now().UnixMicro(), 10)+" - 2500 + n, 'waiting', '', n"+some,
				"INSERT INTO protocol_document SELECT n, n, 1, n, n, sha256(n::text::bytea), '', n"+some,
				"INSERT INTO spent_once SELECT sha256(n::text::bytea), n * 3600000000"+some,
				"ANALYZE")
			explain = "EXPLAIN "
		}
		var asked []store.Statement
		listen := func(f func(tx *store.Tx) error) {
			t.Helper()
			some, err := store.Statements(t.Context(), s, f)
			if err != nil {
				t.Fatal(err)
			}
			asked = append(asked, some...)
		}
		listen(func(tx *store.Tx) error { return lifeOfGrant(t.Context(), tx) })
		listen(func(tx *store.Tx) error { return listsOfGrants(t.Context(), tx) })
		for _, q := range asked {
			if strings.HasPrefix(q.Query, "INSERT") && !strings.Contains(q.Query, "SELECT") {
				continue // it looks at nothing but its own keys
			}
			plan := planOf(t, db, explain+q.Query, q.Args)
			if plan == "" || whole.MatchString(plan) {
				t.Errorf("%s\nis answered by looking at everything:\n%s", q.Query, plan)
			}
		}
		if len(asked) < 25 {
			t.Errorf("only %d statements were looked at", len(asked))
		}
	})
}

func lifeOfGrant(ctx context.Context, tx *store.Tx) error {
	now := tx.Now()
	session := parvis.Session{ID: parvis.SessionID{1}, Agent: "A1", Channel: parvis.Internal, Began: now, Ends: now.Add(time.Hour)}
	g := store.Grant{ID: "g", Protocol: parvis.OIDC, App: "courrier", Agent: "A1", Session: session.ID, Finder: [32]byte{1}, Tells: true, Began: now, Expires: now.Add(time.Hour)}
	steps := []func() error{
		func() error { return tx.AddSession(ctx, store.SessionRow{Session: session}) },
		func() error { _, err := tx.PutGrant(ctx, g); return err },
		func() error { g.Version, g.Finder = 1, [32]byte{2}; _, err := tx.PutGrant(ctx, g); return err },
		func() error { g.Version, g.Expires = 2, now; _, err := tx.PutGrant(ctx, g); return err },
		func() error {
			moved := session
			moved.ID = parvis.SessionID{2}
			return tx.MoveSession(ctx, session.ID, moved)
		},
		func() error { _, _, err := tx.EndSession(ctx, parvis.SessionID{2}, "test"); return err },
		func() error { _, err := tx.EndGrant(ctx, "g", "test"); return err },
		func() error { _, err := tx.EndOfflineGrants(ctx, "A1", parvis.SessionID{}, "test"); return err },
		func() error { _, err := tx.EndOfflineGrants(ctx, "A1", parvis.SessionID{2}, "test"); return err },
		func() error { _, err := tx.EndAppGrants(ctx, "courrier", "test"); return err },
		func() error { _, err := tx.ForgetGrants(ctx, now, 10); return err },
		func() error { _, err := tx.ForgetDocuments(ctx, now, 10); return err },
		func() error { _, err := tx.SpendOnce(ctx, [32]byte{1}, now); return err },
		func() error {
			_, err := tx.PutNotice(ctx, store.Notice{ID: "g", Version: 1, App: "courrier", State: "delivered"})
			return err
		},
		func() error { _, err := tx.PutDocument(ctx, store.Document{Kind: "par", ID: "d"}); return err },
		func() error { _, err := tx.DropDocument(ctx, "par", "d"); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func listsOfGrants(ctx context.Context, tx *store.Tx) error {
	now := tx.Now()
	lists := []func() error{
		func() error { _, err := tx.GrantsOf(ctx, "A1", now); return err },
		func() error { _, err := tx.GrantsIn(ctx, parvis.SessionID{1}); return err },
		func() error { _, err := tx.DueNotices(ctx, now, 10); return err },
		func() error { _, err := tx.NoticesOf(ctx, "courrier", 10); return err },
		func() error { _, err := tx.DocumentsOf(ctx, "consent", "A1"); return err },
		func() error { _, err := tx.Documents(ctx, "key"); return err },
		func() error { _, _, err := tx.GrantBy(ctx, [32]byte{1}); return maybe(err) },
		func() error { _, err := tx.Grant(ctx, "g"); return maybe(err) },
		func() error { _, err := tx.DocumentBy(ctx, "par", [32]byte{1}); return maybe(err) },
	}
	for _, list := range lists {
		if err := list(); err != nil {
			return err
		}
	}
	return nil
}

// maybe takes that there is nothing for an answer.
func maybe(err error) error {
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		return nil
	}
	return err
}

// planOf gives how the engine would answer a query, a line a step.
func planOf(t *testing.T, db *sql.DB, query string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		row := make([]any, len(columns))
		var step string
		for i := range row {
			row[i] = new(any)
		}
		row[len(row)-1] = &step
		if err := rows.Scan(row...); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(step + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
