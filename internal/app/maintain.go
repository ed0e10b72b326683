package app

import (
	"context"
	"time"

	"crisol/internal/revise"
	"crisol/internal/store"
)

// Ages say how long the service keeps what it knows. 0 is the default, below 0 is for ever.
type Ages struct {
	Validations time.Duration // with requests and evidence, since they finished; 90 days
	Events      time.Duration // 30 days
	Counts      time.Duration // of predictions, and hourly sums of A/B tests; 400 days
	Deliveries  time.Duration // to webhooks, since they ended; 30 days
	// ABTests is for ever: trust in models is folded from them. Where they go, what was folded is kept first.
	ABTests time.Duration
}

// LeastABTests is the youngest that A/B tests may go: figures look back as far, and every process has folded them by then.
const LeastABTests = 31 * day

const day = 24 * time.Hour

// horizon says before when things go. A/B tests go only up to the one numbered folded.
func (a Ages) horizon(now time.Time, folded int64) store.Horizon {
	before := func(age, fallback time.Duration) time.Time {
		if age == 0 {
			age = fallback
		}
		if age < 0 {
			return time.Time{}
		}
		return now.Add(-age)
	}
	return store.Horizon{
		Validations: before(a.Validations, 90*day), Events: before(a.Events, 30*day), Rollups: before(a.Counts, 400*day),
		Counts: before(a.Counts, 400*day), Deliveries: before(a.Deliveries, 30*day), ABTests: before(a.ABTests, -1), Folded: folded,
	}
}

// pruneEvery is the pause between two looks for what is old, and pruneBatch how many rows of a kind go at once.
const (
	pruneEvery = time.Hour
	pruneBatch = 1000
)

// Prune deletes what is older than the configuration keeps.
func (s *Service) Prune(ctx context.Context, now time.Time) (store.Pruned, error) {
	var all store.Pruned
	folded := int64(0)
	ages := *s.ages.Load()
	if ages.ABTests > 0 {
		var err error
		if folded, err = s.Auditor.KeepTrust(ctx); err != nil {
			return all, err
		}
	}
	h := ages.horizon(now, folded)
	for {
		some, err := s.Store.Prune(ctx, h, pruneBatch)
		all.Validations, all.ABTests, all.Rollups = all.Validations+some.Validations, all.ABTests+some.ABTests, all.Rollups+some.Rollups
		all.Counts, all.Events, all.Deliveries = all.Counts+some.Counts, all.Events+some.Events, all.Deliveries+some.Deliveries
		if err != nil || some.Sum() == 0 {
			return all, err
		}
	}
}

// Maintain keeps house until the service closes: what is old is deleted, and verdicts are judged anew whose scenario
// has changed.
func (s *Service) Maintain(ctx context.Context) {
	s.goOn(ctx, func(ctx context.Context) {
		tick := time.NewTicker(pruneEvery)
		defer tick.Stop()
		for {
			switch gone, err := s.Prune(ctx, time.Now()); {
			case err != nil && ctx.Err() == nil:
				s.app.Log.Warn("what is old could not be deleted", "error", err)
			case gone.Sum() > 0:
				s.app.Log.Info("what was old is deleted", "validations", gone.Validations, "ab_tests", gone.ABTests, "events", gone.Events,
					"counts", gone.Counts+gone.Rollups, "deliveries", gone.Deliveries)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	s.goOn(ctx, s.Reviser().Run)
}

// goOn runs work in the background until the service closes.
func (s *Service) goOn(ctx context.Context, work func(context.Context)) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); work(ctx) }()
	s.onClose(func(context.Context) error { stop(); <-done; return nil })
}

// Reviser judges anew what rests on other versions of the library's scenarios.
func (s *Service) Reviser() *revise.Reviser {
	versions := map[string]string{}
	for _, sc := range s.index.All() {
		versions[sc.ID] = sc.Digest
	}
	return &revise.Reviser{
		History: s.Store, Queue: s.Queue, Settings: s.Store.Settings(), Versions: versions, Logger: s.app.Log, Now: time.Now,
		Forget: func(ctx context.Context, apvID string) { s.cache.Invalidate(ctx, apvID) },
	}
}
