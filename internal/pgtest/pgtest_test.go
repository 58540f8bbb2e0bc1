package pgtest_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/internal/pgtest"
)

func text(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) string {
	t.Helper()
	var text string
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&text))
	return text
}

func TestPool(t *testing.T) { //nolint:tparallel // the inner test must have ended before the check
	t.Parallel()
	var schemas [2]string
	t.Run("two tests", func(t *testing.T) {
		a, b := pgtest.Pool(t), pgtest.Pool(t)
		pgtest.HostTables(t, a)
		pgtest.HostTables(t, b) // the same names, in another schema
		_, err := a.Exec(t.Context(), "INSERT INTO workspaces VALUES ('a'); INSERT INTO users VALUES ('u')")
		require.NoError(t, err)
		require.Equal(t, "1", text(t, a, "SELECT count(*)::text FROM workspaces"))
		require.Equal(t, "0", text(t, b, "SELECT count(*)::text FROM workspaces"))
		schemas = [2]string{text(t, a, "SELECT current_schema()"), text(t, b, "SELECT current_schema()")}
	})
	require.Equal(t, "0", text(t, pgtest.Pool(t), "SELECT count(*)::text FROM pg_namespace WHERE nspname = ANY($1)", schemas[:]),
		"the schemas are dropped when the test ends")
}

func TestPoolInEveryExecMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			config, err := pgxpool.ParseConfig(pgtest.URL(t))
			require.NoError(t, err)
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			defer pool.Close()
			pgtest.HostTables(t, pool)
			require.Equal(t, text(t, pool, "SELECT current_schema()"),
				text(t, pool, "SELECT schemaname FROM pg_tables WHERE tablename = $1 AND schemaname = current_schema()", "users"))
		})
	}
}

func TestDatabase(t *testing.T) { //nolint:tparallel // the inner test must have ended before the check
	t.Parallel()
	var name string
	t.Run("one test", func(t *testing.T) {
		pool, err := pgxpool.New(t.Context(), pgtest.Database(t))
		require.NoError(t, err)
		name = text(t, pool, "SELECT current_database()")
		// The pool stays open: the database is dropped all the same.
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Release(); pool.Close() })
	})
	require.Equal(t, "0", text(t, pgtest.Pool(t), "SELECT count(*)::text FROM pg_database WHERE datname = $1", name))
}

func TestDumpOfURL(t *testing.T) {
	t.Parallel()
	bin := pgtest.Bin(t)
	if bin == "" {
		t.Skip("no pg_dump on this machine that fits the server: install the Postgres client")
	}
	url := pgtest.URL(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	defer pool.Close()
	pgtest.HostTables(t, pool)
	schema := text(t, pool, "SELECT current_schema()")
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--schema-only", "--schema", schema, url).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "CREATE TABLE "+schema+".workspaces")
}

// With STRONGROOM_TEST_DATABASE_URL everything happens there; DATABASE_URL counts
// for nothing.
func TestNamedDatabase(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	admin, err := pgxpool.New(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	defer admin.Close()
	for _, sql := range []string{"CREATE ROLE limited LOGIN", "CREATE DATABASE named OWNER limited"} {
		_, err = admin.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	t.Setenv("DATABASE_URL", "postgres://nowhere.invalid/nothing")
	t.Setenv("STRONGROOM_TEST_DATABASE_URL", strings.Replace(s.URL("named"), "postgres@", "limited@", 1))

	require.Equal(t, "named limited", text(t, pgtest.Pool(t), "SELECT current_database() || ' ' || current_user"))

	skipped := false
	t.Run("no CREATEDB", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		pgtest.Database(t)
	})
	require.True(t, skipped, "a role that may not make databases skips the test")

	t.Setenv("STRONGROOM_TEST_DATABASE_URL", s.URL("named"))
	require.Contains(t, pgtest.Database(t), "testnameddatabase")
}
