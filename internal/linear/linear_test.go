package linear_test

import (
	"math"
	"slices"
	"testing"

	"crisol"
	"crisol/internal/linear"
	"crisol/internal/random"
)

// normal draws from the standard normal distribution (Box and Muller).
func normal(r *random.Stream) float64 {
	return math.Sqrt(-2*math.Log(1-r.Float64())) * math.Cos(2*math.Pi*r.Float64())
}

// draw makes samples whose log odds are 0.5 + 1.5 a - 1 b + 2 [word 3] - 2 [word 900], with a of mean 10 and deviation 2,
// b of deviation 1 and a third dense column that never changes.
func draw(seed uint64, n int) []linear.Sample {
	r := random.New(seed)
	samples := make([]linear.Sample, n)
	for i := range samples {
		a, b := normal(r), normal(r)
		s := linear.Sample{Dense: []float64{10 + 2*a, b, 0.1}, Weight: 1}
		odds := 0.5 + 1.5*a - b
		if r.IntN(2) == 0 {
			s.Sparse, odds = append(s.Sparse, linear.Entry{Column: 3, Value: 1}), odds+2
		}
		if r.IntN(2) == 0 {
			s.Sparse, odds = append(s.Sparse, linear.Entry{Column: 900, Value: 1}), odds-2
		}
		s.Label = r.Float64() < 1/(1+math.Exp(-odds))
		samples[i] = s
	}
	return samples
}

func fit(t *testing.T, samples []linear.Sample, options linear.Options) *linear.Model {
	t.Helper()
	m, err := linear.Fit(samples, options)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRecoversCoefficients(t *testing.T) {
	m := fit(t, draw(1, 40000), linear.Options{L2: 1e-3})
	got := append([]float64{m.Intercept()}, m.Coefficients()...)
	got = append(got, m.Coefficient(3), m.Coefficient(900))
	for i, want := range []float64{0.5, 1.5, -1, 0, 2, -2} {
		if math.Abs(got[i]-want) > 0.08 {
			t.Errorf("coefficient %d is %.3f, want %g", i, got[i], want)
		}
	}
	if m.Coefficient(4) != 0 || m.Coefficient(1<<30) != 0 {
		t.Error("a column that was never seen has coefficient 0")
	}
}

// loss computes the function that package linear's comment states, from a model's own coefficients and shifts of them.
func loss(m *linear.Model, samples []linear.Sample, l2 float64, shift []float64) float64 {
	dense := m.Coefficients()
	beta := append(append([]float64{m.Intercept()}, dense...), m.Coefficient(3), m.Coefficient(900))
	for i := range beta {
		beta[i] += shift[i]
	}
	sum := 0.0
	for _, b := range beta[1:] {
		sum += l2 / 2 * b * b
	}
	for _, s := range samples {
		score := beta[0]
		for j, x := range s.Dense {
			mean, scale := moments(samples, j)
			score += beta[1+j] * (x - mean) / scale
		}
		for _, e := range s.Sparse {
			score += beta[1+len(dense)+map[uint32]int{3: 0, 900: 1}[e.Column]] * e.Value
		}
		if !s.Label {
			score = -score
		}
		sum += s.Weight * math.Log1p(math.Exp(-score))
	}
	return sum
}

func moments(samples []linear.Sample, j int) (mean, scale float64) {
	total, square := 0.0, 0.0
	for _, s := range samples {
		mean, total = mean+s.Weight*s.Dense[j], total+s.Weight
	}
	mean /= total
	for _, s := range samples {
		square += s.Weight * (s.Dense[j] - mean) * (s.Dense[j] - mean)
	}
	if scale = math.Sqrt(square / total); scale < 1e-12 {
		scale = 1
	}
	return mean, scale
}

func TestGradientVanishesAtTheFit(t *testing.T) {
	samples := draw(2, 60)
	for i := range samples {
		samples[i].Weight = 1 + float64(i%3)
	}
	m := fit(t, samples, linear.Options{L2: 0.7, Tolerance: 1e-9})
	const step = 1e-4
	for i := range 6 {
		up, down := make([]float64, 6), make([]float64, 6)
		up[i], down[i] = step, -step
		if slope := (loss(m, samples, 0.7, up) - loss(m, samples, 0.7, down)) / (2 * step); math.Abs(slope) > 1e-5 {
			t.Errorf("the slope along coefficient %d is %g at what should be the minimum", i, slope)
		}
	}
}

func TestWeightsEqualDuplicates(t *testing.T) {
	weighted := draw(3, 400)
	var repeated []linear.Sample
	for i := range weighted {
		weighted[i].Weight = float64(1 + i%4)
		for range 1 + i%4 {
			one := weighted[i]
			one.Weight = 1
			repeated = append(repeated, one)
		}
	}
	a, b := fit(t, weighted, linear.Options{Tolerance: 1e-9}), fit(t, repeated, linear.Options{Tolerance: 1e-9})
	for _, s := range weighted {
		if x, y := a.Score(s.Dense, s.Sparse), b.Score(s.Dense, s.Sparse); math.Abs(x-y) > 1e-5 {
			t.Fatalf("scores %g and %g", x, y)
		}
	}
}

func TestSeparableDataStaysFinite(t *testing.T) {
	var samples []linear.Sample
	for i := range 200 {
		samples = append(samples, linear.Sample{Dense: []float64{float64(i)}, Sparse: linear.Sparse{{Column: uint32(i % 7), Value: 1}}, Label: i >= 100, Weight: 1})
	}
	for _, l2 := range []float64{1, 1e-3, 1e-6} {
		m := fit(t, samples, linear.Options{L2: l2})
		for _, s := range samples {
			p := m.Probability(s.Dense, s.Sparse)
			if math.IsNaN(p) || p < 0 || p > 1 || (p > 0.5) != s.Label {
				t.Fatalf("L2 %g: probability %g of label %v", l2, p, s.Label)
			}
		}
		if c := m.Coefficients()[0]; math.IsInf(c, 0) || c <= 0 {
			t.Errorf("L2 %g: coefficient %g", l2, c)
		}
	}
}

func TestMissingCountsAsTheMean(t *testing.T) {
	samples := draw(4, 500)
	for i := range samples {
		if i%5 == 0 {
			samples[i].Dense[0] = math.NaN()
		}
	}
	m := fit(t, samples, linear.Options{})
	sum, n := 0.0, 0.0
	for _, s := range samples {
		if !math.IsNaN(s.Dense[0]) {
			sum, n = sum+s.Dense[0], n+1
		}
	}
	if a, b := m.Score([]float64{math.NaN(), 1, 0.1}, nil), m.Score([]float64{sum / n, 1, 0.1}, nil); math.Abs(a-b) > 1e-12 {
		t.Errorf("score %g of a missing value, %g of the mean", a, b)
	}
}

func TestDeterministic(t *testing.T) {
	a, _ := fit(t, draw(5, 300), linear.Options{}).MarshalBinary()
	b, _ := fit(t, draw(5, 300), linear.Options{}).MarshalBinary()
	if !slices.Equal(a, b) {
		t.Error("the same samples gave two models")
	}
}

func TestRefused(t *testing.T) {
	good := func() []linear.Sample { return draw(6, 50) }
	for name, spoil := range map[string]func(s []linear.Sample, o *linear.Options) []linear.Sample{
		"no samples": func([]linear.Sample, *linear.Options) []linear.Sample { return nil },
		"one label": func(s []linear.Sample, _ *linear.Options) []linear.Sample {
			return slices.DeleteFunc(s, func(s linear.Sample) bool { return s.Label })
		},
		"weight 0":   func(s []linear.Sample, _ *linear.Options) []linear.Sample { s[3].Weight = 0; return s },
		"weight NaN": func(s []linear.Sample, _ *linear.Options) []linear.Sample { s[3].Weight = math.NaN(); return s },
		"infinite":   func(s []linear.Sample, _ *linear.Options) []linear.Sample { s[3].Dense[0] = math.Inf(1); return s },
		"ragged":     func(s []linear.Sample, _ *linear.Options) []linear.Sample { s[3].Dense = s[3].Dense[:2]; return s },
		"column twice": func(s []linear.Sample, _ *linear.Options) []linear.Sample {
			s[3].Sparse = linear.Sparse{{Column: 2, Value: 1}, {Column: 2, Value: 1}}
			return s
		},
		"column far out": func(s []linear.Sample, _ *linear.Options) []linear.Sample {
			s[3].Sparse = linear.Sparse{{Column: 1 << 30, Value: 1}}
			return s
		},
		"negative penalty": func(s []linear.Sample, o *linear.Options) []linear.Sample { o.L2 = -1; return s },
		"tolerance 2":      func(s []linear.Sample, o *linear.Options) []linear.Sample { o.Tolerance = 2; return s },
	} {
		var options linear.Options
		samples := spoil(good(), &options)
		if _, err := linear.Fit(samples, options); crisol.KindOf(err) != crisol.KindInput || err == nil {
			t.Errorf("%s: error %v, want one of the input", name, err)
		}
	}
	if _, err := linear.Fit(good(), linear.Options{Steps: 1}); err == nil {
		t.Error("a fit that ran out of steps must be an error")
	}
	defer func() {
		if recover() == nil {
			t.Error("a row of another shape must panic")
		}
	}()
	fit(t, good(), linear.Options{}).Score([]float64{1}, nil)
}

func TestScoreDoesNotAllocate(t *testing.T) {
	samples := draw(7, 100)
	m := fit(t, samples, linear.Options{})
	if n := testing.AllocsPerRun(100, func() { m.Probability(samples[0].Dense, samples[0].Sparse) }); n != 0 {
		t.Errorf("%g allocations a row", n)
	}
}

func TestDamp(t *testing.T) {
	s := linear.Sparse{{Column: 1, Value: 1}, {Column: 5, Value: math.E}}
	s.Damp()
	if math.Abs(s[0].Value-1/math.Sqrt(5)) > 1e-12 || math.Abs(s[1].Value-2/math.Sqrt(5)) > 1e-12 {
		t.Errorf("got %v", s)
	}
	linear.Sparse(nil).Damp()
	zero := linear.Sparse{{Column: 1}}
	if zero.Damp(); zero[0].Value != 0 {
		t.Errorf("zero became %v", zero)
	}
}

func TestEncoding(t *testing.T) {
	samples := draw(8, 300)
	m := fit(t, samples, linear.Options{})
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back linear.Model
	if err := back.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if x, y := m.Score(s.Dense, s.Sparse), back.Score(s.Dense, s.Sparse); x != y {
			t.Fatalf("score %g became %g", x, y)
		}
	}
	for i := range b {
		damaged := slices.Clone(b)
		damaged[i] ^= 1
		if new(linear.Model).UnmarshalBinary(damaged) == nil {
			t.Fatalf("a flipped bit in byte %d went unseen", i)
		}
		if new(linear.Model).UnmarshalBinary(b[:i]) == nil {
			t.Fatalf("a model cut to %d bytes went unseen", i)
		}
	}
	if new(linear.Model).UnmarshalBinary(append(slices.Clone(b), 0)) == nil {
		t.Error("a byte too many went unseen")
	}
}

func FuzzUnmarshalBinary(f *testing.F) {
	m, err := linear.Fit(draw(9, 100), linear.Options{})
	if err != nil {
		f.Fatal(err)
	}
	seed, _ := m.MarshalBinary()
	f.Add(seed[:len(seed)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := linear.Seal(body)
		var m linear.Model
		if m.UnmarshalBinary(b) != nil {
			return
		}
		again, err := m.MarshalBinary()
		if err != nil || !slices.Equal(again, b) {
			t.Fatalf("%x was read and written as %x (%v)", b, again, err)
		}
	})
}
