package pgserver

// This file ends a server whose parent cannot do it: one that shall crash, or one
// whose supervisor was killed.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// endServer ends the server that runs in the folder, if one does, and waits for
// its main process.
func endServer(folder string) error {
	pid, err := serverPID(folder)
	if err != nil || pid == 0 {
		return err
	}
	deadline := time.Now().Add(endLimit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for isServer(pid, folder) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the Postgres server with process id %d still runs %v after it was told to end", pid, endLimit)
		}
		quit(pid)
		<-tick.C
	}
	return nil
}

// serverPID reads the process id of the folder's server: the first line of a file
// that postgres removes when it ends. Zero means that there is none.
func serverPID(folder string) (int, error) {
	text, err := os.ReadFile(filepath.Join(folder, "data", "postmaster.pid")) //nolint:gosec // a folder of ours
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the Postgres server's process: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line)) // zero when postgres has not written it yet
	return max(pid, 0), nil
}

// isServer says whether the process is the folder's server. Its id alone does not
// tell: the system uses ids again. A process that has ended but was not waited for
// has no command line any more, and is not a server.
func isServer(pid int, folder string) bool {
	return strings.Contains(commandLine(pid), filepath.Join(folder, "data"))
}

// commandLine is the command line of a process, or "" if there is none.
func commandLine(pid int) string {
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		return string(text)
	}
	text, err := exec.CommandContext(context.Background(), "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec // a number
	if err != nil {
		return ""
	}
	return string(text)
}
