// Package app builds and closes the object graph from a Config. The commands and the tests use the same Open.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/runtimes"
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
	// TargetBytes bounds the cache of prepared targets; 0 is the target room's default.
	TargetBytes int64
	Log         *slog.Logger // nil discards
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
	if c.Data == "" {
		dir, err := DefaultData()
		if err != nil {
			return nil, err
		}
		c.Data = dir
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	c.Data = data
	a := &App{Config: c}
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
	targets := target.Options{Logger: a.Log, Progress: a.Progress, MaxBytes: a.TargetBytes, Own: sandbox.Own}
	if a.Targets, err = target.Open(filepath.Join(a.Data, "targets"), targets); err != nil {
		if crisol.HintOf(err) == "" {
			err = crisol.WithHint(err, "choose a writable directory with --data")
		}
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "find the crisol executable: %w", err)
	}
	a.Arena, err = wargame.Open(ctx, wargame.Options{
		Sandbox: a.Sandbox, Targets: a.Targets, Dir: a.Data, Self: self, Workers: a.Workers, Log: a.Log,
	})
	if err != nil {
		return err
	}
	a.Flow = &validate.Flow{Arena: a.Arena, Timeout: a.Timeout, Now: time.Now}
	return nil
}

// Close gives up what the graph holds.
func (a *App) Close() {
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
