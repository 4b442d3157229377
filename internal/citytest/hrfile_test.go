package citytest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// The columns of the file, under the headings that HR gives them.
const (
	hrNumber = iota
	hrFamily
	hrUsage
	hrGiven
	hrUnit
	hrSIRET
	hrCategory
	hrPosition
	hrAbsence
	hrAway
	hrBack
	hrFrom
	hrUntil
	hrJob
	hrManager
	hrEmail
	hrPersonal
	hrMobile
	hrBlood // which is nobody's business
	hrColumns
)

var hrHeading = hrLine{
	"Matricule", "Nom de famille", "Nom d'usage", "Prénom(s)", "Affectation", "SIRET", "Catégorie", "Position administrative", "Motif d'absence", "Début d'absence", "Fin d'absence",
	"Date de début de contrat", "Date de fin de contrat", "Fonction", "Matricule du supérieur", "Messagerie", "Courriel personnel", "Mobile", "Groupe sanguin",
}

// hrLine is one line of the file.
type hrLine [hrColumns]string

// staffFile is a file that nobody tuned, and the truth about it.
type staffFile struct {
	lines  []hrLine
	raw    map[int]string      // lines that are no lines, by their place
	faults map[int][]string    // by place: the fields that are wrong
	good   map[string]int      // the place of every agent who is right
	order  []string            // their numbers
	twice  map[string]struct{} // numbers that came again
}

// spoilt is what goes wrong with lines, and the fields that a truthful report
// names.
var spoilt = []struct {
	do     func(*hrLine)
	fields []string
}{
	{func(l *hrLine) { l[hrFrom] = "31/02/2024" }, []string{"contract_start"}},
	{func(l *hrLine) { l[hrFrom] = "2024-13-01" }, []string{"contract_start"}},
	{func(l *hrLine) { l[hrFrom] = "29/02/2023" }, []string{"contract_start"}},
	{func(l *hrLine) { l[hrFrom] = "01/09/0202" }, []string{"contract_start"}},
	{func(l *hrLine) { l[hrFrom] = "45658" }, []string{"contract_start"}}, // a spreadsheet's day
	{func(l *hrLine) { l[hrFrom], l[hrUntil] = "01/09/2024", "31/08/2024" }, []string{"contract_end"}},
	{func(l *hrLine) { l[hrFamily] = " \u00a0 " }, []string{"civil_family_name"}},
	{func(l *hrLine) { l[hrFamily], l[hrGiven], l[hrUnit], l[hrFrom] = "", "", "", "" }, []string{"civil_family_name", "contract_start", "given_names", "org_unit_path"}},
	{func(l *hrLine) { l[hrNumber] = "" }, []string{"agent_number"}},
	{func(l *hrLine) { l[hrNumber] = "n°12/34" }, []string{"agent_number"}},
	{func(l *hrLine) { l[hrNumber] = strings.Repeat("9", 33) }, []string{"agent_number"}},
	{func(l *hrLine) { l[hrGiven] = strings.Repeat("Zoé ", 200) }, []string{"given_names"}},
	{func(l *hrLine) { l[hrSIRET] = "21750001600018" }, []string{"siret"}},
	{func(l *hrLine) { l[hrSIRET] = "2,1750E+13" }, []string{"siret"}},
	{func(l *hrLine) { l[hrCategory] = "divers" }, []string{"staff_category"}},
	{func(l *hrLine) { l[hrPosition] = "à voir" }, []string{"statutory_position"}},
	{func(l *hrLine) { l[hrAbsence], l[hrAway] = "Dépression sévère", "01/02/2026" }, []string{"absence_reason"}},
	{func(l *hrLine) { l[hrAbsence], l[hrAway], l[hrBack] = "CLM", "01/02/2026", "01/01/2026" }, []string{"absence_expected_end"}},
	{func(l *hrLine) { l[hrAbsence], l[hrAway] = "CLM", "" }, []string{"absence_start"}},
	{func(l *hrLine) { l[hrEmail] = "agent@localhost" }, []string{"professional_email"}},
	{func(l *hrLine) { l[hrEmail] = "a@b@ville.example.org" }, []string{"professional_email"}},
	{func(l *hrLine) { l[hrPersonal] = "néant" }, []string{"personal_email"}},
	{func(l *hrLine) { l[hrMobile] = "01 40 00 00 00" }, []string{"personal_mobile"}},
	{func(l *hrLine) { l[hrManager] = l[hrNumber] }, []string{"manager_number"}},
	{func(l *hrLine) { l[hrUsage] = "Jean\x00\x1b[31m" }, []string{"usage_name"}},
	{func(l *hrLine) { l[hrSIRET], l[hrFrom], l[hrManager], l[hrMobile] = "12", "hier", "chef!", "12" }, []string{"contract_start", "manager_number", "personal_mobile", "siret"}},
}

// generate writes n lines; about one in twenty-five is wrong.
func generate(n int, r *rand.Rand) *staffFile {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	f := &staffFile{raw: map[int]string{}, faults: map[int][]string{}, good: map[string]int{}, twice: map[string]struct{}{}}
	add := func(l hrLine, fields []string) {
		if len(fields) > 0 {
			f.faults[len(f.lines)] = fields
		} else {
			f.good[l[hrNumber]] = len(f.lines)
			f.order = append(f.order, l[hrNumber])
		}
		f.lines = append(f.lines, l)
	}
	for i := range n {
		l := hrLine{
			hrNumber: fmt.Sprintf("S%06d", i), hrFamily: pick("Lefèvre", "Noël", "Müller", "d'Arçon", "Œuvrard", "Ñuñez", "Béranger-Dûmont", "Martin", "Ça", `O"Neil`, "=SOMME(A1)", "@Arobase", "-Tiret", "Žižek", "Null", "Test; ou pas"),
			hrGiven: pick("Élodie", "Jean-François", "Anaïs", "Zoë Marie", "Loïc", "Agnès, Marie", "Aïcha", "Jean\r\nPierre", " Benoît ", "INÈS"), hrUnit: pick("Direction de l'eau/Service des études", "Propreté > Secteur Nord > Équipe 3", "Secrétariat général", "Musées, arts / Conservation"),
			hrSIRET: pick("21750001600019", "217 500 016 00019", ""), hrCategory: pick("titulaire", "Stagiaire", "CONTRACTUEL", "vacataire", "saisonnière", "élue", ""), hrPosition: pick("Activité", "", "activité"),
			hrFrom: pick("01/09/2015", "2015-09-01", "01.09.2015", "01-09-2015"), hrJob: pick("Chargé d’études", "Agent d'accueil – nuit", "…", "<b>Chef</b>"), hrBlood: pick("O+", "AB-", ""),
			hrEmail: fmt.Sprintf("Agent.%d@Ville.Example.ORG", i), hrMobile: pick("", "06 12 34 56 78", "+33 (0)7-98-76-54-32", "612345678"),
		}
		switch r.IntN(8) {
		case 0:
			l[hrEmail] = ""
		case 1:
			l[hrUntil] = pick("31/12/9999", "2999-12-31")
		case 2:
			l[hrAbsence], l[hrAway], l[hrBack] = pick("Congé maternité", "CLM", "congé de longue durée", "RTT", "Congé parental"), "2026-01-05", pick("", "05/01/2030")
		}
		switch k := r.IntN(800); {
		case k < len(spoilt):
			spoilt[k].do(&l)
			add(l, spoilt[k].fields)
		case k == 30 && len(f.order) > 0: // the same agent again, as another system spells the number
			number := f.order[r.IntN(len(f.order))]
			l[hrNumber] = " " + strings.ToLower(number[:3]) + " " + number[3:]
			add(l, []string{"agent_number"})
		case k == 31 && len(f.order) > 0: // somebody else's mailbox
			if taken := f.lines[f.good[f.order[len(f.order)-1]]][hrEmail]; taken != "" {
				l[hrEmail] = strings.ToUpper(taken)
				add(l, []string{"professional_email"})
			}
		case k == 32:
			f.raw[len(f.lines)] = "Total;;;"
			add(l, []string{""})
		case k == 33:
			f.raw[len(f.lines)] = "*** fin de page ***"
			add(l, []string{""})
		case k == 34:
			f.raw[len(f.lines)] = "\n" + strings.Repeat(";", hrColumns-1) + "\n   " // blank: three lines that say nothing
			f.lines = append(f.lines, hrLine{})
		default:
			add(l, nil)
		}
	}
	return f
}

// text writes the file, and gives the line on which each place begins.
func (f *staffFile) text(sep string) (string, []int) {
	var b strings.Builder
	at, line := make([]int, len(f.lines)), 1
	put := func(s string) {
		b.WriteString(s + "\r\n")
		line += strings.Count(s, "\n") + 1
	}
	quoted := func(l hrLine) string {
		fields := slices.Clone(l[:])
		for i, v := range fields {
			if strings.ContainsAny(v, "\";,\r\n") {
				fields[i] = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
		}
		return strings.Join(fields, sep)
	}
	put(quoted(hrHeading))
	for i, l := range f.lines {
		at[i] = line
		if raw, ok := f.raw[i]; ok {
			put(strings.ReplaceAll(raw, ";", sep))
		} else {
			put(quoted(l))
		}
	}
	return b.String(), at
}

func windows(t *testing.T, s string) string {
	t.Helper()
	out, err := charmap.Windows1252.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hrReport is what `parvis agent import --json` answers.
type hrReport struct {
	Encoding, Separator string
	DryRun              bool `json:"dry_run"`
	Applied             bool
	Lines               int
	Created             int
	Changed             int
	Unchanged           int
	Reappeared          int
	Missing             int
	Closing             int
	Rejected            int
	Faults              []hrFault
	Warnings            []hrFault
	Stops               []hrFault
	Changes             []struct {
		Line    int
		Number  string `json:"agent_number"`
		Created bool
	}
}

type hrFault struct {
	Line   int
	Field  string
	Reason string
}

// installation is what a newcomer has after `parvis config init`.
type installation struct {
	t      *testing.T
	config string
}

func (in installation) importing(want int, content string, more ...string) hrReport {
	in.t.Helper()
	name := filepath.Join(in.t.TempDir(), "Export RH été.csv")
	write(in.t, name, content)
	out, errs, status := RunPlain(in.t, append([]string{"agent", "import", name, "-c", in.config, "--json"}, more...)...)
	if status != want {
		in.t.Fatalf("the import ended with %d, not %d:\n%.2000s", status, want, errs)
	}
	if strings.ContainsAny(errs, "\r\x1b") || strings.Contains(errs, " of ") {
		in.t.Errorf("progress is shown in a pipe: %q", errs)
	}
	var r hrReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		in.t.Fatalf("%v\n%.500s", err, out)
	}
	return r
}

func (in installation) state(number string) (state string, missing bool) {
	in.t.Helper()
	var shown struct {
		State   string
		Missing bool `json:"missing_from_hr_file"`
	}
	out, errs, status := RunPlain(in.t, "agent", "show", number, "-c", in.config, "--json")
	if err := json.Unmarshal([]byte(out), &shown); err != nil || status != 0 {
		in.t.Fatalf("agent show %s ended with %d: %s", number, status, errs)
	}
	return shown.State, shown.Missing
}

// truthful compares what a report says is wrong with what is.
func (f *staffFile) truthful(t *testing.T, r hrReport, at []int) {
	t.Helper()
	want, got := map[int][]string{}, map[int][]string{}
	for place, fields := range f.faults {
		want[at[place]] = fields
	}
	for _, x := range r.Faults {
		got[x.Line] = append(got[x.Line], x.Field)
		if x.Reason == "" || strings.ContainsAny(x.Reason, "{}") || strings.HasPrefix(x.Reason, "import.") || strings.Contains(x.Reason, "Dépression") {
			t.Errorf("line %d, %s: no plain words, or too many: %q", x.Line, x.Field, x.Reason)
		}
	}
	wrong := 0
	for line := range len(f.lines)*4 + 2 {
		slices.Sort(got[line])
		if !slices.Equal(want[line], got[line]) {
			if wrong++; wrong < 10 {
				t.Errorf("line %d: wrong are %q, the report says %q", line, want[line], got[line])
			}
		}
	}
	if r.Rejected != len(f.faults) || r.Lines != len(f.good)+len(f.faults) || len(got) != len(want) || wrong > 0 {
		t.Errorf("rejected %d of %d lines, faults on %d; the truth is %d of %d", r.Rejected, r.Lines, len(got), len(f.faults), len(f.good)+len(f.faults))
	}
}

// An HR file of 60,000 lines that nobody tuned: accents in both encodings,
// duplicate numbers, impossible dates, missing fields, totals and page ends,
// line ends within names, absurd values.
func TestHRFile(t *testing.T) {
	t.Parallel()
	in := installation{t, filepath.Join(t.TempDir(), "parvis.yaml")}
	if _, errs, status := RunPlain(t, "config", "init", in.config); status != 0 {
		t.Fatal(errs)
	}
	f := generate(60_000, rand.New(rand.NewPCG(2026, 11)))
	if len(f.faults) < 1500 || len(f.raw) < 100 {
		t.Fatalf("only %d lines are wrong", len(f.faults))
	}
	content, at := f.text(";")
	good := len(f.good)

	r := in.importing(0, "\ufeff"+content, "--dry-run")
	f.truthful(t, r, at)
	if r.Applied || !r.DryRun || r.Created != good || r.Changed != 0 || r.Encoding != "utf-8" || r.Separator != ";" || len(r.Changes) != good {
		t.Errorf("dry run: applied %v, %d created of %d, %d changes, %s %q", r.Applied, r.Created, good, len(r.Changes), r.Encoding, r.Separator)
	}
	if len(r.Warnings) != 1 || r.Warnings[0].Field != "Groupe sanguin" {
		t.Errorf("warnings: %+v", r.Warnings)
	}
	if out, _, _ := RunPlain(t, "agent", "list", "-c", in.config, "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("after a dry run there is %.200s", out)
	}

	r = in.importing(0, "\ufeff"+content)
	f.truthful(t, r, at)
	if !r.Applied || r.Created != good || r.Missing != 0 || r.Closing != 0 || len(r.Stops) != 0 {
		t.Errorf("the import: %d created of %d, %d missing, %d closing, %+v", r.Created, good, r.Missing, r.Closing, r.Stops)
	}
	var list []struct {
		Number string `json:"agent_number"`
		Name   string
		State  string
	}
	out, _, _ := RunPlain(t, "agent", "list", "-c", in.config, "--json", "--limit", "100000")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != good {
		t.Fatalf("%d agents, not %d: %v", len(list), good, err)
	}
	for _, a := range list {
		place, ok := f.good[a.Number]
		family := strings.Join(strings.Fields(f.lines[place][hrFamily]), " ")
		if !ok || !strings.Contains(a.Name, family) {
			t.Fatalf("%s is called %q, not %q", a.Number, a.Name, family)
		}
	}

	// The same people from another system: Windows-1252, commas; then a file
	// that two systems wrote.
	comma, at2 := f.text(",")
	mixed := strings.SplitAfter(content, "\r\n")
	for i := range mixed {
		if i%3 == 1 {
			mixed[i] = windows(t, mixed[i])
		}
	}
	for encoding, c := range map[string]struct {
		content string
		at      []int
	}{"windows-1252": {windows(t, comma), at2}, "mixed": {strings.Join(mixed, ""), at}} {
		r = in.importing(0, c.content)
		f.truthful(t, r, c.at)
		if r.Encoding != encoding || r.Created+r.Changed+r.Missing+r.Closing != 0 || r.Unchanged != good || !r.Applied {
			t.Errorf("the same in %s (%s): %d created, %d changed, %d unchanged of %d, %d missing", encoding, r.Encoding, r.Created, r.Changed, r.Unchanged, good, r.Missing)
		}
	}
	t.Run("absent", func(t *testing.T) { installation{t, in.config}.absent(f, good) })
	t.Run("closing", func(t *testing.T) { installation{t, in.config}.closing(f, good) })
	if out, errs, status := RunPlain(t, "audit", "verify", "-c", in.config); status != 0 {
		t.Errorf("audit verify: %s%s", out, errs)
	}
}

// Somebody whom the file forgets is flagged, not closed, and comes back.
func (in installation) absent(f *staffFile, good int) {
	t := in.t
	fewer := *f
	fewer.lines, fewer.raw = slices.Clone(f.lines), map[int]string{}
	for place, raw := range f.raw {
		fewer.raw[place] = raw
	}
	for _, number := range f.order[1000:1025] {
		fewer.raw[f.good[number]] = ""
	}
	content, _ := fewer.text(";")
	r := in.importing(0, content)
	if r.Missing != 25 || r.Closing != 0 || r.Unchanged != good-25 || r.Changed != 0 || !r.Applied {
		t.Errorf("25 forgotten: %d missing, %d closing, %d changed, %d unchanged", r.Missing, r.Closing, r.Changed, r.Unchanged)
	}
	number := f.order[1003]
	if state, missing := in.state(number); state == "closed" || state == "suspended" || !missing {
		t.Errorf("%s, forgotten, is %s, flagged %v", number, state, missing)
	}
	if r = in.importing(0, content); r.Missing != 0 || r.Unchanged != good-25 {
		t.Errorf("forgotten twice: %d missing, %d unchanged", r.Missing, r.Unchanged)
	}
	content, _ = f.text(";")
	if r = in.importing(0, content); r.Reappeared != 25 || r.Changed != 25 || r.Created != 0 {
		t.Errorf("back again: %d reappeared, %d changed, %d created", r.Reappeared, r.Changed, r.Created)
	}
	if _, missing := in.state(number); missing {
		t.Errorf("%s is back and flagged", number)
	}
}

// A file that would close 3 % of the agents is stopped, until somebody gives
// their name.
func (in installation) closing(f *staffFile, good int) {
	t := in.t
	leaving := good * 3 / 100
	ended := *f
	ended.lines = slices.Clone(f.lines)
	for _, number := range f.order[2000 : 2000+leaving] {
		ended.lines[f.good[number]][hrUntil] = "31/08/2020"
	}
	content, at := ended.text(";")
	number := f.order[2007]
	was, _ := in.state(number)
	r := in.importing(1, content)
	f.truthful(t, r, at)
	if r.Applied || r.Closing != leaving || len(r.Stops) != 1 || !strings.Contains(r.Stops[0].Reason, fmt.Sprint(leaving)) {
		t.Errorf("%d closing of %d: applied %v, stops %+v", r.Closing, leaving, r.Applied, r.Stops)
	}
	if state, _ := in.state(number); state != was || state == "closed" {
		t.Errorf("after the stop %s is %s, was %s", number, state, was)
	}
	if r = in.importing(1, content, "--dry-run"); r.Applied || r.Closing != leaving {
		t.Errorf("the dry run of it: applied %v, %d closing", r.Applied, r.Closing)
	}
	r = in.importing(0, content, "--override", "C. Directrice")
	if !r.Applied || r.Closing != leaving || r.Changed != leaving {
		t.Errorf("by name: applied %v, %d closing, %d changed", r.Applied, r.Closing, r.Changed)
	}
	if state, _ := in.state(number); state != "closed" {
		t.Errorf("after it %s is %s", number, state)
	}
	out, _, status := RunPlain(t, "audit", "export", "-c", in.config)
	if status != 0 || !strings.Contains(out, `"override":"C. Directrice"`) {
		t.Error("the log does not say who let it pass")
	}
}
