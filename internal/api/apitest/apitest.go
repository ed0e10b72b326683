// Package apitest starts the whole service but for the trials: real HTTP on loopback, the real queue, a real database.
//
// In goes a validator that a test made; out comes a running service. It serves the tests of api and of client.
package apitest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"

	"crisol"
	"crisol/internal/api"
	"crisol/internal/jobs"
	"crisol/internal/scenario"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
	"crisol/internal/stream"
)

// Flow is a validator whose trials do what a test says.
type Flow struct {
	// Checks is asked before a request is accepted; nil accepts all but an unknown scenario id "nowhere".
	Checks func(ctx context.Context, r crisol.Request) (store.Accepted, error)
	// Runs decides; nil is Decide(crisol.Fixed).
	Runs func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error)
}

// Check implements jobs.Validator.
func (f Flow) Check(ctx context.Context, r crisol.Request) (store.Accepted, error) {
	if f.Checks != nil {
		return f.Checks(ctx, r)
	}
	if r.ScenarioID == "nowhere" {
		return store.Accepted{}, crisol.WithHint(crisol.Errorf(crisol.KindNotFound, "no scenario %q", r.ScenarioID), "crisol scenario list shows all")
	}
	return store.Accepted{ScenarioID: "CVE-2019-10744", ScenarioDigest: "scenario-digest", PatchDigest: "patch-digest", Normalised: r}, nil
}

// Run implements jobs.Validator.
func (f Flow) Run(ctx context.Context, s store.Submission) (jobs.Outcome, error) {
	run := f.Runs
	if run == nil {
		run = Decide(crisol.Fixed)
	}
	v, err := run(ctx, s.Normalised, s.ID)
	return jobs.Outcome{Validation: v}, err
}

// Decide is a trial that comes to a verdict at once, with evidence of every kind.
func Decide(verdict crisol.Verdict) func(context.Context, crisol.Request, string) (crisol.Validation, error) {
	return func(_ context.Context, r crisol.Request, _ string) (crisol.Validation, error) {
		reached, cached := true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		return crisol.Validation{
			Verdict: verdict, PatchValidated: verdict == crisol.Fixed, Method: crisol.MethodWargaming, Assurance: crisol.A3,
			Confidence: 0.99, ResidualRisk: 0.01, ExecutionTimeSeconds: 0.25, Reason: "because " + r.PatchID,
			ScenarioID: "CVE-2019-10744", ScenarioDigest: "scenario-digest", PatchDigest: "patch-digest",
			Wargame: &crisol.WargameResult{Status: crisol.WargameSuccess, Phase1Passed: true, Phase2Passed: true, Gates: []crisol.Gate{{
				Name: crisol.GateExploitPatched, Outcome: crisol.Passed, Runs: 1, Evidence: "blocked",
				Checks: []crisol.Check{{ID: "proof", Side: crisol.Patched, Outcome: crisol.Passed, Oracle: "exit 1", Reached: &reached,
					Cached: &cached, Runs: []crisol.Run{{Command: []string{"node", "exploit.js"}, Exit: 1, WallSeconds: 0.1, CPUSeconds: 0.1,
						Stdout: "…", Sandbox: "bwrap", Unenforced: []string{"disk"}}}}},
			}}},
		}, nil
	}
}

// Library is an exploit database of two scenarios.
type Library struct{ Err error }

// List implements api.Library.
func (l Library) List(context.Context) ([]*scenario.Scenario, error) {
	if l.Err != nil {
		return nil, l.Err
	}
	files := fstest.MapFS{"exploit.js": {}, "lock/package-lock.json": {}}
	var broken fs.FS = fstest.MapFS{"file": {Mode: fs.ModeDir | 0o700}}
	return []*scenario.Scenario{
		{Digest: "d1", Files: files, Manifest: scenario.Manifest{
			ID: "CVE-2019-10744", Title: "Prototype pollution", Verified: time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC),
			Vulnerability: scenario.Vulnerability{CVE: "CVE-2019-10744", Aliases: []string{"GHSA-jf85-cpcp-j695"}, CWE: []string{"CWE-1321"}, Severity: "critical", Type: "prototype_pollution"},
			Target: scenario.Target{Package: "pkg:npm/lodash@4.17.11", Reference: scenario.Fix{Package: "pkg:npm/lodash@4.17.12"},
				Incomplete: []scenario.Fix{{Patch: "half.diff"}}, Build: []scenario.Step{{Run: []string{"make"}}},
				Service: &scenario.Service{Run: []string{"node", "app.js"}}},
			Exploits: []scenario.Exploit{{Input: scenario.Input{ID: "proof", Title: "The proof", Run: []string{"node", "exploit.js"}}}},
			Benign:   []scenario.Input{{ID: "merge", Run: []string{"node", "benign.js"}}},
			Limits:   scenario.Limits{Timeout: 30 * time.Second, Memory: 512 << 20},
		}},
		{Digest: "d2", Files: broken, Manifest: scenario.Manifest{ID: "app-xss", Title: "XSS", Target: scenario.Target{Dir: "app"}}},
	}, nil
}

// Get implements api.Library.
func (l Library) Get(ctx context.Context, id string) (*scenario.Scenario, error) {
	all, err := l.List(ctx)
	for _, sc := range all {
		if sc.ID == id {
			return sc, nil
		}
	}
	if err == nil {
		err = crisol.Errorf(crisol.KindNotFound, "no scenario %q", id)
	}
	return nil, err
}

// Service is a running service.
type Service struct {
	// URL is its address, for example http://127.0.0.1:40213.
	URL   string
	Store *sqlite.Store
	Queue *jobs.Queue
	http  *api.Server
	hub   *stream.Hub
}

// Config changes how a service is started.
type Config struct {
	Dir  string // of the database
	Log  io.Writer
	Jobs func(*jobs.Config)
	API  func(*api.Deps)
}

// Run starts a service on a port of its own.
func Run(ctx context.Context, v jobs.Validator, c Config) (*Service, error) {
	logger := slog.New(slog.DiscardHandler)
	if c.Log != nil {
		logger = slog.New(slog.NewJSONHandler(c.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	st, err := sqlite.Open(ctx, filepath.Join(c.Dir, "crisol.db"), logger)
	if err != nil {
		return nil, err
	}
	config := jobs.Config{Store: st, Validator: v, Logger: logger, Workers: 2, Sole: true,
		Backoff: func(int) time.Duration { return 50 * time.Millisecond }}
	if c.Jobs != nil {
		c.Jobs(&config)
	}
	queue, err := jobs.New(riversqlite.New(st.DB()), config)
	if err == nil {
		err = queue.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	hub := stream.New(stream.Config{Events: st.Events(), Poll: 10 * time.Millisecond, Logger: logger})
	deps := api.Deps{Queue: queue, History: st, Library: Library{}, Stream: hub, Version: "1.2.3-test", Logger: logger}
	if c.API != nil {
		c.API(&deps)
	}
	listener, err := api.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Service{Store: st, Queue: queue, hub: hub, http: api.NewServer(listener, api.New(deps), logger)}
	if err := s.http.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	s.URL = "http://" + s.http.Addr()
	return s, nil
}

// Stop ends the service as app does: the door first, then the trials, then the database. It may be called twice.
func (s *Service) Stop(ctx context.Context) error {
	err := s.http.Stop(ctx)
	s.hub.Close()
	return errors.Join(err, s.Queue.Stop(ctx), s.Store.Close())
}

// migrated is an empty database with its schema: making one takes longer than most tests.
var migrated = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "crisol-apitest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := Run(context.Background(), Flow{}, Config{Dir: dir})
	if err == nil {
		err = s.Stop(context.Background())
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "crisol.db"))
})

// Start starts a service that ends with the test.
func Start(t testing.TB, v jobs.Validator, c Config) *Service {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
		fresh, err := migrated()
		if err == nil {
			err = os.WriteFile(filepath.Join(c.Dir, "crisol.db"), fresh, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := Run(t.Context(), v, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}
