package audit_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"crisol"
	"crisol/internal/audit"
	"crisol/internal/certify"
	"crisol/internal/experiment"
	"crisol/internal/policy"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// world is an auditor over a real database, with a clock that a test moves.
type world struct {
	*testing.T
	store *sqlite.Store
	now   time.Time
	n     int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "crisol.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &world{T: t, store: st, now: noon}
}

var shadow = []audit.Model{{Version: "rf_v1"}, {Version: "gbdt_v1"}}

func (w *world) open(models []audit.Model, rule policy.Rule) *audit.Auditor {
	w.Helper()
	a, err := audit.Open(w.Context(), audit.Options{
		Store: w.store, Models: func() ([]audit.Model, error) { return models, nil }, Rule: rule, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// submission is the next request, about a vulnerability of its own.
func (w *world) submission() store.Submission {
	w.n++
	w.now = w.now.Add(time.Minute)
	id := fmt.Sprintf("01900000-0000-7000-8000-%012d", w.n)
	return store.Submission{ID: id, CreatedAt: w.now, Accepted: store.Accepted{
		ScenarioID: fmt.Sprint("scenario-", w.n), ScenarioDigest: fmt.Sprint("s", w.n), PatchDigest: fmt.Sprint("p", w.n),
		Normalised: crisol.Request{APVID: "apv", PatchDiff: "--- a"},
	}}
}

func prediction(p float64, bounds policy.Bounds) audit.Prediction {
	return audit.Prediction{
		MLPrediction: crisol.MLPrediction{Valid: p >= 0.5, Probability: p, ModelVersion: "rf_v1"}, Bounds: bounds, FeatureVersion: "f",
		Features: func() ([]byte, error) { return []byte(`[1,2]`), nil }, Others: map[string]float64{"gbdt_v1": p}, Took: time.Millisecond,
	}
}

// record keeps a finished validation with what comes with it.
func (w *world) record(sub store.Submission, v crisol.Verdict, test *store.ABTest, count *store.Count) {
	w.Helper()
	answer := crisol.Validation{ID: sub.ID, APVID: "apv", Verdict: v, PatchValidated: v == crisol.Fixed, Method: crisol.MethodWargaming, CreatedAt: sub.CreatedAt}
	if err := w.store.Record(w.Context(), []store.Entry{{Submission: sub, Validation: &answer, FinishedAt: w.now, ABTest: test, Unaudited: count}}); err != nil {
		w.Fatal(err)
	}
}

// fought is a wargame that decided beside a prediction.
func (w *world) fought(a *audit.Auditor, p float64, verdict crisol.Verdict) {
	w.Helper()
	sub := w.submission()
	said := prediction(p, a.Bounds("rf_v1", policy.Bounds{}))
	test, err := a.Judged(said, sub, crisol.Validation{Verdict: verdict, ScenarioDigest: sub.ScenarioDigest, Reason: "so it was", ExecutionTimeSeconds: 2})
	if err != nil {
		w.Fatal(err)
	}
	w.record(sub, verdict, test, nil)
	if err := a.Refresh(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func kinds(t *testing.T, st *sqlite.Store) (list []string) {
	t.Helper()
	events, err := st.Events().After(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		list = append(list, e.Kind+" "+e.Subject)
	}
	return list
}

// TestTrustIsEarnedAndLost: clean labels in shadow earn a certificate, which counts only while A/B testing is on; errors
// of what the model then decides take it away; every process tells the same, and each event once.
func TestTrustIsEarnedAndLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(shadow, policy.Certified)
	missing := a.Sides("rf_v1")[certify.Fixed].Needed
	if b := a.Bounds("rf_v1", policy.Bounds{}); b.Fixed.Certified || b.Fixed.Threshold != policy.DefaultThreshold || b.Fixed.Why == "" || missing < 50 {
		t.Fatalf("%+v, %d missing", b, missing)
	}
	before := a.Epoch()
	for range missing {
		w.fought(a, 0.95, crisol.Fixed)
	}
	if b := a.Bounds("rf_v1", policy.Bounds{}); b.Fixed.Certified || a.Sides("rf_v1")[certify.Fixed].State != experiment.Certified {
		t.Fatalf("A/B testing is off: %+v, %+v", b, a.Sides("rf_v1"))
	}
	if _, err := a.SetSwitch(t.Context(), true, 0.2); err != nil {
		t.Fatal(err)
	}
	b := a.Bounds("rf_v1", policy.Bounds{})
	if !b.Fixed.Certified || b.Fixed.Risk != 0.05 || b.NotFixed.Certified || a.Epoch() == before {
		t.Fatalf("%+v, epoch %s", b, a.Epoch())
	}
	other := w.open(shadow, policy.Certified) // another process
	if got := other.Bounds("rf_v1", policy.Bounds{}); got != b {
		t.Errorf("%+v here, %+v there", b, got)
	}

	// The model decides now, wrongly.
	for range 200 {
		sub, said := w.submission(), prediction(0.95, b)
		said.Decided = true
		test, count, err := a.Plan(said, sub)
		if err != nil {
			t.Fatal(err)
		}
		w.record(sub, crisol.Fixed, test, count)
		if test != nil {
			if err := a.Judge(t.Context(), test.ID, crisol.Validation{Verdict: crisol.NotFixed, Reason: "it still works"}); err != nil {
				t.Fatal(err)
			}
		}
		if b = a.Bounds("rf_v1", policy.Bounds{}); b.Fixed.Demoted {
			break
		}
	}
	if !b.Fixed.Demoted || b.Fixed.Certified || b.NotFixed.Demoted {
		t.Fatalf("%+v, %+v", b, a.Sides("rf_v1"))
	}
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := other.Bounds("rf_v1", policy.Bounds{}); got != b {
		t.Errorf("%+v here, %+v there", b, got)
	}
	seen := map[string]int{}
	for _, e := range kinds(t, w.store) {
		seen[e]++
	}
	if seen["model_certified rf_v1"] != 1 || seen["model_demoted rf_v1"] != 1 {
		t.Errorf("%v", seen)
	}
}

// TestPlan: the coin falls once for each request, at the rate that is set, and what isn't compared is counted.
func TestPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(shadow, policy.Threshold)
	said := prediction(0.9, a.Bounds("rf_v1", policy.Bounds{}))
	said.Decided = true
	sub := w.submission()
	if test, count, err := a.Plan(said, sub); err != nil || test != nil || count == nil || count.N != 1 {
		t.Fatalf("A/B testing is off: %+v, %+v, %v", test, count, err)
	}
	if _, err := a.SetSwitch(t.Context(), true, 0.25); err != nil {
		t.Fatal(err)
	}
	chosen := 0
	for range 2000 {
		sub := w.submission()
		test, count, err := a.Plan(said, sub)
		if err != nil || (test == nil) == (count == nil) {
			t.Fatalf("%+v, %+v, %v", test, count, err)
		}
		again, _, err := a.Plan(said, sub)
		if err != nil || (again == nil) != (test == nil) {
			t.Fatalf("a retry falls otherwise: %v", err)
		}
		if test == nil {
			continue
		}
		chosen++
		if err := test.Check(); err != nil || test.Propensity != 0.25 || test.Stratum != store.Confident || test.State != store.Pending || !test.Decided || string(test.Features) != "[1,2]" {
			t.Fatalf("%+v: %v", test, err)
		}
	}
	if chosen < 430 || chosen > 570 { // 500, standard deviation 19
		t.Errorf("%d of 2000 were chosen", chosen)
	}
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(shadow, policy.Certified)
	for _, rate := range []float64{0.01, -1, 0.6, 2} {
		if _, err := a.SetSwitch(t.Context(), true, rate); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("rate %g: %v", rate, err)
		}
	}
	if _, err := a.SetSwitch(t.Context(), true, 0.3); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SetSwitch(t.Context(), false, 0); err != nil {
		t.Fatal(err)
	}
	status, err := w.open(shadow, policy.Certified).Status(t.Context()) // it is kept
	if err != nil || status.Enabled || status.Rate != 0.3 || !status.Since.Equal(noon) || status.Policy != policy.Certified || len(status.Sides) != 4 {
		t.Errorf("%+v, %v", status, err)
	}
	if got := kinds(t, w.store); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestFigures are made of the rows.
func TestFigures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.open(shadow, policy.Certified)
	for i := range 40 {
		verdict := crisol.Fixed
		switch {
		case i%10 == 9:
			verdict = crisol.Inconclusive
		case i%4 == 3:
			verdict = crisol.Broken
		}
		w.fought(a, 0.9, verdict)
		w.fought(a, 0.3, crisol.NotFixed)
	}
	since, until := noon, w.now.Add(time.Hour)
	report, err := a.Accuracy(t.Context(), "rf_v1", since, until)
	if err != nil {
		t.Fatal(err)
	}
	raw := report.Raw
	if report.Labels != 80 || report.Inconclusive != 4 || raw.TruePositive+raw.FalsePositive != 36 || raw.TrueNegative != 40 ||
		report.Precision == nil || report.Accuracy == nil || len(report.Recent) != 20 || !report.Complete || len(report.Trend) < 2 {
		t.Errorf("%+v", report)
	}
	if want := raw.TruePositive / 36; report.Precision.Value < want-1e-9 || report.Precision.Value > want+1e-9 || report.Precision.Low >= want {
		t.Errorf("precision %+v, want %g", report.Precision, want)
	}
	stats, err := a.Stats(t.Context(), "", since, until)
	if err != nil || stats.Tests != 80 || stats.Predictions != 80 || stats.Inconclusive != 4 || stats.Decided != 0 || stats.WargamingMS == nil || *stats.WargamingMS != 2000 {
		t.Errorf("%+v, %v", stats, err)
	}
	c, err := a.Confidence(t.Context(), "rf_v1", since, until)
	if err != nil || c.Bins[9].Tests != 40 || c.Bins[3].Tests != 40 || c.Bins[9].Judged != 36 || c.Bins[3].Correct != 40 {
		t.Errorf("%+v, %v", c, err)
	}
	same, err := a.Compare(t.Context(), "rf_v1", "gbdt_v1", since)
	if err != nil || same.Pairs != 76 || same.Finding != experiment.Undecided {
		t.Errorf("%+v, %v", same, err)
	}
	none, err := a.Accuracy(t.Context(), "nobody", since, until)
	if err != nil || none.Labels != 0 || none.Accuracy != nil || none.RawMetrics.F1 != nil {
		t.Errorf("%+v, %v", none, err)
	}
	if list, err := a.Recent(t.Context(), "", 3); err != nil || len(list) != 3 || list[0].Correct == nil {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestTrustOutlivesRows: what was folded of rows that retention deletes is kept: a side that was demoted isn't trusted
// again because the rows that demoted it are gone.
func TestTrustOutlivesRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	models := []audit.Model{{Version: "rf_v1", Bounds: policy.Bounds{Fixed: policy.Bound{Certified: true, Threshold: 0.8, Risk: 0.05}}}, {Version: "gbdt_v1"}}
	a := w.open(models, policy.Certified)
	for range 40 { // it decided, wrongly
		sub, said := w.submission(), prediction(0.9, a.Bounds("rf_v1", models[0].Bounds))
		said.Decided = true
		test, err := a.Judged(said, sub, crisol.Validation{Verdict: crisol.NotFixed, ScenarioDigest: sub.ScenarioDigest, ExecutionTimeSeconds: 2})
		if err != nil {
			t.Fatal(err)
		}
		w.record(sub, crisol.Fixed, test, nil)
	}
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	was := a.Sides("rf_v1")[certify.Fixed]
	if was.State != experiment.Demoted {
		t.Fatalf("%+v", was)
	}
	folded, err := a.KeepTrust(t.Context())
	if err != nil || folded != 40 {
		t.Fatalf("%d, %v", folded, err)
	}
	gone, err := w.store.Prune(t.Context(), store.Horizon{ABTests: w.now.Add(time.Hour), Folded: folded}, 1000)
	if err != nil || gone.ABTests != 40 {
		t.Fatalf("%+v, %v", gone, err)
	}
	again := w.open(models, policy.Certified)
	if now := again.Sides("rf_v1")[certify.Fixed]; now.State != experiment.Demoted || now.Attempts != was.Attempts || again.Bounds("rf_v1", models[0].Bounds).Fixed.Certified {
		t.Errorf("%+v, was %+v", now, was)
	}
	w.fought(again, 0.9, crisol.Fixed)
	if folded, err := again.KeepTrust(t.Context()); err != nil || folded != 41 {
		t.Errorf("%d, %v", folded, err)
	}
}
