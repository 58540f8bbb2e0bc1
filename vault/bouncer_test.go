package vault_test

// A pgbouncer of a test's own, in transaction mode.

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
)

// supervise runs pgbouncer and ends it when the pipe on its standard input
// closes, which it does however the test process ends.
const supervise = `"$@" & pid=$!; cat >/dev/null; kill -KILL $pid; wait`

// startPgbouncer gives a URL that leads to databaseURL's database by a pgbouncer
// with two server connections, so that statements of one client do meet
// different ones.
func startPgbouncer(t *testing.T, bin, databaseURL string) string {
	t.Helper()
	server, err := pgx.ParseConfig(databaseURL)
	require.NoError(t, err)
	folder, err := os.MkdirTemp("/tmp", "strongroom-bouncer-") //nolint:usetesting // short: a socket's path is at most 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	ini := fmt.Sprintf(`[databases]
* = %s
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
auth_type = any
unix_socket_dir = %s
unix_socket_mode = 0777
listen_addr =
listen_port = 6432
logfile = %s/log
ignore_startup_parameters = extra_float_digits
%s`, serverString(server), folder, folder, preparedStatements(t, bin))
	path := filepath.Join(folder, "ini")
	require.NoError(t, os.WriteFile(path, []byte(ini), 0o644))

	command := exec.CommandContext(context.Background(), "sh", "-c", supervise, "supervise", bin, path)
	require.NoError(t, pgserver.DropRoot(command, folder, path)) // pgbouncer refuses root
	alive, err := command.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = alive.Close()
		_ = command.Wait()
	})
	u := url.URL{Scheme: "postgres", User: url.User("client"), Path: "/" + server.Database}
	u.RawQuery = url.Values{"host": {folder}, "port": {"6432"}, "sslmode": {"disable"}}.Encode()
	waitFor(t, func(ctx context.Context) bool {
		conn, err := pgx.Connect(ctx, u.String())
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	})
	return u.String()
}

// serverString is how pgbouncer reaches the server. It takes no empty password.
func serverString(server *pgx.ConnConfig) string {
	out := fmt.Sprintf("host=%s port=%d user=%s", server.Host, server.Port, server.User)
	if server.Password != "" {
		out += " password=" + server.Password
	}
	return out
}

// preparedStatements switches on what pgbouncer has since 1.21.
func preparedStatements(t *testing.T, bin string) string {
	if bouncerVersion(t, bin) >= 121 {
		return "max_prepared_statements = 100"
	}
	return ""
}

// bouncerVersion gives 118 for 1.18.
func bouncerVersion(t *testing.T, bin string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), bin, "--version").Output()
	require.NoError(t, err)
	var major, minor int
	_, err = fmt.Sscanf(string(out), "PgBouncer %d.%d", &major, &minor)
	require.NoError(t, err)
	return major*100 + minor
}
