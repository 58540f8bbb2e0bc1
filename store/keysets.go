package store

// Keysets: the rows behind keyring.Storage.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/strongroom/strongroom/keyring"
)

var _ keyring.Storage = (*Store)(nil)

// Version implements [keyring.Storage] in one small read.
func (s *Store) Version(ctx context.Context, name string) (keyring.Version, error) {
	var v keyring.Version
	var replica bool
	err := s.db.QueryRow(ctx,
		`SELECT generation, revision, pg_is_in_recovery() FROM vault_keysets WHERE name = $1::text`, name,
	).Scan(&v.Generation, &v.Revision, &replica)
	if err := keysetError("read the keyset's version", name, replica, err); err != nil {
		return keyring.Version{}, err
	}
	return v, nil
}

// Load implements [keyring.Storage]. It is one statement, so that all of it is
// of one moment.
func (s *Store) Load(ctx context.Context, name string) (keyring.Wrapped, error) {
	w := keyring.Wrapped{Name: name}
	var replica bool
	var uris, statuses, templates []string
	var wraps [][]byte
	var ids []int64
	var bindings []int16
	err := s.db.QueryRow(ctx, `
		SELECT s.generation, s.revision, pg_is_in_recovery(),
			ARRAY(SELECT w.kek_uri FROM vault_keyset_wraps w WHERE w.keyset = s.name ORDER BY w.kek_uri),
			ARRAY(SELECT w.wrapped FROM vault_keyset_wraps w WHERE w.keyset = s.name ORDER BY w.kek_uri),
			ARRAY(SELECT k.key_id FROM vault_keys k WHERE k.keyset = s.name ORDER BY k.key_id),
			ARRAY(SELECT k.status FROM vault_keys k WHERE k.keyset = s.name ORDER BY k.key_id),
			ARRAY(SELECT k.template FROM vault_keys k WHERE k.keyset = s.name ORDER BY k.key_id),
			ARRAY(SELECT k.binding FROM vault_keys k WHERE k.keyset = s.name ORDER BY k.key_id)
		FROM vault_keysets s WHERE s.name = $1::text`, name,
	).Scan(&w.Generation, &w.Revision, &replica, &uris, &wraps, &ids, &statuses, &templates, &bindings)
	if err := keysetError("load the keyset", name, replica, err); err != nil {
		return keyring.Wrapped{}, err
	}
	w.Wraps = make(map[string][]byte, len(uris))
	for i, uri := range uris {
		w.Wraps[uri] = wraps[i]
	}
	for i, id := range ids {
		w.Keys = append(w.Keys, keyring.Key{
			ID:     uint32(id), //nolint:gosec // the table's CHECK bounds it
			Status: keyring.KeyStatus(statuses[i]), Template: keyring.Template(templates[i]),
			Binding: keyring.BindingScheme(bindings[i]),
		})
	}
	return w, nil
}

func keysetError(op, name string, replica bool, err error) error {
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w named %q is in this database; make it by `rotate-keys init`", op, keyring.ErrNoKeyset, name)
	case err != nil:
		return translate(op, err)
	case replica:
		return fmt.Errorf("%s: %w", op, ErrReplica)
	}
	return nil
}

// Swap implements [keyring.Storage]: the keyset, its wraps, its keys and the
// event change in one transaction, which commits durably whatever the session's
// synchronous_commit says.
func (s *Store) Swap(ctx context.Context, old keyring.Version, next keyring.Wrapped, e keyring.Event) error {
	return translate("change the keyset", s.Transact(ctx, func(s *Store) error {
		if _, err := s.db.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		if err := s.swapVersion(ctx, old, next); err != nil {
			return err
		}
		if err := s.replaceWraps(ctx, next); err != nil {
			return err
		}
		if err := s.replaceKeys(ctx, next); err != nil {
			return err
		}
		return s.recordEvent(ctx, next, e)
	}))
}

func (s *Store) swapVersion(ctx context.Context, old keyring.Version, next keyring.Wrapped) error {
	if old == (keyring.Version{}) {
		tag, err := s.db.Exec(ctx, `
			INSERT INTO vault_keysets (name, generation, revision) VALUES ($1::text, $2::bigint, $3::text)
			ON CONFLICT (name) DO NOTHING`, next.Name, next.Generation, next.Revision)
		if err == nil && tag.RowsAffected() == 0 {
			return fmt.Errorf("make keyset %q: %w", next.Name, keyring.ErrKeysetExists)
		}
		return err
	}
	tag, err := s.db.Exec(ctx, `
		UPDATE vault_keysets SET generation = $2::bigint, revision = $3::text, updated_at = now()
		WHERE name = $1::text AND generation = $4::bigint AND revision = $5::text`,
		next.Name, next.Generation, next.Revision, old.Generation, old.Revision)
	if err == nil && tag.RowsAffected() == 0 {
		return fmt.Errorf("change keyset %q: %w: it is no longer at generation %d", next.Name, ErrConflict, old.Generation)
	}
	return err
}

func (s *Store) replaceWraps(ctx context.Context, next keyring.Wrapped) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM vault_keyset_wraps WHERE keyset = $1::text`, next.Name); err != nil {
		return err
	}
	for _, uri := range slices.Sorted(maps.Keys(next.Wraps)) {
		if _, err := s.db.Exec(ctx, `
			INSERT INTO vault_keyset_wraps (keyset, kek_uri, wrapped) VALUES ($1::text, $2::text, $3::bytea)`,
			next.Name, uri, next.Wraps[uri]); err != nil {
			return err
		}
	}
	return nil
}

// replaceKeys brings the index in line: keys that left go (the foreign key
// refuses while a row uses one), the primary steps down before the next steps
// up, new keys come.
func (s *Store) replaceKeys(ctx context.Context, next keyring.Wrapped) error {
	ids := make([]int64, len(next.Keys))
	for i, key := range next.Keys {
		ids[i] = int64(key.ID)
	}
	if _, err := s.db.Exec(ctx, `
		DELETE FROM vault_keys WHERE keyset = $1::text AND NOT key_id = ANY ($2::bigint[])`, next.Name, ids); err != nil {
		return keyInUse(err)
	}
	for _, status := range []keyring.KeyStatus{keyring.Retired, keyring.Primary, keyring.Staged} {
		for _, key := range next.Keys {
			if key.Status != status {
				continue
			}
			if err := s.putKey(ctx, next.Name, key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) putKey(ctx context.Context, keyset string, key keyring.Key) error {
	tag, err := s.db.Exec(ctx, `
		UPDATE vault_keys SET status = $3::text,
			promoted_at = CASE WHEN $3::text = 'primary' AND status <> 'primary' THEN now() ELSE promoted_at END,
			retired_at = CASE WHEN $3::text = 'retired' AND status <> 'retired' THEN now() ELSE retired_at END
		WHERE key_id = $2::bigint AND keyset = $1::text`, keyset, int64(key.ID), string(key.Status))
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	_, err = s.db.Exec(ctx, `
		INSERT INTO vault_keys (key_id, keyset, status, template, binding, promoted_at)
		VALUES ($2::bigint, $1::text, $3::text, $4::text, $5::smallint,
			CASE WHEN $3::text = 'primary' THEN now() END)`,
		keyset, int64(key.ID), string(key.Status), string(key.Template), int16(key.Binding))
	return err
}

func (s *Store) recordEvent(ctx context.Context, next keyring.Wrapped, e keyring.Event) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO vault_key_events (keyset, event, key_id, generation, revision, actor, fingerprint)
		VALUES ($1::text, $2::text, $3::bigint, $4::bigint, $5::text, $6::text, $7::text)`,
		next.Name, string(e.Kind), int64(e.KeyID), next.Generation, next.Revision, e.Actor, e.Fingerprint)
	return err
}

// keyInUse gives the foreign key's refusal to destroy a key its own meaning.
func keyInUse(err error) error {
	err = translate("remove keys", err)
	if errors.Is(err, ErrKeyGone) {
		return fmt.Errorf("remove keys: %w: a row is still sealed under a key that would be destroyed", ErrConflict)
	}
	return err
}
