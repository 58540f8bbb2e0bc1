// Package vaulttest gives a test a ready vault, in one line:
//
//	v := vaulttest.New(t)
//
// It runs on a real Postgres, in a schema of its own, migrated, with a key that
// lives in memory; all of it is gone when the test ends. Tests may run in
// parallel.
//
// The server is the one named by STRONGROOM_TEST_DATABASE_URL, if set. Else a
// private one is started from the machine's Postgres binaries, or from binaries
// that are downloaded once if it has none, and ends with the test process.
// DATABASE_URL is never read.
package vaulttest

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	gonanoid "github.com/matoous/go-nanoid/v2"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/store"
	"github.com/strongroom/strongroom/vault"
)

// Vault is a vault for one test. Beside what a vault.Vault does it makes
// workspaces and users, changes keys and lets the KEK fail.
type Vault struct {
	*vault.Vault
	tb   testing.TB
	pool *pgxpool.Pool
	kek  *kek
}

// New gives a vault in a schema of its own, with minimal tables workspaces(id)
// and users(id).
func New(tb testing.TB) *Vault {
	tb.Helper()
	pool := pgtest.Pool(tb)
	pgtest.HostTables(tb, pool)
	return In(tb, pool)
}

// In gives a vault beside the caller's own tables: pool leads to a database, or
// by its search_path to a schema, where workspaces and users are migrated
// already. Strongroom's own migrations are run if they were not. Several vaults
// in one database share its keyset; since the key lives in this process's
// memory, the database must not hold a keyset that another process made.
//
// Workspace and User insert rows with nothing but an id; if the caller's tables
// ask for more, make the rows yourself.
func In(tb testing.TB, pool *pgxpool.Pool) *Vault {
	tb.Helper()
	if _, err := migrations.Up(tb.Context(), pool); err != nil {
		tb.Fatalf("vaulttest: migrate: %v", err)
	}
	v := &Vault{tb: tb, pool: pool, kek: &kek{KEK: processKEK()}}
	if _, err := vault.Init(tb.Context(), pool, v.kek, v.config()); err != nil {
		tb.Fatalf("vaulttest: %v", err)
	}
	v.kek.unwraps.Store(0)
	v.Vault = v.Process()
	return v
}

// Process opens the same database's vault once more, as another process would:
// with a keyset of its own. It polls only by Rotate and when it meets an unknown
// key. It is closed when the test ends.
func (v *Vault) Process() *vault.Vault {
	v.tb.Helper()
	opened, err := vault.Open(v.tb.Context(), v.pool, v.kek, v.config())
	if err != nil {
		v.tb.Fatalf("vaulttest: %v", err)
	}
	v.tb.Cleanup(func() { _ = opened.Close(context.Background()) })
	return opened
}

// Pool is the pool that the vault works on.
func (v *Vault) Pool() *pgxpool.Pool { return v.pool }

// KEK is the vault's KEK; FailKEK makes it fail.
func (v *Vault) KEK() keyring.KEK { return v.kek }

// Unwraps counts how often the KEK was asked to unwrap the keyset, by any
// process of the test; 1 for the vault's own start.
func (v *Vault) Unwraps() int { return int(v.kek.unwraps.Load()) }

// Workspace makes a workspace and gives its id.
func (v *Vault) Workspace() string {
	v.tb.Helper()
	return v.insert("INSERT INTO workspaces (id) VALUES ($1::text)", "ws_")
}

// User makes a user and gives its id.
func (v *Vault) User() string {
	v.tb.Helper()
	return v.insert("INSERT INTO users (id) VALUES ($1::text)", "user_")
}

func (v *Vault) insert(statement, prefix string) string {
	v.tb.Helper()
	id := prefix + gonanoid.Must()
	if _, err := v.pool.Exec(v.tb.Context(), statement, id); err != nil {
		v.tb.Fatalf("vaulttest: %v", err)
	}
	return id
}

// Rotate makes a new key primary, as a rotation does: what was sealed before
// still opens, under the retired key, and what is sealed from now on is under
// the new one. This vault has loaded the change when Rotate returns; other
// processes meet it when they poll or read what is sealed under it.
func (v *Vault) Rotate() {
	v.tb.Helper()
	v.Apply(keyring.Stage(keyring.AES256GCM))
	v.Apply(keyring.Promote())
	if err := v.Poll(v.tb.Context()); err != nil {
		v.tb.Fatalf("vaulttest: %v", err)
	}
}

// Apply takes one step with the stored keyset, as another process would: no
// vault has loaded the change when it returns.
func (v *Vault) Apply(step keyring.Step) {
	v.tb.Helper()
	_, err := keyring.Apply(v.tb.Context(), store.New(v.pool), keyring.DefaultKeyset,
		[]keyring.KEK{v.kek.KEK}, "vaulttest", step)
	if err != nil {
		v.tb.Fatalf("vaulttest: %v", err)
	}
}

// FailKEK lets every call of the KEK fail with err from now on; nil mends it.
// What a KEK's failure does to a running service: nothing, until a keyset
// changes.
func (v *Vault) FailKEK(err error) { v.kek.fails(err) }

func (v *Vault) config() *vault.Config {
	return &vault.Config{PollEvery: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Actor: "vaulttest"}
}

// processKEK is one key for all vaults of the process, so that several in one
// database can share its keyset.
var processKEK = sync.OnceValue(keyring.EphemeralKEK)

// kek counts the calls of a KEK and fails on demand.
type kek struct {
	keyring.KEK
	unwraps atomic.Int64
	fault   atomic.Pointer[error]
}

func (k *kek) fails(err error) {
	if err == nil {
		k.fault.Store(nil)
		return
	}
	k.fault.Store(&err)
}

func (k *kek) Wrap(ctx context.Context, keyset, associatedData []byte) ([]byte, error) {
	if fault := k.fault.Load(); fault != nil {
		return nil, *fault
	}
	return k.KEK.Wrap(ctx, keyset, associatedData)
}

func (k *kek) Unwrap(ctx context.Context, wrapped, associatedData []byte) ([]byte, error) {
	k.unwraps.Add(1)
	if fault := k.fault.Load(); fault != nil {
		return nil, *fault
	}
	return k.KEK.Unwrap(ctx, wrapped, associatedData)
}
