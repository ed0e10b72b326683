package wargame

import (
	"context"
	"fmt"

	"crisol"
	"crisol/internal/scenario"
)

// confirmations is how many more runs a failure on the patched side takes to be believed; one that passes in between
// shows a flaky input, which tells nothing.
const confirmations = 2

// runInputs runs benign inputs, or tests, on both sides. One that fails on the vulnerable side can't tell whether the
// patch broke anything: that is an error, never ignored.
func (t *trial) runInputs(ctx context.Context, name crisol.GateName, inputs []scenario.Input) (crisol.Gate, error) {
	what := map[crisol.GateName]string{crisol.GateBenign: "benign inputs", crisol.GateTests: "tests"}[name]
	if len(inputs) == 0 {
		return crisol.Gate{Outcome: crisol.Skipped, Evidence: "the scenario has no " + what}, nil
	}
	both := make([][2]crisol.Check, len(inputs))
	err := parallel(ctx, 2*len(inputs), func(ctx context.Context, i int) (err error) {
		input, patched := inputs[i/2], i%2 == 1
		if patched {
			t.Watch(Event{Gate: name, Check: input.ID, Side: crisol.Patched})
			both[i/2][1], err = t.healthyPatched(ctx, name, input)
		} else {
			both[i/2][0], err = t.healthyVulnerable(ctx, name, input)
		}
		return err
	})
	if err != nil {
		return crisol.Gate{}, err
	}
	checks := make([]crisol.Check, len(inputs))
	var all []crisol.Check
	runs := 0
	for i, pair := range both {
		checks[i] = compare(pair[0], pair[1])
		if inputs[i].Optional && pair[0].Outcome == crisol.Errored {
			checks[i].Outcome = crisol.Skipped
		}
		all = append(all, pair[0], checks[i])
		runs += len(pair[0].Runs) + len(pair[1].Runs)
	}
	gate := sum(checks, "%d of %d "+what+" healthy on both sides")
	gate.Runs, gate.Checks = runs, all
	return gate, nil
}

// compare says what a patched outcome means next to the vulnerable one.
func compare(vulnerable, patched crisol.Check) crisol.Check {
	if vulnerable.Outcome != crisol.Passed {
		words := fmt.Sprintf("%s fails on the vulnerable target too, so it can't tell what the patch broke: %s", patched.ID, vulnerable.Oracle)
		patched.Outcome, patched.Oracle = crisol.Errored, words
	}
	return patched
}

// healthyVulnerable runs an input on the vulnerable side, or remembers that it passed. A failure is tried again: under
// load a service may be slow to come up.
func (t *trial) healthyVulnerable(ctx context.Context, gate crisol.GateName, input scenario.Input) (crisol.Check, error) {
	key := string(gate) + "/" + input.ID
	t.baseline.mu.Lock()
	check, known := t.baseline.Healthy[key]
	t.baseline.mu.Unlock()
	if known {
		check.Cached, check.Runs = &t.baseline.Taken, nil
		return check, nil
	}
	check = crisol.Check{ID: input.ID, Side: crisol.Vulnerable}
	for range 1 + confirmations {
		got, err := t.use(ctx, t.Scenario, t.vulnerable, input, gate == crisol.GateTests)
		if err != nil {
			return check, err
		}
		check.Oracle, check.Runs = got.words, append(check.Runs, got.run)
		if check.Outcome = crisol.Errored; got.fate == held {
			check.Outcome = crisol.Passed
		}
		if got.fate == held || input.Optional {
			break
		}
	}
	if check.Outcome == crisol.Passed {
		t.baseline.mu.Lock()
		t.baseline.Healthy[key], t.baseline.dirty = check, true
		t.baseline.mu.Unlock()
	}
	return check, nil
}

// healthyPatched runs an input on the patched side. A failure is confirmed: all runs must fail for it to count.
func (t *trial) healthyPatched(ctx context.Context, gate crisol.GateName, input scenario.Input) (crisol.Check, error) {
	check := crisol.Check{ID: input.ID, Side: crisol.Patched}
	failures := 0
	for range 1 + confirmations {
		got, err := t.use(ctx, t.Scenario, t.patched, input, gate == crisol.GateTests)
		if err != nil {
			return check, err
		}
		check.Runs = append(check.Runs, got.run)
		switch got.fate {
		case held:
			if failures > 0 {
				check.Outcome = crisol.Errored
				check.Oracle = fmt.Sprintf("%s is flaky on the patched target: it failed %d times, then passed; first: %s", input.ID, failures, check.Oracle)
				return check, nil
			}
			check.Outcome, check.Oracle = crisol.Passed, got.words
			return check, nil
		case untold:
			check.Outcome, check.Oracle = crisol.Errored, got.words
			return check, nil
		case notHeld, unhealthy:
			if failures++; failures == 1 {
				check.Oracle = got.words
			}
		}
	}
	check.Outcome = crisol.Failed
	check.Oracle = fmt.Sprintf("%s works on the vulnerable target and fails on the patched one: %s", input.ID, check.Oracle)
	return check, nil
}
