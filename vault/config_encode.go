package vault

// Writing the JSON of IntegrationConfig: the same bytes for the same config.

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// MarshalJSON writes the known fields first, then the unknown ones sorted by
// name. It fails with a [*ConfigError] for text that jsonb cannot hold.
func (c IntegrationConfig) MarshalJSON() ([]byte, error) {
	if err := c.unstorable().asError(); err != nil {
		return nil, err
	}
	var o object
	if c.SlackChannels != nil {
		o.list("slackChannels", len(c.SlackChannels), func(i int) []byte { return c.SlackChannels[i].json() })
	}
	if c.PylonEvents != nil {
		o.list("pylonEvents", len(c.PylonEvents), func(i int) []byte { return quote(string(c.PylonEvents[i])) })
	}
	o.rest(c.extra)
	return o.close(), nil
}

// MarshalJSON writes id and name, then the unknown fields sorted by name. It
// fails with a [*ConfigError] for text that jsonb cannot hold.
func (ch SlackChannel) MarshalJSON() ([]byte, error) {
	if err := ch.unstorable("").asError(); err != nil {
		return nil, err
	}
	return ch.json(), nil
}

func (ch SlackChannel) json() []byte {
	var o object
	o.text("id", ch.ID, ch.extra)
	o.text("name", ch.Name, ch.extra)
	o.rest(ch.extra)
	return o.close()
}

// object writes one JSON object.
type object struct{ buf bytes.Buffer }

// field writes a field whose value is valid JSON.
func (o *object) field(name string, value []byte) {
	if o.buf.Len() == 0 {
		o.buf.WriteByte('{')
	} else {
		o.buf.WriteByte(',')
	}
	o.buf.Write(quote(name))
	o.buf.WriteByte(':')
	_ = json.Compact(&o.buf, value)
}

// text leaves out what is empty and was absent when read.
func (o *object) text(name, value string, extra fields) {
	if _, absent := extra[name]; absent && value == "" {
		return
	}
	o.field(name, quote(value))
}

func (o *object) list(name string, n int, item func(int) []byte) {
	items := make([][]byte, n)
	for i := range items {
		items[i] = item(i)
	}
	o.field(name, slices.Concat([]byte("["), bytes.Join(items, []byte(",")), []byte("]")))
}

// rest writes the unknown fields; a nil value is the mark of an absent one.
func (o *object) rest(extra fields) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if extra[name] != nil {
			o.field(name, extra[name])
		}
	}
}

func (o *object) close() []byte {
	if o.buf.Len() == 0 {
		return []byte("{}")
	}
	o.buf.WriteByte('}')
	return o.buf.Bytes()
}

// quote writes s, which is valid UTF-8, as a JSON string.
func quote(s string) []byte {
	b, _ := json.Marshal(s)
	return b
}
