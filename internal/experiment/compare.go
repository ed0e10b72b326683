package experiment

import (
	"math"

	"crisol"
)

// Pair is what two models said of one request whose wargame could tell.
type Pair struct {
	// Champion and Challenger are their probabilities of fixed.
	Champion, Challenger float64
	Fixed                bool
	Propensity           float64 // with which the request was chosen to be compared, in (0, 1]
	Group                string  // of patches that succeed and fail together; empty: of its own
}

// Difference says how much better the challenger is; below 0 it is worse.
type Difference struct {
	Value float64 `json:"value"`
	// Low and High cover the true difference in 95 % of cases, looked at once: a number of pairs that was fixed beforehand.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// AlwaysLow and AlwaysHigh do so however often one looks, until one likes what one sees.
	AlwaysLow  float64 `json:"always_low"`
	AlwaysHigh float64 `json:"always_high"`
}

// Finding is what a comparison comes to.
type Finding string

// The findings.
const (
	Better    Finding = "better" // the challenger is, by its Brier score, however often one looks
	Worse     Finding = "worse"
	Undecided Finding = "undecided"
)

// Comparison of a champion and a challenger over the same requests. Positive differences are in the challenger's favour.
type Comparison struct {
	Pairs              int        `json:"pairs"`
	ChampionBrier      float64    `json:"champion_brier"`
	ChallengerBrier    float64    `json:"challenger_brier"`
	ChampionAccuracy   float64    `json:"champion_accuracy"`
	ChallengerAccuracy float64    `json:"challenger_accuracy"`
	Brier              Difference `json:"brier"`
	Accuracy           Difference `json:"accuracy"`
	// EValue is the evidence that the challenger's Brier score is better: it exceeds 20 with a probability of at most 5 %,
	// at any time, if it isn't.
	EValue  float64 `json:"e_value"`
	Finding Finding `json:"finding"`
}

// Compare scores both models on the same requests, in the order in which they were judged. Floor is the least propensity
// that the design could have given to any request: it bounds the weights, and one above a pair's propensity is an error.
//
// Differences are paired and weighted by 1/propensity. The interval for one look is the normal one, its variance by
// linearisation over groups. The other holds at all times at once: a mean m is left out once a bettor who believes in a
// greater, or a smaller, one has made 40 times the stake, at odds that are fair at m: factors 1 + l (floor/propensity)
// (d - m), for six stakes l up to 1/2, of which none can go bankrupt since |d - m| <= 2 (Waudby-Smith, Ramdas, JRSS-B 86, 2024,
// arXiv 2010.09686; why such weights are fair: certify.EProcess). It takes the first pair of each group, and that each has
// the same mean given those before; the order mustn't depend on the labels. It is far wider, and so it should be.
func Compare(pairs []Pair, floor float64) (Comparison, error) {
	if len(pairs) == 0 {
		return Comparison{}, crisol.Errorf(crisol.KindInput, "compare models: no pairs")
	}
	for i, p := range pairs {
		if !(p.Champion >= 0 && p.Champion <= 1 && p.Challenger >= 0 && p.Challenger <= 1) {
			return Comparison{}, crisol.Errorf(crisol.KindInput, "compare models: pair %d has %g and %g: want probabilities", i, p.Champion, p.Challenger)
		}
		if !(floor > 0 && floor <= p.Propensity && p.Propensity <= 1) {
			return Comparison{}, crisol.Errorf(crisol.KindInput, "compare models: floor %g, and pair %d has propensity %g: want 0 < floor <= propensity <= 1", floor, i, p.Propensity)
		}
	}
	c := Comparison{Pairs: len(pairs)}
	brier := contrast{floor: floor, pairs: pairs, loss: func(p float64, fixed bool) float64 {
		if fixed {
			p = 1 - p
		}
		return p * p
	}}
	accuracy := contrast{floor: floor, pairs: pairs, loss: func(p float64, fixed bool) float64 {
		if (p >= 0.5) == fixed {
			return 0
		}
		return 1
	}}
	c.ChampionBrier, c.ChallengerBrier, c.Brier = brier.measure()
	errors, others, difference := accuracy.measure()
	c.ChampionAccuracy, c.ChallengerAccuracy, c.Accuracy = 1-errors, 1-others, difference
	c.EValue = math.Exp(min(bets(brier.steps(), 0, 1), 230)) // 1e100 is enough
	switch {
	case c.Brier.AlwaysLow > 0:
		c.Finding = Better
	case c.Brier.AlwaysHigh < 0:
		c.Finding = Worse
	default:
		c.Finding = Undecided
	}
	return c, nil
}

// contrast compares by one loss, from 0 to 1.
type contrast struct {
	floor float64
	pairs []Pair
	loss  func(probability float64, fixed bool) float64
}

// step is one pair of the test: the difference, from -1 to 1, and its weight in (0, 1].
type step struct{ difference, weight float64 }

func (c contrast) difference(p Pair) float64 {
	return c.loss(p.Champion, p.Fixed) - c.loss(p.Challenger, p.Fixed)
}

// measure returns the mean losses and their difference.
func (c contrast) measure() (champion, challenger float64, d Difference) {
	total := 0.0
	for _, p := range c.pairs {
		w := 1 / p.Propensity
		total += w
		champion += w * c.loss(p.Champion, p.Fixed)
		challenger += w * c.loss(p.Challenger, p.Fixed)
	}
	champion, challenger = champion/total, challenger/total
	d.Value = champion - challenger
	half := z * math.Sqrt(c.squares(d.Value)) / total
	d.Low, d.High = max(d.Value-half, -1), min(d.Value+half, 1)
	steps := c.steps()
	d.AlwaysLow, d.AlwaysHigh = bound(steps, 1), bound(steps, -1)
	return champion, challenger, d
}

// squares is the sum of the groups' squared residuals.
func (c contrast) squares(mean float64) float64 {
	var residuals []float64
	index := map[string]int{}
	for _, p := range c.pairs {
		at, known := index[p.Group]
		if !known || p.Group == "" {
			at = len(residuals)
			index[p.Group] = at
			residuals = append(residuals, 0)
		}
		residuals[at] += (c.difference(p) - mean) / p.Propensity
	}
	sum := 0.0
	for _, residual := range residuals {
		sum += residual * residual
	}
	return sum
}

// steps are the first pairs of their groups.
func (c contrast) steps() []step {
	var list []step
	seen := map[string]bool{}
	for _, p := range c.pairs {
		if p.Group != "" && seen[p.Group] {
			continue
		}
		seen[p.Group] = true
		list = append(list, step{c.difference(p), c.floor / p.Propensity})
	}
	return list
}

var stakes = []float64{0.5, 0.25, 0.1, 0.05, 0.02, 0.01}

// bets is the logarithm of what bettors have made who believe in a mean above m (direction 1) or below it (-1).
func bets(steps []step, m, direction float64) float64 {
	var wealth [6]float64
	for k, stake := range stakes {
		product := 1.0
		for _, s := range steps {
			product *= 1 + stake*s.weight*direction*(s.difference-m)
			if product < 1e-200 || product > 1e200 {
				wealth[k] += math.Log(product)
				product = 1
			}
		}
		wealth[k] += math.Log(product)
	}
	top := math.Inf(-1)
	for _, w := range wealth {
		top = max(top, w)
	}
	sum := 0.0
	for _, w := range wealth {
		sum += math.Exp(w - top)
	}
	return top + math.Log(sum/float64(len(wealth)))
}

// bound is the least mean (direction 1), or the greatest, that isn't refuted. Wealth falls as m moves in the direction.
func bound(steps []step, direction float64) float64 {
	refuted := func(m float64) bool { return bets(steps, m, direction) >= math.Log(40) }
	inside, outside := direction, -direction // m at its far end can't be refuted in this direction
	if !refuted(outside) {
		return outside
	}
	for range 24 {
		if middle := (inside + outside) / 2; refuted(middle) {
			outside = middle
		} else {
			inside = middle
		}
	}
	return outside
}
