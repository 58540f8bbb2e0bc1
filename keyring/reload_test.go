package keyring_test

// Keeping a ring current when look-ups overlap, hang, fail or outlive the ring.

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/keyring"
)

// slow is a storage whose answer to Version is made at once and arrives later.
type slow struct {
	*memory
	made    chan struct{} // an answer was made
	arrives chan struct{} // it may arrive; nil: at once
}

func (s *slow) Version(ctx context.Context, name string) (keyring.Version, error) {
	v, err := s.memory.Version(ctx, name)
	if s.arrives == nil {
		return v, err
	}
	s.made <- struct{}{}
	select {
	case <-s.arrives:
		return v, err
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

// A poll's answer that was made before another look-up loaded a newer keyset,
// and arrives after, is old news and no rollback.
func TestALateAnswerIsNoRollback(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	s := &slow{memory: m}
	ring := load(t, s, kek, nil)
	s.made, s.arrives = make(chan struct{}), make(chan struct{})
	polled := make(chan error, 1)
	go func() { polled <- ring.Poll(t.Context()) }()
	<-s.made
	step(t, m, kek, keyring.Stage(keyring.AES256GCM))
	require.NoError(t, ring.Through(m).Poll(t.Context()))
	close(s.arrives)
	require.NoError(t, <-polled)
	_, _, err := ring.Seal([]byte("x"), here)
	require.NoError(t, err)
	require.Zero(t, ring.Status().RolledBackTo)
}

// The caller leaves, the ring closes: nothing goes on.
func TestCloseEndsALookUpThatIsUnderWay(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	s := &slow{memory: m}
	ring := load(t, s, kek, nil)
	s.made, s.arrives = make(chan struct{}), make(chan struct{})
	polled := make(chan error, 1)
	go func() { polled <- ring.Poll(t.Context()) }()
	<-s.made
	require.NoError(t, ring.Close(), "Close waits for the look-up, which its end cancels")
	require.ErrorIs(t, <-polled, keyring.ErrClosed)

	step(t, m, kek, keyring.Stage(keyring.AES256GCM))
	before := kek.unwraps.Load()
	require.ErrorIs(t, ring.Poll(t.Context()), keyring.ErrClosed)
	require.ErrorIs(t, ring.Through(m).Poll(t.Context()), keyring.ErrClosed)
	require.Equal(t, before, kek.unwraps.Load())
}

// One caller's own deadline says nothing about the KEK, and puts it to rest for
// nobody.
func TestACallersDeadlineIsNotTheKEKsFailure(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	newer := sealedByANewer(t, m, kek)
	ctx, cancel := context.WithCancel(t.Context())
	kek.breaks(func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
	require.Error(t, ring.Through(m).Poll(ctx))
	kek.mends()
	_, err := ring.Open(t.Context(), newer, here)
	require.NoError(t, err)
	require.NoError(t, ring.Status().KEKErr)
}

// An outage is told apart from a value that does not open: a service must not
// give up an integration because its KMS is down.
func TestAnOutageIsNotCorruption(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	ring := load(t, m, kek, nil)
	newer := sealedByANewer(t, m, kek)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ring.Open(cancelled, newer, here)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, keyring.ErrNotOpened)

	m.breaks(errors.New("connection refused"))
	_, err = ring.Open(t.Context(), newer, here)
	require.ErrorIs(t, err, keyring.ErrUnknownKey)
	require.NotErrorIs(t, err, keyring.ErrNotOpened)
	m.breaks(nil)

	down := errors.New("down")
	kek.breaks(func(context.Context) error { return down })
	_, err = ring.Open(t.Context(), newer, here)
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, keyring.ErrNotOpened)
}

// hung is a storage that does not answer.
type hung struct {
	*memory
	on atomic.Bool
}

func (h *hung) Version(ctx context.Context, name string) (keyring.Version, error) {
	if h.on.Load() {
		<-ctx.Done()
		return keyring.Version{}, ctx.Err()
	}
	return h.memory.Version(ctx, name)
}

func TestADatabaseThatHangsIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, kek := aVault(t)
		h := &hung{memory: m}
		config := quietConfig(nil)
		config.PollEvery = 10 * time.Second
		ring, err := keyring.Load(t.Context(), h, []keyring.KEK{kek}, config)
		require.NoError(t, err)
		h.on.Store(true)
		<-time.After(time.Minute) // of the bubble's clock
		require.ErrorIs(t, ring.Status().StorageErr, context.DeadlineExceeded)
		require.NoError(t, ring.Close())
	})
}

// A deadline of the KEK's own is its failure, however long it is: it is reported,
// and the KEK then rests.
func TestAHangingKEKIsReportedAndRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, kek := aVault(t)
		config := quietConfig(nil)
		config.KEKTimeout = 2 * time.Minute
		ring, err := keyring.Load(t.Context(), m, []keyring.KEK{kek}, config)
		require.NoError(t, err)
		newer := sealedByANewer(t, m, kek)
		kek.breaks(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		kek.unwraps.Store(0)
		began := time.Now()
		for range 3 {
			_, err = ring.Open(t.Context(), newer, here)
			require.ErrorIs(t, err, keyring.ErrKEKUnavailable)
		}
		require.Equal(t, config.KEKTimeout, time.Since(began), "one call; then it rests")
		require.EqualValues(t, 1, kek.unwraps.Load())
		require.ErrorIs(t, ring.Status().KEKErr, context.DeadlineExceeded)
		require.NoError(t, ring.Close())
	})
}

func TestAKeyIsForgottenAfterItsGrace(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	c := newClock()
	config := c.config()
	config.Grace = time.Minute
	ring := load(t, m, kek, config)
	first := ring.PrimaryID()
	step(t, m, kek, keyring.Stage(keyring.AES256GCM), keyring.Promote(), keyring.Destroy(first))
	require.NoError(t, ring.Poll(t.Context()))
	require.Contains(t, keyring.HeldIDs(ring), first)
	c.moves(time.Minute)
	require.NoError(t, ring.Poll(t.Context()))
	require.NotContains(t, keyring.HeldIDs(ring), first)
	require.Contains(t, keyring.HeldIDs(ring), ring.PrimaryID())
}

func TestNilIsRefused(t *testing.T) {
	t.Parallel()
	m, kek := aVault(t)
	_, noKEK := keyring.Load(t.Context(), m, []keyring.KEK{nil}, nil)
	_, noStorage := keyring.Load(t.Context(), nil, []keyring.KEK{kek}, nil)
	_, createNoKEK := keyring.Create(t.Context(), &memory{}, "default", keyring.AES256GCM, []keyring.KEK{nil}, "test")
	_, createNoStorage := keyring.Create(t.Context(), nil, "default", keyring.AES256GCM, []keyring.KEK{kek}, "test")
	_, noStep := keyring.Apply(t.Context(), m, "default", []keyring.KEK{kek}, "test", nil)
	_, noOpener := keyring.OpenKEK(t.Context(), "x://y", map[string]keyring.Opener{"x": nil})
	_, badActor := keyring.Apply(t.Context(), m, "default", []keyring.KEK{kek}, "a\x00b", keyring.Promote())
	for _, err := range []error{noKEK, noStorage, createNoKEK, createNoStorage, noStep, noOpener, badActor} {
		require.ErrorIs(t, err, keyring.ErrInvalid)
	}
}
