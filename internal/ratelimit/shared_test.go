package ratelimit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"crisol/internal/cache/redistest"
	"crisol/internal/ratelimit"
)

func shared(t *testing.T, s *redistest.Server) *ratelimit.Shared {
	t.Helper()
	l := ratelimit.NewShared(ratelimit.SharedOptions{
		Connect: connect(s), Local: ratelimit.NewLocal(0, nil), Wait: 5 * time.Second, Rest: 10 * time.Millisecond,
	})
	t.Cleanup(l.Close)
	return l
}

func connect(s *redistest.Server) func() (rueidis.Client, error) {
	return func() (rueidis.Client, error) {
		return rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr}, DisableRetry: true})
	}
}

// TestTwoInstances: together they allow what one would.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	one, two := shared(t, s), shared(t, s)
	const limit = 300
	var allowed atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for _, l := range []*ratelimit.Shared{one, two, one, two} {
		group.Go(func() {
			for range limit {
				if l.Take(t.Context(), "k", ratelimit.Limit{Requests: limit, Period: time.Hour}).Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	earned := int64(time.Since(begun) / (time.Hour / limit))
	if n := allowed.Load(); n < limit || n > limit+earned || one.Missed()+two.Missed() != 0 {
		t.Errorf("%d of %d allowed, %d earned meanwhile, %d missed", n, limit, earned, one.Missed()+two.Missed())
	}
	d := one.Take(t.Context(), "k", ratelimit.Limit{Requests: limit, Period: time.Hour})
	if d.Allowed || d.Retry <= 0 || d.Retry > time.Hour/limit {
		t.Errorf("%+v", d)
	}
}

func kill(s *redistest.Server) error { s.Kill(); return nil }

// TestRedisAway: while Redis can't be told each instance limits by itself, and it is asked again when it is back.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]struct {
		leave  func(*redistest.Server) error
		back   func(*redistest.Server) error
		wait   time.Duration
		absent bool
	}{
		"killed":              {leave: kill, back: (*redistest.Server).Restart, wait: 5 * time.Second},
		"frozen":              {leave: (*redistest.Server).Freeze, back: (*redistest.Server).Thaw, wait: 20 * time.Millisecond},
		"absent at the start": {leave: kill, back: (*redistest.Server).Restart, wait: 5 * time.Second, absent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			if away.absent { // Redis is down when the service starts
				s.Kill()
			}
			l := ratelimit.NewShared(ratelimit.SharedOptions{Connect: connect(s), Local: ratelimit.NewLocal(0, nil), Wait: away.wait, Rest: 10 * time.Millisecond})
			t.Cleanup(l.Close)
			limit := ratelimit.Limit{Requests: 3, Period: time.Hour}
			if err := away.leave(s); err != nil {
				t.Fatal(err)
			}
			allowed := 0
			for range 10 {
				if l.Take(t.Context(), "k", limit).Allowed {
					allowed++
				}
			}
			if allowed != 3 || l.Missed() != 10 {
				t.Errorf("%d allowed, %d missed", allowed, l.Missed())
			}
			if err := away.back(s); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				missed := l.Missed()
				l.Take(t.Context(), "other", ratelimit.PerMinute(1_000_000))
				if l.Missed() == missed {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("Redis is not asked again")
				}
			}
		})
	}
}
