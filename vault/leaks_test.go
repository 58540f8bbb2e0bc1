package vault_test

// No plaintext credential reaches the database, its log, its write-ahead log, a
// dump, our log, or pgx's.

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// record is a log that tests read.
type record struct {
	mu sync.Mutex
	bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

// talkative is a server that logs every statement with every parameter.
func talkative(t *testing.T) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Config{Settings: map[string]string{
		"log_statement": "all", "log_parameter_max_length": "-1", "log_parameter_max_length_on_error": "-1",
		"log_min_duration_statement": "0", "log_error_verbosity": "verbose",
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server
}

func TestNoPlaintextReachesDiskOrLogs(t *testing.T) {
	t.Parallel()
	server, logs := talkative(t), &record{}
	config, err := pgxpool.ParseConfig(server.URL("postgres"))
	require.NoError(t, err)
	config.ConnConfig.Tracer = &tracelog.TraceLog{
		LogLevel: tracelog.LogLevelTrace,
		Logger: tracelog.LoggerFunc(func(ctx context.Context, _ tracelog.LogLevel, msg string, data map[string]any) {
			slog.New(slog.NewTextHandler(logs, nil)).InfoContext(ctx, msg, "data", data)
		}),
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	pgtest.HostTables(t, pool)
	v := vaulttest.In(t, pool)
	chatty, err := vault.Open(t.Context(), pool, v.KEK(), &vault.Config{
		PollEvery: -1, Logger: slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, chatty.Close(t.Context())) }()

	mainPath(t, v)
	i := create(t, chatty, aSlack(v.Workspace()))
	_, err = chatty.Create(t.Context(), aSlack("absent")) // statements that fail are logged too
	require.ErrorIs(t, err, vault.ErrNotFound)
	_, err = pool.Exec(t.Context(), `ALTER TABLE integrations ADD CONSTRAINT none CHECK (false) NOT VALID`)
	require.NoError(t, err)
	err = chatty.SetCredentials(t.Context(), i.Ref, vault.Credentials{AccessToken: secret("access 2")})
	require.ErrorIs(t, err, vault.ErrInvalid)
	_, err = logs.WriteString(err.Error())
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `CHECKPOINT`)
	require.NoError(t, err)

	requireNoPlaintext(t, "our log and pgx's", logs.Bytes())
	require.Contains(t, logs.String(), "INSERT INTO integrations", "the trace is there")
	found := scan(t, folderOf(t, pool))
	require.True(t, found["Support Channel"], "the search does find what is stored in the clear")
	dump(t, server, pool)
}

// tokens are all credentials of the main path, each as text, hex and base64.
func tokens() map[string][]byte {
	out := map[string][]byte{}
	for _, text := range []string{"signing", "access", "refresh", "access 2", "access 3", "pylon"} {
		raw := []byte(token(text))
		out[text+" as text"] = raw
		out[text+" in hex"] = []byte(hex.EncodeToString(raw))
		out[text+" in base64"] = []byte(base64.RawStdEncoding.EncodeToString(raw))
	}
	return out
}

func requireNoPlaintext(t *testing.T, where string, content []byte) {
	t.Helper()
	for what, canary := range tokens() {
		if bytes.Contains(content, canary) {
			t.Errorf("%s holds %s", where, what) // never the content
		}
	}
}

// folderOf gives the server's folder: its data, its write-ahead log and its log.
func folderOf(t *testing.T, pool *pgxpool.Pool) (path string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SHOW data_directory`).Scan(&path))
	return filepath.Dir(path)
}

// scan reads every file below a folder, and tells which control words it met.
func scan(t *testing.T, folder string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // files come and go under a running server
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		requireNoPlaintext(t, path, content)
		if bytes.Contains(content, []byte("Support Channel")) {
			found["Support Channel"] = true
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

// dump looks into what pg_dump writes, if the machine has one that fits.
func dump(t *testing.T, server *pgserver.Server, pool *pgxpool.Pool) {
	t.Helper()
	bin := pgserver.ClientBin(t.Context(), server.Version())
	if bin == "" {
		t.Log("no pg_dump that fits the server: the dump is not looked into; the data files are")
		return
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), server.URL(pool.Config().ConnConfig.Database)).Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "COPY public.integrations")
	requireNoPlaintext(t, "the dump", out)
}
