package vault_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/vault"
)

// exampleVault stands for a service's own set-up: a migrated database with a
// workspace ws_acme, a KEK, an open vault.
func exampleVault(ctx context.Context) (v *vault.Vault, pool *pgxpool.Pool, done func()) {
	url, cleanup, err := pgserver.Scratch(ctx, "example")
	must(err)
	pool, err = pgxpool.New(ctx, url)
	must(err)
	must(migrations.CreateHostTables(ctx, pool))
	_, err = migrations.Up(ctx, pool)
	must(err)
	_, err = pool.Exec(ctx, `INSERT INTO workspaces (id) VALUES ('ws_acme')`)
	must(err)
	kek := keyring.EphemeralKEK()
	config := &vault.Config{Logger: slog.New(slog.DiscardHandler)}
	_, err = vault.Init(ctx, pool, kek, config)
	must(err)
	v, err = vault.Open(ctx, pool, kek, config)
	must(err)
	return v, pool, func() {
		must(v.Close(ctx))
		pool.Close()
		must(cleanup(ctx))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func Example() {
	ctx := context.Background()
	v, _, done := exampleVault(ctx)
	defer done()

	i, err := v.Create(ctx, vault.NewIntegration{
		WorkspaceID: "ws_acme",
		Platform:    vault.PlatformSlack,
		Name:        "Support Channel",
		SlackTeamID: "T024BE7LD",
		Credentials: vault.Credentials{AccessToken: vault.NewSecret("a token")},
	})
	must(err)

	c, err := v.Credentials(ctx, i.Ref)
	must(err)
	fmt.Println("printed:", c.AccessToken)
	fmt.Println("revealed:", c.AccessToken.Reveal())
	// Output:
	// printed: [redacted]
	// revealed: a token
}

func ExampleIntegrations_Install() {
	ctx := context.Background()
	v, _, done := exampleVault(ctx)
	defer done()

	callback := func(token string) {
		i, created, err := v.Install(ctx, vault.NewIntegration{
			WorkspaceID: "ws_acme",
			Platform:    vault.PlatformSlack,
			Name:        "Slack",
			SlackTeamID: "T024BE7LD",
			Credentials: vault.Credentials{AccessToken: vault.NewSecret(token)},
		})
		must(err)
		c, err := v.Credentials(ctx, i.Ref)
		must(err)
		fmt.Println("created:", created, "token:", c.AccessToken.Reveal())
	}
	callback("first")
	callback("second")
	// Output:
	// created: true token: first
	// created: false token: second
}

func ExampleIntegrations_OpenBySlackTeam() {
	ctx := context.Background()
	v, _, done := exampleVault(ctx)
	defer done()
	_, err := v.Create(ctx, vault.NewIntegration{
		WorkspaceID: "ws_acme", Platform: vault.PlatformSlack, Name: "Support Channel", SlackTeamID: "T024BE7LD",
		Credentials: vault.Credentials{WebhookSecret: vault.NewSecret("signing secret")},
		Config:      vault.IntegrationConfig{SlackChannels: []vault.SlackChannel{{ID: "C061EG9SL", Name: "support"}}},
	})
	must(err)

	found, err := v.OpenBySlackTeam(ctx, "T024BE7LD")
	must(err)
	for _, i := range found {
		if i.Err != nil {
			continue // report it; the others are fine
		}
		fmt.Println(i.Name, "verifies with a secret of", i.Credentials.WebhookSecret.Len(), "bytes;",
			"listens to C061EG9SL:", i.Config.HasChannel("C061EG9SL"))
	}
	// Output: Support Channel verifies with a secret of 14 bytes; listens to C061EG9SL: true
}

func ExampleIntegrations_Update() {
	ctx := context.Background()
	v, _, done := exampleVault(ctx)
	defer done()
	i, err := v.Create(ctx, vault.NewIntegration{WorkspaceID: "ws_acme", Platform: vault.PlatformPylon, Name: "Pylon"})
	must(err)

	i, err = v.Update(ctx, i.Ref, vault.Patch{
		Config: func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
			c.PylonEvents = append(c.PylonEvents, vault.PylonIssueCreated)
			return c, nil
		},
	})
	must(err)
	fmt.Println(i.Config.PylonEvents)
	// Output: [issue.created]
}

func ExampleVault_WithTx() {
	ctx := context.Background()
	v, pool, done := exampleVault(ctx)
	defer done()

	// The workspace and its integration are made together, or not at all.
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO workspaces (id) VALUES ('ws_new')`); err != nil {
			return err
		}
		_, err := v.WithTx(tx).Create(ctx, vault.NewIntegration{
			WorkspaceID: "ws_new", Platform: vault.PlatformPylon, Name: "Pylon",
			Credentials: vault.Credentials{WebhookSecret: vault.NewSecret("a secret")},
		})
		return err
	})
	must(err)
	page, _, err := v.List(ctx, "ws_new", vault.Filter{})
	must(err)
	fmt.Println(len(page), "integration")
	// Output: 1 integration
}

func ExampleFieldError() {
	ctx := context.Background()
	v, pool, done := exampleVault(ctx)
	defer done()
	i, err := v.Create(ctx, vault.NewIntegration{
		WorkspaceID: "ws_acme", Platform: vault.PlatformPylon, Name: "Pylon",
		Credentials: vault.Credentials{WebhookSecret: vault.NewSecret("a secret")},
	})
	must(err)
	_, err = pool.Exec(ctx, `UPDATE integrations SET webhook_secret = webhook_secret || '\x00'`)
	must(err)

	_, err = v.Credentials(ctx, i.Ref)
	var field *vault.FieldError
	fmt.Println(errors.Is(err, vault.ErrNotOpened), errors.As(err, &field), field.Field)
	// Output: true true webhook_secret
}
