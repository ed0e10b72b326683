package jobs

import (
	"context"
	"errors"
	"time"

	"crisol/internal/store"
)

// errOver ends the context of a trial whose validation has its verdict, or another worker.
var errOver = errors.New("the trial is another's now")

// beats is how often a lease is prolonged before it would run out.
const beats = 3

// keepLeases prolongs what this process holds and takes up what dead processes held, until ctx is done. Where all that
// is unfinished is this process's anyway, there is nothing to do.
func (q *Queue) keepLeases(ctx context.Context) {
	if q.Sole {
		return
	}
	tick := time.NewTicker(q.Lease / beats)
	defer tick.Stop()
	var quiet time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, q.Lease/beats)
		err := q.beat(within)
		// After an outage of the database every lease has run out, and those who hold them need a moment to say so.
		if err == nil && q.Now().After(quiet) {
			err = q.reap(within)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			quiet = q.Now().Add(q.Lease)
			q.Logger.WarnContext(ctx, "leases could not be kept", "error", err)
		}
	}
}

// beat prolongs every lease of this process, and ends the trials whose lease is lost.
func (q *Queue) beat(ctx context.Context) error {
	q.mu.Lock()
	fences := make(map[string]int64, len(q.running))
	for id, h := range q.running {
		fences[id] = h.fence
	}
	q.mu.Unlock()
	now, err := q.clock(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for id, fence := range fences {
		switch err := q.Store.Extend(ctx, id, fence, now.Add(q.Lease)); {
		case errors.Is(err, store.ErrLost), errors.Is(err, store.ErrFinished), errors.Is(err, store.ErrNotFound):
			q.interrupt(id, errOver)
		case err != nil:
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, q.engine.Touch(ctx))...)
}

// reap puts back into the queue what processes held that are gone.
func (q *Queue) reap(ctx context.Context) error {
	for {
		now, err := q.clock(ctx)
		if err != nil {
			return err
		}
		ids, err := q.Store.Expired(ctx, now, 100)
		if err != nil {
			return err
		}
		for _, id := range ids {
			q.Logger.WarnContext(ctx, "the worker of a trial is gone, and another takes it up", "validation_id", id)
		}
		// Before the jobs: of those that are gone, some may have held one and no lease.
		gone, err := q.engine.Reap(ctx, q.Lease)
		if err != nil {
			return err
		}
		if len(ids) == 0 && gone == 0 {
			return nil
		}
		if err := errors.Join(q.requeue(ctx), q.sweep(ctx)); err != nil {
			return err
		}
	}
}

// listenAgain is the pause after which a lost connection for messages is made anew.
const listenAgain = time.Second

// listen hears of verdicts that other processes wrote, until ctx is done. A message that is lost costs waiters up to
// lookEvery, and trials up to the next beat.
func (q *Queue) listen(ctx context.Context) {
	if q.Sole {
		return
	}
	for ctx.Err() == nil {
		err := q.engine.Listen(ctx, func(id string) {
			q.interrupt(id, errOver)
			q.tell(id)
		})
		if ctx.Err() != nil {
			return
		}
		q.Logger.WarnContext(ctx, "verdicts of other processes are heard of late", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// announce tells everybody of a verdict that this process wrote.
func (q *Queue) announce(ctx context.Context, id string) {
	q.tell(id)
	if q.Sole {
		return
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceFor)
	defer cancel()
	if err := q.engine.Announce(within, id); err != nil {
		q.Logger.WarnContext(ctx, "a verdict could not be announced; others find it when they look", "validation_id", id, "error", err)
	}
}

// announceFor bounds a message that may be lost.
const announceFor = 2 * time.Second
