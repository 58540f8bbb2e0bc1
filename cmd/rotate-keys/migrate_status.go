package main

// rotate-keys migrate status.

import (
	"context"
	"fmt"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/migrations"
)

const statusLimit = time.Minute

const migrateStatusHelp = `status lists the migrations that this release knows, and says whether it can run on
the schema. It changes nothing, and ends with status 0 whatever it finds.

With --json:

  version     number  the newest migration that is recorded; 0 if none
  needs       number  the version that this release needs
  fits        bool    whether this release can run on the schema
  problem     string  why it cannot, and what to do; absent if it can
  migrations  [{"version": number, "name": string, "state": "applied" or "pending",
              "appliedAt": string}]  oldest first; the time in RFC 3339, absent if pending

version, fits and problem are absent, and migrations is empty, if the command failed.`

func (p *program) migrateStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "List the migrations that ran and those that did not",
		Long:  migrateStatusHelp,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			r := &statusReport{Needs: migrations.Schema, Migrations: []migrationStatus{}}
			return p.act(cmd, s, statusLimit, r, func(ctx context.Context) error { return r.run(ctx, s) })
		},
	}
}

// statusReport is what status found.
type statusReport struct {
	summary
	Version    *int64            `json:"version,omitempty"`
	Needs      int64             `json:"needs"`
	Fits       *bool             `json:"fits,omitempty"`
	Problem    string            `json:"problem,omitempty"`
	Migrations []migrationStatus `json:"migrations"`
	state      schemaState
}

type migrationStatus struct {
	migration
	State     string     `json:"state"`
	AppliedAt *time.Time `json:"appliedAt,omitempty"`
}

func (r *statusReport) run(ctx context.Context, s *settings) error {
	pool, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if r.state, err = readState(ctx, pool); err != nil {
		return err
	}
	fits := r.state.problem == nil
	r.Version, r.Fits = &r.state.version, &fits
	if !fits {
		r.Problem = r.state.problem.Error()
	}
	for _, step := range r.state.steps {
		m := migrationStatus{
			migration: migration{step.Source.Version, path.Base(step.Source.Path)},
			State:     string(step.State),
		}
		if !step.AppliedAt.IsZero() {
			at := step.AppliedAt.UTC()
			m.AppliedAt = &at
		}
		r.Migrations = append(r.Migrations, m)
	}
	return nil
}

func (r *statusReport) changed() bool { return false }

func (r *statusReport) text() string {
	if r.Fits == nil { // it failed
		return ""
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "MIGRATION\tSTATE\tAPPLIED AT")
	for _, m := range r.Migrations {
		at := "-"
		if m.AppliedAt != nil {
			at = m.AppliedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", m.Name, m.State, at)
	}
	_ = table.Flush() // a strings.Builder takes all
	fit := "This release can run on it"
	if !*r.Fits {
		fit = r.Problem
	}
	fmt.Fprintf(&b, "%s.\n%s.\n", capital(r.state.text()), capital(fit))
	return b.String()
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
