package pgserver

// This file reads the server's log, to say why a start failed.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// logTail is how much of the log an error quotes at most, in bytes.
const logTail = 2000

var errPortTaken = errors.New("another process listens on the port")

// serverLog is the log file of a server, and where the current run began in it.
type serverLog struct {
	*os.File
	begin int64
}

// openLog opens the log for appending. An error shall quote only what this run
// writes: before it, the log may hold the data of failed statements.
func openLog(path string) (*serverLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600) //nolint:gosec // in a folder of ours
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &serverLog{File: file, begin: info.Size()}, nil
}

// explain adds the end of the log to err, and what the log is known to mean.
func (l *serverLog) explain(err error) error {
	text, readErr := io.ReadAll(io.NewSectionReader(l.File, l.begin, 1<<20))
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	tail := strings.TrimSpace(string(text[max(0, len(text)-logTail):]))
	// Postgres says: could not bind IPv4 address "127.0.0.1": Address already in use
	if strings.Contains(tail, "could not bind") {
		err = fmt.Errorf("%w: %w", err, errPortTaken)
	}
	return fmt.Errorf("%w; the end of its log:\n%s", err, tail)
}
