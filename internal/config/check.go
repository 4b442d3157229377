package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"parvis"
)

// checker gathers the faults of values that can be read but not used.
type checker struct {
	*Config
	faults []Fault
}

func (c *Config) check() []Fault {
	k := &checker{Config: c}
	k.organisation()
	k.addresses()
	k.hours()
	k.sessions()
	k.mail()
	k.sms()
	k.verifier()
	k.passkeys()
	k.profiles()
	k.applications()
	for i, n := range c.Outbound {
		k.prefix(fmt.Sprintf("applications_outbound[%d]", i), n)
	}
	if c.Import.MaxClosing < 0 || c.Import.MaxClosing > 100 {
		k.fault("import.max_closing_percent", "a share between 0 and 100 is expected")
	}
	if c.Policies != "" {
		if st, err := os.Stat(c.Policies); err != nil || !st.IsDir() {
			k.fault("policies", "there is no such folder: %s", c.Policies)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		k.fault("log.level", "debug, info, warn or error is expected")
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		k.fault("log.format", "text or json is expected")
	}
	if c.Database != "" && !strings.HasPrefix(c.Database, "sqlite:") && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		k.fault("database", "sqlite:FILE or postgres://… is expected")
	}
	return k.faults
}

func (k *checker) fault(path, format string, args ...any) { k.add(path, false, format, args...) }

func (k *checker) warn(path, format string, args ...any) { k.add(path, true, format, args...) }

func (k *checker) add(path string, warning bool, format string, args ...any) {
	line := 0
	if k.source != nil {
		for p := path; p != "" && line == 0; p = parent(p) {
			line = k.source.lines[p]
		}
	}
	k.faults = append(k.faults, Fault{Line: line, Path: path, Message: fmt.Sprintf(format, args...), Warning: warning})
}

func parent(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if i < 0 {
		return ""
	}
	return path[:i]
}

var colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func (k *checker) organisation() {
	o := k.Organisation
	if strings.TrimSpace(o.Name) == "" {
		k.fault("organisation.name", "a name is expected")
	}
	if !colour.MatchString(o.Accent) {
		k.fault("organisation.accent", "a colour such as #0b6357 is expected")
	}
	if o.Language != "fr" && o.Language != "en" {
		k.fault("organisation.language", "fr or en is expected")
	}
	if o.Logo != "" {
		if ext := strings.ToLower(filepath.Ext(o.Logo)); ext != ".svg" && ext != ".png" {
			k.fault("organisation.logo", "an .svg or .png file is expected")
		} else if _, err := os.Stat(o.Logo); err != nil {
			k.fault("organisation.logo", "there is no such file: %s", o.Logo)
		}
	}
	if o.SIRET != "" && !parvis.SIRET(strings.Join(strings.Fields(o.SIRET), "")) {
		k.fault("organisation.siret", "a SIRET of 14 digits whose sum holds is expected")
	}
	if len(o.Domains) == 0 {
		k.warn("organisation.domains", "without domains the sign-in page cannot tell a professional address from another")
	}
	roles := []string{"support_desk", "it_contact", "it_department", "hr_unit", "security_officer", "verifier_owner"}
	for i, c := range o.Contacts {
		if !slices.Contains(roles, c.Role) {
			k.fault(fmt.Sprintf("organisation.contacts[%d].role", i), "one of %s is expected", strings.Join(roles, ", "))
		}
		if c.Open+c.Close != "" {
			k.opening(fmt.Sprintf("organisation.contacts[%d]", i), c.Open, c.Close)
		}
	}
}

func (k *checker) addresses() {
	origins := k.Origins()
	if len(origins) == 0 {
		k.fault("portals", "at least one portal is expected: where do agents go?")
	}
	for ch, origin := range origins {
		path := "portals." + string(ch)
		if _, err := parvis.NewAddresses(map[parvis.Channel]string{ch: origin}); err != nil {
			k.fault(path, "an origin such as https://agents.example.org is expected, without a path")
		} else if u, _ := url.Parse(origin); u.Scheme == "http" && u.Hostname() != "localhost" && !strings.HasSuffix(u.Hostname(), ".localhost") {
			k.fault(path, "people's passwords go through here: https is expected")
		}
	}
	if len(k.Entrances) == 0 {
		k.fault("entrances", "at least one entrance is expected: nothing listens")
	}
	for i, en := range k.Entrances {
		path := fmt.Sprintf("entrances[%d]", i)
		if ch := parvis.Channel(en.Channel); ch != parvis.Internal && ch != parvis.Mobile {
			k.fault(path+".channel", "internal or mobile is expected")
		} else if origins[ch] == "" {
			k.fault(path+".channel", "portals.%s is not set, so nobody could be answered here", ch)
		}
		k.hostPort(path+".listen", en.Listen)
		for j, n := range en.Networks {
			k.prefix(fmt.Sprintf("%s.networks[%d]", path, j), n)
		}
		for j, n := range en.Proxies {
			at := fmt.Sprintf("%s.proxies[%d]", path, j)
			k.prefix(at, n)
			if overlaps(en.Networks, n) {
				k.warn(at, "a proxy inside the organisation's networks: make sure that it always writes X-Forwarded-For")
			}
		}
		if (en.Cert == "") != (en.Key == "") {
			k.fault(path, "cert and key go together")
		}
		for name, file := range map[string]string{"cert": en.Cert, "key": en.Key} {
			k.file(path+"."+name, file)
		}
	}
	if k.Operations != "" {
		k.hostPort("operations", k.Operations)
	}
}

// file checks a file that is named.
func (k *checker) file(path, name string) {
	if name == "" {
		return
	}
	if _, err := os.Stat(name); err != nil {
		k.fault(path, "there is no such file: %s", name)
	}
}

// duration checks a length of time that is given.
func (k *checker) duration(path, value string) {
	if value == "" {
		return
	}
	if d, err := time.ParseDuration(value); err != nil || d <= 0 {
		k.fault(path, "a duration such as 15m is expected")
	}
}

func (k *checker) hostPort(path, value string) {
	if _, _, err := net.SplitHostPort(value); err != nil {
		k.fault(path, "an address and a port are expected, such as 127.0.0.1:8080")
	}
}

// overlaps tells whether a network meets any of the others.
func overlaps(others []string, network string) bool {
	for _, p := range Prefixes([]string{network}) {
		for _, o := range Prefixes(others) {
			if o.Overlaps(p) {
				return true
			}
		}
	}
	return false
}

func (k *checker) prefix(path, value string) {
	if _, err := netip.ParsePrefix(value); err != nil {
		if _, err := netip.ParseAddr(value); err != nil {
			k.fault(path, "a network such as 10.0.0.0/8 is expected")
		}
	}
}

func (k *checker) hours() {
	h := k.Hours
	if _, err := time.LoadLocation(h.Zone); err != nil {
		k.fault("office_hours.zone", "there is no such time zone: %s", h.Zone)
	}
	k.opening("office_hours", h.Open, h.Close)
	for i, d := range h.Days {
		if _, ok := weekday(d); !ok {
			k.fault(fmt.Sprintf("office_hours.days[%d]", i), "a day from monday to sunday is expected")
		}
	}
	for i, c := range h.Closures {
		path := fmt.Sprintf("office_hours.closures[%d]", i)
		a, err1 := time.Parse(time.DateOnly, c.From)
		b, err2 := time.Parse(time.DateOnly, c.Until)
		if err1 != nil || err2 != nil {
			k.fault(path, "from and until are expected as YYYY-MM-DD")
		} else if b.Before(a) {
			k.fault(path, "until comes before from")
		}
	}
	k.channels("office_hours.close_channels", h.Channels)
}

// opening checks a pair of times.
func (k *checker) opening(path, opens, closes string) {
	from, err1 := time.Parse("15:04", opens)
	to, err2 := time.Parse("15:04", closes)
	if err1 != nil {
		k.fault(path+".open", "a time such as 07:00 is expected")
	}
	if err2 != nil {
		k.fault(path+".close", "a time such as 20:00 is expected")
	}
	if err1 == nil && err2 == nil && !from.Before(to) {
		k.fault(path+".close", "closing comes after opening")
	}
}

func (k *checker) channels(path string, names []string) {
	for i, name := range names {
		if !parvis.Channel(name).Known() {
			k.fault(fmt.Sprintf("%s[%d]", path, i), "internal, vpn or mobile is expected")
		}
	}
}

func (k *checker) sessions() {
	for name, l := range map[string]Limits{"internal": k.Sessions.Internal, "vpn": k.Sessions.VPN, "mobile": k.Sessions.Mobile} {
		path := "sessions." + name
		idle, err1 := time.ParseDuration(l.Idle)
		ends, err2 := time.ParseDuration(l.Max)
		switch {
		case err1 != nil || idle <= 0:
			k.fault(path+".idle", "a duration such as 30m is expected")
		case err2 != nil || ends < idle:
			k.fault(path+".max", "a duration such as 10h, not shorter than idle, is expected")
		case idle > time.Hour || ends > 24*time.Hour:
			k.warn(path, "longer than advised: at most 1 h without use and 24 h in all (NIST SP 800-63B-4)")
		}
	}
}

func (k *checker) mail() {
	m := k.Mail
	if m.Server == "" {
		k.warn("mail.server", "no mail server: messages will wait and nobody can activate by mail")
		return
	}
	k.hostPort("mail.server", m.Server)
	if !slices.Contains([]string{"starttls", "tls", "none"}, m.TLS) {
		k.fault("mail.tls", "starttls, tls or none is expected")
	}
	if host, _, err := net.SplitHostPort(m.Server); err == nil && m.TLS == "none" && host != "localhost" && host != "127.0.0.1" && host != "::1" {
		k.fault("mail.tls", "messages carry codes: none is accepted on the machine itself only")
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		k.fault("mail.from", "an address such as acces@example.org is expected")
	}
	k.file("mail.password_file", m.Password)
}

func (k *checker) profiles() {
	seen := map[string]bool{}
	for i, p := range k.Profiles {
		path := fmt.Sprintf("profiles[%d]", i)
		if p.ID == "" || seen[p.ID] {
			k.fault(path+".id", "a name of its own is expected")
		}
		seen[p.ID] = true
		k.demands(path, p)
		switch d := p.PasswordDays; {
		case d != 0 && (d < 30 || d > 1095):
			k.fault(path+".password_days", "0, or 30 to 1095 days, is expected")
		case d != 0 && !p.Sensitive:
			k.warn(path+".password_days", "regular renewal for ordinary accounts departs from NIST SP 800-63B-4 3.1.1.2, ANSSI R24 and ASVS 6.2.10")
		}
	}
	if !seen[string(parvis.Standard)] {
		k.fault("profiles", "the profile standard is expected: it is everybody's")
	}
}

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
