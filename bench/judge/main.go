// Command judge measures how well wargames tell wrong patches from right ones.
//
//	go run ./bench/judge [-scenarios DIR] [-report FILE] [SCENARIO...]
//
// The set under testdata holds, for each scenario, patches that are deliberately wrong and patches that are right but
// differ from the official fix. They were written from the advisory, the package's source and the scenario's first
// exploit alone, before anything was known of what Crisol says of them; each keeps the first exploit from succeeding. A
// wrong patch is caught when it comes out not_fixed or broken; a right one is refused when it does. What can't be told
// (inconclusive) counts neither as caught nor as accepted. The exit code is 1 when fewer than 90 % of the wrong are caught
// or more than 2 % of the right are refused.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/scenario"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// The bounds that the set is held to.
const (
	leastCaught = 0.90
	mostRefused = 0.02
)

func main() {
	app.Referee()
	data := flag.String("data", ".cache/bench", "data directory")
	dir := flag.String("set", "bench/judge/testdata", "the set of patches")
	library := flag.String("scenarios", "", "a directory of scenarios to take in place of the library's")
	report := flag.String("report", "", "write every judgement to this file, as JSON")
	repeat := flag.Int("repeat", 0, "runs of each exploit on each side; 0 repeats until the residual risk is below 1 %")
	timeout := flag.Duration("timeout", time.Hour, "bounds each judgement, with the self-test of its scenario")
	flag.Parse()
	os.Exit(exit(options{*data, *dir, *library, *report, *repeat, *timeout, flag.Args()}))
}

// exit judges the set and returns the exit code.
func exit(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	good, err := run(ctx, o, os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "judge:", err)
		return 2
	case !good:
		return 1
	}
	return 0
}

type options struct {
	data, set, library, report string
	repeat                     int
	timeout                    time.Duration
	only                       []string
}

// judgement is what became of one patch.
type judgement struct {
	Patch
	Verdict crisol.Verdict `json:"verdict"`
	// FirstBlocked says whether the scenario's first exploit was kept from succeeding, as it is by every patch of the set.
	FirstBlocked bool    `json:"first_exploit_blocked"`
	Reason       string  `json:"reason"`
	Seconds      float64 `json:"seconds"`
}

func run(ctx context.Context, o options, out io.Writer) (good bool, err error) {
	patches, err := ReadSet(os.DirFS(o.set))
	if err != nil {
		return false, err
	}
	if len(o.only) > 0 {
		patches = slices.DeleteFunc(patches, func(p Patch) bool { return !slices.Contains(o.only, p.Scenario) })
	}
	a, err := app.Open(ctx, app.Config{Data: o.data, Timeout: o.timeout})
	if err != nil {
		return false, err
	}
	defer a.Close()
	got := make([]judgement, len(patches))
	var mu sync.Mutex // guards out
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(a.Arena.Workers)
	for i, p := range patches {
		group.Go(func() (err error) {
			if got[i], err = judge(ctx, a.Flow, p, o); err != nil {
				return fmt.Errorf("%s/%s: %w", p.Scenario, p.File, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if miss := got[i].miss(); miss != "" {
				_, _ = fmt.Fprintf(out, "%-8s %s/%s (%s): %s\n         meant as: %s\n         said: %s\n", miss, p.Scenario, p.File, p.How, got[i].Verdict, p.Why, got[i].Reason)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	if o.report != "" {
		if err := writeReport(o.report, got); err != nil {
			return false, err
		}
	}
	return total(out, got), nil
}

func judge(ctx context.Context, flow *validate.Flow, p Patch, o options) (judgement, error) {
	name := p.Scenario
	if o.library != "" {
		name = filepath.Join(o.library, p.Scenario)
	}
	s, err := scenario.Open(name)
	if err != nil {
		return judgement{}, err
	}
	started := time.Now()
	v, err := flow.Validate(ctx, validate.Order{Order: wargame.Order{Scenario: s, Candidate: wargame.Candidate{Patch: p.diff}, Repeat: o.repeat}})
	if err != nil {
		return judgement{}, err
	}
	return judgement{Patch: p, Verdict: v.Verdict, FirstBlocked: v.Wargame.Phase2Passed, Reason: v.Reason, Seconds: time.Since(started).Seconds()}, nil
}

// miss names what is wrong with a judgement, or "".
func (j judgement) miss() string {
	refused := j.Verdict == crisol.NotFixed || j.Verdict == crisol.Broken
	switch {
	case j.Kind == wrong && !refused:
		return "missed"
	case j.Kind == right && refused:
		return "refused"
	case j.Kind == right && j.Verdict != crisol.Fixed:
		return "untold"
	}
	return ""
}

func writeReport(name string, got []judgement) error {
	body, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(body, '\n'), 0o644)
}

// total prints the table of kinds and says whether the bounds hold.
func total(out io.Writer, got []judgement) bool {
	type row struct{ all, refused, fixed, untold, early int }
	rows := map[string]*row{}
	scenarios := map[string]bool{}
	for _, j := range got {
		scenarios[j.Scenario] = true
		for _, name := range []string{j.How, j.Kind} {
			r := rows[name]
			if r == nil {
				r = &row{}
				rows[name] = r
			}
			r.all++
			switch j.Verdict {
			case crisol.Fixed:
				r.fixed++
			case crisol.NotFixed, crisol.Broken:
				r.refused++
			default:
				r.untold++
			}
			if j.Verdict == crisol.NotFixed && !j.FirstBlocked {
				r.early++
			}
		}
	}
	_, _ = fmt.Fprintf(out, "\n%d patches of %d scenarios\n%-18s %8s %8s %8s %8s %20s\n", len(got), len(scenarios), "", "all", "refused", "fixed", "untold", "by the first exploit")
	for _, name := range append(slices.Clone(hows), wrong, right) {
		if r := rows[name]; r != nil {
			_, _ = fmt.Fprintf(out, "%-18s %8d %8d %8d %8d %20d\n", name, r.all, r.refused, r.fixed, r.untold, r.early)
		}
	}
	good := true
	if r := rows[wrong]; r != nil {
		share := float64(r.refused) / float64(r.all)
		_, _ = fmt.Fprintf(out, "caught %.1f %% of the wrong (wanted %.0f %%)\n", 100*share, 100*leastCaught)
		good = share >= leastCaught
	}
	if r := rows[right]; r != nil {
		share := float64(r.refused) / float64(r.all)
		_, _ = fmt.Fprintf(out, "refused %.1f %% of the right (allowed %.0f %%)\n", 100*share, 100*mostRefused)
		good = good && share <= mostRefused
	}
	return good
}
