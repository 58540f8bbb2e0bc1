package keyring

// The life of a key: stage, promote, destroy. Each step is pure: it makes a new
// keyset and leaves the old one as it is.

import (
	"fmt"

	"github.com/tink-crypto/tink-go/v2/keyset"
)

// EventKind names what happened to a keyset.
type EventKind string

// The steps in the life of a key, as the history records them.
const (
	EventInit    EventKind = "init"    // the first keyset was made, with its first key
	EventStage   EventKind = "stage"   // a key joined
	EventPromote EventKind = "promote" // the staged key became primary
	EventDestroy EventKind = "destroy" // a retired key left
)

// Event is one entry of a keyset's history.
type Event struct {
	Kind        EventKind
	KeyID       uint32 // the key concerned
	Actor       string // who asked for it
	Fingerprint string // of the keyset after it: [Keyset.Fingerprint]
}

// Step is one transformation of a keyset. It gives the new keyset, what it did
// and to which key. Steps keep every keyset valid: a step that is not possible
// now is refused with [ErrConflict], one that never is with [ErrInvalid].
type Step func(*Keyset) (next *Keyset, did EventKind, key uint32, err error)

// Stage adds a new key that does not seal yet.
func Stage(t Template) Step {
	return func(k *Keyset) (*Keyset, EventKind, uint32, error) {
		if staged, ok := k.staged(); ok {
			return nil, "", 0, fmt.Errorf("stage a key: %w: key %d is staged already; promote it first", ErrConflict, staged.ID)
		}
		manager := keyset.NewManagerFromHandle(k.handle)
		id, err := addKey(manager, t)
		if err != nil {
			return nil, "", 0, err
		}
		next, err := fromManager(manager)
		if err == nil {
			err = next.checkSize()
		}
		return next, EventStage, id, err
	}
}

// checkSize refuses a keyset that a KMS could not wrap.
func (k *Keyset) checkSize() error {
	serialized, err := k.serialize()
	if err != nil {
		return err
	}
	defer clear(serialized)
	if len(k.keys) > MaxKeys || len(serialized) > maxKeysetBytes {
		return fmt.Errorf("stage a key: %w: the keyset holds %d keys, and another does not fit; destroy retired ones first",
			ErrInvalid, len(k.keys)-1)
	}
	return nil
}

// Promote makes the staged key primary and retires the primary.
func Promote() Step {
	return func(k *Keyset) (*Keyset, EventKind, uint32, error) {
		staged, ok := k.staged()
		if !ok {
			return nil, "", 0, fmt.Errorf("promote a key: %w: none is staged", ErrConflict)
		}
		manager := keyset.NewManagerFromHandle(k.handle)
		if err := manager.SetPrimary(staged.ID); err != nil {
			return nil, "", 0, fmt.Errorf("promote key %d: %w", staged.ID, err)
		}
		next, err := fromManager(manager)
		return next, EventPromote, staged.ID, err
	}
}

// Destroy removes a retired key. What is still sealed under it can never be
// opened again; the storage refuses while a row uses it.
func Destroy(id uint32) Step {
	return func(k *Keyset) (*Keyset, EventKind, uint32, error) {
		key, ok := k.find(id)
		if !ok {
			return nil, "", 0, fmt.Errorf("destroy key %d: %w", id, ErrUnknownKey)
		}
		if key.Status != Retired {
			return nil, "", 0, fmt.Errorf("destroy key %d: %w: it is %s; only a retired key can go", id, ErrConflict, key.Status)
		}
		manager := keyset.NewManagerFromHandle(k.handle)
		if err := manager.Delete(id); err != nil {
			return nil, "", 0, fmt.Errorf("destroy key %d: %w", id, err)
		}
		next, err := fromManager(manager)
		return next, EventDestroy, id, err
	}
}

func (k *Keyset) staged() (Key, bool) {
	last := k.keys[len(k.keys)-1]
	return last, last.Status == Staged
}
