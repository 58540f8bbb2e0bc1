// Package pgtest gives a test its own corner of a real Postgres, and takes it away
// at the test's end. Tests may run in parallel: each gets a schema, or a database,
// that no other test sees.
//
// The server is the one of package internal/pgserver, which says where it comes
// from and which environment variables change that. STRONGROOM_TEST_DATABASE_URL
// names a database to use instead; DATABASE_URL is never read.
package pgtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/internal/pgserver"
)

// dropLimit ends a clean-up that waits for a lock which the test left behind.
const dropLimit = time.Minute

// insufficientPrivilege is the SQLSTATE of what a role may not do.
const insufficientPrivilege = "42501"

// Pool is a pool whose connections see one fresh schema and nothing else. Both are
// gone when the test ends. A test fails that has not given back every connection by
// then: with an open transaction, for one.
func Pool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(URL(tb))
	if err != nil {
		tb.Fatalf("pgtest: make a pool: %v", err)
	}
	var all connections
	config.AfterConnect = all.add
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	if err != nil {
		tb.Fatalf("pgtest: make a pool: %v", err)
	}
	tb.Cleanup(func() { closePool(tb, pool, &all) })
	return pool
}

// URL is a connection URL whose search_path is one fresh schema, for child
// processes and for a pgx config that the test changes. The schema is dropped when
// the test ends.
func URL(tb testing.TB) string {
	tb.Helper()
	base, _ := database(tb)
	schemaURL, drop, err := pgserver.NewSchema(tb.Context(), base, tb.Name())
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	dropAtEnd(tb, drop)
	return schemaURL
}

// Database is the URL of a fresh database, which is dropped when the test ends,
// whoever is still connected to it. It skips the test when the role of
// STRONGROOM_TEST_DATABASE_URL may not make databases.
func Database(tb testing.TB) string {
	tb.Helper()
	base, private := database(tb)
	databaseURL, drop, err := pgserver.NewDatabase(tb.Context(), base, tb.Name())
	if refused := (*pgconn.PgError)(nil); !private && errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		tb.Skip("the role of STRONGROOM_TEST_DATABASE_URL lacks CREATEDB, which this test needs")
	}
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	dropAtEnd(tb, drop)
	return databaseURL
}

// Bin is the folder of a psql and a pg_dump that fit the server, or "" when the
// machine has none.
func Bin(tb testing.TB) string {
	tb.Helper()
	base, _ := database(tb)
	conn, err := pgx.Connect(tb.Context(), base)
	if err != nil {
		tb.Fatalf("pgtest: connect: %v", err)
	}
	defer conn.Close(tb.Context())
	var version int
	if err := conn.QueryRow(tb.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
		tb.Fatalf("pgtest: ask for the server's version: %v", err)
	}
	return pgserver.ClientBin(tb.Context(), version)
}

// HostTables makes the tables that a host application owns, as small as they can
// be: workspaces(id text) and users(id text).
func HostTables(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), `
		CREATE TABLE workspaces (id text PRIMARY KEY);
		CREATE TABLE users (id text PRIMARY KEY)`)
	if err != nil {
		tb.Fatalf("pgtest: make the host's tables: %v", err)
	}
}

func database(tb testing.TB) (databaseURL string, private bool) {
	tb.Helper()
	databaseURL, private, err := pgserver.DatabaseURL(tb.Context())
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return databaseURL, private
}

func dropAtEnd(tb testing.TB, drop func(context.Context) error) {
	tb.Helper()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
		defer cancel()
		if err := drop(ctx); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
}
