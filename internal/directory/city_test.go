package directory_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"

	"parvis/internal/directory"
)

// truth is what a reader must say of a generated file.
type truth struct {
	lines  int
	faults map[int][]string // by line: "field key", sorted
}

func (t *truth) rejected() int { return len(t.faults) }

// found gives what a reader said, in the shape of truth.
func found(faults []directory.Fault) map[int][]string {
	all := map[int][]string{}
	for _, f := range faults {
		all[f.Line] = append(all[f.Line], strings.TrimSpace(f.Field+" "+strings.TrimPrefix(f.Key, "import.reject.")))
	}
	for _, l := range all {
		slices.Sort(l)
	}
	return all
}

// person is one line before anything is done to it.
type person struct {
	number, family, usage, given, unit, siret, category, position   string
	absence, absenceFrom, absenceUntil, from, until, job, label     string
	manager, hrUnit, email, personalEmail, mobile, badge, birthDate string
}

const frenchHeading = "Matricule;Nom de famille;Nom d'usage;Prénom(s);Affectation;SIRET;Catégorie;Position administrative;" +
	"Motif d'absence;Début d'absence;Fin d'absence;Date de début de contrat;Date de fin de contrat;Code emploi;Fonction;" +
	"Matricule du supérieur;UGD;Messagerie;Courriel personnel;Mobile;N° de badge;Date de naissance;Groupe sanguin"

func (p *person) fields() []string {
	return []string{
		p.number, p.family, p.usage, p.given, p.unit, p.siret, p.category, p.position, p.absence, p.absenceFrom,
		p.absenceUntil, p.from, p.until, p.job, p.label, p.manager, p.hrUnit, p.email, p.personalEmail, p.mobile, p.badge, p.birthDate, "O+",
	}
}

// quote writes a field as a careful export does: only when it must.
func quote(v string) string {
	if strings.ContainsAny(v, "\";,\n") {
		return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
	}
	return v
}

func (p *person) line(sep string) string {
	fields := p.fields()
	for i, v := range fields {
		fields[i] = quote(v)
	}
	return strings.Join(fields, sep)
}

var (
	families = []string{"Lefèvre", "Noël", "Müller", "d'Arçon", "Œuvrard", "Ñuñez", "Béranger-Dûmont", "Martin", "Le Goff", "Ça", "Zoé", `O"Neil`, "=SOMME(A1)", "+Plus", "@Arobase", "-Tiret"}
	givens   = []string{"Élodie", "Jean-François", "Anaïs", "Zoë Marie", "Loïc", "Agnès; Marie", "Çelik", "Aïcha", "Benoît", "Inès"}
	units    = []string{
		"Direction de l'eau/Service assainissement/Bureau des études", "Direction de l'eau / Service assainissement", "Petite enfance/Crèche Hélène",
		"Propreté > Secteur Nord > Équipe 3", "Secrétariat général", "Musées, arts/Conservation",
	}
	staff = []string{"titulaire", "Stagiaire", "CONTRACTUEL", "vacataire", "saisonnière", "apprenti", "stagiaire école", "Service civique", "élue", "prestataire", "tenured"}
	away  = []string{"Congé maternité", "CLM", "congé de longue durée", "CGM", "Congé parental", "détachement", "Disponibilité", "RTT", "mise à disposition", "suspension conservatoire", "short_absence"}
)

func ordinary(i int, r *rand.Rand) person {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	p := person{
		number: fmt.Sprintf("S%06d", i), family: pick(families), given: pick(givens), unit: pick(units), siret: "21750001600019",
		category: pick(staff), position: "Activité", job: fmt.Sprintf("E%03d", r.IntN(300)), label: "Chargé·e d’études", hrUnit: "UGD 4",
		email: fmt.Sprintf("Agent.%d@ville.example.org", i), birthDate: "12/03/1980",
		from: fmt.Sprintf("%02d/%02d/%d", 1+r.IntN(28), 1+r.IntN(12), 1990+r.IntN(30)),
	}
	if i > 0 && r.IntN(2) == 0 {
		p.manager = fmt.Sprintf("s%06d", r.IntN(i))
	}
	switch r.IntN(10) {
	case 0:
		p.email, p.mobile = "", "06 12 34 56 78"
	case 1:
		p.personalEmail, p.mobile = "prénom"[:2]+"@maison.example", "+33 (0)7-98-76-54-32"
	case 2:
		p.until = "31/12/9999"
	case 3:
		p.until, p.usage = "2030-06-30", pick(families)
	case 4:
		p.absence, p.absenceFrom = pick(away), "2026-01-05"
		if r.IntN(2) == 0 {
			p.absenceUntil = "05/01/2027"
		}
	}
	return p
}

// spoils are what goes wrong with a line, and what must be said of it.
var spoils = []struct {
	name  string
	do    func(*person)
	fault []string
}{
	{"impossible date", func(p *person) { p.from = "31/02/2024" }, []string{"contract_start date"}},
	{"month 13", func(p *person) { p.from = "2026-13-01" }, []string{"contract_start date"}},
	{"year 0202", func(p *person) { p.from = "01/09/0202" }, []string{"contract_start date_range"}},
	{"no name", func(p *person) { p.family = " " }, []string{"civil_family_name required"}},
	{"nothing but a number", func(p *person) { p.family, p.given, p.unit, p.from = "", "", "", "" }, []string{"civil_family_name required", "contract_start required", "given_names required", "org_unit_path required"}},
	{"ends before it begins", func(p *person) { p.from, p.until = "01/09/2024", "31/08/2024" }, []string{"contract_end end_before_start"}},
	{"wrong SIRET", func(p *person) { p.siret = "21750001600018" }, []string{"siret siret"}},
	{"category", func(p *person) { p.category = "divers" }, []string{"staff_category category"}},
	{"an illness", func(p *person) { p.absence, p.absenceFrom = "Dépression sévère", "01/02/2026" }, []string{"absence_reason absence"}},
	{"absence without a start", func(p *person) { p.absence, p.absenceFrom = "CLM", "" }, []string{"absence_start absence_start"}},
	{"dates without an absence", func(p *person) { p.absence, p.absenceFrom = "", "01/02/2026" }, []string{"absence_reason absence_reason"}},
	{"mail", func(p *person) { p.email = "agent@localhost" }, []string{"professional_email email"}},
	{"telephone", func(p *person) { p.mobile = "01 40 00 00 00" }, []string{"personal_mobile mobile"}},
	{"control character", func(p *person) { p.given = "Je\x1ban" }, []string{"given_names control"}},
	{"their own manager", func(p *person) { p.manager = p.number }, []string{"manager_number manager_self"}},
	{"three at once", func(p *person) { p.siret, p.from, p.manager = "12", "2024", "chef!" }, []string{"contract_start date", "manager_number number", "siret siret"}},
}

// cityFile writes an HR file that nobody tuned: n lines, about one in thirty
// of them wrong, and the truth about it. The same seed gives the same people.
func cityFile(n int, seed uint64, sep string, windows bool) ([]byte, truth) {
	r := rand.New(rand.NewPCG(seed, 1))
	t := truth{faults: map[int][]string{}}
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(frenchHeading, ";", sep) + "\r\n")
	line := 1
	write := func(s string, faults ...string) {
		line++
		t.lines++
		b.WriteString(s + "\r\n")
		if len(faults) > 0 {
			t.faults[line] = faults
		}
	}
	numbers, mails := map[int]bool{}, map[int]bool{} // of lines that were read
	for i := range n {
		p := ordinary(i, r)
		switch k := r.IntN(30 * 20); {
		case k < len(spoils):
			spoils[k].do(&p)
			write(p.line(sep), spoils[k].fault...)
		case k == 16 && i > 0 && numbers[i-1]:
			p.number = strings.ToLower(fmt.Sprintf(" s %06d", i-1))
			write(p.line(sep), "agent_number duplicate")
			continue
		case k == 17 && i > 0 && mails[i-1]:
			p.email = fmt.Sprintf("AGENT.%d@Ville.example.org", i-1)
			write(p.line(sep), "professional_email email_duplicate")
		case k == 18:
			write(strings.Join(p.fields()[:5], "_"), "columns")
			continue
		case k == 19:
			write(`"`+p.line(sep), "quote")
			continue
		case k == 20:
			b.WriteString(strings.Repeat(sep, 22) + "\r\n") // an empty line of a spreadsheet
			line++
			write(p.line(sep))
		default:
			write(p.line(sep))
		}
		numbers[i] = true
		mails[i] = p.email == fmt.Sprintf("Agent.%d@ville.example.org", i)
	}
	out := b.String()
	if !windows {
		return []byte("\ufeff" + out), t
	}
	ansi, err := charmap.Windows1252.NewEncoder().String(out)
	if err != nil {
		panic(err)
	}
	return []byte(ansi), t
}

func paris(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}
