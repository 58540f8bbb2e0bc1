package keyring

// The sentinels of the key layer. Each is defined once, here; packages above
// re-export them by alias, so errors.Is holds wherever the error is met.

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid reports input that cannot be used; the message names the
	// part and says what is wanted.
	ErrInvalid = errors.New("invalid input")

	// ErrConflict reports that what is there does not allow this, often because
	// somebody else changed it first. Nothing was written; read again and decide
	// anew.
	ErrConflict = errors.New("conflicts with what is there")

	// ErrNoKeyset reports a database that holds no keyset yet. It is made
	// once, by `rotate-keys init` or vault.Init.
	ErrNoKeyset = errors.New("no keyset")

	// ErrKeysetExists reports that a keyset is already there, so that none
	// was made.
	ErrKeysetExists = errors.New("the keyset exists already")

	// ErrUnknownKey reports a key that is not in the keyset. When [Ring.Open]
	// returns it and the storage did say that the keyset is current, the error
	// matches [ErrNotOpened] too; when the look for a newer keyset failed it does
	// not, but matches the reason, as [ErrKEKUnavailable]: that is an outage.
	ErrUnknownKey = errors.New("unknown key")

	// ErrNotOpened reports a sealed value that does not open. It does not say
	// why: authenticated encryption cannot tell a value moved from another
	// place from a corrupt one.
	ErrNotOpened = errors.New("sealed value does not open")

	// ErrKEKUnavailable reports that no configured KEK could wrap or unwrap
	// the keyset. [KEKError] has the details of each attempt.
	ErrKEKUnavailable = errors.New("no KEK is available")

	// ErrKeysetRolledBack reports that the database holds an older keyset
	// than this process, or another one of the same generation, as after a
	// restored backup. Opening goes on; sealing is refused until a newer
	// generation is written.
	ErrKeysetRolledBack = errors.New("the database's keyset was rolled back")

	// ErrKeysetCorrupt reports a keyset that unwraps but breaks the rules: only
	// enabled AES-256-GCM and XAES-256-GCM keys with the TINK prefix and distinct
	// ids, one primary, at most one staged.
	ErrKeysetCorrupt = errors.New("keyset is malformed")

	// ErrClosed reports the use of a ring after Close.
	ErrClosed = errors.New("closed")
)

// KEKError is one failed call of a KEK. It matches [ErrKEKUnavailable], and
// errors.As reaches the cause.
type KEKError struct {
	URI string // which KEK
	Op  string // "wrap", "unwrap" or "open"
	Err error  // the cause
}

// Error names the operation, the KEK, the cause and whether trying again can
// help.
func (e *KEKError) Error() string {
	advice := "trying again will not help before this is mended"
	if e.Retryable() {
		advice = "trying again may help"
	}
	return fmt.Sprintf("%s under %s: %v (%s)", e.Op, e.URI, e.Err, advice)
}

// Unwrap gives the cause and [ErrKEKUnavailable].
func (e *KEKError) Unwrap() []error { return []error{ErrKEKUnavailable, e.Err} }

// Retryable reports whether the same call may succeed later with nothing
// changed: the cause says so by a method Retryable() bool, or it is a timeout.
func (e *KEKError) Retryable() bool {
	var says interface{ Retryable() bool }
	if errors.As(e.Err, &says) {
		return says.Retryable()
	}
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}
