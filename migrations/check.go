// Whether this library may run on the schema it finds: asked of a function that every migration
// replaces, and not of a version table, so that the answer is the same for every migration tool.

package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Schema is the number of the newest migration that this release needs. It runs on later ones too, as
// long as they support it.
const Schema = 2

// Querier is what [Check] asks with: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Check returns nil when this release may run on the schema that db's search_path shows, and an
// error wrapping [ErrSchema] that names what to do when the tables are absent, too old or too new.
// Any other error (no connection, no permission) means that the schema could not be looked at.
//
// It is one round trip. In a transaction, absent tables abort the transaction.
func Check(ctx context.Context, db Querier) error {
	var version, supports int
	err := db.QueryRow(ctx, "SELECT version, supports FROM strongroom_schema()").Scan(&version, &supports)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == codeNoFunction:
		return fmt.Errorf("%w: search_path shows no Strongroom tables: run rotate-keys migrate up, or correct search_path", ErrSchema)
	case err != nil:
		return clean("check", err)
	case version < Schema:
		return fmt.Errorf("%w: the schema is at version %d, this release needs %d: run rotate-keys migrate up", ErrSchema, version, Schema)
	case supports > Schema:
		return fmt.Errorf("%w: the schema is at version %d and supports releases for version %d or later, this one is for %d: upgrade the library",
			ErrSchema, version, supports, Schema)
	}
	return nil
}
