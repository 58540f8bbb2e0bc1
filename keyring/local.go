package keyring

// The local KEK: a Tink AEAD keyset in a file, in Tink's JSON form, so that
// Tink's own tools make and read it too. And the ephemeral one: the same in
// memory, for tests.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	gonanoid "github.com/matoous/go-nanoid/v2"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	localScheme  = "local-keyset"
	localPrefix  = localScheme + "://"
	maxLocalFile = 1 << 20
)

// errNotOurs says why a local KEK refuses a wrap, as far as it can know.
var errNotOurs = errors.New("the key does not open this wrap: it is another key's, or corrupt, or of another keyset version")

// localKEK wraps with an AEAD held in memory.
type localKEK struct {
	uri  string
	aead tink.AEAD
}

func (k *localKEK) URI() string { return k.uri }

func (k *localKEK) Wrap(_ context.Context, keyset, associatedData []byte) ([]byte, error) {
	return k.aead.Encrypt(keyset, associatedData)
}

func (k *localKEK) Unwrap(_ context.Context, wrapped, associatedData []byte) ([]byte, error) {
	out, err := k.aead.Decrypt(wrapped, associatedData)
	if err != nil {
		return nil, errNotOurs
	}
	return out, nil
}

// EphemeralKEK makes a KEK that lives in this process's memory only: what it
// wrapped is lost when the process ends. It is for tests.
func EphemeralKEK() KEK {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		panic("keyring: cannot make a key: " + err.Error()) // only without a source of randomness
	}
	kek, err := newLocalKEK("ephemeral://"+gonanoid.Must(), handle)
	if err != nil {
		panic("keyring: cannot use a new key: " + err.Error())
	}
	return kek
}

// CreateLocalKEK makes a new key in a file that must not exist yet, readable by
// its owner only, and gives the KEK. The file is complete and on disk, folder
// included, before CreateLocalKEK returns; a crash leaves no half-written file
// under this path. If the file exists the error matches fs.ErrExist.
//
// Losing the file loses every credential sealed below it: back it up apart
// from the database.
func CreateLocalKEK(path string) (KEK, error) {
	uri, err := localURI(path)
	if err != nil {
		return nil, err
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("create local KEK: %w", err)
	}
	kek, err := newLocalKEK(uri, handle)
	if err != nil {
		return nil, fmt.Errorf("create local KEK: %w", err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("create local KEK: %w", err)
	}
	defer clear(out.Bytes())
	if err := writeNewFile(path, out.Bytes()); err != nil {
		return nil, fmt.Errorf("create local KEK: %w", err)
	}
	return kek, nil
}

// openLocalKEK reads the file that a local-keyset:// URI names.
func openLocalKEK(path string) (KEK, error) {
	uri, err := localURI(path)
	if err != nil {
		return nil, err
	}
	content, err := readPrivateFile(path)
	if err != nil {
		return nil, &KEKError{URI: uri, Op: "open", Err: err}
	}
	defer clear(content)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, &KEKError{URI: uri, Op: "open", Err: errors.New("not a Tink keyset in JSON form")}
	}
	kek, err := newLocalKEK(uri, handle)
	if err != nil {
		return nil, &KEKError{URI: uri, Op: "open", Err: err}
	}
	return kek, nil
}

func newLocalKEK(uri string, handle *keyset.Handle) (KEK, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("the keyset's keys cannot be used for AEAD: %w", err)
	}
	return &localKEK{uri: uri, aead: primitive}, nil
}

// localURI labels the file by its absolute path, so that every process that
// means the same file uses the same label.
func localURI(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("%w: a local KEK needs the path of its file", ErrInvalid)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("local KEK: %w", err)
	}
	return localPrefix + absolute, nil
}

// readPrivateFile reads a file that its owner alone may read. It checks the
// open file, not the path, so that the file cannot be exchanged in between.
func readPrivateFile(path string) ([]byte, error) {
	// Not blocking: a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the path is the operator's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: group or others can reach it; run chmod 600 on it", path, mode)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxLocalFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxLocalFile {
		return nil, fmt.Errorf("%s is larger than %d bytes: it is no keyset", path, maxLocalFile)
	}
	return content, nil
}

// writeNewFile makes a file of mode 0600 that must not exist, whole or not at
// all: written aside (O_EXCL), synced, linked into place, folder synced.
func writeNewFile(path string, content []byte) error {
	temp := path + "." + gonanoid.Must(8) + ".tmp"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the operator's own
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(temp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
		return fmt.Errorf("%w (the file system must have hard links)", err)
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path) //nolint:gosec // the path is the operator's own
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
