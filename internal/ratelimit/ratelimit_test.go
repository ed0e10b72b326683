package ratelimit_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"crisol/internal/ratelimit"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// clock is moved by tests.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(noon.UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

func TestLocal(t *testing.T) {
	c := newClock()
	l := ratelimit.NewLocal(0, c.now)
	limit := ratelimit.PerMinute(60)
	for i := range 60 {
		if d := l.Take(t.Context(), "a", limit); !d.Allowed || d.Remaining != 59-i || d.Retry != 0 {
			t.Fatalf("%d: %+v", i, d)
		}
	}
	d := l.Take(t.Context(), "a", limit)
	if d.Allowed || d.Remaining != 0 || d.Retry != time.Second || d.Reset != time.Minute {
		t.Errorf("%+v", d)
	}
	if d := l.Take(t.Context(), "b", limit); !d.Allowed {
		t.Errorf("another key: %+v", d)
	}
	c.pass(d.Retry)
	if d := l.Take(t.Context(), "a", limit); !d.Allowed || d.Remaining != 0 {
		t.Errorf("after the wait: %+v", d)
	}
	if d := l.Take(t.Context(), "a", limit); d.Allowed {
		t.Errorf("one was earned, not two: %+v", d)
	}
	c.pass(time.Hour)
	if d := l.Take(t.Context(), "a", limit); !d.Allowed || d.Remaining != 59 {
		t.Errorf("%+v", d)
	}
	if d := l.Take(t.Context(), "a", ratelimit.Limit{}); !d.Allowed {
		t.Errorf("no limit: %+v", d)
	}
}

// TestNeverMoreThanTheLimit: in no window of a period are more requests allowed than twice the limit, which GCRA's full
// burst after a rest permits, and over a long time no more than the rate and one burst; refusals say when to come again.
func TestNeverMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		l := ratelimit.NewLocal(0, c.now)
		limit := ratelimit.Limit{Requests: rapid.IntRange(1, 20).Draw(t, "requests"), Period: time.Minute}
		allowed := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			c.pass(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "pause")))
			d := l.Take(context.Background(), "k", limit)
			if d.Allowed {
				allowed++
				continue
			}
			if d.Retry <= 0 || d.Retry > limit.Period {
				t.Fatalf("%+v", d)
			}
		}
		elapsed := c.now().Sub(noon)
		most := limit.Requests + int(elapsed/(limit.Period/time.Duration(limit.Requests)))
		if allowed > most {
			t.Fatalf("%d allowed in %s, at most %d", allowed, elapsed, most)
		}
	})
}

// TestBounded: a flood of addresses takes no more memory than some of them would.
func TestBounded(t *testing.T) {
	l := ratelimit.NewLocal(10_000, nil)
	for i := range 100_000 {
		l.Take(t.Context(), fmt.Sprint(i), ratelimit.PerMinute(10))
	}
	if n := l.Keys(); n > 10_000 || n < 4_000 {
		t.Errorf("%d keys are kept", n)
	}
}

// TestBusyKeyIsKept: a flood of others doesn't make a limiter forget who keeps asking.
func TestBusyKeyIsKept(t *testing.T) {
	c := newClock()
	l := ratelimit.NewLocal(1000, c.now)
	limit := ratelimit.PerMinute(5)
	allowed := 0
	for i := range 50_000 {
		l.Take(t.Context(), fmt.Sprint(i), limit)
		if i%5 == 0 && l.Take(t.Context(), "busy", limit).Allowed {
			allowed++
		}
	}
	if allowed != 5 {
		t.Errorf("%d allowed", allowed)
	}
}

func TestRacing(t *testing.T) {
	l := ratelimit.NewLocal(0, newClock().now)
	var allowed atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if l.Take(t.Context(), "k", ratelimit.PerMinute(100)).Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d allowed", allowed.Load())
	}
}

func BenchmarkLocal(b *testing.B) {
	l := ratelimit.NewLocal(0, nil)
	for b.Loop() {
		l.Take(context.Background(), "127.0.0.1 ml-first", ratelimit.PerMinute(1_000_000))
	}
}

// TestClockSteps: a clock that is set back locks nobody out for longer than a period, and one that is set forward gives
// nobody more than a limit.
func TestClockSteps(t *testing.T) {
	c := newClock()
	l := ratelimit.NewLocal(0, c.now)
	limit := ratelimit.PerMinute(60)
	spend := func() (n int) {
		for l.Take(t.Context(), "a", limit).Allowed {
			n++
		}
		return n
	}
	spend()
	c.pass(-24 * time.Hour)
	if d := l.Take(t.Context(), "a", limit); d.Allowed || d.Retry > time.Minute {
		t.Errorf("%+v", d)
	}
	c.pass(time.Minute)
	if n := spend(); n != 60 {
		t.Errorf("%d allowed a minute later", n)
	}
	c.pass(24 * time.Hour)
	if n := spend(); n != 60 {
		t.Errorf("%d allowed at once", n)
	}
}
