package credential

import (
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"parvis"
)

// guard keeps what no account can see: one address that tries many accounts,
// and one password that is tried on many. It lives in memory, in tables of a
// fixed size, and concerns strangers only: what it refuses is refused unhashed
// and is charged to no account, so that a campaign locks nobody out.
type guard struct {
	mu        sync.Mutex
	addresses generations[netip.Prefix, *window]
	passwords generations[mark, *campaign]
}

const (
	perAddress   = 30 // hashed tries in a minute from one address (security.md 2.4, A-1)
	addressSpan  = time.Minute
	maxAddresses = 16384
	spread       = 50 // accounts on which one password was tried (A-2: no more than 100)
	campaignSpan = time.Hour
	maxPasswords = 16384
)

// window holds the moments of the last tries from one address, oldest first
// from next.
type window struct {
	at   [perAddress]int64
	next int
}

// campaign estimates how many accounts one password was tried on: 256 bits,
// one for each account by its hash (linear counting).
type campaign struct {
	bits [4]uint64
	told bool
}

// accounts reads the estimate: m·ln(m/zeros), in whole accounts.
func (c *campaign) accounts() int {
	ones := 0
	for _, w := range c.bits {
		ones += bits.OnesCount64(w)
	}
	// With 45 bits of 256 set, 50 accounts are the likeliest number.
	return ones + ones*ones/(2*256)
}

// admit asks for one hashed try by a stranger. It answers when to come back
// when the answer is no, and whether a campaign was just recognised.
func (g *guard) admit(from string, password mark, account [32]byte, now time.Time) (later time.Time, found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, _ := g.passwords.at(password, now, campaignSpan, maxPasswords)
	if c == nil {
		c = &campaign{}
		g.passwords.put(password, c)
	}
	c.bits[account[0]&3] |= 1 << (account[1] & 63)
	if c.accounts() > spread {
		found = !c.told
		c.told = true
		return now.Add(addressSpan), found
	}
	w, _ := g.addresses.at(parvis.Network(from), now, addressSpan, maxAddresses)
	if w == nil {
		w = &window{}
		g.addresses.put(parvis.Network(from), w)
	}
	// A try that lies more than its span ahead is from before the clock went back.
	at := time.UnixMicro(w.at[w.next])
	if free := at.Add(addressSpan); w.at[w.next] != 0 && now.Before(free) && at.Sub(now) <= addressSpan {
		return free, false
	}
	w.at[w.next] = now.UnixMicro()
	w.next = (w.next + 1) % perAddress
	return time.Time{}, false
}

// forgive takes back the try that admit last wrote down for an address: the
// password was right, and a whole office may stand behind one address.
func (g *guard) forgive(from string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w, ok := g.addresses.at(parvis.Network(from), now, addressSpan, maxAddresses); ok {
		last := (w.next + perAddress - 1) % perAddress
		w.at[last], w.next = 0, last
	}
}

// generations is a bounded table that forgets: a young half and an old half;
// when the young one is full or out of date it becomes the old one.
type generations[K comparable, V any] struct {
	young, old map[K]V
	since      time.Time
}

func (t *generations[K, V]) at(k K, now time.Time, span time.Duration, most int) (V, bool) {
	age := now.Sub(t.since)
	if age >= 2*span {
		t.young = nil
	}
	if t.young == nil || len(t.young) >= most/2 || age >= span || age < 0 {
		t.old, t.young, t.since = t.young, map[K]V{}, now
	}
	if v, ok := t.young[k]; ok {
		return v, true
	}
	v, ok := t.old[k]
	if ok {
		t.young[k] = v
	}
	return v, ok
}

func (t *generations[K, V]) put(k K, v V) { t.young[k] = v }
