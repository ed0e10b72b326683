package linear_test

import (
	"testing"

	"crisol/internal/linear"
	"crisol/internal/random"
)

// BenchmarkFit learns from 2,500 rows of 300 words each out of 65,536.
func BenchmarkFit(b *testing.B) {
	r := random.New(1)
	samples := make([]linear.Sample, 2500)
	for i := range samples {
		s := linear.Sample{Weight: 1, Label: r.IntN(2) == 0}
		column := 0
		for range 300 {
			column += 1 + r.IntN(400)
			if column < 1<<16 {
				s.Sparse = append(s.Sparse, linear.Entry{Column: uint32(column), Value: float64(1 + r.IntN(3))})
			}
		}
		s.Sparse.Damp()
		samples[i] = s
	}
	for b.Loop() {
		if _, err := linear.Fit(samples, linear.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
