package main

// rotate-keys migrate down.

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/migrations"
)

const migrateDownHelp = `down takes back every migration newer than --to, newest first, and drops its tables.
--to 0 drops all that Strongroom made, the keyset and the history of its keys
included, and nothing else.

It refuses while integrations has rows. It asks first; without a terminal to ask
on, --yes is needed.

With --json:

  version     number  the schema's version now; absent if the command failed
  migrations  [{"version": number, "name": string}]  what this run took back, in order`

func (p *program) migrateDownCommand() *cobra.Command {
	var to int64
	var yes bool
	cmd := &cobra.Command{
		Use:   "down --to VERSION",
		Short: "Take back migrations: drops tables",
		Long:  migrateDownHelp,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("to") || to < 0 {
				return usagef("--to is needed: the version to keep, 0 to drop all")
			}
			return p.confirmed(cmd.Context(), yes, downQuestion(s, to), func() error {
				r := &migrateReport{did: "took back"}
				return p.act(cmd, s, migrateLimit, r, func(ctx context.Context) error { return r.down(ctx, s, to) })
			})
		},
	}
	cmd.Flags().Int64Var(&to, "to", 0, "the `VERSION` to keep; 0 drops all")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func downQuestion(s *settings, to int64) string {
	c := s.database.ConnConfig
	return fmt.Sprintf("This drops the tables of every migration newer than version %d in database %q on %s.",
		to, c.Database, c.Host)
}

func (r *migrateReport) down(ctx context.Context, s *settings, to int64) error {
	return r.run(ctx, s, func(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationResult, error) {
		return migrations.Down(ctx, pool, to)
	})
}
