package main

import (
	"cmp"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/api"
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
	d := app.Door{Limits: api.DefaultLimits}
	var proxies, inside []string
	var keep map[string]string
	var f serviceFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the service: static checks, the model, and wargames where these can't be trusted",
		Long: `Run the service. Requests that were accepted are kept in a database and survive a crash: they are run again at the
next start. Without --database that is SQLite below the data directory, and this process runs the trials; with it,
any number of services and of crisol worker share a PostgreSQL.

Under --policy certified a model decides only where a certificate covers it; until then it predicts in shadow and wargames
decide. Under --policy threshold a calibrated confidence of 0.8 decides, and answers say certified: false.

Webhooks are signed with $CRISOL_WEBHOOK_SECRET, or with the secret in webhook-secret of the data directory, which is made
at the first start. They reach public addresses only, and the networks of --webhook-allow.

On loopback everybody on this machine may do everything until there is a token (crisol token create); from then on
callers must show one. Other addresses than loopback are refused without tokens; give --tls-cert and --tls-key there.`,
		Example: "  crisol serve\n  crisol serve --addr 127.0.0.1:9000 --data /var/lib/crisol\n  crisol serve --addr 0.0.0.0:8026 --tls-cert cert.pem --tls-key key.pem\n  crisol serve --database postgres://crisol@127.0.0.1/crisol --redis redis://127.0.0.1:6379",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if g.config.Ages, err = ages(keep); err != nil {
				return err
			}
			if d.Proxies, err = networks("--trusted-proxy", proxies); err != nil {
				return err
			}
			if g.config.WebhookAllow, err = networks("--webhook-allow", inside); err != nil {
				return err
			}
			g.config.WebhookSecret = os.Getenv("CRISOL_WEBHOOK_SECRET")
			if (d.Certificate == "") != (d.Key == "") {
				return crisol.Errorf(crisol.KindInput, "--tls-cert and --tls-key go together")
			}
			for _, limit := range []int{d.Limits.MLFirst, d.Limits.Validate, d.Limits.Accuracy, d.Limits.Other} {
				if limit < 0 || limit > 1_000_000 {
					return crisol.Errorf(crisol.KindInput, "a limit of %d requests a minute: want 0, for none, to 1000000", limit)
				}
			}
			a, err := f.open(cmd, g)
			if err != nil {
				return err
			}
			defer a.Close()
			return a.Serve(cmd.Context(), d)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.Addr, "addr", app.DefaultAddr, "address to listen on")
	flags.StringVar(&d.Certificate, "tls-cert", "", "PEM file of the certificate and its chain; it is read again when it has changed")
	flags.StringVar(&d.Key, "tls-key", "", "PEM file of the certificate's key")
	flags.IntVar(&d.Limits.MLFirst, "limit-ml-first", d.Limits.MLFirst, "requests a minute and client to /wargaming/ml-first; 0 for no limit")
	flags.IntVar(&d.Limits.Validate, "limit-validate", d.Limits.Validate, "the same to /wargaming/validate")
	flags.IntVar(&d.Limits.Accuracy, "limit-accuracy", d.Limits.Accuracy, "the same to /wargaming/ml/accuracy")
	flags.IntVar(&d.Limits.Other, "limit-other", d.Limits.Other, "the same to everything else")
	flags.StringSliceVar(&proxies, "trusted-proxy", nil, "networks of proxies whose X-Forwarded-For is believed")
	flags.StringSliceVar(&inside, "webhook-allow", nil, "networks that webhooks may reach although they are not public")
	flags.StringToStringVar(&keep, "keep", nil, "how long things are kept, in days or forever: validations (90d), events (30d), counts (400d), deliveries (30d), ab-tests (forever), such as --keep validations=30d,events=7d")
	cmd.Flags().BoolVar(&g.config.NoTrials, "no-trials", false, "leave the trials to crisol worker processes that share --database")
	f.add(cmd, g)
	return cmd
}

// networks reads the values of a flag.
func networks(flag string, texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s %q: want a network", flag, text), "for example 10.0.0.0/8, or 192.0.2.7/32")
		}
		list = append(list, network)
	}
	return list, nil
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
