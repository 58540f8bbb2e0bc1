package store_test

// What this package alone decides: the keyset's compare-and-swap, what is refused
// before it is sent, how errors are translated.

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/store"
)

// migrated gives a store on fresh tables, with a workspace "w".
func migrated(t *testing.T) (*store.Store, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.Pool(t)
	pgtest.HostTables(t, pool)
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO workspaces (id) VALUES ('w')`)
	require.NoError(t, err)
	return store.New(pool), pool
}

// withKeyset adds a first keyset.
func withKeyset(t *testing.T) (*store.Store, *pgxpool.Pool, keyring.KEK) {
	t.Helper()
	s, pool := migrated(t)
	kek := keyring.EphemeralKEK()
	_, err := keyring.Create(t.Context(), s, "default", keyring.AES256GCM, []keyring.KEK{kek}, "test")
	require.NoError(t, err)
	return s, pool, kek
}

func TestKeysetRoundTrip(t *testing.T) {
	t.Parallel()
	s, pool, kek := withKeyset(t)
	version, err := s.Version(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 1, version.Generation)
	require.Len(t, version.Revision, 21)
	w, err := s.Load(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, version, w.Version)
	require.Contains(t, w.Wraps, kek.URI())
	require.Len(t, w.Keys, 1)
	require.Equal(t, keyring.Primary, w.Keys[0].Status)

	for _, step := range []keyring.Step{keyring.Stage(keyring.XAES256GCM), keyring.Promote(), keyring.Destroy(w.Keys[0].ID)} {
		_, err = keyring.Apply(t.Context(), s, "default", []keyring.KEK{kek}, "test", step)
		require.NoError(t, err)
	}
	w, err = s.Load(t.Context(), "default")
	require.NoError(t, err)
	require.EqualValues(t, 4, w.Generation)
	require.Len(t, w.Keys, 1)
	require.Equal(t, keyring.XAES256GCM, w.Keys[0].Template)

	var events []string
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT array_agg(event || ' ' || generation || ' ' || actor ORDER BY id) FROM vault_key_events`).Scan(&events))
	require.Equal(t, []string{"init 1 test", "stage 2 test", "promote 3 test", "destroy 4 test"}, events)
	var stamped bool
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT promoted_at IS NOT NULL AND retired_at IS NULL FROM vault_keys`).Scan(&stamped))
	require.True(t, stamped)
}

func TestAnAbsentKeysetSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s, _ := migrated(t)
	_, err := s.Version(t.Context(), "default")
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
	require.ErrorContains(t, err, "rotate-keys init")
	_, err = s.Load(t.Context(), "default")
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
}

// Ten changers at once: each generation is made by one, and nothing is half
// written.
func TestSwapIsCompareAndSwap(t *testing.T) {
	t.Parallel()
	s, pool, kek := withKeyset(t)
	_, err := keyring.Apply(t.Context(), s, "default", []keyring.KEK{kek}, "test", keyring.Stage(keyring.AES256GCM))
	require.NoError(t, err)
	errs := make([]error, 10)
	var all sync.WaitGroup
	for n := range errs {
		all.Go(func() {
			_, errs[n] = keyring.Apply(t.Context(), s, "default", []keyring.KEK{kek}, fmt.Sprint("racer ", n), keyring.Promote())
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, store.ErrConflict)
	}
	require.Equal(t, 1, won)
	var events, keys, primaries int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM vault_key_events), (SELECT count(*) FROM vault_keys),
		(SELECT count(*) FROM vault_keys WHERE status = 'primary')`).Scan(&events, &keys, &primaries))
	require.Equal(t, []int{3, 2, 1}, []int{events, keys, primaries})
}

// A swap that fails at its last statement leaves nothing behind.
func TestASwapIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s, pool, kek := withKeyset(t)
	before, err := s.Load(t.Context(), "default")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `ALTER TABLE vault_key_events ADD CONSTRAINT refuse CHECK (event <> 'stage')`)
	require.NoError(t, err)
	_, err = keyring.Apply(t.Context(), s, "default", []keyring.KEK{kek}, "test", keyring.Stage(keyring.AES256GCM))
	require.Error(t, err)
	after, err := s.Load(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestAKeyIDIsNeverUsedTwice(t *testing.T) {
	t.Parallel()
	s, _, _ := withKeyset(t)
	w, err := s.Load(t.Context(), "default")
	require.NoError(t, err)
	old, used := w.Version, w.Keys[0].ID
	w.Generation, w.Revision = 2, strings.Repeat("r", 21)
	err = s.Swap(t.Context(), old, w, keyring.Event{Kind: keyring.EventStage, KeyID: used, Actor: "test"})
	require.ErrorIs(t, err, store.ErrConflict)
}

// A keyset is read from the primary only: a server in recovery is refused.
func TestAReplicaIsRefused(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	pool, err := pgxpool.New(t.Context(), server.URL("postgres"))
	require.NoError(t, err)
	defer pool.Close()
	pgtest.HostTables(t, pool)
	_, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	_, err = keyring.Create(t.Context(), store.New(pool), "default", keyring.AES256GCM, []keyring.KEK{keyring.EphemeralKEK()}, "test")
	require.NoError(t, err)

	makeReplica(t, server, pool)
	_, err = store.New(pool).Version(t.Context(), "default")
	require.ErrorIs(t, err, store.ErrReplica)
	_, err = store.New(pool).Load(t.Context(), "default")
	require.ErrorIs(t, err, store.ErrReplica)
}

// A value that is not sealed, or not under the row's key, never leaves the
// process: with no database to talk to the refusal is the same.
func TestWhatIsNotSealedIsNeverSent(t *testing.T) {
	t.Parallel()
	s := store.New(nil)
	plaintext := store.Ciphertext("xox" + "b-a-plaintext-token-of-a-good-length")
	other := append(store.Ciphertext{1, 0, 0, 0, 8}, make([]byte, 40)...)
	huge := append(store.Ciphertext{1, 0, 0, 0, 7}, make([]byte, store.MaxCiphertext)...)
	for name, value := range map[string]store.Ciphertext{"plaintext": plaintext, "another key": other, "huge": huge, "short": other[:32], "empty": {}} {
		sealed := store.Sealed{KeyID: 7, AccessToken: value}
		_, insertErr := s.Insert(t.Context(), store.Integration{ID: "i"}, sealed)
		_, writeErr := s.WriteCredentials(t.Context(), store.CredentialsWrite{ID: "i", KeyID: 7, AccessToken: store.Column{Set: true, Value: value}})
		_, _, swapErr := s.SwapSealed(t.Context(), store.SealedSwap{ID: "i", New: sealed})
		for _, err := range []error{insertErr, writeErr, swapErr} {
			require.ErrorIs(t, err, store.ErrInvalid, name)
			require.NotContains(t, err.Error(), "plaintext-token")
		}
	}
}

func TestErrorsCarryNoRowData(t *testing.T) {
	t.Parallel()
	s, pool, _ := withKeyset(t)
	row := store.Integration{ID: "canary-id", WorkspaceID: "w", Platform: "slack", Name: "canary-name"}
	_, err := s.Insert(t.Context(), row, store.Sealed{})
	require.NoError(t, err)
	refused := func(want error, err error) {
		t.Helper()
		require.ErrorIs(t, err, want)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "canary-name")
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.NotEmpty(t, pg.Code)
		require.Empty(t, pg.Detail+pg.Where+pg.Hint+pg.InternalQuery)
	}
	_, err = s.Insert(t.Context(), row, store.Sealed{})
	refused(store.ErrConflict, err)
	row.ID, row.Platform = "other", "teams"
	_, err = s.Insert(t.Context(), row, store.Sealed{})
	refused(store.ErrInvalid, err)
	row.Platform, row.WorkspaceID = "slack", "absent"
	_, err = s.Insert(t.Context(), row, store.Sealed{})
	refused(store.ErrNotFound, err)

	// Class 22 quotes its input.
	row.WorkspaceID, row.Config = "w", []byte(`{"canary-json`)
	_, err = s.Insert(t.Context(), row, store.Sealed{})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "canary-json")
	require.ErrorContains(t, err, "22P02")

	_, err = pool.Exec(t.Context(), `DROP TABLE integrations`)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "w", "canary-id")
	require.ErrorIs(t, err, store.ErrSchema)
	require.ErrorContains(t, err, "rotate-keys migrate up")
}

// errors.As on a failed connection would reach its configuration, and with it the
// password.
func TestAFailedConnectionHidesItsPassword(t *testing.T) {
	t.Parallel()
	password := "canary" + "password"
	pool, err := pgxpool.New(t.Context(), "postgres://u:"+password+"@127.0.0.1:1/d?connect_timeout=1")
	require.NoError(t, err)
	defer pool.Close()
	_, err = store.New(pool).Version(t.Context(), "default")
	require.Error(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password)
	var connect *pgconn.ConnectError
	require.False(t, errors.As(err, &connect)) //nolint:testifylint // it must not be found
	require.NoError(t, t.Context().Err())
}

func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	s, pool := migrated(t)
	_, err := pool.Exec(t.Context(), `SET TIME ZONE 'Asia/Tokyo'`)
	require.NoError(t, err)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600))
	i, err := s.Insert(t.Context(), store.Integration{ID: "i", WorkspaceID: "w", Platform: "slack", Name: "n", TokenExpiresAt: at}, store.Sealed{})
	require.NoError(t, err)
	require.Equal(t, at.UTC(), i.TokenExpiresAt)
	require.Equal(t, time.UTC, i.CreatedAt.Location())
	require.Zero(t, i.LastUsedAt)
}

// A trigger's message of ours passes; a host's may quote a row.
func TestOnlyOurOwnTriggersAreQuoted(t *testing.T) {
	t.Parallel()
	s, pool, _ := withKeyset(t)
	w, err := s.Load(t.Context(), "default")
	require.NoError(t, err)
	old := w.Version
	w.Revision = strings.Repeat("r", 21) // another revision of the same generation
	err = s.Swap(t.Context(), old, w, keyring.Event{Kind: "test", KeyID: w.Keys[0].ID, Actor: "test"})
	require.ErrorContains(t, err, "the revision cannot change within generation 1")

	_, err = pool.Exec(t.Context(), `
		CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused: %', NEW; END $$;
		CREATE TRIGGER loud BEFORE INSERT ON integrations FOR EACH ROW EXECUTE FUNCTION loud()`)
	require.NoError(t, err)
	_, err = s.Insert(t.Context(), store.Integration{ID: "i", WorkspaceID: "w", Platform: "slack", Name: "canary-name"}, store.Sealed{})
	require.ErrorContains(t, err, "P0001")
	require.NotContains(t, err.Error(), "canary-name")
}

// On Citus constraint names carry a shard's number behind.
func TestShardSuffixesAreUnderstood(t *testing.T) {
	t.Parallel()
	s, pool := migrated(t)
	_, err := pool.Exec(t.Context(), `ALTER TABLE integrations RENAME CONSTRAINT integrations_workspace_id_fkey TO integrations_workspace_id_fkey_102008`)
	require.NoError(t, err)
	_, err = s.Insert(t.Context(), store.Integration{ID: "i", WorkspaceID: "absent", Platform: "slack", Name: "n"}, store.Sealed{})
	require.ErrorIs(t, err, store.ErrNotFound)
	require.ErrorContains(t, err, "workspace")
}
