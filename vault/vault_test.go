package vault_test

// The main path, and what the tests of this package share.

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// token builds a credential at run time, so that no scanner finds one in the
// source.
func token(text string) string { return "xox" + "b-" + text }

func secret(text string) vault.Secret { return vault.NewSecret(token(text)) }

// aSlack is a Slack integration with all three credentials.
func aSlack(workspace string) vault.NewIntegration {
	return vault.NewIntegration{
		WorkspaceID: workspace, Platform: vault.PlatformSlack, Name: "Support Channel",
		SlackTeamID: "T0001", SlackTeamName: "Acme", SlackBotUserID: "U0001",
		Credentials: vault.Credentials{
			WebhookSecret: secret("signing"), AccessToken: secret("access"), RefreshToken: secret("refresh"),
			ExpiresAt: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		Config: vault.IntegrationConfig{SlackChannels: []vault.SlackChannel{{ID: "C1", Name: "support"}}},
	}
}

func aPylon(workspace string) vault.NewIntegration {
	return vault.NewIntegration{
		WorkspaceID: workspace, Platform: vault.PlatformPylon, Name: "Pylon", PylonAccountID: "acct_1",
		Credentials: vault.Credentials{WebhookSecret: secret("pylon")},
		Config:      vault.IntegrationConfig{PylonEvents: []vault.PylonEvent{vault.PylonIssueCreated}},
	}
}

func create(t testing.TB, x interface {
	Create(ctx context.Context, n vault.NewIntegration) (vault.Integration, error)
}, n vault.NewIntegration) vault.Integration {
	t.Helper()
	i, err := x.Create(t.Context(), n)
	require.NoError(t, err)
	return i
}

// holds checks that an integration's credentials open to these texts; "" means
// that there is none.
func holds(t testing.TB, x *vault.Integrations, r vault.Ref, webhook, access, refresh string) {
	t.Helper()
	c, err := x.Credentials(t.Context(), r)
	require.NoError(t, err)
	for _, field := range []struct {
		name string
		got  vault.Secret
		want string
	}{{"webhook secret", c.WebhookSecret, webhook}, {"access token", c.AccessToken, access}, {"refresh token", c.RefreshToken, refresh}} {
		if field.want == "" {
			require.True(t, field.got.IsZero(), field.name)
			continue
		}
		require.True(t, field.got.Equal(secret(field.want)), field.name)
	}
}

func TestCreateAndOpen(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	workspace, user := v.Workspace(), v.User()
	n := aSlack(workspace)
	n.CreatedBy = user
	made := create(t, v, n)
	require.Len(t, made.ID, 21)
	require.Equal(t, workspace, made.WorkspaceID)
	require.True(t, made.IsActive)
	require.True(t, made.HasWebhookSecret && made.HasAccessToken && made.HasRefreshToken)
	require.Equal(t, n.Credentials.ExpiresAt, made.TokenExpiresAt)
	require.Equal(t, n.Config.SlackChannels, made.Config.SlackChannels)
	require.NotZero(t, made.CreatedAt)
	require.Equal(t, made.CreatedAt, made.UpdatedAt)

	got, err := v.Get(t.Context(), made.Ref)
	require.NoError(t, err)
	require.Equal(t, made, got)
	holds(t, v.Integrations, made.Ref, "signing", "access", "refresh")
	c, err := v.Credentials(t.Context(), made.Ref)
	require.NoError(t, err)
	require.Equal(t, n.Credentials.ExpiresAt, c.ExpiresAt)

	w, u, err := v.Relations(t.Context(), made.Ref)
	require.NoError(t, err)
	require.Equal(t, workspace, w.ID)
	require.Equal(t, user, u.ID)
}

// waitFor waits until a condition holds. It fails only if that does not happen in
// a time that is far beyond what it takes.
func waitFor(t testing.TB, condition func(context.Context) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return condition(t.Context()) }, time.Minute, 2*time.Millisecond)
}
