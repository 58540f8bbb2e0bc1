package vault

// Init: making the first keyset.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/keyring"
)

// Init makes the database's keyset, wrapped under kek and the standby KEKs,
// and tells whether it did. If there is a keyset already it changes nothing,
// but checks that it is wrapped under kek: if it is not, [ErrConflict] says
// under what. Run it once, after the migrations; running it again, or twice at
// once, is safe.
func Init(ctx context.Context, pool *pgxpool.Pool, kek keyring.KEK, c *Config) (created bool, err error) {
	config, keks, s, err := prepare(ctx, pool, kek, c)
	if err != nil {
		return false, fmt.Errorf("vault: init: %w", err)
	}
	existing, err := s.Load(ctx, keyring.DefaultKeyset)
	if errors.Is(err, ErrNoKeyset) {
		_, err = keyring.Create(ctx, s, keyring.DefaultKeyset, config.template(), keks, config.actor())
		if err == nil {
			return true, nil
		}
		if errors.Is(err, keyring.ErrKeysetExists) { // somebody was faster
			existing, err = s.Load(ctx, keyring.DefaultKeyset)
		}
	}
	if err != nil {
		return false, fmt.Errorf("vault: init: %w", err)
	}
	return false, checkWrappedUnder(existing, kek)
}

func checkWrappedUnder(w keyring.Wrapped, kek keyring.KEK) error {
	if _, ok := w.Wraps[kek.URI()]; ok {
		return nil
	}
	uris := make([]string, 0, len(w.Wraps))
	for uri := range w.Wraps {
		uris = append(uris, uri)
	}
	slices.Sort(uris)
	return fmt.Errorf("vault: init: %w: there is a keyset already, wrapped under %q and not under %q; use that KEK",
		ErrConflict, uris, kek.URI())
}

func (c *Config) template() keyring.Template {
	if c.Template == "" {
		return keyring.AES256GCM
	}
	return c.Template
}

// actor names this process in the key history.
func (c *Config) actor() string {
	if c.Actor != "" {
		return c.Actor
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return filepath.Base(os.Args[0]) + "@" + host
}
