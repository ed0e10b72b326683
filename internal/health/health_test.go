package health_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crisol/internal/health"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestReport(t *testing.T) {
	now := noon
	var database, redis error
	b := health.New(func() time.Time { return now },
		health.Probe{Name: "database", Vital: true, Check: func(context.Context) error { return database }},
		health.Probe{Name: "redis", Check: func(context.Context) error { return redis }},
		health.Probe{Name: "odd", Check: func(context.Context) error {
			if errors.Is(redis, errOdd) {
				panic("odd")
			}
			return nil
		}})
	for _, step := range []struct {
		name            string
		database, redis error
		want            health.Status
		parts           [3]health.Status
	}{
		{"all is well", nil, nil, health.Healthy, [3]health.Status{health.Healthy, health.Healthy, health.Healthy}},
		{"redis is away", nil, errors.New("refused"), health.Degraded, [3]health.Status{health.Healthy, health.Degraded, health.Healthy}},
		{"a probe panics", nil, errOdd, health.Degraded, [3]health.Status{health.Healthy, health.Degraded, health.Degraded}},
		{"so is the database", errors.New("frozen"), errors.New("refused"), health.Unhealthy, [3]health.Status{health.Unhealthy, health.Degraded, health.Healthy}},
		{"all is well again", nil, nil, health.Healthy, [3]health.Status{health.Healthy, health.Healthy, health.Healthy}},
	} {
		now = now.Add(time.Minute)
		database, redis = step.database, step.redis
		r := b.Report(t.Context())
		if r.Status != step.want || !r.At.Equal(now) {
			t.Errorf("%s: %+v", step.name, r)
		}
		for i, part := range r.Parts {
			if part.Status != step.parts[i] {
				t.Errorf("%s: %+v", step.name, part)
			}
		}
	}
	r := b.Report(t.Context())
	if p := r.Parts[1]; p.LastError != "refused" || !p.Since.Equal(now) || !p.LastErrorAt.Equal(now.Add(-time.Minute)) {
		t.Errorf("%+v", p)
	}
}

var errOdd = errors.New("odd")

// TestAskedOften: however many ask, the parts are looked at once a second.
func TestAskedOften(t *testing.T) {
	var looked atomic.Int64
	b := health.New(func() time.Time { return noon }, health.Probe{Name: "x", Check: func(context.Context) error {
		looked.Add(1)
		time.Sleep(5 * time.Millisecond)
		return nil
	}})
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() { b.Report(t.Context()) })
	}
	group.Wait()
	if looked.Load() != 1 {
		t.Errorf("looked %d times", looked.Load())
	}
}

// TestStuck: a part that doesn't answer holds nobody up for long.
func TestStuck(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b := health.New(nil, health.Probe{Name: "x", Vital: true, Check: func(context.Context) error { <-release; return nil }})
	if r := b.Report(t.Context()); r.Status != health.Unhealthy || r.Parts[0].LastError == "" {
		t.Errorf("%+v", r)
	}
}

// TestBreakers: one that isn't closed makes the whole degraded, unless it is before what isn't the service's.
func TestBreakers(t *testing.T) {
	now := noon
	list := []health.Breaker{{Name: "model", State: "closed"}, {Name: "webhook/a", State: "open", Foreign: true}}
	b := health.New(func() time.Time { return now }).With(
		func() []health.Breaker { return list },
		func() []health.Pool { return []health.Pool{{Name: "database", Max: 8, Used: 3}} },
		func() health.Load { return health.Load{Shed: 7} })
	if r := b.Report(t.Context()); r.Status != health.Healthy || len(r.Breakers) != 2 || r.Pools[0].Used != 3 || r.Load.Shed != 7 {
		t.Errorf("%+v", r)
	}
	list, now = []health.Breaker{{Name: "model", State: "half-open"}}, now.Add(time.Minute)
	if r := b.Report(t.Context()); r.Status != health.Degraded {
		t.Errorf("%+v", r)
	}
	if r := health.New(nil).Report(t.Context()); r.Breakers == nil || r.Pools == nil {
		t.Errorf("a list that isn't there: %+v", r)
	}
}
