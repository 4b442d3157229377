package citytest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis"
)

// TestOperator runs every command of the operator beside a running city.
func TestOperator(t *testing.T) {
	t.Parallel()
	town := Open(t, "--data", t.TempDir())
	town.SetClock(officeDay(t, 10, 0))
	o := operator{t, town}
	t.Run("agent", o.agents)
	t.Run("agent import", o.imports)
	t.Run("activation code", o.activationCode)
	t.Run("why and map", o.whyAndMap)
	t.Run("policy", o.policy)
	t.Run("admin", o.admin)
	t.Run("audit", o.audit)
	t.Run("config check", func(t *testing.T) {
		if out, errs, status := Run(t, "config", "check", "--data", town.Data); status != 0 || !strings.Contains(out, "10 applications") {
			t.Errorf("status %d: %s%s", status, out, errs)
		}
	})
}

type operator struct {
	t    *testing.T
	town *Town
}

// ask runs a command about the city, that must end with a status, and reads
// the JSON that it prints.
func (o operator) ask(t *testing.T, status int, v any, args ...string) {
	t.Helper()
	out, errs, got := Run(t, append(args, "--json", "--data", o.town.Data)...)
	if got != status {
		t.Fatalf("parvis %v: status %d, not %d\n%s%s", args, got, status, out, errs)
	}
	d := json.NewDecoder(strings.NewReader(out))
	if err := d.Decode(v); err != nil {
		t.Fatalf("parvis %v: %v\n%s", args, err, out)
	}
}

type agentView struct {
	Number      string    `json:"agent_number"`
	Name        string    `json:"name"`
	Unit        string    `json:"unit"`
	Email       string    `json:"email"`
	State       string    `json:"state"`
	Profiles    []string  `json:"profiles"`
	Roles       *[]string `json:"roles"`
	Entitled    *[]string `json:"entitlements"`
	Conditions  *[]string `json:"conditions"`
	Activated   bool      `json:"activated"`
	Missing     bool      `json:"missing_from_hr_file"`
	Code        string    `json:"activation_code"`
	CodeUntil   time.Time `json:"activation_code_until"`
	ContractEnd string    `json:"contract_end"`
}

func (o operator) agents(t *testing.T) {
	var all []agentView
	o.ask(t, 0, &all, "agent", "list")
	if len(all) != 13 || all[0].Number != "A100001" || all[12].Number != "A100050" {
		t.Errorf("%d agents, from %s", len(all), all[0].Number)
	}
	o.ask(t, 0, &all, "agent", "list", "nguyen")
	if len(all) != 1 || all[0].Number != "A100005" || !slices.Equal(all[0].Profiles, []string{"extended_rights"}) {
		t.Errorf("looking for a name finds %+v", all)
	}
	o.ask(t, 0, &all, "agent", "list", "--unit", "Ville d'Exemple/Direction informatique")
	if len(all) != 3 {
		t.Errorf("%d agents in the IT department, not 3", len(all))
	}
	o.ask(t, 0, &all, "agent", "list", "nobody of that name")
	if all == nil || len(all) != 0 {
		t.Errorf("nobody is %v", all)
	}
	var one agentView
	o.ask(t, 0, &one, "agent", "show", "A100007")
	if one.Name != "Julien Petit" || one.Conditions == nil || !slices.Contains(*one.Conditions, "account_off_assignment") {
		t.Errorf("A100007: %+v", one)
	}
	// A list that is empty is a list.
	if one.Roles == nil || one.Entitled == nil {
		t.Error("agent show --json prints null for a list of nothing")
	}
	if out, _, status := Run(t, "agent", "show", "A100001", "--data", o.town.Data); status != 0 || !strings.Contains(out, "Camille Morel") {
		t.Errorf("as a table: status %d\n%s", status, out)
	}
	for _, wrong := range []struct {
		status int
		args   []string
	}{
		{1, []string{"agent", "show", "A199999"}},
		{2, []string{"agent", "show", "A_100001"}},
		{2, []string{"agent", "show"}},
		{2, []string{"agent", "list", "--no-such-switch"}},
		{2, []string{"agent", "list", "-c", "parvis.yaml"}},
	} {
		out, errs, status := Run(t, append(wrong.args, "--data", o.town.Data)...)
		if status != wrong.status || errs == "" || out != "" {
			t.Errorf("parvis %v: status %d, not %d; answer %q, diagnostics %q", wrong.args, status, wrong.status, out, errs)
		}
	}
}

// hrFile writes an HR file of some lines after a heading.
func hrFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hr.csv")
	heading := "agent_number;civil_family_name;given_names;org_unit_path;siret;staff_category;statutory_position;contract_start;contract_end;professional_email"
	if err := os.WriteFile(name, []byte(heading+"\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

type importView struct {
	Encoding                                    string
	Separator                                   string
	DryRun                                      bool `json:"dry_run"`
	Applied                                     bool
	Lines, Created, Changed, Unchanged, Missing int
	Closing, Rejected                           int
	Faults                                      []struct {
		Line          int
		Field, Reason string
	}
	Stops []struct{ Reason string }
}

func (o operator) imports(t *testing.T) {
	const unit = "Ville d'Exemple/Direction de la culture"
	name := hrFile(t,
		"A100060;Brun;Élodie;"+unit+";21750001600019;titulaire;activité;2024-01-08;;elodie.brun@example.org",
		"A100061;Faure;Marius;"+unit+";21750001600019;titulaire;activité;2024-02-31;;marius.faure@example.org",
		"A100060;Brun;Élodie;"+unit+";21750001600019;titulaire;activité;2024-01-08;;elodie.brun@example.org",
		";Leroy;Anna;"+unit+";21750001600019;titulaire;activité;2024-01-08;;anna.leroy@example.org",
	)
	var dry importView
	o.ask(t, 0, &dry, "agent", "import", name, "--dry-run")
	if !dry.DryRun || dry.Applied || dry.Lines != 4 || len(dry.Faults) == 0 {
		t.Errorf("dry run: %+v", dry)
	}
	for _, f := range dry.Faults {
		if f.Line == 0 || f.Field == "" || f.Reason == "" {
			t.Errorf("a rejected line without its number, field or reason: %+v", f)
		}
	}
	if _, _, status := Run(t, "agent", "show", "A100060", "--data", o.town.Data); status != 1 {
		t.Errorf("a dry run made an agent (status %d)", status)
	}
	good := hrFile(t, "A100060;Brun;Élodie;"+unit+";21750001600019;titulaire;activité;2024-01-08;;elodie.brun@example.org")
	var done importView
	o.ask(t, 0, &done, "agent", "import", good)
	if !done.Applied || done.Created != 1 || done.Missing != 13 || done.Closing != 0 {
		t.Errorf("import: %+v", done)
	}
	var one agentView
	o.ask(t, 0, &one, "agent", "show", "A100060")
	if one.Name != "Élodie Brun" || one.Unit != unit || one.State != "active" || one.Activated {
		t.Errorf("the new agent: %+v", one)
	}
	o.ask(t, 0, &one, "agent", "show", "A100001")
	if !one.Missing || one.State != "active" {
		t.Errorf("an absent agent is flagged and never closed: %+v", one)
	}
	o.ask(t, 0, &done, "agent", "import", good)
	if done.Created != 0 || done.Changed != 0 || done.Unchanged != 1 {
		t.Errorf("the same file again: %+v", done)
	}
	// A file that would close everybody it names, far more than two in a hundred.
	arrive, depart := []string{}, []string{}
	for i := range 30 {
		line := fmt.Sprintf("A1002%02d;Test;Agent;"+unit+";21750001600019;titulaire;activité;2020-01-06;%%s;agent%d@example.org", i, i)
		arrive, depart = append(arrive, fmt.Sprintf(line, "")), append(depart, fmt.Sprintf(line, "2023-01-31"))
	}
	o.ask(t, 0, &done, "agent", "import", hrFile(t, arrive...))
	closing := hrFile(t, depart...)
	o.ask(t, 1, &done, "agent", "import", closing)
	if done.Applied || done.Closing != 30 || len(done.Stops) == 0 || done.Stops[0].Reason == "" {
		t.Errorf("a file that closes too many: %+v", done)
	}
	o.ask(t, 0, &done, "agent", "import", closing, "--override", "The test")
	o.ask(t, 0, &one, "agent", "show", "A100200")
	if !done.Applied || one.State != "closed" {
		t.Errorf("the same under a name: %+v, %+v", done, one)
	}
	if _, errs, status := Run(t, "agent", "import", filepath.Join(t.TempDir(), "none.csv"), "--data", o.town.Data); status != 1 || errs == "" {
		t.Errorf("a file that is not there: status %d, %q", status, errs)
	}
}

// activationCode hands over a code that opens the running portal.
func (o operator) activationCode(t *testing.T) {
	var one agentView
	o.ask(t, 0, &one, "agent", "show", "A100008", "--activation-code")
	if one.Code == "" || one.CodeUntil.IsZero() {
		t.Fatalf("no code: %+v", one)
	}
	v := o.town.Visitor(t)
	p := v.Get(o.town.Portal(parvis.Mobile) + "/activate")
	if p = v.Submit(p, map[string]string{"code": one.Code}); p.Screen != "activation_overview" {
		t.Errorf("the code opens %s (%d):\n%s", p.Screen, p.Status, p.Text())
	}
	if out, errs, status := Run(t, "agent", "show", "A100001", "--activation-code", "--data", o.town.Data); status != 1 || errs == "" {
		t.Errorf("a code for somebody who is activated: status %d\n%s%s", status, out, errs)
	}
}

func (o operator) whyAndMap(t *testing.T) {
	var d told
	o.ask(t, 0, &d, "why", "A100001", "paie", "--channel", "mobile")
	if !d.Open || d.Reasons == nil || d.Ways == nil || len(d.Policies) == 0 {
		t.Errorf("pay slips: %+v", d)
	}
	o.ask(t, 0, &d, "why", "A100001", "finances", "--channel", "mobile")
	if d.Open || d.Reasons[0].Code != "channel_not_allowed" || d.Reasons[0].Title == "" {
		t.Errorf("finance on mobile: %+v", d)
	}
	// The product says what would open it, and that is true.
	d = why(t, o.town, "A100003", "finances", "--channel", "mobile")
	if !d.way("channel", "internal") || !d.way("proof", "") {
		t.Errorf("the ways of A100003: %+v", d.Ways)
	}
	if d = why(t, o.town, "A100003", "finances", "--channel", "internal", "--proof", "password,totp"); !d.Open {
		t.Errorf("the way of A100003 does not open: %v", d.codes())
	}
	sunday := officeDay(t, 10, 0)
	for sunday.Weekday() != time.Sunday {
		sunday = sunday.AddDate(0, 0, 1)
	}
	if d = why(t, o.town, "A100001", "urbanisme", "--channel", "internal", "--at", sunday.Format(time.RFC3339)); d.Open || !slices.Contains(d.codes(), "channel_closed") {
		t.Errorf("planning on Sunday: %+v", d)
	}
	if d = why(t, o.town, "A100005", "social", "--channel", "vpn", "--proof", "password,totp", "--device", "demo-laptop-A100005"); !d.Open {
		t.Errorf("the case files by VPN on a validated device: %v", d.codes())
	}
	if d = why(t, o.town, "A100005", "social", "--channel", "vpn", "--proof", "password,totp"); d.Open || !d.way("device", "") {
		t.Errorf("… and without the device: %+v", d)
	}

	rows := mapOf(t, o.town, "A100001")
	if len(rows) != 10*3 {
		t.Errorf("%d rows, not 10 applications at 3 entrances", len(rows))
	}
	for _, row := range rows {
		if row.App != "finances" && row.App != "urbanisme" && row.App != "annuaire" {
			continue // three kinds of answer are enough
		}
		d := why(t, o.town, "A100001", row.App, "--channel", row.Channel)
		if d.Open != row.Open || !slices.Equal(d.codes(), row.Reasons) && len(d.codes())+len(row.Reasons) > 0 {
			t.Errorf("map says %+v, why says %v %v", row, d.Open, d.codes())
		}
	}
	if rows = mapOf(t, o.town, "A100001", "--channel", "mobile"); len(rows) != 10 {
		t.Errorf("%d rows at one entrance, not 10", len(rows))
	}
	for _, args := range [][]string{
		{"why", "A100001", "paie", "--channel", "moon"},
		{"why", "A100001", "paie"},
		{"why", "A100001", "paie", "--channel", "mobile", "--at", "tomorrow"},
		{"why", "A100001", "paie", "--channel", "mobile", "--proof", "charm"},
		{"map", "A100001", "--channel", "moon"},
	} {
		if out, errs, status := Run(t, append(args, "--data", o.town.Data)...); status != 2 || errs == "" || out != "" {
			t.Errorf("parvis %v: status %d, not 2\n%s%s", args, status, out, errs)
		}
	}
	for _, args := range [][]string{
		{"why", "A199999", "paie", "--channel", "mobile"},
		{"why", "A100001", "nothing", "--channel", "mobile"},
		{"why", "A100001", "paie", "--channel", "mobile", "--device", "unknown"},
		{"map", "A199999"},
	} {
		if _, errs, status := Run(t, append(args, "--data", o.town.Data)...); status != 1 || errs == "" {
			t.Errorf("parvis %v: status %d, not 1: %q", args, status, errs)
		}
	}
}

func (o operator) policy(t *testing.T) {
	if out, errs, status := Run(t, "policy", "check", "--data", o.town.Data); status != 0 {
		t.Errorf("policy check: status %d\n%s%s", status, out, errs)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"syntax":    `forbid (principal, action, resource`,
		"no reason": `@id("own.rule") forbid (principal, action, resource);`,
		"unknown":   `@id("own.rule") @reason("because_i_say_so") forbid (principal, action, resource);`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "own.cedar"), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, status := Run(t, "policy", "check", dir, "--data", o.town.Data); status != 1 || !strings.Contains(errs, "own.cedar") {
			t.Errorf("%s: status %d, %q", name, status, errs)
		}
	}
	if out, errs, status := Run(t, "policy", "test", "--data", o.town.Data); status != 0 || !strings.Contains(out, " 0 differences") {
		t.Errorf("policy test: status %d\n%s%s", status, out, errs)
	}
}

func (o operator) admin(t *testing.T) {
	if out, errs, status := Run(t, "admin", "grant", "A100010", "auditor", "--data", o.town.Data); status != 0 || !strings.Contains(out, "A100010") {
		t.Errorf("grant: status %d\n%s%s", status, out, errs)
	}
	var one agentView
	o.ask(t, 0, &one, "agent", "show", "A100010")
	if one.Roles == nil || !slices.Contains(*one.Roles, "auditor") {
		t.Errorf("the role is not there: %+v", one)
	}
	for status, args := range map[int][]string{
		2: {"admin", "grant", "A100010", "king"},
		1: {"admin", "recover", "A100001"}, // no administrator
	} {
		if _, errs, got := Run(t, append(args, "--data", o.town.Data)...); got != status || errs == "" {
			t.Errorf("parvis %v: status %d, not %d: %q", args, got, status, errs)
		}
	}
	// The glass is broken: the session ends, the old password is nothing any
	// more, and the code leads to a new one.
	agnes := o.town.Person("A100040")
	v := o.town.Visitor(t)
	if p := v.SignIn(parvis.Internal, agnes); p.Screen != "home" {
		t.Fatalf("A100040 does not get in: %s", p.Screen)
	}
	out, errs, status := Run(t, "admin", "recover", agnes.Number, "--data", o.town.Data)
	code := regexp.MustCompile(`(?m)^Code: (\S+)$`).FindStringSubmatch(out)
	if status != 0 || code == nil {
		t.Fatalf("recover: status %d\n%s%s", status, out, errs)
	}
	for begun := time.Now(); v.Get(o.town.Portal(parvis.Internal)+"/").Screen == "home"; time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatal("the session of before goes on")
		}
	}
	if p := o.town.Visitor(t).SignIn(parvis.Internal, agnes); p.Screen == "home" {
		t.Error("the old password still opens")
	}
	v = o.town.Visitor(t)
	p := v.Submit(v.Get(o.town.Portal(parvis.Internal)+"/activate"), map[string]string{"code": code[1]})
	if p.Screen != "activation_overview" {
		t.Fatalf("the code opens %s (%d):\n%s", p.Screen, p.Status, p.Text())
	}
	p = v.Submit(v.Get(o.town.Portal(parvis.Internal)+"/activate/password"), map[string]string{"new_password": "sept lanternes au fond du puits"})
	if p.Screen != "activation_done" {
		t.Fatalf("a new password leads to %s (%d):\n%s", p.Screen, p.Status, p.Text())
	}
	agnes.Password = "sept lanternes au fond du puits"
	if p = o.town.Visitor(t).SignIn(parvis.Internal, agnes); p.Screen != "home" {
		t.Errorf("the new password opens %s", p.Screen)
	}
}

func (o operator) audit(t *testing.T) {
	var v struct {
		Whole   bool
		Records int
		Heads   int
		Root    string
	}
	o.ask(t, 0, &v, "audit", "verify")
	if !v.Whole || v.Records == 0 || v.Heads == 0 || v.Root == "" {
		t.Errorf("verify: %+v", v)
	}
	out, errs, status := Run(t, "audit", "export", "--data", o.town.Data)
	if status != 0 {
		t.Fatalf("export: status %d\n%s", status, errs)
	}
	seen := map[string]bool{}
	last := int64(-1)
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		var e struct {
			Seq                int64
			At                 time.Time
			Kind, Agent, Actor string
		}
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, s.Text())
		}
		if e.Seq != last+1 && last >= 0 || e.Kind == "" || e.At.IsZero() {
			t.Errorf("after event %d: %s", last, s.Text())
		}
		last = e.Seq
		seen[e.Kind] = true
	}
	for _, kind := range []string{"agent.imported", "hr_file.imported", "agent.missing", "agent.role_granted", "admin.recovered", "session.began", "password.changed"} {
		if !seen[kind] {
			t.Errorf("no %s in the export", kind)
		}
	}
	for _, who := range []string{"A100003", "A100040"} {
		if strings.Contains(out, o.town.Person(who).Password) {
			t.Errorf("the export holds the password of %s", who)
		}
	}
	tail, _, status := Run(t, "audit", "export", "--from", fmt.Sprint(last), "--data", o.town.Data)
	if status != 0 || strings.Count(tail, "\n") < 1 || !strings.Contains(tail, fmt.Sprintf(`"seq":%d,`, last)) {
		t.Errorf("export from %d: status %d\n%s", last, status, tail)
	}
}

// TestVersionAndHelp: what exists is listed, and nothing else.
func TestVersionAndHelp(t *testing.T) {
	var v struct {
		Version, Commit string
		Schema          int
	}
	out, _, status := Run(t, "version", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || status != 0 || v.Version == "" || v.Commit == "" || v.Schema < 1 {
		t.Errorf("version: status %d, %v\n%s", status, err, out)
	}
	help, _, status := Run(t, "--help")
	if status != 0 {
		t.Errorf("--help: status %d", status)
	}
	for _, command := range []string{
		"demo", "serve", "config init", "config check", "config describe", "agent import", "agent list", "agent show", "why", "map",
		"policy check", "policy test", "policy impact", "app list", "app import", "app export", "app secret", "app remove", "audit verify", "audit export", "admin grant", "admin recover", "version",
	} {
		if !regexp.MustCompile(`(?m)^\s+` + command + `\b`).MatchString(help) {
			t.Errorf("--help does not list %s", command)
		}
		if out, _, status := Run(t, append(strings.Fields(command), "--help")...); status != 0 || !strings.Contains(out, "Usage: parvis "+command) {
			t.Errorf("%s --help: status %d\n%s", command, status, out)
		}
	}
	for _, later := range []string{"letters", "backup", "restore", "doctor"} {
		if regexp.MustCompile(`(?m)^\s+(\w+ )?` + later + `\b`).MatchString(help) {
			t.Errorf("--help lists %s, which does not exist", later)
		}
		if _, errs, status := Run(t, later); status != 2 || errs == "" {
			t.Errorf("%s: status %d", later, status)
		}
	}
	for _, args := range [][]string{{"nonsense"}, {"agent"}, {"why"}, {"serve", "--nonsense"}, {"demo", "--base-port", "70000"}} {
		if out, errs, status := Run(t, args...); status != 2 || errs == "" || out != "" {
			t.Errorf("parvis %v: status %d, answer %q, diagnostics %q", args, status, out, errs)
		}
	}
}
