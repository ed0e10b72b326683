package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crisol"
	"crisol/internal/api"
	"crisol/internal/app"
	"crisol/internal/config"
	"crisol/internal/policy"
)

// serviceFlags are those that the service and its workers share.
type serviceFlags struct {
	config   string
	check    bool
	policy   string
	alpha    float64
	logLevel string
}

// minLease is the shortest lease: below it a worker that is merely busy would lose its trials.
const minLease = time.Second

func (f *serviceFlags) add(cmd *cobra.Command, g *global) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "YAML file of settings, by the names of these flags (default $CRISOL_CONFIG)")
	flags.BoolVar(&f.check, "check", false, "say what each setting is and where it is from, or all that is wrong, and end")
	flags.StringVar(&f.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error (also $LOG_LEVEL)")
	flags.StringVar(&g.config.Database, "database", "", "URL of a PostgreSQL that the service and its workers share (also $DATABASE_URL, or $POSTGRES_HOST, _PORT, _DB, _USER and _PASSWORD; without one, SQLite below the data directory)")
	flags.StringVar(&g.config.Redis, "redis", "", "URL of a Redis that instances share their cache by (also $REDIS_URL; without one, the cache is in memory)")
	flags.StringVar(&g.config.ModelDir, "models", "", "directory of models beside those that come with Crisol (also $ML_MODEL_PATH; default: models below the data directory)")
	flags.DurationVar(&g.config.Lease, "lease", 30*time.Second, "how long a worker may be silent before others take over its trials; the clocks of all machines must agree better than that")
	flags.StringVar(&f.policy, "policy", string(policy.Certified), "when a model decides: certified (its side has a certificate) or threshold (its confidence is 0.8 or more)")
	flags.Float64Var(&f.alpha, "alpha", 0.05, "risk that certificates earned in service must stay below")
}

// settle fills in the flags that the command line left open, and completes the configuration by what they say. All that
// is wrong is one error.
func (f *serviceFlags) settle(cmd *cobra.Command, g *global, more func(*config.Problems)) ([]config.Setting, error) {
	var wrong config.Problems
	settings, err := fill(cmd.Flags(), f.config)
	if err != nil {
		return settings, err // what a flag means can't be told before it has its value
	}
	c := &g.config
	c.Rule, err = policy.ParseRule(f.policy)
	wrong.Add(err)
	if !(f.alpha > 0 && f.alpha < 0.5) {
		wrong.Add(crisol.WithHint(crisol.Errorf(crisol.KindInput, "--alpha %g can't be had", f.alpha), "0.02 and 0.05 are usual"))
	}
	c.Alpha = f.alpha
	if c.Lease < minLease {
		wrong.Add(crisol.WithHint(crisol.Errorf(crisol.KindInput, "--lease %s is too short", c.Lease), "%s is the least, and 30s is usual", minLease))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		wrong.Add(crisol.Errorf(crisol.KindInput, "--log-level %q: want debug, info, warn or error", f.logLevel))
	}
	g.level.Set(level)
	wrong.Add(g.checkBounds())
	if more != nil {
		more(&wrong)
	}
	return settings, wrong.Err()
}

// addDatabase adds the flag of commands that only need to find the database of the services.
func addDatabase(flags *pflag.FlagSet, g *global) {
	flags.StringVar(&g.config.Database, "database", "", "URL of the PostgreSQL that services share (also $DATABASE_URL, or $POSTGRES_HOST and so on, or the file that $CRISOL_CONFIG names)")
}

// findDatabase fills in where things are kept, as the service does.
func (g *global) findDatabase(cmd *cobra.Command) error {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	for _, name := range []string{"database", "data"} {
		flags.AddFlag(cmd.Flags().Lookup(name))
	}
	_, err := fill(flags, "")
	return err
}

// fill fills in flags from the environment and a file; "" is the one that $CRISOL_CONFIG names.
func fill(flags *pflag.FlagSet, file string) ([]config.Setting, error) {
	return config.Fill(flags, config.Sources{File: cmp.Or(file, os.Getenv("CRISOL_CONFIG")), Lookup: os.LookupEnv, Shared: serviceSettings()})
}

// openService builds the object graph for the service or a worker, whose log is always on.
func (g *global) openService(cmd *cobra.Command) (*app.App, error) {
	g.config.Log = newLogger(cmd.ErrOrStderr(), &g.level)
	return app.Open(cmd.Context(), g.config)
}

// show tells what was settled, as --check does.
func (f *serviceFlags) show(w io.Writer, settings []config.Setting) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, s := range settings {
		if s.Name != "check" && s.Name != "config" {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, cmp.Or(s.Value, "-"), s.From)
		}
	}
	return table.Flush()
}

// serveFlags are those of the service.
type serveFlags struct {
	serviceFlags
	door            app.Door
	proxies, inside []string
	keep            map[string]string
}

// serviceSettings are the names of all settings that a file of the service may have.
func serviceSettings() []string {
	var names []string
	cmd := &cobra.Command{}
	g, f := &global{}, &serveFlags{}
	g.add(cmd.Flags())
	f.add(cmd, g)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return names
}

func (f *serveFlags) add(cmd *cobra.Command, g *global) {
	d := &f.door
	d.Limits = api.DefaultLimits
	flags := cmd.Flags()
	flags.StringVar(&d.Addr, "addr", app.DefaultAddr, "address to listen on (also $PORT, on 127.0.0.1)")
	flags.StringVar(&d.Certificate, "tls-cert", "", "PEM file of the certificate and its chain; it is read again when it has changed")
	flags.StringVar(&d.Key, "tls-key", "", "PEM file of the certificate's key")
	flags.IntVar(&d.Limits.MLFirst, "limit-ml-first", d.Limits.MLFirst, "requests a minute and client to /wargaming/ml-first; 0 for no limit")
	flags.IntVar(&d.Limits.Validate, "limit-validate", d.Limits.Validate, "the same to /wargaming/validate")
	flags.IntVar(&d.Limits.Accuracy, "limit-accuracy", d.Limits.Accuracy, "the same to /wargaming/ml/accuracy")
	flags.IntVar(&d.Limits.Other, "limit-other", d.Limits.Other, "the same to everything else")
	flags.StringVar(&d.OIDC.Issuer, "oidc-issuer", "", "URL of an OpenID Connect provider whose tokens are let in too")
	flags.StringVar(&d.OIDC.Audience, "oidc-audience", "", "what its tokens must be made for")
	flags.StringVar(&d.OIDC.Claim, "oidc-claim", "scope", "the claim that names scopes: read, submit, operate")
	flags.StringVar(&d.OIDC.Prefix, "oidc-prefix", "", "what stands before the names of scopes there, such as crisol:")
	flags.StringSliceVar(&f.proxies, "trusted-proxy", nil, "networks of proxies whose X-Forwarded-For is believed")
	flags.StringSliceVar(&f.inside, "webhook-allow", nil, "networks that webhooks may reach although they are not public")
	flags.StringVar(&g.config.WebhookSecret, "webhook-secret", "", "")
	_ = flags.MarkHidden("webhook-secret") // for the file and the environment: a command line is everybody's to read
	flags.StringToStringVar(&f.keep, "keep", nil, "how long things are kept, in days or forever: validations (90d), events (30d), counts (400d), deliveries (30d), ab-tests (forever), such as --keep validations=30d,events=7d")
	flags.BoolVar(&g.config.NoTrials, "no-trials", false, "leave the trials to crisol worker processes that share --database")
	flags.BoolVar(&g.config.ABTesting, "ab-testing", false, "check a share of the model's decisions by wargames until the switch of the API is used for the first time (also $AB_TESTING_ENABLED)")
	f.serviceFlags.add(cmd, g)
}

// settle fills in and checks everything.
func (f *serveFlags) settle(cmd *cobra.Command, g *global) ([]config.Setting, error) {
	return f.serviceFlags.settle(cmd, g, func(wrong *config.Problems) {
		var err error
		g.config.Ages, err = ages(f.keep)
		wrong.Add(err)
		f.door.Proxies, err = networks("--trusted-proxy", f.proxies)
		wrong.Add(err)
		g.config.WebhookAllow, err = networks("--webhook-allow", f.inside)
		wrong.Add(err)
		if (f.door.Certificate == "") != (f.door.Key == "") {
			wrong.Add(crisol.Errorf(crisol.KindInput, "--tls-cert and --tls-key go together"))
		}
		if f.door.OIDC.Issuer != "" {
			wrong.Add(f.door.OIDC.Check())
		}
		l := f.door.Limits
		for _, limit := range []int{l.MLFirst, l.Validate, l.Accuracy, l.Other} {
			if limit < 0 || limit > 1_000_000 {
				wrong.Add(crisol.Errorf(crisol.KindInput, "a limit of %d requests a minute: want 0, for none, to 1000000", limit))
			}
		}
		wrong.Add(g.config.CheckTrials())
	})
}

func newServe(g *global) *cobra.Command {
	f := &serveFlags{}
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
callers must show one. Other addresses than loopback are refused without tokens; give --tls-cert and --tls-key there.

Each flag may also be set by a variable, CRISOL_ and its name (CRISOL_LIMIT_OTHER), or by its name in the file of --config.
The command line goes before the environment, that before the file. On SIGHUP all are read again: limits, trusted proxies,
the log level and --keep change at once, and the log names what needs a restart. On SIGUSR2 the service restarts without
closing its socket (after an upgrade, for example): callers wait a moment instead of being refused. It takes its socket
from systemd too (socket activation), which keeps it over restarts.`,
		Example: "  crisol serve\n  crisol serve --addr 127.0.0.1:9000 --data /var/lib/crisol\n  crisol serve --config /etc/crisol.yaml --check\n  crisol serve --addr 0.0.0.0:8026 --tls-cert cert.pem --tls-key key.pem\n  crisol serve --database postgres://crisol@127.0.0.1/crisol --redis redis://127.0.0.1:6379",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			line := commandLine(cmd.Flags())
			settings, err := f.settle(cmd, g)
			if err != nil {
				return err
			}
			if f.check {
				return f.show(cmd.OutOrStdout(), settings)
			}
			return f.serve(cmd, g, reloader{line: line, settings: settings, level: &g.level})
		},
	}
	f.add(cmd, g)
	return cmd
}

// serve runs the service until it is told to stop or, having closed all but its socket, to begin anew.
func (f *serveFlags) serve(cmd *cobra.Command, g *global, r reloader) error {
	ctx, next, err := inherit(cmd.Context())
	if err != nil {
		return err
	}
	defer next.stop()
	f.door.Listener, f.door.Drain = next.listener, next.drain
	run := func() error {
		a, err := g.openService(cmd)
		if err != nil {
			return err
		}
		defer a.Close()
		r.log = g.config.Log
		changes, stop := reload(ctx, r)
		defer stop()
		f.door.Changes = changes
		if f.door.Listener == nil {
			f.door.Opened = next.keep
		}
		return a.Serve(ctx, f.door)
	}
	if err := run(); err != nil {
		return err
	}
	return next.begin()
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
holds when it stops is handed back; what it holds when it dies is taken over by another once its lease has run out.

Flags may be set by variables and by a file, as those of crisol serve: they may share one.`,
		Example: "  crisol worker --database postgres://crisol@db.example/crisol --workers 8",
		Args:    exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := f.settle(cmd, g, nil)
			if err != nil {
				return err
			}
			if f.check {
				return f.show(cmd.OutOrStdout(), settings)
			}
			a, err := g.openService(cmd)
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

// newLogger logs JSON; level may be changed while it is in use, and nil is info.
func newLogger(w io.Writer, level *slog.LevelVar) *slog.Logger {
	if level == nil {
		level = new(slog.LevelVar)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}
