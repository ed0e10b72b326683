package random_test

import (
	"math"
	"slices"
	"testing"

	"crisol/internal/random"
)

// The reference values are those of the authors' splitmix64.c for seed 1234567.
func TestSplitMix64(t *testing.T) {
	s := random.New(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := s.Uint64(); got != want {
			t.Errorf("number %d is %d, want %d", i, got, want)
		}
	}
}

func TestStreamsDifferByPart(t *testing.T) {
	seen := map[uint64]bool{}
	for a := range uint64(100) {
		for b := range uint64(100) {
			seen[random.New(7, a, b).Uint64()] = true
		}
	}
	if len(seen) != 10000 {
		t.Errorf("%d different first numbers of 10000 streams", len(seen))
	}
	first, again, swapped := random.New(1, 2).Uint64(), random.New(1, 2).Uint64(), random.New(2, 1).Uint64()
	if first != again || first == swapped {
		t.Error("a stream depends on its seed and parts, in their order, and on nothing else")
	}
}

func TestUniform(t *testing.T) {
	s := random.New(1)
	const draws, sides = 60000, 6
	var counts [sides]int
	sum := 0.0
	for range draws {
		counts[s.IntN(sides)]++
		x := s.Float64()
		if x < 0 || x >= 1 {
			t.Fatalf("Float64 gave %g", x)
		}
		sum += x
	}
	for side, n := range counts {
		if math.Abs(float64(n)-draws/sides) > 5*math.Sqrt(draws/sides) {
			t.Errorf("side %d came %d times of %d", side, n, draws)
		}
	}
	if math.Abs(sum/draws-0.5) > 0.01 {
		t.Errorf("the mean of Float64 is %g", sum/draws)
	}
}

func TestShuffleKeepsAll(t *testing.T) {
	order := make([]int, 100)
	for i := range order {
		order[i] = i
	}
	random.New(3).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	if slices.IsSorted(order) {
		t.Error("nothing was shuffled")
	}
	slices.Sort(order)
	for i, v := range order {
		if i != v {
			t.Fatalf("%d is at %d", v, i)
		}
	}
}

func TestIntNRefuses(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("IntN(0) must panic")
		}
	}()
	random.New(0).IntN(0)
}
