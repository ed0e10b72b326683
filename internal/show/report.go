package show

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"crisol"
	"crisol/internal/round"
	"crisol/internal/scenario"
	"crisol/internal/wargame"
)

//go:embed report.html.tmpl
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"clean": Clean, "date": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") },
	"seconds": func(s float64) string { return fmt.Sprintf("%.1f", s) },
	"rough":   func(s float64) string { return rough(time.Duration(s * float64(time.Second))) },
	"count": func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, many)
	},
	"command": scenario.CommandLine,
	"title":   func(name crisol.GateName) string { return titles[name] },
}).Parse(reportText))

// page is a report as its page shows it.
type page struct {
	round.Report
	Classes []class
	Failed  []failure
}

// class is a row of the table by class of weakness.
type class struct {
	Name                        string
	Scenarios, Hold, Fail, None int
}

// failure is a scenario that doesn't hold, or wasn't tested.
type failure struct {
	round.Result
	Cases []failedCase
}

type failedCase struct {
	wargame.SelfTestCase
	Evidence []evidence
}

// evidence is a gate that speaks against the case, and the runs that show it.
type evidence struct {
	Gate crisol.Gate
	Runs []shownRun
}

type shownRun struct {
	Check crisol.Check
	Run   crisol.Run
}

// Report writes a round's report as one page that needs nothing else: no script, no style sheet, no picture.
func Report(w io.Writer, r round.Report) error {
	p := page{Report: r, Classes: classes(r.Results)}
	for _, result := range r.Results {
		if result.Outcome != round.Holds {
			p.Failed = append(p.Failed, failureOf(result))
		}
	}
	if err := reportPage.Execute(w, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func classes(results []round.Result) []class {
	var list []class
	for _, r := range results {
		name := r.Scenario.Type
		if name == "" {
			name = "other"
		}
		i := slices.IndexFunc(list, func(c class) bool { return c.Name == name })
		if i < 0 {
			i, list = len(list), append(list, class{Name: name})
		}
		list[i].Scenarios++
		switch r.Outcome {
		case round.Holds:
			list[i].Hold++
		case round.Fails:
			list[i].Fail++
		case round.Untested:
			list[i].None++
		}
	}
	slices.SortFunc(list, func(a, b class) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func failureOf(r round.Result) failure {
	f := failure{Result: r}
	for _, c := range r.Failed() {
		shown := failedCase{SelfTestCase: c}
		for _, gate := range c.Gates {
			if e, ok := evidenceOf(gate, c.Want); ok {
				shown.Evidence = append(shown.Evidence, e)
			}
		}
		f.Cases = append(f.Cases, shown)
	}
	return f
}

// evidenceOf is what a gate adds to a case that came out wrong: those that didn't pass do, and where something other than
// fixed was wanted, those that should have failed and did not.
func evidenceOf(gate crisol.Gate, want string) (evidence, bool) {
	passed := gate.Outcome == crisol.Passed
	if gate.Outcome == crisol.Skipped || passed && (want == string(crisol.Fixed) || !slices.Contains(telling, gate.Name)) {
		return evidence{}, false
	}
	e := evidence{Gate: gate}
	for _, check := range gate.Checks {
		if check.Outcome == gate.Outcome && len(check.Runs) > 0 {
			run := check.Runs[len(check.Runs)-1]
			run.Stdout, run.Stderr = excerpt(run.Stdout), excerpt(run.Stderr)
			e.Runs = append(e.Runs, shownRun{check, run})
		}
		if passed || len(e.Runs) == shownRuns {
			break
		}
	}
	return e, true
}

// telling are the gates at which a wrong patch fails.
var telling = []crisol.GateName{crisol.GateExploitPatched, crisol.GateVariants, crisol.GateBenign, crisol.GateTests}

// Of each gate so many runs are shown, of each stream so many lines.
const (
	shownRuns  = 3
	shownLines = 40
)

func excerpt(text string) string {
	lines := strings.Split(strings.TrimSpace(Clean(text)), "\n")
	if more := len(lines) - shownLines; more > 0 {
		lines = append(lines[:shownLines], fmt.Sprintf("[%d more lines; the JSON report has them]", more))
	}
	return strings.Join(lines, "\n")
}
