package docs_test

// The programs of README.md, run as a reader would.

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/vault"
)

func TestProgramsOfReadmeRun(t *testing.T) {
	t.Parallel()
	programs := goPrograms(t)
	require.Len(t, programs, 3)

	database, kek := readersDatabase(t)
	out := runGo(t, "run", programs[0], "main.go", "DATABASE_URL="+database, "STRONGROOM_KEK="+kek)
	require.Contains(t, out, "printed: [redacted]\nrevealed: the token that Slack gave\n")

	sql, err := migrations.SQL()
	require.NoError(t, err)
	require.Equal(t, sql, runGo(t, "run", programs[1], "main.go"))

	require.Contains(t, runGo(t, "test", programs[2], "main_test.go"), "ok")
}

var goBlock = regexp.MustCompile("(?s)```go\n( *)(package .*?)```")

// goPrograms gives the whole Go files that README.md shows, without the indent
// that a list gives them.
func goPrograms(t *testing.T) (programs []string) {
	t.Helper()
	for _, block := range goBlock.FindAllSubmatch(read(t, "../README.md"), -1) {
		programs = append(programs, strings.ReplaceAll(string(block[2]), "\n"+string(block[1]), "\n"))
	}
	return programs
}

// readersDatabase does what README.md says to do before the first program.
func readersDatabase(t *testing.T) (databaseURL, kekURI string) {
	t.Helper()
	databaseURL = pgtest.URL(t)
	pool, err := pgxpool.New(t.Context(), databaseURL)
	require.NoError(t, err)
	defer pool.Close()
	pgtest.HostTables(t, pool)
	_, err = migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	kek, err := keyring.CreateLocalKEK(filepath.Join(t.TempDir(), "kek.json"))
	require.NoError(t, err)
	_, err = vault.Init(t.Context(), pool, kek, &vault.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO workspaces (id) VALUES ('ws_acme')`)
	require.NoError(t, err)
	return databaseURL, kek.URI()
}

// runGo runs or tests a file of Go code within this module.
func runGo(t *testing.T, verb, code, name string, environment ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
	command := exec.CommandContext(t.Context(), "go", verb, file)
	command.Dir = ".."
	command.Env = append(os.Environ(), environment...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, stderr.String()+string(out))
	return string(out)
}
