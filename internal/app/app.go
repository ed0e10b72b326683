// Package app builds and closes the object graph from a Config. The commands and the tests use the same Open.
package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"crisol"
	"crisol/internal/extract"
	"crisol/internal/policy"
	"crisol/internal/predict"
	"crisol/internal/resilience"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/runtimes"
	"crisol/internal/static"
	"crisol/internal/target"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// Config is what the object graph is built from. Zero values are the defaults.
type Config struct {
	// Data is the directory for everything kept locally; "" is DefaultData.
	Data string
	// Sandbox is auto, bwrap, crun, runc or runsc; "" is auto.
	Sandbox string
	// Workers bounds the sandboxes that run at once; 0 is the number of cores.
	Workers int
	// Timeout bounds one trial; 0 is validate.DefaultTimeout.
	Timeout time.Duration
	// CacheBytes bounds what is kept to save time: prepared targets, what package clients fetched, builds and records;
	// 0 is DefaultCacheBytes, below 0 there is no bound. What is in use stays, and may be more.
	CacheBytes int64
	// Rule says what a model needs in order to decide; "" is policy.Certified.
	Rule policy.Rule
	// Alpha is the risk that certificates earned in service must stay below; 0 is 5 %.
	Alpha float64
	// Database is the URL of the PostgreSQL that the service and its workers share; "" keeps all in SQLite below Data.
	Database string
	// ModelDir holds models beside those that come with Crisol; "" is models below Data.
	ModelDir string
	// ABTesting is whether A/B testing is on until somebody switches it.
	ABTesting bool
	// Ages say how long the service keeps what it knows.
	Ages Ages
	// Redis is the URL of the Redis that instances share their cache by; "" keeps it in memory.
	Redis string
	// Lease is how long a worker that shares a PostgreSQL may be silent before others take over its trials; 0 is 30 s.
	Lease time.Duration
	// WebhookSecret signs what is posted to webhooks ("whsec_" and base64); "" is the one in Data, which is made when there
	// is none. Without it there are no webhooks where Database is set.
	WebhookSecret string
	// WebhookAllow lists networks that webhooks may reach although they are not public.
	WebhookAllow []netip.Prefix
	// NoTrials leaves the trials of a service to workers.
	NoTrials bool
	Log      *slog.Logger // nil discards
	// Progress, when set, hears what the preparation of a target is doing.
	Progress func(string)
}

// App is the object graph.
type App struct {
	Config
	Sandbox sandbox.Runtime
	Targets *target.Store
	Arena   *wargame.Arena
	Flow    *validate.Flow
	Models  *predict.Registry
	guards  *guards

	memory extract.Memory
}

// DefaultCacheBytes is room for the targets of a few hundred scenarios.
const DefaultCacheBytes = 4 << 30

// shares divides the cache between the targets, which are large, and what the arena keeps.
func shares(bytes int64) (targets, arena int64) {
	if bytes == 0 {
		bytes = DefaultCacheBytes
	}
	if bytes < 0 {
		return -1, -1
	}
	return max(1, bytes-bytes/4), max(1, bytes/4)
}

// CheckTrials refuses a service that runs no trials and has nobody to leave them to.
func (c Config) CheckTrials() error {
	if c.NoTrials && c.Database == "" {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "a service without trials leaves them to workers that share a PostgreSQL, and none is named"),
			"set --database or DATABASE_URL, or let this process run the trials")
	}
	return nil
}

// Usage says what is kept below a data directory to save time, without making anything there.
type Usage struct {
	Targets  target.Usage
	Kept     int64 // builds, scenarios' files, records of baselines and self-tests
	MaxBytes int64 // the bound on all of it; below 0 there is none
}

// Bytes is the size of all that is kept.
func (u Usage) Bytes() int64 { return u.Targets.TreeBytes + u.Targets.ClientBytes + u.Kept }

// Used looks at what is kept.
func Used(c Config) (Usage, string, error) {
	data, err := c.data()
	if err != nil {
		return Usage{}, "", err
	}
	return Usage{Targets: target.UsageOf(filepath.Join(data, "targets")), Kept: wargame.Kept(data), MaxBytes: cmp.Or(c.CacheBytes, DefaultCacheBytes)}, data, nil
}

// data is the absolute path of the data directory.
func (c Config) data() (string, error) {
	dir := c.Data
	if dir == "" {
		var err error
		if dir, err = DefaultData(); err != nil {
			return "", err
		}
	}
	data, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the data directory: %w", err)
	}
	return data, nil
}

// DefaultData is $CRISOL_DATA, else crisol below the user's data directory (XDG Base Directory Specification).
func DefaultData() (string, error) {
	if dir := os.Getenv("CRISOL_DATA"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "crisol"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", crisol.WithHint(crisol.Errorf(crisol.KindInput, "find the home directory: %w", err), "name a data directory with --data or CRISOL_DATA")
	}
	return filepath.Join(home, ".local", "share", "crisol"), nil
}

// Open builds the object graph.
func Open(ctx context.Context, c Config) (*App, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	data, err := c.data()
	if err != nil {
		return nil, err
	}
	c.Data = data
	a := &App{Config: c, guards: newGuards()}
	if err := a.build(ctx); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *App) build(ctx context.Context) (err error) {
	if a.Sandbox, err = runtimes.Open(ctx, a.Config.Sandbox, runtimes.Options{Log: a.Log}); err != nil {
		return err
	}
	if a.Targets, err = openTargets(a.Config, a.guards.registries); err != nil {
		return err
	}
	_, arenaBytes := shares(a.CacheBytes)
	self, err := os.Executable()
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "find the crisol executable: %w", err)
	}
	a.Arena, err = wargame.Open(ctx, wargame.Options{
		Sandbox: a.Sandbox, Targets: a.Targets, Dir: a.Data, Self: self, Workers: a.Workers, MaxBytes: arenaBytes, Log: a.Log,
	})
	if err != nil {
		return err
	}
	if a.Models, err = Models(a.Config); err != nil {
		return err
	}
	a.memory = extract.NewMemory()
	a.Flow = &validate.Flow{
		Arena: a.Arena, Timeout: a.Timeout, Now: time.Now, Static: static.Gate{Parser: a.memory.Parser}, Predictor: newOracle(a.Models, nil, a.guards.model, a.memory), Rule: a.Rule,
	}
	return nil
}

// OpenTargets opens the cache of targets alone. Close it to give up its leases.
func OpenTargets(c Config) (*target.Store, error) { return openTargets(c, nil) }

func openTargets(c Config, registries *resilience.Group) (*target.Store, error) {
	data, err := c.data()
	if err != nil {
		return nil, err
	}
	bytes, _ := shares(c.CacheBytes)
	targets, err := target.Open(filepath.Join(data, "targets"), target.Options{Logger: c.Log, Progress: c.Progress, MaxBytes: bytes, Own: sandbox.Own, Registries: registries})
	if err != nil && crisol.HintOf(err) == "" {
		err = crisol.WithHint(err, "choose a writable directory with --data")
	}
	return targets, err
}

// Close gives up what the graph holds.
func (a *App) Close() {
	if a.Arena != nil {
		a.Arena.Close()
	}
	if a.Targets != nil {
		if err := a.Targets.Close(); err != nil {
			a.Log.Warn("close the target cache", "error", err)
		}
	}
	if closer, ok := a.Sandbox.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			a.Log.Warn("close the sandbox", "error", err)
		}
	}
}
