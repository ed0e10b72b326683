package relational

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// The names of sequences.
const (
	judgedSequence = "judged"
	eventsSequence = "events"
)

// ABTests returns the part of the store that keeps A/B tests.
func (s *Store) ABTests() store.ABTests { return abTests{s} }

type abTests struct{ *Store }

func (s abTests) Plan(ctx context.Context, t store.ABTest) error {
	t.State, t.WargamingResult = store.Pending, ""
	if err := t.Check(); err != nil {
		return err
	}
	p, err := testParams(t, 0)
	if err != nil {
		return err
	}
	_, err = order(ctx, s.Store, (*queries.Queries).InsertABTest, p)
	return s.fault("plan an A/B test in", err)
}

func (s abTests) Judge(ctx context.Context, id string, j store.Judgement) (store.ABTest, error) {
	var judged store.ABTest
	if err := j.Check(id); err != nil {
		return judged, err
	}
	err := s.change(ctx, "judge an A/B test in", func(ctx context.Context, _ *sql.Tx, q *queries.Queries) error {
		// The row of the sequence is held until the commit, so that numbers become visible in their order.
		last, err := q.LockSequence(ctx, judgedSequence)
		if err != nil {
			return missing("sequence", id, err)
		}
		row, err := q.GetABTest(ctx, id)
		if err != nil {
			return err
		}
		t, err := testOf(row)
		if err != nil {
			return err
		}
		if t.State == store.Judged {
			return store.ErrJudged
		}
		t = t.With(j)
		n, err := q.JudgeABTest(ctx, queries.JudgeABTestParams{
			ID: id, WargamingResult: string(t.WargamingResult), WargamingExecutionTimeMs: t.WargamingExecutionMS,
			MlCorrect: maybe(t.Correct), DisagreementReason: text(t.DisagreementReason), JudgedSeq: last + 1, JudgedAt: micros(t.JudgedAt),
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrJudged
		}
		t.JudgedSeq, t.JudgedAt = last+1, instant(micros(t.JudgedAt))
		t.DisagreementReason = text(t.DisagreementReason)
		judged = t
		if err := q.SetSequence(ctx, queries.SetSequenceParams{Name: judgedSequence, Value: t.JudgedSeq}); err != nil {
			return err
		}
		if err := addRollups(ctx, q, []store.ABTest{t}); err != nil {
			return err
		}
		_, err = appendEvents(ctx, q, j.Events)
		return err
	})
	return judged, named(err, "A/B test", id)
}

// keepTests inserts tests that are not there yet, gives those that are judged their place in the order of judgements,
// and counts them.
func keepTests(ctx context.Context, q *queries.Queries, tests []store.ABTest) error {
	judged := slices.ContainsFunc(tests, func(t store.ABTest) bool { return t.State == store.Judged })
	var last int64
	if judged {
		var err error
		if last, err = q.LockSequence(ctx, judgedSequence); err != nil {
			return missing("sequence", judgedSequence, err)
		}
	}
	var counted []store.ABTest
	for _, t := range tests {
		seq := int64(0)
		if t.State == store.Judged {
			t = t.With(store.Judgement{Verdict: t.WargamingResult, ExecutionMS: t.WargamingExecutionMS, Reason: t.DisagreementReason, At: t.JudgedAt})
			seq = last + 1
		}
		p, err := testParams(t, seq)
		if err != nil {
			return err
		}
		n, err := q.InsertABTest(ctx, p)
		if err != nil {
			return err
		}
		if n == 1 && seq > 0 {
			last = seq
			counted = append(counted, t)
		}
	}
	if len(counted) == 0 {
		return nil
	}
	if err := q.SetSequence(ctx, queries.SetSequenceParams{Name: judgedSequence, Value: last}); err != nil {
		return err
	}
	return addRollups(ctx, q, counted)
}

func (s abTests) Get(ctx context.Context, id string) (store.ABTest, error) {
	row, err := ask(ctx, s.Store, (*queries.Queries).GetABTest, text(id))
	if err != nil {
		return store.ABTest{}, named(s.fault("read", err), "A/B test", id)
	}
	t, err := testOf(row)
	return t, s.fault("read", err)
}

func (s abTests) Pending(ctx context.Context, after string, limit int) ([]store.ABTest, error) {
	rows, err := ask(ctx, s.Store, (*queries.Queries).PendingABTests, queries.PendingABTestsParams{After: after, Max: int64(limit)})
	return s.tests(rows, err)
}

func (s abTests) Judged(ctx context.Context, after int64, limit int) ([]store.ABTest, error) {
	rows, err := ask(ctx, s.Store, (*queries.Queries).JudgedABTests, queries.JudgedABTestsParams{After: after, Max: int64(limit)})
	return s.tests(rows, err)
}

func (s abTests) tests(rows []queries.MlAbTest, err error) ([]store.ABTest, error) {
	list := make([]store.ABTest, 0, len(rows))
	for _, row := range rows {
		t, fault := testOf(row)
		if fault != nil {
			return nil, s.fault("read", fault)
		}
		list = append(list, t)
	}
	return list, s.fault("read", err)
}

func (s abTests) Recent(ctx context.Context, f store.ABFilter) ([]store.ABTest, error) {
	var c conditions
	c.add("model_version = ", f.ModelVersion != "", text(f.ModelVersion))
	c.add("ml_prediction = ", f.Side != "", string(f.Side))
	c.add("stratum = ", f.Stratum != "", text(f.Stratum))
	c.add("state = ", f.State != "", text(f.State))
	c.add("created_at >= ", !f.Since.IsZero(), micros(f.Since))
	c.add("created_at < ", !f.Until.IsZero(), micros(f.Until))
	c.add("id < ", f.Before != "", text(f.Before))
	var found []queries.MlAbTest
	err := s.list(ctx, "ml_ab_tests", c, f.Limit, func(rows *sql.Rows) error {
		var t queries.MlAbTest
		err := rows.Scan(&t.ID, &t.ValidationID, &t.ApvID, &t.CveID, &t.PatchID, &t.ScenarioID, &t.ScenarioDigest, &t.PatchDigest,
			&t.ModelVersion, &t.FeaturesVersion, &t.AbTestVersion, &t.MlPrediction, &t.MlProbability, &t.MlConfidence,
			&t.MlExecutionTimeMs, &t.Threshold, &t.Stratum, &t.Decided, &t.Propensity, &t.Challengers, &t.Features, &t.ShapValues,
			&t.State, &t.WargamingResult, &t.WargamingExecutionTimeMs, &t.MlCorrect, &t.DisagreementReason, &t.JudgedSeq,
			&t.CreatedAt, &t.JudgedAt)
		found = append(found, t)
		return err
	})
	return s.tests(found, err)
}

func testParams(t store.ABTest, seq int64) (p queries.InsertABTestParams, err error) {
	p = queries.InsertABTestParams{
		ID: t.ID, ValidationID: t.ValidationID, ApvID: text(t.APVID), CveID: text(t.CVEID), PatchID: text(t.PatchID),
		ScenarioID: text(t.ScenarioID), ScenarioDigest: text(t.ScenarioDigest), PatchDigest: text(t.PatchDigest),
		ModelVersion: text(t.ModelVersion), FeaturesVersion: text(t.FeaturesVersion), AbTestVersion: int64(t.ABTestVersion),
		MlPrediction: string(t.Prediction), MlProbability: t.Probability, MlConfidence: t.Confidence,
		MlExecutionTimeMs: t.MLExecutionMS, Threshold: t.Threshold, Stratum: t.Stratum, Decided: bit(t.Decided),
		Propensity: t.Propensity, Features: text(string(t.Features)), State: t.State, WargamingResult: string(t.WargamingResult),
		WargamingExecutionTimeMs: t.WargamingExecutionMS, MlCorrect: maybe(t.Correct), DisagreementReason: text(t.DisagreementReason),
		JudgedSeq: seq, CreatedAt: micros(t.CreatedAt), JudgedAt: micros(t.JudgedAt),
	}
	if p.Challengers, err = encode(t.Challengers, "challengers of A/B test "+t.ID); err != nil {
		return p, err
	}
	p.ShapValues, err = encode(t.SHAP, "Shapley values of A/B test "+t.ID)
	return p, err
}

func testOf(r queries.MlAbTest) (store.ABTest, error) {
	t := store.ABTest{
		ID: r.ID, ValidationID: r.ValidationID, APVID: r.ApvID, CVEID: r.CveID, PatchID: r.PatchID,
		ScenarioID: r.ScenarioID, ScenarioDigest: r.ScenarioDigest, PatchDigest: r.PatchDigest,
		ModelVersion: r.ModelVersion, FeaturesVersion: r.FeaturesVersion, ABTestVersion: int(r.AbTestVersion),
		Prediction: crisol.Verdict(r.MlPrediction), Probability: r.MlProbability, Confidence: r.MlConfidence,
		MLExecutionMS: r.MlExecutionTimeMs, Threshold: r.Threshold, Stratum: r.Stratum, Decided: r.Decided == 1,
		Propensity: r.Propensity, State: r.State, WargamingResult: crisol.Verdict(r.WargamingResult),
		WargamingExecutionMS: r.WargamingExecutionTimeMs, DisagreementReason: r.DisagreementReason, JudgedSeq: r.JudgedSeq,
		CreatedAt: instant(r.CreatedAt), JudgedAt: instant(r.JudgedAt),
	}
	if r.MlCorrect.Valid {
		correct := r.MlCorrect.Int64 == 1
		t.Correct = &correct
	}
	if r.Features != "" {
		t.Features = json.RawMessage(r.Features)
	}
	if err := decode(r.Challengers, &t.Challengers, "challengers of A/B test "+r.ID); err != nil {
		return t, err
	}
	return t, decode(r.ShapValues, &t.SHAP, "Shapley values of A/B test "+r.ID)
}

func maybe(b *bool) sql.NullInt64 {
	if b == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: bit(*b), Valid: true}
}

// addRollups adds judged tests to the hours of their predictions, in the order of keys, so that two that do so at once
// don't wait for each other in a ring.
func addRollups(ctx context.Context, q *queries.Queries, tests []store.ABTest) error {
	type key struct {
		hour                 int64
		model, side, stratum string
	}
	sums := map[key]*queries.AddRollupParams{}
	for _, t := range tests {
		k := key{hour(t.CreatedAt), text(t.ModelVersion), string(t.Prediction), t.Stratum}
		if sums[k] == nil {
			sums[k] = &queries.AddRollupParams{Hour: k.hour, ModelVersion: k.model, Side: k.side, Stratum: k.stratum}
		}
		switch sum := sums[k]; {
		case t.Correct == nil:
			sum.Inconclusive++
			sum.InconclusiveWeight += 1 / t.Propensity
		case *t.Correct:
			sum.Correct++
			sum.CorrectWeight += 1 / t.Propensity
		default:
			sum.Wrong++
			sum.WrongWeight += 1 / t.Propensity
		}
	}
	keys := sortedKeys(sums, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.model, b.model), cmp.Compare(a.side, b.side), cmp.Compare(a.stratum, b.stratum))
	})
	for _, k := range keys {
		if err := q.AddRollup(ctx, *sums[k]); err != nil {
			return err
		}
	}
	return nil
}
