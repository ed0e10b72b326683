package round_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/round"
	"crisol/internal/scenario"
	"crisol/internal/wargame"
)

func scenarios(n int) (list []*scenario.Scenario) {
	for i := range n {
		s := &scenario.Scenario{Digest: fmt.Sprintf("digest-%d", i)}
		s.ID = fmt.Sprintf("scenario-%d", i)
		list = append(list, s)
	}
	return list
}

// tester stands for an arena: it counts who was tested.
type tester struct {
	mu     sync.Mutex
	tested []string
	test   func(ctx context.Context, s *scenario.Scenario) (wargame.SelfTest, error)
}

func (t *tester) SelfTest(ctx context.Context, s *scenario.Scenario, o wargame.SelfTestOptions) (wargame.SelfTest, error) {
	t.mu.Lock()
	t.tested = append(t.tested, s.ID)
	t.mu.Unlock()
	o.Watch("reference", false, wargame.SelfTestCase{})
	if t.test != nil {
		return t.test(ctx, s)
	}
	c := wargame.SelfTestCase{Name: "reference", Want: "fixed", Got: "fixed", Holds: true}
	o.Watch("reference", true, c)
	return wargame.SelfTest{Scenario: s.ID, Digest: s.Digest, Holds: true, Seconds: 2, Cases: []wargame.SelfTestCase{c}}, nil
}

func options(dir string, t *tester) round.Options {
	return round.Options{Tester: t, Dir: dir, Terms: "rules 1, bwrap 0.8", Selection: "all", Workers: 1}
}

func run(t *testing.T, ctx context.Context, list []*scenario.Scenario, o round.Options) round.Report {
	t.Helper()
	report, err := round.Run(ctx, list, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// interrupted runs a round that ends after n scenarios.
func interrupted(t *testing.T, list []*scenario.Scenario, n int, o round.Options) round.Report {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := 0
	o.Watch = func(e round.Event) {
		if e.Result != nil {
			if done++; done == n {
				cancel()
			}
		}
	}
	return run(t, ctx, list, o)
}

func TestResume(t *testing.T) {
	t.Parallel()
	dir, list, first := t.TempDir(), scenarios(5), &tester{}
	r := interrupted(t, list, 2, options(dir, first))
	if want := (round.Totals{Scenarios: 5, Hold: 2, Untested: 3, Cases: 2}); r.Totals != want || r.Complete {
		t.Fatalf("%+v", r)
	}
	if last := r.Results[4]; last.Outcome != round.Untested || !strings.Contains(last.Error, "interrupted") || last.Scenario.ID != "scenario-4" {
		t.Errorf("%+v", last)
	}

	second := &tester{}
	o := options(dir, second)
	o.Resume = true
	list[0].Digest = "edited meanwhile"
	var events []string
	o.Watch = func(e round.Event) {
		if e.Result != nil {
			events = append(events, fmt.Sprint(e.Scenario.ID, " ", e.Result.Outcome, " ", e.Result.Resumed))
		}
	}
	r = run(t, t.Context(), list, o)
	if want := (round.Totals{Scenarios: 5, Hold: 5, Resumed: 1, Cases: 5}); r.Totals != want || !r.Complete {
		t.Errorf("%+v", r.Totals)
	}
	if got := fmt.Sprint(second.tested); got != "[scenario-0 scenario-2 scenario-3 scenario-4]" {
		t.Errorf("tested again: %s", got)
	}
	if !r.Results[1].Resumed || r.Results[1].SelfTest.Seconds != 2 || len(events) != 5 {
		t.Errorf("%+v, %v", r.Results[1], events)
	}

	third := &tester{}
	o = options(dir, third)
	o.Resume = true
	if r = run(t, t.Context(), list, o); len(third.tested) != 5 || r.Totals.Resumed != 0 {
		t.Errorf("a round that came to its end was resumed: %v", third.tested)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestNotResumed: without being asked, and under other terms, a round starts afresh.
func TestNotResumed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*round.Options){
		"not asked":       func(o *round.Options) { o.Resume = false },
		"other sandbox":   func(o *round.Options) { o.Terms = "rules 1, runc 1.1" },
		"other repeat":    func(o *round.Options) { o.Repeat = 3 },
		"other selection": func(o *round.Options) { o.Selection = "part 1/10" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, list, again := t.TempDir(), scenarios(3), &tester{}
			interrupted(t, list, 2, options(dir, &tester{}))
			o := options(dir, again)
			o.Resume = true
			change(&o)
			if r := run(t, t.Context(), list, o); len(again.tested) != 3 || r.Totals.Resumed != 0 {
				t.Errorf("tested only %v", again.tested)
			}
		})
	}
}

// TestKilledInMidLine: a result that was cut off is not believed, and what follows it is kept.
func TestKilledInMidLine(t *testing.T) {
	t.Parallel()
	dir, list := t.TempDir(), scenarios(4)
	interrupted(t, list, 2, options(dir, &tester{}))
	name := journal(t, dir)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole) - 1; cut >= 0; cut -= 7 {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := bytes.Count(whole[:cut], []byte("\n"))
		o := options(dir, &tester{})
		o.Resume = true
		r := interrupted(t, list, 3, o)
		if want := max(0, lines-1); r.Totals.Resumed != want {
			t.Errorf("cut at %d of %d: %d results are resumed, want %d", cut, len(whole), r.Totals.Resumed, want)
		}
		o.Tester = &tester{}
		if r := run(t, t.Context(), list, o); r.Totals.Resumed != 3 && r.Totals.Resumed != 4 || !r.Complete {
			t.Errorf("cut at %d: %+v", cut, r.Totals)
		}
	}
	for _, text := range []string{"no json\n{}\n", "[1]\n[2]\n", strings.Repeat("x", 100)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := options(dir, &tester{})
		o.Resume = true
		if r := run(t, t.Context(), list, o); r.Totals.Resumed != 0 || !r.Complete {
			t.Errorf("%q: %+v", text, r.Totals)
		}
	}
}

func journal(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// TestFailuresAndFaults: a failure is a result, a fault of the machine is none, and is tried again by --resume.
func TestFailuresAndFaults(t *testing.T) {
	t.Parallel()
	dir, list := t.TempDir(), scenarios(3)
	o := options(dir, &tester{test: func(_ context.Context, s *scenario.Scenario) (wargame.SelfTest, error) {
		switch s.ID {
		case "scenario-0":
			return wargame.SelfTest{Scenario: s.ID, Digest: s.Digest, Cases: []wargame.SelfTestCase{{Name: "no-op", Want: "not_fixed", Got: "fixed"}}}, nil
		case "scenario-1":
			return wargame.SelfTest{}, crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "the disk is full"), "make room")
		}
		return wargame.SelfTest{Scenario: s.ID, Digest: s.Digest, Holds: true}, nil
	}})
	o.Workers = 3
	r := run(t, t.Context(), list, o)
	if want := (round.Totals{Scenarios: 3, Hold: 1, Fail: 1, Untested: 1, Cases: 1, CasesFailed: 1}); r.Totals != want || r.Complete {
		t.Errorf("%+v", r.Totals)
	}
	if got := r.Results[1]; got.Error != "the disk is full" || got.Hint != "make room" || got.SelfTest != nil || len(got.Failed()) != 0 {
		t.Errorf("%+v", got)
	}
	again := &tester{}
	o = options(dir, again)
	o.Resume = true
	if r = run(t, t.Context(), list, o); fmt.Sprint(again.tested) != "[scenario-1]" || r.Totals.Fail != 1 || !r.Complete {
		t.Errorf("%v %+v", again.tested, r.Totals)
	}
	text, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(text), `"schema":"crisol/selftest-report/v1"`) {
		t.Error(string(text), err)
	}
}

// TestTwoAtOnce: the journal belongs to one process.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	dir, list := t.TempDir(), scenarios(2)
	interrupted(t, list, 1, options(dir, &tester{}))
	other, err := os.Open(journal(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	o := options(dir, &tester{})
	o.Resume = true
	if _, err := round.Run(t.Context(), list, o); crisol.KindOf(err) != crisol.KindInput || crisol.HintOf(err) == "" {
		t.Errorf("resumed what another is at: %v", err)
	}
	o.Resume = false
	var log bytes.Buffer
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	if r := run(t, t.Context(), list, o); !r.Complete || !strings.Contains(log.String(), "can't be resumed") {
		t.Errorf("%+v %s", r.Totals, log.String())
	}
	if _, err := os.Stat(other.Name()); err != nil {
		t.Errorf("the other's journal: %v", err)
	}
}

func TestJournalFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := filepath.Join(dir, "old.jsonl")
	if err := errors.Join(os.WriteFile(old, nil, 0o600), os.Chtimes(old, time.Time{}, time.Now().AddDate(0, -1, 0))); err != nil {
		t.Fatal(err)
	}
	run(t, t.Context(), scenarios(1), options(dir, &tester{}))
	if _, err := os.Stat(old); err == nil {
		t.Error("a journal of last month is still there")
	}
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := round.Run(t.Context(), nil, options(filepath.Join(old, "x"), &tester{})); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Error(err)
	}
}

func TestShard(t *testing.T) {
	t.Parallel()
	list := scenarios(200)
	seen := map[string]int{}
	for k := 1; k <= 10; k++ {
		p, err := round.ParseShard(fmt.Sprintf("%d/10", k), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		part := p.Of(list)
		if len(part) < 5 || len(part) > 40 {
			t.Errorf("%s has %d of 200", p, len(part))
		}
		for _, s := range part {
			seen[s.ID]++
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d of 200 are in a part", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is in %d parts", id, n)
		}
	}
	if got := (round.Shard{}).Of(list); len(got) != 200 {
		t.Errorf("everything is %d", len(got))
	}
	days := map[string]bool{}
	for day := range 10 {
		p, err := round.ParseShard("today/10", time.Date(2026, 11, 24+day, 5, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		days[p.String()] = true
	}
	if len(days) != 10 {
		t.Errorf("within ten days: %v", days)
	}
	for _, bad := range []string{"", "3", "0/10", "11/10", "1/0", "today/0", "x/10", "-1/10", "1/10/2", "99999/99999"} {
		if _, err := round.ParseShard(bad, time.Now()); crisol.KindOf(err) != crisol.KindInput || crisol.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
