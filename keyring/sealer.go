package keyring

// Sealer: sealing several values under one key, whatever the ring loads
// meanwhile.

import "fmt"

// MaxPlaintext is the most bytes that one value may have: 64 KiB.
const MaxPlaintext = 64 << 10

// Sealer seals under one key, also if the ring loads another keyset meanwhile:
// for values that must share a key, as those of one row. Use it at once and drop
// it: the storage refuses what is sealed under a key that was destroyed. It is
// safe for concurrent use.
type Sealer struct{ key *liveKey }

// Sealer gives a sealer under the primary key. Errors: [ErrKeysetRolledBack],
// [ErrKEKUnavailable] after a degraded start, [ErrClosed].
func (r *Ring) Sealer() (Sealer, error) {
	s, err := r.sealing()
	if err != nil {
		return Sealer{}, err
	}
	return Sealer{s.primary}, nil
}

// SealerUnder is Sealer under a given key of the keyset, which need not be the
// primary: for a value that joins others in a row whose key must stay. A key that
// is not in the keyset is [ErrUnknownKey].
func (r *Ring) SealerUnder(keyID uint32) (Sealer, error) {
	s, err := r.sealing()
	if err != nil {
		return Sealer{}, err
	}
	key := s.sealer(keyID)
	if key == nil {
		return Sealer{}, unknownKey("seal", keyID, s.version)
	}
	return Sealer{key}, nil
}

// KeyID is the id of the key that it seals under.
func (s Sealer) KeyID() uint32 { return s.key.ID }

// Seal encrypts a value, bound to b. It does no I/O. A value is 1 to
// [MaxPlaintext] bytes and a binding has no empty part, else [ErrInvalid].
func (s Sealer) Seal(plaintext []byte, b Binding) ([]byte, error) {
	if len(plaintext) == 0 || len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("seal: %w: a value has 1 to %d bytes", ErrInvalid, MaxPlaintext)
	}
	if !b.complete() {
		return nil, fmt.Errorf("seal: %w: the binding has an empty part", ErrInvalid)
	}
	return s.key.aead.Encrypt(plaintext, b.AssociatedData())
}

// sealing gives the state to seal with.
func (c *core) sealing() (*state, error) {
	s, err := c.usable()
	if err != nil {
		return nil, err
	}
	if back := s.rolledBackTo; back != (Version{}) {
		return nil, fmt.Errorf("seal: %w: it is at generation %d, this process holds %d: find out why, then write a newer generation",
			ErrKeysetRolledBack, back.Generation, s.version.Generation)
	}
	return s, nil
}
