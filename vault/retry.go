package vault

// When a write runs again by itself: its key left the database, or what it had
// read changed, or Postgres rolled it back.

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/store"
)

// maxTries bounds how often a write runs. Others win each time that one is
// lost, so nobody starves but under absurd contention.
const maxTries = 10

// again runs a write of ours once more when Postgres rolled it back to let
// others go first. A caller's transaction is the caller's to run again.
func (x *Integrations) again(write func() error) error {
	for try := 1; ; try++ {
		err := write()
		if try == maxTries || x.store.InTransaction() || !errors.Is(err, ErrRetryTransaction) {
			return err
		}
	}
}

// withCurrentKey runs a write that seals under the process's primary key. If
// that key is no longer in the database the keyset is loaded anew and the write
// runs again. In a caller's transaction whose snapshot does not show what the
// process holds, that is of no use: [ErrRetryTransaction].
func (x *Integrations) withCurrentKey(ctx context.Context, write func() error) error {
	for try := 1; ; try++ {
		before := x.ring.Status().Version
		err := x.again(write)
		if !errors.Is(err, store.ErrKeyGone) || x.own {
			return err
		}
		if pollErr := x.ring.Poll(ctx); pollErr != nil {
			return fmt.Errorf("%w; loading the keyset anew failed: %w", err, pollErr)
		}
		now := x.ring.Status()
		switch {
		case now.RolledBackTo.Generation != 0:
			return fmt.Errorf("%w: %w", err, ErrKeysetRolledBack)
		case now.Version != before && try < maxTries:
			continue
		case x.store.InTransaction():
			return fmt.Errorf("%w: %w: its snapshot and this process's keyset are of different times", err, ErrRetryTransaction)
		}
		return fmt.Errorf("%w: %w: vault_keys does not list the current primary key", err, ErrUnknownKey)
	}
}

// untilDone runs a read-decide-write until it says that it is done. Each time
// it is not, somebody else changed the row between its read and its write.
func (x *Integrations) untilDone(ctx context.Context, op string, attempt func() (done bool, err error)) error {
	for range maxTries {
		done := false
		err := x.withCurrentKey(ctx, func() (err error) {
			done, err = attempt()
			return err
		})
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("%s: %w: it changed %d times while we tried", op, ErrConflict, maxTries)
}
