package access

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go/types"

	"parvis"
)

// Catalog is what the organisation declared: the facts that rules read besides
// those of the request.
type Catalog struct {
	Apps             []parvis.App
	Profiles         []parvis.Profile
	Calendar         *Calendar               // required; [OfficeHours] is the default of the product
	ChannelHours     map[parvis.Channel]bool // channels that close outside office hours; none by default
	VerifierRequired bool                    // every agent must have linked the second account: one more rule, for all, of mode first
	VerifierRules    []parvis.VerifierRule   // what part the second account has; the strictest that concerns an agent wins
	VerifierFallback bool                    // a second proof may stand in for a verifier that does not answer
	SecondProofReady bool                    // agents can enrol and show a second proof by themselves; if not, the IT contact helps
	EnrolHere        map[parvis.Channel]bool // entrances where a first second proof may be enrolled with a password alone; nil: internal
	// Sites is the site of each entrance: there, only a passkey of that site
	// can be shown, and none where no site is named. Nil: any, everywhere.
	Sites      map[parvis.Channel]string
	DeviceLead time.Duration // usual delay of the validation of a device; 0 when not known
}

// Source is one .cedar file of the organisation.
type Source struct {
	Name string
	Text []byte
}

// policy is rules and facts as they were loaded. It never changes.
type policy struct {
	apps             []application
	byID             map[parvis.AppID]int
	plain            application // no application at all, under the account rules only: see Conditions
	profiles         map[parvis.ProfileID]parvis.Profile
	declared         []parvis.Profile
	calendar         *Calendar
	channelHours     map[parvis.Channel]bool
	verifierRules    []parvis.VerifierRule
	verifierFallback bool
	secondReady      bool
	enrolHere        map[parvis.Channel]bool
	sites            map[parvis.Channel]string
	deviceLead       time.Duration
	kindSets         []types.Value
	rules            map[types.PolicyID]*rule
}

// application is an application as Cedar sees it, with the rules that can
// concern it.
type application struct {
	parvis.App
	entity  types.Entity
	permits []*rule
	forbids []*rule
	reads   factSet // all facts that these rules look at
	own     factSet // … those of the organisation
	ages    []int64 // ages of a second proof, in seconds, at which a rule may change its mind
}

// New checks the catalogue, the shipped policies and the organisation's, and
// gives a Policy that can decide. All faults are reported together, each with
// its file and line, in one error of code invalid.
func New(c Catalog, own ...Source) (*Policy, error) {
	p := &policy{
		byID:             make(map[parvis.AppID]int, len(c.Apps)),
		profiles:         make(map[parvis.ProfileID]parvis.Profile, len(c.Profiles)),
		declared:         c.Profiles,
		calendar:         c.Calendar,
		channelHours:     c.ChannelHours,
		verifierRules:    c.VerifierRules,
		verifierFallback: c.VerifierFallback,
		secondReady:      c.SecondProofReady,
		enrolHere:        c.EnrolHere,
		sites:            c.Sites,
		deviceLead:       c.DeviceLead,
		kindSets:         kindSets(),
	}
	if c.VerifierRequired {
		p.verifierRules = append(slices.Clip(p.verifierRules), parvis.VerifierRule{Mode: parvis.VerifierFirst})
	}
	if p.enrolHere == nil {
		p.enrolHere = map[parvis.Channel]bool{parvis.Internal: true}
	}
	var faults []error
	if p.calendar == nil {
		faults = append(faults, errNoCalendar)
	}
	for _, pr := range c.Profiles {
		p.profiles[pr.ID] = pr
	}
	for i := range c.Apps {
		if err := p.add(c.Apps[i]); err != nil {
			faults = append(faults, err)
		}
	}
	rules, err := p.load(schemaText, own)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "access.New", Err: err}
	}
	p.index(rules)
	return holding(p), nil
}

var errNoCalendar = errors.New("the catalogue has no calendar")

// maxApps keeps the place of an application within 16 bits, for [HeldKey].
const maxApps = 1 << 16

func (p *policy) add(app parvis.App) error {
	if _, twice := p.byID[app.ID]; twice || app.ID == "" {
		return fmt.Errorf("application %q: the name is empty or used twice", app.ID)
	}
	for _, c := range slices.Concat(app.Channels, app.Reduced, app.SecondOn) {
		if !c.Known() {
			return fmt.Errorf("application %s: there is no channel %q", app.ID, c)
		}
	}
	if len(p.apps) == maxApps {
		return fmt.Errorf("application %s: more than %d applications", app.ID, maxApps)
	}
	p.byID[app.ID] = len(p.apps)
	p.apps = append(p.apps, application{App: app, entity: p.appEntity(&app)})
	return nil
}

func (p *policy) appEntity(app *parvis.App) types.Entity {
	var closes []parvis.Channel
	for _, c := range parvis.Channels() {
		if p.channelHours[c] {
			closes = append(closes, c)
		}
	}
	return types.Entity{
		UID: types.NewEntityUID("Application", types.String(app.ID)),
		Attributes: types.NewRecord(types.RecordMap{
			"channels":        channelSet(app.Channels),
			"reduced":         channelSet(app.Reduced),
			"entitled":        types.Boolean(app.Entitled),
			"second":          types.Boolean(app.Second),
			"second_strength": types.Long(demandOf(app).Strength),
			"second_on":       channelSet(app.SecondOn),
			maxAge:            types.Long(app.ProofMaxAge),
			"on_device_vpn":   types.Boolean(app.OnDeviceVPN),
			"office_hours":    types.Boolean(app.OfficeHours),
			"closes_on":       channelSet(closes),
			"hr_documents":    types.Boolean(app.HRDocuments),
			"hr_service":      types.Boolean(app.HRService),
		}),
	}
}

func channelSet(channels []parvis.Channel) types.Set {
	var all []types.Value
	for _, c := range channels {
		all = append(all, types.String(c))
	}
	return types.NewSet(all...)
}

// index gives every application the rules that can concern it.
func (p *policy) index(rules []*rule) {
	p.rules = make(map[types.PolicyID]*rule, len(rules))
	for _, r := range rules {
		p.rules[r.id] = r
	}
	for i := range p.apps {
		p.apps[i].concern(rules)
	}
	p.plain = application{entity: p.appEntity(&parvis.App{})}
	p.plain.concern(slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return r.own || r.file != accountFile }))
}

func (a *application) concern(rules []*rule) {
	for _, r := range rules {
		switch {
		case r.app != "" && r.app != a.ID:
			continue
		case r.reason == "":
			a.permits = append(a.permits, r)
		default:
			a.forbids = append(a.forbids, r)
		}
		a.reads |= r.reads
		if r.own {
			a.own |= r.reads
		}
		a.ages = append(a.ages, r.ages...)
	}
	if a.ProofMaxAge > 0 { // own rules may compare with it
		a.ages = append(a.ages, int64(a.ProofMaxAge), int64(a.ProofMaxAge)+1)
	}
	slices.Sort(a.ages)
	a.ages = slices.Compact(a.ages)
}

func (p *policy) App(id parvis.AppID) (parvis.App, bool) {
	i, ok := p.byID[id]
	if !ok {
		return parvis.App{}, false
	}
	return p.apps[i].App, true
}

func (p *policy) Apps() []parvis.App {
	all := make([]parvis.App, len(p.apps))
	for i := range p.apps {
		all[i] = p.apps[i].App
	}
	return all
}
