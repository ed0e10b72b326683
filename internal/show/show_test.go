package show_test

import (
	"bytes"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/show"
	"crisol/internal/wargame"
)

func validation(v crisol.Verdict) crisol.Validation {
	failed := crisol.Check{ID: "dot-dot", Side: crisol.Patched, Outcome: crisol.Failed, Runs: []crisol.Run{{
		Command: []string{"node", "exploit.js"}, Exit: 0, WallSeconds: 0.1,
		Stdout: strings.Repeat("line\n", 30), Stderr: "\x1b]0;owned\x07\x1b[2Jwiped",
	}}}
	return crisol.Validation{
		ScenarioID: "tiny", Verdict: v, Assurance: crisol.A2, ResidualRisk: 0.0019, Reason: strings.Repeat("because ", 40),
		Wargame: &crisol.WargameResult{Gates: []crisol.Gate{
			{Name: crisol.GateExploitVulnerable, Outcome: crisol.Passed, Runs: 3, Evidence: "succeeded"},
			{Name: crisol.GateExploitPatched, Outcome: crisol.Failed, Runs: 1, Evidence: "still succeeds", Checks: []crisol.Check{failed}},
			{Name: crisol.GateTests, Outcome: crisol.Skipped, Evidence: "no tests"},
		}},
	}
}

func TestValidation(t *testing.T) {
	for verdict, head := range map[crisol.Verdict]string{
		crisol.Fixed: "FIXED  tiny  assurance A2  residual risk 0.0019", crisol.NotFixed: "NOT FIXED  tiny",
		crisol.Broken: "BROKEN  tiny", crisol.Inconclusive: "INCONCLUSIVE  tiny",
	} {
		var out bytes.Buffer
		if err := show.Validation(&out, validation(verdict)); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if !strings.HasPrefix(text, head) {
			t.Errorf("%s: %q", verdict, text[:60])
		}
		if strings.ContainsAny(text, "\x1b\x07") {
			t.Errorf("%s: control characters reach the terminal: %q", verdict, text)
		}
		if shown := strings.Contains(text, "more lines; --format json shows them"); shown == (verdict == crisol.Fixed) {
			t.Errorf("%s: the failed run is shown: %v", verdict, shown)
		}
		for line := range strings.Lines(text) {
			if len(line) > 110 {
				t.Errorf("%s: a line of %d columns: %s", verdict, len(line), line)
			}
		}
	}
}

func TestSelfTest(t *testing.T) {
	var out bytes.Buffer
	err := show.SelfTest(&out, wargame.SelfTest{Scenario: "tiny", Holds: false, Cases: []wargame.SelfTestCase{
		{Name: "reference", Want: "fixed", Got: "fixed", Holds: true},
		{Name: "no-op", Want: "not_fixed", Got: "inconclusive", Reason: "it never succeeds", Gates: []crisol.Gate{{Name: crisol.GateBenign, Outcome: crisol.Errored, Evidence: "flaky"}}},
	}}, false)
	text := out.String()
	for _, want := range []string{"FAILS  tiny", "+ reference", "x no-op", "wanted not_fixed: it never succeeds", "benign inputs", "flaky"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("lacks %q: %v\n%s", want, err, text)
		}
	}
}

func TestProgressWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := show.NewProgress(&out, true)
	p.Say("fetching pkg:npm/x@1")
	p.SelfTest("no-op", false, wargame.SelfTestCase{})
	p.SelfTest("no-op", true, wargame.SelfTestCase{Got: "not_fixed"})
	p.Trial(wargame.Event{Gate: crisol.GateBenign, Check: "use"})
	p.Trial(wargame.Event{Gate: crisol.GateBenign, Done: true, Outcome: crisol.Passed})
	p.Clear()
	p.Close()
	p.Say("too late")
	if want := "fetching pkg:npm/x@1\nself-test: no-op: not_fixed\nbenign inputs: passed\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	silent := show.NewProgress(&out, false)
	silent.Say("x")
	silent.Trial(wargame.Event{})
	silent.SelfTest("x", true, wargame.SelfTestCase{})
	silent.Clear()
	silent.Close()
}

func TestClean(t *testing.T) {
	if got := show.Clean("a\x00b\x1b[31mc\u202ed\xff\n\te"); got != "a?b?[31mc?d?\n\te" {
		t.Errorf("%q", got)
	}
}
