package keyring_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

// Every single-bit flip, every truncation and every other prefix is refused.
func TestTamperedValuesDoNotOpen(t *testing.T) {
	t.Parallel()
	for _, template := range []keyring.Template{keyring.AES256GCM, keyring.XAES256GCM} {
		m, kek := &memory{}, newKEK()
		_, err := keyring.Create(t.Context(), m, "default", template, []keyring.KEK{kek}, "test")
		require.NoError(t, err)
		ring := load(t, m, kek, nil)
		_, sealed, err := ring.Seal([]byte("a token to tamper with"), here)
		require.NoError(t, err)
		refused := func(what string, b []byte) {
			t.Helper()
			_, err := ring.Open(t.Context(), b, here)
			require.ErrorIs(t, err, keyring.ErrNotOpened, what)
		}
		for bit := range len(sealed) * 8 {
			refused("flipped bit", flip(sealed, bit))
		}
		for n := range sealed {
			refused("cut behind", sealed[:n])
			refused("cut in front", sealed[n+1:])
		}
		for prefix := range 256 {
			if prefix != 1 {
				refused("prefix", append([]byte{byte(prefix)}, sealed[1:]...))
			}
		}
		refused("grown behind", append(bytes.Clone(sealed), 0))
		refused("grown in front", append([]byte{1}, sealed...))
		refused("no prefix", sealed[5:])
	}
}

// FuzzOpen: whatever is opened is refused, unless it is a value that was sealed.
func FuzzOpen(f *testing.F) {
	m, kek := aVault(f)
	ring := load(f, m, kek, nil)
	_, sealed, err := ring.Seal([]byte("a token"), here)
	require.NoError(f, err)
	f.Add(sealed)
	f.Add([]byte{})
	f.Add(sealed[:33])
	f.Add(append([]byte{1}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := ring.Open(t.Context(), b, here)
		if !bytes.Equal(b, sealed) {
			require.ErrorIs(t, err, keyring.ErrNotOpened)
		}
	})
}
