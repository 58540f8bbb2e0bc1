//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package pgserver

// This file lets the package compile where it cannot start servers, such as on
// Windows: Start says so before it reaches anything here.

import (
	"errors"
	"os"
	"os/exec"
)

const supported = false

// DropRoot does nothing on this operating system.
func DropRoot(*exec.Cmd, ...string) error { return nil }

func giveToServer(string) error { return errors.ErrUnsupported }

func detach(*exec.Cmd) {}

func tryLock(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func owned(os.FileInfo) bool { return false }

func quit(int) {}
