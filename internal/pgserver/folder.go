package pgserver

// This file makes a server's folder, and clears up folders that a killed process
// left behind.
//
// Who uses a folder holds a lock on it: the process and the supervisor share one
// open file, so that the lock is free once both are gone.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const folderPrefix = "strongroom-pg-"

// socketPathLimit is the length of a Unix socket's path that every system allows:
// macOS and the BSDs have 104 bytes for it, Linux 108, both with the final zero.
const socketPathLimit = 103

// errNotOurs means that the folder is in use, or gone, or another user's.
var errNotOurs = errors.New("the folder is not ours")

// folder is a server's folder, locked by this process.
type folder struct {
	path string
	lock *os.File
}

// newFolder makes a folder where a socket's path is short enough and the server's
// user has access.
func newFolder() (*folder, error) {
	var problems []error
	for _, base := range bases() {
		if err := checkBase(base); err != nil {
			problems = append(problems, err)
			continue
		}
		f, err := claim(base)
		if err == nil {
			return f, nil
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("make the server's folder: %w", errors.Join(problems...))
}

// bases are the folders for temporary files, without symbolic links.
func bases() []string {
	var bases []string
	for _, base := range []string{os.TempDir(), "/tmp"} {
		base, err := filepath.Abs(base)
		if err != nil {
			continue
		}
		base, err = filepath.EvalSymlinks(base)
		if err == nil && !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return bases
}

func checkBase(base string) error {
	longest := filepath.Join(base, folderPrefix+"4294967295", ".s.PGSQL.65535")
	if len(longest) > socketPathLimit {
		return fmt.Errorf("%s: too long a path for a Unix socket", base)
	}
	if strings.Contains(base, ",") {
		return fmt.Errorf("%s: a comma separates hosts in a database's URL", base)
	}
	if os.Geteuid() == 0 {
		return checkOpenToAll(base)
	}
	return nil
}

// checkOpenToAll says whether a user without rights may make and remove folders
// in base, as the supervisor does that root starts.
func checkOpenToAll(base string) error {
	need := os.FileMode(0o003)
	for dir := base; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&need != need {
			return fmt.Errorf("%s: the server's user, who is not root, has no access", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
		need = 0o001
	}
}

// claim makes a folder in base, locks it and gives it to the server's user. A
// sweep may take the folder before the lock is ours: then another is made.
func claim(base string) (*folder, error) {
	for {
		path, err := os.MkdirTemp(base, folderPrefix+"*")
		if err != nil {
			return nil, err
		}
		lock, err := tryLock(path)
		if errors.Is(err, errNotOurs) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
		f := &folder{path: path, lock: lock}
		if err := giveToServer(path); err != nil {
			return nil, errors.Join(err, f.remove())
		}
		return f, nil
	}
}

// remove ends a server that still runs in the folder, removes the folder and frees
// the lock. It is what the supervisor does, for when that was killed.
func (f *folder) remove() error {
	err := endServer(f.path)
	if err == nil {
		err = os.RemoveAll(f.path)
	}
	_ = f.lock.Close() // closed already when called again
	return err
}

// sweep removes folders that nobody uses, with the servers that still run there.
// It does what it can: a folder that stays is met again by the next sweep.
func sweep() {
	for _, base := range bases() {
		for _, path := range withPrefix(base, folderPrefix) {
			removeIfStale(path)
		}
	}
}

// withPrefix lists what is in a folder under names with a prefix. A folder that
// cannot be read has nothing.
func withPrefix(folder, prefix string) []string {
	entries, _ := os.ReadDir(folder)
	var paths []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			paths = append(paths, filepath.Join(folder, entry.Name()))
		}
	}
	return paths
}

func removeIfStale(path string) {
	lock, err := tryLock(path)
	if err != nil {
		return
	}
	_ = (&folder{path: path, lock: lock}).remove() // at best
}
