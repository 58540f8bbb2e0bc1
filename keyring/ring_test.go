package keyring_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

func TestSealOpen(t *testing.T) {
	t.Parallel()
	for _, template := range []keyring.Template{keyring.AES256GCM, keyring.XAES256GCM} {
		m, kek := &memory{}, newKEK()
		_, err := keyring.Create(t.Context(), m, "default", template, []keyring.KEK{kek}, "test")
		require.NoError(t, err)
		ring := load(t, m, kek, nil)
		id, sealed, err := ring.Seal([]byte("a token"), here)
		require.NoError(t, err)
		require.Equal(t, ring.PrimaryID(), id)
		require.Equal(t, byte(1), sealed[0])
		require.Equal(t, id, binary.BigEndian.Uint32(sealed[1:5]))
		back, err := ring.Open(t.Context(), sealed, here)
		require.NoError(t, err)
		require.Equal(t, "a token", string(back))
	}
}

// The values of one row share a key, also if the ring loads a keyset without it
// between the first and the second.
func TestASealerKeepsItsKey(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	sealer, err := ring.Sealer()
	require.NoError(t, err)
	one, err := sealer.Seal([]byte("one"), here)
	require.NoError(t, err)
	first := ring.PrimaryID()
	step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote(), keyring.Destroy(first))
	require.NoError(t, ring.Poll(t.Context()))
	require.NotEqual(t, first, ring.PrimaryID())
	two, err := sealer.Seal([]byte("two"), here)
	require.NoError(t, err)
	require.Equal(t, first, sealer.KeyID())
	require.Equal(t, one[:5], two[:5])
	back, err := ring.Open(t.Context(), two, here)
	require.NoError(t, err)
	require.Equal(t, "two", string(back))
}

func TestSealJudgesItsInput(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	for _, bad := range [][]byte{nil, {}, make([]byte, keyring.MaxPlaintext+1)} {
		_, _, err := ring.Seal(bad, here)
		require.ErrorIs(t, err, keyring.ErrInvalid)
	}
	_, _, err := ring.Seal(make([]byte, keyring.MaxPlaintext), here)
	require.NoError(t, err)
	for _, b := range []keyring.Binding{
		{"", "c", "t", "r"}, {"t", "", "t", "r"}, {"t", "c", "", "r"}, {"t", "c", "t", ""},
	} {
		_, _, err := ring.Seal([]byte("x"), b)
		require.ErrorIs(t, err, keyring.ErrInvalid)
	}
}

func TestAValueOpensInItsOwnPlaceOnly(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	_, sealed, err := ring.Seal([]byte("a token"), here)
	require.NoError(t, err)
	for _, elsewhere := range []keyring.Binding{
		{"hooks", here.Column, here.Tenant, here.Row},
		{here.Table, "refresh_token", here.Tenant, here.Row},
		{here.Table, here.Column, "ws_2", here.Row},
		{here.Table, here.Column, here.Tenant, "row_2"},
		{here.Table, here.Column, here.Row, here.Tenant},
		{here.Table, here.Column, here.Tenant + here.Row, ""},
		{here.Table + here.Column, "", here.Tenant, here.Row},
		{here.Table, here.Column, here.Tenant + "r", here.Row[1:]},
	} {
		_, err := ring.Open(t.Context(), sealed, elsewhere)
		require.ErrorIs(t, err, keyring.ErrNotOpened)
		require.Equal(t, keyring.ErrNotOpened.Error(), err.Error(), "it does not say why")
	}
}

func TestKEKIsAskedOnceAtStartAndOnceForEachChange(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	kek.unwraps.Store(0)
	ring := load(t, m, kek, nil)
	require.EqualValues(t, 1, kek.unwraps.Load())
	for range 10_000 {
		_, sealed, err := ring.Seal([]byte("a token"), here)
		require.NoError(t, err)
		_, err = ring.Open(t.Context(), sealed, here)
		require.NoError(t, err)
	}
	require.NoError(t, ring.Poll(t.Context()))
	require.EqualValues(t, 1, kek.unwraps.Load())
	require.Zero(t, kek.wraps.Load()-1, "only Create wrapped")

	changer := newKEK()
	changer.KEK = kek.KEK // the same key, counted apart
	step(t, m, changer, keyring.Stage(keyring.AES256GCM))
	require.NoError(t, ring.Poll(t.Context()))
	require.NoError(t, ring.Poll(t.Context()))
	require.EqualValues(t, 2, kek.unwraps.Load())
}

// A process that began before a key was added opens what a newer process
// sealed, and loads the keyset once, however many readers meet the key at once.
func TestUnknownKeyIsLoadedOnceForAThousandReaders(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	old := load(t, m, kek, nil)
	sealed := sealedByANewer(t, m, kek)

	kek.unwraps.Store(0)
	m.loads.Store(0)
	errs := make([]error, 1000)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			back, err := old.Open(t.Context(), sealed, here)
			if err == nil && string(back) != "a token" {
				err = errors.New("opened to something else")
			}
			errs[i] = err
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.EqualValues(t, 1, kek.unwraps.Load())
	require.EqualValues(t, 1, m.loads.Load())
}

func TestGarbageNeverReachesTheKEK(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	kek.unwraps.Store(0)
	m.loads.Store(0)
	garbage := make([]byte, 64)
	for i := range 1_000_000 {
		_, _ = rand.Read(garbage[1:5])
		garbage[0] = byte(i % 3) // two in three are no sealed values at all
		_, err := ring.Open(t.Context(), garbage, here)
		if !errors.Is(err, keyring.ErrNotOpened) {
			require.ErrorIs(t, err, keyring.ErrNotOpened)
		}
	}
	require.Zero(t, kek.unwraps.Load())
	require.Zero(t, m.loads.Load())
}

func TestAKeyThatLeftOpensForTheGraceTimeOnly(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	c := newClock()
	config := c.config()
	config.Grace = time.Minute
	ring := load(t, m, kek, config)
	first, sealed, err := ring.Seal([]byte("a token"), here)
	require.NoError(t, err)
	step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote(), keyring.Destroy(first))
	require.NoError(t, ring.Poll(t.Context()))

	_, err = ring.Open(t.Context(), sealed, here)
	require.NoError(t, err, "a reader with an old snapshot is served")
	_, err = ring.SealerUnder(first)
	require.ErrorIs(t, err, keyring.ErrUnknownKey, "but nothing is sealed under it")
	c.moves(time.Minute + time.Second)
	_, err = ring.Open(t.Context(), sealed, here)
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	require.ErrorIs(t, err, keyring.ErrNotOpened)
}

func TestRollbackIsNoticed(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	first := copyOf(m.held)
	step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote())
	newest := copyOf(m.held)
	ring := load(t, m, kek, nil)
	_, sealed, err := ring.Seal([]byte("a token"), here)
	require.NoError(t, err)

	refused := func(why string) {
		t.Helper()
		require.NoError(t, ring.Poll(t.Context()))
		_, _, err := ring.Seal([]byte("x"), here)
		require.ErrorIs(t, err, keyring.ErrKeysetRolledBack, why)
		_, err = ring.SealerUnder(ring.PrimaryID())
		require.ErrorIs(t, err, keyring.ErrKeysetRolledBack, why)
		_, err = ring.Open(t.Context(), sealed, here)
		require.NoError(t, err, "opening goes on")
		require.NotZero(t, ring.Status().RolledBackTo)
	}
	m.edit(func(w *keyring.Wrapped) { *w = copyOf(first) })
	refused("an older generation")

	m.edit(func(w *keyring.Wrapped) { *w = copyOf(newest) })
	require.NoError(t, ring.Poll(t.Context()))
	_, _, err = ring.Seal([]byte("x"), here)
	require.NoError(t, err, "the same history is back")
	require.Zero(t, ring.Status().RolledBackTo)

	m.edit(func(w *keyring.Wrapped) { w.Revision = strings.Repeat("x", 21) })
	refused("the same generation of another history")

	// The older keyset goes on and overtakes: a newer generation ends it.
	m.edit(func(w *keyring.Wrapped) { *w = copyOf(first) })
	step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote())
	step(t, m, kek, keyring.Stage(keyring.AES256GCM))
	require.NoError(t, ring.Poll(t.Context()))
	_, _, err = ring.Seal([]byte("x"), here)
	require.NoError(t, err)
	require.Zero(t, ring.Status().RolledBackTo)
}

func TestAnOlderViewThroughATransactionIsNoRollback(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	snapshot := &memory{held: copyOf(m.held)}
	step(t, m, kek, keyring.Stage(keyring.AES256GCM))
	ring := load(t, m, kek, nil)
	require.NoError(t, ring.Through(snapshot).Poll(t.Context()))
	_, _, err := ring.Seal([]byte("x"), here)
	require.NoError(t, err)
	require.Zero(t, ring.Status().RolledBackTo)
}

func TestPollsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, kek := aVault(t)
		config := quietConfig(nil)
		config.PollEvery = 10 * time.Second
		ring, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, config)
		require.NoError(t, err)
		before := ring.PrimaryID()
		step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote())
		<-time.After(12 * time.Second) // of the bubble's clock
		require.NotEqual(t, before, ring.PrimaryID())
		require.NoError(t, ring.Close())
	})
}

func TestStandbyKEKs(t *testing.T) {
	t.Parallel()
	m, one, two := &memory{}, newKEK(), newKEK()
	_, err := keyring.Create(t.Context(), m, "default", keyring.AES256GCM, []keyring.KEK{one, two}, "test")
	require.NoError(t, err)
	one.breaks(func(context.Context) error { return errors.New("region down") })
	ring, err := keyring.Load(t.Context(), m, []keyring.KEK{one, two}, quietConfig(nil))
	require.NoError(t, err)
	require.NoError(t, ring.Close())
	require.NotZero(t, two.unwraps.Load())
}

func TestDegradedStart(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	_, sealed, err := load(t, m, kek, nil).Seal([]byte("a token"), here)
	require.NoError(t, err)
	c := newClock()
	config := c.config()
	config.AllowDegradedStart = true
	down := errors.New("down")
	kek.breaks(func(context.Context) error { return down })
	ring := load(t, m, kek, config)
	require.False(t, ring.Status().Loaded)
	require.Zero(t, ring.PrimaryID())
	_, err = ring.Open(t.Context(), sealed, here)
	require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
	require.ErrorIs(t, err, down)
	_, _, err = ring.Seal([]byte("x"), here)
	require.ErrorIs(t, err, keyring.ErrKEKUnavailable)

	kek.mends()
	c.moves(2 * time.Second)
	require.NoError(t, ring.Poll(t.Context()))
	_, err = ring.Open(t.Context(), sealed, here)
	require.NoError(t, err)
}

func TestIndexIsComparedNeverBelieved(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	held := m.held.Keys[0].ID
	m.edit(func(w *keyring.Wrapped) {
		w.Keys = []keyring.Key{{ID: held, Status: keyring.Retired, Template: keyring.AES256GCM, Binding: 1}}
	})
	ring := load(t, m, kek, nil)
	require.Equal(t, held, ring.PrimaryID())
	require.ErrorContains(t, ring.Status().IndexErr, fmt.Sprint(held))

	m.edit(func(w *keyring.Wrapped) { w.Keys[0].Binding = 2 })
	_, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, quietConfig(nil))
	require.ErrorIs(t, err, keyring.ErrKeysetCorrupt)
	require.ErrorContains(t, err, "upgrade")
}

func TestClosedRing(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	view := ring.Through(m)
	_, sealed, err := ring.Seal([]byte("x"), here)
	require.NoError(t, err)
	require.NoError(t, ring.Close())
	require.NoError(t, ring.Close())
	for _, r := range []*keyring.Ring{ring, view} {
		_, _, err = r.Seal([]byte("x"), here)
		require.ErrorIs(t, err, keyring.ErrClosed)
		_, err = r.Open(t.Context(), sealed, here)
		require.ErrorIs(t, err, keyring.ErrClosed)
	}
}
