package app_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/dataset"
	"crisol/internal/features"
	"crisol/internal/policy"
	"crisol/internal/store"
)

// TestRelearn: what a service's wargames said becomes rows: each patch once, with the weight of its sampling, its features
// as kept or computed anew, and nothing that is in the certification window or of another version.
func TestRelearn(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Certified)
	const id = "app-path-traversal"
	text := "--- /dev/null\n+++ b/NOTES.txt\n@@ -0,0 +1 @@\n+nothing\n"
	digest, _ := s.digests(id, text)
	now := time.Now().UTC().Truncate(time.Microsecond)
	vector := make(dataset.Vector, len(features.Names()))
	vector[3], vector[4] = 7, math.NaN()
	kept, err := json.Marshal(map[string]any{"Version": features.Version, "Vector": vector, "NGrams": dataset.NGrams{{Bucket: 5, Count: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	test := func(patch string, change func(*store.ABTest)) {
		n++
		row := store.ABTest{ID: fmt.Sprint("t", n), ModelVersion: "rf_v1", FeaturesVersion: features.Version, Features: kept, ABTestVersion: 1, Prediction: crisol.Fixed, Probability: 0.9,
			Confidence: 0.9, Threshold: 0.8, Stratum: store.Confident, Propensity: 0.1, State: store.Judged, WargamingResult: crisol.NotFixed, ScenarioID: id, ScenarioDigest: digest,
			PatchDigest: patch, CreatedAt: now.Add(-240 * time.Hour), JudgedAt: now.Add(-239 * time.Hour)}
		if change != nil {
			change(&row)
		}
		row.Correct = store.Agrees(row.Prediction, row.WargamingResult)
		s.kept(n, text, row.CreatedAt, func(e *store.Entry) { row.ValidationID, e.ABTest = e.Submission.ID, &row })
	}
	test("as kept", func(r *store.ABTest) { r.WargamingResult = crisol.Fixed })
	test("as kept", nil) // judged again
	test("computed anew", func(r *store.ABTest) { r.FeaturesVersion, r.Propensity = "f0", 1 })
	test("young", func(r *store.ABTest) { r.JudgedAt = now })
	test("untold", func(r *store.ABTest) { r.WargamingResult = crisol.Inconclusive })
	test("of before", func(r *store.ABTest) { r.ScenarioDigest = "of before" })
	test("snippet", func(r *store.ABTest) { r.ModelVersion = "rf_v1+snippet" })
	found, err := s.app.Relearn(t.Context(), s.Store, now.Add(-7*24*time.Hour))
	if err != nil || len(found.Rows) != 2 || found.Recent != 1 || found.Inconclusive != 1 || found.Stale != 1 || found.Snippets != 1 || found.Repeated != 1 || found.Lost != 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, row := range found.Rows {
		if row.Verdict != crisol.NotFixed || row.Scenario != id || row.Package == "" || row.Class == "" || len(row.Vector) != len(vector) {
			t.Errorf("%+v", row)
		}
	}
	asKept, anew := found.Rows[0], found.Rows[1]
	if asKept.Weight != 10 || asKept.Vector[3] != 7 || !math.IsNaN(asKept.Vector[4]) || len(asKept.NGrams) != 1 || anew.Weight != 1 || anew.Baseline[8] != 22 {
		t.Errorf("%+v\n%+v", asKept, anew)
	}
	set := dataset.Set{Header: dataset.Header{Schema: dataset.Schema, FeatureVersion: features.Version, Features: features.Names(), Buckets: features.Buckets,
		Baseline: []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}}}
	if all, file, err := app.WithRelearnt(set, found.Rows); err != nil || len(all.Rows) != 2 || len(file) == 0 {
		t.Errorf("%+v, %v", all, err)
	}
	set.FeatureVersion = "f0"
	if _, _, err := app.WithRelearnt(set, found.Rows); crisol.KindOf(err) != crisol.KindInput {
		t.Error(err)
	}
}
