package vault_test

// How a program holds a credential.

import (
	"encoding/json"
	"fmt"

	"github.com/strongroom/strongroom/vault"
)

func ExampleSecret() {
	token := vault.NewSecret("token-" + "1234")

	fmt.Println("about to call Slack with", token)
	fmt.Printf("%+v\n", struct{ Token vault.Secret }{token})

	_, err := json.Marshal(token)
	fmt.Println("encoded:", err != nil)

	fmt.Println("equal:", token.Equal(vault.NewSecret("token-"+"1234")))
	fmt.Println("revealed:", token.Reveal())

	token.Clear()
	fmt.Println("cleared:", token.Len())
	// Output:
	// about to call Slack with [redacted]
	// {Token:[redacted]}
	// encoded: true
	// equal: true
	// revealed: token-1234
	// cleared: 0
}
