// One process migrates a schema at a time. The lock spares the others an error and a wait on each
// other's DDL; correctness doesn't rest on it, but on each migration's own transaction.

package migrations

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxPause bounds the time between two attempts at a lock.
const maxPause = 2 * time.Second

// withLock calls f while it holds the lock, in the transaction that holds it, and commits that
// transaction when f succeeds. It waits for the lock until ctx ends.
//
// The lock is a transaction's, for pgbouncer, and polled: a session that waits in
// pg_advisory_xact_lock holds a snapshot, for which a CREATE INDEX CONCURRENTLY under the lock
// would wait in turn.
func withLock(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	refused := false
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, maxPause) {
		held, err := tryWithLock(ctx, pool, f)
		if held {
			return err
		}
		if err == nil {
			refused = true
			err = sleep(ctx, delay)
		}
		if err != nil && refused && ctx.Err() != nil {
			return fmt.Errorf("waiting for another process that migrates this schema: %w", err)
		}
		if err != nil {
			return err
		}
	}
}

func tryWithLock(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) (held bool, err error) {
	// READ COMMITTED, so that no snapshot is kept between statements.
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if held, err = tryLock(ctx, tx); err != nil || !held {
			return err
		}
		return f(tx)
	})
	return held, err
}

// tryLock reports whether tx now holds the lock, ready to wait idle while others work.
func tryLock(ctx context.Context, tx pgx.Tx) (bool, error) {
	const try = `SELECT pg_try_advisory_xact_lock(hashtextextended('strongroom/migrations/' || current_schema(), 0)),
		current_setting('search_path')`
	var held *bool // null when there is no current schema
	var path string
	if err := tx.QueryRow(ctx, try).Scan(&held, &path); err != nil {
		return false, err
	}
	if held == nil {
		return false, fmt.Errorf("search_path (%s) names no schema that exists: create it, or correct search_path", path)
	}
	if !*held {
		return false, nil
	}
	return true, idle(ctx, tx)
}

// idle lifts the timeouts that end an idle transaction, and lets go of its snapshot: the unnamed portal
// of the statement before keeps one, until a statement of the simple protocol takes its place.
func idle(ctx context.Context, tx pgx.Tx) error {
	const lift = `SELECT set_config(name, '0', true) FROM pg_settings
		WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')`
	_, err := tx.Exec(ctx, lift, pgx.QueryExecModeSimpleProtocol)
	return err
}

// holders says which processes hold locks on the tables that a migration may wait for. It shows no
// statement: one may hold a credential.
func holders(ctx context.Context, db Querier) string {
	const query = `
		SELECT coalesce(string_agg(DISTINCT format('process %s (application %s, %s, in a transaction for %s) holds %s on %s',
			l.pid, quote_literal(a.application_name), coalesce(a.state, 'state unknown'),
			coalesce(date_trunc('second', clock_timestamp() - a.xact_start)::text, 'unknown time'), l.mode, l.relation::regclass), '; '),
			'the process that held it is gone')
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND l.relation IN (to_regclass('workspaces'), to_regclass('users'), to_regclass('integrations'),
			to_regclass('vault_keys'), to_regclass('vault_keysets'))`
	var text string
	if err := db.QueryRow(ctx, query).Scan(&text); err != nil {
		return "the process that holds it is not known"
	}
	return text + "; let its transaction end, then run this again"
}

// sleep waits for about d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // jitter, not a secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
