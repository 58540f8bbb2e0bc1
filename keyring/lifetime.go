package keyring

// lifetime: what a ring does in the background ends with it.

import (
	"context"
	"fmt"
	"sync"
)

var errRingClosed = fmt.Errorf("key ring: %w", ErrClosed)

type lifetime struct {
	mu     sync.Mutex
	over   bool
	ctx    context.Context // ends with the ring
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func (l *lifetime) begin() {
	l.ctx, l.cancel = context.WithCancel(context.Background())
}

// enter announces work in the background; false when the ring was closed. Each
// true asks for one leave.
func (l *lifetime) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.work.Add(1)
	return true
}

func (l *lifetime) leave() { l.work.Done() }

// end cancels what is under way and waits for it.
func (l *lifetime) end() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.cancel()
	l.work.Wait()
}

func (l *lifetime) ended() bool { return l.ctx.Err() != nil }
