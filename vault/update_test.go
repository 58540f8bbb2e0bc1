package vault_test

// Updating beside a second writer: a TypeScript service that reads and writes
// the same rows by its own SQL.

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// typescript runs a statement as another service would issue it.
func typescript(t *testing.T, v *vaulttest.Vault, sql string, args ...any) {
	t.Helper()
	tag, err := v.Pool().Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}

func configInDatabase(t *testing.T, v *vaulttest.Vault, r vault.Ref) (text string) {
	t.Helper()
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT config::text FROM integrations WHERE id = $1`, r.ID).Scan(&text))
	return text
}

// Between our read and our write the other service changes config, name and
// is_active: nothing of it is overwritten, and what we change stands beside it.
func TestASecondWriterIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	calls := 0
	got, err := v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		if calls++; calls == 1 { // we have read; now the other service writes
			typescript(t, v, `UPDATE integrations SET config = jsonb_set(config, '{slackChannels}', config->'slackChannels' || '[{"id":"C9","name":"theirs","topic":"kept"}]')
				|| '{"digest":{"hour":9}}', name = 'renamed by them', is_active = false, updated_at = now() WHERE id = $1`, i.ID)
		}
		c.SlackChannels = append(c.SlackChannels, vault.SlackChannel{ID: "C2", Name: "ours"})
		return c, nil
	}})
	require.NoError(t, err)
	require.Equal(t, 2, calls, "asked again with the newer config")
	require.Equal(t, "renamed by them", got.Name)
	require.False(t, got.IsActive)
	require.JSONEq(t, `{"slackChannels":[{"id":"C1","name":"support"},{"id":"C9","name":"theirs","topic":"kept"},{"id":"C2","name":"ours"}],"digest":{"hour":9}}`,
		configInDatabase(t, v, i.Ref))
}

// A rename of ours does not touch a config that we did not change, and the other
// way round.
func TestAnUpdateWritesOnlyWhatItChanges(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	name := "ours"
	typescript(t, v, `UPDATE integrations SET config = '{"pylonEvents":["issue.escalated"],"theirs":1}' WHERE id = $1`, i.ID)
	_, err := v.Update(t.Context(), i.Ref, vault.Patch{Name: &name})
	require.NoError(t, err)
	require.JSONEq(t, `{"pylonEvents":["issue.escalated"],"theirs":1}`, configInDatabase(t, v, i.Ref))

	typescript(t, v, `UPDATE integrations SET name = 'theirs' WHERE id = $1`, i.ID)
	got, err := v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		require.Equal(t, []vault.PylonEvent{"issue.escalated"}, c.PylonEvents, "an event that we do not know is kept")
		c.SlackChannels = []vault.SlackChannel{{ID: "C1"}}
		return c, nil
	}})
	require.NoError(t, err)
	require.Equal(t, "theirs", got.Name)
	require.Contains(t, configInDatabase(t, v, i.Ref), "issue.escalated")

	require.NoError(t, v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")}))
	require.NoError(t, v.SetActive(t.Context(), i.Ref, false))
	require.Contains(t, configInDatabase(t, v, i.Ref), "issue.escalated", "credential writes touch no config")
}

func TestUpdateRefusesWhatACallerAdds(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	before := configInDatabase(t, v, i.Ref)
	_, err := v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		c.PylonEvents = []vault.PylonEvent{"issue.created"}
		return c, nil
	}})
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "pylonEvents")

	mine := errors.New("changed my mind")
	_, err = v.Update(t.Context(), i.Ref, vault.Patch{Config: func(vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		return vault.IntegrationConfig{}, mine
	}})
	require.ErrorIs(t, err, mine)
	empty := ""
	for _, p := range []vault.Patch{{}, {Name: &empty}} {
		_, err = v.Update(t.Context(), i.Ref, p)
		require.ErrorIs(t, err, vault.ErrInvalid)
	}
	require.Equal(t, before, configInDatabase(t, v, i.Ref))
}

// A config that another service broke sinks neither the row nor the listing, and
// is not overwritten.
func TestAConfigThatDoesNotDecode(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	typescript(t, v, `UPDATE integrations SET config = '{"slackChannels":"all"}' WHERE id = $1`, i.ID)
	page, _, err := v.List(t.Context(), i.WorkspaceID, vault.Filter{})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.ErrorIs(t, page[0].ConfigErr, vault.ErrInvalid)
	require.ErrorContains(t, page[0].ConfigErr, "slackChannels")
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")

	_, err = v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		t.Error("the patch is not asked")
		return c, nil
	}})
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.JSONEq(t, `{"slackChannels":"all"}`, configInDatabase(t, v, i.Ref))
}

func TestUpdateGivesUpAgainstEndlessWriters(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	calls := 0
	_, err := v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		calls++
		typescript(t, v, `UPDATE integrations SET config = jsonb_build_object('n', $2::int) WHERE id = $1`, i.ID, calls)
		c.SlackChannels = nil
		return c, nil
	}})
	require.ErrorIs(t, err, vault.ErrConflict)
}

func TestAConfigOfNullStaysNull(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, vault.NewIntegration{WorkspaceID: v.Workspace(), Platform: vault.PlatformSlack, Name: "bare"})
	_, err := v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) { return c, nil }})
	require.NoError(t, err)
	var null bool
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT config IS NULL FROM integrations WHERE id = $1`, i.ID).Scan(&null))
	require.True(t, null)
	_, err = v.Update(t.Context(), i.Ref, vault.Patch{Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
		c.SlackChannels = []vault.SlackChannel{{ID: "C1"}}
		return c, nil
	}})
	require.NoError(t, err)
	require.JSONEq(t, `{"slackChannels":[{"id":"C1","name":""}]}`, configInDatabase(t, v, i.Ref))
}
