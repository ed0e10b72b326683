package app_test

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/cache/redistest"
	"crisol/internal/health"
	"crisol/internal/policy"
	"crisol/internal/predict"
	"crisol/internal/wargame"
	"crisol/models"
)

// TestModelFaults: a model that can't be asked leads to a wargame, which says so, and never to a verdict; after some failures
// it rests; and when it can be asked again, it is.
func TestModelFaults(t *testing.T) {
	t.Parallel()
	shipped, err := fs.ReadFile(models.FS, predict.DefaultChampion+predict.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	file := func(t *testing.T, dir, name string, content []byte) (heal func()) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return func() { _ = os.Remove(path) }
	}
	var all sync.WaitGroup
	defer all.Wait()
	for name, hurt := range map[string]func(t *testing.T, w *ward, dir string) (heal func()){
		"missing": func(t *testing.T, _ *ward, dir string) func() { return file(t, dir, "champion", []byte("rf_v9")) },
		"corrupt": func(t *testing.T, _ *ward, dir string) func() {
			heal := file(t, dir, "rf_v8"+predict.Suffix, append(shipped[:len(shipped)/2:len(shipped)/2], "garbage"...))
			file(t, dir, "champion", []byte("rf_v8"))
			return func() { heal(); _ = os.Remove(filepath.Join(dir, "champion")) }
		},
		"slow": func(t *testing.T, _ *ward, dir string) func() { // as on a disk that is lost
			pipe := filepath.Join(dir, "rf_v7"+predict.Suffix)
			if err := unix.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			file(t, dir, "champion", []byte("rf_v7"))
			return func() {
				_ = os.Remove(filepath.Join(dir, "champion"))
				if to, err := os.OpenFile(pipe, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil { //nolint:gosec // the test's own
					_ = to.Close()
				}
				_ = os.Remove(pipe)
			}
		},
	} {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				data := t.TempDir()
				dir := filepath.Join(data, "models")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				w := newWard(t, app.Config{Data: data})
				w.real()
				heal := hurt(t, w, dir)
				t.Cleanup(heal)
				reasons := map[string]int{}
				await(t, "the registry is read again", func() bool { return w.part("model").Status == health.Degraded })
				for range 12 {
					a := w.send(mlFirst)
					reasons[a.body.Reason]++
					if a.status != http.StatusAccepted && a.body.Method != crisol.MethodFallback {
						t.Errorf("%+v", a)
					}
				}
				await(t, "the breaker opens", func() bool { w.send(mlFirst); return w.breaker("model").State == "open" })
				w.kept()
				heal()
				await(t, "the model is asked again", func() bool {
					w.send(mlFirst)
					return w.breaker("model").State == "closed" && w.part("model").Status == health.Healthy
				})
				w.recovers()
				w.tells("model")
			})
		})
	}
}

// TestModelPanics: so does one that panics.
func TestModelPanics(t *testing.T) {
	t.Parallel()
	w := newWard(t, app.Config{})
	w.says.Store(-2.0)
	for range 3 {
		if a := w.send(mlFirst); a.status != http.StatusAccepted {
			t.Errorf("%+v", a)
		}
	}
	w.kept()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.promised {
		record, err := w.Store.Get(t.Context(), id)
		if err != nil || record.Method != crisol.MethodFallback || record.Validation.PolicyReason != string(policy.NoModel) {
			t.Errorf("%+v, %v", record.Row, err)
		}
	}
}

// TestRedisFaults: a Redis in trouble changes no answer, and is used again when it is well.
func TestRedisFaults(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	for name, c := range map[string]struct {
		hurt, heal func(*redistest.Server) error
	}{
		"killed": {func(s *redistest.Server) error { s.Kill(); return nil }, (*redistest.Server).Restart},
		"frozen": {(*redistest.Server).Freeze, (*redistest.Server).Thaw},
		"full": {
			func(s *redistest.Server) error {
				if _, err := s.Do("CONFIG", "SET", "maxmemory", "1"); err != nil {
					return err
				}
				if _, err := s.Do("SET", "k", "v"); err == nil || !strings.Contains(err.Error(), "OOM") {
					return fmt.Errorf("it isn't full: %w", err)
				}
				return nil
			},
			func(s *redistest.Server) error { _, err := s.Do("CONFIG", "SET", "maxmemory", "0"); return err },
		},
	} {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				s := redistest.Start(t, "--save", "", "--maxmemory-policy", "noeviction")
				w := newWard(t, app.Config{Redis: s.URL()})
				await(t, "Redis is in use", func() bool { return w.part("redis").Status == health.Healthy })
				w.send(mlFirst)
				if err := c.hurt(s); err != nil {
					t.Fatal(err)
				}
				for range 20 {
					if a := w.send(mlFirst); a.status != http.StatusOK || a.body.Verdict != crisol.Fixed {
						t.Errorf("%+v", a)
					}
				}
				if name != "full" { // what only reads goes on
					await(t, "operators see it", func() bool { return w.part("redis").Status == health.Degraded })
				}
				if err := c.heal(s); err != nil {
					t.Fatal(err)
				}
				w.recovers()
			})
		})
	}
}

// failing is an arena without a sandbox, until it has one.
type failing struct {
	scripted
	down *atomic.Bool
}

func (f failing) Run(ctx context.Context, o wargame.Order) (wargame.Report, error) {
	if f.down.Load() {
		return wargame.Report{}, crisol.Errorf(crisol.KindInfrastructure, "start the sandbox: no space for another one")
	}
	return f.scripted.Run(ctx, o)
}

// TestSandboxFails: trials that can't be held wait, and are held when they can be.
func TestSandboxFails(t *testing.T) {
	t.Parallel()
	w := newWard(t, app.Config{})
	var down atomic.Bool
	down.Store(true)
	w.flow.Arena = failing{scripted{w.flow.Arena, time.Millisecond}, &down}
	a := w.send(fight)
	var seen struct {
		State     string
		Attempts  int
		LastError string `json:"last_error"`
	}
	await(t, "the caller sees why it waits", func() bool {
		return w.ask(http.MethodGet, "/wargaming/validations/"+a.body.ID, nil, &seen) == http.StatusOK && strings.Contains(seen.LastError, "start the sandbox")
	})
	if a := w.send(mlFirst); a.status != http.StatusOK || a.body.Method != crisol.MethodML {
		t.Errorf("what needs no trial is not answered: %+v", a)
	}
	down.Store(false)
	w.recovers()
}

// TestSandboxMissing: a real runtime that is removed under a running service is missed by operators and by trials, which wait
// until it is back.
func TestSandboxMissing(t *testing.T) {
	t.Parallel()
	real, err := exec.LookPath("bwrap")
	if err != nil {
		t.Fatalf("a runtime that goes missing takes one to be there: %v (make deps installs it)", err)
	}
	bin, err := os.MkdirTemp("", "crisol-bin-") // the sandbox's user can't look into t.TempDir
	if err == nil {
		err = os.Chmod(bin, 0o755) //nolint:gosec // as /usr/bin is
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	link := filepath.Join(bin, "bwrap")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, addr: l.Addr().String()}
	_ = l.Close()                       // the address is all that was wanted
	command := exec.Command(os.Args[0]) //nolint:gosec // this very test binary
	command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	c.front = launchAs(t, hostConfig{Data: t.TempDir(), Addr: c.addr, Sandbox: "bwrap"}, command)
	healthy := func() int { status, _ := c.get("/health/ready"); return status }
	if status := healthy(); status != http.StatusOK {
		t.Fatalf("ready: %d", status)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	r := query("apv", trimmed)
	r.Wait = "0s"
	status, body := c.post(fight, r)
	if status != http.StatusAccepted {
		t.Fatalf("%d %v", status, body)
	}
	id := body["validation_id"].(string)
	var seen map[string]any
	await(t, "the trial fails", func() bool { _, seen = c.get("/wargaming/validations/" + id); return seen["last_error"] != nil })
	if seen["state"] == "finished" {
		t.Errorf("a trial that was not held has a verdict: %v", seen)
	}
	await(t, "operators see it", func() bool { return healthy() == http.StatusServiceUnavailable })
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	// A real trial, and before it the self-test of its scenario.
	awaitFor(t, 3*time.Minute, "the verdict comes", func() bool { _, seen = c.get("/wargaming/validations/" + id); return seen["state"] == "finished" })
	if seen["verdict"] != "not_fixed" {
		t.Errorf("%v", seen)
	}
	await(t, "all is well", func() bool { return healthy() == http.StatusOK })
}

// get asks the service; 0 is no answer.
func (c *cluster) get(path string) (int, map[string]any) {
	request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, "http://"+c.addr+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	return c.do(request)
}

// TestOverload: more than can be served is refused early, and what is served and what is cached comes soon.
func TestOverload(t *testing.T) {
	t.Parallel()
	w := newWard(t, app.Config{})
	w.takes.Store(int64(50 * time.Millisecond)) // as on a machine with too much to do
	known := query("known", bound)
	w.mlFirst(known)
	stop := make(chan struct{})
	var callers sync.WaitGroup
	var served, shed atomic.Int64
	for range 60 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch a := w.send(mlFirst); a.status {
				case http.StatusOK:
					served.Add(1)
				case http.StatusServiceUnavailable:
					shed.Add(1)
					if a.header.Get("Retry-After") != "1" {
						t.Errorf("%+v", a)
					}
				}
			}
		})
	}
	await(t, "some are refused, and others served", func() bool { return shed.Load() > 20 && served.Load() > 20 })
	for range 20 {
		if v := w.mlFirst(known); !v.Cached {
			t.Errorf("%+v", v)
		}
	}
	if r := w.report(); r.Load.Shed == 0 || r.Load.Served == 0 {
		t.Errorf("%+v", r.Load)
	}
	close(stop)
	callers.Wait()
	if a := w.send(mlFirst); a.status != http.StatusOK {
		t.Errorf("when the crowd is gone: %+v", a)
	}
	w.kept()
}

// TestMemoryLimit: a service that the kernel ends for want of memory has lost nothing that it accepted.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, addr: l.Addr().String()}
	_ = l.Close() // the address is all that was wanted
	config := hostConfig{Data: data, Addr: c.addr}
	c.front = launch(t, config)
	// What the process has mapped, and little more: the next large requests don't fit.
	limit := mapped(t, c.front.cmd.Process.Pid) + 64<<20
	if err := unix.Prlimit(c.front.cmd.Process.Pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _, _ = c.front.cmd.Process.Wait(); close(ended) }()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				c.ask()
				r := query("apv", trimmed+" // "+noise(8<<20))
				r.Wait = "0s"
				if status, body := c.post(fight, r); status == http.StatusAccepted {
					c.accepted.Store(body["validation_id"], true)
				}
			}
		})
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it has memory enough: this shows nothing")
	}
	callers.Wait()
	launch(t, config)
	accepted := 0
	c.accepted.Range(func(id, _ any) bool {
		accepted++
		await(t, "the verdict comes", func() bool {
			status, seen := c.get("/wargaming/validations/" + id.(string))
			return status == http.StatusOK && seen["state"] == "finished"
		})
		return true
	})
	if accepted == 0 {
		t.Error("nothing was accepted: this shows nothing")
	}
	t.Logf("%d were accepted and have their verdicts", accepted)
}

// mapped is how much memory a process has mapped.
func mapped(t *testing.T, pid int) uint64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	var pages uint64
	for _, digit := range strings.Fields(string(text))[0] {
		pages = 10*pages + uint64(digit-'0')
	}
	return pages * uint64(os.Getpagesize())
}
