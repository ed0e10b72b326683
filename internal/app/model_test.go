package app_test

import (
	"net/http"
	"testing"

	"crisol"
	"crisol/client"
	"crisol/internal/policy"
)

// TestAnotherModel: what one model said is never told as the answer of another, although it is in the cache; and two
// patches for one APV never share an answer. The models are those that come with Crisol.
func TestAnotherModel(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Threshold)
	s.real()
	first := s.mlFirst(query("apv", bound))
	again := s.mlFirst(query("apv", bound))
	if first.Prediction == nil || first.Prediction.ModelVersion != "rf_v1+snippet" || first.Cached || !again.Cached || again.ID != first.ID {
		t.Fatalf("%+v\n%+v", first, again)
	}
	other := s.mlFirst(query("apv", trimmed))
	if other.Cached || other.ID == first.ID || other.PatchDigest == first.PatchDigest || other.Verdict == crisol.Fixed {
		t.Errorf("another patch for the same APV: %+v", other)
	}
	if code := s.ask(http.MethodPost, "/wargaming/models/gbdt_v1/promote?force=true", nil, nil); code != http.StatusOK {
		t.Fatal(code)
	}
	fresh := s.mlFirst(query("apv", bound))
	if fresh.Cached || fresh.ID == first.ID || fresh.Prediction == nil || fresh.Prediction.ModelVersion != "gbdt_v1+snippet" {
		t.Errorf("another model: %+v", fresh)
	}
}

// TestClient: the client reads what the service answers, on every route that it has for models.
func TestClient(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Threshold)
	s.says.Store(0.9)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(s.url, client.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	ab, err := c.EnableABTesting(ctx, 0.5)
	if err != nil || !ab.Enabled || ab.Rate != 0.5 || ab.Since.IsZero() || len(ab.Sides) == 0 || ab.Sides[0].Target == 0 {
		t.Fatalf("%+v, %v", ab, err)
	}
	if ab, err = c.DisableABTesting(ctx); err != nil || ab.Enabled {
		t.Fatalf("%+v, %v", ab, err)
	}
	v, err := c.Validate(ctx, query("apv", bound), client.MLFirst())
	if err != nil || v.Method != crisol.MethodML || v.Verdict != crisol.Fixed {
		t.Fatalf("%+v, %v", v, err)
	}
	for e, err := range c.Events(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == "validation_finished" && e.Subject == v.ID {
			break
		}
	}
	if stats, err := c.Stats(ctx, client.About{TimeRange: "1h"}); err != nil || stats.TimeRange != "1h" || stats.Predictions != 1 || stats.Decided != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	if accuracy, err := c.Accuracy(ctx, client.About{}); err != nil || accuracy.ModelVersion != "rf_v1" || accuracy.Labels != 0 || accuracy.Accuracy != nil || accuracy.Since.IsZero() {
		t.Errorf("%+v, %v", accuracy, err)
	}
	if bins, err := c.Confidence(ctx, client.About{}); err != nil || len(bins.Bins) != 10 || bins.Bins[9].To != 1 {
		t.Errorf("%+v, %v", bins, err)
	}
	if list, err := c.RecentPredictions(ctx, "", 5); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if status, err := c.ABTesting(ctx); err != nil || status.Policy != "threshold" || status.Floor == 0 {
		t.Errorf("%+v, %v", status, err)
	}
	if _, err := c.Promote(ctx, "gbdt_v1", false); crisol.KindOf(err) != crisol.KindInput || crisol.HintOf(err) == "" {
		t.Error(err)
	}
	if m, err := c.Promote(ctx, "gbdt_v1", true); err != nil || !m.Champion || len(m.Certificates) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	if list, err := c.Models(ctx); err != nil || len(list) < 2 || list[0].Version != "gbdt_v1" || !list[0].Champion || list[1].Against == nil || list[1].Against.Finding != "undecided" {
		t.Errorf("%+v, %v", list, err)
	}
	if shared, err := c.Forget(ctx, "apv"); err != nil || !shared {
		t.Errorf("%v, %v", shared, err)
	}
}
