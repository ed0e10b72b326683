package forest_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/forest"
)

func TestWeightsCountAsRepeatedRows(t *testing.T) {
	weighed := generate(4, 400, 5, 0.1, additive)
	repeated := weighed
	repeated.Rows, repeated.Labels = nil, nil
	for i, row := range weighed.Rows {
		weighed.Weights = append(weighed.Weights, float64(i%4))
		for range i % 4 {
			repeated.Rows = append(repeated.Rows, row)
			repeated.Labels = append(repeated.Labels, weighed.Labels[i])
		}
	}
	whole := forest.Forest{Trees: 10, Seed: 1, Whole: true}
	if !bytes.Equal(trainForest(t, weighed, whole).Model.Encode(), trainForest(t, repeated, whole).Model.Encode()) {
		t.Error("a forest of weighed rows isn't that of repeated rows")
	}
	// Shallow, as in deep trees rounding decides between splits that are worth the same.
	shallow := forest.Boosting{Trees: 10, Depth: 2, LeafRows: 1, Hessian: 1}
	a, b := boost(t, weighed, shallow), boost(t, repeated, shallow)
	for i, row := range weighed.Rows {
		p, _ := a.Predict(row)
		q, _ := b.Predict(row)
		if math.Abs(p-q) > 1e-6 {
			t.Fatalf("row %d: weighed %g, repeated %g", i, p, q)
		}
	}
}

// Scaling all weights changes nothing in a forest.
func TestOnlyRelativeWeightsCount(t *testing.T) {
	d := generate(4, 300, 5, 0.1, additive)
	plain := trainForest(t, d, forest.Forest{Trees: 5}).Model.Encode()
	for range d.Rows {
		d.Weights = append(d.Weights, 0.25)
	}
	if !bytes.Equal(trainForest(t, d, forest.Forest{Trees: 5}).Model.Encode(), plain) {
		t.Error("rows of weight 1/4 grow another forest than rows of weight 1")
	}
}

func TestRisesWithARisingLabel(t *testing.T) {
	d := generate(5, 3000, 3, 0.2, func(row []float64) bool { return row[0] > 0.1 })
	for _, l := range learners {
		m := l.train(t, d)
		mean := func(x float64) (sum float64) {
			for _, row := range d.Rows[:500] {
				p, err := m.Predict([]float64{x, row[1], row[2]})
				if err != nil {
					t.Fatal(err)
				}
				sum += p / 500
			}
			return sum
		}
		if low, high := mean(-0.9), mean(0.9); !(low < 0.35 && high > 0.65) {
			t.Errorf("%s: %.2f at -0.9 and %.2f at 0.9, of a label that is true for 20 %% and 80 %%", l.name, low, high)
		}
	}
}

// A value's being missing is all that tells the label.
func TestLearnsFromMissingValues(t *testing.T) {
	for _, when := range []bool{true, false} {
		d := generate(6, 1000, 3, 0, func(row []float64) bool { return row[1] > 0 })
		for i, row := range d.Rows {
			if d.Labels[i] == when {
				row[0] = math.NaN()
			}
			row[1] = 0
		}
		for _, l := range learners {
			if got := auc(predict(t, l.train(t, d), d.Rows), d.Labels); got != 1 {
				t.Errorf("%s, missing when the label is %v: AUC %.3f, want 1", l.name, when, got)
			}
		}
	}
}

// Where training saw no missing value, one goes where most rows went.
func TestUnseenMissingValueGoesWithMost(t *testing.T) {
	for _, cut := range []float64{-0.5, 0.5} {
		d := generate(7, 1000, 1, 0, func(row []float64) bool { return row[0] > cut })
		m := trainForest(t, d, forest.Forest{Trees: 5, Depth: 1, Whole: true}).Model
		got, err := m.Predict([]float64{math.NaN()})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[float64]float64{-0.5: 1, 0.5: 0}[cut]; math.Abs(got-want) > 0.05 {
			t.Errorf("cut at %g: a missing value scores %g, want %g", cut, got, want)
		}
	}
}

func TestConstantFeaturesGiveTheRate(t *testing.T) {
	d := generate(8, 400, 3, 0, two)
	for i := range d.Rows {
		d.Rows[i], d.Labels[i] = []float64{1, 2, math.NaN()}, i%4 == 0
	}
	for _, l := range learners {
		for _, p := range predict(t, l.train(t, d), d.Rows[:1]) {
			if math.Abs(p-0.25) > 0.02 {
				t.Errorf("%s: %g, want the rate 0.25", l.name, p)
			}
		}
	}
}

func two(row []float64) bool { return row[0]+row[1] > 0 }

// One feature of many tells the label: features that are constant don't use up those that a split may try.
func TestConstantFeaturesAreNoChoice(t *testing.T) {
	d := generate(8, 500, 40, 0, func(row []float64) bool { return row[17] > 0 })
	for _, row := range d.Rows {
		for f, x := range row {
			if row[f] = 3; f == 17 {
				row[f] = math.Copysign(1, x)
			}
		}
	}
	m := trainForest(t, d, forest.Forest{Trees: 3, Features: 1, Whole: true}).Model
	if got := auc(predict(t, m, d.Rows), d.Labels); got != 1 {
		t.Errorf("AUC %.3f, want 1", got)
	}
}

func TestOutOfBag(t *testing.T) {
	d := generate(10, 1500, 6, 0, additive)
	coins := generate(11, 1500, 6, 0.5, additive)
	trained := trainForest(t, d, forest.Forest{Trees: 100})
	if got := auc(trained.OutOfBag, d.Labels); got < 0.95 {
		t.Errorf("out of bag AUC %.3f", got)
	}
	blind := trainForest(t, coins, forest.Forest{Trees: 100})
	if got := auc(blind.OutOfBag, coins.Labels); got < 0.44 || got > 0.56 {
		t.Errorf("out of bag AUC %.3f on labels by chance: rows are scored by trees that have seen them", got)
	}
	if got := auc(predict(t, blind.Model, coins.Rows), coins.Labels); got < 0.9 {
		t.Errorf("AUC %.3f on the training rows themselves: the test above would show nothing", got)
	}
	for _, score := range trainForest(t, d, forest.Forest{Trees: 3, Whole: true}).OutOfBag {
		if !math.IsNaN(score) {
			t.Fatal("a row that is in every sample has an out-of-bag score")
		}
	}
}

// Rows of weight 0 are as if they weren't there, and out of every bag.
func TestRowsWithoutWeight(t *testing.T) {
	d := generate(12, 300, 4, 0, additive)
	part := d
	part.Rows, part.Labels = d.Rows[:200], d.Labels[:200]
	d.Weights = make([]float64, 300)
	for i := range 200 {
		d.Weights[i] = 1
	}
	all := trainForest(t, d, forest.Forest{Trees: 10})
	if !bytes.Equal(all.Model.Encode(), trainForest(t, part, forest.Forest{Trees: 10}).Model.Encode()) {
		t.Error("rows of weight 0 change the forest")
	}
	for i := 200; i < 300; i++ {
		if want, _ := all.Model.Predict(d.Rows[i]); all.OutOfBag[i] != want {
			t.Fatalf("row %d scores %g out of bag, and %g by all trees", i, all.OutOfBag[i], want)
		}
	}
	if !bytes.Equal(boost(t, d, forest.Boosting{Trees: 5}).Encode(), boost(t, part, forest.Boosting{Trees: 5}).Encode()) {
		t.Error("rows of weight 0 change boosting")
	}
}

func TestSettingsHold(t *testing.T) {
	d := generate(13, 1000, 5, 0.3, additive)
	deep := trainForest(t, d, forest.Forest{Trees: 1, Whole: true}).Model.Nodes()
	for _, c := range []struct {
		name   string
		forest forest.Forest
		most   int
	}{
		{"depth 3", forest.Forest{Trees: 1, Whole: true, Depth: 3}, 15},
		{"leaves of 100 rows", forest.Forest{Trees: 1, Whole: true, LeafRows: 100}, 19},
		{"leaves of all rows", forest.Forest{Trees: 1, Whole: true, LeafRows: 501}, 1},
	} {
		if got := trainForest(t, d, c.forest).Model.Nodes(); got > c.most || got >= deep {
			t.Errorf("%s: %d nodes, at most %d can be", c.name, got, c.most)
		}
	}
	if m := boost(t, d, forest.Boosting{Trees: 3, Depth: 2}); m.Trees() != 3 || m.Nodes() > 21 {
		t.Errorf("%d trees of %d nodes", m.Trees(), m.Nodes())
	}
	if m := boost(t, d, forest.Boosting{Trees: 3, LeafRows: 501}); m.Nodes() != 3 {
		t.Errorf("%d nodes, where no split can be", m.Nodes())
	}
}

func TestRefusesToTrain(t *testing.T) {
	change := func(f func(d *forest.Dataset)) forest.Dataset {
		d := generate(1, 20, 2, 0, two)
		f(&d)
		return d
	}
	one := make([]bool, 20)
	weights := func(w float64) func(d *forest.Dataset) {
		return func(d *forest.Dataset) { d.Weights = make([]float64, 20); d.Weights[3] = w }
	}
	for _, c := range []struct {
		name, want string
		data       forest.Dataset
	}{
		{"empty", "no rows", forest.Dataset{}},
		{"one class", "20 rows labelled false and 0 labelled true", change(func(d *forest.Dataset) { d.Labels = one })},
		{"one class of weight", "labelled true have weight", change(weights(1))},
		{"labels", "19 labels for 20 rows", change(func(d *forest.Dataset) { d.Labels = d.Labels[1:] })},
		{"weights", "1 weights for 20 rows", change(func(d *forest.Dataset) { d.Weights = []float64{1} })},
		{"negative weight", "row 3 has weight -1", change(weights(-1))},
		{"no number as weight", "row 3 has weight NaN", change(weights(math.NaN()))},
		{"infinite weight", "row 3 has weight +Inf", change(weights(math.Inf(1)))},
		{"short row", "row 5 has 1 features", change(func(d *forest.Dataset) { d.Rows[5] = []float64{1} })},
		{"same names", `two features are named "f0"`, change(func(d *forest.Dataset) { d.Names[1] = "f0" })},
		{"no name", `feature 1 is named ""`, change(func(d *forest.Dataset) { d.Names[1] = "" })},
		{"no features", "0 features", change(func(d *forest.Dataset) { d.Names = nil })},
		{"long set", "longer than 255", change(func(d *forest.Dataset) { d.FeatureSet = strings.Repeat("x", 256) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := forest.Forest{Trees: 1}.Train(context.Background(), c.data)
			refused(t, err, c.want)
			_, err = forest.Boosting{Trees: 1}.Train(context.Background(), c.data)
			refused(t, err, c.want)
		})
	}
	good := generate(1, 20, 2, 0, two)
	for want, f := range map[string]forest.Forest{
		"trees must be 1 to 10000, not -1": {Trees: -1}, "depth must be 1 to 15, not 16": {Depth: 16},
		"features of a split must be 1 to 2, not 3": {Features: 3}, "leaf rows must be": {LeafRows: -1}, "workers must be": {Workers: -1},
	} {
		_, err := f.Train(context.Background(), good)
		refused(t, err, want)
	}
	for want, b := range map[string]forest.Boosting{
		"trees must be": {Trees: 10_001}, "depth must be": {Depth: -1}, "rate must be above 0 and at most 1, not 2": {Rate: 2},
		"rows must be": {Rows: -0.5}, "columns must be": {Columns: math.NaN()}, "hessian": {Hessian: -1},
	} {
		_, err := b.Train(context.Background(), good)
		refused(t, err, want)
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
		return
	}
	if crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("%v is of kind %s", err, crisol.KindOf(err))
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := generate(1, 200, 2, 0, two)
	if _, err := (forest.Forest{}).Train(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("forest: %v", err)
	}
	if _, err := (forest.Boosting{}).Train(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("boosting: %v", err)
	}
}

func TestAsksOnlyRowsThatFit(t *testing.T) {
	m := trainForest(t, generate(1, 200, 4, 0, additive), forest.Forest{Trees: 2}).Model
	for _, row := range [][]float64{nil, {1}, make([]float64, 5)} {
		p, err := m.Predict(row)
		refused(t, err, "the model has 4")
		if !math.IsNaN(p) {
			t.Errorf("a row that doesn't fit has probability %g", p)
		}
		_, err = m.Explain(row)
		refused(t, err, "the model has 4")
	}
}

func TestPredictDoesNotAllocate(t *testing.T) {
	for _, l := range learners {
		d := generate(1, 200, 4, 0, additive)
		m := l.train(t, d)
		if n := testing.AllocsPerRun(100, func() { _, _ = m.Predict(d.Rows[0]) }); n != 0 {
			t.Errorf("%s: %g allocations", l.name, n)
		}
	}
}
