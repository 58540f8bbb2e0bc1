package vault_test

// In a caller's transaction: what is refused leaves it usable, and the fence heals
// every write on the transaction's own connection.

import (
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// call is one call in a transaction; it gives what the call returned.
type call func(x *vault.Integrations) error

// requireUsableAfter makes a call that must be refused, between two writes of the
// caller's own, which stand.
func requireUsableAfter(t *testing.T, v *vaulttest.Vault, refused call, requireRefusal func(err error)) {
	t.Helper()
	before, after := v.User()+" before", v.User()+" after"
	err := pgx.BeginFunc(t.Context(), v.Pool(), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO users (id) VALUES ($1)`, before)
		require.NoError(t, err)
		requireRefusal(refused(v.WithTx(tx)))
		_, err = tx.Exec(t.Context(), `INSERT INTO users (id) VALUES ($1)`, after)
		require.NoError(t, err)
		return nil
	})
	require.NoError(t, err)
	var stored int
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT count(*) FROM users WHERE id = ANY ($1)`, []string{before, after}).Scan(&stored))
	require.Equal(t, 2, stored)
}

func TestARefusedWriteLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	ctx, w, twice := t.Context(), v.Workspace(), v.Workspace()
	i := create(t, v, aSlack(w))
	create(t, v, aSlack(twice))
	create(t, v, aSlack(twice))
	old := create(t, v, aSlack(v.Workspace()))
	v.Rotate() // what is kept of old must be re-sealed
	require.NoError(t, v.SetCredentials(ctx, i.Ref, vault.Credentials{AccessToken: secret("access"), ExpiresAt: i.TokenExpiresAt}))
	for _, sql := range []string{
		`ALTER TABLE integrations ADD CONSTRAINT hosts_own CHECK (name <> 'refused' AND is_active AND refresh_token IS NOT NULL)`,
		`CREATE TABLE hosts_own (id text REFERENCES integrations (id)); INSERT INTO hosts_own SELECT id FROM integrations`,
	} {
		_, err := v.Pool().Exec(ctx, sql)
		require.NoError(t, err)
	}
	i, err := v.Get(ctx, i.Ref)
	require.NoError(t, err)

	with := func(workspace string, change func(n *vault.NewIntegration)) vault.NewIntegration {
		n := aSlack(workspace)
		change(&n)
		return n
	}
	refusedName := func(n *vault.NewIntegration) { n.Name = "refused" }
	noRefresh := func(n *vault.NewIntegration) { n.Credentials.RefreshToken = vault.Secret{} }
	same := func(*vault.NewIntegration) {}
	creates := func(n vault.NewIntegration) call {
		return func(x *vault.Integrations) error { _, err := x.Create(ctx, n); return err }
	}
	installs := func(n vault.NewIntegration) call {
		return func(x *vault.Integrations) error { _, _, err := x.Install(ctx, n); return err }
	}
	sets := func(r vault.Ref, c vault.Credentials, remove ...vault.Field) call {
		return func(x *vault.Integrations) error { return x.SetCredentials(ctx, r, c, remove...) }
	}
	moves := func(to string) call {
		return func(x *vault.Integrations) error { _, err := x.Move(ctx, i.Ref, to); return err }
	}
	renames := func(r vault.Ref, name string) call {
		return func(x *vault.Integrations) error { _, err := x.Update(ctx, r, vault.Patch{Name: &name}); return err }
	}
	absent := vault.Ref{WorkspaceID: w, ID: "absent"}
	access := vault.Credentials{AccessToken: secret("access 2")}
	for name, c := range map[string]struct {
		call call
		want error
	}{
		"create, no workspace":            {creates(aSlack("absent")), vault.ErrNotFound},
		"create, no user":                 {creates(with(w, func(n *vault.NewIntegration) { n.CreatedBy = "absent" })), vault.ErrNotFound},
		"create, host's CHECK":            {creates(with(w, refusedName)), vault.ErrInvalid},
		"install, no workspace":           {installs(aSlack("absent")), vault.ErrNotFound},
		"install, host's CHECK":           {installs(with(v.Workspace(), refusedName)), vault.ErrInvalid},
		"install again, host's CHECK":     {installs(with(w, noRefresh)), vault.ErrInvalid},
		"install, several":                {installs(with(twice, same)), vault.ErrConflict},
		"set credentials, absent":         {sets(absent, access), vault.ErrNotFound},
		"set credentials, CHECK":          {sets(i.Ref, access, vault.FieldRefreshToken), vault.ErrInvalid},
		"set credentials, re-seal, CHECK": {sets(old.Ref, access, vault.FieldRefreshToken), vault.ErrInvalid},
		"remove credentials, CHECK":       {sets(i.Ref, vault.Credentials{}, vault.FieldRefreshToken), vault.ErrInvalid},
		"move, no workspace":              {moves("absent"), vault.ErrNotFound},
		"update, absent":                  {renames(absent, "x"), vault.ErrNotFound},
		"update, host's CHECK":            {renames(i.Ref, "refused"), vault.ErrInvalid},
		"switch, absent":                  {func(x *vault.Integrations) error { return x.SetActive(ctx, absent, true) }, vault.ErrNotFound},
		"switch, host's CHECK":            {func(x *vault.Integrations) error { return x.SetActive(ctx, i.Ref, false) }, vault.ErrInvalid},
		"delete, absent":                  {func(x *vault.Integrations) error { return x.Delete(ctx, absent) }, vault.ErrNotFound},
	} {
		requireUsableAfter(t, v, c.call, func(err error) { require.ErrorIs(t, err, c.want, name) })
	}
	requireUsableAfter(t, v, func(x *vault.Integrations) error { return x.Delete(ctx, i.Ref) },
		func(err error) { require.True(t, refusedBy(err, "23503"), "the host's table refers to it: %v", err) })

	got, err := v.Get(ctx, i.Ref)
	require.NoError(t, err)
	require.Equal(t, i, got, "nothing changed")
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")
	holds(t, v.Integrations, old.Ref, "signing", "access", "refresh")
	var rows int
	require.NoError(t, v.Pool().QueryRow(ctx, `SELECT count(*) FROM integrations`).Scan(&rows))
	require.Equal(t, 4, rows)
}

// The caller's lock_timeout ends a wait for somebody else's lock.
func TestAWriteThatWaitedTooLongLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i, to, name := create(t, v, aSlack(v.Workspace())), v.Workspace(), "another"
	blocker, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	for _, table := range []string{"workspaces", "integrations"} {
		_, err = blocker.Exec(t.Context(), `SELECT FROM `+table+` FOR UPDATE`)
		require.NoError(t, err)
	}
	err = pgx.BeginFunc(t.Context(), v.Pool(), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `SET LOCAL lock_timeout = '5ms'`)
		require.NoError(t, err)
		x := v.WithTx(tx)
		for call, write := range map[string]func() error{
			"create":          func() error { _, err := x.Create(t.Context(), aSlack(to)); return err },
			"install":         func() error { _, _, err := x.Install(t.Context(), aSlack(to)); return err },
			"set credentials": func() error { return x.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("x")}) },
			"move":            func() error { _, err := x.Move(t.Context(), i.Ref, to); return err },
			"update":          func() error { _, err := x.Update(t.Context(), i.Ref, vault.Patch{Name: &name}); return err },
			"switch":          func() error { return x.SetActive(t.Context(), i.Ref, false) },
			"delete":          func() error { return x.Delete(t.Context(), i.Ref) },
		} {
			require.True(t, refusedBy(write(), "55P03"), call)
			_, err := x.Get(t.Context(), i.Ref)
			require.NoError(t, err, call)
		}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, blocker.Rollback(t.Context()))
	got, err := v.Get(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, i, got)
}

// fencedWrites are the writes that seal. Each changes a row that prepare made, by a
// process whose only key was destroyed meanwhile.
var fencedWrites = map[string]struct {
	prepare func(n *vault.NewIntegration)
	write   func(t *testing.T, x *vault.Integrations, r vault.Ref, to string) (vault.Ref, error)
}{
	"create": {
		func(n *vault.NewIntegration) {},
		func(t *testing.T, x *vault.Integrations, r vault.Ref, _ string) (vault.Ref, error) {
			i, err := x.Create(t.Context(), aSlack(r.WorkspaceID))
			return i.Ref, err
		},
	},
	"install": {
		func(n *vault.NewIntegration) { n.SlackTeamID = "T0002" },
		func(t *testing.T, x *vault.Integrations, r vault.Ref, _ string) (vault.Ref, error) {
			i, created, err := x.Install(t.Context(), aSlack(r.WorkspaceID))
			if !created {
				err = errors.Join(err, errors.New("made none"))
			}
			return i.Ref, err
		},
	},
	"install again": {
		func(n *vault.NewIntegration) { n.Credentials.WebhookSecret = secret("old signing") },
		func(t *testing.T, x *vault.Integrations, r vault.Ref, _ string) (vault.Ref, error) {
			i, created, err := x.Install(t.Context(), aSlack(r.WorkspaceID))
			if created {
				err = errors.Join(err, errors.New("made another"))
			}
			return i.Ref, err
		},
	},
	"replace all": {
		func(n *vault.NewIntegration) { n.Credentials = vault.Credentials{RefreshToken: secret("old refresh")} },
		func(t *testing.T, x *vault.Integrations, r vault.Ref, _ string) (vault.Ref, error) {
			return r, x.SetCredentials(t.Context(), r, aSlack(r.WorkspaceID).Credentials)
		},
	},
	"replace some": {
		func(n *vault.NewIntegration) { n.Credentials.AccessToken = secret("old access") },
		func(t *testing.T, x *vault.Integrations, r vault.Ref, _ string) (vault.Ref, error) {
			return r, x.SetCredentials(t.Context(), r, vault.Credentials{AccessToken: secret("access")})
		},
	},
	"move": {
		func(n *vault.NewIntegration) {},
		func(t *testing.T, x *vault.Integrations, r vault.Ref, to string) (vault.Ref, error) {
			i, err := x.Move(t.Context(), r, to)
			return i.Ref, err
		},
	},
}

// Every connection of a pool of four, or of one, is in a transaction when the
// fence refuses. Each loads the keyset on its own connection, so nothing waits.
func TestFenceHealsEveryWriteInCallersTransactions(t *testing.T) {
	t.Parallel()
	for name, c := range fencedWrites {
		for _, conns := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				v := vaulttest.New(t)
				pool := poolOf(t, v, func(c *pgxpool.Config) { c.MaxConns = int32(conns) })
				process, err := vault.Open(t.Context(), pool, v.KEK(), quiet)
				require.NoError(t, err)
				defer func() { require.NoError(t, process.Close(t.Context())) }()
				txs := make([]pgx.Tx, conns)
				for n := range txs {
					txs[n], err = pool.Begin(t.Context())
					require.NoError(t, err)
				}
				replaceKey(t, v)
				require.NoError(t, v.Poll(t.Context()))

				refs, to, errs := make([]vault.Ref, conns), make([]string, conns), make([]error, conns)
				for n := range refs {
					row := aSlack(v.Workspace())
					c.prepare(&row)
					refs[n], to[n] = create(t, v, row).Ref, v.Workspace()
				}
				var all sync.WaitGroup
				for n, tx := range txs {
					all.Go(func() {
						refs[n], errs[n] = c.write(t, process.WithTx(tx), refs[n], to[n])
						if errs[n] == nil {
							errs[n] = tx.Commit(t.Context())
						}
					})
				}
				all.Wait()
				for n, err := range errs {
					require.NoError(t, err)
					holds(t, v.Integrations, refs[n], "signing", "access", "refresh")
				}
			})
		}
	}
}
