package app

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"

	"crisol"
	"crisol/internal/api"
	"crisol/internal/jobs"
	"crisol/internal/scenario"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// DefaultAddr is where the service listens.
const DefaultAddr = "127.0.0.1:8026"

// stopWithin bounds the hand-back of running trials at shutdown.
const stopWithin = 20 * time.Second

// Serve runs the service until ctx is done. Trials that are under way then stay accepted and run again at the next start.
func (a *App) Serve(ctx context.Context, addr string) (err error) {
	// An address that can't be had is refused before anything is opened, and long before accepted trials go on.
	listener, err := api.Listen(ctx, addr)
	if err != nil {
		return err
	}
	defer func() {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			a.Log.Warn("close the listener", "error", err)
		}
	}()
	// A scenario of the library that doesn't load is a fault of the build; it doesn't stand in the others' way.
	index, err := scenario.Library()
	if err != nil {
		a.Log.Error("open the library", "error", err)
	}
	a.Flow.Library = index
	st, err := sqlite.Open(ctx, filepath.Join(a.Data, "crisol.db"), a.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	queue, err := jobs.New(riversqlite.New(st.DB()), jobs.Config{
		Store: st, Validator: validator{a}, Workers: a.Workers, Sole: true, Logger: a.Log, Timeout: a.timeout() + time.Minute,
	})
	if err != nil {
		return err
	}
	if err := queue.Start(ctx); err != nil {
		return err
	}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, queue.Stop(within))
	}()
	handler := api.New(api.Deps{Queue: queue, History: st, Library: library{index}, Version: Version, Logger: a.Log})
	a.Log.Info("service starts", "addr", addr, "data", a.Data, "sandbox", a.Sandbox.Name(), "scenarios", len(index.All()))
	return api.Serve(ctx, listener, handler, a.Log)
}

// validator is the flow as the queue sees it.
type validator struct{ app *App }

// Check refuses what no trial could decide.
func (v validator) Check(ctx context.Context, r crisol.Request) (store.Accepted, error) {
	plan, err := v.app.Flow.Resolve(r)
	if err != nil {
		return store.Accepted{}, err
	}
	accepted := store.Accepted{Normalised: plan.Request, PatchDigest: plan.PatchDigest()}
	if plan.Scenario == nil {
		return accepted, nil
	}
	accepted.ScenarioID, accepted.ScenarioDigest = plan.Scenario.ID, plan.Scenario.Digest
	if plan.Patch == nil || !v.app.Arena.Prepared(plan.Scenario) {
		return accepted, nil // a snippet always applies; fetching a target takes too long for an answer: the trial will tell
	}
	_, err = v.app.Arena.Touched(ctx, plan.Scenario, wargame.Candidate{Patch: plan.Patch})
	return accepted, err
}

// Run fights. A trial that infrastructure kept from telling is an error beside its evidence, so that the queue tries it
// again and keeps the evidence of the last try.
func (v validator) Run(ctx context.Context, s store.Submission) (jobs.Outcome, error) {
	plan, err := v.app.Flow.Resolve(s.Normalised)
	if err != nil {
		return jobs.Outcome{}, err
	}
	result := jobs.Outcome{}
	if result.Validation, err = v.app.Flow.Run(ctx, plan); err != nil {
		return jobs.Outcome{}, err
	}
	result.ID = s.ID
	if result.Wargame != nil && result.Wargame.Infrastructure != "" && result.Verdict == crisol.Inconclusive && result.Wargame.Status != crisol.WargameTimeout {
		return result, crisol.Errorf(crisol.KindInfrastructure, "%s", result.Wargame.Infrastructure)
	}
	return result, nil
}

// library is the index as the API sees it.
type library struct{ index *scenario.Index }

// List returns every scenario.
func (l library) List(context.Context) ([]*scenario.Scenario, error) { return l.index.All(), nil }

// Get returns one.
func (l library) Get(_ context.Context, id string) (*scenario.Scenario, error) {
	s := l.index.Find(id)
	if s == nil {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindNotFound, "there is no scenario %q", id), "GET /wargaming/scenarios lists them")
	}
	return s, nil
}

// timeout is the flow's bound on one trial.
func (a *App) timeout() time.Duration {
	if a.Timeout > 0 {
		return a.Timeout
	}
	return validate.DefaultTimeout
}
