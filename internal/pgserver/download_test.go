//go:build unix

package pgserver_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Two processes that find the cache empty download at once; neither disturbs the
// other, and the next one takes what they left.
func TestDownload(t *testing.T) {
	t.Parallel()
	version := os.Getenv("STRONGROOM_TEST_POSTGRES_VERSION")
	if version == "" {
		t.Skip("downloads Postgres: run it with STRONGROOM_TEST_POSTGRES_VERSION set to a major version from 14 to 18")
	}
	eachUser(t, func(t *testing.T, asNobody bool) {
		cache := openFolder(t)
		var both errgroup.Group
		for range 2 {
			cmd := child(t, "stop", asNobody, "XDG_CACHE_HOME="+cache)
			var out bytes.Buffer
			cmd.Stdout = &out
			both.Go(func() error {
				if err := cmd.Run(); err != nil {
					return err
				}
				var r report
				if err := json.Unmarshal(out.Bytes(), &r); err != nil {
					return err
				}
				require.Equal(t, version, strconv.Itoa(r.Version))
				require.FileExists(t, filepath.Join(r.Bin, "initdb"))
				require.Contains(t, r.Bin, "strongroom")
				return nil
			})
		}
		require.NoError(t, both.Wait())
		left, err := filepath.Glob(filepath.Join(cache, "strongroom", "partial-*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})
}
