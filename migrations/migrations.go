// Package migrations makes Strongroom's tables in Postgres and takes them away again.
//
// Three questions a newcomer asks:
//
//   - How are the tables made? By [Up], by `rotate-keys migrate up`, by goose's own command
//     line over [FS] with the version table [Table], or by any other tool from the plain
//     statements that [SQL] returns. All four make the same schema.
//   - Where? In the current schema: the first schema in search_path that exists. No
//     statement names a schema, so a search_path of its own keeps Strongroom apart.
//   - What must be there before? The host's own tables workspaces and users, found by
//     search_path, each with a unique column id of type text. The migrations say so when they
//     are absent, and touch them only by foreign key. [CreateHostTables] makes minimal ones
//     for development.
//
// [Check] tells whether this library may run on the schema that it finds, whichever tool made
// it. Library N runs on the schemas of N and N+1: migrations expand first and contract a
// minor version later.
//
// Every function works through pgbouncer in transaction mode and in every pgx exec mode, and
// may be called by many processes at once.
package migrations

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// FS holds the migrations, goose SQL files named NNNNN_name.sql, at its root.
//
//go:embed *.sql
var FS embed.FS

// Table is where goose records the migrations that ran. Goose's own command line needs it
// (`-table strongroom_schema_version`): in goose's default table the versions of the host's
// migrations would hide ours.
const Table = "strongroom_schema_version"

// Up applies every migration that has not run yet, each in a transaction of its own, and
// returns those that it applied, oldest first; also along with an error.
//
// It may be called by many processes at once: one migrates, the others wait until ctx ends.
// A lock on the host's tables that cannot be had is tried again a few times; the error then
// says which process holds it. Errors carry Postgres's message and hint, never its DETAIL.
func Up(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationResult, error) {
	return newRunner().run(ctx, pool, "up", up)
}

// Down takes back every migration newer than to, newest first, and returns those that it took
// back; also along with an error. Down to 0 removes all that Strongroom made, its version
// table too, and nothing else.
//
// It refuses while integrations holds rows: their credentials would be lost. Concurrency and
// errors are as for [Up].
func Down(ctx context.Context, pool *pgxpool.Pool, to int64) ([]*goose.MigrationResult, error) {
	if to < 0 {
		return nil, fmt.Errorf("migrations: down: version %d is negative: name 0 or the version to keep", to)
	}
	return newRunner().run(ctx, pool, "down",
		func(ctx context.Context, private *pgxpool.Pool, p *goose.Provider) ([]*goose.MigrationResult, error) {
			return down(ctx, private, p, to)
		})
}

// Status returns each migration, oldest first, with whether and when it was applied according
// to [Table]. It changes nothing. Where another tool made the tables, ask [Check].
func Status(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationStatus, error) {
	status, err := status(ctx, pool)
	return status, clean("status", err)
}
