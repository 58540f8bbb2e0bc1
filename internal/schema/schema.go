// Package schema tells whether this library may run on the tables that it finds.
// It asks a function that every migration replaces, not a version table, so that
// the answer is the same whichever tool ran the migrations.
package schema

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Version is the number of the newest migration that this release needs. It runs
// on later ones too, as long as they support it.
const Version = 2

// ErrSchema is the sentinel that packages store, migrations and vault re-export.
var ErrSchema = errors.New("the database's schema does not fit this release of Strongroom")

// undefinedFunction is the SQLSTATE of a function that is not there.
const undefinedFunction = "42883"

// Querier is what [Check] asks with: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Check returns nil when this release may run on the schema that db's search_path
// shows, and an error wrapping [ErrSchema] that names what to do when the tables
// are absent, too old or too new. Any other error is the driver's own: the caller
// cleans it. It is one round trip. In a transaction, absent tables abort the
// transaction.
func Check(ctx context.Context, db Querier) error {
	var version, supports int
	err := db.QueryRow(ctx, "SELECT version, supports FROM strongroom_schema()").Scan(&version, &supports)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == undefinedFunction:
		return fmt.Errorf("%w: search_path shows no Strongroom tables: run rotate-keys migrate up, or correct search_path", ErrSchema)
	case err != nil:
		return err
	case version < Version:
		return fmt.Errorf("%w: the schema is at version %d, this release needs %d: run rotate-keys migrate up", ErrSchema, version, Version)
	case supports > Version:
		return fmt.Errorf("%w: the schema is at version %d and supports releases for version %d or later, this one is for %d: upgrade the library",
			ErrSchema, version, supports, Version)
	}
	return nil
}
