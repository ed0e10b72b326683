package experiment_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/experiment"
)

// TestWorkedExample makes the two blocks of docs/experiment.md.
func TestWorkedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/experiment.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []string{trustExample(t), estimateExample(t)} {
		if !strings.Contains(string(page), "```\n"+block+"```\n") {
			t.Errorf("docs/experiment.md doesn't have this block:\n%s", block)
		}
	}
}

// trustExample is the way of one side: of a model that is right at first, and whose every fifth decision is wrong later.
func trustExample(t *testing.T) string {
	var b strings.Builder
	trust := newTrust(t, experiment.Design{})
	asked, compared := 0, 0
	row := func(what string) {
		s := trust.Status("rf_v1", certify.Fixed)
		evidence := fmt.Sprintf("e-value %5.1f of %g, %3d needed", s.EValue, s.Target, s.Needed)
		if s.Trusted() {
			evidence = fmt.Sprintf("detector %6.1f of %g", s.Detector, s.Alarm)
		}
		line := fmt.Sprintf("%5d  %8d  %-9s  %-31s  %s", asked, compared, s.State, evidence, what)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	// ask for n requests, of which the design compares an even share; wrong says whether the nth that is compared is.
	ask := func(n int, wrong func(n int) bool) {
		share := 0.0
		for first := compared; n > 0; n-- {
			asked++
			s := trust.Status("rf_v1", certify.Fixed)
			q := trust.Design().Propensity(s.Trusted(), s.Raised())
			if share += q; share < 1-1e-9 {
				continue
			}
			share--
			compared++
			l := label(asked, wrong(compared-first))
			l.Seq, l.Propensity, l.Decided = int64(compared), q, s.Trusted()
			for _, e := range add(t, trust, l) {
				row("-> " + string(e.Kind))
			}
		}
	}
	never := func(int) bool { return false }
	fmt.Fprintf(&b, "%5s  %8s  %-9s  %s\n", "asked", "compared", "state", "evidence")
	row("nothing is known")
	ask(40, never)
	row("right ones")
	ask(1, func(int) bool { return true })
	row("a wrong one")
	ask(150, never)
	row("right ones; one in ten is compared now")
	ask(2000, func(n int) bool { return n%60 == 0 })
	row("one in sixty was wrong")
	ask(700, func(n int) bool { return n%5 == 0 })
	row("one in five has been wrong since")
	return b.String()
}

// estimateExample has 1000 predictions: 750 confident ones, of which 75 were compared, and 250 others, which all were.
func estimateExample(t *testing.T) string {
	var labels []experiment.Label
	put := func(n int, stratum experiment.Stratum, side certify.Side, verdict crisol.Verdict) {
		for range n {
			l := label(len(labels)+1, false)
			l.Stratum, l.Side, l.Verdict = stratum, side, verdict
			if stratum == experiment.Confident {
				l.Propensity = 0.1
			}
			labels = append(labels, l)
		}
	}
	put(44, experiment.Confident, certify.Fixed, crisol.Fixed)
	put(1, experiment.Confident, certify.Fixed, crisol.Broken)
	put(30, experiment.Confident, certify.NotFixed, crisol.NotFixed)
	put(90, experiment.Unconfident, certify.Fixed, crisol.Fixed)
	put(45, experiment.Unconfident, certify.Fixed, crisol.NotFixed)
	put(30, experiment.Unconfident, certify.NotFixed, crisol.Fixed)
	put(80, experiment.Unconfident, certify.NotFixed, crisol.NotFixed)
	put(5, experiment.Unconfident, certify.Fixed, crisol.Inconclusive)
	e := weigh(t, labels)
	var b strings.Builder
	fmt.Fprintf(&b, "%d labels for %.0f predictions, %d of them inconclusive\n\n", e.Labels, e.Predictions, e.Inconclusive)
	fmt.Fprintf(&b, "%-28s  %5s  %8s\n", "", "raw", "weighted")
	for _, c := range []struct {
		name          string
		raw, weighted float64
	}{
		{"said fixed, was", e.Raw.TruePositive, e.Weighted.TruePositive},
		{"said fixed, wasn't", e.Raw.FalsePositive, e.Weighted.FalsePositive},
		{"said not fixed, was", e.Raw.FalseNegative, e.Weighted.FalseNegative},
		{"said not fixed, wasn't", e.Raw.TrueNegative, e.Weighted.TrueNegative},
	} {
		fmt.Fprintf(&b, "%-28s  %5.0f  %8.0f\n", c.name, c.raw, c.weighted)
	}
	for _, c := range []struct {
		name string
		raw  *float64
		got  *experiment.Share
	}{
		{"accuracy", e.RawMetrics.Accuracy, e.Accuracy},
		{"precision", e.RawMetrics.Precision, e.Precision},
		{"recall", e.RawMetrics.Recall, e.Recall},
		{"F1", e.RawMetrics.F1, e.F1},
		{"risk of confident `fixed`", nil, e.RiskFixed},
	} {
		raw := ""
		if c.raw != nil {
			raw = fmt.Sprintf("%.3f", *c.raw)
		}
		fmt.Fprintf(&b, "%-28s  %5s  %8.3f  (%.3f to %.3f)\n", c.name, raw, c.got.Value, c.got.Low, c.got.High)
	}
	return b.String()
}
