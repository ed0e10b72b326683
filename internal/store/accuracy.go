package store

import (
	"context"
	"time"

	"crisol"
)

// Counts is a confusion matrix in rows: fixed is the positive label. Inconclusive results belong to no cell.
type Counts struct {
	TruePositive, FalsePositive, TrueNegative, FalseNegative, Inconclusive int64
}

// Weights is a confusion matrix in which each row counts 1/propensity: what the rows stand for.
type Weights struct {
	TruePositive, FalsePositive, TrueNegative, FalseNegative, Inconclusive float64
}

// Metrics are ratios of a confusion matrix; nil where their denominator is zero.
type Metrics struct {
	Accuracy, Precision, Recall, F1 *float64
}

// Confusion is a confusion matrix with its metrics, as counted and as weighted.
type Confusion struct {
	Counts          Counts
	Metrics         Metrics
	Weights         Weights
	WeightedMetrics Metrics
}

// ConfusionFilter selects the judged A/B tests of a Confusion. A zero field selects all.
type ConfusionFilter struct {
	ModelVersion string
	Side         crisol.Verdict
	Stratum      string
	Since, Until time.Time // of creation, from and before
}

// Rollup is one hour of judged A/B tests. The hour is that of the prediction, in UTC.
type Rollup struct {
	Hour         time.Time
	ModelVersion string
	Side         crisol.Verdict
	Stratum      string
	Counts       Counts
	Weights      Weights
}

// ModelAccuracy is a row of the view ml_accuracy_stats: all that is kept of one model.
type ModelAccuracy struct {
	ModelVersion string
	Pending      int64
	Confusion
}

// Accuracy reads what judged A/B tests say of models.
type Accuracy interface {
	// Confusion counts the rows themselves.
	Confusion(ctx context.Context, f ConfusionFilter) (Confusion, error)
	// Hourly returns the rollups from the hour of since to before until, of one model or of all (""), in the order of
	// hour, model, side and stratum. Rollups change in the transaction that judges, and outlive the rows.
	Hourly(ctx context.Context, since, until time.Time, modelVersion string) ([]Rollup, error)
	// Models returns a row for each model, in the order of versions.
	Models(ctx context.Context) ([]ModelAccuracy, error)
}
