package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis"
	"parvis/internal/audit"
	"parvis/internal/seal"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

// When it is set, the test binary is the process to be killed.
const victimEnv = "PARVIS_TEST_VICTIM"

func TestMain(m *testing.M) {
	if address := os.Getenv(victimEnv); address != "" {
		victim(address, os.Args[len(os.Args)-1])
		return
	}
	os.Exit(m.Run())
}

// victim writes with eight hands and says what was acknowledged, until it is
// killed.
func victim(address, keys string) {
	heads, err := signer(keys)
	if err != nil {
		fmt.Println("!", err)
		return
	}
	s, err := store.Open(context.Background(), store.Options{URL: address, Clock: time.Now, Heads: heads})
	if err != nil {
		fmt.Println("!", err)
		return
	}
	var out sync.Mutex
	for hand := range 8 {
		go func() {
			for i := 0; ; i++ {
				k := fmt.Sprintf("%d/%d/%d", os.Getpid(), hand, i)
				err := s.Write(context.Background(), putThing(k))
				out.Lock()
				if err != nil {
					fmt.Println("!", err)
				} else {
					fmt.Println(k)
				}
				out.Unlock()
			}
		}()
	}
	select {}
}

func signer(keys string) (audit.Notary, error) {
	k, err := seal.OpenKeys(keys)
	if err != nil {
		return audit.Notary{}, err
	}
	s, v := k.Note()
	return audit.Notary{Signer: s, Verifier: v}, nil
}

// a process is killed while it writes, at a moment nobody chose.
//
//  1. Eight hands change something, each change with its event.
//  2. The process is killed without warning.
//  3. Every acknowledged change is there; every other one is wholly there, or
//     wholly absent; the database is sound and the audit trail whole.
func TestKilledWhileWriting(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, address string) {
		keys := t.TempDir() + "/keys"
		heads, err := signer(keys)
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, address, heads, "")
		run(t, by(t, address), thing)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for round := range 6 {
			acked := killOne(t, address, keys, 20+rand.IntN(300))
			s := open(t, address, heads, "")
			if strings.HasPrefix(address, "sqlite") {
				if n := count(t, s, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"); n != 1 {
					t.Errorf("round %d: the database is not sound", round)
				}
			}
			for _, k := range acked {
				if n := count(t, s, "SELECT count(*) FROM thing WHERE k = $1", k); n != 1 {
					t.Errorf("round %d: %s was acknowledged and is lost", round, k)
				}
			}
			things := count(t, s, "SELECT count(*) FROM thing")
			if things < int64(len(acked)) {
				t.Errorf("round %d: %d changes, %d acknowledged", round, things, len(acked))
			}
			whole(t, s, things) // as many events as changes
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// killOne runs a victim until it has acknowledged n writes, and gives them all.
func killOne(t *testing.T, address, keys string, n int) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, keys)
	cmd.Env = append(os.Environ(), victimEnv+"="+address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked []string
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // what is cut short was not acknowledged
		}
		if strings.HasPrefix(line, "!") {
			t.Error(line)
			n = 0
		} else {
			acked = append(acked, strings.TrimSpace(line))
		}
		if len(acked) >= n && cmd.ProcessState == nil && n >= 0 {
			n = -1
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	var killed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &killed) {
		t.Errorf("the victim ended by itself: %v", err)
	}
	return acked
}

// postgres gives a PostgreSQL address; tests that need that engine alone.
func postgres(t *testing.T, f func(t *testing.T, address string)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, address string) {
		if strings.HasPrefix(address, "postgres") {
			f(t, address)
		}
	})
}

// The server ends the writer's connection: between writes, and in the middle
// of one. Nobody notices.
func TestALostConnectionIsMadeAgain(t *testing.T) {
	postgres(t, func(t *testing.T, address string) {
		ctx := context.Background()
		s := storetest.Open(t, address, new(storetest.Clock))
		db := by(t, address)
		run(t, db, thing)
		write(t, s, putThing("a"))
		var pid int64
		runs := 0
		err := s.Write(ctx, func(tx *store.Tx) error {
			runs++
			n, err := tx.QueryInt(ctx, "SELECT pg_backend_pid()")
			if err != nil {
				return err
			}
			if pid == 0 {
				pid = n
				run(t, db, fmt.Sprintf("SELECT pg_terminate_backend(%d, 5000)", pid))
			}
			return putThing("b")(tx)
		})
		if err != nil || runs != 2 {
			t.Errorf("in the middle: %v after %d runs, want 2", err, runs)
		}
		write(t, s, func(tx *store.Tx) error {
			var err error
			pid, err = tx.QueryInt(ctx, "SELECT pg_backend_pid()")
			return err
		})
		run(t, db, fmt.Sprintf("SELECT pg_terminate_backend(%d, 5000)", pid))
		write(t, s, putThing("c"))
		if n := count(t, s, "SELECT count(*) FROM thing"); n != 3 {
			t.Errorf("%d rows, want 3", n)
		}
		whole(t, s, 3)
	})
}

// security.md 2.1: the connection breaks while the commit is under way. It is
// not known whether it was made, and the caller is told just that.
func TestABrokenCommitIsUnknown(t *testing.T) {
	postgres(t, func(t *testing.T, address string) {
		ctx := context.Background()
		p := newProxy(t, address)
		s, err := store.Open(ctx, store.Options{URL: p.address, Clock: new(storetest.Clock).Now}) // errors are meant: no log
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		run(t, by(t, address), thing)
		write(t, s, putThing("before"))
		rows := int64(1)
		for name, passes := range map[string]bool{"answer lost": true, "request lost": false} {
			p.passes.Store(passes)
			p.armed.Store(true)
			err := s.Write(ctx, putThing(name))
			if !errors.Is(err, store.ErrUnknown) || parvis.CodeOf(err) != parvis.CodeUnavailable {
				t.Errorf("%s: got %v, want unknown", name, err)
			}
			if p.armed.Load() {
				t.Errorf("%s: the commit never came by", name)
			}
			write(t, s, putThing("after "+name))
			rows++
			if passes {
				rows++
			}
			if n := count(t, s, "SELECT count(*) FROM thing"); n != rows {
				t.Errorf("%s: %d rows, want %d", name, n, rows)
			}
			whole(t, s, rows)
		}
	})
}

// proxy stands between a store and its server, and cuts the line at a COMMIT.
type proxy struct {
	address string
	server  string
	armed   atomic.Bool
	passes  atomic.Bool // the COMMIT still reaches the server
}

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &proxy{server: u.Host}
	u.Host = listener.Addr().String()
	p.address = u.String()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	defer func() { _ = server.Close() }()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if strings.Contains(string(b[:n]), "COMMIT") && p.armed.CompareAndSwap(true, false) {
			_ = client.Close()
			if p.passes.Load() {
				_, _ = server.Write(b[:n])
				_, _ = io.ReadAtLeast(server, make([]byte, 1), 1) // it has answered, to nobody
			}
			return
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
	}
}
