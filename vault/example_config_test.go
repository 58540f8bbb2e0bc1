package vault_test

// How a program reads, changes and checks an integration's config.

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/vault"
)

func ExampleIntegrationConfig() {
	var config vault.IntegrationConfig
	// "muted" is a field of the TypeScript service, unknown to this package.
	stored := `{"slackChannels": [{"id": "C01", "name": "support", "muted": true}]}`
	if err := json.Unmarshal([]byte(stored), &config); err != nil {
		fmt.Println(err)
		return
	}

	next := config.Clone()
	next.SlackChannels[0].Name = "helpdesk"
	next.SlackChannels = append(next.SlackChannels, vault.SlackChannel{ID: "C02", Name: "sales"})

	text, err := json.Marshal(next)
	fmt.Println(string(text), err)
	fmt.Println("serves C02:", next.HasChannel("C02"), "before:", config.HasChannel("C02"))
	// Output:
	// {"slackChannels":[{"id":"C01","name":"helpdesk","muted":true},{"id":"C02","name":"sales"}]} <nil>
	// serves C02: true before: false
}

func ExampleIntegrationConfig_Validate() {
	config := vault.IntegrationConfig{
		SlackChannels: []vault.SlackChannel{{ID: "C01"}, {Name: "no id"}, {ID: "C01"}},
	}

	err := config.Validate(vault.PlatformSlack)

	var wrong *vault.ConfigError
	if errors.As(err, &wrong) {
		for _, p := range wrong.Problems {
			fmt.Println(p.Path, p.Problem)
		}
	}
	fmt.Println(errors.Is(err, vault.ErrInvalid))
	// Output:
	// slackChannels[1].id is empty
	// slackChannels[2].id repeats slackChannels[0].id
	// true
}
