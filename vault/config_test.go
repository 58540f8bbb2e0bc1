package vault_test

// The config's JSON: what is read, what is written, what is kept, and how a
// wrong shape is told.

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
)

func decode(t *testing.T, text string) vault.IntegrationConfig {
	t.Helper()
	var c vault.IntegrationConfig
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	return c
}

func encode(t *testing.T, c vault.IntegrationConfig) string {
	t.Helper()
	b, err := json.Marshal(c)
	require.NoError(t, err)
	return string(b)
}

func TestConfigIsWrittenExactly(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]vault.IntegrationConfig{
		`{}`: {},
		`{"slackChannels":[],"pylonEvents":[]}`: {
			SlackChannels: []vault.SlackChannel{}, PylonEvents: []vault.PylonEvent{},
		},
		`{"slackChannels":[{"id":"C1","name":"support"},{"id":"C2","name":""}]}`: {
			SlackChannels: []vault.SlackChannel{{ID: "C1", Name: "support"}, {ID: "C2"}},
		},
		`{"pylonEvents":["issue.created","issue.updated","issue.closed"]}`: {
			PylonEvents: []vault.PylonEvent{vault.PylonIssueCreated, vault.PylonIssueUpdated, vault.PylonIssueClosed},
		},
	} {
		require.Equal(t, want, encode(t, c))
		require.Equal(t, c, decode(t, want), "what was written reads as it was")
		require.Equal(t, want == `{}`, c.IsZero())
	}
}

func TestConfigKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	c := decode(t, `{
		"zone": {"b": 1e400, "a": [12345678901234567890.10, null, "<\ud83d\ude00>"]},
		"pylonEvents": ["issue.reopened"],
		"SlackChannels": "another field, by its case",
		"slackChannels": [
			{"topic": null, "name": "support", "id": "C1", "ID": 7},
			{"id": "C2"}
		],
		"ahead": true
	}`)
	require.Equal(t, []vault.PylonEvent{"issue.reopened"}, c.PylonEvents)
	c.SlackChannels[0].Name = "renamed"
	c.SlackChannels = append(c.SlackChannels, vault.SlackChannel{ID: "C3"})
	require.Equal(t, `{"slackChannels":[{"id":"C1","name":"renamed","ID":7,"topic":null},{"id":"C2"},{"id":"C3","name":""}],`+
		`"pylonEvents":["issue.reopened"],"SlackChannels":"another field, by its case","ahead":true,`+
		`"zone":{"b":1e400,"a":[12345678901234567890.10,null,"\u003c\ud83d\ude00\u003e"]}}`, encode(t, c))
	require.False(t, decode(t, `{"other":null}`).IsZero())
}

func TestConfigReadsNullAsAbsent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`null`, ` null `, `{}`, `{"slackChannels":null,"pylonEvents":null}`} {
		c := decode(t, `{"slackChannels":[],"zone":1}`)
		require.NoError(t, json.Unmarshal([]byte(text), &c))
		require.Equal(t, vault.IntegrationConfig{}, c)
	}
	c := decode(t, `{"slackChannels":[{"id":"C1","name":null}]}`)
	require.Equal(t, `{"slackChannels":[{"id":"C1"}]}`, encode(t, c))
	c.SlackChannels[0].Name = "support"
	require.Equal(t, `{"slackChannels":[{"id":"C1","name":"support"}]}`, encode(t, c))
}

func TestConfigTakesTheLastOfRepeatedFields(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"zone":1,"pylonEvents":7,"zone":2,"pylonEvents":[],"slackChannels":[{"id":1,"id":"C1","name":"n"}]}`)
	require.Equal(t, `{"slackChannels":[{"id":"C1","name":"n"}],"pylonEvents":[],"zone":2}`, encode(t, c))
}

func TestConfigTellsWhereAShapeIsWrong(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for text, want := range map[string]string{
		`[]`:                       "want an object, found an array",
		`"sesame"`:                 "want an object, found a string",
		`{"slackChannels":{}}`:     "slackChannels: want an array, found an object",
		`{"slackChannels":"sesa"}`: "slackChannels: want an array, found a string",
		`{"slackChannels":[{"id":"C","name":"n"},{},{"id":777}]}`: "slackChannels[2].id: want a string, found a number",
		`{"slackChannels":[{"id":"C","name":true}]}`:              "slackChannels[0].name: want a string, found a boolean",
		`{"slackChannels":[null]}`:                                "slackChannels[0]: want an object, found null",
		`{"slackChannels":["C777"]}`:                              "slackChannels[0]: want an object, found a string",
		`{"pylonEvents":["issue.closed", -777]}`:                  "pylonEvents[1]: want a string, found a number",
		`{"pylonEvents":[null]}`:                                  "pylonEvents[0]: want a string, found null",
		`{"pylonEvents":false}`:                                   "pylonEvents: want an array, found a boolean",
		`{"zone":"sesa\u0000me"}`:                                 "holds a NUL character",
		`{"sesa\u0000me":1}`:                                      "holds a NUL character",
		`{"pylonEvents":["\ud83dsesame"]}`:                        "holds half of a surrogate pair",
		`{"pylonEvents":["\ud83d\ud83d"]}`:                        "holds half of a surrogate pair",
		`{"pylonEvents":["\\\uDE00"]}`:                            "holds half of a surrogate pair",
		`{"pylonEvents":["\ud83d\\ude00"]}`:                       "holds half of a surrogate pair",
		"{\"zone\":\"sesa\xffme\"}":                               "is not valid UTF-8",
		`{"zone":sesame}`:                                         "is not valid JSON",
		`{"zone":` + deep + `}`:                                   "is not valid JSON",
		``:                                                        "is not valid JSON",
		`{} {}`:                                                   "is not valid JSON",
	} {
		c := decode(t, `{"pylonEvents":["issue.closed"]}`)
		err := c.UnmarshalJSON([]byte(text))
		require.EqualError(t, err, "invalid input: config: "+want)
		require.ErrorIs(t, err, vault.ErrInvalid)
		var typed *vault.ConfigError
		require.ErrorAs(t, err, &typed)
		require.Len(t, typed.Problems, 1)
		require.True(t, c.HasEvent(vault.PylonIssueClosed), "a failed decoding changed the config")
		require.ErrorIs(t, c.Scan(text), vault.ErrInvalid)

		var host struct{ Config vault.IntegrationConfig }
		err = json.Unmarshal(fmt.Appendf(nil, `{"config":%s}`, text), &host)
		if json.Valid([]byte(text)) {
			require.ErrorIs(t, err, vault.ErrInvalid)
			require.NotContains(t, err.Error(), "sesa")
			require.NotContains(t, err.Error(), "777")
		}
	}
	for _, text := range []string{`{"zone":"\\u0000 \\ud83d \\\\"}`, `{"zone":"\ud83d\ude00\u0001\uFFFD\n"}`} {
		decode(t, text)
	}
}

func TestConfigDoesNotWriteWhatJsonbCannotHold(t *testing.T) {
	t.Parallel()
	for path, c := range map[string]vault.IntegrationConfig{
		"slackChannels[1].id":   {SlackChannels: []vault.SlackChannel{{ID: "C1"}, {ID: "sesa\x00me"}}},
		"slackChannels[0].name": {SlackChannels: []vault.SlackChannel{{ID: "C1", Name: "sesa\xffme"}}},
		"pylonEvents[0]":        {PylonEvents: []vault.PylonEvent{"sesa\xc0\x80me"}},
	} {
		_, marshalErr := json.Marshal(c)
		_, valueErr := c.Value()
		for _, err := range []error{marshalErr, valueErr, c.Validate(vault.PlatformSlack), c.Validate(vault.PlatformPylon)} {
			require.ErrorIs(t, err, vault.ErrInvalid)
			require.ErrorContains(t, err, path+": ")
			require.NotContains(t, err.Error(), "sesa")
		}
	}
}

func TestSlackChannelAlone(t *testing.T) {
	t.Parallel()
	var ch vault.SlackChannel
	require.NoError(t, json.Unmarshal([]byte(`{"name":"support","id":"C1","topic":[1]}`), &ch))
	ch.ID = "C2"
	b, err := json.Marshal(ch)
	require.NoError(t, err)
	require.Equal(t, `{"id":"C2","name":"support","topic":[1]}`, string(b))

	require.EqualError(t, ch.UnmarshalJSON([]byte(`{"id":[]}`)), "invalid input: config: id: want a string, found an array")
	require.Equal(t, "C2", ch.ID)
	require.ErrorIs(t, ch.UnmarshalJSON([]byte(`{`)), vault.ErrInvalid)
	_, err = json.Marshal(vault.SlackChannel{ID: "\x00"})
	require.ErrorContains(t, err, "id: holds a NUL character")
}

func TestConfigCloneDoesNotAlias(t *testing.T) {
	t.Parallel()
	const text = `{"slackChannels":[{"id":"C1","name":"n","topic":1}],"pylonEvents":["issue.closed"],"zone":{}}`
	c := decode(t, text)
	other := c.Clone()
	require.Equal(t, text, encode(t, other))
	other.SlackChannels[0].ID = "C2"
	other.PylonEvents[0] = vault.PylonIssueCreated
	require.NoError(t, json.Unmarshal([]byte(`{"topic":2}`), &other.SlackChannels[0]))
	require.NoError(t, json.Unmarshal([]byte(`{"zone":7}`), &other))
	require.Equal(t, text, encode(t, c))
	require.Equal(t, vault.IntegrationConfig{}, vault.IntegrationConfig{}.Clone())
}

func TestConfigLookups(t *testing.T) {
	t.Parallel()
	c := decode(t, `{"slackChannels":[{"id":"C1"}],"pylonEvents":["issue.closed"]}`)
	require.True(t, c.HasChannel("C1"))
	require.False(t, c.HasChannel("c1"))
	require.True(t, c.HasEvent(vault.PylonIssueClosed))
	require.False(t, c.HasEvent(vault.PylonIssueCreated))
	require.False(t, vault.IntegrationConfig{}.HasChannel(""))
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	require.NoError(t, vault.PlatformSlack.Validate())
	require.NoError(t, vault.PlatformPylon.Validate())
	for _, p := range []vault.IntegrationPlatform{"", "Slack", "sesame"} {
		err := p.Validate()
		require.ErrorIs(t, err, vault.ErrInvalid)
		require.ErrorContains(t, err, `want "slack" or "pylon"`)
		require.NotContains(t, err.Error(), "sesame")
		require.Equal(t, err, vault.IntegrationConfig{}.Validate(p))
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	slack := decode(t, `{"slackChannels":[{"id":"C1","name":""},{"id":"C2","name":"x","topic":1}],"pylonEvents":[],"zone":1}`)
	require.NoError(t, slack.Validate(vault.PlatformSlack))
	pylon := decode(t, `{"pylonEvents":["issue.created","issue.updated","issue.closed"]}`)
	require.NoError(t, pylon.Validate(vault.PlatformPylon))
	require.NoError(t, vault.IntegrationConfig{}.Validate(vault.PlatformSlack))

	err := decode(t, `{
		"slackChannels":[{"id":"C1"},{"id":""},{"id":"C1"},{"name":"n"}],
		"pylonEvents":["issue.closed","sesame","issue.closed"]
	}`).Validate(vault.PlatformPylon)
	require.ErrorIs(t, err, vault.ErrInvalid)
	var typed *vault.ConfigError
	require.ErrorAs(t, err, &typed)
	const foreign = "is for platform slack, the integration is of pylon"
	require.Equal(t, []vault.ConfigProblem{
		{Path: "slackChannels[0]", Problem: foreign},
		{Path: "slackChannels[1]", Problem: foreign},
		{Path: "slackChannels[1].id", Problem: "is empty"},
		{Path: "slackChannels[2]", Problem: foreign},
		{Path: "slackChannels[2].id", Problem: "repeats slackChannels[0].id"},
		{Path: "slackChannels[3]", Problem: foreign},
		{Path: "slackChannels[3].id", Problem: "is empty"},
		{Path: "pylonEvents[1]", Problem: "is not a known event: want issue.created, issue.updated or issue.closed"},
		{Path: "pylonEvents[2]", Problem: "repeats pylonEvents[0]"},
	}, typed.Problems)

	err = pylon.Validate(vault.PlatformSlack)
	require.ErrorContains(t, err, "pylonEvents[2]: is for platform pylon, the integration is of slack")
	many := vault.IntegrationConfig{SlackChannels: make([]vault.SlackChannel, 12)}
	err = many.Validate(vault.PlatformSlack)
	require.ErrorContains(t, err, "slackChannels[9].id: is empty; and 2 more")
	require.NotContains(t, err.Error(), "slackChannels[10]")
}
