package vault

// What an update may leave as it was: faults that another writer stored never
// block a change, new ones do.

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidateChange(t *testing.T) {
	t.Parallel()
	const stored = `{
		"slackChannels":[{"id":""},{"id":"C1"},{"id":"C1"}],
		"pylonEvents":["issue.reopened","issue.closed","issue.closed"]
	}`
	for name, test := range map[string]struct {
		next string
		want string // the problems, or "" for none
	}{
		"unchanged":     {next: stored},
		"emptied":       {next: `{}`},
		"mended":        {next: `{"slackChannels":[{"id":"C1"},{"id":"C2"}]}`, want: "slackChannels[1]: is for"},
		"fewer":         {next: `{"slackChannels":[{"id":"C1"}],"pylonEvents":["issue.reopened"]}`},
		"moved":         {next: `{"pylonEvents":["issue.created","issue.closed","issue.reopened","issue.closed"]}`},
		"event added":   {next: `{"pylonEvents":["issue.reopened","issue.merged"]}`, want: "pylonEvents[1]: is not a known event"},
		"event renamed": {next: `{"pylonEvents":["issue.merged"]}`, want: "pylonEvents[0]: is not a known event"},
		"event again":   {next: `{"pylonEvents":["issue.reopened","issue.reopened"]}`, want: "pylonEvents[1]: is not a known event"},
		"third of one":  {next: `{"pylonEvents":["issue.closed","issue.closed","issue.closed"]}`, want: "pylonEvents[2]: repeats pylonEvents[0]"},
		"repeated anew": {next: `{"pylonEvents":["issue.created","issue.created"]}`, want: "pylonEvents[1]: repeats pylonEvents[0]"},
		"empty again":   {next: `{"slackChannels":[{"id":""},{"id":""}]}`, want: "slackChannels[1]: is for platform slack, the integration is of pylon; slackChannels[1].id: is empty"},
	} {
		var old, next IntegrationConfig
		require.NoError(t, old.Scan(stored))
		require.NoError(t, next.Scan(test.next))
		err := next.validateChange(old, PlatformPylon)
		if test.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrInvalid, name)
		require.ErrorContains(t, err, "config: "+test.want, name)
	}
	require.ErrorIs(t, IntegrationConfig{}.validateChange(IntegrationConfig{}, "other"), ErrInvalid)
}
