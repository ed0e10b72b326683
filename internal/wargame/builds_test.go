package wargame_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/wargame"
)

// builder is a scripted sandbox in which a build leaves a binary and a compiler's cache, or fails.
type builder struct {
	*scripted
	builds atomic.Int64
	exit   int
}

func (b *builder) Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	if c.Keep == "" {
		return b.scripted.Run(ctx, c)
	}
	b.builds.Add(1)
	for name, text := range map[string]string{"bin/app": "binary", ".cache/object": "cached", "planted.js": "not kept"} {
		path := filepath.Join(c.Keep, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return sandbox.Result{}, err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return sandbox.Result{}, err
		}
	}
	return said(b.exit, ""), nil
}

// built returns an arena whose scenario has a build, with so much room to keep things.
func built(t *testing.T, maxBytes int64) (arena, *builder) {
	t.Helper()
	withBuild := strings.Replace(manifest, "reference: {patch: fix.diff}}", "reference: {patch: fix.diff}, build: [{run: [make]}]}", 1)
	a := newArena(t, withBuild, proper)
	b := &builder{scripted: a.sandbox}
	o := a.Options
	o.Sandbox, o.MaxBytes = b, maxBytes
	fresh, err := wargame.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a.Arena = fresh
	return a, b
}

func kept(t *testing.T, a arena) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(a.Dir, "builds", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestBuildIsKept: the vulnerable side is built once; of what a build leaves only what it may leave is kept.
func TestBuildIsKept(t *testing.T) {
	a, b := built(t, 0)
	for trials := range int64(3) {
		if report, got := a.judge(t, wargame.Order{}); got.Verdict != crisol.Fixed {
			t.Fatalf("%s: %s %+v", got.Verdict, got.Reason, report.Gates)
		}
		if want := 2 + trials; b.builds.Load() != want { // the patched side is built every time
			t.Errorf("%d builds after %d trials, want %d", b.builds.Load(), trials+1, want)
		}
	}
	dirs := kept(t, a)
	if len(dirs) != 1 {
		t.Fatal(dirs)
	}
	for name, want := range map[string]bool{"build-0/bin/app": true, "cache-0/.cache/object": true, "build.json": true, "build-0/planted.js": false} {
		if _, err := os.Stat(filepath.Join(dirs[0], name)); (err == nil) != want {
			t.Errorf("%s is there: %v", name, err == nil)
		}
	}
	if !strings.HasPrefix(a.Terms(), "rules 1, scripted") {
		t.Error(a.Terms())
	}
}

// TestDamagedBuild is made again.
func TestDamagedBuild(t *testing.T) {
	a, b := built(t, 0)
	a.judge(t, wargame.Order{})
	if err := os.WriteFile(filepath.Join(kept(t, a)[0], "build.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, got := a.judge(t, wargame.Order{}); got.Verdict != crisol.Fixed || b.builds.Load() != 4 {
		t.Errorf("%s after %d builds: %s", got.Verdict, b.builds.Load(), got.Reason)
	}
}

// TestNoRoomToKeep: in a cache without room a trial keeps what it uses until it ends, and no longer.
func TestNoRoomToKeep(t *testing.T) {
	a, _ := built(t, 1)
	if _, got := a.judge(t, wargame.Order{}); got.Verdict != crisol.Fixed {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
	a.Close()
	if got := wargame.Kept(a.Dir); got != 0 {
		t.Errorf("%d bytes are kept", got)
	}
}

// TestFailedBuild keeps nothing, and is no verdict on the patch.
func TestFailedBuild(t *testing.T) {
	a, b := built(t, 0)
	b.exit = 2
	report, got := a.judge(t, wargame.Order{})
	if got.Verdict != crisol.Inconclusive || !strings.Contains(gate(t, report, crisol.GatePrepare).Evidence, "doesn't build here") {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
	if dirs := kept(t, a); len(dirs) != 0 {
		t.Errorf("kept: %v", dirs)
	}
}
