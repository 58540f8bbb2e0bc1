package pgserver

// This file brings Postgres programs to a machine that has none, or not the
// wanted version. embedded-postgres does the download; nothing else of it is used.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const newestDownload = 18

const (
	partialPrefix = "partial-"
	logPrefix     = "embedded_postgres_log" // of the library's own log files
)

var downloads = map[int]embeddedpostgres.PostgresVersion{
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// download returns the folder of programs of a major version, from the cache or
// else downloaded into it. When ctx ends first, the download goes on, for the next
// one who asks.
func download(ctx context.Context, version int) (bin string, err error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "postgres-"+string(downloads[version]))
	done := make(chan error, 1)
	go func() { done <- downloadOnce(ctx, cache, target, downloads[version]) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("download Postgres %d: %w", version, err)
	}
	return filepath.Join(target, "bin"), nil
}

// downloadOnce makes target under a lock on the cache. Target appears whole or not
// at all: it is renamed from a partial one.
func downloadOnce(ctx context.Context, cache, target string, version embeddedpostgres.PostgresVersion) error {
	if exists(target) {
		return nil
	}
	lock, err := awaitLock(ctx, cache)
	if err != nil {
		return err
	}
	defer lock.Close()
	if exists(target) {
		return nil
	}
	if err := removePartial(cache); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(cache, partialPrefix+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	programs := filepath.Join(partial, "programs")
	if err := fetch(version, partial, programs); err != nil {
		return err
	}
	if err := openToAll(programs); err != nil {
		return err
	}
	return os.Rename(programs, target)
}

// fetch downloads and unpacks the programs. The library does so only on its way to
// starting a server, which it cannot do as root. So its data folder is given as one
// that cannot be, and Start fails after unpacking and before initdb.
func fetch(version embeddedpostgres.PostgresVersion, cache, programs string) error {
	defer removeNewLogs(withPrefix(os.TempDir(), logPrefix))
	err := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(version).
		CachePath(cache).
		BinariesPath(programs).
		RuntimePath(filepath.Join(cache, "runtime")).
		DataPath(os.DevNull + "/data").
		Port(0). // any, for its check that the port is free
		Logger(io.Discard)).Start()
	if exists(filepath.Join(programs, "bin", "postgres")) && exists(filepath.Join(programs, "bin", "initdb")) {
		return nil
	}
	if err == nil {
		err = errors.New("the archive holds no postgres and initdb")
	}
	return err
}

// removeNewLogs removes the empty log file that the library leaves in the folder
// for temporary files. before lists those that were there already.
func removeNewLogs(before []string) {
	for _, path := range withPrefix(os.TempDir(), logPrefix) {
		if info, err := os.Stat(path); err == nil && info.Size() == 0 && !slices.Contains(before, path) {
			_ = os.Remove(path)
		}
	}
}

// cacheFolder is where downloaded programs are kept. The home of root is closed to
// the server's user, so root has another place.
func cacheFolder() (string, error) {
	var problems []error
	for _, folder := range cacheFolders() {
		err := os.MkdirAll(folder, 0o755) //nolint:gosec // the server's user reads it
		if err == nil {
			err = checkCache(folder)
		}
		if err == nil {
			return folder, nil
		}
		problems = append(problems, err)
	}
	return "", fmt.Errorf("make a cache folder for Postgres programs: %w", errors.Join(problems...))
}

func cacheFolders() []string {
	if os.Geteuid() == 0 {
		return []string{"/var/cache/strongroom"}
	}
	var folders []string
	if cache, err := os.UserCacheDir(); err == nil {
		folders = append(folders, filepath.Join(cache, "strongroom"))
	}
	for _, base := range bases() { // for a user without a home, such as nobody
		folders = append(folders, filepath.Join(base, fmt.Sprintf("strongroom-cache-%d", os.Geteuid())))
	}
	return folders
}

// checkCache refuses a folder that another user may write to, since we run what is
// in it, and opens root's to the server's user.
func checkCache(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() || !owned(info) || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s must be a folder of ours that nobody else may write to", folder)
	}
	if os.Geteuid() == 0 {
		return os.Chmod(folder, 0o755) //nolint:gosec // the server's user reads it, whatever our umask is
	}
	return nil
}

// awaitLock waits until no other process works in the cache.
func awaitLock(ctx context.Context, cache string) (*os.File, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := tryLock(cache)
		if !errors.Is(err, errNotOurs) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// removePartial removes what killed processes left. The caller holds the lock.
func removePartial(cache string) error {
	var problems []error
	for _, path := range withPrefix(cache, partialPrefix) {
		problems = append(problems, os.RemoveAll(path))
	}
	return errors.Join(problems...)
}

// openToAll lets every user read and run the programs, whatever our umask is.
func openToAll(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		mode |= mode&0o500>>3 | mode&0o500>>6
		return root.Chmod(path, mode)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
