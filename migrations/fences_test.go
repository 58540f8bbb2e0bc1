package migrations_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

const (
	checkViolation  = "23514"
	fkViolation     = "23503"
	uniqueViolation = "23505"
	raised          = "P0001"
	serialization   = "40001"
)

var sealedColumns = []string{"webhook_secret", "access_token", "refresh_token"}

// addIntegration adds the row i1 in workspace w1, with an access token sealed under keyID.
func addIntegration(t *testing.T, pool *pgxpool.Pool, keyID uint32) {
	t.Helper()
	mustExec(t, pool, `INSERT INTO workspaces (id) VALUES ('w1') ON CONFLICT DO NOTHING`)
	addKey(t, pool, int64(keyID), "primary")
	mustExec(t, pool, `INSERT INTO integrations (id, workspace_id, platform, name, access_token, key_id)
		VALUES ('i1', 'w1', 'slack', 'Support', $1, $2)`, sealed(keyID, 60), int64(keyID))
}

func TestSealedColumnsTakeSealedValuesOnly(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	addIntegration(t, pool, 7)
	addKey(t, pool, 8, "staged")
	addKey(t, pool, 1, "retired")
	addKey(t, pool, 4294967295, "retired")

	for _, column := range sealedColumns {
		t.Run(column, func(t *testing.T) {
			t.Parallel()
			insert := fmt.Sprintf(`INSERT INTO integrations (id, workspace_id, platform, name, key_id, %s)
				VALUES (%s || $1::text, 'w1', 'slack', 'n', $2, $3)`, column, quote(column))
			plain := []byte("xoxb-" + "this would be a credential in the clear")
			for i, c := range []struct {
				why              string
				keyID            any
				value            []byte
				code, constraint string
			}{
				{"plaintext with a key id", 7, plain, checkViolation, "integrations_" + column + "_sealed"},
				{"plaintext without a key id", nil, plain, checkViolation, "integrations_" + column + "_sealed"},
				{"sealed without a key id", nil, sealed(7, 60), checkViolation, "integrations_" + column + "_sealed"},
				{"empty", 7, []byte{}, checkViolation, "integrations_" + column + "_sealed"},
				{"too short to hold a byte", 7, sealed(7, 32), checkViolation, "integrations_" + column + "_sealed"},
				{"under another key than the row's", 7, sealed(8, 60), checkViolation, "integrations_" + column + "_sealed"},
				{"another prefix", 7, append([]byte{0}, sealed(7, 60)[1:]...), checkViolation, "integrations_" + column + "_sealed"},
				{"too long", 7, sealed(7, 131073), checkViolation, "integrations_" + column + "_size"},
				{"unknown key", 9, sealed(9, 60), fkViolation, "integrations_key_id_fkey"},
				{"key id 0", 0, sealed(0, 60), fkViolation, "integrations_key_id_fkey"},
				{"key id above uint32", 4294967296 + 7, sealed(7, 60), fkViolation, "integrations_key_id_fkey"},
				{"key id without a credential", 7, nil, checkViolation, "integrations_key_id_used"},
			} {
				err := refused(t, pool, insert, fmt.Sprint(i), c.keyID, c.value)
				require.Equal(t, c.code, err.Code, c.why)
				require.Equal(t, c.constraint, err.ConstraintName, c.why)
			}
			for i, c := range []struct {
				keyID uint32
				size  int
			}{{7, 33}, {7, 131072}, {1, 60}, {4294967295, 60}} {
				mustExec(t, pool, insert, fmt.Sprint("ok", i), int64(c.keyID), sealed(c.keyID, c.size))
			}
			err := refused(t, pool, fmt.Sprintf(`UPDATE integrations SET key_id = 8 WHERE id = %s || 'ok0'`, quote(column)))
			require.Equal(t, "integrations_"+column+"_sealed", err.ConstraintName, "key_id alone cannot move")
			mustExec(t, pool, fmt.Sprintf(`UPDATE integrations SET key_id = NULL, %s = NULL WHERE id = %s || 'ok0'`, column, quote(column)))
		})
	}
}

func TestIntegrationsRefuse(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	addIntegration(t, pool, 7)
	for why, c := range map[string]struct{ set, code, constraint string }{
		"an empty id":              {`id = ''`, checkViolation, "integrations_id_size"},
		"a long id":                {`id = repeat('x', 65)`, checkViolation, "integrations_id_size"},
		"an unknown platform":      {`platform = 'teams'`, checkViolation, "integrations_platform_known"},
		"an empty name":            {`name = ''`, checkViolation, "integrations_name_filled"},
		"a config that is a list":  {`config = '[]'`, checkViolation, "integrations_config_object"},
		"a config of null in JSON": {`config = 'null'`, checkViolation, "integrations_config_object"},
		"an unknown workspace":     {`workspace_id = 'w9'`, fkViolation, "integrations_workspace_id_fkey"},
		"an unknown user":          {`created_by = 'u9'`, fkViolation, "integrations_created_by_fkey"},
	} {
		err := refused(t, pool, `UPDATE integrations SET `+c.set)
		require.Equal(t, c.code, err.Code, why)
		require.Equal(t, c.constraint, err.ConstraintName, why)
	}
	mustExec(t, pool, `UPDATE integrations SET config = '{}', id = repeat('x', 64)`)

	require.Equal(t, "42809", refused(t, pool, `SET CONSTRAINTS integrations_key_id_fkey DEFERRED`).Code, "not deferrable")
}

func TestVaultKeysRefuse(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	const insert = `INSERT INTO vault_keys (key_id, keyset, status, template, binding) VALUES ($1, $2, $3, $4, $5)`
	const aes = "AES256_GCM"
	for _, id := range []int64{0, -1, 4294967296} {
		require.Equal(t, "vault_keys_key_id_uint32", refused(t, pool, insert, id, "main", "retired", aes, 1).ConstraintName)
	}
	mustExec(t, pool, insert, 1, "main", "primary", aes, 1)
	mustExec(t, pool, insert, 4294967295, "main", "staged", "XAES_256_GCM_192_BIT_NONCE", 1)
	mustExec(t, pool, insert, 3, "main", "retired", aes, 1)
	mustExec(t, pool, insert, 4, "main", "retired", aes, 2)
	mustExec(t, pool, insert, 5, "other", "primary", aes, 1)

	for constraint, args := range map[string][]any{
		"vault_keys_pkey":             {3, "main", "retired", aes, 1},
		"vault_keys_one_primary":      {9, "main", "primary", aes, 1},
		"vault_keys_one_staged":       {9, "main", "staged", aes, 1},
		"vault_keys_keyset_filled":    {9, "", "retired", aes, 1},
		"vault_keys_status_known":     {9, "main", "lost", aes, 1},
		"vault_keys_template_known":   {9, "main", "retired", "AES128_GCM", 1},
		"vault_keys_binding_positive": {9, "main", "retired", aes, 0},
	} {
		require.Equal(t, constraint, refused(t, pool, insert, args...).ConstraintName)
	}
}

func TestKeysetsGoForwardOnly(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	const revision = "abcdefghijklmnopqrstu"
	mustExec(t, pool, `INSERT INTO vault_keysets (name, generation, revision) VALUES ('main', 5, $1)`, revision)

	for sql, message := range map[string]string{
		`DELETE FROM vault_keysets`:                                   "keyset main cannot be deleted",
		`TRUNCATE vault_keysets CASCADE`:                              "vault_keysets cannot be truncated",
		`UPDATE vault_keysets SET name = 'x'`:                         "keyset main cannot be renamed",
		`UPDATE vault_keysets SET generation = 4`:                     "generation 5 cannot be lowered to 4",
		`UPDATE vault_keysets SET revision = 'uuuuuuuuuuuuuuuuuuuuu'`: "revision cannot change within generation 5",
		`INSERT INTO vault_keysets (name, generation, revision) VALUES
			('main', 4, 'uuuuuuuuuuuuuuuuuuuuu') ON CONFLICT (name) DO UPDATE SET generation = 4`: "cannot be lowered",
	} {
		err := refused(t, pool, sql)
		require.Equal(t, raised, err.Code, sql)
		require.Contains(t, err.Message, message)
		require.NotEmpty(t, err.Hint)
		require.NotContains(t, err.Message+err.Hint, revision)
	}
	mustExec(t, pool, `UPDATE vault_keysets SET generation = 6, revision = 'uuuuuuuuuuuuuuuuuuuuu', updated_at = now()`)

	for constraint, sql := range map[string]string{
		"vault_keysets_name_filled":         `INSERT INTO vault_keysets (name, generation, revision) VALUES ('', 1, repeat('r', 21))`,
		"vault_keysets_generation_positive": `INSERT INTO vault_keysets (name, generation, revision) VALUES ('x', 0, repeat('r', 21))`,
		"vault_keysets_revision_nanoid":     `INSERT INTO vault_keysets (name, generation, revision) VALUES ('x', 1, repeat('r', 20))`,
		"vault_keysets_pkey":                `INSERT INTO vault_keysets (name, generation, revision) VALUES ('main', 9, repeat('r', 21))`,
		"vault_keyset_wraps_keyset_fkey":    `INSERT INTO vault_keyset_wraps VALUES ('x', 'kek', 'w')`,
		"vault_keyset_wraps_kek_uri_filled": `INSERT INTO vault_keyset_wraps VALUES ('main', '', 'w')`,
		"vault_keyset_wraps_wrapped_size":   `INSERT INTO vault_keyset_wraps VALUES ('main', 'kek', '')`,
	} {
		require.Equal(t, constraint, refused(t, pool, sql).ConstraintName, sql)
	}
	require.Equal(t, "vault_keyset_wraps_wrapped_size",
		refused(t, pool, `INSERT INTO vault_keyset_wraps VALUES ('main', 'kek', $1)`, make([]byte, 65537)).ConstraintName)
	mustExec(t, pool, `INSERT INTO vault_keyset_wraps VALUES ('main', 'kek', $1)`, make([]byte, 65536))
	require.Equal(t, "vault_keyset_wraps_pkey",
		refused(t, pool, `INSERT INTO vault_keyset_wraps VALUES ('main', 'kek', 'w')`).ConstraintName)
}

// A keyset always has a wrap: deleting the last one is refused at commit, so that
// a change may replace all of them.
func TestAKeysetKeepsAWrap(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	mustExec(t, pool, `INSERT INTO vault_keysets (name, generation, revision) VALUES ('main', 1, repeat('r', 21))`)
	mustExec(t, pool, `INSERT INTO vault_keyset_wraps VALUES ('main', 'one', 'w'), ('main', 'two', 'w')`)
	mustExec(t, pool, `DELETE FROM vault_keyset_wraps WHERE kek_uri = 'two'`)
	require.Contains(t, refused(t, pool, `TRUNCATE vault_keyset_wraps`).Message, "vault_keyset_wraps cannot be truncated")
	_, err := pool.Exec(t.Context(), `DELETE FROM vault_keyset_wraps`)
	require.ErrorContains(t, err, "keyset main would have no wrap left")
	_, err = pool.Exec(t.Context(), `UPDATE vault_keyset_wraps SET keyset = 'elsewhere'`)
	require.Error(t, err)
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM vault_keyset_wraps`)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `INSERT INTO vault_keyset_wraps VALUES ('main', 'three', 'w')`)
		return err
	})
	require.NoError(t, err)
}

func TestEventsAreAppendOnlyAndKeyIdsAreUsedOnce(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	const insert = `INSERT INTO vault_key_events (keyset, event, key_id, generation, revision, actor) VALUES ('main', $1, $2, 1, 'r', 'tester')`
	mustExec(t, pool, insert, "init", 7)
	mustExec(t, pool, insert, "promote", 7)
	mustExec(t, pool, insert, "destroy", 7)
	mustExec(t, pool, insert, "wrap", nil)
	require.Equal(t, one[string](t, pool, "SELECT session_user::text"), one[string](t, pool, "SELECT DISTINCT db_user FROM vault_key_events"))

	require.Equal(t, "vault_key_events_key_id_once", refused(t, pool, insert, "stage", 7).ConstraintName)
	require.Equal(t, "vault_key_events_event_filled", refused(t, pool, insert, "", 8).ConstraintName)
	require.Equal(t, "vault_key_events_key_id_uint32", refused(t, pool, insert, "stage", int64(4294967296)).ConstraintName)
	for _, sql := range []string{
		`UPDATE vault_key_events SET actor = 'somebody else'`, `DELETE FROM vault_key_events`, `TRUNCATE vault_key_events`,
	} {
		err := refused(t, pool, sql)
		require.Equal(t, raised, err.Code)
		require.Contains(t, err.Message, "append-only")
	}
}

func TestAKeyInUseIsNotDestroyed(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			pool := migrated(t)
			addIntegration(t, pool, 7)
			tx := begin(t, pool, level)
			_, err := tx.Exec(t.Context(), `DELETE FROM vault_keys WHERE key_id = 7`)
			require.Equal(t, "integrations_key_id_fkey", pgError(t, err).ConstraintName)
		})
		// The destroyer's snapshot is older than the writer's commit: it sees no row that uses the key.
		t.Run(string(level)+" with an old snapshot", func(t *testing.T) {
			t.Parallel()
			pool := migrated(t)
			addIntegration(t, pool, 7)
			addKey(t, pool, 8, "staged")
			destroyer := begin(t, pool, level)
			_, err := destroyer.Exec(t.Context(), `SELECT FROM vault_keys`)
			require.NoError(t, err)
			mustExec(t, pool, `UPDATE integrations SET key_id = 8, access_token = $1`, sealed(8, 60))
			_, err = destroyer.Exec(t.Context(), `DELETE FROM vault_keys WHERE key_id = 8`)
			require.Contains(t, []string{fkViolation, serialization}, pgError(t, err).Code)
		})
		t.Run(string(level)+" against an uncommitted writer", func(t *testing.T) {
			t.Parallel()
			pool := migrated(t)
			addIntegration(t, pool, 7)
			addKey(t, pool, 8, "staged")
			writer := begin(t, pool, pgx.ReadCommitted)
			mustExec(t, writer, `UPDATE integrations SET key_id = 8, access_token = $1`, sealed(8, 60))

			destroyer := begin(t, pool, level)
			outcome := make(chan error, 1)
			go func() {
				_, err := destroyer.Exec(t.Context(), `DELETE FROM vault_keys WHERE key_id = 8`)
				outcome <- err
			}()
			waitBlocked(t, pool, destroyer.Conn().PgConn().PID())
			require.NoError(t, writer.Commit(t.Context()))
			require.Contains(t, []string{fkViolation, serialization}, pgError(t, <-outcome).Code)
			require.Equal(t, 2, one[int](t, pool, `SELECT count(*) FROM vault_keys`))
		})
		t.Run(string(level)+" writer against an uncommitted destroyer", func(t *testing.T) {
			t.Parallel()
			pool := migrated(t)
			addIntegration(t, pool, 7)
			addKey(t, pool, 8, "staged")
			destroyer := begin(t, pool, pgx.ReadCommitted)
			mustExec(t, destroyer, `DELETE FROM vault_keys WHERE key_id = 8`)

			writer := begin(t, pool, level)
			outcome := make(chan error, 1)
			go func() {
				_, err := writer.Exec(t.Context(), `UPDATE integrations SET key_id = 8, access_token = $1`, sealed(8, 60))
				outcome <- err
			}()
			waitBlocked(t, pool, writer.Conn().PgConn().PID())
			require.NoError(t, destroyer.Commit(t.Context()))
			require.Contains(t, []string{fkViolation, serialization}, pgError(t, <-outcome).Code)
			require.Equal(t, int64(7), one[int64](t, pool, `SELECT key_id FROM integrations`))
		})
	}
}

// Citus refuses to distribute a table that has triggers.
func TestTablesThatCitusDistributesHaveNoTriggers(t *testing.T) {
	t.Parallel()
	require.Zero(t, one[int](t, migrated(t), `SELECT count(*) FROM pg_trigger
		WHERE NOT tgisinternal AND tgrelid IN ('integrations'::regclass, 'vault_keys'::regclass)`))
}

// Re-sealing every row in one transaction touches no index: all new versions are heap-only.
func TestResealingIsHeapOnly(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	addKey(t, pool, 7, "primary")
	addKey(t, pool, 8, "staged")
	const rows = 2000
	mustExec(t, pool, `INSERT INTO workspaces (id) VALUES ('w1')`)
	mustExec(t, pool, `INSERT INTO integrations (id, workspace_id, platform, name, webhook_secret, access_token, refresh_token, key_id, slack_team_id, config)
		SELECT 'i' || n, 'w1', 'slack', 'Support', $1, $2, $2, 7, 'T' || n,
			jsonb_build_object('slackChannels', jsonb_build_array(jsonb_build_object('id', 'C' || n, 'name', repeat('x', n % 50))))
		FROM generate_series(1, $3::int) n`, sealed(7, 65), sealed(7, 110), rows)

	tx := begin(t, pool, pgx.ReadCommitted)
	mustExec(t, tx, `UPDATE integrations SET key_id = 8, webhook_secret = $1, access_token = $2, refresh_token = $2`, sealed(8, 65), sealed(8, 110))
	var updated, hot int
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables
		WHERE relid = 'integrations'::regclass`).Scan(&updated, &hot))
	require.Equal(t, rows, updated)
	require.Equal(t, rows, hot)
}
