package main

import (
	"cmp"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/policy"
)

// serviceFlags are those that the service and its workers share.
type serviceFlags struct {
	policy string
	alpha  float64
}

// minLease is the shortest lease: below it a worker that is merely busy would lose its trials.
const minLease = time.Second

func (f *serviceFlags) add(cmd *cobra.Command, g *global) {
	flags := cmd.Flags()
	flags.StringVar(&g.config.Database, "database", "", "URL of a PostgreSQL that the service and its workers share (default $DATABASE_URL; without one, SQLite below the data directory)")
	flags.StringVar(&g.config.Redis, "redis", "", "URL of a Redis that instances share their cache by (default $REDIS_URL; without one, the cache is in memory)")
	flags.DurationVar(&g.config.Lease, "lease", 30*time.Second, "how long a worker may be silent before others take over its trials; the clocks of all machines must agree better than that")
	flags.StringVar(&f.policy, "policy", string(policy.Certified), "when a model decides: certified (its side has a certificate) or threshold (its confidence is 0.8 or more)")
	flags.Float64Var(&f.alpha, "alpha", 0.05, "risk that certificates earned in service must stay below")
}

// open builds the object graph for the service or a worker.
func (f *serviceFlags) open(cmd *cobra.Command, g *global) (*app.App, error) {
	rule, err := policy.ParseRule(f.policy)
	if err != nil {
		return nil, err
	}
	if !(f.alpha > 0 && f.alpha < 0.5) {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "--alpha %g can't be had", f.alpha), "0.02 and 0.05 are usual")
	}
	c := &g.config
	if c.Lease < minLease {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "--lease %s is too short", c.Lease), "%s is the least, and 30s is usual", minLease)
	}
	c.Rule, c.Alpha, c.Log = rule, f.alpha, newLogger(cmd.ErrOrStderr())
	c.Database, c.Redis = cmp.Or(c.Database, os.Getenv("DATABASE_URL")), cmp.Or(c.Redis, os.Getenv("REDIS_URL"))
	return g.open(cmd)
}

func newServe(g *global) *cobra.Command {
	var addr string
	var f serviceFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the service: static checks, the model, and wargames where these can't be trusted",
		Long: `Run the service. Requests that were accepted are kept in a database and survive a crash: they are run again at the
next start. Without --database that is SQLite below the data directory, and this process runs the trials; with it,
any number of services and of crisol worker share a PostgreSQL.

Under --policy certified a model decides only where a certificate covers it; until then it predicts in shadow and wargames
decide. Under --policy threshold a calibrated confidence of 0.8 decides, and answers say certified: false.

The service listens on loopback only: it has no authentication yet, and refuses any other address.`,
		Example: "  crisol serve\n  crisol serve --addr 127.0.0.1:9000 --data /var/lib/crisol\n  crisol serve --database postgres://crisol@127.0.0.1/crisol --redis redis://127.0.0.1:6379",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.open(cmd, g)
			if err != nil {
				return err
			}
			defer a.Close()
			return a.Serve(cmd.Context(), addr)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", app.DefaultAddr, "address to listen on")
	cmd.Flags().BoolVar(&g.config.NoTrials, "no-trials", false, "leave the trials to crisol worker processes that share --database")
	f.add(cmd, g)
	return cmd
}

func newWorker(g *global) *cobra.Command {
	var f serviceFlags
	cmd := &cobra.Command{
		Use: "worker", Short: "Run wargames of a queue that services on other machines fill",
		Long: `Run wargames that services accepted into the PostgreSQL of --database, on this machine, until it is stopped. What it
holds when it stops is handed back; what it holds when it dies is taken over by another once its lease has run out.`,
		Example: "  crisol worker --database postgres://crisol@db.example/crisol --workers 8",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := f.open(cmd, g)
			if err != nil {
				return err
			}
			defer a.Close()
			return a.Work(cmd.Context())
		},
	}
	f.add(cmd, g)
	return cmd
}

func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, nil))
}
