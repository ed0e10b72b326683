// Package calibrate turns a model's scores into probabilities that mean what they say: of the patches that get 0.9, about
// 90 % are fixes. In go scores of rows that the model hadn't seen, with labels; out comes a function of the score that
// never falls and stays strictly between 0 and 1. It knows nothing of the model.
//
// Three forms compete. Platt scaling fits a logistic curve to the score (Platt: Probabilistic outputs for support vector
// machines, 1999; the fit after Lin, Lin, Weng: A note on Platt's probabilistic outputs, Machine Learning 68, 2007), or to
// the score's log odds where scores are shares already, as a forest's are (the two-parameter beta calibration of Kull,
// Silva Filho, Flach, AISTATS 2017). Isotonic regression fits any function that never falls (Ayer et al. 1955; Zadrozny,
// Elkan, KDD 2002); it needs many labels (Niculescu-Mizil, Caruana, ICML 2005, find about a thousand).
package calibrate

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"

	"crisol"
)

// Method names a form of calibration.
type Method string

// The forms.
const (
	Platt     Method = "platt"
	PlattOdds Method = "platt_odds" // of the score's log odds; scores must be in [0, 1]
	Isotonic  Method = "isotonic"
)

// floor keeps Platt's curve away from 0 and 1: no amount of labels at hand could tell such a probability from certainty.
const floor = 1e-6

// Knot is a point of the isotonic function. Between knots it is linear, outside them constant.
type Knot struct {
	Score       float64 `json:"score"`
	Probability float64 `json:"probability"`
}

// Calibrator is a fitted function from score to probability. It is made by one of the Fit functions, by Choose or from
// JSON; decoding accepts only what encoding can have written.
type Calibrator struct {
	method           Method
	slope, intercept float64
	knots            []Knot
}

// Method says which form it is.
func (c *Calibrator) Method() Method { return c.method }

// Probability is the calibrated probability of a score: never falling, and strictly between 0 and 1. A score that is NaN
// gives NaN, which is on no side of any threshold.
func (c *Calibrator) Probability(score float64) float64 {
	switch {
	case math.IsNaN(score):
		return math.NaN()
	case c.method == Isotonic:
		return interpolate(c.knots, score)
	case c.method == PlattOdds:
		score = odds(score)
	}
	if c.slope == 0 { // even of an infinite score
		return clamp(sigmoid(c.intercept), floor)
	}
	return clamp(sigmoid(c.slope*score+c.intercept), floor)
}

func interpolate(knots []Knot, score float64) float64 {
	last := len(knots) - 1
	switch {
	case score <= knots[0].Score:
		return knots[0].Probability
	case score >= knots[last].Score:
		return knots[last].Probability
	}
	low, high := 0, last // knots[low].Score <= score < knots[high].Score
	for high-low > 1 {
		if middle := (low + high) / 2; knots[middle].Score <= score {
			low = middle
		} else {
			high = middle
		}
	}
	a, b := knots[low], knots[high]
	share := (score - a.Score) / (b.Score - a.Score)
	return min(a.Probability+share*(b.Probability-a.Probability), b.Probability)
}

func clamp(p, edge float64) float64 { return min(max(p, edge), 1-edge) }

// odds are the log odds of a share, of one outside [1e-6, 1 - 1e-6] those of the nearest share inside.
func odds(share float64) float64 {
	share = clamp(share, floor)
	return math.Log(share / (1 - share))
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// wire is a Calibrator in JSON. Slope and Intercept are there for both forms of Platt's, Knots for the isotonic one.
type wire struct {
	Method    Method   `json:"method"`
	Slope     *float64 `json:"slope,omitempty"`
	Intercept *float64 `json:"intercept,omitempty"`
	Knots     []Knot   `json:"knots,omitempty"`
}

// MarshalJSON writes the parameters.
func (c *Calibrator) MarshalJSON() ([]byte, error) {
	w := wire{Method: c.method, Knots: c.knots}
	if c.method != Isotonic {
		w.Slope, w.Intercept = &c.slope, &c.intercept
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads parameters. Unknown keys, missing ones, and a function that would fall or leave (0, 1) are errors.
func (c *Calibrator) UnmarshalJSON(b []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	var w wire
	if err := decoder.Decode(&w); err != nil {
		return crisol.Errorf(crisol.KindInput, "read calibration: %w", err)
	}
	if err := w.check(); err != nil {
		return err
	}
	*c = Calibrator{method: w.Method, knots: w.Knots}
	if w.Slope != nil {
		c.slope, c.intercept = *w.Slope, *w.Intercept
	}
	return nil
}

func (w wire) check() error {
	switch w.Method {
	case Platt, PlattOdds:
		if w.Slope == nil || w.Intercept == nil || w.Knots != nil || !finite(*w.Slope) || !finite(*w.Intercept) || *w.Slope < 0 {
			return crisol.Errorf(crisol.KindInput, "calibration %q: want a finite slope that isn't negative, a finite intercept, and no knots", w.Method)
		}
	case Isotonic:
		if w.Slope != nil || w.Intercept != nil || len(w.Knots) == 0 {
			return crisol.Errorf(crisol.KindInput, "calibration %q: want knots, and neither slope nor intercept", w.Method)
		}
		for i, k := range w.Knots {
			if !finite(k.Score) || !(k.Probability > 0 && k.Probability < 1) {
				return crisol.Errorf(crisol.KindInput, "calibration %q: knot %d, score %g with probability %g: want a finite score and a probability inside (0, 1)", w.Method, i, k.Score, k.Probability)
			}
			if i > 0 && (k.Score <= w.Knots[i-1].Score || k.Probability < w.Knots[i-1].Probability) {
				return crisol.Errorf(crisol.KindInput, "calibration %q: knot %d: scores must rise, and probabilities must not fall", w.Method, i)
			}
		}
	default:
		return crisol.Errorf(crisol.KindInput, "calibration %q: want one of %q, %q, %q", w.Method, Platt, PlattOdds, Isotonic)
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Data are scores of rows that the model had not seen when it scored them, one entry a row in each slice.
type Data struct {
	Scores []float64
	Labels []bool
	// Weights must be positive; nil means 1 each.
	Weights []float64
	// Groups are rows that belong together, by number; only Choose needs them.
	Groups []int
}

func (d Data) check() (Data, error) {
	if len(d.Labels) != len(d.Scores) {
		return d, crisol.Errorf(crisol.KindInput, "calibrate: %d scores with %d labels", len(d.Scores), len(d.Labels))
	}
	if d.Weights == nil {
		d.Weights = slices.Repeat([]float64{1}, len(d.Scores))
	}
	if len(d.Weights) != len(d.Scores) {
		return d, crisol.Errorf(crisol.KindInput, "calibrate: %d scores with %d weights", len(d.Scores), len(d.Weights))
	}
	if d.Groups != nil && len(d.Groups) != len(d.Scores) {
		return d, crisol.Errorf(crisol.KindInput, "calibrate: %d scores with %d groups", len(d.Scores), len(d.Groups))
	}
	for i, s := range d.Scores {
		if w := d.Weights[i]; !finite(s) || !finite(w) || w <= 0 {
			return d, crisol.Errorf(crisol.KindInput, "calibrate: row %d has score %g and weight %g: want finite ones, and the weight above 0", i, s, w)
		}
	}
	if !slices.Contains(d.Labels, true) || !slices.Contains(d.Labels, false) {
		return d, crisol.Errorf(crisol.KindInput, "calibrate: %d rows, all of one label: nothing to calibrate by", len(d.Labels))
	}
	return d, nil
}
