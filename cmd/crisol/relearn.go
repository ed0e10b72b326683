package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/dataset"
	"crisol/internal/predict"
	"crisol/internal/study"
	"crisol/models"
)

// relearnFlags say what of a service's A/B tests is learnt.
type relearnFlags struct {
	fromStore bool
	window    time.Duration
}

// certificationWindow is how young labels must be to be left for certificates.
const certificationWindow = 7 * 24 * time.Hour

func (f *relearnFlags) add(cmd *cobra.Command, g *global) {
	flags := cmd.Flags()
	flags.BoolVar(&f.fromStore, "from-store", false, "learn from the A/B tests of a service too; the models enter as challengers, under the next number")
	flags.DurationVar(&f.window, "window", certificationWindow, "with --from-store, the certification window: tests judged within it are not learnt, so that the new model isn't certified by what it knows")
	flags.StringVar(&g.config.Database, "database", "", "with --from-store, URL of the PostgreSQL that services share (default $DATABASE_URL; without one, SQLite below the data directory)")
}

// relearn is the study of a service's A/B tests together with other rows, and the file of all of them.
func (f *relearnFlags) relearn(cmd *cobra.Command, g *global, base studyFlags, o study.Options) (*study.Study, []byte, error) {
	if f.window < 0 {
		return nil, nil, crisol.Errorf(crisol.KindInput, "--window %s: want a duration", f.window)
	}
	file := models.Rows
	if base.rows != "" {
		var err error
		if file, err = os.ReadFile(base.rows); err != nil {
			return nil, nil, crisol.Errorf(crisol.KindInput, "read the rows: %w", err)
		}
	}
	set, err := dataset.Read(bytes.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	g.config.Database = cmp.Or(g.config.Database, os.Getenv("DATABASE_URL"))
	a, err := g.open(cmd)
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	found, err := tests(cmd.Context(), a, time.Now().Add(-f.window))
	if err != nil {
		return nil, nil, err
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%d patches of the service; left out: %d tests in the certification window, %d inconclusive, %d of other versions, %d about snippets, %d repeated, %d lost\n",
		len(found.Rows), found.Recent, found.Inconclusive, found.Stale, found.Snippets, found.Repeated, found.Lost)
	if len(found.Rows) == 0 {
		return nil, nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the service has no labels to learn from yet"), "a shorter --window leaves fewer out; GET /wargaming/ml/stats counts them")
	}
	set, file, err = app.WithRelearnt(set, found.Rows)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(file)
	s, err := study.New(set, hex.EncodeToString(sum[:]), o)
	return s, file, err
}

func tests(ctx context.Context, a *app.App, before time.Time) (app.Relearnt, error) {
	st, err := a.OpenStore(ctx)
	if err != nil {
		return app.Relearnt{}, err
	}
	found, err := a.Relearn(ctx, st, before)
	if closed := st.Close(); err == nil {
		err = closed
	}
	return found, err
}

// nextGeneration is the number after the greatest of any model's.
func nextGeneration(registry *predict.Registry) (int, error) {
	list, err := registry.List()
	if err != nil {
		return 0, err
	}
	greatest := 1
	for _, e := range list {
		if _, number, ok := strings.Cut(e.Version, "_v"); ok {
			if n, err := strconv.Atoi(number); err == nil {
				greatest = max(greatest, n)
			}
		}
	}
	return greatest + 1, nil
}

// keepRows keeps what a generation was trained on beside its models, so that it can be made again.
func keepRows(dir string, generation int, file []byte) error {
	path := filepath.Join(dir, fmt.Sprintf("rows_v%d.jsonl.gz", generation))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "keep the rows: %w", err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "keep the rows: %w", err)
	}
	return nil
}
