package experiment_test

import (
	"math"
	"testing"

	"crisol"
	"crisol/internal/experiment"
	"crisol/internal/random"
)

// pair of a request that is hard for the champion with a probability of one in four, and for the challenger with a
// probability that hard makes smaller or greater. What is hard for the champion is compared in any case, the rest one in ten.
func pair(r *random.Stream, hard float64) experiment.Pair {
	p := experiment.Pair{Fixed: r.Float64() < 0.5, Propensity: 0.1}
	score := func(hard bool) float64 {
		confidence := 0.97
		if hard {
			confidence = 0.65
		}
		if r.Float64() >= confidence {
			confidence = 1 - confidence
		}
		if !p.Fixed {
			confidence = 1 - confidence
		}
		return confidence
	}
	champion, challenger := r.Float64() < 0.25, r.Float64() < hard
	if champion {
		p.Propensity = 1
	}
	p.Champion, p.Challenger = score(champion), score(challenger)
	return p
}

func pairs(r *random.Stream, requests int, hard float64) []experiment.Pair {
	var list []experiment.Pair
	for range requests {
		if p := pair(r, hard); r.Float64() < p.Propensity {
			list = append(list, p)
		}
	}
	return list
}

func compared(t testing.TB, list []experiment.Pair, floor float64) experiment.Comparison {
	t.Helper()
	c, err := experiment.Compare(list, floor)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompareByHand(t *testing.T) {
	c := compared(t, []experiment.Pair{
		{Champion: 0.6, Challenger: 0.9, Fixed: true, Propensity: 1},
		{Champion: 0.5, Challenger: 0.2, Fixed: false, Propensity: 0.25},
	}, 0.25)
	for name, got := range map[string][2]float64{
		"champion's Brier score":   {c.ChampionBrier, (0.16 + 4*0.25) / 5},
		"challenger's Brier score": {c.ChallengerBrier, (0.01 + 4*0.04) / 5},
		"difference":               {c.Brier.Value, (0.15 + 4*0.21) / 5},
		"champion's accuracy":      {c.ChampionAccuracy, 0.2},
		"challenger's accuracy":    {c.ChallengerAccuracy, 1},
		"difference of accuracies": {c.Accuracy.Value, 0.8},
	} {
		if math.Abs(got[0]-got[1]) > 1e-12 {
			t.Errorf("%s: %g, want %g", name, got[0], got[1])
		}
	}
	if c.Finding != experiment.Undecided || c.Brier.AlwaysLow != -1 || c.Pairs != 2 {
		t.Errorf("two pairs: %+v", c)
	}
	if same := compared(t, []experiment.Pair{{Champion: 0.7, Challenger: 0.7, Fixed: true, Propensity: 1}}, 1); same.Brier.Value != 0 || same.EValue != 1 {
		t.Errorf("the same model: %+v", same)
	}
}

// TestCompareFindsTheBetterModel, and says so in the same words when they change places.
func TestCompareFindsTheBetterModel(t *testing.T) {
	list := pairs(random.New(61), 20000, 0.05)
	c := compared(t, list, 0.1)
	truth := truth(0.05)
	t.Logf("%d pairs: Brier score better by %.4f (once %.4f to %.4f, always %.4f to %.4f), truth %.4f; e-value %.3g",
		c.Pairs, c.Brier.Value, c.Brier.Low, c.Brier.High, c.Brier.AlwaysLow, c.Brier.AlwaysHigh, truth, c.EValue)
	if c.Finding != experiment.Better || c.EValue < 20 || math.Abs(c.Brier.Value-truth) > 0.01 {
		t.Errorf("%+v, truth %g", c, truth)
	}
	for i, p := range list {
		list[i].Champion, list[i].Challenger = p.Challenger, p.Champion
	}
	if c := compared(t, list, 0.1); c.Finding != experiment.Worse || c.EValue > 1 {
		t.Errorf("%+v", c)
	}
	for i := range list {
		list[i].Group = "one"
	}
	if c := compared(t, list, 0.1); c.Finding != experiment.Undecided || c.Brier.High-c.Brier.Low > 2 {
		t.Errorf("all of one group: %+v", c)
	}
}

// truth is the difference of the Brier scores: a prediction of confidence q has q (1-q).
func truth(hard float64) float64 { return (0.25 - hard) * (0.65*0.35 - 0.97*0.03) }

// TestCompareIntervals: of models that are as good as each other, one that looks again and again calls one better in at
// most 5 % of runs; and both intervals cover.
func TestCompareIntervals(t *testing.T) {
	const runs = 40
	for _, hard := range []float64{0.25, 0.15} {
		once, always, called := 0, 0, 0
		for run := range runs {
			list := pairs(random.New(62, uint64(run)), 3000, hard)
			out, wrong := false, false
			var c experiment.Comparison
			for n := 50; n <= len(list); n += 200 {
				c = compared(t, list[:n], 0.1)
				out = out || c.Brier.AlwaysLow > truth(hard) || c.Brier.AlwaysHigh < truth(hard)
				wrong = wrong || hard == 0.25 && c.Finding != experiment.Undecided
			}
			if c.Brier.Low <= truth(hard) && truth(hard) <= c.Brier.High {
				once++
			}
			if !out {
				always++
			}
			if wrong {
				called++
			}
		}
		t.Logf("true difference %.4f: the interval for one look covers in %d of %d runs, the other in %d at all looks; %d call an equal model better or worse", truth(hard), once, runs, always, called)
		if once < runs*85/100 || always < runs*95/100 || called > runs*5/100 {
			t.Errorf("true difference %.4f: %d and %d of %d intervals cover, %d are called wrongly", truth(hard), once, always, runs, called)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	good := experiment.Pair{Champion: 0.5, Challenger: 0.5, Propensity: 0.5}
	for name, c := range map[string]struct {
		change func(*experiment.Pair)
		floor  float64
	}{
		"score":           {func(p *experiment.Pair) { p.Champion = math.NaN() }, 0.5},
		"other score":     {func(p *experiment.Pair) { p.Challenger = 1.1 }, 0.5},
		"propensity":      {func(p *experiment.Pair) { p.Propensity = 0 }, 0.5},
		"high propensity": {func(p *experiment.Pair) { p.Propensity = 2 }, 0.5},
		"floor":           {func(*experiment.Pair) {}, 0.6},
		"no floor":        {func(*experiment.Pair) {}, 0},
	} {
		p := good
		c.change(&p)
		if _, err := experiment.Compare([]experiment.Pair{p}, c.floor); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := experiment.Compare(nil, 0.5); crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("nothing: %v", err)
	}
}
