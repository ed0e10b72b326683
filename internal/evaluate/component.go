package evaluate

import (
	"cmp"
	"math"
	"slices"

	"crisol"
)

// Key is what ties a row to others.
type Key struct {
	// Links are names that rows share when they belong together: the package, the CVE. Empty ones tie nothing.
	Links []string
	// Grams are the n-grams of the row's diff as a set: hashed, ascending, each once.
	Grams []uint32
}

// Near says when two diffs are near-duplicates.
type Near struct {
	// Jaccard is the least share of n-grams in common, of all that either has. 0 means 0.8: of two diffs of a hundred
	// n-grams each, eighty-nine are the same.
	Jaccard float64
	// Grams is how many n-grams both must have at least. 0 means 20. Smaller diffs, such as a bumped version or an added
	// comment, are alike whatever they are about, and would tie all rows into one component.
	Grams int
}

// Components numbers the connected components of rows: two rows are in one where a chain of shared links and near-duplicate
// diffs leads from one to the other. Numbers go by first appearance, from 0.
//
// Near-duplicates are found exactly, by prefix filtering (Chaudhuri, Ganti, Kaushik, ICDE 2006; Bayardo, Ma, Srikant,
// WWW 2007): two sets with so much in common share one of their rarest n-grams, so only rows that do are compared.
func Components(keys []Key, near Near) ([]int, error) {
	if near.Jaccard == 0 {
		near.Jaccard = 0.8
	}
	if near.Grams == 0 {
		near.Grams = 20
	}
	if !(near.Jaccard > 0 && near.Jaccard <= 1) || near.Grams < 0 {
		return nil, crisol.Errorf(crisol.KindInput, "find components: Jaccard %g and %d n-grams: want a share in (0, 1] and a number above 0", near.Jaccard, near.Grams)
	}
	for i, k := range keys {
		for j := 1; j < len(k.Grams); j++ {
			if k.Grams[j] <= k.Grams[j-1] {
				return nil, crisol.Errorf(crisol.KindInput, "find components: the n-grams of row %d don't ascend", i)
			}
		}
	}
	f := newForest(len(keys))
	first := map[string]int{}
	for i, k := range keys {
		for _, link := range k.Links {
			if before, known := first[link]; known {
				f.join(before, i)
			} else if link != "" {
				first[link] = i
			}
		}
	}
	joinNear(f, keys, near)
	return f.numbers(), nil
}

// joinNear joins rows whose diffs are near-duplicates.
func joinNear(f *forest, keys []Key, near Near) {
	sets := rareFirst(keys, near.Grams)
	var order []int // the smaller sets first, so that only sets at most as large are in the index
	for i, set := range sets {
		if set != nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(sets[a]), len(sets[b])) })
	index := map[uint32][]int{}
	for _, i := range order {
		set := sets[i]
		prefix := len(set) - int(math.Ceil(near.Jaccard*float64(len(set)))) + 1
		for _, gram := range set[:min(prefix, len(set))] {
			for _, other := range index[gram] {
				if float64(len(sets[other])) >= near.Jaccard*float64(len(set)) && f.root(other) != f.root(i) && jaccard(sets[other], set) >= near.Jaccard {
					f.join(other, i)
				}
			}
			index[gram] = append(index[gram], i)
		}
	}
}

// rareFirst returns the sets with their n-grams numbered by frequency, the rarest 0, ascending; nil where a set is too small.
func rareFirst(keys []Key, least int) [][]uint32 {
	count := map[uint32]int{}
	for _, k := range keys {
		for _, g := range k.Grams {
			count[g]++
		}
	}
	var grams []uint32
	for g := range count {
		grams = append(grams, g)
	}
	slices.SortFunc(grams, func(a, b uint32) int { return cmp.Or(cmp.Compare(count[a], count[b]), cmp.Compare(a, b)) })
	rank := make(map[uint32]uint32, len(grams))
	for i, g := range grams {
		rank[g] = uint32(i)
	}
	sets := make([][]uint32, len(keys))
	for i, k := range keys {
		if len(k.Grams) < max(least, 1) {
			continue
		}
		for _, g := range k.Grams {
			sets[i] = append(sets[i], rank[g])
		}
		slices.Sort(sets[i])
	}
	return sets
}

// jaccard of two ascending sets.
func jaccard(a, b []uint32) float64 {
	common := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			common, i, j = common+1, i+1, j+1
		}
	}
	return float64(common) / float64(len(a)+len(b)-common)
}

// forest is a union-find structure (Galler, Fischer 1964; Tarjan 1975).
type forest struct{ parent, size []int }

func newForest(n int) *forest {
	f := &forest{make([]int, n), make([]int, n)}
	for i := range n {
		f.parent[i], f.size[i] = i, 1
	}
	return f
}

func (f *forest) root(i int) int {
	for f.parent[i] != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = f.parent[i]
	}
	return i
}

func (f *forest) join(a, b int) {
	a, b = f.root(a), f.root(b)
	if a == b {
		return
	}
	if f.size[a] < f.size[b] {
		a, b = b, a
	}
	f.parent[b] = a
	f.size[a] += f.size[b]
}

func (f *forest) numbers() []int {
	number := map[int]int{}
	of := make([]int, len(f.parent))
	for i := range of {
		root := f.root(i)
		if _, known := number[root]; !known {
			number[root] = len(number)
		}
		of[i] = number[root]
	}
	return of
}
