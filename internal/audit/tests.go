package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"crisol"
	"crisol/internal/experiment"
	"crisol/internal/policy"
	"crisol/internal/store"
)

// Prediction is what a model said of a request, and what became of it.
type Prediction struct {
	crisol.MLPrediction
	Bounds         policy.Bounds
	FeatureVersion string
	// Features is what the model read; Others is the probability of fixed by each other model.
	Features func() ([]byte, error)
	Others   map[string]float64
	Took     time.Duration
	// Decided is whether the answer is the model's.
	Decided bool
}

// stratum says whether the prediction is as sure as its side's threshold wants.
func (p Prediction) stratum() string {
	if p.Bounds.Confident(p.Probability) {
		return store.Confident
	}
	return store.Unconfident
}

// row is the test of a prediction, without what is said of its sampling and its judgement.
func (a *Auditor) row(p Prediction, sub store.Submission, scenario string) (store.ABTest, error) {
	verdict, confidence, bound := p.Bounds.Side(p.Probability)
	t := store.ABTest{
		ValidationID: sub.ID, APVID: sub.Normalised.APVID, CVEID: sub.Normalised.CVEID, PatchID: sub.Normalised.PatchID,
		ScenarioID: sub.ScenarioID, ScenarioDigest: scenario, PatchDigest: sub.PatchDigest,
		ModelVersion: p.ModelVersion, FeaturesVersion: p.FeatureVersion, ABTestVersion: DesignVersion,
		Prediction: verdict, Probability: p.Probability, Confidence: confidence, MLExecutionMS: milliseconds(p.Took),
		Threshold: bound.Threshold, Stratum: p.stratum(), Decided: p.Decided, Challengers: p.Others, SHAP: p.Explanation,
		CreatedAt: sub.CreatedAt,
	}
	id, err := uuid.NewV7()
	if err != nil {
		return t, fmt.Errorf("make an id: %w", err)
	}
	t.ID = id.String()
	if p.Features != nil {
		if t.Features, err = p.Features(); err != nil {
			return t, fmt.Errorf("write the features: %w", err)
		}
	}
	return t, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Plan says what is to be kept of a prediction that decided: a test that a wargame will judge, or a count of those that
// none will. The coin falls the same for the same patch, scenario and model.
func (a *Auditor) Plan(p Prediction, sub store.Submission) (*store.ABTest, *store.Count, error) {
	v := a.view.Load()
	verdict, _, _ := p.Bounds.Side(p.Probability)
	propensity := 0.0
	if v.Enabled {
		raised := v.statuses[side{p.ModelVersion, sideOf(verdict)}].Raised() || v.drifts[p.ModelVersion].Raised
		propensity = v.design.Propensity(true, raised)
	}
	if propensity == 0 || !a.coin.Chooses(sub.PatchDigest+" "+sub.ScenarioDigest+" "+p.ModelVersion, propensity) {
		return nil, &store.Count{Hour: sub.CreatedAt, ModelVersion: p.ModelVersion, Side: verdict, Stratum: p.stratum(), Method: crisol.MethodML, N: 1}, nil
	}
	t, err := a.row(p, sub, sub.ScenarioDigest)
	if err != nil {
		return nil, nil, err
	}
	t.Propensity, t.State = propensity, store.Pending
	return &t, nil, nil
}

// Judged is the test of a prediction beside which a wargame decided: compared in any case.
func (a *Auditor) Judged(p Prediction, sub store.Submission, v crisol.Validation) (*store.ABTest, error) {
	t, err := a.row(p, sub, v.ScenarioDigest)
	if err != nil {
		return nil, err
	}
	j := a.judgement(v)
	t.Propensity, t.State, t.JudgedAt, t.WargamingResult, t.WargamingExecutionMS = 1, store.Judged, j.At, j.Verdict, j.ExecutionMS
	if t.Correct = store.Agrees(t.Prediction, v.Verdict); t.Correct == nil || !*t.Correct {
		t.DisagreementReason = v.Reason
	}
	return &t, nil
}

func (a *Auditor) judgement(v crisol.Validation) store.Judgement {
	return store.Judgement{Verdict: v.Verdict, ExecutionMS: 1000 * v.ExecutionTimeSeconds, Reason: v.Reason, At: a.Now().UTC().Truncate(time.Microsecond)}
}

// Judge gives a pending test the result of its wargame, and folds it. The event of it is told with it.
func (a *Auditor) Judge(ctx context.Context, id string, v crisol.Validation) error {
	j := a.judgement(v)
	body, err := json.Marshal(map[string]any{"ab_test": id, "wargaming_result": v.Verdict})
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	j.Events = []store.Event{{At: j.At, Kind: "ab_test_judged", Subject: id, Key: "ab/" + id, Body: body}}
	if _, err := a.Store.ABTests().Judge(ctx, id, j); err != nil {
		return err
	}
	return a.Refresh(ctx)
}

// recentSamples is how many predictions drift looks at, leastSamples how many it takes, and lookEvery the pause between
// two looks.
const (
	recentSamples = 500
	leastSamples  = 100
	lookEvery     = time.Minute
)

// drift compares the scores of recent predictions with those that each model had when it was trained.
func (a *Auditor) drift(ctx context.Context, models []Model) error {
	now := a.Now()
	if now.Sub(a.drifted) < lookEvery {
		return nil
	}
	a.drifted = now
	was := a.drifts
	a.drifts = map[string]experiment.Drift{}
	for _, m := range models {
		if m.Profile == nil {
			continue
		}
		rows, err := a.Store.ABTests().Recent(ctx, store.ABFilter{ModelVersion: m.Version, Limit: recentSamples})
		if err != nil {
			return err
		}
		if len(rows) < leastSamples {
			continue
		}
		samples := make([]experiment.Sample, len(rows))
		for i, row := range rows {
			samples[i] = experiment.Sample{Score: row.Probability, Weight: 1 / row.Propensity}
		}
		d, err := m.Profile.Against(samples)
		if err != nil {
			return err
		}
		a.drifts[m.Version] = d
		if d.Raised && !was[m.Version].Raised {
			body, err := json.Marshal(d)
			if err != nil {
				return fmt.Errorf("write an event: %w", err)
			}
			hour := now.UTC().Truncate(time.Hour)
			if err := a.tell(ctx, []store.Event{{At: now.UTC(), Kind: "model_drift", Subject: m.Version, Body: body, Key: "drift/" + m.Version + "/" + hour.Format(time.RFC3339)}}); err != nil {
				return err
			}
		}
	}
	return nil
}
