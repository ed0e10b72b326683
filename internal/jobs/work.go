package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"crisol"
	"crisol/internal/store"
)

// next is what is to become of a job after an attempt.
type next int

const (
	never  next = iota // it has its verdict, or is gone
	again              // after a pause
	atOnce             // when somebody works again: this process is stopping, or another's turn came first
	later              // after a time that is known
)

// errCancelled ends the context of a trial that Cancel ended.
var errCancelled = errors.New("cancelled")

// finishFor is how long a worker tries to write a verdict that it has before it gives the trial up: a full disk often
// has space again soon, and a trial is dear.
const finishFor = 5 * time.Minute

// work makes one attempt at a validation.
func (q *Queue) work(ctx context.Context, attempt store.Attempt) (next, error) {
	v, err := q.try(ctx, attempt)
	if ctx.Err() != nil && (err != nil || v.Verdict == crisol.Inconclusive) {
		return q.handBack(ctx, attempt) // the stop may be all that was wrong
	}
	if errors.Is(err, errOver) {
		q.Logger.InfoContext(ctx, "trial ended, since its verdict came from elsewhere or its lease was lost", "validation_id", attempt.ID)
		q.tell(attempt.ID)
		return never, nil
	}
	if crisol.KindOf(err) == crisol.KindInfrastructure && attempt.Number < q.Attempts {
		return q.retry(ctx, attempt, err)
	}
	if err != nil {
		v = Outcome{Validation: q.conclude(ctx, attempt, v.Validation, err)}
	}
	return q.finish(ctx, attempt, v)
}

// try runs the trial under its deadline. Any end of it but a usable answer is an error.
func (q *Queue) try(ctx context.Context, a store.Attempt) (v Outcome, err error) {
	if a.Number > q.Attempts { // only a process that died can have counted so far
		return v, errGivenUp
	}
	within, stop := context.WithTimeoutCause(ctx, q.Timeout, errTimeout)
	defer stop()
	within, cancel := context.WithCancelCause(within)
	q.onInterrupt(a.ID, cancel)
	defer func() {
		q.onInterrupt(a.ID, nil)
		cancel(nil)
		if fault := recover(); fault != nil {
			q.Logger.ErrorContext(ctx, "trial panicked", "validation_id", a.ID, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			err = crisol.Errorf(crisol.KindInternal, "internal fault")
		}
	}()
	q.Logger.InfoContext(ctx, "trial begins", "validation_id", a.ID, "attempt", a.Number)
	v, err = q.Validator.Run(within, a.Submission)
	if cause := context.Cause(within); err != nil && ctx.Err() == nil && (errors.Is(cause, errTimeout) || errors.Is(cause, errCancelled) || errors.Is(cause, errOver)) {
		return v, cause
	}
	if err == nil {
		v.Validation, err = settle(v.Validation, a)
	}
	return v, err
}

var (
	errTimeout = errors.New("trial timed out")
	errGivenUp = errors.New("given up")
)

// settle makes the answer that of this request, and refuses one that can't be: a verdict must never be another
// patch's, and nothing but fixed may count as validated.
func settle(v crisol.Validation, a store.Attempt) (crisol.Validation, error) {
	r := a.Normalised
	v.ID, v.APVID, v.PatchID, v.CreatedAt = a.ID, r.APVID, r.PatchID, a.CreatedAt
	v.CVEID = cmp.Or(r.CVEID, v.CVEID)
	switch {
	case v.PatchDigest != "" && a.PatchDigest != "" && v.PatchDigest != a.PatchDigest:
		return v, crisol.Errorf(crisol.KindInternal, "the answer is about patch %s, the request about %s", v.PatchDigest, a.PatchDigest)
	case v.PatchValidated && v.Verdict != crisol.Fixed:
		return v, crisol.Errorf(crisol.KindInternal, "the answer validates a patch that is %q", v.Verdict)
	}
	switch v.Verdict {
	case crisol.Fixed, crisol.NotFixed, crisol.Broken, crisol.Inconclusive:
	default:
		return v, crisol.Errorf(crisol.KindInternal, "the answer has the unknown verdict %q", v.Verdict)
	}
	if v.PatchDigest == "" {
		v.PatchDigest = a.PatchDigest
	}
	if _, err := json.Marshal(v); err != nil {
		return v, crisol.Errorf(crisol.KindInternal, "the answer can't be written: %w", err)
	}
	return v, nil
}

// conclude ends a validation whose trial failed for good. The evidence that came with the failure is kept, if it says
// no more than that it could not be told.
func (q *Queue) conclude(ctx context.Context, a store.Attempt, v crisol.Validation, err error) crisol.Validation {
	if crisol.KindOf(err) == crisol.KindInfrastructure && v.Verdict == crisol.Inconclusive {
		if settled, fault := settle(v, a); fault == nil {
			return settled
		}
	}
	return q.undecided(ctx, a, err)
}

// undecided is the verdict of a trial that ended without an answer.
func (q *Queue) undecided(ctx context.Context, a store.Attempt, err error) crisol.Validation {
	r, status, reason := a.Normalised, crisol.WargameError, err.Error()
	switch {
	case errors.Is(err, errTimeout):
		status, reason = crisol.WargameTimeout, fmt.Sprintf("the trial did not end within %s", q.Timeout)
	case errors.Is(err, errGivenUp):
		reason = fmt.Sprintf("given up: the service died in each of %d attempts", q.Attempts)
	case errors.Is(err, errCancelled):
		reason = "the validation was cancelled"
	case crisol.KindOf(err) == crisol.KindInternal:
		q.Logger.ErrorContext(ctx, "trial failed", "validation_id", a.ID, "error", err)
		reason = "internal fault; the log of the service says more"
	case crisol.KindOf(err) == crisol.KindInfrastructure:
		reason = fmt.Sprintf("infrastructure failed at every one of %d attempts: %v", min(a.Number, q.Attempts), err)
	}
	return crisol.Validation{
		ID: a.ID, APVID: r.APVID, CVEID: r.CVEID, PatchID: r.PatchID, ScenarioID: a.ScenarioID,
		Verdict: crisol.Inconclusive, Method: crisol.MethodWargaming, ResidualRisk: 1, Reason: reason,
		ExecutionTimeSeconds: max(0, q.Now().Sub(a.CreatedAt).Seconds()),
		Wargame:              &crisol.WargameResult{Status: status, Gates: []crisol.Gate{}},
		ScenarioDigest:       a.ScenarioDigest, PatchDigest: a.PatchDigest, CreatedAt: a.CreatedAt,
	}
}

// handBack leaves a validation queued for whoever works next. When even that can't be written it stays marked as
// running, which Recover mends at the next start.
func (q *Queue) handBack(ctx context.Context, a store.Attempt) (next, error) {
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitFor)
	defer cancel()
	if err := q.Store.Release(commit, a.ID, a.Fence); err != nil && !errors.Is(err, store.ErrFinished) && !errors.Is(err, store.ErrLost) {
		q.Logger.ErrorContext(ctx, "interrupted trial could not be handed back", "validation_id", a.ID, "error", err)
	} else {
		q.Logger.InfoContext(ctx, "trial handed back", "validation_id", a.ID)
	}
	return atOnce, nil
}

func (q *Queue) retry(ctx context.Context, a store.Attempt, cause error) (next, error) {
	q.Logger.WarnContext(ctx, "trial failed and will be tried again", "validation_id", a.ID, "attempt", a.Number, "error", cause)
	switch err := q.Store.Retry(ctx, a.ID, a.Fence, cause.Error()); {
	case errors.Is(err, store.ErrFinished): // cancelled meanwhile
		return never, nil
	case err != nil:
		q.Logger.ErrorContext(ctx, "reason of the failure could not be kept", "validation_id", a.ID, "error", err)
	}
	return again, cause
}

// finish writes the verdict, patiently: the trial behind it was dear.
func (q *Queue) finish(ctx context.Context, a store.Attempt, v Outcome) (next, error) {
	give := q.Now().Add(finishFor)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		ending, err := q.ending(a, v, a.Fence)
		if err != nil {
			return never, err
		}
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitFor)
		err = q.Store.Finish(commit, ending)
		cancel()
		switch {
		case err == nil:
			q.Logger.InfoContext(ctx, "validation finished", "validation_id", a.ID, "verdict", v.Verdict, "attempt", a.Number)
			if v.ABTest != nil && v.ABTest.State == store.Pending {
				q.Audit(ctx, v.ABTest.ID)
			}
			q.announce(ctx, a.ID)
			return never, nil
		case errors.Is(err, store.ErrFinished), errors.Is(err, store.ErrNotFound):
			q.tell(a.ID)
			return never, nil
		case errors.Is(err, store.ErrLost): // another worker has it, and will tell more than that it could not be told
			q.Logger.WarnContext(ctx, "the lease of an inconclusive trial was lost", "validation_id", a.ID, "attempt", a.Number)
			return never, nil
		case ctx.Err() != nil:
			return q.handBack(ctx, a)
		case q.Now().After(give):
			return q.retry(ctx, a, fmt.Errorf("write verdict: %w", err))
		}
		q.Logger.ErrorContext(ctx, "verdict could not be written yet", "validation_id", a.ID, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Cancel ends an unfinished validation as inconclusive, and its trial in whatever process it runs. ErrFinished tells that
// its verdict came first.
func (q *Queue) Cancel(ctx context.Context, id string) error {
	record, err := q.Store.Get(ctx, id)
	if err != nil {
		return err
	}
	a := store.Attempt{Number: record.Attempts, Submission: store.Submission{ID: id, CreatedAt: record.CreatedAt, Accepted: store.Accepted{
		ScenarioID: record.ScenarioID, ScenarioDigest: record.ScenarioDigest, PatchDigest: record.PatchDigest, Normalised: record.Request,
	}}}
	a.Webhook = record.Webhook
	ending, err := q.ending(a, Outcome{Validation: q.undecided(ctx, a, errCancelled)}, 0)
	if err != nil {
		return err
	}
	if err := q.Store.Finish(ctx, ending); err != nil {
		return err
	}
	q.interrupt(id, errCancelled)
	q.announce(ctx, id)
	return nil
}

// lookEvery is how often Wait looks into the store, for a verdict that another process wrote and whose message was lost.
const lookEvery = 2 * time.Second

// Wait returns nil once the validation is finished, or ctx's error, or ErrNotFound.
func (q *Queue) Wait(ctx context.Context, id string) error {
	told := make(chan struct{}, 1)
	q.mu.Lock()
	if q.waiting[id] == nil {
		q.waiting[id] = map[chan struct{}]bool{}
	}
	q.waiting[id][told] = true
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if delete(q.waiting[id], told); len(q.waiting[id]) == 0 {
			delete(q.waiting, id)
		}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		state, err := q.Store.State(ctx, id)
		if err != nil || state == store.Finished {
			return err
		}
		select {
		case <-told:
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

// tell wakes those who wait for a validation.
func (q *Queue) tell(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for told := range q.waiting[id] {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}
