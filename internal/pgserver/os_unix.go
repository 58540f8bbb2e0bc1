//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

// This file holds what only Unix has: users, locks on folders, signals.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

const supported = true

// DropRoot makes cmd run as the servers' user when we are root, for programs that
// refuse root as Postgres does (pgbouncer, initdb), and gives them the files and
// folders at paths. Otherwise it does nothing.
func DropRoot(cmd *exec.Cmd, paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	uid, gid := serverUser()
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	for _, path := range paths {
		if err := os.Chown(path, int(uid), int(gid)); err != nil {
			return fmt.Errorf("give %s to the user of the Postgres server: %w", path, err)
		}
	}
	return nil
}

// serverUser is the user that servers run as.
func serverUser() (uid, gid uint32) {
	if os.Geteuid() != 0 {
		return uint32(os.Geteuid()), uint32(os.Getegid()) //nolint:gosec // ids are not negative here
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
			gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
			if uidErr == nil && gidErr == nil && uid != 0 {
				return uint32(uid), uint32(gid)
			}
		}
	}
	return 65534, 65534
}

// giveToServer gives a folder that root made to the server's user.
func giveToServer(path string) error {
	return DropRoot(&exec.Cmd{}, path)
}

// detach makes cmd run as the server's user and in a session of its own, so that
// Ctrl-C and a closed terminal reach only us.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	_ = DropRoot(cmd) // fails for paths only
}

// tryLock locks a folder of ours if nobody else has it. The lock lasts until every
// copy of the file is closed. The error is errNotOurs when it is in use, or gone,
// or of another user.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0) //nolint:gosec // its owner is checked next
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	if err := lockFile(file, path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func lockFile(file *os.File, path string) error {
	opened, err := file.Stat()
	if err != nil {
		return err
	}
	if !owned(opened) {
		return errNotOurs
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errNotOurs
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	// Between opening and locking, somebody may have removed it.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(opened, now) {
		return errNotOurs
	}
	return nil
}

// owned says whether a file belongs to us or to the servers that we start.
func owned(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	uid, _ := serverUser()
	return ok && (stat.Uid == uid || int(stat.Uid) == os.Geteuid())
}

// quit asks a postgres process for an immediate shutdown: its children end at
// once, and its shared memory is freed. SIGKILL would leave that behind.
func quit(pid int) {
	_ = syscall.Kill(pid, syscall.SIGQUIT) // fails when the process is gone
}
