package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	"go.uber.org/goleak"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flow is a validator whose trials do what a test says.
type flow struct {
	check func(crisol.Request) (store.Accepted, error)
	run   func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error)
}

func (f flow) Check(_ context.Context, r crisol.Request) (store.Accepted, error) {
	if f.check != nil {
		return f.check(r)
	}
	return store.Accepted{ScenarioID: "s", ScenarioDigest: "sd", PatchDigest: "digest of " + r.PatchDiff, Normalised: r}, nil
}

func (f flow) Run(ctx context.Context, s store.Submission) (jobs.Outcome, error) {
	v, err := f.run(ctx, s.Normalised, s.ID)
	return jobs.Outcome{Validation: v}, err
}

// says is a validator that decides at once.
func says(v crisol.Verdict) flow {
	return flow{run: func(_ context.Context, r crisol.Request, _ string) (crisol.Validation, error) {
		return crisol.Validation{Verdict: v, PatchValidated: v == crisol.Fixed, PatchDigest: "digest of " + r.PatchDiff}, nil
	}}
}

type world struct {
	*testing.T
	path  string
	store *sqlite.Store
	*jobs.Queue
}

func start(t *testing.T, v jobs.Validator, change ...func(*jobs.Config)) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crisol.db")
	fresh, err := migrated()
	if err == nil {
		err = os.WriteFile(path, fresh, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return startAt(t, path, v, change...)
}

// migrated is an empty database with its schema: making one takes longer than most tests.
var migrated = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "crisol-jobs-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, logger := filepath.Join(dir, "crisol.db"), slog.New(slog.DiscardHandler)
	st, err := sqlite.Open(context.Background(), path, logger)
	if err != nil {
		return nil, err
	}
	q, err := jobs.New(riversqlite.New(st.DB()), jobs.Config{Store: st, Validator: says(crisol.Fixed), Logger: logger, Sole: true})
	if err == nil {
		err = errors.Join(q.Start(context.Background()), q.Stop(context.Background()))
	}
	if err = errors.Join(err, st.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func startAt(t *testing.T, path string, v jobs.Validator, change ...func(*jobs.Config)) *world {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := jobs.Config{Store: st, Validator: v, Logger: slog.New(slog.DiscardHandler), Workers: 2, Sole: true,
		Backoff: func(int) time.Duration { return 50 * time.Millisecond }}
	for _, f := range change {
		f(&c)
	}
	q, err := jobs.New(riversqlite.New(st.DB()), c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, path, st, q}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) stop() {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(w.Stop(ctx), w.Stop(ctx), w.store.Close()); err != nil {
		w.Error(err)
	}
}

func (w *world) submit(diff string) string {
	w.Helper()
	s, err := w.Submit(w.Context(), jobs.Ask{Request: crisol.Request{APVID: "apv", CVEID: "cve", PatchID: "p", PatchDiff: diff}})
	if err != nil {
		w.Fatal(err)
	}
	return s.ID
}

func (w *world) decided(id string) crisol.Validation {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	if err := w.Wait(ctx, id); err != nil {
		w.Fatalf("wait for %s: %v", id, err)
	}
	record, err := w.store.Get(w.Context(), id)
	if err != nil || record.Validation == nil {
		w.Fatalf("get %s: %+v, %v", id, record, err)
	}
	return *record.Validation
}

func TestDecides(t *testing.T) {
	t.Parallel()
	w := start(t, says(crisol.Fixed))
	id := w.submit("x")
	v := w.decided(id)
	if v.ID != id || v.Verdict != crisol.Fixed || !v.PatchValidated || v.APVID != "apv" || v.CVEID != "cve" || v.PatchID != "p" ||
		v.PatchDigest != "digest of x" || v.CreatedAt.IsZero() {
		t.Errorf("%+v", v)
	}
	record, err := w.store.Get(t.Context(), id)
	if err != nil || record.Attempts != 1 || record.StartedAt.IsZero() || record.FinishedAt.IsZero() {
		t.Errorf("%+v, %v", record.Row, err)
	}
	if err := w.Wait(t.Context(), "no-such"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("wait for an unknown id: %v", err)
	}
}

func TestRefusesBadInput(t *testing.T) {
	t.Parallel()
	refusal := crisol.Errorf(crisol.KindInput, "patch does not apply")
	w := start(t, flow{check: func(crisol.Request) (store.Accepted, error) { return store.Accepted{}, refusal }})
	if _, err := w.Submit(t.Context(), jobs.Ask{Request: crisol.Request{}}); !errors.Is(err, refusal) {
		t.Fatalf("got %v", err)
	}
	if rows, err := w.store.List(t.Context(), store.Filter{Limit: 1}); err != nil || len(rows) > 0 {
		t.Fatalf("a refused request was kept: %v, %v", rows, err)
	}
}

// TestSubmitOutlivesItsCaller: a client that hangs up while its request is being checked gets its verdict all the same.
func TestSubmitOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	v := says(crisol.NotFixed)
	ctx, hangUp := context.WithCancel(t.Context())
	v.check = func(r crisol.Request) (store.Accepted, error) { hangUp(); return store.Accepted{Normalised: r}, nil }
	w := start(t, v)
	s, err := w.Submit(ctx, jobs.Ask{Request: crisol.Request{APVID: "apv"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.decided(s.ID); got.Verdict != crisol.NotFixed {
		t.Errorf("%+v", got)
	}
}

func TestWorkersAndBound(t *testing.T) {
	t.Parallel()
	release, begun := make(chan struct{}), make(chan struct{}, 10)
	var now, most atomic.Int64
	w := start(t, flow{run: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		begun <- struct{}{}
		<-release
		return says(crisol.Broken).run(ctx, r, id)
	}}, func(c *jobs.Config) { c.Bound = 4 })
	var ids []string
	for i := range 4 {
		ids = append(ids, w.submit(fmt.Sprint(i)))
	}
	<-begun
	<-begun
	_, err := w.Submit(t.Context(), jobs.Ask{Request: crisol.Request{APVID: "one too many"}})
	if !errors.Is(err, store.ErrFull) || crisol.KindOf(err) != crisol.KindInfrastructure || crisol.HintOf(err) == "" {
		t.Fatalf("beyond the bound: %v", err)
	}
	close(release)
	for _, id := range ids {
		if v := w.decided(id); v.Verdict != crisol.Broken {
			t.Errorf("%+v", v)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d trials ran at once, want 2", most.Load())
	}
	w.decided(w.submit("room again"))
}

func TestRetriesInfrastructureOnly(t *testing.T) {
	t.Parallel()
	registry := crisol.Errorf(crisol.KindInfrastructure, "registry does not answer")
	for _, c := range []struct {
		name    string
		errs    []error // of each attempt; afterwards the trial decides
		verdict crisol.Verdict
		runs    int64
		reason  string
	}{
		{"infrastructure, twice", []error{registry, registry}, crisol.Fixed, 3, ""},
		{"infrastructure, always", []error{registry, registry, registry, registry, registry}, crisol.Inconclusive, 3, "every one of 3 attempts: registry does not answer"},
		{"target", []error{crisol.Errorf(crisol.KindTarget, "does not build")}, crisol.Inconclusive, 1, "does not build"},
		{"input", []error{crisol.Errorf(crisol.KindInput, "no such scenario any more")}, crisol.Inconclusive, 1, "no such scenario any more"},
		{"ours", []error{errors.New("nil map at /home/secret")}, crisol.Inconclusive, 1, "internal fault; the log of the service says more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var runs atomic.Int64
			w := start(t, flow{run: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
				if n := int(runs.Add(1)); n <= len(c.errs) {
					return crisol.Validation{}, c.errs[n-1]
				}
				return says(crisol.Fixed).run(ctx, r, id)
			}}, func(cfg *jobs.Config) { cfg.Attempts = 3 })
			v := w.decided(w.submit("x"))
			if v.Verdict != c.verdict || runs.Load() != c.runs || !strings.Contains(v.Reason, c.reason) {
				t.Errorf("%d runs, %+v", runs.Load(), v)
			}
			if v.Verdict == crisol.Inconclusive && (v.PatchValidated || v.ResidualRisk != 1 || v.Wargame.Status != crisol.WargameError) {
				t.Errorf("not failed closed: %+v", v)
			}
		})
	}
}

// TestKeepsEvidenceOfFailure: what the last attempt saw ends the validation, unless it claims to have decided.
func TestKeepsEvidenceOfFailure(t *testing.T) {
	t.Parallel()
	w := start(t, flow{run: func(_ context.Context, r crisol.Request, _ string) (crisol.Validation, error) {
		v := crisol.Validation{Verdict: crisol.Verdict(r.PatchDiff), Reason: "no sandbox", Wargame: &crisol.WargameResult{
			Status: crisol.WargameError, Gates: []crisol.Gate{{Name: crisol.GatePrepare, Outcome: crisol.Errored}}}}
		return v, crisol.Errorf(crisol.KindInfrastructure, "no sandbox")
	}}, func(c *jobs.Config) { c.Attempts = 1 })
	if v := w.decided(w.submit("inconclusive")); v.Verdict != crisol.Inconclusive || len(v.Wargame.Gates) != 1 || v.PatchDigest != "digest of inconclusive" {
		t.Errorf("%+v", v)
	}
	if v := w.decided(w.submit("fixed")); v.Verdict != crisol.Inconclusive || len(v.Wargame.Gates) != 0 {
		t.Errorf("%+v", v)
	}
}

// TestUnusableAnswers: what a validator may not say ends as inconclusive, never as what it said.
func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func() crisol.Validation{
		"another patch":        func() crisol.Validation { return crisol.Validation{Verdict: crisol.Fixed, PatchDigest: "another"} },
		"no verdict":           func() crisol.Validation { return crisol.Validation{PatchValidated: false} },
		"an unknown verdict":   func() crisol.Validation { return crisol.Validation{Verdict: "probably_fixed"} },
		"validated, not fixed": func() crisol.Validation { return crisol.Validation{Verdict: crisol.NotFixed, PatchValidated: true} },
		"not a number":         func() crisol.Validation { return crisol.Validation{Verdict: crisol.Fixed, Confidence: math.NaN()} },
		"a panic":              func() crisol.Validation { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, flow{run: func(context.Context, crisol.Request, string) (crisol.Validation, error) { return answer(), nil }})
			v := w.decided(w.submit("x"))
			if v.Verdict != crisol.Inconclusive || v.PatchValidated || !strings.Contains(v.Reason, "internal fault") {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	w := start(t, flow{run: func(ctx context.Context, _ crisol.Request, _ string) (crisol.Validation, error) {
		<-ctx.Done()
		return crisol.Validation{}, crisol.Errorf(crisol.KindInfrastructure, "sandbox: %w", ctx.Err())
	}}, func(c *jobs.Config) { c.Timeout = 20 * time.Millisecond })
	v := w.decided(w.submit("x"))
	if v.Verdict != crisol.Inconclusive || v.Wargame.Status != crisol.WargameTimeout || !strings.Contains(v.Reason, "20ms") {
		t.Errorf("%+v", v)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 2)
	ended := make(chan error, 2)
	w := start(t, flow{run: func(ctx context.Context, _ crisol.Request, _ string) (crisol.Validation, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return crisol.Validation{}, ctx.Err()
	}}, func(c *jobs.Config) { c.Workers = 1 })
	running, queued := w.submit("running"), w.submit("queued")
	<-begun
	for _, id := range []string{queued, running} {
		if err := w.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if v := w.decided(id); v.Verdict != crisol.Inconclusive || v.Reason != "the validation was cancelled" {
			t.Errorf("%+v", v)
		}
	}
	if cause := <-ended; cause == nil || cause.Error() != "cancelled" {
		t.Errorf("the trial ended with %v", cause)
	}
	if err := w.Cancel(t.Context(), running); !errors.Is(err, store.ErrFinished) {
		t.Errorf("cancel again: %v", err)
	}
	if err := w.Cancel(t.Context(), "no-such"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("cancel an unknown one: %v", err)
	}
	if len(begun) > 0 {
		t.Error("the cancelled one in the queue was run")
	}
}

// TestStopHandsBack: a stop leaves running trials queued, with no attempt counted, and the next start runs them.
func TestStopHandsBack(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 4)
	w := start(t, flow{run: func(ctx context.Context, _ crisol.Request, _ string) (crisol.Validation, error) {
		begun <- struct{}{}
		<-ctx.Done()
		if len(begun)%2 == 0 { // an error, and an answer that only the stop made inconclusive: both are no verdict
			return crisol.Validation{Verdict: crisol.Inconclusive, Reason: "context canceled"}, nil
		}
		return crisol.Validation{}, ctx.Err()
	}})
	var ids []string
	for i := range 3 {
		ids = append(ids, w.submit(fmt.Sprint(i)))
	}
	<-begun
	<-begun
	waiter := make(chan error, 1)
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { waiter <- w.Wait(waiting, ids[0]) }()
	if err := <-waiter; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		record, err := w.store.Get(t.Context(), id)
		if err != nil || record.State != store.Queued || record.Attempts != 0 {
			t.Errorf("after the stop: %+v, %v", record.Row, err)
		}
	}
	if _, err := w.Submit(t.Context(), jobs.Ask{Request: crisol.Request{}}); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("submit to a stopped queue: %v", err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	next := startAt(t, w.path, says(crisol.NotFixed))
	for _, id := range ids {
		if v := next.decided(id); v.Verdict != crisol.NotFixed {
			t.Errorf("%+v", v)
		}
	}
}

// TestStopKeepsVerdict: a trial that decides while the service stops has decided.
func TestStopKeepsVerdict(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	w := start(t, flow{run: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		close(begun)
		<-ctx.Done()
		return says(crisol.NotFixed).run(ctx, r, id)
	}})
	id := w.submit("x")
	<-begun
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	record, err := w.store.Get(t.Context(), id)
	if err != nil || record.Verdict != crisol.NotFixed {
		t.Errorf("%+v, %v", record.Row, err)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	w := start(t, flow{run: func(context.Context, crisol.Request, string) (crisol.Validation, error) {
		close(begun)
		<-release // deaf to its context
		return crisol.Validation{}, errors.New("late")
	}})
	w.submit("x")
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	close(release)
}

func TestRestartsInPlace(t *testing.T) {
	t.Parallel()
	w := start(t, says(crisol.Fixed))
	for range 2 {
		if err := errors.Join(w.Start(t.Context()), w.Stop(t.Context()), w.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		w.decided(w.submit("x"))
	}
}

// TestPoison: a request that takes the process with it each time is given up.
func TestPoison(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crisol.db")
	st, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	id := "0190c6e4-0000-7000-8000-000000000000"
	err = st.Accept(t.Context(), store.Submission{ID: id, CreatedAt: time.Now(), Accepted: store.Accepted{Normalised: crisol.Request{APVID: "a"}}}, 1)
	for range 2 { // deaths: begun, and never ended
		if err == nil {
			_, err = st.Begin(t.Context(), id, store.Lease{Worker: "dead", At: time.Now(), Until: time.Now().Add(time.Hour)})
		}
	}
	if err = errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	w := startAt(t, path, flow{}, func(c *jobs.Config) { c.Attempts = 2 })
	if v := w.decided(id); v.Verdict != crisol.Inconclusive || !strings.Contains(v.Reason, "died in each of 2 attempts") {
		t.Errorf("%+v", v)
	}
}

// faulty fails some calls of a real store.
type faulty struct {
	jobs.Store
	mu     sync.Mutex
	finish []error
	begin  []error
	retry  []error
}

func (f *faulty) next(errs *[]error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(*errs) == 0 {
		return nil
	}
	err := (*errs)[0]
	*errs = (*errs)[1:]
	return err
}

func (f *faulty) Finish(ctx context.Context, e store.Ending) error {
	if err := f.next(&f.finish); err != nil {
		return err
	}
	return f.Store.Finish(ctx, e)
}

func (f *faulty) Begin(ctx context.Context, id string, l store.Lease) (store.Attempt, error) {
	if err := f.next(&f.begin); err != nil {
		return store.Attempt{}, err
	}
	return f.Store.Begin(ctx, id, l)
}

func (f *faulty) Retry(ctx context.Context, id string, fence int64, reason string) error {
	if err := f.next(&f.retry); err != nil {
		return err
	}
	return f.Store.Retry(ctx, id, fence, reason)
}

// TestSurvivesDatabaseFaults: a database that fails for a while costs neither the verdict nor a second trial.
func TestSurvivesDatabaseFaults(t *testing.T) {
	t.Parallel()
	full := crisol.Errorf(crisol.KindInfrastructure, "disk is full")
	var runs atomic.Int64
	w := start(t, flow{run: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		if runs.Add(1) == 1 {
			return crisol.Validation{}, full
		}
		return says(crisol.Fixed).run(ctx, r, id)
	}}, func(c *jobs.Config) {
		c.Store = &faulty{Store: c.Store, finish: []error{full, full}, begin: []error{full}, retry: []error{full}}
	})
	if v := w.decided(w.submit("x")); v.Verdict != crisol.Fixed || runs.Load() != 2 {
		t.Errorf("%d runs, %+v", runs.Load(), v)
	}
}

// TestGivesUpWriting: when the verdict can't be written for long, the trial is repeated rather than lost.
func TestGivesUpWriting(t *testing.T) {
	t.Parallel()
	full := crisol.Errorf(crisol.KindInfrastructure, "disk is full")
	var ticks atomic.Int64
	begin := time.Now()
	w := start(t, says(crisol.Fixed), func(c *jobs.Config) {
		c.Now = func() time.Time { return begin.Add(time.Duration(ticks.Add(1)) * 4 * time.Minute) }
		c.Store = &faulty{Store: c.Store, finish: []error{full, full}}
	})
	id := w.submit("x")
	if v := w.decided(id); v.Verdict != crisol.Fixed {
		t.Errorf("%+v", v)
	}
	if record, err := w.store.Get(t.Context(), id); err != nil || record.Attempts < 2 || !strings.Contains(record.LastError, "write verdict") {
		t.Errorf("%+v, %v", record.Row, err)
	}
}

// TestQueueOutOfOrder: what River can't take is kept all the same and queued when it can.
func TestQueueOutOfOrder(t *testing.T) {
	t.Parallel()
	w := start(t, says(crisol.Fixed))
	db := w.store.DB()
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE river_job RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	id := w.submit("x")
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE away RENAME TO river_job`); err != nil {
		t.Fatal(err)
	}
	if v := w.decided(id); v.Verdict != crisol.Fixed {
		t.Errorf("%+v", v)
	}
}

func TestStartFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ breakIt, want string }{
		"newer queue schema": {`UPDATE river_migration SET version = version + 1000`, "newer crisol"},
		"no queue tables":    {`DROP TABLE river_job`, "job queue"},
		"no store tables":    {`DROP TABLE requests; DROP TABLE verdicts; DROP TABLE validations`, "validations"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, says(crisol.Fixed))
			if err := w.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.store.DB().ExecContext(t.Context(), c.breakIt); err != nil {
				t.Fatal(err)
			}
			err := w.Start(t.Context())
			if crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(err.Error(), c.want) {
				t.Errorf("start: %v", err)
			}
		})
	}
}
