package keyring

// Wrapping and unwrapping keysets under KEKs.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	gonanoid "github.com/matoous/go-nanoid/v2"
)

// DefaultKeyset is the name of the keyset that a vault uses.
const DefaultKeyset = "default"

// DefaultKEKTimeout bounds one call of a KEK.
const DefaultKEKTimeout = 5 * time.Second

// next gives the version that follows.
func (v Version) next() (Version, error) {
	revision, err := gonanoid.New()
	if err != nil {
		return Version{}, fmt.Errorf("make a revision: %w", err)
	}
	return Version{Generation: v.Generation + 1, Revision: revision}, nil
}

// wrap wraps a keyset under every KEK. Each wrap is unwrapped again and
// compared, so that nothing is stored that does not open.
func wrap(ctx context.Context, k *Keyset, name string, v Version, keks []KEK) (Wrapped, error) {
	serialized, err := k.serialize()
	if err != nil {
		return Wrapped{}, err
	}
	defer clear(serialized)
	w := Wrapped{Name: name, Version: v, Wraps: make(map[string][]byte, len(keks)), Keys: k.Keys()}
	for _, kek := range keks {
		if _, twice := w.Wraps[kek.URI()]; twice {
			return Wrapped{}, fmt.Errorf("%w: KEK %s is given twice", ErrInvalid, kek.URI())
		}
		wrapped, err := wrapVerified(ctx, serialized, v.associatedData(name), kek)
		if err != nil {
			return Wrapped{}, fmt.Errorf("wrap keyset %q: %w", name, err)
		}
		w.Wraps[kek.URI()] = wrapped
	}
	return w, nil
}

func wrapVerified(ctx context.Context, serialized, associatedData []byte, kek KEK) ([]byte, error) {
	// A copy: a KEK that changes its input, or outlives its deadline, must not
	// spoil the next wrap.
	input := bytes.Clone(serialized)
	wrapped, err := callKEK(ctx, DefaultKEKTimeout, kek, "wrap", func(ctx context.Context) ([]byte, error) {
		defer clear(input)
		return kek.Wrap(ctx, input, associatedData)
	})
	if err != nil {
		return nil, err
	}
	back, err := callKEK(ctx, DefaultKEKTimeout, kek, "unwrap", func(ctx context.Context) ([]byte, error) {
		return kek.Unwrap(ctx, wrapped, associatedData)
	})
	if err != nil {
		return nil, err
	}
	defer clear(back)
	if !bytes.Equal(back, serialized) {
		return nil, &KEKError{URI: kek.URI(), Op: "wrap", Err: errors.New("the wrap does not give back what was wrapped")}
	}
	return wrapped, nil
}

// unwrap opens a keyset with the first KEK, in order, that has a wrap and
// answers. KEKs that are not configured are never contacted.
func unwrap(ctx context.Context, w Wrapped, keks []KEK, timeout time.Duration) (*Keyset, error) {
	var failures []error
	for _, kek := range keks {
		wrapped, ok := w.Wraps[kek.URI()]
		if !ok {
			continue
		}
		serialized, err := callKEK(ctx, timeout, kek, "unwrap", func(ctx context.Context) ([]byte, error) {
			return kek.Unwrap(ctx, wrapped, w.associatedData(w.Name))
		})
		if err != nil {
			failures = append(failures, err)
			continue
		}
		k, err := parseKeyset(serialized)
		clear(serialized)
		return k, err
	}
	if len(failures) == 0 {
		return nil, fmt.Errorf("unwrap keyset %q: %w: it is wrapped under %s, and none of these is configured",
			w.Name, ErrKEKUnavailable, strings.Join(slices.Sorted(maps.Keys(w.Wraps)), ", "))
	}
	return nil, fmt.Errorf("unwrap keyset %q: %w", w.Name, errors.Join(failures...))
}
