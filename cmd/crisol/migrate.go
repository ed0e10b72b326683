package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"crisol/internal/app"
)

func newMigrate(g *global) *cobra.Command {
	var status bool
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the tables of a shared PostgreSQL up to date",
		Long: `Bring the tables of the PostgreSQL that services and workers share up to date, or with --status say how far they are.

Services and workers do the same when they start, one at a time, so this is for those who would rather do it beforehand or
with another database user. It may run several times at once. Tables of a newer Crisol are refused and left as they are.
With --status the exit code is 0 when nothing is to be done and 1 otherwise.`,
		Example: "  crisol migrate --database postgres://crisol@db.example/crisol\n  crisol migrate --status",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.findDatabase(cmd); err != nil {
				return err
			}
			c := g.config
			c.Log = slog.New(slog.DiscardHandler)
			if g.verbose {
				c.Log = newLogger(cmd.ErrOrStderr(), nil)
			}
			if status {
				return showSchemas(cmd, c)
			}
			before, after, err := app.Migrate(cmd.Context(), c)
			if err != nil {
				return err
			}
			for i, s := range after {
				line := fmt.Sprintf("%s: version %d, up to date", s.Part, s.Have)
				if before[i].Have != s.Have {
					line = fmt.Sprintf("%s: migrated from version %d to %d", s.Part, before[i].Have, s.Have)
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
					return err
				}
			}
			return nil
		},
	}
	addDatabase(cmd.Flags(), g)
	cmd.Flags().BoolVar(&status, "status", false, "say how far the tables are, and change nothing")
	return cmd
}

func showSchemas(cmd *cobra.Command, c app.Config) error {
	list, err := app.Schemas(cmd.Context(), c)
	if err != nil {
		return err
	}
	behind := false
	for _, s := range list {
		says := "up to date"
		switch {
		case s.Have < s.Newest:
			says = fmt.Sprintf("version %d is to be made: crisol migrate", s.Newest)
		case s.Have > s.Newest:
			says = fmt.Sprintf("from a newer crisol; this one knows up to %d", s.Newest)
		}
		behind = behind || s.Have != s.Newest
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: version %d, %s\n", s.Part, s.Have, says); err != nil {
			return err
		}
	}
	if behind {
		return exit(exitRefused)
	}
	return nil
}
