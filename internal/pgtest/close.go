package pgtest

// This file closes a pool of which a test has not given back every connection.
// pgxpool would wait for it for ever, and a failure that left a transaction open
// would show as a hang.

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// closeLimit is for connections that are still being given back.
const closeLimit = 5 * time.Second

// connections are all that a pool has made.
type connections struct {
	mu  sync.Mutex
	all []net.Conn
}

func (c *connections) add(_ context.Context, conn *pgx.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, conn.PgConn().Conn())
	return nil
}

// cut ends every connection under the feet of who holds it, so that the server
// ends its transaction and frees its locks.
func (c *connections) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close() // most are closed already
	}
}

func closePool(tb testing.TB, pool *pgxpool.Pool, all *connections) {
	tb.Helper()
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeLimit):
		tb.Errorf("pgtest: the test ended with %d connections of its pool not given back: is a transaction open, or are rows not closed?",
			pool.Stat().AcquiredConns())
		all.cut()
	}
}
