package wargame

import (
	"context"
	"fmt"
	"io/fs"

	"crisol"
	"crisol/internal/oracle"
	"crisol/internal/sandbox"
	"crisol/internal/scenario"
)

// fate is what became of one run of an input.
type fate int

const (
	untold    fate = iota // it can't be told: a limit, an oracle without an answer, a target that was not reached
	held                  // the oracle holds: the exploit succeeded, the benign input is healthy
	notHeld               // it does not hold; for an exploit: blocked, and nothing says that it missed its target
	unhealthy             // an input hung or its service never came up: it says nothing of an exploit, but a benign input fails by it
)

// attempt is one judged run.
type attempt struct {
	fate    fate
	words   string
	reached *bool
	run     crisol.Run
}

// The kits' own words (see internal/kit).
var (
	zero        = 0
	kitReached  = &scenario.Oracle{Stdout: &scenario.Text{Contains: "crisol reached ${token}"}}
	exitZero    = &scenario.Oracle{Exit: &zero}
	kitFinished = &scenario.Oracle{Exit: &zero, Stdout: &scenario.Text{Contains: "crisol healthy ${token}"}}
)

// strike runs one exploit once on a side and judges it.
func (a *Arena) strike(ctx context.Context, s *scenario.Scenario, on side, x scenario.Exploit) (attempt, error) {
	goal, probe := x.Oracle, x.Reached
	if goal == nil {
		goal = exitZero
	}
	if probe == nil && s.Kit != "" {
		probe = kitReached
	}
	sh := shot{s: s, on: on, input: x.Input, callback: x.Callback, oracles: []*scenario.Oracle{goal, probe}, order: order{Hostile: true}}
	seen, err := a.sight(ctx, sh, goal)
	if err != nil {
		return attempt{run: seen.run}, err
	}
	if seen.down != "" {
		return attempt{fate: unhealthy, words: seen.run.Note, run: seen.run}, nil
	}
	got := attempt{run: seen.run}
	finding, err := oracle.Judge(goal, &seen.obs)
	switch {
	case err != nil:
		got.words = err.Error()
		if seen.run.Note != "" {
			got.words += " (" + seen.run.Note + ")"
		}
		return got, nil
	case finding.Holds:
		got.fate, got.words = held, finding.Words
		return got, nil
	case seen.obs.Stopped != "":
		got.words = fmt.Sprintf("%s, but %s before it was done", finding.Words, stopped(seen))
		return got, nil
	}
	// The probe's answers follow the goal's.
	seen.obs.Answers = seen.obs.Answers[min(len(oracle.Requests(goal)), len(seen.obs.Answers)):]
	return reach(got, finding.Words, probe, &seen.obs), nil
}

func stopped(seen sighting) string {
	if seen.run.Note != "" {
		return seen.run.Note
	}
	return "the " + seen.obs.Stopped + " limit ended it"
}

// reach decides whether an exploit whose oracle doesn't hold was blocked or never got to its target.
func reach(got attempt, words string, probe *scenario.Oracle, obs *oracle.Observation) attempt {
	got.fate, got.words = notHeld, words
	if probe == nil {
		return got
	}
	there, err := oracle.Judge(probe, obs)
	if err != nil {
		got.fate, got.words = untold, fmt.Sprintf("%s; whether it reached its target can't be told: %v", words, err)
		return got
	}
	got.reached = &there.Holds
	if !there.Holds {
		got.fate, got.words = untold, fmt.Sprintf("%s, but it never reached its target: %s", words, firstError(obs))
	}
	return got
}

func firstError(obs *oracle.Observation) string {
	if obs.Stderr == "" {
		return fmt.Sprintf("exit %d", obs.Exit)
	}
	return brief(obs.Stderr)
}

// sight fires a shot, or the series that a slow oracle asks for.
func (a *Arena) sight(ctx context.Context, sh shot, goal *scenario.Oracle) (sighting, error) {
	if slow := oracle.SlowOf(goal); slow != nil {
		return a.series(ctx, sh, slow)
	}
	return a.fire(ctx, sh)
}

// use runs one benign input or test once on a side and judges it.
func (a *Arena) use(ctx context.Context, s *scenario.Scenario, on side, input scenario.Input, isTest bool) (attempt, error) {
	goal, dir := input.Oracle, sandbox.WorkDir
	if isTest && !ownScript(s, input) {
		dir = on.root()
	}
	switch {
	case goal == nil && s.Kit != "" && !isTest:
		goal = kitFinished
	case goal == nil:
		goal = exitZero
	}
	seen, err := a.sight(ctx, shot{s: s, on: on, input: input, dir: dir, oracles: []*scenario.Oracle{goal}}, goal)
	if err != nil {
		return attempt{run: seen.run}, err
	}
	switch {
	case seen.down != "":
		return attempt{fate: unhealthy, words: seen.run.Note, run: seen.run}, nil
	case seen.obs.Stopped != "":
		return attempt{fate: unhealthy, words: stopped(seen), run: seen.run}, nil
	}
	finding, untellable := oracle.Judge(goal, &seen.obs)
	switch {
	case untellable != nil:
		return attempt{fate: untold, words: untellable.Error(), run: seen.run}, nil //nolint:nilerr // it is the evidence
	case finding.Holds:
		return attempt{fate: held, words: finding.Words, run: seen.run}, nil
	}
	words := finding.Words
	if seen.obs.Stderr != "" {
		words += ": " + brief(seen.obs.Stderr)
	}
	return attempt{fate: notHeld, words: words, run: seen.run}, nil
}

// ownScript says whether an input runs a file that lies beside the manifest, and so belongs in /work. A test that doesn't
// is the target's own and runs in its tree.
func ownScript(s *scenario.Scenario, input scenario.Input) bool {
	for _, arg := range input.Run[1:] {
		if info, err := fs.Stat(s.Files, arg); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// tally sums up the runs of one input on one side.
type tally struct {
	ID        string
	Successes int // exploits: runs that succeeded
	Blocked   int // exploits: runs that were blocked
	Runs      int
	Reached   *bool // false as soon as one blocked run missed its target; nil while nothing can tell
	Words     string
	Evidence  []crisol.Run
}

// maxEvidence bounds the runs whose output is kept for one check.
const maxEvidence = 3

func (t *tally) add(got attempt) {
	t.Runs++
	switch got.fate {
	case held:
		if t.Successes++; t.Successes == 1 {
			t.Words, t.Evidence = got.words, nil
		}
	case notHeld:
		t.Blocked++
		if got.reached != nil && (t.Reached == nil || *t.Reached) {
			t.Reached = got.reached
		}
	case untold, unhealthy:
	}
	if t.Words == "" || (t.Successes == 0 && got.fate != notHeld) {
		t.Words = got.words
	}
	if len(t.Evidence) < maxEvidence {
		t.Evidence = append(t.Evidence, got.run)
	}
}

// repeat strikes until enough says so, the first strike alone, the others as many at once as the arena allows. It stops
// early when a strike can't be told, and on the patched side as soon as one succeeds.
func (a *Arena) repeat(ctx context.Context, s *scenario.Scenario, on side, x scenario.Exploit, t *tally, want int) error {
	for t.Runs < want && t.Runs == t.Successes+t.Blocked && (on.name == crisol.Vulnerable || t.Successes == 0) {
		batch := min(want-t.Runs, a.Workers)
		got := make([]attempt, batch)
		err := parallel(ctx, batch, func(ctx context.Context, i int) (err error) {
			got[i], err = a.strike(ctx, s, on, x)
			return err
		})
		if err != nil {
			return err
		}
		for _, one := range got {
			t.add(one)
		}
	}
	return nil
}
