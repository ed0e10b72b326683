package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"crisol/internal/store"
)

// engine is River without the type of its transactions, which differs from database to database.
type engine interface {
	Migrate(ctx context.Context) error
	Reset(ctx context.Context) error
	// Enqueue makes a job for each validation that has none.
	Enqueue(ctx context.Context, rows ...store.Row) error
	EnqueueAudit(ctx context.Context, id string) error
	// Touch says that this process is still at the jobs that it has taken.
	Touch(ctx context.Context) error
	// Reap forgets the jobs whose process has not said so for that long, and returns how many there were.
	Reap(ctx context.Context, silent time.Duration) (int, error)
	// Time is that of the database, which all processes share.
	Time(ctx context.Context) (time.Time, error)
	// Announce tells whoever listens of a verdict. Listen calls heard with each that is announced, until it fails or ctx
	// is done.
	Announce(ctx context.Context, id string) error
	Listen(ctx context.Context, heard func(id string)) error
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
	o.Priority = lowest
	return o
}

// lowest is River's lowest priority; its highest is 1.
const lowest = 4

type riverEngine[TTx any] struct {
	driver   riverdriver.Driver[TTx]
	migrator *rivermigrate.Migrator[TTx]
	client   *river.Client[TTx]
	idle     bool // works on nothing

	mu    sync.Mutex     // guards what follows
	taken map[int64]bool // jobs that this process is at
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
	e := &riverEngine[TTx]{driver: driver, migrator: migrator, idle: q.NoTrials, taken: map[int64]bool{}}
	config := &river.Config{Logger: q.Logger}
	if !q.NoTrials {
		if config, err = working(q, e); err != nil {
			return nil, fmt.Errorf("set up job queue: %w", err)
		}
	}
	if e.client, err = river.NewClient(driver, config); err != nil {
		return nil, fmt.Errorf("set up job queue: %w", err)
	}
	return e, nil
}

// working configures a client that takes jobs.
func working(q *Queue, t taker) (*river.Config, error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{queue: q, taker: t}); err != nil {
		return nil, err
	}
	if q.Audits != nil {
		if err := river.AddWorkerSafely(workers, &auditor{queue: q, taker: t}); err != nil {
			return nil, err
		}
	}
	return &river.Config{
		Logger:  q.Logger,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: q.Workers}},
		Workers: workers,
		// A trial takes some tenths of a second, so River's 100 ms between two fetches would be felt.
		FetchCooldown: 5 * time.Millisecond,
		// A trial's deadline is part of its verdict, so the worker sets it. River doesn't rescue jobs without a timeout,
		// whatever RescueStuckJobsAfter is: Reap does.
		JobTimeout:                  -1,
		CompletedJobRetentionPeriod: time.Hour,
	}, nil
}

// Migrate brings River's tables up to date; tables of a newer River are refused.
func (e *riverEngine[TTx]) Migrate(ctx context.Context) error { return migrate(ctx, e.migrator) }

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

func (e *riverEngine[TTx]) Enqueue(ctx context.Context, rows ...store.Row) error {
	many := make([]river.InsertManyParams, 0, len(rows))
	for _, row := range rows {
		o := job{}.InsertOpts()
		o.Priority = min(1+max(row.Priority, 0), lowest)
		many = append(many, river.InsertManyParams{Args: job{ID: row.ID}, InsertOpts: &o})
	}
	_, err := e.client.InsertMany(ctx, many)
	return err
}

func (e *riverEngine[TTx]) EnqueueAudit(ctx context.Context, id string) error {
	_, err := e.client.Insert(ctx, audit{ID: id}, nil)
	return err
}

func (e *riverEngine[TTx]) Start(ctx context.Context) error {
	if e.idle {
		return nil
	}
	return e.client.Start(ctx)
}

func (e *riverEngine[TTx]) Stop(ctx context.Context) error {
	if e.idle {
		return nil
	}
	return e.client.StopAndCancel(ctx)
}

// take notes that this process is at a job until the function it returns is called.
func (e *riverEngine[TTx]) take(id int64) func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken[id] = true
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.taken, id)
	}
}

// Touch makes the time at which a job was taken the present, by the clock of the database. It and Reap speak PostgreSQL;
// a Sole queue calls neither.
func (e *riverEngine[TTx]) Touch(ctx context.Context) error {
	e.mu.Lock()
	ids := slices.Collect(maps.Keys(e.taken))
	e.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return e.driver.GetExecutor().Exec(ctx, `UPDATE river_job SET attempted_at = now() WHERE id = ANY($1) AND state = 'running'`, ids)
}

func (e *riverEngine[TTx]) Reap(ctx context.Context, silent time.Duration) (n int, err error) {
	err = e.driver.GetExecutor().QueryRow(ctx, `WITH gone AS (
		DELETE FROM river_job WHERE state = 'running' AND kind = ANY($1) AND attempted_at < now() - make_interval(secs => $2) RETURNING id
	) SELECT count(*) FROM gone`, []string{kind, auditKind}, silent.Seconds()).Scan(&n)
	return n, err
}

func (e *riverEngine[TTx]) Time(ctx context.Context) (now time.Time, err error) {
	err = e.driver.GetExecutor().QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now, err
}

// finishedTopic is the channel on which verdicts are announced.
const finishedTopic = "crisol_finished"

func (e *riverEngine[TTx]) Announce(ctx context.Context, id string) error {
	return e.driver.GetExecutor().Exec(ctx, `SELECT pg_notify(current_schema() || '.' || $1::text, $2::text)`, finishedTopic, id)
}

func (e *riverEngine[TTx]) Listen(ctx context.Context, heard func(id string)) (err error) {
	l := e.driver.GetListener(&riverdriver.GetListenenerParams{})
	if err := l.Connect(ctx); err != nil {
		return err
	}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceFor)
		defer cancel()
		err = errors.Join(err, l.Close(within))
	}()
	if err := l.Listen(ctx, finishedTopic); err != nil {
		return err
	}
	for {
		n, err := l.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		heard(n.Payload)
	}
}

// taker notes what a process is at.
type taker interface{ take(id int64) func() }

// worker is where River hands a job over.
type worker struct {
	river.WorkerDefaults[job]
	queue *Queue
	taker taker
}

// Work translates what became of an attempt into River's terms.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	defer w.taker.take(j.ID)()
	n, wait, err := w.queue.turn(ctx, j.Args.ID)
	switch n {
	case again:
		return err // NextRetry says when
	case atOnce:
		return river.JobSnooze(0)
	case later:
		return river.JobSnooze(wait)
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
	taker taker
}

// Work holds the wargame of an A/B test.
func (w *auditor) Work(ctx context.Context, j *river.Job[audit]) error {
	defer w.taker.take(j.ID)()
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
