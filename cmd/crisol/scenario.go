package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/target"
)

func newScenario(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenario",
		Short: "The exploit database: list, show, start, lock and test scenarios",
		Long: `A scenario holds what is needed to fight over one vulnerability: the vulnerable target, exploits with the oracles
that decide whether they succeeded, benign inputs, and the reference fix. The library is part of the binary; a folder of
your own works the same.`,
	}
	cmd.AddCommand(scenarioList(), scenarioShow(), scenarioNew(g), scenarioTest(g), scenarioLock(g), scenarioDerive(g))
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

func printJSON(cmd *cobra.Command, value any) error { return encodeJSON(cmd.OutOrStdout(), value) }

func encodeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
