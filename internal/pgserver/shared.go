package pgserver

// This file keeps the one server of a process, and gives programs a place in it.

import (
	"context"
	"errors"
	"os"
	"sync"
)

const envDatabaseURL = "STRONGROOM_TEST_DATABASE_URL"

var shared struct {
	mu     sync.Mutex
	server *Server
	err    error // of the first start
	kept   bool  // until the process ends, since Shared gave it out
	users  int   // of Scratch
}

// Shared is the private server of this process, started by the first call. It runs
// until the process ends; nobody needs to stop it, and nobody may. A start that
// failed is not tried again, unless its context had ended.
func Shared(ctx context.Context) (*Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	s, err := sharedLocked(ctx)
	if err == nil {
		shared.kept = true
	}
	return s, err
}

func sharedLocked(ctx context.Context) (*Server, error) {
	if shared.server != nil || shared.err != nil {
		return shared.server, shared.err
	}
	s, err := Start(ctx, Config{})
	shared.server = s
	if ctx.Err() == nil {
		shared.err = err
	}
	return s, err
}

// DatabaseURL is the database in which tests work: STRONGROOM_TEST_DATABASE_URL,
// else "postgres" on the [Shared] server. private says that it is the latter.
func DatabaseURL(ctx context.Context) (databaseURL string, private bool, err error) {
	if databaseURL := os.Getenv(envDatabaseURL); databaseURL != "" {
		return databaseURL, false, nil
	}
	s, err := Shared(ctx)
	if err != nil {
		return "", false, err
	}
	return s.URL("postgres"), true, nil
}

// Scratch gives a program a fresh schema and the URL that leads to it, as
// [NewSchema] does, in the database of STRONGROOM_TEST_DATABASE_URL or on this
// process's private server. cleanup drops the schema; the last cleanup stops the
// private server, unless [Shared] gave it out. cleanup may be called once.
func Scratch(ctx context.Context, prefix string) (databaseURL string, cleanup func(context.Context) error, err error) {
	if databaseURL := os.Getenv(envDatabaseURL); databaseURL != "" {
		return NewSchema(ctx, databaseURL, prefix)
	}
	s, err := acquireShared(ctx)
	if err != nil {
		return "", nil, err
	}
	databaseURL, drop, err := NewSchema(ctx, s.URL("postgres"), prefix)
	if err != nil {
		return "", nil, errors.Join(err, releaseShared())
	}
	return databaseURL, func(ctx context.Context) error { return errors.Join(drop(ctx), releaseShared()) }, nil
}

func acquireShared(ctx context.Context) (*Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	s, err := sharedLocked(ctx)
	if err == nil {
		shared.users++
	}
	return s, err
}

func releaseShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.users--
	if shared.users > 0 || shared.kept {
		return nil
	}
	s := shared.server
	shared.server = nil
	return s.Stop()
}
