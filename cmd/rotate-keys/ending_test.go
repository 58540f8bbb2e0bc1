package main

// How a run ends before its work is done: by a signal, or for want of time.

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const (
	waitLimit = 30 * time.Second
	waitTick  = 5 * time.Millisecond
)

// locked is a migrated database whose keysets are locked until tx, or the test,
// ends. pid is the backend that locks them.
func locked(t *testing.T, mode string) (db database, tx pgx.Tx, pid uint32) {
	t.Helper()
	db = migrated(t)
	tx, err := db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), "LOCK TABLE vault_keysets IN "+mode+" MODE")
	require.NoError(t, err)
	return db, tx, tx.Conn().PgConn().PID()
}

func TestSignalsEndARun(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"interrupt": os.Interrupt, "terminated": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, _, pid := locked(t, "ACCESS EXCLUSIVE")
			path, uri := kekFile(t)
			r := db.command(t, "init", "--kek", uri)
			require.NoError(t, r.Start())
			waitBlocked(t, db, pid, 1)
			require.NoError(t, r.Process.Signal(signal))
			r.ended(t, r.Wait(), 1)
			require.Contains(t, r.stderr.String(), "rotate-keys: init: "+name+" signal received")
			require.NoFileExists(t, path)
		})
	}
}

func TestTimeoutEndsARun(t *testing.T) {
	t.Parallel()
	db, _, _ := locked(t, "ACCESS EXCLUSIVE")
	path, uri := kekFile(t)
	stdout, stderr := db.runs(t, 1, "init", "--json", "--kek", uri, "--timeout", "300ms")
	require.Contains(t, stderr, "rotate-keys: init: gave up after 300ms (see --timeout)")
	require.Equal(t, "failed", object(t, stdout)["outcome"])
	require.NoFileExists(t, path)
}
