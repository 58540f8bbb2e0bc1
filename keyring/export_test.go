package keyring

import "time"

// SetClock gives tests the clock of a ring.
func (c *Config) SetClock(now func() time.Time) { c.now = now }

// HeldIDs tells the keys that a ring has in memory.
func HeldIDs(r *Ring) (ids []uint32) {
	for id := range r.state.Load().keys {
		ids = append(ids, id)
	}
	return ids
}
