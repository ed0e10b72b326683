package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"crisol"
	"crisol/internal/audit"
	"crisol/internal/baseline"
	"crisol/internal/dataset"
	"crisol/internal/diff"
	"crisol/internal/features"
	"crisol/internal/predict"
	"crisol/internal/scenario"
	"crisol/internal/store"
	"crisol/internal/store/postgres"
	"crisol/internal/store/sqlite"
	"crisol/internal/wargame"
)

// OpenStore opens what a service has kept, without a service.
func (a *App) OpenStore(ctx context.Context) (store.Store, error) {
	if a.Database != "" {
		return postgres.Open(ctx, a.Database, a.Log)
	}
	path := filepath.Join(a.Data, "crisol.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "no service has kept anything at %s", path), "name its directory with --data, or its PostgreSQL with --database")
	}
	return sqlite.Open(ctx, path, a.Log)
}

// Relearnt is what A/B tests give to learn from, and how many of them give nothing.
type Relearnt struct {
	Rows []dataset.Row
	// Recent tests are in the certification window; Stale ones were judged under another version of their scenario or of
	// the sampling; Snippets are no patches of packages; Lost ones have neither features of today nor a request that they
	// could be computed of.
	Recent, Inconclusive, Stale, Snippets, Repeated, Lost int
}

// Relearn makes rows of the A/B tests that were judged before a time. Each weighs 1/propensity. Of tests about the same
// patch the last one counts.
//
// The time is the end of the certification window: requests are repeated, and a model that had learnt a patch would be
// certified by the next label of it. So what is young enough to be asked for again is not learnt.
func (a *App) Relearn(ctx context.Context, st store.Store, before time.Time) (Relearnt, error) {
	var out Relearnt
	index, err := scenario.Library()
	if err != nil {
		return out, err
	}
	a.Flow.Library = index
	tests, err := a.labelled(ctx, st, before, index, &out)
	if err != nil {
		return out, err
	}
	for _, key := range slices.Sorted(maps.Keys(tests)) {
		t := tests[key]
		row, err := a.row(ctx, st, index.Find(t.ScenarioID), t)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if err != nil {
			out.Lost++
			a.Log.WarnContext(ctx, "an A/B test gives no row", "ab_test", t.ID, "error", err)
			continue
		}
		sum := sha256.Sum256([]byte("service " + key))
		row.ID = hex.EncodeToString(sum[:])
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// labelled chooses tests, by scenario and patch.
func (a *App) labelled(ctx context.Context, st store.Store, before time.Time, index *scenario.Index, out *Relearnt) (map[string]store.ABTest, error) {
	const page = 500
	chosen := map[string]store.ABTest{}
	for after := int64(0); ; {
		tests, err := st.ABTests().Judged(ctx, after, page)
		if err != nil || len(tests) == 0 {
			return chosen, err
		}
		after = tests[len(tests)-1].JudgedSeq
		for _, t := range tests {
			sc := index.Find(t.ScenarioID)
			key := t.ScenarioID + " " + t.PatchDigest
			switch {
			case t.Correct == nil:
				out.Inconclusive++
			case strings.HasSuffix(t.ModelVersion, onSnippets):
				out.Snippets++
			case t.ABTestVersion != audit.DesignVersion || sc == nil || sc.Digest != t.ScenarioDigest || t.PatchDigest == "":
				out.Stale++
			case !t.JudgedAt.Before(before):
				out.Recent++
			default:
				if _, again := chosen[key]; again {
					out.Repeated++
				}
				chosen[key] = t
			}
		}
	}
}

// row takes the features that the test keeps where they are of today's version, and computes them else.
func (a *App) row(ctx context.Context, st store.Store, sc *scenario.Scenario, t store.ABTest) (dataset.Row, error) {
	read, nine, err := a.read(ctx, st, sc, t)
	if err != nil {
		return dataset.Row{}, err
	}
	about := input(sc, nil).Vulnerability
	return dataset.Row{
		Scenario: sc.ID, CVE: about.ID, Package: about.Package, Ecosystem: about.Ecosystem, Class: about.Type, Operator: "service",
		Verdict: t.WargamingResult, Weight: 1 / t.Propensity, Vector: read.Vector, NGrams: read.NGrams, Baseline: nine,
	}, nil
}

func (a *App) read(ctx context.Context, st store.Store, sc *scenario.Scenario, t store.ABTest) (predict.Features, dataset.Vector, error) {
	var kept keptFeatures
	if t.FeaturesVersion == features.Version && json.Unmarshal(t.Features, &kept) == nil && kept.Version == features.Version && len(kept.Vector) == len(features.Names()) {
		unknown := slices.Repeat(dataset.Vector{math.NaN()}, len(baseline.Names)) // only an evaluation asks for them
		return predict.Features{Version: kept.Version, Vector: kept.Vector, NGrams: kept.NGrams}, unknown, nil
	}
	record, err := st.Get(ctx, t.ValidationID)
	if err != nil {
		return predict.Features{}, nil, err
	}
	patch, err := diff.Parse([]byte(record.Request.PatchDiff), diff.Limits{})
	if err != nil {
		return predict.Features{}, nil, err
	}
	files, err := a.Arena.Touched(ctx, sc, wargame.Candidate{Patch: patch})
	if err != nil {
		return predict.Features{}, nil, err
	}
	in := input(sc, files)
	return Features(sc, files), baseline.Nine(in.Patch, cmp.Or(append(slices.Clone(sc.Vulnerability.CWE), "")...)), nil
}

// WithRelearnt adds rows to those that came with a set, and returns the set's file too.
func WithRelearnt(set dataset.Set, rows []dataset.Row) (dataset.Set, []byte, error) {
	if set.FeatureVersion != features.Version {
		return set, nil, crisol.Errorf(crisol.KindInput, "the rows to learn from have features of version %s, and this crisol computes %s", set.FeatureVersion, features.Version)
	}
	set.Rows = append(slices.Clone(set.Rows), rows...)
	slices.SortFunc(set.Rows, func(x, y dataset.Row) int { return strings.Compare(x.ID, y.ID) })
	var file bytes.Buffer
	if err := dataset.Write(&file, set); err != nil {
		return set, nil, err
	}
	return set, file.Bytes(), nil
}
