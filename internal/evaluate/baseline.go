package evaluate

// BaseRate gives every row the share of fixed among the rows of other folds: what is known without looking at the row. With
// a single fold there are no others, and the share is 1/2.
func BaseRate(rows []Row) []float64 {
	return outOfFold(rows, func(Row) string { return "" })
}

// ClassRate gives every row the share of fixed among the rows of its class in other folds, drawn towards the base rate as
// by ten rows of it, so that a rare class doesn't get 0 or 1.
func ClassRate(rows []Row) []float64 {
	return outOfFold(rows, func(r Row) string { return r.Class })
}

// prior is the weight with which a class's rate is drawn towards the base rate.
const prior = 10

func outOfFold(rows []Row, key func(Row) string) []float64 {
	type tally struct{ fixed, total float64 }
	type cell struct {
		fold int
		key  string
	}
	var all tally
	folds, keys, cells := map[int]tally{}, map[string]tally{}, map[cell]tally{}
	for _, r := range rows {
		add := tally{total: r.Weight}
		if r.Label {
			add.fixed = r.Weight
		}
		sum := func(t tally) tally { return tally{t.fixed + add.fixed, t.total + add.total} }
		all = sum(all)
		folds[r.Fold] = sum(folds[r.Fold])
		keys[key(r)] = sum(keys[key(r)])
		cells[cell{r.Fold, key(r)}] = sum(cells[cell{r.Fold, key(r)}])
	}
	rates := make([]float64, len(rows))
	for i, r := range rows {
		base := 0.5
		if own := folds[r.Fold]; len(folds) > 1 {
			base = (all.fixed - own.fixed) / (all.total - own.total)
		}
		of, own := keys[key(r)], cells[cell{r.Fold, key(r)}]
		rate := (of.fixed - own.fixed + prior*base) / (of.total - own.total + prior)
		rates[i] = min(max(rate, 0), 1) // sums of weights leave rounding errors
	}
	return rates
}
