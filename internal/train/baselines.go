package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"crisol"
	"crisol/internal/forest"
	"crisol/internal/linear"
	"crisol/internal/predict"
)

// Column holds the probabilities of `fixed` that one way of predicting gave the rows, each without its fold.
type Column struct {
	Name          string
	Probabilities []float64
}

// Names of the columns that Baselines makes.
const (
	SizeColumn   = "diff size only"
	LinearColumn = "logistic regression"
	NineColumn   = "nine regex features"
	BlindColumn  = "vulnerability, no patch"
)

// way is a way to learn: from rows, by number, it makes a function that predicts other rows.
type way func(ctx context.Context, learnt []int) (func(i int) (float64, error), error)

// Baselines are what the models have to beat, out of the same folds: the size of the diff, logistic regression over all
// features and n-grams, a random forest of the nine features of package baseline, and one that knows the vulnerability
// and nothing of the patch. vulnerability names the features that it reads.
func Baselines(ctx context.Context, d Data, vulnerability []string, o Options) ([]Column, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	blind, err := d.columns(vulnerability)
	if err != nil {
		return nil, err
	}
	size, err := d.size()
	if err != nil {
		return nil, err
	}
	own := func(i int) []float64 { return d.Rows[i].Vector }
	nine := func(i int) []float64 { return d.Rows[i].Baseline }
	none := func(int) linear.Sparse { return nil }
	grams := func(i int) linear.Sparse { return predict.Sparse(d.Rows[i].NGrams) }
	columns := []Column{{Name: SizeColumn}, {Name: LinearColumn}, {Name: NineColumn}, {Name: BlindColumn}}
	for i, w := range []way{d.regression(size, none), d.regression(own, grams), d.grown(nine, d.Baseline, o), d.grown(blind, vulnerability, o)} {
		if columns[i].Probabilities, err = d.crossed(ctx, w); err != nil {
			return nil, fmt.Errorf("%s: %w", columns[i].Name, err)
		}
	}
	return columns, nil
}

// crossed predicts every row by what was learnt from the other folds.
func (d Data) crossed(ctx context.Context, learn way) ([]float64, error) {
	out := make([]float64, len(d.Rows))
	for fold := range d.folds() {
		var learnt []int
		for i, f := range d.Folds {
			if f != fold {
				learnt = append(learnt, i)
			}
		}
		predict, err := learn(ctx, learnt)
		if err != nil {
			return nil, fmt.Errorf("without fold %d: %w", fold, err)
		}
		for i, f := range d.Folds {
			if f != fold {
				continue
			}
			if out[i], err = predict(i); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// regression is logistic regression over dense and sparse columns.
func (d Data) regression(dense func(i int) []float64, sparse func(i int) linear.Sparse) way {
	return func(_ context.Context, learnt []int) (func(int) (float64, error), error) {
		samples := make([]linear.Sample, len(learnt))
		for k, i := range learnt {
			samples[k] = linear.Sample{Dense: dense(i), Sparse: sparse(i), Label: d.Rows[i].Fixed(), Weight: 1}
		}
		model, err := linear.Fit(samples, gramsSettings)
		if err != nil {
			return nil, crisol.Errorf(crisol.KindInput, "%w", err)
		}
		return func(i int) (float64, error) { return model.Probability(dense(i), sparse(i)), nil }, nil
	}
}

// grown is a random forest of the settings that the models have.
func (d Data) grown(row func(i int) []float64, names []string, o Options) way {
	grow := o.forest(len(names))
	return func(ctx context.Context, learnt []int) (func(int) (float64, error), error) {
		set := forest.Dataset{FeatureSet: "baseline", Names: names}
		for _, i := range learnt {
			set.Rows, set.Labels = append(set.Rows, row(i)), append(set.Labels, d.Rows[i].Fixed())
		}
		trained, err := grow.Train(ctx, set)
		if err != nil {
			return nil, err
		}
		return func(i int) (float64, error) { return trained.Model.Predict(row(i)) }, nil
	}
}

// columns reads the named features of a row.
func (d Data) columns(names []string) (func(i int) []float64, error) {
	at := make([]int, len(names))
	for k, name := range names {
		if at[k] = slices.Index(d.Features, name); at[k] < 0 {
			return nil, crisol.Errorf(crisol.KindInput, "the rows have no feature %q", name)
		}
	}
	return func(i int) []float64 {
		row := make([]float64, len(at))
		for k, column := range at {
			row[k] = d.Rows[i].Vector[column]
		}
		return row
	}, nil
}

// size reads the logarithm of the lines that a row's diff adds and removes, off its baseline features.
func (d Data) size() (func(i int) []float64, error) {
	added, removed := slices.Index(d.Baseline, "lines_added"), slices.Index(d.Baseline, "lines_removed")
	if added < 0 || removed < 0 {
		return nil, crisol.Errorf(crisol.KindInput, "the rows don't say how many lines were added and removed")
	}
	return func(i int) []float64 {
		v := d.Rows[i].Baseline
		return []float64{math.Log1p(v[added]), math.Log1p(v[removed])}
	}, nil
}
