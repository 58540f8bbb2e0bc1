// What may leave this package of an error: Postgres's message, code and hint; never its DETAIL or
// CONTEXT, which show rows, nor a connection's configuration, which holds a password.

package migrations

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/schema"
)

// ErrSchema is wrapped by the error of [Check] when this library cannot run on the schema.
var ErrSchema = schema.ErrSchema

const (
	codeRaised      = "P0001" // RAISE EXCEPTION: our own messages
	codeLockTimeout = "55P03"
	codeDeadlock    = "40P01"
)

// failure is an error that shows its text and answers errors.Is for its cause, and whose chain holds
// no more than a Postgres error without data.
type failure struct {
	text  string
	cause error
	pg    *pgconn.PgError
}

func (f *failure) Error() string        { return f.text }
func (f *failure) Is(target error) bool { return errors.Is(f.cause, target) }

// As finds the Postgres error only: others in the chain may carry a configuration or a row.
func (f *failure) As(target any) bool {
	t, ok := target.(**pgconn.PgError)
	if ok && f.pg != nil {
		*t = f.pg
	}
	return ok && f.pg != nil
}

// clean makes err fit to leave the package.
func clean(op string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{text: err.Error(), cause: err}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		f.text = text(err, pg)
		f.pg = &pgconn.PgError{
			Severity: pg.Severity, SeverityUnlocalized: pg.SeverityUnlocalized,
			Code: pg.Code, Message: pg.Message, Hint: pg.Hint,
			SchemaName: pg.SchemaName, TableName: pg.TableName, ConstraintName: pg.ConstraintName,
		}
	}
	f.text = fmt.Sprintf("migrations: %s: %s", op, f.text)
	return f
}

// text shows our own messages bare, and the hint that pgconn leaves out.
func text(err error, pg *pgconn.PgError) string {
	text := err.Error()
	if pg.Code == codeRaised {
		text = strings.Replace(text, pg.Error(), pg.Message, 1)
	}
	if pg.Hint != "" {
		text += ". " + pg.Hint
	}
	return text
}

func isLockFailure(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == codeLockTimeout || pg.Code == codeDeadlock)
}
