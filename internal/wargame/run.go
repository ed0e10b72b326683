package wargame

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"crisol"
	"crisol/internal/oracle"
	"crisol/internal/referee"
	"crisol/internal/sandbox"
	"crisol/internal/scenario"
)

// attempts bounds the tries at a command that the sandbox, not the program, kept from running.
const attempts = 3

// patience multiplies the wall limit of a command's second chance. A command that the wall clock ended with CPU time to
// spare was waiting: for something that never comes, or for its turn on a busy machine.
const patience = 4

// refereePath is where the crisol executable lies in a sandbox that needs the referee.
const refereePath = "/opt/crisol/crisol"

// RefereeCommand is the hidden subcommand by which the executable acts as the referee.
const RefereeCommand = "sandbox-referee"

// enter runs a command in the sandbox, within the arena's bound, and tries again when the infrastructure fails or the
// wall clock ends it with CPU time to spare.
func (a *Arena) enter(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	release, err := a.acquire(ctx)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer release()
	result, err := a.insist(ctx, c)
	if err == nil && result.Stopped == "wall" && result.CPU < c.Limits.CPU {
		a.Log.Info("the wall limit ended a command that had CPU time to spare; it gets a second chance", "command", c.Args, "cpu", result.CPU, "wall", result.Wall)
		c.Limits.Wall *= patience
		return a.insist(ctx, c)
	}
	return result, err
}

// insist runs a command, and tries again when the infrastructure fails.
func (a *Arena) insist(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	for try := 1; ; try++ {
		result, err := a.Sandbox.Run(ctx, c)
		if err == nil || ctx.Err() != nil || try == attempts {
			if err != nil && ctx.Err() == nil {
				err = crisol.Errorf(crisol.KindInfrastructure, "run in %s (%d tries): %w", a.Sandbox.Name(), try, err)
			}
			return result, errors.Join(err, ctx.Err())
		}
		a.Log.Warn("the sandbox failed; trying again", "try", try, "error", err)
		select {
		case <-time.After(time.Duration(try) * 100 * time.Millisecond):
		case <-ctx.Done():
			return sandbox.Result{}, ctx.Err()
		}
	}
}

// record turns a sandbox's result into evidence.
func (a *Arena) record(args []string, r sandbox.Result) crisol.Run {
	run := crisol.Run{
		Command: args, Exit: r.Exit, Signal: r.Signal,
		WallSeconds: r.Wall.Seconds(), CPUSeconds: r.CPU.Seconds(),
		TimedOut: r.Stopped == "wall" || r.Stopped == "cpu",
		Stdout:   text(r.Stdout), Stderr: text(r.Stderr),
		Sandbox: a.Sandbox.Name(), Unenforced: r.Unenforced,
	}
	if r.Stopped != "" {
		run.Note = "ended by the " + r.Stopped + " limit"
	}
	return run
}

func text(o sandbox.Output) string {
	s := string(o.Head)
	if len(o.Tail) > 0 {
		s += fmt.Sprintf("\n[%d bytes left out]\n%s", o.Total-int64(len(o.Head)+len(o.Tail)), o.Tail)
	}
	return strings.ToValidUTF8(s, "?")
}

// order is the line that a run finds on its standard input (see internal/kit).
type order struct {
	Token   string `json:"token"`
	Size    int    `json:"size"`
	Hostile bool   `json:"hostile"`
	// Payload is what the manifest or a derivation gives the script to hand to the call; left out where there is none.
	Payload json.RawMessage `json:"payload,omitempty"`
}

// shot is one run of one input on one side.
type shot struct {
	s        *scenario.Scenario
	on       side
	input    scenario.Input
	dir      string
	callback string
	oracles  []*scenario.Oracle // what must be looked at before the view goes
	order    order
}

// sighting is what was seen of a shot. Down says why the service never came up.
type sighting struct {
	obs  oracle.Observation
	run  crisol.Run
	cpu  time.Duration
	down string
}

// fire runs one shot. An error is infrastructure's fault.
func (a *Arena) fire(ctx context.Context, sh shot) (sighting, error) {
	token, err := secret()
	if err != nil {
		return sighting{}, err
	}
	sh.order.Token, sh.order.Payload = token, sh.input.Payload
	line, err := json.Marshal(sh.order)
	if err != nil {
		return sighting{}, fmt.Errorf("encode the order: %w", err)
	}
	command := sandbox.Command{
		Args: sh.input.Run, Dir: sh.dir, Env: sh.on.env(sh.input.Env), Stdin: append(line, '\n'),
		Layers: sh.on.layers(), Limits: limits(sh.s),
	}
	var files oracle.Files
	command.After = func(root *os.Root) error {
		files = oracle.Collect(root, sh.oracles...)
		return nil
	}
	var seen sighting
	if sh.refereed() {
		seen, err = a.refereed(ctx, sh, command)
	} else {
		seen, err = a.direct(ctx, command)
	}
	seen.obs.Token, seen.obs.Files = token, files
	return seen, err
}

func secret() (string, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("draw a token: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

func (a *Arena) direct(ctx context.Context, command sandbox.Command) (sighting, error) {
	result, err := a.enter(ctx, command)
	run := a.record(command.Args, result)
	obs := oracle.Observation{Exit: result.Exit, Signal: result.Signal, Stopped: result.Stopped, Stdout: run.Stdout, Stderr: run.Stderr}
	return sighting{obs: obs, run: run, cpu: result.CPU}, err
}

// refereed says whether a shot needs more than its own process.
func (sh shot) refereed() bool {
	if sh.s.Target.Service != nil || sh.callback != "" {
		return true
	}
	for _, o := range sh.oracles {
		if len(oracle.Requests(o)) > 0 {
			return true
		}
	}
	return false
}

// refereed runs the shot under the referee, which starts the service, listens, and sends the oracle's requests.
func (a *Arena) refereed(ctx context.Context, sh shot, command sandbox.Command) (sighting, error) {
	mark, err := secret()
	if err != nil {
		return sighting{}, err
	}
	plan := sh.plan(command, mark)
	stdin, err := json.Marshal(plan)
	if err != nil {
		return sighting{}, fmt.Errorf("encode the referee's plan: %w", err)
	}
	inner := command
	inner.Args, inner.Dir, inner.Stdin = []string{refereePath, RefereeCommand}, "", stdin
	inner.Mounts = append(inner.Mounts, sandbox.Mount{Source: a.Self, Target: refereePath})
	if plan.Service != nil {
		inner.Limits.Wall += plan.Service.Within
		inner.Limits.CPU += plan.Service.Within
	}
	inner.Limits.Output = 8*int64(plan.OutputLimit) + 4<<20
	var report referee.Report
	for try := 1; ; try++ {
		result, err := a.enter(ctx, inner)
		run := a.record(command.Args, result)
		if err != nil || result.Stopped != "" {
			run.Stdout, run.Stderr = "", ""
			return sighting{run: run, cpu: result.CPU, obs: oracle.Observation{Exit: result.Exit, Signal: result.Signal, Stopped: result.Stopped}}, err
		}
		report, err = referee.Decode(append(result.Stdout.Head, result.Stdout.Tail...), mark)
		if err != nil {
			return sighting{run: run}, crisol.Errorf(crisol.KindInfrastructure, "%w (%s)", err, brief(run.Stderr))
		}
		// A service that doesn't come up may be starved rather than broken: it gets another chance.
		if report.Up || try == attempts {
			return sight(report, run, result), refereeError(report)
		}
	}
}

func refereeError(r referee.Report) error {
	if r.Up && r.Error != "" {
		return crisol.Errorf(crisol.KindInfrastructure, "referee: %s", r.Error)
	}
	return nil
}

func (sh shot) plan(command sandbox.Command, mark string) referee.Plan {
	plan := referee.Plan{
		Secret: mark, Callback: sh.callback, OutputLimit: int(sandbox.DefaultLimits.Output),
		Main: referee.Program{Args: command.Args, Dir: command.Dir, Stdin: string(command.Stdin)},
	}
	if plan.Main.Dir == "" {
		plan.Main.Dir = sandbox.WorkDir
	}
	if service := sh.s.Target.Service; service != nil {
		plan.Service = &referee.Service{
			Program: referee.Program{Args: service.Run, Dir: sh.on.root(), Env: service.Env},
			TCP:     service.Ready.TCP, Within: service.Ready.Within,
		}
		if plan.Service.Within == 0 {
			plan.Service.Within = 10 * time.Second
		}
	}
	for _, o := range sh.oracles {
		for _, r := range oracle.Requests(o) {
			plan.Requests = append(plan.Requests, referee.Request{Method: r.Method, URL: r.URL, Headers: r.Headers, Body: r.Body})
		}
	}
	return plan
}

func sight(report referee.Report, run crisol.Run, result sandbox.Result) sighting {
	seen := sighting{run: run, cpu: result.CPU}
	if !report.Up {
		seen.down = report.Error
		if report.Service != nil {
			seen.run.Stdout, seen.run.Stderr = report.Service.Stdout, report.Service.Stderr
		}
		seen.run.Note = "the target never came up: " + report.Error
		return seen
	}
	if report.Main != nil {
		seen.run.Exit, seen.run.Signal = report.Main.Exit, report.Main.Signal
		seen.run.Stdout, seen.run.Stderr = report.Main.Stdout, report.Main.Stderr
		seen.obs = oracle.Observation{Exit: report.Main.Exit, Signal: report.Main.Signal, Stdout: report.Main.Stdout, Stderr: report.Main.Stderr}
	}
	seen.obs.Hits, seen.obs.Answers = report.Hits, report.Answers
	return seen
}

// series runs the pairs of a slow oracle. The sighting is that of the last hostile run.
func (a *Arena) series(ctx context.Context, sh shot, slow *scenario.Slow) (sighting, error) {
	var last sighting
	var pairs []oracle.Pair
	for _, size := range slow.Sizes {
		sh.order.Size, sh.order.Hostile = size, true
		hostile, err := a.fire(ctx, sh)
		if err != nil || hostile.down != "" {
			return hostile, err
		}
		sh.order.Hostile = false
		harmless, err := a.fire(ctx, sh)
		if err != nil || harmless.down != "" {
			return harmless, err
		}
		pairs = append(pairs, oracle.Pair{
			Size: size, Hostile: hostile.cpu, Harmless: harmless.cpu,
			HostileStopped: hostile.obs.Stopped == "cpu" || hostile.obs.Stopped == "wall", HarmlessStopped: harmless.obs.Stopped != "",
		})
		last = hostile
		if pairs[len(pairs)-1].HostileStopped {
			break
		}
		if harmless.obs.Exit != 0 {
			last.run.Note = fmt.Sprintf("the harmless input of size %d ended with exit %d: %s", size, harmless.obs.Exit, brief(harmless.obs.Stderr))
			last.obs.Stopped = "harmless input"
			return last, nil
		}
	}
	last.obs.Series = pairs
	return last, nil
}

func brief(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 200 {
		s = s[:100] + " ... " + s[len(s)-95:]
	}
	return s
}
