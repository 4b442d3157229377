package directory_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/directory"
	"parvis/internal/store"
	"parvis/internal/store/storetest"
)

func reader(t testing.TB) *directory.Directory {
	return &directory.Directory{Zone: paris(t), Clock: new(storetest.Clock).Now}
}

// readOne gives what a file of one column more, and one line, is answered.
func readOne(t *testing.T, column, value string) map[int][]string {
	t.Helper()
	f, err := reader(t).Read(strings.NewReader("agent_number;civil_family_name;given_names;org_unit_path;contract_start;" + column + "\nA1;Durand;Anne;Eau;2020-01-01;" + value + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if (f.Rejected == 0) != (len(f.Faults) == 0) {
		t.Errorf("%d lines refused, faults %v", f.Rejected, f.Faults)
	}
	return found(f.Faults)
}

func TestValues(t *testing.T) {
	for _, c := range []struct{ column, good, bad, key string }{
		{"contract_end", "2026-11-24|24/11/2026|24-11-2026|24.11.2026|2026-11-24T00:00:00|24/11/2026 00:00:00|31/12/9999|2999-12-31|2024-02-29||2020-01-01", "31/02/2026|2026-02-29|2026-13-01|24/11/26|2026/11/24|20261124|45000|demain|00/00/0000|24/11-2026|2026-11-24 12:30|1/2/2026", "date"},
		{"contract_end", "2200-12-31", "0202-01-01|01/01/0202|1899-12-31|2201-01-01", "date_range"},
		{"contract_end", "2020-01-01", "2019-12-31|31/12/2019", "end_before_start"},
		{"siret", "21750001600019|217 500 016 00019|35600000000048|35600000000001|", "21750001600018|2175000160001|217500016000190|ABC|00000000000000", "siret"},
		{"professional_email", "a@b.fr|Prénom@ville.fr|a.b+c@d-e.example.org|=a@b.example|", "a|a@b|@b.fr|a@|a..b@c.fr|.a@c.fr|a@b..fr|a@-b.fr|a@b.f|a@b.12|a b@c.fr|a@b@c.fr|<a@b.fr>|a@" + strings.Repeat("x", 64) + ".fr", "email"},
		{"personal_mobile", "06 12 34 56 78|+33 6 12 34 56 78|0033612345678|+33 (0)6-12.34.56.78|612345678|07/98/76/54/32|0690123456|+32 470 12 34 56|", "01 40 00 00 00|+33140000000|06123|061234567890|+0123456789|six|+33 6 12 34 56 7|+", "mobile"},
		{"staff_category", "titulaire|Stagiaire|CONTRACTUELLE|Vacataire|saisonnier|Apprentie|stagiaire école|Stagiaire d'école|service_civique|Élu|prestataire|civic_service|tenured|", "A|divers|x", "category"},
		{"statutory_position", "Activité|ACTIVITE|disponibilité|Congé parental|mise à disposition|suspendu|CLM||détachement entrant", "burn-out|ailleurs", "position"},
		{"absence_reason", "aucune|néant||décès", "", ""},
		{"manager_number", "a2|A 2|", "chef!|A_2", "number"},
		{"manager_number", "a2", "a1", "manager_self"},
		{"job_label", "=cmd|'/C calc'!A0|\t x \u00a0y|" + strings.Repeat("é", 200), strings.Repeat("é", 201), "text_too_long"},
		{"job_label", "", "a\x00b|a\x1b[31mb|a\x7fb", "control"},
	} {
		if c.column == "professional_email" {
			c.good = strings.Replace(c.good, "Prénom@ville.fr|", "", 1)
			c.bad += "|Prénom@ville.fr" // RFC 6531 mailboxes are not for every mail server
		}
		for _, v := range strings.Split(c.good, "|") {
			if got := readOne(t, c.column, v); len(got) != 0 && c.good != "" && !strings.Contains(got[2][0], "absence_start") {
				t.Errorf("%s %q: %v", c.column, v, got)
			}
		}
		for _, v := range strings.Split(c.bad, "|") {
			if c.bad == "" {
				continue
			}
			if diff := cmp.Diff(map[int][]string{2: {c.column + " " + c.key}}, readOne(t, c.column, v)); diff != "" {
				t.Errorf("%s %q: %s", c.column, v, diff)
			}
		}
	}
}

// A report names what was written only when it cannot be about a person.
func TestWhatAFaultRepeats(t *testing.T) {
	f, err := reader(t).Read(strings.NewReader("agent_number;civil_family_name;given_names;org_unit_path;contract_start;absence_reason;personal_mobile;personal_email;siret\n" +
		"A1;Durand;Anne;Eau;31/02/2020;dépression;0140000000;anne@;123\nA2;Durand;Anne;Eau;cancer;;;;diabète\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range f.Faults {
		got = append(got, x.Error())
	}
	want := []string{
		`line 2: siret: import.reject.siret value="123"`,
		"line 2: personal_email: import.reject.email",
		"line 2: personal_mobile: import.reject.mobile",
		`line 2: contract_start: import.reject.date value="31/02/2020"`,
		"line 2: absence_reason: import.reject.absence",
		"line 3: siret: import.reject.siret",
		"line 3: contract_start: import.reject.date",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is kept of values that may be written in several ways.
func TestKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store, clock *storetest.Clock) {
		d := open(t, s, clock)
		day := func(y int, m time.Month, n int) time.Time { return time.Date(y, m, n, 0, 0, 0, 0, paris(t)) }
		load(t, d, "N° d'agent;Nom;Nom d’usage;PRENOMS;Direction;Sous-direction;Service;Bureau;date_debut_contrat;Catégorie;Position;Motif d'absence;Début absence;Mobile;E-mail;SIRET;Fin de contrat;Badge\n"+
			" a 12 ;NOE\u0308L;\"Le \"\"Goff\"\"\";  Anne   Lise ;Eau;;Études / Travaux;;01/02/2020;Élue;Mise à disposition;RTT;01/03/2026;06.12.34.56.78;Anne.Lise@Ville.Example;217 500 016 00019;31/12/9999;=B(1)\n"+
			"a13;Martin;;Zoé;Eau;;;;01/02/2020;;activité;congé de maternité;05/01/2026;;;;;\n"+
			"a14;Martin;;Zoé;Eau;;;;01/02/2020;;suspendu;CMO;05/01/2026;;;;;\n"+
			"a15;Martin;;Zoé;Eau;;;;01/02/2020;;;décès;05/01/2026;;;;;\n")
		want := parvis.Agent{
			Number: "A12", FamilyName: "NOËL", UsageName: `Le "Goff"`, GivenNames: "Anne Lise", Unit: "Eau/Études - Travaux",
			ContractFrom: day(2020, 2, 1), Category: "elected", Position: "made_available", Absence: parvis.OutsidePosition,
			PersonalMobile: "+33612345678", Email: "Anne.Lise@ville.example", Employer: "21750001600019", Badge: "=B(1)",
		}
		if diff := cmp.Diff(want, agent(t, d, "A12").Agent); diff != "" {
			t.Error(diff)
		}
		for n, want := range map[parvis.AgentNumber]parvis.State{"A13": parvis.Active, "A14": parvis.Suspended, "A15": parvis.Closed} {
			if r := agent(t, d, n); r.State != want {
				t.Errorf("%s is %s: %+v", n, r.State, r.Agent)
			}
		}
	})
}

func TestFiles(t *testing.T) {
	const cols = "agent_number;civil_family_name;given_names;org_unit_path;contract_start"
	const line = "A1;Noël;Zoé;Eau;2020-01-01"
	wide := func(order bool) string {
		var b bytes.Buffer
		for _, u := range utf16.Encode([]rune("\ufeff" + cols + "\n" + line + "\n")) {
			pair := []byte{byte(u), byte(u >> 8)}
			if order {
				pair[0], pair[1] = pair[1], pair[0]
			}
			b.Write(pair)
		}
		return b.String()
	}
	for _, c := range []struct{ name, file, key, args string }{
		{"nothing", "", "import.file.empty", ""},
		{"blank lines", "\n\r\n\n", "import.file.empty", ""},
		{"not this", "a;b\n1;2\n", "import.file.missing_column", "agent_number, civil_family_name, given_names, org_unit_path, contract_start"},
		{"one missing", strings.ReplaceAll(cols, ";contract_start", "") + "\n", "import.file.missing_column", "contract_start"},
		{"twice", cols + ";Matricule\n", "import.file.column_twice", "agent_number"},
		{"UTF-16 LE", wide(false), "import.file.utf16", ""},
		{"UTF-16 BE", wide(true), "import.file.utf16", ""},
		{"UTF-16 without mark", wide(false)[2:], "import.file.utf16", ""},
		{"a workbook", "PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00" + strings.Repeat("Content_Types", 20) + "\n", "import.file.binary", ""},
		{"unclosed heading", `"` + cols + "\n" + line + "\n", "import.reject.quote", ""},
	} {
		_, err := reader(t).Read(strings.NewReader(c.file))
		var why *directory.Fault
		if parvis.CodeOf(err) != parvis.CodeInvalid || !errors.As(err, &why) || why.Key != c.key {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := why.Args["columns"] + why.Args["first"]; got != c.args {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	for _, c := range []struct {
		name, file, encoding string
		lines                int
		faults               map[int][]string
	}{
		{"plain", cols + "\n" + line + "\n", "utf-8", 1, nil},
		{"no last line end", "\ufeff" + cols + "\r\n" + line, "utf-8", 1, nil},
		{"hint of a spreadsheet", "sep=;\r\n" + cols + "\r\n" + line + "\r\n", "utf-8", 1, nil},
		{"commas and quotes", strings.ReplaceAll(cols, ";", ",") + "\nA1,\"Noël, dite \"\"N\"\"\",Zoé,Eau,2020-01-01\n", "utf-8", 1, nil},
		{"tabs", strings.ReplaceAll(cols+"\n"+line, ";", "\t"), "utf-8", 1, nil},
		{"Windows-1252", cols + "\nA1;No\xebl;\x80;Eau;2020-01-01", "windows-1252", 1, nil},
		{"both, by line", cols + "\nA1;No\xebl;Zo\xe9;Eau;2020-01-01\n" + strings.Replace(line, "A1", "A2", 1), "mixed", 2, nil},
		{"both, in a line", cols + "\nA1;No\xebl;Zoé;Eau;2020-01-01", "utf-8", 1, map[int][]string{2: {"encoding"}}},
		{"no sign of either", cols + "\nA1;No\x81l;Zoe;Eau;2020-01-01", "utf-8", 1, map[int][]string{2: {"encoding"}}},
		{"a value over two lines", cols + "\nA1;\"Noël\nDupont\";Zoé;Eau;2020-01-01\nA1;x;y;z;2020-01-01", "utf-8", 2, map[int][]string{4: {"agent_number duplicate"}}},
		{"a quote that never closes", cols + "\nA1;\"Noël;Zoé;Eau;2020-01-01\n" + strings.Repeat(strings.Replace(line, "A1", "A2", 1)+"\n", 2), "utf-8", 3, map[int][]string{2: {"quote"}, 4: {"agent_number duplicate"}}},
		{"… nor at the end", cols + "\nA1;\"Noël;Zoé;Eau;2020-01-01", "utf-8", 1, map[int][]string{2: {"quote"}}},
		{"signs behind a quote", cols + "\nA1;\"Noël\"x;Zoé;Eau;2020-01-01", "utf-8", 1, map[int][]string{2: {"quote"}}},
		{"a quote inside", cols + "\nA1;No\"ël;Zoé;Eau;2020-01-01", "utf-8", 1, nil},
		{"too short, too long", cols + "\nA1;x;y;z\n" + line + ";more\n" + line + ";;", "utf-8", 3, map[int][]string{2: {"columns"}, 3: {"columns"}}},
		{"a line without end", cols + "\n" + strings.Repeat("x", 70_000) + "\n" + line, "utf-8", 2, map[int][]string{2: {"line_too_long"}}},
		{"… inside quotes", cols + "\nA1;\"x\n" + strings.Repeat("x", 70_000) + "\n" + line, "utf-8", 3, map[int][]string{2: {"quote"}, 3: {"line_too_long"}}},
	} {
		f, err := reader(t).Read(strings.NewReader(c.file))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.faults == nil {
			c.faults = map[int][]string{}
		}
		if diff := cmp.Diff(c.faults, found(f.Faults)); diff != "" || f.Lines != c.lines || f.Encoding != c.encoding || f.Rejected != len(c.faults) {
			t.Errorf("%s: %d lines, %d refused, %s, %s", c.name, f.Lines, f.Rejected, f.Encoding, diff)
		}
		if c.encoding == "mixed" && (len(f.Warnings) != 1 || f.Warnings[0].Key != "import.warn.mixed_encoding") {
			t.Errorf("%s: %v", c.name, f.Warnings)
		}
	}
}

func TestWarnings(t *testing.T) {
	f, err := reader(t).Read(strings.NewReader("Matricule;Nom;Prénom;Affectation;Service;Date d'entrée;Courriel;Messagerie;Pointure;Date de naissance;\nA1;a;b;c;d;2020-01-01;;x;;;\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range f.Warnings {
		got = append(got, w.Error())
	}
	want := []string{
		`line 1: Messagerie: import.warn.column_twice first="Courriel"`,
		"line 1: Pointure: import.warn.unknown_column",
		`line 1: Service: import.warn.column_twice first="Affectation"`,
	}
	if diff := cmp.Diff(want, got); diff != "" || len(f.Faults) != 0 {
		t.Error(diff, f.Faults)
	}
}

func TestABrokenDisk(t *testing.T) {
	_, err := reader(t).Read(io.MultiReader(strings.NewReader(head+"A"), broken{}))
	if parvis.CodeOf(err) != parvis.CodeUnavailable {
		t.Errorf("%v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

func FuzzRead(f *testing.F) {
	csv, _ := cityFile(3, 1, ";", false)
	f.Add(csv)
	csv, _ = cityFile(3, 2, ",", true)
	f.Add(csv)
	f.Add([]byte(head + "A1;\"a\n\nb;;;"))
	f.Add([]byte("\xff\xfea\x00"))
	d := reader(f)
	f.Fuzz(func(t *testing.T, csv []byte) {
		file, err := d.Read(bytes.NewReader(csv))
		if err != nil {
			if parvis.CodeOf(err) != parvis.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		last, bad := 0, map[int]bool{}
		for _, x := range file.Faults {
			if x.Line < last || x.Line < 2 {
				t.Fatalf("line %d after %d", x.Line, last)
			}
			last, bad[x.Line] = x.Line, true
		}
		if len(bad) != file.Rejected || file.Rejected > file.Lines || file.Lines > bytes.Count(csv, []byte("\n"))+1 {
			t.Fatalf("%d lines, %d refused, %d with faults", file.Lines, file.Rejected, len(bad))
		}
	})
}
