package keyring

// Keyset: an immutable set of DEKs, and its serialized form.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead" // also registers the key types: without it keys parse as opaque
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// How large a keyset may be: what AWS KMS encrypts in one call is 4,096 bytes.
// That is 40 AES256_GCM keys, or 38 of XAES_256_GCM_192_BIT_NONCE.
const (
	MaxKeys        = 40
	maxKeysetBytes = 4096
)

// KeyStatus is where a key stands in its life.
type KeyStatus string

// The statuses, in the order that a key passes through them.
const (
	Staged  KeyStatus = "staged"  // loaded by processes, seals nothing yet
	Primary KeyStatus = "primary" // seals every new value
	Retired KeyStatus = "retired" // only opens
)

// Key describes one DEK of a keyset. It holds no key material.
type Key struct {
	ID       uint32
	Status   KeyStatus
	Template Template
	Binding  BindingScheme
}

// Keyset is an immutable set of DEKs: exactly one primary, at most one staged,
// the others retired. It is safe for concurrent use. Formatting one prints the
// ids and statuses of its keys, never their bytes.
//
// The status of a key is told by its place: keys stand in the order they were
// added, the retired ones before the primary, the staged one after it. So a
// plain Tink keyset carries the whole state, authenticated by its wrap.
type Keyset struct {
	handle *keyset.Handle
	keys   []Key
}

// NewKeyset makes a keyset with one new key, its primary.
func NewKeyset(t Template) (*Keyset, error) {
	manager := keyset.NewManager()
	id, err := addKey(manager, t)
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("make a keyset: %w", err)
	}
	return fromManager(manager)
}

// parseKeyset reads what serialize wrote: a Tink keyset in Tink's
// binary form. It accepts only enabled keys of the two templates with distinct
// ids, a primary, and at most one key behind it; anything else is
// [ErrKeysetCorrupt].
func parseKeyset(serialized []byte) (*Keyset, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(serialized)))
	if err != nil {
		return nil, fmt.Errorf("%w: not a Tink keyset in binary form", ErrKeysetCorrupt)
	}
	return fromHandle(handle)
}

func fromManager(manager *keyset.Manager) (*Keyset, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("make a keyset: %w", err)
	}
	return fromHandle(handle)
}

func fromHandle(handle *keyset.Handle) (*Keyset, error) {
	k := &Keyset{handle: handle, keys: make([]Key, 0, handle.Len())}
	seen := make(map[uint32]bool, handle.Len())
	status, behindPrimary := Retired, 0
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("%w: entry %d cannot be read", ErrKeysetCorrupt, i)
		}
		template, err := templateOf(entry.Key())
		if err != nil {
			return nil, err
		}
		if entry.KeyStatus() != keyset.Enabled || entry.KeyID() == 0 || seen[entry.KeyID()] {
			return nil, fmt.Errorf("%w: entry %d is disabled, or its id is zero or there twice", ErrKeysetCorrupt, i)
		}
		seen[entry.KeyID()] = true
		switch {
		case entry.IsPrimary():
			status = Primary
		case status == Primary || status == Staged:
			status, behindPrimary = Staged, behindPrimary+1
		}
		k.keys = append(k.keys, Key{entry.KeyID(), status, template, CurrentBinding})
	}
	if status == Retired || behindPrimary > 1 {
		return nil, fmt.Errorf("%w: it has no primary key, or more than one staged key", ErrKeysetCorrupt)
	}
	return k, nil
}

// Keys lists the keys, oldest first.
func (k *Keyset) Keys() []Key { return append([]Key(nil), k.keys...) }

// Primary is the key that seals.
func (k *Keyset) Primary() Key {
	for _, key := range k.keys {
		if key.Status == Primary {
			return key
		}
	}
	return Key{}
}

// find gives the key with this id.
func (k *Keyset) find(id uint32) (Key, bool) {
	for _, key := range k.keys {
		if key.ID == id {
			return key, true
		}
	}
	return Key{}, false
}

// Fingerprint identifies the key material without revealing it: the first 16
// bytes, in hex, of SHA-256 over the parts "strongroom/v1/fingerprint" and the
// serialized keyset, encoded as in [Binding.AssociatedData]. Two keysets with
// the same fingerprint hold the same keys, in the same order, with the same
// primary.
func (k *Keyset) Fingerprint() (string, error) {
	serialized, err := k.serialize()
	if err != nil {
		return "", err
	}
	defer clear(serialized)
	parts := encodeParts("strongroom/v1/fingerprint", string(serialized))
	defer clear(parts)
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:16]), nil
}

// Format prints the ids and statuses under every verb.
func (k *Keyset) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprint(f, "keyset[")
	for i, key := range k.keys {
		if i > 0 {
			_, _ = fmt.Fprint(f, " ")
		}
		_, _ = fmt.Fprintf(f, "%d:%s", key.ID, key.Status)
	}
	_, _ = fmt.Fprint(f, "]")
}

// serialize gives Tink's binary form, in the clear: the caller wraps it, then
// clears it.
func (k *Keyset) serialize() ([]byte, error) {
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.handle, keyset.NewBinaryWriter(&out)); err != nil {
		return nil, fmt.Errorf("serialize the keyset: %w", err)
	}
	return out.Bytes(), nil
}

// primitive gives the AEAD of one key alone, so that a value is opened by the
// key that it names and by no other.
func (k *Keyset) primitive(i int) (tink.AEAD, error) {
	entry, err := k.handle.Entry(i)
	if err != nil {
		return nil, fmt.Errorf("%w: entry %d cannot be read", ErrKeysetCorrupt, i)
	}
	manager := keyset.NewManager()
	id, err := manager.AddKey(entry.Key())
	if err != nil {
		return nil, fmt.Errorf("key %d: %w", entry.KeyID(), err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("key %d: %w", entry.KeyID(), err)
	}
	single, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("key %d: %w", entry.KeyID(), err)
	}
	return aead.New(single)
}

func addKey(manager *keyset.Manager, t Template) (uint32, error) {
	parameters, err := t.parameters()
	if err != nil {
		return 0, err
	}
	id, err := manager.AddNewKeyFromParameters(parameters)
	if err != nil {
		return 0, fmt.Errorf("make a %s key: %w", t, err)
	}
	return id, nil
}
