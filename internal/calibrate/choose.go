package calibrate

import (
	"cmp"
	"math"
	"slices"

	"crisol"
)

// IsotonicLabels is how many labels there must be more of before Choose considers isotonic regression.
const IsotonicLabels = 1500

// folds is how many parts of the groups Choose tries a form on.
const folds = 5

// Choose fits the form that predicts the labels of unseen groups best: Platt's curve, Platt's curve of the log odds where
// all scores are shares, and isotonic regression where there are more than IsotonicLabels labels. Each is fitted to four
// fifths of the groups and judged by its log loss on the rest, five times; a draw goes to the simpler one, and so does a
// set of groups that can't be split with both labels on each side.
func Choose(d Data) (*Calibrator, error) {
	d, err := d.check()
	if err != nil {
		return nil, err
	}
	if d.Groups == nil {
		return nil, crisol.Errorf(crisol.KindInput, "choose a calibration: rows have no groups")
	}
	forms := []func(Data) (*Calibrator, error){FitPlatt}
	if shares(d.Scores) {
		forms = append(forms, FitPlattOdds)
	}
	if len(d.Scores) > IsotonicLabels {
		forms = append(forms, FitIsotonic)
	}
	fold := deal(d.Groups)
	best, least := forms[0], math.Inf(1)
	for _, form := range forms {
		// The margin keeps rounding from deciding.
		if loss := unseen(d, fold, form); loss < least-1e-9 {
			best, least = form, loss
		}
	}
	return best(d)
}

// deal gives every row the fold of its group: the largest group first, each to the fold with the fewest rows.
func deal(groups []int) []int {
	size := map[int]int{}
	for _, g := range groups {
		size[g]++
	}
	var order []int
	for g := range size {
		order = append(order, g)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(size[b], size[a]), cmp.Compare(a, b)) })
	var rows [folds]int
	fold := map[int]int{}
	for _, g := range order {
		least := 0
		for f := range rows {
			if rows[f] < rows[least] {
				least = f
			}
		}
		fold[g] = least
		rows[least] += size[g]
	}
	of := make([]int, len(groups))
	for i, g := range groups {
		of[i] = fold[g]
	}
	return of
}

// unseen is the weighted log loss of a form on folds that it wasn't fitted to; infinite where it can't be fitted.
func unseen(d Data, fold []int, form func(Data) (*Calibrator, error)) float64 {
	loss := 0.0
	for f := range folds {
		var rest Data
		for i := range d.Scores {
			if fold[i] != f {
				rest.Scores = append(rest.Scores, d.Scores[i])
				rest.Labels = append(rest.Labels, d.Labels[i])
				rest.Weights = append(rest.Weights, d.Weights[i])
			}
		}
		c, err := form(rest)
		if err != nil {
			return math.Inf(1)
		}
		for i := range d.Scores {
			if fold[i] != f {
				continue
			}
			p := c.Probability(d.Scores[i])
			if !d.Labels[i] {
				p = 1 - p
			}
			loss -= d.Weights[i] * math.Log(p)
		}
	}
	return loss
}
