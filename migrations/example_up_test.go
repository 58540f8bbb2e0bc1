package migrations_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/migrations"
)

// A service may migrate when it starts, in any number of replicas at once.
func ExampleUp() {
	ctx := context.Background()
	url, cleanup, err := pgserver.Scratch(ctx, "example") // stands for your own database
	if err != nil {
		panic(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		panic(err)
	}
	if err := migrations.CreateHostTables(ctx, pool); err != nil { // your own migrations made them already
		panic(err)
	}
	for range 2 {
		applied, err := migrations.Up(ctx, pool)
		fmt.Println("applied:", len(applied), "error:", err)
	}
	fmt.Println("fits:", migrations.Check(ctx, pool) == nil)
	pool.Close()
	if err := cleanup(ctx); err != nil {
		panic(err)
	}
	// Output:
	// applied: 2 error: <nil>
	// applied: 0 error: <nil>
	// fits: true
}
