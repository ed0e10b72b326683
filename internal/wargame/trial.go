package wargame

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/scenario"
)

// Order asks for one trial.
type Order struct {
	Scenario  *scenario.Scenario
	Candidate Candidate
	// Repeat is the number of runs of each exploit on each side; 0 is "auto": as many as Risk needs.
	Repeat int
	// Risk is the residual probability of a missed success that "auto" repeats down to; 0 is certify.DefaultRisk.
	Risk float64
	// Fresh runs the vulnerable side anew, whatever is cached.
	Fresh bool
	// SelfTest is the gate that says whether the scenario's word can be trusted; the caller ran Arena.SelfTest.
	SelfTest crisol.Gate
	// Watch, when set, hears of the progress. It is called from several goroutines.
	Watch func(Event)
}

// Event is one step of a trial that began or ended.
type Event struct {
	// Gate is the gate that is under way; Check the input; Done is set when it has an outcome.
	Gate    crisol.GateName
	Check   string
	Side    crisol.Side
	Done    bool
	Outcome crisol.Outcome
	Words   string
}

// Report is what a trial saw.
type Report struct {
	Gates []crisol.Gate
	// Risk is the residual probability that an exploit which still works was missed by the repeats, the largest over
	// the exploits and variants that were blocked; 1 where nothing was shown.
	Risk float64
	// TimedOut is set when the context's deadline ended the trial.
	TimedOut bool
	// Infrastructure is the first fault that is neither the target's nor the patch's, or "".
	Infrastructure string
}

// trial is the state of one trial under way.
type trial struct {
	*Arena
	Order
	gates map[crisol.GateName]crisol.Gate

	vulnerable, patched side
	proof               scenario.Exploit // what shows the vulnerability; the other exploits are variants
	baseline            *baseline
	risk                float64
	infrastructure      string
}

// gateOrder is the order of the evidence.
var gateOrder = []crisol.GateName{
	crisol.GateSelfTest, crisol.GatePrepare, crisol.GateExploitVulnerable, crisol.GatePatchApplies, crisol.GateBuild,
	crisol.GateExploitPatched, crisol.GateVariants, crisol.GateBenign, crisol.GateTests,
}

// Run holds the trial. Its error is about the order itself (a patch that doesn't apply, an unknown version) or says that
// ctx was cancelled; whatever happens to the trial's infrastructure is a gate with the outcome error.
func (a *Arena) Run(ctx context.Context, o Order) (Report, error) {
	if o.Watch == nil {
		o.Watch = func(Event) {}
	}
	if o.Risk == 0 {
		o.Risk = certify.DefaultRisk
	}
	t := &trial{Arena: a, Order: o, gates: map[crisol.GateName]crisol.Gate{}, risk: 1}
	t.gates[crisol.GateSelfTest] = o.SelfTest
	dir, err := a.workspace()
	if err != nil {
		t.fail(crisol.GatePrepare, err)
		return t.report(ctx), nil
	}
	defer a.discard(dir)
	defer func() {
		a.release(t.vulnerable)
		a.release(t.patched)
	}()
	if err := t.walk(ctx, dir); err != nil {
		return Report{}, err
	}
	return t.report(ctx), nil
}

// walk goes through the gates. It returns only errors that are no evidence: bad input and cancellation.
func (t *trial) walk(ctx context.Context, dir string) error {
	ready, err := t.prepare(ctx, dir)
	if err != nil || !ready {
		return t.sort(ctx, crisol.GatePrepare, err)
	}
	if err := t.exploit(ctx); err != nil {
		return t.sort(ctx, crisol.GateExploitPatched, err)
	}
	if t.gates[crisol.GateExploitVulnerable].Outcome != crisol.Passed || t.gates[crisol.GateExploitPatched].Outcome == crisol.Failed {
		return nil
	}
	names := []crisol.GateName{crisol.GateVariants, crisol.GateBenign, crisol.GateTests}
	gates, faults := make([]crisol.Gate, len(names)), make([]error, len(names))
	_ = parallel(ctx, len(names), func(ctx context.Context, i int) error {
		gates[i], faults[i] = t.stage(ctx, names[i])
		return nil // one gate's fault doesn't keep the others from telling
	})
	t.saveBaseline()
	for i, gate := range gates {
		if faults[i] == nil {
			t.set(gate)
		} else if err := t.sort(ctx, names[i], faults[i]); err != nil {
			return err
		}
	}
	return nil
}

// sort tells errors that end the trial from those that are evidence about infrastructure.
func (t *trial) sort(ctx context.Context, gate crisol.GateName, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		t.fail(gate, crisol.Errorf(crisol.KindInfrastructure, "the time for the trial ran out"))
		return nil
	}
	switch crisol.KindOf(err) {
	case crisol.KindInput, crisol.KindNotFound:
		return err
	default:
		t.fail(gate, err)
		return nil
	}
}

func (t *trial) fail(gate crisol.GateName, err error) {
	evidence := err.Error()
	if t.infrastructure == "" && crisol.KindOf(err) != crisol.KindTarget {
		t.infrastructure = evidence
	}
	if hint := crisol.HintOf(err); hint != "" {
		evidence += " (" + hint + ")"
	}
	t.set(crisol.Gate{Name: gate, Outcome: crisol.Errored, Evidence: evidence})
}

func (t *trial) set(gate crisol.Gate) {
	if gate.Name == "" {
		return
	}
	t.gates[gate.Name] = gate
	t.Watch(Event{Gate: gate.Name, Done: true, Outcome: gate.Outcome, Words: gate.Evidence})
}

func (t *trial) report(ctx context.Context) Report {
	r := Report{Risk: t.risk, TimedOut: errors.Is(ctx.Err(), context.DeadlineExceeded), Infrastructure: t.infrastructure}
	for _, name := range gateOrder {
		gate, known := t.gates[name]
		if !known {
			gate = crisol.Gate{Name: name, Outcome: crisol.Skipped, Evidence: "not run: the gates before it had decided"}
		}
		r.Gates = append(r.Gates, gate)
	}
	return r
}

// prepare makes both sides and sets the gates prepare, patch_applies and build.
func (t *trial) prepare(ctx context.Context, dir string) (ready bool, err error) {
	t.Watch(Event{Gate: crisol.GatePrepare})
	started := t.Now()
	vulnerable, caches, buildVulnerable, err := t.Arena.vulnerable(ctx, t.Scenario)
	t.vulnerable = vulnerable
	if err != nil {
		return false, err
	}
	if buildVulnerable.Outcome == crisol.Failed {
		t.set(crisol.Gate{Name: crisol.GatePrepare, Outcome: crisol.Errored, Checks: []crisol.Check{buildVulnerable},
			Evidence: "the vulnerable target doesn't build here: " + buildVulnerable.Oracle})
		return false, nil
	}
	t.set(crisol.Gate{Name: crisol.GatePrepare, Outcome: crisol.Passed, Evidence: fmt.Sprintf("%s laid out in %s", t.targetName(), t.Now().Sub(started).Round(time.Millisecond))})

	t.Watch(Event{Gate: crisol.GatePatchApplies})
	base := vulnerable
	base.over = nil
	patched, words, err := t.Arena.patched(ctx, t.Scenario, base, t.Candidate, dir)
	if err != nil {
		return false, t.sort(ctx, crisol.GatePatchApplies, err)
	}
	t.set(crisol.Gate{Name: crisol.GatePatchApplies, Outcome: crisol.Passed, Evidence: words})
	t.patched = patched
	patched.over = append(patched.over, caches...)
	return t.buildPatched(ctx, patched, buildVulnerable, dir)
}

func (t *trial) targetName() string {
	if t.Scenario.Target.Package != "" {
		return t.Scenario.Target.Package
	}
	return "directory " + t.Scenario.Target.Dir
}

func (t *trial) buildPatched(ctx context.Context, patched side, vulnerable crisol.Check, dir string) (ready bool, err error) {
	if len(t.Scenario.Target.Build) == 0 {
		t.set(crisol.Gate{Name: crisol.GateBuild, Outcome: crisol.Skipped, Evidence: "the scenario has no build"})
		t.patched = patched
		return true, nil
	}
	t.Watch(Event{Gate: crisol.GateBuild, Side: crisol.Patched})
	result, err := t.build(ctx, t.Scenario, patched, dir)
	if err != nil {
		return false, t.sort(ctx, crisol.GateBuild, err)
	}
	gate := crisol.Gate{Name: crisol.GateBuild, Outcome: result.check.Outcome, Runs: len(result.check.Runs), Checks: []crisol.Check{vulnerable, result.check}, Evidence: result.check.Oracle}
	if gate.Outcome == crisol.Failed {
		// The baseline's exploit still has to be shown, for the verdict to be `broken` and not `inconclusive`.
		gate.Evidence = "the patched target doesn't build, the vulnerable one does: " + result.check.Oracle
		t.set(gate)
		return false, t.sort(ctx, crisol.GateExploitVulnerable, t.exploitVulnerable(ctx))
	}
	t.set(gate)
	patched.over = append(result.layers, patched.over...)
	t.patched = patched
	return true, nil
}

// exploit runs the proof on both sides at once, then as often on the patched side as the rate that was seen on the
// vulnerable one asks for.
func (t *trial) exploit(ctx context.Context) error {
	x := t.Scenario.Exploits[0]
	t.Watch(Event{Gate: crisol.GateExploitVulnerable, Check: x.ID, Side: crisol.Vulnerable})
	if x.Optional { // the vulnerable side says which exploit is the proof
		if err := t.exploitVulnerable(ctx); err != nil || t.gates[crisol.GateExploitVulnerable].Outcome != crisol.Passed {
			return err
		}
		x = t.proof
	}
	t.Watch(Event{Gate: crisol.GateExploitPatched, Check: x.ID, Side: crisol.Patched})
	patched := &tally{ID: x.ID}
	first := t.Repeat
	if first == 0 {
		first = 1
	}
	if x.Optional {
		return t.exploitPatched(ctx, patched)
	}
	sides := []func(context.Context) error{
		t.exploitVulnerable,
		func(ctx context.Context) error {
			return t.repeat(ctx, t.Scenario, t.patched, x, patched, first)
		},
	}
	err := parallel(ctx, len(sides), func(ctx context.Context, i int) error { return sides[i](ctx) })
	if err != nil {
		return err
	}
	if t.gates[crisol.GateExploitVulnerable].Outcome != crisol.Passed {
		return nil
	}
	return t.exploitPatched(ctx, patched)
}

// exploitPatched goes on with the proof on the patched side until that is enough, and sets its gate.
func (t *trial) exploitPatched(ctx context.Context, patched *tally) error {
	base := t.baseline.Exploits[patched.ID]
	if err := t.repeat(ctx, t.Scenario, t.patched, t.proof, patched, t.needed(base)); err != nil {
		return err
	}
	check := t.blocked(base, patched)
	t.risk = t.residual(base, patched)
	t.set(crisol.Gate{Name: crisol.GateExploitPatched, Outcome: check.Outcome, Runs: patched.Runs, Checks: []crisol.Check{check}, Evidence: check.Oracle})
	return nil
}

// needed is how often the patched side must be run, given the vulnerable side's rate.
func (t *trial) needed(base *tally) int {
	if t.Repeat > 0 {
		return t.Repeat
	}
	return certify.Repeats(certify.Rate(base.Successes, base.Runs), t.Risk)
}

func (t *trial) residual(base, patched *tally) float64 {
	return certify.Residual(certify.Rate(base.Successes, base.Runs), patched.Blocked)
}

// blocked judges an exploit on the patched side: failed as soon as one run succeeded, passed only if every run was blocked.
func (t *trial) blocked(base, patched *tally) crisol.Check {
	check := crisol.Check{ID: patched.ID, Side: crisol.Patched, Reached: patched.Reached, Runs: patched.Evidence}
	switch {
	case patched.Successes > 0:
		check.Outcome = crisol.Failed
		check.Oracle = fmt.Sprintf("exploit %s still succeeds on the patched target: %s", patched.ID, patched.Words)
	case patched.Runs == 0 || patched.Blocked < patched.Runs:
		check.Outcome = crisol.Errored
		check.Oracle = fmt.Sprintf("exploit %s could not be judged on the patched target: %s", patched.ID, patched.Words)
	default:
		check.Outcome = crisol.Passed
		check.Oracle = fmt.Sprintf("exploit %s blocked in %d of %d runs (it succeeded in %d of %d on the vulnerable target; residual risk %.2g): %s",
			patched.ID, patched.Blocked, patched.Runs, base.Successes, base.Runs, t.residual(base, patched), patched.Words)
	}
	return check
}

// stage runs one of the gates that follow the first exploit.
func (t *trial) stage(ctx context.Context, name crisol.GateName) (crisol.Gate, error) {
	var gate crisol.Gate
	var err error
	switch name {
	case crisol.GateVariants:
		gate, err = t.runVariants(ctx)
	case crisol.GateBenign:
		gate, err = t.runInputs(ctx, name, t.Scenario.Benign)
	default:
		gate, err = t.runInputs(ctx, name, t.Scenario.Tests)
	}
	gate.Name = name
	return gate, err
}

// runVariants runs the exploits but the proof. A variant counts only where it succeeds on the vulnerable side.
func (t *trial) runVariants(ctx context.Context) (crisol.Gate, error) {
	variants := slices.DeleteFunc(slices.Clone(t.Scenario.Exploits), func(x scenario.Exploit) bool { return x.ID == t.proof.ID })
	if len(variants) == 0 {
		return crisol.Gate{Outcome: crisol.Skipped, Evidence: "the scenario has no variants"}, nil
	}
	checks := make([]crisol.Check, len(variants))
	tallies := make([]tally, len(variants))
	risks := make([]float64, len(variants))
	err := parallel(ctx, len(variants), func(ctx context.Context, i int) (err error) {
		x := variants[i]
		t.Watch(Event{Gate: crisol.GateVariants, Check: x.ID, Side: crisol.Patched})
		if x.Evasion {
			checks[i], err = t.evade(ctx, x)
			return err
		}
		base, err := t.rate(ctx, x)
		if err != nil {
			return err
		}
		if base.Successes == 0 {
			checks[i] = crisol.Check{ID: x.ID, Side: crisol.Vulnerable, Outcome: crisol.Skipped, Runs: base.Evidence,
				Oracle: "variant " + x.ID + " doesn't succeed on the vulnerable target, so it tells nothing: " + base.Words}
			return nil
		}
		tallies[i].ID = x.ID
		if err := t.repeat(ctx, t.Scenario, t.patched, x, &tallies[i], t.needed(base)); err != nil {
			return err
		}
		checks[i], risks[i] = t.blocked(base, &tallies[i]), t.residual(base, &tallies[i])
		return nil
	})
	if err != nil {
		return crisol.Gate{}, err
	}
	checks = slices.DeleteFunc(checks, func(c crisol.Check) bool { return c.ID == "" })
	gate := sum(checks, "%d of %d variants blocked")
	for i := range variants {
		gate.Runs += tallies[i].Runs
		t.risk = max(t.risk, risks[i])
	}
	return gate, nil
}

// evade runs an evasion on the patched side. Only its success says something: then there is a check, which failed.
func (t *trial) evade(ctx context.Context, x scenario.Exploit) (crisol.Check, error) {
	got, err := t.strike(ctx, t.Scenario, t.patched, x)
	if err != nil || got.fate != held {
		return crisol.Check{}, err
	}
	return crisol.Check{
		ID: x.ID, Side: crisol.Patched, Outcome: crisol.Failed, Reached: got.reached, Runs: []crisol.Run{got.run},
		Oracle: fmt.Sprintf("exploit %s, which is made for filters and did nothing before the patch, succeeds on the patched target: %s", x.ID, got.words),
	}, nil
}

// sum joins checks into a gate: failed if one failed, else error if one errored, else passed if one passed.
func sum(checks []crisol.Check, words string) crisol.Gate {
	gate := crisol.Gate{Outcome: crisol.Skipped, Checks: checks}
	rank := map[crisol.Outcome]int{crisol.Skipped: 0, crisol.Passed: 1, crisol.Errored: 2, crisol.Failed: 3}
	passed, tried := 0, 0
	var because []string
	for _, check := range checks {
		if check.Outcome == crisol.Passed {
			passed++
		}
		if check.Outcome != crisol.Skipped {
			tried++
		}
		if rank[check.Outcome] > rank[gate.Outcome] {
			gate.Outcome, because = check.Outcome, nil
		}
		if check.Outcome == gate.Outcome {
			because = append(because, check.Oracle)
		}
	}
	gate.Evidence = fmt.Sprintf(words, passed, tried)
	if left := len(checks) - tried; left > 0 {
		gate.Evidence += fmt.Sprintf("; %d left out for not working on the vulnerable target", left)
	}
	if gate.Outcome != crisol.Passed {
		gate.Evidence = strings.Join(because, "; ")
	}
	return gate
}
