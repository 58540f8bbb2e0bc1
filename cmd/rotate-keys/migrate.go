package main

// rotate-keys migrate: what its subcommands share.

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/migrations"
)

// migrateLimit leaves time to wait for another process that migrates.
const migrateLimit = 10 * time.Minute

const migrateHelp = `migrate makes Strongroom's tables, or brings them up to date. They are made in the
first schema of search_path that exists. The host's tables workspaces(id text) and
users(id text) must be there before.`

func (p *program) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Make the tables, or bring them up to date",
		Long:  migrateHelp,
		Args:  noArguments,
		RunE:  p.needSubcommand,
	}
	cmd.AddCommand(p.migrateUpCommand(), p.migrateDownCommand(), p.migrateStatusCommand())
	return cmd
}

// migrateReport is what up or down did.
type migrateReport struct {
	summary
	Version    *int64      `json:"version,omitempty"`
	Migrations []migration `json:"migrations"`
	did        string      // to each migration
	state      schemaState
}

type migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
}

// run takes a step and reports where the schema stands then.
func (r *migrateReport) run(ctx context.Context, s *settings, step func(context.Context, *pgxpool.Pool) ([]*goose.MigrationResult, error)) error {
	r.Migrations = []migration{} // in JSON: [], not null
	pool, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	results, err := step(ctx, pool)
	for _, m := range results {
		r.Migrations = append(r.Migrations, migration{m.Source.Version, path.Base(m.Source.Path)})
	}
	if err != nil {
		return err
	}
	if r.state, err = readState(ctx, pool); err == nil {
		r.Version = &r.state.version
	}
	return err
}

func (r *migrateReport) changed() bool { return len(r.Migrations) > 0 }

func (r *migrateReport) text() string {
	var b strings.Builder
	for _, m := range r.Migrations {
		fmt.Fprintf(&b, "%s %s\n", r.did, m.Name)
	}
	switch {
	case r.Version == nil: // it failed
	case r.changed():
		fmt.Fprintf(&b, "Done: %s.\n", r.state.text())
	default:
		fmt.Fprintf(&b, "Nothing to do: %s.\n", r.state.text())
	}
	return b.String()
}

// schemaState is where the schema stands.
type schemaState struct {
	version int64 // the newest migration that is recorded; 0 if none
	steps   []*goose.MigrationStatus
	problem error // why this release cannot run on the schema, or nil
}

func readState(ctx context.Context, pool *pgxpool.Pool) (s schemaState, err error) {
	if s.steps, err = migrations.Status(ctx, pool); err != nil {
		return s, err
	}
	for _, step := range s.steps {
		if step.State == goose.StateApplied {
			s.version = max(s.version, step.Source.Version)
		}
	}
	s.problem = migrations.Check(ctx, pool)
	if s.problem != nil && !errors.Is(s.problem, migrations.ErrSchema) {
		return s, s.problem
	}
	return s, nil
}

// text tells of tables that are there though no migration is recorded.
func (s schemaState) text() string {
	if s.version == 0 && s.problem == nil {
		return "another tool made the tables, no migration is recorded in " + migrations.Table
	}
	return fmt.Sprintf("schema at version %d", s.version)
}
