// Command bench measures what Crisol costs, as ratios of two things measured in one run, interleaved.
//
//	go run ./bench -crisol bin/crisol
//
// It prints medians with the range they came from: machines are noisy, so quote the ratios.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/runtimes"
	"crisol/internal/scenario"
	"crisol/internal/target"
	"crisol/internal/wargame"
)

func main() {
	app.Referee()
	rounds := flag.Int("rounds", 15, "rounds of each measurement")
	id := flag.String("scenario", "CVE-2019-10744", "scenario of the two-phase measurement")
	binary := flag.String("crisol", "bin/crisol", "the crisol executable")
	data := flag.String("data", ".cache/bench", "data directory")
	flag.Parse()
	b := bench{rounds: *rounds, binary: *binary, data: *data, out: os.Stdout}
	if err := b.run(context.Background(), *id); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds       int
	binary, data string
	out          io.Writer
}

func (b bench) run(ctx context.Context, id string) error {
	if err := b.twoPhases(ctx, id); err != nil {
		return fmt.Errorf("two phases: %w", err)
	}
	if err := b.runtimes(ctx); err != nil {
		return fmt.Errorf("runtimes: %w", err)
	}
	if err := b.throughput(ctx, id); err != nil {
		return fmt.Errorf("throughput: %w", err)
	}
	return nil
}

// sample is a series of durations of one thing.
type sample []time.Duration

func (s sample) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[len(sorted)/2]
}

func (s sample) String() string {
	return fmt.Sprintf("%8.1f ms (%.1f to %.1f)", ms(s.median()), ms(slices.Min(s)), ms(slices.Max(s)))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measured is a thing to time, by name.
type measured struct {
	name string
	do   func() (time.Duration, error) // returns the CPU time spent in sandboxes
	took sample
	cpu  sample // of this process, of those that it waited for, and of those in sandboxes
}

// interleave runs the things in turn, round by round, after one round that doesn't count.
func (b bench) interleave(things []*measured) error {
	for round := range b.rounds + 1 {
		for _, thing := range things {
			started, before := time.Now(), cpuTime()
			inside, err := thing.do()
			if err != nil {
				return fmt.Errorf("%s: %w", thing.name, err)
			}
			if round > 0 {
				thing.took, thing.cpu = append(thing.took, time.Since(started)), append(thing.cpu, cpuTime()-before+inside)
			}
		}
	}
	return nil
}

// cpuTime is the CPU time of this process and of every child that has ended, with its own children. Processes in a
// sandbox are not among them: the kernel reaps them with their namespace, and their cgroup says what they used.
func cpuTime() (total time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			panic(err) // only an unknown who can fail
		}
		total += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return total
}

func (b bench) report(title string, things []*measured, unit string) {
	_, _ = fmt.Fprintf(b.out, "%s (median of %d rounds, interleaved)\n", title, b.rounds)
	for _, thing := range things {
		ratio := float64(thing.took.median()) / float64(things[0].took.median())
		_, _ = fmt.Fprintf(b.out, "  %-42s %s  %.2f of %s\n", thing.name, thing.took, ratio, unit)
	}
	_, _ = fmt.Fprintln(b.out)
}

// trimmed is a library scenario with one exploit and one benign input.
func trimmed(id string) (*scenario.Scenario, error) {
	s, err := scenario.Open(id)
	if err != nil {
		return nil, err
	}
	one := *s
	one.Exploits, one.Benign, one.Tests = s.Exploits[:1], s.Benign[:1], nil
	return &one, nil
}

func (b bench) open(ctx context.Context, workers int) (*app.App, error) {
	return app.Open(ctx, app.Config{Data: b.data, Workers: workers})
}

// trial holds one trial of the reference with the vulnerable side run anew.
func trial(ctx context.Context, a *app.App, s *scenario.Scenario) (inside time.Duration, err error) {
	report, err := a.Arena.Run(ctx, wargame.Order{
		Scenario: s, Candidate: wargame.Candidate{Reference: &s.Target.Reference, LockSide: "reference"}, Repeat: 1, Fresh: true,
		SelfTest: crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Passed},
	})
	if err != nil {
		return 0, err
	}
	for _, gate := range report.Gates {
		if gate.Outcome != crisol.Passed && gate.Outcome != crisol.Skipped {
			return 0, fmt.Errorf("gate %s: %s: %s", gate.Name, gate.Outcome, gate.Evidence)
		}
		for _, check := range gate.Checks {
			for _, run := range check.Runs {
				inside += time.Duration(run.CPUSeconds * float64(time.Second))
			}
		}
	}
	return inside, nil
}

// outside is a thing that starts no sandbox of its own.
func outside(do func() error) func() (time.Duration, error) {
	return func() (time.Duration, error) { return 0, do() }
}

// twoPhases compares a trial with the same four processes started bare, one after the other, in the same environment.
func (b bench) twoPhases(ctx context.Context, id string) error {
	s, err := trimmed(id)
	if err != nil {
		return err
	}
	one, err := b.open(ctx, 1)
	if err != nil {
		return err
	}
	defer one.Close()
	two, err := b.open(ctx, 2)
	if err != nil {
		return err
	}
	defer two.Close()
	bare, clean, err := b.bareTrees(ctx, one, s)
	if err != nil {
		return err
	}
	defer clean()
	things := []*measured{
		{name: "the same four processes, bare", do: outside(func() error { return bare.run(s) })},
		{name: "trial, one after the other", do: func() (time.Duration, error) { return trial(ctx, one, s) }},
		{name: "trial, the two sides side by side", do: func() (time.Duration, error) { return trial(ctx, two, s) }},
		{name: "whole command line", do: outside(func() error { return b.cli(id) })},
	}
	if err := b.interleave(things); err != nil {
		return err
	}
	b.report("Two phases of "+id+": exploit and benign input on both sides", things, "bare")
	_, _ = fmt.Fprintf(b.out, "CPU time of the same (median)\n")
	own := things[0].cpu.median()
	for _, thing := range things[:3] {
		all := thing.cpu.median()
		_, _ = fmt.Fprintf(b.out, "  %-42s %s  %4.1f %% outside the targets' own processes\n", thing.name, thing.cpu, 100*float64(all-own)/float64(all))
	}
	_, _ = fmt.Fprintln(b.out)
	return nil
}

// cli runs the command line on the whole scenario as users type it: the vulnerable side comes from the cache.
func (b bench) cli(id string) error {
	command := exec.Command(b.binary, "validate", id, "--reference", "--repeat", "1", "--format", "json", "--data", b.data)
	return command.Run()
}

// bare holds the two trees as plain directories.
type bareTrees struct{ vulnerable, patched string }

// bareTrees copies both sides to plain directories, so that nothing of Crisol is in the way of the bare run.
func (b bench) bareTrees(ctx context.Context, a *app.App, s *scenario.Scenario) (bareTrees, func(), error) {
	root, err := os.MkdirTemp("", "crisol-bench-")
	if err != nil {
		return bareTrees{}, nil, err
	}
	clean := func() { _ = os.RemoveAll(root) }
	trees := bareTrees{filepath.Join(root, "vulnerable"), filepath.Join(root, "patched")}
	sides := map[string]target.Spec{
		trees.vulnerable: {Package: s.Target.Package, With: s.Target.With, Lock: s.LockFS("target")},
		trees.patched:    {Package: s.Target.Reference.Package, With: s.Target.With, Lock: s.LockFS("reference")},
	}
	for dir, spec := range sides {
		tree, err := a.Targets.Prepare(ctx, spec)
		if err != nil {
			clean()
			return bareTrees{}, nil, err
		}
		if err := os.CopyFS(dir, os.DirFS(tree.Dir)); err != nil {
			clean()
			return bareTrees{}, nil, err
		}
		files := filepath.Join(root, "files")
		if err := s.Materialise(files); err != nil {
			clean()
			return bareTrees{}, nil, err
		}
		if err := os.CopyFS(dir, os.DirFS(files)); err != nil {
			clean()
			return bareTrees{}, nil, err
		}
		if err := os.RemoveAll(files); err != nil {
			clean()
			return bareTrees{}, nil, err
		}
	}
	return trees, clean, nil
}

func (t bareTrees) run(s *scenario.Scenario) error {
	for _, input := range []scenario.Input{s.Exploits[0].Input, s.Benign[0]} {
		order, err := json.Marshal(map[string]any{"token": "bare", "hostile": true, "payload": input.Payload})
		if err != nil {
			return err
		}
		for _, dir := range []string{t.vulnerable, t.patched} {
			command := exec.Command(input.Run[0], input.Run[1:]...)
			command.Dir, command.Env = dir, []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "TMPDIR=/tmp", "TZ=UTC"}
			command.Stdin = bytes.NewReader(order)
			err := command.Run()
			if blocked := dir == t.patched && input.ID == s.Exploits[0].ID; (err != nil) != blocked {
				return fmt.Errorf("%s in %s: %w", input.ID, filepath.Base(dir), err)
			}
		}
	}
	return nil
}

// runtimes compares the cost of /bin/true bare and in each runtime that works here, with a view of two layers.
func (b bench) runtimes(ctx context.Context) error {
	layers := []string{}
	for range 2 {
		dir, err := os.MkdirTemp("", "crisol-bench-layer-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // a layer is read by the sandbox's user
			return err
		}
		layers = append(layers, dir)
	}
	things := []*measured{{name: "bare", do: outside(func() error { return exec.Command("/bin/true").Run() })}}
	for _, name := range runtimes.Names() {
		runtime, err := runtimes.Open(ctx, name, runtimes.Options{})
		if err != nil {
			_, _ = fmt.Fprintf(b.out, "  %s can't be measured here: %v\n", name, err)
			continue
		}
		if closer, ok := runtime.(io.Closer); ok {
			defer func() { _ = closer.Close() }()
		}
		things = append(things, &measured{name: name, do: outside(func() error {
			result, err := runtime.Run(ctx, sandbox.Command{Args: []string{"/bin/true"}, Layers: layers})
			if err == nil && result.Exit != 0 {
				err = fmt.Errorf("exit %d: %s", result.Exit, result.Stderr.Head)
			}
			return err
		})})
	}
	if err := b.interleave(things); err != nil {
		return err
	}
	b.report("/bin/true in each runtime, with a view of two layers", things, "bare")
	return nil
}

// throughput compares trials a minute with one worker and with two.
func (b bench) throughput(ctx context.Context, id string) error {
	s, err := trimmed(id)
	if err != nil {
		return err
	}
	const trials = 40
	var things []*measured
	for _, workers := range []int{1, 2} {
		a, err := b.open(ctx, workers)
		if err != nil {
			return err
		}
		defer a.Close()
		things = append(things, &measured{name: fmt.Sprintf("%d trials, %d workers", trials, workers), do: outside(func() error {
			return many(ctx, a, s, trials, workers)
		})})
	}
	short := b
	short.rounds = min(b.rounds, 5)
	if err := short.interleave(things); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(b.out, "Trials a minute (median of %d rounds, interleaved)\n", short.rounds)
	rate := func(m *measured) float64 { return trials / m.took.median().Minutes() }
	_, _ = fmt.Fprintf(b.out, "  1 worker  %6.0f\n  2 workers %6.0f  %.2f of one worker\n", rate(things[0]), rate(things[1]), rate(things[1])/rate(things[0]))
	return nil
}

// many holds trials, as many at once as there are workers.
func many(ctx context.Context, a *app.App, s *scenario.Scenario, trials, workers int) error {
	var left atomic.Int64
	left.Store(int64(trials))
	var once sync.Once
	var failed error
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := trial(ctx, a, s); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	group.Wait()
	return failed
}
