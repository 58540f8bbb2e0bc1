// The schema this release needs, for who runs the migrations.

package migrations

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/schema"
)

// Schema is the number of the newest migration that this release needs. It runs on later ones too, as
// long as they support it.
const Schema = schema.Version

// Querier is what [Check] asks with: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type Querier = schema.Querier

// Check returns nil when this release may run on the schema that db's search_path shows, and an
// error wrapping [ErrSchema] that names what to do when the tables are absent, too old or too new.
// Any other error (no connection, no permission) means that the schema could not be looked at.
// vault.Open asks the same.
//
// It is one round trip, in db's own exec mode. In a transaction, absent tables abort the transaction.
func Check(ctx context.Context, db Querier) error {
	err := schema.Check(ctx, db)
	if errors.Is(err, ErrSchema) {
		return err
	}
	return clean("check", err)
}
