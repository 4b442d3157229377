package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

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
