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
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return ratelimit.NewShared(ratelimit.SharedOptions{
		Client: client, Local: ratelimit.NewLocal(0, nil), Wait: 5 * time.Second, Rest: 10 * time.Millisecond,
	})
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

// TestRedisAway: while Redis can't be told each instance limits by itself, and it is asked again when it is back.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]struct {
		leave func(*redistest.Server) error
		back  func(*redistest.Server) error
		wait  time.Duration
	}{
		"killed": {func(s *redistest.Server) error { s.Kill(); return nil }, (*redistest.Server).Restart, 5 * time.Second},
		"frozen": {(*redistest.Server).Freeze, (*redistest.Server).Thaw, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr}, DisableRetry: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			l := ratelimit.NewShared(ratelimit.SharedOptions{Client: client, Local: ratelimit.NewLocal(0, nil), Wait: away.wait, Rest: 10 * time.Millisecond})
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
