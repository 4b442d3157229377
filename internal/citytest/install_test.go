package citytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestFirstRun goes from an empty folder to an installation that serves.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "parvis.yaml")
	out, errs, status := Run(t, "serve", "-c", name)
	if status != 1 || out != "" {
		t.Errorf("serve on nothing: status %d, answer %q", status, out)
	}
	for _, next := range []string{"config init", "config check", "agent import", "admin grant", "parvis demo"} {
		if !strings.Contains(errs, next) {
			t.Errorf("serve on nothing does not speak of %q:\n%s", next, errs)
		}
	}
	if _, errs, status = Run(t, "config", "check", "-c", name); status != 1 || !strings.Contains(errs, "config init") {
		t.Errorf("config check on nothing: status %d\n%s", status, errs)
	}
	if _, errs, status = Run(t, "config", "init", name); status != 0 {
		t.Fatalf("config init: status %d\n%s", status, errs)
	}
	if _, errs, status = Run(t, "config", "init", name); status != 1 || !strings.Contains(errs, name) {
		t.Errorf("config init over a file: status %d\n%s", status, errs)
	}
	if out, errs, status = Run(t, "config", "check", "-c", name); status != 0 {
		t.Errorf("what config init writes does not hold: status %d\n%s%s", status, out, errs)
	}
	if out, _, status = Run(t, "config", "describe"); status != 0 || !strings.Contains(out, "operations") || !strings.Contains(out, "entrances") {
		t.Errorf("config describe: status %d\n%s", status, out)
	}

	// Every fault at once, each with its line.
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("organisation:\n  name: Test\nno_such_key: 1\noffice_hours:\n  zone: Mars/Olympus\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var faults []struct {
		Line int
		Text string
	}
	out, errs, status = Run(t, "config", "check", "-c", bad, "--json")
	if err := json.Unmarshal([]byte(out), &faults); err != nil || status != 1 {
		t.Errorf("config check --json on faults: status %d, %v\n%s%s", status, err, out, errs)
	}
	out, _, _ = Run(t, "config", "check", "-c", bad)
	for _, fault := range []string{"no_such_key", "Mars/Olympus", "line 3", "line 5"} {
		if !strings.Contains(out, fault) {
			t.Errorf("config check does not name %s:\n%s", fault, out)
		}
	}
}

// TestServe runs a small installation from a file, asks how it is, and ends it.
func TestServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := freePorts(t, 3)
	name := filepath.Join(dir, "parvis.yaml")
	config := fmt.Sprintf(`
organisation:
  name: Ville d'Essai
data: data
portals:
  internal: http://agents.localhost:%[1]d
  mobile: http://nomade.localhost:%[2]d
entrances:
  - channel: internal
    listen: 127.0.0.1:%[1]d
  - channel: mobile
    listen: 127.0.0.1:%[2]d
operations: 127.0.0.1:%[3]d
`, base, base+1, base+2)
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, status := Run(t, "config", "check", "-c", name); status != 0 {
		t.Fatalf("config check: status %d\n%s%s", status, out, errs)
	}
	cmd := exec.Command(Binary(t), "serve", "-c", name)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	answer := bufio.NewReader(out)
	if line, err := answer.ReadString('\n'); err != nil || !regexp.MustCompile(`^ready in \d+ ms\n$`).MatchString(line) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("serve says %q, %v\n%s", line, err, errs.String())
	}
	get := func(address string) (int, string) {
		t.Helper()
		res, err := Client().Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	operations := fmt.Sprintf("http://127.0.0.1:%d", base+2)
	for path, part := range map[string]string{"/healthz": "alive", "/readyz": "ready", "/metrics": "go_goroutines"} {
		if status, body := get(operations + path); status != http.StatusOK || !strings.Contains(body, part) {
			t.Errorf("%s: %d\n%.300s", path, status, body)
		}
	}
	if status, body := get(operations + "/demo/agents"); status != http.StatusNotFound {
		t.Errorf("what belongs to the demonstration answers here: %d\n%s", status, body)
	}
	if status, body := get(fmt.Sprintf("http://nomade.localhost:%d/", base+1)); status != http.StatusOK || !strings.Contains(body, "Essai") {
		t.Errorf("the portal: %d\n%.300s", status, body)
	}

	// The operator's commands work beside it.
	if out, errs, status := Run(t, "audit", "verify", "-c", name); status != 0 {
		t.Errorf("audit verify: status %d\n%s%s", status, out, errs)
	}
	if out, errs, status := Run(t, "agent", "list", "--json", "-c", name); status != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("agent list: status %d\n%s%s", status, out, errs)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, errs.String())
	}
	if strings.Contains(errs.String(), "DATA RACE") {
		t.Error(errs.String())
	}
}
