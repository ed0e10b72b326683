package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/trail"
)

func newAuditLog(g *global) *cobra.Command {
	var verify, asJSON bool
	var after int64
	cmd := &cobra.Command{
		Use: "audit-log", Short: "Show who changed what in a service, and check that the log is what was written",
		Long: `Show the audit log: tokens, switches, models, the cache, settings and starts, each with who changed it and whether it was
done. The log of a service that runs alone is audit.log below --data, that of services that share a PostgreSQL a table
there. Entries are only ever appended, and each carries the digest of the one before.

With --verify the whole log is read, and its length and the digest of its last entry are printed. Keep that digest elsewhere:
who can write to the log could otherwise replace its end. The exit code is 4 when an entry isn't what was written.`,
		Example: "  crisol audit-log\n  crisol audit-log --json --after 120\n  crisol audit-log --verify",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if after < 0 {
				return crisol.Errorf(crisol.KindInput, "--after %d: want the number of an entry", after)
			}
			kept, err := g.shared(cmd)
			if err != nil {
				return err
			}
			defer kept.done()
			if verify {
				n, head, err := trail.Verify(cmd.Context(), kept.log)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d entries, whole; the last has the digest %s\n", n, head)
				return err
			}
			return showAuditLog(cmd, kept.log, after, asJSON)
		},
	}
	addDatabase(cmd.Flags(), g)
	cmd.Flags().BoolVar(&verify, "verify", false, "check the whole log instead of showing it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON text a line")
	cmd.Flags().Int64Var(&after, "after", 0, "only entries with a greater number")
	return cmd
}

func showAuditLog(cmd *cobra.Command, log trail.Log, after int64, asJSON bool) error {
	out := cmd.OutOrStdout()
	encoder := json.NewEncoder(out)
	return trail.Each(cmd.Context(), log, after, func(e trail.Entry) error {
		if asJSON {
			return encoder.Encode(e)
		}
		return showEntry(out, e)
	})
}

// showEntry prints an entry on a line. What callers may choose is quoted: it could hold anything.
func showEntry(w io.Writer, e trail.Entry) error {
	_, err := fmt.Fprintf(w, "%d  %s  %-6s  %q by %q", e.Seq, e.At.Format(time.RFC3339), e.Outcome, e.Act, e.Actor)
	for _, more := range []struct{ name, text string }{{"from", e.Address}, {"of", e.Subject}, {"with", string(e.Detail)}, {"because", e.Error}} {
		if err == nil && more.text != "" {
			_, err = fmt.Fprintf(w, " %s %q", more.name, more.text)
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}
