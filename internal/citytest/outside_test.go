package citytest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// outside is a program that nobody here wrote, run for a test: the scripts of
// testdata/outside. It ends with the test, because its input does.
type outside struct {
	first string // the first line it printed: where it is
	lines chan string
}

// startOutside starts one. scripts/test installs what they need and says where
// in PARVIS_OUTSIDE; without that the test fails, and says so.
func startOutside(t *testing.T, script string, args ...string) *outside {
	t.Helper()
	dir := os.Getenv("PARVIS_OUTSIDE")
	if dir == "" {
		t.Fatal("PARVIS_OUTSIDE is not set: run scripts/test, which installs the outside programs")
	}
	source, err := os.ReadFile(filepath.Join("testdata", "outside", script))
	if err != nil {
		t.Fatal(err)
	}
	// Beside the modules it imports, wherever those are.
	name := filepath.Join(dir, script)
	if err := os.WriteFile(name, source, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", append([]string{name}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &outside{lines: make(chan string, 100)}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	go func() {
		defer close(o.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			o.lines <- scan.Text()
		}
	}()
	o.first = o.line(t)
	return o
}

// line waits for the next line.
func (o *outside) line(t *testing.T) string {
	t.Helper()
	select {
	case l, ok := <-o.lines:
		if !ok {
			t.Fatal("the outside program ended")
		}
		return l
	case <-time.After(ready):
		t.Fatal("the outside program says nothing")
	}
	return ""
}
