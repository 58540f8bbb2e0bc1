package vault

// Judging input before anything is sealed or sent.

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/strongroom/strongroom/keyring"
)

// Bounds on texts, in bytes.
const (
	maxID   = 255
	maxName = 1000
)

func (r Ref) validate() error {
	return errors.Join(
		checkText("WorkspaceID", r.WorkspaceID, true, maxID),
		checkText("ID", r.ID, true, maxID))
}

func (n NewIntegration) validate() error {
	err := errors.Join(
		checkText("WorkspaceID", n.WorkspaceID, true, maxID),
		n.Platform.Validate(),
		checkText("Name", n.Name, true, maxName),
		checkText("SlackTeamID", n.SlackTeamID, false, maxID),
		checkText("SlackTeamName", n.SlackTeamName, false, maxName),
		checkText("SlackBotUserID", n.SlackBotUserID, false, maxID),
		checkText("PylonAccountID", n.PylonAccountID, false, maxID),
		checkText("CreatedBy", n.CreatedBy, false, maxID))
	if err != nil {
		return err
	}
	return errors.Join(n.checkPlatformFields(), n.Credentials.validate(), n.Credentials.validateFor(n.Platform),
		n.Config.Validate(n.Platform))
}

func (n NewIntegration) checkPlatformFields() error {
	if n.Platform == PlatformPylon && n.SlackTeamID+n.SlackTeamName+n.SlackBotUserID != "" {
		return fmt.Errorf("%w: SlackTeamID, SlackTeamName and SlackBotUserID are for Slack, not for Pylon", ErrInvalid)
	}
	if n.Platform == PlatformSlack && n.PylonAccountID != "" {
		return fmt.Errorf("%w: PylonAccountID is for Pylon, not for Slack", ErrInvalid)
	}
	return nil
}

// installation is what tells one installation of a provider from another.
func (n NewIntegration) installation() (string, error) {
	if n.Platform == PlatformSlack {
		if n.SlackTeamID == "" {
			return "", fmt.Errorf("%w: SlackTeamID is needed to find the installation; an org-wide install has its enterprise's id", ErrInvalid)
		}
		return n.SlackTeamID, nil
	}
	if n.PylonAccountID == "" {
		return "", fmt.Errorf("%w: PylonAccountID is needed to find the installation", ErrInvalid)
	}
	return n.PylonAccountID, nil
}

// validate judges each secret that is there. Tokens are opaque: neither prefix
// nor length is looked at, but for the bound on what can be sealed.
func (c Credentials) validate() error {
	var problems []error
	for _, part := range c.parts() {
		if part.secret.IsZero() {
			continue
		}
		if n := part.secret.Len(); n == 0 || n > keyring.MaxPlaintext {
			problems = append(problems, fmt.Errorf("%w: %s: want 1 to %d bytes; to remove a credential name its Field in remove",
				ErrInvalid, part.field, keyring.MaxPlaintext))
		}
	}
	if year := c.ExpiresAt.UTC().Year(); !c.ExpiresAt.IsZero() && (year < 1970 || year > 9999) {
		problems = append(problems, fmt.Errorf("%w: ExpiresAt: want a year from 1970 to 9999, or the zero time for a token that does not expire", ErrInvalid))
	}
	return errors.Join(problems...)
}

func (c Credentials) validateFor(p IntegrationPlatform) error {
	if p == PlatformPylon && (!c.AccessToken.IsZero() || !c.RefreshToken.IsZero() || !c.ExpiresAt.IsZero()) {
		return fmt.Errorf("%w: Pylon has a webhook secret only, no tokens and no expiry", ErrInvalid)
	}
	return nil
}

// part is one credential with its field.
type part struct {
	field  Field
	secret Secret
}

func (c Credentials) parts() []part {
	return []part{{FieldWebhookSecret, c.WebhookSecret}, {FieldAccessToken, c.AccessToken}, {FieldRefreshToken, c.RefreshToken}}
}

// none tells whether there is no secret at all.
func (c Credentials) none() bool {
	return c.WebhookSecret.IsZero() && c.AccessToken.IsZero() && c.RefreshToken.IsZero()
}

// checkText refuses what Postgres cannot store or an index cannot hold.
func checkText(name, text string, required bool, limit int) error {
	switch {
	case required && text == "":
		return fmt.Errorf("%w: %s is empty", ErrInvalid, name)
	case len(text) > limit:
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrInvalid, name, limit)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return fmt.Errorf("%w: %s is not text: it has a NUL character or is no UTF-8", ErrInvalid, name)
	}
	return nil
}
