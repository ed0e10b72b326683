package stage

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/sandbox"
)

// Whatever the pieces in which it comes, a collector keeps the head and the tail of what was printed.
func TestCollector(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		text := make([]byte, random.IntN(200))
		for i := range text {
			text[i] = byte('a' + random.IntN(26))
		}
		limit := 1 + random.IntN(60)
		c := collector{limit: limit}
		for rest := text; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			if wrote, err := c.Write(rest[:n]); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		out := c.output()
		want := sandbox.Output{Head: text, Total: int64(len(text))}
		if len(text) > limit {
			want.Head, want.Tail = text[:limit-limit/2], text[len(text)-limit/2:]
		}
		if !bytes.Equal(out.Head, want.Head) || !bytes.Equal(out.Tail, want.Tail) || out.Total != want.Total {
			t.Fatalf("limit %d of %q: %q %q %d", limit, text, out.Head, out.Tail, out.Total)
		}
	}
}

func TestSignalName(t *testing.T) {
	for exit, want := range map[int]string{0: "", 1: "", 127: "", 128: "", 128 + 11: "SIGSEGV", 137: "SIGKILL", 255: ""} {
		if got := signalName(exit); got != want {
			t.Errorf("signalName(%d) = %q, want %q", exit, got, want)
		}
	}
}

func TestFindHierarchy(t *testing.T) {
	const v1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 /docker/c1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"36 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\nnonsense\n"
	const own1 = "9:name=systemd:/x\n8:pids:/a\n4:memory:/docker/c1/b\n3:cpu,cpuacct:/\nnonsense\n"
	h := findHierarchy(true, cgroupMounts(v1), ownGroups(own1))
	want := map[string]string{"memory": "/sys/fs/cgroup/memory/b/crisol-runs", "pids": "/sys/fs/cgroup/pids/a/crisol-runs",
		"cpuacct": "/sys/fs/cgroup/cpu,cpuacct/crisol-runs"}
	if h.version != 1 || !maps.Equal(h.parents, want) || len(h.all) != 3 {
		t.Errorf("v1: %+v", h)
	}
	if h := findHierarchy(false, cgroupMounts(v1), ownGroups(own1)); h.version != 0 {
		t.Errorf("v1 without root: %+v", h)
	}

	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "user"), 0o755); err != nil {
		t.Fatal(err)
	}
	v2 := "30 23 0:26 / " + dir + " rw - cgroup2 cgroup2 rw\n"
	if h := findHierarchy(true, cgroupMounts(v2), ownGroups("0::/user\n")); h.version != 0 {
		t.Errorf("v2 without controllers: %+v", h)
	}
	writeFiles(t, filepath.Join(dir, "user"), map[string]string{"cgroup.controllers": "cpu memory pids\n"})
	h = findHierarchy(false, cgroupMounts(v2), ownGroups("0::/user\n"))
	if h.version != 2 || h.parents[""] != filepath.Join(dir, "user/crisol-runs") {
		t.Errorf("v2: %+v", h)
	}
}

// What a dead Crisol's run left is killed and removed at the next start, wherever in the hierarchy it stood.
func TestSweep(t *testing.T) {
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.groups.version != 1 {
		t.Skip("needs root and cgroup v1")
	}
	kept, err := h.groups.make()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := kept.remove(); err != nil {
			t.Error(err)
		}
	}()
	stale, err := h.groups.make()
	if err != nil {
		t.Fatal(err)
	}
	stale.lock.Close() // as its process's end would
	orphan := exec.Command("sleep", "60")
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(orphan.Process.Pid)
	for c := range h.groups.parents {
		writeFiles(t, filepath.Dir(stale.file(c, "x")), map[string]string{"cgroup.procs": pid})
	}
	nested := filepath.Join(h.groups.all[0], nestedPrefix+"0-0-dead")
	if err := os.Mkdir(nested, 0o755); err != nil {
		t.Fatal(err)
	}
	h.groups.sweep(slog.New(slog.DiscardHandler))
	if err := orphan.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the orphan ended with %v", err)
	}
	for c := range h.groups.parents {
		if exists(stale.file(c, "tasks")) {
			t.Errorf("the stale group is left in %s", c)
		}
		if !exists(kept.file(c, "tasks")) {
			t.Errorf("a group in use was removed from %s", c)
		}
	}
	if exists(nested) {
		t.Error("a runtime's stale group is left")
	}
}

// fakeV2 is a directory that looks like a delegated cgroup v2.
func fakeV2(t *testing.T) hierarchy {
	t.Helper()
	dir := t.TempDir()
	return hierarchy{version: 2, parents: map[string]string{"": filepath.Join(dir, groupsName)}, mounts: map[string]string{"": dir}}
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGroupV2(t *testing.T) {
	h := fakeV2(t)
	writeFiles(t, h.mounts[""], map[string]string{"cgroup.procs": strconv.Itoa(os.Getpid()) + "\n"})
	// prepare leaves the leaf's cgroup.procs and both subtree_control behind, as writes that a kernel would act on.
	g, err := h.make()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"crisol-self/cgroup.procs", "cgroup.subtree_control", groupsName + "/cgroup.subtree_control"} {
		if !exists(filepath.Join(h.mounts[""], path)) {
			t.Errorf("nothing was written to %s", path)
		}
	}
	dir := filepath.Join(h.parents[""], g.name)
	writeFiles(t, dir, map[string]string{
		"memory.swap.max": "max", "cpu.stat": "usage_usec 1500\nuser_usec 1000\n", "memory.current": "900",
		"memory.stat": "anon 300\nfile 100\nshmem 250\n", "memory.events": "low 0\noom_kill 2\n", "memory.peak": "1234\n",
		"cgroup.procs": "", "pids.current": "0",
	})
	if err := g.limit(sandbox.Limits{Memory: 1000, Disk: 100, Processes: 7}, 3); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"memory.max": "1200", "pids.max": "10", "memory.swap.max": "0"} {
		if got, _ := g.read("", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if cpu, ok := g.cpu(); !ok || cpu != 1500*time.Microsecond {
		t.Errorf("cpu %v %v", cpu, ok)
	}
	used := func() int64 { return 200 }
	if got := g.memory(1000, used); got != 900 {
		t.Errorf("memory under what is enough: %d", got)
	}
	if got := g.memory(800, used); got != 300+50 {
		t.Errorf("memory without files: %d", got)
	}
	if g.oomKills() != 2 || g.peak() != 1234 {
		t.Errorf("oom kills %d, peak %d", g.oomKills(), g.peak())
	}
	if err := g.empty(time.Second); err != nil {
		t.Error(err)
	}
	if !h.has("memory") || h.means() != "cgroup v2" {
		t.Error(h.means())
	}
	s, err := h.slot(1)
	if s != nil || err != nil {
		t.Errorf("a slot's group under v2: %v %v", s, err)
	}
}

func TestNoSuchController(t *testing.T) {
	g := &group{hierarchy: hierarchy{version: 1, parents: map[string]string{}}, set: map[string]int64{}}
	if _, ok := g.cpu(); ok {
		t.Error("time without cpuacct")
	}
	if err := g.limit(sandbox.DefaultLimits, 1); err != nil || g.memory(0, func() int64 { return 0 }) != 0 || g.peak() != 0 || g.oomKills() != 0 {
		t.Error("a group without controllers has values", err)
	}
}

func TestMeasureTree(t *testing.T) {
	if cpu := processCPU(os.Getpid()); cpu < 0 || processCPU(1<<30) != 0 {
		t.Error(cpu)
	}
	private, _ := processMemory(os.Getpid())
	if private < 1<<20 {
		t.Errorf("this test holds %d bytes", private)
	}
	if got := children(1 << 30); got != nil {
		t.Error(got)
	}
}

func TestEnvironment(t *testing.T) {
	s := system{tools: []Toolchain{{"rust", "/x", "/opt/toolchains/rust"}}}
	env := s.environment("/work/sub", []string{"TZ=Europe/Vienna", "A=1", "A=2", "EMPTY="})
	for _, want := range []string{"PWD=/work/sub", "TZ=Europe/Vienna", "A=2", "EMPTY=", "HOME=/tmp"} {
		if !slices.Contains(env, want) {
			t.Errorf("%q is not in %q", want, env)
		}
	}
	if slices.Contains(env, "A=1") || slices.Contains(env, "TZ=UTC") || !strings.HasSuffix(env[0], "/opt/toolchains/rust/bin") {
		t.Errorf("environment %q", env)
	}
}

// executable makes a file that can be found in PATH.
func executable(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestToolchains(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("RUSTUP_HOME", "")
	nodes := t.TempDir()
	executable(t, filepath.Join(nodes, "node-20/bin/node"))
	executable(t, filepath.Join(home, "bin/java"))
	executable(t, filepath.Join(home, ".local/bin/mvn"))
	if err := os.Symlink(filepath.Join(nodes, "node-20/bin/node"), filepath.Join(home, "bin/node")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(home, "bin")+":"+filepath.Join(home, ".local/bin"))
	if got := prefixOf("node"); got != filepath.Join(nodes, "node-20") {
		t.Errorf("node: %q", got)
	}
	// What would show the home directory, or everything that is installed in it, is not shown.
	for _, tool := range []string{"java", "mvn", "go", "rustc", "python3"} {
		if got := prefixOf(tool); got != "" {
			t.Errorf("%s: %q", tool, got)
		}
	}
	executable(t, filepath.Join(home, ".pyenv/versions/3.11.7/bin/python3"))
	if got := prefixOf("python3"); got != filepath.Join(home, ".pyenv/versions/3.11.7") {
		t.Errorf("python3: %q", got)
	}
	executable(t, filepath.Join(home, ".rustup/toolchains/stable-x/bin/rustc"))
	executable(t, filepath.Join(home, ".rustup/toolchains/nightly-x/bin/rustc"))
	if got := prefixOf("rustc"); got != filepath.Join(home, ".rustup/toolchains/stable-x") {
		t.Errorf("rustc: %q", got)
	}
	if err := os.WriteFile(filepath.Join(home, ".rustup/settings.toml"), []byte("version = \"12\"\ndefault_toolchain = \"nightly-x\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := prefixOf("rustc"); got != filepath.Join(home, ".rustup/toolchains/nightly-x") {
		t.Errorf("rustc by settings: %q", got)
	}
}

// What not everybody may read doesn't get into a sandbox's /etc.
func TestCopyReadable(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	if err := os.MkdirAll(filepath.Join(from, "open"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(from, "closed"), 0o750); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, from, map[string]string{"open/file": "x", "secret": "x", "closed/file": "x"})
	if err := os.Chmod(filepath.Join(from, "secret"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("secret", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := copyReadable(from, to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"open/file": true, "secret": false, "closed": false} {
		if exists(filepath.Join(to, name)) != want {
			t.Errorf("%s was copied: %v", name, !want)
		}
	}
	if link, err := os.Readlink(filepath.Join(to, "link")); link != "secret" {
		t.Error(link, err)
	}
}

func TestInfrastructure(t *testing.T) {
	if infrastructure("act", nil) != nil || annotate("x", "y", nil) != nil {
		t.Error("an error out of nothing")
	}
	err := infrastructure("act", crisol.WithHint(errors.New("plain"), "do this"))
	if crisol.KindOf(err) != crisol.KindInfrastructure || crisol.HintOf(err) != "do this" || err.Error() != "act: plain" {
		t.Errorf("%v %v %q", err, crisol.KindOf(err), crisol.HintOf(err))
	}
	input := crisol.Errorf(crisol.KindInput, "bad")
	if got := infrastructure("act", input); !errors.Is(got, input) || crisol.KindOf(got) != crisol.KindInput {
		t.Errorf("the kind of %v was changed", got)
	}
	if got := explain(errors.New("a"), sandbox.Output{Head: []byte("first\nsecond")}); got.Error() != "a: first" {
		t.Error(got)
	}
	if got := explain(errors.New("a"), sandbox.Output{}); got.Error() != "a" {
		t.Error(got)
	}
}

// A slot that is not used for a while ends; what it leaves is nothing.
func TestSlots(t *testing.T) {
	var log bytes.Buffer
	h, err := Open(Options{Idle: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	h.Warm(2)
	s, err := h.take()
	if err != nil {
		t.Fatal(err)
	}
	thread := 0
	s.do(func() { thread = unix.Gettid() })
	if thread != s.tid || thread == os.Getpid() {
		t.Errorf("a job ran on thread %d, the slot's is %d", thread, s.tid)
	}
	h.give(s)
	h.mu.Lock()
	for h.count > 0 {
		h.gone.Wait() // for the timers
	}
	h.mu.Unlock()
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := h.take(); err == nil {
		t.Error("a closed host gives slots")
	}
	if log.Len() > 0 {
		t.Errorf("complaints: %s", &log)
	}
}

// A view that a killed Crisol left is removed; one that is in use is not.
func TestSweepViews(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	used, err := copySet(system{}, sandbox.Command{}, false)
	if err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(os.TempDir(), viewPrefix+"stale")
	if err := os.MkdirAll(filepath.Join(stale, "view/closed/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(stale, "view/closed"), 0); err != nil {
		t.Fatal(err)
	}
	sweepViews(slog.New(slog.DiscardHandler))
	if exists(stale) {
		t.Error("a stale view is left")
	}
	if !exists(used.(*copied).view) {
		t.Error("a view in use was removed")
	}
	if err := used.strike(); err != nil {
		t.Error(err)
	}
}

func TestReachable(t *testing.T) {
	dir := t.TempDir() // below a directory that only its owner may enter
	if reachable(dir) || !reachable("/usr/bin") || reachable("/no/such") {
		t.Error(reachable(dir), reachable("/usr/bin"), reachable("/no/such"))
	}
}
