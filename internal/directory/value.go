package directory

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parvis"
)

// categories gives the code of a category of staff by its folded word, in the
// codes of domain.md 2.4 or in French.
var categories = map[string]string{
	"tenured": "tenured", "titulaire": "tenured", "fonctionnaire": "tenured", "fonctionnairetitulaire": "tenured",
	"probationary": "probationary", "stagiaire": "probationary", "fonctionnairestagiaire": "probationary",
	"contract": "contract", "contractuel": "contract", "contractuelle": "contract", "agentcontractuel": "contract", "cdd": "contract", "cdi": "contract",
	"casual": "casual", "vacataire": "casual",
	"seasonal": "seasonal", "saisonnier": "seasonal", "saisonniere": "seasonal",
	"apprentice": "apprentice", "apprenti": "apprentice", "apprentie": "apprentice",
	"intern": "intern", "stagiaireecole": "intern", "stagiairedecole": "intern", "stagiaireetudiant": "intern", "etudiantstagiaire": "intern",
	"civicservice": "civic_service", "servicecivique": "civic_service", "volontaireservicecivique": "civic_service",
	"elected": "elected", "elu": "elected", "elue": "elected",
	"external": "external", "prestataire": "external", "partenaire": "external", "externe": "external",
}

// deceased is the word for the one reason that is not an absence.
const deceased parvis.Absence = "deceased"

// absences gives the class of an absence by its folded word. Only names of
// leave are here: what anybody suffers from is not for this product to know.
var absences = map[string]parvis.Absence{
	"none": "", "neant": "", "aucun": "", "aucune": "", "sansobjet": "", "present": "", "presente": "", "activite": "",
	"shortabsence": parvis.ShortAbsence, "congeannuel": parvis.ShortAbsence, "congesannuels": parvis.ShortAbsence, "ca": parvis.ShortAbsence, "conge": parvis.ShortAbsence,
	"rtt": parvis.ShortAbsence, "cmo": parvis.ShortAbsence, "congemaladieordinaire": parvis.ShortAbsence, "congedemaladieordinaire": parvis.ShortAbsence, "maladieordinaire": parvis.ShortAbsence,
	"formation": parvis.ShortAbsence, "congeformation": parvis.ShortAbsence, "asa": parvis.ShortAbsence, "recuperation": parvis.ShortAbsence,
	"parentalabsence": parvis.ParentalAbsence, "congematernite": parvis.ParentalAbsence, "congedematernite": parvis.ParentalAbsence, "maternite": parvis.ParentalAbsence,
	"congeadoption": parvis.ParentalAbsence, "congedadoption": parvis.ParentalAbsence, "adoption": parvis.ParentalAbsence,
	"congepaternite": parvis.ParentalAbsence, "congedepaternite": parvis.ParentalAbsence, "paternite": parvis.ParentalAbsence, "congedenaissance": parvis.ParentalAbsence,
	"congedepaterniteetdaccueildelenfant": parvis.ParentalAbsence,
	"longsickabsence":                     parvis.LongSickAbsence, "longsick": parvis.LongSickAbsence, "clm": parvis.LongSickAbsence, "cld": parvis.LongSickAbsence, "cgm": parvis.LongSickAbsence,
	"congelonguemaladie": parvis.LongSickAbsence, "congedelonguemaladie": parvis.LongSickAbsence, "congelongueduree": parvis.LongSickAbsence, "congedelongueduree": parvis.LongSickAbsence,
	"congegravemaladie": parvis.LongSickAbsence, "congedegravemaladie": parvis.LongSickAbsence,
	"parentalleave": parvis.ParentalLeave, "congeparental": parvis.ParentalLeave, "congeparentaldeducation": parvis.ParentalLeave,
	"outsideposition": parvis.OutsidePosition, "detachement": parvis.OutsidePosition, "detache": parvis.OutsidePosition, "detachee": parvis.OutsidePosition, "detachementsortant": parvis.OutsidePosition,
	"secondment": parvis.OutsidePosition, "disponibilite": parvis.OutsidePosition, "dispo": parvis.OutsidePosition, "leaveofabsence": parvis.OutsidePosition,
	"miseadisposition": parvis.OutsidePosition, "misadisposition": parvis.OutsidePosition, "miseadisposition100": parvis.OutsidePosition, "madeavailable": parvis.OutsidePosition, "mad": parvis.OutsidePosition,
	"precautionarysuspension": parvis.PrecautionaryOff, "suspension": parvis.PrecautionaryOff, "suspensionconservatoire": parvis.PrecautionaryOff,
	"suspensionatitreconservatoire": parvis.PrecautionaryOff, "suspendu": parvis.PrecautionaryOff, "suspendue": parvis.PrecautionaryOff,
	"deceased": deceased, "deces": deceased, "decede": deceased, "decedee": deceased,
}

// positions gives the code of a statutory position (domain.md 2.2).
var positions = map[string]string{
	"detachemententrant": "active", // who was seconded to us works here
	"activite":           "active", "enactivite": "active", "active": "active", "activity": "active", "positionactive": "active", "act": "active",
	"detachement": "secondment", "detache": "secondment", "detachee": "secondment", "secondment": "secondment", "endetachement": "secondment",
	"disponibilite": "leave_of_absence", "dispo": "leave_of_absence", "endisponibilite": "leave_of_absence", "leaveofabsence": "leave_of_absence",
	"congeparental": "parental_leave", "parentalleave": "parental_leave", "encongeparental": "parental_leave",
	"miseadisposition": "made_available", "misadisposition": "made_available", "madeavailable": "made_available", "mad": "made_available",
}

// positionAway is what a position says by itself when no absence says more.
// A loan is legally "active", yet the agent works elsewhere (domain.md 2.3).
var positionAway = map[string]parvis.Absence{
	"secondment": parvis.OutsidePosition, "leave_of_absence": parvis.OutsidePosition, "made_available": parvis.OutsidePosition,
	"parental_leave": parvis.ParentalLeave,
}

// weight orders the classes by how much they close.
var weight = map[parvis.Absence]int{
	parvis.ShortAbsence: 1, parvis.ParentalAbsence: 2, parvis.ParentalLeave: 3, parvis.LongSickAbsence: 3,
	parvis.OutsidePosition: 4, parvis.PrecautionaryOff: 5,
}

// clean gives a value as plain text: composed (NFC), blanks joined, invisible
// signs removed. A value that begins like a formula is text like any other. It
// answers false for control characters, which no name holds.
func clean(v string) (string, bool) {
	plain := true
	for i := 0; i < len(v); i++ {
		if c := v[i]; c >= 0x7f || c < ' ' || c == ' ' && (i == 0 || i == len(v)-1 || v[i-1] == ' ') {
			plain = false
			break
		}
	}
	if plain {
		return v, true
	}
	var b strings.Builder
	blank := false
	for _, r := range norm.NFC.String(v) {
		switch {
		case unicode.IsSpace(r):
			blank = b.Len() > 0
			continue
		case unicode.Is(unicode.Cf, r): // zero width, direction marks
			continue
		case unicode.IsControl(r):
			return "", false
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

// echo gives v back for a fault when it can be nothing but figures, so that no
// report repeats what was typed about a person.
func echo(v string) string {
	if len(v) > 20 || strings.Trim(v, "0123456789/.-: ") != "" {
		return ""
	}
	return v
}

// parseDate reads 2026-11-24 or 24/11/2026 (or with - or . for /), a midnight
// behind it allowed, as a midnight in zone. It gives the key of what is wrong.
// The far future that HR systems write for "no end" is the zero time.
func parseDate(v string, zone *time.Location, end bool) (time.Time, string) {
	for _, midnight := range []string{"T00:00:00Z", "T00:00:00", " 00:00:00", " 00:00"} {
		v = strings.TrimSuffix(v, midnight)
	}
	var y, m, d string
	parts := strings.FieldsFunc(v, func(r rune) bool { return r == '-' || r == '/' || r == '.' })
	switch {
	case len(parts) != 3 || len(v) != 10:
		return time.Time{}, rejectDate
	case len(parts[0]) == 4 && v[4] == '-' && v[7] == '-':
		y, m, d = parts[0], parts[1], parts[2]
	case len(parts[2]) == 4 && v[2] == v[5]:
		y, m, d = parts[2], parts[1], parts[0]
	default:
		return time.Time{}, rejectDate
	}
	t, err := time.ParseInLocation("2006-01-02", y+"-"+m+"-"+d, zone)
	switch {
	case err != nil:
		return time.Time{}, rejectDate
	case end && t.Year() >= 2900:
		return time.Time{}, ""
	case t.Year() < 1900 || t.Year() > 2200:
		return time.Time{}, rejectDateRange
	}
	return t, ""
}

// siret gives the 14 digits of an establishment, blanks removed, when their
// sum holds (Luhn). La Poste's are known not to obey it.
func siret(v string) (string, bool) {
	v = strings.ReplaceAll(v, " ", "")
	if len(v) != 14 || strings.Trim(v, "0123456789") != "" {
		return "", false
	}
	sum := 0
	for i := range v {
		n := int(v[i] - '0')
		if i%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return v, (sum%10 == 0 || strings.HasPrefix(v, "356000000")) && strings.Trim(v, "0") != ""
}

// mailbox checks the shape of an address (RFC 5321 §4.1.2, dot-string only) and
// gives it with its domain in lower case.
func mailbox(v string) (string, bool) {
	local, domain, ok := strings.Cut(v, "@")
	if !ok || local == "" || len(local) > 64 || len(v) > 254 {
		return "", false
	}
	for _, atom := range strings.Split(local, ".") {
		if atom == "" || strings.IndexFunc(atom, notAtext) >= 0 {
			return "", false
		}
	}
	labels := strings.Split(domain, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.IndexFunc(l, notLabel) >= 0 {
			return "", false
		}
	}
	last := labels[len(labels)-1]
	if len(labels) < 2 || len(last) < 2 || strings.Trim(last, "0123456789") == "" {
		return "", false
	}
	return local + "@" + strings.ToLower(domain), true
}

func notLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
}

func notAtext(r rune) bool { return notLabel(r) && !strings.ContainsRune("!#$%&'*+/=?^_`{|}~", r) }

// overseas gives the country code behind the French mobile prefixes of the
// overseas departments; all others are +33.
var overseas = map[string]string{
	"690": "+590", "691": "+590", "694": "+594", "696": "+596", "697": "+596", "692": "+262", "693": "+262", "639": "+262",
}

// mobile gives a mobile number in E.164. A number without country code is
// French, with or without the zero that spreadsheets eat.
func mobile(v string) (string, bool) {
	v = strings.ReplaceAll(v, "(0)", "")
	v = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" .-/()", r) {
			return -1
		}
		return r
	}, v)
	if rest, ok := strings.CutPrefix(v, "00"); ok {
		v = "+" + rest
	}
	national, french := strings.CutPrefix(v, "+33")
	if !french && !strings.HasPrefix(v, "+") {
		national, french = v, true
	}
	if french {
		national = strings.TrimPrefix(national, "0")
		if len(national) != 9 || strings.Trim(national, "0123456789") != "" || (national[0] != '6' && national[0] != '7') {
			return "", false
		}
		if code, ok := overseas[national[:3]]; ok {
			return code + national, true
		}
		return "+33" + national, true
	}
	digits := v[1:]
	if len(digits) < 8 || len(digits) > 15 || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	return v, true
}

// unitPath reads a path whose parts are divided by "/", ">" or "\".
func unitPath(v string) (parvis.UnitPath, bool) {
	var kept []string
	for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == '/' || r == '>' || r == '\\' }) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if len([]rune(part)) > 100 {
			return "", false
		}
		kept = append(kept, part)
	}
	return parvis.UnitPath(strings.Join(kept, "/")), len(kept) > 0 && len(kept) <= 12
}
