package evaluate_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"crisol/internal/evaluate"
	"crisol/internal/random"
)

func TestComponentsByLinks(t *testing.T) {
	keys := []evaluate.Key{
		{Links: []string{"npm/a", "CVE-1"}}, {Links: []string{"npm/b", ""}}, {Links: []string{"npm/c", "CVE-1"}}, {Links: []string{"npm/c"}}, {Links: []string{""}},
	}
	got, err := evaluate.Components(keys, evaluate.Near{})
	if want := []int{0, 1, 0, 0, 2}; err != nil || !slices.Equal(got, want) {
		t.Errorf("components %v (%v), want %v", got, err, want)
	}
}

// grams returns n n-grams from first on, as a set.
func grams(first uint32, n int) []uint32 {
	set := make([]uint32, n)
	for i := range set {
		set[i] = first + uint32(i)
	}
	return set
}

func TestComponentsByNearDuplicates(t *testing.T) {
	keys := []evaluate.Key{
		{Grams: grams(0, 100)}, {Grams: grams(11, 100)}, // 89 of 111 in common: 0.802
		{Grams: grams(1000, 100)}, {Grams: grams(1012, 100)}, // 88 of 112: 0.786
		{Grams: grams(2000, 19)}, {Grams: grams(2000, 19)}, // too small to tell
		{}, {},
	}
	got, err := evaluate.Components(keys, evaluate.Near{})
	if want := []int{0, 0, 1, 2, 3, 4, 5, 6}; err != nil || !slices.Equal(got, want) {
		t.Errorf("components %v (%v), want %v", got, err, want)
	}
	if _, err := evaluate.Components([]evaluate.Key{{Grams: []uint32{2, 1}}}, evaluate.Near{}); err == nil {
		t.Error("n-grams out of order were accepted")
	}
	if _, err := evaluate.Components(nil, evaluate.Near{Jaccard: 1.5}); err == nil {
		t.Error("a share above 1 was accepted")
	}
}

// TestNearDuplicatesAreFoundExactly holds prefix filtering against the comparison of all pairs.
func TestNearDuplicatesAreFoundExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 25).Draw(t, "rows")
		keys := make([]evaluate.Key, n)
		for i := range keys {
			set := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 12), 1, 10, rapid.ID).Draw(t, "grams")
			slices.Sort(set)
			keys[i].Grams = set
		}
		least := rapid.Float64Range(0.3, 1).Draw(t, "Jaccard")
		got, err := evaluate.Components(keys, evaluate.Near{Jaccard: least, Grams: 1})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		for range n { // the lowest number spreads until nothing changes
			for i := range n {
				for j := range n {
					if alike(keys[i].Grams, keys[j].Grams) >= least {
						want[i] = min(want[i], want[j])
					}
				}
			}
		}
		for i := range n {
			for j := range n {
				if (got[i] == got[j]) != (want[i] == want[j]) {
					t.Fatalf("rows %d and %d: %v, want %v", i, j, got, want)
				}
			}
		}
	})
}

func alike(a, b []uint32) float64 {
	common := 0
	for _, x := range a {
		if slices.Contains(b, x) {
			common++
		}
	}
	return float64(common) / float64(len(a)+len(b)-common)
}

func TestFolds(t *testing.T) {
	r := random.New(1)
	var groups []int
	var labels []bool
	for g := range 150 {
		rate := r.Float64()
		for range 1 + r.IntN(40) {
			groups, labels = append(groups, g), append(labels, r.Float64() < rate)
		}
	}
	folds, err := evaluate.Folds(groups, labels, 5, 7)
	if err != nil {
		t.Fatal(err)
	}
	var rows, fixed [5]float64
	of := map[int]int{}
	for i, f := range folds {
		if before, known := of[groups[i]]; known && before != f {
			t.Fatalf("group %d is in two folds", groups[i])
		}
		of[groups[i]] = f
		rows[f]++
		if labels[i] {
			fixed[f]++
		}
	}
	for f := range rows {
		if math.Abs(rows[f]/float64(len(groups))-0.2) > 0.01 || math.Abs(fixed[f]/rows[f]-fixed[0]/rows[0]) > 0.03 {
			t.Errorf("fold %d has %g rows, %g fixed", f, rows[f], fixed[f])
		}
	}
	again, _ := evaluate.Folds(groups, labels, 5, 7)
	other, _ := evaluate.Folds(groups, labels, 5, 8)
	if !slices.Equal(folds, again) || slices.Equal(folds, other) {
		t.Error("folds depend on the seed, and on nothing else")
	}
	for _, k := range []int{0, 1, 151} {
		if _, err := evaluate.Folds(groups, labels, k, 0); err == nil {
			t.Errorf("%d folds of 150 groups were accepted", k)
		}
	}
	if _, err := evaluate.Folds(groups, nil, 2, 0); err == nil {
		t.Error("groups without labels were accepted")
	}
}

func day(n int) time.Time { return time.Date(2020, 1, n, 0, 0, 0, 0, time.UTC) }

func some() []evaluate.Row {
	return []evaluate.Row{
		{Group: 0, Time: day(1), Ecosystem: "npm", Operator: "drop", Fold: 0}, {Group: 0, Time: day(9), Ecosystem: "npm", Operator: "invert", Fold: 0},
		{Group: 1, Time: day(2), Ecosystem: "npm", Operator: "drop", Fold: 1}, {Group: 2, Time: day(8), Ecosystem: "pypi", Operator: "drop", Fold: 1},
		{Group: 3, Time: day(3), Ecosystem: "npm", Operator: "invert", Fold: 2}, {Group: 3, Time: day(3), Ecosystem: "go", Operator: "drop", Fold: 2},
		{Group: 4, Time: day(8), Ecosystem: "go", Operator: "invert", Fold: 0},
	}
}

func TestSplits(t *testing.T) {
	rows := some()
	byTime, from, err := evaluate.ByTime(rows, 0.45)
	if err != nil || !from.Equal(day(8)) || !slices.Equal(byTime.Test, []int{3, 6}) || !slices.Equal(byTime.Train, []int{2, 4, 5}) {
		t.Errorf("by time from %v: %+v (%v)", from, byTime, err)
	}
	byEcosystem, err := evaluate.ByEcosystem(rows, "npm")
	if err != nil || byEcosystem.Name != "npm to others" || !slices.Equal(byEcosystem.Test, []int{3, 6}) || !slices.Equal(byEcosystem.Train, []int{0, 1, 2}) {
		t.Errorf("by ecosystem: %+v (%v)", byEcosystem, err)
	}
	folds := evaluate.ByFold(rows)
	if len(folds) != 3 || !slices.Equal(folds[1].Test, []int{2, 3}) || !slices.Equal(folds[1].Train, []int{0, 1, 4, 5, 6}) {
		t.Errorf("by fold: %+v", folds)
	}
	tested := map[int]int{}
	for _, s := range evaluate.ByOperator(rows) {
		for _, i := range s.Test {
			tested[i]++
			for _, j := range s.Train {
				if rows[i].Operator == rows[j].Operator || rows[i].Fold == rows[j].Fold || rows[i].Operator != s.Name {
					t.Errorf("%s: row %d is judged by a model that learnt from row %d", s.Name, i, j)
				}
			}
		}
	}
	if len(tested) != len(rows) {
		t.Errorf("by operator: rows %v are judged", tested)
	}
	for i, n := range tested {
		if n != 1 {
			t.Errorf("row %d is judged %d times", i, n)
		}
	}
}

func TestSplitsRefuse(t *testing.T) {
	if _, err := evaluate.ByEcosystem(some(), "maven"); err == nil {
		t.Error("an ecosystem without rows was accepted")
	}
	same, missing := some(), some()
	for i := range same {
		same[i].Time = day(1)
	}
	missing[2].Time = time.Time{}
	for name, rows := range map[string][]evaluate.Row{"one day": same, "no time": missing, "nothing": nil} {
		if _, _, err := evaluate.ByTime(rows, 0.3); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, _, err := evaluate.ByTime(some(), 1); err == nil {
		t.Error("a share of 1 was accepted")
	}
}

// BenchmarkComponents ties 3,000 diffs of 300 n-grams, twenty of each vulnerability and these nearly alike.
func BenchmarkComponents(b *testing.B) {
	r := random.New(1)
	var keys []evaluate.Key
	for v := range 150 {
		var base []uint32
		for range 300 {
			base = append(base, uint32(r.IntN(1<<16)))
		}
		for range 20 {
			set := slices.Clone(base)
			for range 30 {
				set[r.IntN(len(set))] = uint32(r.IntN(1 << 16))
			}
			slices.Sort(set)
			keys = append(keys, evaluate.Key{Links: []string{fmt.Sprint(v)}, Grams: slices.Compact(set)})
		}
	}
	for b.Loop() {
		if _, err := evaluate.Components(keys, evaluate.Near{}); err != nil {
			b.Fatal(err)
		}
	}
}
