package client_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"crisol"
	"crisol/client"
)

// TestRoutes: each method asks the route that the service has, and reads what it answers. That these answers are the
// service's is tried where the whole service runs.
func TestRoutes(t *testing.T) {
	t.Parallel()
	var asked, sent string
	answer := "{}"
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked, sent = r.Method+" "+r.URL.RequestURI(), string(body)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(fake.Close)
	c, ctx := connect(t, fake.URL), t.Context()
	about := client.About{TimeRange: "7d", ModelVersion: "rf_v1+snippet"}
	for want, call := range map[string]func() (any, error){
		"GET /wargaming/ml/accuracy?model_version=rf_v1%2Bsnippet&time_range=7d": func() (any, error) { return c.Accuracy(ctx, about) },
		"GET /wargaming/ml/stats": func() (any, error) { return c.Stats(ctx, client.About{}) },
		"GET /wargaming/ml/confidence-distribution?model_version=rf_v1%2Bsnippet&time_range=7d": func() (any, error) { return c.Confidence(ctx, about) },
		"GET /wargaming/ml/recent-predictions?limit=5&model_version=rf_v1":                      func() (any, error) { return c.RecentPredictions(ctx, "rf_v1", 5) },
		"GET /wargaming/ab-testing/status":                                                      func() (any, error) { return c.ABTesting(ctx) },
		"POST /wargaming/ab-testing/enable":                                                     func() (any, error) { return c.EnableABTesting(ctx, 0.2) },
		"POST /wargaming/ab-testing/disable":                                                    func() (any, error) { return c.DisableABTesting(ctx) },
		"GET /wargaming/models":                                                                 func() (any, error) { return c.Models(ctx) },
		"POST /wargaming/models/rf_v2/promote?force=true":                                       func() (any, error) { return c.Promote(ctx, "rf_v2", true) },
		"DELETE /wargaming/cache?apv_id=a+b":                                                    func() (any, error) { return c.Forget(ctx, "a b") },
		"POST /wargaming/ml-first": func() (any, error) {
			return c.Submit(ctx, crisol.Request{APVID: "a"}, client.MLFirst(), client.Webhook("https://example.org/hook"))
		},
	} {
		if _, err := call(); err != nil || asked != want {
			t.Errorf("asked %q: %v; want %q", asked, err, want)
		}
		switch want {
		case "POST /wargaming/ab-testing/enable":
			if sent != `{"rate":0.2}` {
				t.Errorf("sent %s", sent)
			}
		case "POST /wargaming/ml-first":
			var body map[string]any
			if err := json.Unmarshal([]byte(sent), &body); err != nil || body["webhook_url"] != "https://example.org/hook" || body["apv_id"] != "a" {
				t.Errorf("sent %s, %v", sent, err)
			}
		}
	}
}
