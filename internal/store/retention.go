package store

import (
	"context"
	"time"
)

// Horizon says before when each kind of row is old enough to go. A zero time keeps all of a kind.
type Horizon struct {
	// Validations that finished before. Their requests and verdicts go with them.
	Validations time.Time
	// ABTests that were judged before, and pending ones that were planned before; of the judged ones only those up to
	// the number Folded, since whoever folds over them must have kept what they came to, and begin there.
	ABTests time.Time
	Folded  int64
	// Rollups and Counts of hours before.
	Rollups time.Time
	Counts  time.Time
	Events  time.Time
	// Deliveries that ended before.
	Deliveries time.Time
}

// Pruned is how many rows of each kind were deleted.
type Pruned struct {
	Validations, ABTests, Rollups, Counts, Events, Deliveries int64
}

// Sum is how many rows were deleted in all.
func (p Pruned) Sum() int64 {
	return p.Validations + p.ABTests + p.Rollups + p.Counts + p.Events + p.Deliveries
}

// Retention deletes what is old.
type Retention interface {
	// Prune deletes up to limit rows of each kind, the oldest first, each kind in a transaction of its own, so that
	// others are never held up for long. Sum is 0 when nothing old is left.
	Prune(ctx context.Context, h Horizon, limit int) (Pruned, error)
}
