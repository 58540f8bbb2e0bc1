// Package store holds the rows and the SQL, and nothing else: the integrations
// table and the wrapped keysets, over a pool, a connection or a caller's
// transaction ([DB]).
//
// No type in it can carry a plaintext credential. What is to be stored sealed
// is a [Ciphertext], and each write checks that it has a sealed value's header
// before it leaves the process, so that a mistake upstream never reaches the
// database's log.
//
// # The key fence
//
// A write of sealed values names its key in the statement (INSERT … SELECT …
// FROM vault_keys WHERE key_id = $k, and UPDATE likewise), so that a key that
// was destroyed meanwhile gives no row instead of an aborted transaction. The
// race that is left to the foreign key is caught by a savepoint. Both are
// [ErrKeyGone]: load the keyset anew, seal again, write again.
//
// Credential writes by a process that read first compare and swap: a row that
// somebody else changed meanwhile is left as they wrote it.
//
// # Names
//
// Tables are named without a schema and found by search_path. Statements name
// their columns and cast their parameters, so that every pgx exec mode and
// pgbouncer in transaction mode work, and so that a newer schema with more
// columns does too. Nothing is kept in the session.
//
// # Errors
//
// Driver errors are translated in one place, errors.go. They match this
// package's sentinels, errors.As reaches a *pgconn.PgError, and its DETAIL,
// which prints rows, is removed.
package store
