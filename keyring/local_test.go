package keyring_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/strongroom/strongroom/keyring"
)

func open(t *testing.T, path string) (keyring.KEK, error) {
	t.Helper()
	return keyring.OpenKEK(t.Context(), "local-keyset://"+path, nil)
}

func TestLocalKEKSurvivesItsProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek.json")
	made, err := keyring.CreateLocalKEK(path)
	require.NoError(t, err)
	require.Equal(t, "local-keyset://"+path, made.URI())

	wrapped, err := made.Wrap(t.Context(), []byte("keyset"), []byte("ad"))
	require.NoError(t, err)
	opened, err := open(t, path)
	require.NoError(t, err)
	require.Equal(t, made.URI(), opened.URI())
	back, err := opened.Unwrap(t.Context(), wrapped, []byte("ad"))
	require.NoError(t, err)
	require.Equal(t, "keyset", string(back))
	_, err = opened.Unwrap(t.Context(), wrapped, []byte("other"))
	require.Error(t, err)
}

func TestLocalKEKFileIsPrivateAndAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "kek.json")
	_, err := keyring.CreateLocalKEK(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, files, 1, "no temporary file stays")
}

func TestLocalKEKIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek.json")
	const racers = 8
	var wins, exists int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range racers {
		all.Go(func() {
			_, err := keyring.CreateLocalKEK(path)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins++
			} else if os.IsExist(err) || bytes.Contains([]byte(err.Error()), []byte("exists")) {
				exists++
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, wins)
	require.Equal(t, racers-1, exists)
	_, err := keyring.CreateLocalKEK(path)
	require.ErrorIs(t, err, fs.ErrExist)
}

func TestLocalKEKRefusesFilesThatOthersCanReach(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o610, 0o644, 0o666} {
		path := filepath.Join(t.TempDir(), "kek.json")
		_, err := keyring.CreateLocalKEK(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, mode))
		_, err = open(t, path)
		require.ErrorIs(t, err, keyring.ErrKEKUnavailable, "mode %o", mode)
		require.ErrorContains(t, err, "chmod 600")
	}
}

func TestLocalKEKRefusesWhatIsNoKeyset(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, err := open(t, filepath.Join(folder, "absent.json"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, err, keyring.ErrKEKUnavailable)

	_, err = open(t, folder)
	require.ErrorContains(t, err, "regular file")

	pipe := filepath.Join(folder, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = open(t, pipe)
	require.ErrorContains(t, err, "regular file", "and it does not wait for a writer")

	half := filepath.Join(folder, "half.json")
	canary := "canary" + "material"
	require.NoError(t, os.WriteFile(half, []byte(`{"primaryKeyId":1,"key":[{"`+canary), 0o600))
	_, err = open(t, half)
	require.ErrorContains(t, err, "not a Tink keyset")
	require.NotContains(t, err.Error(), canary)

	large := filepath.Join(folder, "large.json")
	require.NoError(t, os.WriteFile(large, make([]byte, 2<<20), 0o600))
	_, err = open(t, large)
	require.ErrorContains(t, err, "larger")

	wrongKind := filepath.Join(folder, "mac.json")
	handle, err := keyset.NewHandle(mac.HMACSHA256Tag128KeyTemplate())
	require.NoError(t, err)
	writeTink(t, wrongKind, handle)
	_, err = open(t, wrongKind)
	require.ErrorContains(t, err, "cannot be used for AEAD")
}

func TestLocalKEKTakesFilesOfTinksOwnTools(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek.json")
	handle, err := keyset.NewHandle(aead.ChaCha20Poly1305KeyTemplate())
	require.NoError(t, err)
	writeTink(t, path, handle)
	kek, err := open(t, path)
	require.NoError(t, err)
	wrapped, err := kek.Wrap(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	_, err = kek.Unwrap(t.Context(), wrapped, nil)
	require.NoError(t, err)
}

func writeTink(t *testing.T, path string, handle *keyset.Handle) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)))
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
}

func TestOpenKEKJudgesURIs(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"", "kek.json", "/etc/kek.json", "local-keyset://", "://x"} {
		_, err := keyring.OpenKEK(t.Context(), uri, nil)
		require.ErrorIs(t, err, keyring.ErrInvalid, uri)
	}
	_, err := keyring.OpenKEK(t.Context(), "gcp-kms://x", nil)
	require.ErrorIs(t, err, keyring.ErrInvalid)
	require.ErrorContains(t, err, "local-keyset")

	mine := keyring.EphemeralKEK()
	got, err := keyring.OpenKEK(t.Context(), "my-hsm://slot/1", map[string]keyring.Opener{
		"my-hsm": func(context.Context, string) (keyring.KEK, error) { return mine, nil },
	})
	require.NoError(t, err)
	require.Same(t, mine, got)
}

func TestLocalURIIsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	made, err := keyring.CreateLocalKEK("kek.json")
	require.NoError(t, err)
	opened, err := open(t, "./kek.json")
	require.NoError(t, err)
	require.Equal(t, made.URI(), opened.URI())
}

func TestEphemeralKEKsDiffer(t *testing.T) {
	t.Parallel()
	a, b := keyring.EphemeralKEK(), keyring.EphemeralKEK()
	require.NotEqual(t, a.URI(), b.URI())
	wrapped, err := a.Wrap(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	_, err = b.Unwrap(t.Context(), wrapped, nil)
	require.Error(t, err)
}
