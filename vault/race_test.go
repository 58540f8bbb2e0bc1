package vault_test

// Calls that meet another's: installs, moves and deletes at once, in callers'
// transactions of every isolation level; and the first write after a restore.

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

var levels = []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}

// onThePool stands beside the isolation levels for calls in no transaction.
const onThePool pgx.TxIsoLevel = ""

// run makes calls in a transaction of that level, or on the pool.
func run(ctx context.Context, v *vault.Vault, pool *pgxpool.Pool, level pgx.TxIsoLevel, f func(x *vault.Integrations) error) error {
	if level == onThePool {
		return f(v.Integrations)
	}
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error { return f(v.WithTx(tx)) })
}

// toRunAgain tells whether a transaction failed only because of others: a call
// said so, or the commit.
func toRunAgain(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, vault.ErrRetryTransaction) || (errors.As(err, &pg) && pg.Code == "40001")
}

// install is one OAuth callback.
func install(t *testing.T, v *vaulttest.Vault, level pgx.TxIsoLevel, workspace string) (created bool, err error) {
	err = run(t.Context(), v.Vault, v.Pool(), level, func(x *vault.Integrations) error {
		_, created, err = x.Install(t.Context(), aSlack(workspace))
		return err
	})
	return created, err
}

// only checks that a workspace has one integration, which opens.
func only(t *testing.T, v *vaulttest.Vault, workspace string) vault.Ref {
	t.Helper()
	page, _, err := v.List(t.Context(), workspace, vault.Filter{})
	require.NoError(t, err)
	require.Len(t, page, 1)
	holds(t, v.Integrations, page[0].Ref, "signing", "access", "refresh")
	return page[0].Ref
}

// The later of two installs waits for the earlier, and replaces what that made.
// A snapshot that is too old to see it asks for a new transaction.
func TestAnInstallWaitsForAnother(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	for _, level := range levels {
		for _, installed := range []bool{false, true} {
			w := v.Workspace()
			if installed {
				create(t, v, aSlack(w))
			}
			first, err := v.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			_, created, err := v.WithTx(first).Install(t.Context(), aSlack(w))
			require.NoError(t, err)
			require.Equal(t, !installed, created)

			second := make(chan error, 1)
			go func() {
				_, err := install(t, v, level, w)
				second <- err
			}()
			awaitBlocked(t, v.Pool(), first.Conn().PgConn().PID())
			require.NoError(t, first.Commit(t.Context()))
			if err := <-second; level == pgx.ReadCommitted {
				require.NoError(t, err)
			} else {
				require.True(t, toRunAgain(err), "%s: %v", level, err)
			}
			only(t, v, w)

			created, err = install(t, v, level, w)
			require.NoError(t, err, "run again, it works")
			require.False(t, created)
			only(t, v, w)
		}
	}
}

func TestAnInstallInATransactionOlderThanAnother(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	for _, level := range levels {
		w := v.Workspace()
		tx, err := v.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
		require.NoError(t, err)
		page, _, err := v.WithTx(tx).List(t.Context(), w, vault.Filter{}) // takes the snapshot
		require.NoError(t, err)
		require.Empty(t, page)
		created, err := install(t, v, onThePool, w)
		require.NoError(t, err)
		require.True(t, created)

		_, created, err = v.WithTx(tx).Install(t.Context(), aSlack(w))
		if level == pgx.ReadCommitted {
			require.NoError(t, err)
			require.False(t, created)
			require.NoError(t, tx.Commit(t.Context()))
		} else {
			require.ErrorIs(t, err, vault.ErrRetryTransaction)
			require.NoError(t, tx.Rollback(t.Context()))
		}
		only(t, v, w)
		created, err = install(t, v, level, w)
		require.NoError(t, err, "run again, it works")
		require.False(t, created)
		only(t, v, w)
	}
}

// Two SERIALIZABLE transactions that each list a workspace and then write to it
// cannot both stand. Postgres finds out late, at the latest when the second one
// commits.
func TestAnInstallMayFailAtTheCommit(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	var txs [2]pgx.Tx
	for i := range txs {
		var err error
		txs[i], err = v.Pool().BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.Serializable})
		require.NoError(t, err)
		_, _, err = v.WithTx(txs[i]).List(t.Context(), w, vault.Filter{})
		require.NoError(t, err)
	}
	create(t, v.WithTx(txs[0]), aSlack(w))
	_, _, err := v.WithTx(txs[1]).Install(t.Context(), aSlack(w))
	require.NoError(t, txs[0].Commit(t.Context()))
	if err == nil {
		err = txs[1].Commit(t.Context())
	}
	require.True(t, toRunAgain(err), "%v", err)
	_ = txs[1].Rollback(t.Context())

	created, err := install(t, v, pgx.Serializable, w)
	require.NoError(t, err, "run again, it works")
	require.False(t, created)
	only(t, v, w)
}

// The integration is deleted or moved away between an install's look at it and
// its write: the install looks again, and makes a new one.
func TestAnInstallWhoseIntegrationLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(x *vault.Integrations, r vault.Ref, elsewhere string) error{
		"deleted": func(x *vault.Integrations, r vault.Ref, _ string) error { return x.Delete(t.Context(), r) },
		"moved": func(x *vault.Integrations, r vault.Ref, elsewhere string) error {
			_, err := x.Move(t.Context(), r, elsewhere)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := vaulttest.New(t)
			for _, level := range append(levels, onThePool) {
				w, elsewhere := v.Workspace(), v.Workspace()
				old := create(t, v, aSlack(w))
				tx, err := v.Pool().Begin(t.Context())
				require.NoError(t, err)
				require.NoError(t, leave(v.WithTx(tx), old.Ref, elsewhere))
				type result struct {
					created bool
					err     error
				}
				done := make(chan result, 1)
				go func() {
					created, err := install(t, v, level, w)
					done <- result{created, err}
				}()
				awaitBlocked(t, v.Pool(), tx.Conn().PgConn().PID())
				require.NoError(t, tx.Commit(t.Context()))
				got := <-done
				if level == pgx.RepeatableRead || level == pgx.Serializable {
					require.True(t, toRunAgain(got.err), "%s: %v", level, got.err)
					got.created, got.err = install(t, v, level, w)
				}
				require.NoError(t, got.err, level)
				require.True(t, got.created, level)
				require.NotEqual(t, old.ID, only(t, v, w).ID)
				if name == "moved" {
					require.Equal(t, old.ID, only(t, v, elsewhere).ID)
				}
			}
		})
	}
}

// A move that had read the row before a reinstall committed takes the new
// credentials along, not the old ones.
func TestAMoveOfAnIntegrationThatIsReinstalled(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i, to := create(t, v, aSlack(v.Workspace())), v.Workspace()
	tx, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	n := aSlack(i.WorkspaceID)
	n.Credentials.AccessToken, n.Credentials.RefreshToken = secret("access 2"), secret("refresh 2")
	_, created, err := v.WithTx(tx).Install(t.Context(), n)
	require.NoError(t, err)
	require.False(t, created)
	done := make(chan error, 1)
	go func() {
		_, err := v.Move(t.Context(), i.Ref, to)
		done <- err
	}()
	awaitBlocked(t, v.Pool(), tx.Conn().PgConn().PID())
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	holds(t, v.Integrations, vault.Ref{WorkspaceID: to, ID: i.ID}, "signing", "access 2", "refresh 2")
}

func TestADeleteOfAnIntegrationThatIsReinstalled(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	tx, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	_, _, err = v.WithTx(tx).Install(t.Context(), aSlack(i.WorkspaceID))
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- v.Delete(t.Context(), i.Ref) }()
	awaitBlocked(t, v.Pool(), tx.Conn().PgConn().PID())
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	_, err = v.Get(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrNotFound)
}

// Somebody else moves the integration on as soon as our move is written: ours has
// happened all the same, and says so.
func TestAMoveFollowedAtOnceByAnother(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	process, spy := spied(t, v)
	i, second, third := create(t, v, aSlack(v.Workspace())), v.Workspace(), v.Workspace()
	spy.ended = func(tag pgconn.CommandTag) {
		if tag.Update() {
			spy.ended = nil
			_, err := v.Move(t.Context(), vault.Ref{WorkspaceID: second, ID: i.ID}, third)
			require.NoError(t, err)
		}
	}
	moved, err := process.Move(t.Context(), i.Ref, second)
	require.NoError(t, err)
	require.Equal(t, second, moved.WorkspaceID)
	require.Nil(t, spy.ended, "the other move was made")
	holds(t, v.Integrations, vault.Ref{WorkspaceID: third, ID: i.ID}, "signing", "access", "refresh")
}

// backUp copies the keyset's tables, and gives what a restore of that copy does,
// triggers aside.
func backUp(t *testing.T, v *vaulttest.Vault) (restore func()) {
	t.Helper()
	execute := func(statements ...string) {
		for _, sql := range statements {
			_, err := v.Pool().Exec(t.Context(), sql)
			require.NoError(t, err)
		}
	}
	execute(`CREATE TABLE backup_keysets AS SELECT * FROM vault_keysets`,
		`CREATE TABLE backup_wraps AS SELECT * FROM vault_keyset_wraps`,
		`CREATE TABLE backup_keys AS SELECT * FROM vault_keys`)
	return func() {
		execute(`ALTER TABLE vault_keysets DISABLE TRIGGER ALL`,
			`UPDATE vault_keysets k SET generation = b.generation, revision = b.revision FROM backup_keysets b`,
			`UPDATE vault_keyset_wraps w SET wrapped = b.wrapped FROM backup_wraps b`,
			`DELETE FROM vault_keys WHERE key_id NOT IN (SELECT key_id FROM backup_keys)`,
			`UPDATE vault_keys k SET status = b.status FROM backup_keys b WHERE k.key_id = b.key_id`,
			`ALTER TABLE vault_keysets ENABLE TRIGGER ALL`)
	}
}

// The database went back to a keyset without this process's primary key, and the
// process writes before it polls. In a transaction it cannot tell that from an old
// snapshot, until it has polled.
func TestTheFirstWriteAfterARestoreIsRefused(t *testing.T) {
	t.Parallel()
	all := aSlack("").Credentials
	for name, write := range map[string]func(x *vault.Integrations, r vault.Ref) error{
		"create": func(x *vault.Integrations, r vault.Ref) error {
			_, err := x.Create(t.Context(), aSlack(r.WorkspaceID))
			return err
		},
		"install": func(x *vault.Integrations, r vault.Ref) error {
			n := aSlack(r.WorkspaceID)
			n.SlackTeamID = "T0002"
			_, _, err := x.Install(t.Context(), n)
			return err
		},
		"reinstall": func(x *vault.Integrations, r vault.Ref) error {
			_, _, err := x.Install(t.Context(), aSlack(r.WorkspaceID))
			return err
		},
		"replace": func(x *vault.Integrations, r vault.Ref) error { return x.SetCredentials(t.Context(), r, all) },
		"replace some": func(x *vault.Integrations, r vault.Ref) error {
			return x.SetCredentials(t.Context(), r, vault.Credentials{AccessToken: secret("x")})
		},
		"move": func(x *vault.Integrations, r vault.Ref) error {
			_, err := x.Move(t.Context(), r, "elsewhere")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := vaulttest.New(t)
			i := create(t, v, aSlack(v.Workspace()))
			restore := backUp(t, v)
			v.Rotate()
			other := v.Process()
			restore()

			require.ErrorIs(t, write(v.Integrations, i.Ref), vault.ErrKeysetRolledBack)
			require.True(t, v.Health().RolledBack)

			err := run(t.Context(), other, v.Pool(), pgx.ReadCommitted, func(x *vault.Integrations) error { return write(x, i.Ref) })
			require.ErrorIs(t, err, vault.ErrRetryTransaction)
			require.NoError(t, other.Poll(t.Context()))
			err = run(t.Context(), other, v.Pool(), pgx.ReadCommitted, func(x *vault.Integrations) error { return write(x, i.Ref) })
			require.ErrorIs(t, err, vault.ErrKeysetRolledBack)
			only(t, v, i.WorkspaceID)
		})
	}
}
