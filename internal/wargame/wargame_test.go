package wargame_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/sandbox"
	"crisol/internal/scenario"
	"crisol/internal/target"
	"crisol/internal/verdict"
	"crisol/internal/wargame"
)

// shot is what a scripted sandbox is told of one run.
type shot struct {
	program string // the file that is run, "exploit.js"
	patched bool
	hidden  bool
	n       int // counts the runs of this program on this side, from 1
	token   string
	size    int
	hostile bool
	layers  []string
}

// scripted is a sandbox.Runtime that runs nothing: a script says how each run ends. It is how tests meet rates, faults
// and limits that real programs would show only by chance.
type scripted struct {
	mu     sync.Mutex
	counts map[string]int
	script func(shot) (sandbox.Result, error)
}

func (*scripted) Name() string { return "scripted" }

func (*scripted) Check(context.Context) (sandbox.Report, error) {
	return sandbox.Report{Runtime: "scripted", Version: "1"}, nil
}

func (s *scripted) Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	if err := ctx.Err(); err != nil {
		return sandbox.Result{}, err
	}
	var order struct {
		Token   string
		Size    int
		Hostile bool
	}
	if err := json.Unmarshal(c.Stdin, &order); err != nil {
		return sandbox.Result{}, err
	}
	sh := shot{program: c.Args[len(c.Args)-1], token: order.Token, size: order.Size, hostile: order.Hostile, layers: c.Layers}
	for _, layer := range c.Layers {
		sh.patched = sh.patched || filepath.Base(layer) == "patch"
		sh.hidden = sh.hidden || filepath.Base(layer) == "hidden"
	}
	s.mu.Lock()
	key := fmt.Sprint(sh.program, sh.patched, sh.hidden)
	s.counts[key]++
	sh.n = s.counts[key]
	s.mu.Unlock()
	return s.script(sh)
}

func (s *scripted) runs(program string, patched bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[fmt.Sprint(program, patched, false)]
}

// Endings of a run, in the kit's words.
func succeeded(sh shot) sandbox.Result { return said(0, "crisol reached "+sh.token) }
func blocked(sh shot) sandbox.Result   { return said(1, "crisol reached "+sh.token) }
func missed(shot) sandbox.Result       { return said(3, "") }
func healthy(sh shot) sandbox.Result   { return said(0, "crisol healthy "+sh.token) }

func said(exit int, words string) sandbox.Result {
	return sandbox.Result{Exit: exit, CPU: 50 * time.Millisecond, Wall: 60 * time.Millisecond, Stdout: sandbox.Output{Head: []byte(words)}}
}

// proper is how a good scenario and a good patch behave.
func proper(sh shot) (sandbox.Result, error) {
	switch {
	case strings.HasPrefix(sh.program, "benign") || strings.HasPrefix(sh.program, "test"):
		return healthy(sh), nil
	case sh.hidden:
		return missed(sh), nil
	case sh.patched:
		return blocked(sh), nil
	}
	return succeeded(sh), nil
}

const manifest = `schema: crisol/v1
id: scripted
title: A scripted scenario
target: {dir: app, reference: {patch: fix.diff}}
kit: node
exploits:
  - {id: first, run: [node, exploit.js]}
  - {id: second, run: [node, variant.js]}
benign:
  - {id: use, run: [node, benign.js]}
tests:
  - {id: own, run: [node, test.js]}
`

const fix = "--- a/index.js\n+++ b/index.js\n@@ -1 +1 @@\n-vulnerable\n+fixed\n"

type arena struct {
	*wargame.Arena
	sandbox  *scripted
	scenario *scenario.Scenario
	patch    *diff.Patch
}

func newArena(t *testing.T, text string, script func(shot) (sandbox.Result, error)) arena {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{
		"scenario.yaml": text, "fix.diff": fix, "app/index.js": "vulnerable\n",
		"exploit.js": "e", "variant.js": "v", "benign.js": "b", "test.js": "t",
	} {
		path := filepath.Join(dir, "scenario", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := scenario.Load(os.DirFS(filepath.Join(dir, "scenario")), "scenario")
	if err != nil {
		t.Fatal(err)
	}
	targets, err := target.Open(filepath.Join(dir, "targets"), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = targets.Close() })
	runtime := &scripted{counts: map[string]int{}, script: script}
	a, err := wargame.Open(t.Context(), wargame.Options{Sandbox: runtime, Targets: targets, Dir: dir, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	patch, err := diff.Parse([]byte(fix), diff.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return arena{a, runtime, s, patch}
}

var tested = crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Passed}

// judge runs the trial of the patch and returns the report with its verdict.
func (a arena) judge(t *testing.T, o wargame.Order) (wargame.Report, verdict.Decision) {
	t.Helper()
	o.Scenario, o.SelfTest = a.scenario, tested
	if o.Candidate.Dir == "" && o.Candidate.Patch == nil && o.Candidate.Tree == nil {
		o.Candidate.Patch = a.patch
	}
	report, err := a.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report, verdict.Decide(report.Gates, report.Risk, 0.01)
}

func gate(t *testing.T, r wargame.Report, name crisol.GateName) crisol.Gate {
	t.Helper()
	for _, g := range r.Gates {
		if g.Name == name {
			return g
		}
	}
	t.Fatalf("no gate %s", name)
	return crisol.Gate{}
}

func TestProperPatchIsFixedAtA4(t *testing.T) {
	a := newArena(t, manifest, proper)
	report, got := a.judge(t, wargame.Order{})
	if got.Verdict != crisol.Fixed || got.Assurance != crisol.A4 {
		t.Fatalf("%s %s: %s", got.Verdict, got.Assurance, got.Reason)
	}
	if report.Risk <= 0 || report.Risk > 0.01 {
		t.Errorf("residual risk %g", report.Risk)
	}
	if n := a.sandbox.runs("exploit.js", true); n != 3 {
		t.Errorf("a reliable exploit was repeated %d times on the patched side, want 3", n)
	}
}

// TestRepeats: an exploit that works only now and then is repeated until a missed success is improbable.
func TestRepeats(t *testing.T) {
	for _, c := range []struct{ every, least, most int }{{1, 3, 3}, {2, 6, 8}, {5, 16, 22}} {
		a := newArena(t, manifest, func(sh shot) (sandbox.Result, error) {
			if sh.program == "exploit.js" && !sh.patched && (sh.n-1)%c.every != 0 {
				return blocked(sh), nil
			}
			return proper(sh)
		})
		report, got := a.judge(t, wargame.Order{})
		if got.Verdict != crisol.Fixed || report.Risk >= 0.01 {
			t.Errorf("every %d: %s, risk %g: %s", c.every, got.Verdict, report.Risk, got.Reason)
		}
		if n := a.sandbox.runs("exploit.js", true); n < c.least || n > c.most {
			t.Errorf("every %d: %d repeats on the patched side, want %d to %d", c.every, n, c.least, c.most)
		}
	}
}

func TestOneSuccessAmongTheRepeatsRefutes(t *testing.T) {
	a := newArena(t, manifest, func(sh shot) (sandbox.Result, error) {
		if sh.program == "exploit.js" && (sh.patched && sh.n == 4 || !sh.patched && sh.n%3 == 0) {
			return succeeded(sh), nil
		}
		if sh.program == "exploit.js" {
			return blocked(sh), nil
		}
		return proper(sh)
	})
	if _, got := a.judge(t, wargame.Order{}); got.Verdict != crisol.NotFixed {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
}

func TestRepeatAsOftenAsAsked(t *testing.T) {
	a := newArena(t, manifest, proper)
	report, got := a.judge(t, wargame.Order{Repeat: 1})
	if got.Verdict != crisol.Fixed || got.Assurance != crisol.A3 || report.Risk < 0.1 {
		t.Errorf("%s %s, risk %g: one run leaves a risk that A4 doesn't allow", got.Verdict, got.Assurance, report.Risk)
	}
	if n := a.sandbox.runs("exploit.js", true); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// TestVerdicts changes one thing at a time about the proper behaviour.
func TestVerdicts(t *testing.T) {
	on := func(program string, patched bool, ending func(shot) sandbox.Result) func(shot) (sandbox.Result, error) {
		return func(sh shot) (sandbox.Result, error) {
			if sh.program == program && sh.patched == patched {
				return ending(sh), nil
			}
			return proper(sh)
		}
	}
	stopped := func(shot) sandbox.Result {
		return sandbox.Result{Exit: 137, Signal: "SIGKILL", Stopped: "wall", CPU: time.Second}
	}
	forged := func(shot) sandbox.Result { return said(1, "crisol reached 00000000000000000000000000000000") }
	for _, c := range []struct {
		name   string
		script func(shot) (sandbox.Result, error)
		want   crisol.Verdict
		reason string
	}{
		{"the exploit still works", on("exploit.js", true, succeeded), crisol.NotFixed, "still succeeds"},
		{"a variant still works", on("variant.js", true, succeeded), crisol.NotFixed, "second still succeeds"},
		{"the exploit never works", on("exploit.js", false, blocked), crisol.Inconclusive, "none of 21 runs"},
		{"the exploit doesn't reach the vulnerable target", on("exploit.js", false, missed), crisol.Inconclusive, "never reached"},
		{"the exploit doesn't reach the patched target", on("exploit.js", true, missed), crisol.Inconclusive, "never reached"},
		{"the target forges that it was reached", on("exploit.js", true, forged), crisol.Inconclusive, "never reached"},
		{"the exploit hangs on the patched target", on("exploit.js", true, stopped), crisol.Inconclusive, "wall limit"},
		{"a variant hangs on the patched target", on("variant.js", true, stopped), crisol.Inconclusive, "wall limit"},
		{"a variant that never worked tells nothing", on("variant.js", false, blocked), crisol.Fixed, ""},
		{"a benign input breaks", on("benign.js", true, missed), crisol.Broken, "fails on the patched one"},
		{"a benign input hangs", on("benign.js", true, stopped), crisol.Broken, "wall limit"},
		{"a benign input ends early with success", on("benign.js", true, func(shot) sandbox.Result { return said(0, "") }), crisol.Broken, "lacks"},
		{"a benign input never worked", on("benign.js", false, missed), crisol.Inconclusive, "vulnerable target too"},
		{"a test breaks", on("test.js", true, func(shot) sandbox.Result { return said(1, "") }), crisol.Broken, "own works on the vulnerable"},
		{"a test never passed", on("test.js", false, func(shot) sandbox.Result { return said(1, "") }), crisol.Inconclusive, "vulnerable target too"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArena(t, manifest, c.script)
			report, got := a.judge(t, wargame.Order{})
			if got.Verdict != c.want || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("%s: %s; want %s: %s", got.Verdict, got.Reason, c.want, c.reason)
			}
			if report.Infrastructure != "" {
				t.Errorf("infrastructure is blamed: %s", report.Infrastructure)
			}
		})
	}
}

func TestFlakyBenignInputTellsNothing(t *testing.T) {
	a := newArena(t, manifest, func(sh shot) (sandbox.Result, error) {
		if sh.program == "benign.js" && sh.patched && sh.n == 1 {
			return missed(sh), nil
		}
		return proper(sh)
	})
	if _, got := a.judge(t, wargame.Order{}); got.Verdict != crisol.Inconclusive || !strings.Contains(got.Reason, "flaky") {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
}

// TestWaitingGetsASecondChance: a command that the wall clock ends with CPU time to spare may have been starved by a busy
// machine. It runs once more with more time; one that used up its CPU time does not.
func TestWaitingGetsASecondChance(t *testing.T) {
	for _, c := range []struct {
		program string
		cpu     time.Duration
		want    crisol.Verdict
	}{
		{"benign.js", time.Second, crisol.Fixed},
		{"exploit.js", time.Second, crisol.Fixed},
		{"benign.js", time.Hour, crisol.Inconclusive}, // a hang that the next run of the same input doesn't show: flaky
	} {
		a := newArena(t, manifest, func(sh shot) (sandbox.Result, error) {
			if sh.program == c.program && sh.patched && sh.n == 1 {
				return sandbox.Result{Exit: 137, Signal: "SIGKILL", Stopped: "wall", CPU: c.cpu}, nil
			}
			return proper(sh)
		})
		if _, got := a.judge(t, wargame.Order{Repeat: 1}); got.Verdict != c.want {
			t.Errorf("%s stopped after %s of CPU time: %s: %s; want %s", c.program, c.cpu, got.Verdict, got.Reason, c.want)
		}
	}
}

// TestInfrastructure: a sandbox that fails is tried again, then reported as what it is, and never counts for a patch.
func TestInfrastructure(t *testing.T) {
	failing := func(times int, program string) func(shot) (sandbox.Result, error) {
		return func(sh shot) (sandbox.Result, error) {
			if sh.program == program && sh.patched && sh.n <= times {
				return sandbox.Result{}, errors.New("no more cgroups")
			}
			return proper(sh)
		}
	}
	for _, program := range []string{"exploit.js", "variant.js", "benign.js", "test.js"} {
		t.Run("passing "+program, func(t *testing.T) {
			a := newArena(t, manifest, failing(2, program))
			if _, got := a.judge(t, wargame.Order{Repeat: 1}); got.Verdict != crisol.Fixed {
				t.Errorf("%s: %s", got.Verdict, got.Reason)
			}
		})
		t.Run("lasting "+program, func(t *testing.T) {
			a := newArena(t, manifest, failing(1000, program))
			report, got := a.judge(t, wargame.Order{Repeat: 1})
			if got.Verdict != crisol.Inconclusive || !strings.Contains(report.Infrastructure, "no more cgroups") {
				t.Errorf("%s: %s (infrastructure %q)", got.Verdict, got.Reason, report.Infrastructure)
			}
		})
	}
}

func TestDeadlineAndCancellation(t *testing.T) {
	entered := make(chan struct{}, 100)
	a := newArena(t, manifest, proper)
	hang := func(ctx context.Context) func(shot) (sandbox.Result, error) {
		return func(sh shot) (sandbox.Result, error) {
			if !sh.patched {
				return proper(sh)
			}
			entered <- struct{}{}
			<-ctx.Done()
			return sandbox.Result{}, ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	a.sandbox.script = hang(ctx)
	report, err := a.Run(ctx, wargame.Order{Scenario: a.scenario, Candidate: wargame.Candidate{Patch: a.patch}, SelfTest: tested})
	if err != nil || !report.TimedOut {
		t.Fatalf("%v, timed out %v", err, report.TimedOut)
	}
	if got := verdict.Decide(report.Gates, report.Risk, 0.01); got.Verdict != crisol.Inconclusive {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
	for len(entered) > 0 {
		<-entered
	}
	ctx, stop := context.WithCancel(t.Context())
	a.sandbox.script = hang(ctx)
	go func() {
		<-entered
		stop()
	}()
	if _, err := a.Run(ctx, wargame.Order{Scenario: a.scenario, Candidate: wargame.Candidate{Patch: a.patch}, SelfTest: tested}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(a.Dir, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestBaselineIsKept: the vulnerable side runs once for a scenario, again after a day, and anew when asked.
func TestBaselineIsKept(t *testing.T) {
	a := newArena(t, manifest, proper)
	now := time.Now()
	a.Now = func() time.Time { return now }
	for _, c := range []struct {
		name  string
		later time.Duration
		fresh bool
		want  int
	}{{"first", 0, false, 3}, {"again", time.Hour, false, 3}, {"fresh", 0, true, 6}, {"a day later", 25 * time.Hour, false, 9}, {"the clock went back", -100 * time.Hour, false, 12}} {
		now = now.Add(c.later)
		report, got := a.judge(t, wargame.Order{Fresh: c.fresh})
		if got.Verdict != crisol.Fixed {
			t.Fatalf("%s: %s: %s", c.name, got.Verdict, got.Reason)
		}
		if n := a.sandbox.runs("exploit.js", false); n != c.want {
			t.Errorf("%s: the vulnerable side ran %d times in all, want %d", c.name, n, c.want)
		}
		cached := gate(t, report, crisol.GateExploitVulnerable).Checks[0].Cached
		if (cached != nil) != (c.name == "again") {
			t.Errorf("%s: cached %v", c.name, cached)
		}
	}
}

func TestSlowIsJudgedByRatio(t *testing.T) {
	text := strings.Replace(manifest, "{id: first, run: [node, exploit.js]}", "{id: first, run: [node, exploit.js], oracle: {slow: {sizes: [10, 1000]}}}", 1)
	cost := func(sh shot) time.Duration {
		if sh.hostile && !sh.patched && sh.size == 1000 {
			return time.Second
		}
		return 50 * time.Millisecond
	}
	script := func(sh shot) (sandbox.Result, error) {
		if sh.program != "exploit.js" {
			return proper(sh)
		}
		r := said(0, "crisol reached "+sh.token)
		if r.CPU = cost(sh); sh.hidden {
			r = missed(sh)
		}
		return r, nil
	}
	a := newArena(t, text, script)
	report, got := a.judge(t, wargame.Order{})
	if got.Verdict != crisol.Fixed {
		t.Fatalf("%s: %s", got.Verdict, got.Reason)
	}
	if words := gate(t, report, crisol.GateExploitVulnerable).Evidence; !strings.Contains(words, "20.0 times") {
		t.Errorf("evidence: %s", words)
	}
	a = newArena(t, text, func(sh shot) (sandbox.Result, error) {
		r, err := script(sh)
		if sh.program == "exploit.js" && !sh.hostile {
			r.Exit = 3
		}
		return r, err
	})
	if _, got := a.judge(t, wargame.Order{}); got.Verdict != crisol.Inconclusive || !strings.Contains(got.Reason, "harmless") {
		t.Errorf("a harmless input that fails: %s: %s", got.Verdict, got.Reason)
	}
}

func TestSelfTest(t *testing.T) {
	a := newArena(t, manifest, func(sh shot) (sandbox.Result, error) {
		kind := candidate(sh.layers)
		switch {
		case kind == "no-op" && !sh.hidden && !strings.HasPrefix(sh.program, "benign") && !strings.HasPrefix(sh.program, "test"):
			return succeeded(sh), nil
		case kind == "decoy":
			return missed(sh), nil
		}
		return proper(sh)
	})
	result, err := a.SelfTest(t.Context(), a.scenario, wargame.SelfTestOptions{})
	if err != nil || !result.Holds || len(result.Cases) != 4 {
		t.Fatalf("%v: %+v", err, result)
	}
	if g := result.Gate(); g.Outcome != crisol.Passed || !strings.Contains(g.Evidence, "4 cases hold") {
		t.Errorf("%+v", g)
	}
	before := a.sandbox.runs("exploit.js", false)
	kept, err := a.SelfTest(t.Context(), a.scenario, wargame.SelfTestOptions{})
	if err != nil || !kept.Taken.Equal(result.Taken) || a.sandbox.runs("exploit.js", false) != before {
		t.Errorf("a result that holds is kept: %v %v", err, kept.Taken)
	}
}

// candidate tells by its content which candidate of the self-test a patch layer holds.
func candidate(layers []string) string {
	for _, layer := range layers {
		if filepath.Base(layer) != "patch" {
			continue
		}
		if _, err := os.Stat(filepath.Join(layer, "app", "CRISOL-NOOP.txt")); err == nil {
			return "no-op"
		}
		if body, err := os.ReadFile(filepath.Join(layer, "app", "index.js")); err == nil && bytes.HasPrefix(body, []byte("throw")) {
			return "decoy"
		}
	}
	return ""
}

// TestSelfTestFindsBadScenarios: each way in which a scenario can be worthless.
func TestSelfTestFindsBadScenarios(t *testing.T) {
	good := func(sh shot) (sandbox.Result, error) {
		switch candidate(sh.layers) {
		case "no-op":
			sh.patched = false
		case "decoy":
			return missed(sh), nil
		}
		return proper(sh)
	}
	for _, c := range []struct {
		name   string
		script func(shot) (sandbox.Result, error)
		failed string
	}{
		{"the exploit is vacuous", func(sh shot) (sandbox.Result, error) {
			if sh.hidden && sh.program == "exploit.js" {
				return succeeded(sh), nil
			}
			return good(sh)
		}, "target hidden"},
		{"the exploit blocks itself after a while", func(sh shot) (sandbox.Result, error) {
			if candidate(sh.layers) == "no-op" && (sh.program == "exploit.js" || sh.program == "variant.js") {
				return blocked(sh), nil
			}
			return good(sh)
		}, "no-op"},
		{"the benign input doesn't use the feature", func(sh shot) (sandbox.Result, error) {
			if candidate(sh.layers) == "decoy" {
				return proper(sh)
			}
			return good(sh)
		}, "decoy"},
		{"the reference doesn't fix", func(sh shot) (sandbox.Result, error) {
			if sh.patched && sh.program == "exploit.js" {
				return succeeded(sh), nil
			}
			return good(sh)
		}, "reference"},
		{"a variant never works", func(sh shot) (sandbox.Result, error) {
			if sh.program == "variant.js" {
				return blocked(sh), nil
			}
			return good(sh)
		}, "reference"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newArena(t, manifest, c.script)
			result, err := a.SelfTest(t.Context(), a.scenario, wargame.SelfTestOptions{Repeat: 1})
			if err != nil || result.Holds {
				t.Fatalf("%v: %+v", err, result)
			}
			for _, k := range result.Cases {
				if k.Name == c.failed && k.Holds {
					t.Errorf("%s holds", k.Name)
				}
			}
			g := result.Gate()
			if g.Outcome != crisol.Failed || !strings.Contains(g.Evidence, c.failed) {
				t.Errorf("%+v", g)
			}
			// What fails its self-test can't let a patch pass, but still refutes.
			report, err := a.Run(t.Context(), wargame.Order{Scenario: a.scenario, Candidate: wargame.Candidate{Patch: a.patch}, SelfTest: g})
			if err != nil {
				t.Fatal(err)
			}
			if got := verdict.Decide(report.Gates, report.Risk, 0.01); got.Verdict == crisol.Fixed {
				t.Errorf("fixed: %s", got.Reason)
			}
		})
	}
}

func TestSelfTestThatCannotRunIsAnError(t *testing.T) {
	a := newArena(t, manifest, func(shot) (sandbox.Result, error) { return sandbox.Result{}, errors.New("no sandbox") })
	if _, err := a.SelfTest(t.Context(), a.scenario, wargame.SelfTestOptions{}); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("%v", err)
	}
}

func TestFixedDirectory(t *testing.T) {
	a := newArena(t, manifest, proper)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte("fixed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, got := a.judge(t, wargame.Order{Candidate: wargame.Candidate{Dir: dir}}); got.Verdict != crisol.Fixed {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "nowhere"), filepath.Join(dir, "index.js")} {
		_, err := a.Run(t.Context(), wargame.Order{Scenario: a.scenario, Candidate: wargame.Candidate{Dir: bad}, SelfTest: tested})
		if crisol.KindOf(err) != crisol.KindInput || err == nil {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestUpgradeNeedsAVersionOfTheSamePackage(t *testing.T) {
	a := newArena(t, manifest, proper)
	_, err := a.Run(t.Context(), wargame.Order{Scenario: a.scenario, Candidate: wargame.Candidate{Upgrade: "pkg:npm/lodash@4.17.21"}, SelfTest: tested})
	if crisol.KindOf(err) != crisol.KindInput || err == nil {
		t.Errorf("%v", err)
	}
}

func TestOpenSweepsWhatTheDeadLeft(t *testing.T) {
	a := newArena(t, manifest, proper)
	dead, live := filepath.Join(a.Dir, "tmp", "999999999-x"), filepath.Join(a.Dir, "tmp", fmt.Sprintf("%d-x", os.Getpid()))
	for _, dir := range []string{dead, live} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wargame.Open(t.Context(), a.Options); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead process's directory is still there: %v", err)
	}
	if _, err := os.Stat(live); err != nil {
		t.Errorf("a living process's directory is gone: %v", err)
	}
}

// optional makes the scenario one as for a snippet: exploits and a benign input that count only where they work, and no
// known fix.
func optional(a arena) arena {
	a.scenario.Target.Reference = scenario.Fix{}
	for i := range a.scenario.Exploits {
		a.scenario.Exploits[i].Optional = true
	}
	more := a.scenario.Benign[0]
	more.ID, more.Run, more.Optional = "more", []string{"node", "more.js"}, true
	a.scenario.Benign = append(a.scenario.Benign, more)
	return a
}

// TestOptional: the first exploit that works on the vulnerable side is the proof, what doesn't work there is left out,
// and when none does nothing is told.
func TestOptional(t *testing.T) {
	dead := func(programs ...string) func(shot) (sandbox.Result, error) {
		return func(sh shot) (sandbox.Result, error) {
			for _, program := range programs {
				if sh.program == program {
					return blocked(sh), nil
				}
			}
			if sh.program == "more.js" {
				return healthy(sh), nil
			}
			return proper(sh)
		}
	}
	alive := func(program string) func(shot) (sandbox.Result, error) {
		return func(sh shot) (sandbox.Result, error) {
			if sh.program == program && sh.patched {
				return succeeded(sh), nil
			}
			return dead("exploit.js")(sh)
		}
	}
	lost := func(sh shot) (sandbox.Result, error) {
		if strings.HasSuffix(sh.program, "exploit.js") || sh.program == "variant.js" {
			return missed(sh), nil
		}
		return dead()(sh)
	}
	for name, c := range map[string]struct {
		script func(shot) (sandbox.Result, error)
		want   crisol.Verdict
		proof  string // in the evidence of the vulnerable gate
	}{
		"all work":                        {dead(), crisol.Fixed, "exploit first succeeded"},
		"the first is dead":               {dead("exploit.js"), crisol.Fixed, "exploit second succeeded"},
		"the proof still works":           {alive("variant.js"), crisol.NotFixed, "exploit second succeeded"},
		"a dead one works on the patched": {alive("exploit.js"), crisol.Fixed, "exploit second succeeded"},
		"none works":                      {dead("exploit.js", "variant.js"), crisol.Inconclusive, "none of 2 exploits succeeded"},
		"none can be told":                {lost, crisol.Inconclusive, "never reached its target"},
		"an optional benign input fails on both sides": {dead("more.js"), crisol.Fixed, "exploit first succeeded"},
		"a benign input that must pass fails on both":  {dead("benign.js"), crisol.Inconclusive, "exploit first succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			a := optional(newArena(t, manifest, c.script))
			report, got := a.judge(t, wargame.Order{})
			if evidence := gate(t, report, crisol.GateExploitVulnerable).Evidence; got.Verdict != c.want || !strings.Contains(evidence, c.proof) {
				t.Errorf("%s: %s\n%s", got.Verdict, got.Reason, evidence)
			}
		})
	}
}

// TestNoReference: what can be held of the self-test is held, and what can't is said.
func TestNoReference(t *testing.T) {
	a := optional(newArena(t, manifest, func(sh shot) (sandbox.Result, error) {
		for _, layer := range sh.layers {
			body, err := os.ReadFile(filepath.Join(layer, "app", "index.js"))
			if sh.patched && err == nil && bytes.HasPrefix(body, []byte("throw")) {
				return missed(sh), nil
			}
		}
		switch {
		case sh.program == "more.js":
			return healthy(sh), nil
		case sh.patched && strings.HasPrefix(sh.program, "exploit"):
			return succeeded(sh), nil
		}
		return proper(sh)
	}))
	got, err := a.SelfTest(t.Context(), a.scenario, wargame.SelfTestOptions{})
	if err != nil || !got.Holds || !got.NoReference || len(got.Cases) != 3 || !strings.Contains(got.Gate().Evidence, "no fix is known beforehand") {
		t.Fatalf("%+v, %v", got, err)
	}
}

// TestTreeInMemory: a candidate may be a tree in memory.
func TestTreeInMemory(t *testing.T) {
	a := newArena(t, manifest, proper)
	report, got := a.judge(t, wargame.Order{Candidate: wargame.Candidate{Tree: fstest.MapFS{"index.js": {Data: []byte("fixed\n")}}}})
	if got.Verdict != crisol.Fixed || !strings.Contains(gate(t, report, crisol.GatePatchApplies).Evidence, "1 files differ") {
		t.Errorf("%s: %s", got.Verdict, got.Reason)
	}
}

// TestTouched: what a candidate changes is told without a trial, and one that doesn't apply is refused as in a trial.
func TestTouched(t *testing.T) {
	a := newArena(t, manifest, proper)
	want := []diff.Touched{{Path: "index.js", Before: []byte("vulnerable\n"), After: []byte("fixed\n")}}
	for name, c := range map[string]wargame.Candidate{
		"patch":     {Patch: a.patch},
		"reference": {Reference: &a.scenario.Target.Reference},
		"tree":      {Tree: fstest.MapFS{"index.js": {Data: []byte("fixed\n")}}},
	} {
		got, err := a.Touched(t.Context(), a.scenario, c)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	got, err := a.Touched(t.Context(), a.scenario, wargame.Candidate{Tree: fstest.MapFS{"other.js": {Data: []byte("new\n")}}})
	want = []diff.Touched{{Path: "index.js", Before: []byte("vulnerable\n")}, {Path: "other.js", After: []byte("new\n")}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("created and deleted: %v\n%s", err, diff)
	}
	stray, err := diff.Parse([]byte("--- a/index.js\n+++ b/index.js\n@@ -1 +1 @@\n-something else\n+fixed\n"), diff.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]wargame.Candidate{"doesn't apply": {Patch: stray}, "no version of a directory": {Upgrade: "pkg:npm/lodash@4.17.12"}} {
		if _, err := a.Touched(t.Context(), a.scenario, c); err == nil || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := a.sandbox.runs("exploit.js", false); n != 0 {
		t.Errorf("%d runs", n)
	}
}
