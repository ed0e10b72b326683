package jobs_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/store"
)

// turns is a validator that waits for a go, and notes by patch in which order trials came.
type turns struct {
	flow
	begun chan string
}

func newTurns(gate <-chan struct{}) turns {
	u := turns{begun: make(chan string, 1000)}
	u.run = func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		select {
		case <-gate:
		case <-ctx.Done():
			return crisol.Validation{}, ctx.Err()
		}
		u.begun <- r.PatchID
		return says(crisol.Fixed).run(ctx, r, id)
	}
	return u
}

func (u turns) first(n int) (order []string) {
	for range n {
		order = append(order, <-u.begun)
	}
	return order
}

func (w *world) asks(client string, n int, priority int) {
	w.Helper()
	for range n {
		if _, err := w.Submit(w.Context(), jobs.Ask{Client: client, Priority: priority, Request: crisol.Request{APVID: "a", PatchID: client}}); err != nil {
			w.Fatal(err)
		}
	}
}

func count(order []string, client string) (n int) {
	for _, c := range order {
		if c == client {
			n++
		}
	}
	return n
}

// TestFairness: who asks for much waits behind itself only.
func TestFairness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		workers int
		weight  func(string) float64
		asks    func(*world)
		first   int
		check   func(order []string) error
	}{
		{"one of one client before 200 of another", 1, nil, func(w *world) { w.asks("many", 200, 0); w.asks("one", 1, 0) }, 3,
			func(o []string) error { return want(slices.Contains(o, "one")) }},
		{"two clients take turns", 1, nil, func(w *world) { w.asks("a", 30, 0); w.asks("b", 30, 0) }, 20,
			func(o []string) error { return want(count(o, "b") >= 9 && count(o, "a") >= 9) }},
		{"by weight", 1, func(client string) float64 { return map[string]float64{"a": 3, "b": 1}[client] }, func(w *world) { w.asks("a", 40, 0); w.asks("b", 40, 0) }, 32,
			func(o []string) error { return want(count(o, "a") >= 23 && count(o, "b") >= 7) }},
		{"priorities first", 1, nil, func(w *world) { w.asks("later", 10, 1); w.asks("now", 10, 0) }, 11,
			func(o []string) error { return want(count(o, "now") == 10) }}, // one had begun before
		{"several workers", 4, nil, func(w *world) { w.asks("many", 100, 0); w.asks("few", 4, 0) }, 12,
			func(o []string) error { return want(count(o, "few") == 4) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gate := make(chan struct{})
			u := newTurns(gate)
			w := start(t, u, func(j *jobs.Config) { j.Workers, j.Weight, j.Bound = c.workers, c.weight, 400 })
			c.asks(w)
			close(gate)
			if order := u.first(c.first); c.check(order) != nil {
				t.Errorf("%v", order)
			}
		})
	}
}

func want(holds bool) error {
	if !holds {
		return errors.New("not as it should be")
	}
	return nil
}

// TestRoomForOthers: no client can fill the queue alone.
func TestRoomForOthers(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	defer close(gate)
	w := start(t, newTurns(gate), func(c *jobs.Config) { c.Bound = 16 })
	w.asks("many", 14, 0)
	_, err := w.Submit(t.Context(), jobs.Ask{Client: "many", Request: crisol.Request{APVID: "one too many"}})
	if !errors.Is(err, store.ErrFull) || crisol.KindOf(err) != crisol.KindInfrastructure || crisol.HintOf(err) == "" {
		t.Errorf("beyond a client's part: %v", err)
	}
	w.asks("another", 2, 0)
	if _, err := w.Submit(t.Context(), jobs.Ask{Client: "third", Request: crisol.Request{APVID: "full"}}); !errors.Is(err, store.ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
}
