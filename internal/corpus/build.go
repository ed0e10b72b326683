package corpus

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/corpus/mutate"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/verdict"
	"crisol/internal/wargame"
)

// Arena holds trials (wargame.Arena).
type Arena interface {
	Run(context.Context, wargame.Order) (wargame.Report, error)
	SelfTest(context.Context, *scenario.Scenario, wargame.SelfTestOptions) (wargame.SelfTest, error)
	Terms() string
}

// Options say how a corpus is built.
type Options struct {
	Arena   Arena
	Targets Targets
	// Library holds every scenario, for the patches of a package's other vulnerabilities.
	Library []*scenario.Scenario
	// Handwritten is a set of patches SCENARIO/*.diff; nil has none.
	Handwritten fs.FS
	// Out is the file of the corpus. Resume goes on with what it holds.
	Out    string
	Resume bool
	// PerScenario is the most candidates that a scenario has; 0 is DefaultPerScenario.
	PerScenario int
	// Operators names those that may propose; none named are all.
	Operators []string
	// Workers bounds the scenarios that are worked on at once; 0 is one.
	Workers int
	// Timeout bounds one trial; 0 is DefaultTimeout.
	Timeout time.Duration
	// Repeat is the runs of each exploit on each side; 0 repeats until the residual risk is below certify.DefaultRisk.
	Repeat int
	// Watch hears of the build's course, one event at a time; nil hears nothing.
	Watch func(Event)
	Log   *slog.Logger     // nil discards
	Now   func() time.Time // nil is time.Now
}

// The defaults.
const (
	DefaultPerScenario = 24
	DefaultTimeout     = 5 * time.Minute
)

// largestPatch bounds a candidate, in bytes: what is larger is no patch that a person would be asked to judge.
const largestPatch = 128 << 10

// Event is a step of a build: an operator's candidate of a scenario is tried, or the scenario is done.
type Event struct {
	Scenario string
	Operator string // "" while the target is prepared
	Done     *Tally
}

// Tally counts candidates.
type Tally struct {
	Candidates   int // in the corpus, those from before too
	Fixed        int
	NotFixed     int
	Broken       int
	Inconclusive int
	Failed       int // no trial could be held
	Known        int // of all these, those from before
	Err          error
}

func (t *Tally) count(v crisol.Verdict, known bool) {
	t.Candidates++
	switch v {
	case crisol.Fixed:
		t.Fixed++
	case crisol.NotFixed:
		t.NotFixed++
	case crisol.Broken:
		t.Broken++
	case Failed:
		t.Failed++
	default:
		t.Inconclusive++
	}
	if known {
		t.Known++
	}
}

// Add adds up two tallies.
func (t *Tally) Add(other Tally) {
	t.Candidates += other.Candidates
	t.Fixed += other.Fixed
	t.NotFixed += other.NotFixed
	t.Broken += other.Broken
	t.Inconclusive += other.Inconclusive
	t.Failed += other.Failed
	t.Known += other.Known
	t.Err = errors.Join(t.Err, other.Err)
}

// Build makes the candidates of the scenarios and has each tried. The tally counts all of them, also when ctx ends early;
// its error tells of scenarios that gave none. The error says that the build could not begin or go on.
func Build(ctx context.Context, list []*scenario.Scenario, o Options) (total Tally, err error) {
	o.defaults()
	if _, err := chosen(operatorsOf(o, nil), o.Operators); err != nil {
		return Tally{}, err
	}
	out, err := openFile(o.Out, o.Resume)
	if err != nil {
		return Tally{}, err
	}
	b := &build{Options: o, out: out}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Workers))
	for _, s := range list {
		group.Go(func() error {
			if inner.Err() != nil {
				return inner.Err()
			}
			tally, err := b.scenario(inner, s)
			b.mu.Lock()
			defer b.mu.Unlock()
			total.Add(tally)
			b.Watch(Event{Scenario: s.ID, Done: &tally})
			return err
		})
	}
	err = group.Wait()
	return total, errors.Join(err, out.close())
}

func (o *Options) defaults() {
	if o.PerScenario == 0 {
		o.PerScenario = DefaultPerScenario
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
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

// Operators names the operators in the order of their turns.
func Operators() (names []string) {
	for _, op := range operatorsOf(Options{}, nil) {
		names = append(names, op.name)
	}
	return names
}

// chosen keeps the named operators, in the order of their turns.
func chosen(all []operator, names []string) ([]operator, error) {
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(op operator) bool { return op.name == name }) {
			err := crisol.Errorf(crisol.KindInput, "there is no operator %q", name)
			return nil, crisol.WithHint(err, "the operators are %s", strings.Join(Operators(), ", "))
		}
	}
	return slices.DeleteFunc(all, func(op operator) bool { return !slices.Contains(names, op.name) }), nil
}

// build is a build under way.
type build struct {
	Options
	out *file

	mu sync.Mutex // puts events in a row, and guards the total
}

func (b *build) watch(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Watch(e)
}

// scenario makes and tries the candidates of one scenario. Its error ends the build; what is wrong with the scenario
// alone is the tally's.
func (b *build) scenario(ctx context.Context, s *scenario.Scenario) (Tally, error) {
	b.watch(Event{Scenario: s.ID})
	x, err := open(ctx, b.Targets, s)
	if err != nil {
		return Tally{Err: crisol.Errorf(crisol.KindOf(err), "%s: %w", s.ID, err)}, ctx.Err()
	}
	defer x.release()
	w := &work{build: b, subject: x, seen: map[string]bool{}}
	err = w.rounds(ctx)
	return w.tally, err
}

// work is what is done on one scenario.
type work struct {
	*build
	subject *subject
	trust   crisol.Gate
	seen    map[string]bool // candidates that had their turn
	tally   Tally
}

// queue is an operator that is pulled from.
type queue struct {
	operator
	next func() (proposal, bool)
	dry  bool
}

// rounds gives each operator its turn until they have nothing left or there are enough candidates.
func (w *work) rounds(ctx context.Context) error {
	var queues []*queue
	operators, err := chosen(operatorsOf(w.Options, w.subject), w.Operators)
	if err != nil {
		return err
	}
	for _, op := range operators {
		next, stop := iter.Pull(op.propose(ctx, w.subject, w.verdict))
		defer stop()
		queues = append(queues, &queue{operator: op, next: next})
	}
	for wet := true; wet; {
		wet = false
		for _, q := range queues {
			if q.edits && !w.subject.proven {
				continue
			}
			for range min(q.turns, max(1, w.PerScenario/3)) {
				if w.tally.Candidates >= w.PerScenario {
					return nil
				}
				if err := w.turn(ctx, q); err != nil {
					return err
				}
				wet = wet || !q.dry
			}
		}
	}
	return nil
}

// mostDuplicates is how many proposals that are no new candidates a turn may see before it is over.
const mostDuplicates = 40

// turn pulls from an operator until there is a candidate.
func (w *work) turn(ctx context.Context, q *queue) error {
	for range mostDuplicates {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if q.dry {
			return nil
		}
		p, ok := q.next()
		if !ok {
			q.dry = true
			return nil
		}
		done, err := w.candidate(ctx, q.name, p)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// verdict answers what is known of a proposal.
func (w *work) verdict(p proposal) crisol.Verdict {
	v, _ := w.out.verdict(w.subject.id(p.after))
	return v
}

// candidate tries a proposal, unless it is known. done says that it is a candidate.
func (w *work) candidate(ctx context.Context, operator string, p proposal) (done bool, err error) {
	patch := p.patch(w.subject)
	if len(patch.Files) == 0 {
		return false, nil
	}
	c := w.describe(operator, p, patch)
	if w.seen[c.ID] || len(c.Patch) > largestPatch {
		return false, nil
	}
	w.seen[c.ID] = true
	if !parses(w.subject.base, p.after) {
		return false, nil
	}
	if v, known := w.out.verdict(c.ID); known {
		w.count(p, v, true)
		return true, nil
	}
	w.watch(Event{Scenario: w.subject.ID, Operator: operator})
	if err := w.try(ctx, &c, patch); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		w.Log.Warn("a candidate is of no use", "scenario", w.subject.ID, "operator", operator, "error", err)
		return false, nil
	}
	if err := w.out.add(c); err != nil {
		return false, err
	}
	w.count(p, c.Verdict, false)
	return true, nil
}

func (w *work) count(p proposal, v crisol.Verdict, known bool) {
	w.tally.count(v, known)
	if v == crisol.Fixed {
		w.subject.adopt(p.after)
	}
}

// parses says whether every edited file still does.
func parses(before, after sources) bool {
	for name, text := range after {
		if !mutate.Parses(name, before[name], text) {
			return false
		}
	}
	return true
}

func (w *work) describe(operator string, p proposal, patch *diff.Patch) Candidate {
	x := w.subject
	c := Candidate{
		Scenario: x.ID, CVE: x.Vulnerability.CVE, CWE: x.Vulnerability.CWE, Type: x.Vulnerability.Type, Severity: x.Vulnerability.Severity,
		Ecosystem: x.tree.Ecosystem, Package: x.pkg, Text: x.spoken(), Operator: operator, Parent: p.parent, Note: p.note,
		Patch: patch.String(), ScenarioDigest: x.Digest, TargetDigest: x.tree.Digest, PatchDigest: patch.Digest(), Terms: w.Arena.Terms(),
	}
	c.ID = identify(c.ScenarioDigest, c.PatchDigest)
	for _, f := range patch.Files {
		if text, ok := x.base[f.Path()]; ok {
			c.Files = append(c.Files, File{Path: path.Clean(f.Path()), Before: text})
		}
	}
	return c
}

// tries is how often a trial is held that infrastructure keeps from telling.
const tries = 3

// try has a candidate judged by a wargame. An error says that the patch is no candidate, or that ctx has ended.
func (w *work) try(ctx context.Context, c *Candidate, patch *diff.Patch) error {
	started := w.Now()
	// What is tried is what is kept: a text that reads otherwise would be another patch.
	parsed, err := diff.Parse([]byte(c.Patch), diff.Limits{})
	if err != nil {
		return err
	}
	if parsed.Digest() != patch.Digest() {
		return crisol.Errorf(crisol.KindInternal, "the patch reads back as another one")
	}
	var report wargame.Report
	for range tries {
		if report, err = w.trial(ctx, parsed); err != nil {
			return err
		}
		if report.Infrastructure == "" || report.TimedOut {
			break
		}
	}
	d := verdict.Decide(report.Gates, report.Risk, certify.DefaultRisk)
	c.Verdict, c.Assurance, c.Reason, c.Gates = d.Verdict, d.Assurance, d.Reason, summary(report.Gates)
	if d.Verdict == crisol.Inconclusive && report.Infrastructure != "" {
		c.Verdict, c.Reason = Failed, report.Infrastructure
	}
	c.ResidualRisk, c.Created = report.Risk, w.Now().UTC()
	c.Seconds = w.Now().Sub(started).Seconds()
	return nil
}

func (w *work) trial(ctx context.Context, patch *diff.Patch) (wargame.Report, error) {
	bounded, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	if w.trust.Name == "" {
		w.trust = w.trusted(ctx)
	}
	return w.Arena.Run(bounded, wargame.Order{Scenario: w.subject.Scenario, Candidate: wargame.Candidate{Patch: patch}, SelfTest: w.trust, Repeat: w.Repeat})
}

// trusted is the gate of the self-test. A scenario of the library is believed by the day on which it was last seen to
// hold, which its manifest tells and the library's own round of tests checks; any other is tested.
func (w *work) trusted(ctx context.Context) crisol.Gate {
	s := w.subject.Scenario
	if s.Embedded && !s.Verified.IsZero() {
		return crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Passed, Evidence: "the library's: seen to hold on " + s.Verified.Format(time.DateOnly)}
	}
	result, err := w.Arena.SelfTest(ctx, s, wargame.SelfTestOptions{})
	if err != nil {
		return crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Errored, Evidence: err.Error()}
	}
	return result.Gate()
}

func summary(gates []crisol.Gate) (list []Gate) {
	for _, g := range gates {
		kept := Gate{Name: g.Name, Outcome: g.Outcome, Runs: g.Runs}
		for _, check := range g.Checks {
			if check.Outcome == crisol.Failed && check.Side == crisol.Patched {
				kept.Failed = append(kept.Failed, check.ID)
			}
		}
		list = append(list, kept)
	}
	return list
}
