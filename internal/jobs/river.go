package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// engine is River without the type of its transactions, which differs from database to database.
type engine interface {
	Migrate(ctx context.Context) error
	Reset(ctx context.Context) error
	Enqueue(ctx context.Context, id string) error
	EnqueueAudit(ctx context.Context, id string) error
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// kind is what River calls our jobs.
const kind = "validation"

// job is all that River keeps of a validation.
type job struct {
	ID string `json:"id" river:"unique"`
}

func (job) Kind() string { return kind }

// InsertOpts makes a validation be queued at most once at a time. The bound on attempts is ours, so River's is out of
// the way.
func (job) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		MaxAttempts: 10_000,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

// auditKind is what River calls a wargame that nobody waits for.
const auditKind = "ab_test"

// audit is all that River keeps of an A/B test.
type audit struct {
	ID string `json:"id" river:"unique"`
}

func (audit) Kind() string { return auditKind }

// InsertOpts puts it behind all that somebody waits for, of which priorities go from 1.
func (audit) InsertOpts() river.InsertOpts {
	o := job{}.InsertOpts()
	o.Priority = 4
	return o
}

type riverEngine[TTx any] struct {
	driver   riverdriver.Driver[TTx]
	migrator *rivermigrate.Migrator[TTx]
	client   *river.Client[TTx]
}

// local is a driver for the only process there is: jobs are announced in memory, where River on SQLite would write
// each announcement into a table and look for it every 50 ms.
type local[TTx any] struct{ riverdriver.Driver[TTx] }

func (local[TTx]) SupportsListener() bool     { return false }
func (local[TTx]) SupportsListenNotify() bool { return false }

func newEngine[TTx any](driver riverdriver.Driver[TTx], q *Queue) (engine, error) {
	if q.Sole {
		driver = local[TTx]{driver}
	}
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: q.Logger})
	if err != nil {
		return nil, fmt.Errorf("set up job queue: %w", err)
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{queue: q}); err != nil {
		return nil, fmt.Errorf("set up job queue: %w", err)
	}
	if q.Audits != nil {
		if err := river.AddWorkerSafely(workers, &auditor{queue: q}); err != nil {
			return nil, fmt.Errorf("set up job queue: %w", err)
		}
	}
	client, err := river.NewClient(driver, &river.Config{
		Logger:  q.Logger,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: q.Workers}},
		Workers: workers,
		// A trial takes some tenths of a second, so River's 100 ms between two fetches would be felt.
		FetchCooldown: 5 * time.Millisecond,
		JobTimeout:    -1, // a trial's deadline is part of its verdict, so the worker sets it
		// Longer than any trial and the time in which its verdict is written.
		RescueStuckJobsAfter:        q.Timeout + finishFor + time.Minute,
		CompletedJobRetentionPeriod: time.Hour,
	})
	if err != nil {
		return nil, fmt.Errorf("set up job queue: %w", err)
	}
	return &riverEngine[TTx]{driver, migrator, client}, nil
}

// Migrate brings River's tables up to date; tables of a newer River are refused.
func (e *riverEngine[TTx]) Migrate(ctx context.Context) error {
	_, err := e.migrator.ExistingVersions(ctx)
	if err == nil {
		_, err = e.migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil && strings.Contains(err.Error(), "not found in migrator bundle") { // River has no value for it
		return fmt.Errorf("the schema is from a newer crisol: %w", err)
	}
	return err
}

// Reset forgets what a dead process was working on, and that it was the leader of the maintenance, whose lease would
// else have to run out first. It must be called by the only process, and before Start.
func (e *riverEngine[TTx]) Reset(ctx context.Context) error {
	for _, statement := range []string{"DELETE FROM river_job WHERE kind IN ('" + kind + "', '" + auditKind + "')", "DELETE FROM river_leader"} {
		if err := e.driver.GetExecutor().Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (e *riverEngine[TTx]) Enqueue(ctx context.Context, id string) error {
	_, err := e.client.Insert(ctx, job{ID: id}, nil)
	return err
}

func (e *riverEngine[TTx]) EnqueueAudit(ctx context.Context, id string) error {
	_, err := e.client.Insert(ctx, audit{ID: id}, nil)
	return err
}

func (e *riverEngine[TTx]) Start(ctx context.Context) error { return e.client.Start(ctx) }

func (e *riverEngine[TTx]) Stop(ctx context.Context) error { return e.client.StopAndCancel(ctx) }

// worker is where River hands a job over.
type worker struct {
	river.WorkerDefaults[job]
	queue *Queue
}

// Work translates what became of an attempt into River's terms.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	next, err := w.queue.work(ctx, j.Args.ID)
	switch next {
	case again:
		return err // NextRetry says when
	case atOnce:
		return river.JobSnooze(0)
	default:
		return nil
	}
}

// NextRetry counts the attempts that River saw in this process's lifetime, which is what a pause is about.
func (w *worker) NextRetry(j *river.Job[job]) time.Time {
	return time.Now().Add(w.queue.Backoff(j.Attempt)) // by River's clock
}

// auditor is where River hands an A/B test over.
type auditor struct {
	river.WorkerDefaults[audit]
	queue *Queue
}

// Work holds the wargame of an A/B test.
func (w *auditor) Work(ctx context.Context, j *river.Job[audit]) error {
	switch w.queue.audit(ctx, j.Args.ID, j.Attempt) {
	case again:
		return errAgain
	case atOnce:
		return river.JobSnooze(0)
	default:
		return nil
	}
}

// NextRetry pauses as for a validation.
func (w *auditor) NextRetry(j *river.Job[audit]) time.Time {
	return time.Now().Add(w.queue.Backoff(j.Attempt)) // by River's clock
}
