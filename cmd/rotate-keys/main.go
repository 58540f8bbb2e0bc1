// Command rotate-keys looks after the tables and the keys of a Strongroom
// database:
//
//	rotate-keys migrate up      makes the tables, or brings them up to date
//	rotate-keys init            makes the first keyset, under a KEK
//
// It holds flags, output and exit statuses; the work is done by the packages
// vault and migrations. `rotate-keys --help` is its manual.
package main

import "os"

func main() {
	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(p.run(os.Args[1:]))
}
