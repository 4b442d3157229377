package signin

import (
	"slices"

	"parvis"
)

// Rule is what keeps a method from being removed: that it is the only way in,
// what an application demands, or what an entrance does; when all are zero, a
// profile of its owner.
type Rule struct {
	OnlyWay bool
	App     parvis.AppID
	Channel parvis.Channel
}

// Keeps tells whether one of the methods that an agent holds must stay, and by
// whose rule: it is the last way in, or the last that meets what is demanded
// where the agent can really go. What everybody must show on the VPN does not
// concern whoever has no computer for it.
func (h *Hub) Keeps(agent *parvis.Agent, standing *parvis.Standing, held []parvis.Held, id string) (Rule, bool) {
	rest := slices.DeleteFunc(slices.Clone(held), func(m parvis.Held) bool { return m.ID == id })
	key := func(m parvis.Held) bool { return m.Kind == parvis.Passkey }
	if standing.PasswordSince.IsZero() && slices.ContainsFunc(held, key) && !slices.ContainsFunc(rest, key) {
		return Rule{OnlyWay: true}, true
	}
	entrances := slices.DeleteFunc(parvis.Channels(), func(ch parvis.Channel) bool {
		return ch == parvis.VPN && !slices.ContainsFunc(standing.Devices, func(d parvis.Device) bool { return d.Validated || d.Pending })
	})
	last := func(ch parvis.Channel, demanded int) bool {
		before := best(heldKinds(h.usable(held, ch)))
		return best(heldKinds(h.usable(rest, ch))) < min(before, demanded)
	}
	for _, ch := range entrances {
		if d, _ := parvis.Demanded(h.Profiles, agent, ch, h.Clock()); last(ch, d.Strength) {
			return Rule{}, true
		}
	}
	if h.Policy == nil {
		return Rule{}, false
	}
	for _, app := range h.Policy.Apps() {
		if !app.Second || app.Entitled && !slices.Contains(agent.Entitlements, app.ID) {
			continue
		}
		for _, ch := range app.Channels {
			if slices.Contains(entrances, ch) && last(ch, max(app.SecondStrength, parvis.AnySecond)) {
				return Rule{App: app.ID}, true
			}
		}
	}
	for _, ch := range entrances {
		if last(ch, h.demanded(agent, ch)) {
			return Rule{Channel: ch}, true
		}
	}
	return Rule{}, false
}
