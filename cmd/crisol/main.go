// Command crisol decides whether a patch fixes a vulnerability, and whether it breaks anything. See `crisol --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/config"
)

// The exit codes of every command.
const (
	exitFixed          = 0
	exitRefused        = 1 // not_fixed or broken; a self-test that doesn't hold
	exitUsage          = 2 // bad usage or input
	exitInconclusive   = 3
	exitInfrastructure = 4
	exitInterrupted    = 130
)

func main() {
	app.Referee()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil && err != nil {
		_, _ = fmt.Fprintln(stderr, "crisol: interrupted; nothing was left behind")
		return exitInterrupted
	}
	return exitCode(err, stderr)
}

// exit ends a command with a code and nothing more to say.
type exit int

// Error satisfies error; it is never shown.
func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// exitCode shows an error with its hint and maps it to an exit code.
func exitCode(err error, stderr io.Writer) int {
	var code exit
	switch {
	case err == nil:
		return exitFixed
	case errors.As(err, &code):
		return int(code)
	}
	_, _ = fmt.Fprintf(stderr, "crisol: %v\n", err)
	if hint := crisol.HintOf(err); hint != "" {
		_, _ = fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	var known *crisol.Error
	if !errors.As(err, &known) {
		return exitUsage // cobra's own errors are about usage; ours carry a kind
	}
	switch known.Kind {
	case crisol.KindInput, crisol.KindNotFound:
		return exitUsage
	default:
		return exitInfrastructure
	}
}

// global holds the flags that every command shares.
type global struct {
	config    app.Config
	verbose   bool
	cacheSize string
	level     slog.LevelVar // of the log, for commands with --log-level
}

func (g *global) add(flags *pflag.FlagSet) {
	flags.StringVar(&g.config.Data, "data", "", "directory for everything kept locally (default $CRISOL_DATA, else ~/.local/share/crisol)")
	flags.StringVar(&g.config.Sandbox, "sandbox", "auto", "sandbox runtime: auto, bwrap, crun, runc or runsc")
	flags.IntVar(&g.config.Workers, "workers", 0, "sandboxes that run at once (default: the number of cores)")
	flags.StringVar(&g.cacheSize, "cache-size", "", "bound on what is kept there to save time, such as 512MiB or none (default $CRISOL_CACHE_SIZE, else 4GiB)")
	flags.BoolVarP(&g.verbose, "verbose", "v", false, "log what is done to standard error")
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "crisol",
		Short: "Decide whether a patch really fixes a vulnerability, and whether it breaks anything",
		Long: `Crisol decides by trial: it replays a real exploit against the vulnerable target, where it must succeed,
and against the patched target, where it must fail, in a sandbox, and checks that benign use still works.

Exit codes: 0 fixed, 1 not fixed or broken, 2 bad usage or input, 3 inconclusive, 4 infrastructure.`,
		Example: `  crisol validate CVE-2019-10744 --reference
  crisol validate CVE-2019-10744 --patch fix.diff
  crisol scenario list
  crisol doctor`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	g.add(root.PersistentFlags())
	root.AddCommand(newValidate(g), newScenario(g), newCorpus(g), newModel(g), newServe(g), newWorker(g), newToken(g), newAuditLog(g), newMigrate(g), newDoctor(g), newVersion())
	return root
}

// checkBounds completes the configuration by the flags that every command has.
func (g *global) checkBounds() error {
	var wrong config.Problems
	if g.config.Workers < 0 || g.config.Workers > 1024 {
		wrong.Add(crisol.Errorf(crisol.KindInput, "--workers %d: want 0 to 1024", g.config.Workers))
	}
	var err error
	g.config.CacheBytes, err = cacheSize(g.cacheSize)
	wrong.Add(err)
	return wrong.Err()
}

// open builds the object graph for a command.
func (g *global) open(cmd *cobra.Command) (*app.App, error) {
	if err := g.checkBounds(); err != nil {
		return nil, err
	}
	if g.verbose {
		g.config.Log = newLogger(cmd.ErrOrStderr(), nil)
	}
	return app.Open(cmd.Context(), g.config)
}
