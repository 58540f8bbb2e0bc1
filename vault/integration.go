package vault

// The types that callers pass and get.

import (
	"time"

	"github.com/strongroom/strongroom/store"
)

// Ref names an integration together with its workspace, so that a caller's
// mistake about whose it is finds nothing instead of somebody else's.
type Ref struct {
	WorkspaceID string `json:"workspaceId"`
	ID          string `json:"id"`
}

// Integration is a stored integration without its credentials. Empty texts and
// zero times are absent.
type Integration struct {
	Ref
	Platform IntegrationPlatform `json:"platform"`
	Name     string              `json:"name"`

	SlackTeamID    string `json:"slackTeamId,omitempty"` // of an org-wide install: the enterprise's id
	SlackTeamName  string `json:"slackTeamName,omitempty"`
	SlackBotUserID string `json:"slackBotUserId,omitempty"`
	PylonAccountID string `json:"pylonAccountId,omitempty"`

	IsActive bool              `json:"isActive"`
	Config   IntegrationConfig `json:"config"`

	// ConfigErr says why the stored config does not decode; Config is zero
	// then, and no update of it is possible. The rest of the row is sound.
	ConfigErr error `json:"-"`

	// Which credentials are stored.
	HasWebhookSecret bool `json:"hasWebhookSecret"`
	HasAccessToken   bool `json:"hasAccessToken"`
	HasRefreshToken  bool `json:"hasRefreshToken"`

	TokenExpiresAt time.Time `json:"tokenExpiresAt,omitzero"` // zero: does not expire
	LastUsedAt     time.Time `json:"lastUsedAt,omitzero"`     // as the host records it: this version does not
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`
	CreatedBy      string    `json:"createdBy,omitempty"`
}

// NewIntegration is an integration to be made.
type NewIntegration struct {
	WorkspaceID string              // required; must exist
	Platform    IntegrationPlatform // required
	Name        string              // required; for people: "Support Channel"
	Credentials Credentials

	SlackTeamID, SlackTeamName, SlackBotUserID string // Slack only
	PylonAccountID                             string // Pylon only

	Config    IntegrationConfig // the zero config is stored as NULL
	Inactive  bool              // made switched off
	CreatedBy string            // a user's id, or empty; must exist
}

// Field names one of the three credentials, by its logical column name. The
// names are part of what a credential is bound to, and frozen.
type Field string

// The credentials of an integration.
const (
	FieldWebhookSecret Field = "webhook_secret"
	FieldAccessToken   Field = "access_token"
	FieldRefreshToken  Field = "refresh_token"
)

// Credentials are the secrets of an integration. In a write a zero Secret
// means: keep what is stored. Pylon has no tokens.
type Credentials struct {
	WebhookSecret Secret `json:"-"` // Slack's signing secret, Pylon's webhook secret
	AccessToken   Secret `json:"-"` // Slack's bot token
	RefreshToken  Secret `json:"-"` // with Slack's token rotation

	// ExpiresAt is when the access token expires. It goes with the token: a
	// write that replaces the token replaces it, and zero then means that the
	// token does not expire; a write that keeps the token keeps it if zero.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// Clear overwrites the secrets in memory.
func (c Credentials) Clear() {
	for _, s := range []Secret{c.WebhookSecret, c.AccessToken, c.RefreshToken} {
		s.Clear()
	}
}

// Opened is an integration with its credentials, as the look-ups give it. One
// that does not open sinks no other: its Err says which field failed, and
// Credentials has those that opened.
type Opened struct {
	Integration
	Credentials Credentials `json:"-"`
	Err         error       `json:"-"`
}

// Filter narrows a listing. Its zero value lists everything.
type Filter struct {
	Platform IntegrationPlatform // default: all
	Active   *bool               // default: both
	Limit    int                 // rows a page. Default: 100; at most 1000
	After    string              // what the page before returned as next
}

// Patch is a change of an integration's plain part.
type Patch struct {
	// Name replaces the name, if not nil.
	Name *string

	// Config, if not nil, gets the stored config and returns what to store.
	// It may be called again, with a newer one, when somebody else changed it
	// meanwhile. Fields and events that this library does not know are kept if
	// the function changes the config that it got and returns it.
	Config func(IntegrationConfig) (IntegrationConfig, error)
}

// Workspace is the host's workspace that an integration belongs to.
type Workspace struct {
	ID string `json:"id"`
}

// User is the host's user who created an integration.
type User struct {
	ID string `json:"id"`
}

func fromStore(i store.Integration) Integration {
	out := Integration{
		Ref: Ref{WorkspaceID: i.WorkspaceID, ID: i.ID}, Platform: IntegrationPlatform(i.Platform), Name: i.Name,
		SlackTeamID: i.SlackTeamID, SlackTeamName: i.SlackTeamName, SlackBotUserID: i.SlackBotUserID,
		PylonAccountID: i.PylonAccountID, IsActive: i.IsActive,
		HasWebhookSecret: i.HasWebhookSecret, HasAccessToken: i.HasAccessToken, HasRefreshToken: i.HasRefreshToken,
		TokenExpiresAt: i.TokenExpiresAt, LastUsedAt: i.LastUsedAt,
		CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, CreatedBy: i.CreatedBy,
	}
	if i.Config != nil {
		out.ConfigErr = out.Config.UnmarshalJSON(i.Config)
	}
	return out
}
