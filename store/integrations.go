package store

// Integrations: a row's plain part, and the statements that read and write it.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"
)

// Integration is one row of the integrations table without its sealed values.
// An empty text or zero time is NULL.
type Integration struct {
	ID, WorkspaceID, Platform, Name            string
	SlackTeamID, SlackTeamName, SlackBotUserID string
	PylonAccountID                             string
	IsActive                                   bool
	Config                                     []byte // JSON; nil is NULL
	CreatedBy                                  string
	TokenExpiresAt, LastUsedAt                 time.Time
	CreatedAt, UpdatedAt                       time.Time

	// Which sealed values the row has.
	HasWebhookSecret, HasAccessToken, HasRefreshToken bool
}

// Row is an integration with its sealed values.
type Row struct {
	Integration
	Sealed Sealed
}

const (
	plainColumns = `i.id, i.workspace_id, i.platform, i.name,
		i.slack_team_id, i.slack_team_name, i.slack_bot_user_id, i.pylon_account_id,
		i.is_active, i.config, i.created_by,
		i.token_expires_at, i.last_used_at, i.created_at, i.updated_at,
		i.webhook_secret IS NOT NULL, i.access_token IS NOT NULL, i.refresh_token IS NOT NULL`

	sealedColumns = `i.key_id, i.webhook_secret, i.access_token, i.refresh_token`
)

// targets gives where plainColumns are scanned to.
func (i *Integration) targets() []any {
	text := func(s *string) any { return (*zeronull.Text)(s) }
	at := func(t *time.Time) any { return (*zeronull.Timestamptz)(t) }
	return []any{
		&i.ID, &i.WorkspaceID, &i.Platform, &i.Name,
		text(&i.SlackTeamID), text(&i.SlackTeamName), text(&i.SlackBotUserID), text(&i.PylonAccountID),
		&i.IsActive, (*rawJSON)(&i.Config), text(&i.CreatedBy),
		at(&i.TokenExpiresAt), at(&i.LastUsedAt), &i.CreatedAt, &i.UpdatedAt,
		&i.HasWebhookSecret, &i.HasAccessToken, &i.HasRefreshToken,
	}
}

// targets gives where sealedColumns are scanned to.
func (s *Sealed) targets() []any {
	return []any{(*nullKeyID)(&s.KeyID), (*[]byte)(&s.WebhookSecret), (*[]byte)(&s.AccessToken), (*[]byte)(&s.RefreshToken)}
}

// utc makes times compare and print alike whatever the session's time zone.
func (i *Integration) utc() {
	for _, t := range []*time.Time{&i.TokenExpiresAt, &i.LastUsedAt, &i.CreatedAt, &i.UpdatedAt} {
		if !t.IsZero() {
			*t = t.UTC()
		}
	}
}

// Insert adds a row. CreatedAt, UpdatedAt, LastUsedAt and the Has fields of i
// are not read; the row as stored is returned. Errors: [ErrKeyGone];
// [ErrNotFound] for the workspace or the user; [ErrConflict] if the id is
// taken; [ErrInvalid].
func (s *Store) Insert(ctx context.Context, i Integration, sealed Sealed) (Integration, error) {
	const op = "create the integration"
	if err := sealed.check(); err != nil {
		return Integration{}, fmt.Errorf("%s: %w", op, err)
	}
	const columns = `(id, workspace_id, platform, name, slack_team_id, slack_team_name, slack_bot_user_id,
		pylon_account_id, is_active, config, created_by, token_expires_at,
		webhook_secret, access_token, refresh_token, key_id)
		SELECT $1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text,
		$8::text, $9::boolean, $10::jsonb, $11::text, $12::timestamptz,
		$13::bytea, $14::bytea, $15::bytea, `
	statement := `INSERT INTO integrations AS i ` + columns + `k.key_id FROM vault_keys k WHERE k.key_id = $16::bigint RETURNING ` + plainColumns
	if sealed.Empty() {
		statement = `INSERT INTO integrations AS i ` + columns + `$16::bigint RETURNING ` + plainColumns
	}
	var out Integration
	err := s.guarded(ctx, op, func(db DB) error {
		err := db.QueryRow(ctx, statement,
			i.ID, i.WorkspaceID, i.Platform, i.Name,
			zeronull.Text(i.SlackTeamID), zeronull.Text(i.SlackTeamName), zeronull.Text(i.SlackBotUserID),
			zeronull.Text(i.PylonAccountID), i.IsActive, jsonArg(i.Config), zeronull.Text(i.CreatedBy),
			zeronull.Timestamptz(i.TokenExpiresAt),
			[]byte(sealed.WebhookSecret), []byte(sealed.AccessToken), []byte(sealed.RefreshToken), sealed.key(),
		).Scan(out.targets()...)
		return noRow(err, ErrKeyGone)
	})
	if err != nil {
		return Integration{}, err
	}
	out.utc()
	return out, nil
}

// Get reads a row without its sealed values. [ErrNotFound] if the workspace has
// no such integration.
func (s *Store) Get(ctx context.Context, workspaceID, id string) (Integration, error) {
	var i Integration
	err := s.db.QueryRow(ctx,
		`SELECT `+plainColumns+` FROM integrations i WHERE i.id = $1::text AND i.workspace_id = $2::text`,
		id, workspaceID).Scan(i.targets()...)
	if err != nil {
		return Integration{}, translate(named("read integration", id), err)
	}
	i.utc()
	return i, nil
}

// GetRow reads a row with its sealed values.
func (s *Store) GetRow(ctx context.Context, workspaceID, id string) (Row, error) {
	rows, err := s.rows(ctx, named("read integration", id),
		`WHERE i.id = $1::text AND i.workspace_id = $2::text`, id, workspaceID)
	if err != nil {
		return Row{}, err
	}
	if len(rows) == 0 {
		return Row{}, fmt.Errorf("%s: %w", named("read integration", id), ErrNotFound)
	}
	return rows[0], nil
}

// ActiveBySlackTeam reads the active Slack rows of a team, oldest first, with
// their sealed values.
func (s *Store) ActiveBySlackTeam(ctx context.Context, teamID string) ([]Row, error) {
	return s.rows(ctx, "look up by Slack team",
		`WHERE i.slack_team_id = $1::text AND i.is_active AND i.platform = 'slack' ORDER BY i.created_at, i.id`, teamID)
}

// ActiveByPylonAccount reads the active Pylon rows of an account, oldest first,
// with their sealed values.
func (s *Store) ActiveByPylonAccount(ctx context.Context, accountID string) ([]Row, error) {
	return s.rows(ctx, "look up by Pylon account",
		`WHERE i.pylon_account_id = $1::text AND i.is_active AND i.platform = 'pylon' ORDER BY i.created_at, i.id`, accountID)
}

func (s *Store) rows(ctx context.Context, op, where string, args ...any) ([]Row, error) {
	found, err := s.db.Query(ctx, `SELECT `+plainColumns+`, `+sealedColumns+` FROM integrations i `+where, args...)
	if err != nil {
		return nil, translate(op, err)
	}
	rows, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (Row, error) {
		var row Row
		err := r.Scan(append(row.Integration.targets(), row.Sealed.targets()...)...)
		row.utc()
		return row, err
	})
	return rows, translate(op, err)
}

// Delete removes a row. [ErrNotFound] if the workspace has no such integration.
func (s *Store) Delete(ctx context.Context, workspaceID, id string) error {
	return s.writeOne(ctx, named("delete integration", id),
		`DELETE FROM integrations WHERE id = $1::text AND workspace_id = $2::text`, id, workspaceID)
}

// SetActive switches a row on or off. [ErrNotFound] if the workspace has no
// such integration.
func (s *Store) SetActive(ctx context.Context, workspaceID, id string, active bool) error {
	return s.writeOne(ctx, named("switch integration", id),
		`UPDATE integrations SET is_active = $3::boolean, updated_at = now() WHERE id = $1::text AND workspace_id = $2::text`,
		id, workspaceID, active)
}

// writeOne runs a statement that must write a row.
func (s *Store) writeOne(ctx context.Context, op, sql string, args ...any) error {
	return s.guarded(ctx, op, func(db DB) error {
		tag, err := db.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return err
	})
}

// Change is an update of a row's plain part.
type Change struct {
	Name *string // nil: keep

	// SetConfig replaces the config by Config, if it is still OldConfig.
	SetConfig         bool
	OldConfig, Config []byte
}

// Update changes a row's plain part and gives it as stored. If SetConfig is
// asked and the config is no longer OldConfig nothing is written: [ErrConflict].
// [ErrNotFound] if the workspace has no such integration.
func (s *Store) Update(ctx context.Context, workspaceID, id string, c Change) (Integration, error) {
	var out Integration
	op := named("update integration", id)
	err := s.guarded(ctx, op, func(db DB) error {
		return noRow(db.QueryRow(ctx, `
			UPDATE integrations AS i SET updated_at = now(),
				name = coalesce($3::text, i.name),
				config = CASE WHEN $4::boolean THEN $6::jsonb ELSE i.config END
			WHERE i.id = $1::text AND i.workspace_id = $2::text
				AND (NOT $4::boolean OR i.config IS NOT DISTINCT FROM $5::jsonb)
			RETURNING `+plainColumns,
			id, workspaceID, c.Name, c.SetConfig, jsonArg(c.OldConfig), jsonArg(c.Config)).Scan(out.targets()...), errNoRow)
	})
	switch {
	case errors.Is(err, errNoRow):
		return Integration{}, s.whyNotUpdated(ctx, op, workspaceID, id)
	case err != nil:
		return Integration{}, err
	}
	out.utc()
	return out, nil
}

// whyNotUpdated tells a missing row from one whose config changed.
func (s *Store) whyNotUpdated(ctx context.Context, op, workspaceID, id string) error {
	if _, err := s.Get(ctx, workspaceID, id); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w: its config is no longer what was read", op, ErrConflict)
}
