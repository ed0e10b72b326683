// Package study takes a file of labelled rows to models and to figures about them.
//
// It settles what belongs together (groups), which rows judge which models (folds), and what everything is compared with;
// the learning is package train's, the figures are package evaluate's. In go rows; out come bundles and a report. It
// reads and writes no file, and the same rows and options give the same bytes.
package study

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/dataset"
	"crisol/internal/evaluate"
	"crisol/internal/evaluate/report"
	"crisol/internal/train"
)

// FoldCount is how many folds the groups are dealt to.
const FoldCount = 10

// Options steer a study.
type Options struct {
	Seed      uint64 // 0 means 1
	Workers   int    // 0 means one for each processor; nothing but the time depends on it
	Resamples int    // of the bootstrap; 0 means 1000
	// Generation numbers the models: 2 makes rf_v2; 0 means 1.
	Generation int
	// Vulnerability names the features that tell of the vulnerability and not of the patch.
	Vulnerability []string
	// Progress hears what is being done; nil hears nothing.
	Progress func(string)
}

func (o Options) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

func (o Options) train() train.Options {
	return train.Options{Seed: o.Seed, Workers: o.Workers, Generation: o.Generation}
}

// Study is a set of rows with their groups and folds. Rows that static checks decide are not among them: no model is
// asked about such a patch.
type Study struct {
	train.Data
	rows   []evaluate.Row
	static tally
}

// tally counts the rows that static checks decide, and how many of those a wargame found fixed after all.
type tally struct{ decided, wrong int }

// New groups rows by package, CVE and near-duplicate diff, and deals the groups to folds. digest is the SHA-256 of the
// file that the rows came from, in hex.
func New(set dataset.Set, digest string, o Options) (*Study, error) {
	if len(set.Rows) == 0 {
		return nil, crisol.Errorf(crisol.KindInput, "there are no labelled rows to learn from")
	}
	s := &Study{Data: train.Data{Set: set, RowsDigest: digest}}
	s.Rows = nil
	for _, row := range set.Rows {
		switch {
		case row.Static == "":
			s.Rows = append(s.Rows, row)
		case row.Fixed():
			s.static.wrong++
			fallthrough
		default:
			s.static.decided++
		}
	}
	set.Rows = s.Rows
	keys, labels := make([]evaluate.Key, len(set.Rows)), make([]bool, len(set.Rows))
	for i, row := range set.Rows {
		keys[i].Links = []string{row.Ecosystem + " " + row.Package, row.CVE}
		for _, gram := range row.NGrams {
			keys[i].Grams = append(keys[i].Grams, uint32(gram.Bucket))
		}
		labels[i] = row.Fixed()
	}
	var err error
	if s.Groups, err = evaluate.Components(keys, evaluate.Near{}); err != nil {
		return nil, fmt.Errorf("group the rows: %w", err)
	}
	if s.Folds, err = evaluate.Folds(s.Groups, labels, FoldCount, o.Seed); err != nil {
		return nil, fmt.Errorf("deal the groups to folds: %w", err)
	}
	s.rows = make([]evaluate.Row, len(set.Rows))
	for i, row := range set.Rows {
		s.rows[i] = evaluate.Row{
			Group: s.Groups[i], Vulnerability: row.Scenario, Class: row.Class, Operator: row.Operator, Ecosystem: row.Ecosystem,
			Time: published(row.CVE), Label: labels[i], Weight: row.Weighs(), Fold: s.Folds[i],
		}
	}
	return s, nil
}

// published is the first day of the year in a CVE's name, the zero time where there is none. The year is that in which
// the number was reserved, which is seldom later than the vulnerability became known and seldom more than a year before.
func published(cve string) time.Time {
	parts := strings.Split(cve, "-")
	if len(parts) != 3 {
		return time.Time{}
	}
	day, err := time.Parse("2006", parts[1])
	if err != nil {
		return time.Time{}
	}
	return day
}

// Models are what a study trains.
type Models struct{ Forest, Boosting train.Trained }

// Train trains the models. Their provenance holds the figures of their scores out of fold.
func (s *Study) Train(ctx context.Context, o Options) (m Models, err error) {
	o.say("training on %d rows of %d scenarios in %d folds", len(s.Rows), s.scenarios(), FoldCount)
	if m.Forest, m.Boosting, err = train.Run(ctx, s.Data, o.train()); err != nil {
		return m, err
	}
	for _, t := range []train.Trained{m.Forest, m.Boosting} {
		o.say("measuring %s", t.Bundle.Version)
		got, err := evaluate.Evaluate(s.rows, []evaluate.Column{{Name: t.Bundle.Version, Probabilities: t.Probabilities}}, evaluate.Options{Seed: o.Seed, Resamples: 1, Workers: o.Workers})
		if err != nil {
			return m, fmt.Errorf("measure %s: %w", t.Bundle.Version, err)
		}
		t.Bundle.Provenance.Measured = map[string]float64{}
		for _, metric := range []evaluate.Metric{evaluate.AUC, evaluate.ClassAUC, evaluate.BrierSkill, evaluate.ECE, evaluate.Accuracy, evaluate.Precision, evaluate.Recall, evaluate.F1} {
			if e := got.Columns[0].Metrics[metric]; e.Value == e.Value { // NaN can't be written
				t.Bundle.Provenance.Measured[string(metric)] = e.Value
			}
		}
	}
	return m, nil
}

func (s *Study) scenarios() int {
	seen := map[string]bool{}
	for _, row := range s.Rows {
		seen[row.Scenario] = true
	}
	return len(seen)
}

// Report evaluates the models beside every baseline, and under other splits.
func (s *Study) Report(ctx context.Context, m Models, o Options) (report.Report, error) {
	r := report.Report{Title: "Evaluation of the models", Facts: s.facts(m)}
	main, err := s.main(ctx, m, o)
	if err != nil {
		return r, err
	}
	r.Splits = append(r.Splits, main)
	r.Checks = append(checks(main.Result), s.skipped(main.Result))
	for _, split := range []func(context.Context, Options) (*report.Split, error){s.byTime, s.byEcosystem, s.byOperator} {
		part, err := split(ctx, o)
		if err != nil {
			return r, err
		}
		if part != nil {
			r.Splits = append(r.Splits, *part)
		}
	}
	leak, err := s.leak(ctx, o)
	if err != nil {
		return r, err
	}
	r.Checks = append(r.Checks, leak...)
	return r, nil
}

func (s *Study) facts(m Models) []report.Fact {
	v := m.Forest.Bundle.Provenance
	facts := []report.Fact{
		{Name: "Models", Value: m.Forest.Bundle.Version + ", " + m.Boosting.Bundle.Version},
		{Name: "Features", Value: fmt.Sprintf("version %s, %d and the n-grams' score", s.FeatureVersion, len(s.Features))},
		{Name: "Rows", Value: fmt.Sprintf("%d, %d of them fixed, of %d scenarios in %d groups", v.Rows, v.Fixed, s.scenarios(), v.Groups)},
		{Name: "Decided by static checks, and not among the rows", Value: fmt.Sprintf("%d, of which a wargame found %d fixed", s.static.decided, s.static.wrong)},
		{Name: "Digest of the rows", Value: s.RowsDigest},
		{Name: "Digest of the corpus", Value: s.CorpusDigest},
		{Name: "Seed", Value: fmt.Sprint(v.Seed)},
	}
	for _, t := range []train.Trained{m.Forest, m.Boosting} {
		for _, c := range []certify.Certificate{t.Bundle.Certificates.Fixed, t.Bundle.Certificates.NotFixed} {
			facts = append(facts, report.Fact{Name: fmt.Sprintf("Certificate of %s for %s", t.Bundle.Version, c.Side), Value: c.Reason})
		}
	}
	return facts
}

// main is the split that the models are judged by: groups that they didn't see.
func (s *Study) main(ctx context.Context, m Models, o Options) (report.Split, error) {
	split := report.Split{Name: "Unseen groups", About: fmt.Sprintf("%d folds; vulnerabilities of one package, of one CVE or with near-duplicate patches are in one fold.", FoldCount)}
	o.say("learning the baselines")
	baselines, err := train.Baselines(ctx, s.Data, o.Vulnerability, o.train())
	if err != nil {
		return split, err
	}
	columns := []evaluate.Column{
		{Name: m.Forest.Bundle.Version, Probabilities: m.Forest.Probabilities},
		{Name: m.Boosting.Bundle.Version, Probabilities: m.Boosting.Probabilities},
	}
	for _, b := range baselines {
		columns = append(columns, evaluate.Column(b))
	}
	columns = append(columns,
		evaluate.Column{Name: classRate, Probabilities: evaluate.ClassRate(s.rows)},
		evaluate.Column{Name: majority, Probabilities: evaluate.BaseRate(s.rows)})
	o.say("measuring %d columns", len(columns))
	split.Result, err = evaluate.Evaluate(s.rows, columns, evaluate.Options{Seed: o.Seed, Resamples: o.Resamples, Workers: o.Workers})
	return split, err
}

// Names of the columns that need no learning.
const (
	classRate = "rate of the class"
	majority  = "majority"
)

// checks holds the figures against what is wanted of them.
func checks(r *evaluate.Result) []report.Check {
	best := r.Columns[0]
	at := func(metric evaluate.Metric) evaluate.Estimate { return best.Metrics[metric] }
	list := []report.Check{
		{Name: best.Name + ": AUC", Want: "at least 0.85", Figure: at(evaluate.AUC), Met: at(evaluate.AUC).Value >= 0.85},
		{Name: best.Name + ": expected calibration error", Want: "at most 0.03", Figure: at(evaluate.ECE), Met: at(evaluate.ECE).Value <= 0.03},
		{Name: best.Name + ": Brier skill", Want: "at least 0.25", Figure: at(evaluate.BrierSkill), Met: at(evaluate.BrierSkill).Value >= 0.25},
		{Name: best.Name + ": decided under a certificate at 5 % risk", Want: "at least 0.25", Figure: at(evaluate.CertifiedTotal(2)), Met: at(evaluate.CertifiedTotal(2)).Value >= 0.25},
	}
	for _, d := range r.Differences {
		got := d.Metrics[evaluate.AUC]
		switch d.Less {
		case r.Columns[1].Name: // the other model is no baseline
		case train.NineColumn:
			list = append(list, report.Check{Name: "AUC above " + d.Less, Want: "at least 0.10, the interval above 0", Figure: got, Met: got.Value >= 0.10 && got.Low > 0})
		default:
			list = append(list, report.Check{Name: "AUC above " + d.Less, Want: "above 0", Figure: got, Met: got.Low > 0})
		}
	}
	return list
}

// skipped is the share of candidates that need no trial: those that static checks decide, and those that the best model
// decides under a certificate for 5 %.
func (s *Study) skipped(r *evaluate.Result) report.Check {
	all := float64(s.static.decided + len(s.Rows))
	share := func(model float64) float64 { return (float64(s.static.decided) + model*float64(len(s.Rows))) / all }
	got := r.Columns[0].Metrics[evaluate.CertifiedTotal(2)]
	figure := evaluate.Estimate{Value: share(got.Value), Low: share(got.Low), High: share(got.High)}
	return report.Check{Name: "trials that static checks and " + r.Columns[0].Name + " make needless", Want: "at least 0.50", Figure: figure, Met: figure.Value >= 0.5}
}

// pick copies the rows with the given numbers.
func (s *Study) pick(numbers []int) []evaluate.Row {
	rows := make([]evaluate.Row, len(numbers))
	for k, i := range numbers {
		rows[k] = s.rows[i]
	}
	return rows
}

func (s *Study) rate(numbers []int) float64 {
	fixed := 0
	for _, i := range numbers {
		if s.rows[i].Label {
			fixed++
		}
	}
	return float64(fixed) / float64(len(numbers))
}

// judge learns a forest of one part of the rows and measures it on another.
func (s *Study) judge(ctx context.Context, part evaluate.Split, o Options) (*evaluate.Result, error) {
	scores, err := train.Split(ctx, s.Data, part.Train, part.Test, o.train())
	if err != nil {
		return nil, fmt.Errorf("split %s: %w", part.Name, err)
	}
	base := slices.Repeat([]float64{s.rate(part.Train)}, len(part.Test))
	return evaluate.Evaluate(s.pick(part.Test), []evaluate.Column{{Name: train.ForestVersion, Probabilities: scores}, {Name: majority, Probabilities: base}},
		evaluate.Options{Seed: o.Seed, Resamples: o.Resamples, Workers: o.Workers, Reference: base})
}
