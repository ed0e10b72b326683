// Package sandboxtest is the conformance suite of sandbox runtimes: what every one must keep to, tried by a program
// that wants out.
//
// In goes a sandbox.Runtime. Every case proves its bound from outside the sandbox, or from inside by a program of the
// suite's own. Where a runtime can't keep a bound, its Report must say so, and the suite checks that claim instead.
package sandboxtest

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"crisol/internal/sandbox"
)

//go:embed testdata/hostile.c
var hostileSource string

// canary is a variable of Crisol's environment that no sandbox may see.
const canary = "CRISOL_CANARY_VARIABLE"

// suite is one run of the suite.
type suite struct {
	rt     sandbox.Runtime
	report sandbox.Report
	kit    string // a layer with the hostile program
}

// limits are what cases that test none of them run with: small, so that a case that goes wrong ends.
var limits = sandbox.Limits{
	Wall: 20 * time.Second, CPU: 15 * time.Second, Memory: 256 << 20, Processes: 64, Disk: 16 << 20, Output: 64 << 10,
}

// Run runs every case against the runtime. When afterwards is not nil, it must give back what the runtime keeps
// between runs; the suite then checks that nothing is left.
func Run(t *testing.T, rt sandbox.Runtime, afterwards func() error) {
	t.Setenv(canary, "the host's secret")
	t.Setenv("TMPDIR", quietDir(t))
	report, err := rt.Check(t.Context())
	if err != nil {
		t.Fatalf("check %s: %v", rt.Name(), err)
	}
	s := &suite{rt: rt, report: report, kit: t.TempDir()}
	compile(t, s.kit)
	open(t, s.kit)
	for _, c := range s.alone() {
		t.Run(c.name, func(t *testing.T) {
			c.run(t)
			nothingLeft(t)
		})
	}
	t.Run("together", func(t *testing.T) {
		for _, c := range s.together() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t)
			})
		}
	})
	nothingLeft(t)
	t.Run("nothing is left", func(t *testing.T) {
		if afterwards != nil {
			if err := afterwards(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		noMounts(t)
		if left := Groups(os.Getpid()); len(left) > 0 {
			t.Errorf("left cgroups: %v", left)
		}
	})
}

// nothingLeft checks that no process and no file of a run is left.
func nothingLeft(t *testing.T) {
	t.Helper()
	if left := Descendants(); len(left) > 0 {
		t.Errorf("left processes: %v", left)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "crisol-*")); err != nil || len(left) > 0 {
		t.Errorf("left temporary files: %v %v", left, err)
	}
}

// quietDir makes a directory for temporary files where nobody else puts anything, and where everybody may walk as in
// any other of its kind.
func quietDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "suite-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

type testCase struct {
	name string
	run  func(*testing.T)
}

// alone are the cases after each of which nothing may be left.
func (s *suite) alone() []testCase {
	return []testCase{
		{"report", s.testReport},
		{"signalling the host", s.testSignalHost},
		{"fork bomb", s.testForkBomb},
		{"process limit", s.testProcessLimit},
		{"memory bomb", s.testMemoryBomb},
		{"memory of a tree", s.testMemoryTree},
		{"full disks are no memory", s.testDiskIsNoMemory},
		{"litter", s.testLitter},
		{"deadline", s.testDeadline},
		{"cpu limit", s.testCPU},
		{"orphan daemon", s.testDaemon},
		{"cancellation", s.testCancel},
		{"cancelled before", s.testCancelledBefore},
		{"bad layers", s.testBadLayers},
		{"usage", s.testUsage},
		{"at the same time", s.testParallel},
	}
}

// together are the cases that run at the same time.
func (s *suite) together() []testCase {
	return []testCase{
		{"exit codes", s.testExitCodes},
		{"signals", s.testSignals},
		{"no such command", s.testNoSuchCommand},
		{"stdin", s.testStdin},
		{"output", s.testOutput},
		{"endless output", s.testEndlessOutput},
		{"environment", s.testEnvironment},
		{"identity", s.testIdentity},
		{"descriptors", s.testDescriptors},
		{"what runtimes need", s.testAllowed},
		{"denied calls", s.testDeniedCalls},
		{"setuid binary", s.testSetuid},
		{"host files", s.testHostFiles},
		{"read-only system", s.testReadOnly},
		{"network", s.testNetwork},
		{"loopback", s.testLoopback},
		{"unix sockets", s.testUnixSockets},
		{"disk filler", s.testDiskFiller},
		{"sparse files", s.testSparse},
		{"layers", s.testLayers},
		{"layers stay", s.testLayersStay},
		{"keep", s.testKeep},
		{"keep a pipe", s.testKeepPipe},
		{"keep only after an end", s.testKeepOnlyAfterEnd},
		{"many layers", s.testManyLayers},
		{"after", s.testAfter},
		{"after through symlinks", s.testAfterSymlinks},
		{"mounts", s.testMounts},
		{"mounts through symlinks", s.testMountSymlinks},
		{"working directory", s.testDir},
		{"private tmp", s.testTmp},
	}
}

// run runs a command on the kit and any further layers, which lie above it.
func (s *suite) run(t *testing.T, c sandbox.Command) sandbox.Result {
	t.Helper()
	result, err := s.try(t.Context(), c)
	if err != nil {
		t.Fatalf("run %v: %v", c.Args, err)
	}
	return result
}

func (s *suite) try(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	c.Layers = append(c.Layers, s.kit)
	c.Limits = c.Limits.Or(limits)
	return s.rt.Run(ctx, c)
}

// hostile runs the hostile program and returns what it printed, as lines.
func (s *suite) hostile(t *testing.T, args ...string) []string {
	t.Helper()
	r := s.run(t, sandbox.Command{Args: append([]string{"/work/hostile"}, args...)})
	if r.Exit != 0 || r.Stopped != "" {
		t.Fatalf("hostile %v: exit %d, stopped %q\n%s%s", args, r.Exit, r.Stopped, r.Stdout.Head, r.Stderr.Head)
	}
	return lines(r.Stdout.Head)
}

// shell runs a shell command that must succeed.
func (s *suite) shell(t *testing.T, script string, change ...func(*sandbox.Command)) sandbox.Result {
	t.Helper()
	c := sandbox.Command{Args: []string{"sh", "-c", script}}
	for _, f := range change {
		f(&c)
	}
	r := s.run(t, c)
	if r.Exit != 0 || r.Stopped != "" {
		t.Fatalf("sh -c %q: exit %d, stopped %q\n%s%s", script, r.Exit, r.Stopped, r.Stdout.Head, r.Stderr.Head)
	}
	return r
}

// enforces says whether the runtime claims to keep a limit here; where it doesn't, the result must say so too.
func (s *suite) enforces(t *testing.T, limit string, r sandbox.Result) bool {
	t.Helper()
	claimed := s.report.Enforced[limit] != ""
	admitted := strings.Contains(strings.Join(r.Unenforced, " "), limit)
	if claimed == admitted {
		t.Errorf("the report claims %s: %v, the result admits it missing: %v", limit, claimed, admitted)
	}
	return claimed
}

func lines(b []byte) []string {
	text := strings.TrimRight(string(b), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// compile builds the hostile program into dir.
func compile(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("gcc", "-O1", "-Wall", "-Werror", "-x", "c", "-", "-o", filepath.Join(dir, "hostile"), "-lpthread")
	cmd.Stdin = strings.NewReader(hostileSource)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile the hostile program (install gcc): %v\n%s", err, out)
	}
}

// open gives a layer to the sandboxed user.
func open(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Own(dir); err != nil {
		t.Fatal(err)
	}
}

// layer makes a layer of files; a name that ends in / is a directory.
func layer(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir)
	return dir
}

// noMounts checks that the host has no mount of Crisol's.
func noMounts(t *testing.T) {
	t.Helper()
	for _, line := range strings.Split(readFile(t, "/proc/self/mountinfo"), "\n") {
		if strings.Contains(line, " /run/crisol") || strings.Contains(line, " - tmpfs crisol ") || strings.Contains(line, " - overlay crisol ") {
			t.Errorf("left a mount: %s", line)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Groups lists the cgroups that the process made for runs.
func Groups(pid int) []string {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (strings.HasPrefix(d.Name(), fmt.Sprintf("crisol-nested-%d-", pid)) ||
			filepath.Base(filepath.Dir(path)) == "crisol-runs" && strings.HasPrefix(d.Name(), strconv.Itoa(pid)+"-")) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// Descendants lists the processes that this one started and those in a cgroup of its runs, as "pid command".
func Descendants() []string {
	return processesOf(os.Getpid())
}

func processesOf(root int) []string {
	parents := map[int]int{}
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if i := strings.LastIndex(string(stat), ")"); i > 0 {
			fields := strings.Fields(string(stat)[i+1:])
			parents[pid], _ = strconv.Atoi(fields[1])
			pids = append(pids, pid)
		}
	}
	var found []string
	for _, pid := range pids {
		group, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		inGroup := strings.Contains(string(group), fmt.Sprintf("/crisol-runs/%d-", root))
		ancestor := pid
		for ancestor > 1 && ancestor != root {
			ancestor = parents[ancestor]
		}
		if pid != root && (inGroup || ancestor == root) {
			command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			found = append(found, fmt.Sprintf("%d %s", pid, strings.ReplaceAll(string(command), "\x00", " ")))
		}
	}
	return found
}
