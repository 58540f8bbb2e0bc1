package store

// Ciphertext: the only form in which a credential passes through this package.

import (
	"fmt"

	"github.com/strongroom/strongroom/keyring"
)

// MaxCiphertext is the most bytes that the tables take for one sealed value.
const MaxCiphertext = 128 << 10

// Ciphertext is a value sealed by a keyring.Ring. nil is NULL: no credential.
type Ciphertext []byte

// check refuses, before it is sent to Postgres, what is not sealed under keyID.
// The tables check the same; but a statement they refuse may be in their log.
func (c Ciphertext) check(column string, keyID uint32) error {
	if c == nil {
		return nil
	}
	id, err := keyring.KeyID(c)
	if err != nil || len(c) > MaxCiphertext {
		return fmt.Errorf("%s: %w: not a sealed value", column, ErrInvalid)
	}
	if id != keyID {
		return fmt.Errorf("%s: %w: sealed under key %d, the row names %d", column, ErrInvalid, id, keyID)
	}
	return nil
}

// Sealed is the sealed part of a row: up to three values under one key.
type Sealed struct {
	KeyID                                    uint32 // 0: none is set
	WebhookSecret, AccessToken, RefreshToken Ciphertext
}

// Empty reports whether no value is set.
func (s Sealed) Empty() bool {
	return s.WebhookSecret == nil && s.AccessToken == nil && s.RefreshToken == nil
}

func (s Sealed) check() error {
	for _, c := range []struct {
		column string
		value  Ciphertext
	}{
		{"webhook_secret", s.WebhookSecret}, {"access_token", s.AccessToken}, {"refresh_token", s.RefreshToken},
	} {
		if err := c.value.check(c.column, s.KeyID); err != nil {
			return err
		}
	}
	return nil
}

// key gives the key id as the column has it: NULL when nothing is sealed.
func (s Sealed) key() *int64 {
	if s.Empty() {
		return nil
	}
	id := int64(s.KeyID)
	return &id
}
