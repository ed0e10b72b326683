package evaluate

import (
	"cmp"
	"slices"
	"time"

	"crisol"
	"crisol/internal/random"
)

// Split says which rows, by number, a model learns from and which it is judged by. No group is on both sides.
type Split struct {
	Name        string
	Train, Test []int
}

// Folds deals groups out to k folds and returns the fold of each row. Folds are balanced by rows and by labels: the
// largest group goes first, each to the fold where it leaves both shares most even. The seed decides among groups of one
// size, and nothing else is random.
func Folds(groups []int, labels []bool, k int, seed uint64) ([]int, error) {
	if len(labels) != len(groups) {
		return nil, crisol.Errorf(crisol.KindInput, "deal folds: %d groups with %d labels", len(groups), len(labels))
	}
	type pile struct {
		group, rows, fixed int
		lot                uint64
	}
	piles := map[int]*pile{}
	fixed := 0
	for i, g := range groups {
		if piles[g] == nil {
			piles[g] = &pile{group: g}
		}
		piles[g].rows++
		if labels[i] {
			piles[g].fixed++
			fixed++
		}
	}
	if k < 2 || len(piles) < k {
		return nil, crisol.Errorf(crisol.KindInput, "deal folds: %d groups into %d folds: want at least 2 folds and as many groups", len(piles), k)
	}
	var order []*pile
	for _, p := range piles {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b *pile) int { return cmp.Compare(a.group, b.group) })
	r := random.New(seed)
	for _, p := range order {
		p.lot = r.Uint64()
	}
	slices.SortFunc(order, func(a, b *pile) int {
		return cmp.Or(cmp.Compare(b.rows, a.rows), cmp.Compare(a.lot, b.lot), cmp.Compare(a.group, b.group))
	})
	rows, positives := make([]float64, k), make([]float64, k)
	all, allFixed := float64(len(groups)), float64(max(fixed, 1))
	fold := map[int]int{}
	for _, p := range order {
		// The sum of squared shares grows least where the group is needed most; only the fold's own terms change.
		growth := func(f int) float64 {
			n, m := float64(p.rows)/all, float64(p.fixed)/allFixed
			return n*(2*rows[f]+n) + m*(2*positives[f]+m)
		}
		best := 0
		for f := range k {
			if growth(f) < growth(best) {
				best = f
			}
		}
		fold[p.group] = best
		rows[best] += float64(p.rows) / all
		positives[best] += float64(p.fixed) / allFixed
	}
	of := make([]int, len(groups))
	for i, g := range groups {
		of[i] = fold[g]
	}
	return of, nil
}

// ByFold splits rows by their Fold: each fold is judged by a model that learnt from the others.
func ByFold(rows []Row) []Split {
	last := 0
	for _, r := range rows {
		last = max(last, r.Fold)
	}
	var splits []Split
	for fold := range last + 1 {
		s := split("fold", rows, func(r Row) bool { return r.Fold == fold }, func(r Row) bool { return r.Fold != fold })
		if len(s.Test) > 0 {
			splits = append(splits, s)
		}
	}
	return splits
}

// ByTime learns from what was published before a day and judges by what was published from it on. The day is the earliest
// that leaves at most the given share of the rows to be judged by. Groups on both sides are left out altogether: learning
// from them would tell, and judging by them would judge old patches as new. Rows without a time are an error.
func ByTime(rows []Row, share float64) (Split, time.Time, error) {
	if !(share > 0 && share < 1) {
		return Split{}, time.Time{}, crisol.Errorf(crisol.KindInput, "split by time: want a share in (0, 1), got %g", share)
	}
	var times []time.Time
	for i, r := range rows {
		if r.Time.IsZero() {
			return Split{}, time.Time{}, crisol.Errorf(crisol.KindInput, "split by time: row %d, of %s, has none", i, r.Vulnerability)
		}
		times = append(times, r.Time)
	}
	slices.SortFunc(times, time.Time.Compare)
	from := len(times) - int(share*float64(len(times)))
	for from > 0 && from < len(times) && times[from].Equal(times[from-1]) {
		from++
	}
	if from >= len(times) || from == 0 {
		return Split{}, time.Time{}, crisol.Errorf(crisol.KindInput, "split by time: no day leaves at most a share of %g of %d rows to judge by", share, len(rows))
	}
	day := times[from]
	late := func(r Row) bool { return !r.Time.Before(day) }
	both := straddling(rows, late)
	s := split("time", rows, func(r Row) bool { return late(r) && !both[r.Group] }, func(r Row) bool { return !late(r) && !both[r.Group] })
	return s, day, s.check()
}

// ByEcosystem learns from one ecosystem and judges by all others. Groups with rows in both are left out.
func ByEcosystem(rows []Row, from string) (Split, error) {
	other := func(r Row) bool { return r.Ecosystem != from }
	both := straddling(rows, other)
	s := split(from+" to others", rows, func(r Row) bool { return other(r) && !both[r.Group] }, func(r Row) bool { return !other(r) && !both[r.Group] })
	return s, s.check()
}

// ByOperator judges the patches that each operator made by models that learnt from the patches of all others, and from
// other folds: a split for each operator and fold, with the operator's name.
func ByOperator(rows []Row) []Split {
	var splits []Split
	for _, operator := range distinct(rows, func(r Row) string { return r.Operator }) {
		for _, fold := range ByFold(rows) {
			s := Split{Name: operator}
			for _, i := range fold.Test {
				if rows[i].Operator == operator {
					s.Test = append(s.Test, i)
				}
			}
			for _, i := range fold.Train {
				if rows[i].Operator != operator {
					s.Train = append(s.Train, i)
				}
			}
			if len(s.Test) > 0 {
				splits = append(splits, s)
			}
		}
	}
	return splits
}

func split(name string, rows []Row, test, train func(Row) bool) Split {
	s := Split{Name: name}
	for i, r := range rows {
		switch {
		case test(r):
			s.Test = append(s.Test, i)
		case train(r):
			s.Train = append(s.Train, i)
		}
	}
	return s
}

func (s Split) check() error {
	if len(s.Train) == 0 || len(s.Test) == 0 {
		return crisol.Errorf(crisol.KindInput, "split by %s: %d rows to learn from and %d to judge by: want some of both", s.Name, len(s.Train), len(s.Test))
	}
	return nil
}

// straddling returns the groups with rows for which side is true and rows for which it is false.
func straddling(rows []Row, side func(Row) bool) map[int]bool {
	yes, no := map[int]bool{}, map[int]bool{}
	for _, r := range rows {
		if side(r) {
			yes[r.Group] = true
		} else {
			no[r.Group] = true
		}
	}
	both := map[int]bool{}
	for g := range yes {
		both[g] = no[g]
	}
	return both
}
