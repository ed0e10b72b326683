// Package runtimes chooses a sandbox runtime by name, or the best one that works here.
//
// In goes a name, out comes a sandbox.Runtime that has proven to run a command. It knows which runtimes exist and
// nothing of how they work.
package runtimes

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/bwrap"
	"crisol/internal/sandbox/oci"
	"crisol/internal/sandbox/stage"
)

// Options configure the runtimes.
type Options struct {
	// Log receives what can't be returned. Default: discarded.
	Log *slog.Logger
}

// Names are the runtimes in the order in which auto tries them.
func Names() []string { return []string{"bwrap", "crun", "runc", "runsc"} }

// closing is a Runtime, checked, with the Host that it alone uses.
type closing struct {
	sandbox.Runtime
	host   *stage.Host
	report sandbox.Report
}

// Check returns what Open saw when it checked the runtime: a command line has no need to pay for it twice.
func (c closing) Check(context.Context) (sandbox.Report, error) { return c.report, nil }

// Close gives back what is kept between runs (threads, cgroups). It waits for runs that are under way.
func (c closing) Close() error { return c.host.Close() }

var _ io.Closer = closing{}

// Open returns the runtime of that name, checked. "auto" (or "") takes the first of Names that works. The runtime is
// an io.Closer: cgroups that are kept between runs are removed when it is closed, and otherwise by the next Crisol.
func Open(ctx context.Context, name string, o Options) (sandbox.Runtime, error) {
	candidates := []string{name}
	if name == "" || name == "auto" {
		candidates = Names()
	} else if !slices.Contains(Names(), name) {
		return nil, crisol.Errorf(crisol.KindInput, "sandbox %q: want auto or one of %s", name, strings.Join(Names(), ", "))
	}
	host, err := stage.Open(stage.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, candidate := range candidates {
		r, err := open(candidate, host)
		var report sandbox.Report
		if err == nil {
			report, err = r.Check(ctx)
		}
		if err == nil {
			host.Warm(2) // the two sides of a trial
			return closing{r, host, report}, nil
		}
		errs = append(errs, err)
	}
	err = errors.Join(errs...)
	hint := crisol.HintOf(errs[0])
	return nil, errors.Join(crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "open a sandbox: %w", err), "%s", hint), host.Close())
}

func open(name string, host *stage.Host) (sandbox.Runtime, error) {
	if name == bwrap.Name {
		return bwrap.New(host)
	}
	return oci.New(name, host)
}

// Finding is what Survey found of one runtime.
type Finding struct {
	Name   string
	Report sandbox.Report // when Err is nil
	Err    error          // why it can't be used; its hint says what to install
}

// Survey checks every runtime.
func Survey(ctx context.Context, o Options) ([]Finding, error) {
	host, err := stage.Open(stage.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, name := range Names() {
		f := Finding{Name: name}
		var r sandbox.Runtime
		if r, f.Err = open(name, host); f.Err == nil {
			f.Report, f.Err = r.Check(ctx)
		}
		findings = append(findings, f)
	}
	return findings, host.Close()
}
