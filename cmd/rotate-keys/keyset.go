package main

// The database's keyset: whether there is one, and making the first.

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/store"
	"github.com/strongroom/strongroom/vault"
)

// hasKeyset checks the schema too, so that no file is made for nothing.
func hasKeyset(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	db := store.New(pool)
	if err := db.CheckSchema(ctx); err != nil {
		return false, err
	}
	_, err := db.Version(ctx, keyring.DefaultKeyset)
	if errors.Is(err, vault.ErrNoKeyset) {
		return false, nil
	}
	return err == nil, err
}

// makeKeyset makes the keyset, or checks that the KEKs open the one that is there.
func makeKeyset(ctx context.Context, pool *pgxpool.Pool, keks []*namedKEK, s *settings) (made bool, err error) {
	c := &vault.Config{Actor: s.actor, Logger: s.logger, PollEvery: -1, Template: s.template}
	for _, k := range keks[1:] {
		c.StandbyKEKs = append(c.StandbyKEKs, k.KEK)
	}
	made, err = vault.Init(ctx, pool, keks[0].KEK, c)
	if err != nil || made {
		return made, err
	}
	c.StandbyKEKs = nil
	for _, k := range keks {
		v, err := vault.Open(ctx, pool, k.KEK, c)
		if errors.Is(err, vault.ErrKEKUnavailable) {
			return false, &notOpenedError{err}
		}
		if err != nil {
			return false, err
		}
		if err := v.Close(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}

// notOpenedError is a KEK that does not open the keyset which is there.
type notOpenedError struct{ err error }

func (e *notOpenedError) Error() string {
	return "there is a keyset already, and a KEK does not open it: " + strings.TrimPrefix(e.err.Error(), "vault: open: ")
}

func (e *notOpenedError) Unwrap() error { return e.err }
