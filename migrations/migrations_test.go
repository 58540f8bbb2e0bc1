package migrations_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/migrations"
)

func TestUpDownUpGivesTheSameSchema(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	hostOnly, hostDump := snapshot(t, pool), dump(t, pool)

	results, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, results, migrations.Schema)
	first, firstDump := snapshot(t, pool), dump(t, pool)
	require.Contains(t, first, "integrations_webhook_secret_sealed")
	require.NotEqual(t, hostOnly, first)

	again, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, again)

	results, err = migrations.Down(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Len(t, results, migrations.Schema)
	require.Equal(t, hostOnly, snapshot(t, pool), "down leaves something behind, or takes too much")
	require.Equal(t, hostDump, dump(t, pool))

	results, err = migrations.Down(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Empty(t, results)
	require.Equal(t, hostOnly, snapshot(t, pool), "a second down makes something")

	_, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, first, snapshot(t, pool))
	require.Equal(t, firstDump, dump(t, pool))
}

func TestDownToAVersionRestoresIt(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	full := snapshot(t, pool)

	results, err := migrations.Down(t.Context(), pool, 1)
	require.NoError(t, err)
	require.Len(t, results, 1)
	require.Equal(t, "down", results[0].Direction)
	require.Equal(t, int64(2), results[0].Source.Version)
	require.ErrorIs(t, migrations.Check(t.Context(), pool), migrations.ErrSchema)

	results, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, results, 1)
	require.Equal(t, full, snapshot(t, pool))

	_, err = migrations.Down(t.Context(), pool, -1)
	require.ErrorContains(t, err, "-1 is negative")
}

func TestTenProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	applied := make([]int, 10)
	group, ctx := errgroup.WithContext(t.Context())
	for i := range applied {
		group.Go(func() error {
			if err := migrations.CreateHostTables(ctx, pool); err != nil {
				return err
			}
			results, err := migrations.Up(ctx, pool)
			applied[i] = len(results)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Contains(t, applied, migrations.Schema)
	sum := 0
	for _, n := range applied {
		sum += n
	}
	require.Equal(t, migrations.Schema, sum, "one process migrates, the others find it done")
	require.NoError(t, migrations.Check(t.Context(), pool))
}

func TestHostTablesAndItsGooseTableSurvive(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	mustExec(t, pool, `
		CREATE TABLE goose_db_version (id int PRIMARY KEY, version_id bigint, is_applied boolean, tstamp timestamp);
		INSERT INTO goose_db_version VALUES (1, 0, true, 'epoch'), (2, 20990101000000, true, 'epoch');
		INSERT INTO workspaces (id) VALUES ('w1'), ('w2');
		INSERT INTO users (id) VALUES ('u1')`)
	const rows = `SELECT (SELECT jsonb_agg(to_jsonb(g) ORDER BY id) FROM goose_db_version g)::text
		|| (SELECT jsonb_agg(to_jsonb(w) ORDER BY id) FROM workspaces w)::text
		|| (SELECT jsonb_agg(to_jsonb(u)) FROM users u)::text`
	schema, content := snapshot(t, pool), one[string](t, pool, rows)

	results, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, results, migrations.Schema, "the host's version hides ours")
	require.Equal(t, content, one[string](t, pool, rows))
	mustExec(t, pool, `INSERT INTO integrations (id, workspace_id, platform, name, created_by) VALUES ('i1', 'w1', 'slack', 'n', 'u1')`)
	mustExec(t, pool, `DELETE FROM users`)
	require.Nil(t, one[*string](t, pool, `SELECT created_by FROM integrations`))
	mustExec(t, pool, `INSERT INTO users (id) VALUES ('u1')`)
	mustExec(t, pool, `DELETE FROM workspaces WHERE id = 'w1'`)
	require.Zero(t, one[int](t, pool, `SELECT count(*) FROM integrations`), "cascades from the workspace")
	mustExec(t, pool, `INSERT INTO workspaces (id) VALUES ('w1')`)

	_, err = migrations.Down(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Equal(t, content, one[string](t, pool, rows))
	require.Equal(t, schema, snapshot(t, pool))
}

func TestCreateHostTablesKeepsTheHostsOwn(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	mustExec(t, pool, `CREATE TABLE workspaces (id text PRIMARY KEY, title text)`)
	require.NoError(t, migrations.CreateHostTables(t.Context(), pool))
	before := snapshot(t, pool)
	require.Contains(t, before, "workspaces.title")
	require.Contains(t, before, "users.id")
	require.NoError(t, migrations.CreateHostTables(t.Context(), pool))
	require.Equal(t, before, snapshot(t, pool))
}

func TestStatusChangesNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	status, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, status, migrations.Schema)
	for i, s := range status {
		require.Equal(t, int64(i+1), s.Source.Version)
		require.Equal(t, goose.StatePending, s.State)
	}
	require.Empty(t, snapshot(t, pool))

	pgtest.HostTables(t, pool)
	_, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	status, err = migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	for _, s := range status {
		require.Equal(t, goose.StateApplied, s.State)
		require.False(t, s.AppliedAt.IsZero())
	}
}

// The goose command line does what this provider does: default options, our table.
func TestGooseItselfMakesTheSameSchema(t *testing.T) {
	t.Parallel()
	ours := migrated(t)

	theirs := pgtest.Pool(t)
	pgtest.HostTables(t, theirs)
	db := stdlib.OpenDBFromPool(theirs)
	t.Cleanup(func() { _ = db.Close() })
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS, goose.WithTableName(migrations.Table))
	require.NoError(t, err)
	_, err = p.Up(t.Context())
	require.NoError(t, err)
	require.Equal(t, snapshot(t, ours), snapshot(t, theirs))

	results, err := migrations.Up(t.Context(), theirs)
	require.NoError(t, err)
	require.Empty(t, results, "goose's record is ours")
	_, err = p.DownTo(t.Context(), 0)
	require.NoError(t, err)
}

func TestPlainSQLMakesTheSameSchema(t *testing.T) {
	t.Parallel()
	text, err := migrations.SQL()
	require.NoError(t, err)
	require.NotContains(t, text, "+goose")
	require.NotContains(t, text, "DROP")

	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), text)
		return err
	}))
	require.NoError(t, migrations.Check(t.Context(), pool), "tables made by another tool pass")

	_, err = migrations.Up(t.Context(), pool)
	require.ErrorContains(t, err, "Another tool made them: go on with that tool.")
	mustExec(t, pool, "DROP TABLE "+migrations.Table)
	theirs := snapshot(t, pool)

	ours := migrated(t)
	mustExec(t, ours, "DROP TABLE "+migrations.Table)
	require.Equal(t, snapshot(t, ours), theirs)
}

func TestEveryExecMode(t *testing.T) {
	t.Parallel()
	want := snapshot(t, migrated(t))
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			hooked := 0
			config := pgtest.Pool(t).Config()
			config.MaxConns = 1
			config.ConnConfig.DefaultQueryExecMode = mode
			config.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { hooked++; return nil }
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)

			require.NoError(t, migrations.CreateHostTables(t.Context(), pool))
			before := hooked
			_, err = migrations.Up(t.Context(), pool)
			require.NoError(t, err)
			require.Greater(t, hooked, before, "the pool's hooks are kept")
			require.NoError(t, migrations.Check(t.Context(), pool))
			require.Equal(t, want, snapshot(t, pool))
			_, err = migrations.Status(t.Context(), pool)
			require.NoError(t, err)
			_, err = migrations.Down(t.Context(), pool, 0)
			require.NoError(t, err)
		})
	}
}

func TestASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	host := pgtest.Pool(t)
	pgtest.HostTables(t, host)
	mustExec(t, host, `CREATE TABLE integrations (id uuid PRIMARY KEY)`)
	hostSchema := one[string](t, host, "SELECT current_schema()")
	before := snapshot(t, host)

	own := pgtest.Pool(t)
	config := own.Config()
	config.ConnConfig.RuntimeParams["search_path"] = one[string](t, own, "SELECT current_schema()") + "," + hostSchema
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	_, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	require.NoError(t, migrations.Check(t.Context(), pool))
	mustExec(t, host, `INSERT INTO workspaces (id) VALUES ('w1')`)
	mustExec(t, pool, `INSERT INTO integrations (id, workspace_id, platform, name) VALUES ('i1', 'w1', 'slack', 'n')`)
	mustExec(t, pool, `DELETE FROM integrations`)
	require.Equal(t, before, snapshot(t, host))
	_, err = migrations.Down(t.Context(), pool, 0)
	require.NoError(t, err)
	require.Equal(t, before, snapshot(t, host))
}

func ExampleSQL() {
	text, err := migrations.SQL()
	if err != nil {
		panic(err)
	}
	fmt.Println(text[:len("-- 00001_keysets.sql")])
	// Output: -- 00001_keysets.sql
}
