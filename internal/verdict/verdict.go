// Package verdict turns the gates of a trial into a verdict and an assurance level.
//
// It is a pure function, it imports nothing that does I/O, and it fails closed: whatever it doesn't understand, and
// every gate that was skipped or errored, counts against `fixed`.
package verdict

import (
	"fmt"

	"crisol"
)

// Decision is what follows from the gates.
type Decision struct {
	Verdict   crisol.Verdict
	Assurance crisol.Assurance
	Reason    string
}

// Decide reads the gates of one trial. risk is the residual probability that a working exploit was missed by the
// repeats, maxRisk the one asked for. A missing gate counts as skipped, a gate that occurs twice as error.
func Decide(gates []crisol.Gate, risk, maxRisk float64) Decision {
	g := index(gates)
	if d, ok := undecidable(g); ok {
		return d
	}
	if d, ok := refuted(g); ok {
		return d
	}
	if d, ok := untold(g); ok {
		return d
	}
	level := assurance(g, risk, maxRisk)
	return Decision{crisol.Fixed, level, fmt.Sprintf("the exploit works on the vulnerable target and is blocked on the patched one; %s", standing(g, level))}
}

func index(gates []crisol.Gate) map[crisol.GateName]crisol.Gate {
	g := make(map[crisol.GateName]crisol.Gate, len(gates))
	for _, gate := range gates {
		if _, twice := g[gate.Name]; twice {
			gate = crisol.Gate{Name: gate.Name, Outcome: crisol.Errored, Evidence: "the gate was reported twice"}
		}
		g[gate.Name] = gate
	}
	return g
}

// undecidable: without a demonstrated exploit on the vulnerable side nothing can be said of a patch.
func undecidable(g map[crisol.GateName]crisol.Gate) (Decision, bool) {
	for _, name := range []crisol.GateName{crisol.GatePrepare, crisol.GatePatchApplies} {
		if gate := g[name]; gate.Outcome != crisol.Passed {
			return inconclusive("%s: %s", name, because(gate)), true
		}
	}
	gate := g[crisol.GateExploitVulnerable]
	switch gate.Outcome {
	case crisol.Passed:
		return Decision{}, false
	case crisol.Failed:
		return inconclusive("the exploit never succeeds on the vulnerable target, so it proves nothing: %s", because(gate)), true
	default:
		return inconclusive("%s: %s", gate.Name, because(gate)), true
	}
}

// refuted: something was shown against the patch.
func refuted(g map[crisol.GateName]crisol.Gate) (Decision, bool) {
	for _, name := range []crisol.GateName{crisol.GateExploitPatched, crisol.GateVariants} {
		if gate := g[name]; gate.Outcome == crisol.Failed {
			return Decision{crisol.NotFixed, crisol.A0, because(gate)}, true
		}
	}
	for _, name := range []crisol.GateName{crisol.GateBuild, crisol.GateBenign, crisol.GateTests} {
		if gate := g[name]; gate.Outcome == crisol.Failed {
			return Decision{crisol.Broken, crisol.A0, because(gate)}, true
		}
	}
	return Decision{}, false
}

// untold: nothing was shown against the patch, but not enough for it either.
func untold(g map[crisol.GateName]crisol.Gate) (Decision, bool) {
	if gate := g[crisol.GateExploitPatched]; gate.Outcome != crisol.Passed {
		return inconclusive("%s: %s", crisol.GateExploitPatched, because(gate)), true
	}
	for _, name := range []crisol.GateName{crisol.GateBuild, crisol.GateVariants, crisol.GateBenign, crisol.GateTests} {
		gate, known := g[name]
		if !known {
			continue
		}
		if gate.Outcome != crisol.Passed && gate.Outcome != crisol.Skipped {
			return inconclusive("%s: %s", name, because(gate)), true
		}
	}
	if !reached(g) {
		return inconclusive("the exploit failed on the patched target, but nothing shows that it reached the code it attacks: no benign input passed and the exploit has no probe of its own"), true
	}
	if gate := g[crisol.GateSelfTest]; gate.Outcome != crisol.Passed {
		return inconclusive("the patch looks fixed, but the scenario's self-test doesn't hold, so its word isn't enough: %s", because(gate)), true
	}
	return Decision{}, false
}

// reached: every exploit that was blocked said that it reached its target, or benign inputs that make the same call pass.
func reached(g map[crisol.GateName]crisol.Gate) bool {
	if g[crisol.GateBenign].Outcome == crisol.Passed {
		return true
	}
	checks := g[crisol.GateExploitPatched].Checks
	for _, check := range checks {
		if check.Reached == nil || !*check.Reached {
			return false
		}
	}
	return len(checks) > 0
}

func assurance(g map[crisol.GateName]crisol.Gate, risk, maxRisk float64) crisol.Assurance {
	passed := func(name crisol.GateName) bool { return g[name].Outcome == crisol.Passed }
	switch {
	case !passed(crisol.GateBenign):
		return crisol.A1
	case !passed(crisol.GateTests):
		return crisol.A2
	case !passed(crisol.GateVariants) || !(risk <= maxRisk):
		return crisol.A3
	default:
		return crisol.A4
	}
}

func standing(g map[crisol.GateName]crisol.Gate, level crisol.Assurance) string {
	missing := map[crisol.Assurance]string{
		crisol.A1: "no benign input passed, so side effects are unknown",
		crisol.A2: "benign inputs stay healthy; no tests of the target were run",
		crisol.A3: "benign inputs and the target's tests stay healthy",
		crisol.A4: "so are all variants; benign inputs and the target's tests stay healthy",
	}[level]
	if level < crisol.A4 && g[crisol.GateVariants].Outcome == crisol.Passed {
		missing = "all variants are blocked too; " + missing
	}
	return missing
}

func because(gate crisol.Gate) string {
	if gate.Evidence != "" {
		return gate.Evidence
	}
	if gate.Outcome == "" {
		return "the gate was not run"
	}
	return string(gate.Outcome)
}

func inconclusive(format string, args ...any) Decision {
	return Decision{crisol.Inconclusive, crisol.A0, fmt.Sprintf(format, args...)}
}
