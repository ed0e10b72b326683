package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"crisol/internal/trail"
)

// AuditLog is the log of who changed what, which all services share. Its rows can't be changed or deleted, not even by
// statements of the database's owner, unless the triggers go first.
func (s *Store) AuditLog() trail.Log { return auditLog{s} }

type auditLog struct{ *Store }

// auditColumns are in the order in which they are written and read.
const auditColumns = `seq, at, actor, address, request_id, act, subject, detail, outcome, error, previous, digest`

// Append adds an entry while nobody else does.
func (l auditLog) Append(ctx context.Context, e trail.Entry) (trail.Entry, error) {
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		last, err := scanEntry(tx.QueryRow(ctx, `SELECT `+auditColumns+` FROM audit_log ORDER BY seq DESC LIMIT 1`))
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if e, err = e.Follow(last); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit_log (`+auditColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			e.Seq, e.At.UnixMicro(), e.Actor, e.Address, e.Request, e.Act, e.Subject, string(e.Detail), string(e.Outcome), e.Error, e.Previous, e.Digest)
		return err
	})
	return e, l.fault("write the audit log in", err)
}

// Read returns entries in order.
func (l auditLog) Read(ctx context.Context, after int64, limit int) ([]trail.Entry, error) {
	rows, err := l.pool.Query(ctx, `SELECT `+auditColumns+` FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, l.fault("read the audit log in", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (trail.Entry, error) { return scanEntry(row) })
	return list, l.fault("read the audit log in", err)
}

func scanEntry(row pgx.Row) (e trail.Entry, err error) {
	var at int64
	var detail, outcome string
	if err := row.Scan(&e.Seq, &at, &e.Actor, &e.Address, &e.Request, &e.Act, &e.Subject, &detail, &outcome, &e.Error, &e.Previous, &e.Digest); err != nil {
		return trail.Entry{}, err
	}
	e.At, e.Outcome = time.UnixMicro(at).UTC(), trail.Outcome(outcome)
	if detail != "" {
		e.Detail = json.RawMessage(detail)
	}
	return e, nil
}
