package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"crisol/internal/app"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print build facts", Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), app.BuildFacts())
			return err
		},
	}
}
