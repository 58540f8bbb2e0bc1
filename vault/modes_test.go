package vault_test

// The main path in every pgx exec mode, and through pgbouncer in transaction
// mode.

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/store"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

func TestMainPathInEveryExecMode(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			config, err := pgxpool.ParseConfig(pgtest.URL(t))
			require.NoError(t, err)
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			pgtest.HostTables(t, pool)
			mainPath(t, vaulttest.In(t, pool))
		})
	}
}

// mainPath calls everything once or twice, changes keys in between, and heals.
func mainPath(t *testing.T, v *vaulttest.Vault) {
	t.Helper()
	stale := v.Process()
	w, user := v.Workspace(), v.User()
	n := aSlack(w)
	n.CreatedBy = user
	i, created, err := v.Install(t.Context(), n)
	require.NoError(t, err)
	require.True(t, created)
	p := create(t, v, aPylon(w))
	v.Rotate()
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")}))
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 3")}, vault.FieldRefreshToken))
	holds(t, stale.Integrations, i.Ref, "signing", "access 3", "")
	_, created, err = v.Install(t.Context(), n)
	require.NoError(t, err)
	require.False(t, created)
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")
	name := "renamed 'by' \\ us \u2028 ü"
	got, err := v.Update(t.Context(), i.Ref, vault.Patch{Name: &name, Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		c.SlackChannels = append(c.SlackChannels, vault.SlackChannel{ID: "C2", Name: `quoted "'`})
		return c, nil
	}})
	require.NoError(t, err)
	require.Equal(t, name, got.Name)
	require.Equal(t, `quoted "'`, got.Config.SlackChannels[1].Name)
	found, err := v.OpenBySlackTeam(t.Context(), "T0001")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, found[0].Err)
	require.NoError(t, v.SetActive(t.Context(), p.Ref, false))
	pylons, err := v.OpenByPylonAccount(t.Context(), "acct_1")
	require.NoError(t, err)
	require.Empty(t, pylons)
	page, next, err := v.List(t.Context(), w, vault.Filter{Limit: 1})
	require.NoError(t, err)
	require.Len(t, page, 1)
	page, _, err = v.List(t.Context(), w, vault.Filter{After: next})
	require.NoError(t, err)
	require.Len(t, page, 1)
	moved, err := v.Move(t.Context(), i.Ref, v.Workspace())
	require.NoError(t, err)
	holds(t, v.Integrations, moved.Ref, "signing", "access", "refresh")
	require.NoError(t, v.SetCredentials(t.Context(), moved.Ref, vault.Credentials{}, vault.FieldWebhookSecret, vault.FieldAccessToken, vault.FieldRefreshToken))

	stale = v.Process()
	require.NoError(t, v.Delete(t.Context(), p.Ref))
	old := uint32(primary(t, v))
	v.Apply(keyring.Stage(keyring.XAES256GCM))
	v.Apply(keyring.Promote())
	v.Apply(keyring.Destroy(old))
	err = pgx.BeginFunc(t.Context(), v.Pool(), func(tx pgx.Tx) error {
		healed := create(t, stale.WithTx(tx), aSlack(w))
		holds(t, stale.WithTx(tx), healed.Ref, "signing", "access", "refresh")
		return nil
	})
	require.NoError(t, err)
}

func TestMainPathThroughPgbouncer(t *testing.T) {
	t.Parallel()
	pgbouncer, err := exec.LookPath("pgbouncer")
	if err != nil {
		if strings.Contains(os.Getenv("STRONGROOM_TEST_REQUIRE"), "pgbouncer") {
			t.Fatal("STRONGROOM_TEST_REQUIRE asks for pgbouncer, which is not on PATH")
		}
		t.Skip("pgbouncer is not on PATH: install it (apt-get install pgbouncer) to run this test")
	}
	// Before 1.21 pgbouncer knows no prepared statements of the protocol, so pgx
	// must not keep any.
	modes := []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
	if bouncerVersion(t, pgbouncer) >= 121 {
		modes = append(modes, pgx.QueryExecModeCacheStatement)
	}
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			config, err := pgxpool.ParseConfig(startPgbouncer(t, pgbouncer, pgtest.Database(t)))
			require.NoError(t, err)
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			pgtest.HostTables(t, pool)
			mainPath(t, vaulttest.In(t, pool))
		})
	}
}

func storeOf(v *vaulttest.Vault) *store.Store { return store.New(v.Pool()) }

// requireNoDetail checks that an error carries nothing of Postgres's DETAIL,
// which prints rows.
func requireNoDetail(t *testing.T, err error) {
	t.Helper()
	for _, part := range []string{"Failing row", "DETAIL", `\x01`, "T-refused"} {
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), part)
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Empty(t, pg.Detail+pg.Where+pg.InternalQuery+pg.Hint)
}
