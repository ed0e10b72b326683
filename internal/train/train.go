// Package train makes model bundles of labelled rows.
//
// In go rows of numbers with labels, the fold of each row, and settings; out come a random forest and a boosted ensemble,
// each calibrated and certified on scores out of fold, and for every row the scores that these and the baselines gave it
// without having seen its group. The same rows and settings give the same bytes, whatever the number of workers. It runs
// nothing but arithmetic: it reads and writes no file and knows nothing of patches.
//
// # Out of fold
//
// Rows of one group are always in one fold. The log odds of a row's n-grams enter the trees as one feature, and there is
// a danger in it: a linear model of thousands of buckets knows its own training rows by heart. So the score of a row is
// always that of a model that didn't see its fold, also inside the training part of an outer fold (stacking; Wolpert,
// Neural Networks 5, 1992): with folds f and g left out, the linear model of the others scores g for the trees that will
// be judged on f, and f for those judged on g.
package train

import (
	"context"
	"fmt"

	"crisol"
	"crisol/internal/calibrate"
	"crisol/internal/certify"
	"crisol/internal/dataset"
	"crisol/internal/experiment"
	"crisol/internal/forest"
	"crisol/internal/linear"
	"crisol/internal/predict"
)

// Options steer a training. The zero value stands for the defaults, which the shipped models were made with.
type Options struct {
	Seed    uint64  // 0 means 1
	Workers int     // goroutines, which change nothing but the time; 0 is one for each processor
	Alpha   float64 // the risk that is certified; 0 means 0.05
	Delta   float64 // the probability that a certificate is wrong; 0 means 0.1
	// Generation numbers the models: rf_v2 for 2; 0 means 1.
	Generation int
}

// Versions of the models that Run makes, in the first generation.
const (
	ForestVersion   = "rf_v1"
	BoostingVersion = "gbdt_v1"
)

// Kinds of models, whose versions are the kind and a generation's number.
const (
	ForestKind   = "rf_v"
	BoostingKind = "gbdt_v"
)

// Settings of the learners, chosen once and by the folds' scores, not by the certificate's. A split tries about a fifth of
// the features, twice as many as the square root: many are 0 for most rows. Of few features it tries the square root.
var (
	forestSettings   = forest.Forest{Trees: 200, Depth: 12, LeafRows: 3, Features: 24}
	boostingSettings = forest.Boosting{Trees: 200, Depth: 4, Rate: 0.05, LeafRows: 10, Rows: 0.7, Columns: 0.5}
	gramsSettings    = linear.Options{L2: 1}
)

func (o Options) defaults() Options {
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	if o.Delta == 0 {
		o.Delta = 0.1
	}
	if o.Generation == 0 {
		o.Generation = 1
	}
	return o
}

// forest is how a forest of rows with so many features is grown.
func (o Options) forest(features int) forest.Forest {
	o = o.defaults()
	grow := forestSettings
	grow.Seed, grow.Workers = o.Seed, o.Workers
	if features < 4*grow.Features {
		grow.Features = 0
	}
	return grow
}

// Data are labelled rows with the group and the fold of each.
type Data struct {
	dataset.Set
	// RowsDigest is the SHA-256 of the file that the rows came from, in hex.
	RowsDigest string
	// Groups and Folds number the rows' groups and folds from 0. The rows of one group are in one fold.
	Groups, Folds []int
}

// Trained is a model with the scores that models of its kind gave the rows without having seen their groups.
type Trained struct {
	Bundle *predict.Bundle
	// Scores are the ensemble's own, Probabilities those after a calibration that didn't see the row's fold either.
	Scores, Probabilities []float64
}

// Run trains both models.
func Run(ctx context.Context, d Data, o Options) (rf, gbdt Trained, err error) {
	o = o.defaults()
	if err := d.check(); err != nil {
		return rf, gbdt, err
	}
	s, err := newStack(ctx, d)
	if err != nil {
		return rf, gbdt, err
	}
	grow := o.forest(len(s.names))
	rf, err = s.train(ctx, o, recipe{fmt.Sprint(ForestKind, o.Generation), settings(grow), func(ctx context.Context, d forest.Dataset) (*forest.Model, error) {
		trained, err := grow.Train(ctx, d)
		return trained.Model, err
	}})
	if err != nil {
		return rf, gbdt, fmt.Errorf("train %s: %w", ForestVersion, err)
	}
	boost := boostingSettings
	boost.Seed, boost.Workers = o.Seed, o.Workers
	gbdt, err = s.train(ctx, o, recipe{fmt.Sprint(BoostingKind, o.Generation), settings(boost), boost.Train})
	if err != nil {
		return rf, gbdt, fmt.Errorf("train %s: %w", BoostingVersion, err)
	}
	return rf, gbdt, nil
}

// recipe is a way to learn trees.
type recipe struct {
	version  string
	settings map[string]any
	learn    func(context.Context, forest.Dataset) (*forest.Model, error)
}

func settings(learner any) map[string]any {
	said := map[string]any{"ngrams_l2": gramsSettings.L2}
	switch l := learner.(type) {
	case forest.Forest:
		said["trees"], said["depth"], said["leaf_rows"], said["split_features"] = l.Trees, l.Depth, l.LeafRows, l.Features
	case forest.Boosting:
		said["trees"], said["depth"], said["leaf_rows"], said["rate"], said["rows"], said["columns"] = l.Trees, l.Depth, l.LeafRows, l.Rate, l.Rows, l.Columns
	}
	return said
}

func (d Data) check() error {
	if len(d.Groups) != len(d.Rows) || len(d.Folds) != len(d.Rows) {
		return crisol.Errorf(crisol.KindInternal, "%d rows have %d groups and %d folds", len(d.Rows), len(d.Groups), len(d.Folds))
	}
	foldOf := map[int]int{}
	for i, group := range d.Groups {
		if fold, seen := foldOf[group]; seen && fold != d.Folds[i] {
			return crisol.Errorf(crisol.KindInternal, "group %d is in folds %d and %d", group, fold, d.Folds[i])
		}
		foldOf[group] = d.Folds[i]
	}
	if d.folds() < 3 {
		return crisol.Errorf(crisol.KindInput, "%d rows are in %d folds; three are the least", len(d.Rows), d.folds())
	}
	return nil
}

func (d Data) folds() int {
	n := 0
	for _, f := range d.Folds {
		n = max(n, f+1)
	}
	return n
}

// train makes the model of one recipe.
func (s *stack) train(ctx context.Context, o Options, r recipe) (Trained, error) {
	t := Trained{Scores: make([]float64, len(s.Rows))}
	for fold := range s.folds() {
		model, err := r.learn(ctx, s.without(fold))
		if err != nil {
			return t, fmt.Errorf("without fold %d: %w", fold, err)
		}
		for i := range s.Rows {
			if s.Folds[i] != fold {
				continue
			}
			if t.Scores[i], err = model.Predict(s.row(i, s.own[i])); err != nil {
				return t, err
			}
		}
	}
	trees, err := r.learn(ctx, s.all())
	if err != nil {
		return t, err
	}
	if t.Probabilities, err = s.crossCalibrated(t.Scores); err != nil {
		return t, err
	}
	t.Bundle, err = s.bundle(o, r, trees, t)
	return t, err
}

// crossCalibrated calibrates the scores of each fold by those of the others.
func (s *stack) crossCalibrated(scores []float64) ([]float64, error) {
	out := make([]float64, len(scores))
	for fold := range s.folds() {
		curve, err := calibrate.Choose(s.calibration(scores, func(i int) bool { return s.Folds[i] != fold }))
		if err != nil {
			return nil, fmt.Errorf("calibrate without fold %d: %w", fold, err)
		}
		for i := range out {
			if s.Folds[i] == fold {
				out[i] = curve.Probability(scores[i])
			}
		}
	}
	return out, nil
}

func (s *stack) calibration(scores []float64, in func(i int) bool) (d calibrate.Data) {
	for i, row := range s.Rows {
		if in(i) {
			d.Scores, d.Labels, d.Groups = append(d.Scores, scores[i]), append(d.Labels, row.Fixed()), append(d.Groups, s.Groups[i])
			d.Weights = append(d.Weights, row.Weighs())
		}
	}
	return d
}

// bundle puts the parts together. The certificate is for the probabilities that the shipped calibration gives to scores
// out of fold, and made of corpus rows alone: those of a service were chosen by how unsure a model was of them, which a
// certificate can't correct for.
func (s *stack) bundle(o Options, r recipe, trees *forest.Model, t Trained) (*predict.Bundle, error) {
	curve, err := calibrate.Choose(s.calibration(t.Scores, func(int) bool { return true }))
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	groups, fixed := map[int]bool{}, 0
	var cases []certify.Case
	samples := make([]experiment.Sample, len(s.Rows))
	for i, row := range s.Rows {
		score := curve.Probability(t.Scores[i])
		if row.Weight == 0 {
			cases = append(cases, certify.Case{Group: s.Groups[i], Score: score, Fixed: row.Fixed()})
		}
		samples[i] = experiment.Sample{Score: score, Weight: row.Weighs()}
		groups[s.Groups[i]] = true
		if row.Fixed() {
			fixed++
		}
	}
	profile, err := experiment.NewProfile(samples)
	if err != nil {
		return nil, err
	}
	certificates, err := certify.Certify(cases, certify.Plan{Alpha: o.Alpha, Delta: o.Delta, Seed: o.Seed})
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	return &predict.Bundle{
		Manifest: predict.Manifest{
			Version: r.version, FeatureVersion: s.FeatureVersion, Features: s.Features, Buckets: s.Buckets,
			Calibration: curve, Certificates: certificates, Profile: &profile,
			Provenance: predict.Provenance{
				RowsDigest: s.RowsDigest, CorpusDigest: s.CorpusDigest, Rows: len(s.Rows), Fixed: fixed, Groups: len(groups),
				Seed: o.Seed, Settings: r.settings,
			},
		},
		NGrams: s.grams, Trees: trees,
	}, nil
}
