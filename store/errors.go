package store

// Translating driver errors, in this one place.

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strongroom/strongroom/internal/schema"
	"github.com/strongroom/strongroom/keyring"
)

var (
	// ErrNotFound reports that what was named is not there: the integration, in
	// that workspace; or the workspace or user that a row should belong to.
	ErrNotFound = errors.New("not found")

	// ErrKeyGone reports a write under a key that is not in vault_keys: the
	// process's keyset is out of date, or the transaction's snapshot too old.
	ErrKeyGone = errors.New("the key is not in the database")

	// ErrRetryTransaction reports that the transaction cannot go on as it is,
	// because of what others did meanwhile or because its snapshot is too old:
	// roll it back and run it again.
	ErrRetryTransaction = errors.New("retry your transaction")

	// ErrReplica reports that the keyset was asked of a server in recovery.
	// Keysets are read from the primary database only.
	ErrReplica = errors.New("the database is a read replica; connect to the primary")
)

// ErrConflict and ErrInvalid are the sentinels of package keyring.
var (
	ErrConflict = keyring.ErrConflict
	ErrInvalid  = keyring.ErrInvalid
)

// ErrSchema reports tables that this version of the library cannot use: the
// message names the command to run.
var ErrSchema = schema.ErrSchema

// translate says what was attempted and gives an error its sentinel. Nothing of
// a Postgres error passes that may hold row data: DETAIL, CONTEXT, the query,
// and messages that quote input.
func translate(op string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", op, ErrNotFound)
	case !errors.As(err, &pg) || isTranslated(err):
		return wrapOnce(op, err)
	}
	clean := sanitize(pg)
	if what, sentinel := meaning(pg); sentinel != nil {
		return &dbError{op: op, what: what, sentinel: sentinel, pg: clean}
	}
	return &dbError{op: op, pg: clean}
}

// dbError is a translated Postgres error.
type dbError struct {
	op, what string
	sentinel error
	pg       *pgconn.PgError
}

func (e *dbError) Error() string {
	switch {
	case e.sentinel == nil:
		return fmt.Sprintf("%s: %v", e.op, e.pg)
	case e.what == "":
		return fmt.Sprintf("%s: %v (SQLSTATE %s)", e.op, e.sentinel, e.pg.Code)
	default:
		return fmt.Sprintf("%s: %s: %v (SQLSTATE %s)", e.op, e.what, e.sentinel, e.pg.Code)
	}
}

func (e *dbError) Unwrap() []error {
	if e.sentinel == nil {
		return []error{e.pg}
	}
	return []error{e.sentinel, e.pg}
}

func isTranslated(err error) bool {
	var translated *dbError
	var hidden *hiddenError
	return errors.As(err, &translated) || errors.As(err, &hidden)
}

// wrapOnce adds the operation to an error that does not name one yet. A failed
// connection keeps its text, but not its chain: errors.As would reach the
// configuration, and with it the password.
func wrapOnce(op string, err error) error {
	var connect *pgconn.ConnectError
	var parse *pgconn.ParseConfigError
	switch {
	case isTranslated(err) || strings.HasPrefix(err.Error(), op+":"):
		return err
	case errors.As(err, &connect) || errors.As(err, &parse):
		return &hiddenError{text: op + ": " + err.Error(), cause: err}
	default:
		return fmt.Errorf("%s: %w", op, err)
	}
}

// hiddenError answers errors.Is for its cause, and errors.As for nothing.
type hiddenError struct {
	text  string
	cause error
}

func (e *hiddenError) Error() string        { return e.text }
func (e *hiddenError) Is(target error) bool { return errors.Is(e.cause, target) }

// meaning gives what a Postgres error is about, and its sentinel. On Citus
// constraint names carry a shard's number behind, hence prefixes.
func meaning(pg *pgconn.PgError) (what string, sentinel error) {
	switch pg.Code {
	case "23503": // foreign_key_violation
		switch {
		case strings.HasPrefix(pg.ConstraintName, "integrations_key_id_fkey"):
			return "", ErrKeyGone
		case strings.HasPrefix(pg.ConstraintName, "integrations_workspace_id_fkey"),
			strings.HasPrefix(pg.ConstraintName, "integration_installs_workspace_id_fkey"):
			return "the workspace", ErrNotFound
		case strings.HasPrefix(pg.ConstraintName, "integrations_created_by_fkey"):
			return "the user named by CreatedBy", ErrNotFound
		}
	case "23505": // unique_violation
		return "refused by " + pg.ConstraintName, ErrConflict
	case "23514": // check_violation
		return "refused by " + pg.ConstraintName, ErrInvalid
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return "", ErrRetryTransaction
	case "22003", "22007", "22008", "22021", "22P02", "22P05": // a value that its type cannot hold
		return "a value cannot be stored", ErrInvalid
	case "42P01", "42703", "42883": // undefined table, column, function
		return "run rotate-keys migrate up, and check search_path: " + pg.Message, ErrSchema
	}
	return "", nil
}

// sanitize copies the parts of a Postgres error that never hold row data.
func sanitize(pg *pgconn.PgError) *pgconn.PgError {
	clean := &pgconn.PgError{
		Severity: pg.Severity, SeverityUnlocalized: pg.SeverityUnlocalized,
		Code: pg.Code, Message: pg.Message,
		SchemaName: pg.SchemaName, TableName: pg.TableName,
		ColumnName: pg.ColumnName, ConstraintName: pg.ConstraintName,
	}
	// Class 22 (data exception) quotes the input; P0 is whatever a trigger raises.
	if strings.HasPrefix(pg.Code, "22") || (strings.HasPrefix(pg.Code, "P0") && !raisedByOurs(pg.Message)) {
		clean.Message = "message withheld: it may quote data"
	}
	return clean
}

// raisedByOurs knows the messages of our own triggers, which say what to do.
func raisedByOurs(message string) bool {
	return strings.HasPrefix(message, "keyset ") || strings.HasPrefix(message, "vault_key")
}
