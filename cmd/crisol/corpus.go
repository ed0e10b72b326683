package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/corpus"
	"crisol/internal/round"
	"crisol/internal/scenario"
	"crisol/internal/show"
)

func newCorpus(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "corpus", Short: "Candidate patches, labelled by wargames"}
	cmd.AddCommand(corpusBuild(g), corpusStats())
	return cmd
}

// corpusFlags are the flags of corpus build.
type corpusFlags struct {
	out, shard, handwritten string
	operators               []string
	perScenario, repeat     int
	resume                  bool
	timeout                 time.Duration
}

func corpusBuild(g *global) *cobra.Command {
	var f corpusFlags
	cmd := &cobra.Command{
		Use: "build [SCENARIO...] --out FILE", Short: "Make candidate patches of scenarios and have each judged by a wargame",
		Long: `Makes candidate patches of every scenario (of the library, where none is named): the official fix, its minimal part,
parts and mutants of it, rewrites, other guards, and patches that mean nothing or refuse everything. Each is judged by a
wargame of full judgement and appended to FILE as a line of JSON. FILE holds parts of the packages under trial: mind
their licences before you pass it on.

A build that was interrupted, or killed, goes on with --resume; what FILE holds isn't tried again, except where
infrastructure kept a trial from being held.

Operators: ` + strings.Join(corpus.Operators(), ", ") + ".",
		Example: `  crisol corpus build --out corpus.jsonl
  crisol corpus build CVE-2019-10744 --out corpus.jsonl --per-scenario 8
  crisol corpus build --out corpus.jsonl --resume --operators official,dropped_hunk`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, g, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "file to write to")
	flags.IntVar(&f.perScenario, "per-scenario", corpus.DefaultPerScenario, "most candidates of a scenario")
	flags.StringVar(&f.shard, "shard", "", "only the part K/N of the scenarios")
	flags.StringSliceVar(&f.operators, "operators", nil, "only these operators")
	flags.BoolVar(&f.resume, "resume", false, "go on with what FILE holds")
	flags.IntVar(&f.repeat, "repeat", 0, "runs of each exploit on each side; 0 repeats until the residual risk is below 1 %")
	flags.DurationVar(&f.timeout, "timeout", corpus.DefaultTimeout, "bound on one trial")
	flags.StringVar(&f.handwritten, "handwritten", "", "folder of patches SCENARIO/*.diff that people wrote")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

func (f corpusFlags) run(cmd *cobra.Command, g *global, args []string) error {
	list, library, err := f.scenarios(args)
	if err != nil {
		return err
	}
	if f.perScenario < 1 {
		return crisol.Errorf(crisol.KindInput, "--per-scenario %d: want at least 1", f.perScenario)
	}
	var board *show.Board
	g.config.Progress = func(text string) { board.Say(text) }
	a, err := g.open(cmd)
	if err != nil {
		return err
	}
	defer a.Close()
	board = show.NewBoard(cmd.ErrOrStderr(), len(list), a.Arena.Workers)
	started := time.Now()
	total, err := corpus.Build(cmd.Context(), list, corpus.Options{
		Arena: a.Arena, Targets: a.Targets, Library: library, Handwritten: f.set(), Out: f.out, Resume: f.resume, PerScenario: f.perScenario,
		Operators: f.operators, Workers: a.Arena.Workers, Timeout: f.timeout, Repeat: f.repeat, Log: a.Log,
		Watch: func(e corpus.Event) { watchBuild(board, e) },
	})
	board.Close()
	fresh := total.Candidates - total.Known
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d candidates: %s; %d of them new, %.1f a minute\n", total.Candidates, tallied(total), fresh, float64(fresh)/time.Since(started).Minutes())
	switch {
	case err != nil && cmd.Context().Err() != nil:
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "--resume goes on from there")
		return err
	case err != nil:
		return err
	case total.Err != nil:
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), show.Clean(total.Err.Error()))
		return exit(exitInfrastructure)
	}
	return nil
}

// scenarios opens those that are named, or the library, npm's first; and the library.
func (f corpusFlags) scenarios(args []string) (list, all []*scenario.Scenario, err error) {
	library, err := scenario.Library()
	if err != nil {
		return nil, nil, err
	}
	list, all = library.All(), library.All()
	if len(args) > 0 {
		if list, _, err = (testFlags{}).selected(args); err != nil {
			return nil, nil, err
		}
	}
	if f.shard != "" {
		shard, err := round.ParseShard(f.shard, time.Now())
		if err != nil {
			return nil, nil, fmt.Errorf("--shard: %w", err)
		}
		list = shard.Of(list)
	}
	npm := func(s *scenario.Scenario) int {
		if strings.HasPrefix(s.Target.Package, "pkg:npm/") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b *scenario.Scenario) int { return cmp.Compare(npm(a), npm(b)) })
	return list, all, nil
}

func (f corpusFlags) set() fs.FS {
	if f.handwritten == "" {
		return nil
	}
	return os.DirFS(f.handwritten)
}

func watchBuild(board *show.Board, e corpus.Event) {
	switch {
	case e.Done == nil:
		board.Enter(e.Scenario, cmp.Or(e.Operator, "prepares"))
	case e.Done.Err != nil:
		board.Leave(e.Scenario, "gives none: "+e.Done.Err.Error())
	default:
		board.Leave(e.Scenario, fmt.Sprintf("%d candidates, %s", e.Done.Candidates, tallied(*e.Done)))
	}
}

func tallied(t corpus.Tally) string {
	text := fmt.Sprintf("%d fixed, %d not fixed, %d broken", t.Fixed, t.NotFixed, t.Broken)
	if t.Inconclusive > 0 {
		text += fmt.Sprintf(", %d inconclusive", t.Inconclusive)
	}
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d could not be tried", t.Failed)
	}
	return text
}

func corpusStats() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "stats FILE", Short: "Count a corpus by operator, weakness and ecosystem", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			f, err := os.Open(args[0])
			if err != nil {
				return crisol.Errorf(crisol.KindInput, "open the corpus: %w", err)
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			stats, err := corpus.Summarise(corpus.Read(f))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, stats)
			}
			return writeStats(cmd.OutOrStdout(), stats)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func writeStats(out io.Writer, s corpus.Stats) error {
	t := s.Total
	_, _ = fmt.Fprintf(out, "%d candidates, %d labelled, over %d scenarios, %d vulnerabilities and %d groups; %.0f s of trials\n\n",
		t.All, t.Labels(), s.Scenarios, s.Vulnerabilities, s.Groups, s.Seconds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, part := range []struct {
		name string
		rows []corpus.Row
	}{{"OPERATOR", s.Operators}, {"WEAKNESS", s.Types}, {"ECOSYSTEM", s.Ecosystems}} {
		_, _ = fmt.Fprintf(table, "%s\tALL\tFIXED\tNOT FIXED\tBROKEN\tINCONCLUSIVE\tNOT TRIED\t\n", part.name)
		for _, r := range part.rows {
			_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Name, r.All, r.Fixed, r.NotFixed, r.Broken, r.Inconclusive, r.Failed)
		}
		_, _ = fmt.Fprintln(table, "\t\t\t\t\t\t\t")
	}
	return table.Flush()
}
