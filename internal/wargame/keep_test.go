package wargame

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// shelf returns an arena over dir, which need not be the only one: each stands for a process of its own.
func shelf(t *testing.T, dir string, maxBytes int64) *Arena {
	t.Helper()
	for name := range shares {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	var mu sync.Mutex
	return &Arena{Options: Options{Dir: dir, MaxBytes: maxBytes, Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Minute)
		return now
	}}}
}

// put keeps a directory with one file under builds, two blocks in all, and holds it.
func put(t *testing.T, a *Arena, name string) *os.File {
	t.Helper()
	held, err := a.settled(filepath.Join(a.Dir, "builds", name), func(temp string) (string, error) {
		return temp, os.WriteFile(filepath.Join(temp, "file"), []byte(name), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func there(a *Arena, name string) bool {
	_, err := os.Stat(filepath.Join(a.Dir, "builds", name, "file"))
	return err == nil
}

// TestEvictLeastRecentlyUsed: builds go by their last use, and never while a trial of this process or another holds them.
func TestEvictLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const two = 2 * 2 * 4096
	mine, other := shelf(t, dir, two*shares["builds"]), shelf(t, dir, 1)
	a, b := put(t, mine, "a"), put(t, mine, "b")
	_, _ = a.Close(), b.Close()
	_ = put(t, mine, "a").Close() // used again
	c := put(t, mine, "c")
	if there(mine, "b") || !there(mine, "a") || !there(mine, "c") {
		t.Error("b was used least recently")
	}
	other.Evict("builds")
	if there(mine, "a") || !there(mine, "c") {
		t.Error("c is in use, a is not")
	}
	if got := Kept(dir); got != two/2 {
		t.Errorf("%d bytes are kept", got)
	}
	_ = c.Close()
	shelf(t, dir, -1).Evict("builds")
	if !there(mine, "c") {
		t.Error("evicted without a bound")
	}
	other.Evict("builds")
	if there(mine, "c") || Kept(dir) != 0 {
		t.Error("nobody uses c")
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestHeldStays: arenas that keep, hold and evict at once never lose what they hold.
func TestHeldStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		a := shelf(t, dir, 1)
		group.Go(func() {
			for i := range 100 {
				name := fmt.Sprint(i % 3)
				held, err := a.settled(filepath.Join(a.Dir, "builds", name), func(temp string) (string, error) {
					return temp, os.WriteFile(filepath.Join(temp, "file"), nil, 0o600)
				})
				if err != nil {
					t.Error(err)
					return
				}
				a.Evict("builds")
				if !there(a, name) {
					t.Errorf("%s is gone although it is held", name)
				}
				_ = held.Close()
			}
		})
	}
	group.Wait()
}

// TestRecordsAreBounded: the records of scenarios that changed, or went, don't pile up.
func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	a := shelf(t, t.TempDir(), 4*4096*shares["baselines"])
	for i := range 20 {
		a.remember("baselines", fmt.Sprint(i), strings.Repeat("x", i))
		var got string
		if !a.recall("baselines", "0", &got) {
			t.Fatalf("what was used just now is gone after %d", i)
		}
	}
	if all, total := entries(filepath.Join(a.Dir, "baselines")); len(all) != 4 || total != 4*4096 {
		t.Errorf("%d records of %d bytes", len(all), total)
	}
}

// TestFoldersThatCannotBeRead hold nothing, and stop nobody.
func TestFoldersThatCannotBeRead(t *testing.T) {
	t.Parallel()
	a := shelf(t, t.TempDir(), 1)
	if got := Kept(filepath.Join(a.Dir, "nowhere")); got != 0 {
		t.Error(got)
	}
	if held := a.hold(filepath.Join(a.Dir, "nowhere")); held != nil {
		t.Error("held what isn't there")
	}
	a.Dir = filepath.Join(a.Dir, "nowhere")
	a.Evict("builds")
	if _, err := a.settled(filepath.Join(a.Dir, "builds", "x"), nil); err == nil {
		t.Error("kept nowhere")
	}
}
