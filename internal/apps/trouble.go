package apps

import (
	"slices"
	"sync"
	"time"

	"parvis"
)

// Trouble is something that went wrong between us and an application, for its
// owner to read: never a secret, a token or a name of an agent.
type Trouble struct {
	At       time.Time
	Protocol parvis.Protocol
	Code     string // as the protocol says it: "invalid_grant", "INVALID_TICKET"
	Text     string // what happened, for whoever looks after the application
}

const (
	mostTroubles = 20  // kept for each application
	longestText  = 300 // bytes kept of what happened
)

// troubles are the last ones of each application, in memory.
type troubles struct {
	mu sync.Mutex
	of map[parvis.AppID][]Trouble
}

// Note remembers what went wrong with an application, the last twenty times. It
// is kept in memory, for applications that exist. At is set when it is zero.
func (r *Register) Note(app parvis.AppID, t Trouble) {
	if _, ok := r.App(app); !ok {
		return
	}
	if t.At.IsZero() {
		t.At = r.Clock()
	}
	t.Text = cut(t.Text, longestText)
	t.Code = cut(t.Code, longestText)
	r.troubles.mu.Lock()
	defer r.troubles.mu.Unlock()
	if r.troubles.of == nil {
		r.troubles.of = map[parvis.AppID][]Trouble{}
	}
	all := append(r.troubles.of[app], t)
	r.troubles.of[app] = all[max(0, len(all)-mostTroubles):]
}

// Troubles lists what went wrong with an application, the latest first.
func (r *Register) Troubles(app parvis.AppID) []Trouble {
	r.troubles.mu.Lock()
	defer r.troubles.mu.Unlock()
	all := slices.Clone(r.troubles.of[app])
	slices.Reverse(all)
	return all
}
