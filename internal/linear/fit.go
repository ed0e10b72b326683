package linear

import (
	"math"
	"slices"

	"crisol"
)

// maxColumn bounds sparse columns, and with them a model's memory.
const maxColumn = 1 << 22

// Fit learns a model. Samples must have the same number of dense columns, finite or NaN, sparse columns that ascend, and
// both labels among them.
func Fit(samples []Sample, options Options) (*Model, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := check(samples); err != nil {
		return nil, err
	}
	p := newProblem(samples, options.L2)
	x, err := p.minimise(options)
	if err != nil {
		return nil, err
	}
	return p.model(x), nil
}

func check(samples []Sample) error {
	positive, negative := false, false
	for i, s := range samples {
		positive, negative = positive || s.Label, negative || !s.Label
		if len(s.Dense) != len(samples[0].Dense) {
			return crisol.Errorf(crisol.KindInput, "fit logistic regression: sample %d has %d dense columns, the first has %d", i, len(s.Dense), len(samples[0].Dense))
		}
		if !(s.Weight > 0) || math.IsInf(s.Weight, 0) {
			return crisol.Errorf(crisol.KindInput, "fit logistic regression: sample %d has weight %g, want one above 0", i, s.Weight)
		}
		for j, x := range s.Dense {
			if math.IsInf(x, 0) {
				return crisol.Errorf(crisol.KindInput, "fit logistic regression: sample %d, dense column %d is infinite", i, j)
			}
		}
		for k, e := range s.Sparse {
			if e.Column >= maxColumn || (k > 0 && e.Column <= s.Sparse[k-1].Column) || math.IsNaN(e.Value) || math.IsInf(e.Value, 0) {
				return crisol.Errorf(crisol.KindInput, "fit logistic regression: sample %d, sparse column %d with value %g: want finite values at ascending columns below %d", i, e.Column, e.Value, maxColumn)
			}
		}
	}
	if !positive || !negative {
		return crisol.Errorf(crisol.KindInput, "fit logistic regression: %d samples, all of one label: nothing to tell apart", len(samples))
	}
	return nil
}

// problem is the function to minimise. A point is [intercept, dense coefficients, sparse coefficients of the columns that
// occur], of length 1 + d + len(columns).
type problem struct {
	l2          float64
	n, d        int
	weight      []float64 // a row each
	sign        []float64 // a row each: +1 or -1
	mean, scale []float64 // a dense column each
	dense       []float64 // n x d, standardised
	columns     []uint32  // the sparse columns that occur, ascending
	start       []int     // n + 1: row i's entries are at[start[i]:start[i+1]]
	at          []int32   // index into columns
	value       []float64
	margin      []float64 // a row each: b + z . beta at the last point that loss saw
}

func newProblem(samples []Sample, l2 float64) *problem {
	p := &problem{l2: l2, n: len(samples), d: len(samples[0].Dense)}
	p.margin = make([]float64, p.n)
	for _, s := range samples {
		p.weight = append(p.weight, s.Weight)
		sign := -1.0
		if s.Label {
			sign = 1
		}
		p.sign = append(p.sign, sign)
	}
	p.standardise(samples)
	p.compress(samples)
	return p
}

// standardise fills mean, scale and dense. A column that never changes gets scale 1 and therefore coefficient 0.
func (p *problem) standardise(samples []Sample) {
	p.mean, p.scale = make([]float64, p.d), make([]float64, p.d)
	p.dense = make([]float64, p.n*p.d)
	for j := range p.d {
		sum, total := 0.0, 0.0
		for _, s := range samples {
			if x := s.Dense[j]; !math.IsNaN(x) {
				sum += s.Weight * x
				total += s.Weight
			}
		}
		p.scale[j] = 1
		if total == 0 {
			continue
		}
		p.mean[j] = sum / total
		square := 0.0
		for _, s := range samples {
			if x := s.Dense[j]; !math.IsNaN(x) {
				square += s.Weight * (x - p.mean[j]) * (x - p.mean[j])
			}
		}
		// Rounding leaves a constant column with a deviation near 1e-16 of its mean; that isn't a signal.
		if deviation := math.Sqrt(square / total); deviation > 1e-12*math.Abs(p.mean[j]) && !math.IsInf(deviation, 0) {
			p.scale[j] = deviation
		} else {
			continue
		}
		for i, s := range samples {
			if x := s.Dense[j]; !math.IsNaN(x) {
				p.dense[i*p.d+j] = (x - p.mean[j]) / p.scale[j]
			}
		}
	}
}

// compress numbers the sparse columns that occur and stores the rows one after the other.
func (p *problem) compress(samples []Sample) {
	var number []int32 // a column each: its index into columns, -1 where it doesn't occur
	for _, s := range samples {
		for _, e := range s.Sparse {
			for len(number) <= int(e.Column) {
				number = append(number, -1)
			}
			number[e.Column] = 0
		}
	}
	for column := range number {
		if number[column] == 0 {
			number[column] = int32(len(p.columns))
			p.columns = append(p.columns, uint32(column))
		}
	}
	p.start = append(p.start, 0)
	for _, s := range samples {
		for _, e := range s.Sparse {
			p.at = append(p.at, number[e.Column])
			p.value = append(p.value, e.Value)
		}
		p.start = append(p.start, len(p.at))
	}
}

func (p *problem) size() int { return 1 + p.d + len(p.columns) }

// dot is b + z_i . beta at point x.
func (p *problem) dot(i int, x []float64) float64 {
	sum := x[0]
	beta := x[1 : 1+p.d]
	for j, z := range p.dense[i*p.d : (i+1)*p.d] {
		sum += z * beta[j]
	}
	rest := x[1+p.d:]
	for k := p.start[i]; k < p.start[i+1]; k++ {
		sum += p.value[k] * rest[p.at[k]]
	}
	return sum
}

// add adds factor * (1, z_i) to out.
func (p *problem) add(i int, factor float64, out []float64) {
	out[0] += factor
	beta := out[1 : 1+p.d]
	for j, z := range p.dense[i*p.d : (i+1)*p.d] {
		beta[j] += factor * z
	}
	rest := out[1+p.d:]
	for k := p.start[i]; k < p.start[i+1]; k++ {
		rest[p.at[k]] += factor * p.value[k]
	}
}

// loss is the function at x; it leaves the rows' margins for gradient and curvature.
func (p *problem) loss(x []float64) float64 {
	sum := 0.0
	for i := range p.n {
		p.margin[i] = p.dot(i, x)
		sum += p.weight[i] * softplus(-p.sign[i]*p.margin[i])
	}
	return sum + p.l2/2*inner(x[1:], x[1:])
}

// gradient of the function at x, where loss was last called.
func (p *problem) gradient(x, out []float64) {
	clear(out)
	for i := range p.n {
		p.add(i, -p.sign[i]*p.weight[i]*sigmoid(-p.sign[i]*p.margin[i]), out)
	}
	for j := 1; j < len(x); j++ {
		out[j] += p.l2 * x[j]
	}
}

// curvature is the second derivative, where loss was last called, times v.
func (p *problem) curvature(v, out []float64) {
	clear(out)
	for i := range p.n {
		q := sigmoid(p.margin[i])
		p.add(i, p.weight[i]*q*(1-q)*p.dot(i, v), out)
	}
	for j := 1; j < len(v); j++ {
		out[j] += p.l2 * v[j]
	}
}

// minimise returns the point where the gradient vanishes.
func (p *problem) minimise(options Options) ([]float64, error) {
	x, g, step, next := make([]float64, p.size()), make([]float64, p.size()), make([]float64, p.size()), make([]float64, p.size())
	f := p.loss(x)
	p.gradient(x, g)
	first := length(g)
	for n := 0; length(g) > options.Tolerance*first; n++ {
		if n == options.Steps {
			return nil, crisol.Errorf(crisol.KindInternal, "fit logistic regression: no minimum after %d steps: the gradient is at %g of its first length, want %g", n, length(g)/first, options.Tolerance)
		}
		p.direction(g, step, length(g)/first)
		lower, ok := p.search(line{x: x, step: step, f: f, slope: inner(g, step)}, next)
		if !ok {
			return x, nil // the function can't be told apart from its minimum in double precision
		}
		x, next, f = next, x, lower
		p.gradient(x, g)
	}
	return x, nil
}

// line is a way down from a point x, with the function's value and slope there.
type line struct {
	x, step  []float64
	f, slope float64
}

// search halves step until the function at next = x + step has fallen below the line from f with a small part of the
// slope (Armijo's rule).
func (p *problem) search(l line, next []float64) (lower float64, ok bool) {
	for rate := 1.0; rate > 1e-10; rate /= 2 {
		for j := range next {
			next[j] = l.x[j] + rate*l.step[j]
		}
		if lower = p.loss(next); lower <= l.f+1e-4*rate*l.slope {
			return lower, true
		}
	}
	return 0, false
}

// direction solves curvature * step = -g by conjugate gradients, the more exactly the nearer the minimum is.
func (p *problem) direction(g, step []float64, left float64) {
	clear(step)
	r, d, hd := make([]float64, len(g)), make([]float64, len(g)), make([]float64, len(g))
	for j := range g {
		r[j] = -g[j]
	}
	copy(d, r)
	square := inner(r, r)
	goal := square * math.Pow(min(0.1, math.Sqrt(left)), 2)
	for range 250 {
		p.curvature(d, hd)
		bend := inner(d, hd)
		if bend <= 1e-300 {
			break // flat along d, possible for the intercept alone where all rows are saturated
		}
		a := square / bend
		for j := range step {
			step[j] += a * d[j]
			r[j] -= a * hd[j]
		}
		before := square
		if square = inner(r, r); square <= goal {
			return
		}
		for j := range d {
			d[j] = r[j] + square/before*d[j]
		}
	}
	if inner(g, step) >= 0 {
		for j := range step {
			step[j] = -g[j]
		}
	}
}

func inner(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

func length(a []float64) float64 { return math.Sqrt(inner(a, a)) }

func (p *problem) model(x []float64) *Model {
	m := &Model{intercept: x[0], mean: p.mean, scale: p.scale, dense: slices.Clone(x[1 : 1+p.d])}
	if len(p.columns) > 0 {
		m.sparse = make([]float32, p.columns[len(p.columns)-1]+1)
	}
	for k, column := range p.columns {
		m.sparse[column] = float32(x[1+p.d+k])
	}
	return m
}
