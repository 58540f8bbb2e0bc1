package keyring_test

// The files under testdata/frozen were made once and never change: a local KEK,
// a keyset wrapped under it, and values sealed under both templates, with their
// associated data written out. They must open for ever.

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

type frozen struct {
	Name       string        `json:"name"`
	Generation int64         `json:"generation"`
	Revision   string        `json:"revision"`
	KeysetAD   string        `json:"keysetAssociatedData"`
	Wrapped    string        `json:"wrapped"`
	Keys       []frozenKey   `json:"keys"`
	Values     []frozenValue `json:"values"`
}

type frozenKey struct {
	ID       uint32 `json:"id"`
	Status   string `json:"status"`
	Template string `json:"template"`
}

type frozenValue struct {
	KeyID     uint32 `json:"keyId"`
	Table     string `json:"table"`
	Column    string `json:"column"`
	Tenant    string `json:"tenant"`
	Row       string `json:"row"`
	AD        string `json:"associatedData"`
	Plaintext string `json:"plaintext"`
	Sealed    string `json:"sealed"`
}

func readFrozen(t *testing.T) frozen {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "frozen", "v1.json"))
	require.NoError(t, err)
	var f frozen
	require.NoError(t, json.Unmarshal(raw, &f))
	require.Len(t, f.Keys, 3)
	require.Len(t, f.Values, 3)
	return f
}

// frozenKEK copies the file aside, since a checkout does not keep its mode.
func frozenKEK(t *testing.T) keyring.KEK {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "frozen", "kek.json"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "kek.json")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	kek, err := keyring.OpenKEK(t.Context(), "local-keyset://"+path, nil)
	require.NoError(t, err)
	return kek
}

func (v frozenValue) binding() keyring.Binding {
	return keyring.Binding{Table: v.Table, Column: v.Column, Tenant: v.Tenant, Row: v.Row}
}

// wrapped is the frozen keyset as a database would hold it.
func (f frozen) wrapped(t *testing.T, kek keyring.KEK) keyring.Wrapped {
	t.Helper()
	w := keyring.Wrapped{
		Name: f.Name, Version: keyring.Version{Generation: f.Generation, Revision: f.Revision},
		Wraps: map[string][]byte{kek.URI(): unhex(t, f.Wrapped)},
	}
	for _, k := range f.Keys {
		w.Keys = append(w.Keys, keyring.Key{ID: k.ID, Status: keyring.KeyStatus(k.Status), Template: keyring.Template(k.Template), Binding: 1})
	}
	return w
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

func TestFrozenFilesOpen(t *testing.T) {
	t.Parallel()
	f, kek := readFrozen(t), frozenKEK(t)
	ring := load(t, &memory{held: f.wrapped(t, kek)}, kek, nil)
	require.NoError(t, ring.Status().IndexErr, "ids, templates and statuses are read from the wrapped keyset")
	for _, v := range f.Values {
		sealed := unhex(t, v.Sealed)
		id, err := keyring.KeyID(sealed)
		require.NoError(t, err)
		require.Equal(t, v.KeyID, id)
		plaintext, err := ring.Open(t.Context(), sealed, v.binding())
		require.NoError(t, err)
		require.Equal(t, v.Plaintext, string(plaintext))
	}
}

func TestFrozenAssociatedData(t *testing.T) {
	t.Parallel()
	f := readFrozen(t)
	require.Equal(t, f.KeysetAD, hex.EncodeToString(keysetAD(f.Name, keyring.Version{Generation: f.Generation, Revision: f.Revision})))
	for _, v := range f.Values {
		require.Equal(t, v.AD, hex.EncodeToString(v.binding().AssociatedData()))
		require.Equal(t, v.AD, hex.EncodeToString(associatedData("strongroom/v1/value", v.Table, v.Column, v.Tenant, v.Row)))
	}
}

// The wire format as SECURITY.md writes it down, opened by hand: the KEK gives
// Tink's binary keyset.
func TestFrozenWrapIsTheKEKsCiphertextOfTheKeyset(t *testing.T) {
	t.Parallel()
	f, kek := readFrozen(t), frozenKEK(t)
	raw, err := kek.Unwrap(t.Context(), unhex(t, f.Wrapped), unhex(t, f.KeysetAD))
	require.NoError(t, err)
	require.NotEmpty(t, raw)
}

// A value that github.com/google/tink/go v1.7.0 sealed under the frozen keyset:
// the two Tinks have one wire format. The other direction is tested by the
// module internal/tinkinterop, since they cannot share a binary.
func TestAValueOfTheOldTinkOpens(t *testing.T) {
	t.Parallel()
	f, kek := readFrozen(t), frozenKEK(t)
	raw, err := os.ReadFile(filepath.Join("testdata", "frozen", "google-tink-1.7.0.json"))
	require.NoError(t, err)
	var theirs frozenValue
	require.NoError(t, json.Unmarshal(raw, &theirs))
	require.Equal(t, f.Values[0].AD, theirs.AD)
	ring := load(t, &memory{held: f.wrapped(t, kek)}, kek, nil)
	plaintext, err := ring.Open(t.Context(), unhex(t, theirs.Sealed), f.Values[0].binding())
	require.NoError(t, err)
	require.Equal(t, theirs.Plaintext, string(plaintext))
}
