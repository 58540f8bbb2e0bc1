package vault_test

// A Secret as an argument of a query: an error before anything is sent. Proved
// on pgx's encoder, and on a real Postgres by what goes over the wire.

import (
	"context"
	"database/sql"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
)

func TestSecretIsNotEncodedByPgx(t *testing.T) {
	t.Parallel()
	m := pgtype.NewMap()
	s := vault.NewSecret(canary())
	p := &s
	arguments := map[string]any{
		"value": s, "pointer": p, "pointer pointer": &p, "zero": vault.Secret{}, "null": sql.Null[vault.Secret]{V: s, Valid: true},
		"slice": []vault.Secret{s}, "slices": [][]vault.Secret{{s}}, "array": [1]vault.Secret{s}, "pointers": []*vault.Secret{p},
		"struct": shown{s}, "struct pointer": &shown{s}, "map": map[string]vault.Secret{"a": s}, "any": []any{s},
		"flat": pgtype.FlatArray[vault.Secret]{s}, "composite": pgtype.CompositeFields{s},
	}
	for _, oid := range []uint32{
		0, pgtype.TextOID, pgtype.VarcharOID, pgtype.ByteaOID, pgtype.JSONOID, pgtype.JSONBOID, pgtype.UnknownOID,
		pgtype.TextArrayOID, pgtype.ByteaArrayOID, pgtype.JSONBArrayOID, pgtype.RecordOID, pgtype.XMLOID,
		pgtype.NameOID, pgtype.BPCharOID, pgtype.UUIDOID, 999_999,
	} {
		for _, format := range []int16{pgtype.TextFormatCode, pgtype.BinaryFormatCode} {
			for name, arg := range arguments {
				out, err := m.Encode(oid, format, arg, nil)
				require.Error(t, err, "%s as type %d in format %d", name, oid, format)
				require.Nil(t, out)
				requireSealed(t, name+" in pgx's error", err.Error())
			}
		}
	}
}

// wire keeps all that a pool sends.
type wire struct {
	mu   sync.Mutex
	sent strings.Builder
}

// tap gives a pool like the given one, and what it sends.
func tap(t *testing.T, pool *pgxpool.Pool) (*pgxpool.Pool, *wire) {
	t.Helper()
	w := &wire{}
	cfg := pool.Config()
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return tapped{conn, w}, err
	}
	tappedPool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(tappedPool.Close)
	return tappedPool, w
}

func (w *wire) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent.String()
}

type tapped struct {
	net.Conn
	wire *wire
}

func (c tapped) Write(b []byte) (int, error) {
	c.wire.mu.Lock()
	c.wire.sent.Write(b)
	c.wire.mu.Unlock()
	return c.Conn.Write(b)
}

// plaintext gives, for each column of a table, arguments that hold a Secret.
func plaintext() map[string][]any {
	s := vault.NewSecret(canary())
	return map[string][]any{
		"t": {s, &s, vault.Secret{}},
		"b": {s, &s},
		"j": {s, &s, shown{s}, &shown{s}, []vault.Secret{s}, map[string]any{"token": s}},
		"a": {s, []vault.Secret{s}, []*vault.Secret{&s}},
		"v": {s, &s},
	}
}

const plainTable = "CREATE TABLE plain (t text, b bytea, j jsonb, a text[], v varchar)"

func TestSecretNeverReachesTheServer(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		pool, sent := tap(t, pool)
		_, err := pool.Exec(t.Context(), plainTable)
		require.NoError(t, err)
		for column, args := range plaintext() {
			for _, arg := range args {
				refuseArgument(t, pool, column, arg)
			}
		}
		requireSealed(t, "the connection", sent.String())
		require.False(t, strings.Contains(sent.String(), "redacted"), "the mark was sent in place of the credential")
		requireEmpty(t, pool)
	})
}

// refuseArgument tries arg in every kind of call that takes arguments.
func refuseArgument(t *testing.T, pool *pgxpool.Pool, column string, arg any) {
	t.Helper()
	insert := "INSERT INTO plain (" + column + ") VALUES ("
	_, exec := pool.Exec(t.Context(), insert+"$1)", arg)
	_, named := pool.Exec(t.Context(), insert+"@arg)", pgx.NamedArgs{"arg": arg})
	batch := &pgx.Batch{}
	batch.Queue(insert+"$1)", arg)
	batched := pool.SendBatch(t.Context(), batch).Close()
	db := stdlib.OpenDBFromPool(pool)
	_, standard := db.ExecContext(t.Context(), insert+"$1)", arg)
	require.NoError(t, db.Close())
	for call, err := range map[string]error{"Exec": exec, "NamedArgs": named, "SendBatch": batched, "database/sql": standard} {
		require.Error(t, err, "%s of a %T into %s", call, arg, column)
		requireSealed(t, call, err.Error())
	}
}

// CopyFrom is apart: pgx tells the server why the copy failed, and prints the
// argument in it. What the server gets is the mark, in an error, not in a row.
func TestSecretIsNotCopied(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		pool, sent := tap(t, pool)
		_, err := pool.Exec(t.Context(), plainTable)
		require.NoError(t, err)
		for column, args := range plaintext() {
			for _, arg := range args {
				_, err := pool.CopyFrom(t.Context(), pgx.Identifier{"plain"}, []string{column}, pgx.CopyFromRows([][]any{{arg}}))
				require.Error(t, err, "%T into %s", arg, column)
				requireSealed(t, "CopyFrom", err.Error())
			}
		}
		requireSealed(t, "the connection", sent.String())
		requireEmpty(t, pool)
	})
}

func requireEmpty(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM plain").Scan(&n))
	require.Zero(t, n)
}

// The recording is real: what is sent in the clear is found in it.
func TestWireIsRecorded(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		pool, sent := tap(t, pool)
		var n int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT length($1::text)", canary()).Scan(&n))
		require.Equal(t, len(canary()), n)
		require.NotEmpty(t, leak(sent.String()))
	})
}

func TestNothingScansIntoASecret(t *testing.T) {
	t.Parallel()
	eachExecMode(t, func(t *testing.T, pool *pgxpool.Pool) {
		for _, column := range []string{"$1::text", "$1::text::bytea", "to_jsonb($1::text)", "nullif($1::text, $1::text)"} {
			s := vault.NewSecret("kept")
			err := pool.QueryRow(t.Context(), "SELECT "+column, canary()).Scan(&s)
			require.ErrorContains(t, err, "call NewSecret", column)
			requireSealed(t, column, err.Error())
			require.Equal(t, "kept", s.Reveal())
		}
	})
}
