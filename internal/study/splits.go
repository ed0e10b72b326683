package study

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"crisol"
	"crisol/internal/dataset"
	"crisol/internal/evaluate"
	"crisol/internal/evaluate/report"
	"crisol/internal/train"
)

// Bounds of the further splits: what is judged of time, and how few rows are too few to say anything.
const (
	judgedByTime = 0.3
	fewRows      = 50
	coarseFolds  = 3 // of splits that learn a forest for each operator
)

// byTime learns from older vulnerabilities and judges newer ones. Rows without a CVE have no date and are left out.
func (s *Study) byTime(ctx context.Context, o Options) (*report.Split, error) {
	var dated []int
	for i, row := range s.rows {
		if !row.Time.IsZero() {
			dated = append(dated, i)
		}
	}
	part, day, err := evaluate.ByTime(s.pick(dated), judgedByTime)
	if err != nil || len(part.Train) < fewRows || len(part.Test) < fewRows {
		o.say("no split by time: %d rows have a date, %d and %d remain on its sides", len(dated), len(part.Train), len(part.Test))
		return nil, nil //nolint:nilerr // too little to split is no fault; the report then lacks the section, and it was said
	}
	for _, side := range [][]int{part.Train, part.Test} {
		for k := range side {
			side[k] = dated[side[k]]
		}
	}
	o.say("judging %d rows of %d and later by %d rows from before", len(part.Test), day.Year(), len(part.Train))
	split := report.Split{Name: "By time", About: fmt.Sprintf("Learnt from CVEs numbered before %d, judged on those from then on; %d rows without a CVE are left out. Scores are the forest's own, not calibrated.", day.Year(), len(s.rows)-len(dated))}
	split.Result, err = s.judge(ctx, part, o)
	return &split, err
}

// byEcosystem learns from npm and judges all others.
func (s *Study) byEcosystem(ctx context.Context, o Options) (*report.Split, error) {
	part, err := evaluate.ByEcosystem(s.rows, "npm")
	if err != nil || len(part.Train) < fewRows || len(part.Test) < fewRows {
		o.say("no split by ecosystem: %d and %d rows are on its sides", len(part.Train), len(part.Test))
		return nil, nil //nolint:nilerr // as in byTime
	}
	o.say("judging %d rows of other ecosystems by %d of npm", len(part.Test), len(part.Train))
	split := report.Split{Name: "npm to others", About: "Learnt from npm, judged on every other ecosystem. Scores are the forest's own, not calibrated."}
	split.Result, err = s.judge(ctx, part, o)
	return &split, err
}

// coarse is the fold of a row among a few.
func (s *Study) coarse() []evaluate.Row {
	rows := slices.Clone(s.rows)
	for i := range rows {
		rows[i].Fold %= coarseFolds
	}
	return rows
}

// byOperator judges the patches of each operator by what was learnt from those of all others.
func (s *Study) byOperator(ctx context.Context, o Options) (*report.Split, error) {
	rows, scores := s.coarse(), make([]float64, len(s.rows))
	parts := evaluate.ByOperator(rows)
	for n, part := range parts {
		o.say("judging operators by models of the others: %d of %d", n+1, len(parts))
		got, err := train.Split(ctx, s.Data, part.Train, part.Test, o.train())
		if err != nil {
			return nil, fmt.Errorf("without operator %s: %w", part.Name, err)
		}
		for k, i := range part.Test {
			scores[i] = got[k]
		}
	}
	split := report.Split{Name: "Leave one operator out", About: fmt.Sprintf("Each row is judged by a model that saw neither its group (%d folds) nor any patch made by its operator. Scores are the forest's own, not calibrated.", coarseFolds)}
	var err error
	split.Result, err = evaluate.Evaluate(rows, []evaluate.Column{{Name: train.ForestVersion, Probabilities: scores}}, evaluate.Options{Seed: o.Seed, Resamples: o.Resamples, Workers: o.Workers})
	return &split, err
}

// leak asks whether the features betray by which operator a patch was made, its label being known: a model that can tell
// might learn the operators' habits in place of what makes a fix.
func (s *Study) leak(ctx context.Context, o Options) ([]report.Check, error) {
	var checks []report.Check
	for _, verdict := range []crisol.Verdict{crisol.Fixed, crisol.NotFixed} {
		auc, operators, err := s.operatorAUC(ctx, verdict == crisol.Fixed, o)
		if err != nil {
			return nil, err
		}
		if operators == 0 {
			continue
		}
		checks = append(checks, report.Check{
			Name:   fmt.Sprintf("telling the operator among patches that are %s: mean AUC over %d operators", verdict, operators),
			Want:   "at most 0.60", // chance is 0.50
			Figure: auc, Met: auc.Value <= 0.60,
		})
	}
	return checks, nil
}

// operatorAUC is the mean AUC, over operators, of telling its patches from the others of the same label. Low and High are
// the least and the greatest operator's.
func (s *Study) operatorAUC(ctx context.Context, fixed bool, o Options) (evaluate.Estimate, int, error) {
	counts := map[string]int{}
	var among []int
	for i, row := range s.rows {
		if row.Label == fixed {
			counts[row.Operator]++
			among = append(among, i)
		}
	}
	var all []float64
	for _, operator := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[operator]; n < fewRows || n > len(among)-fewRows {
			continue
		}
		o.say("telling operator %s apart", operator)
		auc, err := s.tell(ctx, operator, among, o)
		if err != nil {
			return evaluate.Estimate{}, 0, fmt.Errorf("tell operator %s: %w", operator, err)
		}
		all = append(all, auc)
	}
	if len(all) == 0 {
		return evaluate.Estimate{}, 0, nil
	}
	sum := 0.0
	for _, auc := range all {
		sum += auc
	}
	return evaluate.Estimate{Value: sum / float64(len(all)), Low: slices.Min(all), High: slices.Max(all)}, len(all), nil
}

// tell is the AUC of telling one operator's patches from the rest of some rows, in unseen groups.
func (s *Study) tell(ctx context.Context, operator string, among []int, o Options) (float64, error) {
	d := s.Data
	d.Rows = make([]dataset.Row, len(s.Rows))
	rows := s.coarse()
	for i, row := range s.Rows {
		row.Verdict = crisol.NotFixed
		if rows[i].Label = row.Operator == operator; rows[i].Label {
			row.Verdict = crisol.Fixed
		}
		d.Rows[i] = row
	}
	var judged []evaluate.Row
	var scores []float64
	for fold := range coarseFolds {
		var learnt, test []int
		for _, i := range among {
			if rows[i].Fold == fold {
				test = append(test, i)
				judged = append(judged, rows[i])
			} else {
				learnt = append(learnt, i)
			}
		}
		got, err := train.Split(ctx, d, learnt, test, o.train())
		if err != nil {
			return 0, err
		}
		scores = append(scores, got...)
	}
	result, err := evaluate.Evaluate(judged, []evaluate.Column{{Name: operator, Probabilities: scores}}, evaluate.Options{Resamples: 1, Workers: o.Workers})
	if err != nil {
		return 0, err
	}
	return result.Columns[0].Metrics[evaluate.AUC].Value, nil
}
