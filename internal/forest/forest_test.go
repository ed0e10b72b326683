package forest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"crisol/internal/forest"
	"crisol/internal/forest/naive"
)

// generate makes rows of uniform numbers, labelled by a function of the row; part of the labels is turned round.
func generate(seed uint64, rows, features int, noise float64, label func(row []float64) bool) forest.Dataset {
	r := rand.New(rand.NewPCG(seed, 1))
	d := forest.Dataset{FeatureSet: "test/1"}
	for f := range features {
		d.Names = append(d.Names, fmt.Sprintf("f%d", f))
	}
	for range rows {
		row := make([]float64, features)
		for f := range row {
			row[f] = r.Float64()*2 - 1
		}
		d.Rows = append(d.Rows, row)
		d.Labels = append(d.Labels, label(row) != (r.Float64() < noise))
	}
	return d
}

func xor(row []float64) bool      { return row[0] > 0 != (row[1] > 0) }
func additive(row []float64) bool { return row[0]+2*row[1]-row[2]+0.5*row[3] > 0 }

// learner trains one of the two ensembles.
type learner struct {
	name  string
	train func(t testing.TB, d forest.Dataset) *forest.Model
}

var learners = []learner{
	{"random forest", func(t testing.TB, d forest.Dataset) *forest.Model {
		return trainForest(t, d, forest.Forest{Trees: 60, Seed: 7}).Model
	}},
	{"boosting", func(t testing.TB, d forest.Dataset) *forest.Model {
		return boost(t, d, forest.Boosting{Trees: 60, Seed: 7, Rows: 0.8, Columns: 0.8})
	}},
}

func trainForest(t testing.TB, d forest.Dataset, f forest.Forest) forest.Trained {
	t.Helper()
	trained, err := f.Train(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return trained
}

func boost(t testing.TB, d forest.Dataset, b forest.Boosting) *forest.Model {
	t.Helper()
	m, err := b.Train(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func predict(t testing.TB, m *forest.Model, rows [][]float64) []float64 {
	t.Helper()
	scores := make([]float64, len(rows))
	for i, row := range rows {
		p, err := m.Predict(row)
		if err != nil {
			t.Fatal(err)
		}
		if !(p >= 0 && p <= 1) {
			t.Fatalf("row %d: probability %g", i, p)
		}
		scores[i] = p
	}
	return scores
}

// auc is the probability that a true row scores above a false one, half of the ties counted.
func auc(scores []float64, labels []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return 0
	})
	ranks, positives := 0.0, 0
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && scores[order[j]] == scores[order[i]] {
			j++
		}
		for _, at := range order[i:j] {
			if labels[at] {
				ranks += float64(i+j+1) / 2
				positives++
			}
		}
		i = j
	}
	p, n := float64(positives), float64(len(order)-positives)
	return (ranks - p*(p+1)/2) / (p * n)
}

func TestLearns(t *testing.T) {
	for _, c := range []struct {
		name  string
		label func([]float64) bool
		least float64
	}{{"exclusive or", xor, 0.97}, {"additive", additive, 0.97}} {
		for _, l := range learners {
			t.Run(c.name+"/"+l.name, func(t *testing.T) {
				m := l.train(t, generate(1, 2000, 6, 0, c.label))
				unseen := generate(2, 1000, 6, 0, c.label)
				if got := auc(predict(t, m, unseen.Rows), unseen.Labels); got < c.least {
					t.Errorf("AUC %.3f on unseen rows, want %.2f", got, c.least)
				}
			})
		}
	}
}

func TestAgreesWithThePlainReading(t *testing.T) {
	for _, l := range learners {
		t.Run(l.name, func(t *testing.T) {
			d := generate(1, 500, 5, 0.1, additive)
			punch(d.Rows, 0.1)
			m := l.train(t, d)
			plain := naive.Read(m.Encode())
			strange := [][]float64{
				{math.NaN(), math.NaN(), math.NaN(), math.NaN(), math.NaN()},
				{math.Inf(1), math.Inf(-1), 1e300, -1e300, 0},
				{math.MaxFloat32, -math.MaxFloat32, 1e-300, math.Copysign(0, -1), 5},
			}
			for _, row := range append(strange, d.Rows...) {
				got, err := m.Output(row)
				if err != nil {
					t.Fatal(err)
				}
				if want := plain.Output(row); math.Abs(got-want) > 1e-12 {
					t.Fatalf("output of %v is %g, want %g", row, got, want)
				}
			}
		})
	}
}

// punch makes a part of the values missing.
func punch(rows [][]float64, part float64) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, row := range rows {
		for f := range row {
			if r.Float64() < part {
				row[f] = math.NaN()
			}
		}
	}
}

func TestSameBytesForAnyNumberOfWorkers(t *testing.T) {
	d := generate(3, 3000, 12, 0.1, additive)
	punch(d.Rows, 0.05)
	want := trainForest(t, d, forest.Forest{Trees: 9, Seed: 5, Workers: 1})
	wantBoosted := boost(t, d, forest.Boosting{Trees: 5, Seed: 5, Rows: 0.7, Columns: 0.7, Workers: 1}).Encode()
	for workers := 2; workers <= 8; workers++ {
		got := trainForest(t, d, forest.Forest{Trees: 9, Seed: 5, Workers: workers})
		if !bytes.Equal(got.Model.Encode(), want.Model.Encode()) {
			t.Errorf("%d workers grow another forest", workers)
		}
		if !slices.EqualFunc(got.OutOfBag, want.OutOfBag, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Errorf("%d workers give other out-of-bag scores", workers)
		}
		if got := boost(t, d, forest.Boosting{Trees: 5, Seed: 5, Rows: 0.7, Columns: 0.7, Workers: workers}).Encode(); !bytes.Equal(got, wantBoosted) {
			t.Errorf("%d workers boost other trees", workers)
		}
	}
	if other := trainForest(t, d, forest.Forest{Trees: 9, Seed: 6}); bytes.Equal(other.Model.Encode(), want.Model.Encode()) {
		t.Error("another seed grows the same forest")
	}
}

// The bytes of a seed stay what they are: on every machine, whatever instructions its processor has, and with every
// release of Go. A change of training changes them on purpose, and with it every model that is shipped.
func TestBytesOfASeedStay(t *testing.T) {
	d := generate(40, 3000, 12, 0.2, xor)
	punch(d.Rows, 0.05)
	for name, c := range map[string]struct {
		model *forest.Model
		want  string
	}{
		"forest":   {trainForest(t, d, forest.Forest{Trees: 20, Seed: 3}).Model, "291c36c1c6c46e2e99f6b265b7c02d2fc0dca2b7a24f041d055210ffb35d9043"},
		"boosting": {boost(t, d, forest.Boosting{Trees: 20, Seed: 3, Rows: 0.8, Columns: 0.8}), "2fe4df9017f3183e0a71effc9346b0dad0c6de0947f555af93dacaaa3cb149bb"},
	} {
		if got := fmt.Sprintf("%x", sha256.Sum256(c.model.Encode())); got != c.want {
			t.Errorf("%s: digest %s, want %s", name, got, c.want)
		}
	}
}
