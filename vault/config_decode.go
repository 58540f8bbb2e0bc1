package vault

// Reading the JSON of IntegrationConfig. Fields are looked up by hand:
// encoding/json matches struct fields in any case and drops unknown ones.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// fields is a JSON object of which known fields are taken, until only unknown
// ones are left.
type fields map[string]json.RawMessage

// UnmarshalJSON reads a config; null gives the zero config. c is unchanged on
// error, which is a [*ConfigError] that names the path.
func (c *IntegrationConfig) UnmarshalJSON(data []byte) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	var next IntegrationConfig
	if kind(data) == "null" {
		*c = next
		return nil
	}
	f, err := readObject("", data)
	if err != nil {
		return err
	}
	if next.SlackChannels, err = takeList(f, "slackChannels", readChannel); err != nil {
		return err
	}
	if next.PylonEvents, err = takeList(f, "pylonEvents", readText[PylonEvent]); err != nil {
		return err
	}
	next.extra = f.unknown()
	*c = next
	return nil
}

// UnmarshalJSON reads one channel; ch is unchanged on error, which is a
// [*ConfigError] that names the path.
func (ch *SlackChannel) UnmarshalJSON(data []byte) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	next, err := readChannel("", data)
	if err != nil {
		return err
	}
	*ch = next
	return nil
}

func readChannel(path string, raw json.RawMessage) (ch SlackChannel, err error) {
	f, err := readObject(path, raw)
	if err != nil {
		return ch, err
	}
	if ch.ID, err = takeText(f, path, "id"); err != nil {
		return ch, err
	}
	if ch.Name, err = takeText(f, path, "name"); err != nil {
		return ch, err
	}
	ch.extra = f.unknown()
	return ch, nil
}

// take removes a field and returns it; null counts as absent.
func (f fields) take(name string) (raw json.RawMessage, ok bool) {
	raw, ok = f[name]
	delete(f, name)
	return raw, ok && kind(raw) != "null"
}

// unknown gives nil when no field is left, so that a config that was read
// compares equal to one that was built.
func (f fields) unknown() fields {
	if len(f) == 0 {
		return nil
	}
	return f
}

// takeList gives nil for an absent field.
func takeList[T any](f fields, name string, read func(string, json.RawMessage) (T, error)) ([]T, error) {
	raw, ok := f.take(name)
	if !ok {
		return nil, nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return nil, wrongKind(name, "an array", raw)
	}
	list := make([]T, len(items))
	for i, item := range items {
		var err error
		if list[i], err = read(index(name, i), item); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// takeText gives "" for an absent field, and marks it as absent.
func takeText(f fields, path, name string) (string, error) {
	raw, ok := f.take(name)
	if !ok {
		f[name] = nil
		return "", nil
	}
	return readText[string](join(path, name), raw)
}

func readText[T ~string](path string, raw json.RawMessage) (T, error) {
	var text T
	if kind(raw) != "a string" || json.Unmarshal(raw, &text) != nil {
		return "", wrongKind(path, "a string", raw)
	}
	return text, nil
}

func readObject(path string, raw []byte) (fields, error) {
	var f fields
	if kind(raw) != "an object" || json.Unmarshal(raw, &f) != nil {
		return nil, wrongKind(path, "an object", raw)
	}
	return f, nil
}

func wrongKind(path, want string, raw []byte) error {
	return &ConfigError{Problems: []ConfigProblem{{path, "want " + want + ", found " + kind(raw)}}}
}

// kind names what a JSON value is by its first byte.
func kind(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// checkJSON refuses what is not JSON, and text that jsonb cannot hold.
func checkJSON(data []byte) error {
	var problem string
	switch {
	case !utf8.Valid(data):
		problem = "is not valid UTF-8"
	case !json.Valid(data):
		problem = "is not valid JSON"
	default:
		problem = escapeProblem(data)
	}
	if problem == "" {
		return nil
	}
	return &ConfigError{Problems: []ConfigProblem{{"", problem}}}
}

// escapeProblem looks at the \u escapes of valid JSON, where a backslash only
// stands inside a string.
func escapeProblem(data []byte) string {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		r := escaped(data[i:])
		switch {
		case r == 0:
			return "holds a NUL character"
		case !utf16.IsSurrogate(r):
			i++ // the escaped character, which may be a backslash
		case utf16.DecodeRune(r, escaped(data[i+6:])) == utf8.RuneError:
			return "holds half of a surrogate pair"
		default:
			i += 11 // both escapes
		}
	}
	return ""
}

// escaped returns the UTF-16 unit of the \u escape that data starts with, or
// -1 if it starts with something else.
func escaped(data []byte) rune {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}

func index(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i) }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
