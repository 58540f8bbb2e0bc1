package keyring_test

// What the tests of this package share: a storage in memory and a KEK that
// counts and fails on demand.

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

// memory is a keyring.Storage in memory, with the rules of the real one.
type memory struct {
	mu       sync.Mutex
	held     keyring.Wrapped
	events   []keyring.Event
	fail     error
	versions atomic.Int64 // calls of Version
	loads    atomic.Int64 // calls of Load
}

func (m *memory) Version(context.Context, string) (keyring.Version, error) {
	m.versions.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held.Version, m.problem()
}

func (m *memory) Load(context.Context, string) (keyring.Wrapped, error) {
	m.loads.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	return copyOf(m.held), m.problem()
}

func (m *memory) Swap(_ context.Context, old keyring.Version, next keyring.Wrapped, e keyring.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fail != nil:
		return m.fail
	case old == (keyring.Version{}) && m.held.Name != "":
		return keyring.ErrKeysetExists
	case old != m.held.Version:
		return keyring.ErrConflict
	}
	m.held = next
	m.events = append(m.events, e)
	return nil
}

func (m *memory) problem() error {
	if m.fail == nil && m.held.Name == "" {
		return keyring.ErrNoKeyset
	}
	return m.fail
}

// edit changes what is stored behind the ring's back.
func (m *memory) edit(f func(*keyring.Wrapped)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.held)
}

func (m *memory) breaks(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func copyOf(w keyring.Wrapped) keyring.Wrapped {
	w.Wraps, w.Keys = maps.Clone(w.Wraps), slices.Clone(w.Keys)
	return w
}

// faultyKEK counts the calls of a KEK, and fails or hangs on demand.
type faultyKEK struct {
	keyring.KEK
	wraps, unwraps atomic.Int64
	fault          atomic.Pointer[func(context.Context) error]
}

func newKEK() *faultyKEK { return &faultyKEK{KEK: keyring.EphemeralKEK()} }

func (k *faultyKEK) breaks(fault func(context.Context) error) { k.fault.Store(&fault) }
func (k *faultyKEK) mends()                                   { k.fault.Store(nil) }

func (k *faultyKEK) Wrap(ctx context.Context, keyset, ad []byte) ([]byte, error) {
	k.wraps.Add(1)
	if fault := k.fault.Load(); fault != nil {
		return nil, (*fault)(ctx)
	}
	return k.KEK.Wrap(ctx, keyset, ad)
}

func (k *faultyKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	k.unwraps.Add(1)
	if fault := k.fault.Load(); fault != nil {
		return nil, (*fault)(ctx)
	}
	return k.KEK.Unwrap(ctx, wrapped, ad)
}

// clock is a clock that tests move.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) moves(d time.Duration)   { c.at.Add(int64(d)) }
func (c *clock) config() *keyring.Config { return quietConfig(c) }

func quietConfig(c *clock) *keyring.Config {
	config := &keyring.Config{PollEvery: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if c != nil {
		config.SetClock(c.now)
	}
	return config
}

// aVault is a storage with a first keyset, and its KEK.
func aVault(t testing.TB) (*memory, *faultyKEK) {
	t.Helper()
	m, kek := &memory{}, newKEK()
	_, err := keyring.Create(t.Context(), m, keyring.DefaultKeyset, keyring.AES256GCM, []keyring.KEK{kek}, "test")
	require.NoError(t, err)
	return m, kek
}

func load(t testing.TB, m keyring.Storage, kek keyring.KEK, c *keyring.Config) *keyring.Ring {
	t.Helper()
	if c == nil {
		c = quietConfig(nil)
	}
	ring, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}

func step(t testing.TB, m keyring.Storage, kek keyring.KEK, steps ...keyring.Step) {
	t.Helper()
	for _, s := range steps {
		_, err := keyring.Apply(t.Context(), m, keyring.DefaultKeyset, []keyring.KEK{kek}, "test", s)
		require.NoError(t, err)
	}
}

// sealedByANewer makes a new key primary and gives a value that a process which
// has loaded it sealed.
func sealedByANewer(t testing.TB, m keyring.Storage, kek keyring.KEK) []byte {
	t.Helper()
	step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote())
	_, sealed, err := load(t, m, kek, nil).Seal([]byte("a token"), here)
	require.NoError(t, err)
	return sealed
}

var here = keyring.Binding{Table: "integrations", Column: "access_token", Tenant: "ws_1", Row: "row_1"}

// associatedData encodes parts as SECURITY.md writes it down, apart from the
// library's own code.
func associatedData(parts ...string) []byte {
	var out []byte
	for _, part := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

func keysetAD(name string, v keyring.Version) []byte {
	return associatedData("strongroom/v1/keyset", name, v.Revision, strconv.FormatInt(v.Generation, 10))
}
