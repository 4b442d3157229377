package demo

import (
	"encoding/csv"
	"strings"
	"time"

	"parvis"
)

// Person is an agent of the city and what they hold, as `/demo/agents` shows it.
type Person struct {
	Number         parvis.AgentNumber `json:"agent_number"`
	Name           string             `json:"name"`
	Email          string             `json:"email,omitempty"`
	Profile        parvis.ProfileID   `json:"profile"`
	Unit           parvis.UnitPath    `json:"unit"`
	Password       string             `json:"password,omitempty"`
	TOTPSecret     string             `json:"totp_secret,omitempty"` // base32, for an authenticator
	Verifier       *Account           `json:"verifier,omitempty"`
	ActivationCode string             `json:"activation_code,omitempty"`

	family, given  string
	job            string
	starts         int // days from today
	absence        parvis.Absence
	away, back     int // days from today
	entitled       []parvis.AppID
	role           parvis.Role
	authenticator  bool
	validated      bool // a VPN device that IT validated
	linked         bool // an account at the verifier, tied
	off            bool // since a change of assignment
	personal       string
	activationCode bool // one is waiting at the counter
}

// Account is one at the embedded verifier.
type Account struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// siret is the city's: nobody's, with true check digits (Luhn).
const siret = "99999999800019"

const (
	unitFinances  = "Ville d'Exemple/Direction des finances/Service du budget"
	unitStreets   = "Ville d'Exemple/Direction de la propreté/Secteur Nord"
	unitOffice    = "Ville d'Exemple/Direction générale"
	unitSocial    = "Ville d'Exemple/Direction de l'action sociale/Service des aides"
	unitIT        = "Ville d'Exemple/Direction informatique"
	unitHR        = "Ville d'Exemple/Direction des ressources humaines"
	unitPlanning  = "Ville d'Exemple/Direction de l'urbanisme/Permis de construire"
	unitAuditOnes = "Ville d'Exemple/Inspection générale"
)

// people are the agents of contract.md, with passphrases that pass the policy.
func people() []Person {
	return []Person{
		{
			Number: "A100001", family: "Morel", given: "Camille", Unit: unitFinances, job: "Gestionnaire budgétaire", starts: -900,
			Password: "lanterne cerise marché tram", entitled: []parvis.AppID{"finances", "urbanisme"}, linked: true,
		},
		{
			Number: "A100002", family: "Diallo", given: "Moussa", Unit: unitStreets, job: "Agent de propreté", starts: 0,
			personal: "-", activationCode: true, Email: "-",
		},
		{
			Number: "A100003", family: "Garnier", given: "Hélène", Unit: unitOffice, job: "Directrice générale adjointe", starts: -2200, Profile: parvis.Executive,
			Password: "harpe granit oiseau février", entitled: []parvis.AppID{"finances"}, authenticator: true, linked: true,
		},
		{
			Number: "A100004", family: "Lefèvre", given: "Inès", Unit: unitSocial, job: "Travailleuse sociale", starts: -400, Profile: parvis.SocialData,
			Password: "jardin bouilloire comète sable", entitled: []parvis.AppID{"social"}, linked: true,
		},
		{
			Number: "A100005", family: "Nguyen", given: "Paul", Unit: unitIT, job: "Administrateur systèmes", starts: -1500, Profile: parvis.ExtendedRights,
			Password: "phare mandarine escalier lune", entitled: []parvis.AppID{"finances", "social", "urbanisme"}, authenticator: true, validated: true, linked: true,
		},
		{
			Number: "A100006", family: "Rousseau", given: "Claire", Unit: unitPlanning, job: "Instructrice", starts: -1800,
			Password: "violon rivière tuile amande", absence: parvis.ParentalAbsence, away: -213, back: -1, entitled: []parvis.AppID{"urbanisme"}, linked: true,
		},
		{
			Number: "A100007", family: "Petit", given: "Julien", Unit: unitPlanning, job: "Dessinateur", starts: -700,
			Password: "moulin ardoise cannelle pont", entitled: []parvis.AppID{"urbanisme"}, off: true, linked: true,
		},
		{
			Number: "A100008", family: "Benali", given: "Sonia", Unit: unitFinances, job: "Comptable", starts: 0, entitled: []parvis.AppID{"finances"}, activationCode: true,
		},
		{
			Number: "A100010", family: "Caron", given: "Denis", Unit: unitFinances, job: "Correspondant informatique", starts: -1200, role: parvis.RoleITContact,
			Password: "fontaine tricot planète orge", linked: true,
		},
		{
			Number: "A100020", family: "Fabre", given: "Nadia", Unit: unitIT, job: "Technicienne d'assistance", starts: -1000, role: parvis.RoleSupportDesk,
			Password: "bougie sentier myrtille quai", authenticator: true, linked: true,
		},
		{
			Number: "A100030", family: "Marchand", given: "Luc", Unit: unitHR, job: "Gestionnaire RH", starts: -1100, role: parvis.RoleHROfficer,
			Password: "crayon nuage falaise houblon", linked: true,
		},
		{
			Number: "A100040", family: "Roy", given: "Agnès", Unit: unitIT, job: "Responsable des accès", starts: -1300, role: parvis.RoleITDepartment,
			Password: "tambour verger argile signal", authenticator: true, linked: true,
		},
		{
			Number: "A100050", family: "Simon", given: "Marc", Unit: unitAuditOnes, job: "Auditeur", starts: -800, role: parvis.RoleAuditor,
			Password: "rideau colline genièvre pluie", authenticator: true, linked: true,
		},
	}
}

// complete fills in what follows from the rest.
func complete(all []Person) {
	for i := range all {
		p := &all[i]
		p.Name = p.given + " " + p.family
		if p.Profile == "" {
			p.Profile = parvis.Standard
		}
		address := ascii(strings.ToLower(p.given + "." + p.family))
		switch p.Email {
		case "-":
			p.Email = ""
		case "":
			p.Email = address + "@example.org"
		}
		switch p.personal {
		case "-":
			p.personal = ""
		case "":
			p.personal = address + "@perso.example.org"
		}
		if p.linked {
			p.Verifier = &Account{Email: address + "@habitants.example.org", Password: "compte de " + strings.ToLower(ascii(p.given)) + " " + strings.ToLower(string(p.Number))}
		}
	}
}

// ascii folds the accents that occur in the city.
func ascii(s string) string {
	return strings.NewReplacer("É", "e", "é", "e", "è", "e", "ê", "e", "ë", "e", "ï", "i", "ç", "c", " ", "-").Replace(s)
}

// hrFile writes the HR file of the city, as the HR department would send it.
func hrFile(all []Person, today time.Time) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = ';'
	day := func(offset int) string { return today.AddDate(0, 0, offset).Format(time.DateOnly) }
	_ = w.Write([]string{ // a strings.Builder takes everything
		"agent_number", "civil_family_name", "given_names", "org_unit_path", "siret", "staff_category", "statutory_position",
		"absence_reason", "absence_start", "absence_expected_end", "contract_start", "job_label", "hr_unit_code",
		"professional_email", "personal_email", "manager_number",
	})
	for _, p := range all {
		row := []string{
			string(p.Number), p.family, p.given, string(p.Unit), siret, "titulaire", "activité",
			"", "", "", day(p.starts), p.job, "UGD-1", p.Email, p.personal, "",
		}
		if p.absence != "" {
			row[7], row[8], row[9] = string(p.absence), day(p.away), day(p.back)
		}
		_ = w.Write(row)
	}
	w.Flush()
	return b.String()
}
