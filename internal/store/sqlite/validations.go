package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/sqlite/queries"
)

// Accept keeps a submission as queued unless bound others are unfinished.
func (s *Store) Accept(ctx context.Context, sub store.Submission, bound int) error {
	body, err := json.Marshal(sub.Normalised)
	if err != nil {
		return fmt.Errorf("encode request of validation %s: %w", sub.ID, err)
	}
	return s.change(ctx, "accept into", func(q *queries.Queries) error {
		unfinished, err := q.CountUnfinished(ctx)
		if err != nil {
			return err
		}
		if unfinished >= int64(bound) {
			return store.ErrFull
		}
		if err := q.InsertValidation(ctx, queries.InsertValidationParams{
			ID: sub.ID, ApvID: sub.Normalised.APVID, CveID: sub.Normalised.CVEID, PatchID: sub.Normalised.PatchID,
			ScenarioID: sub.ScenarioID, ScenarioDigest: sub.ScenarioDigest, PatchDigest: sub.PatchDigest,
			CreatedAt: micros(sub.CreatedAt),
		}); err != nil {
			return err
		}
		return q.InsertRequest(ctx, queries.InsertRequestParams{ValidationID: sub.ID, Body: string(body)})
	})
}

// Begin marks a validation as running, counts the attempt and returns what to run.
func (s *Store) Begin(ctx context.Context, id string, at time.Time) (store.Attempt, error) {
	var attempt store.Attempt
	err := s.change(ctx, "begin in", func(q *queries.Queries) error {
		n, err := q.BeginValidation(ctx, queries.BeginValidationParams{StartedAt: micros(at), ID: id})
		if err != nil {
			return err
		}
		row, err := q.GetValidation(ctx, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrFinished
		}
		body, err := q.GetRequest(ctx, id)
		if err != nil {
			return missing("request", id, err)
		}
		attempt.ID, attempt.CreatedAt = id, instant(row.CreatedAt)
		attempt.ScenarioID, attempt.ScenarioDigest, attempt.PatchDigest = row.ScenarioID, row.ScenarioDigest, row.PatchDigest
		attempt.Number, attempt.LastError = int(row.Attempts), row.LastError
		return decode(body, &attempt.Normalised, id)
	})
	return attempt, err
}

// Retry puts a running validation back into the queue, with the reason for which its attempt failed.
func (s *Store) Retry(ctx context.Context, id, reason string) error {
	return s.requeue(ctx, id, func(q *queries.Queries) (int64, error) {
		return q.RetryValidation(ctx, queries.RetryValidationParams{LastError: reason, ID: id})
	})
}

// Release puts a running validation back into the queue and takes its attempt back.
func (s *Store) Release(ctx context.Context, id string) error {
	return s.requeue(ctx, id, func(q *queries.Queries) (int64, error) { return q.ReleaseValidation(ctx, id) })
}

// requeue runs update, and explains why it changed nothing if it did; one that is queued already is as it should be.
func (s *Store) requeue(ctx context.Context, id string, update func(*queries.Queries) (int64, error)) error {
	return s.change(ctx, "requeue in", func(q *queries.Queries) error {
		if n, err := update(q); err != nil || n == 1 {
			return err
		}
		state, err := q.GetState(ctx, id)
		if err == nil && store.State(state) == store.Finished {
			return store.ErrFinished
		}
		return err
	})
}

// Finish gives a validation its only verdict.
func (s *Store) Finish(ctx context.Context, id string, v crisol.Validation, at time.Time) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode verdict of validation %s: %w", id, err)
	}
	o := store.OutcomeOf(v)
	return s.change(ctx, "finish in", func(q *queries.Queries) error {
		n, err := q.FinishValidation(ctx, queries.FinishValidationParams{
			ID: id, FinishedAt: micros(at), ScenarioID: v.ScenarioID, ScenarioDigest: v.ScenarioDigest,
			Verdict: string(o.Verdict), PatchValidated: bit(o.PatchValidated), Method: string(o.Method),
			Cached: bit(o.Cached), Assurance: int64(o.Assurance), Confidence: o.Confidence,
			ResidualRisk: o.ResidualRisk, ExecutionSeconds: o.ExecutionSeconds, Reason: o.Reason,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := q.GetState(ctx, id); err != nil {
				return err
			}
			return store.ErrFinished
		}
		return q.InsertVerdict(ctx, queries.InsertVerdictParams{ValidationID: id, Body: string(body)})
	})
}

// Recover puts every running validation back into the queue and returns how many there were.
func (s *Store) Recover(ctx context.Context) (int, error) {
	n, err := queries.New(s.write).RecoverValidations(ctx)
	return int(n), s.fault("recover", err)
}

// Unfinished returns up to limit ids of unfinished validations greater than after, the oldest first.
func (s *Store) Unfinished(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := queries.New(s.read).UnfinishedIDs(ctx, queries.UnfinishedIDsParams{ID: after, Limit: int64(limit)})
	return ids, s.fault("read", err)
}

// Get returns one validation with its request and, when finished, its evidence.
func (s *Store) Get(ctx context.Context, id string) (store.Record, error) {
	tx, err := s.read.BeginTx(ctx, nil) // one snapshot, so that state and verdict belong together
	if err != nil {
		return store.Record{}, s.fault("read", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	record, err := readRecord(ctx, queries.New(tx), id)
	return record, s.fault("read", err)
}

func readRecord(ctx context.Context, q *queries.Queries, id string) (store.Record, error) {
	var record store.Record
	row, err := q.GetValidation(ctx, id)
	if err != nil {
		return record, err
	}
	record.Row = rowOf(row)
	body, err := q.GetRequest(ctx, id)
	if err != nil {
		return record, missing("request", id, err)
	}
	if err := decode(body, &record.Request, id); err != nil || record.State != store.Finished {
		return record, err
	}
	if body, err = q.GetVerdict(ctx, id); err != nil {
		return record, missing("verdict", id, err)
	}
	record.Validation = new(crisol.Validation)
	return record, decode(body, record.Validation, id)
}

// State returns how far a validation is.
func (s *Store) State(ctx context.Context, id string) (store.State, error) {
	state, err := queries.New(s.read).GetState(ctx, id)
	return store.State(state), s.fault("read", err)
}

// List returns the rows that f selects, newest first. It is the one query written by hand: only the conditions that
// are set may stand in it, else SQLite would use no index.
func (s *Store) List(ctx context.Context, f store.Filter) ([]store.Row, error) {
	conditions, args := conditions(f)
	// The columns come in the order of queries.Validation, which sqlc derives from the same migrations.
	rows, err := s.read.QueryContext(ctx, `SELECT * FROM validations WHERE `+strings.Join(conditions, " AND ")+
		` ORDER BY id DESC LIMIT ?`, append(args, f.Limit)...)
	if err != nil {
		return nil, s.fault("list", err)
	}
	defer rows.Close()
	list := []store.Row{}
	for rows.Next() {
		var v queries.Validation
		if err := rows.Scan(&v.ID, &v.State, &v.ApvID, &v.CveID, &v.PatchID, &v.ScenarioID, &v.ScenarioDigest,
			&v.PatchDigest, &v.Attempts, &v.LastError, &v.CreatedAt, &v.StartedAt, &v.FinishedAt, &v.Verdict,
			&v.PatchValidated, &v.Method, &v.Cached, &v.Assurance, &v.Confidence, &v.ResidualRisk,
			&v.ExecutionSeconds, &v.Reason); err != nil {
			return nil, s.fault("list", err)
		}
		list = append(list, rowOf(v))
	}
	return list, s.fault("list", rows.Err())
}

func conditions(f store.Filter) (conditions []string, args []any) {
	conditions = []string{"true"}
	add := func(condition string, set bool, value any) {
		if set {
			conditions, args = append(conditions, condition), append(args, value)
		}
	}
	add("state = ?", f.State != "", string(f.State))
	add("verdict = ?", f.Verdict != "", string(f.Verdict))
	add("apv_id = ?", f.APVID != "", f.APVID)
	add("cve_id = ?", f.CVEID != "", f.CVEID)
	add("patch_id = ?", f.PatchID != "", f.PatchID)
	add("scenario_id = ?", f.ScenarioID != "", f.ScenarioID)
	add("created_at >= ?", !f.Since.IsZero(), micros(f.Since))
	add("created_at < ?", !f.Until.IsZero(), micros(f.Until))
	add("id < ?", f.Before != "", f.Before)
	return conditions, args
}

func rowOf(v queries.Validation) store.Row {
	return store.Row{
		ID: v.ID, State: store.State(v.State), APVID: v.ApvID, CVEID: v.CveID, PatchID: v.PatchID,
		ScenarioID: v.ScenarioID, ScenarioDigest: v.ScenarioDigest, PatchDigest: v.PatchDigest,
		Attempts: int(v.Attempts), LastError: v.LastError,
		CreatedAt: instant(v.CreatedAt), StartedAt: instant(v.StartedAt), FinishedAt: instant(v.FinishedAt),
		Outcome: store.Outcome{
			Verdict: crisol.Verdict(v.Verdict), PatchValidated: v.PatchValidated == 1, Method: crisol.Method(v.Method),
			Cached: v.Cached == 1, Assurance: crisol.Assurance(v.Assurance), Confidence: v.Confidence,
			ResidualRisk: v.ResidualRisk, ExecutionSeconds: v.ExecutionSeconds, Reason: v.Reason,
		},
	}
}

// missing tells the damage that a part of a validation is gone from the case that there is no such validation.
func missing(part, id string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("the %s of validation %s is missing", part, id)
	}
	return err
}

func decode(body string, into any, id string) error {
	if err := json.Unmarshal([]byte(body), into); err != nil {
		return fmt.Errorf("decode validation %s: %w", id, err)
	}
	return nil
}

// micros and instant turn times into the database's form and back; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
