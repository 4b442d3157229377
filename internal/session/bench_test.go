package session

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store/storetest"
)

// BenchmarkAt looks visits up among few and among many sessions, with garbage
// being made and collected meanwhile: a table the collector had to walk would
// show in the second figure.
func BenchmarkAt(b *testing.B) {
	for _, n := range []int{1_000, 55_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			now := time.Now()
			own := storetest.Open(b, "sqlite:"+filepath.Join(b.TempDir(), "parvis.db"), new(storetest.Clock))
			k := &Keeper{Store: own, Addresses: addresses(b), Clock: func() time.Time { return now }}
			k.once.Do(k.table.open)
			var requests []*http.Request
			for i := range n {
				secret, hash := seal.Token()
				var id parvis.SessionID
				binary.BigEndian.PutUint64(id[8:], uint64(i))
				copy(id[:8], hash[16:24])
				f, _ := factsOf(&parvis.Session{
					Agent: parvis.AgentNumber(fmt.Sprint("A", i)), Channel: parvis.Internal, Began: now, Ends: now.Add(time.Hour),
					Proofs: []parvis.Proof{{Kind: parvis.Password, At: now}},
				})
				k.table.put(id, f, now.UnixMicro(), now.UnixMicro())
				v := visit{session: id, appLen: 4, channel: 1}
				copy(v.app[:], "paie")
				k.table.putVisit(parvis.SessionID(hash[:16]), v)
				if i%(n/1000) == 0 {
					r, _ := http.NewRequest(http.MethodGet, "http://paie."+plainPortal+"/", nil)
					r.AddCookie(&http.Cookie{Name: visitCookie, Value: secret})
					requests = append(requests, r)
				}
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.ReportAllocs()
			i := 0
			var sink []byte
			for b.Loop() {
				if _, err := k.At(requests[i%len(requests)], "paie"); err != nil {
					b.Fatal("not found")
				}
				i++
				sink = make([]byte, 4096) // what serving a request would leave behind
			}
			_ = sink
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(before.HeapAlloc)/float64(n), "B/session")
			began := time.Now()
			runtime.GC()
			b.ReportMetric(float64(time.Since(began).Microseconds()), "µs/GC")
		})
	}
}
