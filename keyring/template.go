package keyring

// The kinds of DEK that a keyset may hold, and the check that it holds no other.

import (
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/key"
)

// Template names a kind of DEK. A keyset may mix them.
type Template string

const (
	// AES256GCM is the default: AES-256-GCM with a random 96-bit nonce. One key
	// should seal no more than 2^32 values (NIST SP 800-38D, section 8.3).
	AES256GCM Template = "AES256_GCM"

	// XAES256GCM is XAES-256-GCM (https://c2sp.org/XAES-256-GCM) with a 192-bit
	// nonce, for vaults that seal more than 2^32 values under one key.
	XAES256GCM Template = "XAES_256_GCM_192_BIT_NONCE"
)

const xaesSaltSize = 12

// Validate returns [ErrInvalid], naming the templates that there are, for any
// other.
func (t Template) Validate() error {
	_, err := t.parameters()
	return err
}

// parameters gives Tink's description of the template. The prefix is always
// TINK: it puts the key's id in front of each ciphertext.
func (t Template) parameters() (key.Parameters, error) {
	switch t {
	case AES256GCM:
		return aesgcm.NewParameters(aesgcm.ParametersOpts{
			KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
		})
	case XAES256GCM:
		return xaesgcm.NewParameters(xaesgcm.VariantTink, xaesSaltSize)
	default:
		return nil, fmt.Errorf("%w: unknown key template: use %s or %s", ErrInvalid, AES256GCM, XAES256GCM)
	}
}

// templateOf names the template of a key, or refuses it: no other algorithm,
// size or prefix is accepted into a keyset, so that a sealed value always
// starts with the id of the key that opens it. It never formats the key: %v of
// a Tink key prints its bytes.
func templateOf(k key.Key) (Template, error) {
	for _, t := range []Template{AES256GCM, XAES256GCM} {
		want, err := t.parameters()
		if err != nil {
			return "", err
		}
		if k.Parameters() != nil && want.Equal(k.Parameters()) {
			return t, nil
		}
	}
	return "", fmt.Errorf("%w: it holds a key that is neither %s nor %s with the TINK prefix",
		ErrKeysetCorrupt, AES256GCM, XAES256GCM)
}
