package store

// Small helpers for arguments, scan targets and results.

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// errNoRow stands for "the statement gave no row" inside this package.
var errNoRow = errors.New("no row")

// noRow replaces pgx's "no rows" by what it means for this statement.
func noRow(err, meaning error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return meaning
	}
	return err
}

// named says which row an operation was about. Ids come from outside: quoted.
func named(op, id string) string { return op + " " + strconv.Quote(id) }

// jsonArg binds JSON as text, which every exec mode takes; nil is NULL.
func jsonArg(raw []byte) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
}

// rawJSON scans jsonb as it stands, without decoding; NULL is nil.
type rawJSON []byte

// Scan implements sql.Scanner.
func (r *rawJSON) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*r = nil
	case string:
		*r = []byte(v)
	case []byte:
		*r = append([]byte(nil), v...)
	default:
		return fmt.Errorf("jsonb came as %T", src)
	}
	return nil
}

// nullKeyID scans key_id; NULL is 0.
type nullKeyID uint32

// ScanInt64 implements pgtype.Int64Scanner.
func (k *nullKeyID) ScanInt64(v pgtype.Int8) error {
	*k = nullKeyID(v.Int64) //nolint:gosec // the table's CHECK bounds it; NULL comes as 0
	return nil
}
