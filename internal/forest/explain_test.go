package forest_test

import (
	"math"
	"testing"

	"crisol/internal/forest"
	"crisol/internal/forest/naive"
)

func explain(t testing.TB, m *forest.Model, row []float64) forest.Explanation {
	t.Helper()
	e, err := m.Explain(row)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// adds checks that an explanation adds up to the model's output.
func adds(t testing.TB, m *forest.Model, row []float64, e forest.Explanation) {
	t.Helper()
	output, err := m.Output(row)
	if err != nil {
		t.Fatal(err)
	}
	sum := e.Base
	for _, c := range e.Contributions {
		sum += c
	}
	if math.Abs(sum-output) > 1e-9 || e.Output != output {
		t.Fatalf("contributions add up to %g, Output is %g, the explanation says %g", sum, output, e.Output)
	}
}

func TestExplanationIsShapleys(t *testing.T) {
	for _, l := range learners {
		t.Run(l.name, func(t *testing.T) {
			d := generate(20, 600, 6, 0.1, func(row []float64) bool { return xor(row) || row[2] > 0.7 })
			punch(d.Rows, 0.05)
			m := l.train(t, d)
			plain := naive.Read(m.Encode())
			for _, row := range d.Rows[:10] {
				got := explain(t, m, row)
				base, want := plain.Shapley(row)
				if math.Abs(got.Base-base) > 1e-10 {
					t.Fatalf("base %g, want %g", got.Base, base)
				}
				near(t, got.Contributions, want, 1e-10)
				near(t, plain.TreeSHAP(row), want, 1e-7)
				adds(t, m, row, got)
			}
		})
	}
}

func near(t *testing.T, got, want []float64, within float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > within {
			t.Fatalf("feature %d has %g, want %g", i, got[i], want[i])
		}
	}
}

// The deepest trees need the whole precision of the integral.
func TestExplainsTheDeepestTrees(t *testing.T) {
	d := generate(21, 4000, 20, 0.3, additive)
	m := trainForest(t, d, forest.Forest{Trees: 5, Depth: forest.MaxDepth, Features: 1}).Model
	plain := naive.Read(m.Encode())
	for _, row := range d.Rows[:5] {
		got := explain(t, m, row)
		near(t, got.Contributions, plain.TreeSHAP(row), 1e-9)
		adds(t, m, row, got)
	}
}

// A feature that no split asks for has no part in it, and two features that do the same have the same part.
func TestExplanationIsFair(t *testing.T) {
	d := generate(22, 3000, 3, 0, func(row []float64) bool { return row[0]+row[1] > 0 })
	for i := range d.Rows {
		d.Rows[i][2] = 4 // a dummy
		d.Rows[i][0], d.Rows[i][1] = math.Round(d.Rows[i][0]), math.Round(d.Rows[i][1])
		d.Labels[i] = d.Rows[i][0]+d.Rows[i][1] > 0
	}
	mirrored := d
	mirrored.Rows = nil
	for _, row := range d.Rows { // every row together with its mirror image
		mirrored.Rows = append(mirrored.Rows, row, []float64{row[1], row[0], row[2]})
	}
	mirrored.Labels = nil
	for _, label := range d.Labels {
		mirrored.Labels = append(mirrored.Labels, label, label)
	}
	m := trainForest(t, mirrored, forest.Forest{Trees: 400, Whole: true, Features: 1}).Model
	row := []float64{1, 1, 4}
	e := explain(t, m, row)
	adds(t, m, row, e)
	if e.Contributions[2] != 0 {
		t.Errorf("a feature that is constant contributes %g", e.Contributions[2])
	}
	if a, b := e.Contributions[0], e.Contributions[1]; a < 0.1 || math.Abs(a-b) > 0.05*a {
		t.Errorf("features that do the same contribute %g and %g", a, b)
	}
}
