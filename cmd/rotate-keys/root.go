package main

// The root command: its manual, and the subcommands below it.

import (
	"github.com/spf13/cobra"
)

const rootHelp = `rotate-keys looks after the tables and the keys of a Strongroom database. Set up
a database once, and migrate again with each release:

  rotate-keys migrate up
  rotate-keys init --kek local-keyset:///etc/strongroom/kek.json

Every command may be run again, and by several processes at once.

Flags win over the environment:

  DATABASE_URL           --database-url
  STRONGROOM_KEK         --kek, several separated by spaces or commas
  STRONGROOM_ACTOR       --actor
  STRONGROOM_TIMEOUT     --timeout
  STRONGROOM_LOG_FORMAT  --log-format
  PG...                  what the URL leaves open, as for psql (PGPASSWORD, PGSSLMODE)

Give a password by the environment: other users of the machine can read flags.

Output: text for people on stdout, errors on stderr; warnings of the library on
stderr too, as logs. With --json, stdout is one object on one line instead, also
when the command failed:

  command  string  the subcommand, as "migrate up"
  outcome  string  "changed", "unchanged" or "failed"
  error    string  why it failed; absent otherwise

and the fields that the subcommand's --help lists. A wrong call (status 2) prints
no object.

Exit status:

  0  done, or nothing to do
  1  failed, or stopped by a signal
  2  called wrongly: an unknown flag or command, no database URL, a bad KEK URI
  3, 4  reserved`

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "rotate-keys",
		Short:             "Look after the tables and the keys of a Strongroom database",
		Long:              rootHelp,
		Version:           version(),
		Args:              noArguments,
		RunE:              p.needSubcommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(flagError)
	p.flags.register(root.PersistentFlags())
	root.AddCommand(p.initCommand(), p.migrateCommand())
	return root
}

// needSubcommand is what a command does that has subcommands only.
func (p *program) needSubcommand(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(p.stderr)
	if err := cmd.Help(); err != nil {
		return err
	}
	return usagef("a subcommand is needed")
}
