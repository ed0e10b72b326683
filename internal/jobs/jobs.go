// Package jobs takes requests in and sees to it that each accepted one ends with exactly one verdict.
//
// In goes a request; out comes its id once the request has been checked and durably kept, and later, from a bounded
// number of workers, a verdict in the store. The store's rows are the truth; River's queue only says who works on what
// and when to try again. A trial is tried again only while infrastructure is at fault, and only so often; what ends
// without an answer ends as inconclusive. When the service stops, or dies, unfinished trials stay queued and are run
// again at the next start. The package knows nothing of patches, sandboxes or HTTP, nor which database there is.
//
// Any number of processes may work on one queue. A worker holds a validation by a lease, which it prolongs while it lives;
// every process looks for leases that ran out and queues anew what they were about, and likewise River's jobs that a dead
// worker had taken (River itself leaves jobs without a timeout alone). Who waits for a verdict hears of it by LISTEN and
// NOTIFY, and looks every two seconds besides. Turns go round between clients, by weight (see fair).
//
// Wiring, as app does it:
//
//	st, err := sqlite.Open(ctx, path, logger)
//	queue, err := jobs.New(riversqlite.New(st.DB()), jobs.Config{
//		Store: st, Validator: flow, Workers: 2, Sole: true, Logger: logger,
//	})
//	err = queue.Start(ctx)
//	defer queue.Stop(shutdownCtx) // before st.Close
package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river/riverdriver"

	"crisol"
	"crisol/internal/store"
)

// Validator is the flow that decides a request.
type Validator interface {
	// Check refuses bad input before it is accepted: it is quick and starts no trial.
	Check(ctx context.Context, r crisol.Request) (store.Accepted, error)
	// Run decides an accepted request, as its mode asks. An error of crisol.KindInfrastructure is tried again; any other
	// ends the validation as inconclusive. An inconclusive validation beside an infrastructure error is its evidence, and
	// what the validation ends with when all attempts are spent. Run returns soon after ctx is done.
	Run(ctx context.Context, s store.Submission) (Outcome, error)
}

// Outcome is what a trial came to.
type Outcome struct {
	crisol.Validation
	// ABTest is kept in the same transaction, where a model was held against the trial.
	ABTest *store.ABTest
}

// Ask is a request as it reaches the queue.
type Ask struct {
	Request  crisol.Request
	Mode     store.Mode // "" is store.ModeValidate
	Client   string     // who asks; "" where nobody is told apart
	Priority int        // 0 before 1, and so on to 3; those who wait come before what nobody waits for
	Webhook  string     // wants to hear of the end; "" for none
}

// Store is what the queue needs of store.Validations.
type Store interface {
	Accept(ctx context.Context, s store.Submission, bound int) error
	Begin(ctx context.Context, id string, l store.Lease) (store.Attempt, error)
	Retry(ctx context.Context, id string, fence int64, reason string) error
	Release(ctx context.Context, id string, fence int64) error
	Finish(ctx context.Context, e store.Ending) error
	Recover(ctx context.Context) (int, error)
	Extend(ctx context.Context, id string, fence int64, until time.Time) error
	Expired(ctx context.Context, now time.Time, limit int) ([]string, error)
	Loads(ctx context.Context) (map[string]int, error)
	List(ctx context.Context, f store.Filter) ([]store.Row, error)
	Get(ctx context.Context, id string) (store.Record, error)
	State(ctx context.Context, id string) (store.State, error)
}

// Config is what a Queue is made of. Store, Validator and Logger must be set.
type Config struct {
	Store     Store
	Validator Validator
	// Audits, when set, are held too, when nobody waits for anything else. The Validator must then be an Auditor.
	Audits Audits
	Logger *slog.Logger
	// Workers is how many trials run at once; 0 means one a core.
	Workers int
	// Bound is how many validations may be unfinished before new ones are refused; 0 means 256.
	Bound int
	// Timeout ends a trial as inconclusive; 0 means 15 minutes.
	Timeout time.Duration
	// Attempts is how often a trial is started before it is given up, be it that infrastructure failed or that the
	// process died; 0 means 5.
	Attempts int
	// Backoff is how long after its start the n-th attempt (from 1) is followed by the next at the earliest; nil means 1 s,
	// 4 s, 16 s, 64 s, ... up to 5 minutes.
	Backoff func(n int) time.Duration
	// Sole says that no other process works on this store (the embedded default). Then all that is unfinished at the
	// start belonged to a dead process, and is made available at once.
	Sole bool
	// Lease is how long a worker may be silent before others take over what it holds; 0 means 30 s. A Sole queue needs none.
	Lease time.Duration
	// Weight says how large a client's share of the turns is; nil gives all the same.
	Weight func(client string) float64
	// NoTrials takes requests in and leaves the trials to other processes.
	NoTrials bool
	// Alone, when set, runs the migration of River's tables while no other process does.
	Alone func(ctx context.Context, do func(context.Context) error) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, runtime.GOMAXPROCS(0))
	c.Bound = cmp.Or(c.Bound, 256)
	c.Timeout = cmp.Or(c.Timeout, 15*time.Minute)
	c.Attempts = cmp.Or(c.Attempts, 5)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	if c.Alone == nil {
		c.Alone = func(ctx context.Context, do func(context.Context) error) error { return do(ctx) }
	}
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func backoff(n int) time.Duration {
	return min(time.Second<<(2*min(n-1, 8)), 5*time.Minute)
}

// commitFor bounds the commit that accepts a request: it goes on when the client hangs up, but not for ever.
const commitFor = 15 * time.Second

// Queue accepts requests and works on them between Start and Stop.
type Queue struct {
	Config
	engine  engine
	name    string        // of this process, as leases show it
	picking chan struct{} // holds one token while a turn is given; it guards fair
	fair    fair

	life    sync.Mutex // guards what follows: Start and Stop come one after the other
	started bool
	end     context.CancelFunc // ends the goroutine that done waits for
	done    sync.WaitGroup

	unswept atomic.Bool // there is an A/B test that could not be queued

	mu       sync.Mutex // guards what follows
	open     bool
	unqueued map[string]int // accepted with their priorities, but River could not take them yet
	running  map[string]*held
	waiting  map[string]map[chan struct{}]bool
}

// New makes a Queue over the database that driver works on: riversqlite embedded, riverpgxv5 when distributed.
func New[TTx any](driver riverdriver.Driver[TTx], c Config) (*Queue, error) {
	q := &Queue{
		Config:   c.withDefaults(),
		name:     uuid.NewString(),
		picking:  make(chan struct{}, 1),
		fair:     fair{weight: c.Weight},
		unqueued: map[string]int{},
		running:  map[string]*held{},
		waiting:  map[string]map[chan struct{}]bool{},
	}
	if _, ok := c.Validator.(Auditor); c.Audits != nil && !ok {
		return nil, crisol.Errorf(crisol.KindInternal, "the queue's validator holds no audits")
	}
	var err error
	q.engine, err = newEngine(driver, q)
	return q, err
}

// Start brings the queue's schema up to date, takes up what was left unfinished and starts the workers. They go on
// until Stop, even when ctx is done. Starting a started Queue does nothing.
func (q *Queue) Start(ctx context.Context) error {
	q.life.Lock()
	defer q.life.Unlock()
	if q.started {
		return nil
	}
	if err := q.Alone(ctx, q.engine.Migrate); err != nil {
		return infrastructure("prepare job queue", err)
	}
	if err := q.takeUp(ctx); err != nil {
		return err
	}
	if err := q.sweep(ctx); err != nil {
		return err
	}
	if err := q.engine.Start(context.WithoutCancel(ctx)); err != nil {
		return infrastructure("start job queue", err)
	}
	var background context.Context
	background, q.end = context.WithCancel(context.WithoutCancel(ctx))
	q.done.Go(func() { q.enqueueLater(background) })
	q.done.Go(func() { q.keepLeases(background) })
	q.done.Go(func() { q.listen(background) })
	q.started = true
	q.setOpen(true)
	return nil
}

// takeUp makes the queue anew from the store: whatever a dead process left in it, each unfinished validation is then
// there once, and available.
func (q *Queue) takeUp(ctx context.Context) error {
	if q.Sole {
		if err := q.engine.Reset(ctx); err != nil {
			return infrastructure("reset job queue", err)
		}
		interrupted, err := q.Store.Recover(ctx)
		if err != nil {
			return err
		}
		if interrupted > 0 {
			q.Logger.WarnContext(ctx, "trials were interrupted by the end of the last process and start again", "count", interrupted)
		}
	}
	return q.requeue(ctx)
}

// requeue queues every validation that waits; those that are queued stay so.
func (q *Queue) requeue(ctx context.Context) error {
	for before := ""; ; {
		rows, err := q.Store.List(ctx, store.Filter{State: store.Queued, Before: before, Limit: 500})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := q.engine.Enqueue(ctx, rows...); err != nil {
			return infrastructure("enqueue validations", err)
		}
		before = rows[len(rows)-1].ID
	}
}

// Stop takes no more requests, hands running trials back to the queue and waits, as long as ctx allows, until all is
// written. Stopping a stopped Queue does nothing.
func (q *Queue) Stop(ctx context.Context) error {
	q.life.Lock()
	defer q.life.Unlock()
	if !q.started {
		return nil
	}
	q.setOpen(false)
	err := q.engine.Stop(ctx) // leases are kept until the last trial has ended
	q.end()
	q.done.Wait()
	if err != nil {
		return infrastructure("stop job queue", err)
	}
	q.started = false
	return nil
}

func (q *Queue) setOpen(open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = open
}

func (q *Queue) isOpen() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open
}

// Submit checks a request, keeps it durably and queues it. When Submit has returned an id, the request will end with
// exactly one verdict, whatever becomes of this process or of ctx.
func (q *Queue) Submit(ctx context.Context, a Ask) (store.Submission, error) {
	if !q.isOpen() {
		return store.Submission{}, crisol.Errorf(crisol.KindInfrastructure, "the service is not taking requests")
	}
	accepted, err := q.Validator.Check(ctx, a.Request)
	if err != nil {
		return store.Submission{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return store.Submission{}, fmt.Errorf("make an id: %w", err)
	}
	s := store.Submission{
		ID: id.String(), CreatedAt: q.Now().UTC().Truncate(time.Microsecond), Accepted: accepted,
		Mode: cmp.Or(a.Mode, store.ModeValidate), Client: a.Client, Priority: a.Priority, Webhook: a.Webhook,
	}
	if err := q.admit(ctx, a.Client); err != nil {
		return store.Submission{}, err
	}
	// The client may go while the row is on its way to the disk; half a commit would leave it guessing.
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitFor)
	defer cancel()
	if err := q.Store.Accept(commit, s, q.Bound); err != nil {
		if errors.Is(err, store.ErrFull) {
			err = crisol.WithHint(err, "%d validations are unfinished already; try again later", q.Bound)
		}
		return store.Submission{}, err
	}
	q.Logger.InfoContext(ctx, "validation accepted", "validation_id", s.ID, "scenario_id", s.ScenarioID, "patch_digest", s.PatchDigest)
	q.enqueue(commit, s.ID, s.Priority)
	return s, nil
}

// admit refuses a client that holds all of the queue that any one client may.
func (q *Queue) admit(ctx context.Context, client string) error {
	if client == "" {
		return nil
	}
	loads, err := q.Store.Loads(ctx)
	if err != nil || admits(client, loads[client], q.Bound) {
		return err
	}
	return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "%d validations of this client are waiting: %w", loads[client], store.ErrFull),
		"the rest of the queue is kept for others; try again later")
}

// enqueue tells River of a validation, or remembers to do so.
func (q *Queue) enqueue(ctx context.Context, id string, priority int) {
	within, cancel := context.WithTimeout(ctx, commitFor)
	defer cancel()
	err := q.engine.Enqueue(within, store.Row{ID: id, Priority: priority})
	if err == nil {
		return
	}
	q.Logger.WarnContext(ctx, "validation is kept but could not be queued yet", "validation_id", id, "error", err)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unqueued[id] = priority
}

// enqueueEvery is the pause before River is asked again to take what it could not.
const enqueueEvery = time.Second

// enqueueLater queues what Submit could not. What is left when the process ends is found by takeUp.
func (q *Queue) enqueueLater(ctx context.Context) {
	tick, sweep := time.NewTicker(enqueueEvery), time.NewTicker(sweepEvery)
	defer tick.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			if err := errors.Join(q.requeue(ctx), q.sweep(ctx)); err != nil && ctx.Err() == nil {
				q.Logger.WarnContext(ctx, "what waits could not be queued", "error", err)
			}
			continue
		case <-tick.C:
		}
		if q.unswept.Swap(false) {
			if err := q.sweep(ctx); err != nil {
				q.unswept.Store(true)
			}
		}
		q.mu.Lock()
		waiting := maps.Clone(q.unqueued)
		q.mu.Unlock()
		for id, priority := range waiting {
			if err := q.engine.Enqueue(ctx, store.Row{ID: id, Priority: priority}); err != nil {
				break
			}
			q.Logger.InfoContext(ctx, "validation queued", "validation_id", id)
			q.mu.Lock()
			delete(q.unqueued, id)
			q.mu.Unlock()
		}
	}
}

func infrastructure(act string, err error) error {
	return crisol.Errorf(crisol.KindInfrastructure, "%s: %w", act, err)
}
