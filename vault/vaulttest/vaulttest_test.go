package vaulttest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

func pylon(workspace string) vault.NewIntegration {
	return vault.NewIntegration{
		WorkspaceID: workspace, Platform: vault.PlatformPylon, Name: "Pylon",
		Credentials: vault.Credentials{WebhookSecret: vault.NewSecret("a secret")},
	}
}

func TestNewIsReadyAndAlone(t *testing.T) {
	t.Parallel()
	one, two := vaulttest.New(t), vaulttest.New(t)
	w := one.Workspace()
	n := pylon(w)
	n.CreatedBy = one.User()
	i, err := one.Create(t.Context(), n)
	require.NoError(t, err)
	c, err := one.Credentials(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, "a secret", c.WebhookSecret.Reveal())
	_, err = two.Get(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrNotFound)
}

func TestInStandsBesideTheUsersOwnTables(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	_, err := pool.Exec(t.Context(), `
		CREATE TABLE workspaces (id text PRIMARY KEY, plan text NOT NULL);
		CREATE TABLE users (id text PRIMARY KEY, email text);
		INSERT INTO workspaces VALUES ('mine', 'free')`)
	require.NoError(t, err)
	v := vaulttest.In(t, pool)
	i, err := v.Create(t.Context(), pylon("mine"))
	require.NoError(t, err)

	again := vaulttest.In(t, pool) // a second vault in the same database shares its keyset
	c, err := again.Credentials(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, "a secret", c.WebhookSecret.Reveal())
	require.Same(t, pool, v.Pool())
}

func TestRotateMakesANewKeyPrimary(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	other := v.Process()
	i, err := v.Create(t.Context(), pylon(v.Workspace()))
	require.NoError(t, err)
	before := v.Health().Generation
	v.Rotate()
	require.Greater(t, v.Health().Generation, before)
	_, err = v.Credentials(t.Context(), i.Ref)
	require.NoError(t, err, "what was sealed before still opens")
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{WebhookSecret: vault.NewSecret("newer")}))
	c, err := other.Credentials(t.Context(), i.Ref)
	require.NoError(t, err, "another process meets the new key when it reads")
	require.Equal(t, "newer", c.WebhookSecret.Reveal())
}

func TestFailKEK(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	down := errors.New("down")
	v.FailKEK(down)
	_, err := vault.Open(t.Context(), v.Pool(), v.KEK(), nil)
	require.ErrorIs(t, err, down)
	_, err = v.KEK().Wrap(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, down)
	v.FailKEK(nil)
	v.Apply(keyring.Stage(keyring.AES256GCM))
	require.NoError(t, v.Poll(t.Context()))
	require.Equal(t, 3, v.Unwraps(), "its own start, the refused one, the change")
}
