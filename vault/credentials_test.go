package vault_test

// Replacing credentials: what is kept, what is removed, what is repaired.

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

func TestSetCredentialsKeepsWhatItIsNotGiven(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	for _, rotated := range []bool{false, true} { // kept under the same key, and under an older one
		i := create(t, v, aSlack(v.Workspace()))
		before := primary(t, v)
		if rotated {
			v.Rotate()
		}
		expires := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
		require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2"), ExpiresAt: expires}))
		holds(t, v.Integrations, i.Ref, "signing", "access 2", "refresh")
		got, err := v.Get(t.Context(), i.Ref)
		require.NoError(t, err)
		require.Equal(t, expires, got.TokenExpiresAt)
		require.True(t, got.UpdatedAt.After(i.UpdatedAt))
		require.Equal(t, rotated, before != rowKey(t, v, i.WorkspaceID), "all three are under the primary key")
	}
}

func TestSetCredentialsRemoves(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{}, vault.FieldRefreshToken))
	holds(t, v.Integrations, i.Ref, "signing", "access", "")
	v.Rotate()
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{WebhookSecret: secret("signing 2")}, vault.FieldAccessToken))
	holds(t, v.Integrations, i.Ref, "signing 2", "", "")
	got, err := v.Get(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Zero(t, got.TokenExpiresAt, "the expiry goes with the access token")
	require.False(t, got.HasAccessToken || got.HasRefreshToken)

	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{}, vault.FieldWebhookSecret))
	holds(t, v.Integrations, i.Ref, "", "", "")
	var keys int
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT count(key_id) FROM integrations`).Scan(&keys))
	require.Zero(t, keys, "a row without credentials holds no key")
}

func TestSetCredentialsOfTheExpiryAlone(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	expires := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{ExpiresAt: expires}))
	c, err := v.Credentials(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, expires, c.ExpiresAt)
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{WebhookSecret: secret("signing 2")}))
	c, err = v.Credentials(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, expires, c.ExpiresAt, "kept with the token")
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")}))
	c, err = v.Credentials(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Zero(t, c.ExpiresAt, "replaced with the token")
}

// spoil makes a stored credential one that does not open: another row's value
// under the same key.
func spoil(t *testing.T, v *vaulttest.Vault, r vault.Ref, column string) {
	t.Helper()
	_, err := v.Pool().Exec(t.Context(), `UPDATE integrations SET `+column+` =
		set_byte(`+column+`, octet_length(`+column+`) - 1, get_byte(`+column+`, octet_length(`+column+`) - 1) # 255) WHERE id = $1`, r.ID)
	require.NoError(t, err)
}

func raw(t *testing.T, v *vaulttest.Vault, r vault.Ref, column string) (b []byte) {
	t.Helper()
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT `+column+` FROM integrations WHERE id = $1`, r.ID).Scan(&b))
	return b
}

func TestOneThatDoesNotOpenSinksNoOther(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	whole, broken := create(t, v, aSlack(v.Workspace())), create(t, v, aSlack(v.Workspace()))
	spoil(t, v, broken.Ref, "access_token")

	c, err := v.Credentials(t.Context(), broken.Ref)
	require.ErrorIs(t, err, vault.ErrNotOpened)
	var field *vault.FieldError
	require.ErrorAs(t, err, &field)
	require.Equal(t, vault.FieldAccessToken, field.Field)
	require.Equal(t, broken.Ref, field.Ref)
	require.True(t, c.AccessToken.IsZero())
	require.True(t, c.WebhookSecret.Equal(secret("signing")))

	found, err := v.OpenBySlackTeam(t.Context(), "T0001")
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.NoError(t, found[0].Err)
	require.Equal(t, whole.ID, found[0].ID)
	require.ErrorIs(t, found[1].Err, vault.ErrNotOpened)
	require.True(t, found[1].Credentials.WebhookSecret.Equal(secret("signing")))
}

func TestReplacingAllRepairsARowThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	for _, column := range []string{"webhook_secret", "access_token", "refresh_token"} {
		spoil(t, v, i.Ref, column)
	}
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{
		WebhookSecret: secret("signing 2"), AccessToken: secret("access 2")}, vault.FieldRefreshToken))
	holds(t, v.Integrations, i.Ref, "signing 2", "access 2", "")

	spoil(t, v, i.Ref, "webhook_secret")
	again, created, err := v.Install(t.Context(), aSlack(i.WorkspaceID))
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, i.Ref, again.Ref)
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")
}

// A kept credential that does not open stays byte for byte; the new ones are
// sealed under its key, since a row has one key.
func TestAKeptOneThatDoesNotOpenIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	old := primary(t, v)
	spoil(t, v, i.Ref, "webhook_secret")
	spoiled := raw(t, v, i.Ref, "webhook_secret")
	v.Rotate()
	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2"), RefreshToken: secret("refresh 2")}))
	require.Equal(t, old, rowKey(t, v, i.WorkspaceID))
	require.Equal(t, spoiled, raw(t, v, i.Ref, "webhook_secret"))
	c, err := v.Credentials(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrNotOpened)
	require.True(t, c.AccessToken.Equal(secret("access 2")))
	require.True(t, c.RefreshToken.Equal(secret("refresh 2")))
}

func TestSetCredentialsRefusesBadInput(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	slack, pylon := create(t, v, aSlack(v.Workspace())), create(t, v, aPylon(v.Workspace()))
	for name, c := range map[string]struct {
		ref    vault.Ref
		c      vault.Credentials
		remove []vault.Field
		want   error
	}{
		"nothing":            {slack.Ref, vault.Credentials{}, nil, vault.ErrInvalid},
		"empty secret":       {slack.Ref, vault.Credentials{AccessToken: vault.NewSecret("")}, nil, vault.ErrInvalid},
		"too long":           {slack.Ref, vault.Credentials{AccessToken: vault.NewSecretBytes(make([]byte, keyring.MaxPlaintext+1))}, nil, vault.ErrInvalid},
		"set and removed":    {slack.Ref, vault.Credentials{AccessToken: secret("x")}, []vault.Field{vault.FieldAccessToken}, vault.ErrInvalid},
		"unknown field":      {slack.Ref, vault.Credentials{}, []vault.Field{"name"}, vault.ErrInvalid},
		"a token for Pylon":  {pylon.Ref, vault.Credentials{AccessToken: secret("x")}, nil, vault.ErrInvalid},
		"an expiry on Pylon": {pylon.Ref, vault.Credentials{ExpiresAt: time.Now()}, nil, vault.ErrInvalid},
		"no ref":             {vault.Ref{}, vault.Credentials{AccessToken: secret("x")}, nil, vault.ErrInvalid},
		"not there":          {vault.Ref{WorkspaceID: slack.WorkspaceID, ID: "absent"}, vault.Credentials{AccessToken: secret("x")}, nil, vault.ErrNotFound},
		"another workspace":  {vault.Ref{WorkspaceID: pylon.WorkspaceID, ID: slack.ID}, vault.Credentials{AccessToken: secret("x")}, nil, vault.ErrNotFound},
		"not there, remove":  {vault.Ref{WorkspaceID: slack.WorkspaceID, ID: "absent"}, vault.Credentials{}, []vault.Field{vault.FieldAccessToken}, vault.ErrNotFound},
	} {
		require.ErrorIs(t, v.SetCredentials(t.Context(), c.ref, c.c, c.remove...), c.want, name)
	}
	holds(t, v.Integrations, slack.Ref, "signing", "access", "refresh")
	holds(t, v.Integrations, pylon.Ref, "pylon", "", "")
}

// The slow path compares and swaps: a token that another writer stored between
// our read and our write stands beside ours, and is never overwritten by what
// we had read.
func TestAKeptCredentialIsNeverBroughtBack(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	v.Rotate() // what is kept must be re-sealed, so it is read first

	blocker, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	other := v.WithTx(blocker)
	require.NoError(t, other.SetCredentials(t.Context(), i.Ref, vault.Credentials{
		WebhookSecret: secret("signing"), AccessToken: secret("access"), RefreshToken: secret("refresh 2")}))
	done := make(chan error, 1)
	go func() {
		done <- v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")})
	}()
	awaitBlocked(t, v.Pool(), blocker.Conn().PgConn().PID()) // ours has begun, and waits for the row
	require.NoError(t, blocker.Commit(t.Context()))
	require.NoError(t, <-done)
	holds(t, v.Integrations, i.Ref, "signing", "access 2", "refresh 2")
}
