package main

// Who runs this, and which release of the command it is.

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"runtime/debug"
	"strconv"
)

// defaultActor is user@host. A container may have neither a user's name nor much
// of a host's.
func defaultActor() string {
	name := "uid-" + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return name + "@" + host
}

// version is the module's version, the commit it was built from, and Go's version.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := cmp.Or(info.Main.Version, "(devel)")
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += " commit " + s.Value
		}
	}
	return fmt.Sprintf("%s %s", text, info.GoVersion)
}
