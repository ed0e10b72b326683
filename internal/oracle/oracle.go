// Package oracle decides what happened in a run, from outside the process that was run.
//
// In goes a scenario's Oracle and an Observation, gathered after the process ended; out comes whether it holds, in words
// that a person can check. It runs nothing. What can't be told is an error, never an answer.
package oracle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"crisol/internal/scenario"
)

// Observation is what is known of a run once it has ended.
type Observation struct {
	// Token is the secret of this run, for ${token} in texts.
	Token  string
	Exit   int
	Signal string // name of the signal that ended the process, or ""
	// Stopped names the limit that ended the run, or "".
	Stopped        string
	Stdout, Stderr string
	Files          Files
	// Hits are the requests that the listener received, as text.
	Hits []string
	// Answers are the service's answers to Requests(oracle), in that order.
	Answers []Answer
	// Series holds the paired runs of a slow oracle, sizes ascending.
	Series []Pair
}

// Answer is a service's answer to an HTTP oracle's request.
type Answer struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header"`
	Body   string              `json:"body"`
	Error  string              `json:"error,omitempty"`
}

// Pair is one size of a slow oracle: the CPU time of the hostile and of the harmless run, and whether a limit ended it.
type Pair struct {
	Size                            int
	Hostile, Harmless               time.Duration
	HostileStopped, HarmlessStopped bool
}

// DefaultFactor is how many times the harmless run's CPU time a hostile one needs to count as slow. Measured on 600 npm
// cases, the ratio was about 1 where the flaw was fixed and 10 or more where it was not.
const DefaultFactor = 5

// Finding is an oracle's answer.
type Finding struct {
	Holds bool
	Words string
}

// Judge decides whether o holds. An error says that it could not be told.
func Judge(o *scenario.Oracle, obs *Observation) (Finding, error) {
	j := judge{obs: obs}
	return j.oracle(o)
}

type judge struct {
	obs    *Observation
	answer int // next of obs.Answers
}

// oracle joins every field that is set with "and".
func (j *judge) oracle(o *scenario.Oracle) (Finding, error) {
	var parts []func() (Finding, error)
	add := func(set bool, part func() (Finding, error)) {
		if set {
			parts = append(parts, part)
		}
	}
	add(o.Exit != nil, func() (Finding, error) { return j.exit(*o.Exit) })
	add(o.Stdout != nil, func() (Finding, error) { return j.text("stdout", j.obs.Stdout, o.Stdout) })
	add(o.Stderr != nil, func() (Finding, error) { return j.text("stderr", j.obs.Stderr, o.Stderr) })
	add(o.File != nil, func() (Finding, error) { return j.file(o.File) })
	add(o.HTTP != nil, func() (Finding, error) { return j.http(o.HTTP) })
	add(o.Slow != nil, func() (Finding, error) { return j.slow(o.Slow) })
	add(o.Crash != nil, func() (Finding, error) { return j.crash(o.Crash) })
	add(o.Callback != nil, func() (Finding, error) { return j.callback(o.Callback) })
	add(o.SQL != nil, func() (Finding, error) { return j.sql(o.SQL) })
	add(len(o.All) > 0, func() (Finding, error) { return j.all(o.All) })
	add(len(o.Any) > 0, func() (Finding, error) { return j.any(o.Any) })
	add(o.Not != nil, func() (Finding, error) { return j.not(o.Not) })
	if len(parts) == 0 {
		return Finding{}, fmt.Errorf("the oracle is empty")
	}
	return conjunction(parts)
}

// conjunction evaluates every part, so that HTTP answers stay in step, and prefers "does not hold" to an error: one
// part that is known not to hold decides.
func conjunction(parts []func() (Finding, error)) (Finding, error) {
	var words []string
	var failed *Finding
	var untold error
	for _, part := range parts {
		f, err := part()
		switch {
		case err != nil:
			untold = err
		case !f.Holds && failed == nil:
			failed = &f
		}
		words = append(words, f.Words)
	}
	switch {
	case failed != nil:
		return *failed, nil
	case untold != nil:
		return Finding{}, untold
	}
	return Finding{true, strings.Join(words, " and ")}, nil
}

func (j *judge) all(list []scenario.Oracle) (Finding, error) {
	parts := make([]func() (Finding, error), len(list))
	for i := range list {
		parts[i] = func() (Finding, error) { return j.oracle(&list[i]) }
	}
	return conjunction(parts)
}

func (j *judge) any(list []scenario.Oracle) (Finding, error) {
	var words []string
	var held *Finding
	var untold error
	for i := range list {
		f, err := j.oracle(&list[i])
		switch {
		case err != nil:
			untold = err
		case f.Holds && held == nil:
			held = &f
		default:
			words = append(words, f.Words)
		}
	}
	switch {
	case held != nil:
		return *held, nil
	case untold != nil:
		return Finding{}, untold
	}
	return Finding{false, "none holds: " + strings.Join(words, "; ")}, nil
}

func (j *judge) not(o *scenario.Oracle) (Finding, error) {
	f, err := j.oracle(o)
	return Finding{!f.Holds, "not (" + f.Words + ")"}, err
}

func (j *judge) exit(want int) (Finding, error) {
	if j.obs.Stopped != "" {
		return Finding{}, fmt.Errorf("the %s limit ended the run before it could exit", j.obs.Stopped)
	}
	return Finding{j.obs.Exit == want, fmt.Sprintf("exit %d (wanted %d)", j.obs.Exit, want)}, nil
}

func (j *judge) text(name, got string, want *scenario.Text) (Finding, error) {
	contains := strings.ReplaceAll(want.Contains, "${token}", j.obs.Token)
	if contains != "" && !strings.Contains(got, contains) {
		return Finding{false, fmt.Sprintf("%s lacks %q", name, want.Contains)}, nil
	}
	if want.Matches == "" {
		return Finding{true, fmt.Sprintf("%s contains %q", name, want.Contains)}, nil
	}
	expr, err := regexp.Compile(strings.ReplaceAll(want.Matches, "${token}", regexp.QuoteMeta(j.obs.Token)))
	if err != nil {
		return Finding{}, fmt.Errorf("read the expression for %s: %w", name, err)
	}
	found := expr.FindString(got)
	if found == "" && !expr.MatchString(got) {
		return Finding{false, fmt.Sprintf("%s doesn't match /%s/", name, want.Matches)}, nil
	}
	return Finding{true, fmt.Sprintf("%s matches /%s/ with %q", name, want.Matches, brief(found))}, nil
}

func (j *judge) callback(want *scenario.Text) (Finding, error) {
	if len(j.obs.Hits) == 0 {
		return Finding{false, "the listener was not called"}, nil
	}
	if want.Contains == "" && want.Matches == "" {
		return Finding{true, fmt.Sprintf("the listener was called: %s", firstLine(j.obs.Hits[0]))}, nil
	}
	for _, hit := range j.obs.Hits {
		if f, err := j.text("the call", hit, want); err != nil || f.Holds {
			return f, err
		}
	}
	return Finding{false, fmt.Sprintf("the listener was called %d times, never as wanted; first: %s", len(j.obs.Hits), firstLine(j.obs.Hits[0]))}, nil
}

func (j *judge) http(want *scenario.HTTP) (Finding, error) {
	if j.answer >= len(j.obs.Answers) {
		return Finding{}, fmt.Errorf("the request to %s was not made", want.URL)
	}
	got := j.obs.Answers[j.answer]
	j.answer++
	if got.Error != "" {
		return Finding{}, fmt.Errorf("request %s: %s", want.URL, got.Error)
	}
	if want.Status != 0 && got.Status != want.Status {
		return Finding{false, fmt.Sprintf("%s answered %d (wanted %d)", want.URL, got.Status, want.Status)}, nil
	}
	for _, name := range sortedKeys(want.Header) {
		f, err := j.text("header "+name, strings.Join(header(got.Header, name), ", "), &scenario.Text{Matches: want.Header[name]})
		if err != nil || !f.Holds {
			return f, err
		}
	}
	if want.Matches != "" {
		f, err := j.text("the answer of "+want.URL, got.Body, &scenario.Text{Matches: want.Matches})
		if err != nil || !f.Holds {
			return f, err
		}
	}
	if want.Lacks != "" {
		f, err := j.text("the answer of "+want.URL, got.Body, &scenario.Text{Matches: want.Lacks})
		if err != nil || f.Holds {
			return Finding{false, f.Words}, err
		}
	}
	return Finding{true, fmt.Sprintf("%s answered %d as wanted", want.URL, got.Status)}, nil
}

// slow compares by growth within one run of the series, never by a wall-clock constant.
func (j *judge) slow(want *scenario.Slow) (Finding, error) {
	if len(j.obs.Series) == 0 {
		return Finding{}, fmt.Errorf("no run of the series was made")
	}
	factor := want.Factor
	if factor == 0 {
		factor = DefaultFactor
	}
	first, last := j.obs.Series[0], j.obs.Series[len(j.obs.Series)-1]
	switch {
	case last.HarmlessStopped:
		return Finding{}, fmt.Errorf("the harmless input of size %d hit the limit too", last.Size)
	case last.HostileStopped:
		return Finding{true, fmt.Sprintf("at size %d the hostile input hit the CPU limit; the harmless one needed %s", last.Size, ms(last.Harmless))}, nil
	}
	ratio := last.ratio()
	words := fmt.Sprintf("at size %d the hostile input needed %s of CPU time, the harmless one %s: %.1f times (limit %g)",
		last.Size, ms(last.Hostile), ms(last.Harmless), ratio, factor)
	grows := len(j.obs.Series) == 1 || ratio > first.ratio()
	return Finding{ratio >= factor && grows, words}, nil
}

func (p Pair) ratio() float64 {
	return float64(p.Hostile) / float64(max(p.Harmless, time.Millisecond))
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }

func brief(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return brief(strings.TrimSpace(line))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func header(h map[string][]string, name string) []string {
	for key, values := range h {
		if strings.EqualFold(key, name) {
			return values
		}
	}
	return nil
}
