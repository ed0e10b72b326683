package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"crisol"
)

// Share is an estimated share with an interval that covers the truth in 95 % of cases.
type Share struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Matrix is a confusion matrix; fixed is positive. Weighted ones count each test 1/propensity times.
type Matrix struct {
	TruePositive  float64 `json:"true_positive"`
	FalsePositive float64 `json:"false_positive"`
	FalseNegative float64 `json:"false_negative"`
	TrueNegative  float64 `json:"true_negative"`
}

// Accuracy says how a model did against wargames. Shares are nil where they would divide by zero.
type Accuracy struct {
	TimeRange    string    `json:"time_range"`
	ModelVersion string    `json:"model_version"`
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until"`
	Labels       int       `json:"labels"`
	Inconclusive int       `json:"inconclusive"`
	// Predictions is the estimated number of predictions that the labels stand for.
	Predictions       float64 `json:"predictions"`
	Raw               Matrix  `json:"raw"`
	Weighted          Matrix  `json:"weighted"`
	Accuracy          *Share  `json:"accuracy"`
	Precision         *Share  `json:"precision"`
	Recall            *Share  `json:"recall"`
	F1                *Share  `json:"f1"`
	InconclusiveShare *Share  `json:"inconclusive_share"`
	Coverage          *Share  `json:"coverage"`
	RiskFixed         *Share  `json:"risk_fixed"`
	RiskNotFixed      *Share  `json:"risk_not_fixed"`
	// Complete is whether the figures rest on all tests of the time; else on the newest of them.
	Complete bool     `json:"complete"`
	Trend    []Hour   `json:"trend"`
	Recent   []ABTest `json:"recent"`
}

// Hour is one hour of judged tests.
type Hour struct {
	Hour     time.Time `json:"hour"`
	Tests    int64     `json:"tests"`
	Raw      Matrix    `json:"raw"`
	Weighted Matrix    `json:"weighted"`
	Accuracy *float64  `json:"accuracy"`
}

// ABTest is one prediction that was or will be held against a wargame.
type ABTest struct {
	ID                   string                `json:"id"`
	ValidationID         string                `json:"validation_id"`
	APVID                string                `json:"apv_id"`
	CVEID                string                `json:"cve_id,omitempty"`
	PatchID              string                `json:"patch_id,omitempty"`
	ScenarioID           string                `json:"scenario_id"`
	ModelVersion         string                `json:"model_version"`
	Prediction           crisol.Verdict        `json:"ml_prediction"`
	Probability          float64               `json:"ml_probability"`
	Confidence           float64               `json:"ml_confidence"`
	ExecutionMS          float64               `json:"ml_execution_time_ms"`
	Stratum              string                `json:"stratum"`
	Decided              bool                  `json:"decided"`
	Propensity           float64               `json:"propensity"`
	State                string                `json:"state"`
	WargamingResult      crisol.Verdict        `json:"wargaming_result,omitempty"`
	WargamingExecutionMS float64               `json:"wargaming_execution_time_ms,omitempty"`
	Correct              *bool                 `json:"ml_correct"` // nil while pending, or where the wargame could not tell
	DisagreementReason   string                `json:"disagreement_reason,omitempty"`
	Explanation          []crisol.Contribution `json:"shap_values,omitempty"`
	CreatedAt            time.Time             `json:"created_at"`
}

// Stats counts what a model was asked in a time, and what became of it.
type Stats struct {
	TimeRange    string    `json:"time_range"`
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until"`
	Predictions  int64     `json:"predictions"`
	Tests        int64     `json:"tests"`
	Pending      int64     `json:"pending"`
	Correct      int64     `json:"correct"`
	Wrong        int64     `json:"wrong"`
	Inconclusive int64     `json:"inconclusive"`
	Decided      int64     `json:"decided"` // answers that were the model's
	// Medians over the tests; nil where there is none.
	PredictionMS *float64 `json:"ml_execution_time_ms"`
	WargamingMS  *float64 `json:"wargaming_execution_time_ms"`
	Complete     bool     `json:"complete"`
}

// Confidence is how a model's probabilities of fixed are distributed.
type Confidence struct {
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Bins     []Bin     `json:"bins"`
	Complete bool      `json:"complete"`
}

// Bin is a range of probabilities, the upper end excluded but for the last. Predictions, Judged and Correct are weighted.
type Bin struct {
	From        float64 `json:"from"`
	To          float64 `json:"to"`
	Tests       int64   `json:"tests"`
	Predictions float64 `json:"predictions"`
	Judged      float64 `json:"judged"`
	Correct     float64 `json:"correct"`
}

// Trust says how far one side of a model is trusted by tests in service.
type Trust struct {
	Model      string  `json:"model"`
	Side       string  `json:"side"`  // fixed or not_fixed
	State      string  `json:"state"` // shadow, certified, watched or demoted
	Online     bool    `json:"online"`
	Threshold  float64 `json:"threshold"`
	Alpha      float64 `json:"alpha"`
	Confidence float64 `json:"confidence"`
	Held       int     `json:"held"`
	// EValue of Target is the evidence for a certificate; Needed is how many tests without an error are missing at least.
	EValue float64 `json:"e_value"`
	Target float64 `json:"target"`
	Needed int     `json:"needed"`
	// Detector is the evidence that a trusted side has become worse: watched at Warning, demoted at Alarm.
	Detector float64 `json:"detector"`
	Warning  float64 `json:"warning"`
	Alarm    float64 `json:"alarm"`
	Attempts int     `json:"attempts"`
}

// ABTesting is how A/B testing stands.
type ABTesting struct {
	Enabled bool    `json:"enabled"`
	Rate    float64 `json:"rate"`
	// Since is when it was switched last; the zero time where it never was.
	Since   time.Time `json:"since,omitzero"`
	Policy  string    `json:"policy"`
	Floor   float64   `json:"floor"`
	Raised  float64   `json:"raised_rate"`
	Pending int       `json:"pending"`
	Sides   []Trust   `json:"sides"`
	// Drift is that of each model, in JSON.
	Drift map[string]json.RawMessage `json:"drift"`
	Seq   int64                      `json:"seq"`
}

// Model is one model of the service's registry.
type Model struct {
	Version        string                 `json:"version"`
	Champion       bool                   `json:"champion"`
	Shipped        bool                   `json:"shipped"`
	FeatureVersion string                 `json:"feature_version,omitempty"`
	Rows           int                    `json:"rows,omitempty"`
	Error          string                 `json:"error,omitempty"` // why it can't be used
	Certificates   map[string]Certificate `json:"certificates,omitempty"`
	Trust          []Trust                `json:"trust,omitempty"`
	Measured       map[string]float64     `json:"measured,omitempty"`
	Against        *Comparison            `json:"against_champion,omitempty"` // nil of the champion itself
}

// Certificate says from which confidence on a side is trusted, and why not where it isn't.
type Certificate struct {
	Certified bool    `json:"certified"`
	Threshold float64 `json:"threshold"`
	Risk      float64 `json:"risk"`
	Reason    string  `json:"reason"`
}

// Comparison holds a challenger against the champion over the same tests. Positive differences are in its favour.
type Comparison struct {
	Pairs              int        `json:"pairs"`
	ChampionBrier      float64    `json:"champion_brier"`
	ChallengerBrier    float64    `json:"challenger_brier"`
	ChampionAccuracy   float64    `json:"champion_accuracy"`
	ChallengerAccuracy float64    `json:"challenger_accuracy"`
	Brier              Difference `json:"brier"`
	Accuracy           Difference `json:"accuracy"`
	EValue             float64    `json:"e_value"`
	Finding            string     `json:"finding"` // better, worse or undecided
}

// Difference has two intervals at 95 %: for a single look, and for looking as often as one likes.
type Difference struct {
	Value      float64 `json:"value"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	AlwaysLow  float64 `json:"always_low"`
	AlwaysHigh float64 `json:"always_high"`
}

// About selects predictions. TimeRange is 1h, 24h, 7d or 30d, and "" 24h; ModelVersion "" is the champion where figures are
// about one model, else all.
type About struct{ TimeRange, ModelVersion string }

func (a About) query() url.Values {
	query := url.Values{}
	if a.TimeRange != "" {
		query.Set("time_range", a.TimeRange)
	}
	if a.ModelVersion != "" {
		query.Set("model_version", a.ModelVersion)
	}
	return query
}

// Accuracy says how a model did.
func (c *Client) Accuracy(ctx context.Context, about About) (Accuracy, error) {
	var answer Accuracy
	return answer, c.do(ctx, http.MethodGet, "/wargaming/ml/accuracy", about.query(), nil, &answer)
}

// Stats counts predictions.
func (c *Client) Stats(ctx context.Context, about About) (Stats, error) {
	var answer Stats
	return answer, c.do(ctx, http.MethodGet, "/wargaming/ml/stats", about.query(), nil, &answer)
}

// Confidence says how probabilities are distributed.
func (c *Client) Confidence(ctx context.Context, about About) (Confidence, error) {
	var answer Confidence
	return answer, c.do(ctx, http.MethodGet, "/wargaming/ml/confidence-distribution", about.query(), nil, &answer)
}

// RecentPredictions lists the newest predictions that were or will be tested, of one model or of all (""), at most 200;
// limit 0 leaves their number to the service.
func (c *Client) RecentPredictions(ctx context.Context, modelVersion string, limit int) ([]ABTest, error) {
	query := About{ModelVersion: modelVersion}.query()
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var answer struct {
		Predictions []ABTest `json:"predictions"`
	}
	return answer.Predictions, c.do(ctx, http.MethodGet, "/wargaming/ml/recent-predictions", query, nil, &answer)
}

// ABTesting says how A/B testing stands, and how far each model is trusted.
func (c *Client) ABTesting(ctx context.Context) (ABTesting, error) {
	var answer ABTesting
	return answer, c.do(ctx, http.MethodGet, "/wargaming/ab-testing/status", nil, nil, &answer)
}

// EnableABTesting has a share of the model's decisions checked by wargames; a rate of 0 leaves the share as it is.
func (c *Client) EnableABTesting(ctx context.Context, rate float64) (ABTesting, error) {
	body, err := json.Marshal(struct {
		Rate float64 `json:"rate,omitempty"`
	}{rate})
	if err != nil {
		return ABTesting{}, crisol.Errorf(crisol.KindInput, "encode the rate: %w", err)
	}
	var answer ABTesting
	return answer, c.do(ctx, http.MethodPost, "/wargaming/ab-testing/enable", nil, body, &answer)
}

// DisableABTesting has none of the model's decisions checked.
func (c *Client) DisableABTesting(ctx context.Context) (ABTesting, error) {
	var answer ABTesting
	return answer, c.do(ctx, http.MethodPost, "/wargaming/ab-testing/disable", nil, nil, &answer)
}

// Models lists the service's models.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var answer struct {
		Models []Model `json:"models"`
	}
	return answer.Models, c.do(ctx, http.MethodGet, "/wargaming/models", nil, nil, &answer)
}

// Promote makes a model the champion. Without force the service refuses one that tests haven't shown to be better.
func (c *Client) Promote(ctx context.Context, version string, force bool) (Model, error) {
	query := url.Values{}
	if force {
		query.Set("force", "true")
	}
	var answer Model
	return answer, c.do(ctx, http.MethodPost, "/wargaming/models/"+url.PathEscape(version)+"/promote", query, nil, &answer)
}

// Forget has the service forget its cached answers about one APV, or all (""). It returns whether all instances know; else
// the one that was asked does, and tells the others once it can.
func (c *Client) Forget(ctx context.Context, apvID string) (shared bool, err error) {
	query := url.Values{}
	if apvID != "" {
		query.Set("apv_id", apvID)
	}
	var answer struct {
		Shared bool `json:"shared"`
	}
	err = c.do(ctx, http.MethodDelete, "/wargaming/cache", query, nil, &answer)
	return answer.Shared, err
}
