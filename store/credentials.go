package store

// Writing sealed values.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype/zeronull"
)

// Column says what becomes of one sealed column.
type Column struct {
	Set   bool       // false: keep what is there
	Value Ciphertext // nil with Set: remove
}

// CredentialsWrite is a change of a row's sealed values that needs no look at
// the ones it keeps.
type CredentialsWrite struct {
	WorkspaceID, ID                          string
	KeyID                                    uint32 // what the new values are sealed under
	WebhookSecret, AccessToken, RefreshToken Column

	SetExpiry bool
	ExpiresAt time.Time // zero: does not expire

	// Install also refreshes what the provider says of an installation, where
	// not empty, and switches the row on.
	Install                       bool
	SlackTeamName, SlackBotUserID string
}

func (w CredentialsWrite) columns() []Column {
	return []Column{w.WebhookSecret, w.AccessToken, w.RefreshToken}
}

func (w CredentialsWrite) seals() bool {
	for _, c := range w.columns() {
		if c.Value != nil {
			return true
		}
	}
	return false
}

// Nothing of a kept value changes if it is under the same key already, or if
// there is none; then no value needs to be opened, and no compare-and-swap.
const (
	setCredentials = `
		webhook_secret = CASE WHEN $3::boolean THEN $4::bytea ELSE i.webhook_secret END,
		access_token = CASE WHEN $5::boolean THEN $6::bytea ELSE i.access_token END,
		refresh_token = CASE WHEN $7::boolean THEN $8::bytea ELSE i.refresh_token END,
		token_expires_at = CASE WHEN $9::boolean THEN $10::timestamptz ELSE i.token_expires_at END,
		is_active = i.is_active OR $11::boolean,
		slack_team_name = coalesce($12::text, i.slack_team_name),
		slack_bot_user_id = coalesce($13::text, i.slack_bot_user_id),
		updated_at = now()`

	whereRow = ` i.id = $1::text AND i.workspace_id = $2::text
		AND (i.platform = 'slack' OR ($6::bytea IS NULL AND $8::bytea IS NULL AND $10::timestamptz IS NULL))`

	sealStatement = `UPDATE integrations AS i SET key_id = k.key_id,` + setCredentials + `
		FROM vault_keys k WHERE k.key_id = $14::bigint AND` + whereRow + `
		AND (i.key_id = $14::bigint OR (
			($3::boolean OR i.webhook_secret IS NULL) AND
			($5::boolean OR i.access_token IS NULL) AND
			($7::boolean OR i.refresh_token IS NULL)))`

	clearStatement = `UPDATE integrations AS i SET key_id = CASE
			WHEN ($3::boolean OR i.webhook_secret IS NULL) AND
				($5::boolean OR i.access_token IS NULL) AND
				($7::boolean OR i.refresh_token IS NULL) THEN NULL ELSE i.key_id END,` + setCredentials + `
		WHERE $14::bigint IS NULL AND` + whereRow

	setSealed = `UPDATE integrations AS i SET key_id = $3::bigint,
		webhook_secret = $4::bytea, access_token = $5::bytea, refresh_token = $6::bytea,
		token_expires_at = CASE WHEN $11::boolean THEN $12::timestamptz ELSE i.token_expires_at END,
		workspace_id = coalesce($13::text, i.workspace_id),
		is_active = i.is_active OR $14::boolean,
		slack_team_name = coalesce($15::text, i.slack_team_name),
		slack_bot_user_id = coalesce($16::text, i.slack_bot_user_id),
		updated_at = now() `

	whereUnchanged = ` AND i.id = $1::text AND i.workspace_id = $2::text
		AND i.key_id IS NOT DISTINCT FROM $7::bigint
		AND i.webhook_secret IS NOT DISTINCT FROM $8::bytea
		AND i.access_token IS NOT DISTINCT FROM $9::bytea
		AND i.refresh_token IS NOT DISTINCT FROM $10::bytea
		RETURNING ` + plainColumns

	swapUnderKey   = setSealed + `FROM vault_keys k WHERE k.key_id = $3::bigint` + whereUnchanged
	swapWithoutKey = setSealed + `WHERE $3::bigint IS NULL` + whereUnchanged
)

// WriteCredentials changes sealed values in one statement, if that can be done
// without opening the ones that are kept: when nothing new is sealed, when
// nothing is kept, or when what is kept is under the same key. written tells
// whether it was; if not, read the row to learn why: it is not there, its
// platform takes no tokens, it keeps values under another key, or the key is
// gone. Errors: [ErrKeyGone], [ErrInvalid].
func (s *Store) WriteCredentials(ctx context.Context, w CredentialsWrite) (written bool, err error) {
	op := named("write credentials of integration", w.ID)
	sealed := Sealed{w.KeyID, w.WebhookSecret.Value, w.AccessToken.Value, w.RefreshToken.Value}
	if err := sealed.check(); err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	statement := clearStatement
	if w.seals() {
		statement = sealStatement
	}
	err = s.guarded(ctx, op, func(db DB) error {
		tag, err := db.Exec(ctx, statement, w.ID, w.WorkspaceID,
			w.WebhookSecret.Set, []byte(w.WebhookSecret.Value),
			w.AccessToken.Set, []byte(w.AccessToken.Value),
			w.RefreshToken.Set, []byte(w.RefreshToken.Value),
			w.SetExpiry, zeronull.Timestamptz(w.ExpiresAt),
			w.Install, zeronull.Text(w.SlackTeamName), zeronull.Text(w.SlackBotUserID),
			sealed.key())
		written = tag.RowsAffected() == 1
		return err
	})
	return written && err == nil, err
}

// SealedSwap replaces all sealed values of a row, if they are still Old.
type SealedSwap struct {
	WorkspaceID, ID string
	Old, New        Sealed

	SetExpiry bool
	ExpiresAt time.Time // zero: does not expire

	MoveTo string // the workspace to move the row to; empty: it stays

	Install                       bool // as in [CredentialsWrite]
	SlackTeamName, SlackBotUserID string
}

// SwapSealed replaces all sealed values of a row by compare-and-swap and gives the
// row as stored. swapped is false when the row is no longer as it was read, or
// its key is gone; nothing is written then. Errors: [ErrKeyGone], [ErrInvalid],
// [ErrNotFound] for the workspace to move to.
func (s *Store) SwapSealed(ctx context.Context, w SealedSwap) (stored Integration, swapped bool, err error) {
	op := named("write credentials of integration", w.ID)
	if err := w.New.check(); err != nil {
		return Integration{}, false, fmt.Errorf("%s: %w", op, err)
	}
	statement := swapWithoutKey
	if !w.New.Empty() {
		statement = swapUnderKey
	}
	err = s.guarded(ctx, op, func(db DB) error {
		return noRow(db.QueryRow(ctx, statement, w.ID, w.WorkspaceID, w.New.key(),
			[]byte(w.New.WebhookSecret), []byte(w.New.AccessToken), []byte(w.New.RefreshToken),
			w.Old.key(),
			[]byte(w.Old.WebhookSecret), []byte(w.Old.AccessToken), []byte(w.Old.RefreshToken),
			w.SetExpiry, zeronull.Timestamptz(w.ExpiresAt), zeronull.Text(w.MoveTo),
			w.Install, zeronull.Text(w.SlackTeamName), zeronull.Text(w.SlackBotUserID),
		).Scan(stored.targets()...), errNoRow)
	})
	switch {
	case errors.Is(err, errNoRow):
		return Integration{}, false, nil
	case err != nil:
		return Integration{}, false, err
	}
	stored.utc()
	return stored, true, nil
}

// HasKey reports whether a key is in vault_keys, as this connection sees it.
func (s *Store) HasKey(ctx context.Context, keyID uint32) (bool, error) {
	var has bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM vault_keys WHERE key_id = $1::bigint)`, int64(keyID)).Scan(&has)
	return has, translate("look for a key", err)
}
