package pgtest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
)

// lenient is a test whose errors are kept, not reported, and whose clean-ups run
// when asked.
type lenient struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (l *lenient) Errorf(format string, _ ...any) { l.errors = append(l.errors, format) }

func (l *lenient) Cleanup(f func()) { l.cleanups = append(l.cleanups, f) }

func TestPoolOfTestThatLeavesTransactionOpen(t *testing.T) {
	t.Parallel()
	inner := &lenient{TB: t}
	pool := pgtest.Pool(inner)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "CREATE TABLE locked (id int)")
	require.NoError(t, err)

	for i := len(inner.cleanups) - 1; i >= 0; i-- {
		inner.cleanups[i]()
	}
	require.Len(t, inner.errors, 1, "and the schema was dropped all the same")
	require.True(t, strings.Contains(inner.errors[0], "not given back"), inner.errors[0])
}
