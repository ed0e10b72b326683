package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/round"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/wargame"
)

// testFlags are the flags of scenario test.
type testFlags struct {
	all, resume, asJSON bool
	shard               string
	report              string
	repeat              int
}

func scenarioTest(g *global) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use: "test (SCENARIO... | --all)", Short: "Hold scenarios to their own standard",
		Long: `The self-test: the reference fix must come out fixed, a patch that does nothing not_fixed, a decoy that deletes the
feature broken, declared incomplete fixes not_fixed, and no exploit may succeed with the target taken away. A scenario
that fails it can never produce fixed.

Several scenarios are tested at once. What is known is kept as it comes: a run that was interrupted, or killed, goes on
with --resume where it was, as long as the scenarios, the sandbox and the options are the same. --report writes
report.html and report.json to a folder, also when the run is interrupted.`,
		Example: `  crisol scenario test CVE-2019-10744
  crisol scenario test ./my-scenario
  crisol scenario test --all --resume --report report
  crisol scenario test --all --shard today/10`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, g, args) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "test the whole library")
	flags.StringVar(&f.shard, "shard", "", "of the library test the part K/N only, or today/N: another part each day")
	flags.BoolVar(&f.resume, "resume", false, "go on with the last run of the same scenarios and options if it didn't come to its end")
	flags.StringVar(&f.report, "report", "", "folder to write report.html and report.json to")
	flags.IntVar(&f.repeat, "repeat", 0, "runs of each exploit on each side; 0 repeats until the residual risk is below 1 %")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func (f testFlags) run(cmd *cobra.Command, g *global, args []string) error {
	list, selection, err := f.selected(args)
	if err != nil {
		return err
	}
	if f.report != "" {
		if err := os.MkdirAll(f.report, 0o755); err != nil {
			return crisol.Errorf(crisol.KindInput, "make the folder of the report: %w", err)
		}
	}
	t := &testRun{cmd: cmd, flags: f, brief: len(list) != 1}
	g.config.Progress = t.say
	a, err := g.open(cmd)
	if err != nil {
		return err
	}
	defer a.Close()
	report, err := t.round(a, list, selection)
	if err != nil {
		return err
	}
	return t.conclude(report)
}

// selected opens the scenarios that a command line names, and says in words which they are.
func (f testFlags) selected(args []string) ([]*scenario.Scenario, string, error) {
	switch {
	case f.all && len(args) > 0:
		return nil, "", crisol.Errorf(crisol.KindInput, "give scenarios or --all, not both")
	case f.all:
		return f.library()
	case f.shard != "":
		return nil, "", crisol.Errorf(crisol.KindInput, "--shard is a part of the library: it needs --all")
	case len(args) == 0:
		return nil, "", crisol.WithHint(crisol.Errorf(crisol.KindInput, "no scenario was named"), "name some, or --all for the library")
	}
	var list []*scenario.Scenario
	var failed []error
	for _, name := range args {
		s, err := scenario.Open(name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		list = append(list, s)
	}
	return list, strings.Join(args, " "), errors.Join(failed...)
}

func (f testFlags) library() ([]*scenario.Scenario, string, error) {
	library, err := scenario.Library()
	if err != nil || f.shard == "" {
		return library.All(), "the whole library", err
	}
	shard, err := round.ParseShard(f.shard, time.Now())
	if err != nil {
		return nil, "", fmt.Errorf("--shard: %w", err)
	}
	return shard.Of(library.All()), "part " + shard.String() + " of the library", nil
}

// testRun is one run of scenario test.
type testRun struct {
	cmd   *cobra.Command
	flags testFlags
	brief bool // of several scenarios, those that hold take one line each

	progress *show.Progress // of one scenario
	board    *show.Board    // of several
}

// round runs the self-tests and tells of each as it comes.
func (t *testRun) round(a *app.App, list []*scenario.Scenario, selection string) (round.Report, error) {
	if t.brief {
		t.board = show.NewBoard(t.cmd.ErrOrStderr(), len(list), a.Arena.Workers)
		defer t.board.Close()
	} else {
		t.progress = show.NewProgress(t.cmd.ErrOrStderr(), !t.flags.asJSON)
		defer t.progress.Close()
	}
	return round.Run(t.cmd.Context(), list, round.Options{
		Tester: a.Arena, Dir: filepath.Join(a.Data, "rounds"), Terms: app.BuildFacts() + ", " + a.Arena.Terms(),
		Selection: selection, Repeat: t.flags.repeat, Workers: a.Arena.Workers, Resume: t.flags.resume, Watch: t.watch, Log: a.Log,
	})
}

// say tells what the preparation of a target is doing.
func (t *testRun) say(text string) {
	t.progress.Say(text)
	t.board.Say(text)
}

func (t *testRun) watch(e round.Event) {
	t.board.Watch(e)
	switch {
	case e.Got != nil:
		t.progress.SelfTest(e.Case, true, *e.Got)
	case e.Case != "":
		t.progress.SelfTest(e.Case, false, wargame.SelfTestCase{})
	}
	if e.Result == nil {
		return
	}
	t.progress.Clear()
	switch r := e.Result; {
	case r.SelfTest == nil && t.cmd.Context().Err() == nil:
		stderr := t.board.Writer(t.cmd.ErrOrStderr())
		_, _ = fmt.Fprintln(stderr, show.Clean(r.Error))
		if r.Hint != "" {
			_, _ = fmt.Fprintf(stderr, "hint: %s\n", r.Hint)
		}
	case r.SelfTest != nil && !t.flags.asJSON:
		_ = show.SelfTest(t.board.Writer(t.cmd.OutOrStdout()), *r.SelfTest, t.brief)
	}
}

// conclude writes what was asked for and chooses the exit code.
func (t *testRun) conclude(r round.Report) error {
	if t.flags.report != "" {
		if err := writeReport(t.flags.report, r); err != nil {
			return err
		}
	}
	if err := t.cmd.Context().Err(); err != nil {
		_, _ = fmt.Fprintf(t.cmd.ErrOrStderr(), "%d of %d scenarios have a result; --resume goes on from there\n", r.Totals.Hold+r.Totals.Fail, r.Totals.Scenarios)
		return err
	}
	if t.flags.asJSON {
		if err := printJSON(t.cmd, selfTests(r)); err != nil {
			return err
		}
	} else if t.brief {
		_, _ = fmt.Fprintf(t.cmd.OutOrStdout(), "%d of %d scenarios hold\n", r.Totals.Hold, r.Totals.Scenarios)
	}
	switch {
	case r.Totals.Fail > 0:
		return exit(exitRefused)
	case r.Totals.Untested > 0:
		return exit(exitInfrastructure)
	}
	return nil
}

func selfTests(r round.Report) []wargame.SelfTest {
	list := []wargame.SelfTest{}
	for _, result := range r.Results {
		if result.SelfTest != nil {
			list = append(list, *result.SelfTest)
		}
	}
	return list
}

// writeReport writes a report for people and one for programs.
func writeReport(folder string, r round.Report) error {
	err := errors.Join(
		writeWith(filepath.Join(folder, "report.html"), func(w io.Writer) error { return show.Report(w, r) }),
		writeWith(filepath.Join(folder, "report.json"), func(w io.Writer) error { return encodeJSON(w, r) }))
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "write the report: %w", err)
	}
	return nil
}

func writeWith(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
