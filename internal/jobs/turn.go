package jobs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"crisol/internal/store"
)

// most bounds the rows that are looked at when a turn is given; there are as many as the queue is bounded by.
const most = 10_000

// turn makes one attempt at the validation whose turn it is, which need not be the one of the River job: of those there
// is one for each queued validation, and each is done when its own validation is no longer queued. wait is how long
// the job is put off, where next is later.
func (q *Queue) turn(ctx context.Context, id string) (n next, wait time.Duration, err error) {
	attempt, n, wait, err := q.pick(ctx, id)
	if attempt == nil {
		return n, wait, err
	}
	defer q.leave(attempt.ID)
	n, err = q.work(ctx, *attempt)
	if attempt.ID == id {
		return n, 0, err
	}
	if n != never { // its own River job may be done already
		q.enqueue(context.WithoutCancel(ctx), attempt.ID, attempt.Priority)
	}
	return atOnce, 0, nil
}

// pick begins the validation whose turn it is. Without one, it says what becomes of the River job of id.
func (q *Queue) pick(ctx context.Context, id string) (*store.Attempt, next, time.Duration, error) {
	select { // two that choose at once would choose the same
	case q.picking <- struct{}{}:
		defer func() { <-q.picking }()
	case <-ctx.Done():
		return nil, atOnce, 0, nil
	}
	for range 10 {
		l, err := q.load(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, atOnce, 0, nil // it was the stop
		case err != nil:
			q.Logger.ErrorContext(ctx, "the queue could not be read", "error", err)
			return nil, again, 0, err
		case !slices.ContainsFunc(l.waiting, func(r store.Row) bool { return r.ID == id }):
			return nil, never, 0, nil // somebody is at it, or was
		}
		now, err := q.clock(ctx)
		if err != nil {
			q.Logger.ErrorContext(ctx, "the time of the queue could not be read", "error", err)
			return nil, again, 0, err
		}
		soonest := maxRest
		row := q.fair.next(l, func(r store.Row) bool {
			rest := rests(r, now, q.Backoff)
			if rest > 0 {
				soonest = min(soonest, rest)
			}
			return rest <= 0
		})
		if row == nil {
			return nil, later, soonest, nil
		}
		attempt, n, err := q.begin(ctx, row.ID)
		switch {
		case attempt != nil:
			q.fair.serve(l, row.Client)
			return attempt, never, 0, nil
		case n != never:
			return nil, n, 0, err
		}
	}
	return nil, later, 100 * time.Millisecond, nil // others were faster each time
}

// maxRest bounds how long a River job is put off, whatever the clocks say.
const maxRest = time.Minute

// begin takes a lease. Without one, never says that another was faster.
func (q *Queue) begin(ctx context.Context, id string) (*store.Attempt, next, error) {
	now, err := q.clock(ctx)
	var attempt store.Attempt
	if err == nil {
		attempt, err = q.Store.Begin(ctx, id, store.Lease{Worker: q.name, At: now, Until: now.Add(q.hold())})
	}
	switch {
	case errors.Is(err, store.ErrFinished), errors.Is(err, store.ErrNotFound):
		q.tell(id)
		return nil, never, nil
	case errors.Is(err, store.ErrLeased):
		return nil, never, nil
	case err != nil && ctx.Err() != nil:
		return nil, atOnce, nil //nolint:nilerr // it was the stop
	case err != nil:
		q.Logger.ErrorContext(ctx, "validation could not begin", "validation_id", id, "error", err)
		return nil, again, err
	}
	q.enter(attempt)
	return &attempt, never, nil
}

// clock is by what leases are kept: where processes share them, it is the database's, since theirs may not agree.
func (q *Queue) clock(ctx context.Context) (time.Time, error) {
	if q.Sole {
		return q.Now(), nil
	}
	within, cancel := context.WithTimeout(ctx, commitFor)
	defer cancel()
	now, err := q.engine.Time(within)
	if err != nil {
		return now, infrastructure("ask the database for the time", err)
	}
	return now, nil
}

// hold is how long a lease lasts.
func (q *Queue) hold() time.Duration {
	if q.Sole { // nobody else could take it over: longer than any trial and the time in which its verdict is written
		return q.Timeout + finishFor + time.Minute
	}
	return q.Lease
}

// load reads what there is to do. What this process has begun without knowing it, because the answer of the database was
// lost, waits too.
func (q *Queue) load(ctx context.Context) (load, error) {
	l := load{running: map[string]int{}}
	waiting, err := q.Store.List(ctx, store.Filter{State: store.Queued, Limit: most})
	if err != nil {
		return l, err
	}
	running, err := q.Store.List(ctx, store.Filter{State: store.Running, Limit: most})
	if err != nil {
		return l, err
	}
	for _, row := range running {
		if row.Worker == q.name && !q.isRunning(row.ID) {
			waiting = append(waiting, row)
			continue
		}
		l.running[row.Client]++
	}
	// A row that was begun between the two looks is in both.
	slices.SortFunc(waiting, func(a, b store.Row) int { return cmp.Compare(a.ID, b.ID) })
	l.waiting = slices.CompactFunc(waiting, func(a, b store.Row) bool { return a.ID == b.ID })
	return l, nil
}

// held is an attempt that this process is at.
type held struct {
	fence  int64
	cancel context.CancelCauseFunc // nil while no trial runs
}

func (q *Queue) enter(a store.Attempt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running[a.ID] = &held{fence: a.Fence}
}

func (q *Queue) leave(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, id)
}

func (q *Queue) isRunning(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running[id] != nil
}

// onInterrupt says what ends the trial of a validation that this process is at.
func (q *Queue) onInterrupt(id string, cancel context.CancelCauseFunc) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.running[id]; h != nil {
		h.cancel = cancel
	}
}

// interrupt ends the trial of a validation, if one runs here.
func (q *Queue) interrupt(id string, cause error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.running[id]; h != nil && h.cancel != nil {
		h.cancel(cause)
	}
}
