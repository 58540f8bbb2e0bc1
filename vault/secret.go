package vault

// Secret: a credential in memory that formats as [redacted], that no encoder
// writes, and that printers working by reflection do not find.

import (
	"crypto/sha256"
	"crypto/subtle"
	"database/sql/driver"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// redacted is what every formatter sees instead of a credential.
const redacted = "[redacted]"

var (
	errEncodeSecret = errors.New("vault: a Secret is never encoded: " +
		"leave it out, or call Reveal where the credential itself must be written")
	errDecodeSecret = errors.New("vault: nothing decodes into a Secret: " +
		"decode into a string and call NewSecret")
	errBindSecret = errors.New("vault: a Secret is never a query argument: " +
		"store credentials through the vault, which seals them")
)

// Secret holds a credential in memory. Only [Secret.Reveal] gives the text.
//
// Formatting shows "[redacted]": every verb of package fmt, log/slog, a panic
// message. Encoding is an error: JSON, text, XML, gob, binary, an argument of
// a query. A "[redacted]" that an encoder wrote would be taken for the
// credential and stored in its place, for example in a jsonb column or a job
// queue, so the mistake shows where it is made. A struct that is encoded and
// has a Secret tags it `json:"-"`; inside one that slog's JSON handler prints,
// the error's text stands in place of the struct. Decoding into a Secret is an
// error too.
//
// The zero Secret means that there is none: nothing to keep or to change. It
// differs from NewSecret(""), an empty credential, which is refused when it is
// to be stored.
//
// Copies of a Secret share its memory. Secrets cannot be compared with ==; use
// [Secret.Equal]. All methods are safe for concurrent use.
type Secret struct {
	// A function, because printers that ignore methods (fmt for an unexported
	// field, a test's failure message) follow pointers but call nothing.
	open func() *locker
}

// locker is the memory that the copies of one Secret share.
type locker struct {
	mu   sync.RWMutex
	text []byte
}

// NewSecret returns a Secret that holds text. The string itself stays in
// memory until it is collected; [NewSecretBytes] lets the caller overwrite the
// source.
func NewSecret(text string) Secret { return hold([]byte(text)) }

// NewSecretBytes returns a Secret that holds a copy of b.
func NewSecretBytes(b []byte) Secret { return hold(append([]byte{}, b...)) }

// hold takes ownership of b.
func hold(b []byte) Secret {
	l := &locker{text: b}
	return Secret{open: func() *locker { return l }}
}

// view calls f with the credential's bytes, which f must neither keep nor
// change. They cannot be cleared meanwhile. For the zero Secret b is nil.
func (s Secret) view(f func(b []byte)) {
	if s.IsZero() {
		f(nil)
		return
	}
	l := s.open()
	l.mu.RLock()
	defer l.mu.RUnlock()
	f(l.text)
}

// Reveal returns the credential, or "" when there is none, it is empty, or it
// was cleared. Never log what it returns.
func (s Secret) Reveal() (text string) {
	s.view(func(b []byte) { text = string(b) })
	return text
}

// Len returns the credential's length in bytes: 0 when there is none, it is
// empty, or it was cleared.
func (s Secret) Len() (n int) {
	s.view(func(b []byte) { n = len(b) })
	return n
}

// IsZero reports whether there is no credential. An empty or cleared one is
// not zero.
func (s Secret) IsZero() bool { return s.open == nil }

// Equal reports whether both hold the same credential, in a time that does not
// depend on where they differ. The zero Secret equals only the zero Secret.
func (s Secret) Equal(other Secret) bool {
	if s.IsZero() || other.IsZero() {
		return s.IsZero() && other.IsZero()
	}
	a, b := s.digest(), other.digest()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// digest makes values of one length, and lets Equal hold one lock at a time.
func (s Secret) digest() (d [sha256.Size]byte) {
	s.view(func(b []byte) { d = sha256.Sum256(b) })
	return d
}

// Clear overwrites the credential's memory, in every copy of the Secret; they
// are empty afterwards, but not zero. Strings that [Secret.Reveal] returned
// are out of its reach.
func (s Secret) Clear() {
	if s.IsZero() {
		return
	}
	l := s.open()
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.text)
	l.text = nil
}

// Format implements [fmt.Formatter]: every verb writes "[redacted]", but for
// %T and %p, which fmt answers itself, with the type and an address.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// LogValue implements [slog.LogValuer]: it gives "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Value implements [driver.Valuer]; it always fails, so that no Secret is an
// argument of a query.
func (Secret) Value() (driver.Value, error) { return nil, errBindSecret }

// MarshalJSON always fails.
func (Secret) MarshalJSON() ([]byte, error) { return nil, errEncodeSecret }

// MarshalText always fails.
func (Secret) MarshalText() ([]byte, error) { return nil, errEncodeSecret }

// MarshalBinary always fails.
func (Secret) MarshalBinary() ([]byte, error) { return nil, errEncodeSecret }

// GobEncode always fails.
func (Secret) GobEncode() ([]byte, error) { return nil, errEncodeSecret }

// MarshalXML always fails.
func (Secret) MarshalXML(*xml.Encoder, xml.StartElement) error { return errEncodeSecret }

// MarshalXMLAttr always fails.
func (Secret) MarshalXMLAttr(xml.Name) (xml.Attr, error) { return xml.Attr{}, errEncodeSecret }

// Scan implements [database/sql.Scanner]; it always fails.
func (*Secret) Scan(any) error { return errDecodeSecret }

// UnmarshalJSON always fails.
func (*Secret) UnmarshalJSON([]byte) error { return errDecodeSecret }

// UnmarshalText always fails.
func (*Secret) UnmarshalText([]byte) error { return errDecodeSecret }

// UnmarshalBinary always fails.
func (*Secret) UnmarshalBinary([]byte) error { return errDecodeSecret }

// GobDecode always fails.
func (*Secret) GobDecode([]byte) error { return errDecodeSecret }

// UnmarshalXML always fails.
func (*Secret) UnmarshalXML(*xml.Decoder, xml.StartElement) error { return errDecodeSecret }

// UnmarshalXMLAttr always fails.
func (*Secret) UnmarshalXMLAttr(xml.Attr) error { return errDecodeSecret }
