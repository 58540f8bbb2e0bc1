package vault_test

// The edges: values that cannot be stored, a caller's nil, what a role needs, how
// many round trips a read takes, a database that is gone.

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

func TestExpiryYears(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	writes := map[string]func(at time.Time) error{
		"create": func(at time.Time) error {
			n := aSlack(i.WorkspaceID)
			n.SlackTeamID, n.Credentials.ExpiresAt = "T0002", at
			_, err := v.Create(t.Context(), n)
			return err
		},
		"install": func(at time.Time) error {
			n := aSlack(i.WorkspaceID)
			n.Credentials.ExpiresAt = at
			_, _, err := v.Install(t.Context(), n)
			return err
		},
		"replace": func(at time.Time) error {
			return v.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access"), ExpiresAt: at})
		},
		"expiry alone": func(at time.Time) error {
			return v.SetCredentials(t.Context(), i.Ref, vault.Credentials{ExpiresAt: at})
		},
	}
	date := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	}
	for name, write := range writes {
		for _, at := range []time.Time{date(1970, 1, 1), date(2038, 1, 20), date(9999, 12, 31)} {
			require.NoError(t, write(at), name)
			if name != "create" {
				got, err := v.Get(t.Context(), i.Ref)
				require.NoError(t, err)
				require.Equal(t, at, got.TokenExpiresAt, name)
				_, err = json.Marshal(got)
				require.NoError(t, err)
			}
		}
		for _, at := range []time.Time{
			date(1969, 12, 31), date(1, 1, 2), date(-5000, 1, 1), date(10000, 1, 1), date(294277, 1, 9), date(300000, 1, 1),
			time.Date(9999, 12, 31, 20, 0, 0, 0, time.FixedZone("west", -12*3600)), time.Date(1970, 1, 1, 0, 0, 0, 0, time.FixedZone("east", 12*3600)),
			time.Unix(1<<60, 0), time.Unix(-(1 << 60), 0), time.Unix(1<<62, 0), time.Unix(math.MaxInt64, 0), time.Unix(18446744073710, 0),
		} {
			require.ErrorIs(t, write(at), vault.ErrInvalid, "%s: year %d", name, at.Year())
		}
	}
}

// A cursor is the caller's to keep and a client's to forge. One that no List gave
// is refused, or starts elsewhere in the same workspace; it leads to no other.
func TestForgedCursors(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	w := v.Workspace()
	mine := create(t, v, aSlack(w))
	create(t, v, aSlack(v.Workspace())) // somebody else's
	forge := func(text string) vault.Filter {
		return vault.Filter{After: base64.RawURLEncoding.EncodeToString([]byte(text))}
	}
	at := func(micros int64) string { return strconv.FormatInt(micros, 10) }
	for _, text := range []string{
		"x", "0", " ", "0 ", " x", "x x", "1e3 x", "0x1 x", "9223372036854775808 x", "0 \x00", "0 \xff", "0 " + strings.Repeat("x", 256),
		at(math.MinInt64) + " x", at(math.MaxInt64) + " x", at(1<<62) + " x", at(-(1 << 62)) + " x",
		at(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()) + " x", at(time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()) + " x",
	} {
		_, _, err := v.List(t.Context(), w, forge(text))
		require.ErrorIs(t, err, vault.ErrInvalid, "%q", text)
	}
	for _, after := range []string{"%", "MCB4=", "\x00"} {
		_, _, err := v.List(t.Context(), w, vault.Filter{After: after})
		require.ErrorIs(t, err, vault.ErrInvalid, "%q", after)
	}
	for text, want := range map[string]int{
		"-1 x": 1, "0 x": 1, at(time.Time{}.UnixMicro()) + " x": 1,
		at(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro()) + " x": 0,
		at(mine.CreatedAt.UnixMicro()) + " " + mine.ID:                       0,
		at(mine.CreatedAt.UnixMicro()) + " !":                                1,
	} {
		page, _, err := v.List(t.Context(), w, forge(text))
		require.NoError(t, err, text)
		require.Len(t, page, want, text)
	}
}

// JSON's numbers have no bound, Postgres's have.
func TestConfigNumbersThatPostgresCannotHold(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	for _, number := range []string{"1e999999", "-1e999999", "1e-999999", "1e131073"} {
		var config vault.IntegrationConfig
		require.NoError(t, json.Unmarshal([]byte(`{"theirs":`+number+`}`), &config))
		n := aSlack(i.WorkspaceID)
		n.Config = config
		_, err := v.Create(t.Context(), n)
		require.ErrorIs(t, err, vault.ErrInvalid, number)
		require.NotContains(t, err.Error(), number)
		_, err = v.Update(t.Context(), i.Ref, vault.Patch{Config: func(vault.IntegrationConfig) (vault.IntegrationConfig, error) { return config, nil }})
		require.ErrorIs(t, err, vault.ErrInvalid, number)
	}
	got, err := v.Get(t.Context(), i.Ref)
	require.NoError(t, err)
	require.Equal(t, i, got)
}

// Times of other languages hold no infinity, so one such row would sink a listing.
func TestPostgresRefusesInfinity(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	for _, column := range []string{"token_expires_at", "last_used_at", "created_at", "updated_at"} {
		for _, at := range []string{"infinity", "-infinity"} {
			_, err := v.Pool().Exec(t.Context(), `UPDATE integrations SET `+column+` = $2 WHERE id = $1`, i.ID, at)
			var pg *pgconn.PgError
			require.ErrorAs(t, err, &pg, "%s %s", column, at)
			require.Equal(t, "integrations_times_finite", pg.ConstraintName)
		}
	}
}

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	for name, c := range map[string]struct {
		pool   *pgxpool.Pool
		kek    keyring.KEK
		config *vault.Config
	}{
		"pool":        {nil, v.KEK(), nil},
		"KEK":         {v.Pool(), nil, nil},
		"both":        {nil, nil, nil},
		"standby KEK": {v.Pool(), v.KEK(), &vault.Config{StandbyKEKs: []keyring.KEK{nil}}},
	} {
		_, err := vault.Open(t.Context(), c.pool, c.kek, c.config)
		require.ErrorIs(t, err, vault.ErrInvalid, name)
		_, err = vault.Init(t.Context(), c.pool, c.kek, c.config)
		require.ErrorIs(t, err, vault.ErrInvalid, name)
	}
}

// grants is all that a service's role needs. On workspaces and users it needs
// nothing: Postgres checks foreign keys as the owner of the tables.
var grants = []string{
	"USAGE ON SCHEMA %s",
	"SELECT ON vault_keysets", "SELECT ON vault_keyset_wraps", "SELECT ON vault_keys",
	"SELECT ON integrations", "INSERT ON integrations", "UPDATE ON integrations", "DELETE ON integrations",
	"SELECT ON integration_installs", "INSERT ON integration_installs", "UPDATE (installed_at) ON integration_installs",
}

// insufficientPrivilege is the SQLSTATE of what a role may not do.
const insufficientPrivilege = "42501"

func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	role, execute := aRole(t, v)
	for _, grant := range grants {
		execute("GRANT " + grant + " TO " + role)
	}
	require.NoError(t, everyCall(t, v, role))
	for _, grant := range grants {
		execute("REVOKE " + grant + " FROM " + role)
		err := everyCall(t, v, role)
		require.True(t, refusedBy(err, insufficientPrivilege) || errors.Is(err, vault.ErrSchema), "without %s: %v", grant, err)
		execute("GRANT " + grant + " TO " + role)
	}
	require.NoError(t, everyCall(t, v, role), "none of them can be left out")

	pool := poolOf(t, v, asRole(role))
	for _, sql := range []string{
		"SELECT FROM workspaces", "SELECT FROM users", "SELECT FROM vault_key_events", "DELETE FROM integration_installs",
		"UPDATE vault_keysets SET updated_at = now()", "DELETE FROM vault_keyset_wraps", "UPDATE vault_keys SET drained_at = now()",
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.True(t, refusedBy(err, insufficientPrivilege), "%s: %v", sql, err)
	}
}

func refusedBy(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// aRole makes a role without rights, and gives a way to grant some. In a grant %s
// is the schema.
func aRole(t *testing.T, v *vaulttest.Vault) (role string, execute func(sql string)) {
	t.Helper()
	var schema string
	require.NoError(t, v.Pool().QueryRow(t.Context(), `SELECT current_schema()`).Scan(&schema))
	role = schema // nobody else's name, either
	_, err := v.Pool().Exec(t.Context(), "CREATE ROLE "+role)
	if refusedBy(err, insufficientPrivilege) {
		t.Skip("the role of STRONGROOM_TEST_DATABASE_URL lacks CREATEROLE, which this test needs")
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := v.Pool().Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	return role, func(sql string) {
		_, err := v.Pool().Exec(t.Context(), strings.ReplaceAll(sql, "%s", schema))
		require.NoError(t, err, sql)
	}
}

func asRole(role string) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = role }
}

// everyCall opens a vault as that role, makes every call, and gives the first
// error.
func everyCall(t *testing.T, v *vaulttest.Vault, role string) error {
	t.Helper()
	process, err := vault.Open(t.Context(), poolOf(t, v, asRole(role)), v.KEK(), quiet)
	if err != nil {
		return err
	}
	defer func() { require.NoError(t, process.Close(t.Context())) }()
	n := aSlack(v.Workspace())
	n.CreatedBy = v.User()
	i, _, err := process.Install(t.Context(), n)
	if err != nil {
		return err
	}
	v.Rotate() // some credentials are re-sealed
	name, to := "another", v.Workspace()
	for _, call := range []func() error{
		func() error { return process.Poll(t.Context()) },
		func() error { _, _, err := process.Install(t.Context(), n); return err },
		func() error { _, err := process.Create(t.Context(), aPylon(to)); return err },
		func() error {
			return process.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")})
		},
		func() error { _, err := process.Update(t.Context(), i.Ref, vault.Patch{Name: &name}); return err },
		func() error { return process.SetActive(t.Context(), i.Ref, true) },
		func() error { _, err := process.Credentials(t.Context(), i.Ref); return err },
		func() error { _, err := process.OpenBySlackTeam(t.Context(), n.SlackTeamID); return err },
		func() error { _, err := process.OpenByPylonAccount(t.Context(), "acct_1"); return err },
		func() error { _, _, err := process.List(t.Context(), i.WorkspaceID, vault.Filter{}); return err },
		func() error { _, _, err := process.Relations(t.Context(), i.Ref); return err },
		func() error { i, err = process.Move(t.Context(), i.Ref, to); return err },
		func() error { return process.Delete(t.Context(), i.Ref) },
	} {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

func TestReadsAreOneRoundTrip(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	p := create(t, v, aPylon(i.WorkspaceID))
	process, seen := spied(t, v)
	for name, read := range map[string]func() error{
		"get":              func() error { _, err := process.Get(t.Context(), i.Ref); return err },
		"list":             func() error { _, _, err := process.List(t.Context(), i.WorkspaceID, vault.Filter{}); return err },
		"credentials":      func() error { _, err := process.Credentials(t.Context(), i.Ref); return err },
		"by Slack team":    func() error { _, err := process.OpenBySlackTeam(t.Context(), i.SlackTeamID); return err },
		"by Pylon account": func() error { _, err := process.OpenByPylonAccount(t.Context(), p.PylonAccountID); return err },
	} {
		require.NoError(t, read(), name) // prepares the statement, once a connection
		seen.statements, seen.prepared = 0, 0
		require.NoError(t, read(), name)
		require.Equal(t, 1, seen.statements, name)
		require.Zero(t, seen.prepared, name)
	}
}

func TestHealthTellsOfADatabaseThatIsGone(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	pool, err := pgxpool.New(t.Context(), server.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	pgtest.HostTables(t, pool)
	v := vaulttest.In(t, pool)
	i := create(t, v, aSlack(v.Workspace()))
	require.NoError(t, v.Poll(t.Context()))
	before := v.Health()
	require.NoError(t, before.DatabaseErr)
	require.Zero(t, before.DatabaseSince)

	require.NoError(t, server.Crash())
	require.Error(t, v.Poll(t.Context()))
	gone := v.Health()
	require.Error(t, gone.DatabaseErr)
	require.False(t, gone.DatabaseSince.Before(before.PolledAt))
	require.Equal(t, before.PolledAt, gone.PolledAt)
	require.True(t, gone.Ready, "a probe that failed would turn a blip into an outage")
	_, err = v.Credentials(t.Context(), i.Ref)
	require.Error(t, err)
	for _, verdict := range []error{vault.ErrNotOpened, vault.ErrNotFound, vault.ErrUnknownKey} {
		require.NotErrorIs(t, err, verdict, "an outage says nothing about the credential")
	}

	require.NoError(t, server.Restart(t.Context()))
	waitFor(t, func(ctx context.Context) bool { return v.Poll(ctx) == nil }) // connections of before are met first
	back := v.Health()
	require.NoError(t, back.DatabaseErr)
	require.Zero(t, back.DatabaseSince)
	require.True(t, back.PolledAt.After(before.PolledAt))
	holds(t, v.Integrations, i.Ref, "signing", "access", "refresh")
}

// spy sees the statements of a pool.
type spy struct {
	statements, prepared int
	ended                func(pgconn.CommandTag)
}

func (s *spy) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.statements++
	return ctx
}

func (s *spy) TraceQueryEnd(_ context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	if s.ended != nil {
		s.ended(d.CommandTag)
	}
}

func (s *spy) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	s.prepared++
	return ctx
}

func (*spy) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {}

// spied opens the vault once more, on a pool of one connection that is spied on.
// It is not for concurrent use.
func spied(t *testing.T, v *vaulttest.Vault) (*vault.Vault, *spy) {
	t.Helper()
	s := &spy{}
	process := openOn(t, v, func(c *pgxpool.Config) {
		c.MaxConns, c.ConnConfig.Tracer = 1, s
		c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	})
	return process, s
}

// openOn opens the vault once more, on a changed copy of its pool.
func openOn(t *testing.T, v *vaulttest.Vault, change func(*pgxpool.Config)) *vault.Vault {
	t.Helper()
	process, err := vault.Open(t.Context(), poolOf(t, v, change), v.KEK(), quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, process.Close(context.Background())) })
	return process
}

// quiet neither polls nor logs.
var quiet = &vault.Config{PollEvery: -1, Logger: slog.New(slog.DiscardHandler)}

// poolOf makes a pool like the vault's, but for a change.
func poolOf(t *testing.T, v *vaulttest.Vault, change func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config := v.Pool().Config()
	change(config)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
