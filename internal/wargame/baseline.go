package wargame

import (
	"context"
	"fmt"
	"sync"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/scenario"
)

// baseline is what is known of the vulnerable side of one version of a scenario on one target. Only what worked is kept
// between trials: a failure may be the infrastructure's.
type baseline struct {
	Taken time.Time
	// Exploits holds the tallies of the exploits that succeeded, by id.
	Exploits map[string]*tally
	// Healthy holds the checks of benign inputs and tests that passed, by gate and id.
	Healthy map[string]crisol.Check

	// dead holds the tallies of optional exploits that don't succeed; they are of this trial only.
	dead map[string]*tally

	mu    sync.Mutex // guards the maps
	key   string
	dirty bool
}

// loadBaseline reads what earlier trials learnt, unless it is due to be verified again.
func (t *trial) loadBaseline() {
	b := &baseline{}
	key := t.key(t.Scenario.Digest, t.vulnerable.tree.Digest)
	if t.Fresh || !t.recall("baselines", key, b) || t.Now().Sub(b.Taken) > Reverify || b.Taken.After(t.Now()) {
		b = &baseline{Taken: t.Now()}
	}
	if b.Exploits == nil {
		b.Exploits = map[string]*tally{}
	}
	if b.Healthy == nil {
		b.Healthy = map[string]crisol.Check{}
	}
	b.key, b.dead, t.baseline = key, map[string]*tally{}, b
}

func (t *trial) saveBaseline() {
	b := t.baseline
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dirty {
		t.remember("baselines", b.key, b)
		b.dirty = false
	}
}

// exploitVulnerable shows the proof on the vulnerable side and sets its gate. The proof is the first exploit, or, where
// that is optional, the first that succeeds.
func (t *trial) exploitVulnerable(ctx context.Context) error {
	t.loadBaseline()
	for _, x := range t.Scenario.Exploits {
		if base, err := t.show(ctx, x); err != nil || base.Successes > 0 || !x.Optional {
			return err
		}
	}
	t.none()
	return nil
}

// none sets the gate when no optional exploit succeeded: failed if each was seen to be blocked.
func (t *trial) none() {
	gate := crisol.Gate{Name: crisol.GateExploitVulnerable, Outcome: crisol.Failed}
	var because string
	for _, x := range t.Scenario.Exploits {
		base := t.baseline.dead[x.ID]
		check := crisol.Check{ID: x.ID, Side: crisol.Vulnerable, Outcome: crisol.Failed, Oracle: base.Words, Reached: base.Reached, Runs: base.Evidence}
		if base.Blocked < base.Runs {
			check.Outcome, gate.Outcome = crisol.Errored, crisol.Errored
		}
		if because == "" || gate.Outcome == crisol.Errored && check.Outcome == crisol.Errored {
			because = fmt.Sprintf("%s: %s", x.ID, base.Words)
		}
		gate.Runs, gate.Checks = gate.Runs+base.Runs, append(gate.Checks, check)
	}
	gate.Evidence = fmt.Sprintf("none of %d exploits succeeded; %s", len(gate.Checks), because)
	t.set(gate)
}

// show runs one exploit on the vulnerable side. It sets the gate unless another exploit may still be the proof.
func (t *trial) show(ctx context.Context, x scenario.Exploit) (*tally, error) {
	t.proof = x
	known := t.baseline.Exploits[x.ID] != nil
	base, err := t.rate(ctx, x)
	if err != nil || base.Successes == 0 && x.Optional {
		return base, err
	}
	check := crisol.Check{ID: x.ID, Side: crisol.Vulnerable, Runs: base.Evidence}
	if known {
		check.Cached, check.Runs = &t.baseline.Taken, nil
	}
	gate := crisol.Gate{Name: crisol.GateExploitVulnerable, Runs: base.Runs, Outcome: crisol.Passed}
	switch {
	case base.Successes > 0:
		gate.Evidence = fmt.Sprintf("exploit %s succeeded in %d of %d runs: %s", x.ID, base.Successes, base.Runs, base.Words)
	case base.Blocked == base.Runs && base.Runs > 0:
		gate.Outcome = crisol.Failed
		gate.Evidence = fmt.Sprintf("exploit %s succeeded in none of %d runs: %s", x.ID, base.Runs, base.Words)
	default:
		gate.Outcome = crisol.Errored
		gate.Evidence = fmt.Sprintf("exploit %s could not be judged on the vulnerable target: %s", x.ID, base.Words)
	}
	check.Outcome, check.Oracle = gate.Outcome, gate.Evidence
	gate.Checks = []crisol.Check{check}
	t.set(gate)
	t.saveBaseline()
	return base, nil
}

// rate measures how often an exploit succeeds on the vulnerable side, or remembers it.
func (t *trial) rate(ctx context.Context, x scenario.Exploit) (*tally, error) {
	t.baseline.mu.Lock()
	base := t.baseline.Exploits[x.ID]
	if base == nil {
		base = t.baseline.dead[x.ID]
	}
	t.baseline.mu.Unlock()
	if base != nil {
		return base, nil
	}
	base = &tally{ID: x.ID}
	want := 3
	if t.Repeat > 0 {
		want = t.Repeat
	}
	if x.Optional {
		if err := t.repeat(ctx, t.Scenario, t.vulnerable, x, base, 1); err != nil || base.Successes == 0 {
			t.baseline.mu.Lock()
			t.baseline.dead[x.ID] = base
			t.baseline.mu.Unlock()
			return base, err
		}
	}
	for {
		if err := t.repeat(ctx, t.Scenario, t.vulnerable, x, base, want); err != nil {
			return nil, err
		}
		if t.Repeat > 0 || base.Runs < want || certify.Enough(base.Successes, base.Runs) {
			break
		}
		want++
	}
	if base.Successes > 0 {
		t.baseline.mu.Lock()
		t.baseline.Exploits[x.ID], t.baseline.dirty = base, true
		t.baseline.mu.Unlock()
	}
	return base, nil
}
