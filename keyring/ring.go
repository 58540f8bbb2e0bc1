package keyring

// Ring: the live keyset of a process. Sealing and opening are here; how the
// keyset is kept current is in reload.go.

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	headerSize = 5                    // 0x01 and the key id
	minSealed  = headerSize + 12 + 16 // the header, a nonce and a tag
)

// Config is the optional part of a ring's set-up. Its zero value works.
type Config struct {
	// Keyset is the name of the keyset. Default: [DefaultKeyset].
	Keyset string

	// PollEvery is how often the ring asks whether the keyset changed; each
	// wait is varied by a tenth. Default: 15 s. Negative: never by itself, only
	// by [Ring.Poll] and when it meets an unknown key.
	PollEvery time.Duration

	// KEKTimeout bounds each call of a KEK. Default: [DefaultKEKTimeout].
	KEKTimeout time.Duration

	// Grace is how long a key that left the keyset still opens. Default: 1 h.
	Grace time.Duration

	// Logger gets a record when the keyset changes and when something goes
	// wrong or right again. Default: slog.Default().
	Logger *slog.Logger

	// AllowDegradedStart lets [Load] succeed when no KEK answers in KEKTimeout;
	// Load's own context must last longer. Until one answers, Seal and Open
	// return [ErrKEKUnavailable].
	AllowDegradedStart bool

	// now is the clock; tests move it.
	now func() time.Time
}

// Ring is the live keyset of a process: it seals under the primary key and
// opens under every key. It is safe for concurrent use; readers take no lock.
type Ring struct {
	*core
	storage Storage
	// joins tells that unknown keys may be looked up together with other
	// callers. Not so within a caller's transaction: see Through.
	joins bool
}

// core is what all views of a ring share.
type core struct {
	name    string
	keks    []KEK
	config  Config
	state   atomic.Pointer[state]
	loading chan struct{} // held, as a lock that ctx can interrupt, while a KEK is asked
	flights singleflight.Group

	health healthRecord
	life   lifetime
}

// Load reads the keyset, unwraps it with the first of keks (in order) that has
// a wrap and answers, and gives the live ring, which polls s until Close. It
// asks a KEK once. Errors: [ErrNoKeyset], [ErrKEKUnavailable] (see [KEKError]),
// [ErrKeysetCorrupt], or the storage's own.
func Load(ctx context.Context, s Storage, keks []KEK, c *Config) (*Ring, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: a ring needs a storage", ErrInvalid)
	}
	if err := checkKEKs(keks); err != nil {
		return nil, err
	}
	config := c.withDefaults()
	shared := &core{name: config.Keyset, keks: keks, config: config, loading: make(chan struct{}, 1)}
	shared.life.begin()
	shared.state.Store(&state{})
	r := &Ring{core: shared, storage: s, joins: true}
	if err := r.reload(ctx); err != nil && !r.mayStartWithout(ctx, err) {
		shared.life.end()
		return nil, err
	}
	r.startPolling()
	return r, nil
}

func (c *Config) withDefaults() Config {
	var out Config
	if c != nil {
		out = *c
	}
	if out.Keyset == "" {
		out.Keyset = DefaultKeyset
	}
	if out.PollEvery == 0 {
		out.PollEvery = 15 * time.Second
	}
	if out.KEKTimeout <= 0 {
		out.KEKTimeout = DefaultKEKTimeout
	}
	if out.Grace <= 0 {
		out.Grace = time.Hour
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	if out.now == nil {
		out.now = time.Now
	}
	return out
}

// Through gives a view of the ring that loads through s. It is for use within a
// caller's transaction: s reads on that transaction's connection, so that no
// call waits for another connection. What s shows may be older than what the
// ring holds; that is no rollback then. It must not be newer than what is
// committed: never change the keyset in a transaction of which a ring has a view.
func (r *Ring) Through(s Storage) *Ring {
	return &Ring{core: r.core, storage: s}
}

// Seal encrypts a value under the primary key, bound to b, and tells the key's
// id. It does no I/O. Errors: those of [Ring.Sealer] and [Sealer.Seal].
func (r *Ring) Seal(plaintext []byte, b Binding) (keyID uint32, sealed []byte, err error) {
	sealer, err := r.Sealer()
	if err != nil {
		return 0, nil, err
	}
	sealed, err = sealer.Seal(plaintext, b)
	return sealer.KeyID(), sealed, err
}

// Open decrypts a value that was sealed with the same binding. When it meets a
// key that the ring does not know it asks the storage once, and a KEK only if
// the keyset changed. Errors: [ErrNotOpened], with [ErrUnknownKey] if the
// current keyset has no key of that id; [ErrUnknownKey] with the reason if the
// current keyset could not be loaded; [ErrKEKUnavailable] after a degraded
// start; [ErrClosed].
func (r *Ring) Open(ctx context.Context, sealed []byte, b Binding) ([]byte, error) {
	id, err := KeyID(sealed)
	if err != nil {
		return nil, err
	}
	key, err := r.openingKey(ctx, id)
	if err != nil {
		return nil, err
	}
	plaintext, err := key.aead.Decrypt(sealed, b.AssociatedData())
	if err != nil {
		return nil, ErrNotOpened // Tink's reason is left out on purpose
	}
	return plaintext, nil
}

// PrimaryID is the id of the key that Seal would use now; 0 before any keyset
// is loaded.
func (r *Ring) PrimaryID() uint32 {
	if s := r.state.Load(); s.loaded() {
		return s.primary.ID
	}
	return 0
}

// Close stops the polling and what the ring asks of its own storage, and waits
// for it to end; what a view of [Ring.Through] asks ends with its caller. Seal,
// Open and Poll fail with [ErrClosed] afterwards, in every view. Calling it again
// does nothing. A KEK or a log handler must not call it: it would wait for itself.
func (r *Ring) Close() error {
	r.life.end()
	return nil
}

// KeyID tells the id of the key that a value was sealed under, from its header.
// What has no such header, or is too short, is [ErrNotOpened].
func KeyID(sealed []byte) (uint32, error) {
	if len(sealed) < minSealed || sealed[0] != 1 {
		return 0, ErrNotOpened
	}
	return binary.BigEndian.Uint32(sealed[1:headerSize]), nil
}

func (c *core) usable() (*state, error) {
	if c.life.ended() {
		return nil, errRingClosed
	}
	s := c.state.Load()
	if !s.loaded() {
		return nil, c.health.whyNotLoaded()
	}
	return s, nil
}

// openingKey finds a key, and loads the keyset anew when it is not known. A
// look-up that other callers share may have begun before the key was added, so
// one that was joined and found nothing is made once more.
func (r *Ring) openingKey(ctx context.Context, id uint32) (*liveKey, error) {
	var failure error
	for range 2 {
		s, err := r.usable()
		if err != nil {
			return nil, err
		}
		if key := s.opener(id, r.config.now); key != nil {
			return key, nil
		}
		var joined bool
		if joined, failure = r.refresh(ctx); !joined {
			break
		}
	}
	s := r.state.Load()
	if key := s.opener(id, r.config.now); key != nil {
		return key, nil
	}
	unknown := unknownKey("open", id, s.version)
	if failure != nil { // an outage, which says nothing about the value
		return nil, fmt.Errorf("%w; looking for a newer one failed: %w", unknown, failure)
	}
	return nil, fmt.Errorf("%w: %w", ErrNotOpened, unknown)
}

func unknownKey(op string, id uint32, v Version) error {
	return fmt.Errorf("%s: %w %d: it is not in keyset generation %d", op, ErrUnknownKey, id, v.Generation)
}
