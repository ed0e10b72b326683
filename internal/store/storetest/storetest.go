// Package storetest is the suite that every adapter of the store contract passes.
//
// In goes a function that opens an empty store and, where the adapter can, one that opens the same store anew. The
// suite knows the contract only: no database, no file.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"crisol"
	"crisol/internal/store"
)

// Adapter is an adapter under test.
type Adapter struct {
	// Open opens an empty store that is closed when the test ends.
	Open func(t *testing.T) store.Store
	// Reopen closes a store that Open returned and opens what it kept, as a new process would.
	Reopen func(t *testing.T, s store.Store) store.Store
}

// Run runs the suite.
func Run(t *testing.T, a Adapter) {
	for name, test := range map[string]func(*testing.T, Adapter){
		"RoundTrip":         testRoundTrip,
		"UnknownID":         testUnknownID,
		"Lifecycle":         testLifecycle,
		"OneVerdict":        testOneVerdict,
		"RacingVerdicts":    testRacingVerdicts,
		"Bound":             testBound,
		"RacingAccepts":     testRacingAccepts,
		"DuplicateID":       testDuplicateID,
		"Invariants":        testInvariants,
		"RecoverAfterDeath": testRecoverAfterDeath,
		"Unfinished":        testUnfinished,
		"Filters":           testFilters,
		"FiltersLikeModel":  testFiltersLikeModel,
		"PagesUnderInserts": testPagesUnderInserts,
		"CancelledContext":  testCancelledContext,

		"Leases":             testLeases,
		"Expired":            testExpired,
		"LateVerdicts":       testLateVerdicts,
		"RacingWorkers":      testRacingWorkers,
		"Loads":              testLoads,
		"Revocation":         testRevocation,
		"Untidy":             testUntidyText,
		"EndingTogether":     testEndingTogether,
		"Record":             testRecord,
		"RecordMany":         testRecordMany,
		"RecordRacing":       testRecordRacing,
		"RecordRefuses":      testRecordRefuses,
		"PlanAndJudge":       testPlanAndJudge,
		"JudgeOnce":          testJudgeOnce,
		"JudgedInOrder":      testJudgedInOrder,
		"RecentTests":        testRecentTests,
		"Confusion":          testConfusion,
		"ConfusionOfNothing": testConfusionOfNothing,
		"Counters":           testCounters,
		"Settings":           testSettings,
		"Events":             testEvents,
		"EventsInOrder":      testEventsInOrder,
		"Deliveries":         testDeliveries,
		"DeliveriesShared":   testDeliveriesShared,
		"Retention":          testRetention,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, a) })
	}
}

// noon is the time at which tests begin; databases keep microseconds.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

const plenty = 1 << 20

// Submission makes a submission with every field set; n makes it differ from others.
func Submission(n int) store.Submission {
	return store.Submission{
		ID:        uuid.Must(uuid.NewV7()).String(),
		CreatedAt: noon.Add(time.Duration(n) * time.Second),
		Mode:      store.ModeMLFirst, Client: fmt.Sprintf("client-%d", n), Priority: 2, Webhook: "https://hooks.example/1",
		Accepted: store.Accepted{
			ScenarioID: "CVE-2019-10744", ScenarioDigest: fmt.Sprintf("scenario-%d", n), PatchDigest: fmt.Sprintf("patch-%d", n),
			Normalised: crisol.Request{
				APVID: fmt.Sprintf("apv-%d", n), CVEID: "CVE-2019-10744", PatchID: fmt.Sprintf("p-%d", n),
				PatchDiff:           "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\x00\u2028é\n+'; DROP TABLE validations; --\n",
				Vulnerability:       &crisol.Vulnerability{Type: "sql_injection", Severity: "high", AffectedCode: "q(s)"},
				Patch:               &crisol.CodePatch{Type: "parameterized_query", Code: "q(?, s)"},
				ConfidenceThreshold: 0.8, ScenarioID: "CVE-2019-10744", Wait: "30s", MinAssurance: crisol.A2,
			},
		},
	}
}

// Validation makes the answer to s with every field set.
func Validation(s store.Submission, verdict crisol.Verdict) crisol.Validation {
	reached, at := true, noon.Add(-time.Hour)
	return crisol.Validation{
		ID: s.ID, APVID: s.Normalised.APVID, CVEID: s.Normalised.CVEID, PatchID: s.Normalised.PatchID,
		ScenarioID: s.ScenarioID, Verdict: verdict, PatchValidated: verdict == crisol.Fixed,
		Method: crisol.MethodWargaming, Cached: true, Assurance: crisol.A3, Confidence: 0.99, ResidualRisk: 0.01,
		ExecutionTimeSeconds: 1.25, Reason: "the exploit is blocked",
		Wargame: &crisol.WargameResult{Status: crisol.WargameSuccess, Phase1Passed: true, Phase2Passed: true,
			Gates: []crisol.Gate{{Name: crisol.GateExploitPatched, Outcome: crisol.Passed, Runs: 3, Evidence: "blocked",
				Checks: []crisol.Check{{ID: "proof", Side: crisol.Patched, Outcome: crisol.Passed, Oracle: "exit 1",
					Reached: &reached, Cached: &at, Runs: []crisol.Run{{Command: []string{"node", "x.js"}, Exit: 1,
						WallSeconds: 0.1, CPUSeconds: 0.05, Stdout: "out", Unenforced: []string{"disk"}}}}}}}},
		ScenarioDigest: s.ScenarioDigest, PatchDigest: s.PatchDigest, CreatedAt: s.CreatedAt,
	}
}

func accept(t *testing.T, st store.Store, n int) store.Submission {
	t.Helper()
	s := Submission(n)
	must(t, st.Accept(t.Context(), s, plenty))
	return s
}

// by is the claim of a worker for an hour.
func by(worker string, at time.Time) store.Lease {
	return store.Lease{Worker: worker, At: at, Until: at.Add(time.Hour)}
}

// ending ends a validation from outside, whoever works on it.
func ending(id string, v crisol.Validation) store.Ending {
	return store.Ending{ID: id, Validation: v, At: noon}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func testRoundTrip(t *testing.T, a Adapter) {
	st := a.Open(t)
	s := accept(t, st, 1)
	record, err := st.Get(t.Context(), s.ID)
	must(t, err)
	want := store.Row{
		ID: s.ID, State: store.Queued, APVID: "apv-1", CVEID: "CVE-2019-10744", PatchID: "p-1",
		ScenarioID: "CVE-2019-10744", ScenarioDigest: "scenario-1", PatchDigest: "patch-1", CreatedAt: s.CreatedAt,
		Mode: store.ModeMLFirst, Client: "client-1", Priority: 2, Webhook: "https://hooks.example/1",
	}
	equal(t, "queued record", record, store.Record{Row: want, Request: s.Normalised})

	attempt, err := st.Begin(t.Context(), s.ID, by("w", noon.Add(time.Minute)))
	must(t, err)
	equal(t, "attempt", attempt, store.Attempt{Submission: s, Number: 1, Fence: 1})

	v := Validation(s, crisol.Fixed)
	v.ScenarioDigest = "scenario-1-as-run"
	must(t, st.Finish(t.Context(), store.Ending{ID: s.ID, Validation: v, At: noon.Add(time.Hour), Fence: attempt.Fence}))
	want.State, want.Attempts = store.Finished, 1
	want.StartedAt, want.FinishedAt = noon.Add(time.Minute), noon.Add(time.Hour)
	want.Worker = "w"
	want.ScenarioDigest, want.Outcome = "scenario-1-as-run", store.OutcomeOf(v)
	for range 2 { // as it is, and as the next process finds it
		record, err = st.Get(t.Context(), s.ID)
		must(t, err)
		equal(t, "finished record", record, store.Record{Row: want, Request: s.Normalised, Validation: &v})
		rows, err := st.List(t.Context(), store.Filter{Limit: 10})
		must(t, err)
		equal(t, "list", rows, []store.Row{want})
		st = a.Reopen(t, st)
	}
}

func testUnknownID(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	accept(t, st, 1)
	_, err := st.Get(ctx, "no-such")
	wantIs(t, err, store.ErrNotFound)
	_, err = st.State(ctx, "no-such")
	wantIs(t, err, store.ErrNotFound)
	_, err = st.Begin(ctx, "no-such", by("w", noon))
	wantIs(t, err, store.ErrNotFound)
	wantIs(t, st.Extend(ctx, "no-such", 1, noon), store.ErrNotFound)
	wantIs(t, st.Retry(ctx, "no-such", 1, "x"), store.ErrNotFound)
	wantIs(t, st.Release(ctx, "no-such", 1), store.ErrNotFound)
	wantIs(t, st.Supersede(ctx, "no-such", "x"), store.ErrNotFound)
	wantIs(t, st.Revoke(ctx, store.Revocation{ID: "no-such", By: "x", At: noon}), store.ErrNotFound)
	wantIs(t, st.Finish(ctx, ending("no-such", Validation(Submission(2), crisol.Broken))), store.ErrNotFound)
	if kind := crisol.KindOf(err); kind != crisol.KindNotFound {
		t.Fatalf("kind %v", kind)
	}
}

func testLifecycle(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	wantState := func(want store.State) {
		t.Helper()
		got, err := st.State(ctx, s.ID)
		must(t, err)
		equal(t, "state", got, want)
	}
	wantState(store.Queued)
	for number, end := range []func(fence int64) error{
		func(fence int64) error { return st.Retry(ctx, s.ID, fence, "registry does not answer") },
		func(fence int64) error { return st.Release(ctx, s.ID, fence) },
		func(int64) error { return st.Finish(ctx, ending(s.ID, Validation(s, crisol.Inconclusive))) },
	} {
		attempt, err := st.Begin(ctx, s.ID, by("w", noon))
		must(t, err)
		equal(t, "number", attempt.Number, []int{1, 2, 2}[number])
		equal(t, "last error", attempt.LastError, []string{"", "registry does not answer", "registry does not answer"}[number])
		equal(t, "fence", attempt.Fence, int64(number+1))
		wantState(store.Running)
		must(t, end(attempt.Fence))
		if number < 2 {
			must(t, st.Release(ctx, s.ID, attempt.Fence)) // queued already: nothing to do, and no attempt to take back
		}
	}
	wantState(store.Finished)
}

func testOneVerdict(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	must(t, st.Finish(ctx, ending(s.ID, Validation(s, crisol.NotFixed)))) // a queued one may end too: cancelled
	wantIs(t, st.Finish(ctx, ending(s.ID, Validation(s, crisol.Fixed))), store.ErrFinished)
	_, err := st.Begin(ctx, s.ID, by("w", noon))
	wantIs(t, err, store.ErrFinished)
	wantIs(t, st.Extend(ctx, s.ID, 1, noon), store.ErrFinished)
	wantIs(t, st.Retry(ctx, s.ID, 1, "x"), store.ErrFinished)
	wantIs(t, st.Release(ctx, s.ID, 1), store.ErrFinished)
	record, err := st.Get(ctx, s.ID)
	must(t, err)
	equal(t, "verdict", record.Verdict, crisol.NotFixed)
	equal(t, "evidence", record.Validation.Verdict, crisol.NotFixed)
}

func testRacingVerdicts(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			v := Validation(s, crisol.Inconclusive)
			v.Reason = fmt.Sprint(i)
			switch err := st.Finish(ctx, ending(s.ID, v)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrFinished):
				t.Errorf("finish: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "winners", won.Load(), int64(1))
	record, err := st.Get(ctx, s.ID)
	must(t, err)
	equal(t, "row and evidence agree", record.Reason, record.Validation.Reason)
}

func testBound(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	first, second := Submission(1), Submission(2)
	must(t, st.Accept(ctx, first, 2))
	must(t, st.Accept(ctx, second, 2))
	_, err := st.Begin(ctx, first.ID, by("w", noon))
	must(t, err)
	third := Submission(3)
	wantIs(t, st.Accept(ctx, third, 2), store.ErrFull) // a running one counts too
	_, err = st.Get(ctx, third.ID)
	wantIs(t, err, store.ErrNotFound)
	must(t, st.Finish(ctx, ending(first.ID, Validation(first, crisol.Broken))))
	must(t, st.Accept(ctx, third, 2))
}

func testRacingAccepts(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var accepted atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			switch err := st.Accept(ctx, Submission(i), 5); {
			case err == nil:
				accepted.Add(1)
			case !errors.Is(err, store.ErrFull):
				t.Errorf("accept: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "accepted", accepted.Load(), int64(5))
}

func testDuplicateID(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	other := Submission(2)
	other.ID = s.ID
	if err := st.Accept(ctx, other, plenty); err == nil {
		t.Fatal("a second submission took the id of the first")
	}
	record, err := st.Get(ctx, s.ID)
	must(t, err)
	equal(t, "request", record.Request, s.Normalised)
}

// testInvariants: whatever the code above does, the store keeps out what would read as a fix that was never shown.
func testInvariants(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	for what, change := range map[string]func(*crisol.Validation){
		"an end without a verdict":         func(v *crisol.Validation) { v.Verdict = "" },
		"an unknown verdict":               func(v *crisol.Validation) { v.Verdict = "probably_fixed" },
		"validated without being fixed":    func(v *crisol.Validation) { v.Verdict = crisol.Inconclusive; v.PatchValidated = true },
		"validated though it is not fixed": func(v *crisol.Validation) { v.Verdict = crisol.NotFixed; v.PatchValidated = true },
	} {
		v := Validation(s, crisol.Fixed)
		change(&v)
		if err := st.Finish(ctx, ending(s.ID, v)); err == nil {
			t.Errorf("%s was stored", what)
		}
		record, err := st.Get(ctx, s.ID)
		must(t, err)
		equal(t, what+": state", record.State, store.Queued)
	}
}

func testRecoverAfterDeath(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	running, queued, done := accept(t, st, 1), accept(t, st, 2), accept(t, st, 3)
	_, err := st.Begin(ctx, running.ID, by("w", noon))
	must(t, err)
	must(t, st.Finish(ctx, ending(done.ID, Validation(done, crisol.Fixed))))
	st = a.Reopen(t, st)
	n, err := st.Recover(ctx)
	must(t, err)
	equal(t, "recovered", n, 1)
	ids, err := st.Unfinished(ctx, "", 10)
	must(t, err)
	equal(t, "unfinished", ids, []string{running.ID, queued.ID})
	attempt, err := st.Begin(ctx, running.ID, by("w", noon))
	must(t, err)
	equal(t, "attempt after a death", attempt, store.Attempt{Submission: running, Number: 2, Fence: 2})
}

func testUnfinished(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var want []string
	for n := range 7 {
		s := accept(t, st, n)
		if n%3 == 2 {
			must(t, st.Finish(ctx, ending(s.ID, Validation(s, crisol.Broken))))
			continue
		}
		want = append(want, s.ID)
	}
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := st.Unfinished(ctx, after, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	equal(t, "unfinished", got, want)
}

func testFilters(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var subs []store.Submission
	for n := range 4 {
		s := Submission(n)
		s.Normalised.CVEID = []string{"CVE-1", "CVE-1", "CVE-2", ""}[n]
		s.ScenarioID = []string{"s-1", "s-2", "s-1", ""}[n]
		if n == 1 {
			s.Mode = ""
		}
		must(t, st.Accept(ctx, s, plenty))
		subs = append(subs, s)
	}
	_, err := st.Begin(ctx, subs[1].ID, by("w", noon))
	must(t, err)
	must(t, st.Finish(ctx, ending(subs[2].ID, Validation(subs[2], crisol.NotFixed))))
	for _, c := range []struct {
		name   string
		filter store.Filter
		want   []int
	}{
		{"all", store.Filter{}, []int{3, 2, 1, 0}},
		{"state", store.Filter{State: store.Running}, []int{1}},
		{"verdict", store.Filter{Verdict: crisol.NotFixed}, []int{2}},
		{"apv", store.Filter{APVID: "apv-3"}, []int{3}},
		{"cve", store.Filter{CVEID: "CVE-1"}, []int{1, 0}},
		{"patch", store.Filter{PatchID: "p-0"}, []int{0}},
		{"scenario", store.Filter{ScenarioID: "s-1"}, []int{2, 0}},
		{"mode", store.Filter{Mode: store.ModeValidate}, []int{1}},
		{"client", store.Filter{Client: "client-3"}, []int{3}},
		{"method", store.Filter{Method: crisol.MethodWargaming}, []int{2}},
		{"revoked", store.Filter{Revoked: true}, nil},
		{"since", store.Filter{Since: subs[2].CreatedAt}, []int{3, 2}},
		{"until", store.Filter{Until: subs[2].CreatedAt}, []int{1, 0}},
		{"before", store.Filter{Before: subs[2].ID}, []int{1, 0}},
		{"together", store.Filter{CVEID: "CVE-1", State: store.Queued}, []int{0}},
		{"none", store.Filter{CVEID: "CVE-1", Verdict: crisol.Fixed}, nil},
		{"quoting", store.Filter{CVEID: "' OR 1=1 --"}, nil},
	} {
		c.filter.Limit = 10
		rows, err := st.List(ctx, c.filter)
		must(t, err)
		var want []string
		for _, n := range c.want {
			want = append(want, subs[n].ID)
		}
		equal(t, c.name, ids(rows), want)
	}
}

func ids(rows []store.Row) (ids []string) {
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

// testFiltersLikeModel compares any combination of filters with a plain loop over the same rows.
func testFiltersLikeModel(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	verdicts := []crisol.Verdict{crisol.Fixed, crisol.NotFixed, crisol.Broken, crisol.Inconclusive}
	var all []store.Row
	for n := range 24 {
		s := Submission(n)
		s.Normalised.CVEID, s.ScenarioID = fmt.Sprint("CVE-", n%3), fmt.Sprint("s-", n%4)
		must(t, st.Accept(ctx, s, plenty))
		if n%2 == 0 {
			must(t, st.Finish(ctx, ending(s.ID, Validation(s, verdicts[n/2%4]))))
		}
		record, err := st.Get(ctx, s.ID)
		must(t, err)
		all = append(all, record.Row)
	}
	slices.Reverse(all)
	rapid.Check(t, func(rt *rapid.T) {
		f := store.Filter{
			State:      rapid.SampledFrom([]store.State{"", store.Queued, store.Finished}).Draw(rt, "state"),
			Verdict:    rapid.SampledFrom(append(verdicts, "", "", "")).Draw(rt, "verdict"),
			CVEID:      rapid.SampledFrom([]string{"", "CVE-0", "CVE-2", "CVE-9"}).Draw(rt, "cve"),
			ScenarioID: rapid.SampledFrom([]string{"", "s-1", "s-3"}).Draw(rt, "scenario"),
			Limit:      rapid.IntRange(1, 30).Draw(rt, "limit"),
		}
		if rapid.Bool().Draw(rt, "since?") {
			f.Since = noon.Add(time.Duration(rapid.IntRange(-1, 25).Draw(rt, "since")) * time.Second)
		}
		if rapid.Bool().Draw(rt, "until?") {
			f.Until = noon.Add(time.Duration(rapid.IntRange(-1, 25).Draw(rt, "until")) * time.Second)
		}
		if rapid.Bool().Draw(rt, "before?") {
			f.Before = rapid.SampledFrom(all).Draw(rt, "before").ID
		}
		rows, err := st.List(ctx, f)
		if err != nil {
			rt.Fatal(err)
		}
		if want := selectRows(all, f); !slices.Equal(ids(rows), ids(want)) {
			rt.Fatalf("%+v selects %v, want %v", f, ids(rows), ids(want))
		}
	})
}

func selectRows(all []store.Row, f store.Filter) (rows []store.Row) {
	matches := func(r store.Row) bool {
		return (f.State == "" || r.State == f.State) && (f.Verdict == "" || r.Verdict == f.Verdict) &&
			(f.CVEID == "" || r.CVEID == f.CVEID) && (f.ScenarioID == "" || r.ScenarioID == f.ScenarioID) &&
			(f.Since.IsZero() || !r.CreatedAt.Before(f.Since)) && (f.Until.IsZero() || r.CreatedAt.Before(f.Until)) &&
			(f.Before == "" || strings.Compare(r.ID, f.Before) < 0)
	}
	for _, r := range all {
		if len(rows) < f.Limit && matches(r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// testPagesUnderInserts walks through pages of any size while others insert: what was there at the start comes once,
// in order, and nothing comes twice.
func testPagesUnderInserts(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var before []string
	for n := range 12 {
		before = append(before, accept(t, st, n).ID)
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := store.Filter{Limit: rapid.IntRange(5, 30).Draw(rt, "limit")}
		insertAt := rapid.IntRange(0, 3).Draw(rt, "page during which one is inserted")
		seen := map[string]int{}
		var order []string
		for n := 0; ; n++ {
			var inserting sync.WaitGroup
			if n == insertAt {
				inserting.Go(func() {
					if err := st.Accept(ctx, Submission(99), plenty); err != nil {
						t.Errorf("accept: %v", err)
					}
				})
			}
			page, err := st.List(ctx, f)
			inserting.Wait()
			if err != nil {
				rt.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, id := range ids(page) {
				seen[id]++
				order = append(order, id)
			}
			f.Before = order[len(order)-1]
		}
		for _, id := range before {
			if seen[id] != 1 {
				rt.Fatalf("%s was listed %d times", id, seen[id])
			}
		}
		if len(seen) != len(order) {
			rt.Fatalf("listed twice: %v", order)
		}
		if !slices.IsSortedFunc(order, func(x, y string) int { return strings.Compare(y, x) }) {
			rt.Fatalf("not newest first: %v", order)
		}
	})
}

func testCancelledContext(t *testing.T, a Adapter) {
	st := a.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := Submission(1)
	if err := st.Accept(ctx, s, plenty); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Fatalf("accept: %v", err)
	}
	if _, err := st.List(ctx, store.Filter{Limit: 1}); err == nil {
		t.Fatal("a cancelled list succeeded")
	}
	must(t, st.Accept(t.Context(), s, plenty)) // nothing of the first try is left
}
