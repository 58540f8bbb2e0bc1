// Package pgserver gives tests and examples a Postgres of their own.
//
// [Shared] starts one private server for the whole process: in a temporary
// folder, reached through a Unix socket, with nothing to set up before. [Start]
// starts another one with its own [Config]. [Scratch] gives a program a fresh
// schema and its URL. Tests take all of it from internal/pgtest.
//
// A server never outlives the process that started it. A small shell script
// supervises it and notices the process's end, even by SIGKILL; it then stops
// Postgres and removes the folder. If the script is killed as well, the next
// Start clears up after it.
//
// The programs are the machine's own Postgres, 14 or newer, the newest first.
// Without one, they are downloaded once per user and kept in a cache folder.
// Three environment variables change that:
//
//   - STRONGROOM_TEST_DATABASE_URL, a postgres:// URL: use this database and
//     start no server. Only schemas and databases made here are touched.
//   - STRONGROOM_TEST_POSTGRES_VERSION, a major version from 14 to 18: download
//     and use this one, whatever the machine has.
//   - STRONGROOM_TEST_POSTGRES_BIN: the folder of the initdb and postgres to use.
//
// Postgres refuses to run as root. For root, the server runs as the user
// postgres, else nobody, else user id 65534.
//
// It works on Linux, macOS and the BSDs. On Windows nothing is started: name a
// database in STRONGROOM_TEST_DATABASE_URL.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// startLimit ends a start that hangs; a slow machine needs some seconds.
const startLimit = 2 * time.Minute

// ErrStopped means that the server was asked for something after [Server.Stop].
var ErrStopped = errors.New("this Postgres server has been stopped")

// Config changes how a server runs. Its zero value works.
type Config struct {
	// Version is the major version of Postgres to download and run, from 14 to 18.
	// Default: STRONGROOM_TEST_POSTGRES_VERSION, else the machine's own Postgres.
	Version int

	// TCP makes the server listen on a free port of 127.0.0.1 too, and URL name
	// it. Every user of the machine can then connect, without a password and as
	// superuser. Default: only the Unix socket, which other users cannot reach.
	TCP bool

	// Settings are parameters of postgresql.conf and win over the defaults, which
	// are Postgres's own but for: fsync and full_page_writes off, max_connections
	// 200. synchronous_commit is on.
	Settings map[string]string
}

// Server is a private Postgres server. Its methods may be called concurrently.
type Server struct {
	config  Config
	bin     string
	version int
	port    int
	folder  *folder

	mu         sync.Mutex
	supervisor *supervisor // of the latest run; nil before the first
	stopped    bool
}

// Start starts a private server in a fresh folder and returns when it accepts
// connections. ctx bounds the start only; so does a limit of two minutes, without
// the download of the programs. An error carries the end of the server's log.
// The caller should Stop the server; the end of the process does it too.
func Start(ctx context.Context, c Config) (*Server, error) {
	s, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start a private Postgres server: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, c Config) (*Server, error) {
	if !supported {
		return nil, fmt.Errorf("not on this operating system: name a database in %s instead", envDatabaseURL)
	}
	bin, version, err := serverBin(ctx, c)
	if err != nil {
		return nil, err
	}
	sweep()
	// A free port may be taken again before Postgres listens on it.
	for try := 1; ; try++ {
		s, err := startOnce(ctx, c, bin, version)
		if c.TCP && try < 5 && errors.Is(err, errPortTaken) {
			continue
		}
		return s, err
	}
}

func startOnce(ctx context.Context, c Config, bin string, version int) (*Server, error) {
	port, err := choosePort(c.TCP)
	if err != nil {
		return nil, err
	}
	folder, err := newFolder()
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, bin: bin, version: version, port: port, folder: folder}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Bin is the folder of the server's programs. A downloaded Postgres has no psql
// and no pg_dump: see [ClientBin].
func (s *Server) Bin() string { return s.bin }

// Version is the major version of Postgres, 15 for example.
func (s *Server) Version() int { return s.version }

// Restart starts the server again over the same data, under the same URL; one
// that still runs crashes first. It returns when connections are accepted. ctx
// bounds the start. After Stop the error is [ErrStopped].
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.crash(); err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("restart the private Postgres server: %w", err)
	}
	return nil
}

// Crash ends the server at once, without a checkpoint and without a word to its
// clients, and keeps its data: the next Restart recovers from the write-ahead log.
// It returns when no process of the server is left. After Stop the error is
// [ErrStopped].
func (s *Server) Crash() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crash()
}

func (s *Server) crash() error {
	if s.stopped {
		return ErrStopped
	}
	if err := endServer(s.folder.path); err != nil {
		return err
	}
	return s.supervisor.awaitServerGone()
}

// Stop ends the server at once and removes its folder with the data. It returns
// when no process of the server is left. Further calls do nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	if s.supervisor != nil {
		s.supervisor.release()
	}
	return s.folder.remove()
}

// run starts a server with its supervisor and waits until it accepts connections.
func (s *Server) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	log, err := openLog(filepath.Join(s.folder.path, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	if s.supervisor != nil {
		s.supervisor.dismiss()
	}
	next, err := supervise(s.folder, s.bin, s.options(), log.File)
	if err != nil {
		return err
	}
	s.supervisor = next
	if err := s.awaitReady(ctx); err != nil {
		return log.explain(err)
	}
	return nil
}

func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx, s.URL("postgres"))
		if err == nil {
			return nil
		}
		if unusable := (*pgconn.ParseConfigError)(nil); errors.As(err, &unusable) {
			return errors.New("the environment makes no connection possible: unset PGSERVICE and the other PG… variables")
		}
		select {
		case <-s.supervisor.serverGone:
			return errors.New("postgres ended before it accepted connections")
		case <-ctx.Done():
			return fmt.Errorf("postgres accepts no connections yet (%w): %w", err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
