package relational

import (
	"context"
	"time"

	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

// Prune deletes up to limit rows of each kind, the oldest first.
func (s *Store) Prune(ctx context.Context, h store.Horizon, limit int) (store.Pruned, error) {
	q, n := queries.New(s.write), int64(limit)
	var p store.Pruned
	for _, kind := range []struct {
		before  time.Time
		deleted *int64
		delete  func(ctx context.Context, before int64) (int64, error)
	}{
		{h.Validations, &p.Validations, func(ctx context.Context, b int64) (int64, error) {
			return q.PruneValidations(ctx, queries.PruneValidationsParams{Before: b, Max: n})
		}},
		{h.ABTests, &p.ABTests, func(ctx context.Context, b int64) (int64, error) {
			return q.PruneABTests(ctx, queries.PruneABTestsParams{Before: b, Folded: h.Folded, Max: n})
		}},
		{h.Rollups, &p.Rollups, func(ctx context.Context, b int64) (int64, error) {
			return q.PruneRollups(ctx, queries.PruneRollupsParams{Before: b, Max: n})
		}},
		{h.Counts, &p.Counts, func(ctx context.Context, b int64) (int64, error) {
			return q.PruneUnaudited(ctx, queries.PruneUnauditedParams{Before: b, Max: n})
		}},
		{h.Events, &p.Events, func(ctx context.Context, b int64) (int64, error) {
			return q.PruneEvents(ctx, queries.PruneEventsParams{Before: b, Max: n})
		}},
		{h.Deliveries, &p.Deliveries, func(ctx context.Context, b int64) (int64, error) {
			return q.PruneDeliveries(ctx, queries.PruneDeliveriesParams{Before: b, Max: n})
		}},
	} {
		if kind.before.IsZero() {
			continue
		}
		err := through(ctx, s.writer, func(ctx context.Context) (err error) {
			*kind.deleted, err = kind.delete(ctx, micros(kind.before))
			return err
		})
		if err != nil {
			return p, s.fault("delete old rows of", err)
		}
	}
	return p, nil
}
