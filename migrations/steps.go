// What goose leaves to its caller: a version table that is made only when something is
// migrated, and that goes with the last migration.

package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

func up(ctx context.Context, _ *pgxpool.Pool, p *goose.Provider) ([]*goose.MigrationResult, error) {
	return p.Up(ctx)
}

func down(ctx context.Context, private *pgxpool.Pool, p *goose.Provider, to int64) ([]*goose.MigrationResult, error) {
	switch recorded, err := hasTable(ctx, private); {
	case err != nil:
		return nil, err
	case !recorded:
		return nil, nil // nothing to take back, and goose would make its table to find out
	}
	results, err := p.DownTo(ctx, to)
	if errors.Is(err, goose.ErrVersionNotFound) {
		return results, fmt.Errorf("the schema was made by a newer release of Strongroom: take it back with that one: %w", err)
	}
	if err != nil || to > 0 {
		return results, err
	}
	_, err = private.Exec(ctx, "DROP TABLE "+Table)
	return results, err
}

func status(ctx context.Context, pool *pgxpool.Pool) ([]*goose.MigrationStatus, error) {
	private, err := privatePool(ctx, pool)
	if err != nil {
		return nil, err
	}
	defer private.Close()

	recorded, err := hasTable(ctx, private)
	if err != nil {
		return nil, err
	}
	p, end, err := provider(private, FS)
	if err != nil {
		return nil, err
	}
	defer end()
	if recorded {
		return p.Status(ctx)
	}
	var pending []*goose.MigrationStatus
	for _, source := range p.ListSources() {
		pending = append(pending, &goose.MigrationStatus{Source: source, State: goose.StatePending})
	}
	return pending, nil
}

// hasTable tells whether the current schema holds the version table: another schema's in
// search_path doesn't count, neither for goose.
func hasTable(ctx context.Context, db Querier) (recorded bool, err error) {
	err = db.QueryRow(ctx,
		`SELECT to_regclass(format('%I.%I', current_schema(), $1::text)) IS NOT NULL`, Table).Scan(&recorded)
	return recorded, err
}
