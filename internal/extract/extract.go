// Package extract computes what models read: of one candidate, for a prediction, and of a whole corpus, for learning. Both
// go the same way, so that a model is never asked something else than it learnt.
//
// In go a vulnerability and the files that a candidate touches, before and after; out come features and, of a labelled
// corpus, rows. The package knows nothing of models, trials or where files come from.
package extract

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"crisol"
	"crisol/internal/baseline"
	"crisol/internal/corpus"
	"crisol/internal/dataset"
	"crisol/internal/diff"
	"crisol/internal/features"
	"crisol/internal/predict"
	"crisol/internal/static"
)

// maxFile bounds what is compared and read of one file: what is larger is no source that a person wrote.
const maxFile = 4 << 20

// Input is what features are computed of: the difference of the files, whatever form the candidate had.
func Input(v features.Vulnerability, files []diff.Touched) features.Input {
	in := features.Input{Vulnerability: v}
	before, after := map[string]string{}, map[string]string{}
	for _, f := range files {
		if len(f.Before) > maxFile || len(f.After) > maxFile {
			continue
		}
		if f.Before != nil {
			before[f.Path] = string(f.Before)
			in.Files = append(in.Files, features.File{Path: f.Path, Before: f.Before})
		}
		if f.After != nil {
			after[f.Path] = string(f.After)
		}
	}
	in.Patch = diff.Between(before, after)
	return in
}

// Features computes what a model reads.
func Features(in features.Input) predict.Features {
	read := features.Read(in)
	counts := read.NGrams()
	f := predict.Features{Version: features.Version, Vector: read.Vector(), NGrams: make(dataset.NGrams, len(counts))}
	for i, c := range counts {
		f.NGrams[i] = dataset.NGram{Bucket: c.Bucket, Count: c.N}
	}
	return f
}

// Skipped counts the candidates of a corpus that gave no row, and rows that were judged otherwise.
type Skipped struct {
	Unlabelled int // inconclusive, or no trial could be held
	Stale      int // judged under another version of their scenario, and left out
	Earlier    int // judged under an earlier version of their scenario, and taken
}

// Options steer Rows.
type Options struct {
	// Digests has the digest of each scenario as it is today: what was judged under another version says less of this one.
	Digests map[string]string
	// Earlier takes what was judged under another version too, where the same patch wasn't judged under today's.
	Earlier bool
	Workers int // 0 is one
}

// Rows computes the rows of a corpus; of a candidate that occurs again the last line counts. The header's
// CorpusDigest is left to the caller.
func Rows(ctx context.Context, candidates iter.Seq2[corpus.Candidate, error], o Options) (dataset.Set, Skipped, error) {
	set := dataset.Set{Header: dataset.Header{
		Schema: dataset.Schema, FeatureVersion: features.Version, Features: features.Names(), Baseline: baseline.Names, Buckets: features.Buckets,
	}}
	kept, skipped, err := choose(candidates, o)
	if err != nil {
		return set, skipped, err
	}
	set.Rows = make([]dataset.Row, len(kept))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Workers))
	memory := NewMemory()
	for i, c := range kept {
		group.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			set.Rows[i], err = row(ctx, memory, c)
			return err
		})
	}
	return set, skipped, group.Wait()
}

// choose takes the candidates that give rows, by ID.
func choose(candidates iter.Seq2[corpus.Candidate, error], o Options) (kept []corpus.Candidate, skipped Skipped, err error) {
	latest := map[string]corpus.Candidate{}
	today := map[string]bool{} // patches of scenarios that were judged under today's version
	for c, err := range candidates {
		if err != nil {
			return nil, skipped, err
		}
		latest[c.ID] = c
		if _, labelled := c.Label(); labelled && o.Digests[c.Scenario] == c.ScenarioDigest {
			today[c.Scenario+" "+c.PatchDigest] = true
		}
	}
	earlier := map[string]string{} // by scenario and patch, the last of those that were judged under earlier versions
	for id, c := range latest {
		patch := c.Scenario + " " + c.PatchDigest
		if _, labelled := c.Label(); !labelled || o.Digests[c.Scenario] == c.ScenarioDigest || today[patch] {
			continue
		}
		if other, ok := earlier[patch]; !ok || latest[other].Created.Before(c.Created) {
			earlier[patch] = id
		}
	}
	for _, id := range slices.Sorted(maps.Keys(latest)) {
		c := latest[id]
		_, labelled := c.Label()
		switch {
		case !labelled:
			skipped.Unlabelled++
		case o.Digests[c.Scenario] == c.ScenarioDigest:
			kept = append(kept, c)
		case o.Earlier && earlier[c.Scenario+" "+c.PatchDigest] == id:
			skipped.Earlier++
			kept = append(kept, c)
		default:
			skipped.Stale++
		}
	}
	return kept, skipped, nil
}

func row(ctx context.Context, memory Memory, c corpus.Candidate) (dataset.Row, error) {
	in, err := candidate(c)
	if err != nil {
		return dataset.Row{}, fmt.Errorf("candidate %s of %s: %w", c.ID, c.Scenario, err)
	}
	decided, err := decide(ctx, memory, in)
	if err != nil {
		return dataset.Row{}, fmt.Errorf("candidate %s of %s: %w", c.ID, c.Scenario, err)
	}
	f := memory.Features(in)
	cwe := ""
	if len(c.CWE) > 0 {
		cwe = c.CWE[0]
	}
	return dataset.Row{
		ID: c.ID, Scenario: c.Scenario, CVE: c.CVE, Package: c.Package, Ecosystem: c.Ecosystem, Class: c.Type, Operator: c.Operator,
		Static: decided, Verdict: c.Verdict, Vector: f.Vector, Baseline: baseline.Nine(in.Patch, cwe), NGrams: f.NGrams,
	}, nil
}

// candidate makes the input of a corpus's candidate: the one that a prediction would have, for a corpus holds the
// difference of the files as diff.Between gives it.
func candidate(c corpus.Candidate) (features.Input, error) {
	patch, err := diff.Parse([]byte(c.Patch), diff.Limits{})
	if err != nil {
		return features.Input{}, err
	}
	in := features.Input{Patch: patch, Vulnerability: features.Vulnerability{
		ID: c.CVE, CWE: c.CWE, Type: c.Type, Severity: c.Severity, Ecosystem: c.Ecosystem, Package: c.Package, Text: c.Text,
	}}
	for _, f := range c.Files {
		in.Files = append(in.Files, features.File{Path: f.Path, Before: []byte(f.Before)})
	}
	return in, nil
}

// decide asks the static checks, as they are asked before a model.
func decide(ctx context.Context, memory Memory, in features.Input) (crisol.Verdict, error) {
	dir, err := os.MkdirTemp("", "crisol-extract-")
	if err != nil {
		return "", crisol.Errorf(crisol.KindInfrastructure, "lay a candidate out: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files := map[string]*diff.Touched{}
	for _, f := range in.Files {
		files[f.Path] = &diff.Touched{Path: f.Path, Before: f.Before}
		at := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, f.Before, 0o600)); err != nil {
			return "", crisol.Errorf(crisol.KindInfrastructure, "lay a candidate out: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", crisol.Errorf(crisol.KindInfrastructure, "lay a candidate out: %w", err)
	}
	defer func() { _ = root.Close() }()
	changes, err := in.Patch.Apply(root)
	if err != nil {
		return "", err
	}
	var touched []diff.Touched
	for _, change := range changes.Files {
		f := files[change.Path]
		if f == nil {
			f = &diff.Touched{Path: change.Path}
		}
		if !change.Deleted {
			f.After = change.Content
		}
		touched = append(touched, *f)
	}
	return static.Gate{Parser: memory.Parser}.Decide(ctx, touched).Verdict, nil
}
