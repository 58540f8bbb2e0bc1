package store

// Listing a workspace's integrations, page by page; and what installing needs.

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"
)

// ListQuery says which rows of a workspace to list.
type ListQuery struct {
	WorkspaceID string
	Platform    string // empty: all
	Active      *bool  // nil: both
	Limit       int

	// AfterTime and AfterID are those of the last row of the page before.
	AfterTime time.Time
	AfterID   string
}

// List reads a page of a workspace's rows, oldest first, without their sealed
// values.
func (s *Store) List(ctx context.Context, q ListQuery) ([]Integration, error) {
	const op = "list integrations"
	found, err := s.db.Query(ctx, `
		SELECT `+plainColumns+` FROM integrations i
		WHERE i.workspace_id = $1::text
			AND ($2::text IS NULL OR i.platform = $2::text)
			AND ($3::boolean IS NULL OR i.is_active = $3::boolean)
			AND ($4::timestamptz IS NULL OR (i.created_at, i.id) > ($4::timestamptz, $5::text))
		ORDER BY i.created_at, i.id LIMIT $6::int`,
		q.WorkspaceID, zeronull.Text(q.Platform), q.Active, zeronull.Timestamptz(q.AfterTime), q.AfterID, q.Limit)
	if err != nil {
		return nil, translate(op, err)
	}
	rows, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (Integration, error) {
		var i Integration
		err := r.Scan(i.targets()...)
		i.utc()
		return i, err
	})
	return rows, translate(op, err)
}

// LockInstallation makes installs of one installation into one workspace wait for
// one another until the transaction ends. It writes a row of its own table, so
// that the later of two sees what the earlier did, or, if its snapshot is too old
// for that, gets [ErrRetryTransaction]. [ErrNotFound] if there is no such
// workspace.
func (s *Store) LockInstallation(ctx context.Context, workspaceID, platform, installation string) error {
	const op = "lock the installation"
	return s.guarded(ctx, op, func(db DB) error {
		_, err := db.Exec(ctx, `
			INSERT INTO integration_installs (workspace_id, platform, installation) VALUES ($1::text, $2::text, $3::text)
			ON CONFLICT (workspace_id, platform, installation) DO UPDATE SET installed_at = now()`,
			workspaceID, platform, installation)
		return err
	})
}

// Installed finds the ids of a workspace's integrations with one installation:
// a Slack team or a Pylon account.
func (s *Store) Installed(ctx context.Context, workspaceID, platform, installation string) ([]string, error) {
	const op = "look for the installation"
	column := map[string]string{"slack": "slack_team_id", "pylon": "pylon_account_id"}[platform]
	if column == "" {
		return nil, fmt.Errorf("%s: %w: unknown platform", op, ErrInvalid)
	}
	found, err := s.db.Query(ctx, `
		SELECT i.id FROM integrations i
		WHERE i.workspace_id = $1::text AND i.platform = $2::text AND i.`+column+` = $3::text
		ORDER BY i.created_at, i.id`, workspaceID, platform, installation)
	if err != nil {
		return nil, translate(op, err)
	}
	ids, err := pgx.CollectRows(found, pgx.RowTo[string])
	return ids, translate(op, err)
}
