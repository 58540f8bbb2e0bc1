package keyring

// Storage: what a ring needs from the database, declared where it is used.

import "context"

// Storage keeps wrapped keysets. Its methods must be safe for concurrent use,
// and must read from the primary database, never from a replica.
type Storage interface {
	// Version tells the version of a keyset, cheaply. A keyset that is not
	// there is [ErrNoKeyset].
	Version(ctx context.Context, name string) (Version, error)

	// Load gives a keyset whole, as of one moment. A keyset that is not there
	// is [ErrNoKeyset].
	Load(ctx context.Context, name string) (Wrapped, error)

	// Swap replaces the keyset of version old by next and records e, all or
	// nothing, durably. If the stored version is not old it changes nothing:
	// [ErrConflict]. The zero old makes the keyset: [ErrKeysetExists] if there
	// is one.
	Swap(ctx context.Context, old Version, next Wrapped, e Event) error
}

// Wrapped is a keyset as the database holds it.
type Wrapped struct {
	Name string
	Version
	// Wraps holds the keyset as wrapped by each KEK, by the KEK's URI.
	Wraps map[string][]byte
	// Keys is an index of the keyset for SQL. The wrapped keyset is the
	// authority: the index is compared when loaded, never believed.
	Keys []Key
}
