package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/target"
	"crisol/internal/wargame"
)

func newScenario(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenario",
		Short: "The exploit database: list, show, start, lock and test scenarios",
		Long: `A scenario holds what is needed to fight over one vulnerability: the vulnerable target, exploits with the oracles
that decide whether they succeeded, benign inputs, and the reference fix. The library is part of the binary; a folder of
your own works the same.`,
	}
	cmd.AddCommand(scenarioList(), scenarioShow(), scenarioNew(), scenarioTest(g), scenarioLock(g), scenarioDerive(g))
	return cmd
}

func scenarioList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the library", Args: exactly(0, "no argument"),
		Example: "  crisol scenario list\n  crisol scenario list --json | jq '.[].id'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			library, err := scenario.Library()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, scenario.Summaries(library.All()))
			}
			return scenario.WriteList(cmd.OutOrStdout(), library.All())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func scenarioShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show SCENARIO", Short: "Show one scenario", Args: exactly(1, "SCENARIO"),
		Example: "  crisol scenario show CVE-2019-10744",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := scenario.Open(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, s.Detail())
			}
			return s.WritePage(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func scenarioNew() *cobra.Command {
	var o scenario.NewOptions
	cmd := &cobra.Command{
		Use: "new FOLDER", Short: "Start a scenario of your own", Args: exactly(1, "FOLDER"),
		Long:    "Write a commented scenario to a folder that doesn't exist yet. It loads as it is; the exploit is yours to write.",
		Example: "  crisol scenario new my-scenario --kind npm",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := scenario.New(args[0], filepath.Base(args[0]), o); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is ready: write the exploit, then run crisol scenario test %s\n", args[0], args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&o.Kind, "kind", "", "npm, pypi, golang, maven or dir (default: follows from --package, else npm)")
	cmd.Flags().StringVar(&o.Package, "package", "", "purl of the vulnerable version")
	cmd.Flags().StringVar(&o.Reference, "reference", "", "purl of the version that fixes it")
	return cmd
}

func scenarioTest(g *global) *cobra.Command {
	var o wargame.SelfTestOptions
	var all, asJSON bool
	cmd := &cobra.Command{
		Use: "test (SCENARIO... | --all)", Short: "Hold scenarios to their own standard",
		Long: `The self-test: the reference fix must come out fixed, a patch that does nothing not_fixed, a decoy that deletes the
feature broken, declared incomplete fixes not_fixed, and no exploit may succeed with the target taken away. A scenario
that fails it can never produce fixed.`,
		Example: "  crisol scenario test CVE-2019-10744\n  crisol scenario test ./my-scenario\n  crisol scenario test --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := selected(args, all)
			if err != nil {
				return err
			}
			o.Fresh = true
			return testScenarios(cmd, g, list, o, asJSON)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "test the whole library")
	cmd.Flags().IntVar(&o.Repeat, "repeat", 0, "runs of each exploit on each side; 0 repeats until the residual risk is below 1 %")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// selected opens the scenarios that a command line names.
func selected(args []string, all bool) ([]*scenario.Scenario, error) {
	switch {
	case all && len(args) > 0:
		return nil, crisol.Errorf(crisol.KindInput, "give scenarios or --all, not both")
	case all:
		library, err := scenario.Library()
		if err != nil {
			return nil, err
		}
		return library.All(), nil
	case len(args) == 0:
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "no scenario was named"), "name some, or --all for the library")
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
	return list, errors.Join(failed...)
}

func testScenarios(cmd *cobra.Command, g *global, list []*scenario.Scenario, o wargame.SelfTestOptions, asJSON bool) error {
	progress := show.NewProgress(cmd.ErrOrStderr(), !asJSON)
	defer progress.Close()
	g.config.Progress = progress.Say
	a, err := g.open(cmd)
	if err != nil {
		return err
	}
	defer a.Close()
	bench := &selfTests{cmd: cmd, app: a, progress: progress, options: o, quiet: asJSON}
	bench.options.Watch = progress.SelfTest
	results, held, faults := bench.run(list)
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(cmd, results); err != nil {
			return err
		}
	} else if len(list) > 1 {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d of %d scenarios hold\n", held, len(list))
	}
	switch {
	case held == len(list):
		return nil
	case held+faults == len(list):
		return exit(exitInfrastructure)
	default:
		return exit(exitRefused)
	}
}

// selfTests runs self-tests, as many scenarios at once as there are workers; the arena's slots bound the sandboxes.
type selfTests struct {
	cmd      *cobra.Command
	app      *app.App
	progress *show.Progress
	options  wargame.SelfTestOptions
	quiet    bool

	mu sync.Mutex // guards the output
}

// run tests the scenarios and returns the results in their order, how many hold, and how many could not be tested.
func (b *selfTests) run(list []*scenario.Scenario) (results []wargame.SelfTest, held, faults int) {
	got := make([]*wargame.SelfTest, len(list))
	var group errgroup.Group
	group.SetLimit(b.app.Arena.Workers)
	for i, s := range list {
		group.Go(func() error {
			got[i] = b.one(s)
			return nil
		})
	}
	_ = group.Wait() // no function returns an error
	for _, result := range got {
		switch {
		case result == nil:
			faults++
			continue
		case result.Holds:
			held++
		}
		results = append(results, *result)
	}
	return results, held, faults
}

// one tests a scenario and tells of it; nil when it could not be tested.
func (b *selfTests) one(s *scenario.Scenario) *wargame.SelfTest {
	if b.cmd.Context().Err() != nil {
		return nil
	}
	result, err := b.app.Arena.SelfTest(b.cmd.Context(), s, b.options)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress.Clear()
	switch {
	case b.cmd.Context().Err() != nil:
		return nil
	case err != nil:
		_, _ = fmt.Fprintf(b.cmd.ErrOrStderr(), "%v\n", err)
		if hint := crisol.HintOf(err); hint != "" {
			_, _ = fmt.Fprintf(b.cmd.ErrOrStderr(), "hint: %s\n", hint)
		}
		return nil
	case !b.quiet:
		_ = show.SelfTest(b.cmd.OutOrStdout(), result)
	}
	return &result
}

func scenarioLock(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "lock FOLDER...", Short: "Pin every transitive version beside the manifest",
		Long: `Resolve a scenario's target and its fixes anew and write what was resolved to the folder's lock directory, so that the
same trees come back next year.`,
		Example: "  crisol scenario lock ./my-scenario",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return crisol.Errorf(crisol.KindInput, "no folder was named")
			}
			progress := show.NewProgress(cmd.ErrOrStderr(), true)
			defer progress.Close()
			g.config.Progress = progress.Say
			a, err := g.open(cmd)
			if err != nil {
				return err
			}
			defer a.Close()
			for _, folder := range args {
				if err := lockFolder(cmd, a.Targets, folder); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func lockFolder(cmd *cobra.Command, targets *target.Store, folder string) error {
	s, err := loadFolder(folder)
	if err != nil {
		return err
	}
	for side, purl := range lockSides(s) {
		files, err := targets.Lock(cmd.Context(), target.Spec{Package: purl, With: s.Target.With})
		if err != nil {
			return err
		}
		if err := scenario.WriteLock(folder, side, files); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is locked\n", s.ID)
	return err
}

// lockSides maps each side of a scenario that is a package to its purl.
func lockSides(s *scenario.Scenario) map[string]string {
	sides := map[string]string{"target": s.Target.Package, "reference": s.Target.Reference.Package}
	for i, fix := range s.Target.Incomplete {
		sides[fmt.Sprintf("incomplete-%d", i)] = fix.Package
	}
	if s.Target.Decoy != nil {
		sides["decoy"] = s.Target.Decoy.Package
	}
	for side, purl := range sides {
		if purl == "" {
			delete(sides, side)
		}
	}
	return sides
}

func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
