package keyring_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

// lyingKEK wraps something else than it was given.
type lyingKEK struct{ keyring.KEK }

func (k lyingKEK) Wrap(ctx context.Context, keyset, ad []byte) ([]byte, error) {
	changed := bytes.Clone(keyset)
	changed[len(changed)-1] ^= 1
	return k.KEK.Wrap(ctx, changed, ad)
}

// brokenKEK gives a wrap that it cannot unwrap.
type brokenKEK struct{ keyring.KEK }

func (k brokenKEK) Wrap(context.Context, []byte, []byte) ([]byte, error) {
	return []byte("not a wrap"), nil
}

// A wrap that does not give back the keyset is never stored.
func TestWrapsAreVerifiedBeforeTheyAreStored(t *testing.T) {
	t.Parallel()
	for _, kek := range []keyring.KEK{lyingKEK{keyring.EphemeralKEK()}, brokenKEK{keyring.EphemeralKEK()}} {
		m := &memory{}
		_, err := keyring.Create(t.Context(), m, "default", keyring.AES256GCM, []keyring.KEK{newKEK(), kek}, "test")
		require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
		require.Empty(t, m.held.Name)
	}
}

func TestAWrapOpensForItsOwnVersionOnly(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	old := m.held.Wraps[kek.URI()]
	step(t, m, kek, keyring.Stage(keyring.AES256GCM))
	for name, change := range map[string]func(*keyring.Wrapped){
		"an old wrap as the new one": func(w *keyring.Wrapped) { w.Wraps[kek.URI()] = old },
		"another generation":         func(w *keyring.Wrapped) { w.Generation++ },
		"another revision":           func(w *keyring.Wrapped) { w.Revision = strings.Repeat("x", 21) },
		"another name":               func(w *keyring.Wrapped) { w.Name = "other" },
		"a flipped bit":              func(w *keyring.Wrapped) { w.Wraps[kek.URI()] = flip(w.Wraps[kek.URI()], 99) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memory{held: copyOf(m.held)}
			m.edit(change)
			_, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, quietConfig(nil))
			require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
		})
	}
}

func TestCreateMakesOneKeysetOnly(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	before := copyOf(m.held)
	_, err := keyring.Create(t.Context(), m, "default", keyring.AES256GCM, []keyring.KEK{kek}, "test")
	require.ErrorIs(t, err, keyring.ErrKeysetExists)
	require.Equal(t, before, m.held)
}

func TestChangesJudgeTheirInput(t *testing.T) {
	t.Parallel()
	m, kek := &memory{}, newKEK()
	for _, c := range []struct {
		name, actor string
		keks        []keyring.KEK
	}{{"", "test", []keyring.KEK{kek}}, {"default", "", []keyring.KEK{kek}}, {"default", "test", nil}, {"default", "test", []keyring.KEK{kek, kek}}} {
		_, err := keyring.Create(t.Context(), m, c.name, keyring.AES256GCM, c.keks, c.actor)
		require.ErrorIs(t, err, keyring.ErrInvalid)
	}
	_, err := keyring.Create(t.Context(), m, "default", "ROT13", []keyring.KEK{kek}, "test")
	require.ErrorIs(t, err, keyring.ErrInvalid)
}

func flip(b []byte, bit int) []byte {
	out := bytes.Clone(b)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}
