package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"parvis"
	"parvis/internal/access"
	"parvis/internal/apps"
	"parvis/internal/audit"
	"parvis/internal/config"
	"parvis/internal/credential"
	"parvis/internal/demo"
	"parvis/internal/directory"
	"parvis/internal/helpdesk"
	"parvis/internal/moncompte"
	"parvis/internal/notify"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/store"
	"parvis/internal/text"
	"parvis/internal/verifier"
)

// house is everything that acts, built in the order of the layers. The server
// adds doors to it; the operator's commands use it as it is.
type house struct {
	config *config.Config
	clock  func() time.Time
	log    *slog.Logger
	zone   *time.Location

	words     *text.Catalog
	keys      *seal.Keys
	policy    *access.Policy
	catalog   access.Catalog
	own       []access.Source // the organisation's own policies
	register  *apps.Register
	learn     []func() error // who is told when the applications changed
	addresses *parvis.Addresses
	store     *store.Store
	directory *directory.Directory
	vault     *credential.Vault
	sessions  *session.Keeper
	counter   *helpdesk.Counter
	outbox    *notify.Outbox
	link      *verifier.Link     // nil: no outside account
	embedded  *moncompte.Service // nil: it is not served here
	door      *signin.Hub
	desk      *recovery.Desk
	helpers   helpers
}

// build makes a house of a configuration that has no fault.
func build(ctx context.Context, c *config.Config, clock func() time.Time, log *slog.Logger) (*house, error) {
	h := &house{config: c, clock: clock, log: log}
	var err error
	if h.words, err = text.Load(); err != nil {
		return nil, err
	}
	if err := h.rules(); err != nil {
		return nil, err
	}
	if h.keys, err = seal.OpenKeys(filepath.Join(c.Data, "keys")); err != nil {
		return nil, err
	}
	if h.addresses, err = parvis.NewAddresses(c.Origins()); err != nil {
		return nil, err
	}
	signer, checker := h.keys.Note()
	h.store, err = store.Open(ctx, store.Options{
		URL: h.databaseURL(), Clock: clock, Log: log,
		Heads: audit.Notary{Signer: signer, Verifier: checker}, HeadFile: filepath.Join(c.Data, "heads"),
	})
	if err != nil {
		return nil, err
	}
	if err := h.act(); err != nil {
		return nil, errors.Join(err, h.store.Close())
	}
	if err := h.register.Load(ctx); err != nil {
		return nil, errors.Join(err, h.store.Close())
	}
	return h, nil
}

// databaseURL is the database of the configuration, or the one in its folder.
func (h *house) databaseURL() string {
	if h.config.Database != "" {
		return h.config.Database
	}
	return "sqlite:" + filepath.Join(h.config.Data, "parvis.db")
}

// rules reads what decides: the calendar, the applications, the policies.
func (h *house) rules() error {
	c := h.config
	calendar, err := officeHours(c.Hours)
	if err != nil {
		return err
	}
	if h.zone, err = time.LoadLocation(c.Hours.Zone); err != nil {
		return err
	}
	h.catalog = access.Catalog{
		Apps: c.Apps(), Profiles: c.ProfileList(), Calendar: calendar,
		ChannelHours: map[parvis.Channel]bool{}, VerifierRequired: c.Verifier.Required, VerifierRules: c.VerifierRules(),
		VerifierFallback: c.Verifier.Fallback, SecondProofReady: true, EnrolHere: c.EnrolOn(), Sites: c.Sites(),
	}
	for _, ch := range c.Hours.Channels {
		h.catalog.ChannelHours[parvis.Channel(ch)] = true
	}
	if h.own, err = policyFiles(c.Policies); err != nil {
		return err
	}
	h.policy, err = access.New(h.catalog, h.own...)
	return err
}

// act builds the packages that act, on an open store.
func (h *house) act() error {
	c := h.config
	h.directory = &directory.Directory{
		Store: h.store, Clock: h.clock, Zone: h.zone, MaxClosing: c.Import.MaxClosing / 100,
		Shut: func(tx *store.Tx, number parvis.AgentNumber, why string) error {
			_, err := h.sessions.EndAll(tx, number, parvis.SessionID{}, why)
			return err
		},
	}
	attested, err := attestation(c.Passkeys.Attestation)
	if err != nil {
		return err
	}
	h.vault = &credential.Vault{
		Store: h.store, Keys: h.keys, Clock: h.clock, Words: []string{c.Organisation.Name},
		Memory: hashMemory, Attestation: attested, SMSPerHour: c.SMS.PerHour,
	}
	h.sessions = &session.Keeper{
		Store: h.store, Keys: h.keys, Addresses: h.addresses, Clock: h.clock, Log: h.log, Limits: limits(c.Sessions),
	}
	h.counter = &helpdesk.Counter{Store: h.store, Clock: h.clock}
	h.register = &apps.Register{
		Store: h.store, Clock: h.clock, Log: h.log, Declared: c.Apps(), Apply: h.applications, Allow: h.outbound(),
	}
	smtp, err := mailServer(c.Mail)
	if err != nil {
		return err
	}
	telephones, err := textMessages(c.SMS, h.log)
	if err != nil {
		return err
	}
	h.outbox, err = notify.New(notify.Config{
		Store: h.store, Keys: h.keys, Words: h.words, Clock: h.clock, Log: h.log, SMTP: smtp, SMS: telephones,
		From: sender(c.Mail), Name: c.Mail.Name, Lang: text.Lang(c.Organisation.Language), Zone: h.zone,
		Values: h.values(text.Lang(c.Organisation.Language)),
	})
	if err != nil {
		return err
	}
	if err := h.vouchers(); err != nil {
		return err
	}
	h.door = &signin.Hub{
		Store: h.store, Directory: h.directory, Vault: h.vault, Keeper: h.sessions, Outbox: h.outbox, Keys: h.keys,
		Clock: h.clock, Profiles: h.catalog.Profiles, Domains: c.Organisation.Domains,
		Policy: h.policy, Link: h.link, Fallback: c.Verifier.Fallback, SMS: len(telephones) > 0, Issuer: c.Organisation.Name,
		Country: c.SMS.Country, Contacts: h.contacts, Shared: c.SharedStations(),
	}
	h.desk = &recovery.Desk{
		Store: h.store, Vault: h.vault, Outbox: h.outbox, Keys: h.keys, Addresses: h.addresses,
		Clock: h.clock, Profiles: h.catalog.Profiles, Verifier: c.VerifierDemanded(), Mode: h.verifierMode,
	}
	return nil
}

// hashMemory bounds what password hashing may take: two blocks of 46 MiB on two
// processors, and as many waiting for the collector (product.md section 5).
const hashMemory = 192 << 20

// values are what every sentence may say of this organisation.
func (h *house) values(l text.Lang) text.Args {
	c := h.config
	v := text.Args{"org": c.Organisation.Name}
	if hours := h.hours(l); hours != "" {
		v["hours"] = hours
	}
	if label := parvis.Words(c.Verifier.Label).In(string(l)); label != "" {
		v["verifier_label"] = label
	}
	h.vouching(v, l)
	for _, p := range c.Organisation.Contacts {
		name := parvis.Words(p.Name).In(string(l))
		if name != "" {
			v[p.Role] = name
		}
		if p.Role == "support_desk" {
			v["phone"] = p.Phone
			v["hours_of_support"] = parvis.Words(p.Hours).In(string(l))
		}
	}
	if portal := c.Origins()[parvis.Mobile]; portal != "" {
		v["mobile_url"] = portal
		v["portal"] = portal
	}
	return v
}

// hours says the office hours in words; empty when there are none.
func (h *house) hours(l text.Lang) string {
	days, from, until := h.config.Hours.Weekdays(), h.config.Hours.Open, h.config.Hours.Close
	if len(days) == 0 || h.words == nil {
		return ""
	}
	day := func(d time.Weekday) string { return h.words.Say(l, "weekday."+strings.ToLower(d.String()), nil) }
	at := func(s string) time.Time { t, _ := time.Parse("15:04", s); return t } // checked by config
	return h.words.Say(l, "hours.range", text.Args{
		"from_day": day(days[0]), "to_day": day(days[len(days)-1]), "from_time": at(from), "to_time": at(until),
	})
}

func (h *house) close() error { return h.store.Close() }

func officeHours(c config.Hours) (*access.Calendar, error) {
	cal, err := access.OfficeHours(c.Zone)
	if err != nil {
		return nil, err
	}
	cal.Week = week(c.Weekdays(), c.Open, c.Close)
	cal.Holidays = c.Holidays
	for _, cl := range c.Closures {
		from, err1 := time.ParseInLocation(time.DateOnly, cl.From, cal.Zone)
		until, err2 := time.ParseInLocation(time.DateOnly, cl.Until, cal.Zone)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		cal.Closures = append(cal.Closures, access.Closure{First: from, Last: until, Unit: parvis.UnitPath(cl.Unit)})
	}
	return cal, nil
}

// week opens the same hours on each of the days.
func week(days []time.Weekday, opens, closes string) [7]access.Hours {
	from, _ := minutes(opens) // checked by config
	until, _ := minutes(closes)
	var all [7]access.Hours
	for _, d := range days {
		all[d] = access.Hours{From: from, Until: until}
	}
	return all
}

// minutes reads HH:MM as minutes after midnight.
func minutes(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err
}

// policyFiles reads the organisation's own policies, in the order of their names.
func policyFiles(dir string) ([]access.Source, error) {
	if dir == "" {
		return nil, nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.cedar"))
	if err != nil {
		return nil, err
	}
	var all []access.Source
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, access.Source{Name: name, Text: b})
	}
	return all, nil
}

func limits(s config.Sessions) map[parvis.Channel]session.Limit {
	all := map[parvis.Channel]session.Limit{}
	for ch, l := range map[parvis.Channel]config.Limits{parvis.Internal: s.Internal, parvis.VPN: s.VPN, parvis.Mobile: s.Mobile} {
		idle, ends := l.Durations()
		all[ch] = session.Limit{Idle: idle, Absolute: ends}
	}
	return all
}

// mailServer reads how messages leave. Without a server they wait in the
// outbox, and the log says so at each try.
func mailServer(m config.Mail) (notify.SMTP, error) {
	if m.Server == "" {
		return notify.SMTP{Host: "localhost", Port: 25, Transport: notify.TransportPlain}, nil
	}
	host, port, err := net.SplitHostPort(m.Server)
	if err != nil {
		return notify.SMTP{}, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return notify.SMTP{}, err
	}
	s := notify.SMTP{Host: host, Port: n, Transport: notify.Transport(m.TLS), User: m.User}
	s.Password, err = secretIn(m.Password)
	return s, err
}

// secretIn reads the secret that a file holds; no file, no secret.
func secretIn(file string) (seal.Secret, error) {
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	return seal.Secret(strings.TrimSpace(string(b))), err
}

func sender(m config.Mail) string {
	if m.From == "" {
		return "parvis@localhost"
	}
	return m.From
}

// place says which installation a command is about.
type place struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file (default parvis.yaml)."`
	Data   string `placeholder:"DIR" help:"Folder of a city made by demo --data DIR."`
}

// open reads the installation and builds its house. Warnings go to standard
// error; a fault stops.
func (p place) open(con *console) (*house, error) {
	c, err := p.load(con)
	if err != nil {
		return nil, err
	}
	clock := time.Now
	if p.Data != "" {
		clock = demo.OpenClock(p.Data).Now
	}
	return build(con.ctx, c, clock, slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

func (p place) file() (string, error) {
	switch {
	case p.Config != "" && p.Data != "":
		return "", usage{errors.New("--data and -c name two installations: give one")}
	case p.Data != "":
		return filepath.Join(p.Data, "parvis.yaml"), nil
	case p.Config != "":
		return p.Config, nil
	}
	return "parvis.yaml", nil
}

func (p place) load(con *console) (*config.Config, error) {
	name, err := p.file()
	if err != nil {
		return nil, err
	}
	c, faults, err := config.Load(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, noFile(name)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case p.Data != "": // the folder that was named, even when it was moved or copied
		c.Data = p.Data
	case !filepath.IsAbs(c.Data): // beside the file, wherever the command runs
		c.Data = filepath.Join(filepath.Dir(name), c.Data)
	}
	if printFaults(con.err, name, faults) {
		return nil, fmt.Errorf("%s has faults: nothing was started", name)
	}
	return c, nil
}

func noFile(name string) error {
	return fmt.Errorf("there is no %s; `parvis config init %s` writes one to begin with, `parvis demo` shows a whole city", name, name)
}

// printFaults tells each fault and whether any is more than a warning.
func printFaults(w io.Writer, name string, faults []config.Fault) bool {
	stop := false
	for _, f := range faults {
		fmt.Fprintf(w, "%s: %s\n", name, f)
		stop = stop || !f.Warning
	}
	return stop
}
