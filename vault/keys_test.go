package vault_test

// Keys as a service meets them: how often the KEK is asked, processes with
// keysets of different age, outages, a rollback.

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

func TestKEKCalls(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	require.Equal(t, 1, v.Unwraps(), "one at start")
	i := create(t, v, aSlack(v.Workspace()))
	const calls = 10_000
	var all sync.WaitGroup
	errs := make([]error, 8)
	for worker := range errs {
		all.Go(func() {
			for range calls / len(errs) / 2 {
				_, err := v.Credentials(t.Context(), i.Ref)
				errs[worker] = errors.Join(errs[worker], err,
					v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access")}))
			}
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 1, v.Unwraps(), "none for 10,000 reads and writes")
	v.Apply(keyring.Stage(keyring.XAES256GCM))
	for range 3 {
		require.NoError(t, v.Poll(t.Context()))
	}
	require.Equal(t, 2, v.Unwraps(), "one for a change")
	v.Apply(keyring.Promote())
	holds(t, v.Integrations, create(t, v, aSlack(v.Workspace())).Ref, "signing", "access", "refresh")
	require.Equal(t, 2, v.Unwraps(), "a retired key that is still there needs no reload")
}

// A process that began before a key was added opens what a newer process sealed,
// without restart and with one reload, under 1,000 concurrent reads.
func TestAnOlderProcessOpensWhatANewerSealed(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	older := v.Process()
	v.Rotate()
	i := create(t, v, aSlack(v.Workspace()))
	before := v.Unwraps()
	errs := make([]error, 1000)
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() {
			c, err := older.Credentials(t.Context(), i.Ref)
			if err == nil && !c.AccessToken.Equal(secret("access")) {
				err = errors.New("opened to something else")
			}
			errs[n] = err
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, before+1, v.Unwraps())
}

func TestAnOlderProcessOpensInATransactionToo(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	older := v.Process()
	v.Rotate()
	i := create(t, v, aSlack(v.Workspace()))
	tx, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	holds(t, older.WithTx(tx), i.Ref, "signing", "access", "refresh")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestARunningServiceDoesNotNoticeADeadKEK(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	down := errors.New("the KMS is down")
	v.FailKEK(down)
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")}))
	holds(t, v.Integrations, i.Ref, "signing", "access 2", "refresh")
	v.Apply(keyring.Stage(keyring.AES256GCM)) // elsewhere, where the KEK answers
	require.ErrorIs(t, v.Poll(t.Context()), vault.ErrKEKUnavailable)
	h := v.Health()
	require.True(t, h.Ready)
	require.ErrorIs(t, h.KEKErr, down)
	require.NotZero(t, h.KEKSince)
	holds(t, v.Integrations, i.Ref, "signing", "access 2", "refresh")

	_, err := vault.Open(t.Context(), v.Pool(), v.KEK(), nil)
	require.ErrorIs(t, err, vault.ErrKEKUnavailable)
	require.ErrorIs(t, err, down)
	degraded, err := vault.Open(t.Context(), v.Pool(), v.KEK(), &vault.Config{AllowDegradedStart: true, PollEvery: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, degraded.Close(t.Context())) }()
	require.False(t, degraded.Health().Ready)
	got, err := degraded.Get(t.Context(), i.Ref)
	require.NoError(t, err, "metadata works")
	require.Equal(t, i.ID, got.ID)
	_, err = degraded.Credentials(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrKEKUnavailable)
	_, err = degraded.Create(t.Context(), aSlack(i.WorkspaceID))
	require.ErrorIs(t, err, vault.ErrKEKUnavailable)
	bare := aSlack(i.WorkspaceID)
	bare.Credentials = vault.Credentials{}
	create(t, degraded, bare)
	require.NoError(t, degraded.SetCredentials(t.Context(), i.Ref, vault.Credentials{}, vault.FieldRefreshToken), "removing needs no key")
}

// A restored backup: the database holds an older keyset than the process.
func TestARestoredOlderKeysetRefusesSealing(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	backup := []string{`SELECT * FROM vault_keysets`, `SELECT * FROM vault_keyset_wraps`, `SELECT * FROM vault_keys`}
	for n, table := range []string{"vault_keysets", "vault_keyset_wraps", "vault_keys"} {
		_, err := v.Pool().Exec(t.Context(), `CREATE TABLE backup_`+table+` AS `+backup[n])
		require.NoError(t, err)
	}
	v.Apply(keyring.Stage(keyring.AES256GCM))
	require.NoError(t, v.Poll(t.Context()))
	// What a restore does, triggers aside.
	for _, sql := range []string{
		`ALTER TABLE vault_keysets DISABLE TRIGGER ALL`,
		`UPDATE vault_keysets k SET generation = b.generation, revision = b.revision FROM backup_vault_keysets b`,
		`UPDATE vault_keyset_wraps w SET wrapped = b.wrapped FROM backup_vault_keyset_wraps b`,
		`DELETE FROM vault_keys WHERE key_id NOT IN (SELECT key_id FROM backup_vault_keys)`,
		`ALTER TABLE vault_keysets ENABLE TRIGGER ALL`,
	} {
		_, err := v.Pool().Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, v.Poll(t.Context()))
	require.True(t, v.Health().RolledBack)
	_, err := v.Create(t.Context(), aSlack(i.WorkspaceID))
	require.ErrorIs(t, err, vault.ErrKeysetRolledBack)
	require.ErrorIs(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("x")}), vault.ErrKeysetRolledBack)
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")
}

// A snapshot that still shows rows under a key that was destroyed meanwhile is
// served from the keys that the process keeps for a while.
func TestAReaderWithAnOldSnapshotIsServed(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	old := primary(t, v)
	tx, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`)
	require.NoError(t, err)
	_, err = v.WithTx(tx).Get(t.Context(), i.Ref)
	require.NoError(t, err)

	v.Rotate()
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{
		WebhookSecret: secret("w"), AccessToken: secret("a"), RefreshToken: secret("r")}))
	v.Apply(keyring.Destroy(uint32(old)))
	require.NoError(t, v.Poll(t.Context()))
	holds(t, v.WithTx(tx), i.Ref, "signing", "access", "refresh")
	require.NoError(t, tx.Rollback(t.Context()))
	holds(t, v.Integrations, i.Ref, "w", "a", "r")
}

func TestAKeyInUseIsNotDestroyed(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	old := uint32(primary(t, v))
	v.Rotate()
	_, err := keyring.Apply(t.Context(), storeOf(v), keyring.DefaultKeyset, []keyring.KEK{v.KEK()}, "test", keyring.Destroy(old))
	require.ErrorIs(t, err, vault.ErrConflict)
	require.ErrorContains(t, err, "still sealed")
	holds(t, v.Process().Integrations, i.Ref, "signing", "access", "refresh")
}

func TestAKeyThatLeftIsUnknown(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	fake := raw(t, v, i.Ref, "access_token")
	_, err := v.Pool().Exec(t.Context(), `INSERT INTO vault_keys (key_id, keyset, status, template) VALUES (7, 'other', 'retired', 'AES256_GCM')`)
	require.NoError(t, err)
	copy(fake[1:5], []byte{0, 0, 0, 7})
	_, err = v.Pool().Exec(t.Context(), `UPDATE integrations SET webhook_secret = NULL, refresh_token = NULL, access_token = $2, key_id = 7 WHERE id = $1`, i.ID, fake)
	require.NoError(t, err)
	_, err = v.Credentials(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrUnknownKey)
	require.ErrorIs(t, err, vault.ErrNotOpened)
	require.ErrorIs(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{RefreshToken: secret("r")}), vault.ErrUnknownKey)
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{RefreshToken: secret("r"), AccessToken: secret("a")}))
	holds(t, v.Integrations, i.Ref, "", "a", "r")
}

func TestInitAndOpen(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	kek := keyring.EphemeralKEK()
	for _, try := range []func() error{
		func() error { _, err := vault.Open(t.Context(), pool, kek, nil); return err },
		func() error { _, err := vault.Init(t.Context(), pool, kek, nil); return err },
	} {
		err := try()
		require.ErrorIs(t, err, vault.ErrSchema)
		require.ErrorContains(t, err, "rotate-keys migrate up")
	}
	pgtest.HostTables(t, pool)
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	_, err = vault.Open(t.Context(), pool, kek, nil)
	require.ErrorIs(t, err, vault.ErrNoKeyset)
	require.ErrorContains(t, err, "rotate-keys init")
	_, err = vault.Open(t.Context(), pool, nil, nil)
	require.ErrorIs(t, err, vault.ErrInvalid)

	made := make([]bool, 8)
	errs := make([]error, len(made))
	var all sync.WaitGroup
	for n := range made {
		all.Go(func() { made[n], errs[n] = vault.Init(t.Context(), pool, kek, &vault.Config{Actor: "deploy"}) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	count := 0
	for _, m := range made {
		if m {
			count++
		}
	}
	require.Equal(t, 1, count, "one keyset, however many run init at once")
	_, err = vault.Init(t.Context(), pool, keyring.EphemeralKEK(), nil)
	require.ErrorIs(t, err, vault.ErrConflict)
	require.ErrorContains(t, err, kek.URI())

	var actor, event, fingerprint string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT actor, event, fingerprint FROM vault_key_events`).Scan(&actor, &event, &fingerprint))
	require.Equal(t, []string{"deploy", "init"}, []string{actor, event})
	require.Len(t, fingerprint, 32)

	_, err = vault.Open(t.Context(), pool, keyring.EphemeralKEK(), nil)
	require.ErrorIs(t, err, vault.ErrKEKUnavailable)
	require.ErrorContains(t, err, kek.URI())
	v, err := vault.Open(t.Context(), pool, kek, nil)
	require.NoError(t, err)
	require.True(t, v.Health().Ready)
	require.EqualValues(t, 1, v.Health().Generation)
	require.NoError(t, v.Close(t.Context()))
	_, err = v.Credentials(t.Context(), vault.Ref{WorkspaceID: "w", ID: "i"})
	require.ErrorIs(t, err, vault.ErrNotFound)
}

func TestCredentialsNeverLeaveByErrors(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	hexed := ""
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT encode(access_token, 'hex') FROM integrations WHERE id = $1`, i.ID).Scan(&hexed))
	// A CHECK of the host's that our write breaks: Postgres's DETAIL prints the row.
	_, err := v.Pool().Exec(t.Context(), `ALTER TABLE integrations ADD CONSTRAINT hosts_own CHECK (slack_team_id <> 'T-refused')`)
	require.NoError(t, err)
	n := aSlack(i.WorkspaceID)
	n.SlackTeamID = "T-refused"
	_, err = v.Create(t.Context(), n)
	require.ErrorIs(t, err, vault.ErrInvalid)
	requireNoDetail(t, err)
	require.ErrorContains(t, err, "hosts_own")
}
