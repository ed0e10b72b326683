package storetest

import (
	"sync"
	"testing"
	"time"

	"crisol"
	"crisol/internal/store"
)

func testDeliveries(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	box := st.Deliveries()
	d := store.Delivery{ID: "d-1", ValidationID: "v", Kind: "finished", URL: "https://hooks.example/1", Body: []byte{'{', 0, 255, '}'},
		CreatedAt: noon, NextAt: noon}
	must(t, box.Enqueue(ctx, d))
	twice := d
	twice.URL = "https://elsewhere.example"
	must(t, box.Enqueue(ctx, twice))
	got, err := box.Get(ctx, d.ID)
	must(t, err)
	equal(t, "as kept", got, d)

	due, err := box.Due(ctx, noon.Add(-time.Second), noon, 10)
	must(t, err)
	equal(t, "too early", len(due), 0)
	due, err = box.Due(ctx, noon, noon.Add(time.Minute), 10)
	must(t, err)
	want := d
	want.Attempts, want.NextAt = 1, noon.Add(time.Minute)
	equal(t, "due", due, []store.Delivery{want})
	due, err = box.Due(ctx, noon.Add(time.Second), noon.Add(time.Minute), 10)
	must(t, err)
	equal(t, "while somebody is at it", len(due), 0)
	due, err = box.Due(ctx, noon.Add(2*time.Minute), noon.Add(3*time.Minute), 10) // who was at it is gone
	must(t, err)
	equal(t, "attempts", due[0].Attempts, 2)
	wantIs(t, box.Done(ctx, d.ID, 1, noon), store.ErrLost)
	wantIs(t, box.Fail(ctx, d.ID, 1, store.Failure{Reason: "x", At: noon}), store.ErrLost)
	must(t, box.Fail(ctx, d.ID, 2, store.Failure{Reason: "503", At: noon, Next: noon.Add(time.Hour)}))
	got, err = box.Get(ctx, d.ID)
	must(t, err)
	equal(t, "failed", []any{got.LastError, got.NextAt, got.Ended.IsZero()}, []any{"503", noon.Add(time.Hour), true})
	due, err = box.Due(ctx, noon.Add(time.Hour), noon.Add(2*time.Hour), 10)
	must(t, err)
	equal(t, "due again", len(due), 1)
	must(t, box.Done(ctx, d.ID, 3, noon.Add(time.Hour)))
	wantIs(t, box.Done(ctx, d.ID, 3, noon), store.ErrLost) // it has ended
	got, err = box.Get(ctx, d.ID)
	must(t, err)
	equal(t, "delivered", []any{got.Ended, got.GivenUp}, []any{noon.Add(time.Hour), false})

	must(t, box.Enqueue(ctx, store.Delivery{ID: "d-2", ValidationID: "v", Kind: "finished", URL: "u", CreatedAt: noon}))
	due, err = box.Due(ctx, noon, noon.Add(time.Minute), 10)
	must(t, err)
	tries := due[0].Attempts
	must(t, box.Fail(ctx, "d-2", tries, store.Failure{Reason: "put off", At: noon, Next: noon.Add(2 * time.Hour), Untried: true}))
	due, err = box.Due(ctx, noon.Add(2*time.Hour), noon.Add(3*time.Hour), 10)
	must(t, err)
	equal(t, "an attempt that was not made", []any{len(due), due[0].ID, due[0].Attempts, due[0].LastError}, []any{1, "d-2", tries, "put off"})
	must(t, box.Fail(ctx, "d-2", due[0].Attempts, store.Failure{Reason: "410", At: noon.Add(time.Second)}))
	got, err = box.Get(ctx, "d-2")
	must(t, err)
	equal(t, "given up", []any{got.Ended, got.GivenUp, got.LastError}, []any{noon.Add(time.Second), true, "410"})
	due, err = box.Due(ctx, noon.Add(99*time.Hour), noon.Add(100*time.Hour), 10)
	must(t, err)
	equal(t, "nothing is due any more", len(due), 0)
	wantIs(t, box.Done(ctx, "no-such", 1, noon), store.ErrNotFound)
	_, err = box.Get(ctx, "no-such")
	wantIs(t, err, store.ErrNotFound)
}

// testDeliveriesShared: several that look for what is due never get the same.
func testDeliveriesShared(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	for n := range 30 {
		must(t, st.Deliveries().Enqueue(ctx, store.Delivery{ID: key(n), ValidationID: "v", Kind: "k", URL: "u", CreatedAt: noon}))
	}
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				due, err := st.Deliveries().Due(ctx, noon, noon.Add(time.Hour), 4)
				if err != nil {
					t.Errorf("due: %v", err)
				}
				mu.Lock()
				for _, d := range due {
					got[d.ID]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	equal(t, "deliveries", len(got), 30)
	for id, n := range got {
		equal(t, id, n, 1)
	}
}

func testRetention(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	for n := range 6 {
		s := accept(t, st, n)
		at := noon.Add(time.Duration(n) * time.Hour)
		if n != 5 {
			must(t, st.Finish(ctx, store.Ending{ID: s.ID, Validation: Validation(s, crisol.Fixed), At: at}))
		}
		test := ABTest(n, crisol.Fixed)
		test.CreatedAt = at
		must(t, st.ABTests().Plan(ctx, test))
		if n%2 == 0 {
			j := judgement(crisol.Fixed)
			j.At = at.Add(time.Minute)
			_, err := st.ABTests().Judge(ctx, test.ID, j)
			must(t, err)
		}
		must(t, st.Counters().Add(ctx, []store.Count{{Hour: at, ModelVersion: "m", N: 1}}))
		e := event(key(n))
		e.At = at
		_, err := st.Events().Append(ctx, []store.Event{e})
		must(t, err)
		must(t, st.Deliveries().Enqueue(ctx, store.Delivery{ID: key(n), ValidationID: s.ID, Kind: "k", URL: "u", CreatedAt: at}))
		if n != 0 {
			due, err := st.Deliveries().Due(ctx, noon, noon.Add(99*time.Hour), 1)
			must(t, err)
			must(t, st.Deliveries().Done(ctx, due[0].ID, 1, at))
		}
	}
	pruned, err := st.Prune(ctx, store.Horizon{}, 10)
	must(t, err)
	equal(t, "with no horizon", pruned, store.Pruned{})
	old := noon.Add(3*time.Hour + 30*time.Second)
	pruned, err = st.Prune(ctx, store.Horizon{ABTests: old}, 10)
	must(t, err)
	equal(t, "what nobody folded over", pruned, store.Pruned{ABTests: 2}) // pending ones
	h := store.Horizon{Validations: old, ABTests: old, Folded: 1, Rollups: old, Counts: old, Events: old, Deliveries: old}
	pruned, err = st.Prune(ctx, h, 1)
	must(t, err)
	equal(t, "a batch", pruned, store.Pruned{Validations: 1, ABTests: 1, Rollups: 1, Counts: 1, Events: 1, Deliveries: 1})
	var total store.Pruned
	for {
		p, err := st.Prune(ctx, h, 2)
		must(t, err)
		if p.Sum() == 0 {
			break
		}
		total.Validations += p.Validations
		total.ABTests += p.ABTests
		total.Rollups += p.Rollups
		total.Counts += p.Counts
		total.Events += p.Events
		total.Deliveries += p.Deliveries
	}
	equal(t, "the rest", total, store.Pruned{Validations: 3, ABTests: 0, Rollups: 1, Counts: 3, Events: 3, Deliveries: 2})
	tests, err := st.ABTests().Judged(ctx, 0, 10)
	must(t, err)
	equal(t, "judged ones that are left", []any{len(tests), tests[0].JudgedSeq}, []any{2, int64(2)})
	rows, err := st.List(ctx, store.Filter{Limit: 10})
	must(t, err)
	equal(t, "validations", len(rows), 2)
	oldest, newest, err := st.Events().Span(ctx)
	must(t, err)
	equal(t, "span", []int64{oldest, newest}, []int64{5, 6})
	pruned, err = st.Prune(ctx, store.Horizon{Events: noon.Add(99 * time.Hour)}, 10)
	must(t, err)
	equal(t, "all events", pruned.Events, int64(2))
	kept, err := st.Events().Append(ctx, []store.Event{event("new")})
	must(t, err)
	equal(t, "numbers go on", kept[0].ID, int64(7))
}
