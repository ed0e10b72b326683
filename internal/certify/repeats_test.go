package certify_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"crisol/internal/certify"
)

func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		rate, risk float64
		want       int
	}{
		{0.2, 0.01, 21}, {0.5, 0.01, 7}, {0.875, 0.01, 3}, {0.99, 0.01, 2}, {1, 0.01, 1},
		{0, 0.01, 0}, {-1, 0.01, 0}, {0.5, 0, 0}, {0.5, 1, 0}, {0.01, 0.01, 459},
	} {
		if got := certify.Repeats(c.rate, c.risk); got != c.want {
			t.Errorf("Repeats(%g, %g) = %d, want %d", c.rate, c.risk, got, c.want)
		}
	}
}

func TestRepeatsIsTheLeastThatSuffices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.001, 0.999).Draw(t, "rate")
		risk := rapid.Float64Range(0.0001, 0.5).Draw(t, "risk")
		k := certify.Repeats(rate, risk)
		if certify.Residual(rate, k) >= risk {
			t.Fatalf("%d repeats leave %g, not under %g", k, certify.Residual(rate, k), risk)
		}
		if k > 1 && certify.Residual(rate, k-1) < risk {
			t.Fatalf("%d repeats would do", k-1)
		}
	})
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		successes, runs int
		want            float64
	}{{3, 3, 0.875}, {0, 3, 0}, {0, 0, 0}, {5, 25, 5.5 / 26}, {-1, 3, 0}} {
		if got := certify.Rate(c.successes, c.runs); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("Rate(%d, %d) = %g, want %g", c.successes, c.runs, got, c.want)
		}
	}
	if certify.Residual(0, 100) != 1 || certify.Residual(0.5, 0) != 1 || certify.Residual(2, 1) != 0 {
		t.Error("a risk outside what was shown must be 1, beyond certainty 0")
	}
}

func TestEnough(t *testing.T) {
	for _, c := range []struct {
		successes, runs int
		want            bool
	}{{2, 2, false}, {3, 3, true}, {2, 3, false}, {5, 24, true}, {4, 24, false}, {4, 40, true}, {0, 20, false}, {0, 21, true}} {
		if got := certify.Enough(c.successes, c.runs); got != c.want {
			t.Errorf("Enough(%d, %d) = %v", c.successes, c.runs, got)
		}
	}
}
