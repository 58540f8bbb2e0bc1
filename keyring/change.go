package keyring

// Changing a stored keyset: making the first one, and taking one step.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Create makes the first keyset of this name, with one key of template t,
// wrapped under every KEK. If there is one already it changes nothing:
// [ErrKeysetExists]. actor is who asked, for the history.
func Create(ctx context.Context, s Storage, name string, t Template, keks []KEK, actor string) (Version, error) {
	if err := checkChange(s, name, keks, actor); err != nil {
		return Version{}, err
	}
	k, err := NewKeyset(t)
	if err != nil {
		return Version{}, err
	}
	return swap(ctx, s, name, Version{}, k, keks, Event{Kind: EventInit, KeyID: k.Primary().ID, Actor: actor})
}

// Apply takes one step with a stored keyset and gives its new version. The
// result is wrapped under exactly these KEKs, which must be those the keyset is
// wrapped under now, so that no standby is lost by a process that does not know
// it. If somebody else changed the keyset meanwhile nothing is written:
// [ErrConflict]. If the step is not possible, its error.
func Apply(ctx context.Context, s Storage, name string, keks []KEK, actor string, step Step) (Version, error) {
	if err := checkChange(s, name, keks, actor); err != nil {
		return Version{}, err
	}
	if step == nil {
		return Version{}, fmt.Errorf("%w: no step to take", ErrInvalid)
	}
	w, err := s.Load(ctx, name)
	if err != nil {
		return Version{}, err
	}
	if err := checkSameKEKs(w, keks); err != nil {
		return Version{}, err
	}
	k, err := unwrap(ctx, w, keks, DefaultKEKTimeout)
	if err != nil {
		return Version{}, err
	}
	next, did, key, err := step(k)
	if err != nil {
		return Version{}, err
	}
	return swap(ctx, s, name, w.Version, next, keks, Event{Kind: did, KeyID: key, Actor: actor})
}

func swap(ctx context.Context, s Storage, name string, old Version, k *Keyset, keks []KEK, e Event) (Version, error) {
	version, err := old.next()
	if err != nil {
		return Version{}, err
	}
	next, err := wrap(ctx, k, name, version, keks)
	if err != nil {
		return Version{}, err
	}
	if e.Fingerprint, err = k.Fingerprint(); err != nil {
		return Version{}, err
	}
	if err := s.Swap(ctx, old, next, e); err != nil {
		return Version{}, err
	}
	return version, nil
}

func checkChange(s Storage, name string, keks []KEK, actor string) error {
	switch {
	case s == nil:
		return fmt.Errorf("%w: a keyset needs a storage", ErrInvalid)
	case !isText(name):
		return fmt.Errorf("%w: a keyset needs a name, of 1 to %d bytes of text", ErrInvalid, maxText)
	case !isText(actor):
		return fmt.Errorf("%w: the history needs an actor, who changes the keyset, of 1 to %d bytes of text", ErrInvalid, maxText)
	}
	return checkKEKs(keks)
}

// checkKEKs refuses what a ring or a change cannot work with.
func checkKEKs(keks []KEK) error {
	if len(keks) == 0 {
		return fmt.Errorf("%w: at least one KEK is needed", ErrInvalid)
	}
	for _, kek := range keks {
		if kek == nil {
			return fmt.Errorf("%w: a KEK is nil: make one by OpenKEK", ErrInvalid)
		}
		if !isText(kek.URI()) {
			return fmt.Errorf("%w: a KEK's URI must be 1 to %d bytes of text", ErrInvalid, maxText)
		}
	}
	return nil
}

const maxText = 1000

// isText tells whether Postgres can store a text, and it is not empty.
func isText(text string) bool {
	return text != "" && len(text) <= maxText && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

func checkSameKEKs(w Wrapped, keks []KEK) error {
	var problems []error
	configured := make(map[string]bool, len(keks))
	for _, kek := range keks {
		configured[kek.URI()] = true
		if _, ok := w.Wraps[kek.URI()]; !ok {
			problems = append(problems, fmt.Errorf("%w: the keyset is not wrapped under KEK %s", ErrInvalid, kek.URI()))
		}
	}
	for uri := range w.Wraps {
		if !configured[uri] {
			problems = append(problems, fmt.Errorf("%w: the keyset is wrapped under KEK %s too, which is not configured", ErrInvalid, uri))
		}
	}
	return errors.Join(problems...)
}
