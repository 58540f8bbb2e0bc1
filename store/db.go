package store

// DB: what the statements run on.

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB runs statements: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Store runs Strongroom's statements on a [DB]. It holds no state of its own
// and is as safe for concurrent use as its DB: on a pool fully, on a connection
// or a transaction not at all.
type Store struct {
	db   DB
	inTx bool
}

// New gives a store on db. On a pgx.Tx each write sits in a savepoint, so that a
// failed one leaves the transaction usable.
func New(db DB) *Store {
	_, inTx := db.(pgx.Tx)
	return &Store{db: db, inTx: inTx}
}

// InTransaction reports whether the store runs in a transaction.
func (s *Store) InTransaction() bool { return s.inTx }

// Transact runs f in a transaction of its own, or, if the store is in one
// already, in a savepoint. A new transaction is READ COMMITTED whatever the
// database's default is: what f decides on, it must see as it is now. An error
// rolls back.
func (s *Store) Transact(ctx context.Context, f func(*Store) error) error {
	var failed error
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		failed = s.setIsolation(ctx, tx)
		if failed == nil {
			failed = f(&Store{db: tx, inTx: true})
		}
		return failed
	})
	if failed != nil {
		return failed
	}
	return translate("run a transaction", err)
}

func (s *Store) setIsolation(ctx context.Context, tx pgx.Tx) error {
	if s.inTx {
		return nil // a savepoint in the caller's transaction, which has its own
	}
	_, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
	return translate("begin a transaction", err)
}

// guarded runs one write, in a savepoint if the store is in a transaction, so that
// what is refused does not abort the caller's work.
func (s *Store) guarded(ctx context.Context, op string, f func(DB) error) error {
	if !s.inTx {
		return translate(op, f(s.db))
	}
	return translate(op, pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error { return f(tx) }))
}
