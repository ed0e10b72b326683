package corpus_test

import (
	"iter"
	"testing"

	"crisol"
	"crisol/internal/corpus"
)

func each(list ...corpus.Candidate) iter.Seq2[corpus.Candidate, error] {
	return func(yield func(corpus.Candidate, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Groups are what shares a package or a vulnerability; a patch counts once, as it was judged last.
func TestSummarise(t *testing.T) {
	t.Parallel()
	candidate := func(scenario, pkg, cve, patch string, v crisol.Verdict) corpus.Candidate {
		return corpus.Candidate{ID: scenario + patch, Scenario: scenario, Ecosystem: "npm", Package: pkg, CVE: cve, PatchDigest: patch, Operator: "official", Verdict: v, Seconds: 1}
	}
	got, err := corpus.Summarise(each(
		candidate("s1", "a", "CVE-1", "p", corpus.Failed),
		candidate("s1", "a", "CVE-1", "p", crisol.Fixed),
		candidate("s2", "a", "CVE-2", "p", crisol.NotFixed),
		candidate("s3", "b", "CVE-2", "p", crisol.Broken),
		candidate("s4", "c", "", "p", crisol.Fixed),
		candidate("s5", "d", "", "p", crisol.Inconclusive),
		corpus.Candidate{ID: "another version", Scenario: "s4", Ecosystem: "npm", Package: "c", PatchDigest: "p", Operator: "official", Verdict: crisol.NotFixed},
	))
	if err != nil {
		t.Fatal(err)
	}
	want := corpus.Count{All: 5, Fixed: 1, NotFixed: 2, Broken: 1, Inconclusive: 1}
	if got.Total != want || got.Total.Labels() != 4 || got.Scenarios != 4 || got.Vulnerabilities != 3 || got.Groups != 2 || got.Seconds != 6 {
		t.Errorf("%+v", got)
	}
	if len(got.Operators) != 1 || got.Operators[0].Count != want || got.Types[0].Name != "other" {
		t.Errorf("%+v", got.Operators)
	}
}
