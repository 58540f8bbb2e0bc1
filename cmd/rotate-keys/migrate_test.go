package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/migrations"
)

func TestMigrateUpAndDown(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	pgtest.HostTables(t, db.Pool)

	stdout, stderr := db.runs(t, 0, "migrate", "up")
	require.Equal(t, "applied 00001_keysets.sql\napplied 00002_integrations.sql\nDone: schema at version 2.\n", stdout)
	require.Empty(t, stderr)
	stdout, _ = db.runs(t, 0, "migrate", "up")
	require.Equal(t, "Nothing to do: schema at version 2.\n", stdout)

	stdout, _ = db.runs(t, 0, "migrate", "down", "--to", "1", "--yes")
	require.Equal(t, "took back 00002_integrations.sql\nDone: schema at version 1.\n", stdout)
	stdout, _ = db.runs(t, 0, "migrate", "down", "--to=0", "--yes")
	require.Equal(t, "took back 00001_keysets.sql\nDone: schema at version 0.\n", stdout)
	stdout, _ = db.runs(t, 0, "migrate", "down", "--to=0", "--yes")
	require.Equal(t, "Nothing to do: schema at version 0.\n", stdout)
	require.Equal(t, "users workspaces", one[string](t, db, `
		SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`), "the host's tables stay")
}

func TestMigrateJSON(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	first := map[string]any{"version": 1.0, "name": "00001_keysets.sql"}
	second := map[string]any{"version": 2.0, "name": "00002_integrations.sql"}

	stdout, _ := db.runs(t, 1, "migrate", "up", "--json")
	o := object(t, stdout)
	require.Contains(t, o["error"], "no table workspaces in search_path")
	delete(o, "error")
	require.Equal(t, map[string]any{"command": "migrate up", "outcome": "failed", "migrations": []any{}}, o)

	stdout, _ = db.runs(t, 0, "migrate", "up", "--json", "--create-host-tables")
	require.Equal(t, map[string]any{
		"command": "migrate up", "outcome": "changed", "version": 2.0, "migrations": []any{first, second},
	}, object(t, stdout))
	stdout, _ = db.runs(t, 0, "migrate", "up", "--json", "--create-host-tables")
	require.Equal(t, map[string]any{
		"command": "migrate up", "outcome": "unchanged", "version": 2.0, "migrations": []any{},
	}, object(t, stdout))

	db.exec(t, "CREATE TABLE mine (key_id bigint REFERENCES vault_keys)")
	stdout, stderr := db.runs(t, 1, "migrate", "down", "--json", "--to=0", "--yes")
	require.Contains(t, stderr, "rotate-keys: migrate down: 00001_keysets.sql: table vault_keys is not dropped: mine refers to it")
	o = object(t, stdout)
	require.Equal(t, []any{second}, o["migrations"], "what was taken back before it failed")
	require.Equal(t, "failed", o["outcome"])
}

func TestMigrateUpSaysWhatTheHostLacks(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	_, stderr := db.runs(t, 1, "migrate", "up")
	require.Contains(t, stderr, "rotate-keys: migrate up: 00001_keysets.sql: no table workspaces in search_path")
	require.Contains(t, stderr, "--create-host-tables")
}

func TestMigrateUpAtOnce(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	runs := make([]*run, 4)
	for i := range runs {
		runs[i] = db.command(t, "migrate", "up", "--create-host-tables")
		require.NoError(t, runs[i].Start())
	}
	applied := 0
	for _, r := range runs {
		r.ended(t, r.Wait(), 0)
		if r.stdout.String() != "Nothing to do: schema at version 2.\n" {
			applied++
		}
	}
	require.Equal(t, 1, applied)
}

func TestMigrateDownKeepsCredentials(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	db.exec(t, `INSERT INTO workspaces VALUES ('w')`)
	db.exec(t, `INSERT INTO integrations (id, workspace_id, platform, name) VALUES ('i', 'w', 'slack', 'Support')`)
	_, stderr := db.runs(t, 1, "migrate", "down", "--to=0", "--yes")
	require.Contains(t, stderr, "table integrations is not dropped: the credentials of 1 integration(s) would be lost. Back them up")
	require.Equal(t, int64(1), one[int64](t, db, "SELECT count(*) FROM integrations"))
}

func TestMigrateDownAsks(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	r := db.command(t, "migrate", "down", "--to=0")
	pipe, err := r.StdinPipe()
	require.NoError(t, err)
	_, err = pipe.Write([]byte("yes\n"))
	require.NoError(t, err)
	r.ended(t, r.Run(), 2)
	require.Contains(t, r.stderr.String(), "there is no terminal to ask on: confirm with --yes")

	_, stderr := db.runs(t, 2, "migrate", "down", "--to=0") // its stdin is the null device
	require.Contains(t, stderr, "confirm with --yes")
	require.NoError(t, migrations.Check(t.Context(), db.Pool))
}

func TestMigrateStatus(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	stdout, _ := db.runs(t, 0, "migrate", "status")
	require.Regexp(t, `^MIGRATION +STATE +APPLIED AT
00001_keysets.sql +pending +-
00002_integrations.sql +pending +-
Schema at version 0.
The database's schema does not fit .* run .?rotate-keys migrate up`, stdout)
	stdout, _ = db.runs(t, 0, "migrate", "status", "--json")
	o := object(t, stdout)
	require.Equal(t, false, o["fits"])
	require.Contains(t, o["problem"], "rotate-keys migrate up")

	before := time.Now().Add(-time.Minute)
	// A server's own time zone must not shift the times.
	elsewhere := strings.Replace(db.url, "-csearch_path", "-ctimezone%3DPacific%2FKiritimati%20-csearch_path", 1)
	require.NotEqual(t, db.url, elsewhere)
	db.runs(t, 0, "migrate", "up", "--create-host-tables", "--database-url", elsewhere)
	stdout, _ = db.runs(t, 0, "migrate", "status")
	require.Regexp(t, `00002_integrations.sql +applied +20..-.*Z
Schema at version 2.
This release can run on it.
$`, stdout)
	stdout, _ = db.runs(t, 0, "migrate", "status", "--json")
	o = object(t, stdout)
	delete(o, "migrations")
	require.Equal(t, map[string]any{
		"command": "migrate status", "outcome": "unchanged", "version": 2.0, "needs": 2.0, "fits": true,
	}, o)
	var status struct {
		Migrations []struct {
			Version     int
			Name, State string
			AppliedAt   time.Time
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &status))
	require.Len(t, status.Migrations, 2)
	for i, m := range status.Migrations {
		require.Equal(t, i+1, m.Version)
		require.Equal(t, "applied", m.State)
		require.WithinRange(t, m.AppliedAt, before, time.Now().Add(time.Minute))
	}
}

func TestMigrateKnowsTablesThatAnotherToolMade(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	pgtest.HostTables(t, db.Pool)
	sql, err := migrations.SQL()
	require.NoError(t, err)
	db.exec(t, sql)
	const want = "nother tool made the tables, no migration is recorded in " + migrations.Table
	stdout, _ := db.runs(t, 0, "migrate", "status")
	require.Contains(t, stdout, want)
	stdout, _ = db.runs(t, 0, "migrate", "down", "--to=0", "--yes")
	require.Contains(t, stdout, "Nothing to do: a"+want)
	_, uri := kekFile(t)
	db.runs(t, 0, "init", "--kek", uri)
}

func TestMigrateUpOnANewerReleasesSchema(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	db.exec(t, `CREATE OR REPLACE FUNCTION strongroom_schema(OUT version int, OUT supports int) LANGUAGE sql STABLE AS 'SELECT 99, 99'`)
	_, stderr := db.runs(t, 1, "migrate", "up")
	require.Contains(t, stderr, "upgrade the library")
}
