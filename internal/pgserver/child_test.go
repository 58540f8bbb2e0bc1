//go:build unix

package pgserver_test

// Most promises of the package are about a process that ends. So the test binary
// runs itself as a child, in one of a few roles, also as another user.

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
)

// roleVariable says which role a child plays.
const roleVariable = "STRONGROOM_PGSERVER_ROLE"

// patience is for conditions that must come true: it only ends a test that fails.
const patience = 90 * time.Second

// report is what a child says of its server.
type report struct {
	Folder, URL, Bin               string
	Version                        int
	ProcessPID, SupervisorPID, PID int
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(runTests(m))
	}
	if err := play(context.Background(), role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cacheOfNobody is where children without a home keep downloaded programs.
var cacheOfNobody string

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("/tmp", "sr-cache-")
	if err == nil {
		err = os.Chmod(folder, 0o777|os.ModeSticky)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cacheOfNobody = folder
	defer os.RemoveAll(folder)
	return m.Run()
}

func play(ctx context.Context, role string) error {
	switch role {
	case "serve": // until killed
		return serve(ctx)
	case "stop": // start, use, stop
		s, err := start(ctx, pgserver.Config{})
		if err != nil {
			return err
		}
		return s.Stop()
	case "fail":
		_, err := start(ctx, pgserver.Config{Settings: map[string]string{"shared_buffers": "nonsense"}})
		return err
	case "scratch":
		return scratch(ctx)
	}
	return fmt.Errorf("no such role: %s", role)
}

func serve(ctx context.Context) error {
	if _, err := start(ctx, pgserver.Config{}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// start starts a server, uses it and reports it.
func start(ctx context.Context, c pgserver.Config) (*pgserver.Server, error) {
	s, err := pgserver.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := query(ctx, s.URL("postgres"), "SELECT version()"); err != nil {
		return nil, err
	}
	pid, err := s.ServerPID()
	if err != nil {
		return nil, err
	}
	return s, json.NewEncoder(os.Stdout).Encode(report{
		Folder: s.Folder(), URL: s.URL("postgres"), Bin: s.Bin(), Version: s.Version(),
		ProcessPID: os.Getpid(), SupervisorPID: s.SupervisorPID(), PID: pid,
	})
}

// scratch says which schema it got, and in which database.
func scratch(ctx context.Context) error {
	databaseURL, cleanup, err := pgserver.Scratch(ctx, "a Program's schema")
	if err != nil {
		return err
	}
	place, err := query(ctx, databaseURL, "SELECT current_database() || ' ' || current_schema()")
	if err != nil {
		return err
	}
	fmt.Println(place)
	return cleanup(ctx)
}

// child runs a copy of the test binary. env is added to an environment that has
// no HOME.
func child(t *testing.T, role string, asNobody bool, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), copyOfTestBinary(t))
	cmd.Dir = "/"
	cmd.Env = []string{roleVariable + "=" + role}
	for _, name := range []string{"PATH", "TMPDIR", "STRONGROOM_TEST_POSTGRES_VERSION", "STRONGROOM_TEST_POSTGRES_BIN"} {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	cache, err := os.UserCacheDir()
	if asNobody || err != nil {
		cache = cacheOfNobody
	}
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+cache)
	cmd.Env = append(cmd.Env, env...)
	if asNobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Stderr = os.Stderr
	return cmd
}

// copyOfTestBinary is one that every user may run: go test's own folder is private.
func copyOfTestBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	binary, err := os.ReadFile(path)
	require.NoError(t, err)
	target := filepath.Join(openFolder(t), "pgserver.test")
	require.NoError(t, os.WriteFile(target, binary, 0o755))
	return target
}

// openFolder is a folder with a short path that every user may write to.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "sr") //nolint:usetesting // its path is long and private
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	require.NoError(t, os.Chmod(folder, 0o777|os.ModeSticky))
	return folder
}

// running is a child that serves, and what it reported.
type running struct {
	report
	cmd *exec.Cmd
}

func startChild(t *testing.T, asNobody bool, env ...string) running {
	t.Helper()
	cmd := child(t, "serve", asNobody, env...)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	r := running{cmd: cmd}
	require.NoError(t, json.Unmarshal([]byte(line), &r.report))
	require.True(t, r.serves(), "the child's server does not run")
	return r
}

func (r running) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Kill())
	require.Error(t, r.cmd.Wait(), "the child ended by itself")
}

// serves says whether the child's postgres still runs.
func (r report) serves() bool {
	return strings.Contains(pgserver.CommandLine(r.PID), r.Folder)
}

func (r report) requireNothingLeft(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(r.Folder)
		return os.IsNotExist(err) && !r.serves()
	}, patience, 20*time.Millisecond, "a postgres process or its folder is left")
}
