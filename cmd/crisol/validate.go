package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

type validateFlags struct {
	patch, upgrade, fixed string
	request, server       string
	reference             bool
	mlFirst               bool
	threshold             float64
	format                string
	repeat                string
	risk                  float64
	timeout               time.Duration
	minAssurance          string
	fresh                 bool
}

func newValidate(g *global) *cobra.Command {
	f := &validateFlags{}
	cmd := &cobra.Command{
		Use:   "validate (SCENARIO (--patch FILE | --upgrade PURL | --fixed DIR | --reference) | --request FILE)",
		Short: "Decide one patch by trial, on this machine or by a service",
		Long: `Decide one candidate fix by trial, on this machine, or, with --server, by a service that has the scenario.

SCENARIO is an id or an alias of the library (see crisol scenario list) or a folder with a scenario.yaml.

--request reads what the service takes at /wargaming/validate: JSON with a patch_diff and the scenario or CVE that it is
for, or the short form, with code on both sides: vulnerability.type, vulnerability.affected_code and patch.code.

The verdict is one of
  fixed         the exploit works on the vulnerable target and is blocked on the patched one, which it reached;
                benign inputs and tests that worked before still do (exit 0)
  not_fixed     an exploit or a variant still succeeds (exit 1)
  broken        the exploits are blocked, but something that worked before no longer does (exit 1)
  inconclusive  it could not be told (exit 3; exit 4 when this machine is at fault)

Assurance says how much stands behind a fixed: A1 the exploit is blocked, A2 benign inputs are healthy, A3 so are the
target's tests, A4 all variants are blocked too and the repeats leave at most the asked risk.`,
		Example: `  crisol validate CVE-2019-10744 --reference
  crisol validate CVE-2019-10744 --patch fix.diff --format json
  git diff | crisol validate ./my-scenario --patch -
  crisol validate CVE-2020-7598 --upgrade pkg:npm/minimist@1.1.0
  crisol validate --request request.json
  crisol validate CVE-2019-10744 --patch fix.diff --server http://127.0.0.1:8026 --ml-first`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.request != "" {
				return exactly(0, "no SCENARIO beside --request")(cmd, args)
			}
			return exactly(1, "SCENARIO")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.server != "":
				return runRemote(cmd, f, args)
			case f.request != "" && f.mlFirst:
				return crisol.Errorf(crisol.KindInput, "--ml-first with --request can only be had with --server")
			case f.request != "":
				return runRequest(cmd, g, f)
			}
			return runValidate(cmd, g, f, args[0])
		},
	}
	f.candidateFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.mlFirst, "ml-first", false, "decide by what needs no trial, else by the model where its certificate allows it, else by trial")
	flags.Float64Var(&f.threshold, "confidence-threshold", 0, "with --ml-first, the least confidence wanted of the model; it can only make it decide less")
	flags.StringVar(&f.request, "request", "", "a request as the service takes it, in JSON; - reads standard input")
	flags.StringVar(&f.server, "server", "", "URL of a service that decides; it gets the diff and the token in CRISOL_TOKEN, if any, and --timeout bounds the wait")
	flags.StringVar(&f.format, "format", "text", "text or json; json prints the validation and nothing else on standard output")
	flags.StringVar(&f.repeat, "repeat", "auto", "runs of each exploit on each side; auto repeats until the residual risk is below --risk")
	flags.Float64Var(&f.risk, "risk", 0.01, "residual probability that an exploit which still works is missed, for --repeat auto")
	flags.DurationVar(&f.timeout, "timeout", validate.DefaultTimeout, "bound on the whole validation")
	flags.StringVar(&f.minAssurance, "min-assurance", "", "least assurance for fixed: A1 to A4; less is inconclusive")
	flags.BoolVar(&f.fresh, "fresh", false, "run the vulnerable side anew, whatever earlier trials saw")
	cmd.MarkFlagsMutuallyExclusive("patch", "upgrade", "fixed", "reference", "request")
	cmd.MarkFlagsOneRequired("patch", "upgrade", "fixed", "reference", "request")
	return cmd
}

// candidateFlags are the ways to name a candidate.
func (f *validateFlags) candidateFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.patch, "patch", "", "unified diff against the target's tree; - reads standard input")
	flags.StringVar(&f.upgrade, "upgrade", "", "another version of the target is the patch: its purl")
	flags.StringVar(&f.fixed, "fixed", "", "a directory that replaces the target's tree is the patch")
	flags.BoolVar(&f.reference, "reference", false, "the scenario's own fix is the patch")
}

func runValidate(cmd *cobra.Command, g *global, f *validateFlags, name string) error {
	order, err := f.order()
	if err != nil {
		return err
	}
	if order.Candidate, err = f.candidate(cmd.InOrStdin()); err != nil {
		return err
	}
	s, err := scenario.Open(name)
	if err != nil {
		return err
	}
	if order.Scenario = s; f.reference {
		order.Candidate = wargame.Candidate{Reference: &s.Target.Reference, LockSide: "reference"}
	}
	progress := show.NewProgress(cmd.ErrOrStderr(), f.format == "text")
	g.config.Timeout, g.config.Progress = f.timeout, progress.Say
	a, err := g.open(cmd)
	if err != nil {
		return err
	}
	defer a.Close()
	decide := a.Flow.Validate
	if f.mlFirst {
		decide = a.Flow.MLFirst
	}
	v, err := fight(cmd, decide, order, progress)
	if err != nil {
		return err
	}
	return f.answer(cmd.OutOrStdout(), v)
}

// fight has an order decided while progress shows how it goes.
func fight(cmd *cobra.Command, decide func(context.Context, validate.Order) (crisol.Validation, error), order validate.Order, progress *show.Progress) (crisol.Validation, error) {
	defer progress.Close()
	order.Watch, order.WatchSelfTest = progress.Trial, progress.SelfTest
	v, err := decide(cmd.Context(), order)
	if order.Candidate.Patch != nil {
		v.PatchDigest = order.Candidate.Patch.Digest()
	}
	return v, err
}

// order reads the flags that don't name the candidate.
func (f *validateFlags) order() (validate.Order, error) {
	var o validate.Order
	var err error
	if f.format != "text" && f.format != "json" {
		return o, crisol.Errorf(crisol.KindInput, "--format %q: want text or json", f.format)
	}
	if f.repeat != "auto" {
		if o.Repeat, err = strconv.Atoi(f.repeat); err != nil || o.Repeat < 1 || o.Repeat > 1000 {
			return o, crisol.Errorf(crisol.KindInput, "--repeat %q: want auto or a number from 1 to 1000", f.repeat)
		}
	}
	if !(f.risk > 0 && f.risk < 1) {
		return o, crisol.Errorf(crisol.KindInput, "--risk %g: want a probability between 0 and 1", f.risk)
	}
	if f.timeout <= 0 {
		return o, crisol.Errorf(crisol.KindInput, "--timeout %s: want a positive duration", f.timeout)
	}
	if !(f.threshold >= 0 && f.threshold <= 1) {
		return o, crisol.Errorf(crisol.KindInput, "--confidence-threshold %g: want a probability from 0 to 1", f.threshold)
	}
	o.Risk, o.Fresh, o.Threshold = f.risk, f.fresh, f.threshold
	o.MinAssurance, err = crisol.ParseAssurance(f.minAssurance)
	return o, err
}

// candidate reads what is said to be the fix. The reference is filled in once the scenario is known.
func (f *validateFlags) candidate(stdin io.Reader) (wargame.Candidate, error) {
	switch {
	case f.upgrade != "":
		return wargame.Candidate{Upgrade: f.upgrade}, nil
	case f.fixed != "":
		return wargame.Candidate{Dir: f.fixed}, nil
	case f.patch == "":
		return wargame.Candidate{}, nil
	}
	in := stdin
	if f.patch != "-" {
		file, err := os.Open(f.patch)
		if err != nil {
			return wargame.Candidate{}, crisol.Errorf(crisol.KindInput, "read the patch: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	patch, err := diff.Read(in, diff.Limits{})
	if err != nil {
		return wargame.Candidate{}, fmt.Errorf("read the patch: %w", err)
	}
	return wargame.Candidate{Patch: patch}, nil
}

// answer prints a validation and turns its verdict into the exit code.
func (f *validateFlags) answer(out io.Writer, v crisol.Validation) error {
	var err error
	if f.format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(v)
	} else {
		err = show.Validation(out, v)
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "print the answer: %w", err)
	}
	switch {
	case v.Verdict == crisol.Fixed:
		return nil
	case v.Verdict == crisol.NotFixed || v.Verdict == crisol.Broken:
		return exit(exitRefused)
	case v.Wargame != nil && v.Wargame.Infrastructure != "":
		return exit(exitInfrastructure)
	default:
		return exit(exitInconclusive)
	}
}

// exactly wants n arguments and says which.
func exactly(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s wants %s, got %d arguments", cmd.CommandPath(), names, len(args)), "see %s --help", cmd.CommandPath())
	}
}
