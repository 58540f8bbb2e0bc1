package main

// Reaching the database, without ever showing its URL.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const urlForm = "want postgres://user:password@host:port/database, with / @ ? # % in a name or password written as %2F %40 %3F %23 %25"

// parseDatabaseURL never passes on pgx's error: it quotes the URL, and cannot tell
// for sure where in a malformed one the password stands.
func parseDatabaseURL(url string) (*pgxpool.Config, error) {
	rest, ok := cutScheme(strings.TrimSpace(url))
	switch {
	case url == "":
		return nil, usagef("no database: give --database-url or DATABASE_URL")
	case !ok || isAmbiguous(rest):
		return nil, usagef("the database URL does not parse: %s", urlForm)
	}
	config, err := pgxpool.ParseConfig(strings.TrimSpace(url))
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return nil, usagef("a file that the database URL names cannot be used: %v", file)
	case err != nil:
		return nil, usagef("the database URL does not parse: %s", urlForm)
	}
	parameters := config.ConnConfig.RuntimeParams
	if parameters["application_name"] == "" {
		parameters["application_name"] = "rotate-keys"
	}
	// pgx's default keeps prepared statements in the session: behind pgbouncer, the
	// next run meets them.
	if config.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeSimpleProtocol {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	// The times at which migrations ran are kept without a zone, in the session's.
	parameters["timezone"] = "UTC"
	return config, nil
}

func cutScheme(url string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(url, "postgres://"); ok {
		return rest, true
	}
	return strings.CutPrefix(url, "postgresql://")
}

// isAmbiguous tells whether a / or @ that was not escaped may have cut a password
// in two: its second half would be taken for a host or a database, and be shown
// in errors.
func isAmbiguous(rest string) bool {
	i := strings.IndexAny(rest, "@/")
	return i >= 0 && strings.Contains(rest[i+1:], "@")
}

// connect gives a pool that has reached the server. The caller closes it.
func (s *settings) connect(ctx context.Context) (*pgxpool.Pool, error) {
	pool, err := pgxpool.NewWithConfig(ctx, s.database)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return pool, nil
}
