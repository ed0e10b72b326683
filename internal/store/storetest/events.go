package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crisol"
	"crisol/internal/store"
)

func event(key string) store.Event {
	return store.Event{At: noon, Kind: "model_demoted", Subject: "rf_v1", Key: key, Body: json.RawMessage(`{"side":"fixed"}`)}
}

func testEvents(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	events := st.Events()
	oldest, newest, err := events.Span(ctx)
	must(t, err)
	equal(t, "span of nothing", []int64{oldest, newest}, []int64{0, 0})
	kept, err := events.Append(ctx, []store.Event{event("a"), event(""), event("a"), event("")})
	must(t, err)
	want := []store.Event{event("a"), event(""), event("")}
	for i := range want {
		want[i].ID = int64(i + 1)
	}
	equal(t, "kept", kept, want)
	kept, err = events.Append(ctx, []store.Event{event("a")})
	must(t, err)
	equal(t, "kept of a known one", len(kept), 0)
	kept, err = events.Append(ctx, []store.Event{event("b")})
	must(t, err)
	equal(t, "number after a known one", kept[0].ID, int64(4))
	got, err := events.After(ctx, 0, 3)
	must(t, err)
	equal(t, "read", got, want)
	got, err = events.After(ctx, 3, 10)
	must(t, err)
	equal(t, "the rest", got, kept)
	oldest, newest, err = events.Span(ctx)
	must(t, err)
	equal(t, "span", []int64{oldest, newest}, []int64{1, 4})
	if _, err := events.Append(ctx, []store.Event{{Kind: "x", Body: json.RawMessage("{")}}); crisol.KindOf(err) != crisol.KindInternal || err == nil {
		t.Errorf("a body that is no JSON: %v", err)
	}
}

// testEventsInOrder: while others append, a reader that goes on from the last number it saw misses nothing.
func testEventsInOrder(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	const writers, each = 4, 15
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				if _, err := st.Events().Append(ctx, []store.Event{event(fmt.Sprint(w, n)), event("shared")}); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	last := int64(0)
	for over := false; ; {
		events, err := st.Events().After(ctx, last, 7)
		must(t, err)
		for _, e := range events {
			equal(t, "number", e.ID, last+1)
			last = e.ID
		}
		if over && len(events) == 0 {
			break
		}
		select {
		case <-done:
			over = true
		default:
		}
	}
	equal(t, "events", last, int64(writers*each+1))
}

func testSettings(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	settings := st.Settings()
	value, version, err := settings.Get(ctx, "ab")
	must(t, err)
	equal(t, "nothing", []any{len(value), version}, []any{0, int64(0)})
	version, err = settings.Set(ctx, "ab", json.RawMessage(`{"rate":0.1}`), 0)
	must(t, err)
	equal(t, "version", version, int64(1))
	_, err = settings.Set(ctx, "ab", json.RawMessage(`{}`), 0)
	wantIs(t, err, store.ErrChanged)
	version, err = settings.Set(ctx, "ab", json.RawMessage(`{"rate":0.2}`), version)
	must(t, err)
	_, err = settings.Set(ctx, "ab", json.RawMessage(`{}`), 1)
	wantIs(t, err, store.ErrChanged)
	if _, err := settings.Set(ctx, "ab", json.RawMessage(`{`), version); err == nil {
		t.Error("a value that is no JSON was kept")
	}
	st = a.Reopen(t, st)
	value, version, err = st.Settings().Get(ctx, "ab")
	must(t, err)
	equal(t, "value", []any{string(value), version}, []any{`{"rate":0.2}`, int64(2)})
	var won atomic.Int64
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			switch _, err := st.Settings().Set(ctx, "ab", json.RawMessage(`1`), 2); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrChanged):
				t.Errorf("set: %v", err)
			}
		})
	}
	all.Wait()
	equal(t, "winners", won.Load(), int64(1))
}

func testCounters(t *testing.T, a Adapter) {
	st, ctx := a.Open(t), t.Context()
	count := store.Count{Hour: noon, ModelVersion: "rf_v1", Side: crisol.Fixed, Stratum: store.Confident, Method: crisol.MethodML, N: 2}
	later := count
	later.Hour = noon.Add(time.Hour)
	other := count
	other.ModelVersion = "gb_v2"
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			counts := []store.Count{count, later, other, count}
			if i%2 == 0 { // in another order
				counts = []store.Count{other, later, count, count}
			}
			if err := st.Counters().Add(ctx, counts); err != nil {
				t.Errorf("add: %v", err)
			}
		})
	}
	all.Wait()
	count.Hour, other.Hour, later.Hour = noon.Truncate(time.Hour), noon.Truncate(time.Hour), noon.Truncate(time.Hour).Add(time.Hour)
	count.N, other.N, later.N = 24, 12, 12
	got, err := st.Counters().Range(ctx, noon, time.Time{}, "")
	must(t, err)
	equal(t, "all", got, []store.Count{other, count, later})
	got, err = st.Counters().Range(ctx, noon, later.Hour, "rf_v1")
	must(t, err)
	equal(t, "an hour of one model", got, []store.Count{count})
	got, err = st.Counters().Range(ctx, noon.Add(2*time.Hour), time.Time{}, "")
	must(t, err)
	equal(t, "later", len(got), 0)
}
