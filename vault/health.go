package vault

// Health: what a readiness probe and an operator want to know.

import "time"

// Health is the state of a vault at one moment. A running vault serves on with
// the keys it holds whatever fails behind it, so it stays Ready; the other
// fields say what needs a person.
type Health struct {
	// Ready reports whether credentials can be opened. It is false only after a
	// degraded start, until a KEK answers.
	Ready bool

	Generation int64     // of the keyset held
	Revision   string    // of the keyset held
	LoadedAt   time.Time // when it was loaded
	PolledAt   time.Time // when the database last answered the poll

	DatabaseErr   error     // why the poll fails; nil if it does not
	DatabaseSince time.Time // since when
	KEKErr        error     // why a newer keyset could not be unwrapped; nil if it could
	KEKSince      time.Time // since when

	RolledBack bool  // the database went back to an older keyset: sealing is refused
	IndexErr   error // how vault_keys differs from the keyset; the keyset counts
}

// Health tells the vault's state. It does no I/O.
func (v *Vault) Health() Health {
	s := v.ring.Status()
	return Health{
		Ready: s.Loaded, Generation: s.Generation, Revision: s.Revision, LoadedAt: s.LoadedAt, PolledAt: s.PolledAt,
		DatabaseErr: s.StorageErr, DatabaseSince: s.StorageSince, KEKErr: s.KEKErr, KEKSince: s.KEKSince,
		RolledBack: s.RolledBackTo.Generation != 0, IndexErr: s.IndexErr,
	}
}
