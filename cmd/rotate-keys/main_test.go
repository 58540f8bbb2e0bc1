package main

// What the tests of this command share. They run it as a process of its own, which
// is this test's program started again, against a real Postgres. The database URL
// has a password, though the tests' own server asks for none, and no run may ever
// print it.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/migrations"
)

// asCommand in the environment makes the test's program the command itself.
const asCommand = "ROTATE_KEYS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// canary stands for a password. It is made at run time, so that no file holds it.
func canary() string { return "canary" + "-7Qx" }

// database is a fresh schema that the command reaches by url.
type database struct {
	*pgxpool.Pool
	url string
}

func newDatabase(t *testing.T) database {
	t.Helper()
	u, err := url.Parse(pgtest.URL(t))
	require.NoError(t, err)
	if _, needed := u.User.Password(); !needed {
		u.User = url.UserPassword(u.User.Username(), canary())
	}
	pool, err := pgxpool.New(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return database{pool, u.String()}
}

// migrated is a database with the host's tables and ours.
func migrated(t *testing.T) database {
	t.Helper()
	db := newDatabase(t)
	pgtest.HostTables(t, db.Pool)
	_, err := migrations.Up(t.Context(), db.Pool)
	require.NoError(t, err)
	return db
}

func (db database) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func one[T any](t *testing.T, db database, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// run is one process of the command.
type run struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// command prepares a run with these variables in its environment, as
// "DATABASE_URL=…", and no others of the command's.
func command(ctx context.Context, t *testing.T, variables []string, args ...string) *run {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	r := &run{Cmd: exec.CommandContext(ctx, self, args...)}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DATABASE_URL=") && !strings.HasPrefix(v, "STRONGROOM_") {
			r.Env = append(r.Env, v)
		}
	}
	r.Env = append(r.Env, asCommand+"=1")
	r.Env = append(r.Env, variables...)
	r.Stdout, r.Stderr = &r.stdout, &r.stderr
	return r
}

func (db database) command(t *testing.T, args ...string) *run {
	t.Helper()
	return command(t.Context(), t, []string{"DATABASE_URL=" + db.url}, args...)
}

// ended checks the exit status and that no secret was printed.
func (r *run) ended(t *testing.T, err error, want int) {
	t.Helper()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	for name, text := range map[string]string{"stdout": r.stdout.String(), "stderr": r.stderr.String()} {
		require.False(t, strings.Contains(text, canary()), "%s shows the password", name)
	}
	require.Equal(t, want, r.ProcessState.ExitCode(), "stdout: %s\nstderr: %s", r.stdout.String(), r.stderr.String())
}

// runs runs the command to its end, which must be with this status.
func (db database) runs(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	r := db.command(t, args...)
	r.ended(t, r.Run(), status)
	return r.stdout.String(), r.stderr.String()
}

// object parses what --json printed: one object on one line.
func object(t *testing.T, stdout string) map[string]any {
	t.Helper()
	require.Equal(t, 1, strings.Count(stdout, "\n"), stdout)
	var o map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &o), stdout)
	return o
}

// kekFile is the path and the URI of a KEK file that does not exist yet.
func kekFile(t *testing.T) (path, uri string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "kek.json")
	return path, "local-keyset://" + path
}

// waitBlocked returns when so many backends wait for a lock of this one.
func waitBlocked(t *testing.T, db database, pid uint32, count int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		return count == one[int64](t, db, "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", int64(pid))
	}, waitLimit, waitTick, "not as many wait for the lock")
}
