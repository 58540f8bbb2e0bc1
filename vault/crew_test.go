package vault_test

// The writers of the crash tests. Each does one thing again and again, numbers what
// it writes, and can tell from the database which write was the last.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/internal/pgtest"
	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/migrations"
	"github.com/strongroom/strongroom/store"
	"github.com/strongroom/strongroom/vault"
)

// crew writes to one database, each writer by numbered writes: the next one is one
// more than what is stored.
type crew struct {
	v    *vault.Vault
	pool *pgxpool.Pool
	keks []keyring.KEK
}

// writer is one of a crew. Its rows bear its name.
type writer struct {
	write  func(ctx context.Context, n int) error
	stored func(ctx context.Context) (n int, err error) // the last write that is there; an error if anything is wrong with it
}

func openCrew(ctx context.Context, pool *pgxpool.Pool, kek keyring.KEK) (*crew, error) {
	v, err := vault.Open(ctx, pool, kek, quiet)
	return &crew{v, pool, []keyring.KEK{kek}}, err
}

// setUpCrew prepares an empty database.
func setUpCrew(t *testing.T, pool *pgxpool.Pool, kek keyring.KEK) *crew {
	t.Helper()
	pgtest.HostTables(t, pool)
	_, err := migrations.Up(t.Context(), pool)
	require.NoError(t, err)
	_, err = vault.Init(t.Context(), pool, kek, quiet)
	require.NoError(t, err)
	c, err := openCrew(t.Context(), pool, kek)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.v.Close(context.Background())) })
	c.setUp(t)
	return c
}

// setUp makes the rows that the writers change, as their write 0.
func (c *crew) setUp(t *testing.T) {
	t.Helper()
	for _, name := range []string{"create", "replace", "keep", "move 0", "install"} {
		_, err := c.pool.Exec(t.Context(), `INSERT INTO workspaces (id) VALUES ($1)`, name)
		require.NoError(t, err)
	}
	create(t, c.v, numbered("replace", "replace", 0))
	create(t, c.v, numbered("keep", "keep", 0))
	create(t, c.v, numbered("move", "move 0", 0))
	create(t, c.v, numbered("install", "install", 0))
}

// numbered is a writer's integration whose credentials hold a number.
func numbered(name, workspace string, n int) vault.NewIntegration {
	i := aSlack(workspace)
	i.Name, i.Credentials = name, numberedCredentials(n)
	return i
}

func numberedCredentials(n int) vault.Credentials {
	return vault.Credentials{WebhookSecret: secret(fmt.Sprint(n)), AccessToken: secret(fmt.Sprint(n)), RefreshToken: secret(fmt.Sprint(n))}
}

func (c *crew) writers() map[string]writer {
	return map[string]writer{
		"create":  {c.create, c.created},
		"replace": {c.replace, func(ctx context.Context) (int, error) { return c.replaced(ctx, "replace") }},
		"keep":    {c.keep, c.kept},
		"move":    {c.move, c.moved},
		"install": {c.install, func(ctx context.Context) (int, error) { return c.replaced(ctx, "install") }},
		"keys":    {c.changeKeys, c.generation},
	}
}

// rows gives the integrations of a writer.
func (c *crew) rows(ctx context.Context, name string) ([]vault.Ref, error) {
	rows, err := c.pool.Query(ctx, `SELECT workspace_id, id FROM integrations WHERE name = $1 ORDER BY created_at`, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[vault.Ref])
}

// row gives the one integration of a writer and the numbers that its credentials
// hold.
func (c *crew) row(ctx context.Context, name string) (r vault.Ref, numbers [3]int, err error) {
	refs, err := c.rows(ctx, name)
	if err != nil || len(refs) != 1 {
		return r, numbers, errors.Join(err, fmt.Errorf("%d rows", len(refs)))
	}
	numbers, err = c.numbers(ctx, refs[0])
	return refs[0], numbers, err
}

func (c *crew) numbers(ctx context.Context, r vault.Ref) (numbers [3]int, err error) {
	opened, err := c.v.Credentials(ctx, r)
	if err != nil {
		return numbers, err
	}
	for i, s := range []vault.Secret{opened.WebhookSecret, opened.AccessToken, opened.RefreshToken} {
		if numbers[i], err = strconv.Atoi(strings.TrimPrefix(s.Reveal(), token(""))); err != nil {
			return numbers, err
		}
	}
	return numbers, nil
}

// keptRows is how many rows the creator has.
const keptRows = 5

// create deletes the oldest rows, so that their keys can go, and makes one.
func (c *crew) create(ctx context.Context, n int) error {
	refs, err := c.rows(ctx, "create")
	if err != nil {
		return err
	}
	for _, r := range refs[:max(0, len(refs)+1-keptRows)] {
		if err := c.v.Delete(ctx, r); err != nil {
			return err
		}
	}
	_, err = c.v.Create(ctx, numbered("create", "create", n))
	return err
}

// created checks that the newest rows are there, and no older ones.
func (c *crew) created(ctx context.Context) (newest int, err error) {
	refs, err := c.rows(ctx, "create")
	first := 1
	for i, r := range refs {
		numbers, err := c.numbers(ctx, r)
		if i == 0 {
			first = numbers[0]
		}
		if newest = first + i; err != nil || numbers != [3]int{newest, newest, newest} {
			return 0, errors.Join(err, fmt.Errorf("row %d holds %v", newest, numbers))
		}
	}
	if err == nil && (len(refs) < min(newest, keptRows-1) || len(refs) > keptRows) {
		err = fmt.Errorf("%d rows, up to number %d", len(refs), newest)
	}
	return newest, err
}

func (c *crew) replace(ctx context.Context, n int) error {
	r, _, err := c.row(ctx, "replace")
	if err != nil {
		return err
	}
	return c.v.SetCredentials(ctx, r, numberedCredentials(n))
}

// replaced checks that a row's credentials are of one write.
func (c *crew) replaced(ctx context.Context, name string) (int, error) {
	_, numbers, err := c.row(ctx, name)
	if err == nil && (numbers[0] != numbers[1] || numbers[1] != numbers[2]) {
		err = fmt.Errorf("torn: %v", numbers)
	}
	return numbers[0], err
}

// keep replaces the access token; the others are re-sealed when the key changed.
func (c *crew) keep(ctx context.Context, n int) error {
	r, _, err := c.row(ctx, "keep")
	if err != nil {
		return err
	}
	return c.v.SetCredentials(ctx, r, vault.Credentials{AccessToken: secret(fmt.Sprint(n))})
}

func (c *crew) kept(ctx context.Context) (int, error) {
	_, numbers, err := c.row(ctx, "keep")
	if err == nil && (numbers[0] != 0 || numbers[2] != 0) {
		err = fmt.Errorf("what was kept changed: %v", numbers)
	}
	return numbers[1], err
}

// move makes a workspace and moves the integration there, in one transaction.
func (c *crew) move(ctx context.Context, n int) error {
	r, _, err := c.row(ctx, "move")
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		to := fmt.Sprint("move ", n)
		if _, err := tx.Exec(ctx, `INSERT INTO workspaces (id) VALUES ($1)`, to); err != nil {
			return err
		}
		_, err := c.v.WithTx(tx).Move(ctx, r, to)
		return err
	})
}

func (c *crew) moved(ctx context.Context) (n int, err error) {
	r, numbers, err := c.row(ctx, "move")
	if err == nil && numbers != [3]int{} {
		err = fmt.Errorf("the credentials changed: %v", numbers)
	}
	if err != nil {
		return 0, err
	}
	var workspaces int
	err = c.pool.QueryRow(ctx, `SELECT count(*) - 1 FROM workspaces WHERE id LIKE 'move %'`).Scan(&workspaces)
	if _, scanErr := fmt.Sscanf(r.WorkspaceID, "move %d", &n); err == nil && workspaces != n {
		err = errors.Join(scanErr, fmt.Errorf("in %q, with %d workspaces made", r.WorkspaceID, workspaces))
	}
	return n, err
}

func (c *crew) install(ctx context.Context, n int) error {
	_, created, err := c.v.Install(ctx, numbered("install", "install", n))
	if created {
		err = errors.Join(err, errors.New("made another integration"))
	}
	return err
}

// changeKeys destroys a retired key that no row uses, or promotes the staged key,
// or stages one.
func (c *crew) changeKeys(ctx context.Context, _ int) error {
	var staged bool
	var retired []uint32
	err := c.pool.QueryRow(ctx, `SELECT bool_or(status = 'staged'),
		array_remove(array_agg(CASE WHEN status = 'retired' THEN key_id END), NULL) FROM vault_keys`).Scan(&staged, &retired)
	if err != nil {
		return err
	}
	for _, id := range retired {
		if err := c.apply(ctx, keyring.Destroy(id)); !errors.Is(err, vault.ErrConflict) { // a row uses it
			return err
		}
	}
	if staged {
		return c.apply(ctx, keyring.Promote())
	}
	return c.apply(ctx, keyring.Stage(keyring.AES256GCM))
}

func (c *crew) apply(ctx context.Context, step keyring.Step) error {
	_, err := keyring.Apply(ctx, store.New(c.pool), keyring.DefaultKeyset, c.keks, "crash", step)
	return err
}

// generation checks that vault_keys and the history agree with the keyset.
func (c *crew) generation(ctx context.Context) (int, error) {
	if err := c.v.Poll(ctx); err != nil {
		return 0, err
	}
	h := c.v.Health()
	var events int64
	err := c.pool.QueryRow(ctx, `SELECT count(*) FROM vault_key_events`).Scan(&events)
	if err == nil && events != h.Generation {
		err = fmt.Errorf("generation %d has %d events", h.Generation, events)
	}
	return int(h.Generation), errors.Join(err, h.IndexErr)
}

// acknowledgement is of one write.
type acknowledgement struct {
	name string
	n    int
}

// run lets every writer write until one of its writes fails, and gives all the
// failures.
func (c *crew) run(ctx context.Context, acknowledge func(acknowledgement)) error {
	writers := c.writers()
	failures := make(chan error, len(writers))
	for name, w := range writers {
		go func() {
			n, err := w.stored(ctx)
			for err == nil {
				n++
				if err = w.write(ctx, n); err == nil {
					acknowledge(acknowledgement{name, n})
				}
			}
			failures <- fmt.Errorf("%s %d: %w", name, n, err)
		}()
	}
	var all error
	for range writers {
		all = errors.Join(all, <-failures)
	}
	return all
}
