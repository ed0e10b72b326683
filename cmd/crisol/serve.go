package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"crisol/internal/app"
)

func newServe(g *global) *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the service: POST /wargaming/validate and what belongs to it",
		Long: `Run the service. Requests that were accepted are kept in a SQLite database below the data directory and survive a
crash: they are run again at the next start.

The service listens on loopback only: it has no authentication yet, and refuses any other address.`,
		Example: "  crisol serve\n  crisol serve --addr 127.0.0.1:9000 --data /var/lib/crisol",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g.config.Log = newLogger(cmd.ErrOrStderr())
			a, err := g.open(cmd)
			if err != nil {
				return err
			}
			defer a.Close()
			return a.Serve(cmd.Context(), addr)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", app.DefaultAddr, "address to listen on")
	return cmd
}

func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, nil))
}
