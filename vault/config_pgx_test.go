package vault_test

// A config as a column and as an argument: every way pgx sends and reads a
// value, on a real Postgres.

import (
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/vault"
)

// execModes are all of pgx's ways to run a statement.
var execModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// eachExecMode runs test once for each mode, in parallel, with a pool of that
// mode on a schema of its own.
func eachExecMode(t *testing.T, test func(t *testing.T, pool *pgxpool.Pool)) {
	t.Helper()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			cfg := pgtest.Pool(t).Config()
			cfg.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			test(t, pool)
		})
	}
}

const storedConfig = `{"zone": 12345678901234567890.10, "pylonEvents": ["issue.closed"], ` +
	`"slackChannels": [{"id": "C1", "name": "support \"é\" <'>", "topic": null}]}`

type configRow struct {
	ID     int
	Config vault.IntegrationConfig
}

func configTable(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	_, err := pool.Exec(t.Context(), "CREATE TABLE configs (id int PRIMARY KEY, config jsonb)")
	require.NoError(t, err)
}

func TestConfigBinds(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		configTable(t, pool)
		c := decode(t, storedConfig)
		for id, arg := range []any{c, &c, vault.IntegrationConfig{}, &vault.IntegrationConfig{}, (*vault.IntegrationConfig)(nil)} {
			_, err := pool.Exec(t.Context(), "INSERT INTO configs (id, config) VALUES ($1, $2)", id, arg)
			require.NoError(t, err)
		}
		full := storedConfig
		empty := "{}"
		rows, err := pool.Query(t.Context(), "SELECT config = $1 FROM configs ORDER BY id", c)
		require.NoError(t, err)
		same, err := pgx.CollectRows(rows, pgx.RowTo[*bool])
		require.NoError(t, err)
		yes, no := true, false
		require.Equal(t, []*bool{&yes, &yes, &no, &no, nil}, same)
		for id, want := range []*string{&full, &full, &empty, &empty, nil} {
			var ok bool
			err := pool.QueryRow(t.Context(),
				"SELECT config IS NOT DISTINCT FROM $2::jsonb FROM configs WHERE id = $1", id, want).Scan(&ok)
			require.NoError(t, err)
			require.True(t, ok, "argument %d", id)
		}
		tag, err := pool.Exec(t.Context(), "UPDATE configs SET config = $2 WHERE id = 0 AND config = $1", c, &vault.IntegrationConfig{})
		require.NoError(t, err)
		require.EqualValues(t, 1, tag.RowsAffected())
	})
}

func TestConfigScans(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		want := decode(t, storedConfig)
		for _, text := range []string{"$1::text", "$1::jsonb", "$1::json", "$1::text::jsonb::text", "$1::text::varchar"} {
			for _, format := range []int16{pgx.TextFormatCode, pgx.BinaryFormatCode} {
				got := decode(t, `{"old":1}`)
				err := pool.QueryRow(t.Context(), "SELECT "+text, pgx.QueryResultFormats{format}, storedConfig).Scan(&got)
				require.NoError(t, err, text)
				require.JSONEq(t, encode(t, want), encode(t, got), text)
				require.Contains(t, encode(t, got), "12345678901234567890.10")
			}
		}
		for _, none := range []string{"NULL::jsonb", "NULL::text", "'null'::jsonb", "'{}'::jsonb"} {
			got := want
			require.NoError(t, pool.QueryRow(t.Context(), "SELECT "+none).Scan(&got))
			require.Equal(t, vault.IntegrationConfig{}, got, none)
		}
		pointer := &vault.IntegrationConfig{}
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT NULL::jsonb").Scan(&pointer))
		require.Nil(t, pointer)
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT '{}'::jsonb").Scan(&pointer))
		require.Equal(t, &vault.IntegrationConfig{}, pointer)

		for text, problem := range map[string]string{
			`'["sesame"]'::jsonb`:      "want an object, found an array",
			`'{"pylonEvents": [1]}'`:   "pylonEvents[0]: want a string",
			`12345`:                    "does not scan",
			`'{"a":"\u0000"}'::json`:   "holds a NUL character",
			`'{"a":"\ud800"}'::json`:   "holds half of a surrogate pair",
			`'{"slackChannels":"x'`:    "is not valid JSON",
			`'{"slackChannels":[[]]}'`: "slackChannels[0]: want an object, found an array",
		} {
			got := want
			err := pool.QueryRow(t.Context(), "SELECT "+text).Scan(&got)
			require.ErrorIs(t, err, vault.ErrInvalid, text)
			require.ErrorContains(t, err, problem)
			require.NotContains(t, err.Error(), "sesame")
			require.Equal(t, want, got)
		}
	})
}

func TestConfigInRows(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		configTable(t, pool)
		c := decode(t, storedConfig)
		n, err := pool.CopyFrom(t.Context(), pgx.Identifier{"configs"}, []string{"id", "config"},
			pgx.CopyFromRows([][]any{{1, c}, {2, &c}, {3, vault.IntegrationConfig{}}, {4, nil}}))
		require.NoError(t, err)
		require.EqualValues(t, 4, n)

		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO configs (id, config) VALUES ($1, $2)", 5, c)
		batch.Queue("INSERT INTO configs (id, config) VALUES (@id, @config)", pgx.NamedArgs{"id": 6, "config": &c})
		require.NoError(t, pool.SendBatch(t.Context(), batch).Close())

		rows, err := pool.Query(t.Context(), "SELECT config, id FROM configs ORDER BY id")
		require.NoError(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowToStructByName[configRow])
		require.NoError(t, err)
		require.Len(t, got, 6)
		for _, row := range got {
			want := c
			if row.ID == 3 || row.ID == 4 {
				want = vault.IntegrationConfig{}
			}
			require.JSONEq(t, encode(t, want), encode(t, row.Config))
		}
		rows, err = pool.Query(t.Context(), "SELECT id, config FROM configs WHERE id = 5")
		require.NoError(t, err)
		one, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[configRow])
		require.NoError(t, err)
		require.True(t, one.Config.HasChannel("C1"))
	})
}

func TestConfigThroughDatabaseSQL(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		configTable(t, pool)
		db := stdlib.OpenDBFromPool(pool)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		c := decode(t, storedConfig)
		for id, arg := range []any{c, &c, vault.IntegrationConfig{}, (*vault.IntegrationConfig)(nil)} {
			_, err := db.ExecContext(t.Context(), "INSERT INTO configs (id, config) VALUES ($1, $2)", id, arg)
			require.NoError(t, err)
		}
		for id, want := range []sql.Null[vault.IntegrationConfig]{
			{V: c, Valid: true}, {V: c, Valid: true}, {Valid: true}, {},
		} {
			var got sql.Null[vault.IntegrationConfig]
			var plain vault.IntegrationConfig
			err := db.QueryRowContext(t.Context(), "SELECT config, config FROM configs WHERE id = $1", id).Scan(&got, &plain)
			require.NoError(t, err)
			require.Equal(t, want.Valid, got.Valid)
			require.JSONEq(t, encode(t, want.V), encode(t, got.V))
			require.JSONEq(t, encode(t, want.V), encode(t, plain))
		}
	})
}

// Text that jsonb cannot hold never reaches the server, which would refuse it
// (or, for bad UTF-8, would be sent something else).
func TestUnstorableConfigDoesNotBind(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		for _, text := range []string{"\x00", "\xff"} {
			c := vault.IntegrationConfig{PylonEvents: []vault.PylonEvent{vault.PylonEvent(text)}}
			_, err := pool.Exec(t.Context(), "SELECT $1::jsonb", c)
			require.ErrorIs(t, err, vault.ErrInvalid)
		}
	})
}
