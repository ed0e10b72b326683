// Package round self-tests many scenarios in one round: several at once, with a journal from which an interrupted round
// goes on, and a report of all of it.
//
// In go scenarios and who tests one of them (wargame.Arena); out comes a Report. What a self-test means is wargame's
// business, how a report looks to a person is show's.
package round

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"crisol"
	"crisol/internal/scenario"
	"crisol/internal/wargame"
)

// Schema names the form of a Report as JSON.
const Schema = "crisol/selftest-report/v1"

// Tester tests one scenario (wargame.Arena).
type Tester interface {
	SelfTest(ctx context.Context, s *scenario.Scenario, o wargame.SelfTestOptions) (wargame.SelfTest, error)
}

// Options say how a round goes.
type Options struct {
	Tester Tester
	// Dir is where journals are kept.
	Dir string
	// Terms name what a result holds under: the build, the rules, the sandbox. A journal under other terms is not used.
	Terms string
	// Selection says in words what was chosen. It belongs to the terms.
	Selection string
	// Repeat is the runs of each exploit; 0 is auto. It belongs to the terms.
	Repeat int
	// Workers bounds the scenarios under test at once; 0 is one.
	Workers int
	// Resume goes on with the last round of these terms, if that didn't come to its end.
	Resume bool
	// Watch hears of the round's course, one event at a time; nil hears nothing.
	Watch func(Event)
	Log   *slog.Logger     // nil discards
	Now   func() time.Time // nil is time.Now
}

// Event is a step of a round: a scenario is taken up, one of its cases is taken up or done, or it has a result.
type Event struct {
	Scenario *scenario.Scenario
	Case     string
	Got      *wargame.SelfTestCase // nil while the case runs
	Result   *Result               // nil while the scenario runs
}

// Outcome says how a scenario fared.
type Outcome string

// The outcomes.
const (
	Holds    Outcome = "holds"
	Fails    Outcome = "fails"
	Untested Outcome = "untested" // it could not be tested, or its turn never came
)

// Report is what a round showed.
type Report struct {
	Schema    string    `json:"schema"`
	Terms     string    `json:"terms"`
	Selection string    `json:"selection"`
	Repeat    int       `json:"repeat"` // 0 is auto
	Workers   int       `json:"workers"`
	Started   time.Time `json:"started"`
	// Seconds are those of this process; what an interrupted one did before is not in them.
	Seconds  float64  `json:"seconds"`
	Complete bool     `json:"complete"` // every scenario has a result
	Totals   Totals   `json:"totals"`
	Results  []Result `json:"results"` // in the order of the scenarios
}

// Totals count a report's results.
type Totals struct {
	Scenarios   int `json:"scenarios"`
	Hold        int `json:"hold"`
	Fail        int `json:"fail"`
	Untested    int `json:"untested"`
	Resumed     int `json:"resumed"` // of those with a result, how many have it from the journal
	Cases       int `json:"cases"`
	CasesFailed int `json:"cases_failed"`
}

// Result is what one scenario showed.
type Result struct {
	Outcome  Outcome          `json:"outcome"`
	Scenario scenario.Summary `json:"scenario"`
	// SelfTest is nil where there is no result.
	SelfTest *wargame.SelfTest `json:"self_test,omitempty"`
	Resumed  bool              `json:"resumed,omitempty"`
	Error    string            `json:"error,omitempty"`
	Hint     string            `json:"hint,omitempty"`
}

// Failed lists the cases that didn't come out as they should.
func (r Result) Failed() (cases []wargame.SelfTestCase) {
	if r.SelfTest == nil {
		return nil
	}
	for _, c := range r.SelfTest.Cases {
		if !c.Holds {
			cases = append(cases, c)
		}
	}
	return cases
}

// Run tests the scenarios. The report is whole also when ctx ends early: those whose turn never came are untested. The
// error says that the round could not begin.
func Run(ctx context.Context, list []*scenario.Scenario, o Options) (Report, error) {
	o.defaults()
	j, known, err := openJournal(o)
	if err != nil {
		return Report{}, err
	}
	r := &run{Options: o, journal: j, results: make([]Result, len(list))}
	started := o.Now()
	var group errgroup.Group
	group.SetLimit(max(1, o.Workers))
	for i, s := range list {
		if kept, ok := known[s.Digest]; ok {
			r.finish(i, s, result(s, kept, true))
			continue
		}
		group.Go(func() error {
			r.test(ctx, i, s)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	report := Report{
		Schema: Schema, Terms: o.Terms, Selection: o.Selection, Repeat: o.Repeat, Workers: max(1, o.Workers),
		Started: started, Seconds: o.Now().Sub(started).Seconds(), Results: r.results,
	}
	report.count()
	j.close(report.Complete)
	return report, nil
}

func (o *Options) defaults() {
	if o.Watch == nil {
		o.Watch = func(Event) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// run is a round under way.
type run struct {
	Options
	journal *journal

	mu      sync.Mutex // guards results, and puts events in a row
	results []Result
}

func (r *run) watch(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Watch(e)
}

func (r *run) test(ctx context.Context, i int, s *scenario.Scenario) {
	if ctx.Err() != nil {
		r.finish(i, s, Result{Outcome: Untested, Scenario: s.Summary(), Error: "the round was interrupted before its turn"})
		return
	}
	r.watch(Event{Scenario: s})
	got, err := r.Tester.SelfTest(ctx, s, wargame.SelfTestOptions{
		Fresh: true, Repeat: r.Repeat,
		Watch: func(name string, done bool, got wargame.SelfTestCase) {
			e := Event{Scenario: s, Case: name}
			if done {
				e.Got = &got
			}
			r.watch(e)
		},
	})
	switch {
	case ctx.Err() != nil:
		r.finish(i, s, Result{Outcome: Untested, Scenario: s.Summary(), Error: "the round was interrupted while it was tested"})
	case err != nil:
		r.finish(i, s, Result{Outcome: Untested, Scenario: s.Summary(), Error: err.Error(), Hint: crisol.HintOf(err)})
	default:
		r.journal.add(got)
		r.finish(i, s, result(s, got, false))
	}
}

func result(s *scenario.Scenario, got wargame.SelfTest, resumed bool) Result {
	r := Result{Outcome: Fails, Scenario: s.Summary(), SelfTest: &got, Resumed: resumed}
	if got.Holds {
		r.Outcome = Holds
	}
	return r
}

func (r *run) finish(i int, s *scenario.Scenario, got Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[i] = got
	r.Watch(Event{Scenario: s, Result: &got})
}

func (r *Report) count() {
	t := Totals{Scenarios: len(r.Results)}
	for _, result := range r.Results {
		switch result.Outcome {
		case Holds:
			t.Hold++
		case Fails:
			t.Fail++
		case Untested:
			t.Untested++
		}
		if result.Resumed {
			t.Resumed++
		}
		if result.SelfTest != nil {
			t.Cases += len(result.SelfTest.Cases)
		}
		t.CasesFailed += len(result.Failed())
	}
	r.Totals, r.Complete = t, t.Untested == 0
}
