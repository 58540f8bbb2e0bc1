package store

// Does the database's schema fit this library?

import (
	"context"

	"github.com/strongroom/strongroom/internal/schema"
)

// CheckSchema tells whether this library can run on the database's tables. What
// does not fit is [ErrSchema], naming the command to run.
func (s *Store) CheckSchema(ctx context.Context) error {
	return translate("check the schema", schema.Check(ctx, s.db))
}
