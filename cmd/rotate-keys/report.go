package main

// What a subcommand says on stdout: text for people, or one JSON object.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// summary is the part that every object has.
type summary struct {
	Command string `json:"command"`
	Outcome string `json:"outcome"` // changed, unchanged or failed
	Error   string `json:"error,omitempty"`
}

func (s *summary) base() *summary { return s }

// report is a subcommand's own object, which embeds summary.
type report interface {
	base() *summary
	changed() bool
	text() string // lines for people, without the error
}

// act does a subcommand's work, for no longer than the limit or than --timeout, and
// prints the report that the work filled in; also when it failed midway.
func (p *program) act(cmd *cobra.Command, s *settings, limit time.Duration, r report, work func(context.Context) error) error {
	if s.timeout > 0 {
		limit = s.timeout
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	err := work(ctx)
	if errors.As(err, new(*usageError)) {
		return err
	}
	switch {
	case err == nil:
	case cmd.Context().Err() != nil:
		err = fmt.Errorf("%w: %w", context.Cause(cmd.Context()), err)
	case ctx.Err() != nil:
		err = fmt.Errorf("gave up after %s (see --timeout): %w", limit, err)
	}
	return errors.Join(err, p.tell(cmd, s, r, err))
}

func (p *program) tell(cmd *cobra.Command, s *settings, r report, err error) error {
	if !s.json {
		_, err := io.WriteString(p.stdout, r.text())
		return err
	}
	b := r.base()
	_, b.Command, _ = strings.Cut(cmd.CommandPath(), " ")
	switch {
	case err != nil:
		b.Outcome, b.Error = "failed", plain(cmd, err)
	case r.changed():
		b.Outcome = "changed"
	default:
		b.Outcome = "unchanged"
	}
	out := json.NewEncoder(p.stdout)
	out.SetEscapeHTML(false)
	return out.Encode(r)
}
