package text

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// levels and actors are the closed lists a reason may name (domain 6.1).
var (
	levels = []string{"P0", "P1", "P2", "S"}
	actors = []string{
		"self", "it_contact", "support_desk", "hr_unit", "it_department",
		"app_owner", "verifier_owner", "manager", "sponsor",
	}
)

// draft is a sentence being read: the lines of each language and where it began.
type draft struct {
	lines [2][]string
	where string
}

// parser gathers sentences and faults; all faults are reported together.
type parser struct {
	drafts  map[string]*draft
	order   []string
	reasons []Info
	faults  []error

	where  string
	key    string // the sentence the next fr: or en: belongs to
	reason string // or the reason being read
	steps  [2]int // how many steps it has in each language
}

func newParser() *parser {
	return &parser{drafts: map[string]*draft{}}
}

func (p *parser) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("%s: %w", p.where, fmt.Errorf(format, args...)))
}

// file reads one file. Faults are kept, with name:line, for finish.
func (p *parser) file(name, content string) {
	p.key, p.reason = "", ""
	line := 0
	for raw := range strings.Lines(content) {
		line++
		p.where = name + ":" + strconv.Itoa(line)
		s := strings.TrimSpace(raw)
		switch {
		case s == "" || s[0] == '#':
		case raw[0] != ' ' && raw[0] != '\t':
			p.header(s)
		case p.reason != "":
			p.reasonLine(s)
		case p.key != "":
			p.keyLine(s)
		default:
			p.fault("a sentence without its key")
		}
	}
}

// header reads a line at the margin: a key, or the head of a reason.
func (p *parser) header(s string) {
	p.key, p.reason = "", ""
	rest, isReason := strings.CutPrefix(s, "reason ")
	if !isReason {
		if !isKey(s) {
			p.fault("%q is not a key", s)
			return
		}
		if p.open(s) {
			p.key = s
		}
		return
	}
	words := strings.Fields(strings.ReplaceAll(rest, ",", " "))
	if len(words) < 3 {
		p.fault("a reason names its code, level and actors")
		return
	}
	info := Info{Code: words[0], Level: words[1], Actors: words[2:]}
	if !isName(info.Code) {
		p.fault("%q is not a reason code", info.Code)
		return
	}
	if slices.ContainsFunc(p.reasons, func(r Info) bool { return r.Code == info.Code }) {
		p.fault("the reason %s is here twice", info.Code)
		return
	}
	if !slices.Contains(levels, info.Level) {
		p.fault("%q is not a level", info.Level)
	}
	for _, actor := range info.Actors {
		if !slices.Contains(actors, actor) {
			p.fault("%q is not an actor", actor)
		}
	}
	p.reasons = append(p.reasons, info)
	p.reason, p.steps = info.Code, [2]int{}
	p.open("reason." + info.Code + ".title")
}

// open begins the sentence of a key; a key is written once.
func (p *parser) open(key string) bool {
	if d := p.drafts[key]; d != nil {
		p.fault("%s is already at %s", key, d.where)
		return false
	}
	p.drafts[key] = &draft{where: p.where}
	p.order = append(p.order, key)
	return true
}

func (p *parser) keyLine(s string) {
	l, text, ok := sentence(s)
	if !ok {
		p.fault("%q is neither fr: nor en:", s)
		return
	}
	p.drafts[p.key].add(l, text)
}

// reasonLine reads "part fr: …", "part en: …" or "actions …".
func (p *parser) reasonLine(s string) {
	part, rest, _ := strings.Cut(s, " ")
	rest = strings.TrimSpace(rest)
	if part == "actions" {
		info := &p.reasons[len(p.reasons)-1]
		for _, action := range strings.Fields(strings.ReplaceAll(rest, ",", " ")) {
			if !isName(action) {
				p.fault("%q is not an action", action)
				continue
			}
			info.Actions = append(info.Actions, action)
		}
		return
	}
	l, text, ok := sentence(rest)
	if !ok {
		p.fault("%q is neither a part with fr: or en:, nor actions", s)
		return
	}
	key := "reason." + p.reason + "." + part
	switch part {
	case "title", "why", "meanwhile":
	case "do": // each line is a step of its own
		p.steps[l]++
		key = stepKey("reason."+p.reason, p.steps[l])
	default:
		p.fault("%q is not a part of a reason", part)
		return
	}
	if p.drafts[key] == nil {
		p.open(key)
	}
	p.drafts[key].add(l, text)
}

func (d *draft) add(l int, text string) {
	d.lines[l] = append(d.lines[l], text)
}

// sentence reads "fr: …" or "en: …"; the index is the language's.
func sentence(s string) (l int, text string, ok bool) {
	for i, lang := range languages {
		if text, ok := strings.CutPrefix(s, string(lang)+":"); ok {
			return i, strings.TrimSpace(text), true
		}
	}
	return 0, "", false
}

func isKey(s string) bool {
	dots := 0
	for part := range strings.SplitSeq(s, ".") {
		if !isName(part) {
			return false
		}
		dots++
	}
	return dots > 1
}

// finish compiles what was read, or reports every fault.
func (p *parser) finish() (*Catalog, error) {
	c := &Catalog{entries: make(map[string]*entry, len(p.drafts)), reasons: p.reasons}
	for _, key := range p.order {
		d := p.drafts[key]
		p.where = d.where
		c.entries[key] = p.entry(key, d)
	}
	for _, r := range p.reasons {
		for _, action := range r.Actions {
			if !c.Has("action." + action) {
				p.where = "reason " + r.Code
				p.fault("the action %s has no label", action)
			}
		}
	}
	if p.faults != nil {
		return nil, fmt.Errorf("text: catalogue: %w", errors.Join(p.faults...))
	}
	return c, nil
}

// entry compiles both languages, which must ask for the same values.
func (p *parser) entry(key string, d *draft) *entry {
	var e entry
	var asked [2][]string
	for i, l := range languages {
		s := strings.TrimSpace(strings.Join(d.lines[i], "\n"))
		if s == "" {
			p.fault("%s has no sentence in %s", key, l)
		}
		if l == French {
			s = french(s)
		}
		nodes, err := compile(s)
		if err != nil {
			p.fault("%s in %s: %w", key, l, err)
		}
		asked[i] = names(nodes, nil)
		e[i] = nodes
	}
	for i := range asked {
		for _, name := range asked[i] {
			if !slices.Contains(asked[1-i], name) {
				p.fault("%s asks for {%s} in %s only", key, name, languages[i])
			}
		}
	}
	return &e
}
