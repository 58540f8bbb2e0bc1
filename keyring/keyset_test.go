package keyring_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/strongroom/strongroom/keyring"
)

// material unwraps a stored keyset by hand.
func material(t *testing.T, m *memory, kek keyring.KEK) *tinkpb.Keyset {
	t.Helper()
	w, err := m.Load(t.Context(), keyring.DefaultKeyset)
	require.NoError(t, err)
	raw, err := kek.Unwrap(t.Context(), w.Wraps[kek.URI()], keysetAD(w.Name, w.Version))
	require.NoError(t, err)
	var ks tinkpb.Keyset
	require.NoError(t, proto.Unmarshal(raw, &ks))
	return &ks
}

// plant stores other keyset material under the present version.
func plant(t *testing.T, m *memory, kek keyring.KEK, ks *tinkpb.Keyset) {
	t.Helper()
	raw, err := proto.Marshal(ks)
	require.NoError(t, err)
	m.edit(func(w *keyring.Wrapped) {
		w.Wraps[kek.URI()], err = kek.Wrap(t.Context(), raw, keysetAD(w.Name, w.Version))
	})
	require.NoError(t, err)
}

func tinkKeyset(t *testing.T, template *tinkpb.KeyTemplate) *tinkpb.Keyset {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	require.NoError(t, err)
	return insecurecleartextkeyset.KeysetMaterial(handle)
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	first := m.held.Keys[0]
	require.Equal(t, keyring.Key{ID: first.ID, Status: keyring.Primary, Template: keyring.AES256GCM, Binding: 1}, first)

	step(t, m, kek, keyring.Stage(keyring.XAES256GCM))
	second := m.held.Keys[1]
	require.Equal(t, keyring.Primary, m.held.Keys[0].Status)
	require.Equal(t, keyring.Staged, second.Status)
	require.Equal(t, keyring.XAES256GCM, second.Template)

	step(t, m, kek, keyring.Promote())
	require.Equal(t, keyring.Retired, m.held.Keys[0].Status)
	require.Equal(t, keyring.Primary, m.held.Keys[1].Status)

	step(t, m, kek, keyring.Destroy(first.ID))
	require.Len(t, m.held.Keys, 1)
	require.Equal(t, second.ID, m.held.Keys[0].ID)
	require.Equal(t, int64(4), m.held.Generation)

	kinds := []keyring.EventKind{}
	for _, e := range m.events {
		kinds = append(kinds, e.Kind)
		require.Len(t, e.Fingerprint, 32)
		require.Equal(t, "test", e.Actor)
	}
	require.Equal(t, []keyring.EventKind{keyring.EventInit, keyring.EventStage, keyring.EventPromote, keyring.EventDestroy}, kinds)
}

func TestStepsThatAreNotPossibleChangeNothing(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	primary := m.held.Keys[0].ID
	refused := func(s keyring.Step, want error) {
		t.Helper()
		before := m.held.Version
		_, err := keyring.Apply(t.Context(), m, keyring.DefaultKeyset, []keyring.KEK{kek}, "test", s)
		require.ErrorIs(t, err, want)
		require.Equal(t, before, m.held.Version)
	}
	refused(keyring.Promote(), keyring.ErrConflict)
	refused(keyring.Destroy(primary), keyring.ErrConflict)
	refused(keyring.Destroy(primary+1), keyring.ErrUnknownKey)
	refused(keyring.Stage("AES128_GCM"), keyring.ErrInvalid)
	step(t, m, kek, keyring.Stage(keyring.AES256GCM))
	refused(keyring.Stage(keyring.AES256GCM), keyring.ErrConflict)
	refused(keyring.Destroy(m.held.Keys[1].ID), keyring.ErrConflict)
}

func TestApplyNeverDropsAKEKItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m, one, two := &memory{}, newKEK(), newKEK()
	_, err := keyring.Create(t.Context(), m, "default", keyring.AES256GCM, []keyring.KEK{one, two}, "test")
	require.NoError(t, err)
	for _, keks := range [][]keyring.KEK{{one}, {one, two, newKEK()}} {
		_, err = keyring.Apply(t.Context(), m, "default", keks, "test", keyring.Stage(keyring.AES256GCM))
		require.ErrorIs(t, err, keyring.ErrInvalid)
	}
	_, err = keyring.Apply(t.Context(), m, "default", []keyring.KEK{two, one}, "test", keyring.Stage(keyring.AES256GCM))
	require.NoError(t, err)
	require.Len(t, m.held.Wraps, 2)
}

// A keyset takes as many keys as fit into what AWS KMS wraps in one call, and then
// says what to do.
func TestAKeysetIsBounded(t *testing.T) {
	t.Parallel()
	for template, most := range map[keyring.Template]int{keyring.AES256GCM: 40, keyring.XAES256GCM: 38} {
		m, kek := &memory{}, newKEK()
		keks := []keyring.KEK{kek}
		_, err := keyring.Create(t.Context(), m, "default", template, keks, "test")
		require.NoError(t, err)
		for err == nil {
			if _, err = keyring.Apply(t.Context(), m, "default", keks, "test", keyring.Stage(template)); err == nil {
				step(t, m, kek, keyring.Promote())
			}
		}
		require.ErrorIs(t, err, keyring.ErrInvalid)
		require.ErrorContains(t, err, "destroy")
		require.InDelta(t, most, len(m.held.Keys), 1, "the ids' encoded lengths vary")
		require.LessOrEqual(t, len(m.held.Keys), keyring.MaxKeys)
		raw, err := proto.Marshal(material(t, m, kek))
		require.NoError(t, err)
		require.LessOrEqual(t, len(raw), 4096)
	}
}

func TestForeignKeysAreNotAcceptedIntoAKeyset(t *testing.T) {
	t.Parallel()
	good := func(t *testing.T) *tinkpb.Keyset { return tinkKeyset(t, aead.AES256GCMKeyTemplate()) }
	cases := map[string]func(t *testing.T) *tinkpb.Keyset{
		"AES-128":  func(t *testing.T) *tinkpb.Keyset { return tinkKeyset(t, aead.AES128GCMKeyTemplate()) },
		"ChaCha20": func(t *testing.T) *tinkpb.Keyset { return tinkKeyset(t, aead.ChaCha20Poly1305KeyTemplate()) },
		"RAW":      func(t *testing.T) *tinkpb.Keyset { return tinkKeyset(t, aead.AES256GCMNoPrefixKeyTemplate()) },
		"XAES short salt": func(t *testing.T) *tinkpb.Keyset {
			return tinkKeyset(t, aead.XAES256GCM160BitNonceKeyTemplate())
		},
		"CRUNCHY": func(t *testing.T) *tinkpb.Keyset {
			ks := good(t)
			ks.Key[0].OutputPrefixType = tinkpb.OutputPrefixType_CRUNCHY
			return ks
		},
		"disabled": func(t *testing.T) *tinkpb.Keyset {
			ks, other := good(t), good(t)
			other.Key[0].Status = tinkpb.KeyStatusType_DISABLED
			ks.Key = append(other.Key, ks.Key...)
			return ks
		},
		"id zero": func(t *testing.T) *tinkpb.Keyset {
			ks := good(t)
			ks.Key[0].KeyId, ks.PrimaryKeyId = 0, 0
			return ks
		},
		"id twice": func(t *testing.T) *tinkpb.Keyset {
			ks := good(t)
			ks.Key = append(ks.Key, proto.CloneOf(ks.Key[0]))
			return ks
		},
		"no primary": func(t *testing.T) *tinkpb.Keyset {
			ks := good(t)
			ks.PrimaryKeyId++
			return ks
		},
		"two staged": func(t *testing.T) *tinkpb.Keyset {
			ks := good(t)
			ks.Key = append(ks.Key, good(t).Key[0], good(t).Key[0])
			return ks
		},
		"empty": func(*testing.T) *tinkpb.Keyset { return &tinkpb.Keyset{} },
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, kek := aVault(t)
			plant(t, m, kek, make(t))
			_, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, quietConfig(nil))
			require.ErrorIs(t, err, keyring.ErrKeysetCorrupt)
		})
	}
}

func TestAKeysetNeverFormatsItsKeys(t *testing.T) {
	t.Parallel()
	k, err := keyring.NewKeyset(keyring.AES256GCM)
	require.NoError(t, err)
	m, kek := aVault(t)
	plain := material(t, m, kek).Key[0].KeyData.Value
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text := fmt.Sprintf(verb, k)
		require.Contains(t, text, "primary")
		require.NotContains(t, text, "KeyData")
	}
	var held bytes.Buffer
	_, err = keyring.Apply(t.Context(), m, "default", []keyring.KEK{kek}, "test", func(k *keyring.Keyset) (*keyring.Keyset, keyring.EventKind, uint32, error) {
		_, _ = fmt.Fprintf(&held, "%v %+v %#v %x", k, k, k, k)
		return nil, "", 0, keyring.ErrConflict
	})
	require.ErrorIs(t, err, keyring.ErrConflict)
	require.NotContains(t, held.String(), string(plain))
	require.NotContains(t, held.String(), hex.EncodeToString(plain[4:12]))
}
