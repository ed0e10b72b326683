package sandboxtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/sandbox"
)

// soon is how long after a limit a tree may take to be gone; it allows for a busy machine.
const soon = 8 * time.Second

func (s *suite) testForkBomb(t *testing.T) {
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "bomb"},
		Limits: sandbox.Limits{Wall: time.Second, CPU: time.Minute, Processes: 32}})
	// Forks that fail cost the kernel memory for a moment, and that is the bomb's too.
	if s.enforces(t, "processes", r) && r.Stopped != "wall" && r.Stopped != "memory" {
		t.Errorf("stopped %q, want wall or memory: %s", r.Stopped, r.Stderr.Head)
	}
	if r.Wall > time.Second+soon {
		t.Errorf("took %v to end", r.Wall)
	}
}

func (s *suite) testProcessLimit(t *testing.T) {
	const limit = 20
	for _, kind := range []string{"forks", "threads"} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", kind},
			Limits: sandbox.Limits{Wall: 10 * time.Second, Processes: limit}})
		if !s.enforces(t, "processes", r) {
			continue
		}
		n, rest, _ := strings.Cut(strings.TrimSpace(string(r.Stdout.Head)), " ")
		got, err := strconv.Atoi(n)
		if err != nil || got+1 > limit || got < limit/2 || rest != "EAGAIN" || r.Stopped != "" {
			t.Errorf("%s: %s with a limit of %d, stopped %q", kind, r.Stdout.Head, limit, r.Stopped)
		}
	}
}

func (s *suite) testMemoryBomb(t *testing.T) {
	const memory, disk = 96 << 20, 16 << 20
	for _, kind := range []string{"private", "shared", "memfd"} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "allocate", kind},
			Limits: sandbox.Limits{Memory: memory, Disk: disk}})
		if r.Stopped != "memory" {
			t.Errorf("%s: stopped %q, want memory (exit %d)", kind, r.Stopped, r.Exit)
		}
		got := lines(append(r.Stdout.Head, r.Stdout.Tail...))
		reached := 0
		if len(got) > 1 {
			reached, _ = strconv.Atoi(got[len(got)-1])
		}
		// What could be taken before the watch saw it is bounded by the cgroup; without one, by how fast memory
		// can be had between two looks.
		bound := (memory + 2*disk) >> 20
		if !strings.HasPrefix(s.report.Enforced["memory"], "cgroup") {
			bound = memory>>20 + 1024
		}
		if reached < 8 || reached > bound {
			t.Errorf("%s: took %d MiB with a limit of %d MiB", kind, reached, memory>>20)
		}
	}
}

func (s *suite) testMemoryTree(t *testing.T) {
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "spread"}, Limits: sandbox.Limits{Memory: 128 << 20, Processes: 128}})
	if r.Stopped != "memory" {
		t.Errorf("stopped %q, want memory: 64 processes took 1 GiB together", r.Stopped)
	}
}

// bounded says whether what is written to a directory is bounded as a whole.
func (s *suite) bounded(t *testing.T, dir string, r sandbox.Result) bool {
	return dir != "/work" || s.enforces(t, "disk", r)
}

func (s *suite) testDiskFiller(t *testing.T) {
	const disk = 8 << 20
	for _, dir := range []string{"/work", "/tmp", "/dev/shm"} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "fill", dir}, Limits: sandbox.Limits{Disk: disk}})
		n, why, _ := strings.Cut(strings.TrimSpace(string(r.Stdout.Head)), " ")
		got, err := strconv.Atoi(n)
		if !s.bounded(t, dir, r) {
			// Each file is bounded; the kernel ends who goes past that.
			if r.Signal != "SIGXFSZ" {
				t.Errorf("%s: %s, signal %q, want SIGXFSZ", dir, r.Stdout.Head, r.Signal)
			}
			continue
		}
		if err != nil || got > disk || got < disk/2 || why != "ENOSPC" || r.Stopped != "" || r.Exit != 0 {
			t.Errorf("%s: wrote %s with a limit of %d, stopped %q, exit %d", dir, r.Stdout.Head, disk, r.Stopped, r.Exit)
		}
	}
}

// Files lie in memory, yet filling both file systems must not be taken for a memory bomb.
func (s *suite) testDiskIsNoMemory(t *testing.T) {
	r := s.run(t, sandbox.Command{
		Args:   []string{"sh", "-c", "/work/hostile fill /work; /work/hostile fill /tmp; sleep 0.2; echo alive"},
		Limits: sandbox.Limits{Disk: 64 << 20, Memory: 64 << 20}})
	if r.Stopped != "" || !strings.HasSuffix(string(r.Stdout.Head), "alive\n") {
		t.Errorf("stopped %q: %s%s", r.Stopped, r.Stdout.Head, r.Stderr.Head)
	}
}

func (s *suite) testLitter(t *testing.T) {
	for _, dir := range []string{"/work", "/tmp"} {
		r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "litter", dir}, Limits: sandbox.Limits{Disk: 1 << 20, Wall: 15 * time.Second}})
		if s.report.View == "copy" {
			continue // neither a view by copy nor bubblewrap's /tmp bounds the number of files; memory and time do
		}
		n, why, _ := strings.Cut(strings.TrimSpace(string(r.Stdout.Head)), " ")
		if got, err := strconv.Atoi(n); err != nil || got > 2000 || why != "ENOSPC" {
			t.Errorf("%s: made %s files", dir, r.Stdout.Head)
		}
	}
}

// Files that are all hole must not become real by being kept.
func (s *suite) testSparse(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep")
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "sparse", "64"}, Keep: keep})
	if r.Exit != 0 {
		t.Fatalf("exit %d: %s", r.Exit, r.Stdout.Head)
	}
	var used int64
	for i := range 64 {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(keep, "sparse-"+strconv.Itoa(i)), &st); err != nil {
			t.Fatal(err)
		}
		if st.Size != 16<<20 {
			t.Errorf("size %d", st.Size)
		}
		used += st.Blocks * 512
	}
	if used > 4<<20 {
		t.Errorf("64 sparse files take %d bytes", used)
	}
}

func (s *suite) testDeadline(t *testing.T) {
	const wall = 700 * time.Millisecond
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "stubborn"}, Limits: sandbox.Limits{Wall: wall}})
	if r.Stopped != "wall" || r.Signal != "SIGKILL" || r.Exit != 128+int(unix.SIGKILL) {
		t.Errorf("stopped %q, signal %q, exit %d", r.Stopped, r.Signal, r.Exit)
	}
	if r.Wall < wall || r.Wall > wall+soon {
		t.Errorf("ended after %v", r.Wall)
	}
}

func (s *suite) testCPU(t *testing.T) {
	const cpu = 600 * time.Millisecond
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "spin", "2"}, Limits: sandbox.Limits{CPU: cpu}})
	if r.Stopped != "cpu" {
		t.Errorf("stopped %q, want cpu: exit %d, %s%s", r.Stopped, r.Exit, r.Stdout.Head, r.Stderr.Head)
	}
	if r.CPU < cpu*9/10 || r.CPU > cpu+2*time.Second {
		t.Errorf("used %v", r.CPU)
	}
}

func (s *suite) testDaemon(t *testing.T) {
	r := s.run(t, sandbox.Command{Args: []string{"/work/hostile", "daemonise"}})
	if r.Exit != 0 || r.Stopped != "" || !strings.Contains(string(r.Stdout.Head), "parent gone") {
		t.Errorf("exit %d, stopped %q: %s%s", r.Exit, r.Stopped, r.Stdout.Head, r.Stderr.Head)
	}
	if r.Wall > soon {
		t.Errorf("the orphan held things up for %v", r.Wall)
	}
}

func (s *suite) testCancel(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	start := time.Now()
	called := false
	_, err := s.try(ctx, sandbox.Command{Args: []string{"/work/hostile", "stubborn"},
		After: func(*os.Root) error { called = true; return nil }})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want that of the context", err)
	}
	if called {
		t.Error("After was called for a run that was called off")
	}
	if d := time.Since(start); d > soon {
		t.Errorf("took %v", d)
	}
}

func (s *suite) testCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.try(ctx, sandbox.Command{Args: []string{"true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func (s *suite) testParallel(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			want := strconv.Itoa(i)
			dir := layer(t, map[string]string{"name": want})
			r, err := s.try(t.Context(), sandbox.Command{Layers: []string{dir},
				Args: []string{"sh", "-c", "cat name; test ! -e mine && echo " + want + " > mine; sleep 0.05; cat mine; exit " + want}})
			if err != nil || r.Exit != i || string(r.Stdout.Head) != want+want+"\n" {
				t.Errorf("run %d: exit %d, %q, %v", i, r.Exit, r.Stdout.Head, err)
			}
		})
	}
	wait.Wait()
}
