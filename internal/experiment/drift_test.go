package experiment_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"crisol"
	"crisol/internal/experiment"
	"crisol/internal/random"
)

// samples have a score, three numbers of different kinds, and twenty more that are uniform. Move is added to what moves.
func samples(r *random.Stream, n int, move map[string]float64) []experiment.Sample {
	list := make([]experiment.Sample, n)
	for i := range list {
		weight := 1.0
		if r.Float64() < 0.5 { // half stand for ten
			weight = 10
		}
		s := experiment.Sample{Score: min(max(math.Sqrt(r.Float64())-move["score"], 0), 1), Weight: weight, Features: map[string]float64{}}
		s.Features["lines"] = math.Floor(-math.Log(1-r.Float64())*20) + move["lines"]
		s.Features["loop"] = math.Floor(r.Float64() + 0.2 + move["loop"])
		s.Features["constant"] = 3 + move["constant"]
		if r.Float64() < 0.3+move["parsed"] {
			s.Features["parsed"] = 1
		}
		for k := range 20 {
			s.Features[fmt.Sprint("other", k)] = r.Float64()
		}
		list[i] = s
	}
	return list
}

func profile(t testing.TB, list []experiment.Sample) experiment.Profile {
	t.Helper()
	p, err := experiment.NewProfile(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func against(t testing.TB, p experiment.Profile, list []experiment.Sample) experiment.Drift {
	t.Helper()
	d, err := p.Against(list)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shifts(d experiment.Drift) map[string]experiment.Shift {
	found := map[string]experiment.Shift{}
	for _, s := range d.Shifts {
		found[s.Name] = s
	}
	return found
}

func TestDriftIsFound(t *testing.T) {
	p := profile(t, samples(random.New(51), 4000, nil))
	for name, move := range map[string]float64{"score": 0.3, "lines": 25, "loop": 0.5, "constant": 1, "parsed": 0.5} {
		d := against(t, p, samples(random.New(52), 500, map[string]float64{name: move}))
		for other, s := range shifts(d) {
			if want := other == name; (s.Level == experiment.Major) != want {
				t.Errorf("%s moved: %+v", name, s)
			}
		}
		if !d.Raised || d.Shifts[0].Name != name || d.Samples != 500 {
			t.Errorf("%s moved: raised %v, first %+v", name, d.Raised, d.Shifts[0])
		}
	}
}

// TestChanceIsNoDrift: with few samples the index is high although nothing moved.
func TestChanceIsNoDrift(t *testing.T) {
	const runs = 30
	for _, n := range []int{30, 200} {
		raised, tall := 0, 0
		for run := range runs {
			r := random.New(53, uint64(n), uint64(run))
			d := against(t, profile(t, samples(r, 400, nil)), samples(r, n, nil))
			if d.Raised {
				raised++
			}
			if d.Shifts[0].Index >= 0.25 {
				tall++
			}
		}
		t.Logf("%d samples: %d of %d runs raise the rate; an index of 0.25 alone would in %d", n, raised, runs, tall)
		if raised > 1 {
			t.Errorf("%d samples: %d of %d runs raise the rate", n, raised, runs)
		}
	}
}

// TestIndexByHand: a reference of 1..100 in ten equal bins, and samples of which half are in the first.
func TestIndexByHand(t *testing.T) {
	var reference, recent []experiment.Sample
	for i := range 100 {
		reference = append(reference, experiment.Sample{Weight: 1, Features: map[string]float64{"x": float64(i + 1)}})
	}
	for i := range 1000 {
		x := 5.0
		if i%2 == 0 {
			x = float64(i%90 + 11)
		}
		recent = append(recent, experiment.Sample{Weight: 1, Features: map[string]float64{"x": x}})
	}
	p := profile(t, reference)
	if h := p.Features["x"]; !reflect.DeepEqual(h.Edges, []float64{math.Nextafter(1, 0), 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}) ||
		!reflect.DeepEqual(h.Weights, []float64{0, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0, 0}) {
		t.Errorf("%+v", h)
	}
	counts := make([]float64, 10)
	for _, s := range recent {
		counts[int(s.Features["x"]-1)/10]++
	}
	want := 0.0
	for _, n := range counts {
		share, was := (n+0.5)/(1000+5), (10+0.5)/(100+5)
		want += (share - was) * math.Log(share/was)
	}
	if got := shifts(against(t, p, recent))["x"]; math.Abs(got.Index-want) > 1e-12 || got.Level != experiment.Major {
		t.Errorf("%+v, want an index of %g", got, want)
	}
	if got := shifts(against(t, p, reference))["x"]; got.Index != 0 || got.Level != experiment.Stable {
		t.Errorf("nothing moved: %+v", got)
	}
}

func TestDriftRefuses(t *testing.T) {
	good := []experiment.Sample{{Score: 0.5, Weight: 1}}
	p := profile(t, good)
	for name, bad := range map[string][]experiment.Sample{
		"nothing": nil, "no weight": {{Score: 0.5}}, "no number": {{Score: math.NaN(), Weight: 1}}, "endless": {{Weight: math.Inf(1)}}, "no probability": {{Score: 2, Weight: 1}},
	} {
		if _, err := experiment.NewProfile(bad); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: profile: %v", name, err)
		}
		if _, err := p.Against(bad); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: drift: %v", name, err)
		}
	}
	for name, broken := range map[string]experiment.Profile{
		"empty":      {},
		"cut off":    {Score: experiment.Histogram{Edges: []float64{0, 1}, Weights: []float64{1}, Effective: 1}},
		"no feature": {Score: p.Score, Features: map[string]experiment.Histogram{"x": {}}},
	} {
		if _, err := broken.Against(good); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
}
