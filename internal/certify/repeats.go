// Package certify holds the statistics that stand behind a verdict: how often a trial must be repeated and what risk is
// left, and from which score on a model may decide without one. Pure functions of counts, scores and labels; it knows
// nothing of scenarios, processes or models.
package certify

import "math"

// DefaultRisk is the residual probability of a missed success that `--repeat auto` repeats down to.
const DefaultRisk = 0.01

// Rate estimates an exploit's success rate from its runs on the vulnerable target: (successes + 1/2) / (runs + 1), the
// Krichevsky-Trofimov estimate (IEEE Trans. Inf. Theory 27(2), 1981). Three successes in three runs give 0.875, not 1: a
// rate that was never seen to fail isn't known to be perfect. No success gives 0: nothing is known to work.
func Rate(successes, runs int) float64 {
	if runs <= 0 || successes <= 0 {
		return 0
	}
	return (float64(successes) + 0.5) / (float64(runs) + 1)
}

// Repeats returns how many failed runs in a row it takes until an exploit with the given success rate would have been
// missed with a probability below risk: the least k with (1-rate)^k < risk. It returns 0 where no number suffices
// (rate 0) or the arguments make no sense.
func Repeats(rate, risk float64) int {
	switch {
	case rate <= 0 || risk <= 0 || risk >= 1:
		return 0
	case rate >= 1:
		return 1
	}
	k := int(math.Floor(math.Log(risk)/math.Log1p(-rate))) + 1
	for k > 1 && Residual(rate, k-1) < risk {
		k--
	}
	return k
}

// Residual is the probability that an exploit with the given success rate fails k times in a row: (1-rate)^k.
func Residual(rate float64, k int) float64 {
	if rate <= 0 || k <= 0 {
		return 1
	}
	return math.Pow(1-min(rate, 1), float64(k))
}

// Enough says whether the vulnerable side has been run often enough to know an exploit's rate: three runs when all
// succeeded, else until five successes or forty runs; an exploit that fails in all of twenty-one runs (which one of 20 %
// does with a probability under 1 %) counts as one that never succeeds.
func Enough(successes, runs int) bool {
	switch {
	case runs < 3:
		return false
	case successes == runs || successes >= 5:
		return true
	case successes == 0:
		return runs >= 21
	default:
		return runs >= 40
	}
}
