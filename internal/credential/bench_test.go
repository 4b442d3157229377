package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func benchVault(b testing.TB, agents int) *Vault {
	keys, err := seal.OpenKeys(filepath.Join(b.TempDir(), "keys"))
	if err != nil {
		b.Fatal(err)
	}
	clock := new(storetest.Clock)
	v := &Vault{Store: storetest.Open(b, "sqlite:"+filepath.Join(b.TempDir(), "parvis.db"), clock), Keys: keys, Clock: clock.Now}
	h, err := v.Hash(context.Background(), right)
	if err != nil {
		b.Fatal(err)
	}
	err = v.Store.Write(context.Background(), func(tx *store.Tx) error {
		for n := range agents {
			if err := v.SetPassword(context.Background(), tx, parvis.AgentNumber(fmt.Sprint("A", n)), h, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// enter signs one agent in.
func enter(v *Vault, n int) error {
	ctx := context.Background()
	try := Try{Agent: &parvis.Agent{Number: parvis.AgentNumber(fmt.Sprint("A", n))}, Password: right, Origin: inside}
	verdict, err := v.Check(ctx, try)
	if err != nil {
		return err
	}
	if !verdict.OK {
		return errors.New("refused")
	}
	return v.Store.Write(ctx, func(tx *store.Tx) error { return v.Succeed(ctx, tx, try, verdict) })
}

// BenchmarkBareArgon2id is the limit of the machine: as many hashes at once as
// processors, nothing else.
func BenchmarkBareArgon2id(b *testing.B) {
	salt := []byte(rand.Text()[:16])
	work := make(chan int)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for range work {
				argon2.IDKey([]byte("x"), salt, 1, memoryKiB, 1, 32)
			}
		})
	}
	b.ResetTimer()
	spent := processor(b)
	for n := range b.N {
		work <- n
	}
	close(work)
	all.Wait()
	b.ReportMetric((processor(b)-spent).Seconds()*1e3/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hashes/s")
}

// BenchmarkSignIns has 200 agents at the door all the time.
func BenchmarkSignIns(b *testing.B) {
	v := benchVault(b, 200)
	agents := make(chan int, 200)
	for n := range 200 {
		agents <- n
	}
	var all sync.WaitGroup
	tries := make(chan int)
	b.ResetTimer()
	spent := processor(b)
	for range 200 {
		all.Go(func() {
			for range tries {
				n := <-agents
				if err := enter(v, n); err != nil {
					b.Error(err)
				}
				agents <- n
			}
		})
	}
	for n := range b.N {
		tries <- n
	}
	close(tries)
	all.Wait()
	b.ReportMetric((processor(b)-spent).Seconds()*1e3/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sign-ins/s")
	b.ReportMetric(float64(peakRSS(b))/1e6, "peakMB")
}

// processor is the processor time of this process so far: on a machine that
// others use too it says more than the clock.
func processor(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS reads the most memory this process ever had.
func peakRSS(t testing.TB) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	var kib int64
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib << 10
}
