package vault_test

// What holds for every config, whatever JSON it was read from: writing loses
// nothing, unknown fields survive a change, judging never panics.

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
)

// parse reads JSON with every digit of its numbers.
func parse(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return v
}

// normal is the document that a config stands for: null fields are absent.
func normal(v any) any {
	top, ok := v.(map[string]any)
	if !ok {
		return map[string]any{}
	}
	dropNull(top, "slackChannels", "pylonEvents")
	channels, _ := top["slackChannels"].([]any)
	for _, ch := range channels {
		if ch, ok := ch.(map[string]any); ok {
			dropNull(ch, "id", "name")
		}
	}
	return top
}

func dropNull(m map[string]any, names ...string) {
	for _, name := range names {
		if m[name] == nil {
			delete(m, name)
		}
	}
}

func FuzzIntegrationConfigRoundTrip(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"slackChannels":null}`, `{"slackChannels":[],"pylonEvents":[]}`,
		`{"slackChannels":[{"id":"C1","name":"support","topic":1e400},{"id":null}],"zone":[{"a":12345678901234567890}]}`,
		`{"pylonEvents":["issue.created","issue.created","other"],"PylonEvents":1,"pylonEvents ":2}`,
		`{"a":1,"a":2,"pylonEvents":1,"pylonEvents":[]}`, `{"a":"\u0000"}`, `{"\ud800":1}`, "{\"a\":\"\xff\"}",
		`{"<&>":"\u2028 \ud83d\ude00 \\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var c vault.IntegrationConfig
		if err := c.UnmarshalJSON(text); err != nil {
			require.ErrorIs(t, err, vault.ErrInvalid)
			require.True(t, c.IsZero())
			return
		}
		once, err := c.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, normal(parse(t, text)), parse(t, once))

		again := decode(t, string(once))
		require.Equal(t, c.SlackChannels == nil, again.SlackChannels == nil)
		require.Equal(t, c.PylonEvents, again.PylonEvents)
		twice, err := again.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}

// jsonOf makes a JSON value of any bytes: what they say, or else a string.
func jsonOf(b []byte) any {
	if json.Valid(b) {
		return json.RawMessage(b)
	}
	return string(b)
}

func FuzzIntegrationConfigUnknownFieldsKept(f *testing.F) {
	for _, seed := range [][4]string{
		{"zone", `{"b":1,"a":[1e400]}`, "topic", `null`},
		{"SlackChannels", `"x"`, "ID", `0.10`},
		{"id", `1`, "slackChannels", `{}`},
		{"", `[]`, "", `""`},
		{"<\u2028", `"\ud83d\ude00"`, "name ", `true`},
	} {
		f.Add(seed[0], []byte(seed[1]), seed[2], []byte(seed[3]), "C2", "renamed")
	}
	f.Fuzz(func(t *testing.T, top string, topValue []byte, inner string, innerValue []byte, id, name string) {
		known := map[string]bool{"slackChannels": true, "pylonEvents": true}
		if known[top] || inner == "id" || inner == "name" {
			return
		}
		channel := map[string]any{"id": "C1", "name": "support", inner: jsonOf(innerValue)}
		before := map[string]any{
			"slackChannels": []any{channel}, "pylonEvents": []any{"issue.closed"}, top: jsonOf(topValue),
		}
		text, err := json.Marshal(before)
		var c vault.IntegrationConfig
		if err != nil || c.UnmarshalJSON(text) != nil {
			return
		}
		c = c.Clone()
		c.SlackChannels[0].ID, c.SlackChannels[0].Name = id, name
		c.SlackChannels = append([]vault.SlackChannel{{ID: "C0", Name: "first"}}, c.SlackChannels...)
		c.PylonEvents = nil
		got, err := c.MarshalJSON()
		if err != nil {
			require.ErrorIs(t, err, vault.ErrInvalid)
			return
		}

		channel = maps.Clone(channel)
		channel["id"], channel["name"] = id, name
		before["slackChannels"] = []any{map[string]any{"id": "C0", "name": "first"}, channel}
		delete(before, "pylonEvents")
		want, err := json.Marshal(before)
		require.NoError(t, err)
		require.Equal(t, parse(t, want), parse(t, got))
	})
}

func FuzzIntegrationConfigValidate(f *testing.F) {
	f.Add([]byte(`{"slackChannels":[{"id":""},{"id":"C1"},{"id":"C1"}],"pylonEvents":["x","x"]}`), "C1", "slack")
	f.Add([]byte(`{"pylonEvents":["issue.closed"]}`), "\x00\xff", "pylon")
	f.Add([]byte(`{}`), "", "")
	f.Fuzz(func(t *testing.T, text []byte, id, platform string) {
		var c vault.IntegrationConfig
		if c.UnmarshalJSON(text) != nil {
			return
		}
		c.SlackChannels = append(c.SlackChannels, vault.SlackChannel{ID: id})
		c.PylonEvents = append(c.PylonEvents, vault.PylonEvent(id))
		for _, p := range []vault.IntegrationPlatform{
			vault.PlatformSlack, vault.PlatformPylon, vault.IntegrationPlatform(platform),
		} {
			// One of the two fields is always of the other platform.
			require.ErrorIs(t, c.Validate(p), vault.ErrInvalid)
		}
	})
}
