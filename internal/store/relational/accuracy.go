package relational

import (
	"context"
	"strings"
	"time"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Accuracy returns the part of the store that reads what judged A/B tests say of models.
func (s *Store) Accuracy() store.Accuracy { return accuracy{s} }

type accuracy struct{ *Store }

// confusion is the view ml_accuracy_stats over a selection of rows. It is written by hand because only the conditions
// that are set may stand in it, and because sqlc does not follow the types of its arithmetic.
const confusion = `
SELECT
    c.tp, c.fp, c.tn, c.fn, c.inconclusive, c.wtp, c.wfp, c.wtn, c.wfn, c.winconclusive,
    CAST(c.tp + c.tn AS double precision) / nullif(c.tp + c.fp + c.tn + c.fn, 0),
    CAST(c.tp AS double precision) / nullif(c.tp + c.fp, 0),
    CAST(c.tp AS double precision) / nullif(c.tp + c.fn, 0),
    CAST(2 * c.tp AS double precision) / nullif(2 * c.tp + c.fp + c.fn, 0),
    (c.wtp + c.wtn) / nullif(c.wtp + c.wfp + c.wtn + c.wfn, 0),
    c.wtp / nullif(c.wtp + c.wfp, 0),
    c.wtp / nullif(c.wtp + c.wfn, 0),
    2 * c.wtp / nullif(2 * c.wtp + c.wfp + c.wfn, 0)
FROM (
    SELECT
        count(*) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 1) AS tp,
        count(*) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 0) AS fp,
        count(*) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 1) AS tn,
        count(*) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 0) AS fn,
        count(*) FILTER (WHERE wargaming_result = 'inconclusive') AS inconclusive,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 1), 0.0) AS wtp,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'fixed' AND ml_correct = 0), 0.0) AS wfp,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 1), 0.0) AS wtn,
        coalesce(sum(1 / propensity) FILTER (WHERE ml_prediction = 'not_fixed' AND ml_correct = 0), 0.0) AS wfn,
        coalesce(sum(1 / propensity) FILTER (WHERE wargaming_result = 'inconclusive'), 0.0) AS winconclusive
    FROM ml_ab_tests
    WHERE `

func (s accuracy) Confusion(ctx context.Context, f store.ConfusionFilter) (store.Confusion, error) {
	var c conditions
	c.add("state = ", true, store.Judged)
	c.add("model_version = ", f.ModelVersion != "", text(f.ModelVersion))
	c.add("ml_prediction = ", f.Side != "", string(f.Side))
	c.add("stratum = ", f.Stratum != "", text(f.Stratum))
	c.add("created_at >= ", !f.Since.IsZero(), micros(f.Since))
	c.add("created_at < ", !f.Until.IsZero(), micros(f.Until))
	var m store.Confusion
	err := through(ctx, s.reader, func(ctx context.Context) error {
		return s.read.QueryRowContext(ctx, confusion+strings.Join(c.all, " AND ")+") AS c", c.args...).Scan(
			&m.Counts.TruePositive, &m.Counts.FalsePositive, &m.Counts.TrueNegative, &m.Counts.FalseNegative, &m.Counts.Inconclusive,
			&m.Weights.TruePositive, &m.Weights.FalsePositive, &m.Weights.TrueNegative, &m.Weights.FalseNegative, &m.Weights.Inconclusive,
			&m.Metrics.Accuracy, &m.Metrics.Precision, &m.Metrics.Recall, &m.Metrics.F1,
			&m.WeightedMetrics.Accuracy, &m.WeightedMetrics.Precision, &m.WeightedMetrics.Recall, &m.WeightedMetrics.F1,
		)
	})
	return m, s.fault("read", err)
}

func (s accuracy) Hourly(ctx context.Context, since, before time.Time, modelVersion string) ([]store.Rollup, error) {
	rows, err := ask(ctx, s.Store, (*queries.Queries).Rollups, queries.RollupsParams{Since: hour(since), Until: until(before), ModelVersion: text(modelVersion)})
	list := make([]store.Rollup, 0, len(rows))
	for _, r := range rows {
		rollup := store.Rollup{
			Hour: instant(r.Hour), ModelVersion: r.ModelVersion, Side: crisol.Verdict(r.Side), Stratum: r.Stratum,
			Counts: store.Counts{Inconclusive: r.Inconclusive}, Weights: store.Weights{Inconclusive: r.InconclusiveWeight},
		}
		if rollup.Side == crisol.Fixed {
			rollup.Counts.TruePositive, rollup.Counts.FalsePositive = r.Correct, r.Wrong
			rollup.Weights.TruePositive, rollup.Weights.FalsePositive = r.CorrectWeight, r.WrongWeight
		} else {
			rollup.Counts.TrueNegative, rollup.Counts.FalseNegative = r.Correct, r.Wrong
			rollup.Weights.TrueNegative, rollup.Weights.FalseNegative = r.CorrectWeight, r.WrongWeight
		}
		list = append(list, rollup)
	}
	return list, s.fault("read", err)
}

func (s accuracy) Models(ctx context.Context) ([]store.ModelAccuracy, error) {
	rows, err := ask(ctx, s.Store, plain((*queries.Queries).AccuracyStats), none{})
	list := make([]store.ModelAccuracy, 0, len(rows))
	for _, r := range rows {
		list = append(list, store.ModelAccuracy{ModelVersion: r.ModelVersion, Pending: r.Pending, Confusion: store.Confusion{
			Counts:          store.Counts{TruePositive: r.TruePositive, FalsePositive: r.FalsePositive, TrueNegative: r.TrueNegative, FalseNegative: r.FalseNegative, Inconclusive: r.Inconclusive},
			Metrics:         store.Metrics{Accuracy: r.Accuracy, Precision: r.Precision, Recall: r.Recall, F1: r.F1},
			Weights:         store.Weights{TruePositive: r.TruePositiveWeight, FalsePositive: r.FalsePositiveWeight, TrueNegative: r.TrueNegativeWeight, FalseNegative: r.FalseNegativeWeight, Inconclusive: r.InconclusiveWeight},
			WeightedMetrics: store.Metrics{Accuracy: r.WeightedAccuracy, Precision: r.WeightedPrecision, Recall: r.WeightedRecall, F1: r.WeightedF1},
		}})
	}
	return list, s.fault("read", err)
}
