package certify_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"crisol/internal/certify"
	"crisol/internal/random"
)

func newEProcess(t testing.TB, alpha float64) certify.EProcess {
	t.Helper()
	e, err := certify.NewEProcess(alpha)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEProcessNeeds(t *testing.T) {
	for _, c := range []struct {
		alpha        float64
		errors, want int // labels without an error after the errors
	}{{0.05, 0, 67}, {0.05, 1, 142}, {0.05, 2, 176}, {0.02, 0, 170}, {0.02, 1, 362}} {
		e := newEProcess(t, c.alpha)
		for range c.errors {
			e.Observe(true, 1)
		}
		if got := e.Needed(0.05); got != c.want {
			t.Errorf("alpha %g, %d errors: %d labels are needed, want %d", c.alpha, c.errors, got, c.want)
		}
		for left := e.Needed(0.05); left > 0; left-- {
			if e.Certifies(0.05) || e.Needed(0.05) != left {
				t.Fatalf("alpha %g, %d errors: at %.2f, %d labels are needed, want %d", c.alpha, c.errors, e.Value(), e.Needed(0.05), left)
			}
			e.Observe(false, 1)
		}
		if !e.Certifies(0.05) || e.Needed(0.05) != 0 {
			t.Errorf("alpha %g, %d errors: %.2f doesn't certify", c.alpha, c.errors, e.Value())
		}
	}
}

// TestBetsAreFair: at risk alpha no label changes what is expected, of either statistic, whatever the past and the weight;
// at a greater risk the e-process falls, and at a smaller one the detector doesn't grow faster than by 1.
func TestBetsAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alpha := rapid.Float64Range(0.001, 0.499).Draw(t, "alpha")
		weight := rapid.Float64Range(0.01, 1).Draw(t, "weight")
		risk := rapid.SampledFrom([]float64{alpha, alpha + (1-alpha)/3, alpha / 3}).Draw(t, "risk")
		e, _ := certify.NewEProcess(alpha)
		d, _ := certify.NewShiryaevRoberts(alpha)
		for _, wrong := range rapid.SliceOfN(rapid.Bool(), 0, 8).Draw(t, "past") {
			e.Observe(wrong, weight)
			d.Observe(wrong, weight)
		}
		right, wrong, calm, alarmed := e, e, d, d
		right.Observe(false, weight)
		wrong.Observe(true, weight)
		calm.Observe(false, weight)
		alarmed.Observe(true, weight)
		expected := (1-risk)*right.Value() + risk*wrong.Value()
		if slack := 1e-9 * (1 + e.Value()); risk >= alpha && expected > e.Value()+slack || risk == alpha && expected < e.Value()-slack {
			t.Fatalf("the e-process goes from %g to %g", e.Value(), expected)
		}
		expected = (1-risk)*calm.Value() + risk*alarmed.Value()
		if slack := 1e-9 * (1 + d.Value()); risk <= alpha && expected > d.Value()+1+slack || risk == alpha && expected < d.Value()+1-slack {
			t.Fatalf("the detector goes from %g to %g", d.Value(), expected)
		}
		if right.Value() < 0 || wrong.Value() < 0 || calm.Value() < 0 || alarmed.Value() < 0 {
			t.Fatal("a bettor owes money")
		}
	})
}

func TestEProcessFailsClosed(t *testing.T) {
	var zero certify.EProcess
	zero.Observe(false, 1)
	if zero.Certifies(0.05) || zero.Needed(0.05) < 1000000 {
		t.Error("the zero value certifies")
	}
	for _, weight := range []float64{0, -1, 1.01, math.NaN(), math.Inf(1)} {
		e, plain := newEProcess(t, 0.05), newEProcess(t, 0.05)
		e.Observe(false, weight)
		plain.Observe(true, 1)
		if e.Value() != plain.Value() {
			t.Errorf("a right label of weight %g leads to %g", weight, e.Value())
		}
	}
	for _, alpha := range []float64{0, -1, 0.5, 1, math.NaN()} {
		if _, err := certify.NewEProcess(alpha); err == nil {
			t.Errorf("an e-process at risk %g", alpha)
		}
		if _, err := certify.NewShiryaevRoberts(alpha); err == nil {
			t.Errorf("a detector at risk %g", alpha)
		}
	}
	e := newEProcess(t, 0.05)
	for range 100000 {
		e.Observe(true, 1)
	}
	if needed := e.Needed(0.05); needed < 100000 || e.Value() != 0 {
		t.Errorf("after 100000 errors %d labels are needed, and the value is %g", needed, e.Value())
	}
}

// decision is one that a model made with confidence.
type decision struct {
	wrong             bool
	propensity, floor float64
}

// stream makes decisions; wrong says whether the labels so far were, the last one first in line.
type stream func(r *random.Stream, wrong []bool) decision

// hopeless is a value from which 20 is reached once in 2000 times, at risk alpha: such runs are given up.
const hopeless = 0.01

// certified counts in how many of runs streams the e-process reaches 20 within the labels.
func certified(t *testing.T, alpha float64, runs, labels int, seed uint64, next stream) int {
	t.Helper()
	count := 0
	for run := range runs {
		r, e := random.New(seed, uint64(run)), newEProcess(t, alpha)
		past, value := make([]bool, 0, labels), 1.0
		for len(past) < labels && value < 20 && value > hopeless {
			if d := next(r, past); r.Float64() < d.propensity {
				e.Observe(d.wrong, d.floor/d.propensity)
				past = append(past, d.wrong)
				value = e.Value()
			}
		}
		if value >= 20 {
			count++
		}
	}
	return count
}

// reacting is a propensity that is raised while any of the last 20 labels is an error.
func reacting(past []bool) float64 {
	if slices.Contains(past[max(0, len(past)-20):], true) {
		return 0.5
	}
	return 0.1
}

// TestEProcessFalselyCertifiesExactly computes the probability of a false certificate within 1000 labels at a risk of
// exactly alpha, label by label. Where all weights are 1 the value depends on the numbers of labels and errors alone, so
// it is enough to follow how probable each number of errors is among the runs that go on.
func TestEProcessFalselyCertifiesExactly(t *testing.T) {
	for _, alpha := range []float64{0.02, 0.05} {
		type state struct {
			e           certify.EProcess
			probability float64
		}
		states, certified := []state{{newEProcess(t, alpha), 1}}, 0.0 // by the number of errors
		for range 1000 {
			next := make([]state, len(states)+1)
			for errors, s := range states {
				right, wrong := s.e, s.e
				right.Observe(false, 1)
				wrong.Observe(true, 1)
				next[errors] = state{right, next[errors].probability + s.probability*(1-alpha)}
				next[errors+1] = state{wrong, s.probability * alpha}
			}
			for errors := range next {
				if next[errors].e.Certifies(0.05) {
					certified += next[errors].probability
					next[errors].probability = 0
				}
			}
			for next[len(next)-1].probability < 1e-15 {
				next = next[:len(next)-1]
			}
			states = next
		}
		t.Logf("alpha %g: a false certificate within 1000 labels has probability %.4f", alpha, certified)
		if certified > 0.05 || certified < 0.04 {
			t.Errorf("alpha %g: a false certificate within 1000 labels has probability %.4f", alpha, certified)
		}
	}
}

// TestEProcessFalselyCertifiesRarely: with a risk of exactly alpha, any certificate is false. There must be at most 5 %. The
// probability is so close to it (see above) that 2000 runs of another seed can exceed it by chance.
func TestEProcessFalselyCertifiesRarely(t *testing.T) {
	const alpha, runs = 0.05, 2000
	for _, c := range []struct {
		name string
		next stream
	}{
		{"one decision in ten is audited", func(r *random.Stream, _ []bool) decision {
			return decision{r.Float64() < alpha, 0.1, 0.1}
		}},
		{"the rate is raised after errors", func(r *random.Stream, past []bool) decision {
			q := reacting(past)
			return decision{r.Float64() < alpha, q, q}
		}},
		// Half of the requests are easy, and audited five times as often; the other half errs at twice alpha.
		{"the rate depends on the request", func(r *random.Stream, _ []bool) decision {
			if r.Float64() < 0.5 {
				return decision{false, 0.5, 0.1}
			}
			return decision{r.Float64() < 2*alpha, 0.1, 0.1}
		}},
		// The model errs more, the more it has erred of late, and never less often than at alpha.
		{"the risk depends on the past", func(r *random.Stream, past []bool) decision {
			q := reacting(past)
			return decision{r.Float64() < alpha*(1+q-0.1), q, q}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := certified(t, alpha, runs, 1000, 2, c.next)
			t.Logf("alpha %g: %d of %d runs certify falsely", alpha, got, runs)
			if got > runs/20 {
				t.Errorf("alpha %g: %d of %d runs certify falsely", alpha, got, runs)
			}
			if got == 0 {
				t.Error("none does: the simulation shows nothing")
			}
		})
	}
}

// TestWeightsAreNeeded: without weights, labels of easy requests certify what errs at alpha.
func TestWeightsAreNeeded(t *testing.T) {
	const alpha, runs = 0.05, 200
	got := certified(t, alpha, runs, 1000, 12, func(r *random.Stream, _ []bool) decision {
		if r.Float64() < 0.5 {
			return decision{false, 0.5, 0.5}
		}
		return decision{r.Float64() < 2*alpha, 0.1, 0.1}
	})
	if got < runs/2 {
		t.Errorf("%d of %d runs certify falsely without weights: the other simulation would show nothing", got, runs)
	}
}

// TestEProcessCertifiesWhatIsGood: half the labels or more are in vain only where the risk is close to alpha.
func TestEProcessCertifiesWhatIsGood(t *testing.T) {
	const runs = 500
	for _, c := range []struct {
		part   float64 // of alpha
		labels int
		least  int // runs of 500
	}{{0.1, 200, 450}, {0.25, 400, 450}, {0.5, 1000, 450}} {
		got := certified(t, 0.05, runs, c.labels, 13, func(r *random.Stream, _ []bool) decision {
			return decision{r.Float64() < c.part*0.05, 0.1, 0.1}
		})
		t.Logf("risk %.3g alpha: %d of %d runs certify within %d labels", c.part, got, runs, c.labels)
		if got < c.least {
			t.Errorf("risk %.3g alpha: %d of %d runs certify within %d labels, want %d", c.part, got, runs, c.labels, c.least)
		}
	}
}
