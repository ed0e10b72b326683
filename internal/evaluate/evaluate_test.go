package evaluate_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"crisol/internal/certify"
	"crisol/internal/evaluate"
	"crisol/internal/random"
	"crisol/internal/sklearntest"
)

func normal(r *random.Stream) float64 {
	return math.Sqrt(-2*math.Log(1-r.Float64())) * math.Cos(2*math.Pi*r.Float64())
}

func uniform(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// draw makes rows in groups of one to eight whose labels follow a probability that is uniform on (0, 1) and correlated
// within a group; the column knows that probability.
func draw(seed uint64, groups int) ([]evaluate.Row, evaluate.Column) {
	r := random.New(seed)
	var rows []evaluate.Row
	c := evaluate.Column{Name: "model"}
	classes := []string{"CWE-22", "CWE-79", "CWE-1321"}
	for g := range groups {
		level := normal(r)
		for i := range 1 + r.IntN(8) {
			p := uniform(0.6*level + 0.8*normal(r))
			rows = append(rows, evaluate.Row{
				Group: g, Vulnerability: string(rune('A'+g%26)) + string(rune('a'+g/26)), Class: classes[g%3], Operator: []string{"drop", "invert"}[i%2],
				Ecosystem: "npm", Label: r.Float64() < p, Weight: 1, Fold: g % 5,
			})
			c.Probabilities = append(c.Probabilities, p)
		}
	}
	return rows, c
}

func run(t *testing.T, rows []evaluate.Row, columns []evaluate.Column, o evaluate.Options) *evaluate.Result {
	t.Helper()
	result, err := evaluate.Evaluate(rows, columns, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// pairs counts pairs one by one.
func pairs(rows []evaluate.Row, p []float64, same func(a, b evaluate.Row) bool) float64 {
	won, all := 0.0, 0.0
	for i, a := range rows {
		for j, b := range rows {
			if !a.Label || b.Label || !same(a, b) {
				continue
			}
			w := a.Weight * b.Weight
			all += w
			switch {
			case p[i] > p[j]:
				won += w
			case p[i] == p[j]:
				won += w / 2
			}
		}
	}
	return won / all
}

func close(a, b float64) bool {
	return math.Abs(a-b) < 1e-9 || math.IsNaN(a) && math.IsNaN(b)
}

func TestPointValuesAgainstTheirDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "rows")
		var rows []evaluate.Row
		var p []float64
		for range n {
			g := rapid.IntRange(0, 6).Draw(t, "group")
			rows = append(rows, evaluate.Row{Group: g, Vulnerability: string(rune('a' + g)), Class: string(rune('a' + g%2)), Fold: g % 2,
				Label: rapid.Bool().Draw(t, "label"), Weight: rapid.Float64Range(0.5, 2).Draw(t, "weight")})
			p = append(p, float64(rapid.IntRange(0, 10).Draw(t, "p"))/10)
		}
		result, err := evaluate.Evaluate(rows, []evaluate.Column{{Name: "x", Probabilities: p}}, evaluate.Options{Resamples: 2, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		m := result.Columns[0].Metrics
		var brier, logloss, hit, base, total float64
		reference := evaluate.BaseRate(rows)
		for i, r := range rows {
			y := 0.0
			if r.Label {
				y = 1
			}
			total += r.Weight
			brier += r.Weight * (p[i] - y) * (p[i] - y)
			base += r.Weight * (reference[i] - y) * (reference[i] - y)
			q := min(max(p[i], 1e-6), 1-1e-6)
			logloss -= r.Weight * (y*math.Log(q) + (1-y)*math.Log(1-q))
			if (p[i] >= 0.5) == r.Label {
				hit += r.Weight
			}
		}
		c := result.Columns[0].Confusion
		for name, pair := range map[evaluate.Metric][2]float64{
			evaluate.AUC:              {m[evaluate.AUC].Value, pairs(rows, p, func(_, _ evaluate.Row) bool { return true })},
			evaluate.ClassAUC:         {m[evaluate.ClassAUC].Value, pairs(rows, p, func(a, b evaluate.Row) bool { return a.Class == b.Class })},
			evaluate.VulnerabilityAUC: {m[evaluate.VulnerabilityAUC].Value, pairs(rows, p, func(a, b evaluate.Row) bool { return a.Vulnerability == b.Vulnerability })},
			evaluate.Brier:            {m[evaluate.Brier].Value, brier / total},
			evaluate.BrierSkill:       {m[evaluate.BrierSkill].Value, skill(brier, base)},
			evaluate.LogLoss:          {m[evaluate.LogLoss].Value, logloss / total},
			evaluate.Accuracy:         {m[evaluate.Accuracy].Value, hit / total},
			evaluate.Precision:        {m[evaluate.Precision].Value, c.TrueFixed / (c.TrueFixed + c.FalseFixed)},
			evaluate.Recall:           {m[evaluate.Recall].Value, c.TrueFixed / (c.TrueFixed + c.FalseNotFixed)},
		} {
			if !close(pair[0], pair[1]) {
				t.Fatalf("%s is %v, want %v", name, pair[0], pair[1])
			}
		}
		if !close(c.TrueFixed+c.FalseFixed+c.TrueNotFixed+c.FalseNotFixed, total) || !close((c.TrueFixed+c.TrueNotFixed)/total, hit/total) {
			t.Fatalf("confusion %+v of weight %g", c, total)
		}
	})
}

func skill(loss, reference float64) float64 {
	if reference == 0 {
		return math.NaN()
	}
	return 1 - loss/reference
}

func TestRiskAndCoverage(t *testing.T) {
	// Surest first: right, right, wrong, right on the side fixed; right, wrong on the other.
	p := []float64{0.99, 0.9, 0.8, 0.7, 0.05, 0.4}
	labels := []bool{true, true, false, true, false, true}
	var rows []evaluate.Row
	for i := range p {
		rows = append(rows, evaluate.Row{Group: i, Label: labels[i], Weight: 1})
	}
	result := run(t, rows, []evaluate.Column{{Name: "x", Probabilities: p}}, evaluate.Options{Resamples: 10})
	f := result.Columns[0]
	for r := range evaluate.Risks {
		if got := f.Metrics[evaluate.Coverage(certify.Fixed, r)].Value; !close(got, 2.0/6) {
			t.Errorf("coverage of fixed %g", got)
		}
		if got := f.Metrics[evaluate.Coverage(certify.NotFixed, r)].Value; !close(got, 1.0/6) {
			t.Errorf("coverage of not fixed %g", got)
		}
		if got := f.Metrics[evaluate.CertifiedTotal(r)].Value; got != 0 {
			t.Errorf("six rows certify nothing, got %g", got)
		}
	}
	// By distance from 1/2: 0.99 right, 0.05 right, 0.9 right, 0.8 wrong, 0.7 right, 0.4 wrong.
	want := (0 + 0 + 0 + 1.0/4 + 1.0/5 + 2.0/6) / 6
	if got := f.Metrics[evaluate.Area].Value; !close(got, want) {
		t.Errorf("area %g, want %g", got, want)
	}
	if curve := f.Curves.RiskCoverage; len(curve) != 6 || !close(curve[3].X, 4.0/6) || !close(curve[3].Y, 1.0/4) {
		t.Errorf("curve %v", curve)
	}
	if roc := f.Curves.ROC; roc[0] != (evaluate.Point{}) || roc[len(roc)-1] != (evaluate.Point{X: 1, Y: 1}) {
		t.Errorf("ROC from %v to %v", roc[0], roc[len(roc)-1])
	}
}

func TestCertifiedCoverage(t *testing.T) {
	rows, c := draw(1, 1000)
	for i := range rows {
		rows[i].Label = c.Probabilities[i] >= 0.5 // a model that is always right
	}
	m := run(t, rows, []evaluate.Column{c}, evaluate.Options{Resamples: 20}).Columns[0]
	fixed, not, both := m.Metrics[evaluate.CertifiedCoverage(certify.Fixed, 2)].Value, m.Metrics[evaluate.CertifiedCoverage(certify.NotFixed, 2)].Value, m.Metrics[evaluate.CertifiedTotal(2)].Value
	if m.Certificates[2].Fixed.Abstains || m.Certificates[2].NotFixed.Abstains || !close(fixed+not, both) || both < 0.99 {
		t.Errorf("covered %g + %g = %g", fixed, not, both)
	}
}

func TestCalibration(t *testing.T) {
	rows, good := draw(2, 1000)
	boast := evaluate.Column{Name: "boastful"}
	for _, p := range good.Probabilities {
		boast.Probabilities = append(boast.Probabilities, math.Pow(p, 0.5))
	}
	result := run(t, rows, []evaluate.Column{good, boast}, evaluate.Options{Resamples: 100})
	a, b := result.Columns[0].Metrics, result.Columns[1].Metrics
	if a[evaluate.ECE].Value > 0.03 || a[evaluate.RMSCalibration].Value > 0.02 {
		t.Errorf("a calibrated column has ECE %g, debiased %g", a[evaluate.ECE].Value, a[evaluate.RMSCalibration].Value)
	}
	// The mean of sqrt(p) - p over a uniform p is 1/6, the root mean square sqrt(1/30).
	if e, r := b[evaluate.ECE], b[evaluate.RMSCalibration]; e.Low > 1.0/6 || e.High < 1.0/6 || r.Low > math.Sqrt(1.0/30) || r.High < math.Sqrt(1.0/30) {
		t.Errorf("ECE %v, want 0.1667 inside; debiased %v, want 0.1826 inside", e, r)
	}
	if !close(a[evaluate.AUC].Value, b[evaluate.AUC].Value) {
		t.Error("a rising function of the scores leaves the AUC")
	}
	bins := result.Columns[0].Curves.Calibration
	if len(bins) != evaluate.Bins {
		t.Fatalf("%d bins", len(bins))
	}
	inside := 0
	for _, bin := range bins {
		if math.Abs(bin.Weight-1.0/evaluate.Bins) > 0.001 {
			t.Errorf("a bin has weight %g", bin.Weight)
		}
		if bin.Observed.Low <= bin.Given && bin.Given <= bin.Observed.High {
			inside++
		}
	}
	if inside < 12 {
		t.Errorf("%d of %d bins have the truth in their interval", inside, evaluate.Bins)
	}
}

// TestIntervalsCover draws many data sets and asks how often the interval has the true AUC, 5/6 for a uniform probability.
func TestIntervalsCover(t *testing.T) {
	const runs = 100
	inside := 0
	for seed := range uint64(runs) {
		rows, c := draw(100+seed, 80)
		o := evaluate.Options{Resamples: 100, Seed: seed}
		if e := run(t, rows, []evaluate.Column{c}, o).Columns[0].Metrics[evaluate.AUC]; e.Low <= 5.0/6 && 5.0/6 <= e.High {
			inside++
		}
	}
	if inside < 87 { // three standard deviations below 95 %, and a little for the small sample
		t.Errorf("%d of %d intervals have the true AUC", inside, runs)
	}
}

func TestDifferencesArePaired(t *testing.T) {
	rows, good := draw(3, 300)
	r := random.New(1)
	noisy := evaluate.Column{Name: "noisy"}
	for _, p := range good.Probabilities {
		noisy.Probabilities = append(noisy.Probabilities, 0.8*p+0.2*r.Float64())
	}
	same := evaluate.Column{Name: "same", Probabilities: good.Probabilities}
	result := run(t, rows, []evaluate.Column{good, noisy, same}, evaluate.Options{Resamples: 200})
	d := result.Differences[0].Metrics[evaluate.AUC]
	a, b := result.Columns[0].Metrics[evaluate.AUC], result.Columns[1].Metrics[evaluate.AUC]
	if !close(d.Value, a.Value-b.Value) || d.Low <= 0 || d.High-d.Low >= a.High-a.Low {
		t.Errorf("difference %+v of %+v and %+v", d, a, b)
	}
	if zero := result.Differences[1].Metrics[evaluate.Brier]; zero != (evaluate.Estimate{}) {
		t.Errorf("a column differs from itself by %+v", zero)
	}
	if result.Differences[0].Of != "model" || result.Differences[0].Less != "noisy" {
		t.Errorf("%+v", result.Differences[0])
	}
}

func TestFiguresDependOnTheSeedAlone(t *testing.T) {
	rows, c := draw(4, 100)
	text := func(o evaluate.Options) string {
		o.Resamples = 50
		b, err := json.Marshal(run(t, rows, []evaluate.Column{c}, o).Columns)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one := text(evaluate.Options{Workers: 1, Seed: 3})
	for workers := range 7 {
		if text(evaluate.Options{Workers: workers, Seed: 3}) != one {
			t.Fatalf("%d workers gave other figures", workers)
		}
	}
	if text(evaluate.Options{Seed: 4}) == one {
		t.Error("another seed gave the same intervals")
	}
}

func TestWhatRowsCantTell(t *testing.T) {
	rows := []evaluate.Row{{Group: 0, Weight: 1, Label: true}, {Group: 1, Weight: 1, Label: true}}
	result := run(t, rows, []evaluate.Column{{Name: "x", Probabilities: []float64{0.4, 0.6}}}, evaluate.Options{Resamples: 10})
	auc := result.Columns[0].Metrics[evaluate.AUC]
	if !math.IsNaN(auc.Value) || !math.IsNaN(auc.Low) || !math.IsNaN(auc.High) {
		t.Errorf("an AUC without pairs is %+v", auc)
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	var back evaluate.Result
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Errorf("figures changed on the way through JSON (%v)", err)
	}
}

func TestMetricsAreAllThere(t *testing.T) {
	rows, c := draw(5, 30)
	m := run(t, rows, []evaluate.Column{c}, evaluate.Options{Resamples: 5}).Columns[0].Metrics
	all := evaluate.Metrics()
	if len(m) != len(all) {
		t.Errorf("%d figures of %d", len(m), len(all))
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != len(m) {
		t.Error("two figures share a name")
	}
}

func TestSlices(t *testing.T) {
	rows, c := draw(6, 200)
	f := run(t, rows, []evaluate.Column{c}, evaluate.Options{Resamples: 5}).Columns[0]
	n := 0
	for _, s := range f.Classes {
		n += s.Rows
		if s.Groups == 0 || s.Rate <= 0 || s.Rate >= 1 || s.AUC.Value < 0.7 || s.Wrong > 0.4 || math.Abs(s.Mean-s.Rate) > 0.1 {
			t.Errorf("%+v", s)
		}
	}
	if n != len(rows) || len(f.Classes) != 3 || len(f.Operators) != 2 || len(f.Ecosystems) != 1 {
		t.Errorf("%d rows in %d classes, %d operators, %d ecosystems", n, len(f.Classes), len(f.Operators), len(f.Ecosystems))
	}
}

func TestBaselines(t *testing.T) {
	rows := []evaluate.Row{
		{Group: 0, Fold: 0, Class: "a", Label: true, Weight: 1}, {Group: 1, Fold: 0, Class: "b", Label: true, Weight: 3},
		{Group: 2, Fold: 1, Class: "a", Label: true, Weight: 1}, {Group: 3, Fold: 1, Class: "b", Label: false, Weight: 1}, {Group: 3, Fold: 1, Class: "b", Label: false, Weight: 2},
	}
	base, class := evaluate.BaseRate(rows), evaluate.ClassRate(rows)
	for i, want := range []float64{0.25, 0.25, 1, 1, 1} {
		if !close(base[i], want) {
			t.Errorf("base rate of row %d is %g, want %g", i, base[i], want)
		}
	}
	for i, want := range []float64{(1 + 2.5) / 11, 2.5 / 13, 1, 1, 1} {
		if !close(class[i], want) {
			t.Errorf("class rate of row %d is %g, want %g", i, class[i], want)
		}
	}
	if alone := evaluate.BaseRate(rows[:2]); alone[0] != 0.5 {
		t.Errorf("a single fold knows nothing, got %g", alone[0])
	}
}

func TestReferenceReplacesTheBaseRate(t *testing.T) {
	rows, c := draw(7, 50)
	m := run(t, rows, []evaluate.Column{c}, evaluate.Options{Resamples: 5, Reference: c.Probabilities}).Columns[0].Metrics
	if m[evaluate.BrierSkill].Value != 0 {
		t.Errorf("skill against itself is %g", m[evaluate.BrierSkill].Value)
	}
}

func TestRefused(t *testing.T) {
	for name, spoil := range map[string]func(rows []evaluate.Row, c *evaluate.Column, o *evaluate.Options){
		"short":       func(_ []evaluate.Row, c *evaluate.Column, _ *evaluate.Options) { c.Probabilities = c.Probabilities[1:] },
		"not a share": func(_ []evaluate.Row, c *evaluate.Column, _ *evaluate.Options) { c.Probabilities[0] = 1.2 },
		"NaN":         func(_ []evaluate.Row, c *evaluate.Column, _ *evaluate.Options) { c.Probabilities[0] = math.NaN() },
		"no name":     func(_ []evaluate.Row, c *evaluate.Column, _ *evaluate.Options) { c.Name = "" },
		"weight 0":    func(rows []evaluate.Row, _ *evaluate.Column, _ *evaluate.Options) { rows[0].Weight = 0 },
		"group in folds": func(rows []evaluate.Row, _ *evaluate.Column, _ *evaluate.Options) {
			rows[0].Group, rows[0].Fold = rows[len(rows)-1].Group, 4
		},
		"reference": func(_ []evaluate.Row, _ *evaluate.Column, o *evaluate.Options) { o.Reference = []float64{1} },
		"delta":     func(_ []evaluate.Row, _ *evaluate.Column, o *evaluate.Options) { o.Delta = 2 },
		"resamples": func(_ []evaluate.Row, _ *evaluate.Column, o *evaluate.Options) { o.Resamples = -1 },
	} {
		rows, c := draw(8, 11)
		o := evaluate.Options{Resamples: 5}
		spoil(rows, &c, &o)
		if _, err := evaluate.Evaluate(rows, []evaluate.Column{c}, o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	rows, c := draw(8, 10)
	if _, err := evaluate.Evaluate(rows, []evaluate.Column{c, c}, evaluate.Options{}); err == nil {
		t.Error("a column twice was accepted")
	}
	if _, err := evaluate.Evaluate(nil, nil, evaluate.Options{}); err == nil {
		t.Error("nothing was accepted")
	}
}

const metrics = `
import json, sys
from sklearn.metrics import roc_auc_score, brier_score_loss, log_loss, f1_score
q = json.load(sys.stdin)
y, p, w = q["y"], q["p"], q["w"]
json.dump([roc_auc_score(y, p, sample_weight=w), brier_score_loss(y, p, sample_weight=w), log_loss(y, p, sample_weight=w),
    f1_score(y, [x >= 0.5 for x in p], sample_weight=w)], sys.stdout)
`

func TestMatchesScikitLearn(t *testing.T) {
	rows, c := draw(9, 150)
	var y []bool
	var w []float64
	for i := range rows {
		rows[i].Weight = 1 + float64(i%3)
		c.Probabilities[i] = math.Round(c.Probabilities[i]*20+0.5) / 21
		y, w = append(y, rows[i].Label), append(w, rows[i].Weight)
	}
	var want []float64
	sklearntest.Run(t, metrics, map[string]any{"y": y, "p": c.Probabilities, "w": w}, &want)
	m := run(t, rows, []evaluate.Column{c}, evaluate.Options{Resamples: 2}).Columns[0].Metrics
	for i, name := range []evaluate.Metric{evaluate.AUC, evaluate.Brier, evaluate.LogLoss, evaluate.F1} {
		if !close(m[name].Value, want[i]) {
			t.Errorf("%s is %.9f, scikit-learn says %.9f", name, m[name].Value, want[i])
		}
	}
}

// BenchmarkEvaluate measures ten columns on about 3,000 rows with 1000 resamples.
func BenchmarkEvaluate(b *testing.B) {
	rows, c := draw(10, 670)
	var columns []evaluate.Column
	for i := range 10 {
		columns = append(columns, evaluate.Column{Name: string(rune('a' + i)), Probabilities: c.Probabilities})
	}
	for b.Loop() {
		if _, err := evaluate.Evaluate(rows, columns, evaluate.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
