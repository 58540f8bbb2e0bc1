package vault

// Reading: metadata, which never opens a credential; and credentials, by an
// explicit call.

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/store"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Get reads an integration. It opens no credential. [ErrNotFound] if the
// workspace has no such integration.
func (x *Integrations) Get(ctx context.Context, r Ref) (Integration, error) {
	if err := r.validate(); err != nil {
		return Integration{}, fmt.Errorf("get: %w", err)
	}
	i, err := x.store.Get(ctx, r.WorkspaceID, r.ID)
	if err != nil {
		return Integration{}, err
	}
	return fromStore(i), nil
}

// List reads a page of a workspace's integrations, oldest first. It opens no
// credential. next is empty on the last page; else it is the After of the next
// page's Filter. A workspace that is not there has none.
func (x *Integrations) List(ctx context.Context, workspaceID string, f Filter) (page []Integration, next string, err error) {
	q, err := f.query(workspaceID)
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there is a next page
	rows, err := x.store.List(ctx, q)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = cursor(rows[limit-1])
	}
	page = make([]Integration, len(rows))
	for i, row := range rows {
		page[i] = fromStore(row)
	}
	return page, next, nil
}

func (f Filter) query(workspaceID string) (store.ListQuery, error) {
	q := store.ListQuery{WorkspaceID: workspaceID, Platform: string(f.Platform), Active: f.Active, Limit: f.Limit}
	problems := []error{checkText("workspaceID", workspaceID, true, maxID)}
	if f.Platform != "" {
		problems = append(problems, f.Platform.Validate())
	}
	if f.Limit == 0 {
		q.Limit = defaultLimit
	}
	if q.Limit < 0 || q.Limit > maxLimit {
		problems = append(problems, fmt.Errorf("%w: Limit: want 1 to %d, or 0 for %d", ErrInvalid, maxLimit, defaultLimit))
	}
	if f.After != "" {
		var err error
		q.AfterTime, q.AfterID, err = parseCursor(f.After)
		problems = append(problems, err)
	}
	return q, errors.Join(problems...)
}

// cursor names the last row of a page: its time in microseconds and its id.
func cursor(last store.Integration) string {
	text := strconv.FormatInt(last.CreatedAt.UnixMicro(), 10) + " " + last.ID
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func parseCursor(after string) (time.Time, string, error) {
	text, err := base64.RawURLEncoding.DecodeString(after)
	micros, id, ok := strings.Cut(string(text), " ")
	at, numErr := strconv.ParseInt(micros, 10, 64)
	if year := time.UnixMicro(at).UTC().Year(); err != nil || !ok || numErr != nil || year < 1 || year > 9999 || checkText("After", id, true, maxID) != nil {
		return time.Time{}, "", fmt.Errorf("%w: After: pass what List returned as next", ErrInvalid)
	}
	return time.UnixMicro(at).UTC(), id, nil
}

// Relations gives the workspace that an integration belongs to and the user who
// created it; nil if that is not known (any more). The host's tables hold more
// about both; their rows are the host's to read.
func (x *Integrations) Relations(ctx context.Context, r Ref) (Workspace, *User, error) {
	i, err := x.Get(ctx, r)
	if err != nil {
		return Workspace{}, nil, err
	}
	if i.CreatedBy == "" {
		return Workspace{ID: i.WorkspaceID}, nil, nil
	}
	return Workspace{ID: i.WorkspaceID}, &User{ID: i.CreatedBy}, nil
}

// Credentials opens an integration's credentials, in one round trip to the
// database. If one does not open the error says which (a [FieldError] that
// matches [ErrNotOpened]), and the result still has the others. [ErrNotFound]
// if the workspace has no such integration.
func (x *Integrations) Credentials(ctx context.Context, r Ref) (Credentials, error) {
	if err := r.validate(); err != nil {
		return Credentials{}, fmt.Errorf("open credentials: %w", err)
	}
	row, err := x.store.GetRow(ctx, r.WorkspaceID, r.ID)
	if err != nil {
		return Credentials{}, err
	}
	_, c, err := x.openRow(ctx, row)
	return c, err
}

// OpenBySlackTeam finds the active Slack integrations of a team (or, for an
// org-wide install, of an enterprise), in every workspace, and opens their
// credentials: for a webhook handler, which knows the team only. The id comes
// from a request that is not verified yet: verify it with the signing secret
// before acting on anything else in it. None found is no error.
func (x *Integrations) OpenBySlackTeam(ctx context.Context, teamID string) ([]Opened, error) {
	if err := checkText("teamID", teamID, true, maxID); err != nil {
		return nil, fmt.Errorf("open by Slack team: %w", err)
	}
	rows, err := x.store.ActiveBySlackTeam(ctx, teamID)
	return x.openAll(ctx, rows), err
}

// OpenByPylonAccount is OpenBySlackTeam for the active Pylon integrations of an
// account.
func (x *Integrations) OpenByPylonAccount(ctx context.Context, accountID string) ([]Opened, error) {
	if err := checkText("accountID", accountID, true, maxID); err != nil {
		return nil, fmt.Errorf("open by Pylon account: %w", err)
	}
	rows, err := x.store.ActiveByPylonAccount(ctx, accountID)
	return x.openAll(ctx, rows), err
}

func (x *Integrations) openAll(ctx context.Context, rows []store.Row) []Opened {
	opened := make([]Opened, 0, len(rows))
	for _, row := range rows {
		row, c, err := x.openRow(ctx, row)
		opened = append(opened, Opened{Integration: fromStore(row.Integration), Credentials: c, Err: err})
	}
	return opened
}
