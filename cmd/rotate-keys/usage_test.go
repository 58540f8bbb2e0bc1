package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// No database is reached here: the URL's port is closed.
func closedURL() string { return "postgres://someone:" + canary() + "@127.0.0.1:1/somewhere" }

func TestWrongCalls(t *testing.T) {
	t.Parallel()
	closed := []string{"DATABASE_URL=" + closedURL()}
	with := func(variables ...string) []string { return append(variables, closed...) }
	withURL := func(url string) []string { return []string{"DATABASE_URL=" + url} }
	for name, c := range map[string]struct {
		variables []string
		args      string
		want      string
	}{
		"no subcommand":             {closed, "", "rotate-keys: a subcommand is needed"},
		"no subcommand of migrate":  {closed, "migrate", "rotate-keys: migrate: a subcommand is needed"},
		"unknown command":           {closed, "inti", `unknown command "inti"; did you mean init?`},
		"unknown subcommand":        {closed, "migrate upp", `unknown command "upp"; did you mean up?`},
		"a URL for a command":       {nil, closedURL(), "rotate-keys: unknown command\n"},
		"a URL for an argument":     {nil, "init " + closedURL(), "it takes no arguments"},
		"unknown flag":              {closed, "init --frce", `unknown flag "--frce"`},
		"a URL for a flag":          {nil, "init --" + closedURL(), "unknown flag\n"},
		"one dash":                  {nil, "init -database-url=" + closedURL(), "begins with two dashes"},
		"a URL for a duration":      {nil, "init --timeout " + closedURL(), "--timeout: the value is not of the right kind"},
		"a URL for a switch":        {nil, "init --json=" + closedURL(), "--json: the value is not of the right kind"},
		"malformed flag":            {nil, "init --=" + closedURL(), "a flag is malformed"},
		"flag without a value":      {closed, "init --kek", "--kek needs a value"},
		"no database":               {nil, "init --kek local-keyset://k", "give --database-url or DATABASE_URL"},
		"no database for migrate":   {nil, "migrate status", "give --database-url or DATABASE_URL"},
		"no KEK":                    {closed, "init", "no KEK: give --kek or STRONGROOM_KEK"},
		"KEK without a scheme":      {closed, "init --kek /etc/kek.json", "a KEK is named by a URI"},
		"KEK without a path":        {closed, "init --kek local-keyset://", "a KEK is named by a URI"},
		"unknown scheme":            {closed, "init --kek vault://key", `unknown KEK scheme "vault"; this program knows local-keyset`},
		"a URL for a KEK":           {closed, "init --kek " + closedURL(), `unknown KEK scheme "postgres"`},
		"a KEK twice":               {closed, "init --kek local-keyset://k --kek local-keyset://./k", "is given twice"},
		"negative timeout":          {closed, "init --timeout=-1s", "want a positive duration"},
		"timeout of zero":           {closed, "init --timeout=0", "want a positive duration"},
		"timeout by environment":    {with("STRONGROOM_TIMEOUT=" + canary()), "migrate up", "STRONGROOM_TIMEOUT: the value is not of the right kind"},
		"log format":                {closed, "init --log-format xml", "want text or json"},
		"log format by environment": {with("STRONGROOM_LOG_FORMAT=xml"), "migrate up", "want text or json"},
		"actor of two lines":        {with("STRONGROOM_ACTOR=a\nb"), "init", "--actor: want a name"},
		"long actor":                {closed, "init --actor " + strings.Repeat("a", 201), "--actor: want a name"},
		"down to where":             {closed, "migrate down --yes", "--to is needed"},
		"down below zero":           {closed, "migrate down --yes --to=-1", "--to is needed"},
		"not a URL":                 {withURL("host=h password=" + canary()), "migrate up", "does not parse: want postgres://"},
		"another scheme":            {withURL("mysql://u:" + canary() + "@h/d"), "migrate up", "does not parse"},
		"bad port":                  {withURL("postgres://u:" + canary() + "@h:port/d"), "migrate up", "does not parse"},
		"bad escape":                {withURL("postgres://u:%zz" + canary() + "@h/d"), "migrate up", "does not parse"},
		"slash in the password":     {withURL("postgres://u:12/" + canary() + "@127.0.0.1/d"), "migrate up", "does not parse"},
		"at sign in the password":   {withURL("postgres://u:x@" + canary() + "@127.0.0.1/d"), "migrate up", "does not parse"},
		"both in the password":      {withURL("postgres://u:1/x?a=" + canary() + "@127.0.0.1/d"), "migrate up", "does not parse"},
		"a certificate that is not": {withURL(closedURL() + "?sslmode=verify-full&sslrootcert=/absent.pem"), "migrate up", "open /absent.pem: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := command(t.Context(), t, c.variables, strings.Fields(c.args)...)
			r.ended(t, r.Run(), 2)
			require.Contains(t, r.stderr.String(), c.want)
			require.Contains(t, r.stderr.String(), "--help' for usage.\n")
			require.Empty(t, r.stdout.String())
		})
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	path, uri := kekFile(t)
	r := command(t.Context(), t, nil, "init", "--json", "--kek", uri, "--database-url", closedURL())
	r.ended(t, r.Run(), 1)
	require.Contains(t, r.stderr.String(), "rotate-keys: init: connect to the database: ")
	o := object(t, r.stdout.String())
	require.Equal(t, "failed", o["outcome"])
	require.NoFileExists(t, path)

	db := newDatabase(t)
	absent := strings.Replace(db.url, "?", "?dbname=absent&", 1)
	stdout, stderr := db.runs(t, 1, "migrate", "status", "--json", "--database-url", absent)
	require.Contains(t, stderr, "rotate-keys: migrate status: connect to the database: ")
	o = object(t, stdout)
	delete(o, "error")
	require.Equal(t, map[string]any{"command": "migrate status", "outcome": "failed", "needs": 2.0, "migrations": []any{}}, o)
}

// Behind pgbouncer no statement may be left prepared.
func TestNothingIsKeptInTheSession(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]pgx.QueryExecMode{
		"": pgx.QueryExecModeExec,
		"?default_query_exec_mode=cache_statement": pgx.QueryExecModeExec,
		"?default_query_exec_mode=simple_protocol": pgx.QueryExecModeSimpleProtocol,
	} {
		config, err := parseDatabaseURL(closedURL() + query)
		require.NoError(t, err)
		require.Equal(t, want, config.ConnConfig.DefaultQueryExecMode)
	}
}

// A flag wins over the environment; a relative path names the same file.
func TestFlagsAndEnvironment(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	path, uri := kekFile(t)
	r := command(t.Context(), t, []string{
		"DATABASE_URL=" + closedURL(), "STRONGROOM_KEK=vault://key", "STRONGROOM_ACTOR=from the environment",
		"STRONGROOM_TIMEOUT=5m", "STRONGROOM_LOG_FORMAT=",
	}, "init", "--database-url", "  "+db.url+"\n", "--kek", "local-keyset://kek.json")
	r.Dir = filepath.Dir(path)
	r.ended(t, r.Run(), 0)
	require.Contains(t, r.stdout.String(), "wrapped under "+uri)
	require.Equal(t, "from the environment", one[string](t, db, "SELECT actor FROM vault_key_events"))
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		"--help":                {"Exit status:", "0  done", "1  failed", "2  called wrongly", "3, 4  reserved", "DATABASE_URL", "STRONGROOM_KEK"},
		"init --help":           {"kekFilesMade", "Back it up"},
		"migrate up --help":     {"--create-host-tables", "migrations"},
		"migrate down --help":   {"--to VERSION", "--yes"},
		"migrate status --help": {"appliedAt"},
		"--version":             {"rotate-keys version ", " go1."},
	} {
		r := command(t.Context(), t, []string{"DATABASE_URL=" + closedURL()}, strings.Fields(args)...)
		r.ended(t, r.Run(), 0)
		for _, text := range want {
			require.Contains(t, r.stdout.String(), text, args)
		}
		require.Empty(t, r.stderr.String())
	}
}

func TestStdoutThatTakesNothing(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this machine has no /dev/full")
	}
	defer full.Close()
	db := migrated(t)
	r := db.command(t, "migrate", "status")
	r.Stdout = full
	r.ended(t, r.Run(), 1)
	require.Contains(t, r.stderr.String(), "no space left")
}
