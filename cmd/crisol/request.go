package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/scenario"
	"crisol/internal/show"
)

// maxRequest bounds a request read from a file, as the service bounds a body.
const maxRequest = 16 << 20

// runRequest decides a request as the service would, here and without one.
func runRequest(cmd *cobra.Command, g *global, f *validateFlags) error {
	order, err := f.order()
	if err != nil {
		return err
	}
	request, err := readRequest(f.request, cmd.InOrStdin())
	if err != nil {
		return err
	}
	progress := show.NewProgress(cmd.ErrOrStderr(), f.format == "text")
	g.config.Timeout, g.config.Progress = f.timeout, progress.Say
	a, err := g.open(cmd)
	if err != nil {
		return err
	}
	defer a.Close()
	if request.PatchDiff != "" {
		index, err := scenario.Library()
		if err != nil {
			return err
		}
		a.Flow.Library = index
	}
	plan, err := a.Flow.Resolve(request)
	if err != nil {
		return err
	}
	order.Watch, order.WatchSelfTest = progress.Trial, progress.SelfTest
	plan.Order = order
	v, err := a.Flow.Run(cmd.Context(), plan)
	progress.Close()
	if err != nil {
		return err
	}
	return f.answer(cmd.OutOrStdout(), v)
}

// readRequest reads a request. The name of the vulnerability may be left out: there is nobody to look it up for.
func readRequest(name string, stdin io.Reader) (crisol.Request, error) {
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return crisol.Request{}, crisol.Errorf(crisol.KindInput, "read the request: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	decoder := json.NewDecoder(io.LimitReader(in, maxRequest))
	decoder.DisallowUnknownFields()
	var request crisol.Request
	err := decoder.Decode(&request)
	if err == nil && !errors.Is(decoder.Decode(&struct{}{}), io.EOF) {
		err = errors.New("there is more after it")
	}
	if err != nil {
		return request, crisol.WithHint(crisol.Errorf(crisol.KindInput, "read the request: %w", err), "it is JSON as POST /wargaming/validate takes it")
	}
	if request.APVID == "" {
		request.APVID = "local"
	}
	return request, nil
}
