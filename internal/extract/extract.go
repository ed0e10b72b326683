// Package extract computes what models read: of one candidate, for a prediction, and of a whole corpus, for learning. Both
// go the same way, so that a model is never asked something else than it learnt.
//
// In go a vulnerability and the files that a candidate touches, before and after; out come features and, of a labelled
// corpus, rows. The package knows nothing of models, trials or where files come from.
package extract

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"crisol/internal/baseline"
	"crisol/internal/corpus"
	"crisol/internal/dataset"
	"crisol/internal/diff"
	"crisol/internal/features"
	"crisol/internal/predict"
)

// File is one file that a candidate touches; nil on the side where there is none.
type File struct {
	Path          string
	Before, After []byte
}

// maxFile bounds what is compared and read of one file: what is larger is no source that a person wrote.
const maxFile = 4 << 20

// Input is what features are computed of: the difference of the files, whatever form the candidate had.
func Input(v features.Vulnerability, files []File) features.Input {
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

// Skipped counts the candidates of a corpus that gave no row.
type Skipped struct {
	Unlabelled int // inconclusive, or no trial could be held
	Stale      int // judged under another version of their scenario
}

// Rows computes the rows of a corpus; of a candidate that occurs again the last line counts. digests has the digest of
// each scenario as it is today: what was judged under another version says nothing of this one. The header's CorpusDigest
// is left to the caller.
func Rows(ctx context.Context, candidates iter.Seq2[corpus.Candidate, error], digests map[string]string, workers int) (dataset.Set, Skipped, error) {
	set := dataset.Set{Header: dataset.Header{
		Schema: dataset.Schema, FeatureVersion: features.Version, Features: features.Names(), Baseline: baseline.Names, Buckets: features.Buckets,
	}}
	var skipped Skipped
	latest := map[string]corpus.Candidate{}
	for c, err := range candidates {
		if err != nil {
			return set, skipped, err
		}
		latest[c.ID] = c
	}
	var kept []corpus.Candidate
	for _, id := range slices.Sorted(maps.Keys(latest)) {
		c := latest[id]
		_, labelled := c.Label()
		switch {
		case !labelled:
			skipped.Unlabelled++
		case digests[c.Scenario] != c.ScenarioDigest:
			skipped.Stale++
		default:
			kept = append(kept, c)
		}
	}
	set.Rows = make([]dataset.Row, len(kept))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, workers))
	for i, c := range kept {
		group.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			set.Rows[i], err = row(c)
			return err
		})
	}
	return set, skipped, group.Wait()
}

func row(c corpus.Candidate) (dataset.Row, error) {
	in, err := candidate(c)
	if err != nil {
		return dataset.Row{}, fmt.Errorf("candidate %s of %s: %w", c.ID, c.Scenario, err)
	}
	f := Features(in)
	cwe := ""
	if len(c.CWE) > 0 {
		cwe = c.CWE[0]
	}
	return dataset.Row{
		ID: c.ID, Scenario: c.Scenario, CVE: c.CVE, Package: c.Package, Ecosystem: c.Ecosystem, Class: c.Type, Operator: c.Operator,
		Verdict: c.Verdict, Vector: f.Vector, Baseline: baseline.Nine(in.Patch, cwe), NGrams: f.NGrams,
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
