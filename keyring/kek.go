package keyring

// KEK: what wraps keysets, and how one is found by its URI.

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// KEK wraps and unwraps keysets. Its methods may reach a KMS: they take a
// context and should return when it ends. Implementations must be safe for
// concurrent use, must authenticate the associated data, and must not put the
// keyset into an error. An error may say whether trying again can help by a
// method Retryable() bool; see [KEKError].
type KEK interface {
	// URI names the KEK; it labels the wraps in the database. It must be the
	// same in every process and must hold no secret.
	URI() string
	// Wrap encrypts a serialized keyset, of at most 4,096 bytes.
	Wrap(ctx context.Context, keyset, associatedData []byte) ([]byte, error)
	// Unwrap gives back what Wrap was given; with any other associated data
	// it fails.
	Unwrap(ctx context.Context, wrapped, associatedData []byte) ([]byte, error)
}

// Opener makes the KEK that a URI names.
type Opener func(ctx context.Context, uri string) (KEK, error)

// OpenKEK gives the KEK that a URI names. It knows local-keyset://PATH; more
// adds schemes, as "aws-kms". A URI with an unknown scheme is [ErrInvalid].
func OpenKEK(ctx context.Context, uri string, more map[string]Opener) (KEK, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || scheme == "" || rest == "" {
		return nil, fmt.Errorf("%w: a KEK is named by a URI such as %s/etc/strongroom/kek.json", ErrInvalid, localPrefix)
	}
	if open := more[scheme]; open != nil {
		kek, err := open(ctx, uri)
		if err != nil {
			return nil, &KEKError{URI: uri, Op: "open", Err: err}
		}
		return kek, nil
	}
	if scheme == localScheme {
		return openLocalKEK(rest)
	}
	known := append(slices.Sorted(maps.Keys(more)), localScheme)
	return nil, fmt.Errorf("%w: unknown KEK scheme %q; this program knows %s", ErrInvalid, scheme, strings.Join(known, ", "))
}

// callKEK makes one call with a deadline. It returns when the deadline passes
// even if the KEK does not.
func callKEK(ctx context.Context, timeout time.Duration, kek KEK, op string, call func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type answer struct {
		out []byte
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		out, err := call(ctx)
		answered <- answer{out, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, &KEKError{URI: kek.URI(), Op: op, Err: a.err}
		}
		return a.out, nil
	case <-ctx.Done():
		return nil, &KEKError{URI: kek.URI(), Op: op, Err: ctx.Err()}
	}
}
