package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSoak is the soak in short: each fault comes once.
func TestSoak(t *testing.T) {
	t.Parallel()
	crisol := os.Getenv("CRISOL_TEST_BINARY")
	if crisol == "" {
		crisol = filepath.Join(t.TempDir(), "crisol")
		// As make build does: its packages are compiled already.
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", crisol, "crisol/cmd/crisol").CombinedOutput(); err != nil {
			t.Fatalf("build crisol: %v\n%s", err, out)
		}
	}
	report, err := Soak(t.Context(), Plan{Crisol: crisol, Time: 40 * time.Second, Every: 6 * time.Second, Warm: 4 * time.Second, Seed: 1, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", report)
	if broken := report.Broken(); len(broken) > 0 {
		t.Errorf("broken: %s", strings.Join(broken, "; "))
	}
}

// TestRules: each rule is seen to be broken.
func TestRules(t *testing.T) {
	t.Parallel()
	good := func() Report {
		return Report{
			Seen:       Seen{Requests: 10_000, Accepted: 500, Answered: 500, Trials: 100, Failed: make([]string, 10), Undecided: []string{"one"}},
			Goroutines: map[string]Growth{"service": {50, 70}}, Memory: map[string]Growth{"worker": {100, 122}},
		}
	}
	if broken := good().Broken(); len(broken) > 0 {
		t.Errorf("broken: %q", broken)
	}
	for want, harm := range map[string]func(r *Report){
		"shows nothing":      func(r *Report) { r.Trials, r.Undecided = 0, nil },
		"499 answered":       func(r *Report) { r.Answered-- },
		"1 wrong verdicts":   func(r *Report) { r.Wrong = []string{"x"} },
		"11 of 10000":        func(r *Report) { r.Failed = make([]string, 11) },
		"2 of 100 trials":    func(r *Report) { r.Undecided = make([]string, 2) },
		"1 panics":           func(r *Report) { r.Panics = 1 },
		"has 71 goroutines":  func(r *Report) { r.Goroutines["service"] = Growth{50, 71} },
		"worker takes 124 M": func(r *Report) { r.Memory["worker"] = Growth{100, 124} },
	} {
		r := good()
		harm(&r)
		broken := r.Broken()
		if len(broken) != 1 || !strings.Contains(broken[0], want) || !strings.Contains(r.String(), "BROKEN: "+broken[0]) {
			t.Errorf("%q: %q", want, broken)
		}
	}
}

// TestJudge: what an answer is worth.
func TestJudge(t *testing.T) {
	t.Parallel()
	var s Seen
	s.judge("right", "fixed", accepted{verdict: "fixed"})
	s.judge("unsure", "inconclusive", accepted{verdict: "fixed", trial: true})
	s.judge("unsure without trial", "inconclusive", accepted{verdict: "broken"})
	s.judge("wrong", "not_fixed", accepted{verdict: "fixed", trial: true})
	if !slices.Equal(s.Undecided, []string{"unsure"}) || len(s.Wrong) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestQuestions: no two that are said to be new are the same, and none is one of those that are repeated.
func TestQuestions(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	add := func(q question) {
		t.Helper()
		code := q.body["patch"].(map[string]any)["code"].(string)
		if seen[code] || q.verdict == "" {
			t.Errorf("%+v was there before", q)
		}
		seen[code] = true
	}
	for n := range 20 {
		add(repeated(n))
	}
	for n := 1001; n < 2000; n++ {
		add(decided(n))
		add(fought(n))
	}
}
