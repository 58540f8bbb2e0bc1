package vault_test

// Postgres killed, and the process killed, in the middle of writes and of keyring
// changes: what was acknowledged is there afterwards, and of each writer at most
// the one write whose answer was lost beside it.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
)

const (
	// envCrash makes the test binary the process that is killed: the URL of its
	// database. envCrashKEK is the URI of its KEK.
	envCrash    = "STRONGROOM_VAULT_TEST_CRASH"
	envCrashKEK = "STRONGROOM_VAULT_TEST_CRASH_KEK"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envCrash); url != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(context.Background(), url, os.Getenv(envCrashKEK)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// ledger is what was acknowledged last of each writer.
type ledger map[string]int

// follow records what is acknowledged until the writers have ended. It calls kill
// when each of them has written a few times.
func (l ledger) follow(acks <-chan acknowledgement, few int, kill func()) (killed bool) {
	count := map[string]int{}
	for ack := range acks {
		l[ack.name] = ack.n
		count[ack.name]++
		enough := len(count) == len(l)
		for _, n := range count {
			enough = enough && n >= few
		}
		if enough && !killed {
			killed = true
			kill()
		}
	}
	return killed
}

// check opens the vault anew and compares what is stored with what was
// acknowledged: of each writer, the last write or the one after.
func (l ledger) check(t *testing.T, pool *pgxpool.Pool, kek keyring.KEK) {
	t.Helper()
	c, err := openCrew(t.Context(), pool, kek)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.v.Close(t.Context())) }()
	for name, w := range c.writers() {
		n, err := w.stored(t.Context())
		require.NoError(t, err, name)
		if last, ok := l[name]; ok {
			require.Contains(t, []int{last, last + 1}, n, name)
		}
		l[name] = n
	}
}

func TestPostgresIsKilled(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	pool, err := pgxpool.New(t.Context(), server.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	kek := keyring.EphemeralKEK()
	survivor := setUpCrew(t, pool, kek)
	l := ledger{}
	l.check(t, pool, kek)

	for round := range 3 {
		acks, failures, crashed := make(chan acknowledgement), make(chan error, 1), make(chan error, 1)
		go func() {
			failures <- survivor.run(t.Context(), func(a acknowledgement) { acks <- a })
			close(acks)
		}()
		killed := l.follow(acks, 3+round, func() { go func() { crashed <- server.Crash() }() })
		failure := <-failures
		require.True(t, killed, failure)
		require.NoError(t, <-crashed)
		for _, verdict := range []error{vault.ErrNotOpened, vault.ErrNotFound, vault.ErrInvalid, vault.ErrKeysetRolledBack, vault.ErrUnknownKey} {
			require.NotErrorIs(t, failure, verdict, "an outage says nothing about what is stored")
		}
		require.NoError(t, server.Restart(t.Context()))
		pool.Reset() // closes the connections of before
		l.check(t, pool, kek)
	}
}

func TestTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	kek, err := keyring.CreateLocalKEK(filepath.Join(t.TempDir(), "kek.json"))
	require.NoError(t, err)
	setUpCrew(t, pool, kek)
	l := ledger{}
	l.check(t, pool, kek)

	program, err := os.Executable()
	require.NoError(t, err)
	for round := range 5 {
		var complaint strings.Builder
		command := exec.CommandContext(t.Context(), program)
		command.Env = append(os.Environ(), envCrash+"="+url, envCrashKEK+"="+kek.URI())
		command.Stderr = &complaint
		stdout, err := command.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		killed := l.follow(readAcknowledgements(stdout), 3+round, func() { _ = command.Process.Kill() })
		err = command.Wait()
		require.True(t, killed, complaint.String())
		require.Error(t, err, "it did not end by itself")
		awaitBackendsGone(t, pool, command.Process.Pid)
		l.check(t, pool, kek)
	}
}

func readAcknowledgements(from io.Reader) <-chan acknowledgement {
	acks := make(chan acknowledgement)
	go func() {
		defer close(acks)
		for lines := bufio.NewScanner(from); lines.Scan(); {
			var a acknowledgement
			if _, err := fmt.Sscan(lines.Text(), &a.name, &a.n); err == nil {
				acks <- a
			}
		}
	}()
	return acks
}

// awaitBackendsGone waits until Postgres has noticed a client's death: a statement
// that runs may commit until then.
func awaitBackendsGone(t *testing.T, pool *pgxpool.Pool, pid int) {
	t.Helper()
	waitFor(t, func(ctx context.Context) bool {
		var left int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, applicationName(pid)).Scan(&left)
		require.NoError(t, err)
		return left == 0
	})
}

func applicationName(pid int) string { return fmt.Sprint("strongroom crash ", pid) }

// writeUntilKilled is the process that is killed. It prints a line for each write
// that was acknowledged, and returns only when one was not.
func writeUntilKilled(ctx context.Context, url, kekURI string) error {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["application_name"] = applicationName(os.Getpid())
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	kek, err := keyring.OpenKEK(ctx, kekURI, nil)
	if err != nil {
		return err
	}
	c, err := openCrew(ctx, pool, kek)
	if err != nil {
		return err
	}
	return c.run(ctx, func(a acknowledgement) { fmt.Println(a.name, a.n) })
}
