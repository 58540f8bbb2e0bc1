package vault

// Changing an integration's plain part; moving and deleting one.

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/strongroom/strongroom/store"
)

// Update changes an integration's name or config and gives it as stored. A
// config is compared and swapped: if somebody else changed it after it was read,
// p.Config is called again with the newer one, so no writer is overwritten.
//
// Errors: [ErrNotFound]; [ErrInvalid], for what p adds (what others stored
// before, such as an unknown event, is let be) and for a stored config that does
// not decode; [ErrConflict] after many changes by others; what p.Config returns.
func (x *Integrations) Update(ctx context.Context, r Ref, p Patch) (Integration, error) {
	if err := errors.Join(r.validate(), p.validate()); err != nil {
		return Integration{}, fmt.Errorf("update: %w", err)
	}
	var stored store.Integration
	err := x.untilDone(ctx, "update integration "+strconv.Quote(r.ID), func() (done bool, err error) {
		stored, done, err = x.tryUpdate(ctx, r, p)
		return done, err
	})
	if err != nil {
		return Integration{}, err
	}
	return fromStore(stored), nil
}

func (p Patch) validate() error {
	if p.Name == nil && p.Config == nil {
		return fmt.Errorf("%w: the Patch is empty", ErrInvalid)
	}
	if p.Name == nil {
		return nil
	}
	return checkText("Name", *p.Name, true, maxName)
}

// tryUpdate is not done if the config changed between its read and its write.
func (x *Integrations) tryUpdate(ctx context.Context, r Ref, p Patch) (stored store.Integration, done bool, err error) {
	change := store.Change{Name: p.Name}
	if p.Config != nil {
		current, err := x.store.Get(ctx, r.WorkspaceID, r.ID)
		if err != nil {
			return store.Integration{}, false, err
		}
		change.SetConfig, change.OldConfig = true, current.Config
		if change.Config, err = p.nextConfig(fromStore(current), current.Config); err != nil {
			return store.Integration{}, false, fmt.Errorf("update integration %q: %w", r.ID, err)
		}
	}
	stored, err = x.store.Update(ctx, r.WorkspaceID, r.ID, change)
	if p.Config != nil && errors.Is(err, ErrConflict) {
		return store.Integration{}, false, nil
	}
	return stored, true, err
}

// nextConfig asks the caller for the next config and gives its JSON.
func (p Patch) nextConfig(current Integration, raw []byte) ([]byte, error) {
	if current.ConfigErr != nil {
		return nil, fmt.Errorf("the stored config does not decode, so it is left as it is: %w", current.ConfigErr)
	}
	next, err := p.Config(current.Config.Clone())
	if err != nil {
		return nil, fmt.Errorf("the patch failed: %w", err)
	}
	if err := next.validateChange(current.Config, current.Platform); err != nil {
		return nil, err
	}
	if raw == nil && next.IsZero() {
		return nil, nil
	}
	return next.MarshalJSON()
}

// SetActive switches an integration on or off. The webhook look-ups find only
// active ones. [ErrNotFound] if the workspace has no such integration.
func (x *Integrations) SetActive(ctx context.Context, r Ref, active bool) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("set active: %w", err)
	}
	return x.again(func() error { return x.store.SetActive(ctx, r.WorkspaceID, r.ID, active) })
}

// Delete removes an integration and its credentials. [ErrNotFound] if the
// workspace has no such integration. Revoke its tokens with the provider first:
// backups of the database still hold them, sealed.
func (x *Integrations) Delete(ctx context.Context, r Ref) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return x.again(func() error { return x.store.Delete(ctx, r.WorkspaceID, r.ID) })
}

// Move gives an integration to another workspace: its credentials are bound to
// the workspace, so they are opened and sealed anew, and swapped in only if
// nobody changed the row meanwhile. All must open, else nothing changes and the
// error matches [ErrNotOpened]. [ErrNotFound] if the integration or the
// workspace is not there; [ErrConflict] after many changes by others.
func (x *Integrations) Move(ctx context.Context, r Ref, toWorkspace string) (Integration, error) {
	if err := errors.Join(r.validate(), checkText("toWorkspace", toWorkspace, true, maxID)); err != nil {
		return Integration{}, fmt.Errorf("move: %w", err)
	}
	to := Ref{toWorkspace, r.ID}
	if to == r {
		return x.Get(ctx, r)
	}
	var moved store.Integration
	err := x.untilDone(ctx, "move integration "+strconv.Quote(r.ID), func() (done bool, err error) {
		moved, done, err = x.tryMove(ctx, r, to)
		return done, err
	})
	if err != nil {
		return Integration{}, err
	}
	return fromStore(moved), nil
}

func (x *Integrations) tryMove(ctx context.Context, from, to Ref) (moved store.Integration, done bool, err error) {
	row, err := x.store.GetRow(ctx, from.WorkspaceID, from.ID)
	if err != nil {
		return moved, false, err
	}
	row, c, err := x.openRow(ctx, row)
	defer c.Clear()
	if err != nil {
		return moved, false, fmt.Errorf("move integration %q: %w", from.ID, err)
	}
	next, err := x.seal(to, c)
	if err != nil {
		return moved, false, err
	}
	moved, done, err = x.store.SwapSealed(ctx, store.SealedSwap{
		WorkspaceID: from.WorkspaceID, ID: from.ID, Old: row.Sealed, New: next, MoveTo: to.WorkspaceID,
	})
	if err == nil && !done {
		err = x.keyStillThere(ctx, next.KeyID)
	}
	return moved, done, err
}
