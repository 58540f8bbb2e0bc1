package pgserver

// This file says how a server is reached: its options, its port and its URL.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// superuser is the role that initdb makes.
const superuser = "postgres"

// socketPort names the socket's file only: each server has a folder of its own.
const socketPort = 5432

// URL is the connection URL of a database of this server, for pgx and for every
// program that uses libpq. A fresh server has the database "postgres". The role is
// a superuser and needs no password. The URL stays the same after a Restart.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database}
	// What the URL says, no PG… variable of the environment says otherwise.
	query := url.Values{"sslmode": {"disable"}, "target_session_attrs": {"any"}}
	if s.config.TCP {
		u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	} else {
		query.Set("host", s.folder.path)
		query.Set("port", strconv.Itoa(s.port))
	}
	u.RawQuery = encodeQuery(query)
	return u.String()
}

// options are the arguments of postgres.
func (s *Server) options() []string {
	settings := map[string]string{
		"fsync":            "off",
		"full_page_writes": "off",
		"listen_addresses": "",
		"max_connections":  "200",
		"port":             strconv.Itoa(s.port),
		// The server's folder, seen from its data: needs no quoting.
		"unix_socket_directories": "..",
	}
	if s.config.TCP {
		settings["listen_addresses"] = "127.0.0.1"
	}
	maps.Copy(settings, s.config.Settings)

	var options []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		options = append(options, "-c", name+"="+settings[name])
	}
	return options
}

// choosePort finds a port that is free now.
func choosePort(tcp bool) (int, error) {
	if !tcp {
		return socketPort, nil
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("find a free port: got %v", listener.Addr()), listener.Close())
	}
	return address.Port, listener.Close()
}

// ping connects once.
func ping(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
