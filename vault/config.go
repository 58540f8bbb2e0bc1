package vault

// IntegrationConfig: what an integration listens to, typed, as the jsonb
// column config holds it. Its JSON is in config_decode.go and config_encode.go,
// the rules for what a caller adds in config_validate.go.

import (
	"database/sql/driver"
	"fmt"
	"slices"
)

// IntegrationConfig is the settings of an integration, kept in the jsonb
// column config, which services in other languages read and write too. Its
// JSON is
//
//	{
//	  "slackChannels": [{"id": "C0123", "name": "support"}],
//	  "pylonEvents": ["issue.created", "issue.updated", "issue.closed"]
//	}
//
// with both fields optional: a nil slice leaves its field out, an empty one
// writes []. Fields and event names that this package does not know survive
// reading, changing and writing, at the top and inside a channel; numbers keep
// every digit. Names of fields are case-sensitive; of a repeated field the
// last counts, as in jsonb; null reads as absent.
//
// Reading takes any object whose known fields have the right shape. What a
// caller adds is judged by [IntegrationConfig.Validate]. Text that jsonb
// cannot hold (a NUL character, invalid UTF-8, half of a surrogate pair) is
// refused when read, written and validated. Errors are [*ConfigError] and
// never repeat input.
//
// It scans from jsonb, json and text columns, where NULL gives the zero
// config, and binds as an argument of a query: a value as its JSON, the zero
// config as {}, a nil pointer as NULL. An argument of type jsonb needs no cast.
//
// Assigning a config copies the slice headers only; [IntegrationConfig.Clone]
// gives a copy that can be changed without touching the original.
type IntegrationConfig struct {
	SlackChannels []SlackChannel // channels that a Slack integration serves
	PylonEvents   []PylonEvent   // events that a Pylon integration serves

	// Unknown fields, by name. Never changed once read, so copies share it.
	extra fields
}

// SlackChannel is one Slack channel of an [IntegrationConfig]. Change one in
// place, or copy it, to keep the fields of its JSON that this package does not
// know.
type SlackChannel struct {
	ID   string // as Slack names it, "C0123"; required
	Name string // for people; Slack lets it change

	// Unknown fields, as in IntegrationConfig. A known name with a nil value
	// marks a field that was absent, and stays so until it is set.
	extra fields
}

// PylonEvent names an event that Pylon's webhooks report.
type PylonEvent string

// The events that a caller may add to a config.
const (
	PylonIssueCreated PylonEvent = "issue.created"
	PylonIssueUpdated PylonEvent = "issue.updated"
	PylonIssueClosed  PylonEvent = "issue.closed"
)

// IsZero reports whether the config has no field at all, known or unknown, and
// so encodes as {}.
func (c IntegrationConfig) IsZero() bool {
	return c.SlackChannels == nil && c.PylonEvents == nil && len(c.extra) == 0
}

// HasChannel reports whether the config lists the Slack channel of that id.
func (c IntegrationConfig) HasChannel(id string) bool {
	return slices.ContainsFunc(c.SlackChannels, func(ch SlackChannel) bool { return ch.ID == id })
}

// HasEvent reports whether the config lists the event.
func (c IntegrationConfig) HasEvent(e PylonEvent) bool { return slices.Contains(c.PylonEvents, e) }

// Clone returns a copy whose slices can be changed without touching c. Nil
// slices stay nil, and unknown fields are kept.
func (c IntegrationConfig) Clone() IntegrationConfig {
	c.SlackChannels = slices.Clone(c.SlackChannels)
	c.PylonEvents = slices.Clone(c.PylonEvents)
	return c
}

// Scan implements [database/sql.Scanner]: JSON as text or bytes, and NULL,
// which gives the zero config. c is unchanged on error.
func (c *IntegrationConfig) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*c = IntegrationConfig{}
		return nil
	case string:
		return c.UnmarshalJSON([]byte(src))
	case []byte:
		return c.UnmarshalJSON(src)
	default:
		return fmt.Errorf("%w: config: a column of Go type %T does not scan into one: want jsonb, json or text",
			ErrInvalid, src)
	}
}

// Value implements [driver.Valuer]: it gives the config's JSON as a string.
func (c IntegrationConfig) Value() (driver.Value, error) {
	b, err := c.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return string(b), nil
}
