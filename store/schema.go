package store

// Does the database's schema fit this library?

import (
	"context"
	"errors"
	"fmt"
)

// Schema is the number of the newest migration that this version of the library
// needs.
const Schema = 2

// CheckSchema tells whether this library can run on the database's tables. It
// asks the function strongroom_schema(), which every migration replaces, so
// that it does not matter which tool ran them: version is the number of the
// newest migration, supports the oldest library schema that may still run on
// it. What does not fit is [ErrSchema], naming the command to run.
func (s *Store) CheckSchema(ctx context.Context) error {
	var version, supports int
	err := translate("check the schema", s.db.QueryRow(ctx,
		"SELECT version, supports FROM strongroom_schema()").Scan(&version, &supports))
	switch {
	case errors.Is(err, ErrSchema):
		return fmt.Errorf("check the schema: %w: Strongroom's tables are not in this database, or not in search_path; run `rotate-keys migrate up`", ErrSchema)
	case err != nil:
		return err
	case version < Schema:
		return fmt.Errorf("check the schema: %w: it is at version %d, this library needs %d; run `rotate-keys migrate up`", ErrSchema, version, Schema)
	case supports > Schema:
		return fmt.Errorf("check the schema: %w: it is at version %d and no longer supports libraries of schema %d; upgrade the library", ErrSchema, version, Schema)
	}
	return nil
}
