package vault

// What only the inside shows of a Secret: that Clear overwrites the memory.

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClearOverwritesTheMemory(t *testing.T) {
	t.Parallel()
	s := NewSecret("xoxb-" + "to-overwrite")
	var memory []byte
	s.view(func(b []byte) { memory = b })
	require.NotEmpty(t, memory)
	s.Clear()
	require.Equal(t, make([]byte, len(memory)), memory)
}
