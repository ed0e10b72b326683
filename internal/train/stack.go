package train

import (
	"context"
	"slices"

	"crisol"
	"crisol/internal/dataset"
	"crisol/internal/forest"
	"crisol/internal/linear"
	"crisol/internal/predict"
)

// stack holds the rows with the scores of their n-grams, each by a model that didn't see what it must not.
type stack struct {
	Data
	names  []string
	sparse []linear.Sparse
	// grams is the linear model of all rows: the one that ships.
	grams *linear.Model
	// own is a row's score by the model without the row's fold.
	own []float64
	// nested, by a fold f, is a row's score by the model without f and the row's fold.
	nested [][]float64
}

// newUnscored is a stack without any score.
func newUnscored(d Data) *stack {
	s := &stack{Data: d, names: append(slices.Clone(d.Features), predict.NGramFeature)}
	s.sparse, s.own = make([]linear.Sparse, len(d.Rows)), make([]float64, len(d.Rows))
	for i, row := range d.Rows {
		s.sparse[i] = predict.Sparse(row.NGrams)
	}
	return s
}

func newStack(ctx context.Context, d Data) (*stack, error) {
	s := newUnscored(d)
	var err error
	if s.grams, err = s.fit(-1, -1); err != nil {
		return nil, err
	}
	n := d.folds()
	s.nested = make([][]float64, n)
	for f := range n {
		s.nested[f] = make([]float64, len(d.Rows))
	}
	for f := range n {
		if err := s.score(f, f, s.own); err != nil {
			return nil, err
		}
		for g := range f {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := s.pair(f, g); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// pair fits the model without two folds, which serves both.
func (s *stack) pair(f, g int) error {
	model, err := s.fit(f, g)
	if err != nil {
		return err
	}
	for i, fold := range s.Folds {
		switch fold {
		case f:
			s.nested[g][i] = model.Score(nil, s.sparse[i])
		case g:
			s.nested[f][i] = model.Score(nil, s.sparse[i])
		}
	}
	return nil
}

// score fits the model without folds f and g, and scores f's rows.
func (s *stack) score(f, g int, into []float64) error {
	model, err := s.fit(f, g)
	if err != nil {
		return err
	}
	for i, fold := range s.Folds {
		if fold == f {
			into[i] = model.Score(nil, s.sparse[i])
		}
	}
	return nil
}

// fit learns the n-grams of all rows but those of folds f and g.
func (s *stack) fit(f, g int) (*linear.Model, error) {
	var samples []linear.Sample
	for i, row := range s.Rows {
		if fold := s.Folds[i]; fold != f && fold != g {
			samples = append(samples, linear.Sample{Sparse: s.sparse[i], Label: row.Fixed(), Weight: row.Weighs()})
		}
	}
	model, err := linear.Fit(samples, gramsSettings)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "learn the n-grams without folds %d and %d: %w", f, g, err)
	}
	return model, nil
}

// row is what the trees read of row i, with the score of its n-grams.
func (s *stack) row(i int, grams float64) []float64 { return extended(s.Rows[i].Vector, grams) }

func extended(vector []float64, grams float64) []float64 {
	row := make([]float64, len(vector)+1)
	copy(row, vector)
	row[len(vector)] = grams
	return row
}

// without are the rows of all folds but one.
func (s *stack) without(fold int) forest.Dataset {
	return s.dataset(func(i int) (float64, bool) { return s.nested[fold][i], s.Folds[i] != fold })
}

// weighted says whether any row weighs something else than 1.
func (s *stack) weighted() bool {
	return slices.ContainsFunc(s.Rows, func(r dataset.Row) bool { return r.Weighs() != 1 })
}

// all are all rows.
func (s *stack) all() forest.Dataset {
	return s.dataset(func(i int) (float64, bool) { return s.own[i], true })
}

func (s *stack) dataset(score func(i int) (float64, bool)) forest.Dataset {
	d := forest.Dataset{FeatureSet: s.FeatureVersion, Names: s.names}
	for i, row := range s.Rows {
		if grams, in := score(i); in {
			d.Rows, d.Labels = append(d.Rows, s.row(i, grams)), append(d.Labels, row.Fixed())
			d.Weights = append(d.Weights, row.Weighs())
		}
	}
	if !s.weighted() {
		d.Weights = nil
	}
	return d
}
