package keyring

// state: what a ring works with at one moment. It is immutable: a change makes
// a new one and swaps it in, so that readers take no lock.

import (
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"
)

type state struct {
	version  Version
	loadedAt time.Time
	primary  *liveKey
	keys     map[uint32]*liveKey

	// rolledBackTo is the version that the database went back to, or zero.
	rolledBackTo Version
}

// liveKey is one DEK ready for use.
type liveKey struct {
	Key
	aead tink.AEAD
	// until is when a key that left the keyset is forgotten; zero while it is
	// in the keyset.
	until time.Time
}

// newState builds a state from a keyset. Keys that left since the state before
// are kept for opening until the grace time ends: a reader with an older
// snapshot may still hold what they sealed.
func newState(v Version, k *Keyset, before *state, now time.Time, grace time.Duration) (*state, error) {
	s := &state{version: v, loadedAt: now, keys: make(map[uint32]*liveKey, len(k.keys))}
	for i, key := range k.keys {
		primitive, err := k.primitive(i)
		if err != nil {
			return nil, err
		}
		live := &liveKey{Key: key, aead: primitive}
		s.keys[key.ID] = live
		if key.Status == Primary {
			s.primary = live
		}
	}
	for id, key := range before.keys {
		if _, stays := s.keys[id]; stays {
			continue
		}
		left := *key
		if left.until.IsZero() {
			left.until = now.Add(grace)
		}
		if now.Before(left.until) {
			s.keys[id] = &left
		}
	}
	return s, nil
}

// forget drops the keys whose grace time is over, and tells whether there were
// any. The state must be a copy that nobody else sees yet; the keys' map is
// replaced, not changed.
func (s *state) forget(now time.Time) bool {
	kept := make(map[uint32]*liveKey, len(s.keys))
	for id, key := range s.keys {
		if key.until.IsZero() || now.Before(key.until) {
			kept[id] = key
		}
	}
	forgot := len(kept) != len(s.keys)
	s.keys = kept
	return forgot
}

// loaded reports whether the state has keys: a degraded start has none.
func (s *state) loaded() bool { return s.primary != nil }

// opener gives the key that opens values sealed under id, or nil.
func (s *state) opener(id uint32, now func() time.Time) *liveKey {
	key := s.keys[id]
	if key == nil || (!key.until.IsZero() && !now().Before(key.until)) {
		return nil
	}
	return key
}

// sealer gives a key that is still in the keyset, or nil.
func (s *state) sealer(id uint32) *liveKey {
	if key := s.keys[id]; key != nil && key.until.IsZero() {
		return key
	}
	return nil
}
