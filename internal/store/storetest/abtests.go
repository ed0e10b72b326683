package storetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"crisol"
	"crisol/internal/store"
)

// ABTest makes a pending A/B test with every field set; n makes it differ from others.
func ABTest(n int, side crisol.Verdict) store.ABTest {
	id := uuid.Must(uuid.NewV7()).String()
	return store.ABTest{
		ID: id, ValidationID: "validation of " + id, APVID: fmt.Sprint("apv-", n), CVEID: "CVE-2019-10744", PatchID: fmt.Sprint("p-", n),
		ScenarioID: "CVE-2019-10744", ScenarioDigest: "scenario", PatchDigest: fmt.Sprint("patch-", n),
		ModelVersion: "rf_v1", FeaturesVersion: "f3", ABTestVersion: 2, Prediction: side, Probability: 0.9, Confidence: 0.9,
		MLExecutionMS: 1.5, Threshold: 0.8, Stratum: store.Confident, Decided: true, Propensity: 0.1,
		Challengers: map[string]float64{"gb_v2": 0.25}, Features: json.RawMessage(`{"indices":[1,2]}`),
		SHAP:  []crisol.Contribution{{Feature: "guards", Value: 1, Contribution: 0.2}},
		State: store.Pending, CreatedAt: noon.Add(time.Duration(n) * time.Second),
	}
}

// Judged makes an A/B test one that a wargame judged.
func Judged(t store.ABTest, result crisol.Verdict) store.ABTest {
	t.State, t.WargamingResult, t.WargamingExecutionMS, t.JudgedAt = store.Judged, result, 250, noon.Add(time.Minute)
	return t
}

func judgement(result crisol.Verdict) store.Judgement {
	return store.Judgement{Verdict: result, ExecutionMS: 250, Reason: "the exploit succeeds", At: noon.Add(time.Minute)}
}

func testPlanAndJudge(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	tests := st.ABTests()
	right, wrong, unknown := ABTest(1, crisol.Fixed), ABTest(2, crisol.Fixed), ABTest(3, crisol.NotFixed)
	for _, test := range []store.ABTest{right, wrong, unknown, right} {
		must(t, tests.Plan(ctx, test))
	}
	second := ABTest(4, crisol.NotFixed) // of the same validation and model
	second.ValidationID = right.ValidationID
	must(t, tests.Plan(ctx, second))
	pending, err := tests.Pending(ctx, "", 10)
	must(t, err)
	equal(t, "pending", pending, []store.ABTest{right, wrong, unknown})
	pending, err = tests.Pending(ctx, right.ID, 1)
	must(t, err)
	equal(t, "a page of pending ones", pending, []store.ABTest{wrong})

	yes, no := true, false
	for i, c := range []struct {
		test    store.ABTest
		result  crisol.Verdict
		correct *bool
		reason  string
	}{
		{unknown, crisol.Inconclusive, nil, "the exploit succeeds"}, {right, crisol.Fixed, &yes, ""}, {wrong, crisol.Broken, &no, "the exploit succeeds"},
	} {
		j := judgement(c.result)
		j.Events = []store.Event{{At: noon, Kind: "ab_judged", Subject: c.test.ID}}
		got, err := tests.Judge(ctx, c.test.ID, j)
		must(t, err)
		want := Judged(c.test, c.result)
		want.Correct, want.DisagreementReason, want.JudgedSeq = c.correct, c.reason, int64(i+1)
		equal(t, "judged", got, want)
		got, err = tests.Get(ctx, c.test.ID)
		must(t, err)
		equal(t, "judged, as read", got, want)
	}
	pending, err = tests.Pending(ctx, "", 10)
	must(t, err)
	equal(t, "still pending", len(pending), 0)
	_, err = tests.Judge(ctx, right.ID, judgement(crisol.Broken))
	wantIs(t, err, store.ErrJudged)
	_, err = tests.Judge(ctx, "no-such", judgement(crisol.Fixed))
	wantIs(t, err, store.ErrNotFound)
	_, err = tests.Get(ctx, "no-such")
	wantIs(t, err, store.ErrNotFound)
	if _, err = tests.Judge(ctx, right.ID, store.Judgement{Verdict: "perhaps", At: noon}); crisol.KindOf(err) != crisol.KindInternal {
		t.Errorf("an unknown result: %v", err)
	}
	events, err := st.Events().After(ctx, 0, 10)
	must(t, err)
	equal(t, "events", len(events), 3)
}

func testJudgeOnce(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	test := ABTest(1, crisol.Fixed)
	must(t, st.ABTests().Plan(ctx, test))
	var won atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := st.ABTests().Judge(ctx, test.ID, judgement(crisol.Fixed)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrJudged):
				t.Errorf("judge: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "winners", won.Load(), int64(1))
	rollups, err := st.Accuracy().Hourly(ctx, noon, time.Time{}, "")
	must(t, err)
	equal(t, "counted", rollups[0].Counts, store.Counts{TruePositive: 1})
}

// testJudgedInOrder: while others judge, a reader that goes on from the last number it saw misses nothing.
func testJudgedInOrder(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	const workers, each = 4, 12
	var judging sync.WaitGroup
	for w := range workers {
		judging.Go(func() {
			for n := range each {
				test := ABTest(n, crisol.Fixed)
				var err error
				if w%2 == 0 {
					test = Judged(test, crisol.Fixed)
					err = st.Record(ctx, []store.Entry{{ABTest: &test}})
				} else if err = st.ABTests().Plan(ctx, test); err == nil {
					_, err = st.ABTests().Judge(ctx, test.ID, judgement(crisol.Fixed))
				}
				if err != nil {
					t.Errorf("judge: %v", err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { judging.Wait(); close(done) }()
	seen := map[string]bool{}
	for last, over := int64(0), false; ; {
		tests, err := st.ABTests().Judged(ctx, last, 5)
		must(t, err)
		for _, test := range tests {
			equal(t, "number", test.JudgedSeq, last+1)
			last = test.JudgedSeq
			seen[test.ID] = true
		}
		if over && len(tests) == 0 {
			break
		}
		select {
		case <-done:
			over = true
		default:
		}
	}
	equal(t, "seen", len(seen), workers*each)
}

func testRecentTests(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var all []string
	for n := range 4 {
		test := ABTest(n, []crisol.Verdict{crisol.Fixed, crisol.NotFixed}[n%2])
		test.ModelVersion = []string{"rf_v1", "rf_v1", "gb_v2", "gb_v2"}[n]
		test.Stratum = []string{store.Confident, store.Unconfident, store.Unconfident, store.Unconfident}[n]
		must(t, st.ABTests().Plan(ctx, test))
		if n == 2 {
			_, err := st.ABTests().Judge(ctx, test.ID, judgement(crisol.Fixed))
			must(t, err)
		}
		all = append(all, test.ID)
	}
	for _, c := range []struct {
		name   string
		filter store.ABFilter
		want   []int
	}{
		{"all", store.ABFilter{}, []int{3, 2, 1, 0}},
		{"model", store.ABFilter{ModelVersion: "rf_v1"}, []int{1, 0}},
		{"side", store.ABFilter{Side: crisol.NotFixed}, []int{3, 1}},
		{"stratum", store.ABFilter{Stratum: store.Confident}, []int{0}},
		{"state", store.ABFilter{State: store.Judged}, []int{2}},
		{"since", store.ABFilter{Since: noon.Add(2 * time.Second)}, []int{3, 2}},
		{"until", store.ABFilter{Until: noon.Add(2 * time.Second)}, []int{1, 0}},
		{"before", store.ABFilter{Before: all[1]}, []int{0}},
		{"limit", store.ABFilter{Limit: 2}, []int{3, 2}},
	} {
		c.filter.Limit = cmp.Or(c.filter.Limit, 10)
		tests, err := st.ABTests().Recent(ctx, c.filter)
		must(t, err)
		var got, want []string
		for _, test := range tests {
			got = append(got, test.ID)
		}
		for _, n := range c.want {
			want = append(want, all[n])
		}
		equal(t, c.name, got, want)
	}
}

// testConfusion compares every way to count with a plain loop over the same rows.
func testConfusion(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	results := []crisol.Verdict{crisol.Fixed, crisol.NotFixed, crisol.Broken, crisol.Inconclusive, ""}
	propensities := []float64{1, 0.5, 0.125}
	var want store.Confusion
	hours := map[time.Time]store.Counts{}
	for n := range 60 {
		test := ABTest(n, []crisol.Verdict{crisol.Fixed, crisol.NotFixed}[n%2])
		test.CreatedAt = noon.Add(time.Duration(n) * time.Minute)
		test.Propensity = propensities[n/3%3]
		must(t, st.ABTests().Plan(ctx, test))
		if result := results[n/2%5]; result != "" {
			_, err := st.ABTests().Judge(ctx, test.ID, judgement(result))
			must(t, err)
			counts := hours[test.CreatedAt.Truncate(time.Hour)]
			for _, c := range []*store.Counts{&want.Counts, &counts} {
				*cell(c, test.Prediction, result)++
			}
			hours[test.CreatedAt.Truncate(time.Hour)] = counts
			*weight(&want.Weights, test.Prediction, result) += 1 / test.Propensity
		}
	}
	got, err := st.Accuracy().Confusion(ctx, store.ConfusionFilter{ModelVersion: "rf_v1", Stratum: store.Confident, Since: noon, Until: noon.Add(time.Hour)})
	must(t, err)
	c, w := want.Counts, want.Weights
	want.Metrics = metrics(float64(c.TruePositive), float64(c.FalsePositive), float64(c.TrueNegative), float64(c.FalseNegative))
	want.WeightedMetrics = metrics(w.TruePositive, w.FalsePositive, w.TrueNegative, w.FalseNegative)
	same(t, "confusion", got, want)
	models, err := st.Accuracy().Models(ctx)
	must(t, err)
	equal(t, "models", len(models), 1)
	equal(t, "pending", models[0].Pending, int64(12))
	same(t, "view", models[0].Confusion, want)
	rollups, err := st.Accuracy().Hourly(ctx, noon, time.Time{}, "rf_v1")
	must(t, err)
	sums := map[time.Time]store.Counts{}
	var weights store.Weights
	for _, r := range rollups {
		s := sums[r.Hour]
		s.TruePositive += r.Counts.TruePositive
		s.FalsePositive += r.Counts.FalsePositive
		s.TrueNegative += r.Counts.TrueNegative
		s.FalseNegative += r.Counts.FalseNegative
		s.Inconclusive += r.Counts.Inconclusive
		sums[r.Hour] = s
		weights.TruePositive += r.Weights.TruePositive
		weights.FalsePositive += r.Weights.FalsePositive
		weights.TrueNegative += r.Weights.TrueNegative
		weights.FalseNegative += r.Weights.FalseNegative
		weights.Inconclusive += r.Weights.Inconclusive
	}
	equal(t, "hours", sums, hours)
	same(t, "weights by hour", store.Confusion{Weights: weights}, store.Confusion{Weights: want.Weights})
	half, err := st.Accuracy().Confusion(ctx, store.ConfusionFilter{Side: crisol.Fixed, Until: noon.Add(30 * time.Minute)})
	must(t, err)
	if half.Counts.TrueNegative+half.Counts.FalseNegative > 0 || half.Counts.TruePositive == 0 || half.Counts.TruePositive >= c.TruePositive {
		t.Errorf("one side of half an hour: %+v", half.Counts)
	}
}

func cell(c *store.Counts, side, result crisol.Verdict) *int64 {
	switch correct := store.Agrees(side, result); {
	case correct == nil:
		return &c.Inconclusive
	case side == crisol.Fixed && *correct:
		return &c.TruePositive
	case side == crisol.Fixed:
		return &c.FalsePositive
	case *correct:
		return &c.TrueNegative
	default:
		return &c.FalseNegative
	}
}

func weight(w *store.Weights, side, result crisol.Verdict) *float64 {
	switch correct := store.Agrees(side, result); {
	case correct == nil:
		return &w.Inconclusive
	case side == crisol.Fixed && *correct:
		return &w.TruePositive
	case side == crisol.Fixed:
		return &w.FalsePositive
	case *correct:
		return &w.TrueNegative
	default:
		return &w.FalseNegative
	}
}

func metrics(tp, fp, tn, fn float64) store.Metrics {
	ratio := func(a, b float64) *float64 {
		if b == 0 {
			return nil
		}
		q := a / b
		return &q
	}
	return store.Metrics{Accuracy: ratio(tp+tn, tp+fp+tn+fn), Precision: ratio(tp, tp+fp), Recall: ratio(tp, tp+fn), F1: ratio(2*tp, 2*tp+fp+fn)}
}

// same compares figures but for the rounding of sums, whose order is the database's.
func same(t *testing.T, what string, got, want store.Confusion) {
	t.Helper()
	list := func(c store.Confusion) (l []float64) {
		for _, n := range []int64{c.Counts.TruePositive, c.Counts.FalsePositive, c.Counts.TrueNegative, c.Counts.FalseNegative, c.Counts.Inconclusive} {
			l = append(l, float64(n))
		}
		l = append(l, c.Weights.TruePositive, c.Weights.FalsePositive, c.Weights.TrueNegative, c.Weights.FalseNegative, c.Weights.Inconclusive)
		for _, m := range []store.Metrics{c.Metrics, c.WeightedMetrics} {
			for _, x := range []*float64{m.Accuracy, m.Precision, m.Recall, m.F1} {
				if x == nil {
					l = append(l, -1)
				} else {
					l = append(l, *x)
				}
			}
		}
		return l
	}
	if !slices.EqualFunc(list(got), list(want), func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
		t.Fatalf("%s:\n got %v\nwant %v", what, list(got), list(want))
	}
}

// testConfusionOfNothing: where there is nothing to divide by there is no figure, and no error.
func testConfusionOfNothing(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	got, err := st.Accuracy().Confusion(ctx, store.ConfusionFilter{})
	must(t, err)
	same(t, "of no rows", got, store.Confusion{})
	models, err := st.Accuracy().Models(ctx)
	must(t, err)
	equal(t, "models", len(models), 0)
	test := ABTest(1, crisol.NotFixed)
	must(t, st.ABTests().Plan(ctx, test))
	_, err = st.ABTests().Judge(ctx, test.ID, judgement(crisol.Inconclusive))
	must(t, err)
	want := store.Confusion{Counts: store.Counts{Inconclusive: 1}, Weights: store.Weights{Inconclusive: 10}}
	got, err = st.Accuracy().Confusion(ctx, store.ConfusionFilter{})
	must(t, err)
	same(t, "of an inconclusive row", got, want)
	models, err = st.Accuracy().Models(ctx)
	must(t, err)
	same(t, "view of an inconclusive row", models[0].Confusion, want)
}
