// Package random holds one small stream of pseudo-random numbers whose values are fixed for ever by their seed, so that
// folds, resamples and models come out the same on every machine and with every release of Go. In goes a seed, out come
// numbers. It is not for secrets.
package random

import "math/bits"

// Stream is a SplitMix64 generator (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
// The zero value is a valid stream, that of seed 0. A Stream must not be used from several goroutines: give each its own,
// made by New with a further part.
type Stream struct{ state uint64 }

// New returns the stream of a seed. Further parts (a tree's number, a resample's) give streams of their own, so that work
// can be shared out in any order.
func New(seed uint64, parts ...uint64) *Stream {
	s := &Stream{state: seed}
	for _, part := range parts {
		s.state = s.Uint64() ^ part
	}
	return s
}

// golden is 2^64 over the golden ratio, the step of SplitMix64.
const golden = 0x9e3779b97f4a7c15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Uint64 returns 64 random bits.
func (s *Stream) Uint64() uint64 {
	s.state += golden
	return mix(s.state)
}

// Float64 returns a number in [0, 1), a multiple of 2^-53.
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) / (1 << 53) }

// IntN returns a number in [0, n), without bias (Lemire: Fast random integer generation in an interval, 2019). It panics
// where n isn't positive.
func (s *Stream) IntN(n int) int {
	if n <= 0 {
		panic("random: IntN of a number that isn't positive")
	}
	bound := uint64(n)
	high, low := bits.Mul64(s.Uint64(), bound)
	if low < bound {
		for least := -bound % bound; low < least; {
			high, low = bits.Mul64(s.Uint64(), bound)
		}
	}
	return int(high)
}

// Shuffle puts n things in random order (Fisher and Yates); swap exchanges two of them.
func (s *Stream) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, s.IntN(i+1))
	}
}
