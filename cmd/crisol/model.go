package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"crisol"
	"crisol/client"
	"crisol/internal/app"
	"crisol/internal/corpus"
	"crisol/internal/dataset"
	"crisol/internal/evaluate/report"
	"crisol/internal/extract"
	"crisol/internal/features"
	"crisol/internal/predict"
	"crisol/internal/scenario"
	"crisol/internal/show"
	"crisol/internal/study"
	"crisol/internal/wargame"
)

func newModel(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "model", Short: "The models that predict verdicts",
		Long: `Models predict from a vulnerability and a patch, without running anything, whether a wargame would find the patch to be
fixed. Each is trained from rows of numbers that were computed of labelled patches (see crisol corpus build), and carries
a certificate for each side that it may decide; see docs/model-card.md for what they can and can't do.`,
		Example: `  crisol model list
  crisol model explain CVE-2019-10744 --patch fix.diff
  crisol model train --rows models/rows.jsonl.gz --out models
  crisol model eval --rows models/rows.jsonl.gz --report report`,
	}
	cmd.AddCommand(modelRows(g), modelTrain(g), modelEval(g), modelList(g), modelPromote(g), modelExplain(g))
	return cmd
}

// studyFlags choose the rows that train and eval work on.
type studyFlags struct {
	rows string
	seed uint64
}

func (f *studyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.rows, "rows", "", "file of labelled rows (*.jsonl.gz)")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of folds, trees and resamples: the same rows and seed give the same bytes")
}

// study opens the rows.
func (f *studyFlags) study(o study.Options) (*study.Study, error) {
	file, err := os.ReadFile(f.rows)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the rows: %w", err)
	}
	set, err := dataset.Read(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.rows, err)
	}
	sum := sha256.Sum256(file)
	return study.New(set, hex.EncodeToString(sum[:]), o)
}

func modelRows(g *global) *cobra.Command {
	var from, out string
	var earlier bool
	cmd := &cobra.Command{
		Use: "rows --corpus FILE --out FILE", Short: "Compute what models learn from of a corpus",
		Long: `Computes the features of every labelled candidate of a corpus (see crisol corpus build) and writes them as rows of
numbers, with no code in them. Candidates without a label are left out, and so are those that were judged under another
version of their scenario than the library's.`,
		Example: `  crisol model rows --corpus corpus.jsonl --out rows.jsonl.gz`,
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, skipped, err := rowsOf(cmd.Context(), from, extract.Options{Earlier: earlier, Workers: g.config.Workers})
			if err != nil {
				return err
			}
			if err := writeWith(out, func(w io.Writer) error { return dataset.Write(w, set) }); err != nil {
				return crisol.Errorf(crisol.KindInput, "write the rows: %w", err)
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d rows, %d of them judged under an earlier version of their scenario; left out: %d candidates without a label, %d judged under another version\n", len(set.Rows), skipped.Earlier, skipped.Unlabelled, skipped.Stale)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "corpus", "", "the corpus")
	flags.StringVar(&out, "out", "", "file to write the rows to (*.jsonl.gz)")
	flags.BoolVar(&earlier, "earlier", false, "take what was judged under an earlier version of its scenario too, where the same patch has no newer verdict")
	_ = cmd.MarkFlagRequired("corpus")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// rowsOf computes the rows of a corpus.
func rowsOf(ctx context.Context, from string, o extract.Options) (set dataset.Set, skipped extract.Skipped, err error) {
	library, err := scenario.Library()
	if err != nil {
		return set, skipped, err
	}
	o.Digests = map[string]string{}
	for _, s := range library.All() {
		o.Digests[s.ID] = s.Digest
	}
	file, err := os.Open(from)
	if err != nil {
		return set, skipped, crisol.Errorf(crisol.KindInput, "read the corpus: %w", err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if set, skipped, err = extract.Rows(ctx, corpus.Read(io.TeeReader(file, sum)), o); err != nil {
		return set, skipped, fmt.Errorf("compute the rows of %s: %w", from, err)
	}
	set.CorpusDigest = hex.EncodeToString(sum.Sum(nil))
	return set, skipped, nil
}

// options are those of a study for a command line.
func (f *studyFlags) options(cmd *cobra.Command, g *global) study.Options {
	say := func(text string) { _, _ = fmt.Fprintln(cmd.ErrOrStderr(), text) }
	return study.Options{Seed: f.seed, Workers: g.config.Workers, Vulnerability: features.OfVulnerability(), Progress: say}
}

func modelTrain(g *global) *cobra.Command {
	var f studyFlags
	var r relearnFlags
	var out string
	cmd := &cobra.Command{
		Use: "train (--rows FILE | --from-store)", Short: "Train models from labelled rows",
		Long: `Trains rf_v1, a random forest, and gbdt_v1, gradient boosting, with their calibrations and certificates. The same rows
and seed give the same files, byte for byte, on every machine.

--from-store adds to the rows (by default those that come with Crisol) what wargames said of a service's predictions: each
test weighs 1/propensity, and features of an older version are computed anew from the request. Tests judged within --window
are not learnt. The models get the next number (rf_v2, gbdt_v2, ...) and enter as challengers: running services ask them
beside the model that decides, and crisol model promote makes one decide. Certificates are made of the other rows alone.

Without --out the models are kept below the data directory, where they take the place of those that come with Crisol.`,
		Example: `  crisol model train --rows models/rows.jsonl.gz --out models
  crisol model train --rows rows.jsonl.gz
  crisol model train --from-store --data /var/lib/crisol`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			registry, err := app.Models(g.config)
			if err != nil {
				return err
			}
			if out != "" {
				registry.Dir = out
			}
			models, err := trained(cmd, g, f, r, registry)
			if err != nil {
				return err
			}
			for _, b := range []*predict.Bundle{models.Forest.Bundle, models.Boosting.Bundle} {
				if err := registry.Keep(b); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", filepath.Join(registry.Dir, b.Version+predict.Suffix))
			}
			return nil
		},
	}
	f.add(cmd)
	r.add(cmd, g)
	cmd.MarkFlagsOneRequired("rows", "from-store")
	cmd.Flags().StringVar(&out, "out", "", "folder to write the models to (default: models below the data directory)")
	return cmd
}

// trained trains from rows, and from a service's A/B tests where that is asked for.
func trained(cmd *cobra.Command, g *global, f studyFlags, r relearnFlags, registry *predict.Registry) (study.Models, error) {
	o := f.options(cmd, g)
	if !r.fromStore {
		s, err := f.study(o)
		if err != nil {
			return study.Models{}, err
		}
		return s.Train(cmd.Context(), o)
	}
	var err error
	if o.Generation, err = nextGeneration(registry); err != nil {
		return study.Models{}, err
	}
	s, file, err := r.relearn(cmd, g, f, o)
	if err != nil {
		return study.Models{}, err
	}
	models, err := s.Train(cmd.Context(), o)
	if err != nil {
		return study.Models{}, err
	}
	return models, keepRows(registry.Dir, o.Generation, file)
}

func modelEval(g *global) *cobra.Command {
	var f studyFlags
	var folder, card string
	cmd := &cobra.Command{
		Use: "eval --rows FILE", Short: "Measure models against baselines, on groups that they never saw",
		Long: `Trains models on parts of the rows and measures them on the others: in folds of unseen groups, by time, from npm to
other ecosystems, and with one operator left out at a time. Every figure has an interval; the baselines are in the same
tables. It takes some minutes.`,
		Example: `  crisol model eval --rows models/rows.jsonl.gz --report report`,
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := f.options(cmd, g)
			s, err := f.study(o)
			if err != nil {
				return err
			}
			models, err := s.Train(cmd.Context(), o)
			if err != nil {
				return err
			}
			r, err := s.Report(cmd.Context(), models, o)
			if err != nil {
				return err
			}
			return writeEvaluation(cmd, r, folder, card)
		},
	}
	f.add(cmd)
	_ = cmd.MarkFlagRequired("rows")
	cmd.Flags().StringVar(&folder, "report", "", "folder to write report.html and report.json to")
	cmd.Flags().StringVar(&card, "card", "", "Markdown file to write the tables to; in one that has the mark of the model card, what follows the mark is replaced")
	return cmd
}

func writeEvaluation(cmd *cobra.Command, r report.Report, folder, card string) error {
	tables := report.Markdown(r, 2)
	if card != "" {
		if err := writeCard(card, tables); err != nil {
			return err
		}
	} else if _, err := io.WriteString(cmd.OutOrStdout(), tables); err != nil {
		return crisol.Errorf(crisol.KindInfrastructure, "print the tables: %w", err)
	}
	if folder == "" {
		return nil
	}
	page, err := report.HTML(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return crisol.Errorf(crisol.KindInput, "make the folder of the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "report.html"), page, 0o644); err != nil { //nolint:gosec // for everybody to read
		return crisol.Errorf(crisol.KindInput, "write the report: %w", err)
	}
	return writeWith(filepath.Join(folder, "report.json"), func(w io.Writer) error { return encodeJSON(w, r) })
}

// figuresMark stands in a model card between what people wrote and the tables.
const figuresMark = "<!-- figures: crisol model eval --card writes what follows -->\n"

// writeCard replaces the tables of a model card. A file without the mark becomes the tables alone.
func writeCard(file, tables string) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return crisol.Errorf(crisol.KindInput, "read the card: %w", err)
	}
	if head, _, marked := strings.Cut(string(text), figuresMark); marked {
		tables = head + figuresMark + "\n" + tables
	}
	if err := os.WriteFile(file, []byte(tables), 0o644); err != nil { //nolint:gosec // for everybody to read
		return crisol.Errorf(crisol.KindInput, "write the card: %w", err)
	}
	return nil
}

func modelList(g *global) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the models", Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			registry, err := app.Models(g.config)
			if err != nil {
				return err
			}
			list, err := registry.List()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			return show.Models(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func modelPromote(g *global) *cobra.Command {
	var server string
	var force bool
	cmd := &cobra.Command{
		Use: "promote VERSION", Short: "Make a model the one that decides",
		Long: `Makes a model the one that decides. A service knows how models did on the same requests, and with --server promotes only
one that was shown to be better than the one that decides, unless --force is given. Without --server nothing is known of
that, so --force is needed; it concerns this machine's commands, and services where nothing was promoted.`,
		Example: `  crisol model promote rf_v2 --server http://127.0.0.1:8026
  crisol model promote gbdt_v1 --force`,
		Args: exactly(1, "VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if server != "" {
				c, err := client.New(server, client.WithUserAgent("crisol/"+app.Version), client.WithToken(os.Getenv("CRISOL_TOKEN")))
				if err != nil {
					return fmt.Errorf("--server: %w", err)
				}
				if _, err := c.Promote(cmd.Context(), args[0], force); err != nil {
					return err
				}
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s decides from now on\n", args[0])
				return nil
			}
			if !force {
				return crisol.WithHint(crisol.Errorf(crisol.KindInput, "whether %s is better isn't known here", args[0]), "ask the service with --server, or promote it all the same with --force")
			}
			registry, err := app.Models(g.config)
			if err != nil {
				return err
			}
			if err := registry.Promote(args[0]); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s decides from now on\n", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "URL of the service whose model it is to be")
	cmd.Flags().BoolVar(&force, "force", false, "promote it although it wasn't shown to be better")
	return cmd
}

func modelExplain(g *global) *cobra.Command {
	var f validateFlags
	var version string
	var top int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain SCENARIO (--patch FILE | --upgrade PURL | --fixed DIR | --reference)", Short: "Predict one patch and say by what",
		Long: `Predicts the verdict of one patch without a trial, and names the features that moved the prediction most, each with
what it adds to the model's output (its Shapley value).`,
		Example: `  crisol model explain CVE-2019-10744 --patch fix.diff`,
		Args:    exactly(1, "SCENARIO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			candidate, err := f.candidate(cmd.InOrStdin())
			if err != nil {
				return err
			}
			s, err := scenario.Open(args[0])
			if err != nil {
				return err
			}
			if f.reference {
				candidate = wargame.Candidate{Reference: &s.Target.Reference, LockSide: "reference"}
			}
			a, err := g.open(cmd)
			if err != nil {
				return err
			}
			defer a.Close()
			bundle, err := a.Models.Champion()
			if version != "" {
				bundle, err = a.Models.Open(version)
			}
			if err != nil {
				return err
			}
			files, err := a.Arena.Touched(cmd.Context(), s, candidate)
			if err != nil {
				return err
			}
			p, err := bundle.Explain(app.Features(s, files), top)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, p)
			}
			return show.Prediction(cmd.OutOrStdout(), p)
		},
	}
	f.candidateFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("patch", "upgrade", "fixed", "reference")
	cmd.MarkFlagsOneRequired("patch", "upgrade", "fixed", "reference")
	flags := cmd.Flags()
	flags.StringVar(&version, "model", "", "the model to ask (default: the one that decides)")
	flags.IntVar(&top, "top", 10, "most features to name")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
