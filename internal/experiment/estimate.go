package experiment

import (
	"math"

	"crisol"
	"crisol/internal/certify"
)

// Share is an estimated share with an interval that covers the truth in 95 % of cases.
type Share struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Matrix is a confusion matrix; fixed is positive.
type Matrix struct {
	TruePositive  float64 `json:"true_positive"`
	FalsePositive float64 `json:"false_positive"`
	FalseNegative float64 `json:"false_negative"`
	TrueNegative  float64 `json:"true_negative"`
}

func (m *Matrix) add(positive, fixed bool, weight float64) {
	switch {
	case positive && fixed:
		m.TruePositive += weight
	case positive:
		m.FalsePositive += weight
	case fixed:
		m.FalseNegative += weight
	default:
		m.TrueNegative += weight
	}
}

// Metrics are shares of a confusion matrix, nil where they would divide by zero.
type Metrics struct {
	Accuracy  *float64 `json:"accuracy"`
	Precision *float64 `json:"precision"`
	Recall    *float64 `json:"recall"`
	F1        *float64 `json:"f1"`
}

// Metrics of the matrix.
func (m Matrix) Metrics() Metrics {
	return Metrics{
		Accuracy:  ratio(m.TruePositive+m.TrueNegative, m.TruePositive+m.TrueNegative+m.FalsePositive+m.FalseNegative),
		Precision: ratio(m.TruePositive, m.TruePositive+m.FalsePositive),
		Recall:    ratio(m.TruePositive, m.TruePositive+m.FalseNegative),
		F1:        ratio(2*m.TruePositive, 2*m.TruePositive+m.FalsePositive+m.FalseNegative),
	}
}

func ratio(part, whole float64) *float64 {
	if !(whole > 0) {
		return nil
	}
	share := part / whole
	return &share
}

// Estimate says how a model does on all that it was asked, as far as labels tell.
type Estimate struct {
	// Labels is how many there are, and Inconclusive how many of them have a wargame that couldn't tell: those are in none
	// of the matrices and metrics. Predictions is the estimated number of predictions that the labels stand for.
	Labels       int     `json:"labels"`
	Inconclusive int     `json:"inconclusive"`
	Predictions  float64 `json:"predictions"`
	// Raw counts labels as they are. Its metrics say little about the model: most labels are of predictions that the model
	// was unsure of.
	Raw        Matrix  `json:"raw"`
	RawMetrics Metrics `json:"raw_metrics"`
	// Weighted counts each label 1/propensity times.
	Weighted  Matrix `json:"weighted"`
	Accuracy  *Share `json:"accuracy"`
	Precision *Share `json:"precision"`
	Recall    *Share `json:"recall"`
	F1        *Share `json:"f1"`
	// InconclusiveShare of all predictions, had all been compared.
	InconclusiveShare *Share `json:"inconclusive_share"`
	// Coverage is the share of predictions that are confident.
	Coverage *Share `json:"coverage"`
	// Risk is the share of confident predictions of a side that are wrong, inconclusive ones among them: what certificates
	// are about.
	RiskFixed    *Share `json:"risk_fixed"`
	RiskNotFixed *Share `json:"risk_not_fixed"`
}

// Weigh estimates how a model does. Only labels of one model make sense together.
//
// Labels are weighted by 1/propensity and divided by the sum of weights (Hájek 1971): each metric is a ratio of two
// weighted sums. The number of predictions needn't be known.
//
// Intervals are Wilson's (JASA 22, 1927) at 95 %, with the effective number of labels in the place of the number: the one
// that a simple random sample would need for the same variance (Korn, Graubard: Survey Methodology 24, 1998; Dean, Pagano:
// Journal of Survey Statistics and Methodology 3, 2015). The variance is that of the ratio by linearisation, over groups,
// because labels of one group (Label.Group) err together. Before, one right and one wrong label of the greatest weight are
// added to the variance, not to the value: else a stratum where no error was seen yet would count as free of errors.
func Weigh(labels []Label) (Estimate, error) {
	var e Estimate
	var accuracy, precision, recall, f1, inconclusive, coverage, riskFixed, riskNotFixed sample
	for _, l := range labels {
		if err := l.check(); err != nil {
			return Estimate{}, err
		}
		if l.Model != labels[0].Model {
			return Estimate{}, crisol.Errorf(crisol.KindInput, "estimate: labels of the models %s and %s: want one", labels[0].Model, l.Model)
		}
		w, positive := 1/l.Propensity, l.Side == certify.Fixed
		fixed, known := l.Truth()
		e.Labels++
		e.Predictions += w
		inconclusive.add(l.Group, w, !known)
		coverage.add(l.Group, w, l.Stratum == Confident)
		switch {
		case l.Stratum == Confident && positive:
			riskFixed.add(l.Group, w, l.Wrong())
		case l.Stratum == Confident:
			riskNotFixed.add(l.Group, w, l.Wrong())
		}
		if !known {
			e.Inconclusive++
			continue
		}
		e.Raw.add(positive, fixed, 1)
		e.Weighted.add(positive, fixed, w)
		accuracy.add(l.Group, w, positive == fixed)
		if positive {
			precision.add(l.Group, w, fixed)
		}
		if fixed {
			recall.add(l.Group, w, positive)
		}
		switch { // F1 is the share of true positives where they count twice, and true negatives don't
		case positive && fixed:
			f1.add(l.Group, 2*w, true)
		case positive || fixed:
			f1.add(l.Group, w, false)
		}
	}
	e.RawMetrics = e.Raw.Metrics()
	e.Accuracy, e.Precision, e.Recall, e.F1 = accuracy.share(), precision.share(), recall.share(), f1.share()
	e.InconclusiveShare, e.Coverage = inconclusive.share(), coverage.share()
	e.RiskFixed, e.RiskNotFixed = riskFixed.share(), riskNotFixed.share()
	return e, nil
}

// sample is a weighted sample of successes and failures, by group.
type sample struct {
	weight, success, greatest float64
	// groups holds the sums of those that have a name, in the order of first appearance, so that sums come out the same
	// every time; the rest are on their own.
	groups         []pair
	index          map[string]int
	single, failed float64 // sums of squared weights of the rest, by success
}

type pair struct{ weight, success float64 }

func (s *sample) add(group string, weight float64, success bool) {
	hit := 0.0
	if success {
		hit = weight
	}
	s.weight += weight
	s.success += hit
	s.greatest = max(s.greatest, weight)
	switch {
	case group != "":
		if s.index == nil {
			s.index = map[string]int{}
		}
		at, known := s.index[group]
		if !known {
			at = len(s.groups)
			s.index[group] = at
			s.groups = append(s.groups, pair{})
		}
		s.groups[at].weight += weight
		s.groups[at].success += hit
	case success:
		s.single += weight * weight
	default:
		s.failed += weight * weight
	}
}

// z is the normal distribution's quantile for 95 %, two-sided.
const z = 1.959963984540054

// share is the estimate with its interval; nil of nothing.
func (s *sample) share() *Share {
	if !(s.weight > 0) {
		return nil
	}
	p := s.success / s.weight
	q := 1 - p
	variance := (s.single + s.greatest*s.greatest) * q * q
	variance += (s.failed + s.greatest*s.greatest) * p * p
	for _, g := range s.groups {
		residual := g.success - p*g.weight
		variance += residual * residual
	}
	variance /= s.weight * s.weight
	smooth := (s.success + s.greatest) / (s.weight + 2*s.greatest)
	n := smooth * (1 - smooth) / variance
	centre := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*q/n+z*z/(4*n*n))
	return &Share{p, min(max(centre-half, 0), p), max(min(centre+half, 1), p)}
}
