package config

import "parvis"

// Config is the whole file. The doc tag of a field is its comment.
type Config struct {
	Organisation Organisation `yaml:"organisation" doc:"Who the city is, as people read it."`
	Data         string       `yaml:"data" doc:"Folder for keys, signed heads of the audit log and, by default, the database. Created with mode 0700."`
	Database     string       `yaml:"database" doc:"sqlite:FILE or postgres://… ; empty: parvis.db in the data folder. PostgreSQL when several replicas run."`
	Portals      Portals      `yaml:"portals" doc:"The address of the portal at each entrance. Applications answer one label below it: paie.agents.example.org."`
	Entrances    []Entrance   `yaml:"entrances" doc:"The listeners. The entrance a request came through is decided here, never by what the client says."`
	Operations   string       `yaml:"operations" doc:"Address of /healthz, /readyz and /metrics; keep it away from people."`
	Hours        Hours        `yaml:"office_hours" doc:"When the city hall works."`
	Sessions     Sessions     `yaml:"sessions" doc:"How long a session lasts, by entrance."`
	Mail         Mail         `yaml:"mail" doc:"How messages leave."`
	SMS          SMS          `yaml:"sms" doc:"How text messages leave."`
	Import       Import       `yaml:"import" doc:"The HR file."`
	Verifier     Verifier     `yaml:"verifier" doc:"The outside account that vouches for agents."`
	Second       SecondProof  `yaml:"second_proof" doc:"Second proofs."`
	Passkeys     Passkeys     `yaml:"passkeys" doc:"Passkeys."`
	Profiles     []Profile    `yaml:"profiles" doc:"Sets of demands; the strictest wins. Empty: the four that are shipped."`
	Applications []App        `yaml:"applications" doc:"What is behind the door."`
	Outbound     []string     `yaml:"applications_outbound" doc:"Networks of the organisation that may be reached to fetch an application's keys or to tell it that a session ended; public ones always may."`
	Policies     string       `yaml:"policies" doc:"Folder of the organisation's own .cedar files, added to the shipped ones."`
	Log          Log          `yaml:"log" doc:"What is written on standard error."`

	source *source
}

// Organisation is the face of the installation.
type Organisation struct {
	Name     string    `yaml:"name" doc:"Name of the organisation, as text."`
	Accent   string    `yaml:"accent" doc:"Accent colour, #rrggbb; it must read on white (4.5:1)."`
	Logo     string    `yaml:"logo" doc:"SVG or PNG file of the logo; empty for none."`
	Language string    `yaml:"language" doc:"Language when a browser asks for neither: fr or en."`
	Domains  []string  `yaml:"domains" doc:"Domains of professional mailboxes."`
	SIRET    string    `yaml:"siret" doc:"Number of the main establishment, 14 digits: told of agents whose own is missing or wrong."`
	Notice   Words     `yaml:"notice" doc:"Legal notice of the start page."`
	Contacts []Contact `yaml:"contacts" doc:"Who helps, by role."`
}

// Words is a text in both languages.
type Words struct {
	FR string `yaml:"fr" doc:"In French."`
	EN string `yaml:"en" doc:"In English."`
}

// Contact is somebody to call.
type Contact struct {
	Role  string `yaml:"role" doc:"support_desk, it_contact, it_department, hr_unit, security_officer or verifier_owner."`
	Name  Words  `yaml:"name" doc:"Name to show."`
	Phone string `yaml:"phone" doc:"Telephone number, as it is read."`
	Email string `yaml:"email" doc:"Mailbox."`
	Hours Words  `yaml:"hours" doc:"Opening hours, in words."`
	Open  string `yaml:"open" doc:"Opening time, HH:MM, on working days; with close, pages say whether it is open now."`
	Close string `yaml:"close" doc:"Closing time, HH:MM."`
}

// Portals are the portals' addresses.
type Portals struct {
	Internal string `yaml:"internal" doc:"Origin for internal workstations, https://agents.example.org"`
	VPN      string `yaml:"vpn" doc:"Origin inside the tunnel; empty until the VPN is set up."`
	Mobile   string `yaml:"mobile" doc:"Origin of the mobile portal, https://nomade.example.org"`
}

// Entrance is a listener.
type Entrance struct {
	Channel  string   `yaml:"channel" doc:"internal or mobile: what arriving here proves."`
	Listen   string   `yaml:"listen" doc:"Address and port, 0.0.0.0:443"`
	Networks []string `yaml:"networks" doc:"The organisation's networks. On an internal listener, only these are internal; on a mobile one, these become internal."`
	Proxies  []string `yaml:"proxies" doc:"Reverse proxies in front; only their X-Forwarded-For is believed, read from the right."`
	Cert     string   `yaml:"cert" doc:"TLS certificate chain, PEM. Empty behind a proxy that ends TLS."`
	Key      string   `yaml:"key" doc:"TLS private key, PEM."`
}

// Hours is the calendar.
type Hours struct {
	Zone     string    `yaml:"zone" doc:"Time zone."`
	Open     string    `yaml:"open" doc:"Opening time, HH:MM."`
	Close    string    `yaml:"close" doc:"Closing time, HH:MM."`
	Days     []string  `yaml:"days" doc:"Working days: monday to sunday."`
	Holidays bool      `yaml:"french_holidays" doc:"Closed on French public holidays."`
	Closures []Closure `yaml:"closures" doc:"Other closed days."`
	Channels []string  `yaml:"close_channels" doc:"Entrances that close altogether outside office hours. Applications may ask for office hours one by one."`
}

// Closure is a period when the city hall, or a unit, is closed.
type Closure struct {
	From  string `yaml:"from" doc:"First day, YYYY-MM-DD."`
	Until string `yaml:"until" doc:"Last day, YYYY-MM-DD."`
	Unit  string `yaml:"unit" doc:"Unit path it concerns; empty for all."`
}

// Sessions are the limits of sessions.
type Sessions struct {
	Internal Limits `yaml:"internal" doc:"On internal workstations."`
	VPN      Limits `yaml:"vpn" doc:"Through the VPN."`
	Mobile   Limits `yaml:"mobile" doc:"On the mobile portal."`
}

// Limits bound a session.
type Limits struct {
	Idle string `yaml:"idle" doc:"It ends after so long without use: 60m."`
	Max  string `yaml:"max" doc:"It ends after so long whatever happens: 10h."`
}

// Mail is the way out for messages.
type Mail struct {
	Server   string `yaml:"server" doc:"SMTP server, host:port. Empty: messages wait and config check warns."`
	TLS      string `yaml:"tls" doc:"starttls (required), tls (from the first byte), or none (loopback only)."`
	User     string `yaml:"user" doc:"User for SMTP authentication; empty for none."`
	Password string `yaml:"password_file" doc:"File that holds the password."`
	From     string `yaml:"from" doc:"Address messages come from."`
	Name     string `yaml:"name" doc:"Name messages come from."`
}

// Import bounds the HR file.
type Import struct {
	MaxClosing float64 `yaml:"max_closing_percent" doc:"An import that would close more than this share of agents stops. 0 to 100."`
}

// Profile is a set of demands.
type Profile struct {
	ID           string  `yaml:"id" doc:"Name in policies and tables."`
	Label        Words   `yaml:"label" doc:"Name to show."`
	Sensitive    bool    `yaml:"sensitive" doc:"A second proof everywhere, and two people for some acts."`
	PasswordDays int     `yaml:"password_days" doc:"The password expires after so many days, 30 to 1095; 0 for never (advised for ordinary accounts)."`
	SMSUntil     string  `yaml:"sms_until" doc:"Of a sensitive profile: a text message is accepted as a second proof up to this day included, YYYY-MM-DD. Empty: never."`
	RememberDays int     `yaml:"remember_days" doc:"A browser is not asked again for a second proof for so many days, up to 30; 0: never remembered."`
	Second       Demands `yaml:"second" doc:"The second proof it demands, by entrance."`
}

// Log is what is logged.
type Log struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error."`
	Format string `yaml:"format" doc:"text or json."`
}

// Default is the configuration of an empty file.
func Default() *Config {
	return &Config{
		Organisation: Organisation{Name: "Ville d'Exemple", Accent: "#0b6357", Language: "fr", Domains: []string{"example.org"}},
		Data:         "data",
		Operations:   "127.0.0.1:8084",
		Hours: Hours{
			Zone: "Europe/Paris", Open: "07:00", Close: "20:00", Holidays: true,
			Days: []string{"monday", "tuesday", "wednesday", "thursday", "friday"},
		},
		Sessions: Sessions{
			Internal: Limits{Idle: "60m", Max: "10h"}, VPN: Limits{Idle: "60m", Max: "10h"}, Mobile: Limits{Idle: "30m", Max: "12h"},
		},
		Mail:     Mail{TLS: "starttls"},
		Import:   Import{MaxClosing: 2},
		Verifier: Verifier{Label: Words{FR: "compte de vérification", EN: "verification account"}},
		SMS:      SMS{PerHour: 1000, Country: "FR"},
		Second:   SecondProof{EnrolOn: []string{string(parvis.Internal)}, Shared: []string{string(parvis.Internal)}},
		Profiles: []Profile{
			{ID: string(parvis.Standard), Label: Words{FR: "standard", EN: "standard"}},
			{ID: string(parvis.Executive), Label: Words{FR: "encadrement supérieur", EN: "executive"}, Sensitive: true},
			{ID: string(parvis.ExtendedRights), Label: Words{FR: "droits étendus", EN: "extended rights"}, Sensitive: true, PasswordDays: 365},
			{ID: string(parvis.SocialData), Label: Words{FR: "données sociales", EN: "social data"}, Sensitive: true},
		},
		Log: Log{Level: "info", Format: "text"},
	}
}
