//go:build unix

package pgserver_test

// These tests end processes in every order, and look at what is left.

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
)

// eachUser runs the test as the user we are and, as root, as an ordinary one too.
func eachUser(t *testing.T, test func(t *testing.T, asNobody bool)) {
	t.Helper()
	t.Run("us", func(t *testing.T) {
		t.Parallel()
		test(t, false)
	})
	t.Run("nobody", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root can run a program as another user; as us it ran")
		}
		test(t, true)
	})
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, asNobody bool) {
		temp := openFolder(t)
		require.NoError(t, child(t, "stop", asNobody, "TMPDIR="+temp).Run())
		requireNoFolders(t, temp)
	})
}

func TestKilledProcessLeavesNothing(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, asNobody bool) {
		r := startChild(t, asNobody)
		r.kill(t)
		r.requireNothingLeft(t)
	})
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	eachUser(t, func(t *testing.T, asNobody bool) {
		a, b := startChild(t, asNobody), startChild(t, asNobody)
		require.NotEqual(t, a.Folder, b.Folder)
		a.kill(t)
		a.requireNothingLeft(t)
		require.True(t, b.serves())
		b.kill(t)
		b.requireNothingLeft(t)
	})
}

func TestNextStartClearsUp(t *testing.T) {
	t.Parallel()
	r := startChild(t, false)
	killSupervisor(t, r.SupervisorPID, r.Folder)
	r.kill(t)
	startServer(t, pgserver.Config{})
	r.requireNothingLeft(t)
}

func TestClearingUpSparesServersInUse(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	killSupervisor(t, s.SupervisorPID(), s.Folder())
	startServer(t, pgserver.Config{})
	require.Empty(t, requireQuery(t, s.URL("postgres"), "SELECT ''"))
	require.NoError(t, s.Restart(t.Context()), "gets a supervisor again")
	killSupervisor(t, s.SupervisorPID(), s.Folder())
	require.NoError(t, s.Stop())
	require.NoDirExists(t, s.Folder())
}

// A process that dies while a server is down holds no postgres, but a folder.
func TestFolderOfCrashedServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	require.NoError(t, s.Crash())
	startServer(t, pgserver.Config{})
	require.DirExists(t, s.Folder(), "it is still in use")
	require.NoError(t, s.Restart(t.Context()))
}

func TestOtherFoldersAreLeftAlone(t *testing.T) {
	t.Parallel()
	temp := openFolder(t)
	link := filepath.Join(temp, "strongroom-pg-link")
	require.NoError(t, os.Symlink(openFolder(t), link))
	file := filepath.Join(temp, "strongroom-pg-file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	others := filepath.Join(temp, "other-folder")
	require.NoError(t, os.Mkdir(others, 0o700))
	stale := filepath.Join(temp, "strongroom-pg-1")
	require.NoError(t, os.MkdirAll(filepath.Join(stale, "data"), 0o700))
	// The id belongs to a process, but to none that serves this folder.
	require.NoError(t, os.WriteFile(filepath.Join(stale, "data", "postmaster.pid"), []byte("1\n"), 0o600))

	require.NoError(t, child(t, "stop", false, "TMPDIR="+temp).Run())
	require.NoDirExists(t, stale)
	require.DirExists(t, others)
	require.FileExists(t, file)
	_, err := os.Lstat(link)
	require.NoError(t, err)
}

func TestTempFolder(t *testing.T) {
	t.Parallel()
	t.Run("with a long path", func(t *testing.T) {
		t.Parallel()
		long := filepath.Join(openFolder(t), strings.Repeat("long/", 20))
		require.NoError(t, os.MkdirAll(long, 0o755))
		require.NoError(t, os.Chmod(long, 0o777|os.ModeSticky))
		requireServesBeside(t, long)
	})
	t.Run("with a comma, which separates hosts in a URL", func(t *testing.T) {
		t.Parallel()
		comma := filepath.Join(openFolder(t), "a,b")
		require.NoError(t, os.Mkdir(comma, 0o755))
		require.NoError(t, os.Chmod(comma, 0o777|os.ModeSticky))
		requireServesBeside(t, comma)
	})
	t.Run("that does not exist", func(t *testing.T) {
		t.Parallel()
		requireServesBeside(t, filepath.Join(openFolder(t), "missing"))
	})
	t.Run("closed to the server's user", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("as an ordinary user, servers run as ourselves")
		}
		closed := openFolder(t)
		require.NoError(t, os.Chmod(closed, 0o700))
		requireServesBeside(t, closed)
	})
	t.Run("with an odd name", func(t *testing.T) {
		t.Parallel()
		odd := filepath.Join(openFolder(t), `a b"c'[d%2F+`)
		require.NoError(t, os.Mkdir(odd, 0o755))
		require.NoError(t, os.Chmod(odd, 0o777|os.ModeSticky))
		r := startChild(t, false, "TMPDIR="+odd)
		require.True(t, strings.HasPrefix(r.Folder, odd))
		require.Empty(t, requireQuery(t, r.URL, "SELECT ''"))
		r.kill(t)
		r.requireNothingLeft(t)
	})
}

// requireServesBeside says that a child with this TMPDIR finds another place.
func requireServesBeside(t *testing.T, temp string) {
	t.Helper()
	r := startChild(t, false, "TMPDIR="+temp)
	require.False(t, strings.HasPrefix(r.Folder, temp), r.Folder)
	require.Empty(t, requireQuery(t, r.URL, "SELECT ''"))
	r.kill(t)
	r.requireNothingLeft(t)
}

func killSupervisor(t *testing.T, pid int, folder string) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return !strings.Contains(pgserver.CommandLine(pid), folder) },
		patience, 10*time.Millisecond)
}
