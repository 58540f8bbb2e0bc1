package vault

// Sealing and opening a row's credentials: where each value is bound to its
// place.

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/store"
)

// tableIntegrations is the logical table name that credentials are bound to. It
// is frozen, whatever the table is called in the database.
const tableIntegrations = "integrations"

func binding(r Ref, f Field) keyring.Binding {
	return keyring.Binding{Table: tableIntegrations, Column: string(f), Tenant: r.WorkspaceID, Row: r.ID}
}

// column gives the place of a field in a sealed row.
func column(s *store.Sealed, f Field) *store.Ciphertext {
	switch f {
	case FieldWebhookSecret:
		return &s.WebhookSecret
	case FieldAccessToken:
		return &s.AccessToken
	default:
		return &s.RefreshToken
	}
}

// seal seals every secret that is there, all under the primary key. Where there
// is none no key is needed: that works after a degraded start and a rollback too.
func (x *Integrations) seal(r Ref, c Credentials) (store.Sealed, error) {
	if c.none() {
		return store.Sealed{}, nil
	}
	sealer, err := x.ring.Sealer()
	if err != nil {
		return store.Sealed{}, err
	}
	return sealAll(sealer, r, c)
}

// sealUnder seals every secret that is there under a given key.
func (x *Integrations) sealUnder(keyID uint32, r Ref, c Credentials) (store.Sealed, error) {
	sealer, err := x.ring.SealerUnder(keyID)
	if err != nil {
		return store.Sealed{}, err
	}
	return sealAll(sealer, r, c)
}

// sealAll seals under one key, since a row has one.
func sealAll(sealer keyring.Sealer, r Ref, c Credentials) (store.Sealed, error) {
	sealed := store.Sealed{KeyID: sealer.KeyID()}
	for _, p := range c.parts() {
		if p.secret.IsZero() {
			continue
		}
		var value []byte
		var err error
		p.secret.view(func(plaintext []byte) { value, err = sealer.Seal(plaintext, binding(r, p.field)) })
		if err != nil {
			return store.Sealed{}, &FieldError{r, p.field, err}
		}
		*column(&sealed, p.field) = value
	}
	return sealed, nil
}

// open opens every value of a row. What does not open is left zero and
// reported; the others are given all the same.
func (x *Integrations) open(ctx context.Context, r Ref, sealed store.Sealed) (Credentials, error) {
	var c Credentials
	var problems []error
	for _, p := range []struct {
		field Field
		into  *Secret
	}{{FieldWebhookSecret, &c.WebhookSecret}, {FieldAccessToken, &c.AccessToken}, {FieldRefreshToken, &c.RefreshToken}} {
		value := *column(&sealed, p.field)
		if value == nil {
			continue
		}
		plaintext, err := x.ring.Open(ctx, value, binding(r, p.field))
		if err != nil {
			problems = append(problems, &FieldError{r, p.field, err})
			continue
		}
		*p.into = hold(plaintext)
	}
	return c, errors.Join(problems...)
}

// openRow opens a row's credentials. A key that is unknown even after the
// keyset was loaded anew may have been replaced while we read: the row is read
// once more.
func (x *Integrations) openRow(ctx context.Context, row store.Row) (store.Row, Credentials, error) {
	ref := Ref{row.WorkspaceID, row.ID}
	c, err := x.open(ctx, ref, row.Sealed)
	if errors.Is(err, ErrUnknownKey) {
		again, readErr := x.store.GetRow(ctx, row.WorkspaceID, row.ID)
		if readErr == nil && again.Sealed.KeyID != row.Sealed.KeyID {
			row = again
			c, err = x.open(ctx, ref, row.Sealed)
		}
	}
	c.ExpiresAt = row.TokenExpiresAt
	return row, c, err
}
