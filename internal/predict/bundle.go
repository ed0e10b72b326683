// Package predict holds model bundles: everything that it takes to predict the verdict of one patch, and to know how far
// the prediction can be trusted.
//
// A bundle names the version of the features that it reads, weighs hashed n-grams into one more feature, asks an ensemble
// of trees, turns its score into a probability by a calibration, and carries a certificate for each side. It is kept in
// one file with a checksum. In go features of a patch; out comes a prediction, and its explanation. The package knows
// neither how features are computed nor how a bundle was trained, and decides nothing: that is policy's.
package predict

import (
	"cmp"
	"math"
	"slices"

	"crisol"
	"crisol/internal/calibrate"
	"crisol/internal/certify"
	"crisol/internal/dataset"
	"crisol/internal/experiment"
	"crisol/internal/forest"
	"crisol/internal/linear"
	"crisol/internal/policy"
)

// NGramFeature names the feature that a bundle adds to those that it is given: the log odds of the n-grams.
const NGramFeature = "ngram_score"

// Bundle is one model with all that belongs to it. It doesn't change, and may be asked by many at once.
type Bundle struct {
	Manifest
	// Digest is the SHA-256 of the file that it was read from, in hex; "" of one that was just made.
	Digest string
	NGrams *linear.Model
	Trees  *forest.Model
}

// Manifest is what a bundle says of itself.
type Manifest struct {
	// Version names the model: rf_v1, gbdt_v1.
	Version string `json:"version"`
	// FeatureVersion is the version of the features that it was trained on, and reads; Features are their names.
	FeatureVersion string   `json:"feature_version"`
	Features       []string `json:"features"`
	// Buckets is how many buckets its n-grams are hashed into.
	Buckets      int                   `json:"buckets"`
	Calibration  *calibrate.Calibrator `json:"calibration"`
	Certificates certify.Certificates  `json:"certificates"`
	// Profile is how its probabilities were distributed out of fold: what drift is held against. nil where a bundle was made without.
	Profile    *experiment.Profile `json:"profile,omitempty"`
	Provenance Provenance          `json:"provenance"`
}

// Provenance says what a bundle was made of. The same rows, seed and settings give the same bundle, byte for byte.
type Provenance struct {
	// RowsDigest is the SHA-256 of the file of rows, CorpusDigest that of the corpus they were computed from, in hex.
	RowsDigest   string         `json:"rows_digest"`
	CorpusDigest string         `json:"corpus_digest"`
	Rows         int            `json:"rows"`
	Fixed        int            `json:"fixed"` // rows whose label is fixed
	Groups       int            `json:"groups"`
	Seed         uint64         `json:"seed"`
	Settings     map[string]any `json:"settings"`
	// Measured are the figures of its evaluation out of fold, by name.
	Measured map[string]float64 `json:"measured"`
}

// Features are those of one patch.
type Features struct {
	// Version is that of the code that computed them.
	Version string
	Vector  []float64
	NGrams  dataset.NGrams
}

// Predict gives the calibrated probability that the patch comes out fixed. It fails where the features are of another
// version than the bundle reads.
func (b *Bundle) Predict(f Features) (crisol.MLPrediction, error) {
	row, err := b.row(f)
	if err != nil {
		return crisol.MLPrediction{}, err
	}
	return b.ask(row)
}

func (b *Bundle) ask(row []float64) (crisol.MLPrediction, error) {
	score, err := b.Trees.Predict(row)
	if err != nil {
		return crisol.MLPrediction{}, crisol.Errorf(crisol.KindInternal, "%s: %w", b.Version, err)
	}
	p := b.Calibration.Probability(score)
	if math.IsNaN(p) {
		return crisol.MLPrediction{}, crisol.Errorf(crisol.KindInternal, "%s: the score %v has no probability", b.Version, score)
	}
	return crisol.MLPrediction{Valid: p >= 0.5, Probability: p, ModelVersion: b.Version}, nil
}

// Explain predicts and names the features that moved the prediction most, at most n of them, the strongest first.
func (b *Bundle) Explain(f Features, n int) (crisol.MLPrediction, error) {
	row, err := b.row(f)
	if err != nil {
		return crisol.MLPrediction{}, err
	}
	p, err := b.ask(row)
	if err != nil {
		return p, err
	}
	explained, err := b.Trees.Explain(row)
	if err != nil {
		return p, crisol.Errorf(crisol.KindInternal, "%s: %w", b.Version, err)
	}
	for i, share := range explained.Contributions {
		if share == 0 || math.IsNaN(row[i]) {
			continue // a number that isn't there explains nothing to a person
		}
		p.Explanation = append(p.Explanation, crisol.Contribution{Feature: b.name(i), Value: row[i], Contribution: share})
	}
	slices.SortStableFunc(p.Explanation, func(x, y crisol.Contribution) int {
		return cmp.Compare(math.Abs(y.Contribution), math.Abs(x.Contribution))
	})
	p.Explanation = p.Explanation[:min(n, len(p.Explanation))]
	return p, nil
}

func (b *Bundle) name(i int) string {
	if i < len(b.Features) {
		return b.Features[i]
	}
	return NGramFeature
}

// row is what the trees read: the features, and the score of the n-grams.
func (b *Bundle) row(f Features) ([]float64, error) {
	if f.Version != b.FeatureVersion {
		return nil, crisol.Errorf(crisol.KindInternal, "%s reads features of version %s, not %s", b.Version, b.FeatureVersion, f.Version)
	}
	if len(f.Vector) != len(b.Features) {
		return nil, crisol.Errorf(crisol.KindInternal, "%s reads %d features, not %d", b.Version, len(b.Features), len(f.Vector))
	}
	row := make([]float64, len(f.Vector)+1)
	copy(row, f.Vector)
	row[len(f.Vector)] = b.NGrams.Score(nil, Sparse(f.NGrams))
	return row, nil
}

// Sparse are n-grams as the linear model reads them.
func Sparse(grams dataset.NGrams) linear.Sparse {
	s := make(linear.Sparse, len(grams))
	for i, g := range grams {
		s[i] = linear.Entry{Column: uint32(g.Bucket), Value: float64(g.Count)}
	}
	s.Damp()
	return s
}

// Bounds says where each side may be trusted, in the policy's terms.
func (m *Manifest) Bounds() policy.Bounds {
	bound := func(c certify.Certificate, confidence float64) policy.Bound {
		return policy.Bound{Certified: !c.Abstains && c.Alpha > 0, Threshold: confidence, Risk: c.Alpha, Why: c.Reason}
	}
	return policy.Bounds{
		Fixed:    bound(m.Certificates.Fixed, m.Certificates.Fixed.Threshold),
		NotFixed: bound(m.Certificates.NotFixed, 1-m.Certificates.NotFixed.Threshold),
	}
}
