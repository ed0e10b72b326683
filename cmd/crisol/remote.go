package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/client"
	"crisol/internal/app"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/show"
)

// lookEvery is how long one request waits for a verdict, so that progress is seen.
const lookEvery = 3 * time.Second

// runRemote has a service decide. The scenario is its own, and so is how it fights.
func runRemote(cmd *cobra.Command, f *validateFlags, args []string) error {
	order, err := f.order()
	if err != nil {
		return err
	}
	for _, name := range []string{"repeat", "risk", "fresh", "upgrade", "fixed"} {
		if cmd.Flags().Changed(name) {
			return crisol.WithHint(crisol.Errorf(crisol.KindInput, "--%s can't be had with --server", name), "%s", serverRefuses[name])
		}
	}
	c, err := client.New(f.server, client.WithUserAgent("crisol/"+app.Version), client.WithToken(os.Getenv("CRISOL_TOKEN")), client.WithPoll(lookEvery))
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(cmd.Context(), f.timeout, errTooLong)
	defer cancel()
	var request crisol.Request
	if f.request != "" {
		request, err = readRequest(f.request, cmd.InOrStdin())
	} else {
		request, err = f.remoteRequest(ctx, c, cmd.InOrStdin(), args[0])
	}
	if err != nil {
		return err
	}
	request.MinAssurance = max(request.MinAssurance, order.MinAssurance)
	request.ConfidenceThreshold = max(request.ConfidenceThreshold, order.Threshold)
	progress := show.NewProgress(cmd.ErrOrStderr(), f.format == "text")
	v, err := f.follow(ctx, c, request, progress)
	progress.Close()
	if err == nil {
		return f.answer(cmd.OutOrStdout(), v)
	}
	if id := client.IDOf(err); id != "" && ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), errTooLong) {
			err = crisol.Errorf(crisol.KindInfrastructure, "validation %s is not decided after %s", id, f.timeout)
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "validation %s goes on at %s\n", id, f.server)
	}
	return err
}

var errTooLong = crisol.Errorf(crisol.KindInfrastructure, "it took too long")

var serverRefuses = map[string]string{
	"repeat": "the service chooses it", "risk": "the service chooses it", "fresh": "the service chooses what it runs anew",
	"upgrade": "a service takes diffs: --patch, or decide it on this machine, without --server",
	"fixed":   "a service takes diffs: --patch, or decide it on this machine, without --server",
}

// follow asks, and tells how far the validation has come.
func (f *validateFlags) follow(ctx context.Context, c *client.Client, r crisol.Request, progress *show.Progress) (crisol.Validation, error) {
	var asks []client.Ask
	if f.mlFirst {
		asks = append(asks, client.MLFirst())
	}
	r.Wait = "0s"
	record, err := c.Submit(ctx, r, asks...)
	if err != nil {
		return crisol.Validation{}, err
	}
	last := ""
	record, err = c.Await(ctx, record, func(now client.Record) {
		if said := stateOf(now); said != last {
			last = said
			progress.Say(said)
		}
	})
	return record.Validation, err
}

func stateOf(r client.Record) string {
	switch {
	case r.State == client.Finished:
		return "decided"
	case r.State == client.Running && r.Attempts > 1:
		return fmt.Sprintf("%s is running, attempt %d: %s", r.ID, r.Attempts, r.LastError)
	}
	return fmt.Sprintf("%s is %s", r.ID, r.State)
}

// remoteRequest makes a request of what the command line names.
func (f *validateFlags) remoteRequest(ctx context.Context, c *client.Client, stdin io.Reader, name string) (crisol.Request, error) {
	if strings.ContainsAny(name, `/\`) || strings.Trim(name, ".") == "" {
		return crisol.Request{}, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s is a folder, and a service has scenarios of its own", name), "give an id, or leave --server out")
	}
	known, err := remoteScenario(ctx, c, name)
	if err != nil {
		return crisol.Request{}, err
	}
	r := crisol.Request{APVID: "local", ScenarioID: known.ID, CVEID: known.CVE}
	if f.reference {
		r.PatchDiff, err = referenceDiff(known)
	} else {
		r.PatchDiff, err = f.patchText(stdin)
	}
	return r, err
}

// remoteScenario finds one of the service's by its id, else by a name of the vulnerability.
func remoteScenario(ctx context.Context, c *client.Client, name string) (client.Scenario, error) {
	all, err := c.Scenarios(ctx)
	if err != nil {
		return client.Scenario{}, err
	}
	var found []client.Scenario
	for _, s := range all {
		if strings.EqualFold(s.ID, name) {
			return s, nil
		}
		for _, alias := range append([]string{s.CVE}, s.Aliases...) {
			if strings.EqualFold(alias, name) {
				found = append(found, s)
				break
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return client.Scenario{}, crisol.WithHint(crisol.Errorf(crisol.KindNotFound, "the service has no scenario %q", name), "GET /wargaming/scenarios lists them")
	}
	ids := make([]string, len(found))
	for i, s := range found {
		ids[i] = s.ID
	}
	return client.Scenario{}, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the service has several scenarios for %q", name), "choose one of %s", strings.Join(ids, ", "))
}

// referenceDiff is the fix of a scenario that this crisol has too, where it is a diff.
func referenceDiff(remote client.Scenario) (string, error) {
	s, err := scenario.Open(remote.ID)
	if err != nil {
		return "", err
	}
	if s.Digest != remote.Digest {
		return "", crisol.WithHint(crisol.Errorf(crisol.KindInput, "the service has another version of %s than this crisol", s.ID), "send a diff with --patch")
	}
	if s.Target.Reference.Patch == "" {
		return "", crisol.WithHint(crisol.Errorf(crisol.KindInput, "the reference fix of %s is a package, and a service takes diffs", s.ID), "%s", serverRefuses["upgrade"])
	}
	file, err := s.Files.Open(s.Target.Reference.Patch)
	if err != nil {
		return "", crisol.Errorf(crisol.KindInternal, "read the reference fix: %w", err)
	}
	defer func() { _ = file.Close() }()
	return checkedDiff(file)
}

// patchText reads the diff that is to be sent. One that is none is told here, and not by the service.
func (f *validateFlags) patchText(stdin io.Reader) (string, error) {
	if f.patch == "-" {
		return checkedDiff(stdin)
	}
	file, err := os.Open(f.patch)
	if err != nil {
		return "", crisol.Errorf(crisol.KindInput, "read the patch: %w", err)
	}
	defer func() { _ = file.Close() }()
	return checkedDiff(file)
}

// maxDiff bounds a diff that is sent: services take bodies of 12 MiB.
const maxDiff = 12 << 20

func checkedDiff(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxDiff+1))
	if err != nil {
		return "", crisol.Errorf(crisol.KindInput, "read the patch: %w", err)
	}
	if len(text) > maxDiff {
		return "", crisol.Errorf(crisol.KindInput, "read the patch: it has more than %d MiB", maxDiff>>20)
	}
	if _, err := diff.Parse(text, diff.Limits{}); err != nil {
		return "", fmt.Errorf("read the patch: %w", err)
	}
	return string(text), nil
}
