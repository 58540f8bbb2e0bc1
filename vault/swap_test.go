package vault_test

// A sealed value opens only in its own place.

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/strongroom/strongroom/vault"
	"github.com/strongroom/strongroom/vault/vaulttest"
)

type place struct {
	ref    vault.Ref
	column string
}

// With two workspaces, two rows in each, three columns: every value is put, by
// raw SQL that Postgres takes, into every other place, and is refused there.
func TestEveryMoveOfASealedValueIsRefused(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	var places []place
	for range 2 {
		w := v.Workspace()
		for range 2 {
			i := create(t, v, aSlack(w))
			for _, column := range []string{"webhook_secret", "access_token", "refresh_token"} {
				places = append(places, place{i.Ref, column})
			}
		}
	}
	values := make([][]byte, len(places))
	for i, p := range places {
		values[i] = raw(t, v, p.ref, p.column)
	}
	put := func(p place, value []byte) {
		_, err := v.Pool().Exec(t.Context(), `UPDATE integrations SET `+p.column+` = $2 WHERE id = $1`, p.ref.ID, value)
		require.NoError(t, err, "Postgres alone cannot tell")
	}
	moves := 0
	for from, value := range values {
		for to, p := range places {
			if from == to {
				continue
			}
			put(p, value)
			c, err := v.Credentials(t.Context(), p.ref)
			require.ErrorIs(t, err, vault.ErrNotOpened, "from %v to %v", places[from], p)
			opened := map[string]vault.Secret{"webhook_secret": c.WebhookSecret, "access_token": c.AccessToken, "refresh_token": c.RefreshToken}
			require.True(t, opened[p.column].IsZero())
			put(p, values[to])
			moves++
		}
	}
	require.Equal(t, 12*11, moves)
	for _, p := range places {
		holds(t, v.Integrations, p.ref, "signing", "access", "refresh")
	}
}

// Every single-bit flip of a stored value is refused: by Postgres in the header,
// on open behind it.
func TestEveryBitFlipOfAStoredValueIsRefused(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	i := create(t, v, aSlack(v.Workspace()))
	sealed := raw(t, v, i.Ref, "access_token")
	for bit := range len(sealed) * 8 {
		tag, err := v.Pool().Exec(t.Context(), `UPDATE integrations SET access_token = set_bit($2::bytea, $3::int, 1 - get_bit($2::bytea, $3::int)) WHERE id = $1`,
			i.ID, sealed, bit)
		if bit < 40 {
			require.ErrorContains(t, err, "integrations_access_token_sealed", fmt.Sprint(bit))
			continue
		}
		require.NoError(t, err)
		require.EqualValues(t, 1, tag.RowsAffected())
		_, err = v.Credentials(t.Context(), i.Ref)
		require.ErrorIs(t, err, vault.ErrNotOpened)
	}
}
