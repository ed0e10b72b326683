package calibrate_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"crisol"
	"crisol/internal/calibrate"
	"crisol/internal/random"
	"crisol/internal/sklearntest"
)

// draw makes rows whose score is uniform in (0, 1) and whose label is true with the probability that truth gives it.
func draw(seed uint64, n int, truth func(score float64) float64) calibrate.Data {
	r := random.New(seed)
	var d calibrate.Data
	for i := range n {
		s := r.Float64()
		d.Scores = append(d.Scores, s)
		d.Labels = append(d.Labels, r.Float64() < truth(s))
		d.Groups = append(d.Groups, i/5)
	}
	return d
}

func logistic(a, b float64) func(float64) float64 {
	return func(s float64) float64 { return 1 / (1 + math.Exp(-(a*s + b))) }
}

func odds(a, b float64) func(float64) float64 {
	return func(s float64) float64 { return 1 / (1 + math.Exp(-(a*math.Log(s/(1-s)) + b))) }
}

func stairs(s float64) float64 {
	if s < 0.5 {
		return 0.1
	}
	return 0.7
}

// gap is the largest distance to the truth on (0.02, 0.98).
func gap(c *calibrate.Calibrator, truth func(float64) float64) float64 {
	worst := 0.0
	for s := 0.02; s < 0.98; s += 0.01 {
		worst = max(worst, math.Abs(c.Probability(s)-truth(s)))
	}
	return worst
}

func TestFindsTheTruth(t *testing.T) {
	for name, c := range map[string]struct {
		fit   func(calibrate.Data) (*calibrate.Calibrator, error)
		truth func(float64) float64
		most  float64
	}{
		"Platt":         {calibrate.FitPlatt, logistic(6, -2), 0.03},
		"Platt of odds": {calibrate.FitPlattOdds, odds(0.5, 0.7), 0.03},
		"isotonic":      {calibrate.FitIsotonic, func(s float64) float64 { return 0.2 + 0.6*s*s }, 0.08},
	} {
		got, err := c.fit(draw(1, 10000, c.truth))
		if err != nil {
			t.Fatal(err)
		}
		if g := gap(got, c.truth); g > c.most {
			t.Errorf("%s: %.3f away from the truth, want at most %g", name, g, c.most)
		}
	}
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		n     int
		truth func(float64) float64
		want  calibrate.Method
	}{
		"logistic in the score": {5000, logistic(8, -4), calibrate.Platt},
		"logistic in the odds":  {5000, odds(0.6, 1), calibrate.PlattOdds},
		"stairs":                {5000, stairs, calibrate.Isotonic},
	} {
		got, err := calibrate.Choose(draw(2, c.n, c.truth))
		if err != nil || got.Method() != c.want {
			t.Errorf("%s: chose %v (%v), want %s", name, got, err, c.want)
		}
	}
	for _, n := range []int{200, calibrate.IsotonicLabels} {
		if got, err := calibrate.Choose(draw(2, n, stairs)); err != nil || got.Method() == calibrate.Isotonic {
			t.Errorf("%d labels are too few for isotonic regression; chose %v (%v)", n, got, err)
		}
	}
	wide := draw(2, 200, logistic(8, -4))
	for i := range wide.Scores {
		wide.Scores[i] = 20*wide.Scores[i] - 10
	}
	if got, err := calibrate.Choose(wide); err != nil || got.Method() != calibrate.Platt {
		t.Errorf("scores that aren't shares: chose %v (%v)", got, err)
	}
}

func TestMonotoneInsideAndSerialisable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "n")
		d := calibrate.Data{Labels: []bool{true, false}}
		for i := range n {
			d.Scores = append(d.Scores, rapid.OneOf(rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{0, 0.25, 0.5, 1})).Draw(t, "score"))
			d.Weights = append(d.Weights, rapid.Float64Range(0.1, 10).Draw(t, "weight"))
			if i >= 2 {
				d.Labels = append(d.Labels, rapid.Bool().Draw(t, "label"))
			}
		}
		for _, fit := range []func(calibrate.Data) (*calibrate.Calibrator, error){calibrate.FitPlatt, calibrate.FitPlattOdds, calibrate.FitIsotonic} {
			c, err := fit(d)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			var back calibrate.Calibrator
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			last := 0.0
			scores := append([]float64{math.Inf(-1), -1e300, -3, -1e-9, 1e-9, 0.3, 0.7, 1.5, 1e300, math.Inf(1)}, d.Scores...)
			slices.Sort(scores)
			for _, s := range scores {
				p := c.Probability(s)
				if !(p > 0 && p < 1) || p < last {
					t.Fatalf("%s: probability %g of %g, after %g", text, p, s, last)
				}
				if q := back.Probability(s); q != p {
					t.Fatalf("%s: %g became %g", text, p, q)
				}
				last = p
			}
			if !math.IsNaN(c.Probability(math.NaN())) {
				t.Fatal("no score is no probability")
			}
		}
	})
}

func TestPlattTargets(t *testing.T) {
	// Scores that all agree leave only the targets' mean: (3 * 4/5 + 1 * 1/3) / 4.
	c, err := calibrate.FitPlatt(calibrate.Data{Scores: []float64{2, 2, 2, 2}, Labels: []bool{true, true, true, false}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Probability(2), (3*4.0/5+1.0/3)/4; math.Abs(got-want) > 1e-9 {
		t.Errorf("probability %g, want %g", got, want)
	}
	// Labels that are told apart meet their targets 4/5 and 1/5 exactly.
	c, err = calibrate.FitPlatt(calibrate.Data{Scores: []float64{0, 0, 0, 1, 1, 1}, Labels: []bool{false, false, false, true, true, true}})
	if err != nil {
		t.Fatal(err)
	}
	if low, high := c.Probability(0), c.Probability(1); math.Abs(low-0.2) > 1e-6 || math.Abs(high-0.8) > 1e-6 {
		t.Errorf("probabilities %g and %g, want 0.2 and 0.8", low, high)
	}
}

func TestContraryScoresSayTheBaseRate(t *testing.T) {
	d := draw(3, 2000, logistic(-6, 3))
	for _, fit := range []func(calibrate.Data) (*calibrate.Calibrator, error){calibrate.FitPlatt, calibrate.FitPlattOdds} {
		c, err := fit(d)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := c.Probability(0.01), c.Probability(0.99); a != b || math.Abs(a-0.5) > 0.05 {
			t.Errorf("probabilities %g and %g, want the base rate twice", a, b)
		}
	}
}

func TestWeightsEqualDuplicates(t *testing.T) {
	plain := draw(4, 300, logistic(4, -2))
	weighted := plain
	var repeated calibrate.Data
	for i := range plain.Scores {
		weighted.Weights = append(weighted.Weights, float64(1+i%3))
		for range 1 + i%3 {
			repeated.Scores = append(repeated.Scores, plain.Scores[i])
			repeated.Labels = append(repeated.Labels, plain.Labels[i])
		}
	}
	for name, fit := range map[string]func(calibrate.Data) (*calibrate.Calibrator, error){"Platt": calibrate.FitPlatt, "odds": calibrate.FitPlattOdds, "isotonic": calibrate.FitIsotonic} {
		a, _ := fit(weighted)
		b, _ := fit(repeated)
		for s := 0.05; s < 1; s += 0.01 {
			// Isotonic probabilities keep another distance from 0 and 1, for repeated rows count as more.
			if p, q := a.Probability(s), b.Probability(s); math.Abs(p-q) > 1e-6 && (name != "isotonic" || math.Abs(p-q) > 0.005) {
				t.Errorf("%s: %g weighted, %g repeated", name, p, q)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	good := draw(5, 50, logistic(4, -2))
	for name, spoil := range map[string]func(d *calibrate.Data){
		"nothing":       func(d *calibrate.Data) { *d = calibrate.Data{} },
		"labels short":  func(d *calibrate.Data) { d.Labels = d.Labels[1:] },
		"one label":     func(d *calibrate.Data) { d.Labels = make([]bool, len(d.Scores)) },
		"NaN":           func(d *calibrate.Data) { d.Scores = append([]float64{math.NaN()}, d.Scores[1:]...) },
		"weight 0":      func(d *calibrate.Data) { d.Weights = make([]float64, len(d.Scores)) },
		"weights short": func(d *calibrate.Data) { d.Weights = []float64{1} },
		"no groups":     func(d *calibrate.Data) { d.Groups = nil },
		"groups short":  func(d *calibrate.Data) { d.Groups = d.Groups[1:] },
	} {
		d := good
		spoil(&d)
		if _, err := calibrate.Choose(d); err == nil || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: error %v, want one of the input", name, err)
		}
	}
	if _, err := calibrate.FitPlattOdds(calibrate.Data{Scores: []float64{0, 2}, Labels: []bool{true, false}}); err == nil {
		t.Error("log odds of 2 must be refused")
	}
}

func TestStrictJSON(t *testing.T) {
	for _, text := range []string{
		`{}`, `null`, `[]`, `{"method":"spline"}`, `{"method":"platt"}`, `{"method":"platt","slope":1}`,
		`{"method":"platt","slope":-1,"intercept":0}`, `{"method":"platt","slope":1,"intercept":0,"knots":[{"score":1,"probability":0.5}]}`,
		`{"method":"platt","slope":1,"intercept":0,"extra":1}`, `{"method":"isotonic","knots":[]}`, `{"method":"isotonic"}`,
		`{"method":"isotonic","knots":[{"score":1,"probability":1}]}`, `{"method":"isotonic","knots":[{"score":1,"probability":0}]}`,
		`{"method":"isotonic","knots":[{"score":1,"probability":0.5},{"score":1,"probability":0.6}]}`,
		`{"method":"isotonic","knots":[{"score":1,"probability":0.5},{"score":2,"probability":0.4}]}`,
		`{"method":"isotonic","slope":1,"knots":[{"score":1,"probability":0.5}]}`,
	} {
		if json.Unmarshal([]byte(text), new(calibrate.Calibrator)) == nil {
			t.Errorf("%s was accepted", text)
		}
	}
	if _, err := json.Marshal(new(calibrate.Calibrator)); err == nil {
		t.Error("a calibrator that was never fitted must not be written")
	}
}

const isotonicRegression = `
import json, sys
from sklearn.isotonic import IsotonicRegression
q = json.load(sys.stdin)
m = IsotonicRegression(out_of_bounds="clip").fit(q["scores"], q["labels"], sample_weight=q["weights"])
json.dump(m.predict(q["at"]).tolist(), sys.stdout)
`

func TestIsotonicMatchesScikitLearn(t *testing.T) {
	d := draw(6, 400, logistic(4, -2))
	for i := range d.Scores {
		d.Scores[i] = math.Round(d.Scores[i]*100) / 100
		d.Weights = append(d.Weights, float64(1+i%3))
	}
	var at, want []float64
	for s := -0.1; s < 1.1; s += 0.013 {
		at = append(at, s)
	}
	sklearntest.Run(t, isotonicRegression, map[string]any{"scores": d.Scores, "labels": d.Labels, "weights": d.Weights, "at": at}, &want)
	c, err := calibrate.FitIsotonic(d)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range at {
		if got := c.Probability(s); want[i] > 0.01 && want[i] < 0.99 && math.Abs(got-want[i]) > 1e-9 {
			t.Errorf("at %g: %g, scikit-learn says %g", s, got, want[i])
		}
	}
}
