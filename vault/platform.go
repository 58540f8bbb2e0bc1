package vault

// IntegrationPlatform: which provider an integration belongs to.

import "fmt"

// IntegrationPlatform names the provider of an integration. The text is what
// the database's column platform holds.
type IntegrationPlatform string

// The platforms.
const (
	PlatformSlack IntegrationPlatform = "slack"
	PlatformPylon IntegrationPlatform = "pylon"
)

// Validate returns an error that matches [ErrInvalid] and names the accepted
// values, unless p is one of them. It does not repeat p.
func (p IntegrationPlatform) Validate() error {
	if p == PlatformSlack || p == PlatformPylon {
		return nil
	}
	return fmt.Errorf("%w: unknown platform: want %q or %q", ErrInvalid, PlatformSlack, PlatformPylon)
}
