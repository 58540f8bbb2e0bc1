package pgserver

// This file finds the Postgres programs of the machine.

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	envBin     = "STRONGROOM_TEST_POSTGRES_BIN"
	envVersion = "STRONGROOM_TEST_POSTGRES_VERSION"
)

// oldestVersion is the oldest major version that the project supports.
const oldestVersion = 14

// installFolders is where packages and installers put Postgres on Linux, the
// BSDs and macOS. PATH and pg_config are asked too.
var installFolders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/local/pgsql/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// programs is a folder of Postgres programs and their major version.
type programs struct {
	bin     string
	version int
}

func byVersion(a, b programs) int { return cmp.Compare(a.version, b.version) }

// serverBin finds the programs that a server runs from: a downloaded version if
// one is asked for, else the machine's newest, else a downloaded one.
func serverBin(ctx context.Context, c Config) (bin string, version int, err error) {
	version, err = askedVersion(c)
	if err != nil {
		return "", 0, err
	}
	if version != 0 {
		bin, err = download(ctx, version)
		return bin, version, err
	}
	if bin := os.Getenv(envBin); bin != "" {
		return namedBin(ctx, bin)
	}
	if found := installed(ctx, oldestVersion, "postgres", "initdb"); len(found) > 0 {
		newest := slices.MaxFunc(found, byVersion)
		return newest.bin, newest.version, nil
	}
	bin, err = download(ctx, newestDownload)
	if err != nil {
		return "", 0, fmt.Errorf("no Postgres %d or newer is installed (install it, or name its folder of programs in %s): %w",
			oldestVersion, envBin, err)
	}
	return bin, newestDownload, nil
}

// namedBin is the folder that the environment names.
func namedBin(ctx context.Context, name string) (bin string, version int, err error) {
	bin, err = filepath.Abs(name)
	if err != nil {
		return "", 0, err
	}
	version = versionIn(ctx, bin, "postgres", "initdb")
	if version < oldestVersion {
		return "", 0, fmt.Errorf("%s=%s: no postgres and initdb of version %d or newer there", envBin, name, oldestVersion)
	}
	return bin, version, nil
}

// ClientBin is the machine's folder with a psql and a pg_dump for a server of that
// major version, or "" if there is none. pg_dump refuses servers that are newer
// than itself, and what a much newer one writes an old server may not read: of the
// fitting ones it is the oldest.
func ClientBin(ctx context.Context, version int) string {
	found := installed(ctx, version, "pg_dump", "psql")
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, byVersion).bin
}

// installed lists the folders of this machine that have all the named programs,
// from that major version on.
func installed(ctx context.Context, from int, names ...string) []programs {
	var found []programs
	for _, bin := range folders(ctx, names[0]) {
		if version := versionIn(ctx, bin, names...); version >= from {
			found = append(found, programs{bin, version})
		}
	}
	return found
}

// folders lists the folders that may have Postgres programs, each once.
func folders(ctx context.Context, program string) []string {
	var folders []string
	if bin := os.Getenv(envBin); bin != "" {
		folders = append(folders, bin)
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	for _, pattern := range installFolders {
		// The only error is a malformed pattern.
		matches, _ := filepath.Glob(pattern)
		folders = append(folders, matches...)
	}
	// A link in PATH may lead to the whole installation, or to a wrapper script.
	if path, err := exec.LookPath(program); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
		folders = append(folders, filepath.Dir(path))
	}
	return distinct(folders)
}

func distinct(folders []string) []string {
	var out []string
	for _, folder := range folders {
		if path, err := absolute(folder); err == nil && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out
}

func absolute(folder string) (string, error) {
	path, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// versionIn is the major version of the programs in a folder, or 0 when one of
// them is missing or the first does not run.
func versionIn(ctx context.Context, bin string, names ...string) int {
	for _, name := range names {
		if _, err := exec.LookPath(filepath.Join(bin, name)); err != nil {
			return 0
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(bin, names[0]), "--version").Output() //nolint:gosec // found in a folder of programs
	if err != nil {
		return 0
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return 0
	}
	version, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return 0
	}
	return version
}

// askedVersion is the major version that must be downloaded, or 0 when any will do.
func askedVersion(c Config) (int, error) {
	version, from := c.Version, "Config.Version"
	if text := os.Getenv(envVersion); version == 0 && text != "" {
		number, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("%s=%q: give a major version from %d to %d", envVersion, text, oldestVersion, newestDownload)
		}
		version, from = number, envVersion
	} else if version == 0 {
		return 0, nil
	}
	if _, ok := downloads[version]; !ok {
		return 0, fmt.Errorf("%s=%d: give a major version from %d to %d", from, version, oldestVersion, newestDownload)
	}
	return version, nil
}
