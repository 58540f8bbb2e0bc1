package vault

// The sentinels, re-exported by alias from the package that defines each, so
// that errors.Is holds from every package; and the typed errors.

import (
	"fmt"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/store"
)

var (
	// ErrInvalid reports input that cannot be used; the message names the part.
	ErrInvalid = keyring.ErrInvalid

	// ErrNotFound reports that what was named is not there. An integration of
	// another workspace is not there either.
	ErrNotFound = store.ErrNotFound

	// ErrConflict reports that what is there does not allow this, often because
	// others changed it at the same time. Nothing was written.
	ErrConflict = keyring.ErrConflict

	// ErrRetryTransaction reports that the caller's transaction cannot go on,
	// as with a snapshot too old to see the current key: roll back, run it
	// again.
	ErrRetryTransaction = store.ErrRetryTransaction

	// ErrNoKeyset reports a database without a keyset: run `rotate-keys init`.
	ErrNoKeyset = keyring.ErrNoKeyset

	// ErrUnknownKey reports a key that is not in the keyset. From an opening it
	// matches ErrNotOpened too, unless the current keyset could not be loaded:
	// then it matches the reason instead, and says nothing about the credential.
	ErrUnknownKey = keyring.ErrUnknownKey

	// ErrNotOpened reports a credential that does not open here: it was sealed
	// for another place, or is corrupt. Which one cannot be told.
	ErrNotOpened = keyring.ErrNotOpened

	// ErrKEKUnavailable reports that no KEK could unwrap the keyset; see
	// [keyring.KEKError].
	ErrKEKUnavailable = keyring.ErrKEKUnavailable

	// ErrKeysetRolledBack reports that sealing is refused because the database
	// holds an older keyset than this process.
	ErrKeysetRolledBack = keyring.ErrKeysetRolledBack

	// ErrKeysetCorrupt reports a keyset that unwraps but that this version cannot
	// use.
	ErrKeysetCorrupt = keyring.ErrKeysetCorrupt

	// ErrSchema reports tables that this version cannot use: run
	// `rotate-keys migrate up`.
	ErrSchema = store.ErrSchema

	// ErrReplica reports a pool that leads to a read replica: keysets are read
	// from the primary database only.
	ErrReplica = store.ErrReplica

	// ErrClosed reports the use of a vault after Close.
	ErrClosed = keyring.ErrClosed
)

// FieldError says which credential of which integration an error is about.
type FieldError struct {
	Ref   Ref
	Field Field
	Err   error
}

// Error names the integration and the field, never the value.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s of integration %q: %v", e.Field, e.Ref.ID, e.Err)
}

// Unwrap gives the cause.
func (e *FieldError) Unwrap() error { return e.Err }
