package vault_test

// Everything at once: two processes on one pool write, move, install and update
// while keys change. No credential is lost or brought back, every error is a
// documented one, and running again what asks for it always succeeds.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

// envStress multiplies how much each actor of the stress test does. Default: 1.
const envStress = "STRONGROOM_TEST_STRESS"

// hangs is far beyond what anything takes: it only ends a test that fails.
const hangs = 2 * time.Minute

func TestStress(t *testing.T) {
	t.Parallel()
	multiplier := 1
	if text := os.Getenv(envStress); text != "" {
		var err error
		multiplier, err = strconv.Atoi(text)
		require.NoError(t, err, envStress)
	}
	for _, conns := range []int32{1, 2, 4} {
		for name, level := range map[string]pgx.TxIsoLevel{
			"on the pool": onThePool, "read committed": pgx.ReadCommitted,
			"repeatable read": pgx.RepeatableRead, "serializable": pgx.Serializable,
		} {
			t.Run(fmt.Sprintf("%s, %d connections", name, conns), func(t *testing.T) {
				t.Parallel()
				newStress(t, conns, level, 8*multiplier).run(t)
			})
		}
	}
}

// stress is one run. Its one integration is everybody's; each credential of it has
// one writer.
type stress struct {
	v         *vaulttest.Vault // on a pool of its own: changes keys, and checks at the end
	pool      *pgxpool.Pool
	processes [2]*vault.Vault
	level     pgx.TxIsoLevel
	rounds    int

	homes    [2]string // the workspaces that it moves between
	at       atomic.Pointer[vault.Ref]
	installs string // the workspace of the installs
}

func newStress(t *testing.T, conns int32, level pgx.TxIsoLevel, rounds int) *stress {
	t.Helper()
	s := &stress{v: vaulttest.New(t), level: level, rounds: rounds}
	s.pool = poolOf(t, s.v, func(c *pgxpool.Config) { c.MaxConns = conns })
	for n := range s.processes {
		config := *quiet
		config.PollEvery = 20 * time.Millisecond
		process, err := vault.Open(t.Context(), s.pool, s.v.KEK(), &config)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, process.Close(context.Background())) })
		s.processes[n] = process
	}
	s.homes, s.installs = [2]string{s.v.Workspace(), s.v.Workspace()}, s.v.Workspace()
	i := create(t, s.v, aSlack(s.homes[0]))
	s.at.Store(&i.Ref)
	return s
}

func (s *stress) run(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, actor := range []func(context.Context, int) error{
		s.replacing(func(c *vault.Credentials) *vault.Secret { return &c.WebhookSecret }),
		s.replacing(func(c *vault.Credentials) *vault.Secret { return &c.AccessToken }),
		s.replacing(func(c *vault.Credentials) *vault.Secret { return &c.RefreshToken }),
		s.move, s.install, s.install, s.addChannel("a"), s.addChannel("b"), s.changeKeys,
	} {
		g.Go(func() error {
			for n := range s.rounds {
				if err := actor(ctx, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())

	process := s.v.Process()
	require.NoError(t, process.Health().IndexErr)
	last := fmt.Sprint(s.rounds - 1)
	holds(t, process.Integrations, *s.at.Load(), last, last, last)
	only(t, s.v, s.installs)
	got, err := process.Get(t.Context(), *s.at.Load())
	require.NoError(t, err)
	var want, channels []string
	for n := range s.rounds {
		want = append(want, fmt.Sprint("a", n), fmt.Sprint("b", n))
	}
	for _, c := range got.Config.SlackChannels[1:] {
		channels = append(channels, c.ID)
	}
	require.ElementsMatch(t, want, channels, "no update was overwritten")
}

// call makes a call on the shared integration, in a transaction of the run's level,
// until it succeeds. It may have to run again because of what others did; any other
// error is returned.
func (s *stress) call(ctx context.Context, n int, f func(x *vault.Integrations, r vault.Ref) error) error {
	for {
		r := *s.at.Load()
		err := run(ctx, s.processes[n%len(s.processes)], s.pool, s.level, func(x *vault.Integrations) error { return f(x, r) })
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case errors.Is(err, vault.ErrNotFound): // it is being moved
		case errors.Is(err, vault.ErrConflict): // after ten tries
		case s.level != onThePool && toRunAgain(err):
		default:
			return err
		}
	}
}

// replacing gives the one writer of a credential: what it wrote is what it reads
// next, by the other process.
func (s *stress) replacing(field func(*vault.Credentials) *vault.Secret) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		var c vault.Credentials
		*field(&c) = secret(fmt.Sprint(n))
		err := s.call(ctx, n, func(x *vault.Integrations, r vault.Ref) error { return x.SetCredentials(ctx, r, c) })
		if err != nil {
			return fmt.Errorf("replace: %w", err)
		}
		var stored vault.Credentials
		err = s.call(ctx, n+1, func(x *vault.Integrations, r vault.Ref) (err error) {
			stored, err = x.Credentials(ctx, r)
			return err
		})
		if err == nil && !field(&stored).Equal(*field(&c)) {
			err = fmt.Errorf("lost or brought back: wrote %d, read %s", n, field(&stored).Reveal())
		}
		return err
	}
}

func (s *stress) move(ctx context.Context, n int) error {
	to := s.homes[(n+1)%len(s.homes)]
	var moved vault.Integration
	err := s.call(ctx, n, func(x *vault.Integrations, r vault.Ref) (err error) {
		moved, err = x.Move(ctx, r, to)
		return err
	})
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	s.at.Store(&moved.Ref)
	return nil
}

func (s *stress) install(ctx context.Context, n int) error {
	err := s.call(ctx, n, func(x *vault.Integrations, _ vault.Ref) error {
		_, _, err := x.Install(ctx, aSlack(s.installs))
		return err
	})
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}

func (s *stress) addChannel(name string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		add := func(c vault.IntegrationConfig) (vault.IntegrationConfig, error) {
			c.SlackChannels = append(c.SlackChannels, vault.SlackChannel{ID: fmt.Sprint(name, n), Name: name})
			return c, nil
		}
		err := s.call(ctx, n, func(x *vault.Integrations, r vault.Ref) error {
			_, err := x.Update(ctx, r, vault.Patch{Config: add})
			return err
		})
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		return nil
	}
}

// changeKeys makes a new primary and destroys the retired keys that no row uses.
func (s *stress) changeKeys(ctx context.Context, _ int) error {
	steps := []keyring.Step{keyring.Stage(keyring.AES256GCM), keyring.Promote()}
	rows, err := s.v.Pool().Query(ctx, `SELECT key_id FROM vault_keys WHERE status <> 'staged'`)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return err
	}
	for _, id := range ids {
		steps = append(steps, keyring.Destroy(id))
	}
	for n, step := range steps {
		_, err := keyring.Apply(ctx, storeOf(s.v), keyring.DefaultKeyset, []keyring.KEK{s.v.KEK()}, "stress", step)
		if inUse := n >= 2 && errors.Is(err, vault.ErrConflict); err != nil && !inUse {
			return fmt.Errorf("change keys: %w", err)
		}
	}
	return nil
}
