package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Accept keeps a submission as queued unless bound others are unfinished.
func (s *Store) Accept(ctx context.Context, sub store.Submission, bound int) error {
	body, err := encode(sub.Normalised, "request of validation "+sub.ID)
	if err != nil {
		return err
	}
	return s.change(ctx, "accept into", func(ctx context.Context, tx *sql.Tx, q *queries.Queries) error {
		// Else two that count at once would both find the last free place.
		if err := s.lock(ctx, tx, "accept"); err != nil {
			return err
		}
		unfinished, err := q.CountUnfinished(ctx)
		if err != nil {
			return err
		}
		if unfinished >= int64(bound) {
			return store.ErrFull
		}
		if err := q.InsertValidation(ctx, queries.InsertValidationParams{
			ID: sub.ID, ApvID: text(sub.Normalised.APVID), CveID: text(sub.Normalised.CVEID), PatchID: text(sub.Normalised.PatchID),
			ScenarioID: text(sub.ScenarioID), ScenarioDigest: text(sub.ScenarioDigest), PatchDigest: text(sub.PatchDigest),
			CreatedAt: micros(sub.CreatedAt), Mode: mode(sub.Mode), Client: text(sub.Client), Priority: int64(sub.Priority),
			Webhook: text(sub.Webhook),
		}); err != nil {
			return err
		}
		return q.InsertRequest(ctx, queries.InsertRequestParams{ValidationID: sub.ID, Body: body})
	})
}

func mode(m store.Mode) string {
	if m == "" {
		m = store.ModeValidate
	}
	return string(m)
}

// Begin marks a validation as running under a lease, counts the attempt and returns what to run.
func (s *Store) Begin(ctx context.Context, id string, l store.Lease) (store.Attempt, error) {
	var attempt store.Attempt
	err := s.change(ctx, "begin in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := q.BeginValidation(ctx, queries.BeginValidationParams{
			ID: id, At: micros(l.At), Worker: text(l.Worker), Until: micros(l.Until),
		})
		if err != nil {
			return err
		}
		row, err := q.GetValidation(ctx, text(id))
		switch {
		case err != nil:
			return err
		case n == 0 && store.State(row.State) == store.Finished:
			return store.ErrFinished
		case n == 0:
			return store.ErrLeased
		}
		body, err := q.GetRequest(ctx, id)
		if err != nil {
			return missing("request", id, err)
		}
		attempt = store.Attempt{
			Submission: submissionOf(row), Number: int(row.Attempts), LastError: row.LastError, Fence: row.Fence,
		}
		return decode(body, &attempt.Normalised, "request of validation "+id)
	})
	return attempt, err
}

func submissionOf(v queries.Validation) store.Submission {
	return store.Submission{
		ID: v.ID, CreatedAt: instant(v.CreatedAt), Mode: store.Mode(v.Mode), Client: v.Client, Priority: int(v.Priority), Webhook: v.Webhook,
		Accepted: store.Accepted{ScenarioID: v.ScenarioID, ScenarioDigest: v.ScenarioDigest, PatchDigest: v.PatchDigest},
	}
}

// Extend prolongs the lease of the attempt with this fence.
func (s *Store) Extend(ctx context.Context, id string, fence int64, until time.Time) error {
	return s.change(ctx, "extend a lease in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := q.ExtendValidation(ctx, queries.ExtendValidationParams{Until: micros(until), ID: id, Fence: fence})
		if err != nil || n == 1 {
			return err
		}
		_, err = lost(ctx, q, id)
		return err
	})
}

// lost explains why an update of a running attempt changed nothing; queued tells that the attempt is over all the same.
func lost(ctx context.Context, q *queries.Queries, id string) (queries.GetStateRow, error) {
	row, err := q.GetState(ctx, id)
	switch {
	case err != nil:
		return row, err
	case store.State(row.State) == store.Finished:
		return row, store.ErrFinished
	}
	return row, store.ErrLost
}

// Retry puts a validation back into the queue, with the reason for which the attempt with this fence failed.
func (s *Store) Retry(ctx context.Context, id string, fence int64, reason string) error {
	return s.requeue(ctx, id, fence, func(q *queries.Queries) (int64, error) {
		return q.RetryValidation(ctx, queries.RetryValidationParams{LastError: text(reason), ID: id, Fence: fence})
	})
}

// Release puts a validation back into the queue and takes the attempt with this fence back.
func (s *Store) Release(ctx context.Context, id string, fence int64) error {
	return s.requeue(ctx, id, fence, func(q *queries.Queries) (int64, error) {
		return q.ReleaseValidation(ctx, queries.ReleaseValidationParams{ID: id, Fence: fence})
	})
}

// requeue runs update, and explains why it changed nothing if it did; one that is queued already, and that nobody began
// since, is as it should be.
func (s *Store) requeue(ctx context.Context, id string, fence int64, update func(*queries.Queries) (int64, error)) error {
	return s.change(ctx, "requeue in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := update(q)
		if err != nil || n == 1 {
			return err
		}
		row, err := lost(ctx, q, id)
		if errors.Is(err, store.ErrLost) && store.State(row.State) == store.Queued && row.Fence == fence {
			return nil
		}
		return err
	})
}

// Finish gives a validation its only verdict.
func (s *Store) Finish(ctx context.Context, e store.Ending) error {
	if err := e.Check(); err != nil {
		return err
	}
	body, err := encode(e.Validation, "verdict of validation "+e.ID)
	if err != nil {
		return err
	}
	o := store.OutcomeOf(e.Validation)
	return s.change(ctx, "finish in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := q.FinishValidation(ctx, queries.FinishValidationParams{
			ID: e.ID, Fence: e.Fence, FinishedAt: micros(e.At),
			ScenarioID: text(e.Validation.ScenarioID), ScenarioDigest: text(e.Validation.ScenarioDigest),
			Verdict: string(o.Verdict), PatchValidated: bit(o.PatchValidated), Method: text(string(o.Method)),
			Cached: bit(o.Cached), Assurance: int64(o.Assurance), Confidence: o.Confidence,
			ResidualRisk: o.ResidualRisk, ExecutionSeconds: o.ExecutionSeconds, Reason: text(o.Reason),
		})
		if err != nil {
			return err
		}
		if n == 0 {
			_, err := lost(ctx, q, e.ID)
			return err
		}
		if err := q.InsertVerdict(ctx, queries.InsertVerdictParams{ValidationID: e.ID, Body: body}); err != nil {
			return err
		}
		if e.ABTest != nil {
			if err := keepTests(ctx, q, []store.ABTest{*e.ABTest}); err != nil {
				return err
			}
		}
		if _, err := appendEvents(ctx, q, e.Events); err != nil {
			return err
		}
		return enqueue(ctx, q, e.Deliveries)
	})
}

// Expired puts running validations whose lease ran out back into the queue and returns their ids.
func (s *Store) Expired(ctx context.Context, now time.Time, limit int) ([]string, error) {
	ids, err := order(ctx, s, (*queries.Queries).ExpireValidations, queries.ExpireValidationsParams{Now: micros(now), Max: int64(limit)})
	return ids, s.fault("look for expired leases in", err)
}

// Recover puts every running validation back into the queue and returns how many there were.
func (s *Store) Recover(ctx context.Context) (int, error) {
	n, err := order(ctx, s, plain((*queries.Queries).RecoverValidations), none{})
	return int(n), s.fault("recover", err)
}

// Unfinished returns up to limit ids of unfinished validations greater than after, the oldest first.
func (s *Store) Unfinished(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := ask(ctx, s, (*queries.Queries).UnfinishedIDs, queries.UnfinishedIDsParams{After: after, Max: int64(limit)})
	return ids, s.fault("read", err)
}

// Loads returns how many validations of each client are unfinished.
func (s *Store) Loads(ctx context.Context) (map[string]int, error) {
	rows, err := ask(ctx, s, plain((*queries.Queries).UnfinishedByClient), none{})
	loads := make(map[string]int, len(rows))
	for _, row := range rows {
		loads[row.Client] = int(row.N)
	}
	return loads, s.fault("read", err)
}

// Get returns one validation with its request and, when finished, its evidence.
func (s *Store) Get(ctx context.Context, id string) (store.Record, error) {
	var record store.Record
	err := through(ctx, s.reader, func(ctx context.Context) error {
		tx, err := s.read.BeginTx(ctx, &s.dialect.Snapshot) // so that state and verdict belong together
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing was written
		record, err = readRecord(ctx, queries.New(tx), id)
		return err
	})
	return record, s.fault("read", err)
}

func readRecord(ctx context.Context, q *queries.Queries, id string) (store.Record, error) {
	var record store.Record
	row, err := q.GetValidation(ctx, text(id))
	if err != nil {
		return record, err
	}
	record.Row = rowOf(row)
	body, err := q.GetRequest(ctx, id)
	if err != nil {
		return record, missing("request", id, err)
	}
	if err := decode(body, &record.Request, "request of validation "+id); err != nil || record.State != store.Finished {
		return record, err
	}
	if body, err = q.GetVerdict(ctx, id); err != nil {
		return record, missing("verdict", id, err)
	}
	record.Validation = new(crisol.Validation)
	return record, decode(body, record.Validation, "verdict of validation "+id)
}

// State returns how far a validation is.
func (s *Store) State(ctx context.Context, id string) (store.State, error) {
	row, err := ask(ctx, s, (*queries.Queries).GetState, text(id))
	return store.State(row.State), s.fault("read", err)
}

// BasedOn returns finished validations that rest on another version of a scenario than the one with this digest.
func (s *Store) BasedOn(ctx context.Context, scenarioID, otherThanDigest, after string, limit int) ([]store.Row, error) {
	found, err := ask(ctx, s, (*queries.Queries).ValidationsBasedOn, queries.ValidationsBasedOnParams{
		ScenarioID: text(scenarioID), Digest: text(otherThanDigest), After: after, Max: int64(limit),
	})
	rows := make([]store.Row, 0, len(found))
	for _, v := range found {
		rows = append(rows, rowOf(v))
	}
	return rows, s.fault("read", err)
}

// Supersede says that a validation was judged anew by another, with the same verdict.
func (s *Store) Supersede(ctx context.Context, id, by string) error {
	return s.change(ctx, "supersede in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := q.SupersedeValidation(ctx, queries.SupersedeValidationParams{SupersededBy: by, ID: id})
		if err == nil && n == 0 {
			return unfinished(ctx, q, id)
		}
		return err
	})
}

// Revoke says that a validation was judged anew, and that its verdict no longer holds.
func (s *Store) Revoke(ctx context.Context, r store.Revocation) error {
	return s.change(ctx, "revoke in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		n, err := q.RevokeValidation(ctx, queries.RevokeValidationParams{
			ID: r.ID, SupersededBy: r.By, Reason: text(r.Reason), At: micros(r.At),
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return unfinished(ctx, q, r.ID)
		}
		if _, err := appendEvents(ctx, q, r.Events); err != nil {
			return err
		}
		return enqueue(ctx, q, r.Deliveries)
	})
}

// unfinished tells one that has no verdict yet, which nobody can take back, from one that there is none of.
func unfinished(ctx context.Context, q *queries.Queries, id string) error {
	row, err := q.GetState(ctx, id)
	if err == nil && store.State(row.State) != store.Finished {
		return crisol.Errorf(crisol.KindInternal, "validation %s has no verdict yet", id)
	}
	return err
}

// List returns the rows that f selects, newest first. It is written by hand: only the conditions that are set may stand
// in it, else a database would use no index.
func (s *Store) List(ctx context.Context, f store.Filter) ([]store.Row, error) {
	var c conditions
	c.add("state = ", f.State != "", string(f.State))
	if f.State == store.Queued || f.State == store.Running { // else SQLite would not see that the index on the unfinished serves
		c.all = append(c.all, "state <> 'finished'")
	}
	c.add("verdict = ", f.Verdict != "", string(f.Verdict))
	c.add("apv_id = ", f.APVID != "", text(f.APVID))
	c.add("cve_id = ", f.CVEID != "", text(f.CVEID))
	c.add("patch_id = ", f.PatchID != "", text(f.PatchID))
	c.add("scenario_id = ", f.ScenarioID != "", text(f.ScenarioID))
	c.add("scenario_digest = ", f.ScenarioDigest != "", text(f.ScenarioDigest))
	c.add("patch_digest = ", f.PatchDigest != "", text(f.PatchDigest))
	c.add("mode = ", f.Mode != "", string(f.Mode))
	c.add("client = ", f.Client != "", text(f.Client))
	c.add("method = ", f.Method != "", text(string(f.Method)))
	c.add("revoked = ", f.Revoked, int64(1))
	c.add("created_at >= ", !f.Since.IsZero(), micros(f.Since))
	c.add("created_at < ", !f.Until.IsZero(), micros(f.Until))
	c.add("id < ", f.Before != "", text(f.Before))
	list := []store.Row{}
	err := s.list(ctx, "validations", c, f.Limit, func(rows *sql.Rows) error {
		var v queries.Validation
		// The columns come in the order of queries.Validation, which sqlc derives from the same migrations.
		err := rows.Scan(&v.ID, &v.State, &v.ApvID, &v.CveID, &v.PatchID, &v.ScenarioID, &v.ScenarioDigest,
			&v.PatchDigest, &v.Attempts, &v.LastError, &v.CreatedAt, &v.StartedAt, &v.FinishedAt, &v.Verdict,
			&v.PatchValidated, &v.Method, &v.Cached, &v.Assurance, &v.Confidence, &v.ResidualRisk,
			&v.ExecutionSeconds, &v.Reason, &v.Mode, &v.Client, &v.Priority, &v.Webhook, &v.Worker, &v.LeaseUntil,
			&v.Fence, &v.SupersededBy, &v.Revoked, &v.RevokedReason, &v.RevokedAt)
		list = append(list, rowOf(v))
		return err
	})
	return list, s.fault("list", err)
}

// conditions is the part of a query after WHERE.
type conditions struct {
	all  []string
	args []any
}

func (c *conditions) add(condition string, set bool, value any) {
	if set {
		c.args = append(c.args, value)
		c.all = append(c.all, fmt.Sprintf("%s$%d", condition, len(c.args)))
	}
}

// list calls scan for each row of a table that c selects, those with the greatest ids first.
func (s *Store) list(ctx context.Context, table string, c conditions, limit int, scan func(*sql.Rows) error) error {
	where := ""
	if len(c.all) > 0 {
		where = " WHERE " + strings.Join(c.all, " AND ")
	}
	return through(ctx, s.reader, func(ctx context.Context) error {
		rows, err := s.read.QueryContext(ctx, fmt.Sprintf(`SELECT * FROM %s%s ORDER BY id DESC LIMIT %d`, table, where, limit), c.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

func rowOf(v queries.Validation) store.Row {
	row := store.Row{
		ID: v.ID, State: store.State(v.State), APVID: v.ApvID, CVEID: v.CveID, PatchID: v.PatchID,
		ScenarioID: v.ScenarioID, ScenarioDigest: v.ScenarioDigest, PatchDigest: v.PatchDigest,
		Attempts: int(v.Attempts), LastError: v.LastError,
		CreatedAt: instant(v.CreatedAt), StartedAt: instant(v.StartedAt), FinishedAt: instant(v.FinishedAt),
		Mode: store.Mode(v.Mode), Client: v.Client, Priority: int(v.Priority), Webhook: v.Webhook, Worker: v.Worker,
		SupersededBy: v.SupersededBy, Revoked: v.Revoked == 1, RevokedReason: v.RevokedReason, RevokedAt: instant(v.RevokedAt),
		Outcome: store.Outcome{
			Verdict: crisol.Verdict(v.Verdict), PatchValidated: v.PatchValidated == 1, Method: crisol.Method(v.Method),
			Cached: v.Cached == 1, Assurance: crisol.Assurance(v.Assurance), Confidence: v.Confidence,
			ResidualRisk: v.ResidualRisk, ExecutionSeconds: v.ExecutionSeconds, Reason: v.Reason,
		},
	}
	if row.State == store.Running {
		row.LeaseUntil = instant(v.LeaseUntil)
	}
	return row
}
