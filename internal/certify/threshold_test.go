package certify_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"crisol/internal/certify"
	"crisol/internal/random"
)

func TestTail(t *testing.T) {
	for _, c := range []struct {
		errors, n int
		rate      float64
		want      float64
	}{
		{0, 59, 0.05, math.Pow(0.95, 59)}, {1, 3, 0.5, 0.5}, {3, 3, 0.5, 1}, {-1, 3, 0.5, 0}, {0, 0, 0.5, 1}, {2, 10, 0, 1}, {2, 10, 1, 0},
		{2, 10, 0.3, 0.3827827864}, {50, 1000, 0.05, 0.5375290}, // scipy.stats.binom.cdf
	} {
		if got := certify.Tail(c.errors, c.n, c.rate); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("Tail(%d, %d, %g) = %.9f, want %.9f", c.errors, c.n, c.rate, got, c.want)
		}
	}
}

func TestUpperAndLeast(t *testing.T) {
	for _, c := range []struct {
		errors, n int
		level     float64
		want      float64
	}{{0, 59, 0.05, 1 - math.Pow(0.05, 1.0/59)}, {3, 3, 0.05, 1}, {0, 0, 0.05, 1}, {5, 100, 0.05, 0.1022533}} { // scipy.stats.beta.ppf
		if got := certify.Upper(c.errors, c.n, c.level); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("Upper(%d, %d, %g) = %.7f, want %.7f", c.errors, c.n, c.level, got, c.want)
		}
	}
	for errors, want := range []int{59, 93, 124, 153, 181} {
		if got := certify.Least(errors, 0.05, 0.05); got != want {
			t.Errorf("Least(%d) = %d, want %d", errors, got, want)
		}
	}
	if got := certify.Least(0, 0.05, 0.025); got != 72 {
		t.Errorf("Least(0) at 2.5 %% = %d, want 72", got)
	}
}

func normal(r *random.Stream) float64 {
	return math.Sqrt(-2*math.Log(1-r.Float64())) * math.Cos(2*math.Pi*r.Float64())
}

func uniform(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// population has patches in groups whose scores, and whose labels given the scores, are correlated within a group. Over
// all groups a score is uniform on (0, 1), and a patch of score s is fixed with probability truth(s).
type population struct {
	truth       func(s float64) float64
	correlation float64
	patches     int // at most, in a group
}

func (p population) sample(seed uint64, groups int) []certify.Case {
	r := random.New(seed)
	own, common := math.Sqrt(1-p.correlation), math.Sqrt(p.correlation)
	var cases []certify.Case
	for g := range groups {
		level, luck := normal(r), normal(r)
		for range 1 + r.IntN(p.patches) {
			score := uniform(common*level + own*normal(r))
			fixed := uniform(common*luck+own*normal(r)) < p.truth(score)
			cases = append(cases, certify.Case{Group: g, Score: score, Fixed: fixed})
		}
	}
	return cases
}

// risk of a side at a threshold: the mean of 1 - truth above it, or of truth below it.
func (p population) risk(side certify.Side, threshold float64) float64 {
	const steps = 400
	sum := 0.0
	for i := range steps {
		u := (float64(i) + 0.5) / steps
		if side == certify.Fixed {
			sum += 1 - p.truth(threshold+u*(1-threshold))
		} else {
			sum += p.truth(u * threshold)
		}
	}
	return sum / steps
}

// sharp is calibrated around 1/2 with few errors at the ends.
func sharp(s float64) float64 { return 1 / (1 + math.Exp(-12*(s-0.5))) }

// boastful has its worst errors where it is surest.
func boastful(s float64) float64 {
	if s > 0.93 {
		return 0.8
	}
	return sharp(s)
}

// edge errs just more often than 5 %, at every score: any certificate is wrong.
func edge(s float64) float64 {
	if s >= 0.5 {
		return 0.9499
	}
	return 0.0501
}

// wrongly counts in how many of runs data sets a certificate was given for a risk above alpha, and how often one was given.
func wrongly(p population, plan certify.Plan, groups, runs int, change func([]certify.Case) []certify.Case) (wrong, given int) {
	for run := range runs {
		cases := p.sample(uint64(run), groups)
		if change != nil {
			cases = change(cases)
		}
		plan.Seed = uint64(run)
		got, err := certify.Certify(cases, plan)
		if err != nil {
			panic(err)
		}
		bad := false
		for _, c := range []certify.Certificate{got.Fixed, got.NotFixed} {
			if !c.Abstains {
				given++
				bad = bad || p.risk(c.Side, c.Threshold) > c.Alpha
			}
		}
		if bad {
			wrong++
		}
	}
	return wrong, given
}

// slack is three standard deviations of a binomial count.
func slack(runs int, rate float64) int {
	return int(math.Ceil(float64(runs)*rate + 3*math.Sqrt(float64(runs)*rate*(1-rate))))
}

func TestRiskIsHeldInTheStatedShareOfRuns(t *testing.T) {
	const runs = 200
	for name, c := range map[string]struct {
		population
		groups int
		plan   certify.Plan
		some   bool // some certificates must be given
	}{
		"independent":             {population{sharp, 0, 1}, 400, certify.Plan{}, true},
		"strongly correlated":     {population{sharp, 0.95, 20}, 400, certify.Plan{}, true},
		"small delta":             {population{sharp, 0.5, 10}, 1000, certify.Plan{Delta: 0.02}, true},
		"alpha 10 %":              {population{sharp, 0.5, 10}, 200, certify.Plan{Alpha: 0.1}, true},
		"seven draws":             {population{sharp, 0.8, 10}, 400, certify.Plan{Draws: 7}, true},
		"worst where surest":      {population{boastful, 0.5, 5}, 600, certify.Plan{}, false},
		"risk just above":         {population{edge, 0.9, 20}, 300, certify.Plan{}, true},
		"risk just above, draws":  {population{edge, 0.9, 20}, 300, certify.Plan{Draws: 5}, false},
		"risk just above, groups": {population{edge, 0.5, 3}, 2000, certify.Plan{}, true},
	} {
		delta := c.plan.Delta
		if delta == 0 {
			delta = 0.1
		}
		wrong, given := wrongly(c.population, c.plan, c.groups, runs, nil)
		if most := slack(runs, delta); wrong > most {
			t.Errorf("%s: the risk was above alpha in %d of %d runs, want at most %d", name, wrong, runs, most)
		}
		if c.some && given == 0 {
			t.Errorf("%s: no certificate in %d runs", name, runs)
		}
		t.Logf("%s: %d wrong, %.2f certificates a run", name, wrong, float64(given)/runs)
	}
}

// TestPoolingIsInvalid shows why one patch a group is drawn: with every patch taken for a group of its own, the same
// procedure breaks its promise.
func TestPoolingIsInvalid(t *testing.T) {
	const runs = 100
	pool := func(cases []certify.Case) []certify.Case {
		for i := range cases {
			cases[i].Group = i
		}
		return cases
	}
	wrong, _ := wrongly(population{edge, 0.9, 20}, certify.Plan{}, 100, runs, pool)
	if wrong <= 2*slack(runs, 0.1) {
		t.Errorf("pooling was wrong in %d of %d runs only", wrong, runs)
	}
}

func TestDecidesMuchOfWhatItMay(t *testing.T) {
	p := population{sharp, 0.5, 10}
	got, err := certify.Certify(p.sample(1, 4000), certify.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	if risk := p.risk(certify.Fixed, got.Fixed.Threshold); risk > 0.05 || risk < 0.03 {
		t.Errorf("with 4000 groups the risk at the threshold is %.4f, want just below 0.05", risk)
	}
	if !got.Fixed.Decides(got.Fixed.Threshold) || got.Fixed.Decides(got.Fixed.Threshold-1e-9) || got.Fixed.Decides(math.NaN()) {
		t.Error("the side decides from its threshold on")
	}
	if !got.NotFixed.Decides(got.NotFixed.Threshold) || got.NotFixed.Decides(got.NotFixed.Threshold+1e-9) || got.NotFixed.Decides(math.NaN()) {
		t.Error("the other decides down to its threshold")
	}
}

func TestPerfectModelMeetsInTheMiddle(t *testing.T) {
	step := func(s float64) float64 { return math.Floor(s + 0.5) }
	got, err := certify.Certify(population{step, 0.5, 4}.sample(1, 400), certify.Plan{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Fixed.Threshold != 0.5 || got.NotFixed.Threshold >= 0.5 || got.NotFixed.Threshold < 0.499 {
		t.Errorf("thresholds %v and %v, want 0.5 from both sides", got.Fixed.Threshold, got.NotFixed.Threshold)
	}
	for s := 0.0; s <= 1; s += 0.125 {
		if got.Fixed.Decides(s) == got.NotFixed.Decides(s) {
			t.Errorf("score %g is decided by both sides, or by none", s)
		}
	}
}

func TestAbstainsAndSaysWhatIsMissing(t *testing.T) {
	var few, bad, none []certify.Case
	for g := range 40 {
		few = append(few, certify.Case{Group: g, Score: 0.99, Fixed: true})
		none = append(none, certify.Case{Group: g, Score: 0.01})
	}
	for g := range 400 {
		bad = append(bad, certify.Case{Group: g, Score: 0.9 + float64(g)/5000, Fixed: g%4 != 0})
	}
	for name, c := range map[string]struct {
		cases  []certify.Case
		needed int
		words  string
	}{
		"too few groups": {few, 19, "19 more clean labels are needed, which takes about 19 more groups"},
		"bad model":      {bad, 0, "only a better model will"},
		"other side":     {none, 59, "none of 40 vulnerability groups is on this side"},
		"nothing":        {nil, 59, "none of 0"},
	} {
		got, err := certify.Certify(c.cases, certify.Plan{})
		if err != nil {
			t.Fatal(err)
		}
		if f := got.Fixed; !f.Abstains || f.Needed != c.needed || !strings.Contains(f.Reason, c.words) || f.Decides(1) || f.Threshold != 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	// Many patches of few vulnerabilities are few labels.
	for i := range few {
		few[i].Group = i % 4
	}
	got, _ := certify.Certify(few, certify.Plan{})
	if got.Fixed.Groups != 4 || got.Fixed.Decided != 4 || got.Fixed.Needed != 55 {
		t.Errorf("40 patches of 4 groups: %+v", got.Fixed)
	}
	if (certify.Certificate{}).Decides(1) {
		t.Error("the zero certificate must decide nothing")
	}
}

func TestTiesAreDecidedTogether(t *testing.T) {
	var cases []certify.Case
	for g := range 300 {
		score := 0.95
		if g < 50 {
			score = 1
		}
		cases = append(cases, certify.Case{Group: g, Score: score, Fixed: true})
	}
	got, err := certify.Certify(cases, certify.Plan{})
	if err != nil || got.Fixed.Abstains || got.Fixed.Decided != 300 || got.Fixed.Threshold != 0.5 {
		t.Errorf("%+v (%v)", got.Fixed, err)
	}
}

func TestDeterministicInTheSeed(t *testing.T) {
	cases := population{sharp, 0.5, 10}.sample(3, 500)
	a, _ := certify.Certify(cases, certify.Plan{Seed: 5})
	b, _ := certify.Certify(slices.Clone(cases), certify.Plan{Seed: 5})
	c, _ := certify.Certify(cases, certify.Plan{Seed: 6})
	if a != b {
		t.Error("the same seed gave two certificates")
	}
	if a.Fixed.Threshold == c.Fixed.Threshold {
		t.Error("another seed draws other patches")
	}
}

func TestRefusedPlans(t *testing.T) {
	for _, plan := range []certify.Plan{{Alpha: -1}, {Alpha: 0.5}, {Delta: 1}, {Delta: math.NaN()}, {Draws: -1}} {
		if _, err := certify.Certify(nil, plan); err == nil {
			t.Errorf("%+v was accepted", plan)
		}
	}
	for _, score := range []float64{math.NaN(), -0.1, 1.1} {
		if _, err := certify.Certify([]certify.Case{{Score: score}}, certify.Plan{}); err == nil {
			t.Errorf("score %g was accepted", score)
		}
	}
}

func TestCertificateJSON(t *testing.T) {
	for _, groups := range []int{30, 800} {
		given, err := certify.Certify(population{sharp, 0.5, 10}.sample(3, groups), certify.Plan{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		var back certify.Certificates
		if err := json.Unmarshal(text, &back); err != nil || back != given {
			t.Errorf("%s came back as %+v (%v)", text, back, err)
		}
	}
	good := `{"side":"fixed","abstains":false,"reason":"r","threshold":0.9,"alpha":0.05,"delta":0.1,"groups":100,"decided":60,"errors":0,"upper":0.05,"needed":0,"draws":1,"seed":0}`
	if err := json.Unmarshal([]byte(good), new(certify.Certificate)); err != nil {
		t.Fatal(err)
	}
	for _, swap := range [][2]string{
		{`"side":"fixed"`, `"side":"both"`}, {`"errors":0`, `"errors":1`}, {`"errors":0`, `"errors":-1`}, {`0.9`, `0.3`}, {`0.9`, `1.1`}, {`"alpha":0.05`, `"alpha":0`},
		{`"alpha":0.05`, `"alpha":0.01`}, {`"draws":1`, `"draws":3`}, {`"groups":100`, `"groups":10`}, {`"seed":0`, `"seeds":0`}, {`"abstains":false`, `"abstains":true`},
		{`"reason":"r"`, `"reason":""`}, {`"delta":0.1`, `"delta":0.01`}, {`"side":"fixed"`, `"side":"not_fixed"`},
	} {
		if err := json.Unmarshal([]byte(strings.Replace(good, swap[0], swap[1], 1)), new(certify.Certificate)); err == nil {
			t.Errorf("%s was accepted", swap[1])
		}
	}
}
