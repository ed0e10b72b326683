package app_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"crisol"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/store"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// kept puts a verdict into the store as if an earlier version of the scenario had come to it.
func (s *service) kept(n int, diff string, finished time.Time, change func(*store.Entry)) string {
	s.Helper()
	id := fmt.Sprintf("01900000-0000-7000-8000-%012d", n)
	const sc = "app-path-traversal"
	e := store.Entry{FinishedAt: finished, Submission: store.Submission{ID: id, CreatedAt: finished, Mode: store.ModeMLFirst, Webhook: "https://example.org/hook",
		Accepted: store.Accepted{ScenarioID: sc, ScenarioDigest: "of before", PatchDigest: fmt.Sprint("patch ", n), Normalised: crisol.Request{APVID: "apv", ScenarioID: sc, PatchDiff: diff}}},
		Validation: &crisol.Validation{ID: id, APVID: "apv", ScenarioID: sc, ScenarioDigest: "of before", PatchDigest: fmt.Sprint("patch ", n), Verdict: crisol.Fixed,
			PatchValidated: true, Method: crisol.MethodML, CreatedAt: finished}}
	change(&e)
	if err := s.Store.Record(s.Context(), []store.Entry{e}); err != nil {
		s.Fatal(err)
	}
	return id
}

// refuted is an arena whose every exploit goes on to work.
type refuted struct{ validate.Arena }

// Run implements validate.Arena.
func (refuted) Run(context.Context, wargame.Order) (wargame.Report, error) {
	return wargame.Report{Gates: []crisol.Gate{
		{Name: crisol.GatePrepare, Outcome: crisol.Passed}, {Name: crisol.GateExploitVulnerable, Outcome: crisol.Passed}, {Name: crisol.GatePatchApplies, Outcome: crisol.Passed},
		{Name: crisol.GateExploitPatched, Outcome: crisol.Failed, Evidence: "it still works"},
	}}, nil
}

// SelfTest implements validate.Arena.
func (refuted) SelfTest(context.Context, *scenario.Scenario, wargame.SelfTestOptions) (wargame.SelfTest, error) {
	return wargame.SelfTest{}, nil
}

// TestRevocation: a verdict that rests on another version of its scenario is judged anew. The history says what became of it, and a revoked one counts as validated no more.
func TestRevocation(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Certified)
	s.flow.Arena = refuted{s.flow.Arena}
	// This patch only seems to help: it does nothing.
	id := s.kept(1, "--- /dev/null\n+++ b/NOTES.txt\n@@ -0,0 +1 @@\n+nothing\n", time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond), func(e *store.Entry) {
		_, digest := s.digests("app-path-traversal", e.Submission.Normalised.PatchDiff)
		e.Submission.PatchDigest, e.Validation.PatchDigest = digest, digest
	})
	r := s.Reviser()
	if err := r.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	type shown struct {
		Validated     bool           `json:"patch_validated"`
		Verdict       crisol.Verdict `json:"verdict"`
		Revoked       bool           `json:"revoked"`
		SupersededBy  string         `json:"superseded_by"`
		RevokedReason string         `json:"revoked_reason"`
		RevokedAt     time.Time      `json:"revoked_at"`
		ID            string         `json:"validation_id"`
		Method        crisol.Method  `json:"validation_method"`
	}
	var old, fresh shown
	s.ask(http.MethodGet, "/wargaming/validations/"+id, nil, &old)
	if old.Validated || old.Verdict != crisol.Fixed || !old.Revoked || old.RevokedReason == "" || old.RevokedAt.IsZero() {
		t.Fatalf("%+v", old)
	}
	s.ask(http.MethodGet, "/wargaming/validations/"+old.SupersededBy, nil, &fresh)
	if fresh.Verdict != crisol.NotFixed || fresh.Method != crisol.MethodWargaming || fresh.Revoked {
		t.Errorf("%+v", fresh)
	}
	var list struct{ Validations []shown }
	s.ask(http.MethodGet, "/wargaming/validations?revoked=true", nil, &list)
	if len(list.Validations) != 1 || list.Validations[0].ID != id || list.Validations[0].Validated || !list.Validations[0].Revoked {
		t.Errorf("%+v", list)
	}
	if d, err := s.Store.Deliveries().Get(t.Context(), "revoked/"+id); err != nil || d.URL != "https://example.org/hook" {
		t.Errorf("%+v, %v", d, err)
	}
}

// digests of a scenario of the library, and of a diff.
func (s *service) digests(id, text string) (scenarioDigest, patchDigest string) {
	s.Helper()
	plan, err := s.flow.Resolve(crisol.Request{APVID: "a", ScenarioID: id, PatchDiff: text})
	if err != nil {
		s.Fatal(err)
	}
	return plan.Scenario.Digest, plan.PatchDigest()
}

// TestPrune: what is old goes, and what is younger stays; A/B tests stay unless they are said to go.
func TestPrune(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Certified)
	now := time.Now().UTC().Truncate(time.Microsecond)
	test := func(e *store.Entry) {
		yes := true
		e.ABTest = &store.ABTest{ID: "t" + e.Submission.ID, ValidationID: e.Submission.ID, ModelVersion: "rf_v1", ABTestVersion: 1, Prediction: crisol.Fixed, Probability: 0.9,
			Confidence: 0.9, Threshold: 0.8, Stratum: store.Confident, Propensity: 1, State: store.Judged, WargamingResult: crisol.Fixed, Correct: &yes,
			CreatedAt: e.FinishedAt, JudgedAt: e.FinishedAt, ScenarioID: "s"}
		e.Events = []store.Event{{At: e.FinishedAt, Kind: "validation_finished", Subject: e.Submission.ID, Key: e.Submission.ID}}
	}
	old := s.kept(1, "x", now.Add(-91*24*time.Hour), test)
	young := s.kept(2, "y", now.Add(-89*24*time.Hour), test)
	gone, err := s.Prune(t.Context(), now)
	if err != nil || gone != (store.Pruned{Validations: 1, Events: 2}) {
		t.Fatalf("%+v, %v", gone, err)
	}
	if code := s.ask(http.MethodGet, "/wargaming/validations/"+old, nil, nil); code != http.StatusNotFound {
		t.Errorf("%d", code)
	}
	if code := s.ask(http.MethodGet, "/wargaming/validations/"+young, nil, nil); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	s.config.Ages.ABTests = 90 * 24 * time.Hour
	if gone, err = s.Prune(t.Context(), now); err != nil || gone != (store.Pruned{ABTests: 1}) {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, version, err := s.Store.Settings().Get(t.Context(), "trust"); err != nil || version == 0 {
		t.Errorf("what was folded is kept: %d, %v", version, err)
	}
}
