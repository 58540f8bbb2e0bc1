// Inside the package, for a runner that gives up on a lock sooner than the real one.

package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
)

// impatient waits 100 ms for a lock instead of 5 s.
func impatient(t *testing.T) runner {
	t.Helper()
	names, err := fs.Glob(FS, "*.sql")
	require.NoError(t, err)
	files := fstest.MapFS{}
	for _, name := range names {
		text, err := fs.ReadFile(FS, name)
		require.NoError(t, err)
		require.Contains(t, string(text), "lock_timeout = '5s'")
		files[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(text), "'5s'", "'100ms'"))}
	}
	return runner{fsys: files, attempts: 3, pause: time.Millisecond, retrying: func() {}}
}

// hold locks the host's workspaces as a transaction that writes to it does.
func hold(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), `INSERT INTO workspaces (id) VALUES ('w1')`)
	require.NoError(t, err)
	return tx
}

func TestUpTriesAgainWhileTheHostHoldsALock(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	holder := hold(t, pool)

	retries := 0
	r := impatient(t)
	r.retrying = func() {
		if retries++; retries == 2 {
			require.NoError(t, holder.Commit(t.Context()))
		}
	}
	results, err := r.run(t.Context(), pool, "up", up)
	require.NoError(t, err)
	require.Equal(t, 2, retries)
	require.Len(t, results, Schema, "the first attempt's results count too")
	require.NoError(t, Check(t.Context(), pool))
}

func TestUpSaysWhoHeldItUp(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	holder := hold(t, pool)

	results, err := impatient(t).run(t.Context(), pool, "up", up)
	require.Len(t, results, 1, "the keysets need no lock of the host's")
	require.ErrorContains(t, err, "migrations: up: gave up after 3 attempts; process ")
	require.ErrorContains(t, err, fmt.Sprintf("process %d (application", holder.Conn().PgConn().PID()))
	require.ErrorContains(t, err, "idle in transaction")
	require.ErrorContains(t, err, "holds RowExclusiveLock on workspaces")
	require.ErrorContains(t, err, "let its transaction end, then run this again")
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, codeLockTimeout, pg.Code)

	require.NoError(t, holder.Commit(t.Context()))
	results, err = Up(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, results, Schema-1, "it goes on where it stopped")
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	require.NoError(t, withLock(t.Context(), pool, func(pgx.Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var acquired atomic.Int32
		config := pool.Config()
		config.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) {
			if acquired.Add(1) == 2 { // the first attempt was refused
				cancel()
			}
			return true, nil
		}
		waiter, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer waiter.Close()

		_, err = Up(ctx, waiter)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "waiting for another process that migrates this schema")
		return nil
	}))
}

// The transaction that holds the lock keeps no snapshot, or CREATE INDEX CONCURRENTLY would wait for it.
func TestTheLockHoldsNoSnapshot(t *testing.T) {
	t.Parallel()
	config := pgtest.Pool(t).Config()
	config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "1h"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, withLock(t.Context(), pool, func(tx pgx.Tx) error {
		var held bool
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT backend_xmin IS NOT NULL OR backend_xid IS NOT NULL
			FROM pg_stat_activity WHERE pid = $1`, int64(tx.Conn().PgConn().PID())).Scan(&held))
		require.False(t, held)
		var timeout string
		require.NoError(t, tx.QueryRow(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&timeout))
		require.Equal(t, "0", timeout)
		return nil
	}))
}
