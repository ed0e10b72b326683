package store

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"crisol"
)

// ErrJudged says that the A/B test has its result already, which stays.
var ErrJudged = crisol.Errorf(crisol.KindInternal, "the A/B test is already judged")

// The strata of an ABTest: whether the prediction was at or above the threshold of its side.
const (
	Confident   = "confident"
	Unconfident = "unconfident"
)

// The states of an ABTest. A judged one never changes again.
const (
	Pending = "pending"
	Judged  = "judged"
)

// ABTest is one prediction that was, or is to be, compared with a wargame.
type ABTest struct {
	// ID is a UUIDv7. A validation has at most one test for each model.
	ID, ValidationID, APVID, CVEID, PatchID string
	ScenarioID, ScenarioDigest, PatchDigest string
	ModelVersion, FeaturesVersion           string
	ABTestVersion                           int            // of the sampling design
	Prediction                              crisol.Verdict // fixed or not_fixed: the side
	Probability, Confidence                 float64        // of fixed; of the predicted side
	MLExecutionMS                           float64
	Threshold                               float64            // from which the side is or would be trusted
	Stratum                                 string             // Confident or Unconfident
	Decided                                 bool               // whether the answer that was given was the model's
	Propensity                              float64            // with which this row was sampled, (0, 1]
	Challengers                             map[string]float64 // probability of fixed by each other model; nil where none
	Features                                json.RawMessage    // what the model read, opaque to the store; nil where not kept
	SHAP                                    []crisol.Contribution
	State                                   string         // Pending or Judged
	WargamingResult                         crisol.Verdict // "" while pending
	WargamingExecutionMS                    float64
	Correct                                 *bool  // nil while pending or inconclusive; the store works it out
	DisagreementReason                      string // the wargame's reason where it disagrees, or could not tell
	JudgedSeq                               int64  // order of judgement, from 1, given by the store; 0 while pending
	CreatedAt, JudgedAt                     time.Time
}

// Agrees says whether a prediction was right: fixed is the positive label, not_fixed and broken are the negative one.
// Inconclusive is no label, and nil.
func Agrees(prediction, result crisol.Verdict) *bool {
	if result != crisol.Fixed && result != crisol.NotFixed && result != crisol.Broken {
		return nil
	}
	agrees := (prediction == crisol.Fixed) == (result == crisol.Fixed)
	return &agrees
}

// Check refuses a row that statistics could not be made of. Rows that pass are never refused by a database for what
// they say.
func (t ABTest) Check() error {
	refuse := func(what string, value any) error {
		return crisol.Errorf(crisol.KindInternal, "A/B test %q: %s is %v", t.ID, what, value)
	}
	for _, p := range []struct {
		name  string
		value float64
	}{{"probability", t.Probability}, {"confidence", t.Confidence}, {"propensity", t.Propensity}, {"threshold", t.Threshold}} {
		if !(p.value >= 0 && p.value <= 1) { // NaN too
			return refuse(p.name, p.value)
		}
	}
	for name, p := range t.Challengers {
		if !(p >= 0 && p <= 1) {
			return refuse("probability of challenger "+name, p)
		}
	}
	switch {
	case t.ID == "" || t.ValidationID == "" || t.ModelVersion == "":
		return refuse("one of id, validation or model", `""`)
	case t.CreatedAt.IsZero():
		return refuse("the time of creation", "not set")
	case t.Prediction != crisol.Fixed && t.Prediction != crisol.NotFixed:
		return refuse("the prediction", t.Prediction)
	case t.Stratum != Confident && t.Stratum != Unconfident:
		return refuse("the stratum", t.Stratum)
	case t.Propensity == 0:
		return refuse("the propensity", 0)
	case math.IsNaN(t.MLExecutionMS) || math.IsInf(t.MLExecutionMS, 0):
		return refuse("the time of the prediction", t.MLExecutionMS)
	case len(t.Features) > 0 && !json.Valid(t.Features):
		return refuse("the features", "no JSON")
	case t.State == Pending:
		return nil
	case t.State != Judged:
		return refuse("the state", t.State)
	}
	return Judgement{Verdict: t.WargamingResult, ExecutionMS: t.WargamingExecutionMS, At: t.JudgedAt}.check(t.ID)
}

// Judgement is what a wargame says of a prediction.
type Judgement struct {
	Verdict     crisol.Verdict
	ExecutionMS float64
	// Reason is the wargame's; it is kept where the prediction was wrong, or the wargame could not tell.
	Reason string
	At     time.Time
	// Events are appended in the same transaction.
	Events []Event
}

func (j Judgement) check(id string) error {
	switch {
	case !known(j.Verdict):
		return crisol.Errorf(crisol.KindInternal, "A/B test %q: the wargame's result is %q", id, j.Verdict)
	case j.At.IsZero():
		return crisol.Errorf(crisol.KindInternal, "A/B test %q: the time of the judgement is not set", id)
	case math.IsNaN(j.ExecutionMS) || math.IsInf(j.ExecutionMS, 0):
		return crisol.Errorf(crisol.KindInternal, "A/B test %q: the wargame's time is %v", id, j.ExecutionMS)
	}
	return nil
}

// Check refuses a judgement that could not be kept of the A/B test with this id.
func (j Judgement) Check(id string) error { return j.check(id) }

func known(v crisol.Verdict) bool {
	return v == crisol.Fixed || v == crisol.NotFixed || v == crisol.Broken || v == crisol.Inconclusive
}

// ABFilter selects A/B tests. A zero field selects all; fields that are set must all hold.
type ABFilter struct {
	ModelVersion string
	Side         crisol.Verdict // of the prediction
	Stratum      string
	State        string
	Since        time.Time // created at or after
	Until        time.Time // created before
	Before       string    // with a smaller ID: the ID of a page's last row asks for the next page
	// Limit bounds the rows returned; it must be positive.
	Limit int
}

// ABTests keeps predictions beside what wargames say of them. The order of JudgedSeq is the order of commits: who has
// seen a row has seen, or can see, all rows with smaller numbers, so that a fold over Judged never misses one. Numbers
// have no gaps until retention deletes rows.
type ABTests interface {
	// Plan keeps a pending test. One that is kept already, by its ID or by its validation and model, stays as it is.
	Plan(ctx context.Context, t ABTest) error
	// Judge gives a pending test its only result and returns the whole row. ErrJudged, ErrNotFound.
	Judge(ctx context.Context, id string, j Judgement) (ABTest, error)
	// Get returns one test. ErrNotFound.
	Get(ctx context.Context, id string) (ABTest, error)
	// Pending returns up to limit pending tests with an ID greater than after, the oldest first.
	Pending(ctx context.Context, after string, limit int) ([]ABTest, error)
	// Judged returns up to limit judged tests with a JudgedSeq greater than after, in the order of JudgedSeq.
	Judged(ctx context.Context, after int64, limit int) ([]ABTest, error)
	// Recent returns the tests that f selects, newest first.
	Recent(ctx context.Context, f ABFilter) ([]ABTest, error)
}

// With returns the test as judged by j. Its place in the order of judgements is for the store to give.
func (t ABTest) With(j Judgement) ABTest {
	t.State, t.WargamingResult, t.WargamingExecutionMS, t.JudgedAt = Judged, j.Verdict, j.ExecutionMS, j.At
	t.Correct, t.DisagreementReason = Agrees(t.Prediction, j.Verdict), ""
	if t.Correct == nil || !*t.Correct {
		t.DisagreementReason = j.Reason
	}
	return t
}
