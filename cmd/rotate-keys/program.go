package main

// One run of the command, from its arguments to its exit status.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses. 3 and 4 are reserved for rotation.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is what a run reads from and writes to.
type program struct {
	stdin          *os.File
	stdout, stderr io.Writer
	getenv         func(string) string
	flags          flags
}

// run does what the arguments say and gives the exit status. SIGINT and SIGTERM
// end it in good order; a second one ends it at once.
func (p *program) run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := p.rootCommand()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(p.stderr, "%s: %s\n", strings.Replace(cmd.CommandPath(), " ", ": ", 1), plain(cmd, err))
	if errors.As(err, new(*usageError)) {
		fmt.Fprintf(p.stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// plain is the text of an error without the words that the command's own name
// says already, as in "migrations: up: …" of `migrate up`.
func plain(cmd *cobra.Command, err error) string {
	text := err.Error()
	for _, library := range []string{"vault: ", "migrations: "} {
		if rest, ok := strings.CutPrefix(text, library); ok {
			return strings.TrimPrefix(rest, cmd.Name()+": ")
		}
	}
	return text
}
