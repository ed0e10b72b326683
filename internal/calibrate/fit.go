package calibrate

import (
	"cmp"
	"math"
	"slices"

	"crisol"
)

// FitPlatt fits Platt's curve to the scores. Its targets are Platt's, not 0 and 1: (N+ + 1) / (N+ + 2) for a row whose
// label is true and 1 / (N- + 2) for the others, N+ and N- being the labels' weights, which keeps the curve finite where a
// score tells the labels apart. Where scores rise as labels fall, the slope is 0 and the base rate is all that is said.
func FitPlatt(d Data) (*Calibrator, error) {
	d, err := d.check()
	if err != nil {
		return nil, err
	}
	a, b := platt(d.Scores, d.Labels, d.Weights)
	return &Calibrator{method: Platt, slope: a, intercept: b}, nil
}

// FitPlattOdds is FitPlatt of the scores' log odds. Scores must be in [0, 1].
func FitPlattOdds(d Data) (*Calibrator, error) {
	d, err := d.check()
	if err != nil {
		return nil, err
	}
	if !shares(d.Scores) {
		return nil, crisol.Errorf(crisol.KindInput, "calibrate: log odds need scores in [0, 1]")
	}
	logs := make([]float64, len(d.Scores))
	for i, s := range d.Scores {
		logs[i] = odds(s)
	}
	a, b := platt(logs, d.Labels, d.Weights)
	return &Calibrator{method: PlattOdds, slope: a, intercept: b}, nil
}

func shares(scores []float64) bool {
	return !slices.ContainsFunc(scores, func(s float64) bool { return s < 0 || s > 1 })
}

// curve is Platt's problem: rows with targets and weights.
type curve struct{ scores, targets, weights []float64 }

func platt(scores []float64, labels []bool, weights []float64) (slope, intercept float64) {
	positive, negative := 0.0, 0.0
	for i, label := range labels {
		if label {
			positive += weights[i]
		} else {
			negative += weights[i]
		}
	}
	c := curve{scores, make([]float64, len(scores)), weights}
	mean := 0.0
	for i, label := range labels {
		c.targets[i] = 1 / (negative + 2)
		if label {
			c.targets[i] = (positive + 1) / (positive + 2)
		}
		mean += c.targets[i] * weights[i] / (positive + negative)
	}
	base := math.Log(mean / (1 - mean))
	slope, intercept = c.newton(base)
	if slope <= 0 || !finite(slope) || !finite(intercept) {
		return 0, base
	}
	return slope, intercept
}

// newton minimises the cross entropy of the targets, after the pseudocode of Lin, Lin, Weng 2007, from slope 0.
func (c curve) newton(base float64) (a, b float64) {
	const ridge = 1e-12
	b = base
	value := c.loss(a, b)
	for range 100 {
		h11, h22, h21, g1, g2 := ridge, ridge, 0.0, 0.0, 0.0
		for i, s := range c.scores {
			p := sigmoid(a*s + b)
			d1, d2 := c.weights[i]*(p-c.targets[i]), c.weights[i]*p*(1-p)
			g1 += s * d1
			g2 += d1
			h11 += s * s * d2
			h22 += d2
			h21 += s * d2
		}
		if math.Abs(g1) < 1e-7 && math.Abs(g2) < 1e-7 {
			return a, b
		}
		det := h11*h22 - h21*h21
		if det <= 0 || !finite(det) {
			return a, b // all scores are the same
		}
		da, db := -(h22*g1-h21*g2)/det, -(h11*g2-h21*g1)/det
		slope := g1*da + g2*db
		step := 1.0
		for ; step > 1e-10; step /= 2 {
			if next := c.loss(a+step*da, b+step*db); next < value+1e-4*step*slope {
				a, b, value = a+step*da, b+step*db, next
				break
			}
		}
		if step <= 1e-10 {
			return a, b
		}
	}
	return a, b
}

func (c curve) loss(a, b float64) float64 {
	sum := 0.0
	for i, s := range c.scores {
		x := a*s + b
		// log(1 + exp(x)) - t x, without overflow
		sum += c.weights[i] * (max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) - c.targets[i]*x)
	}
	return sum
}

// block is a stretch of scores with one probability.
type block struct{ low, high, sum, weight float64 }

func (b block) mean() float64 { return b.sum / b.weight }

// FitIsotonic fits the function that never falls and has the least weighted squared error, by pooling adjacent violators.
// Probabilities stay 1 / (n + 2) away from 0 and 1, where n is the effective number of rows (sum w)^2 / sum w^2: more than
// Laplace's rule of succession for a block of all n rows doesn't follow from n rows.
func FitIsotonic(d Data) (*Calibrator, error) {
	d, err := d.check()
	if err != nil {
		return nil, err
	}
	total, square := 0.0, 0.0
	for _, w := range d.Weights {
		total, square = total+w, square+w*w
	}
	edge := 1 / (total*total/square + 2)
	c := &Calibrator{method: Isotonic}
	for _, b := range pool(d) {
		p := clamp(b.mean(), edge)
		c.knots = append(c.knots, Knot{b.low, p})
		if b.high > b.low {
			c.knots = append(c.knots, Knot{b.high, p})
		}
	}
	return c, nil
}

func pool(d Data) []block {
	order := make([]int, len(d.Scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(d.Scores[i], d.Scores[j]) })
	var blocks []block
	for k := 0; k < len(order); {
		next := block{low: d.Scores[order[k]], high: d.Scores[order[k]]}
		for ; k < len(order) && d.Scores[order[k]] == next.low; k++ {
			next.weight += d.Weights[order[k]]
			if d.Labels[order[k]] {
				next.sum += d.Weights[order[k]]
			}
		}
		for len(blocks) > 0 && blocks[len(blocks)-1].mean() >= next.mean() {
			before := blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
			next = block{before.low, next.high, before.sum + next.sum, before.weight + next.weight}
		}
		blocks = append(blocks, next)
	}
	return blocks
}
