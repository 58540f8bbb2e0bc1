package migrations_test

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/migrations"
)

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// migrated is a pool on a fresh schema with the host's tables and ours.
func migrated(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	return pool
}

func mustExec(t *testing.T, db execer, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// refused runs sql in a transaction that is rolled back, and returns Postgres's error.
func refused(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) *pgconn.PgError {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), sql, args...)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	return pg
}

func one[T any](t *testing.T, db migrations.Querier, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// sealed has the form of a value sealed under a key, size bytes long.
func sealed(keyID uint32, size int) []byte {
	value := make([]byte, size)
	value[0] = 1
	binary.BigEndian.PutUint32(value[1:], keyID)
	return value
}

func addKey(t *testing.T, db execer, keyID int64, status string) {
	t.Helper()
	mustExec(t, db, `INSERT INTO vault_keys (key_id, keyset, status, template) VALUES ($1, 'main', $2, 'AES256_GCM')`, keyID, status)
}

// snapshot describes every object in the current schema from the catalogue, one a line. A copy of
// the schema elsewhere gives the same text.
func snapshot(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	const query = `
		WITH home AS (SELECT current_schema()::regnamespace AS oid),
		objects (line) AS (
			SELECT format('relation %s %s %s', relname, relkind, reloptions) FROM pg_class, home WHERE relnamespace = home.oid
			UNION ALL
			SELECT format('column %s.%s %s %s notnull=%s default=%s identity=%s', c.relname, attname, attnum,
				format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attidentity)
			FROM home JOIN pg_class c ON c.relnamespace = home.oid AND c.relkind = 'r' JOIN pg_attribute a ON attrelid = c.oid
			LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0
			UNION ALL
			SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(c.oid))
			FROM pg_constraint c, home WHERE connamespace = home.oid
			UNION ALL
			SELECT format('index %s', pg_get_indexdef(c.oid)) FROM pg_class c, home WHERE relnamespace = home.oid AND relkind = 'i'
			UNION ALL
			SELECT format('trigger %s', pg_get_triggerdef(g.oid))
			FROM pg_trigger g JOIN pg_class c ON c.oid = tgrelid, home WHERE relnamespace = home.oid AND NOT tgisinternal
			UNION ALL
			SELECT format('function %s', pg_get_functiondef(p.oid)) FROM pg_proc p, home WHERE pronamespace = home.oid
			UNION ALL
			SELECT format('comment %s %s', objoid::regclass, description)
			FROM home JOIN pg_class c ON c.relnamespace = home.oid JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass
		)
		SELECT coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), '') FROM objects`
	text := one[string](t, pool, query)
	return strings.ReplaceAll(text, one[string](t, pool, "SELECT current_schema()")+".", "")
}

// dump is pg_dump's view of the current schema, or "" where no pg_dump fits the server.
func dump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	bin := pgtest.Bin(t)
	if bin == "" {
		return ""
	}
	schema := one[string](t, pool, "SELECT current_schema()")
	config := pool.Config().ConnConfig
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--schema-only", "--schema", schema,
		"--host", config.Host, "--port", strconv.Itoa(int(config.Port)), "--username", config.User, "--dbname", config.Database)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+config.Password)
	out, err := cmd.Output()
	require.NoError(t, err, "pg_dump")
	var kept strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "\\") { // \restrict carries a random word
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// waitBlocked returns when the backend waits for a lock that another one holds.
func waitBlocked(t *testing.T, pool *pgxpool.Pool, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		return one[bool](t, pool, "SELECT cardinality(pg_blocking_pids($1)) > 0", int64(pid))
	}, 20*time.Second, 5*time.Millisecond, "backend %d never waited", pid)
}

func begin(t *testing.T, pool *pgxpool.Pool, level pgx.TxIsoLevel) pgx.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx)
	})
	return tx
}

func pgError(t *testing.T, err error) *pgconn.PgError {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	return pg
}

func quote(text string) string { return "'" + text + "'" }
