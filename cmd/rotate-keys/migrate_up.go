package main

// rotate-keys migrate up.

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/migrations"
)

const migrateUpHelp = `up applies every migration that has not run yet, each in a transaction of its own.
Other processes that migrate wait meanwhile.

With --json:

  version     number  the schema's version now; absent if the command failed
  migrations  [{"version": number, "name": string}]  what this run applied, in order`

func (p *program) migrateUpCommand() *cobra.Command {
	var hostTables bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Apply every migration that has not run yet",
		Long:  migrateUpHelp,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			r := &migrateReport{did: "applied"}
			return p.act(cmd, s, migrateLimit, r, func(ctx context.Context) error { return r.up(ctx, s, hostTables) })
		},
	}
	cmd.Flags().BoolVar(&hostTables, "create-host-tables", false,
		"first make workspaces(id text) and users(id text) if they are missing; for development: they belong to the host application")
	return cmd
}

func (r *migrateReport) up(ctx context.Context, s *settings, hostTables bool) error {
	err := r.run(ctx, s, func(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationResult, error) {
		if hostTables {
			if err := migrations.CreateHostTables(ctx, pool); err != nil {
				return nil, err
			}
		}
		return migrations.Up(ctx, pool)
	})
	if err == nil {
		err = r.state.problem // a newer release's schema, too new for this one
	}
	return err
}
