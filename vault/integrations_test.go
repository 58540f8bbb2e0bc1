package vault_test

// Create, install, get, list, update, move, delete: what each does and refuses.

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

func TestCreateRefusesBadInput(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	for name, change := range map[string]func(*vault.NewIntegration){
		"no workspace":       func(n *vault.NewIntegration) { n.WorkspaceID = "" },
		"no platform":        func(n *vault.NewIntegration) { n.Platform = "" },
		"unknown platform":   func(n *vault.NewIntegration) { n.Platform = "teams" },
		"no name":            func(n *vault.NewIntegration) { n.Name = "" },
		"a long name":        func(n *vault.NewIntegration) { n.Name = strings.Repeat("x", 1001) },
		"a NUL":              func(n *vault.NewIntegration) { n.SlackTeamID = "T\x00" },
		"no UTF-8":           func(n *vault.NewIntegration) { n.Name = "\xff" },
		"a Pylon field":      func(n *vault.NewIntegration) { n.PylonAccountID = "acct" },
		"a Pylon config":     func(n *vault.NewIntegration) { n.Config.PylonEvents = []vault.PylonEvent{vault.PylonIssueClosed} },
		"an empty secret":    func(n *vault.NewIntegration) { n.Credentials.AccessToken = vault.NewSecret("") },
		"a bad channel":      func(n *vault.NewIntegration) { n.Config.SlackChannels[0].ID = "" },
		"Slack ids on Pylon": func(n *vault.NewIntegration) { *n = aPylon(w); n.SlackTeamID = "T1" },
		"a token on Pylon":   func(n *vault.NewIntegration) { *n = aPylon(w); n.Credentials.AccessToken = secret("x") },
	} {
		n := aSlack(w)
		change(&n)
		_, err := v.Create(t.Context(), n)
		require.ErrorIs(t, err, vault.ErrInvalid, name)
	}
	n := aSlack("absent")
	_, err := v.Create(t.Context(), n)
	require.ErrorIs(t, err, vault.ErrNotFound)
	require.ErrorContains(t, err, "workspace")
	n = aSlack(w)
	n.CreatedBy = "absent"
	_, err = v.Create(t.Context(), n)
	require.ErrorIs(t, err, vault.ErrNotFound)
	require.ErrorContains(t, err, "CreatedBy")

	page, _, err := v.List(t.Context(), w, vault.Filter{})
	require.NoError(t, err)
	require.Empty(t, page, "nothing was written")
}

func TestCreateWithoutCredentials(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, vault.NewIntegration{WorkspaceID: v.Workspace(), Platform: vault.PlatformSlack, Name: "later", Inactive: true})
	require.False(t, i.IsActive || i.HasAccessToken || i.HasWebhookSecret || i.HasRefreshToken)
	require.True(t, i.Config.IsZero())
	holds(t, v.Integrations, i.Ref, "", "", "")
}

func TestEveryCallNamesTheWorkspace(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	theirs := vault.Ref{WorkspaceID: v.Workspace(), ID: i.ID}
	name := "stolen"
	_, getErr := v.Get(t.Context(), theirs)
	_, openErr := v.Credentials(t.Context(), theirs)
	_, updateErr := v.Update(t.Context(), theirs, vault.Patch{Name: &name})
	_, moveErr := v.Move(t.Context(), theirs, v.Workspace())
	_, _, relationsErr := v.Relations(t.Context(), theirs)
	for _, err := range []error{
		getErr, openErr, updateErr, moveErr, relationsErr,
		v.SetActive(t.Context(), theirs, false), v.Delete(t.Context(), theirs),
		v.SetCredentials(t.Context(), theirs, vault.Credentials{AccessToken: secret("x")}),
	} {
		require.ErrorIs(t, err, vault.ErrNotFound)
	}
	got, err := v.Get(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, i, got)
}

func TestInstallCreatesThenReplaces(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	first, created, err := v.Install(t.Context(), aSlack(w))
	require.NoError(t, err)
	require.True(t, created)
	_, err = v.Update(t.Context(), first.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		c.SlackChannels = append(c.SlackChannels, vault.SlackChannel{ID: "C2", Name: "more"})
		return c, nil
	}})
	require.NoError(t, err)
	require.NoError(t, v.SetActive(t.Context(), first.Ref, false))
	v.Rotate()

	n := aSlack(w)
	n.Name, n.SlackTeamName, n.SlackBotUserID = "another name", "Acme Inc.", ""
	n.Credentials = vault.Credentials{AccessToken: secret("access 2")}
	second, created, err := v.Install(t.Context(), n)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first.Ref, second.Ref)
	require.Equal(t, "Support Channel", second.Name)
	require.Equal(t, "Acme Inc.", second.SlackTeamName)
	require.Equal(t, "U0001", second.SlackBotUserID)
	require.True(t, second.IsActive)
	require.Len(t, second.Config.SlackChannels, 2)
	holds(t, v.Integrations, first.Ref, "signing", "access 2", "")
}

func TestInstallNeedsAnInstallation(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	slack, pylon := aSlack(w), aPylon(w)
	slack.SlackTeamID, pylon.PylonAccountID = "", ""
	for _, n := range []vault.NewIntegration{slack, pylon} {
		_, _, err := v.Install(t.Context(), n)
		require.ErrorIs(t, err, vault.ErrInvalid)
	}
	_, _, err := v.Install(t.Context(), aSlack("absent"))
	require.ErrorIs(t, err, vault.ErrNotFound)

	create(t, v, aSlack(w))
	create(t, v, aSlack(w))
	_, _, err = v.Install(t.Context(), aSlack(w))
	require.ErrorIs(t, err, vault.ErrConflict)
}

func TestTwentyInstallsAtOnceMakeOneIntegration(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	var mu sync.Mutex
	var errs []error
	made := 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, created, err := v.Install(t.Context(), aSlack(w))
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if created {
				made++
			}
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 1, made)
	page, _, err := v.List(t.Context(), w, vault.Filter{})
	require.NoError(t, err)
	require.Len(t, page, 1)
}

func TestListPages(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	var want []string
	err := pgx.BeginFunc(t.Context(), v.Pool(), func(tx pgx.Tx) error { // one transaction: one created_at
		for range 5 {
			want = append(want, create(t, v.WithTx(tx), aSlack(w)).ID)
		}
		return nil
	})
	require.NoError(t, err)
	want = append(want, create(t, v, aPylon(w)).ID)
	create(t, v, aSlack(v.Workspace())) // somebody else's
	inactive := create(t, v, aSlack(w))
	require.NoError(t, v.SetActive(t.Context(), inactive.Ref, false))

	var got []string
	active := true
	f := vault.Filter{Limit: 2, Active: &active}
	for pages := 0; ; pages++ {
		page, next, err := v.List(t.Context(), w, f)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 2)
		for _, i := range page {
			got = append(got, i.ID)
		}
		if next == "" {
			require.Equal(t, 2, pages)
			break
		}
		f.After = next
	}
	require.ElementsMatch(t, want, got)

	page, next, err := v.List(t.Context(), w, vault.Filter{Platform: vault.PlatformPylon})
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, page, 1)
	for _, bad := range []vault.Filter{{Limit: -1}, {Limit: 1001}, {Platform: "x"}, {After: "%"}, {After: "bm90IGEgY3Vyc29y"}} {
		_, _, err := v.List(t.Context(), w, bad)
		require.ErrorIs(t, err, vault.ErrInvalid, fmt.Sprint(bad))
	}
}

func TestLookUpsFindActiveOnesInEveryWorkspace(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	a, b := create(t, v, aSlack(v.Workspace())), create(t, v, aSlack(v.Workspace()))
	off := create(t, v, aSlack(v.Workspace()))
	require.NoError(t, v.SetActive(t.Context(), off.Ref, false))
	p := create(t, v, aPylon(v.Workspace()))

	found, err := v.OpenBySlackTeam(t.Context(), "T0001")
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, []string{a.ID, b.ID}, []string{found[0].ID, found[1].ID})
	require.True(t, found[0].Credentials.WebhookSecret.Equal(secret("signing")))
	require.Equal(t, a.TokenExpiresAt, found[0].Credentials.ExpiresAt)

	pylons, err := v.OpenByPylonAccount(t.Context(), "acct_1")
	require.NoError(t, err)
	require.Len(t, pylons, 1)
	require.Equal(t, p.ID, pylons[0].ID)
	require.True(t, pylons[0].Credentials.WebhookSecret.Equal(secret("pylon")))

	none, err := v.OpenBySlackTeam(t.Context(), "T9999")
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = v.OpenBySlackTeam(t.Context(), "")
	require.ErrorIs(t, err, vault.ErrInvalid)
}

func TestMove(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i, to := create(t, v, aSlack(v.Workspace())), v.Workspace()
	v.Rotate()
	moved, err := v.Move(t.Context(), i.Ref, to)
	require.NoError(t, err)
	require.Equal(t, vault.Ref{WorkspaceID: to, ID: i.ID}, moved.Ref)
	require.Equal(t, i.TokenExpiresAt, moved.TokenExpiresAt)
	holds(t, v.Integrations, moved.Ref, "signing", "access", "refresh")
	_, err = v.Get(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrNotFound)

	_, err = v.Move(t.Context(), moved.Ref, "absent")
	require.ErrorIs(t, err, vault.ErrNotFound)
	same, err := v.Move(t.Context(), moved.Ref, to)
	require.NoError(t, err)
	require.Equal(t, moved, same)

	bare := create(t, v, vault.NewIntegration{WorkspaceID: to, Platform: vault.PlatformSlack, Name: "bare"})
	_, err = v.Move(t.Context(), bare.Ref, i.WorkspaceID)
	require.NoError(t, err)

	spoil(t, v, moved.Ref, "refresh_token")
	_, err = v.Move(t.Context(), moved.Ref, i.WorkspaceID)
	require.ErrorIs(t, err, vault.ErrNotOpened)
	got, err := v.Get(t.Context(), moved.Ref)
	require.NoError(t, err)
	require.Equal(t, moved, got, "nothing changed")
}

// Moving by raw SQL kills the credentials, by design.
func TestARowMovedByRawSQLDoesNotOpen(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i, to := create(t, v, aSlack(v.Workspace())), v.Workspace()
	_, err := v.Pool().Exec(t.Context(), `UPDATE integrations SET workspace_id = $2 WHERE id = $1`, i.ID, to)
	require.NoError(t, err)
	c, err := v.Credentials(t.Context(), vault.Ref{WorkspaceID: to, ID: i.ID})
	require.ErrorIs(t, err, vault.ErrNotOpened)
	require.True(t, c.AccessToken.IsZero() && c.WebhookSecret.IsZero() && c.RefreshToken.IsZero())
}

func TestDeleteAndCascade(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	user := v.User()
	n := aSlack(v.Workspace())
	n.CreatedBy = user
	i := create(t, v, n)
	_, err := v.Pool().Exec(t.Context(), `DELETE FROM users WHERE id = $1`, user)
	require.NoError(t, err)
	_, creator, err := v.Relations(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Nil(t, creator)
	require.NoError(t, v.Delete(t.Context(), i.Ref))
	require.ErrorIs(t, v.Delete(t.Context(), i.Ref), vault.ErrNotFound)

	j := create(t, v, aSlack(v.Workspace()))
	_, err = v.Pool().Exec(t.Context(), `DELETE FROM workspaces WHERE id = $1`, j.WorkspaceID)
	require.NoError(t, err)
	_, err = v.Get(t.Context(), j.Ref)
	require.ErrorIs(t, err, vault.ErrNotFound)
}

func TestWithTxTakesEffectAtCommit(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	tx, err := v.Pool().Begin(t.Context())
	require.NoError(t, err)
	x := v.WithTx(tx)
	i := create(t, x, aSlack(w))
	require.NoError(t, x.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")}))
	holds(t, x, i.Ref, "signing", "access 2", "refresh")
	_, err = v.Get(t.Context(), i.Ref)
	require.ErrorIs(t, err, vault.ErrNotFound)
	_, err = x.Create(t.Context(), aSlack("absent"))
	require.ErrorIs(t, err, vault.ErrNotFound)
	_, _, err = x.Install(t.Context(), aSlack(w))
	require.NoError(t, err, "the transaction is usable after a refusal")
	require.NoError(t, tx.Commit(t.Context()))
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")
}
