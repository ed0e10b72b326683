package show_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"crisol"
	"crisol/internal/round"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/wargame"
)

// hostile is what a program under trial may print.
const hostile = "</pre><script>alert(1)</script>\x1b[2J\x00 <img src=x onerror=alert(2)>"

func report() round.Report {
	run := crisol.Run{Command: []string{"node", "exploit.js", "a b"}, Exit: 3, Signal: "SIGSEGV", Stdout: hostile, Stderr: strings.Repeat("line\n", 90)}
	failing := wargame.SelfTest{Scenario: "b", Seconds: 61.2, Cases: []wargame.SelfTestCase{
		{Name: "reference", Want: "fixed", Got: "fixed", Holds: true},
		{Name: "no-op", Want: "not_fixed", Got: "inconclusive", Reason: hostile, Gates: []crisol.Gate{
			{Name: crisol.GatePrepare, Outcome: crisol.Passed, Evidence: "laid out"},
			{Name: crisol.GateExploitVulnerable, Outcome: crisol.Failed, Evidence: "succeeded in none of 3 runs", Checks: []crisol.Check{
				{ID: "proof", Side: crisol.Vulnerable, Outcome: crisol.Failed, Runs: []crisol.Run{{Exit: 99}, run}},
			}},
			{Name: crisol.GateTests, Outcome: crisol.Skipped, Evidence: "no tests"},
		}},
		{Name: "incomplete x", Want: "not_fixed", Got: "fixed", Gates: []crisol.Gate{
			{Name: crisol.GateExploitPatched, Outcome: crisol.Passed, Evidence: "blocked in 3 runs", Checks: []crisol.Check{
				{ID: "proof", Side: crisol.Patched, Outcome: crisol.Passed, Runs: []crisol.Run{run, run}},
				{ID: "other", Side: crisol.Patched, Outcome: crisol.Passed, Runs: []crisol.Run{run}},
			}},
		}},
	}}
	return round.Report{
		Schema: round.Schema, Terms: "crisol dev, bwrap 0.8", Selection: "the whole library", Workers: 2, Started: time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC), Seconds: 3725,
		Totals: round.Totals{Scenarios: 3, Hold: 1, Fail: 1, Untested: 1, Resumed: 1, Cases: 8, CasesFailed: 2},
		Results: []round.Result{
			{Outcome: round.Holds, Scenario: scenario.Summary{ID: "a", Title: "A", Type: "xss", Ecosystem: "dir", Package: "app"}, SelfTest: &wargame.SelfTest{Holds: true, Cases: make([]wargame.SelfTestCase, 5)}, Resumed: true},
			{Outcome: round.Fails, Scenario: scenario.Summary{ID: "b", Title: hostile, Type: "redos", Ecosystem: "npm", Package: "pkg:npm/b@1.0.0"}, SelfTest: &failing},
			{Outcome: round.Untested, Scenario: scenario.Summary{ID: "c", Title: "C", Ecosystem: "npm", Package: "pkg:npm/c@1.0.0"}, Error: "the disk is full", Hint: "make room"},
		},
	}
}

// walk visits every element of a page.
func walk(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// TestReportStandsAlone: the page needs no script, fetches nothing, and what programs printed is text in it.
func TestReportStandsAlone(t *testing.T) {
	var out bytes.Buffer
	if err := show.Report(&out, report()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"Self-test of 3 scenarios", "The round is not complete", "1 h 02 min", "no-op: inconclusive instead of not_fixed", "succeeded in none of 3 runs",
		"node exploit.js &#39;a b&#39;", "exit 3 SIGSEGV", "&lt;/pre&gt;&lt;script&gt;", "50 more lines; the JSON report has them", "the disk is full", "hint: make room",
		"incomplete x: fixed instead of not_fixed", "blocked in 3 runs", "1 result is from before", "repeats</dt><dd>until",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{"\x1b", "\x00", "exit 99", "laid out", "no tests", "http:", "https:", "url(", "@import", "other on the"} {
		if strings.Contains(text, no) {
			t.Errorf("the page holds %q", no)
		}
	}
}

// TestReportIsAccessible: what a reader without eyes, colours or a mouse needs.
func TestReportIsAccessible(t *testing.T) {
	var out bytes.Buffer
	if err := show.Report(&out, report()); err != nil {
		t.Fatal(err)
	}
	page, err := html.Parse(&out)
	if err != nil {
		t.Fatal(err)
	}
	count, ids, level := map[string]int{}, map[string]bool{}, 0
	var targets []string
	walk(page, func(n *html.Node) {
		count[n.Data]++
		if id := attribute(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("two elements have the id %s", id)
			}
			ids[id] = true
		}
		if len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
			if next := int(n.Data[1] - '0'); next > level+1 {
				t.Errorf("a heading of level %d follows one of level %d", next, level)
			} else {
				level = next
			}
		}
		switch n.Data {
		case "html":
			if attribute(n, "lang") != "en" {
				t.Error("the page doesn't say its language")
			}
		case "th":
			if s := attribute(n, "scope"); s != "col" && s != "row" {
				t.Error("a table's heading doesn't say of what")
			}
		case "a":
			targets = append(targets, strings.TrimPrefix(attribute(n, "href"), "#"))
		case "pre", "div":
			if attribute(n, "class") == "scroll" || n.Data == "pre" {
				if attribute(n, "tabindex") != "0" && attribute(n, "aria-label") != "" {
					t.Errorf("%s scrolls and can't be reached by keyboard", n.Data)
				}
			}
		case "script", "img", "link", "iframe", "object":
			t.Errorf("the page holds a %s", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s has %s", n.Data, a.Key)
			}
		}
	})
	if count["h1"] != 1 || count["main"] != 1 || count["title"] != 1 || count["table"] != 2 {
		t.Errorf("%v", count)
	}
	for _, id := range targets {
		if !ids[id] {
			t.Errorf("a link leads to #%s, which isn't there", id)
		}
	}
	if len(targets) != 2 {
		t.Errorf("links: %v", targets)
	}
}

// TestReportOfGood: where all hold the page says so, and there are no failures to read.
func TestReportOfGood(t *testing.T) {
	r := report()
	r.Results, r.Complete, r.Totals, r.Repeat = r.Results[:1], true, round.Totals{Scenarios: 1, Hold: 1, Cases: 5}, 3
	var out bytes.Buffer
	if err := show.Report(&out, r); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "All of them hold.") || strings.Contains(text, "What does not hold") || !strings.Contains(text, "3 of each exploit") {
		t.Error(text)
	}
}

// TestBoardInLines: where nobody watches, each scenario takes a line, and what it prints can't steer a terminal.
func TestBoardInLines(t *testing.T) {
	var out bytes.Buffer
	b := show.NewBoard(&out, 3, 2)
	s := &scenario.Scenario{}
	s.ID = "a"
	b.Say("fetching \x1b[2Ja")
	b.Watch(round.Event{Scenario: s})
	b.Watch(round.Event{Scenario: s, Case: "reference"})
	b.Watch(round.Event{Scenario: s, Result: &round.Result{Outcome: round.Holds, Resumed: true}})
	b.Watch(round.Event{Scenario: s, Result: &round.Result{Outcome: round.Fails}})
	b.Watch(round.Event{Scenario: s, Result: &round.Result{Outcome: round.Untested}})
	if b.Writer(&out) != &out {
		t.Error("results go elsewhere")
	}
	b.Close()
	b.Say("too late")
	want := "fetching ?[2Ja\n1 of 3: a holds; 0 s, 1 from before\n2 of 3: a fails; 0 s, 1 from before, 1 fail\n3 of 3: a untested; 0 s, 1 from before, 1 fail, 1 untested\n"
	if out.String() != want {
		t.Errorf("%q", out.String())
	}
	var none *show.Board
	none.Watch(round.Event{})
	none.Say("x")
	none.Close()
	if none.Writer(&out) != &out {
		t.Error("a nil board has no terminal")
	}
}
