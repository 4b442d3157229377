package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"parvis"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func BenchmarkOpen(b *testing.B) {
	o := store.Options{URL: "sqlite:" + b.TempDir() + "/parvis.db", Clock: new(storetest.Clock).Now, Heads: notary(b), HeadFile: headFile(b)}
	for b.Loop() {
		s, err := store.Open(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is one change with its event, signed and on disk.
func BenchmarkWrite(b *testing.B) {
	for _, hands := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d hands", hands), func(b *testing.B) {
			address := "sqlite:" + b.TempDir() + "/parvis.db"
			s, err := store.Open(context.Background(), store.Options{URL: address, Clock: new(storetest.Clock).Now})
			if err != nil {
				b.Fatal(err)
			}
			var n atomic.Int64
			b.SetParallelism(hands)
			run(b, by(b, address), thing)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Write(context.Background(), putThing(fmt.Sprint(n.Add(1)))); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s := storetest.Open(b, "sqlite:"+b.TempDir()+"/parvis.db", new(storetest.Clock))
	for range 100 {
		write(b, s, func(tx *store.Tx) error { tx.Record(parvis.Event{Kind: "k", Agent: "A"}); return nil })
	}
	b.Run("one row", func(b *testing.B) {
		for b.Loop() {
			if n, err := s.QueryInt(context.Background(), "SELECT seq FROM event WHERE seq = $1", 50); n != 50 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

// BenchmarkStanding reads what is known of one agent.
func BenchmarkStanding(b *testing.B) {
	s := storetest.Open(b, "sqlite:"+b.TempDir()+"/parvis.db", new(storetest.Clock))
	write(b, s, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "test.acted"})
		for i := range 100 {
			number := parvis.AgentNumber(fmt.Sprint("A", i))
			if err := tx.PutHeld(b.Context(), store.HeldRow{Held: parvis.Held{ID: string(number), Agent: number, Kind: parvis.TOTP}}); err != nil {
				return err
			}
		}
		return nil
	})
	for b.Loop() {
		if _, err := s.Standing(b.Context(), "A50"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrant is a code redeemed, and a token renewed, among as many grants
// as a city has and as it may have: 64 at once, a session to every four.
func BenchmarkGrant(b *testing.B) {
	for _, live := range []int{0, 1_000_000} {
		address := "sqlite:" + b.TempDir() + "/parvis.db"
		s := storetest.Open(b, address, new(storetest.Clock))
		ctx, expires := context.Background(), new(storetest.Clock).Now().Add(10*time.Hour)
		db := by(b, address)
		run(b, db, fmt.Sprintf(`WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT %d)
			INSERT INTO session SELECT randomblob(16), 'A' || value, 'internal', '', '', '', '[]', 1, 1, 1, %d, 0, '' FROM n`,
			max(live/4, 1000), expires.UnixMicro()),
			fmt.Sprintf(`INSERT INTO app_grant SELECT hex(randomblob(16)), 1, 'oidc', 'courrier', s.agent, s.id, 'internal', 's', randomblob(32),
				randomblob(400), FALSE, TRUE, 1, %d + s.rowid * 1000000, 0, '' FROM session s, (VALUES (1), (2), (3), (4)) LIMIT %d`, expires.UnixMicro(), live),
			"INSERT INTO grant_finder SELECT finder, id, expires FROM app_grant ORDER BY finder")
		var sessions []parvis.SessionID
		if err := rowsOf(ctx, db, "SELECT id FROM session LIMIT 1000", func(id []byte) { sessions = append(sessions, parvis.SessionID(id)) }); err != nil {
			b.Fatal(err)
		}
		var n atomic.Int64
		put := func(g store.Grant) error {
			return s.Write(ctx, func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "grant.began", Agent: g.Agent, App: g.App, Detail: map[string]string{"grant": g.ID}})
				ok, err := tx.PutGrant(ctx, g)
				if err == nil && !ok {
					err = fmt.Errorf("%s is not written", g.ID)
				}
				return err
			})
		}
		b.Run(fmt.Sprintf("use of %d", live), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.AppUse(ctx, time.UnixMicro(1), expires.Add(-time.Hour)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("among %d", live), func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				g := store.Grant{Protocol: parvis.OIDC, App: "courrier", Channel: parvis.Internal, SID: "s", Body: make([]byte, 400), Tells: true, Expires: expires}
				for pb.Next() {
					i := n.Add(1)
					g.ID, g.Version, g.Session = fmt.Sprintf("%08d", i)+rand.Text(), 0, sessions[i%1000]
					g.Agent = parvis.AgentNumber(fmt.Sprint("A", i%1000))
					for range 2 { // begun, then renewed once
						_, _ = rand.Read(g.Finder[:])
						if err := put(g); err != nil {
							b.Error(err)
						}
						g.Version++
					}
				}
			})
		})
	}
}

func rowsOf(ctx context.Context, db *sql.DB, query string, f func([]byte)) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return err
		}
		f(b)
	}
	return rows.Err()
}
