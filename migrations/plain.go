// The migrations as plain SQL, for those who bring their own tool.

package migrations

import (
	"fmt"
	"io/fs"
	"strings"
)

// SQL returns the Up sections of all migrations as plain SQL, oldest first, for tools such as Atlas,
// Flyway or psql. Each section wants a transaction; all may share one.
func SQL() (string, error) {
	names, err := fs.Glob(FS, "*.sql")
	if err != nil {
		return "", fmt.Errorf("migrations: sql: %w", err)
	}
	var b strings.Builder
	for _, name := range names {
		text, err := fs.ReadFile(FS, name)
		if err != nil {
			return "", fmt.Errorf("migrations: sql: %w", err)
		}
		fmt.Fprintf(&b, "-- %s\n\n%s\n", name, upSection(string(text)))
	}
	return b.String(), nil
}

// upSection drops goose's annotations: each is a comment line of its own.
func upSection(text string) string {
	_, up, _ := strings.Cut(text, "-- +goose Up\n")
	up, _, _ = strings.Cut(up, "-- +goose Down\n")
	var b strings.Builder
	for line := range strings.Lines(up) {
		if !strings.HasPrefix(line, "-- +goose ") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String()) + "\n"
}
