package vault

// Vault: opening one, its life, and its calls in a caller's transaction.

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/store"
)

// Config is the optional part of a vault's set-up. Its zero value works; nil
// means the zero value.
type Config struct {
	// StandbyKEKs are tried after the first KEK, in order, to unwrap the keyset.
	// Default: none.
	StandbyKEKs []keyring.KEK

	// PollEvery is how often the vault asks the database whether the keyset
	// changed; it also looks at once when it meets an unknown key. Default:
	// 15 s. Negative: it does not poll.
	PollEvery time.Duration

	// KEKTimeout bounds each call of a KEK. Default: 5 s.
	KEKTimeout time.Duration

	// Logger gets a record when the keyset changes, and when something fails
	// or works again. Credentials never reach it. Default: slog.Default().
	Logger *slog.Logger

	// AllowDegradedStart lets Open succeed when no KEK answers in KEKTimeout
	// (Open's own context must last longer): metadata works, sealing and opening
	// return ErrKEKUnavailable until one does. Default: Open fails.
	AllowDegradedStart bool

	// Template is the kind of key that Init makes. Default:
	// [keyring.AES256GCM].
	Template keyring.Template

	// Actor is who the key history names for changes by this process. Default:
	// the program's name and the host's.
	Actor string
}

// Vault keeps integrations and their credentials. It is safe for concurrent
// use. Make one per process by [Open], and Close it.
type Vault struct{ *Integrations }

// Integrations is the calls on integrations: on the vault's pool, or in a
// caller's transaction by [Vault.WithTx].
type Integrations struct {
	ring  *keyring.Ring
	store *store.Store
	own   bool // in a transaction of the vault's own, which the vault runs again
}

// Open opens the vault of a database: it checks the schema, and loads the
// keyset with one call of kek (or, if that does not answer, of the standby
// ones). The pool stays the caller's and must outlive the vault; it must reach
// the primary database. Tables are found by the pool's search_path.
//
// Errors: [ErrSchema], [ErrNoKeyset], [ErrKEKUnavailable] (errors.As finds a
// [keyring.KEKError], which tells whether trying again can help), [ErrReplica],
// [ErrKeysetCorrupt], [ErrInvalid].
func Open(ctx context.Context, pool *pgxpool.Pool, kek keyring.KEK, c *Config) (*Vault, error) {
	config, keks, s, err := prepare(ctx, pool, kek, c)
	if err != nil {
		return nil, fmt.Errorf("vault: open: %w", err)
	}
	ring, err := keyring.Load(ctx, s, keks, &keyring.Config{
		PollEvery: config.PollEvery, KEKTimeout: config.KEKTimeout, Logger: config.Logger,
		AllowDegradedStart: config.AllowDegradedStart,
	})
	if err != nil {
		return nil, fmt.Errorf("vault: open: %w", err)
	}
	return &Vault{&Integrations{ring: ring, store: s}}, nil
}

// WithTx gives the calls on integrations within a transaction of the caller's.
// They take effect when it commits, and every one of them uses the
// transaction's connection only. Each write sits in a savepoint: if it fails,
// the transaction is usable as before. The isolation level is the caller's;
// above READ COMMITTED a write may return [ErrRetryTransaction], and so may the
// commit itself. Like the transaction, the result is not for concurrent use. Do
// not change keysets in the same transaction.
func (v *Vault) WithTx(tx pgx.Tx) *Integrations {
	s := store.New(tx)
	return &Integrations{ring: v.ring.Through(s), store: s}
}

// Close stops the vault's polling and waits for it, but no longer than ctx.
// Calls that need a key return [ErrClosed] afterwards. It does not close the
// pool. Calling it again does nothing. A KEK or a log handler must not call it.
func (v *Vault) Close(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- v.ring.Close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("vault: close: %w", ctx.Err())
	}
}

// prepare judges what Open and Init are given, and checks the schema.
func prepare(ctx context.Context, pool *pgxpool.Pool, kek keyring.KEK, c *Config) (Config, []keyring.KEK, *store.Store, error) {
	var config Config
	if c != nil {
		config = *c
	}
	if pool == nil {
		return config, nil, nil, fmt.Errorf("%w: the pool is nil", ErrInvalid)
	}
	keks := append([]keyring.KEK{kek}, config.StandbyKEKs...)
	for _, k := range keks {
		if k == nil {
			return config, nil, nil, fmt.Errorf("%w: a KEK is nil: make one by keyring.OpenKEK", ErrInvalid)
		}
	}
	s := store.New(pool)
	err := s.CheckSchema(ctx)
	return config, keks, s, err
}

// Poll asks the database now whether the keyset changed, and loads it if so. The
// vault does this by itself every PollEvery. An error leaves the vault as it is:
// it serves on with the keys it holds.
func (v *Vault) Poll(ctx context.Context) error { return v.ring.Poll(ctx) }
