// Package report renders evaluations: as one HTML page with plots, for people, and as Markdown tables for the model card.
// Both are made of the same tables of the same figures. In go results of package evaluate, out come bytes; it measures
// nothing and writes no file. The page holds its plots inside, asks for nothing from elsewhere and runs no script.
package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"crisol/internal/certify"
	"crisol/internal/evaluate"
)

// Report is what is rendered.
type Report struct {
	Title string
	// Facts say what was evaluated: the model's version, the rows' digest, the seed.
	Facts []Fact
	// Checks are figures that were asked for, each with what was wanted.
	Checks []Check
	Splits []Split
}

// Fact is a name with a value.
type Fact struct{ Name, Value string }

// Check is a figure held against what is wanted of it.
type Check struct {
	Name   string
	Want   string // in words: "at least 0.85"
	Figure evaluate.Estimate
	Met    bool
}

// Split is an evaluation with what was held apart in it.
type Split struct {
	Name   string
	About  string // a sentence
	Result *evaluate.Result
}

// table is what both forms are made of.
type table struct {
	Title string
	Note  string
	Head  []string
	Rows  [][]string
}

// column is a metric as tables show it.
type column struct {
	metric evaluate.Metric
	title  string
	shown  func(float64) string
}

func plain(x float64) string { return fmt.Sprintf("%.3f", x) }

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

var quality = []column{
	{evaluate.AUC, "AUC", plain}, {evaluate.ClassAUC, "AUC within class", plain}, {evaluate.VulnerabilityAUC, "AUC within vulnerability", plain},
	{evaluate.BrierSkill, "Brier skill", plain}, {evaluate.Brier, "Brier", plain}, {evaluate.LogLoss, "log loss", plain},
	{evaluate.ECE, "ECE", plain}, {evaluate.RMSCalibration, "calibration error, debiased", plain}, {evaluate.Area, "risk-coverage area", plain},
}

var decisions = []column{
	{evaluate.Accuracy, "accuracy", percent}, {evaluate.Precision, "precision", percent}, {evaluate.Recall, "recall", percent}, {evaluate.F1, "F1", percent},
}

// coverage lists, for each side, what it can cover at each risk.
func coverage() []column {
	var list []column
	for _, side := range []certify.Side{certify.Fixed, certify.NotFixed} {
		for risk, alpha := range evaluate.Risks {
			list = append(list, column{evaluate.Coverage(side, risk), fmt.Sprintf("%s at %.0f %%", words(side), 100*alpha), percent})
		}
	}
	return list
}

func certifiedCoverage() []column {
	var list []column
	for risk, alpha := range evaluate.Risks {
		for _, side := range []certify.Side{certify.Fixed, certify.NotFixed} {
			list = append(list, column{evaluate.CertifiedCoverage(side, risk), fmt.Sprintf("%s at %.0f %%", words(side), 100*alpha), percent})
		}
		list = append(list, column{evaluate.CertifiedTotal(risk), fmt.Sprintf("both at %.0f %%", 100*alpha), percent})
	}
	return list
}

func words(side certify.Side) string { return strings.ReplaceAll(string(side), "_", " ") }

// shown writes an estimate with its interval.
func shown(e evaluate.Estimate, f func(float64) string) string {
	switch {
	case math.IsNaN(e.Value):
		return "n/a"
	case math.IsNaN(e.Low) || math.IsNaN(e.High):
		return f(e.Value)
	}
	return fmt.Sprintf("%s (%s to %s)", f(e.Value), f(e.Low), f(e.High))
}

func metricTable(title, note string, r *evaluate.Result, columns []column) table {
	t := table{Title: title, Note: note, Head: []string{"model"}}
	for _, c := range columns {
		t.Head = append(t.Head, c.title)
	}
	for _, f := range r.Columns {
		row := []string{f.Name}
		for _, c := range columns {
			row = append(row, shown(f.Metrics[c.metric], c.shown))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func differenceTable(r *evaluate.Result) table {
	columns := []column{quality[0], quality[1], quality[3], quality[6], quality[8]}
	t := table{Title: "Differences", Note: "On the same resamples. An interval without 0 tells the two apart.", Head: []string{"difference"}}
	for _, c := range columns {
		t.Head = append(t.Head, c.title)
	}
	for _, d := range r.Differences {
		row := []string{d.Of + " less " + d.Less}
		for _, c := range columns {
			row = append(row, shown(d.Metrics[c.metric], func(x float64) string { return fmt.Sprintf("%+.3f", x) }))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func confusionTable(f evaluate.Figures) table {
	c := f.Confusion
	n := func(x float64) string { return fmt.Sprintf("%.4g", x) }
	return table{
		Title: "Confusion matrix of " + f.Name, Note: "By weight, predicted `fixed` from probability 1/2 on.",
		Head: []string{"", "predicted fixed", "predicted not fixed"},
		Rows: [][]string{{"fixed", n(c.TrueFixed), n(c.FalseNotFixed)}, {"not fixed", n(c.FalseFixed), n(c.TrueNotFixed)}},
	}
}

func certificateTable(f evaluate.Figures) table {
	t := table{
		Title: "Certificates of " + f.Name, Note: "One random patch of each group. A side without a certificate abstains.",
		Head: []string{"risk", "side", "from score", "decided", "wrong", "what stands behind it"},
	}
	for _, c := range f.Certificates {
		for _, one := range []certify.Certificate{c.Fixed, c.NotFixed} {
			from := "abstains"
			if !one.Abstains {
				from = map[certify.Side]string{certify.Fixed: "≥ ", certify.NotFixed: "≤ "}[one.Side] + fmt.Sprintf("%.4f", one.Threshold)
			}
			t.Rows = append(t.Rows, []string{fmt.Sprintf("%.0f %%", 100*c.Alpha), words(one.Side), from, fmt.Sprintf("%d of %d", one.Decided, one.Groups), fmt.Sprint(one.Errors), one.Reason})
		}
	}
	return t
}

func sliceTable(title string, slices []evaluate.Slice) table {
	t := table{Title: title, Head: []string{"", "rows", "groups", "fixed", "mean probability", "wrong", "Brier", "AUC"}}
	for _, s := range slices {
		name := s.Name
		if name == "" {
			name = "unknown"
		}
		t.Rows = append(t.Rows, []string{name, fmt.Sprint(s.Rows), fmt.Sprint(s.Groups), percent(s.Rate), percent(s.Mean), percent(s.Wrong), plain(s.Brier), shown(s.AUC, plain)})
	}
	return t
}

func checkTable(checks []Check) table {
	t := table{Title: "What was asked for", Head: []string{"figure", "wanted", "measured", ""}}
	for _, c := range checks {
		met := "missed"
		if c.Met {
			met = "met"
		}
		t.Rows = append(t.Rows, []string{c.Name, c.Want, shown(c.Figure, plain), met})
	}
	return t
}

// tables of a split, the model's own last.
func tables(s Split) []table {
	r := s.Result
	list := []table{metricTable("Quality", "Intervals are 95 %, by resampling whole groups.", r, quality)}
	if len(r.Differences) > 0 {
		list = append(list, differenceTable(r))
	}
	list = append(list,
		metricTable("Decisions at 1/2", "", r, decisions),
		metricTable("Coverage at a risk, empirical", "The largest share of patches that a side could decide at that risk on these rows: the threshold is chosen by the labels that it is judged by.", r, coverage()),
		metricTable("Coverage at a risk, certified", "The share of patches that a certificate lets the model decide.", r, certifiedCoverage()))
	if len(r.Columns) > 0 {
		f := r.Columns[0]
		list = append(list, confusionTable(f), certificateTable(f), sliceTable("By class", f.Classes), sliceTable("By operator", f.Operators), sliceTable("By ecosystem", f.Ecosystems))
	}
	return slices.DeleteFunc(list, func(t table) bool { return len(t.Rows) == 0 })
}

// size says what a split was measured on.
func size(r *evaluate.Result) string {
	return fmt.Sprintf("%d rows of %d vulnerabilities in %d groups, %s of them fixed; %d resamples, seed %d.", r.Rows, r.Vulnerabilities, r.Groups, percent(r.Rate), r.Resamples, r.Seed)
}
