package keyring

// Keeping a ring current: polling, loading a changed keyset, noticing one that
// was rolled back.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// storageTimeout bounds each question to the storage. A look-up that several
// callers share is ended by none of their contexts.
const storageTimeout = 30 * time.Second

// Poll asks the storage now whether the keyset changed, and loads it if so. The
// ring does this by itself every PollEvery. An error leaves the ring as it is.
func (r *Ring) Poll(ctx context.Context) error {
	joined, err := r.refresh(ctx)
	if joined { // that look-up may have begun before what the caller wants to see
		_, err = r.refresh(ctx)
	}
	return err
}

func (r *Ring) startPolling() {
	if r.config.PollEvery < 0 || !r.life.enter() {
		return
	}
	go func() {
		defer r.life.leave()
		for sleep(r.life.ctx, vary(r.config.PollEvery)) {
			_, _ = r.refresh(r.life.ctx) // the outcome is in Status, and logged when it changes
		}
	}()
}

// refresh reloads, together with other callers where that is safe, and tells
// whether a look-up that was under way already was joined.
func (r *Ring) refresh(ctx context.Context) (joined bool, err error) {
	if r.life.ended() {
		return false, errRingClosed
	}
	if !r.joins {
		return false, r.reload(ctx)
	}
	leads := false
	answer := r.flights.DoChan("", func() (any, error) {
		leads = true
		return nil, r.reloadForAll()
	})
	select {
	case a := <-answer:
		return !leads, a.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// reloadForAll is a reload that no single caller's context ends, but the ring's
// does.
func (r *Ring) reloadForAll() error {
	if !r.life.enter() {
		return errRingClosed
	}
	defer r.life.leave()
	err := r.reload(r.life.ctx)
	if err != nil && r.life.ended() {
		return errRingClosed
	}
	return err
}

// reload compares the stored version with the one that the ring held before it
// asked, and loads the keyset if the stored one is newer. No lock is held while
// the storage is asked.
func (r *Ring) reload(ctx context.Context) error {
	held := r.state.Load().version
	stored, err := ask(ctx, r.storage.Version, r.name)
	if err != nil {
		return r.storageFailed(ctx, err)
	}
	switch {
	case stored == held:
		r.noteCurrent(stored)
		return nil
	case stored.Generation <= held.Generation:
		r.noteOlder(held, stored)
		return nil
	}
	w, err := ask(ctx, r.storage.Load, r.name)
	if err != nil {
		return r.storageFailed(ctx, err)
	}
	if err := r.install(ctx, w); err != nil {
		return err
	}
	r.noteCurrent(w.Version)
	return nil
}

// ask puts a question to the storage, with a deadline of its own.
func ask[T any](ctx context.Context, question func(context.Context, string) (T, error), name string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	return question(ctx, name)
}

// install unwraps a newer keyset and swaps it in. One caller at a time asks the
// KEK; who waited finds the work done. After a failure nobody asks again before
// a while has passed, so that an outage is not answered by a stampede.
func (r *Ring) install(ctx context.Context, w Wrapped) error {
	select {
	case r.loading <- struct{}{}:
		defer func() { <-r.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	before := r.state.Load()
	if w.Generation <= before.version.Generation {
		return nil
	}
	if err := r.health.kekResting(r.config.now()); err != nil {
		return err
	}
	k, err := unwrap(ctx, w, r.keks, r.config.KEKTimeout)
	if err == nil {
		err = checkBindings(w)
	}
	if err != nil {
		r.kekFailed(ctx, err)
		return err
	}
	next, err := newState(w.Version, k, before, r.config.now(), r.config.Grace)
	if err != nil {
		return err
	}
	r.state.Store(next)
	r.kekAnswered(w, compareIndex(w.Keys, k))
	return nil
}

// noteCurrent records that the database holds what the ring holds. A rollback
// that was noticed is over: the database is back on the same history. Keys whose
// grace time is over are forgotten.
func (r *Ring) noteCurrent(stored Version) {
	if !r.joins {
		return
	}
	now := r.config.now()
	r.health.polled(now)
	r.changeState(func(s *state) bool { return s.forget(now) }, func() {})
	r.changeState(func(s *state) bool {
		over := s.rolledBackTo != Version{} && s.version == stored
		s.rolledBackTo = Version{}
		return over
	}, func() {
		r.config.Logger.Info("strongroom: the database holds this process's keyset again", "generation", stored.Generation)
	})
}

// noteOlder records that the database holds an older keyset, or another of the
// same generation, than the ring held when it asked. Seen through a caller's
// transaction it means nothing: its snapshot may be older than the last change.
// Nor does it if the ring has loaded another version since.
func (r *Ring) noteOlder(held, stored Version) {
	if !r.joins {
		return
	}
	r.health.polled(r.config.now())
	r.changeState(func(s *state) bool {
		changed := s.version == held && s.rolledBackTo != stored
		s.rolledBackTo = stored
		return changed
	}, func() {
		r.config.Logger.Error("strongroom: the database's keyset was rolled back; opening goes on, sealing is refused",
			"generation", stored.Generation, "held", held.Generation)
	})
}

// changeState swaps in a changed copy of the state, and calls did if it was
// changed. change gets the copy and tells whether to keep it.
func (r *Ring) changeState(change func(*state) bool, did func()) {
	for {
		before := r.state.Load()
		next := *before
		if !change(&next) {
			return
		}
		if r.state.CompareAndSwap(before, &next) {
			did()
			return
		}
	}
}

// mayStartWithout tells whether a ring may start although loading failed.
func (r *Ring) mayStartWithout(ctx context.Context, err error) bool {
	return r.config.AllowDegradedStart && errors.Is(err, ErrKEKUnavailable) && ctx.Err() == nil
}

// checkBindings refuses keys whose values are bound in a way that this version
// does not know.
func checkBindings(w Wrapped) error {
	for _, key := range w.Keys {
		if key.Binding != CurrentBinding {
			return fmt.Errorf("%w: key %d has binding scheme %d, this version knows %d: upgrade it",
				ErrKeysetCorrupt, key.ID, key.Binding, CurrentBinding)
		}
	}
	return nil
}

// compareIndex tells how the database's index of a keyset differs from it.
func compareIndex(index []Key, k *Keyset) error {
	if len(index) != len(k.keys) {
		return fmt.Errorf("vault_keys lists %d keys, the keyset holds %d", len(index), len(k.keys))
	}
	for _, listed := range index {
		held, ok := k.find(listed.ID)
		if !ok || held.Status != listed.Status || held.Template != listed.Template {
			return fmt.Errorf("vault_keys lists key %d as %s %s, the keyset differs", listed.ID, listed.Status, listed.Template)
		}
	}
	return nil
}

// vary changes a duration by up to a tenth either way, so that processes
// started together do not act together.
func vary(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.2-0.1)*float64(d)) //nolint:gosec // spreads load; nothing secret
}

// sleep waits and tells whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
