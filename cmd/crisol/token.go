package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/access"
	"crisol/internal/app"
	"crisol/internal/store/postgres"
	"crisol/internal/trail"
)

func newToken(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens of a service",
		Long: `Tokens say who may do what with a service: submit patches, read what is known, operate (A/B testing, models, the cache).
Callers show them as Authorization: Bearer TOKEN. Once there is a token, the service lets nobody in without one.

Tokens of a service that runs alone lie below --data, those of services that share a PostgreSQL in that database. A change
takes effect within seconds, without a restart.`,
		Example: `  crisol token create ci --scope submit --scope read
  crisol token list
  crisol token revoke ID`,
	}
	addDatabase(cmd.PersistentFlags(), g)
	cmd.AddCommand(newTokenCreate(g), newTokenList(g), newTokenRevoke(g))
	return cmd
}

// shared is what the command line and services both write: tokens, and the audit log.
type shared struct {
	access.Keeper
	log  trail.Log
	done func()
}

// change does a deed that the audit log knows of.
func (s shared) change(ctx context.Context, act, subject string, do func() error) error {
	who := "command line"
	if u, err := user.Current(); err == nil {
		who += " of " + u.Username
	}
	host, _ := os.Hostname() // "" where it has none
	return trail.Do(ctx, s.log, trail.Entry{Actor: who, Address: host, Act: act, Subject: subject}, time.Now, do)
}

// shared opens where tokens and the audit log are kept.
func (g *global) shared(cmd *cobra.Command) (*shared, error) {
	if err := g.findDatabase(cmd); err != nil {
		return nil, err
	}
	if g.config.Database == "" {
		data := g.config.Data
		if data == "" {
			var err error
			if data, err = app.DefaultData(); err != nil {
				return nil, err
			}
		}
		return &shared{app.TokenFile(data), app.AuditFile(data), func() {}}, nil
	}
	st, err := postgres.Open(cmd.Context(), g.config.Database, newLogger(cmd.ErrOrStderr(), nil))
	if err != nil {
		return nil, err
	}
	return &shared{access.Shared{Settings: st.Settings()}, st.AuditLog(), func() { _ = st.Close() }}, nil
}

func newTokenCreate(g *global) *cobra.Command {
	var scopes []string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and show it, once",
		Example: "  crisol token create ci\n  crisol token create dashboard --scope read --expires 720h",
		Args:    exactly(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			granted, err := access.ParseScopes(scopes)
			if err != nil {
				return err
			}
			var expires *time.Time
			if cmd.Flags().Changed("expires") {
				if lasts <= 0 {
					return crisol.Errorf(crisol.KindInput, "--expires %s: want a positive duration", lasts)
				}
				at := time.Now().UTC().Add(lasts).Truncate(time.Second)
				expires = &at
			}
			kept, err := g.shared(cmd)
			if err != nil {
				return err
			}
			defer kept.done()
			var t access.Token
			var shown string
			err = kept.change(cmd.Context(), "create a token", fmt.Sprintf("%s may %s", args[0], words(granted)), func() (err error) {
				t, shown, err = access.Create(cmd.Context(), kept, args[0], granted, expires, time.Now())
				return err
			})
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "token %s for %s may %s; keep what follows, it isn't shown again\n", t.ID, t.Name, words(t.Scopes))
			_, err = fmt.Fprintln(cmd.OutOrStdout(), shown)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "read, submit or operate; may be given several times (default read and submit)")
	cmd.Flags().DurationVar(&lasts, "expires", 0, "how long it counts (default: until it is revoked)")
	return cmd
}

func words(scopes []access.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func newTokenList(g *global) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets",
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			kept, err := g.shared(cmd)
			if err != nil {
				return err
			}
			defer kept.done()
			all, err := kept.Load(cmd.Context())
			if err != nil {
				return err
			}
			for i := range all {
				all[i].Digest = "" // of no use to anybody
			}
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(append([]access.Token{}, all...))
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "ID\tNAME\tMAY\tCREATED\tSTATE")
			for _, t := range all {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, words(t.Scopes), t.Created.Format(time.DateOnly), state(t, time.Now()))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func state(t access.Token, now time.Time) string {
	switch {
	case t.Revoked != nil:
		return "revoked " + t.Revoked.Format(time.DateOnly)
	case t.Expires == nil:
		return "valid"
	case now.After(*t.Expires):
		return "expired " + t.Expires.Format(time.DateOnly)
	}
	return "valid until " + t.Expires.Format(time.DateTime)
}

func newTokenRevoke(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a token",
		Args: exactly(1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			kept, err := g.shared(cmd)
			if err != nil {
				return err
			}
			defer kept.done()
			var t access.Token
			err = kept.change(cmd.Context(), "revoke a token", args[0], func() (err error) {
				t, err = access.Revoke(cmd.Context(), kept, args[0], time.Now())
				return err
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "token %s of %s is revoked\n", t.ID, t.Name)
			return err
		},
	}
}
