package store

import (
	"context"
	"errors"
	"time"

	"parvis"
)

// Link is the tie of an agent to an outside account. Nothing else of that
// account is kept.
type Link struct {
	Agent    parvis.AgentNumber
	Issuer   string
	Subject  string
	Level    string // what the issuer said of the last sign-in there (acr); may be empty
	Label    string // how the account is shown to its owner; chosen by us
	At       time.Time
	LastUsed time.Time // zero when never since
}

const linkColumns = `SELECT agent, issuer, subject, level, label, at, last_used FROM verifier_link`

func scanLink(scan func(...any) error) (Link, error) {
	var l Link
	var at, used int64
	err := scan(&l.Agent, &l.Issuer, &l.Subject, &l.Level, &l.Label, &at, &used)
	l.At, l.LastUsed = timeOf(at), timeOf(used)
	return l, err
}

// Links lists the outside accounts that an agent is tied to, by issuer.
func (r reader) Links(ctx context.Context, number parvis.AgentNumber) ([]Link, error) {
	return many(ctx, r, "store.Links", scanLink, linkColumns+` WHERE agent = $1 ORDER BY issuer`, number)
}

// LinkBySubject finds whom an outside account vouches for; [parvis.CodeNotFound]
// for nobody.
func (r reader) LinkBySubject(ctx context.Context, issuer, subject string) (Link, error) {
	return one(ctx, r, "store.LinkBySubject", scanLink, linkColumns+` WHERE issuer = $1 AND subject = $2`, issuer, subject)
}

// PutLink ties an agent to an outside account, in place of another of the same
// issuer. [parvis.CodeConflict] when that account is somebody else's.
func (tx *Tx) PutLink(ctx context.Context, l Link) error {
	const op = "store.PutLink"
	if l.Agent == "" || l.Issuer == "" || l.Subject == "" {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("a tie without its two ends")}
	}
	switch held, err := tx.LinkBySubject(ctx, l.Issuer, l.Subject); {
	case err == nil && held.Agent != l.Agent:
		return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the outside account is somebody else's")}
	case err != nil && parvis.CodeOf(err) != parvis.CodeNotFound:
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO verifier_link (agent, issuer, subject, level, label, at, last_used) VALUES `+places(1, 7)+`
		ON CONFLICT (agent, issuer) DO UPDATE SET subject = excluded.subject, level = excluded.level, label = excluded.label,
			at = excluded.at, last_used = excluded.last_used`,
		l.Agent, l.Issuer, l.Subject, l.Level, l.Label, micros(l.At), micros(l.LastUsed))
	return err
}

// UseLink keeps that an outside account vouched for its agent now, at a level.
// [parvis.CodeNotFound] when the agent has none there.
func (tx *Tx) UseLink(ctx context.Context, number parvis.AgentNumber, issuer, level string) error {
	n, err := tx.exec(ctx, `UPDATE verifier_link SET last_used = $1, level = $2 WHERE agent = $3 AND issuer = $4`,
		micros(tx.now), level, number, issuer)
	if err == nil && n == 0 {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "store.UseLink"}
	}
	return err
}

// DropLink unties an agent from an issuer, and tells whether they were tied.
func (tx *Tx) DropLink(ctx context.Context, number parvis.AgentNumber, issuer string) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM verifier_link WHERE agent = $1 AND issuer = $2`, number, issuer)
	return n == 1, err
}

// SecondRequest is a request for a second method, made to the IT contact.
type SecondRequest struct {
	Agent      parvis.AgentNumber
	At         time.Time
	Note       string
	Answered   time.Time // zero while it is open
	AnsweredBy string
	Case       string // of the desk, when there is one
}

// SecondRequest reads the latest request of an agent, open or answered;
// [parvis.CodeNotFound] for none.
func (r reader) SecondRequest(ctx context.Context, number parvis.AgentNumber) (SecondRequest, error) {
	return one(ctx, r, "store.SecondRequest", func(scan func(...any) error) (SecondRequest, error) {
		var q SecondRequest
		var at, answered int64
		err := scan(&q.Agent, &at, &q.Note, &answered, &q.AnsweredBy, &q.Case)
		q.At, q.Answered = timeOf(at), timeOf(answered)
		return q, err
	}, `SELECT agent, at, note, answered_at, answered_by, case_ref FROM second_request WHERE agent = $1 ORDER BY at DESC LIMIT 1`, number)
}

// PutSecondRequest keeps a request made now. It answers false, and keeps
// nothing, while an earlier one of the agent is open.
func (tx *Tx) PutSecondRequest(ctx context.Context, q SecondRequest) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO second_request (agent, at, note, case_ref) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		q.Agent, micros(tx.now), q.Note, q.Case)
	return n == 1, err
}

// AnswerSecondRequest closes the open request of an agent, and tells whether
// there was one.
func (tx *Tx) AnswerSecondRequest(ctx context.Context, number parvis.AgentNumber, by string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE second_request SET answered_at = $1, answered_by = $2 WHERE agent = $3 AND answered_at = 0`,
		micros(tx.now), by, number)
	return n == 1, err
}
