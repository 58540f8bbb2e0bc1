package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/store"
)

// exampleDatabase is a migrated database with a workspace ws_acme.
func exampleDatabase(ctx context.Context) (pool *pgxpool.Pool, done func()) {
	url, cleanup, err := pgserver.Scratch(ctx, "example")
	check(err)
	pool, err = pgxpool.New(ctx, url)
	check(err)
	check(migrations.CreateHostTables(ctx, pool))
	_, err = migrations.Up(ctx, pool)
	check(err)
	_, err = pool.Exec(ctx, `INSERT INTO workspaces (id) VALUES ('ws_acme')`)
	check(err)
	return pool, func() {
		pool.Close()
		check(cleanup(ctx))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The same calls work on a pool and in a transaction of the caller's.
func ExampleNew() {
	ctx := context.Background()
	pool, done := exampleDatabase(ctx)
	defer done()

	row := store.Integration{ID: "i1", WorkspaceID: "ws_acme", Platform: "slack", Name: "Support Channel"}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := store.New(tx).Insert(ctx, row, store.Sealed{}) // no credentials yet
		return err
	})
	check(err)
	i, err := store.New(pool).Get(ctx, "ws_acme", "i1")
	check(err)
	fmt.Println(i.Name, i.HasAccessToken)
	// Output: Support Channel false
}

// What is not sealed is refused before it is sent to Postgres.
func ExampleCiphertext() {
	ctx := context.Background()
	row := store.Integration{ID: "i1", WorkspaceID: "ws_acme", Platform: "slack", Name: "Support Channel"}
	plaintext := store.Ciphertext("a plaintext token, by mistake")
	_, err := store.New(nil).Insert(ctx, row, store.Sealed{KeyID: 7, AccessToken: plaintext})
	fmt.Println(errors.Is(err, store.ErrInvalid))
	fmt.Println(err)
	// Output:
	// true
	// create the integration: access_token: invalid input: not a sealed value
}
