package vault

// Making integrations: Create, and Install for the OAuth callback.

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gonanoid "github.com/matoous/go-nanoid/v2"

	"github.com/strongroom/strongroom/store"
)

// Create stores a new integration, its credentials sealed under the primary
// key, and gives it as stored. Errors: [ErrInvalid]; [ErrNotFound] if the
// workspace or the user CreatedBy is not there; [ErrKeysetRolledBack].
//
// For what an OAuth callback brings use [Integrations.Install]: two
// integrations that hold one installation's tokens would revoke each other's.
func (x *Integrations) Create(ctx context.Context, n NewIntegration) (Integration, error) {
	if err := n.validate(); err != nil {
		return Integration{}, fmt.Errorf("create an integration: %w", err)
	}
	row, err := n.row()
	if err != nil {
		return Integration{}, err
	}
	var stored store.Integration
	err = x.withCurrentKey(ctx, func() error {
		sealed, err := x.seal(Ref{row.WorkspaceID, row.ID}, n.Credentials)
		if err != nil {
			return err
		}
		stored, err = x.store.Insert(ctx, row, sealed)
		return err
	})
	if err != nil {
		return Integration{}, err
	}
	return fromStore(stored), nil
}

// row gives what is to be stored, under a new id.
func (n NewIntegration) row() (store.Integration, error) {
	id, err := gonanoid.New()
	if err != nil {
		return store.Integration{}, fmt.Errorf("create an integration: make an id: %w", err)
	}
	row := store.Integration{
		ID: id, WorkspaceID: n.WorkspaceID, Platform: string(n.Platform), Name: n.Name,
		SlackTeamID: n.SlackTeamID, SlackTeamName: n.SlackTeamName, SlackBotUserID: n.SlackBotUserID,
		PylonAccountID: n.PylonAccountID, IsActive: !n.Inactive, CreatedBy: n.CreatedBy,
		TokenExpiresAt: n.Credentials.ExpiresAt,
	}
	if !n.Config.IsZero() {
		if row.Config, err = n.Config.MarshalJSON(); err != nil {
			return store.Integration{}, fmt.Errorf("create an integration: %w", err)
		}
	}
	return row, nil
}

// Install is what an OAuth callback calls: it stores an integration, or, if the
// workspace has one of the same installation (Slack team or Pylon account)
// already, replaces what the installation brings: the credentials, the team's
// name, the bot's user id; and switches it on. Its id, name, config and creator
// stay. Access and refresh token are replaced as a pair, so a new access token
// without a refresh token removes the old one; a webhook secret that n does not
// bring is kept.
//
// Replacing every stored credential opens none of the old ones, so a reinstall
// repairs a row that does not open. Installs of one installation into one
// workspace wait for one another, so that two callbacks at once make one
// integration. Errors: as Create; [ErrConflict] if the workspace has several
// integrations of the installation; [ErrRetryTransaction] in a caller's
// transaction whose snapshot is older than another install.
func (x *Integrations) Install(ctx context.Context, n NewIntegration) (i Integration, created bool, err error) {
	if err := n.validate(); err != nil {
		return Integration{}, false, fmt.Errorf("install: %w", err)
	}
	installation, err := n.installation()
	if err != nil {
		return Integration{}, false, fmt.Errorf("install: %w", err)
	}
	err = x.withCurrentKey(ctx, func() error {
		return x.store.Transact(ctx, func(s *store.Store) error {
			tx := &Integrations{ring: x.ring.Through(s), store: s, own: !x.store.InTransaction()}
			i, created, err = tx.install(ctx, n, installation)
			return err
		})
	})
	if err != nil {
		return Integration{}, false, err
	}
	return i, created, nil
}

// install looks for the installation and replaces it or creates it. Somebody may
// delete or move the row in between: then it looks again.
func (x *Integrations) install(ctx context.Context, n NewIntegration, installation string) (Integration, bool, error) {
	if err := x.store.LockInstallation(ctx, n.WorkspaceID, string(n.Platform), installation); err != nil {
		return Integration{}, false, err
	}
	for try := 1; ; try++ {
		ids, err := x.store.Installed(ctx, n.WorkspaceID, string(n.Platform), installation)
		switch {
		case err != nil:
			return Integration{}, false, err
		case len(ids) == 0:
			i, err := x.Create(ctx, n)
			return i, true, err
		case len(ids) > 1:
			return Integration{}, false, fmt.Errorf("install: %w: the workspace has %d integrations of this installation (%s); delete all but one, or write by SetCredentials",
				ErrConflict, len(ids), strings.Join(ids, ", "))
		}
		i, err := x.reinstall(ctx, Ref{n.WorkspaceID, ids[0]}, n)
		if try == maxTries || !errors.Is(err, ErrNotFound) {
			return i, false, err
		}
	}
}

func (x *Integrations) reinstall(ctx context.Context, r Ref, n NewIntegration) (Integration, error) {
	if err := x.replaceCredentials(ctx, r, n.replacement()); err != nil {
		return Integration{}, err
	}
	return x.Get(ctx, r)
}

// replacement gives what a reinstall changes of a row.
func (n NewIntegration) replacement() replacement {
	p := replacement{credentials: n.Credentials, install: true, slackTeamName: n.SlackTeamName, slackBotUserID: n.SlackBotUserID}
	if !n.Credentials.AccessToken.IsZero() && n.Credentials.RefreshToken.IsZero() {
		p.remove = []Field{FieldRefreshToken}
	}
	return p
}
