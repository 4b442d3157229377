package citytest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parvis"
)

// ready bounds how long a city may take to open on a busy machine.
const ready = 2 * time.Minute

// Town is a running demonstration city.
type Town struct {
	Base int
	Data string // its folder, when it has one

	Program string // the program to run; that of [Binary] when empty

	tb   testing.TB
	cmd  *exec.Cmd
	gone chan struct{}

	mu  sync.Mutex
	out strings.Builder
}

// binary is built once for all the tests of a process.
type binary struct {
	once sync.Once
	path string
	err  error
}

var built binary

// given are the ports that tests of this process were given: two cities that
// open at once must not both find the same one free.
var given = struct {
	mu    sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// Binary builds the program, with the race detector, and gives its path.
// PARVIS_BIN names one that is built already.
func Binary(tb testing.TB) string {
	tb.Helper()
	built.once.Do(func() {
		if built.path = os.Getenv("PARVIS_BIN"); built.path != "" {
			return
		}
		dir, err := os.MkdirTemp("", "parvis-bin-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "parvis")
		out, err := exec.Command("go", "build", "-race", "-o", built.path, "parvis/cmd/parvis").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return built.path
}

// Open starts a city on free ports and waits until it is ready. It ends with
// the test.
func Open(tb testing.TB, args ...string) *Town {
	tb.Helper()
	t := &Town{Base: freePorts(tb, 5), tb: tb}
	for i, a := range args {
		if a == "--data" && i+1 < len(args) {
			t.Data = args[i+1]
		}
	}
	t.start(append([]string{"demo", "--base-port", strconv.Itoa(t.Base)}, args...))
	tb.Cleanup(func() { t.Close() })
	return t
}

func (t *Town) start(args []string) {
	t.tb.Helper()
	if t.Program == "" {
		t.Program = Binary(t.tb)
	}
	t.cmd = exec.Command(t.Program, args...)
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		t.tb.Fatal(err)
	}
	t.cmd.Stderr = &lines{town: t}
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that dies leaves no city behind
	if err := t.cmd.Start(); err != nil {
		t.tb.Fatal(err)
	}
	opened := make(chan struct{})
	t.gone = make(chan struct{})
	go func() {
		defer close(t.gone)
		seen := false
		for s := bufio.NewScanner(out); s.Scan(); {
			_, _ = (&lines{town: t}).Write([]byte(s.Text() + "\n"))
			if !seen && strings.HasPrefix(s.Text(), "ready in ") {
				seen = true
				close(opened)
			}
		}
		_ = t.cmd.Wait() // how it ended is asked of ProcessState
	}()
	select {
	case <-opened:
	case <-t.gone:
		t.tb.Fatalf("the city did not open:\n%s", t.Output())
	case <-time.After(ready):
		_ = t.cmd.Process.Kill()
		t.tb.Fatalf("the city is not ready after %v:\n%s", ready, t.Output())
	}
}

// Again starts the same city once more, on the same ports and folder.
func (t *Town) Again() {
	t.tb.Helper()
	t.start(t.cmd.Args[1:])
}

// Kill ends the program as a power cut would (SIGKILL).
func (t *Town) Kill() {
	_ = t.cmd.Process.Kill() // it may have ended by itself
	<-t.gone
}

// Close asks the program to end (SIGTERM) and fails the test when it does not
// end well.
func (t *Town) Close() {
	select {
	case <-t.gone:
		return
	default:
	}
	_ = t.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-t.gone:
	case <-time.After(30 * time.Second):
		_ = t.cmd.Process.Kill()
		t.tb.Errorf("the city did not end when asked:\n%s", t.Output())
		return
	}
	if code := t.cmd.ProcessState.ExitCode(); code != 0 {
		t.tb.Errorf("the city ended with status %d:\n%s", code, t.Output())
	}
	if strings.Contains(t.Output(), "DATA RACE") {
		t.tb.Errorf("a data race:\n%s", t.Output())
	}
}

// PID is the process identifier of the running program.
func (t *Town) PID() int { return t.cmd.Process.Pid }

// Output is everything the program wrote so far.
func (t *Town) Output() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.String()
}

type lines struct{ town *Town }

func (l *lines) Write(b []byte) (int, error) {
	l.town.mu.Lock()
	defer l.town.mu.Unlock()
	return l.town.out.Write(b)
}

// Portal is the address of a portal.
func (t *Town) Portal(ch parvis.Channel) string {
	if ch == parvis.Internal {
		return fmt.Sprintf("http://agents.localhost:%d", t.Base)
	}
	return fmt.Sprintf("http://nomade.localhost:%d", t.Base+1)
}

// App is the address of an application at an entrance.
func (t *Town) App(ch parvis.Channel, id string) string {
	return strings.Replace(t.Portal(ch), "://", "://"+id+".", 1)
}

// Operations is the address of the operations listener.
func (t *Town) Operations() string { return fmt.Sprintf("http://127.0.0.1:%d", t.Base+4) }

// Person is what the demonstration says of an agent.
type Person struct {
	Number         string `json:"agent_number"`
	Name           string `json:"name"`
	Email          string `json:"email"`
	Profile        string `json:"profile"`
	Unit           string `json:"unit"`
	Password       string `json:"password"`
	ActivationCode string `json:"activation_code"`
	TOTPSecret     string `json:"totp_secret"`

	Verifier struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	} `json:"verifier"`
}

// Person finds an agent of the city.
func (t *Town) Person(number string) Person {
	t.tb.Helper()
	var all []Person
	t.json(t.Operations()+"/demo/agents", &all)
	for _, p := range all {
		if p.Number == number {
			return p
		}
	}
	t.tb.Fatalf("there is no agent %s", number)
	return Person{}
}

// Letter is a message received.
type Letter struct {
	Kind, To, Subject, Text, HTML string
	Links, Codes                  []string
}

// Letters lists the messages to an address, newest first.
func (t *Town) Letters(to string) []Letter {
	t.tb.Helper()
	var all []Letter
	t.json(fmt.Sprintf("http://messages.localhost:%d/api/messages?to=%s", t.Base+3, to), &all)
	return all
}

// Letter waits for a message that keep accepts.
func (t *Town) Letter(to string, keep func(Letter) bool) Letter {
	t.tb.Helper()
	for range 200 {
		for _, l := range t.Letters(to) {
			if keep(l) {
				return l
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.tb.Fatalf("no such message to %s; it has %+v", to, t.Letters(to))
	return Letter{}
}

// SetClock moves the city's clock.
func (t *Town) SetClock(at time.Time) {
	t.tb.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"now":%q}`, at.Format(time.RFC3339)))
	res, err := Client().Post(t.Operations()+"/demo/clock", "application/json", body)
	if err != nil {
		t.tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		t.tb.Fatalf("the clock did not move: %s", res.Status)
	}
}

func (t *Town) json(address string, v any) {
	t.tb.Helper()
	res, err := Client().Get(address)
	if err != nil {
		t.tb.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.tb.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.tb.Fatalf("%s: %v\n%s", address, err, b)
	}
}

// Run runs an operator's command to its end and gives what it printed and its
// status.
func Run(tb testing.TB, args ...string) (stdout, stderr string, status int) {
	tb.Helper()
	cmd := exec.Command(Binary(tb), args...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// Client is a plain client that finds every *.localhost on the loopback
// (RFC 6761 §6.3), follows no redirect and keeps no cookie.
func Client() *http.Client {
	return &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: dialLoopback, MaxIdleConnsPerHost: 64},
	}
}

func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// freePorts finds n free ports in a row.
func freePorts(tb testing.TB, n int) int {
	tb.Helper()
	given.mu.Lock()
	defer given.mu.Unlock()
search:
	for range 200 {
		base := 20000 + rand.IntN(12000) // below the range the kernel takes from
		for i := range n {
			if given.ports[base+i] {
				continue search
			}
		}
		for i := range n {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(base+i))
			if err != nil {
				continue search
			}
			_ = l.Close()
		}
		for i := range n {
			given.ports[base+i] = true
		}
		return base
	}
	tb.Fatal("no free ports")
	return 0
}
