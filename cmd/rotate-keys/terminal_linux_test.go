package main

// The question of migrate down, on a terminal.

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/migrations"
)

// openTerminal gives both ends of a pseudo-terminal: the person's and the program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this machine has no pseudo-terminals")
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func TestMigrateDownOnATerminal(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	answer := func(text string, status int) *run {
		person, program := openTerminal(t)
		r := db.command(t, "migrate", "down", "--to=0")
		r.Stdin = program
		_, err := person.WriteString(text)
		require.NoError(t, err)
		r.ended(t, r.Run(), status)
		require.Contains(t, r.stderr.String(), "This drops the tables of every migration newer than version 0 in database ")
		return r
	}
	for _, text := range []string{"\n", "y\n", "no\n"} {
		require.Contains(t, answer(text, 1).stderr.String(), "not confirmed: nothing was changed")
	}
	const endOfInput = "\x04"
	require.Contains(t, answer(endOfInput, 2).stderr.String(), "nobody answered")
	require.NoError(t, migrations.Check(t.Context(), db.Pool))
	require.Contains(t, answer("yes\n", 0).stdout.String(), "Done: schema at version 0.")
}

func TestASignalEndsTheQuestion(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	_, program := openTerminal(t)
	r := db.command(t, "migrate", "down", "--to=0")
	r.Stdin = program
	asked, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	r.Stderr = asked
	require.NoError(t, r.Start())
	require.Eventually(t, func() bool {
		info, err := asked.Stat()
		return err == nil && info.Size() > 0
	}, waitLimit, waitTick)
	require.NoError(t, r.Process.Signal(os.Interrupt))
	r.ended(t, r.Wait(), 1)
	require.NoError(t, migrations.Check(t.Context(), db.Pool))
}
