package experiment_test

import (
	"fmt"
	"math"
	"testing"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/experiment"
	"crisol/internal/random"
)

// asked is one request with what the model says and what a wargame would find.
func asked(r *random.Stream, seq int, group string) experiment.Label {
	l := label(seq, false)
	l.Group = group
	if r.Float64() < 0.4 {
		l.Side = certify.NotFixed
	}
	// Three in four are confident, and wrong in 2 % of cases; the others in 30 %.
	risk := 0.02
	if r.Float64() < 0.25 {
		risk = 0.30
		l.Stratum, l.Confidence = experiment.Unconfident, 0.7
	}
	right := map[certify.Side]crisol.Verdict{certify.Fixed: crisol.Fixed, certify.NotFixed: crisol.NotFixed}
	wrong := map[certify.Side]crisol.Verdict{certify.Fixed: crisol.Broken, certify.NotFixed: crisol.Fixed}
	l.Verdict = right[l.Side]
	if r.Float64() < risk {
		l.Verdict = wrong[l.Side]
	}
	if r.Float64() < 0.01 {
		l.Verdict = crisol.Inconclusive
	}
	l.Propensity = 1
	if l.Stratum == experiment.Confident {
		l.Propensity = 0.1
	}
	return l
}

// unweighted is what would be found if all requests were compared.
func unweighted(labels []experiment.Label) []experiment.Label {
	all := make([]experiment.Label, len(labels))
	for i, l := range labels {
		l.Propensity = 1
		all[i] = l
	}
	return all
}

// choose tosses the coin for each label.
func choose(r *random.Stream, labels []experiment.Label) []experiment.Label {
	var chosen []experiment.Label
	for _, l := range labels {
		if r.Float64() < l.Propensity {
			chosen = append(chosen, l)
		}
	}
	return chosen
}

func weigh(t testing.TB, labels []experiment.Label) experiment.Estimate {
	t.Helper()
	e, err := experiment.Weigh(labels)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestWeightedEstimatesAreRight: of 200,000 requests, the confident ones are compared one in ten.
func TestWeightedEstimatesAreRight(t *testing.T) {
	r := random.New(41)
	all := make([]experiment.Label, 200000)
	for i := range all {
		all[i] = asked(r, i+1, "")
	}
	truth, got := weigh(t, unweighted(all)), weigh(t, choose(r, all))
	for _, c := range []struct {
		name                string
		want, got           *experiment.Share
		naive               *float64
		naiveIsOff, noNaive bool
	}{
		{"accuracy", truth.Accuracy, got.Accuracy, got.RawMetrics.Accuracy, true, false},
		{"precision", truth.Precision, got.Precision, got.RawMetrics.Precision, true, false},
		{"recall", truth.Recall, got.Recall, got.RawMetrics.Recall, true, false},
		{"F1", truth.F1, got.F1, got.RawMetrics.F1, true, false},
		{"risk of fixed", truth.RiskFixed, got.RiskFixed, nil, false, true},
		{"risk of not fixed", truth.RiskNotFixed, got.RiskNotFixed, nil, false, true},
		{"coverage", truth.Coverage, got.Coverage, nil, false, true},
		{"inconclusive", truth.InconclusiveShare, got.InconclusiveShare, nil, false, true},
	} {
		naive := math.NaN()
		if !c.noNaive {
			naive = *c.naive
		}
		t.Logf("%-17s truth %.4f, weighted %.4f (%.4f to %.4f), naive %.4f", c.name, c.want.Value, c.got.Value, c.got.Low, c.got.High, naive)
		if math.Abs(c.got.Value-c.want.Value) > 0.005 {
			t.Errorf("%s: %.4f, want %.4f", c.name, c.got.Value, c.want.Value)
		}
		if c.naiveIsOff && math.Abs(naive-c.want.Value) < 0.05 {
			t.Errorf("%s: the naive value %.4f is close to %.4f: the simulation shows nothing", c.name, naive, c.want.Value)
		}
	}
	if math.Abs(got.Predictions/float64(len(all))-1) > 0.01 {
		t.Errorf("%d labels stand for %.0f predictions, want %d", got.Labels, got.Predictions, len(all))
	}
}

// TestEstimatesByHand: one label of each cell with weight 1 and nine of a true positive of weight 10, and an inconclusive one.
func TestEstimatesByHand(t *testing.T) {
	var labels []experiment.Label
	put := func(side certify.Side, verdict crisol.Verdict, propensity float64) {
		l := label(len(labels)+1, false)
		l.Side, l.Verdict, l.Propensity = side, verdict, propensity
		if propensity == 1 {
			l.Stratum = experiment.Unconfident
		}
		labels = append(labels, l)
	}
	put(certify.Fixed, crisol.Broken, 1)
	put(certify.NotFixed, crisol.Fixed, 1)
	put(certify.NotFixed, crisol.NotFixed, 1)
	put(certify.Fixed, crisol.Inconclusive, 0.1)
	for range 9 {
		put(certify.Fixed, crisol.Fixed, 0.1)
	}
	e := weigh(t, labels)
	if want := (experiment.Matrix{TruePositive: 9, FalsePositive: 1, FalseNegative: 1, TrueNegative: 1}); e.Raw != want {
		t.Errorf("raw %+v", e.Raw)
	}
	if want := (experiment.Matrix{TruePositive: 90, FalsePositive: 1, FalseNegative: 1, TrueNegative: 1}); e.Weighted != want {
		t.Errorf("weighted %+v", e.Weighted)
	}
	weighted := e.Weighted.Metrics()
	for _, c := range []struct {
		name      string
		got       *experiment.Share
		byMatrix  *float64
		want, raw float64
		gotRaw    *float64
	}{
		{"accuracy", e.Accuracy, weighted.Accuracy, 91.0 / 93, 10.0 / 12, e.RawMetrics.Accuracy},
		{"precision", e.Precision, weighted.Precision, 90.0 / 91, 0.9, e.RawMetrics.Precision},
		{"recall", e.Recall, weighted.Recall, 90.0 / 91, 0.9, e.RawMetrics.Recall},
		{"F1", e.F1, weighted.F1, 180.0 / 182, 18.0 / 20, e.RawMetrics.F1},
	} {
		if math.Abs(c.got.Value-c.want) > 1e-9 || math.Abs(*c.byMatrix-c.want) > 1e-9 || math.Abs(*c.gotRaw-c.raw) > 1e-9 {
			t.Errorf("%s: %+v and %g, raw %g; want %g, raw %g", c.name, *c.got, *c.byMatrix, *c.gotRaw, c.want, c.raw)
		}
		if !(c.got.Low >= 0 && c.got.Low < c.want && c.want < c.got.High && c.got.High <= 1) {
			t.Errorf("%s: %+v isn't inside its interval", c.name, *c.got)
		}
	}
	if e.Labels != 13 || e.Inconclusive != 1 || math.Abs(e.Predictions-103) > 1e-9 || math.Abs(e.InconclusiveShare.Value-10.0/103) > 1e-9 {
		t.Errorf("%+v", e)
	}
	if math.Abs(e.RiskFixed.Value-0.1) > 1e-9 || e.RiskNotFixed != nil {
		t.Errorf("the inconclusive label must count as an error of the confident ones: %+v, %+v", e.RiskFixed, e.RiskNotFixed)
	}
}

func TestNothingIsNoNumber(t *testing.T) {
	e := weigh(t, nil)
	if e.Accuracy != nil || e.Precision != nil || e.Recall != nil || e.F1 != nil || e.Coverage != nil || e.RawMetrics.Accuracy != nil || e.RiskFixed != nil {
		t.Errorf("%+v", e)
	}
	negative := label(1, false)
	negative.Side, negative.Verdict = certify.NotFixed, crisol.NotFixed
	e = weigh(t, []experiment.Label{negative})
	if e.Accuracy == nil || e.Accuracy.Value != 1 || e.Precision != nil || e.Recall != nil || e.F1 != nil || e.RawMetrics.F1 != nil {
		t.Errorf("one true negative: %+v", e)
	}
	other := label(2, false)
	other.Model = "rf_v2"
	if _, err := experiment.Weigh([]experiment.Label{negative, other}); crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("labels of two models: %v", err)
	}
}

// TestIntervalsCover: the share of simulations whose interval holds the truth, over the designs that matter: few labels,
// rare errors of heavy weight, and groups that err together.
func TestIntervalsCover(t *testing.T) {
	const runs = 250
	for _, c := range []struct {
		requests int
		groups   int // requests of a group
		least    float64
	}{{300, 1, 0.93}, {2000, 1, 0.92}, {2000, 10, 0.90}} {
		r := random.New(42, uint64(c.requests), uint64(c.groups))
		all := make([]experiment.Label, 100000)
		for i := range all {
			all[i] = asked(r, i+1, "")
		}
		truth := weigh(t, unweighted(all))
		names := []string{"accuracy", "precision", "recall", "F1", "risk"}
		pick := func(e experiment.Estimate) []*experiment.Share {
			return []*experiment.Share{e.Accuracy, e.Precision, e.Recall, e.F1, e.RiskFixed}
		}
		want := pick(truth)
		covered, width := make([]int, len(names)), make([]float64, len(names))
		for run := range runs {
			r := random.New(43, uint64(run))
			list := make([]experiment.Label, 0, c.requests)
			for len(list) < c.requests {
				group := ""
				if c.groups > 1 {
					group = fmt.Sprint(len(list) / c.groups)
				}
				l := asked(r, len(list)+1, group)
				for range c.groups { // all the same: errors of a group come together
					list = append(list, l)
				}
			}
			for k, share := range pick(weigh(t, choose(r, list))) {
				if share != nil && share.Low <= want[k].Value && want[k].Value <= share.High {
					covered[k]++
				}
				if share != nil {
					width[k] += (share.High - share.Low) / runs
				}
			}
		}
		for k, name := range names {
			t.Logf("%d requests, %d a group, %-9s: %.1f %% of intervals cover, mean width %.3f", c.requests, c.groups, name, 100*float64(covered[k])/runs, width[k])
			if float64(covered[k]) < c.least*runs {
				t.Errorf("%d requests, %d a group, %s: %d of %d intervals cover", c.requests, c.groups, name, covered[k], runs)
			}
		}
	}
}
