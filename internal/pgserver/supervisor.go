package pgserver

// This file starts the shell script that runs a server and outlives this process.

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

//go:embed supervisor.sh
var supervisorScript string

// endLimit ends the wait for processes that were told to end. Postgres itself
// kills its children after five seconds.
const endLimit = 30 * time.Second

// supervisor is a running script with its server.
type supervisor struct {
	script     *exec.Cmd
	leash      *os.File      // closing it ends the server and removes its folder
	serverGone chan struct{} // closed when no process of the server is left
	exited     chan struct{} // closed when the script has ended
}

// supervise starts the script. It writes to log only: were our own output its
// output too, "go test" would wait for it.
func supervise(f *folder, bin string, options []string, log *os.File) (*supervisor, error) {
	leashEnd, leash, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the supervisor's leash: %w", err)
	}
	defer leashEnd.Close()
	alive, aliveEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the supervisor's pipe: %w", err), leash.Close())
	}
	defer aliveEnd.Close()

	args := append([]string{"-c", supervisorScript, "strongroom-postgres", f.path, bin}, options...)
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec,noctx // our own script, which shall outlive any context
	cmd.Dir = "/"                           // the server's user may not enter ours
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{leashEnd, aliveEnd, f.lock} // 3, 4 and 5
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the supervisor: %w", err), leash.Close(), alive.Close())
	}
	s := &supervisor{script: cmd, leash: leash, serverGone: make(chan struct{}), exited: make(chan struct{})}
	go s.watchServer(alive)
	go s.watchScript()
	return s, nil
}

func (s *supervisor) watchServer(alive *os.File) {
	defer close(s.serverGone)
	defer alive.Close()
	_, _ = io.Copy(io.Discard, alive) // nothing is written; an error ends the pipe too
}

func (s *supervisor) watchScript() {
	defer close(s.exited)
	_ = s.script.Wait() // the folder tells how it went
}

// awaitServerGone waits for the end of a server that was told to end.
func (s *supervisor) awaitServerGone() error {
	select {
	case <-s.serverGone:
		return nil
	case <-time.After(endLimit):
		return fmt.Errorf("processes of the Postgres server still run %v after it was told to end", endLimit)
	}
}

// dismiss ends the script of a server that is gone, and keeps the folder.
func (s *supervisor) dismiss() {
	_, _ = s.leash.WriteString("\n") // fails when the script was killed: nobody is left to dismiss
	<-s.exited
	_ = s.leash.Close()
}

// release ends the server and waits for the script, which removes the folder.
func (s *supervisor) release() {
	_ = s.leash.Close()
	<-s.exited
}
