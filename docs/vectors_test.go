package docs_test

// The test vectors of SECURITY.md, opened by what that page says and by nothing of
// Strongroom or Tink: whoever loses both can still read a database.

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestVectorsOfSecurityMdOpen(t *testing.T) {
	t.Parallel()
	v := vectors(t, read(t, "../SECURITY.md"))
	require.Len(t, v, 7)
	require.Equal(t, encode("strongroom/v1/keyset", "default", "1dauRIKc_-k5oVTClQULu", "4"), v["keyset-ad"])
	require.Equal(t, encode("strongroom/v1/value", "integrations", "access_token", "ws_acme", "V1StGXR8_Z5jdHi6B-myT"), v["access-token-ad"])
	require.Equal(t, encode("strongroom/v1/value", "integrations", "refresh_token", "ws_übung", "x"), v["refresh-token-ad"])

	kek := kekOf(t, read(t, "../SECURITY.md"))
	keyset := openGCM(t, kek, v["wrapped"][5:], v["keyset-ad"])
	keys := keysOf(t, keyset)
	require.Equal(t, "an access token", string(openGCM(t, keys[2008135571], v["access-token"][5:], v["access-token-ad"])))
	require.EqualValues(t, 2008135571, binary.BigEndian.Uint32(v["access-token"][1:]))

	binding := encode("strongroom/v1/value", "integrations", "webhook_secret", "ws_acme", "V1StGXR8_Z5jdHi6B-myT")
	sealed := v["webhook-secret"]
	derived := deriveXAES(t, keys[599639028], sealed[5:17])
	require.Equal(t, "a webhook secret", string(openGCM(t, derived, sealed[17:], binding)))

	sum := sha256.Sum256(encode("strongroom/v1/fingerprint", string(keyset)))
	require.Equal(t, v["fingerprint"], sum[:16])
}

// The vectors are the frozen files of package keyring, which its tests open.
func TestVectorsOfSecurityMdAreTheFrozenFiles(t *testing.T) {
	t.Parallel()
	frozen := string(read(t, "../keyring/testdata/frozen/v1.json"))
	for name, vector := range vectors(t, read(t, "../SECURITY.md")) {
		if name != "fingerprint" {
			require.Contains(t, frozen, `"`+hex.EncodeToString(vector)+`"`, name)
		}
	}
	var inDocs, inFile any
	require.NoError(t, json.Unmarshal(kekJSON(t, read(t, "../SECURITY.md")), &inDocs))
	require.NoError(t, json.Unmarshal(read(t, "../keyring/testdata/frozen/kek.json"), &inFile))
	require.Equal(t, inFile, inDocs)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

var (
	vectorBlock = regexp.MustCompile("(?s)```text vector=([a-z-]+)\n(.*?)```")
	hexInFront  = regexp.MustCompile(`(?m)^[0-9a-f]+( [0-9a-f]+(  |$))?`)
	jsonBlock   = regexp.MustCompile("(?s)```json\n(.*?)```")
)

// vectors gives the hex digits that stand in front of each line of a block.
func vectors(t *testing.T, page []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, block := range vectorBlock.FindAllSubmatch(page, -1) {
		digits := strings.ReplaceAll(string(bytes.Join(hexInFront.FindAll(block[2], -1), nil)), " ", "")
		vector, err := hex.DecodeString(digits)
		require.NoError(t, err)
		out[string(block[1])] = vector
	}
	return out
}

func encode(parts ...string) (out []byte) {
	for _, part := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

func kekJSON(t *testing.T, page []byte) []byte {
	t.Helper()
	block := jsonBlock.FindSubmatch(page)
	require.NotNil(t, block)
	return block[1]
}

func kekOf(t *testing.T, page []byte) []byte {
	t.Helper()
	var file struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	require.NoError(t, json.Unmarshal(kekJSON(t, page), &file))
	value, err := base64.StdEncoding.DecodeString(file.Key[0].KeyData.Value)
	require.NoError(t, err)
	require.Equal(t, []byte{0x1a, 0x20}, value[:2])
	return value[2:]
}

// openGCM opens nonce ‖ ciphertext ‖ tag.
func openGCM(t *testing.T, key, sealed, associatedData []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	plaintext, err := gcm.Open(nil, sealed[:12], sealed[12:], associatedData)
	require.NoError(t, err)
	return plaintext
}

// deriveXAES is the key derivation of https://c2sp.org/XAES-256-GCM.
func deriveXAES(t *testing.T, key, salt []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	k1 := make([]byte, 16)
	block.Encrypt(k1, k1)
	carry := k1[0] >> 7
	for i := range 15 {
		k1[i] = k1[i]<<1 | k1[i+1]>>7
	}
	k1[15] = k1[15]<<1 ^ carry*0x87
	derived := make([]byte, 32)
	for i := range 2 {
		half := derived[16*i : 16*i+16]
		copy(half, append([]byte{0, byte(i + 1), 'X', 0}, salt...))
		for j := range half {
			half[j] ^= k1[j]
		}
		block.Encrypt(half, half)
	}
	return derived
}

// keysOf reads google.crypto.tink.Keyset: the 32 bytes of each key, by its id.
func keysOf(t *testing.T, keyset []byte) map[uint64][]byte {
	t.Helper()
	keys := map[uint64][]byte{}
	each(t, keyset, 2, func(key []byte) {
		var id uint64
		var material []byte
		fields(t, key, func(n protowire.Number, number uint64, content []byte) {
			if n == 1 { // key_data, whose value holds the key in its field 3
				each(t, content, 2, func(value []byte) { each(t, value, 3, func(b []byte) { material = b }) })
			}
			if n == 3 {
				id = number
			}
		})
		require.Len(t, material, 32)
		keys[id] = material
	})
	require.Len(t, keys, 3)
	return keys
}

// each calls f with the content of every field of that number.
func each(t *testing.T, message []byte, number protowire.Number, f func([]byte)) {
	t.Helper()
	fields(t, message, func(n protowire.Number, _ uint64, content []byte) {
		if n == number && content != nil {
			f(content)
		}
	})
}

func fields(t *testing.T, message []byte, f func(n protowire.Number, number uint64, content []byte)) {
	t.Helper()
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		require.Positive(t, size)
		message = message[size:]
		var number uint64
		var content []byte
		if kind == protowire.VarintType {
			number, size = protowire.ConsumeVarint(message)
		} else {
			require.Equal(t, protowire.BytesType, kind)
			content, size = protowire.ConsumeBytes(message)
		}
		require.Positive(t, size)
		f(n, number, content)
		message = message[size:]
	}
}
