package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
)

func TestInitTwice(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	path, uri := kekFile(t)

	stdout, stderr := db.runs(t, 0, "init", "--kek", uri, "--actor", "alice@laptop")
	require.Equal(t, "Made the KEK file "+path+", for its owner only.\n"+
		"Back it up, apart from the database: without it every credential is lost.\n"+
		"Made the first keyset, wrapped under "+uri+".\n", stdout)
	require.Empty(t, stderr)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.Equal(t, "alice@laptop", one[string](t, db, "SELECT actor FROM vault_key_events"))
	file, err := os.ReadFile(path)
	require.NoError(t, err)

	stdout, stderr = db.runs(t, 0, "init", "--kek", uri)
	require.Equal(t, "Nothing to do: there is a keyset already, wrapped under "+uri+".\n", stdout)
	require.Empty(t, stderr)
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, file, again)
	requireOneKeyset(t, db)

	kek, err := keyring.OpenKEK(t.Context(), uri, nil)
	require.NoError(t, err)
	v, err := vault.Open(t.Context(), db.Pool, kek, &vault.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err, "a service opens what init made")
	require.NoError(t, v.Close(t.Context()))
}

func TestInitJSON(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	path, uri := kekFile(t)
	stdout, _ := db.runs(t, 0, "init", "--json", "--kek", uri)
	require.Equal(t, map[string]any{
		"command": "init", "outcome": "changed", "keks": []any{uri}, "kekFilesMade": []any{path},
	}, object(t, stdout))
	require.Regexp(t, `^.+@.+$`, one[string](t, db, "SELECT actor FROM vault_key_events"))

	stdout, _ = db.runs(t, 0, "init", "--json", "--kek", uri)
	require.Equal(t, map[string]any{"command": "init", "outcome": "unchanged", "keks": []any{uri}}, object(t, stdout))

	require.NoError(t, os.Remove(path))
	stdout, stderr := db.runs(t, 1, "--json", "init", "--kek", uri)
	o := object(t, stdout)
	require.Equal(t, "failed", o["outcome"])
	require.Contains(t, o["error"], "restore it from its backup")
	require.Equal(t, fmt.Sprintf("rotate-keys: init: %v\n", o["error"]), stderr)
}

func TestInitAtOnce(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	_, uri := kekFile(t)
	runs := atOnce(t, db, []string{uri, uri, uri, uri, uri, uri})
	made := 0
	for _, r := range runs {
		r.ended(t, nil, 0)
		made += strings.Count(r.stdout.String(), "Made the first keyset")
	}
	require.Equal(t, 1, made)
	requireOneKeyset(t, db)
}

// Processes with different KEKs: one wins, and the others learn that they lost.
func TestInitAtOnceUnderDifferentKEKs(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	var uris []string
	for range 4 {
		_, uri := kekFile(t)
		uris = append(uris, uri)
	}
	made := 0
	for _, r := range atOnce(t, db, uris) {
		if r.ProcessState.ExitCode() == 0 {
			made++
			require.Contains(t, r.stdout.String(), "Made the first keyset")
			continue
		}
		r.ended(t, nil, 1)
		if r.stdout.Len() == 0 {
			require.Contains(t, r.stderr.String(), "the database has a keyset already, but the KEK file")
		} else {
			require.Contains(t, r.stderr.String(), "is not the keyset's, which somebody else made meanwhile: remove it")
		}
	}
	require.Equal(t, 1, made)
	requireOneKeyset(t, db)
}

// Two machines make a KEK file each, under the same path. One makes the keyset; the
// other must learn that its own file opens nothing.
func TestInitAtOnceOnTwoMachines(t *testing.T) {
	t.Parallel()
	db, tx, pid := locked(t, "EXCLUSIVE") // which lets both see that there is no keyset
	path, uri := kekFile(t)
	first, second := db.command(t, "init", "--kek", uri), db.command(t, "init", "--kek", uri)
	require.NoError(t, first.Start())
	waitBlocked(t, db, pid, 1)
	require.NoError(t, os.Rename(path, path+".first"))
	require.NoError(t, second.Start())
	waitBlocked(t, db, pid, 2)
	require.NoError(t, tx.Commit(t.Context()))

	winner, loser := first, second
	if err := first.Wait(); err != nil {
		winner, loser = second, first
	}
	_ = second.Wait() // its status is looked at below
	winner.ended(t, nil, 0)
	loser.ended(t, nil, 1)
	require.Contains(t, loser.stderr.String(), "there is a keyset already, and a KEK does not open it")
	require.Contains(t, loser.stderr.String(), "made by this run, is not the keyset's, which somebody else made meanwhile: remove it")
	requireOneKeyset(t, db)
	if winner == first {
		require.NoError(t, os.Rename(path+".first", path))
	}
	db.runs(t, 0, "init", "--kek", uri)
}

func atOnce(t *testing.T, db database, uris []string) []*run {
	t.Helper()
	var wg sync.WaitGroup
	runs := make([]*run, len(uris))
	for i, uri := range uris {
		runs[i] = db.command(t, "init", "--kek", uri)
		wg.Go(func() { _ = runs[i].Run() })
	}
	wg.Wait()
	return runs
}

func TestInitWithStandbyKEKs(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	_, first := kekFile(t)
	_, second := kekFile(t)
	third, extra := kekFile(t)
	r := db.command(t, "init")
	r.Env = append(r.Env, "STRONGROOM_KEK="+first+",\n "+second)
	r.ended(t, r.Run(), 0)
	require.Contains(t, r.stdout.String(), "Made the first keyset, wrapped under "+first+" and "+second)
	require.Equal(t, int64(2), one[int64](t, db, "SELECT count(*) FROM vault_keyset_wraps WHERE kek_uri IN ($1, $2)", first, second))

	db.runs(t, 0, "init", "--kek", second, "--kek", first)
	_, err := keyring.CreateLocalKEK(third)
	require.NoError(t, err)
	_, stderr := db.runs(t, 1, "init", "--kek", first, "--kek", extra)
	require.Contains(t, stderr, "a KEK does not open it")
	require.Contains(t, stderr, "it is wrapped under")
	requireOneKeyset(t, db)
}

func TestInitBeforeTheMigrationsMakesNoFile(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	path, uri := kekFile(t)
	stdout, stderr := db.runs(t, 1, "init", "--kek", uri)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "rotate-keys: init: check the schema: ")
	require.Contains(t, stderr, "rotate-keys migrate up")
	require.NoFileExists(t, path)
}

func TestInitRefusesAKEKThatIsNotTheKeysets(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	path, uri := kekFile(t)
	other, otherURI := kekFile(t)
	db.runs(t, 0, "init", "--kek", uri)

	_, stderr := db.runs(t, 1, "init", "--kek", otherURI)
	require.Contains(t, stderr, "the KEK file "+other+" is missing: restore it from its backup")
	require.NoFileExists(t, other)

	_, err := keyring.CreateLocalKEK(other)
	require.NoError(t, err)
	_, stderr = db.runs(t, 1, "init", "--kek", otherURI)
	require.Contains(t, stderr, "there is a keyset already, wrapped under")
	require.Contains(t, stderr, uri)

	require.NoError(t, os.Rename(other, path))
	_, stderr = db.runs(t, 1, "init", "--kek", uri)
	require.Contains(t, stderr, "there is a keyset already, and a KEK does not open it")

	require.NoError(t, os.Remove(path))
	_, stderr = db.runs(t, 1, "init", "--kek", uri)
	require.Contains(t, stderr, "the KEK file "+path+" is missing")
	require.NoFileExists(t, path)
	requireOneKeyset(t, db)
}

func TestInitRefusesAFileThatIsNoPrivateKEK(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	path, uri := kekFile(t)
	_, err := keyring.CreateLocalKEK(path)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o640))
	_, stderr := db.runs(t, 1, "init", "--kek", uri)
	require.Contains(t, stderr, "has mode 0640: group or others can reach it")

	junk, junkURI := kekFile(t)
	require.NoError(t, os.WriteFile(junk, []byte(canary()), 0o600))
	_, stderr = db.runs(t, 1, "init", "--kek", junkURI)
	require.Contains(t, stderr, "not a Tink keyset")

	_, stderr = db.runs(t, 1, "init", "--kek", uri+"/kek.json")
	require.Contains(t, stderr, "not a directory")
	_, stderr = db.runs(t, 1, "init", "--kek", "local-keyset://"+t.TempDir()+"/absent/kek.json")
	require.Contains(t, stderr, "its folder is missing")
	require.Zero(t, one[int64](t, db, "SELECT count(*) FROM vault_keysets"))
}

func TestInitKeepsTheFileWhenTheDatabaseFails(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	path, uri := kekFile(t)
	db.exec(t, `
		CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'canary-row'; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON vault_keysets FOR EACH ROW EXECUTE FUNCTION fail()`)
	stdout, stderr := db.runs(t, 1, "init", "--kek", uri)
	require.Contains(t, stdout, "Made the KEK file "+path)
	require.NotContains(t, stdout, "keyset, wrapped")
	require.Contains(t, stderr, "P0001")
	require.NotContains(t, stderr, "canary-row", "a host's trigger may quote data")
	require.Contains(t, stderr, "the KEK file "+path+", made by this run, is kept: the next run uses it\n")
	file, err := os.ReadFile(path)
	require.NoError(t, err)

	db.exec(t, "DROP TRIGGER fail ON vault_keysets")
	stdout, _ = db.runs(t, 0, "init", "--kek", uri)
	require.Equal(t, "Made the first keyset, wrapped under "+uri+".\n", stdout)
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, file, again)
}

func TestInitLogsWhatTheLibraryWarnsOf(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	_, uri := kekFile(t)
	db.runs(t, 0, "init", "--kek", uri)
	db.exec(t, "UPDATE vault_keys SET template = 'XAES_256_GCM_192_BIT_NONCE'")
	stdout, stderr := db.runs(t, 0, "init", "--kek", uri, "--log-format", "json")
	require.Contains(t, stdout, "Nothing to do")
	require.Equal(t, "ERROR", object(t, stderr)["level"])
	_, stderr = db.runs(t, 0, "init", "--kek", uri)
	require.Contains(t, stderr, "level=ERROR")
}

func requireOneKeyset(t *testing.T, db database) {
	t.Helper()
	require.Equal(t, int64(1), one[int64](t, db, "SELECT count(*) FROM vault_keysets WHERE generation = 1"))
	require.Equal(t, int64(1), one[int64](t, db, "SELECT count(*) FROM vault_keys"))
	require.Equal(t, int64(1), one[int64](t, db, "SELECT count(*) FROM vault_key_events"))
}

func TestInitTakesATemplate(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	_, uri := kekFile(t)
	_, stderr := db.runs(t, 2, "init", "--kek", uri, "--template", "AES128_GCM")
	require.Contains(t, stderr, "XAES_256_GCM_192_BIT_NONCE")
	db.runs(t, 0, "init", "--kek", uri, "--template", "XAES_256_GCM_192_BIT_NONCE")
	require.Equal(t, "XAES_256_GCM_192_BIT_NONCE", one[string](t, db, `SELECT template FROM vault_keys`))
}
