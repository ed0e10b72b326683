// Package linear learns and applies logistic regression with an L2 penalty, over a few dense columns, many sparse ones, or
// both. In go rows of numbers with labels and weights, out comes a model that gives log odds. It knows nothing of patches:
// what a column means is the caller's business.
//
// A fit minimises
//
//	sum over rows i of  w_i * log(1 + exp(-y_i * (b + z_i . beta)))  +  (L2 / 2) * |beta|^2,    y_i = -1 or +1
//
// where z_i are the dense columns, standardised by their weighted mean and standard deviation, followed by the sparse
// columns as they are. The intercept b isn't penalised. The loss is a sum, not a mean, so a row of weight 2 is the same as
// the row twice, and L2 is 1/C of scikit-learn and LIBLINEAR. A dense value that is NaN is missing and counts as the
// column's mean.
//
// The minimum is found by Newton's method with conjugate gradients and a line search (Nocedal, Wright: Numerical
// Optimization, 2nd edition, algorithm 7.1; Lin, Weng, Keerthi: Trust region Newton method for large-scale logistic
// regression, JMLR 9, 2008). All sums run in the order of the rows on one goroutine, so the same rows give the same bits.
package linear

import (
	"math"
	"slices"

	"crisol"
)

// Entry is one sparse column's value in a row.
type Entry struct {
	Column uint32
	Value  float64
}

// Sparse holds a row's sparse columns that aren't zero, by strictly ascending column.
type Sparse []Entry

// Damp turns counts into what a linear model of texts learns best from: 1 + ln(count), scaled to unit length, so that a
// long diff doesn't outweigh a short one (sublinear tf, Manning, Raghavan, Schuetze: Introduction to Information
// Retrieval, 6.4.1). It works in place; entries that aren't positive are left as they are.
func (s Sparse) Damp() {
	square := 0.0
	for i := range s {
		if s[i].Value > 0 {
			s[i].Value = 1 + math.Log(s[i].Value)
		}
		square += s[i].Value * s[i].Value
	}
	if square == 0 {
		return
	}
	for i, length := 0, math.Sqrt(square); i < len(s); i++ {
		s[i].Value /= length
	}
}

// Sample is one labelled row. Its weight must be positive.
type Sample struct {
	Dense  []float64
	Sparse Sparse
	Label  bool
	Weight float64
}

// Options steer a fit. The zero value means L2 1, tolerance 1e-6 and at most 100 steps.
type Options struct {
	// L2 is the penalty's weight; larger means smaller coefficients. 0 means 1.
	L2 float64
	// Tolerance ends the fit where the gradient's length has fallen below this share of its first length. 0 means 1e-6.
	Tolerance float64
	// Steps bounds the Newton steps; a fit that needs more is an error. 0 means 100.
	Steps int
}

func (o Options) withDefaults() (Options, error) {
	if o.L2 == 0 {
		o.L2 = 1
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1e-6
	}
	if o.Steps == 0 {
		o.Steps = 100
	}
	if !(o.L2 > 0) || math.IsInf(o.L2, 0) || !(o.Tolerance > 0 && o.Tolerance < 1) || o.Steps < 0 {
		return o, crisol.Errorf(crisol.KindInput, "fit logistic regression: want L2 above 0, a tolerance in (0, 1) and steps above 0; got %g, %g, %d", o.L2, o.Tolerance, o.Steps)
	}
	return o, nil
}

// Model is a fitted regression. Its methods may be called from several goroutines.
type Model struct {
	intercept float64
	// mean, scale and dense have one value a dense column; dense are the coefficients of standardised columns.
	mean, scale, dense []float64
	// sparse has the coefficient of every sparse column up to the last that was seen; 0 where a column was never seen.
	// They are single precision, so that a model of 65,536 columns stays at 256 KiB.
	sparse []float32
}

// Columns is the number of dense columns.
func (m *Model) Columns() int { return len(m.dense) }

// Intercept is the log odds of a row whose dense columns are at their means and whose sparse ones are zero.
func (m *Model) Intercept() float64 { return m.intercept }

// Coefficients are the dense columns' coefficients a standard deviation, in order.
func (m *Model) Coefficients() []float64 { return slices.Clone(m.dense) }

// Coefficient is a sparse column's coefficient a unit; 0 for a column that was never seen.
func (m *Model) Coefficient(column uint32) float64 {
	if int(column) >= len(m.sparse) {
		return 0
	}
	return float64(m.sparse[column])
}

// Score gives the log odds that a row's label is true. A dense value that is NaN counts as the column's mean, a sparse
// column that was never seen counts for nothing. It panics where the number of dense columns isn't the model's: rows of
// another shape are a mistake in the program.
func (m *Model) Score(dense []float64, sparse Sparse) float64 {
	if len(dense) != len(m.dense) {
		panic("linear: a row has another number of dense columns than the model")
	}
	score := m.intercept
	for j, x := range dense {
		if x == x { // not NaN
			score += m.dense[j] * ((x - m.mean[j]) / m.scale[j])
		}
	}
	for _, e := range sparse {
		if int(e.Column) < len(m.sparse) {
			score += float64(m.sparse[e.Column]) * e.Value
		}
	}
	return score
}

// Probability is the probability that a row's label is true.
func (m *Model) Probability(dense []float64, sparse Sparse) float64 {
	return sigmoid(m.Score(dense, sparse))
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// softplus is log(1 + exp(x)) without overflow.
func softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}
