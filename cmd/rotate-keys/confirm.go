package main

// Asking a person before something is destroyed.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

var errDeclined = errors.New("not confirmed: nothing was changed")

// confirmed calls do once a person at the terminal has typed yes to the question,
// or at once if yes was given beforehand.
func (p *program) confirmed(ctx context.Context, yes bool, question string, do func() error) error {
	if yes {
		return do()
	}
	if !isTerminal(p.stdin) {
		return usagef("there is no terminal to ask on: confirm with --yes")
	}
	fmt.Fprintf(p.stderr, "%s\nType yes to go on: ", question)
	switch answer, err := readLine(ctx, p.stdin); {
	case errors.Is(err, io.EOF):
		return usagef("nobody answered: confirm with --yes")
	case err != nil:
		return err
	case answer != "yes\n":
		return errDeclined
	}
	return do()
}

// isTerminal takes any character device for one. Of those that are none, the null
// device ends the question without an answer.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// readLine returns when ctx ends, too, with its cause.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	lines := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(r).ReadString('\n')
		lines <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case l := <-lines:
		return l.text, l.err
	}
}
