package relational

import (
	"cmp"
	"context"
	"database/sql"

	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// The tables of a finished validation, as Record fills them.
var (
	finishedRows = table{
		name: "validations", returning: "id",
		columns: []string{
			"id", "state", "apv_id", "cve_id", "patch_id", "scenario_id", "scenario_digest", "patch_digest", "created_at",
			"finished_at", "verdict", "patch_validated", "method", "cached", "assurance", "confidence", "residual_risk",
			"execution_seconds", "reason", "mode", "client", "priority", "webhook",
		},
	}
	requestRows = table{name: "requests", columns: []string{"validation_id", "body"}}
	verdictRows = table{name: "verdicts", columns: []string{"validation_id", "body"}}
)

func finishedRow(e store.Entry) []any {
	s, o := e.Submission, store.OutcomeOf(*e.Validation)
	return []any{
		s.ID, string(store.Finished), text(s.Normalised.APVID), text(s.Normalised.CVEID), text(s.Normalised.PatchID),
		text(cmp.Or(e.Validation.ScenarioID, s.ScenarioID)), text(cmp.Or(e.Validation.ScenarioDigest, s.ScenarioDigest)), text(s.PatchDigest),
		micros(s.CreatedAt), micros(e.FinishedAt), string(o.Verdict), bit(o.PatchValidated), text(string(o.Method)), bit(o.Cached),
		int64(o.Assurance), o.Confidence, o.ResidualRisk, o.ExecutionSeconds, text(o.Reason), mode(s.Mode), text(s.Client),
		int64(s.Priority), text(s.Webhook),
	}
}

// Record keeps entries in one transaction; what is kept already is left as it is.
func (s *Store) Record(ctx context.Context, entries []store.Entry) error {
	bodies := make(map[string][2]string, len(entries))
	for _, e := range entries {
		if err := e.Check(); err != nil {
			return err
		}
		if e.Validation == nil {
			continue
		}
		request, err := encode(e.Submission.Normalised, "request of validation "+e.Submission.ID)
		if err != nil {
			return err
		}
		verdict, err := encode(e.Validation, "verdict of validation "+e.Submission.ID)
		if err != nil {
			return err
		}
		bodies[e.Submission.ID] = [2]string{request, verdict}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := s.prepare(ctx, finishedRows, requestRows, verdictRows); err != nil {
		return s.fault("record in", err)
	}
	return s.change(ctx, "record in", func(ctx context.Context, tx *sql.Tx, q *queries.Queries) error {
		added, err := s.insertFinished(ctx, tx, entries, bodies)
		if err != nil {
			return err
		}
		return recordRest(ctx, q, entries, added)
	})
}

// insertFinished inserts the validations of entries and returns the ids of those that were not there yet.
func (s *Store) insertFinished(ctx context.Context, tx *sql.Tx, entries []store.Entry, bodies map[string][2]string) (map[string]bool, error) {
	var rows, requests, verdicts [][]any
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Validation != nil && !seen[e.Submission.ID] {
			seen[e.Submission.ID] = true
			rows = append(rows, finishedRow(e))
		}
	}
	added, err := s.insert(ctx, tx, finishedRows, rows)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if id := row[0].(string); added[id] {
			requests = append(requests, []any{id, bodies[id][0]})
			verdicts = append(verdicts, []any{id, bodies[id][1]})
		}
	}
	if _, err := s.insert(ctx, tx, requestRows, requests); err != nil {
		return nil, err
	}
	_, err = s.insert(ctx, tx, verdictRows, verdicts)
	return added, err
}

// recordRest keeps what comes with the validations. What has no identity of its own, counts and events without a key,
// is kept only with a validation that is new.
func recordRest(ctx context.Context, q *queries.Queries, entries []store.Entry, added map[string]bool) error {
	var tests []store.ABTest
	var counts []store.Count
	var events []store.Event
	var deliveries []store.Delivery
	done := map[string]bool{}
	for _, e := range entries {
		if e.ABTest != nil {
			tests = append(tests, *e.ABTest)
		}
		deliveries = append(deliveries, e.Deliveries...)
		id := e.Submission.ID
		if e.Validation != nil && (!added[id] || done[id]) {
			continue
		}
		done[id] = done[id] || e.Validation != nil
		events = append(events, e.Events...)
		if e.Unaudited != nil {
			count := *e.Unaudited
			count.N = max(count.N, 1)
			counts = append(counts, count)
		}
	}
	if err := keepTests(ctx, q, tests); err != nil {
		return err
	}
	if err := addCounts(ctx, q, counts); err != nil {
		return err
	}
	if _, err := appendEvents(ctx, q, events); err != nil {
		return err
	}
	return enqueue(ctx, q, deliveries)
}
