package keyring

import "time"

// SetClock gives tests the clock of a ring.
func (c *Config) SetClock(now func() time.Time) { c.now = now }
