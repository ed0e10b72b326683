package certify

import "math"

// Tail is the probability of at most errors errors in n independent tries that each err with the given rate: the exact
// p-value of the hypothesis that the rate is that high or higher.
func Tail(errors, n int, rate float64) float64 {
	switch {
	case errors < 0:
		return 0
	case errors >= n || rate <= 0:
		return 1
	case rate >= 1:
		return 0
	}
	hit, miss := math.Log(rate), math.Log1p(-rate)
	all, _ := math.Lgamma(float64(n) + 1)
	sum := 0.0
	for i := range errors + 1 {
		a, _ := math.Lgamma(float64(i) + 1)
		b, _ := math.Lgamma(float64(n-i) + 1)
		sum += math.Exp(all - a - b + float64(i)*hit + float64(n-i)*miss)
	}
	return min(sum, 1)
}

// Upper is the largest rate that errors errors in n tries leave possible at the given level: the upper end of the
// one-sided interval of Clopper and Pearson (Biometrika 26, 1934). No tries leave 1.
func Upper(errors, n int, level float64) float64 {
	if n <= 0 || errors >= n {
		return 1
	}
	low, high := 0.0, 1.0 // Tail(low) > level >= Tail(high)
	for range 60 {
		if middle := (low + high) / 2; Tail(errors, n, middle) > level {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// Least is the least number of tries from which errors errors show a rate below alpha at the given level: 59 tries
// without an error for 5 % at level 5 %, 93 with one.
func Least(errors int, alpha, level float64) int {
	high := errors + 1
	for Tail(errors, high, alpha) > level {
		high *= 2
	}
	low := high / 2 // Tail falls as n grows
	for low+1 < high {
		if middle := (low + high) / 2; Tail(errors, middle, alpha) > level {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
