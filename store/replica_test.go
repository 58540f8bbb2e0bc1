package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgserver"
)

// makeReplica starts a server again as a standby that waits for a primary: it
// answers reads, in recovery.
func makeReplica(t *testing.T, server *pgserver.Server, pool *pgxpool.Pool) {
	t.Helper()
	var data string
	require.NoError(t, pool.QueryRow(t.Context(), `SHOW data_directory`).Scan(&data))
	require.NoError(t, server.Crash())
	require.NoError(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644))
	require.NoError(t, server.Restart(t.Context()))
	pool.Reset()
	require.Eventually(t, func() bool { return inRecovery(t.Context(), pool) }, time.Minute, 5*time.Millisecond)
}

func inRecovery(ctx context.Context, pool *pgxpool.Pool) (yes bool) {
	return pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&yes) == nil && yes
}
