package wargame

import (
	"context"
	"fmt"
	"strings"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/scenario"
	"crisol/internal/verdict"
)

// SelfTest is what a scenario's self-test showed.
type SelfTest struct {
	Scenario string         `json:"scenario"`
	Digest   string         `json:"digest"`
	Taken    time.Time      `json:"taken"`
	Seconds  float64        `json:"seconds"`
	Holds    bool           `json:"holds"`
	Cases    []SelfTestCase `json:"cases"`
	// NoReference is set where no fix is known, so that nothing shows that a right patch comes out fixed.
	NoReference bool `json:"no_reference,omitempty"`
}

// SelfTestCase is one expectation.
type SelfTestCase struct {
	Name   string        `json:"case"`
	Want   string        `json:"want"`
	Got    string        `json:"got"`
	Holds  bool          `json:"holds"`
	Reason string        `json:"reason,omitempty"`
	Gates  []crisol.Gate `json:"gates,omitempty"`
}

// SelfTestOptions change how a self-test is run.
type SelfTestOptions struct {
	Fresh  bool // run it although a result is kept, with the vulnerable side run anew
	Repeat int  // runs of each exploit; 0 is auto
	Watch  func(name string, done bool, c SelfTestCase)
}

// underTest stands for the self-test gate while the self-test itself runs.
var underTest = crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Passed, Evidence: "this is the self-test"}

// SelfTest holds a scenario to its own standard: its reference fix is fixed, a patch that does nothing and its
// incomplete fixes are not, a decoy that deletes the feature is broken, every variant works on the vulnerable side, and
// no exploit succeeds without the target. A result is kept for each version of the scenario; an error says that it
// could not be run.
func (a *Arena) SelfTest(ctx context.Context, s *scenario.Scenario, o SelfTestOptions) (SelfTest, error) {
	if o.Watch == nil {
		o.Watch = func(string, bool, SelfTestCase) {}
	}
	key := a.key("selftest", s.Digest)
	var kept SelfTest
	if !o.Fresh && a.recall("selftests", key, &kept) && kept.Digest == s.Digest && kept.Holds {
		return kept, nil
	}
	started := a.Now()
	result := SelfTest{Scenario: s.ID, Digest: s.Digest, Taken: started, Holds: true, NoReference: s.Target.Reference == scenario.Fix{}}
	for _, c := range a.cases(s, o) {
		o.Watch(c.name, false, SelfTestCase{})
		got, err := c.run(ctx)
		if err != nil {
			return result, fmt.Errorf("self-test of %s: %s: %w", s.ID, c.name, err)
		}
		got.Name = c.name
		if got.Holds {
			got.Gates = nil
		}
		o.Watch(c.name, true, got)
		result.Cases = append(result.Cases, got)
		result.Holds = result.Holds && got.Holds
	}
	result.Seconds = a.Now().Sub(started).Seconds()
	a.remember("selftests", key, result)
	return result, nil
}

// Gate renders the result as a trial's first gate.
func (r SelfTest) Gate() crisol.Gate {
	gate := crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Passed, Runs: len(r.Cases)}
	var failed []string
	for _, c := range r.Cases {
		if !c.Holds {
			failed = append(failed, fmt.Sprintf("%s came out %s instead of %s (%s)", c.Name, c.Got, c.Want, c.Reason))
		}
	}
	gate.Evidence = fmt.Sprintf("%d cases hold, seen %s", len(r.Cases), r.Taken.UTC().Format("2006-01-02 15:04"))
	if r.NoReference {
		gate.Evidence += "; no fix is known beforehand, so it isn't shown that a right one comes out fixed"
	}
	if !r.Holds {
		gate.Outcome, gate.Evidence = crisol.Failed, strings.Join(failed, "; ")
	}
	return gate
}

type selfTestCase struct {
	name string
	run  func(context.Context) (SelfTestCase, error)
}

func (a *Arena) cases(s *scenario.Scenario, o SelfTestOptions) []selfTestCase {
	var list []selfTestCase
	add := func(name string, want crisol.Verdict, c Candidate) {
		order := Order{Scenario: s, Candidate: c, Repeat: o.Repeat, SelfTest: underTest, Fresh: o.Fresh}
		o.Fresh = false // what the first case sees of the vulnerable side serves the others
		list = append(list, selfTestCase{name, func(ctx context.Context) (SelfTestCase, error) {
			return a.expect(ctx, order, want)
		}})
	}
	list = append(list, selfTestCase{"target hidden", func(ctx context.Context) (SelfTestCase, error) { return a.hiddenCase(ctx, s) }})
	if s.Target.Reference != (scenario.Fix{}) {
		add("reference", crisol.Fixed, Candidate{Reference: &s.Target.Reference, LockSide: "reference"})
	}
	add("no-op", crisol.NotFixed, Candidate{change: noop})
	add("decoy", crisol.Broken, decoy(s))
	for i := range s.Target.Incomplete {
		fix := &s.Target.Incomplete[i]
		add("incomplete "+fix.Package+fix.Patch+fix.Dir, crisol.NotFixed, Candidate{Reference: fix, LockSide: fmt.Sprintf("incomplete-%d", i)})
	}
	return list
}

// expect runs one candidate and compares its verdict with the wanted one.
func (a *Arena) expect(ctx context.Context, order Order, want crisol.Verdict) (SelfTestCase, error) {
	report, err := a.Run(ctx, order)
	if err != nil {
		return SelfTestCase{}, err
	}
	got := verdict.Decide(report.Gates, report.Risk, certify.DefaultRisk)
	result := SelfTestCase{Want: string(want), Got: string(got.Verdict), Holds: got.Verdict == want, Reason: got.Reason, Gates: report.Gates}
	if dead := deadVariants(report.Gates); want == crisol.Fixed && result.Holds && dead != "" {
		result.Holds, result.Got, result.Reason = false, "a dead variant", dead
	}
	return result, nil
}

// deadVariants names variants that don't work on the vulnerable side: they would guard nothing.
func deadVariants(gates []crisol.Gate) string {
	for _, gate := range gates {
		if gate.Name != crisol.GateVariants {
			continue
		}
		for _, check := range gate.Checks {
			if check.Outcome == crisol.Skipped {
				return check.Oracle
			}
		}
	}
	return ""
}

// hiddenCase runs every exploit with the target taken away: none may succeed.
func (a *Arena) hiddenCase(ctx context.Context, s *scenario.Scenario) (SelfTestCase, error) {
	result := SelfTestCase{Want: "no success", Got: "no success", Holds: true}
	dir, err := a.workspace()
	if err != nil {
		return result, err
	}
	defer a.discard(dir)
	vulnerable, _, build, err := a.vulnerable(ctx, s)
	defer a.release(vulnerable)
	if err != nil {
		return result, err
	}
	if build.Outcome == crisol.Failed {
		return SelfTestCase{Want: "no success", Got: "no build", Reason: build.Oracle}, nil
	}
	without, err := hidden(vulnerable, dir)
	if err != nil {
		return result, err
	}
	for _, x := range s.Exploits {
		got, err := a.strike(ctx, s, without, x)
		if err != nil {
			return result, err
		}
		if got.fate == held {
			words := fmt.Sprintf("exploit %s succeeds without the target: %s", x.ID, got.words)
			check := crisol.Check{ID: x.ID, Side: crisol.Vulnerable, Outcome: crisol.Failed, Oracle: words, Runs: []crisol.Run{got.run}}
			gate := crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Failed, Runs: 1, Evidence: words, Checks: []crisol.Check{check}}
			return SelfTestCase{Want: "no success", Got: "success", Reason: words, Gates: []crisol.Gate{gate}}, nil
		}
	}
	return result, nil
}
