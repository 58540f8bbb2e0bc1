package vault

// Replacing credentials, without ever bringing back what somebody else replaced.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/strongroom/strongroom/store"
)

// SetCredentials replaces the credentials that c brings and removes those named
// in remove; the others are kept. Replacing or removing all of them opens none
// of the old ones, so it repairs a row that does not open. Kept ones are
// re-sealed under the same key as the new; if a kept one does not open, the new
// ones are sealed under its key instead, and it stays as it is.
//
// Errors: [ErrNotFound]; [ErrInvalid], as for a token on Pylon, an empty Secret,
// or nothing to do; [ErrUnknownKey] if a kept one is under a key that is not to
// be had: then replace or remove it too; [ErrConflict] after many changes by
// others.
func (x *Integrations) SetCredentials(ctx context.Context, r Ref, c Credentials, remove ...Field) error {
	p := replacement{credentials: c, remove: remove}
	if err := errors.Join(r.validate(), p.validate()); err != nil {
		return fmt.Errorf("set credentials: %w", err)
	}
	return x.replaceCredentials(ctx, r, p)
}

// replacement is a change of a row's credentials.
type replacement struct {
	credentials Credentials
	remove      []Field

	install                       bool // see store.CredentialsWrite
	slackTeamName, slackBotUserID string
}

func (p replacement) validate() error {
	problems := []error{p.credentials.validate()}
	for _, f := range p.remove {
		switch f {
		case FieldWebhookSecret, FieldAccessToken, FieldRefreshToken:
			if p.brings(f) {
				problems = append(problems, fmt.Errorf("%w: %s is both set and removed", ErrInvalid, f))
			}
		default:
			problems = append(problems, fmt.Errorf("%w: unknown Field %q in remove", ErrInvalid, string(f)))
		}
	}
	if !p.touches(FieldWebhookSecret) && !p.touches(FieldAccessToken) && !p.touches(FieldRefreshToken) && !p.setsExpiry() {
		problems = append(problems, fmt.Errorf("%w: nothing to set and nothing to remove", ErrInvalid))
	}
	return errors.Join(problems...)
}

func (p replacement) brings(f Field) bool {
	return slices.ContainsFunc(p.credentials.parts(), func(q part) bool { return q.field == f && !q.secret.IsZero() })
}

func (p replacement) touches(f Field) bool { return p.brings(f) || slices.Contains(p.remove, f) }

// setsExpiry: the expiry goes with the access token.
func (p replacement) setsExpiry() bool {
	return p.touches(FieldAccessToken) || !p.credentials.ExpiresAt.IsZero()
}

func (x *Integrations) replaceCredentials(ctx context.Context, r Ref, p replacement) error {
	return x.untilDone(ctx, "set credentials of integration "+strconv.Quote(r.ID), func() (bool, error) {
		return x.tryReplace(ctx, r, p)
	})
}

// tryReplace writes in one statement if what is kept needs no re-sealing, and
// otherwise reads the row, re-seals and swaps.
func (x *Integrations) tryReplace(ctx context.Context, r Ref, p replacement) (done bool, err error) {
	sealed, err := x.seal(r, p.credentials)
	if err != nil {
		return false, err
	}
	if written, err := x.store.WriteCredentials(ctx, p.blindWrite(r, sealed)); err != nil || written {
		return written, err
	}
	row, err := x.store.GetRow(ctx, r.WorkspaceID, r.ID)
	if err != nil {
		return false, err
	}
	if err := p.credentials.validateFor(IntegrationPlatform(row.Platform)); err != nil {
		return false, fmt.Errorf("set credentials of integration %q: %w", r.ID, err)
	}
	kept := p.kept(row.Sealed)
	if kept.Empty() || kept.KeyID == sealed.KeyID {
		return false, x.keyStillThere(ctx, sealed.KeyID)
	}
	next, err := x.mergeSealed(ctx, r, p, kept)
	if err != nil {
		return false, err
	}
	_, swapped, err := x.store.SwapSealed(ctx, p.swap(r, row.Sealed, next))
	if err != nil || swapped {
		return swapped, err
	}
	return false, x.keyStillThere(ctx, next.KeyID)
}

// mergeSealed gives the row's next values: the new ones and the kept ones under
// one key. That is the primary if the kept ones open, else the one they are
// under.
func (x *Integrations) mergeSealed(ctx context.Context, r Ref, p replacement, kept store.Sealed) (store.Sealed, error) {
	opened, err := x.open(ctx, r, kept)
	defer opened.Clear()
	if err == nil {
		return x.seal(r, p.over(opened))
	}
	next, sealErr := x.sealUnder(kept.KeyID, r, p.credentials)
	if sealErr != nil {
		return store.Sealed{}, fmt.Errorf("%w; and a credential to be kept does not open: %w", sealErr, err)
	}
	for _, part := range p.credentials.parts() {
		if value := *column(&kept, part.field); value != nil {
			*column(&next, part.field) = value
		}
	}
	return next, nil
}

// keyStillThere tells a key that left the database from a row that changed:
// nil means that it was the row, and trying again is right.
func (x *Integrations) keyStillThere(ctx context.Context, keyID uint32) error {
	if keyID == 0 {
		return nil
	}
	has, err := x.store.HasKey(ctx, keyID)
	if err != nil || has {
		return err
	}
	return fmt.Errorf("key %d: %w", keyID, store.ErrKeyGone)
}

// kept gives what a row holds of the fields that the change does not touch.
func (p replacement) kept(row store.Sealed) store.Sealed {
	kept := row
	for _, f := range []Field{FieldWebhookSecret, FieldAccessToken, FieldRefreshToken} {
		if p.touches(f) {
			*column(&kept, f) = nil
		}
	}
	return kept
}

// over gives the new credentials with the kept ones beside them.
func (p replacement) over(kept Credentials) Credentials {
	c := p.credentials
	for _, q := range []struct{ into, from *Secret }{
		{&c.WebhookSecret, &kept.WebhookSecret}, {&c.AccessToken, &kept.AccessToken}, {&c.RefreshToken, &kept.RefreshToken},
	} {
		if q.into.IsZero() {
			*q.into = *q.from
		}
	}
	return c
}

func (p replacement) blindWrite(r Ref, sealed store.Sealed) store.CredentialsWrite {
	set := func(f Field) store.Column {
		return store.Column{Set: p.touches(f), Value: *column(&sealed, f)}
	}
	return store.CredentialsWrite{
		WorkspaceID: r.WorkspaceID, ID: r.ID, KeyID: sealed.KeyID,
		WebhookSecret: set(FieldWebhookSecret), AccessToken: set(FieldAccessToken), RefreshToken: set(FieldRefreshToken),
		SetExpiry: p.setsExpiry(), ExpiresAt: p.credentials.ExpiresAt,
		Install: p.install, SlackTeamName: p.slackTeamName, SlackBotUserID: p.slackBotUserID,
	}
}

func (p replacement) swap(r Ref, old, next store.Sealed) store.SealedSwap {
	return store.SealedSwap{
		WorkspaceID: r.WorkspaceID, ID: r.ID, Old: old, New: next,
		SetExpiry: p.setsExpiry(), ExpiresAt: p.credentials.ExpiresAt,
		Install: p.install, SlackTeamName: p.slackTeamName, SlackBotUserID: p.slackBotUserID,
	}
}
