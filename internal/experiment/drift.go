package experiment

import (
	"cmp"
	"math"
	"slices"

	"crisol"
)

// Sample is one prediction as drift sees it. Weight is 1/propensity where samples were chosen, else 1. A feature that a
// sample hasn't, or that is NaN, is missing, which is a value of its own.
type Sample struct {
	Score    float64
	Features map[string]float64
	Weight   float64
}

// Histogram is how a quantity is distributed: the weight at or below each edge and above the one before it, then the
// weight above the last edge, then that of missing values.
type Histogram struct {
	Edges   []float64 `json:"edges"` // ascending
	Weights []float64 `json:"weights"`
	// Effective is the number of samples, less what unequal weights cost: the square of their sum over the sum of squares.
	Effective float64 `json:"effective"`
}

// Profile is what a model is used to: the reference for drift. Score is the distribution of its scores.
type Profile struct {
	Score    Histogram            `json:"score"`
	Features map[string]Histogram `json:"features"`
}

// bins is how many bins of about equal weight a profile's histograms have, between two for what is out of range.
const bins = 10

// NewProfile describes samples, of the training rows or of a time when all was well.
func NewProfile(samples []Sample) (Profile, error) {
	if err := checkSamples(samples); err != nil {
		return Profile{}, crisol.Errorf(crisol.KindInput, "profile: %w", err)
	}
	p := Profile{Features: map[string]Histogram{}}
	p.Score = edges(samples, score)
	p.Score.fill(samples, score)
	names := map[string]bool{}
	for _, s := range samples {
		for name := range s.Features {
			names[name] = true
		}
	}
	for name := range names {
		h := edges(samples, feature(name))
		h.fill(samples, feature(name))
		p.Features[name] = h
	}
	return p, nil
}

func checkSamples(samples []Sample) error {
	if len(samples) == 0 {
		return crisol.Errorf(crisol.KindInput, "no samples")
	}
	for i, s := range samples {
		if !(s.Weight > 0 && !math.IsInf(s.Weight, 1)) || !(s.Score >= 0 && s.Score <= 1) {
			return crisol.Errorf(crisol.KindInput, "sample %d has weight %g and score %g: want a number above 0 and a probability", i, s.Weight, s.Score)
		}
	}
	return nil
}

func score(s Sample) float64 { return s.Score }

func feature(name string) func(Sample) float64 {
	return func(s Sample) float64 {
		if v, known := s.Features[name]; known {
			return v
		}
		return math.NaN()
	}
}

// edges are the weighted deciles, each once, and the float just below the least value: what is out of the range of the
// samples, on either side, falls into bins of its own.
func edges(samples []Sample, of func(Sample) float64) Histogram {
	type item struct{ value, weight float64 }
	var items []item
	total := 0.0
	for _, s := range samples {
		if v := of(s); !math.IsNaN(v) {
			items = append(items, item{v, s.Weight})
			total += s.Weight
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.value, b.value) })
	var list []float64
	if len(items) > 0 {
		list = append(list, math.Nextafter(items[0].value, math.Inf(-1)))
	}
	sum, next := 0.0, 1
	for i, it := range items {
		sum += it.weight
		if last := i == len(items)-1; last || sum >= total*float64(next)/bins {
			if it.value != list[len(list)-1] {
				list = append(list, it.value)
			}
			for next < bins && sum >= total*float64(next)/bins {
				next++
			}
		}
	}
	return Histogram{Edges: list}
}

// fill counts the samples into the histogram's bins.
func (h *Histogram) fill(samples []Sample, of func(Sample) float64) {
	h.Weights = make([]float64, len(h.Edges)+2)
	total, squares := 0.0, 0.0
	for _, s := range samples {
		at := len(h.Edges) + 1
		if v := of(s); !math.IsNaN(v) {
			at, _ = slices.BinarySearch(h.Edges, v)
		}
		h.Weights[at] += s.Weight
		total += s.Weight
		squares += s.Weight * s.Weight
	}
	h.Effective = total * total / squares
}

// Level is how far a distribution has moved, by the usual limits of the population stability index.
type Level string

// The levels.
const (
	Stable   Level = "stable"   // below 0.1, or no more than chance
	Moderate Level = "moderate" // from 0.1
	Major    Level = "major"    // from 0.25
)

// Shift is how far one quantity has moved. Chance is the index that would be exceeded once in a thousand comparisons of as
// many quantities and samples, had nothing moved.
type Shift struct {
	Name   string  `json:"name"` // "score", or that of a feature
	Index  float64 `json:"index"`
	Chance float64 `json:"chance"`
	Level  Level   `json:"level"`
}

// Drift is how far what a model is asked has moved from its profile.
type Drift struct {
	Samples int `json:"samples"`
	// Shifts of the score and all features, the greatest first.
	Shifts []Shift `json:"shifts"`
	// Raised is whether more decisions should be compared: the score or a feature has a major shift. It is no evidence
	// against the model, and demotes nothing.
	Raised bool `json:"raised"`
}

// Against holds recent samples against the profile by the population stability index, the sum over bins of
// (p - q) ln(p/q), p and q being shares of the recent samples and of the profile: Jeffreys' divergence of binned
// distributions. Bins count half a sample more than they hold, so that an empty one has a logarithm.
//
// With n and m samples of one distribution in B bins the index is about (1/n + 1/m) times a chi-square variable of B-1
// degrees of freedom (Yurdakul: Statistical properties of population stability index, 2018): with 100 samples and ten bins
// 0.1 is what chance gives. A shift that chance explains is Stable, whatever its index.
func (p Profile) Against(samples []Sample) (Drift, error) {
	if err := checkSamples(samples); err != nil {
		return Drift{}, crisol.Errorf(crisol.KindInput, "drift: %w", err)
	}
	d := Drift{Samples: len(samples)}
	tail := 0.001 / float64(1+len(p.Features))
	add := func(name string, reference Histogram, of func(Sample) float64) error {
		if len(reference.Weights) != len(reference.Edges)+2 || !(reference.Effective > 0) {
			return crisol.Errorf(crisol.KindInput, "drift: the profile of %s has %d edges and %d weights of %g samples", name, len(reference.Edges), len(reference.Weights), reference.Effective)
		}
		recent := Histogram{Edges: reference.Edges}
		recent.fill(samples, of)
		shift := compare(reference, recent, tail)
		shift.Name = name
		d.Shifts = append(d.Shifts, shift)
		d.Raised = d.Raised || shift.Level == Major
		return nil
	}
	if err := add("score", p.Score, score); err != nil {
		return Drift{}, err
	}
	for name, reference := range p.Features {
		if err := add(name, reference, feature(name)); err != nil {
			return Drift{}, err
		}
	}
	slices.SortFunc(d.Shifts, func(a, b Shift) int { return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(a.Name, b.Name)) })
	return d, nil
}

func compare(reference, recent Histogram, tail float64) Shift {
	was, now := reference.counts(), recent.counts()
	used := 0.0
	for i := range was {
		if was[i] > 0 || now[i] > 0 {
			used++
		}
	}
	n, m := recent.Effective, reference.Effective
	var s Shift
	for i := range was {
		if was[i] > 0 || now[i] > 0 {
			p, q := (now[i]+0.5)/(n+0.5*used), (was[i]+0.5)/(m+0.5*used)
			s.Index += (p - q) * math.Log(p/q)
		}
	}
	s.Chance = (1/n + 1/m) * chiSquare(used-1, tail)
	switch {
	case s.Index < 0.1 || s.Index < s.Chance:
		s.Level = Stable
	case s.Index < 0.25:
		s.Level = Moderate
	default:
		s.Level = Major
	}
	return s
}

// counts are the weights as if each of the effective samples had weight 1.
func (h Histogram) counts() []float64 {
	total := 0.0
	for _, w := range h.Weights {
		total += w
	}
	list := make([]float64, len(h.Weights))
	for i, w := range h.Weights {
		list[i] = w / total * h.Effective
	}
	return list
}

// chiSquare is the value that is exceeded with the probability tail (Wilson, Hilferty: PNAS 17, 1931).
func chiSquare(freedom, tail float64) float64 {
	if freedom <= 0 {
		return 0
	}
	normal := math.Sqrt2 * math.Erfinv(1-2*tail)
	return freedom * math.Pow(max(0, 1-2/(9*freedom)+normal*math.Sqrt(2/(9*freedom))), 3)
}
