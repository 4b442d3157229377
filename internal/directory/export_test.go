package directory

import (
	"hash/maphash"

	"parvis"
)

// Kept tells whether the facts of an agent are in memory.
func (d *Directory) Kept(number parvis.AgentNumber) bool {
	s := &d.facts[maphash.String(seed, string(number))%shards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.known[number]
	return ok
}
