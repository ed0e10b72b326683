package storetest

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"crisol"
	"crisol/internal/store"
)

// entry makes an answer without a trial, with an A/B test where n is even and a count where it is odd.
func entry(n int) store.Entry {
	s := Submission(n)
	v := Validation(s, []crisol.Verdict{crisol.Fixed, crisol.NotFixed}[n%2])
	v.Method = crisol.MethodML
	e := store.Entry{Submission: s, Validation: &v, FinishedAt: s.CreatedAt,
		Events: []store.Event{{At: noon, Kind: "finished", Subject: s.ID}}}
	if n%2 == 0 {
		t := ABTest(n, crisol.Fixed)
		t.ValidationID = s.ID
		e.ABTest = &t
	} else {
		e.Unaudited = &store.Count{Hour: noon, ModelVersion: "rf_v1", Side: crisol.NotFixed, Stratum: store.Confident, Method: crisol.MethodML}
	}
	return e
}

func testRecord(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	e := entry(1)
	e.Deliveries = []store.Delivery{{ID: "d", ValidationID: e.Submission.ID, Kind: "finished", URL: "u", CreatedAt: noon}}
	for range 2 { // the second time nothing is left to do
		must(t, st.Record(ctx, []store.Entry{e, e}))
	}
	record, err := st.Get(ctx, e.Submission.ID)
	must(t, err)
	s := e.Submission
	equal(t, "record", record, store.Record{
		Row: store.Row{
			ID: s.ID, State: store.Finished, APVID: "apv-1", CVEID: "CVE-2019-10744", PatchID: "p-1",
			ScenarioID: "CVE-2019-10744", ScenarioDigest: "scenario-1", PatchDigest: "patch-1", CreatedAt: s.CreatedAt,
			FinishedAt: s.CreatedAt, Mode: store.ModeMLFirst, Client: "client-1", Priority: 2, Webhook: "https://hooks.example/1",
			Outcome: store.OutcomeOf(*e.Validation),
		},
		Request: s.Normalised, Validation: e.Validation,
	})
	counts, err := st.Counters().Range(ctx, noon, noon.Add(time.Hour), "")
	must(t, err)
	want := *e.Unaudited
	want.Hour, want.N = noon.Truncate(time.Hour), 1
	equal(t, "counts", counts, []store.Count{want})
	events, err := st.Events().After(ctx, 0, 10)
	must(t, err)
	equal(t, "events", len(events), 1)
	due, err := st.Deliveries().Due(ctx, noon, noon.Add(time.Minute), 10)
	must(t, err)
	equal(t, "deliveries", len(due), 1)
	must(t, st.Record(ctx, nil))

	alone := ABTest(7, crisol.NotFixed)
	must(t, st.Record(ctx, []store.Entry{{ABTest: &alone}}))
	got, err := st.ABTests().Get(ctx, alone.ID)
	must(t, err)
	equal(t, "test alone", got, alone)
}

// testRecordMany: a batch of any size is kept whole, beside entries that are kept already.
func testRecordMany(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var all []store.Entry
	for n := range 150 {
		all = append(all, entry(n))
	}
	must(t, st.Record(ctx, all[:7]))
	must(t, st.Record(ctx, all[3:]))
	rows, err := st.List(ctx, store.Filter{State: store.Finished, Method: crisol.MethodML, Limit: 1000})
	must(t, err)
	equal(t, "rows", len(rows), 150)
	for _, row := range rows {
		record, err := st.Get(ctx, row.ID)
		must(t, err)
		equal(t, "its own request", record.Request.APVID, row.APVID)
		equal(t, "its own verdict", record.Validation.ID, row.ID)
	}
	tests, err := st.ABTests().Pending(ctx, "", 1000)
	must(t, err)
	equal(t, "tests", len(tests), 75)
	counts, err := st.Counters().Range(ctx, noon, time.Time{}, "rf_v1")
	must(t, err)
	equal(t, "counted", counts[0].N, int64(75))
	_, newest, err := st.Events().Span(ctx)
	must(t, err)
	equal(t, "events", newest, int64(150))
}

// testRecordRacing: the same entries from several processes at once are kept once.
func testRecordRacing(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var all []store.Entry
	for n := range 40 {
		e := entry(n)
		if e.ABTest != nil && n%4 == 0 {
			judged := Judged(*e.ABTest, crisol.Fixed)
			e.ABTest = &judged
		}
		all = append(all, e)
	}
	var racing sync.WaitGroup
	for i := range 4 {
		racing.Go(func() {
			for from := range 4 {
				if err := st.Record(ctx, all[(from+i)%4*10:(from+i)%4*10+10]); err != nil {
					t.Errorf("record: %v", err)
				}
			}
		})
	}
	racing.Wait()
	counts, err := st.Counters().Range(ctx, noon, time.Time{}, "")
	must(t, err)
	equal(t, "counted", counts[0].N, int64(20))
	judged, err := st.ABTests().Judged(ctx, 0, 100)
	must(t, err)
	equal(t, "judged", len(judged), 10)
	for i, test := range judged {
		equal(t, "number", test.JudgedSeq, int64(i+1))
	}
	rollups, err := st.Accuracy().Hourly(ctx, noon, time.Time{}, "")
	must(t, err)
	equal(t, "rolled up", rollups[0].Counts, store.Counts{TruePositive: 10})
	events, err := st.Events().After(ctx, 0, 100)
	must(t, err)
	equal(t, "events", len(events), 40)
}

// testRecordRefuses: what could not be kept is refused before anything is, and names itself.
func testRecordRefuses(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	good := entry(2)
	for what, change := range map[string]func(e *store.Entry){
		"no verdict":              func(e *store.Entry) { e.Validation.Verdict = "" },
		"validated, not fixed":    func(e *store.Entry) { e.Validation.Verdict = crisol.NotFixed },
		"confidence is no number": func(e *store.Entry) { e.Validation.Confidence = math.NaN() },
		"no id":                   func(e *store.Entry) { e.Submission.ID = "" },
		"no time":                 func(e *store.Entry) { e.FinishedAt = time.Time{} },
		"propensity of nothing":   func(e *store.Entry) { e.ABTest.Propensity = 0 },
		"propensity above one":    func(e *store.Entry) { e.ABTest.Propensity = 1.01 },
		"propensity no number":    func(e *store.Entry) { e.ABTest.Propensity = math.NaN() },
		"unknown stratum":         func(e *store.Entry) { e.ABTest.Stratum = "odd" },
		"no side":                 func(e *store.Entry) { e.ABTest.Prediction = crisol.Broken },
		"judged without a result": func(e *store.Entry) { e.ABTest.State = store.Judged },
		"features no JSON":        func(e *store.Entry) { e.ABTest.Features = []byte("{") },
		"a count on its own":      func(e *store.Entry) { e.Validation, e.Unaudited = nil, &store.Count{Hour: noon} },
		"an event on its own":     func(e *store.Entry) { e.Validation = nil },
	} {
		bad := entry(4)
		bad.Validation.PatchValidated = true
		change(&bad)
		err := st.Record(ctx, []store.Entry{good, bad})
		if err == nil || crisol.KindOf(err) != crisol.KindInternal {
			t.Errorf("%s: %v", what, err)
		}
		if bad.Check() == nil {
			t.Errorf("%s passes its check", what)
		}
	}
	rows, err := st.List(ctx, store.Filter{Limit: 10})
	must(t, err)
	equal(t, "rows", len(rows), 0)
}

// key makes a key that differs by n.
func key(n int) string { return fmt.Sprint("key-", n) }
