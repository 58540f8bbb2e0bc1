package main

// Mistakes in how the command was called. No message quotes what was typed, but
// for plain words: a database URL with its password may stand in any place.

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a wrong call: exit status 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// noArguments refuses what follows a command: no command takes any.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasSubCommands():
		return usagef("it takes no arguments, only flags")
	}
	text := "unknown command" + quoteWord(args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// flagError says anew what pflag found: pflag's own messages quote arguments.
func flagError(_ *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		lacking *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usagef("unknown flag: a flag's name begins with two dashes")
	case errors.As(err, &unknown):
		return usagef("unknown flag%s", quoteWord("--"+unknown.GetSpecifiedName()))
	case errors.As(err, &lacking):
		return usagef("--%s needs a value", lacking.GetFlag().Name)
	case errors.As(err, &invalid):
		return usagef("--%s: the value is not of the right kind", invalid.GetFlag().Name)
	default:
		return usagef("a flag is malformed")
	}
}

var word = regexp.MustCompile(`^[a-z-]{1,30}$`)

// quoteWord shows a word that can be no secret, and nothing otherwise.
func quoteWord(text string) string {
	if !word.MatchString(text) {
		return ""
	}
	return fmt.Sprintf(" %q", text)
}
