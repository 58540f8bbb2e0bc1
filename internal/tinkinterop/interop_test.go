package tinkinterop_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/tink/go/aead"
	"github.com/google/tink/go/insecurecleartextkeyset"
	"github.com/google/tink/go/keyset"
	tinkpb "github.com/google/tink/go/proto/tink_go_proto"
	"github.com/google/tink/go/tink"
	"github.com/stretchr/testify/require"
)

const aesGCM = "type.googleapis.com/google.crypto.tink.AesGcmKey"

type frozen struct {
	KeysetAD string `json:"keysetAssociatedData"`
	Wrapped  string `json:"wrapped"`
	Values   []struct {
		KeyID     uint32 `json:"keyId"`
		AD        string `json:"associatedData"`
		Plaintext string `json:"plaintext"`
		Sealed    string `json:"sealed"`
	} `json:"values"`
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "keyring", "testdata", "frozen", name))
	require.NoError(t, err)
	return raw
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// primitive gives the AEAD of the keys that the old Tink knows: XAES it does not.
func primitive(t *testing.T, ks *tinkpb.Keyset) tink.AEAD {
	t.Helper()
	known := &tinkpb.Keyset{}
	for _, key := range ks.GetKey() {
		if key.GetKeyData().GetTypeUrl() == aesGCM {
			known.Key = append(known.Key, key)
			known.PrimaryKeyId = key.GetKeyId()
		}
	}
	handle, err := insecurecleartextkeyset.Read(&keyset.MemReaderWriter{Keyset: known})
	require.NoError(t, err)
	a, err := aead.New(handle)
	require.NoError(t, err)
	return a
}

func TestTheOldTinkOpensStrongroomsFrozenFiles(t *testing.T) {
	var f frozen
	require.NoError(t, json.Unmarshal(read(t, "v1.json"), &f))

	kekHandle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(read(t, "kek.json"))))
	require.NoError(t, err)
	kek, err := aead.New(kekHandle)
	require.NoError(t, err)
	raw, err := kek.Decrypt(unhex(t, f.Wrapped), unhex(t, f.KeysetAD))
	require.NoError(t, err)
	ks, err := keyset.NewBinaryReader(bytes.NewReader(raw)).Read()
	require.NoError(t, err)
	require.Len(t, ks.GetKey(), 3)

	deks, opened := primitive(t, ks), 0
	for _, v := range f.Values {
		plaintext, err := deks.Decrypt(unhex(t, v.Sealed), unhex(t, v.AD))
		if v.KeyID != ks.GetKey()[0].GetKeyId() {
			require.Error(t, err, "XAES is unknown to the old Tink")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, v.Plaintext, string(plaintext))
		opened++
	}
	require.Equal(t, 1, opened)
}
