package vault

// The rules for what a caller adds to an IntegrationConfig, and the error that
// reports every breach with its path.

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ConfigError reports everything that is wrong with an [IntegrationConfig]. It
// matches [ErrInvalid].
type ConfigError struct {
	Problems []ConfigProblem // at least one
}

// ConfigProblem is one thing that is wrong. It never repeats input.
type ConfigProblem struct {
	Path    string // where, such as "slackChannels[2].id"; "" is the whole config
	Problem string // what, such as "is empty"
}

// maxShown keeps the message short when a long list is wrong throughout.
const maxShown = 10

// Error lists the problems, the first ten in full.
func (e *ConfigError) Error() string {
	shown := make([]string, 0, maxShown+1)
	for i, p := range e.Problems {
		if i == maxShown {
			shown = append(shown, fmt.Sprintf("and %d more", len(e.Problems)-i))
			break
		}
		shown = append(shown, strings.TrimPrefix(p.Path+": "+p.Problem, ": "))
	}
	return fmt.Sprintf("%v: config: %s", ErrInvalid, strings.Join(shown, "; "))
}

// Unwrap gives [ErrInvalid].
func (e *ConfigError) Unwrap() error { return ErrInvalid }

// Validate judges the config as what a caller adds to an integration of
// platform p. It refuses a field of the other platform, an empty or repeated
// channel id, an unknown or repeated event, and text that jsonb cannot hold.
// Unknown fields are not judged. The error is a [*ConfigError] with all
// problems; for an unknown p it is that of [IntegrationPlatform.Validate].
func (c IntegrationConfig) Validate(p IntegrationPlatform) error {
	return c.validateChange(IntegrationConfig{}, p)
}

// validateChange is Validate for a config that replaces old: what was wrong
// with old already does not count, wherever it stands now, so that another
// writer's settings never block an update.
func (c IntegrationConfig) validateChange(old IntegrationConfig, p IntegrationPlatform) error {
	if err := p.Validate(); err != nil {
		return err
	}
	known := map[fault]int{}
	for _, f := range old.faults(p) {
		known[f.fault]++
	}
	var fresh faults
	for _, f := range c.faults(p) {
		if known[f.fault] > 0 {
			known[f.fault]--
			continue
		}
		fresh = append(fresh, f)
	}
	return fresh.asError()
}

// fault identifies a problem apart from its place: a rule and what broke it.
type fault struct{ rule, value string }

// faults are problems with their identity.
type faults []struct {
	fault
	ConfigProblem
}

func (f *faults) add(path, problem, rule, value string) {
	*f = append(*f, struct {
		fault
		ConfigProblem
	}{fault{rule, value}, ConfigProblem{path, problem}})
}

func (f faults) asError() error {
	if len(f) == 0 {
		return nil
	}
	e := &ConfigError{}
	for _, one := range f {
		e.Problems = append(e.Problems, one.ConfigProblem)
	}
	return e
}

func (c IntegrationConfig) faults(p IntegrationPlatform) faults {
	f := c.unstorable()
	seen := map[string]string{}
	for i, ch := range c.SlackChannels {
		path := index("slackChannels", i)
		f.platform(path, p, PlatformSlack, ch.ID)
		if ch.ID == "" {
			f.add(path+".id", "is empty", "empty channel", "")
			continue
		}
		f.repeated(seen, path+".id", "repeated channel", ch.ID)
	}
	clear(seen)
	for i, e := range c.PylonEvents {
		path := index("pylonEvents", i)
		f.platform(path, p, PlatformPylon, string(e))
		f.event(path, e)
		f.repeated(seen, path, "repeated event", string(e))
	}
	return f
}

func (f *faults) platform(path string, is, want IntegrationPlatform, value string) {
	if is != want {
		f.add(path, fmt.Sprintf("is for platform %s, the integration is of %s", want, is), "platform "+string(want), value)
	}
}

func (f *faults) event(path string, e PylonEvent) {
	switch e {
	case PylonIssueCreated, PylonIssueUpdated, PylonIssueClosed:
	default:
		f.add(path, fmt.Sprintf("is not a known event: want %s, %s or %s",
			PylonIssueCreated, PylonIssueUpdated, PylonIssueClosed), "unknown event", string(e))
	}
}

// repeated remembers in seen where each value stood first.
func (f *faults) repeated(seen map[string]string, path, rule, value string) {
	if first, ok := seen[value]; ok {
		f.add(path, "repeats "+first, rule, value)
		return
	}
	seen[value] = path
}

// unstorable finds text that jsonb cannot hold. Unknown fields hold none:
// decoding refused it.
func (c IntegrationConfig) unstorable() (f faults) {
	for i, ch := range c.SlackChannels {
		f = append(f, ch.unstorable(index("slackChannels", i))...)
	}
	for i, e := range c.PylonEvents {
		f.text(index("pylonEvents", i), string(e))
	}
	return f
}

func (ch SlackChannel) unstorable(path string) (f faults) {
	f.text(join(path, "id"), ch.ID)
	f.text(join(path, "name"), ch.Name)
	return f
}

func (f *faults) text(path, value string) {
	switch {
	case strings.ContainsRune(value, 0):
		f.add(path, "holds a NUL character", "NUL", value)
	case !utf8.ValidString(value):
		f.add(path, "is not valid UTF-8", "UTF-8", value)
	}
}
