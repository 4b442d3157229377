package signin

import (
	"net/netip"
	"sync"
	"time"

	"parvis"
)

// What tries during a wait may write in a quarter of an hour. They are not
// examined, so nothing else holds them: one identifier costs one row, and one
// network has a few.
const (
	waitsSpan    = 15 * time.Minute
	waitsNetwork = 20
	waitsOurs    = 400 // a whole building arrives through one address
	waitsAll     = 4000
	maxWaited    = 4096
)

// waits remembers the references of people who try again during a wait: each
// then costs a look in memory, not a write.
type waits struct {
	mu      sync.Mutex
	told    [2]map[[32]byte]parvis.Reference // young and old
	since   time.Time
	written map[netip.Prefix]int
	all     int
}

// quiet tells whether nothing is to be written about a try: it was told
// already, under the reference that is given, or its network has had its share,
// and there is none.
func (w *waits) quiet(key [32]byte, from parvis.Origin, now time.Time) (parvis.Reference, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.told {
		if ref, ok := m[key]; ok {
			return ref, true
		}
	}
	if age := now.Sub(w.since); w.written == nil || age < 0 || age >= waitsSpan {
		w.since, w.written, w.all = now, map[netip.Prefix]int{}, 0
	}
	network, most := parvis.Network(from.Address), waitsNetwork
	if from.Ours() {
		most = waitsOurs
	}
	if w.written[network] >= most || w.all >= waitsAll {
		return "", true
	}
	w.written[network]++
	w.all++
	return "", false
}

func (w *waits) tell(key [32]byte, ref parvis.Reference) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[0] == nil || len(w.told[0]) >= maxWaited {
		w.told[1], w.told[0] = w.told[0], map[[32]byte]parvis.Reference{}
	}
	w.told[0][key] = ref
}
