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

// LockWorkspace makes installs into one workspace wait for one another until the
// transaction ends. It locks the host's row FOR NO KEY UPDATE, which foreign
// keys to it do not wait for. [ErrNotFound] if there is no such workspace.
func (s *Store) LockWorkspace(ctx context.Context, workspaceID string) error {
	var one int
	err := s.db.QueryRow(ctx, `SELECT 1 FROM workspaces WHERE id = $1::text FOR NO KEY UPDATE`, workspaceID).Scan(&one)
	return translate(named("lock workspace", workspaceID), err)
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
