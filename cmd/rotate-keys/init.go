package main

// rotate-keys init: the first keyset.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/keyring"
	"github.com/strongroom/strongroom/vault"
)

const initLimit = time.Minute

const initHelp = `init makes the database's first keyset, wrapped under every KEK that --kek names:
the first is the one that is used first, the others stand by. Migrate first.

If there is a keyset already, init changes nothing and checks that each KEK opens
it. So it may be run at every deployment.

The file of a local-keyset:// KEK is made, for its owner only, if it is missing
and the database has no keyset. Back it up, apart from the database: without it
every credential is lost; with it and a copy of the database, none is secret.

With --json:

  keks          [string]  the URIs of the KEKs, in order; null if one could not be opened
  kekFilesMade  [string]  the paths of the KEK files that this run made; absent if none`

func (p *program) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the first keyset",
		Long:  initHelp,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			r := &initReport{}
			return p.act(cmd, s, initLimit, r, func(ctx context.Context) error { return r.run(ctx, s) })
		},
	}
	cmd.Flags().StringVar(&p.flags.template, "template", string(keyring.AES256GCM),
		"`KIND` of the first key: "+string(keyring.AES256GCM)+", or "+string(keyring.XAES256GCM)+" if more than 2^32 values will be sealed under one key")
	return cmd
}

// initReport is what init did.
type initReport struct {
	summary
	KEKs         []string `json:"keks"`
	KEKFilesMade []string `json:"kekFilesMade,omitempty"`
	made, found  bool     // the keyset, once it is certain that the KEKs open it
}

func (r *initReport) run(ctx context.Context, s *settings) error {
	keks, err := openKEKs(ctx, s.keks)
	if err != nil {
		return err
	}
	r.KEKs = urisOf(keks)
	pool, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	exists, err := hasKeyset(ctx, pool)
	if err != nil {
		return err
	}
	if exists {
		err = openMissing(ctx, keks)
	} else {
		r.KEKFilesMade, err = makeMissing(ctx, keks)
	}
	if err == nil {
		r.made, err = makeKeyset(ctx, pool, keks, s)
	}
	r.found = err == nil && !r.made
	return withFilesMade(err, r.KEKFilesMade)
}

// withFilesMade adds to an error what becomes of the KEK files that were made
// before it.
func withFilesMade(err error, files []string) error {
	if err == nil || len(files) == 0 {
		return err
	}
	fate := "is kept: the next run uses it"
	if errors.Is(err, vault.ErrConflict) || errors.As(err, new(*notOpenedError)) {
		fate = "is not the keyset's, which somebody else made meanwhile: remove it"
	}
	return fmt.Errorf("%w; the KEK file %s, made by this run, %s", err, strings.Join(files, ", "), fate)
}

func urisOf(keks []*namedKEK) []string {
	uris := make([]string, len(keks))
	for i, k := range keks {
		uris[i] = k.uri
	}
	return uris
}

func (r *initReport) changed() bool { return r.made || len(r.KEKFilesMade) > 0 }

func (r *initReport) text() string {
	var b strings.Builder
	for _, path := range r.KEKFilesMade {
		fmt.Fprintf(&b, "Made the KEK file %s, for its owner only.\n"+
			"Back it up, apart from the database: without it every credential is lost.\n", path)
	}
	switch uris := strings.Join(r.KEKs, " and "); {
	case r.made:
		fmt.Fprintf(&b, "Made the first keyset, wrapped under %s.\n", uris)
	case r.found:
		fmt.Fprintf(&b, "Nothing to do: there is a keyset already, wrapped under %s.\n", uris)
	}
	return b.String()
}
