package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"crisol"
	"crisol/internal/api"
	"crisol/internal/audit"
	"crisol/internal/cache"
	"crisol/internal/desk"
	"crisol/internal/jobs"
	"crisol/internal/resilience"
	"crisol/internal/scenario"
	"crisol/internal/spool"
	"crisol/internal/store"
	"crisol/internal/store/postgres"
	"crisol/internal/store/sqlite"
	"crisol/internal/stream"
	"crisol/internal/webhook"
)

// stopWithin bounds the hand-back of running trials at shutdown.
const stopWithin = 20 * time.Second

// Service is what the service stands on: what is kept, what is worked on, and what answers.
type Service struct {
	app      *App
	Store    store.Store
	Auditor  *audit.Auditor
	Queue    *jobs.Queue
	spool    *spool.Spool
	cache    *cache.Cache
	stream   *stream.Hub
	webhooks *webhook.Sender // nil where there is no secret to sign with
	oracle   *oracle
	redis    *resilience.Guard // nil without Redis
	index    *scenario.Index
	ages     atomic.Pointer[Ages]
	closers  []func(context.Context) error // the last is called first
}

// Work runs trials of a queue that others fill, until ctx is done.
func (a *App) Work(ctx context.Context) (err error) {
	if a.Database == "" {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "a worker shares a PostgreSQL with the service, and none is named"),
			"set --database or DATABASE_URL; without one, crisol serve runs the trials itself")
	}
	s, err := a.openService(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	a.Log.Info("worker starts", "data", a.Data, "sandbox", a.Sandbox.Name(), "workers", a.Workers)
	<-ctx.Done()
	return nil
}

// OpenService opens all that the service stands on and starts what works in the background.
func (a *App) OpenService(ctx context.Context) (*Service, error) { return a.openService(ctx, true) }

// openService opens a service, or what a worker needs of it: one that answers nobody has no journal of answers, and may
// share its data directory with one that does.
func (a *App) openService(ctx context.Context, answers bool) (_ *Service, err error) {
	s := &Service{app: a}
	s.ages.Store(&a.Ages)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	// A scenario of the library that doesn't load is a fault of the build; it doesn't stand in the others' way.
	if s.index, err = scenario.Library(); err != nil {
		a.Log.Error("open the library", "error", err)
	}
	a.Flow.Library, a.Flow.Rule = s.index, a.Rule
	if err := s.openCache(answers); err != nil {
		return nil, err
	}
	newQueue, err := s.openStore(ctx)
	if err != nil {
		return nil, err
	}
	if s.Auditor, err = audit.Open(ctx, audit.Options{Store: s.Store, Models: trusted(a.Models), Rule: a.Rule, Alpha: a.Alpha, Hold: a.timeout(), Enabled: a.ABTesting, Logger: a.Log}); err != nil {
		return nil, err
	}
	s.oracle = newOracle(a.Models, s.Auditor, a.guards.model, a.memory)
	a.Flow.Predictor = s.oracle
	if s.Queue, err = newQueue(s.jobs()); err != nil {
		return nil, err
	}
	if err := s.Queue.Start(ctx); err != nil {
		return nil, err
	}
	s.onClose(s.Queue.Stop)
	if !answers {
		s.background(ctx)
		return s, nil
	}
	if err := s.openWebhooks(); err != nil {
		return nil, err
	}
	if s.spool, err = spool.Open(ctx, filepath.Join(a.Data, "journal"), spool.Options{Recorder: s.Store, Logger: a.Log, Recorded: s.recorded}); err != nil {
		return nil, err
	}
	s.onClose(s.spool.Close)
	s.background(ctx)
	return s, nil
}

func (s *Service) onClose(f func(context.Context) error) { s.closers = append(s.closers, f) }

// Close stops what runs and closes what is open, the last opened first.
func (s *Service) Close(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i](within))
	}
	s.closers = nil
	return errors.Join(errs...)
}

// openCache opens the cache. Only a service that answers is asked to invalidate, and keeps an outbox: a worker may share
// its data directory.
func (s *Service) openCache(answers bool) (err error) {
	c := cache.Config{Redis: s.app.Redis, Logger: s.app.Log}
	if s.app.Redis != "" {
		if _, err := redisConnections(s.app.Redis, 1); err != nil {
			return err
		}
		s.redis = s.guardRedis()
		c.Guard = s.redis
	}
	if answers {
		c.Outbox = filepath.Join(s.app.Data, "cache-outbox")
	}
	if s.cache, err = cache.New(c); err != nil {
		return err
	}
	s.onClose(func(context.Context) error { s.cache.Close(); return nil })
	return nil
}

// openStore opens the database that the configuration names, and returns what makes a queue over it.
func (s *Service) openStore(ctx context.Context) (func(jobs.Config) (*jobs.Queue, error), error) {
	a := s.app
	if a.Database == "" {
		st, err := sqlite.Open(ctx, filepath.Join(a.Data, "crisol.db"), a.Log)
		if err != nil {
			return nil, err
		}
		st.Guard(s.guardDatabase(st.Pools()[1].Max, sqlite.Sick, nil, nil))
		s.keep(st)
		return func(c jobs.Config) (*jobs.Queue, error) {
			c.Sole = true
			return jobs.New(riversqlite.New(st.DB()), c)
		}, nil
	}
	st, err := postgres.Open(ctx, a.Database, a.Log)
	if err != nil {
		return nil, err
	}
	most := st.Pools()[0].Max
	// Connections that lead nowhere would be tried one after the other.
	st.Guard(s.guardDatabase(max(1, most-most/4), postgres.Sick, postgres.Unsent, st.Pool().Reset))
	s.keep(st)
	return func(c jobs.Config) (*jobs.Queue, error) {
		c.Alone = st.Alone
		return jobs.New(riverpgxv5.New(st.Pool()), c)
	}, nil
}

func (s *Service) keep(st store.Store) {
	s.Store = st
	s.onClose(func(context.Context) error { return st.(io.Closer).Close() })
	s.stream = stream.New(stream.Config{Events: st.Events(), Logger: s.app.Log})
	s.onClose(func(context.Context) error { s.stream.Close(); return nil })
}

func (s *Service) jobs() jobs.Config {
	a := s.app
	return jobs.Config{
		Store: s.Store, Audits: s.Store.ABTests(), Validator: validator{a, s.Auditor, s.Store.Counters()},
		Workers: a.Workers, Logger: a.Log, Timeout: a.timeout() + time.Minute, Lease: a.Lease, NoTrials: a.NoTrials,
	}
}

// recorded queues the comparisons of the answers that the journal has just brought into the database, and has what came
// with them told.
func (s *Service) recorded(entries []store.Entry) {
	for _, e := range entries {
		if e.ABTest != nil && e.ABTest.State == store.Pending {
			s.Queue.Audit(context.Background(), e.ABTest.ID)
		}
	}
	s.notify()
}

// refreshEvery is how often trust is brought up to date with what other processes judged.
const refreshEvery = 5 * time.Second

// background keeps trust up to date until the service closes.
func (s *Service) background(ctx context.Context) {
	s.goOn(ctx, s.tellChanges)
	s.goOn(ctx, func(ctx context.Context) {
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.Auditor.Refresh(ctx); err != nil && ctx.Err() == nil {
				s.app.Log.Warn("trust in the models could not be brought up to date", "error", err)
			}
		}
	})
}

// Handler answers HTTP.
func (s *Service) Handler() http.Handler { return api.New(s.deps()) }

// deps is the service as the API sees it.
func (s *Service) deps() api.Deps {
	a := s.app
	e := &epoch{auditor: s.Auditor, oracle: s.oracle, static: libraryDigest(s.index)}
	return api.Deps{
		Queue: s.Queue, History: history{s.Store, s.spool}, Library: library{s.index}, Version: Version, Logger: a.Log,
		Desk:    &desk.Desk{Flow: shed{a.Flow, a.guards.line}, Queue: s.Queue, Journal: s.spool, Auditor: s.Auditor, Logger: a.Log, Now: time.Now},
		Auditor: s.Auditor, Models: registry{s.oracle, s.Auditor}, Cache: s.cache, Stream: s.stream, CheckWebhook: s.checkWebhook, Epoch: e.String, Board: s.board(), Trail: a.AuditLog(s.Store),
	}
}

// libraryDigest identifies the scenarios that a service fights over, and the build that fights.
func libraryDigest(index *scenario.Index) string {
	h := sha256.New()
	_, _ = io.WriteString(h, BuildFacts())
	for _, sc := range index.All() {
		_, _ = io.WriteString(h, sc.ID+" "+sc.Digest+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// history is the store, and before it the journal of what isn't in it yet.
type history struct {
	store.Store
	spool *spool.Spool
}

// Get returns one validation.
func (h history) Get(ctx context.Context, id string) (store.Record, error) {
	if record, ok := h.spool.Get(id); ok {
		return record, nil
	}
	return h.Store.Get(ctx, id)
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
