package keyring

// What a ring knows of its own health.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	firstKEKRest = time.Second
	longestRest  = time.Minute
)

// Status is the health of a ring at one moment. Errors in it are for people:
// the ring serves on with the keys it holds.
type Status struct {
	Version            // of the keyset that the ring holds; zero after a degraded start
	Loaded   bool      // whether the ring holds keys at all
	LoadedAt time.Time // when the ring loaded this version

	PolledAt time.Time // when the storage last answered

	StorageErr   error     // why the storage last failed; nil once it answers
	StorageSince time.Time // since when it fails

	KEKErr   error     // why the last newer keyset could not be unwrapped
	KEKSince time.Time // since when

	RolledBackTo Version // what the database went back to; zero if it did not
	IndexErr     error   // how the index in vault_keys differs from the keyset
}

// Status tells the ring's health. It does no I/O.
func (r *Ring) Status() Status {
	state := r.state.Load()
	status := r.health.read()
	status.Version, status.LoadedAt = state.version, state.loadedAt
	status.Loaded, status.RolledBackTo = state.loaded(), state.rolledBackTo
	return status
}

// healthRecord is the mutable part of a ring's health.
type healthRecord struct {
	mu       sync.Mutex
	status   Status
	rest     time.Duration // how long the KEK is left alone after the next failure
	askAgain time.Time     // no KEK is asked before
}

func (h *healthRecord) read() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// polled records an answer of the ring's own storage.
func (h *healthRecord) polled(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.PolledAt = now
	h.status.StorageErr, h.status.StorageSince = nil, time.Time{}
}

// storageFailed records and passes on a failure of the ring's own storage.
func (r *Ring) storageFailed(ctx context.Context, err error) error {
	if !r.joins || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	r.health.mu.Lock()
	first := r.health.status.StorageErr == nil
	r.health.status.StorageErr = err
	if first {
		r.health.status.StorageSince = r.config.now()
	}
	r.health.mu.Unlock()
	if first && r.state.Load().loaded() {
		r.config.Logger.Warn("strongroom: cannot ask for the keyset's version; serving on with the keys held", "err", err)
	}
	return err
}

// kekFailed records a keyset that could not be unwrapped, and lets the KEK rest
// for a time that doubles with each failure.
func (r *Ring) kekFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the caller left or had no time; that says nothing about the KEK
	}
	now := r.config.now()
	r.health.mu.Lock()
	first := r.health.status.KEKErr == nil
	r.health.status.KEKErr = err
	if first {
		r.health.status.KEKSince, r.health.rest = now, firstKEKRest
	}
	r.health.askAgain = now.Add(vary(r.health.rest))
	r.health.rest = min(2*r.health.rest, longestRest)
	r.health.mu.Unlock()
	if first && r.state.Load().loaded() {
		r.config.Logger.Warn("strongroom: cannot unwrap the newer keyset; serving on with the keys held", "err", err)
	}
}

// kekAnswered records a keyset that was loaded.
func (r *Ring) kekAnswered(w Wrapped, indexErr error) {
	r.health.mu.Lock()
	r.health.status.KEKErr, r.health.status.KEKSince = nil, time.Time{}
	r.health.askAgain = time.Time{}
	r.health.status.IndexErr = indexErr
	r.health.mu.Unlock()
	r.config.Logger.Info("strongroom: keyset loaded", "keyset", w.Name, "generation", w.Generation, "keys", len(w.Keys))
	if indexErr != nil {
		r.config.Logger.Error("strongroom: the key index differs from the keyset; the keyset counts", "err", indexErr)
	}
}

// kekResting gives the last failure while the KEK is to be left alone.
func (h *healthRecord) kekResting(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Before(h.askAgain) {
		return h.status.KEKErr
	}
	return nil
}

// whyNotLoaded explains a ring without keys.
func (h *healthRecord) whyNotLoaded() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Errorf("no keyset is loaded yet: %w", h.status.KEKErr)
}
