package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crisol"
	"crisol/internal/store"
)

func testLeases(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	first, err := st.Begin(ctx, s.ID, by("one", noon))
	must(t, err)
	_, err = st.Begin(ctx, s.ID, by("two", noon.Add(time.Minute)))
	wantIs(t, err, store.ErrLeased)
	again, err := st.Begin(ctx, s.ID, by("one", noon.Add(time.Minute))) // it says itself that its attempt is over
	must(t, err)
	equal(t, "number and fence", []int64{int64(again.Number), again.Fence}, []int64{2, 2})
	wantIs(t, st.Extend(ctx, s.ID, first.Fence, noon.Add(9*time.Hour)), store.ErrLost)
	wantIs(t, st.Retry(ctx, s.ID, first.Fence, "x"), store.ErrLost)
	wantIs(t, st.Release(ctx, s.ID, first.Fence), store.ErrLost)
	must(t, st.Extend(ctx, s.ID, again.Fence, noon.Add(2*time.Hour)))
	record, err := st.Get(ctx, s.ID)
	must(t, err)
	equal(t, "worker", record.Worker, "one")
	equal(t, "lease", record.LeaseUntil, noon.Add(2*time.Hour))
	_, err = st.Begin(ctx, s.ID, by("two", noon.Add(90*time.Minute)))
	wantIs(t, err, store.ErrLeased)
	third, err := st.Begin(ctx, s.ID, by("two", noon.Add(3*time.Hour))) // it ran out, and nobody looked for expired ones
	must(t, err)
	equal(t, "number", third.Number, 3)
	wantIs(t, st.Extend(ctx, s.ID, again.Fence, noon.Add(9*time.Hour)), store.ErrLost)
	must(t, st.Release(ctx, s.ID, third.Fence))
	fourth, err := st.Begin(ctx, s.ID, by("three", noon.Add(4*time.Hour)))
	must(t, err)
	equal(t, "number of an attempt after one that was taken back", fourth.Number, 3)
	wantIs(t, st.Extend(ctx, s.ID, third.Fence, noon.Add(9*time.Hour)), store.ErrLost) // though it has the same number
}

func testExpired(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var subs []store.Submission
	for n := range 4 {
		s := accept(t, st, n)
		subs = append(subs, s)
		if n < 3 {
			_, err := st.Begin(ctx, s.ID, store.Lease{Worker: "gone", At: noon, Until: noon.Add(time.Duration(n) * time.Minute)})
			must(t, err)
		}
	}
	ids, err := st.Expired(ctx, noon.Add(90*time.Second), 1)
	must(t, err)
	equal(t, "the first", ids, []string{subs[0].ID})
	ids, err = st.Expired(ctx, noon.Add(90*time.Second), 10)
	must(t, err)
	equal(t, "the second", ids, []string{subs[1].ID})
	ids, err = st.Expired(ctx, noon.Add(90*time.Second), 10)
	must(t, err)
	equal(t, "no more", len(ids), 0)
	attempt, err := st.Begin(ctx, subs[0].ID, by("next", noon))
	must(t, err)
	equal(t, "number", attempt.Number, 2)
	if attempt.LastError == "" {
		t.Error("nothing says why the attempt before ended")
	}
}

func testLateVerdicts(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	for n, c := range []struct {
		verdict crisol.Verdict
		queued  bool // nobody has taken it over yet
		want    error
	}{
		{crisol.Inconclusive, false, store.ErrLost}, {crisol.Inconclusive, true, store.ErrLost},
		{crisol.Fixed, false, nil}, {crisol.NotFixed, true, nil}, {crisol.Broken, true, nil},
	} {
		s := accept(t, st, n)
		old, err := st.Begin(ctx, s.ID, store.Lease{Worker: "one", At: noon, Until: noon})
		must(t, err)
		ids, err := st.Expired(ctx, noon.Add(time.Second), 10)
		must(t, err)
		equal(t, "expired", ids, []string{s.ID})
		if !c.queued {
			_, err = st.Begin(ctx, s.ID, by("two", noon.Add(time.Minute)))
			must(t, err)
		}
		end := ending(s.ID, Validation(s, c.verdict))
		end.Fence = old.Fence
		if err := st.Finish(ctx, end); !errors.Is(err, c.want) {
			t.Errorf("%s, queued %v: %v, want %v", c.verdict, c.queued, err, c.want)
		}
		if c.want == nil {
			wantIs(t, st.Finish(ctx, ending(s.ID, Validation(s, crisol.Inconclusive))), store.ErrFinished)
		}
	}
}

// testRacingWorkers: of many that begin at once one does, and of many that look for expired leases each gets others.
func testRacingWorkers(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	var began atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			switch _, err := st.Begin(ctx, s.ID, by(fmt.Sprint(i), noon)); {
			case err == nil:
				began.Add(1)
			case !errors.Is(err, store.ErrLeased):
				t.Errorf("begin: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "began", began.Load(), int64(1))

	want := []string{s.ID}
	for n := range 9 {
		s := accept(t, st, n)
		_, err := st.Begin(ctx, s.ID, by("gone", noon))
		must(t, err)
		want = append(want, s.ID)
	}
	var mu sync.Mutex
	var got []string
	for range 5 {
		all.Go(func() {
			for {
				ids, err := st.Expired(ctx, noon.Add(2*time.Hour), 3)
				if err != nil {
					t.Errorf("expired: %v", err)
				}
				if len(ids) == 0 {
					return
				}
				mu.Lock()
				got = append(got, ids...)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(got)
	rest, err := st.Expired(ctx, noon.Add(2*time.Hour), 100) // one that saw only what others were taking gave up
	must(t, err)
	got = append(got, rest...)
	slices.Sort(got)
	slices.Sort(want)
	equal(t, "expired", got, want)
}

func testLoads(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	for n, client := range []string{"a", "b", "a", "a", ""} {
		s := Submission(n)
		s.Client = client
		must(t, st.Accept(ctx, s, plenty))
		if n == 3 {
			must(t, st.Finish(ctx, ending(s.ID, Validation(s, crisol.Fixed))))
		}
	}
	loads, err := st.Loads(ctx)
	must(t, err)
	equal(t, "loads", loads, map[string]int{"a": 2, "b": 1, "": 1})
}

func testRevocation(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	var subs []store.Submission
	for n, verdict := range []crisol.Verdict{crisol.Fixed, crisol.NotFixed, crisol.Inconclusive, crisol.Fixed, crisol.Fixed, ""} {
		s := Submission(n)
		s.ScenarioDigest = []string{"old", "old", "old", "new", "older", "old"}[n]
		must(t, st.Accept(ctx, s, plenty))
		subs = append(subs, s)
		if verdict != "" {
			must(t, st.Finish(ctx, ending(s.ID, Validation(s, verdict))))
		}
	}
	based := func(after string, limit int) []string {
		rows, err := st.BasedOn(ctx, "CVE-2019-10744", "new", after, limit)
		must(t, err)
		return ids(rows)
	}
	equal(t, "based on other versions", based("", 10), []string{subs[0].ID, subs[1].ID, subs[4].ID})
	equal(t, "a page of them", based(subs[0].ID, 1), []string{subs[1].ID})
	must(t, st.Supersede(ctx, subs[1].ID, "again"))
	r := store.Revocation{ID: subs[0].ID, By: "anew", Reason: "a new exploit succeeds", At: noon.Add(time.Hour),
		Events:     []store.Event{{At: noon, Kind: "revoked", Subject: subs[0].ID}},
		Deliveries: []store.Delivery{{ID: "d", ValidationID: subs[0].ID, Kind: "revoked", URL: "u", CreatedAt: noon}}}
	must(t, st.Revoke(ctx, r))
	must(t, st.Revoke(ctx, r)) // changes nothing, and tells nobody again
	equal(t, "what is left", based("", 10), []string{subs[4].ID})
	if err := st.Revoke(ctx, store.Revocation{ID: subs[5].ID, By: "x", At: noon}); crisol.KindOf(err) != crisol.KindInternal {
		t.Errorf("a verdict that was never given was revoked: %v", err)
	}
	record, err := st.Get(ctx, subs[0].ID)
	must(t, err)
	equal(t, "verdict", record.Verdict, crisol.Fixed) // what was answered stays on record
	equal(t, "revocation", []any{record.Revoked, record.SupersededBy, record.RevokedReason, record.RevokedAt},
		[]any{true, "anew", "a new exploit succeeds", noon.Add(time.Hour)})
	rows, err := st.List(ctx, store.Filter{Revoked: true, Limit: 10})
	must(t, err)
	equal(t, "revoked ones", ids(rows), []string{subs[0].ID})
	events, err := st.Events().After(ctx, 0, 10)
	must(t, err)
	equal(t, "events", len(events), 1)
	_, err = st.Deliveries().Get(ctx, "d")
	must(t, err)
}

// testUntidyText: what a database can't hold as it is doesn't stop a validation, and evidence is kept exactly.
func testUntidyText(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := Submission(1)
	s.Normalised.APVID, s.Client = "a\x00pv", "cli\xffent"
	must(t, st.Accept(ctx, s, plenty))
	attempt, err := st.Begin(ctx, s.ID, by("w", noon))
	must(t, err)
	must(t, st.Retry(ctx, s.ID, attempt.Fence, "out\x00put \xfe"))
	v := Validation(s, crisol.Broken)
	v.Reason = "it said \x00"
	must(t, st.Finish(ctx, ending(s.ID, v)))
	record, err := st.Get(ctx, s.ID)
	must(t, err)
	equal(t, "row", []string{record.APVID, record.Client, record.LastError, record.Reason},
		[]string{"a\uFFFDpv", "cli\uFFFDent", "out\uFFFDput \uFFFD", "it said \uFFFD"})
	equal(t, "request", record.Request.APVID, "a\x00pv")
	equal(t, "verdict", record.Validation.Reason, "it said \x00")
	rows, err := st.List(ctx, store.Filter{APVID: "a\x00pv", Limit: 10})
	must(t, err)
	equal(t, "found by its name", len(rows), 1)
	_, err = st.Get(ctx, "no\x00such")
	wantIs(t, err, store.ErrNotFound)
	_, err = st.State(ctx, "no\xffsuch")
	wantIs(t, err, store.ErrNotFound)
}

func testEndingTogether(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	s := accept(t, st, 1)
	ab := Judged(ABTest(1, crisol.Fixed), crisol.Broken)
	end := store.Ending{ID: s.ID, Validation: Validation(s, crisol.Broken), At: noon, ABTest: &ab,
		Events:     []store.Event{{At: noon, Kind: "finished", Subject: s.ID}},
		Deliveries: []store.Delivery{{ID: "d-1", ValidationID: s.ID, Kind: "finished", URL: "https://x", Body: []byte("{}"), CreatedAt: noon}}}
	must(t, st.Finish(ctx, end))
	wantIs(t, st.Finish(ctx, end), store.ErrFinished)
	tests, err := st.ABTests().Judged(ctx, 0, 10)
	must(t, err)
	equal(t, "tests", len(tests), 1)
	events, err := st.Events().After(ctx, 0, 10)
	must(t, err)
	equal(t, "events", len(events), 1)
	due, err := st.Deliveries().Due(ctx, noon, noon.Add(time.Minute), 10)
	must(t, err)
	equal(t, "deliveries", len(due), 1)
}
