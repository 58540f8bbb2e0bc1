package keyring

// The one encoding of associated data. It is frozen: every sealed value and
// every wrapped keyset is bound to its output. SECURITY.md has worked vectors.

import (
	"encoding/binary"
	"strconv"
)

const (
	valueContext  = "strongroom/v1/value"
	keysetContext = "strongroom/v1/keyset"
)

// encodeParts joins parts so that no two lists of parts give the same bytes:
// each as a big-endian uint32 length and then its bytes.
func encodeParts(parts ...string) []byte {
	size := 0
	for _, part := range parts {
		size += 4 + len(part)
	}
	out := make([]byte, 0, size)
	for _, part := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part))) //nolint:gosec // parts are bounded far below 4 GiB
		out = append(out, part...)
	}
	return out
}

// BindingScheme numbers the way associated data is made for the values under
// a key. It is recorded with each key, so that a later scheme can be migrated
// to. 1 is the encoding of [Binding.AssociatedData].
type BindingScheme int16

// CurrentBinding is the scheme of keys made by this version.
const CurrentBinding BindingScheme = 1

// Binding names the one place that a sealed value belongs to. The table and
// column are logical names, frozen for ever, never read from the database's
// schema: renaming a column breaks nothing.
type Binding struct {
	Table  string // logical table, as "integrations"
	Column string // logical column, as "access_token"
	Tenant string // whose row it is, as the workspace's id
	Row    string // the row's id
}

// AssociatedData gives the bytes that a value is bound to: the parts
// "strongroom/v1/value", Table, Column, Tenant and Row, each as a big-endian
// uint32 length followed by its bytes.
func (b Binding) AssociatedData() []byte {
	return encodeParts(valueContext, b.Table, b.Column, b.Tenant, b.Row)
}

func (b Binding) complete() bool {
	return b.Table != "" && b.Column != "" && b.Tenant != "" && b.Row != ""
}

// Version identifies one state of a keyset. Generation counts up; Revision is
// random and new for each generation, so that two histories (a restored
// backup, a failover) never look alike.
type Version struct {
	Generation int64
	Revision   string
}

// associatedData binds a wrapped keyset to its name and version: the parts
// "strongroom/v1/keyset", name, revision and generation in decimal, encoded as
// in [Binding.AssociatedData]. An old wrap cannot be passed off as a new one.
func (v Version) associatedData(name string) []byte {
	return encodeParts(keysetContext, name, v.Revision, strconv.FormatInt(v.Generation, 10))
}
