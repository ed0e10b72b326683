package validate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/wargame"
)

// Opinion is what a model makes of a candidate, and where it may be trusted.
type Opinion struct {
	Prediction crisol.MLPrediction
	Bounds     policy.Bounds
	// Features is what the model read, as its keeper writes it; Others is the probability of fixed by each other model.
	Features func() ([]byte, error)
	Others   map[string]float64
	// FeatureVersion is that of the code that computed the features.
	FeatureVersion string
	Took           time.Duration
}

// Predictor predicts the verdict of a candidate, from what it makes of the target's files, and says where it may be
// trusted.
type Predictor interface {
	Predict(s *scenario.Scenario, files []diff.Touched) (Opinion, error)
}

// ErrBreaker is in the error of a Predictor that wasn't asked, because it failed again and again.
var ErrBreaker = errors.New("the breaker is open")

// Answer is a validation with what stands behind the model's part in it.
type Answer struct {
	crisol.Validation
	// Opinion is nil where there was no prediction.
	Opinion *Opinion
	// Decision is what the policy made of it; the zero value where it wasn't asked.
	Decision policy.Decision
}

// MLFirst decides one candidate: by what can be seen without running anything, else by the model where the policy trusts
// it, else by a wargame. A wargame that stands in for a model that failed is a fallback.
func (f *Flow) MLFirst(ctx context.Context, o Order) (crisol.Validation, error) {
	answer, err := f.mlFirst(ctx, o, func() ([]diff.Touched, error) { return f.Arena.Touched(ctx, o.Scenario, o.Candidate) })
	return answer.Validation, err
}

func (f *Flow) mlFirst(ctx context.Context, o Order, touched func() ([]diff.Touched, error)) (Answer, error) {
	files, err := touched()
	if err != nil && (ctx.Err() != nil || crisol.KindOf(err) == crisol.KindInput) {
		return Answer{}, err
	}
	var answer Answer
	if err != nil { // a trial meets the same, and keeps the evidence
		answer.Decision = policy.Decision{Reason: policy.NoModel, Text: "there is no prediction: " + err.Error()}
	} else if answer = f.glance(ctx, o, files); answer.Verdict != "" {
		return answer, nil
	}
	answer.Validation, err = f.fought(ctx, o, answer)
	return answer, err
}

// glance decides what needs no trial. The answer has no verdict where a wargame must decide.
func (f *Flow) glance(ctx context.Context, o Order, files []diff.Touched) Answer {
	started := f.Now()
	a := Answer{Validation: crisol.Validation{
		ScenarioID: o.Scenario.ID, ScenarioDigest: o.Scenario.Digest, CVEID: o.Scenario.Vulnerability.CVE, CreatedAt: started.UTC(),
	}}
	if d := f.Static.Decide(ctx, files); d.Decided() {
		a.Verdict, a.Reason, a.Method, a.Confidence = d.Verdict, d.Reason, crisol.MethodStatic, 1
	} else {
		var missing string
		var broken bool
		a.Opinion, missing, broken = f.predict(o.Scenario, files)
		c := policy.Case{Rule: f.Rule, Missing: missing, Breaker: broken, Threshold: o.Threshold, MinAssurance: o.MinAssurance}
		if a.Opinion != nil {
			c.Prediction, c.Bounds = &a.Opinion.Prediction, a.Opinion.Bounds
		}
		a.Decision = policy.Decide(c)
		if a.Decision.Trusted() {
			a.Verdict, a.Reason, a.Method, a.Prediction = a.Decision.Verdict, a.Decision.Text, crisol.MethodML, c.Prediction
			a.Confidence, a.ResidualRisk, a.Certified = a.Decision.Confidence, a.Decision.Risk, &a.Decision.Certified
		}
	}
	a.PatchValidated = a.Verdict == crisol.Fixed
	a.ExecutionTimeSeconds = f.Now().Sub(started).Seconds()
	return a
}

// predict asks the model. A model that panics is one that has failed: the trial decides in its place.
func (f *Flow) predict(s *scenario.Scenario, files []diff.Touched) (o *Opinion, missing string, broken bool) {
	if f.Predictor == nil {
		return nil, "no model is loaded", false
	}
	defer func() {
		if r := recover(); r != nil {
			o, missing = nil, fmt.Sprintf("the model panicked: %v", r)
		}
	}()
	started := f.Now()
	got, err := f.Predictor.Predict(s, files)
	if err != nil {
		return nil, err.Error(), errors.Is(err, ErrBreaker)
	}
	got.Took = f.Now().Sub(started)
	return &got, "", false
}

// fought holds the trial, and says beside its verdict what the model predicted and why it didn't decide.
func (f *Flow) fought(ctx context.Context, o Order, a Answer) (crisol.Validation, error) {
	v, err := f.Validate(ctx, o)
	if err != nil {
		return v, err
	}
	v.Method = crisol.MethodFallback
	if a.Opinion != nil {
		v.Prediction, v.Method = &a.Opinion.Prediction, crisol.MethodWargaming
	}
	v.PolicyReason = string(a.Decision.Reason)
	v.Reason += "; fought because " + a.Decision.Text
	return v, nil
}

// Glance decides a resolved request by what needs no trial. ok is false where a wargame, or work that takes as long, is
// needed: RunMLFirst does both. An error is the caller's to mend.
func (f *Flow) Glance(ctx context.Context, plan Plan) (answer Answer, ok bool, err error) {
	if plan.Scenario == nil || plan.Snippet == nil && !f.Arena.Prepared(plan.Scenario) {
		return Answer{}, false, nil
	}
	files, err := f.files(ctx, plan)
	switch {
	case err != nil && crisol.KindOf(err) == crisol.KindInput:
		return Answer{}, false, err
	case err != nil:
		return Answer{}, false, nil //nolint:nilerr // the trial meets the same, and keeps the evidence
	}
	answer = f.glance(ctx, plan.order(), files)
	plan.name(&answer.Validation)
	return answer, answer.Verdict != "", nil
}

// RunMLFirst decides a resolved request, by a wargame if need be.
func (f *Flow) RunMLFirst(ctx context.Context, plan Plan) (Answer, error) {
	if plan.Scenario == nil {
		v, err := f.Run(ctx, plan)
		return Answer{Validation: v}, err
	}
	answer, err := f.mlFirst(ctx, plan.order(), func() ([]diff.Touched, error) { return f.files(ctx, plan) })
	if err != nil {
		return answer, err
	}
	if answer.Wargame != nil {
		plan.exemplify(&answer.Validation)
	}
	plan.name(&answer.Validation)
	return answer, nil
}

// files are those that the candidate of a plan touches. The short form's are its snippets.
func (f *Flow) files(ctx context.Context, plan Plan) ([]diff.Touched, error) {
	if plan.Snippet == nil {
		return f.Arena.Touched(ctx, plan.Scenario, wargame.Candidate{Patch: plan.Patch})
	}
	return plan.Snippet.Touched(), nil
}
