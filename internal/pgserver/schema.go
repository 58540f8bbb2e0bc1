package pgserver

// This file makes fresh schemas and databases, and URLs that lead to them.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// NewSchema makes a fresh schema in the database that databaseURL names. The
// returned URL leads to it: its search_path is the new schema alone. pgx takes it,
// in every exec mode, and so does every program that uses libpq. drop drops the
// schema with all that is in it. prefix, which may be any text, is part of the
// schema's name.
//
// An error names no password.
func NewSchema(ctx context.Context, databaseURL, prefix string) (schemaURL string, drop func(context.Context) error, err error) {
	u, err := parseURL(databaseURL)
	if err != nil {
		return "", nil, err
	}
	name := freshName(prefix)
	if err := execute(ctx, databaseURL, "CREATE SCHEMA "+name); err != nil {
		return "", nil, fmt.Errorf("make the schema %s: %w", name, err)
	}
	drop = func(ctx context.Context) error {
		if err := execute(ctx, databaseURL, "DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
			return fmt.Errorf("drop the schema %s: %w", name, err)
		}
		return nil
	}
	return withSearchPath(u, name), drop, nil
}

// NewDatabase makes a fresh database on the server that databaseURL names and
// returns its URL. The role of databaseURL needs the right CREATEDB. drop drops
// the database and ends the connections to it. prefix, which may be any text, is
// part of the database's name.
//
// An error names no password.
func NewDatabase(ctx context.Context, databaseURL, prefix string) (newURL string, drop func(context.Context) error, err error) {
	u, err := parseURL(databaseURL)
	if err != nil {
		return "", nil, err
	}
	name := freshName(prefix)
	// Unlike template1, nobody can be connected to template0, which would make this fail.
	if err := execute(ctx, databaseURL, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", nil, fmt.Errorf("make the database %s: %w", name, err)
	}
	drop = func(ctx context.Context) error {
		if err := execute(ctx, databaseURL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop the database %s: %w", name, err)
		}
		return nil
	}
	u.Path = "/" + name
	return u.String(), drop, nil
}

// parseURL does not pass on the parser's error, which quotes the URL.
func parseURL(databaseURL string) (*url.URL, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, fmt.Errorf("the database's URL is not of the form postgres://user:password@host:port/database: see %s", envDatabaseURL)
	}
	return u, nil
}

// withSearchPath uses the parameter options: libpq knows no parameter search_path.
func withSearchPath(u *url.URL, schema string) string {
	query := u.Query()
	query.Del("search_path")
	query.Set("options", strings.TrimSpace(query.Get("options")+" -csearch_path="+schema))
	with := *u
	with.RawQuery = encodeQuery(query)
	return with.String()
}

// encodeQuery writes a space as %20: libpq reads + as itself.
func encodeQuery(query url.Values) string {
	return strings.ReplaceAll(query.Encode(), "+", "%20")
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// freshName makes an SQL identifier that needs no quotes, of at most 63 bytes, and
// that nobody else has.
func freshName(prefix string) string {
	word := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(prefix), "_"), "_")
	if word == "" {
		word = "scratch"
	}
	return fmt.Sprintf("strongroom_%.30s_%.16s", word, strings.ToLower(rand.Text()))
}

func execute(ctx context.Context, databaseURL, sql string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}
