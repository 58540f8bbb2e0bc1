// Package tinkinterop proves that what Strongroom seals is Tink's own wire
// format: its tests open Strongroom's frozen files with github.com/google/tink/go,
// the archived predecessor of the Tink that Strongroom uses.
//
// It is a module of its own because the two Tinks cannot share a binary: their
// protobuf names collide, which panics at start.
package tinkinterop
