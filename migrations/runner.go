// How a migration is run: over a private pool, under one lock for all processes, and again
// when a lock on a table could not be had in time.

package migrations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

type runner struct {
	fsys     fs.FS
	attempts int
	pause    time.Duration // before the second attempt; doubles up to maxPause
	retrying func()        // called before each further attempt
}

func newRunner() runner {
	return runner{fsys: FS, attempts: 8, pause: 250 * time.Millisecond, retrying: func() {}}
}

// step is one attempt to migrate. It works on connections of the private pool, never in the transaction
// that holds the lock, which would take a snapshot.
type step func(ctx context.Context, private *pgxpool.Pool, p *goose.Provider) ([]*goose.MigrationResult, error)

func (r runner) run(ctx context.Context, pool *pgxpool.Pool, op string, do step) ([]*goose.MigrationResult, error) {
	private, err := privatePool(ctx, pool)
	if err != nil {
		return nil, clean(op, err)
	}
	defer private.Close()

	var results []*goose.MigrationResult
	err = withLock(ctx, private, func(pgx.Tx) error {
		results, err = r.attempt(ctx, private, do)
		return err
	})
	return results, clean(op, err)
}

// attempt repeats the step while the host's locks are in its way. What an attempt did apply stays
// applied, so the results add up.
func (r runner) attempt(ctx context.Context, private *pgxpool.Pool, do step) ([]*goose.MigrationResult, error) {
	var all []*goose.MigrationResult
	for n, delay := 1, r.pause; ; n, delay = n+1, min(2*delay, maxPause) {
		results, err := once(ctx, private, r.fsys, do)
		all = append(all, results...)
		if !isLockFailure(err) {
			return all, err
		}
		if n == r.attempts {
			return all, fmt.Errorf("gave up after %d attempts; %s: %w", n, holders(ctx, private), err)
		}
		if err := sleep(ctx, delay); err != nil {
			return all, fmt.Errorf("waiting for a lock on a table: %w", err)
		}
		r.retrying()
	}
}

// once makes a provider for one attempt only: a provider whose version table could not be made
// doesn't try to make it again.
func once(ctx context.Context, private *pgxpool.Pool, fsys fs.FS, do step) ([]*goose.MigrationResult, error) {
	p, end, err := provider(private, fsys)
	if err != nil {
		return nil, err
	}
	defer end()

	results, err := do(ctx, private, p)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return partial.Applied, fmt.Errorf("%s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	}
	return results, err
}

// provider is goose without its globals: no registered migrations of the host, no logger.
func provider(pool *pgxpool.Pool, fsys fs.FS) (p *goose.Provider, end func(), err error) {
	db := stdlib.OpenDBFromPool(pool)
	p, err = goose.NewProvider(goose.DialectPostgres, db, fsys,
		goose.WithTableName(Table),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return p, func() { _ = db.Close() }, nil
}

// privatePool connects as pool does, hooks included, but keeps no statement in the session (the
// next transaction may meet another one, behind pgbouncer) and takes none of the pool's connections.
func privatePool(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Pool, error) {
	c := pool.Config()
	c.MaxConns, c.MinConns, c.MinIdleConns = 4, 0, 0
	c.ConnConfig.RuntimeParams["timezone"] = "UTC" // goose keeps times without a zone
	if c.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeSimpleProtocol {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return pgxpool.NewWithConfig(ctx, c)
}
