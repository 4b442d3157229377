package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"parvis"
)

// Standing gathers the ways in which an agent can prove themselves. An agent
// of whom nothing is kept has a zero Standing, never an error.
func (r reader) Standing(ctx context.Context, number parvis.AgentNumber) (*parvis.Standing, error) {
	all, err := r.standings(ctx, []parvis.AgentNumber{number})
	if err != nil {
		return nil, err
	}
	return all[number], nil
}

// EachStanding hands agents to f one by one with their standing, in the order
// of their numbers. It reads them in pages, which may see different moments.
func (r reader) EachStanding(ctx context.Context, f AgentFilter, each func(*parvis.Agent, *parvis.Standing) error) error {
	left := f.Limit
	for {
		f.Limit = listRows
		if left > 0 {
			f.Limit = min(left, listRows)
		}
		page, err := r.Agents(ctx, f)
		if err != nil || len(page) == 0 {
			return err
		}
		numbers := make([]parvis.AgentNumber, len(page))
		for i := range page {
			numbers[i] = page[i].Number
		}
		all, err := r.standings(ctx, numbers)
		if err != nil {
			return err
		}
		for i := range page {
			if err := each(&page[i], all[page[i].Number]); err != nil {
				return err
			}
		}
		if len(page) < f.Limit || left == len(page) {
			return nil
		}
		f.After = numbers[len(numbers)-1]
		if left > 0 {
			left -= len(page)
		}
	}
}

// fact is one row of what standings asks: what it is about, and what is said.
type fact struct {
	agent       parvis.AgentNumber
	what        string
	text, other string
	from, until int64
	flags       int
}

// standings reads everything that is kept of some agents in one query. Every
// part of it looks up agents by an index.
func (r reader) standings(ctx context.Context, numbers []parvis.AgentNumber) (map[parvis.AgentNumber]*parvis.Standing, error) {
	all := make(map[parvis.AgentNumber]*parvis.Standing, len(numbers))
	args := make([]any, len(numbers))
	for i, n := range numbers {
		all[n], args[i] = &parvis.Standing{}, string(n)
	}
	held := make(map[parvis.AgentNumber][]fact, len(numbers))
	err := r.each(ctx, standingQuery(len(numbers)), args, func(scan func(...any) error) error {
		var f fact
		if err := scan(&f.agent, &f.what, &f.text, &f.other, &f.from, &f.until, &f.flags); err != nil {
			return err
		}
		s := all[f.agent]
		switch f.what {
		case "password":
			s.Activated, s.PasswordLeaked = true, f.flags != 0
			s.PasswordSince, s.PasswordExpires = timeOf(f.from), timeOf(f.until)
		case "wait":
			s.LockedUntil = timeOf(f.until)
		case "held":
			held[f.agent] = append(held[f.agent], f)
		case "temporary":
			s.Temporary = timeOf(f.until)
		case "link":
			s.Links, s.VerifierLinked = append(s.Links, f.text), true
		case "asked":
			s.SecondAsked = timeOf(f.from)
		case "device":
			s.Devices = append(s.Devices, parvis.Device{
				ID: parvis.DeviceID(f.text), Agent: f.agent, Name: f.other, Validated: f.flags&1 != 0, Pending: f.flags&2 != 0,
				FirstSeen: timeOf(f.from), LastSeen: timeOf(f.until),
			})
		}
		return nil
	})
	if err != nil {
		return nil, fail("store.Standing", err)
	}
	for number, s := range all {
		arrange(s, held[number])
	}
	return all, nil
}

// arrange sums up the proofs held, and puts everything in its order: the
// parts of the query answer in any.
func arrange(s *parvis.Standing, held []fact) {
	slices.SortFunc(held, func(a, b fact) int { return cmp.Or(cmp.Compare(a.from, b.from), strings.Compare(a.text, b.text)) })
	for _, h := range held {
		if kind := parvis.ProofKind(h.text); !slices.Contains(s.Enrolled, kind) {
			s.Enrolled = append(s.Enrolled, kind)
		}
		if h.other != "" {
			s.Sites = append(s.Sites, h.other)
		}
	}
	// A passkey opens the door alone; a second proof does not.
	s.Activated = s.Activated || slices.Contains(s.Enrolled, parvis.Passkey)
	slices.Sort(s.Sites)
	s.Sites = slices.Compact(s.Sites)
	slices.Sort(s.Links)
	slices.SortFunc(s.Devices, func(a, b parvis.Device) int { return cmp.Or(a.FirstSeen.Compare(b.FirstSeen), cmp.Compare(a.ID, b.ID)) })
}

// standingQuery asks for the facts of so many agents, whose numbers are its
// arguments. A sheet of recovery codes that is used up is no longer held; the
// waits that are told are those of strangers.
func standingQuery(agents int) string {
	whose := numbered(1, agents)
	return strings.ReplaceAll(`SELECT agent, 'password', '', '', since, expires, CASE WHEN leaked THEN 1 ELSE 0 END FROM password WHERE agent IN WHOSE
		UNION ALL SELECT agent, 'wait', '', '', 0, max(wait_until), 0 FROM budget
			WHERE agent IN WHOSE AND class = '`+elsewhere+`' GROUP BY agent
		UNION ALL SELECT h.agent, 'held', h.kind, h.site, h.since, 0, 0 FROM held_proof h
			WHERE h.agent IN WHOSE AND (h.kind <> '`+string(parvis.RecoveryCode)+`' OR EXISTS
				(SELECT 1 FROM recovery_code c WHERE c.agent = h.agent AND c.batch = h.id AND c.used_at = 0))
		UNION ALL SELECT agent, 'temporary', '', '', 0, expires_at, 0 FROM temporary_code WHERE agent IN WHOSE AND used_at = 0
		UNION ALL SELECT agent, 'link', issuer, '', 0, 0, 0 FROM verifier_link WHERE agent IN WHOSE
		UNION ALL SELECT agent, 'asked', '', '', at, 0, 0 FROM second_request WHERE agent IN WHOSE AND answered_at = 0
		UNION ALL SELECT agent, 'device', id, name, first_seen, last_seen,
			CASE WHEN validated THEN 1 ELSE 0 END + CASE WHEN pending THEN 2 ELSE 0 END FROM device WHERE agent IN WHOSE`, "WHOSE", whose)
}
