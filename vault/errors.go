package vault

// The sentinels, re-exported by alias from the package that defines each, so
// that errors.Is holds from every package.

import (
	"github.com/strongroom/strongroom/keyring"
)

// See the sentinel of the same name in package keyring.
var (
	ErrInvalid = keyring.ErrInvalid
)
