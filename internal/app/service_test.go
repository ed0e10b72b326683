package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/store/pgtest"
	"crisol/internal/validate"
)

func TestMain(m *testing.M) {
	app.Referee()
	if config := os.Getenv(hostEnv); config != "" {
		fmt.Fprintln(os.Stderr, beHost(config))
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m.Run))
}

// service is the whole service but for the model, which says what a test wants.
type service struct {
	*testing.T
	*app.Service
	url    string
	flow   *validate.Flow
	app    *app.App
	config *app.Config
	// genuine is the predictor that the service came with.
	genuine validate.Predictor
	// says is the probability of fixed, or below 0 a failure.
	says  atomic.Value
	asked atomic.Int64
	takes atomic.Int64 // how long the model thinks, in nanoseconds
}

func (s *service) Predict(*scenario.Scenario, []diff.Touched) (validate.Opinion, error) {
	s.asked.Add(1)
	time.Sleep(time.Duration(s.takes.Load()))
	p := s.says.Load().(float64)
	if p < -1 {
		panic("the model's trees lead nowhere")
	}
	if p < 0 {
		return validate.Opinion{}, errors.New("the model's file is corrupt")
	}
	return validate.Opinion{
		Prediction:     crisol.MLPrediction{Valid: p >= 0.5, Probability: p, ModelVersion: "rf_v1"},
		Bounds:         s.Auditor.Bounds("rf_v1", policy.Bounds{}),
		FeatureVersion: "f", Features: func() ([]byte, error) { return []byte("{}"), nil },
	}, nil
}

// real has the service ask its own models.
func (s *service) real() { s.flow.Predictor = s.genuine }

func start(t *testing.T, rule policy.Rule) *service {
	t.Helper()
	return startWith(t, app.Config{Data: t.TempDir(), Rule: rule})
}

func startWith(t *testing.T, c app.Config) *service {
	t.Helper()
	a, err := app.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	made, err := a.OpenService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &service{T: t, Service: made, flow: a.Flow, app: a, config: &a.Config}
	s.says.Store(0.5)
	s.genuine, a.Flow.Predictor = a.Flow.Predictor, s
	server := httptest.NewServer(made.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := made.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	s.url = server.URL
	return s
}

// ask sends a request and reads the answer into v.
func (s *service) ask(method, path string, body any, v any) int {
	s.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			s.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(s.Context(), method, s.url+path, in)
	if err != nil {
		s.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			s.Fatalf("%s: %v in %s", path, err, text)
		}
	}
	return response.StatusCode
}

// query is a request in the short form: a query whose input is bound, or not.
func query(apv, patch string) crisol.Request {
	return crisol.Request{
		APVID: apv, CVEID: "CVE-2024-0001", PatchID: "p", Wait: "60s",
		Vulnerability: &crisol.Vulnerability{Type: "sql_injection", AffectedCode: vulnerable},
		Patch:         &crisol.CodePatch{Code: patch},
	}
}

const (
	vulnerable = "db.query(\"SELECT * FROM users WHERE name = '\" + name + \"'\")"
	bound      = "db.query('SELECT * FROM users WHERE name = ?', [name])"
	trimmed    = "db.query(\"SELECT * FROM users WHERE name = '\" + name.trim() + \"'\")"
	remarked   = vulnerable + " // checked"
)

func (s *service) mlFirst(r crisol.Request) (v crisol.Validation) {
	s.Helper()
	if status := s.ask(http.MethodPost, "/wargaming/ml-first", r, &v); status != http.StatusOK {
		s.Fatalf("status %d: %+v", status, v)
	}
	return v
}

// TestMLFirst: who decides is who may, and says so.
func TestMLFirst(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Threshold)
	v := s.mlFirst(query("apv-1", remarked))
	if v.Method != crisol.MethodStatic || v.Verdict != crisol.NotFixed || v.Certified != nil || s.asked.Load() != 0 {
		t.Errorf("a comment: %+v", v)
	}
	s.says.Store(0.95)
	v = s.mlFirst(query("apv-1", bound))
	if v.Method != crisol.MethodML || v.Verdict != crisol.Fixed || !v.PatchValidated || v.Certified == nil || *v.Certified || v.Cached || v.Prediction == nil || v.Assurance != crisol.A0 {
		t.Errorf("the model is sure: %+v", v)
	}
	var kept crisol.Validation
	if status := s.ask(http.MethodGet, "/wargaming/validations/"+v.ID, nil, &kept); status != http.StatusOK || kept.Verdict != v.Verdict || kept.Method != v.Method {
		t.Errorf("%d: %+v", status, kept)
	}
	asked := s.asked.Load()
	again := s.mlFirst(query("apv-1", bound))
	if !again.Cached || again.ID != v.ID || s.asked.Load() != asked {
		t.Errorf("asked again: %+v", again)
	}
	if other := s.mlFirst(query("apv-1", trimmed)); other.Cached || other.ID == v.ID || other.PatchDigest == v.PatchDigest {
		t.Errorf("another patch for the same APV: %+v", other)
	}
	if status := s.ask(http.MethodDelete, "/wargaming/cache?apv_id=apv-1", nil, nil); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if fresh := s.mlFirst(query("apv-1", bound)); fresh.Cached || fresh.ID == v.ID {
		t.Errorf("after the invalidation: %+v", fresh)
	}
	careful := query("apv-1", bound)
	careful.ConfidenceThreshold = 0.99
	if v = s.mlFirst(careful); v.Method != crisol.MethodWargaming || v.Verdict != crisol.Fixed || v.PolicyReason != string(policy.CallerCareful) || v.Wargame == nil || v.Prediction == nil {
		t.Errorf("a careful caller: %+v", v)
	}
	s.says.Store(-1.0)
	if v = s.mlFirst(query("apv-2", trimmed)); v.Method != crisol.MethodFallback || v.Verdict != crisol.NotFixed || v.PolicyReason != string(policy.NoModel) {
		t.Errorf("the model fails: %+v", v)
	}
	if v = s.mlFirst(query("apv-2", trimmed)); !v.Cached {
		t.Errorf("a wargame's verdict is kept too: %+v", v)
	}
}

// TestShadow: without a certificate the model only predicts, and the wargame beside it is a label.
func TestShadow(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Certified)
	s.says.Store(0.95)
	v := s.mlFirst(query("apv", trimmed))
	if v.Method != crisol.MethodWargaming || v.Verdict != crisol.NotFixed || v.PolicyReason != string(policy.NoCertificate) || !strings.Contains(v.Reason, "labels") {
		t.Errorf("%+v", v)
	}
	var report struct {
		Labels int
		Raw    struct {
			FalsePositive float64 `json:"false_positive"`
		}
		Precision *struct{ Value float64 }
		Recent    []struct {
			Propensity float64
			Correct    *bool  `json:"ml_correct"`
			Reason     string `json:"disagreement_reason"`
		}
	}
	if status := s.ask(http.MethodGet, "/wargaming/ml/accuracy?time_range=1h&model_version=rf_v1", nil, &report); status != http.StatusOK || report.Labels != 1 ||
		report.Raw.FalsePositive != 1 || report.Precision == nil || len(report.Recent) != 1 || *report.Recent[0].Correct || report.Recent[0].Propensity != 1 || report.Recent[0].Reason == "" {
		t.Errorf("%d: %+v", status, report)
	}
	for _, bad := range []string{"/wargaming/ml/accuracy?time_range=2h", "/wargaming/ml/stats?time_range=x"} {
		var problem struct{ Errors []struct{ Message string } }
		if status := s.ask(http.MethodGet, bad, nil, &problem); status != http.StatusUnprocessableEntity || len(problem.Errors) != 1 || !strings.Contains(problem.Errors[0].Message, "30d") {
			t.Errorf("%s: %d %+v", bad, status, problem)
		}
	}
}

// TestAB: once the switch is on, a share of what the model decides is fought over after the answer, and judged once.
func TestAB(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Threshold)
	var status struct {
		Enabled bool
		Rate    float64
		Pending int
	}
	if code := s.ask(http.MethodPost, "/wargaming/ab-testing/enable", map[string]any{"rate": 0.5}, &status); code != http.StatusOK || !status.Enabled || status.Rate != 0.5 {
		t.Fatalf("%d: %+v", code, status)
	}
	if code := s.ask(http.MethodPost, "/wargaming/ab-testing/enable", map[string]any{"rate": 0.01}, nil); code != http.StatusUnprocessableEntity {
		t.Errorf("a rate below the floor: %d", code)
	}
	s.says.Store(0.9)
	var ids []string
	const sent = 6
	for i := range sent { // the coin falls by the patch
		v := s.mlFirst(query("apv", trimmed+strings.Repeat(";", i)))
		if v.Method != crisol.MethodML || v.ExecutionTimeSeconds > 1 {
			t.Fatalf("%+v", v)
		}
		ids = append(ids, v.ID)
	}
	type list struct {
		Predictions []struct {
			Validation string `json:"validation_id"`
			State      string
			Decided    bool
			Result     crisol.Verdict `json:"wargaming_result"`
			Correct    *bool          `json:"ml_correct"`
			Propensity float64
		}
	}
	var recent list
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		recent = list{}
		s.ask(http.MethodGet, "/wargaming/ml/recent-predictions", nil, &recent)
		pending := slices.ContainsFunc(recent.Predictions, func(p struct {
			Validation string `json:"validation_id"`
			State      string
			Decided    bool
			Result     crisol.Verdict `json:"wargaming_result"`
			Correct    *bool          `json:"ml_correct"`
			Propensity float64
		}) bool {
			return p.State != "judged"
		})
		var stats struct{ Predictions int }
		s.ask(http.MethodGet, "/wargaming/ml/stats?time_range=1h", nil, &stats)
		if !pending && stats.Predictions == sent {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still pending: %+v, %+v", recent, stats)
		}
	}
	for _, p := range recent.Predictions {
		if !p.Decided || p.Result != crisol.NotFixed || p.Correct == nil || *p.Correct || p.Propensity != 0.5 || !slices.Contains(ids, p.Validation) {
			t.Errorf("%+v", p)
		}
	}
	if code := s.ask(http.MethodPost, "/wargaming/ab-testing/disable", nil, &status); code != http.StatusOK || status.Enabled {
		t.Errorf("%d: %+v", code, status)
	}
}

// TestHealth: every part is looked at, and a database that is gone makes the service unready, not dead.
func TestHealth(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Certified)
	type report struct {
		Status string
		Parts  []struct {
			Name, Status string
			LastError    string `json:"last_error"`
		}
	}
	var r report
	if code := s.ask(http.MethodGet, "/health/detailed", nil, &r); code != http.StatusOK || r.Status != "healthy" || len(r.Parts) < 4 {
		t.Errorf("%d: %+v", code, r)
	}
	if code := s.ask(http.MethodGet, "/health/ready", nil, nil); code != http.StatusOK {
		t.Errorf("ready: %d", code)
	}
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) { // what was seen is believed for a second
		r = report{}
		if code := s.ask(http.MethodGet, "/health/ready", nil, &r); code == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r)
		}
	}
	if r.Status != "unhealthy" || r.Parts[0].Name != "database" || r.Parts[0].LastError == "" || r.Parts[1].Status != "healthy" {
		t.Errorf("%+v", r)
	}
	if code := s.ask(http.MethodGet, "/health", nil, nil); code != http.StatusOK {
		t.Errorf("alive: %d", code)
	}
}

// TestModels: the registry with certificates and trust; a promotion lasts.
func TestModels(t *testing.T) {
	t.Parallel()
	s := start(t, policy.Certified)
	type models struct {
		Models []struct {
			Version      string
			Champion     bool
			Certificates map[string]struct{ Reason string }
			Trust        []struct{ State string }
			Against      *struct{ Finding string } `json:"against_champion"`
		}
	}
	var list models
	if code := s.ask(http.MethodGet, "/wargaming/models", nil, &list); code != http.StatusOK || len(list.Models) < 2 {
		t.Fatalf("%d: %+v", code, list)
	}
	for _, m := range list.Models {
		if m.Champion != (m.Version == "rf_v1") || len(m.Certificates) != 2 || len(m.Trust) == 0 || m.Champion != (m.Against == nil) {
			t.Errorf("%+v", m)
		}
	}
	if code := s.ask(http.MethodPost, "/wargaming/models/nobody/promote", nil, nil); code != http.StatusNotFound {
		t.Errorf("an unknown model: %d", code)
	}
	if code := s.ask(http.MethodPost, "/wargaming/models/gbdt_v1/promote", nil, nil); code != http.StatusUnprocessableEntity {
		t.Errorf("without evidence: %d", code)
	}
	if code := s.ask(http.MethodPost, "/wargaming/models/gbdt_v1/promote?force=true", nil, nil); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	list = models{}
	s.ask(http.MethodGet, "/wargaming/models", nil, &list)
	for _, m := range list.Models {
		if m.Champion != (m.Version == "gbdt_v1") {
			t.Errorf("%+v", m)
		}
	}
}
