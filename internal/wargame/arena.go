// Package wargame is the trial: it replays a scenario's exploits against the vulnerable target and against the patched
// one, each run in a sandbox of its own, then the variants, the benign inputs and the target's tests on both.
//
// In go a Scenario and a Candidate (what is said to be a fix); out come gates with their evidence. What the gates mean
// together is verdict's business; how a process is isolated is sandbox's, how a target is fetched is target's.
package wargame

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// engine is the version of the trial's rules. Baselines and self-tests of another version are not believed.
const engine = "1"

// Reverify is the age at which a cached vulnerable side is run again.
const Reverify = 24 * time.Hour

// Options configure an Arena.
type Options struct {
	Sandbox sandbox.Runtime
	Targets *target.Store
	// Dir is where layers, baselines and self-tests are kept.
	Dir string
	// MaxBytes bounds what is kept there; 0 is 1 GiB, below 0 there is no bound. What is in use stays.
	MaxBytes int64
	// Self is the crisol executable, which is laid into sandboxes that need the referee.
	Self string
	// Workers bounds the sandboxes that run at once; 0 is the number of cores.
	Workers int
	Log     *slog.Logger     // nil discards
	Now     func() time.Time // nil is time.Now
}

// Arena runs trials. It is safe for concurrent use; all trials share its bound on sandboxes.
type Arena struct {
	Options
	slots   chan struct{}
	version string      // of the sandbox runtime
	over    atomic.Bool // the last eviction had to leave more than the bound
}

// Open checks the sandbox, clears what dead processes left in Dir, and returns an Arena.
func Open(ctx context.Context, o Options) (*Arena, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.NumCPU()
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	report, err := o.Sandbox.Check(ctx)
	if err != nil {
		return nil, fmt.Errorf("check sandbox %s: %w", o.Sandbox.Name(), err)
	}
	for _, name := range []string{"scenarios", "builds", "baselines", "selftests", "tmp"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, name), 0o755); err != nil {
			return nil, crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "make the data directory: %w", err), "choose a writable directory with --data")
		}
	}
	a := &Arena{Options: o, slots: make(chan struct{}, o.Workers), version: report.Version}
	a.sweep()
	return a, nil
}

// sweep removes the working directories of processes that are gone.
func (a *Arena) sweep() {
	entries, err := os.ReadDir(filepath.Join(a.Dir, "tmp"))
	if err != nil {
		a.Log.Warn("list working directories", "error", err)
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(strings.SplitN(entry.Name(), "-", 2)[0])
		if err == nil && pid != os.Getpid() && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			a.discard(filepath.Join(a.Dir, "tmp", entry.Name()))
		}
	}
}

// workspace makes a private directory for one trial; the caller removes it with discard.
func (a *Arena) workspace() (string, error) {
	dir, err := os.MkdirTemp(filepath.Join(a.Dir, "tmp"), fmt.Sprintf("%d-", os.Getpid()))
	if err != nil {
		return "", crisol.Errorf(crisol.KindInfrastructure, "make a working directory: %w", err)
	}
	return dir, nil
}

func (a *Arena) discard(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		a.Log.Warn("remove a working directory", "dir", dir, "error", err)
	}
}

// acquire takes one of the arena's slots; the returned function gives it back.
func (a *Arena) acquire(ctx context.Context) (func(), error) {
	select {
	case a.slots <- struct{}{}:
		return func() { <-a.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Terms name what a result holds under: the trial's rules and the sandbox.
func (a *Arena) Terms() string {
	return strings.TrimSpace(fmt.Sprintf("rules %s, %s %s", engine, a.Sandbox.Name(), a.version))
}

// key identifies what was learnt under the given facts, this engine and this sandbox.
func (a *Arena) key(facts ...string) string {
	h := sha256.New()
	for _, fact := range append([]string{engine, a.Sandbox.Name(), a.version}, facts...) {
		fmt.Fprintf(h, "%d:%s\n", len(fact), fact)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// remember writes a record beside others of its kind, whole or not at all. A failure costs time later, not truth: it is
// logged.
func (a *Arena) remember(kind, key string, record any) {
	path := filepath.Join(a.Dir, kind, key+".json")
	now := a.Now()
	err := writeJSON(path, record)
	if err == nil {
		err = os.Chtimes(path, now, now)
	}
	if err != nil {
		a.Log.Warn("keep a record", "kind", kind, "error", err)
		return
	}
	a.Evict(kind)
}

func writeJSON(path string, record any) error {
	body, err := json.MarshalIndent(record, "", " ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(body)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// recall reads a record; what can't be read counts as not there.
func (a *Arena) recall(kind, key string, record any) bool {
	path := filepath.Join(a.Dir, kind, key+".json")
	body, err := os.ReadFile(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.Log.Warn("read a record", "kind", kind, "error", err)
		}
		return false
	}
	if err := json.Unmarshal(body, record); err != nil {
		a.Log.Warn("read a record", "kind", kind, "error", err)
		return false
	}
	now := a.Now()
	_ = os.Chtimes(path, now, now) // the time of last use
	return true
}

// layer materialises the scenario's own files once for each version of the scenario, and holds them.
func (a *Arena) layer(s *scenario.Scenario) (string, *os.File, error) {
	final := filepath.Join(a.Dir, "scenarios", s.Digest)
	held, err := a.settled(final, func(temp string) (string, error) {
		dir := filepath.Join(temp, "layer")
		if err := errors.Join(s.Materialise(dir), sandbox.Own(dir)); err != nil {
			return "", crisol.Errorf(crisol.KindInfrastructure, "lay out scenario %s: %w", s.ID, err)
		}
		return dir, nil
	})
	return final, held, err
}

// settle moves a finished directory to its place; when another process was faster, its twin stays.
func settle(dir, final string) error {
	err := os.Rename(dir, final)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil // what is there may be evicted by now: the caller looks
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "keep %s: %w", filepath.Base(final), err)
	}
	return nil
}
