package keyring_test

// Outages: a ring serves on with the keys it holds, and a start fails with the
// reason.

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

func TestServesOnWhenTheStorageFails(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	c := newClock()
	ring := load(t, m, kek, c.config())
	_, sealed, err := ring.Seal([]byte("a token"), here)
	require.NoError(t, err)

	down := errors.New("connection refused")
	m.breaks(down)
	since := c.now()
	require.ErrorIs(t, ring.Poll(t.Context()), down)
	c.moves(time.Minute)
	require.ErrorIs(t, ring.Poll(t.Context()), down)
	require.ErrorIs(t, ring.Status().StorageErr, down)
	require.Equal(t, since, ring.Status().StorageSince)
	_, err = ring.Open(t.Context(), sealed, here)
	require.NoError(t, err)
	_, _, err = ring.Seal([]byte("x"), here)
	require.NoError(t, err)

	m.breaks(nil)
	require.NoError(t, ring.Poll(t.Context()))
	require.NoError(t, ring.Status().StorageErr)
	require.Equal(t, c.now(), ring.Status().PolledAt)
}

func TestServesOnWhenTheKEKFailsAndDoesNotStampede(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	c := newClock()
	ring := load(t, m, kek, c.config())
	_, sealed, err := ring.Seal([]byte("a token"), here)
	require.NoError(t, err)
	newer := sealedByANewer(t, m, kek)

	throttled := errors.New("throttled")
	kek.breaks(func(context.Context) error { return throttled })
	kek.unwraps.Store(0)
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() { _, _ = ring.Open(t.Context(), newer, here) })
	}
	all.Wait()
	require.EqualValues(t, 1, kek.unwraps.Load(), "one call, then the KEK is left alone")
	_, err = ring.Open(t.Context(), newer, here)
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
	require.ErrorIs(t, err, throttled)
	require.ErrorIs(t, ring.Status().KEKErr, throttled)
	_, err = ring.Open(t.Context(), sealed, here)
	require.NoError(t, err)
	_, _, err = ring.Seal([]byte("x"), here)
	require.NoError(t, err)

	kek.mends()
	c.moves(2 * time.Second)
	_, err = ring.Open(t.Context(), newer, here)
	require.NoError(t, err, "recovery needs no restart")
	require.NoError(t, ring.Status().KEKErr)
}

func TestStartFailsWithTheReason(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	denied := errors.New("access denied")
	kek.breaks(func(context.Context) error { return denied })
	_, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, quietConfig(nil))
	require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
	require.ErrorIs(t, err, denied)
	var detail *keyring.KEKError
	require.ErrorAs(t, err, &detail)
	require.Equal(t, kek.URI(), detail.URI)
	require.Equal(t, "unwrap", detail.Op)
	require.False(t, detail.Retryable())
	require.ErrorContains(t, err, kek.URI())

	_, err = keyring.Load(t.Context(), m, []keyring.KEK{newKEK()}, quietConfig(nil))
	require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
	require.ErrorContains(t, err, kek.URI(), "it says what the keyset is wrapped under")

	_, err = keyring.Load(t.Context(), &memory{}, []keyring.KEK{kek}, quietConfig(nil))
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
	_, err = keyring.Load(t.Context(), m, nil, nil)
	require.ErrorIs(t, err, keyring.ErrInvalid)
}

// A KEK that hangs, and does not even heed its context, ends at the deadline.
func TestAHangingKEKEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, kek := aVault(t)
		release := make(chan struct{})
		kek.breaks(func(context.Context) error { <-release; return errors.New("too late") })
		began := time.Now()
		_, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, quietConfig(nil))
		require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, keyring.DefaultKEKTimeout, time.Since(began))
		var detail *keyring.KEKError
		require.ErrorAs(t, err, &detail)
		require.True(t, detail.Retryable())
		close(release)
	})
}
