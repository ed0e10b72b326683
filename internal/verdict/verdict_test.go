package verdict_test

import (
	"fmt"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/verdict"
)

var (
	yes, no  = true, false
	all      = []crisol.GateName{crisol.GateSelfTest, crisol.GatePrepare, crisol.GateExploitVulnerable, crisol.GatePatchApplies, crisol.GateBuild, crisol.GateExploitPatched, crisol.GateVariants, crisol.GateBenign, crisol.GateTests}
	outcomes = []crisol.Outcome{crisol.Passed, crisol.Failed, crisol.Skipped, crisol.Errored}
)

// gates makes one gate of each name, all passed but for the given ones; an exploit that was blocked says that it reached.
func gates(set map[crisol.GateName]crisol.Outcome, reached *bool) []crisol.Gate {
	var list []crisol.Gate
	for _, name := range all {
		outcome, given := set[name]
		if !given {
			outcome = crisol.Passed
		}
		gate := crisol.Gate{Name: name, Outcome: outcome, Evidence: string(name) + " says so"}
		if name == crisol.GateExploitPatched {
			gate.Checks = []crisol.Check{{ID: "first", Outcome: outcome, Reached: reached}}
		}
		list = append(list, gate)
	}
	return list
}

func TestDecide(t *testing.T) {
	type set = map[crisol.GateName]crisol.Outcome
	for _, c := range []struct {
		name    string
		set     set
		reached *bool
		risk    float64
		want    crisol.Verdict
		level   crisol.Assurance
	}{
		{"everything passed", nil, &yes, 0.002, crisol.Fixed, crisol.A4},
		{"too few repeats", nil, &yes, 0.2, crisol.Fixed, crisol.A3},
		{"no variants", set{crisol.GateVariants: crisol.Skipped}, &yes, 0, crisol.Fixed, crisol.A3},
		{"no tests", set{crisol.GateTests: crisol.Skipped}, nil, 0, crisol.Fixed, crisol.A2},
		{"no build", set{crisol.GateBuild: crisol.Skipped}, &yes, 0, crisol.Fixed, crisol.A4},
		{"no benign, reached", set{crisol.GateBenign: crisol.Skipped, crisol.GateTests: crisol.Skipped}, &yes, 0, crisol.Fixed, crisol.A1},
		{"no benign, nothing shows that it reached", set{crisol.GateBenign: crisol.Skipped}, nil, 0, crisol.Inconclusive, 0},
		{"no benign, it did not reach", set{crisol.GateBenign: crisol.Skipped}, &no, 0, crisol.Inconclusive, 0},
		{"exploit still works", set{crisol.GateExploitPatched: crisol.Failed}, nil, 1, crisol.NotFixed, 0},
		{"variant still works", set{crisol.GateVariants: crisol.Failed}, &yes, 0, crisol.NotFixed, 0},
		{"works and broken", set{crisol.GateVariants: crisol.Failed, crisol.GateBenign: crisol.Failed}, &yes, 0, crisol.NotFixed, 0},
		{"benign broken", set{crisol.GateBenign: crisol.Failed}, &yes, 0, crisol.Broken, 0},
		{"tests broken", set{crisol.GateTests: crisol.Failed}, &yes, 0, crisol.Broken, 0},
		{"doesn't build", set{crisol.GateBuild: crisol.Failed, crisol.GateExploitPatched: crisol.Skipped}, nil, 1, crisol.Broken, 0},
		{"module doesn't load", set{crisol.GateExploitPatched: crisol.Errored, crisol.GateBenign: crisol.Failed}, nil, 1, crisol.Broken, 0},
		{"never reproduces", set{crisol.GateExploitVulnerable: crisol.Failed}, nil, 1, crisol.Inconclusive, 0},
		{"never reproduces, patched hit", set{crisol.GateExploitVulnerable: crisol.Failed, crisol.GateExploitPatched: crisol.Failed}, nil, 1, crisol.Inconclusive, 0},
		{"baseline of the tests fails", set{crisol.GateTests: crisol.Errored}, &yes, 0, crisol.Inconclusive, 0},
		{"self-test fails, all looks fixed", set{crisol.GateSelfTest: crisol.Failed}, &yes, 0, crisol.Inconclusive, 0},
		{"self-test fails, exploit works", set{crisol.GateSelfTest: crisol.Failed, crisol.GateExploitPatched: crisol.Failed}, nil, 1, crisol.NotFixed, 0},
		{"self-test fails, benign broken", set{crisol.GateSelfTest: crisol.Errored, crisol.GateBenign: crisol.Failed}, &yes, 0, crisol.Broken, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := verdict.Decide(gates(c.set, c.reached), c.risk, 0.01)
			if got.Verdict != c.want || got.Assurance != c.level {
				t.Errorf("got %s %s (%s), want %s %s", got.Verdict, got.Assurance, got.Reason, c.want, c.level)
			}
			if got.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

// TestFixedNeedsEveryProof walks through every combination of outcomes: none that lacks a proof comes out fixed.
func TestFixedNeedsEveryProof(t *testing.T) {
	must := []crisol.GateName{crisol.GateSelfTest, crisol.GatePrepare, crisol.GateExploitVulnerable, crisol.GatePatchApplies, crisol.GateExploitPatched}
	may := []crisol.GateName{crisol.GateBuild, crisol.GateVariants, crisol.GateBenign, crisol.GateTests}
	total := 1
	for range all {
		total *= len(outcomes)
	}
	fixed := 0
	for n := range total {
		set := map[crisol.GateName]crisol.Outcome{}
		for i, rest := 0, n; i < len(all); i, rest = i+1, rest/len(outcomes) {
			set[all[i]] = outcomes[rest%len(outcomes)]
		}
		got := verdict.Decide(gates(set, nil), 0, 0.01)
		if got.Verdict != crisol.Fixed {
			if got.Assurance != crisol.A0 {
				t.Fatalf("%v: %s with assurance %s", set, got.Verdict, got.Assurance)
			}
			continue
		}
		fixed++
		for _, name := range must {
			if set[name] != crisol.Passed {
				t.Fatalf("%v: fixed although %s is %q", set, name, set[name])
			}
		}
		for _, name := range may {
			if set[name] != crisol.Passed && set[name] != crisol.Skipped {
				t.Fatalf("%v: fixed although %s is %q", set, name, set[name])
			}
		}
		if set[crisol.GateBenign] != crisol.Passed {
			t.Fatalf("%v: fixed although nothing shows that the target was reached", set)
		}
	}
	if fixed != 8 {
		t.Errorf("%d combinations come out fixed, want the 8 of three optional gates", fixed)
	}
}

func TestMissingAndDoubledGatesAreNoProof(t *testing.T) {
	if got := verdict.Decide(nil, 0, 1); got.Verdict != crisol.Inconclusive {
		t.Errorf("no gates: %s", got.Verdict)
	}
	for drop := range all {
		list := gates(nil, &yes)
		list = append(list[:drop], list[drop+1:]...)
		got := verdict.Decide(list, 0, 0.01)
		if got.Verdict == crisol.Fixed && got.Assurance == crisol.A4 && all[drop] != crisol.GateBuild {
			t.Errorf("without %s: %s %s", all[drop], got.Verdict, got.Assurance)
		}
	}
	for _, name := range all {
		list := append(gates(nil, &yes), crisol.Gate{Name: name, Outcome: crisol.Passed})
		if got := verdict.Decide(list, 0, 0.01); got.Verdict != crisol.Inconclusive {
			t.Errorf("%s twice: %s", name, got.Verdict)
		}
	}
}

func TestReasonNamesTheGate(t *testing.T) {
	for _, name := range all[1:] {
		list := gates(map[crisol.GateName]crisol.Outcome{name: crisol.Errored}, &yes)
		got := verdict.Decide(list, 0, 0.01)
		if got.Verdict != crisol.Inconclusive || !strings.Contains(got.Reason, fmt.Sprintf("%s says so", name)) {
			t.Errorf("%s: %s: %s", name, got.Verdict, got.Reason)
		}
	}
}

func TestUnknownOutcomesAreNoProof(t *testing.T) {
	for _, name := range all {
		for _, outcome := range []crisol.Outcome{"", "nonsense"} {
			got := verdict.Decide(gates(map[crisol.GateName]crisol.Outcome{name: outcome}, &yes), 0, 0.01)
			if got.Verdict != crisol.Inconclusive {
				t.Errorf("%s %q: %s", name, outcome, got.Verdict)
			}
		}
	}
}
