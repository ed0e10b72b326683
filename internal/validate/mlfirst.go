package validate

import (
	"context"
	"fmt"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/static"
)

// Predictor predicts the verdict of a candidate, from what it makes of the target's files, and says where it may be
// trusted.
type Predictor interface {
	Predict(s *scenario.Scenario, files []diff.Touched) (crisol.MLPrediction, policy.Bounds, error)
}

// MLFirst decides one candidate: by what can be seen without running anything, else by the model where the policy trusts
// it, else by a wargame. A wargame that stands in for a model that failed is a fallback.
func (f *Flow) MLFirst(ctx context.Context, o Order) (crisol.Validation, error) {
	started := f.Now()
	files, err := f.Arena.Touched(ctx, o.Scenario, o.Candidate)
	switch {
	case err != nil && (ctx.Err() != nil || crisol.KindOf(err) == crisol.KindInput):
		return crisol.Validation{}, err
	case err != nil: // a trial meets the same, and keeps the evidence
		return f.fought(ctx, o, nil, policy.Decision{Reason: policy.NoModel, Text: "there is no prediction: " + err.Error()}, crisol.MethodFallback)
	}
	v := crisol.Validation{ScenarioID: o.Scenario.ID, ScenarioDigest: o.Scenario.Digest, CVEID: o.Scenario.Vulnerability.CVE, CreatedAt: started.UTC()}
	done := func() (crisol.Validation, error) {
		v.PatchValidated = v.Verdict == crisol.Fixed
		v.ExecutionTimeSeconds = f.Now().Sub(started).Seconds()
		return v, nil
	}
	if d := static.Decide(ctx, files); d.Decided() {
		v.Verdict, v.Reason, v.Method, v.Confidence = d.Verdict, d.Reason, crisol.MethodStatic, 1
		return done()
	}
	prediction, bounds, missing := f.predict(o.Scenario, files)
	decision := policy.Decide(policy.Case{Prediction: prediction, Missing: missing, Bounds: bounds, Threshold: o.Threshold, MinAssurance: o.MinAssurance})
	if !decision.Trusted() {
		method := crisol.MethodWargaming
		if prediction == nil {
			method = crisol.MethodFallback
		}
		return f.fought(ctx, o, prediction, decision, method)
	}
	v.Verdict, v.Reason, v.Method, v.Prediction = decision.Verdict, decision.Text, crisol.MethodML, prediction
	v.Confidence, v.ResidualRisk = decision.Confidence, decision.Risk
	return done()
}

// predict asks the model. A model that panics is one that has failed: the trial decides in its place.
func (f *Flow) predict(s *scenario.Scenario, files []diff.Touched) (p *crisol.MLPrediction, bounds policy.Bounds, missing string) {
	if f.Predictor == nil {
		return nil, bounds, "no model is loaded"
	}
	defer func() {
		if r := recover(); r != nil {
			p, missing = nil, fmt.Sprintf("the model panicked: %v", r)
		}
	}()
	got, bounds, err := f.Predictor.Predict(s, files)
	if err != nil {
		return nil, bounds, err.Error()
	}
	return &got, bounds, ""
}

// fought holds the trial, and says beside its verdict what the model predicted and why it didn't decide.
func (f *Flow) fought(ctx context.Context, o Order, prediction *crisol.MLPrediction, decision policy.Decision, method crisol.Method) (crisol.Validation, error) {
	v, err := f.Validate(ctx, o)
	if err != nil {
		return v, err
	}
	v.Prediction, v.Method = prediction, method
	v.PolicyReason = string(decision.Reason)
	v.Reason += "; fought because " + decision.Text
	return v, nil
}
