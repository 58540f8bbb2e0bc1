package main

// The KEKs that --kek names: opening them, and making the file of a local one.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/strongroom/strongroom/keyring"
)

const localPrefix = "local-keyset://"

// openers open the KEKs that package keyring leaves to others, by their scheme.
var openers = map[string]keyring.Opener{}

// namedKEK is a KEK that --kek names. It is nil while its file is missing.
type namedKEK struct {
	keyring.KEK
	uri  string
	path string // of a local KEK's file
}

// openKEKs opens them in order. A bad URI is a usageError; a local KEK whose file
// is missing is none yet.
func openKEKs(ctx context.Context, uris []string) ([]*namedKEK, error) {
	if len(uris) == 0 {
		return nil, usagef("no KEK: give --kek or STRONGROOM_KEK, such as %s/etc/strongroom/kek.json", localPrefix)
	}
	keks, seen := make([]*namedKEK, 0, len(uris)), map[string]bool{}
	for _, uri := range uris {
		k, err := openKEK(ctx, uri)
		if err != nil {
			return nil, err
		}
		if seen[k.uri] {
			return nil, usagef("--kek: %s is given twice", k.uri)
		}
		seen[k.uri] = true
		keks = append(keks, k)
	}
	return keks, nil
}

func openKEK(ctx context.Context, uri string) (*namedKEK, error) {
	k := &namedKEK{uri: uri}
	if path, ok := strings.CutPrefix(uri, localPrefix); ok && path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("find the KEK file: %w", err)
		}
		k.path, k.uri = absolute, localPrefix+absolute
	}
	var err error
	k.KEK, err = keyring.OpenKEK(ctx, k.uri, openers)
	switch {
	case k.path != "" && errors.Is(err, fs.ErrNotExist):
		return k, nil
	case errors.Is(err, keyring.ErrInvalid):
		return nil, usagef("--kek: %v", err)
	}
	return k, err
}

// makeMissing makes the files that are missing, and gives the paths of those it
// made; also along with an error.
func makeMissing(ctx context.Context, keks []*namedKEK) (made []string, err error) {
	for _, k := range keks {
		if k.KEK != nil {
			continue
		}
		k.KEK, err = keyring.CreateLocalKEK(k.path)
		switch {
		case err == nil:
			made = append(made, k.path)
		case errors.Is(err, fs.ErrExist): // another process was faster
			if k.KEK, err = keyring.OpenKEK(ctx, k.uri, openers); err != nil {
				return made, err
			}
		case errors.Is(err, fs.ErrNotExist):
			return made, fmt.Errorf("make the KEK file %s: its folder is missing: make it first, for its owner only", k.path)
		default:
			return made, fmt.Errorf("make the KEK file %s: %w", k.path, err)
		}
	}
	return made, nil
}

// openMissing is for a keyset that exists: it makes no file, but another process may
// have made one, and then the keyset, since it was looked for.
func openMissing(ctx context.Context, keks []*namedKEK) (err error) {
	for _, k := range keks {
		if k.KEK != nil {
			continue
		}
		k.KEK, err = keyring.OpenKEK(ctx, k.uri, openers)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the database has a keyset already, but the KEK file %s is missing: restore it from its backup; no new one is made for an existing keyset", k.path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
