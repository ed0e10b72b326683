package train

import (
	"context"

	"crisol/internal/predict"
)

// Split learns a random forest of the learnt rows, by number, and returns its scores, not calibrated, of the judged ones.
// The n-grams' scores of the learnt rows are out of fold. It is for splits that folds can't express: by time, by
// ecosystem, by operator.
func Split(ctx context.Context, d Data, learnt, judged []int, o Options) ([]float64, error) {
	o = o.defaults()
	part := Data{Set: d.Set}
	part.Rows = nil
	renumbered := map[int]int{}
	for _, i := range learnt {
		fold, known := renumbered[d.Folds[i]]
		if !known {
			fold = len(renumbered)
			renumbered[d.Folds[i]] = fold
		}
		part.Rows, part.Groups, part.Folds = append(part.Rows, d.Rows[i]), append(part.Groups, d.Groups[i]), append(part.Folds, fold)
	}
	s := newUnscored(part)
	model, err := s.fit(-1, -1)
	if err != nil {
		return nil, err
	}
	for fold := range part.folds() {
		if err := s.score(fold, fold, s.own); err != nil {
			return nil, err
		}
	}
	grow := o.forest(len(s.names))
	trained, err := grow.Train(ctx, s.all())
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(judged))
	for k, i := range judged {
		grams := model.Score(nil, predict.Sparse(d.Rows[i].NGrams))
		if scores[k], err = trained.Model.Predict(extended(d.Rows[i].Vector, grams)); err != nil {
			return nil, err
		}
	}
	return scores, nil
}
