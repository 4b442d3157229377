package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parvis"
)

// installed makes an installation with two agents who have not arrived yet.
func installed(t *testing.T) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "parvis.yaml")
	runCommand(t, 0, "config", "init", file)
	people := filepath.Join(dir, "hr.csv")
	writeDraft(t, people, "matricule;nom;prenom;unite;debut contrat\nA1;Martin;Camille;ville/bains;2020-01-01\nA2;Petit;Lou;ville/bains;2020-01-01\n")
	runCommand(t, 0, "agent", "import", people, "-c", file)
	return file
}

func writeDraft(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func runCommand(t *testing.T, status int, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(args, &o, &e); got != status {
		t.Fatalf("parvis %s: status %d, not %d\n%s%s", strings.Join(args, " "), got, status, o.String(), e.String())
	}
	return o.String(), e.String()
}

// A draft that changes nothing may be published; one that leaves nobody a way
// may not, nor one that cannot be read.
func TestPolicyImpact(t *testing.T) {
	file := installed(t)
	draft := t.TempDir()
	if _, errs := runCommand(t, 1, "policy", "impact", draft, "-c", file); !strings.Contains(errs, "nothing to compare") {
		t.Errorf("an empty folder: %s", errs)
	}
	if _, errs := runCommand(t, 2, "policy", "impact", draft, "-c", file, "--at", "noon"); !strings.Contains(errs, "--at") {
		t.Errorf("a moment that is none: %s", errs)
	}

	same, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeDraft(t, filepath.Join(draft, "parvis.yaml"), string(same))
	out, _ := runCommand(t, 0, "policy", "impact", draft, "-c", file, "--at", "2026-11-24T10:00:00+01:00")
	if want := "2 agents at 2026-11-24 10:00: 0 gain, 0 lose something\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}

	writeDraft(t, filepath.Join(draft, "own.cedar"), `@id("own.shut") @reason("app_maintenance") forbid (principal, action, resource);`)
	out, _ = runCommand(t, 1, "policy", "impact", draft, "-c", file, "--json")
	var v impactView
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if v.Publishable || v.Agents != 2 || len(v.Stranded) != 2 || v.At.IsZero() {
		t.Errorf("everything is shut: %s", out)
	}

	writeDraft(t, filepath.Join(draft, "own.cedar"), "forbid (principal")
	if _, errs := runCommand(t, 1, "policy", "impact", draft, "-c", file); !strings.Contains(errs, "own.cedar:1") {
		t.Errorf("a draft that cannot be read: %s", errs)
	}
	writeDraft(t, filepath.Join(draft, "parvis.yaml"), "no_such_field: 1\n")
	if _, errs := runCommand(t, 1, "policy", "impact", draft, "-c", file); !strings.Contains(errs, "nothing was compared") {
		t.Errorf("a configuration with a fault: %s", errs)
	}
}

// What is printed names a few and counts all; whoever gains twice counts once.
func TestImpactInWords(t *testing.T) {
	var many []parvis.AgentNumber
	for i := range 25 {
		many = append(many, parvis.AgentNumber("A"+strconv.Itoa(i)))
	}
	from := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	v := impactView{
		At: from.AddDate(0, 0, -7), Agents: 30,
		Effects: []effectView{
			{App: "paie", Channel: parvis.Internal, Gain: []parvis.AgentNumber{"A1"}, Lose: []parvis.AgentNumber{"A2"}},
			{App: "paie", Channel: parvis.Mobile, Gain: []parvis.AgentNumber{"A3", "A1"}},
		},
		NotReady: []deadlineView{
			{Channel: parvis.Internal, From: from, Strength: parvis.AnySecond, Agents: many[:1]},
			{Channel: parvis.VPN, From: from, Strength: parvis.NoSMS, Agents: many[:2]},
			{Channel: parvis.Mobile, From: from, Strength: parvis.PhishingResistant, Agents: many},
		},
		Closed: []parvis.AppID{"finances"}, Stranded: many[:1],
	}
	var b bytes.Buffer
	if err := v.print(&b, time.UTC); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"paie         internal  1     1\n", "paie         mobile    2     0\n",
		"30 agents at 2026-11-24 00:00: 2 gain, 1 lose something\n",
		"not ready for 2026-12-01 00:00 on internal (a second proof): 1 agent: A0\n",
		"on vpn (a second proof other than a text message): 2 agents: A0 A1\n",
		"on mobile (a passkey): 25 agents: A0 ", "A19 and 5 more\n",
		"nobody would open finances any more, nor have a way into it\n",
		"no way into anything would be left for 1 agent: A0\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("nothing says %q in:\n%s", want, b.String())
		}
	}
}
