package migrations_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/migrations"
)

func TestUpSaysWhatTheHostLacks(t *testing.T) {
	t.Parallel()
	const users = `CREATE TABLE users (id text PRIMARY KEY);`
	for name, c := range map[string]struct{ host, message, hint string }{
		"no workspaces": {
			users,
			"no table workspaces in search_path",
			"rotate-keys migrate up --create-host-tables",
		},
		"no users": {
			`CREATE TABLE workspaces (id text PRIMARY KEY)`,
			"no table users in search_path",
			"Create users(id text primary key, ...)",
		},
		"uuid ids": {
			users + `CREATE TABLE workspaces (id uuid PRIMARY KEY)`,
			"table workspaces has a column id of type uuid: Strongroom needs a column id of type text",
			"keep a table workspaces(id text primary key) for Strongroom",
		},
		"bigint ids": {
			users + `CREATE TABLE workspaces (id bigint PRIMARY KEY)`,
			"a column id of type bigint",
			"Change it",
		},
		"varchar ids": {
			users + `CREATE TABLE workspaces (id varchar(40) PRIMARY KEY)`,
			"a column id of type character varying(40)",
			"Change it",
		},
		"no id": {
			users + `CREATE TABLE workspaces (key text PRIMARY KEY)`,
			"table workspaces has no column id",
			"Change it",
		},
		"id not unique": {
			users + `CREATE TABLE workspaces (id text NOT NULL, n int, UNIQUE (id, n)); CREATE UNIQUE INDEX ON workspaces (id) WHERE n > 1`,
			"column id of table workspaces is not unique",
			"ALTER TABLE workspaces ADD PRIMARY KEY (id)",
		},
		"a view": {
			users + `CREATE VIEW workspaces AS SELECT 'w'::text AS id`,
			"workspaces is not a table",
			"Name a schema that holds the table workspaces",
		},
		"its own integrations": {
			users + `CREATE TABLE workspaces (id text PRIMARY KEY); CREATE TABLE integrations (id text)`,
			"holds a relation named integrations, which is not Strongroom's",
			"Rename it, or give Strongroom a schema of its own",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Pool(t)
			mustExec(t, pool, c.host)
			before := snapshot(t, pool)

			results, err := migrations.Up(t.Context(), pool)
			require.Empty(t, results)
			require.ErrorContains(t, err, "migrations: up: 00001_keysets.sql: ")
			require.ErrorContains(t, err, c.message)
			require.ErrorContains(t, err, c.hint)
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg)
			require.Contains(t, pg.Message, c.message)
			require.Contains(t, pg.Hint, c.hint)

			mustExec(t, pool, "DROP TABLE "+migrations.Table)
			require.Equal(t, before, snapshot(t, pool), "something is half made")
		})
	}
}

func TestUpNeedsASchema(t *testing.T) {
	t.Parallel()
	config := pgtest.Pool(t).Config()
	config.ConnConfig.RuntimeParams["search_path"] = "absent"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = migrations.Up(t.Context(), pool)
	require.ErrorContains(t, err, "search_path (absent) names no schema that exists")
}

// The unique index may be any that a foreign key can refer to.
func TestUpTakesAUniqueIdThatIsNoPrimaryKey(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	mustExec(t, pool, `
		CREATE TABLE users (n int PRIMARY KEY, id text NOT NULL UNIQUE);
		CREATE TABLE workspaces (n int PRIMARY KEY, id text NOT NULL);
		CREATE UNIQUE INDEX ON workspaces (id) INCLUDE (n)`)
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
}

func TestDownKeepsCredentials(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	addIntegration(t, pool, 7)
	before := snapshot(t, pool)

	results, err := migrations.Down(t.Context(), pool, 0)
	require.Empty(t, results)
	require.ErrorContains(t, err, "migrations: down: 00002_integrations.sql: table integrations is not dropped: "+
		"the credentials of 1 integration(s) would be lost. Back them up")
	require.Equal(t, before, snapshot(t, pool))

	mustExec(t, pool, "DELETE FROM integrations")
	results, err = migrations.Down(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Len(t, results, migrations.Schema)
}

// A migration that fails after others succeeded returns those with its error.
func TestResultsOfWhatWasAppliedComeWithTheError(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	mustExec(t, pool, `CREATE TABLE mine (key_id bigint REFERENCES vault_keys)`)
	results, err := migrations.Down(t.Context(), pool, 0)
	require.ErrorContains(t, err, "00001_keysets.sql: table vault_keys is not dropped: mine refers to it")
	require.Len(t, results, 1)
	require.Equal(t, int64(2), results[0].Source.Version)
}

func TestDownLeavesANewerReleasesSchemaAlone(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	mustExec(t, pool, "INSERT INTO "+migrations.Table+" (version_id, is_applied) VALUES (99, true)")
	before := snapshot(t, pool)
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err, "a newer schema is none of Up's business")
	_, err = migrations.Down(t.Context(), pool, 0)
	require.ErrorContains(t, err, "made by a newer release of Strongroom")
	require.Equal(t, before, snapshot(t, pool))
}

func TestCheckSaysWhatToDo(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	requireSchema := func(text string) {
		t.Helper()
		err := migrations.Check(t.Context(), pool)
		require.ErrorIs(t, err, migrations.ErrSchema)
		require.ErrorContains(t, err, text)
	}
	set := func(version, supports int) {
		mustExec(t, pool, one[string](t, pool, `SELECT format('CREATE OR REPLACE FUNCTION strongroom_schema(OUT version int, OUT supports int)
			LANGUAGE sql STABLE AS %L', format('SELECT %s, %s', $1::int, $2::int))`, version, supports))
	}
	requireSchema("run rotate-keys migrate up")

	set(migrations.Schema-1, 1)
	requireSchema("run rotate-keys migrate up")
	set(migrations.Schema+1, migrations.Schema+1)
	requireSchema("upgrade the library")
	set(migrations.Schema+1, migrations.Schema)
	require.NoError(t, migrations.Check(t.Context(), pool), "expanded, not contracted yet")
	set(migrations.Schema, migrations.Schema)
	require.NoError(t, migrations.Check(t.Context(), pool))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := migrations.Check(ctx, pool)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, migrations.ErrSchema)
}

func TestErrorsHoldNoDetailAndNoPassword(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	// The host's trigger fails with a row in DETAIL and a statement in CONTEXT.
	mustExec(t, pool, `
		CREATE TABLE users (id text PRIMARY KEY);
		CREATE TABLE workspaces (id text PRIMARY KEY);
		CREATE TABLE vault_keysets (name text CHECK (name <> 'detail-' || 'row'));
		CREATE FUNCTION strongroom_schema(OUT version int, OUT supports int) LANGUAGE plpgsql AS $$
		BEGIN
			EXECUTE 'INSERT INTO vault_keysets VALUES (''detail-'' || ''row'')';
		END $$`)
	err := migrations.Check(t.Context(), pool)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "23514", pg.Code)
	require.NotContains(t, err.Error(), "detail-row")
	require.Empty(t, pg.Detail)
	require.Empty(t, pg.Where)
	require.Empty(t, pg.InternalQuery)

	config := pool.Config()
	config.ConnConfig.Password = "let" + "-me-in"
	config.ConnConfig.Host, config.ConnConfig.Fallbacks = t.TempDir(), nil
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	dead, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(dead.Close)
	_, err = migrations.Up(t.Context(), dead)
	require.ErrorContains(t, err, "migrations: up: failed to connect")
	require.NotContains(t, err.Error(), "-me-in")
	var connect *pgconn.ConnectError
	require.NotErrorAs(t, err, &connect, "its Config holds the password")
}
