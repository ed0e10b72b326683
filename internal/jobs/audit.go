package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"crisol/internal/store"
)

// Audits are predictions that wait for a wargame (store.ABTests).
type Audits interface {
	Pending(ctx context.Context, after string, limit int) ([]store.ABTest, error)
}

// Auditor holds the wargame of a prediction. A Validator of a Queue with Audits must be one.
type Auditor interface {
	// Audit holds the wargame of a pending A/B test and keeps its result, once. An error is worth another try; try counts
	// from 1.
	Audit(ctx context.Context, id string, try int) error
}

// errAgain has River try again after a pause.
var errAgain = errors.New("to be tried again")

// Audit queues the wargame of an A/B test that the store has. Where that fails, a sweep does it soon.
func (q *Queue) Audit(ctx context.Context, id string) {
	if err := q.engine.EnqueueAudit(ctx, id); err != nil {
		q.unswept.Store(true)
		q.Logger.WarnContext(ctx, "an A/B test could not be queued yet", "ab_test", id, "error", err)
	}
}

// sweepEvery is the pause between two looks for A/B tests that wait and are not queued.
const sweepEvery = time.Minute

// sweep queues every A/B test that waits; those that are queued stay so.
func (q *Queue) sweep(ctx context.Context) error {
	if q.Audits == nil {
		return nil
	}
	for after := ""; ; {
		tests, err := q.Audits.Pending(ctx, after, 500)
		if err != nil || len(tests) == 0 {
			return err
		}
		for _, t := range tests {
			if err := q.engine.EnqueueAudit(ctx, t.ID); err != nil {
				return infrastructure("enqueue A/B test "+t.ID, err)
			}
		}
		after = tests[len(tests)-1].ID
	}
}

// audit holds one wargame under its deadline.
func (q *Queue) audit(ctx context.Context, id string, try int) (n next) {
	defer func() {
		if fault := recover(); fault != nil {
			q.Logger.ErrorContext(ctx, "an A/B test panicked", "ab_test", id, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			n = again
		}
	}()
	within, stop := context.WithTimeout(ctx, q.Timeout)
	defer stop()
	err := q.Validator.(Auditor).Audit(within, id, try)
	switch {
	case err == nil:
		return never
	case ctx.Err() != nil:
		return atOnce
	}
	q.Logger.WarnContext(ctx, "an A/B test will be tried again", "ab_test", id, "try", try, "error", err)
	return again
}
