package verifier

import (
	"context"
	"encoding/binary"
	"fmt"

	"parvis"
	"parvis/internal/store"
)

// masked is what may be shown of an outside account, so that two can be told
// apart: three figures made from its name under a key of ours, none of them
// taken from it.
func (l *Link) masked(issuer, subject string) string {
	sum := l.Keys.MAC("verifier label", []byte(issuer), []byte(subject))
	return fmt.Sprintf("•••%03d", binary.BigEndian.Uint32(sum[:4])%1000)
}

// vouches refuses an answer that is none, or that is about somebody else than
// whoever left: the caller is mistaken, or is being used.
func vouches(op string, a Answer, agent parvis.AgentNumber, purposes ...string) error {
	for _, p := range purposes {
		if a.Departure.Purpose == p && a.Reason.Code == "" && a.Subject != "" && a.Issuer != "" && agent != "" && a.Departure.Agent == agent {
			return nil
		}
	}
	return &parvis.Error{Code: parvis.CodeRefused, Op: op, Err: errNobody}
}

// Tie makes the outside account the agent's: of "link" when they have none of
// that provider, of "replace" in the place of the one they have. It answers
// verifier_already_linked when it is somebody else's, and
// verifier_account_mismatch when the agent is tied to another one and did not
// ask for a replacement. The same one again is tied still. [parvis.CodeRefused]
// when the answer is not this agent's.
func (l *Link) Tie(ctx context.Context, tx *store.Tx, a Answer, agent parvis.AgentNumber) (parvis.Reason, error) {
	if err := vouches("verifier.Tie", a, agent, purposeLink, purposeReplace); err != nil {
		return parvis.Reason{}, err
	}
	holder, err := tx.LinkBySubject(ctx, a.Issuer, a.Subject)
	switch {
	case err == nil && holder.Agent == agent:
		return l.use(ctx, tx, a, agent, "verifier.confirmed")
	case err == nil:
		return l.decline(tx, a, agent, whyTaken), nil
	case parvis.CodeOf(err) != parvis.CodeNotFound:
		return parvis.Reason{}, err
	}
	tied, err := l.tied(ctx, tx, agent, a.Issuer)
	if err != nil {
		return parvis.Reason{}, err
	}
	if tied && a.Departure.Purpose != purposeReplace {
		return l.decline(tx, a, agent, whyMismatch), nil
	}
	detail := map[string]string{"issuer": a.Issuer, "level": a.Level, "label": a.Masked}
	if tied {
		if _, err := tx.DropLink(ctx, agent, a.Issuer); err != nil {
			return parvis.Reason{}, err
		}
		detail["replaced"] = "true"
	}
	err = tx.PutLink(ctx, store.Link{
		Agent: agent, Issuer: a.Issuer, Subject: a.Subject, Level: a.Level, Label: a.Masked, At: tx.Now(), LastUsed: tx.Now(),
	})
	if parvis.CodeOf(err) == parvis.CodeConflict {
		return l.decline(tx, a, agent, whyTaken), nil
	}
	if err != nil {
		return parvis.Reason{}, err
	}
	tx.Record(event("verifier.linked", agent, a.Departure.Origin, detail))
	return parvis.Reason{}, nil
}

// Confirm takes an answer of "prove" as a proof: the tied account, or
// verifier_account_mismatch. [parvis.CodeRefused] when the answer is not this
// agent's.
func (l *Link) Confirm(ctx context.Context, tx *store.Tx, a Answer, agent parvis.AgentNumber) (parvis.Reason, error) {
	if err := vouches("verifier.Confirm", a, agent, purposeProve); err != nil {
		return parvis.Reason{}, err
	}
	holder, err := tx.LinkBySubject(ctx, a.Issuer, a.Subject)
	if err != nil && parvis.CodeOf(err) != parvis.CodeNotFound {
		return parvis.Reason{}, err
	}
	if err != nil || holder.Agent != agent { // whose it is otherwise is not said
		return l.decline(tx, a, agent, whyMismatch), nil
	}
	return l.use(ctx, tx, a, agent, "verifier.confirmed")
}

// Untie takes the account of a provider away from an agent. by is who does it.
// [parvis.CodeNotFound] when they have none there.
func (l *Link) Untie(ctx context.Context, tx *store.Tx, agent parvis.AgentNumber, issuer, by string) error {
	dropped, err := tx.DropLink(ctx, agent, issuer)
	if err != nil {
		return err
	}
	if !dropped {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: "verifier.Untie"}
	}
	tx.Record(parvis.Event{Kind: "verifier.unlinked", Agent: agent, Actor: by, Detail: map[string]string{"issuer": issuer}})
	return nil
}

func (l *Link) use(ctx context.Context, tx *store.Tx, a Answer, agent parvis.AgentNumber, kind string) (parvis.Reason, error) {
	if err := tx.UseLink(ctx, agent, a.Issuer, a.Level); err != nil {
		return parvis.Reason{}, err
	}
	tx.Record(event(kind, agent, a.Departure.Origin, map[string]string{"issuer": a.Issuer, "level": a.Level}))
	return parvis.Reason{}, nil
}

func (l *Link) decline(tx *store.Tx, a Answer, agent parvis.AgentNumber, why parvis.ReasonCode) parvis.Reason {
	refused(tx, agent, a.Departure.Origin, map[string]string{"provider": a.Departure.Provider, "purpose": a.Departure.Purpose},
		&fault{reason: why, cause: "account"})
	return parvis.Reason{Code: why}
}

// tied tells whether the agent has an account of that provider.
func (l *Link) tied(ctx context.Context, tx *store.Tx, agent parvis.AgentNumber, issuer string) (bool, error) {
	links, err := tx.Links(ctx, agent)
	for _, link := range links {
		if link.Issuer == issuer {
			return true, err
		}
	}
	return false, err
}
