package forest_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"crisol/internal/forest"
	"crisol/internal/sklearntest"
)

const sklearn = `
import json, os, sys
os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait for one another take minutes on a busy machine
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
q = json.load(sys.stdin)
x, y, unseen = np.array(q["rows"], dtype=float), np.array(q["labels"]), np.array(q["unseen"], dtype=float)
models = {
    "forest": RandomForestClassifier(n_estimators=100, max_depth=12, random_state=1, n_jobs=1),
    "boosting": HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, max_depth=5, max_leaf_nodes=None,
        min_samples_leaf=20, l2_regularization=1, max_bins=63, early_stopping=False, random_state=1),
}
json.dump({name: m.fit(x, y, sample_weight=q["weights"]).predict_proba(unseen)[:, 1].tolist() for name, m in models.items()}, sys.stdout)
`

// candidates makes rows like those of patches: counts, flags and measures of which some tell something together.
func candidates(seed uint64, rows int) forest.Dataset {
	r := rand.New(rand.NewPCG(seed, 2))
	d := generate(seed, rows, 24, 0, two)
	for i, row := range d.Rows {
		for f := 8; f < 16; f++ {
			row[f] = math.Floor(math.Exp(2 * row[f])) // counts
		}
		for f := 16; f < 24; f++ {
			row[f] = math.Round((row[f] + 1) / 2) // flags
		}
		z := 1.5*row[0]*row[1] + row[2] - row[3]*row[3] + 0.4*row[8] + row[16]*(2*row[17]-1) + 0.7*row[18]*row[4] - 0.4
		d.Labels[i] = r.Float64() < 1/(1+math.Exp(-2*z))
		d.Weights = append(d.Weights, 0.5+r.Float64())
	}
	return d
}

// On the same rows both rank unseen rows as well as scikit-learn's do, within 0.02 of the area under the curve.
func TestParityWithScikitLearn(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		d, unseen := candidates(seed, 2000), candidates(seed+100, 2000)
		var theirs struct{ Forest, Boosting []float64 }
		sklearntest.Run(t, sklearn, map[string]any{"rows": d.Rows, "labels": d.Labels, "weights": d.Weights, "unseen": unseen.Rows}, &theirs)
		for _, c := range []struct {
			name   string
			model  *forest.Model
			theirs []float64
		}{
			{"forest", trainForest(t, d, forest.Forest{Trees: 100, Seed: 1}).Model, theirs.Forest},
			{"boosting", boost(t, d, forest.Boosting{Trees: 100, Seed: 1}), theirs.Boosting},
		} {
			ours, want := auc(predict(t, c.model, unseen.Rows), unseen.Labels), auc(c.theirs, unseen.Labels)
			t.Logf("seed %d, %s: AUC %.4f, scikit-learn %.4f", seed, c.name, ours, want)
			if math.Abs(ours-want) > 0.02 {
				t.Errorf("seed %d, %s: AUC %.4f, scikit-learn has %.4f", seed, c.name, ours, want)
			}
			if want < 0.7 {
				t.Errorf("seed %d, %s: scikit-learn has %.4f; nothing can be told from such rows", seed, c.name, want)
			}
		}
	}
}
