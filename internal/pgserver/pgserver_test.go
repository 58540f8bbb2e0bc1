//go:build unix

package pgserver_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
)

// query returns one text.
func query(ctx context.Context, databaseURL, sql string) (text string, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, sql).Scan(&text)
	return text, err
}

func requireQuery(t *testing.T, databaseURL, sql string) string {
	t.Helper()
	text, err := query(t.Context(), databaseURL, sql)
	require.NoError(t, err)
	return text
}

func startServer(t *testing.T, c pgserver.Config) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func TestStart(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	url := s.URL("postgres")
	require.GreaterOrEqual(t, s.Version(), 14)
	require.Equal(t, strconv.Itoa(s.Version()), requireQuery(t, url, "SELECT (current_setting('server_version_num')::int / 10000)::text"))
	require.FileExists(t, filepath.Join(s.Bin(), "postgres"))
	for setting, value := range map[string]string{
		"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "max_connections": "200",
		"server_encoding": "UTF8", "lc_collate": "C", "listen_addresses": "",
	} {
		if setting == "lc_collate" {
			require.Equal(t, value, requireQuery(t, url, "SELECT datcollate FROM pg_database WHERE datname = current_database()"))
			continue
		}
		require.Equal(t, value, requireQuery(t, url, "SHOW "+setting), setting)
	}

	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "a second Stop")
	require.NoDirExists(t, s.Folder())
	_, err := query(t.Context(), url, "SELECT ''")
	require.Error(t, err)
}

func TestStartSettings(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{Settings: map[string]string{"fsync": "on", "work_mem": "7MB"}})
	require.Equal(t, "on", requireQuery(t, s.URL("postgres"), "SHOW fsync"))
	require.Equal(t, "7MB", requireQuery(t, s.URL("postgres"), "SHOW work_mem"))
}

func TestStartTCP(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{TCP: true})
	address := "SELECT host(inet_server_addr())"
	require.Contains(t, s.URL("postgres"), "@127.0.0.1:")
	require.Equal(t, "127.0.0.1", requireQuery(t, s.URL("postgres"), address))
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, "127.0.0.1", requireQuery(t, s.URL("postgres"), address))
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	t.Run("on a setting", func(t *testing.T) {
		t.Parallel()
		_, err := pgserver.Start(t.Context(), pgserver.Config{Settings: map[string]string{"shared_buffers": "nonsense"}})
		require.ErrorContains(t, err, `invalid value for parameter "shared_buffers"`, "the log says why")
	})
	t.Run("leaving nothing", func(t *testing.T) {
		t.Parallel()
		temp := openFolder(t)
		cmd := child(t, "fail", false, "TMPDIR="+temp)
		cmd.Stderr = nil
		require.Error(t, cmd.Run())
		requireNoFolders(t, temp)
	})
	t.Run("on a version", func(t *testing.T) {
		t.Parallel()
		_, err := pgserver.Start(t.Context(), pgserver.Config{Version: 13})
		require.EqualError(t, err, "start a private Postgres server: Config.Version=13: give a major version from 14 to 18")
	})
	t.Run("when canceled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := pgserver.Start(ctx, pgserver.Config{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestStartNamedBin(t *testing.T) {
	s := startServer(t, pgserver.Config{})
	t.Setenv("STRONGROOM_TEST_POSTGRES_VERSION", "")
	t.Setenv("STRONGROOM_TEST_POSTGRES_BIN", s.Bin())
	require.Equal(t, s.Bin(), startServer(t, pgserver.Config{}).Bin())

	t.Setenv("STRONGROOM_TEST_POSTGRES_BIN", t.TempDir())
	_, err := pgserver.Start(t.Context(), pgserver.Config{})
	require.ErrorContains(t, err, "no postgres and initdb of version 14 or newer there")

	t.Setenv("STRONGROOM_TEST_POSTGRES_VERSION", "newest")
	_, err = pgserver.Start(t.Context(), pgserver.Config{})
	require.ErrorContains(t, err, `STRONGROOM_TEST_POSTGRES_VERSION="newest": give a major version`)
}

func TestCrashAndRestart(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	url := s.URL("postgres")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT '1' AS id")
	require.NoError(t, err)

	require.NoError(t, s.Crash())
	require.NoError(t, s.Crash(), "a second Crash")
	require.Error(t, conn.Ping(t.Context()))
	_, err = query(t.Context(), url, "SELECT ''")
	require.Error(t, err)

	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, "1", requireQuery(t, url, "SELECT id FROM kept"))
	require.NoError(t, s.Restart(t.Context()), "while it runs")
	require.Equal(t, "1", requireQuery(t, url, "SELECT id FROM kept"))

	require.NoError(t, s.Stop())
	require.ErrorIs(t, s.Crash(), pgserver.ErrStopped)
	require.ErrorIs(t, s.Restart(t.Context()), pgserver.ErrStopped)
}

// The main process of a Postgres killed by hand leaves its lock file behind.
func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	pid, err := s.ServerPID()
	require.NoError(t, err)
	process, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	require.NoError(t, s.Restart(t.Context()))
	require.Empty(t, requireQuery(t, s.URL("postgres"), "SELECT ''"))
}

func TestStopAfterCrash(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	require.NoError(t, s.Crash())
	require.NoError(t, s.Stop())
	require.NoDirExists(t, s.Folder())
}

func TestDropRoot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(openFolder(t), "theirs")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `id -u && cat "$0"`, file)
	require.NoError(t, pgserver.DropRoot(cmd, file))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotEqual(t, "0\nx", string(out))
}

// requireNoFolders says that no server is left in a folder for temporary files.
func requireNoFolders(t *testing.T, temp string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(temp, "strongroom-pg-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
