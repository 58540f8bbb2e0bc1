package vaulttest_test

import (
	"testing"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// In a test of yours, t is the test's own.
func ExampleNew() {
	testOfYours := func(t *testing.T) {
		v := vaulttest.New(t)
		i, err := v.Create(t.Context(), vault.NewIntegration{
			WorkspaceID: v.Workspace(), Platform: vault.PlatformSlack, Name: "Slack",
			Credentials: vault.Credentials{AccessToken: vault.NewSecret("a token")},
		})
		if err != nil {
			t.Fatal(err)
		}
		v.Rotate() // what the code under test holds still opens
		if _, err := v.Credentials(t.Context(), i.Ref); err != nil {
			t.Fatal(err)
		}
	}
	_ = testOfYours
}
