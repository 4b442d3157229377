package directory

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parvis"
)

// The columns of the HR file (domain.md 2.4) in the order in which differences
// are shown. The code is the heading in English and the name of the field in a
// fault, a difference and an event.
const (
	colNumber = iota
	colFamilyName
	colUsageName
	colGivenNames
	colUnit
	colSIRET
	colCategory
	colPosition
	colAbsence
	colAbsenceFrom
	colAbsenceUntil
	colContractFrom
	colContractUntil
	colDeceased
	colJobCode
	colJobLabel
	colManager
	colHRUnit
	colEmail
	colPersonalEmail
	colPersonalMobile
	colBadge
	columnCount // those below never reach an agent

	colBirthDate = iota - 1 // read over: Parvis does not keep it
	colUnitPart1            // an HR file may give the tree in up to five columns
	colUnitPart2
	colUnitPart3
	colUnitPart4
	colUnitPart5
	headingCount
)

// column ties a field of the file to a field of the agent, text or date.
type column struct {
	code     string
	max      int  // characters
	personal bool // masked where differences are shown
	text     func(*parvis.Agent) *string
	date     func(*parvis.Agent) *time.Time
}

var columns = [columnCount]column{
	colNumber:         {code: "agent_number", max: 32, text: func(a *parvis.Agent) *string { return (*string)(&a.Number) }},
	colFamilyName:     {code: "civil_family_name", max: 100, text: func(a *parvis.Agent) *string { return &a.FamilyName }},
	colUsageName:      {code: "usage_name", max: 100, text: func(a *parvis.Agent) *string { return &a.UsageName }},
	colGivenNames:     {code: "given_names", max: 100, text: func(a *parvis.Agent) *string { return &a.GivenNames }},
	colUnit:           {code: "org_unit_path", max: 500, text: func(a *parvis.Agent) *string { return (*string)(&a.Unit) }},
	colSIRET:          {code: "siret", max: 30, text: func(a *parvis.Agent) *string { return &a.Employer }},
	colCategory:       {code: "staff_category", max: 60, text: func(a *parvis.Agent) *string { return &a.Category }},
	colPosition:       {code: "statutory_position", max: 100, text: func(a *parvis.Agent) *string { return &a.Position }},
	colAbsence:        {code: "absence_reason", max: 100, text: func(a *parvis.Agent) *string { return (*string)(&a.Absence) }},
	colAbsenceFrom:    {code: "absence_start", date: func(a *parvis.Agent) *time.Time { return &a.AbsenceFrom }},
	colAbsenceUntil:   {code: "absence_expected_end", date: func(a *parvis.Agent) *time.Time { return &a.AbsenceUntil }},
	colContractFrom:   {code: "contract_start", date: func(a *parvis.Agent) *time.Time { return &a.ContractFrom }},
	colContractUntil:  {code: "contract_end", date: func(a *parvis.Agent) *time.Time { return &a.ContractUntil }},
	colDeceased:       {code: "deceased_on", date: func(a *parvis.Agent) *time.Time { return &a.DeceasedOn }},
	colJobCode:        {code: "job_code", max: 60, text: func(a *parvis.Agent) *string { return &a.JobCode }},
	colJobLabel:       {code: "job_label", max: 200, text: func(a *parvis.Agent) *string { return &a.JobLabel }},
	colManager:        {code: "manager_number", max: 32, text: func(a *parvis.Agent) *string { return (*string)(&a.Manager) }},
	colHRUnit:         {code: "hr_unit_code", max: 60, text: func(a *parvis.Agent) *string { return &a.HRUnit }},
	colEmail:          {code: "professional_email", max: 254, text: func(a *parvis.Agent) *string { return &a.Email }},
	colPersonalEmail:  {code: "personal_email", max: 254, personal: true, text: func(a *parvis.Agent) *string { return &a.PersonalEmail }},
	colPersonalMobile: {code: "personal_mobile", max: 40, personal: true, text: func(a *parvis.Agent) *string { return &a.PersonalMobile }},
	colBadge:          {code: "badge_number", max: 60, text: func(a *parvis.Agent) *string { return &a.Badge }},
}

// required are the columns without which no file is read, and the fields
// without which no line is.
var required = [...]int{colNumber, colFamilyName, colGivenNames, colUnit, colContractFrom}

// headings gives the columns by folded heading; the English codes are added to
// it by [columnOf].
var headings = map[string]int{
	"matricule": colNumber, "agent": colNumber, "matriculeagent": colNumber, "soi": colNumber, "numeroagent": colNumber,
	"nom": colFamilyName, "nomfamille": colFamilyName, "nomnaissance": colFamilyName, "nompatronymique": colFamilyName, "nomcivil": colFamilyName,
	"nomusage": colUsageName, "nomusuel": colUsageName, "nommarital": colUsageName,
	"prenom": colGivenNames, "prenoms": colGivenNames,
	"naissance": colBirthDate, "birth": colBirthDate,
	"affectation": colUnit, "structure": colUnit, "cheminunite": colUnit, "uniteorganisationnelle": colUnit, "arborescence": colUnit, "entite": colUnit,
	"direction": colUnitPart1, "sousdirection": colUnitPart2, "service": colUnitPart3, "bureau": colUnitPart4, "unite": colUnitPart4, "site": colUnitPart5,
	"siret": colSIRET, "siretetablissement": colSIRET, "siretemployeur": colSIRET,
	"categorie": colCategory, "categorieagent": colCategory, "categoriepersonnel": colCategory, "typepersonnel": colCategory, "statut": colCategory,
	"position": colPosition, "positionadministrative": colPosition, "positionstatutaire": colPosition,
	"motif": colAbsence, "motifabsence": colAbsence, "absence": colAbsence, "typeabsence": colAbsence,
	"debutabsence": colAbsenceFrom, "absencedebut": colAbsenceFrom,
	"finabsence": colAbsenceUntil, "absencefin": colAbsenceUntil, "finprevueabsence": colAbsenceUntil, "finabsenceprevue": colAbsenceUntil, "finprevisionnelleabsence": colAbsenceUntil,
	"debutcontrat": colContractFrom, "contratdebut": colContractFrom, "entree": colContractFrom, "arrivee": colContractFrom, "prisedeposte": colContractFrom, "priseposte": colContractFrom,
	"fincontrat": colContractUntil, "contratfin": colContractUntil, "sortie": colContractUntil, "depart": colContractUntil,
	"deces": colDeceased, "deceased": colDeceased,
	"emploi": colJobCode, "codeemploi": colJobCode,
	"fonction": colJobLabel, "libelleemploi": colJobLabel, "libellefonction": colJobLabel, "poste": colJobLabel, "metier": colJobLabel,
	"superieur": colManager, "superieurhierarchique": colManager, "matriculesuperieur": colManager, "responsable": colManager, "responsablehierarchique": colManager, "manager": colManager, "encadrant": colManager,
	"ugd": colHRUnit, "codeugd": colHRUnit, "servicerh": colHRUnit, "uniterh": colHRUnit,
	"messagerie": colEmail, "messagerieprofessionnelle": colEmail, "courriel": colEmail, "courrielprofessionnel": colEmail, "email": colEmail,
	"mail": colEmail, "emailprofessionnel": colEmail, "mailprofessionnel": colEmail, "emailpro": colEmail, "mailpro": colEmail, "courrielpro": colEmail, "adresseelectronique": colEmail,
	"courrielpersonnel": colPersonalEmail, "emailpersonnel": colPersonalEmail, "mailpersonnel": colPersonalEmail, "courrielperso": colPersonalEmail, "emailperso": colPersonalEmail, "mailperso": colPersonalEmail,
	"mobile": colPersonalMobile, "mobilepersonnel": colPersonalMobile, "portable": colPersonalMobile, "portablepersonnel": colPersonalMobile, "telephonemobile": colPersonalMobile,
	"telephoneportable": colPersonalMobile, "telephonepersonnel": colPersonalMobile, "mobileperso": colPersonalMobile,
	"badge": colBadge, "badgenumber": colBadge, "carteprofessionnelle": colBadge,
}

// columnOf finds the column a heading names, in whatever case, accents, blanks
// or underscores; −1 when it names none.
func columnOf(heading string) int {
	words := foldWords(heading)
	all := strings.Join(words, "")
	for i := range columns {
		if all == strings.ReplaceAll(columns[i].code, "_", "") {
			return i
		}
	}
	if all == "birthdate" {
		return colBirthDate
	}
	kept := words[:0]
	for i, w := range words {
		switch w {
		case "de", "d", "du", "des", "le", "la", "les", "l":
			continue
		case "date", "numero", "num", "no", "n":
			if i == 0 && len(words) > 1 {
				continue
			}
		}
		kept = append(kept, w)
	}
	if i, ok := headings[strings.Join(kept, "")]; ok {
		return i
	}
	return -1
}

// foldWords gives the words of s without case, accents or signs.
func foldWords(s string) []string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case r == 'œ' || r == 'Œ':
			b.WriteString("oe")
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}

func fold(s string) string { return strings.Join(foldWords(s), "") }
