package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Seen is what callers saw.
type Seen struct {
	Requests int
	Kinds    map[string]int
	// Limited and Busy are answers 429 and 503 that say when to come again, Severed requests without an answer while the
	// service was dead by kill -9.
	Limited, Busy, Severed int
	Failed                 []string // all other requests that weren't answered as they should be
	Accepted, Answered     int
	Trials                 int      // of those answered
	Lost                   []string // accepted, and not answered in the end
	Wrong                  []string // verdicts that aren't right
	Undecided              []string // trials that ended inconclusive, which claims nothing
}

func (s *Seen) refuse(status int) {
	if status == http.StatusTooManyRequests {
		s.Limited++
	} else {
		s.Busy++
	}
}

func (s *Seen) fail(at time.Time, q question, what string) {
	s.Failed = append(s.Failed, fmt.Sprintf("%s %s %s: %s", at.Format("15:04:05.000"), q.method, q.path, what))
}

func (s *Seen) judge(name, verdict string, want accepted) {
	switch {
	case verdict == want.verdict:
	case verdict == "inconclusive" && want.trial:
		s.Undecided = append(s.Undecided, name)
	default:
		s.Wrong = append(s.Wrong, fmt.Sprintf("%s: %s, want %s", name, verdict, want.verdict))
	}
}

// Growth is a figure of a process early and late, while nothing killed it.
type Growth struct {
	Early, Late float64
}

// Report is all that a soak showed.
type Report struct {
	Seen
	Took       time.Duration
	Faults     map[string]int
	Slowest    map[string]time.Duration // by fault: how long it took at most until it was over, waiting for the service included
	Goroutines map[string]Growth        // by process: after the first seconds of load, and at the end; idle both times
	Memory     map[string]Growth        // by process: medians of MiB, over the second and the last quarter of the time that spared it; empty if that was short
	Panics     int                      // in the logs of the processes
}

// Bounds of what counts as flat: what Go's runtime and connection pools keep moves by so much without a leak.
const (
	moreGoroutines = 1.2
	fewGoroutines  = 10
	moreMemory     = 1.15
	littleMemory   = 8 // MiB
	errorShare     = 0.001
	undecidedShare = 0.01
)

// Broken are the rules that don't hold.
func (r Report) Broken() (rules []string) {
	rule := func(broken bool, format string, args ...any) {
		if broken {
			rules = append(rules, fmt.Sprintf(format, args...))
		}
	}
	rule(r.Requests == 0 || r.Trials == 0, "nothing was asked, or nothing fought: this shows nothing")
	rule(r.Accepted != r.Answered, "%d were accepted, %d answered", r.Accepted, r.Answered)
	rule(len(r.Wrong) > 0, "%d wrong verdicts", len(r.Wrong))
	rule(float64(len(r.Failed)) > errorShare*float64(r.Requests), "%d of %d requests failed", len(r.Failed), r.Requests)
	rule(float64(len(r.Undecided)) > undecidedShare*float64(r.Trials), "%d of %d trials undecided", len(r.Undecided), r.Trials)
	rule(r.Panics > 0, "%d panics", r.Panics)
	for _, name := range slices.Sorted(maps.Keys(r.Goroutines)) {
		g := r.Goroutines[name]
		rule(g.Late > moreGoroutines*g.Early+fewGoroutines, "the %s has %.0f goroutines, and had %.0f", name, g.Late, g.Early)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Memory)) {
		m := r.Memory[name]
		rule(m.Late > moreMemory*m.Early+littleMemory, "the %s takes %.0f MiB, and took %.0f", name, m.Late, m.Early)
	}
	return rules
}

// String tells all figures, and the first of what went wrong.
func (r Report) String() string {
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	say("%d requests in %s", r.Requests, r.Took.Round(time.Second))
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		say("  %-20s %d", kind, r.Kinds[kind])
	}
	total := 0
	for _, n := range r.Faults {
		total += n
	}
	say("%d faults", total)
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		say("  %-36s %d, over after %s at most", name, r.Faults[name], r.Slowest[name].Round(time.Millisecond))
	}
	say("accepted %d, answered %d (by trials %d, of which undecided %d), wrong verdicts %d", r.Accepted, r.Answered, r.Trials, len(r.Undecided), len(r.Wrong))
	say("errors %d (%.4f %%); apart: 429 %d, 503 with Retry-After %d, without answer while the service was dead %d",
		len(r.Failed), 100*float64(len(r.Failed))/float64(max(1, r.Requests)), r.Limited, r.Busy, r.Severed)
	for _, name := range slices.Sorted(maps.Keys(r.Goroutines)) {
		say("goroutines of the %s, idle: %.0f at first, %.0f at the end", name, r.Goroutines[name].Early, r.Goroutines[name].Late)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Memory)) {
		say("memory of the %s, under load: %.1f MiB, later %.1f MiB", name, r.Memory[name].Early, r.Memory[name].Late)
	}
	for _, went := range []struct {
		how  string
		list []string
	}{{"failed", r.Failed}, {"wrong", r.Wrong}, {"lost", r.Lost}, {"undecided", r.Undecided}} {
		for _, line := range went.list[:min(len(went.list), 20)] {
			say("%s: %s", went.how, line)
		}
	}
	for _, line := range r.Broken() {
		say("BROKEN: %s", line)
	}
	return b.String()
}
