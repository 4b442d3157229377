package session

import (
	"context"

	"parvis"
)

// Version grows when something was recorded that may change a decision about
// an agent: it is the Version of every [Visit] of theirs. Whoever holds a
// decision reads it before the facts.
func (k *Keeper) Version(agent parvis.AgentNumber) uint32 {
	k.ready()
	return k.stamps.at(stampOf(agent))
}

// Live is [Keeper.Session] for whoever must tell a session that is over
// ([parvis.CodeNotFound]) from one of which nothing can be known now
// ([parvis.CodeUnavailable]).
func (k *Keeper) Live(ctx context.Context, id parvis.SessionID) (parvis.Session, error) {
	k.ready()
	now := k.Clock().UnixMicro()
	f, seen, err := k.find(ctx, id, anywhere, now)
	if err != nil {
		return parvis.Session{}, err
	}
	return k.unpack(id, &f, seen, now), nil
}
