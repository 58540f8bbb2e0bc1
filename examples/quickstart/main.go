// Quickstart runs Strongroom's main job for real: it keeps the credentials of a
// Slack and a Pylon integration in Postgres, sealed, shows what the database
// holds beside what the vault opens, and then shows three attacks refused.
//
//	go run ./examples/quickstart
//
// It starts a private Postgres, or uses STRONGROOM_TEST_DATABASE_URL in a schema
// of its own, and cleans up behind itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/vault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // Ctrl-C cleans up too
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal("quickstart: ", err)
	}
}

func run(ctx context.Context) (err error) {
	fmt.Println("Starting Postgres …")
	url, cleanup, err := pgserver.Scratch(ctx, "quickstart")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanup(context.WithoutCancel(ctx))) }()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()

	v, err := open(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close(ctx)) }()

	if _, err := pool.Exec(ctx, `INSERT INTO workspaces (id) VALUES ('ws_acme'), ('ws_globex')`); err != nil {
		return err
	}
	slack, pylon, err := create(ctx, v)
	if err != nil {
		return err
	}
	if err := show(ctx, pool, v, slack, pylon); err != nil {
		return err
	}
	return attack(ctx, pool, v, slack)
}

// open does what a deployment does once (migrate, make a KEK, init), and then
// what every process does when it starts: open the vault.
func open(ctx context.Context, pool *pgxpool.Pool) (*vault.Vault, error) {
	if err := migrations.CreateHostTables(ctx, pool); err != nil { // your own tables: workspaces and users
		return nil, err
	}
	if _, err := migrations.Up(ctx, pool); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "strongroom-quickstart-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }() // never do this with a real key
	kek, err := keyring.CreateLocalKEK(filepath.Join(folder, "kek.json"))
	if err != nil {
		return nil, err
	}
	config := &vault.Config{Logger: slog.New(slog.DiscardHandler)}
	if _, err := vault.Init(ctx, pool, kek, config); err != nil {
		return nil, err
	}
	return vault.Open(ctx, pool, kek, config)
}

// create gives a workspace a Slack and a Pylon integration.
func create(ctx context.Context, v *vault.Vault) (slack, pylon vault.Integration, err error) {
	slack, err = v.Create(ctx, vault.NewIntegration{
		WorkspaceID: "ws_acme", Platform: vault.PlatformSlack, Name: "Support Channel",
		SlackTeamID: "T024BE7LD", SlackTeamName: "Acme",
		Credentials: vault.Credentials{
			WebhookSecret: vault.NewSecret("signing-" + "secret"),
			AccessToken:   vault.NewSecret("xoxb" + "-acme-access"),
			RefreshToken:  vault.NewSecret("xoxe" + "-acme-refresh"),
		},
		Config: vault.IntegrationConfig{SlackChannels: []vault.SlackChannel{{ID: "C061EG9SL", Name: "support"}}},
	})
	if err != nil {
		return slack, pylon, err
	}
	pylon, err = v.Create(ctx, vault.NewIntegration{
		WorkspaceID: "ws_acme", Platform: vault.PlatformPylon, Name: "Pylon", PylonAccountID: "acct_7",
		Credentials: vault.Credentials{WebhookSecret: vault.NewSecret("pylon" + "-webhook-secret")},
		Config:      vault.IntegrationConfig{PylonEvents: []vault.PylonEvent{vault.PylonIssueCreated, vault.PylonIssueClosed}},
	})
	return slack, pylon, err
}

// show prints what the database holds beside what the vault opens.
func show(ctx context.Context, pool *pgxpool.Pool, v *vault.Vault, integrations ...vault.Integration) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, i := range integrations {
		c, err := v.Credentials(ctx, i.Ref)
		if err != nil {
			return err
		}
		config, err := i.Config.MarshalJSON()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s (%s)\tconfig %s\n", i.Name, i.Platform, config)
		fmt.Fprintln(out, "COLUMN\tTHE DATABASE HOLDS\tKEY ID\tTHE VAULT OPENS")
		for _, column := range []struct {
			name   string
			secret vault.Secret
		}{{"webhook_secret", c.WebhookSecret}, {"access_token", c.AccessToken}, {"refresh_token", c.RefreshToken}} {
			var stored *string
			var keyID int64
			err := pool.QueryRow(ctx, `SELECT left(encode(`+column.name+`, 'hex'), 28) || '…', key_id
				FROM integrations WHERE id = $1`, i.ID).Scan(&stored, &keyID)
			if err != nil {
				return err
			}
			if stored != nil {
				fmt.Fprintf(out, "%s\t%s\t%d\t%s\n", column.name, *stored, keyID, column.secret.Reveal())
			}
		}
	}
	return out.Flush()
}

// attack tries three things that must not work.
func attack(ctx context.Context, pool *pgxpool.Pool, v *vault.Vault, slack vault.Integration) error {
	fmt.Println("\nThree attacks, by raw SQL:")

	_, refused := pool.Exec(ctx, `UPDATE integrations SET access_token = 'a plaintext token' WHERE id = $1`, slack.ID)
	if refused == nil {
		return errors.New("plaintext was stored")
	}
	fmt.Printf("1. plaintext written into access_token     refused by Postgres: %v\n", refused)

	other, err := v.Create(ctx, vault.NewIntegration{WorkspaceID: "ws_globex", Platform: vault.PlatformSlack, Name: "Thief"})
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `UPDATE integrations thief SET access_token = victim.access_token, key_id = victim.key_id
		FROM integrations victim WHERE thief.id = $1 AND victim.id = $2`, other.ID, slack.ID)
	if err != nil {
		return err
	}
	if _, refused = v.Credentials(ctx, other.Ref); !errors.Is(refused, vault.ErrNotOpened) {
		return errors.New("a token opened in another workspace")
	}
	fmt.Printf("2. a token copied to another workspace     refused on open:     %v\n", refused)

	_, err = pool.Exec(ctx, `UPDATE integrations SET access_token = set_bit(access_token, 200, 1 - get_bit(access_token, 200))
		WHERE id = $1`, slack.ID)
	if err != nil {
		return err
	}
	if _, refused = v.Credentials(ctx, slack.Ref); !errors.Is(refused, vault.ErrNotOpened) {
		return errors.New("a changed token opened")
	}
	fmt.Printf("3. one bit of a token flipped              refused on open:     %v\n", refused)
	return nil
}
