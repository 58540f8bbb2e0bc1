package vault_test

// The fence heals: a process whose keyset is out of date writes under a key that
// was destroyed meanwhile.

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// outdated gives a process that holds only a key which is destroyed already,
// and the workspace of a test.
func outdated(t *testing.T) (v *vaulttest.Vault, stale *vault.Vault) {
	t.Helper()
	v = vaulttest.New(t)
	stale = v.Process()
	replaceKey(t, v)
	return v, stale
}

// replaceKey stages, promotes, and destroys the key before, as a rotation that
// found no row under it.
func replaceKey(t *testing.T, v *vaulttest.Vault) {
	t.Helper()
	var old uint32
	err := v.Pool().QueryRow(t.Context(), `SELECT key_id FROM vault_keys WHERE status = 'primary'`).Scan(&old)
	require.NoError(t, err)
	v.Apply(keyring.Stage(keyring.AES256GCM))
	v.Apply(keyring.Promote())
	v.Apply(keyring.Destroy(old))
}

func TestFenceHealsOnThePool(t *testing.T) {
	t.Parallel()
	writes := map[string]func(t *testing.T, v *vaulttest.Vault, stale *vault.Vault) vault.Ref{
		"create": func(t *testing.T, v *vaulttest.Vault, stale *vault.Vault) vault.Ref {
			return create(t, stale, aSlack(v.Workspace())).Ref
		},
		"install": func(t *testing.T, v *vaulttest.Vault, stale *vault.Vault) vault.Ref {
			i, created, err := stale.Install(t.Context(), aSlack(v.Workspace()))
			require.NoError(t, err)
			require.True(t, created)
			return i.Ref
		},
		"replace": func(t *testing.T, v *vaulttest.Vault, stale *vault.Vault) vault.Ref {
			n := aSlack(v.Workspace())
			full := n.Credentials
			n.Credentials = vault.Credentials{}
			i := create(t, v, n)
			require.NoError(t, stale.SetCredentials(t.Context(), i.Ref, full))
			return i.Ref
		},
		"replace some": func(t *testing.T, v *vaulttest.Vault, stale *vault.Vault) vault.Ref {
			require.NoError(t, v.Poll(t.Context()))
			n := aSlack(v.Workspace())
			n.Credentials.AccessToken = secret("old access")
			i := create(t, v, n)
			require.NoError(t, stale.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access")}))
			return i.Ref
		},
		"move": func(t *testing.T, v *vaulttest.Vault, stale *vault.Vault) vault.Ref {
			require.NoError(t, v.Poll(t.Context()))
			i := create(t, v, aSlack(v.Workspace()))
			moved, err := stale.Move(t.Context(), i.Ref, v.Workspace())
			require.NoError(t, err)
			return moved.Ref
		},
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, stale := outdated(t)
			ref := write(t, v, stale)
			holds(t, v.Process().Integrations, ref, "signing", "access", "refresh")
			holds(t, stale.Integrations, ref, "signing", "access", "refresh")
		})
	}
}

func TestFenceHealsInACallersTransaction(t *testing.T) {
	t.Parallel()
	v, stale := outdated(t)
	workspace := v.Workspace()
	var ref vault.Ref
	err := pgx.BeginFunc(t.Context(), v.Pool(), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO users (id) VALUES ('by the caller')`)
		require.NoError(t, err)
		i := create(t, stale.WithTx(tx), aSlack(workspace))
		ref = i.Ref
		holds(t, stale.WithTx(tx), ref, "signing", "access", "refresh")
		return nil
	})
	require.NoError(t, err)
	holds(t, v.Integrations, ref, "signing", "access", "refresh")
	var users int
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT count(*) FROM users WHERE id = 'by the caller'`).Scan(&users))
	require.Equal(t, 1, users, "the caller's own work stands")
}

// The key is destroyed after the caller's snapshot was taken: nothing that the
// transaction can see helps, and the error says so, on a usable transaction.
func TestFenceInARepeatableReadTransaction(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		for _, loaded := range []bool{false, true} {
			v := vaulttest.New(t)
			process, workspace := v.Process(), v.Workspace()
			tx, err := v.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			var one int
			require.NoError(t, tx.QueryRow(t.Context(), `SELECT 1 FROM vault_keys`).Scan(&one), "takes the snapshot")
			replaceKey(t, v)
			if loaded { // the process knows the new key, the snapshot does not
				require.NoError(t, process.Poll(t.Context()))
			}
			_, err = process.WithTx(tx).Create(t.Context(), aSlack(workspace))
			require.ErrorIs(t, err, vault.ErrRetryTransaction, "%s, loaded %v", level, loaded)
			require.NoError(t, tx.QueryRow(t.Context(), `SELECT 1`).Scan(&one), "the transaction is usable")
			require.NoError(t, tx.Rollback(t.Context()))

			err = pgx.BeginTxFunc(t.Context(), v.Pool(), pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
				_, err := process.WithTx(tx).Create(t.Context(), aSlack(workspace))
				return err
			})
			require.NoError(t, err, "run again, it works")
		}
	}
}

// A stale process in a transaction whose snapshot shows the new key heals there.
func TestFenceHealsInAYoungRepeatableReadTransaction(t *testing.T) {
	t.Parallel()
	v, stale := outdated(t)
	workspace := v.Workspace()
	err := pgx.BeginTxFunc(t.Context(), v.Pool(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		_, err := stale.WithTx(tx).Create(t.Context(), aSlack(workspace))
		return err
	})
	require.NoError(t, err)
}

// Every connection of the pool sits in a transaction when the fence refuses:
// the keyset is loaded on the transaction's own connection, so nothing waits.
func TestFenceHealsWithEveryConnectionInATransaction(t *testing.T) {
	t.Parallel()
	v, _ := outdated(t)
	workspace := v.Workspace()
	config := v.Pool().Config().Copy()
	config.MaxConns = 4
	four, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer four.Close()

	process, err := vault.Open(t.Context(), four, v.KEK(), &vault.Config{PollEvery: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, process.Close(t.Context())) }()
	txs := make([]pgx.Tx, 4)
	for i := range txs {
		txs[i], err = four.Begin(t.Context())
		require.NoError(t, err)
	}
	replaceKey(t, v) // on the test's own pool
	errs := make([]error, len(txs))
	var all sync.WaitGroup
	for i, tx := range txs {
		all.Go(func() {
			_, errs[i] = process.WithTx(tx).Create(t.Context(), aSlack(workspace))
			if errs[i] == nil {
				errs[i] = tx.Commit(t.Context())
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// The race that is left to the foreign key: the key is destroyed between the
// statement's look at it and the foreign key's check. A blocked transaction
// makes it certain: the destroyer holds the row's lock, uncommitted, while the
// statement waits for it.
func TestFenceHealsWhenTheForeignKeyRefuses(t *testing.T) {
	t.Parallel()
	for _, inTx := range []bool{false, true} {
		v := vaulttest.New(t)
		process, workspace := v.Process(), v.Workspace()
		old := primary(t, v)
		v.Apply(keyring.Stage(keyring.AES256GCM))
		v.Apply(keyring.Promote())
		destroyer := destroyUncommitted(t, v, old)

		written := make(chan error, 1)
		go func() {
			if !inTx {
				_, err := process.Create(t.Context(), aSlack(workspace))
				written <- err
				return
			}
			written <- pgx.BeginFunc(t.Context(), v.Pool(), func(tx pgx.Tx) error {
				_, err := process.WithTx(tx).Create(t.Context(), aSlack(workspace))
				return err
			})
		}()
		awaitBlocked(t, v.Pool(), destroyer.Conn().PgConn().PID())
		require.NoError(t, destroyer.Commit(t.Context()))
		require.NoError(t, <-written)
		require.NotEqual(t, old, rowKey(t, v, workspace))
	}
}

// destroyUncommitted destroys a key by the vault's own steps, but does not
// commit.
func destroyUncommitted(t *testing.T, v *vaulttest.Vault, keyID int64) pgx.Tx {
	t.Helper()
	tx, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `DELETE FROM vault_keys WHERE key_id = $1`, keyID)
	require.NoError(t, err)
	return tx
}

// awaitBlocked waits until somebody waits for a lock of this backend.
func awaitBlocked(t *testing.T, pool *pgxpool.Pool, by uint32) {
	t.Helper()
	waitFor(t, func(ctx context.Context) (blocked bool) {
		err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid)))`, int(by)).Scan(&blocked)
		require.NoError(t, err)
		return blocked
	})
}

func primary(t *testing.T, v *vaulttest.Vault) (id int64) {
	t.Helper()
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT key_id FROM vault_keys WHERE status = 'primary'`).Scan(&id))
	return id
}

func rowKey(t *testing.T, v *vaulttest.Vault, workspace string) (id int64) {
	t.Helper()
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT key_id FROM integrations WHERE workspace_id = $1`, workspace).Scan(&id))
	return id
}
