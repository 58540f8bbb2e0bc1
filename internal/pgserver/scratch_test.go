//go:build unix

package pgserver_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
)

func sharedServer(t *testing.T) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Shared(t.Context())
	require.NoError(t, err)
	return s
}

func TestSharedIsOne(t *testing.T) {
	t.Parallel()
	first := sharedServer(t)
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			s, err := pgserver.Shared(t.Context())
			if err != nil || s != first {
				t.Errorf("Shared gave another server, or failed: %v", err)
			}
		})
	}
	wait.Wait()
}

func TestNewSchema(t *testing.T) {
	t.Parallel()
	base := sharedServer(t).URL("postgres")
	url, drop, err := pgserver.NewSchema(t.Context(), base, "Test/with_Ödd  letters, and very many of them")
	require.NoError(t, err)
	name := requireQuery(t, url, "SELECT current_schema()")
	require.Regexp(t, `^strongroom_test_with_dd_letters_and_very__[a-z0-9]{16}$`, name)
	require.Equal(t, name, requireQuery(t, url, "SHOW search_path"), "and nothing else")
	require.Equal(t, name, psql(t, url, "SHOW search_path"))

	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE filled AS SELECT 1 AS one")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, drop(t.Context()))
	require.NoError(t, drop(t.Context()), "a second time")
	require.Equal(t, "0", requireQuery(t, base, "SELECT count(*)::text FROM pg_namespace WHERE nspname = '"+name+"'"))
}

func TestNewSchemaKeepsOptions(t *testing.T) {
	t.Parallel()
	base := sharedServer(t).URL("postgres") + "&options=-c%20work_mem%3D7MB&search_path=public"
	url, drop, err := pgserver.NewSchema(t.Context(), base, "")
	require.NoError(t, err)
	require.Equal(t, "7MB", psql(t, url, "SHOW work_mem"))
	require.Equal(t, "7MB", requireQuery(t, url, "SHOW work_mem"))
	require.Regexp(t, `^strongroom_scratch_[a-z0-9]{16}$`, requireQuery(t, url, "SHOW search_path"))
	require.NoError(t, drop(t.Context()))
}

// psql runs the query as a program that uses libpq does.
func psql(t *testing.T, url, sql string) string {
	t.Helper()
	bin := pgserver.ClientBin(t.Context(), sharedServer(t).Version())
	if bin == "" {
		t.Log("no psql on this machine: asking pgx instead")
		return requireQuery(t, url, sql)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "psql"), "--no-psqlrc", "-Atc", sql, url).CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

func TestNewDatabase(t *testing.T) {
	t.Parallel()
	base := sharedServer(t).URL("postgres")
	url, drop, err := pgserver.NewDatabase(t.Context(), base, t.Name())
	require.NoError(t, err)
	name := requireQuery(t, url, "SELECT current_database()")
	require.Contains(t, name, "testnewdatabase")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, drop(t.Context()), "while somebody is connected")
	require.Error(t, conn.Ping(t.Context()))
	_, err = query(t.Context(), url, "SELECT ''")
	require.ErrorContains(t, err, "does not exist")
}

func TestErrorsNameNoPassword(t *testing.T) {
	t.Parallel()
	password := "pass" + "word-of-the-test"
	for _, url := range []string{
		"postgres://user:" + password + "@host:port/database",
		"postgres://user:" + password + "%zz@127.0.0.1/database",
		"host=127.0.0.1 user=user password=" + password,
		"mysql://user:" + password + "@127.0.0.1/database",
		"postgres://user:" + password + "@127.0.0.1:1/database?connect_timeout=5",
		"postgres://user:" + password + "@127.0.0.1:1/database?sslmode=nonsense",
	} {
		_, _, err := pgserver.NewSchema(t.Context(), url, "")
		require.Error(t, err)
		require.NotContains(t, err.Error(), password)
		_, _, err = pgserver.NewDatabase(t.Context(), url, "")
		require.Error(t, err)
		require.NotContains(t, err.Error(), password)
	}
}

var schemaOfScratch = regexp.MustCompile(`^postgres strongroom_a_program_s_schema_[a-z0-9]{16}\n$`)

func TestScratchStopsItsServer(t *testing.T) {
	t.Parallel()
	temp := openFolder(t)
	out, err := child(t, "scratch", false, "TMPDIR="+temp).Output()
	require.NoError(t, err)
	require.Regexp(t, schemaOfScratch, string(out))
	requireNoFolders(t, temp)
}

func TestScratchInNamedDatabase(t *testing.T) {
	t.Parallel()
	s := startServer(t, pgserver.Config{})
	// The child has no way to start a server of its own.
	out, err := child(t, "scratch", false, "STRONGROOM_TEST_DATABASE_URL="+s.URL("postgres"), "TMPDIR=/missing",
		"STRONGROOM_TEST_POSTGRES_VERSION=1").Output()
	require.NoError(t, err)
	require.Regexp(t, schemaOfScratch, string(out))
	require.Equal(t, "0", requireQuery(t, s.URL("postgres"), "SELECT count(*)::text FROM pg_namespace WHERE nspname LIKE 'strongroom%'"))
}

func TestClientBin(t *testing.T) {
	t.Parallel()
	bin := pgserver.ClientBin(t.Context(), 14)
	if bin != "" {
		require.FileExists(t, filepath.Join(bin, "pg_dump"))
	}
	require.Empty(t, pgserver.ClientBin(t.Context(), 1000))
}
