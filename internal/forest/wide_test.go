package forest

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// What a processor computes at once must not change an explanation.
func TestExplanationIsTheSameOnEveryProcessor(t *testing.T) {
	if !wide {
		t.Skip("this processor has no AVX2")
	}
	random := rand.New(rand.NewPCG(1, 2))
	d := Dataset{FeatureSet: "f1", Names: []string{"a", "b", "c"}}
	for range 3000 {
		row := []float64{random.NormFloat64(), random.NormFloat64(), random.NormFloat64()}
		d.Rows, d.Labels = append(d.Rows, row), append(d.Labels, row[0]*row[1] > row[2])
	}
	trained, err := Forest{Trees: 20, Depth: MaxDepth}.Train(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range d.Rows[:20] {
		var keys table
		spread(row, &keys)
		if a, b := trained.Model.shapley(&keys, true), trained.Model.shapley(&keys, false); !slices.Equal(a, b) {
			t.Fatalf("%v four at once, %v otherwise", a, b)
		}
	}
}
