package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/store"
	"crisol/internal/store/pgtest"
	"crisol/internal/store/postgres"
)

// lease is short, so that tests needn't wait long, and long enough for a busy machine.
const lease = 1500 * time.Millisecond

// host is one process of several that share a PostgreSQL, but in this process.
type host struct {
	*testing.T
	*jobs.Queue
	store *postgres.Store
}

// join starts a host.
func join(t *testing.T, database string, v jobs.Validator, change ...func(*jobs.Config)) *host {
	t.Helper()
	st, err := postgres.Open(t.Context(), database, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := jobs.Config{Store: st, Validator: v, Logger: slog.New(slog.DiscardHandler), Workers: 1, Lease: lease, Alone: st.Alone,
		Backoff: func(int) time.Duration { return 50 * time.Millisecond }}
	for _, f := range change {
		f(&c)
	}
	q, err := jobs.New(riverpgxv5.New(st.Pool()), c)
	if err == nil {
		err = q.Start(t.Context())
	}
	if err != nil {
		t.Fatal(errors.Join(err, st.Close()))
	}
	h := &host{T: t, Queue: q, store: st}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(q.Stop(ctx), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *host) ask(client, diff string) string {
	h.Helper()
	s, err := h.Submit(h.Context(), jobs.Ask{Client: client, Request: crisol.Request{APVID: "apv", PatchDiff: diff}})
	if err != nil {
		h.Fatal(err)
	}
	return s.ID
}

func (h *host) decided(id string) store.Record {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	if err := h.Wait(ctx, id); err != nil {
		h.Fatalf("wait for %s: %v", id, err)
	}
	record, err := h.store.Get(h.Context(), id)
	if err != nil || record.Validation == nil {
		h.Fatalf("get %s: %+v, %v", id, record, err)
	}
	return record
}

func (h *host) exec(statement string, args ...any) {
	h.Helper()
	if _, err := h.store.Pool().Exec(h.Context(), statement, args...); err != nil {
		h.Fatal(err)
	}
}

// stuck is a validator whose trials say that they began, and last until they are interrupted.
func stuck(begun chan<- string, ended chan<- error) flow {
	return flow{run: func(ctx context.Context, _ crisol.Request, id string) (crisol.Validation, error) {
		begun <- id
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return crisol.Validation{}, ctx.Err()
	}}
}

func TestShared(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	for name, test := range map[string]func(*testing.T, string){
		"starts at once":          testStartsAtOnce,
		"services without trials": testNoTrials,
		"cancels elsewhere":       testCancelsElsewhere,
		"lost lease":              testLostLease,
		"dead worker":             testDeadWorker,
		"clock steps":             testClockSteps,
		"retries":                 testSharedRetries,
		"shares the work":         testSharesWork,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server.Database(t))
		})
	}
}

// testStartsAtOnce: processes that find an empty database together make one schema.
func testStartsAtOnce(t *testing.T, database string) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			st, err := postgres.Open(t.Context(), database, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			q, err := jobs.New(riverpgxv5.New(st.Pool()), jobs.Config{Store: st, Validator: says(crisol.Fixed), Logger: slog.New(slog.DiscardHandler), Alone: st.Alone})
			if err == nil {
				err = errors.Join(q.Start(t.Context()), q.Stop(t.Context()))
			}
			if err := errors.Join(err, st.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// testNoTrials: what a service without trials accepts is decided by a worker, and the service hears of it.
func testNoTrials(t *testing.T, database string) {
	front := join(t, database, says(crisol.Broken), func(c *jobs.Config) { c.NoTrials = true })
	early := front.ask("a", "1")
	if state, err := front.store.State(t.Context(), early); err != nil || state != store.Queued {
		t.Errorf("%s, %v", state, err)
	}
	worker := join(t, database, says(crisol.Fixed))
	for _, id := range []string{early, front.ask("a", "2")} {
		if r := front.decided(id); r.Verdict != crisol.Fixed {
			t.Errorf("%+v", r.Row)
		}
	}
	if err := errors.Join(front.Stop(t.Context()), front.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	worker.decided(front.ask("a", "3"))
}

// testCancelsElsewhere: a verdict that another process wrote ends the trial.
func testCancelsElsewhere(t *testing.T, database string) {
	begun, ended := make(chan string, 1), make(chan error, 1)
	front := join(t, database, flow{}, func(c *jobs.Config) { c.NoTrials = true })
	join(t, database, stuck(begun, ended))
	id := front.ask("a", "x")
	<-begun
	if err := front.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if cause := <-ended; cause == nil || !strings.Contains(cause.Error(), "another's now") {
		t.Errorf("the trial ended with %v", cause)
	}
	if r := front.decided(id); r.Verdict != crisol.Inconclusive || r.Reason != "the validation was cancelled" {
		t.Errorf("%+v", r.Row)
	}
}

// testLostLease: a worker that learns that another holds what it is at lets go, without a verdict.
func testLostLease(t *testing.T, database string) {
	begun, ended := make(chan string, 1), make(chan error, 1)
	slow := join(t, database, stuck(begun, ended), func(c *jobs.Config) { c.Lease = lease })
	id := slow.ask("a", "x")
	<-begun
	slow.exec(`UPDATE validations SET lease_until = 1 WHERE id = $1`, id)
	a, err := slow.store.Begin(t.Context(), id, store.Lease{Worker: "another", At: time.Now(), Until: time.Now().Add(time.Hour)})
	if err != nil || a.Number != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	if cause := <-ended; cause == nil {
		t.Error("the trial ended by itself")
	}
	if row, err := slow.store.Get(t.Context(), id); err != nil || row.State != store.Running || row.Worker != "another" {
		t.Errorf("%+v, %v", row.Row, err)
	}
}

// testDeadWorker: what a dead worker had taken is run by another, whether it had begun it or not, and so is the wargame of
// an A/B test (see TestKills for the real thing).
func testDeadWorker(t *testing.T, database string) {
	front := join(t, database, flow{}, func(c *jobs.Config) { c.NoTrials = true })
	taken, begun := front.ask("a", "taken"), front.ask("a", "begun")
	front.exec(`UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), attempted_by = '{dead}'`)
	_, err := front.store.Begin(t.Context(), begun, store.Lease{Worker: "dead", At: time.Now(), Until: time.Now().Add(lease)})
	if err != nil {
		t.Fatal(err)
	}
	join(t, database, says(crisol.NotFixed))
	for id, attempts := range map[string]int{taken: 1, begun: 2} {
		if r := front.decided(id); r.Verdict != crisol.NotFixed || r.Attempts != attempts {
			t.Errorf("%+v", r.Row)
		}
	}
}

// testClockSteps: a host whose clock steps takes over what others are at, or holds nothing for long. What is at worst tried
// twice ends with one verdict all the same.
func testClockSteps(t *testing.T, database string) {
	var step atomic.Int64
	clock := func(c *jobs.Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) } }
	slow := flow{run: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		select {
		case <-ctx.Done():
			return crisol.Validation{}, ctx.Err()
		case <-time.After(lease / 2):
			return says(crisol.NotFixed).run(ctx, r, id)
		}
	}}
	front := join(t, database, slow)
	odd := join(t, database, slow, clock)
	for _, by := range []time.Duration{time.Hour, -time.Hour, 30 * 24 * time.Hour, 0} {
		step.Store(int64(by))
		var ids []string
		for i := range 4 {
			ids = append(ids, front.ask("a", fmt.Sprint(by, i)), odd.ask("b", fmt.Sprint(by, i)))
		}
		for _, id := range ids {
			if r := front.decided(id); r.Verdict != crisol.NotFixed || r.Validation.PatchDigest != r.PatchDigest {
				t.Errorf("after a step by %s: %+v", by, r.Row)
			}
		}
	}
	var doubled int64
	if err := front.store.Pool().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM events WHERE kind = 'validation_finished') - (SELECT count(*) FROM validations)`).Scan(&doubled); err != nil || doubled != 0 {
		t.Errorf("%d verdicts too many: %v", doubled, err)
	}
}

// testSharedRetries: what infrastructure kept one worker from telling is tried again by any.
func testSharedRetries(t *testing.T, database string) {
	fails := flow{run: func(context.Context, crisol.Request, string) (crisol.Validation, error) {
		return crisol.Validation{}, crisol.Errorf(crisol.KindInfrastructure, "no sandbox")
	}}
	attempts := func(c *jobs.Config) { c.Attempts = 3 }
	front := join(t, database, fails, attempts)
	join(t, database, fails, attempts)
	var ids []string
	for i := range 5 {
		ids = append(ids, front.ask("a", fmt.Sprint(i)))
	}
	for _, id := range ids {
		if r := front.decided(id); r.Verdict != crisol.Inconclusive || r.Attempts != 3 || !strings.Contains(r.Reason, "every one of 3 attempts: no sandbox") {
			t.Errorf("%+v", r.Row)
		}
	}
}

// testSharesWork: three workers run many trials, each once.
func testSharesWork(t *testing.T, database string) {
	var mu sync.Mutex
	runs := map[string]int{}
	v := flow{run: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		mu.Lock()
		runs[id]++
		mu.Unlock()
		return says(crisol.Fixed).run(ctx, r, id)
	}}
	front := join(t, database, v, func(c *jobs.Config) { c.NoTrials = true })
	for range 3 {
		join(t, database, v, func(c *jobs.Config) { c.Workers = 2 })
	}
	var ids []string
	for i := range 60 {
		ids = append(ids, front.ask(fmt.Sprint("client-", i%7), fmt.Sprint(i)))
	}
	for _, id := range ids {
		front.decided(id)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, id := range ids {
		if runs[id] != 1 {
			t.Errorf("%s ran %d times", id, runs[id])
		}
	}
}
