package linear_test

import (
	"math"
	"testing"

	"crisol/internal/linear"
	"crisol/internal/sklearntest"
)

const logisticRegression = `
import json, sys, numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
q = json.load(sys.stdin)
dense, sparse, y, w = (np.array(q[k]) for k in ("dense", "sparse", "y", "w"))
dense = StandardScaler().fit_transform(dense, sample_weight=w)
x = np.hstack([dense, sparse])
m = LogisticRegression(C=1 / q["l2"], tol=1e-10, max_iter=10000).fit(x, y, sample_weight=w)
json.dump(m.decision_function(x).tolist(), sys.stdout)
`

func TestMatchesScikitLearn(t *testing.T) {
	samples := draw(10, 300)
	var query struct {
		Dense  [][]float64 `json:"dense"`
		Sparse [][]float64 `json:"sparse"`
		Y      []bool      `json:"y"`
		W      []float64   `json:"w"`
		L2     float64     `json:"l2"`
	}
	query.L2 = 0.3
	for i := range samples {
		samples[i].Weight = 0.5 + float64(i%4)
		words := make([]float64, 2)
		for _, e := range samples[i].Sparse {
			words[map[uint32]int{3: 0, 900: 1}[e.Column]] = e.Value
		}
		query.Dense, query.Sparse = append(query.Dense, samples[i].Dense), append(query.Sparse, words)
		query.Y, query.W = append(query.Y, samples[i].Label), append(query.W, samples[i].Weight)
	}
	var want []float64
	sklearntest.Run(t, logisticRegression, query, &want)
	m := fit(t, samples, linear.Options{L2: query.L2, Tolerance: 1e-9})
	for i, s := range samples {
		if got := m.Score(s.Dense, s.Sparse); math.Abs(got-want[i]) > 1e-4 {
			t.Fatalf("row %d scores %.6f, scikit-learn says %.6f", i, got, want[i])
		}
	}
}
