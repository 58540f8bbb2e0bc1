// Stand-ins for the tables that a host application owns.

package migrations

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// CreateHostTables makes workspaces(id text primary key) and users(id text primary key) in the
// current schema, each unless search_path shows a relation of that name already. It is for
// development and tests: in production they belong to the host. [Down] leaves them in place.
//
// It may be called by many processes at once.
func CreateHostTables(ctx context.Context, pool *pgxpool.Pool) error {
	const create = `
		DO $$
		BEGIN
			IF to_regclass('workspaces') IS NULL THEN
				CREATE TABLE workspaces (id text PRIMARY KEY);
			END IF;
			IF to_regclass('users') IS NULL THEN
				CREATE TABLE users (id text PRIMARY KEY);
			END IF;
		END
		$$`
	private, err := privatePool(ctx, pool)
	if err != nil {
		return clean("create host tables", err)
	}
	defer private.Close()
	err = withLock(ctx, private, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, create)
		return err
	})
	return clean("create host tables", err)
}
