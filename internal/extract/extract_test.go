package extract_test

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"crisol"
	"crisol/internal/corpus"
	"crisol/internal/dataset"
	"crisol/internal/diff"
	"crisol/internal/extract"
	"crisol/internal/features"
)

const (
	before = "function set (o, k, v) {\n  o[k] = v\n}\nmodule.exports = set\n"
	after  = "function set (o, k, v) {\n  if (k === '__proto__') return\n  o[k] = v\n}\nmodule.exports = set\n"
)

func candidate(id string, verdict crisol.Verdict) corpus.Candidate {
	patch := diff.Between(map[string]string{"index.js": before}, map[string]string{"index.js": after})
	return corpus.Candidate{
		ID: id, Scenario: "s", CWE: []string{"CWE-1321"}, Type: "prototype_pollution", Severity: "high", Ecosystem: "npm", Package: "set", Text: "pollution in set",
		Operator: "official", Patch: patch.String(), Files: []corpus.File{{Path: "index.js", Before: before}}, Verdict: verdict, ScenarioDigest: "today",
	}
}

func all(list ...corpus.Candidate) iter.Seq2[corpus.Candidate, error] {
	return func(yield func(corpus.Candidate, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// TestOneWay: what is learnt of a candidate is what a prediction about it reads.
func TestOneWay(t *testing.T) {
	set, _, err := extract.Rows(t.Context(), all(candidate("1", crisol.Fixed)), extract.Options{Digests: map[string]string{"s": "today"}, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	about := features.Vulnerability{CWE: []string{"CWE-1321"}, Type: "prototype_pollution", Severity: "high", Ecosystem: "npm", Package: "set", Text: "pollution in set"}
	asked := extract.Features(extract.Input(about, []diff.Touched{{Path: "index.js", Before: []byte(before), After: []byte(after)}}))
	row := set.Rows[0]
	if d := cmp.Diff(row.Vector, dataset.Vector(asked.Vector), cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(row.NGrams, asked.NGrams); d != "" || len(row.NGrams) == 0 {
		t.Error(d)
	}
	if asked.Version != set.FeatureVersion || len(row.Vector) != len(set.Features) || len(row.Baseline) != len(set.Baseline) || !row.Fixed() {
		t.Errorf("%+v", row)
	}
	var file bytes.Buffer
	if err := dataset.Write(&file, set); err != nil {
		t.Error(err)
	}
}

func TestLeftOut(t *testing.T) {
	stale := candidate("4", crisol.Broken)
	stale.ScenarioDigest = "yesterday"
	retried := candidate("2", corpus.Failed)
	set, skipped, err := extract.Rows(t.Context(), all(candidate("1", crisol.NotFixed), retried, candidate("3", crisol.Inconclusive), stale, candidate("2", crisol.Fixed)), extract.Options{Digests: map[string]string{"s": "today"}})
	if err != nil || len(set.Rows) != 2 || set.Rows[0].ID != "1" || !set.Rows[1].Fixed() || skipped != (extract.Skipped{Unlabelled: 1, Stale: 1}) {
		t.Errorf("%+v, %+v, %v", set.Rows, skipped, err)
	}
}

func TestFaults(t *testing.T) {
	torn := func(yield func(corpus.Candidate, error) bool) {
		yield(corpus.Candidate{}, errors.New("line 3 is torn"))
	}
	if _, _, err := extract.Rows(t.Context(), torn, extract.Options{}); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Error(err)
	}
	bad := candidate("1", crisol.Fixed)
	bad.Patch = "no patch"
	if _, _, err := extract.Rows(t.Context(), all(bad), extract.Options{Digests: map[string]string{"s": "today"}}); err == nil || !strings.Contains(err.Error(), "candidate 1 of s") {
		t.Error(err)
	}
}

// TestLarge: a file that no person wrote is left out, and one that is created or deleted is not.
func TestLarge(t *testing.T) {
	bundle := []byte(strings.Repeat("x", 5<<20))
	in := extract.Input(features.Vulnerability{}, []diff.Touched{{Path: "bundle.js", Before: []byte("y"), After: bundle}, {Path: "new.js", After: []byte("a\n")}, {Path: "old.js", Before: []byte("b\n")}})
	if got := in.Patch.Paths(); !cmp.Equal(got, []string{"new.js", "old.js"}) || len(in.Files) != 1 {
		t.Errorf("%v, %v", got, in.Files)
	}
}

// TestEarlier: what was judged under an earlier version counts where it is asked for and nothing newer is known of the
// same patch.
func TestEarlier(t *testing.T) {
	old := candidate("1", crisol.Fixed)
	old.ScenarioDigest, old.PatchDigest = "yesterday", "a"
	judged := candidate("2", crisol.NotFixed)
	judged.PatchDigest = "a"
	alone := candidate("3", crisol.Broken)
	alone.ScenarioDigest, alone.PatchDigest = "yesterday", "b"
	o := extract.Options{Digests: map[string]string{"s": "today"}, Earlier: true}
	set, skipped, err := extract.Rows(t.Context(), all(old, judged, alone), o)
	if err != nil || len(set.Rows) != 2 || set.Rows[0].ID != "2" || set.Rows[1].ID != "3" || skipped != (extract.Skipped{Stale: 1, Earlier: 1}) {
		t.Errorf("%+v, %+v, %v", set.Rows, skipped, err)
	}
}

// TestStatic: a candidate that needs no model says so in its row.
func TestStatic(t *testing.T) {
	remark := candidate("1", crisol.NotFixed)
	remark.Patch = diff.Between(map[string]string{"index.js": before}, map[string]string{"index.js": before + "// checked\n"}).String()
	set, _, err := extract.Rows(t.Context(), all(remark, candidate("2", crisol.Fixed)), extract.Options{Digests: map[string]string{"s": "today"}})
	if err != nil || set.Rows[0].Static != crisol.NotFixed || set.Rows[1].Static != "" {
		t.Errorf("%+v, %v", set.Rows, err)
	}
}
