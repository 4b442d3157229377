package access

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis"
)

// Case is one decision that somebody wrote down and signed: the facts, the
// question, and what the answer must be. A file of cases reads like this, cases
// separated by an empty line:
//
//	# Finances from the mobile portal
//	agent A100001 standard entitled finances
//	proofs password
//	on mobile at Tuesday 2026-11-24 10:00
//	open finances
//	refused channel_not_allowed factor_required
//	way channel internal + proof second
//	way channel vpn + proof second
//
// Unless a line says otherwise, the agent has worked since 2020, is activated
// and linked, and holds no second proof and no device. Lines that say so:
//
//	unit ville/bains · contract from DATE to DATE · not hired · deceased on DATE
//	absence CLASS from DATE to DATE · off since DATE · not activated · not linked
//	password expires DATE TIME · password leaked · locked until DATE TIME
//	enrolled totp sms · proofs password, totp 5 minutes ago
//	passkeys of mobile (they belong to the site of that entrance; of all, unless said)
//	temporary code until DATE TIME (one was handed over and not used)
//	device known|validated|pending (the one of the request) · holds device … (another)
//	open annuaire whole (what its reduced version does not do)
//
// The answer is "opens", "opens limited" or "refused CODE…"; then, each only if
// wanted: "until DATE TIME" or "until further notice", all ways in order or "no
// way", "conditions CODE…" or "no condition". What a case does not state is
// not checked.
type Case struct {
	File  string
	Line  int
	Title string

	request Request
	want    expectation
}

// expectation is what a case demands of the answer; nil where it is silent.
type expectation struct {
	answer     *string // "opens", "opens limited" or "refused CODE…"
	until      *string
	ways       *[]string
	conditions *[]string
}

// lines lists how a line of a case may begin, for the message when one does not.
const lines = "agent, unit, contract, absence, deceased, off, not, locked, password, enrolled, proofs, passkeys, temporary, device, holds, on, open, opens, refused, until, way, no or conditions"

// maxCaseLine bounds a line of a file of cases.
const maxCaseLine = 4096

// ParseCases reads a file of cases. All faults come together, each with file
// and line, in one error of code invalid.
func ParseCases(name string, text []byte, c Catalog) ([]Case, error) {
	if c.Calendar == nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "access.ParseCases", Err: errNoCalendar}
	}
	rd := &caseReader{file: name, catalog: &c, zone: c.Calendar.Zone}
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, maxCaseLine)
	for sc.Scan() {
		rd.line++
		rd.take(strings.TrimSpace(sc.Text()))
	}
	if err := sc.Err(); err != nil {
		rd.line++
		rd.fault(err)
	}
	rd.finish()
	if err := errors.Join(rd.faults...); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "access.ParseCases", Err: err}
	}
	return rd.cases, nil
}

// caseReader is the state of reading: the case that is being written.
type caseReader struct {
	file    string
	line    int
	catalog *Catalog
	zone    *time.Location
	cases   []Case
	faults  []error

	begun    bool
	now      Case
	agent    parvis.Agent
	standing parvis.Standing
	shown    []shownProof
	title    string
}

// shownProof waits for the moment of the case, which may come on a later line.
type shownProof struct {
	kind parvis.ProofKind
	ago  time.Duration
}

func (rd *caseReader) fault(err error) {
	rd.faults = append(rd.faults, fmt.Errorf("%s:%d: %w", rd.file, rd.line, err))
}

func (rd *caseReader) take(line string) {
	switch {
	case line == "":
		rd.finish()
		return
	case line[0] == '#':
		rd.title = strings.TrimSpace(line[1:])
		return
	case !rd.begun:
		rd.begin()
	}
	words := strings.Fields(strings.ReplaceAll(line, ",", " , "))
	if err := rd.read(words[0], words[1:]); err != nil {
		rd.fault(err)
	}
}

func (rd *caseReader) begin() {
	rd.begun = true
	rd.now = Case{File: rd.file, Line: rd.line, Title: rd.title}
	rd.agent = parvis.Agent{Unit: "ville", ContractFrom: time.Date(2020, 1, 1, 0, 0, 0, 0, rd.zone)}
	rd.standing = parvis.Standing{Activated: true, VerifierLinked: true, Sites: rd.sitesOf(parvis.Channels())}
	rd.shown = nil
}

// finish closes the case at an empty line or the end of the file.
func (rd *caseReader) finish() {
	rd.title = ""
	if !rd.begun {
		return
	}
	rd.begun = false
	r, w := &rd.now.request, &rd.now.want
	missing := func(is bool, what string) {
		if is {
			rd.faults = append(rd.faults, fmt.Errorf("%s:%d: the case has no line that begins with %s", rd.file, rd.now.Line, what))
		}
	}
	missing(rd.agent.Number == "", `"agent"`)
	missing(r.At.IsZero(), `"on"`)
	missing(r.App == "" && w.conditions == nil, `"open"`)
	missing(w.answer == nil && w.conditions == nil, `"opens", "refused" or "conditions"`)
	agent, standing := rd.agent, rd.standing
	r.Agent, r.Standing = &agent, &standing
	for _, s := range rd.shown {
		r.Proofs = append(r.Proofs, parvis.Proof{Kind: s.kind, At: r.At.Add(-s.ago)})
	}
	rd.cases = append(rd.cases, rd.now)
}

func (rd *caseReader) read(word string, rest []string) error {
	switch word {
	case "agent":
		return rd.readAgent(rest)
	case "unit", "contract", "absence", "deceased", "off":
		return rd.readHR(word, rest)
	case "not", "locked", "password":
		return rd.readStanding(word, rest)
	case "enrolled", "proofs":
		return rd.readProofs(word, rest)
	case "passkeys", "temporary":
		return rd.readHeld(word, rest)
	case "device", "holds":
		return rd.readDevice(word, rest)
	case "on":
		return rd.readOn(rest)
	case "open":
		name, whole := strings.CutSuffix(strings.Join(rest, " "), " whole")
		if !rd.hasApp(parvis.AppID(name)) {
			return fmt.Errorf("there is no application %q", strings.Join(rest, " "))
		}
		rd.now.request.App, rd.now.request.Full = parvis.AppID(name), whole
		return nil
	}
	return rd.readWant(word, rest)
}

func (rd *caseReader) hasApp(id parvis.AppID) bool {
	return slices.ContainsFunc(rd.catalog.Apps, func(a parvis.App) bool { return a.ID == id })
}

// readAgent reads "NUMBER [PROFILE…] [entitled APP…]".
func (rd *caseReader) readAgent(words []string) error {
	if len(words) == 0 {
		return errors.New("an agent has a number")
	}
	number, ok := parvis.ParseAgentNumber(words[0])
	if !ok {
		return fmt.Errorf("%q is not an agent number", words[0])
	}
	rd.agent.Number = number
	entitled := false
	for _, w := range words[1:] {
		profile := func(p parvis.Profile) bool { return p.ID == parvis.ProfileID(w) }
		switch {
		case w == ",":
		case w == "entitled":
			entitled = true
		case entitled && rd.hasApp(parvis.AppID(w)):
			rd.agent.Entitlements = append(rd.agent.Entitlements, parvis.AppID(w))
		case entitled:
			return fmt.Errorf("there is no application %q", w)
		case w == string(parvis.Standard) || slices.ContainsFunc(rd.catalog.Profiles, profile):
			rd.agent.Profiles = append(rd.agent.Profiles, parvis.ProfileID(w))
		default:
			return fmt.Errorf("there is no profile %q", w)
		}
	}
	return nil
}

func (rd *caseReader) readHR(word string, rest []string) error {
	a := &rd.agent
	var err error
	switch {
	case word == "unit" && len(rest) == 1:
		a.Unit = parvis.UnitPath(rest[0])
	case word == "contract" && begins(rest, "from"):
		a.ContractFrom, a.ContractUntil, err = rd.period(rest[1:])
	case word == "absence" && len(rest) > 1 && rest[1] == "from":
		if a.Absence = parvis.Absence(rest[0]); !slices.Contains(parvis.Absences(), a.Absence) {
			return fmt.Errorf("there is no absence %q", rest[0])
		}
		a.AbsenceFrom, a.AbsenceUntil, err = rd.period(rest[2:])
	case word == "deceased" && begins(rest, "on"):
		a.DeceasedOn, err = rd.date(rest[1:])
	case word == "off" && begins(rest, "since"):
		a.OffSince, err = rd.date(rest[1:])
	default:
		return fmt.Errorf("write: unit PATH, contract from DATE to DATE, absence CLASS from DATE to DATE, deceased on DATE, or off since DATE")
	}
	return err
}

func begins(words []string, with string) bool { return len(words) > 0 && words[0] == with }

func (rd *caseReader) readStanding(word string, rest []string) error {
	st := &rd.standing
	var err error
	switch line := word + " " + strings.Join(rest, " "); {
	case line == "not activated":
		st.Activated = false
	case line == "not linked":
		st.VerifierLinked = false
	case line == "not hired":
		rd.agent.ContractFrom = time.Time{}
	case line == "password leaked":
		st.PasswordLeaked = true
	case word == "password" && begins(rest, "expires"):
		st.PasswordExpires, err = rd.moment(rest[1:])
	case word == "locked" && begins(rest, "until"):
		st.LockedUntil, err = rd.moment(rest[1:])
	default:
		return errors.New("write: not activated, not linked, not hired, locked until DATE TIME, password expires DATE TIME, or password leaked")
	}
	return err
}

// readProofs reads "KIND [N UNIT ago], …".
func (rd *caseReader) readProofs(word string, rest []string) error {
	for part := range strings.SplitSeq(strings.Join(rest, " "), ",") {
		words := strings.Fields(part)
		for len(words) > 0 {
			kind := parvis.ProofKind(words[0])
			if !slices.Contains(proofKinds[:], kind) {
				return fmt.Errorf("there is no proof %q", words[0])
			}
			words = words[1:]
			ago := time.Duration(0)
			if word == "proofs" && len(words) > 2 && words[2] == "ago" {
				var err error
				if ago, err = span(words[0], words[1]); err != nil {
					return err
				}
				words = words[3:]
			}
			if word == "proofs" {
				rd.shown = append(rd.shown, shownProof{kind, ago})
			} else {
				rd.standing.Enrolled = append(rd.standing.Enrolled, kind)
			}
		}
	}
	return nil
}

// readHeld reads "passkeys of CHANNEL…" and "temporary code until DATE TIME".
func (rd *caseReader) readHeld(word string, rest []string) error {
	switch {
	case word == "passkeys" && len(rest) > 1 && rest[0] == "of":
		var channels []parvis.Channel
		for _, w := range rest[1:] {
			c := parvis.Channel(w)
			if !c.Known() {
				return fmt.Errorf("there is no channel %q", c)
			}
			channels = append(channels, c)
		}
		rd.standing.Sites = rd.sitesOf(channels)
		return nil
	case word == "temporary" && len(rest) > 1 && rest[0] == "code" && rest[1] == "until":
		var err error
		rd.standing.Temporary, err = rd.moment(rest[2:])
		return err
	}
	return errors.New("write: passkeys of CHANNEL, or temporary code until DATE TIME")
}

// sitesOf lists the sites of entrances as a standing does: sorted, each once.
func (rd *caseReader) sitesOf(channels []parvis.Channel) []string {
	var all []string
	for _, c := range channels {
		if site := rd.catalog.Sites[c]; site != "" {
			all = append(all, site)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func span(number, unit string) (time.Duration, error) {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", number)
	}
	switch strings.TrimSuffix(unit, "s") {
	case "second":
		return time.Duration(n) * time.Second, nil
	case "minute":
		return time.Duration(n) * time.Minute, nil
	case "hour":
		return time.Duration(n) * time.Hour, nil
	}
	return 0, fmt.Errorf("%q is neither seconds, minutes nor hours", unit)
}

// readDevice reads "device STATE" for the device of the request, "holds
// device STATE" for another device of the agent.
func (rd *caseReader) readDevice(word string, rest []string) error {
	if word == "holds" && begins(rest, "device") {
		rest = rest[1:]
	}
	d := parvis.Device{ID: parvis.DeviceID(word)}
	switch strings.Join(rest, " ") {
	case "known":
	case "validated":
		d.Validated = true
	case "pending":
		d.Pending = true
	default:
		return errors.New("write: device known, device validated or device pending; or holds device …")
	}
	rd.standing.Devices = append(rd.standing.Devices, d)
	if word == "device" {
		rd.now.request.Device = d
	}
	return nil
}

// readOn reads "CHANNEL at [WEEKDAY] DATE TIME".
func (rd *caseReader) readOn(words []string) error {
	if len(words) < 4 || len(words) > 5 || words[1] != "at" {
		return errors.New("write: on CHANNEL at WEEKDAY DATE TIME")
	}
	c := parvis.Channel(words[0])
	if !c.Known() && c != "unknown" {
		return fmt.Errorf("there is no channel %q", c)
	}
	at, err := rd.moment(words[len(words)-2:])
	if err != nil {
		return err
	}
	if len(words) == 5 && words[2] != at.Weekday().String() {
		return fmt.Errorf("%s is a %s", words[3], at.Weekday())
	}
	rd.now.request.Channel, rd.now.request.At = c, at
	return nil
}

// readWant reads the lines that say what the answer must be.
func (rd *caseReader) readWant(word string, rest []string) error {
	w := &rd.now.want
	text := strings.Join(rest, " ")
	switch {
	case word == "opens" && (text == "" || text == "limited"):
		answer := strings.TrimSpace("opens " + text)
		w.answer = &answer
	case word == "refused":
		if err := known(rest); err != nil {
			return err
		}
		answer := "refused " + text
		w.answer = &answer
	case word == "until":
		if text != furtherNotice {
			at, err := rd.moment(rest)
			if err != nil {
				return err
			}
			text = minute(at)
		}
		w.until = &text
	case word == "way":
		return rd.readWay(text)
	case word == "no" && text == "way":
		w.ways = new([]string)
	case word == "no" && text == "condition":
		w.conditions = new([]string)
	case word == "conditions":
		w.conditions = &rest
		return known(rest)
	default:
		return fmt.Errorf("cannot read %q: a line begins with %s", word+" "+text, lines)
	}
	return nil
}

func known(codes []string) error {
	if len(codes) == 0 {
		return errors.New("name at least one reason")
	}
	for _, c := range codes {
		if !parvis.ReasonCode(c).Known() {
			return fmt.Errorf("there is no reason %q", c)
		}
	}
	return nil
}

// readWay reads "KIND WORD [+ KIND WORD…]"; a change of time is "time DATE TIME".
func (rd *caseReader) readWay(text string) error {
	if rd.now.want.ways == nil {
		rd.now.want.ways = new([]string)
	}
	for change := range strings.SplitSeq(text, "+") {
		words := strings.Fields(change)
		if len(words) < 2 {
			return errors.New("write: way KIND WORD + KIND WORD …")
		}
		switch parvis.ChangeKind(words[0]) {
		case parvis.ChangeTime:
			if _, err := rd.moment(words[1:]); err != nil {
				return err
			}
		case parvis.ChangeChannel, parvis.ChangeProof, parvis.ChangeDevice, parvis.ChangeLink, parvis.ChangePassword,
			parvis.ChangeEntitlement, parvis.ChangeAccount:
		default:
			return fmt.Errorf("there is no change of %q", words[0])
		}
	}
	*rd.now.want.ways = append(*rd.now.want.ways, text)
	return nil
}

// period reads "DATE [to DATE]".
func (rd *caseReader) period(words []string) (from, until time.Time, err error) {
	if len(words) == 3 && words[1] == "to" {
		if until, err = rd.date(words[2:]); err != nil {
			return from, until, err
		}
		words = words[:1]
	}
	from, err = rd.date(words)
	return from, until, err
}

func (rd *caseReader) date(words []string) (time.Time, error) {
	text := strings.Join(words, " ")
	t, err := time.ParseInLocation(time.DateOnly, text, rd.zone)
	if err != nil {
		return t, fmt.Errorf("%q is not a date such as 2026-11-24", text)
	}
	return t, nil
}

const minuteLayout = "2006-01-02 15:04"

func (rd *caseReader) moment(words []string) (time.Time, error) {
	text := strings.Join(words, " ")
	t, err := time.ParseInLocation(minuteLayout, text, rd.zone)
	if err != nil {
		return t, fmt.Errorf("%q is not a moment such as 2026-11-24 10:00", text)
	}
	return t, nil
}

const furtherNotice = "further notice"

func minute(t time.Time) string { return t.Format(minuteLayout) }
