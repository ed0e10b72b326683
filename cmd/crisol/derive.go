package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/variant"
	"crisol/internal/wargame"
)

func scenarioDerive(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "derive FOLDER...", Short: "Derive variants of a scenario's exploits and record those that count",
		Long: `Make other attacks out of the payloads of exploits that ask for it (derive: in the manifest): other keys, encodings,
separators, lengths; for the form pump also texts that an ambiguity search finds for the regular expressions of the
target's own source. A variant counts where it succeeds on the vulnerable target and the reference fix blocks it; those
are written to variants.json beside the manifest and belong to the scenario's version. One that the reference lets
through is told: the fix may be incomplete.`,
		Example: "  crisol scenario derive ./my-scenario",
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
				if err := deriveFolder(cmd, a, progress, folder); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func deriveFolder(cmd *cobra.Command, a *app.App, progress *show.Progress, folder string) error {
	s, err := loadFolder(folder)
	if err != nil {
		return err
	}
	found, err := a.Arena.Derive(cmd.Context(), s, func(exploit string, v variant.Variant, reason string) {
		progress.Say(fmt.Sprintf("%s: %s@%s: %s", s.ID, exploit, v.ID, outcome(reason)))
	})
	if err != nil {
		return err
	}
	progress.Clear()
	out := cmd.OutOrStdout()
	asked := 0
	for _, x := range s.Exploits {
		if x.Derive == nil {
			continue
		}
		asked++
		for _, v := range found.Exploits[x.ID] {
			_, _ = fmt.Fprintf(out, "  counts   %s@%s  %s\n", x.ID, v.ID, v.Payload)
		}
		for id, reason := range found.LeftOut[x.ID] {
			if wargame.Leaks(reason) {
				_, _ = fmt.Fprintf(out, "  passes   %s@%s  %s\n", x.ID, id, reason)
			}
		}
		_, _ = fmt.Fprintf(out, "%s: exploit %s: %d variants count, %d don't\n", s.ID, x.ID, len(found.Exploits[x.ID]), len(found.LeftOut[x.ID]))
	}
	if asked == 0 {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "no exploit of %s asks for variants", s.ID), "give one a payload, and derive: one of %v", variant.Forms())
	}
	return scenario.WriteVariants(folder, found)
}

func outcome(reason string) string {
	if reason == "" {
		return "counts"
	}
	return reason
}

// loadFolder reads the scenario of a folder that is to be written to.
func loadFolder(folder string) (*scenario.Scenario, error) {
	info, err := os.Stat(folder)
	if err != nil || !info.IsDir() {
		return nil, crisol.Errorf(crisol.KindInput, "%s is not a folder", folder)
	}
	return scenario.Load(os.DirFS(folder), folder)
}
