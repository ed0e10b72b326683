package policy_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"crisol"
	"crisol/internal/policy"
)

func predicted(p float64) *crisol.MLPrediction {
	return &crisol.MLPrediction{Valid: p >= 0.5, Probability: p, ModelVersion: "rf_v1"}
}

var (
	both    = policy.Bounds{Fixed: policy.Bound{Certified: true, Threshold: 0.9, Risk: 0.05}, NotFixed: policy.Bound{Certified: true, Threshold: 0.8, Risk: 0.05}}
	demoted = policy.Bounds{Fixed: policy.Bound{Demoted: true, Why: "12 of 40 were wrong"}}
	one     = policy.Bounds{NotFixed: policy.Bound{Certified: true, Threshold: 0.8, Risk: 0.05}, Fixed: policy.Bound{Why: "40 clean labels are missing"}}
)

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		given policy.Case
		want  crisol.Verdict
		why   policy.Reason
	}{
		"sure that it is fixed":      {policy.Case{Prediction: predicted(0.95), Bounds: both}, crisol.Fixed, policy.CertifiedSide},
		"sure that it isn't":         {policy.Case{Prediction: predicted(0.1), Bounds: both}, crisol.NotFixed, policy.CertifiedSide},
		"just sure enough":           {policy.Case{Prediction: predicted(0.9), Bounds: both}, crisol.Fixed, policy.CertifiedSide},
		"not sure":                   {policy.Case{Prediction: predicted(0.85), Bounds: both}, "", policy.BelowThreshold},
		"not sure of the other side": {policy.Case{Prediction: predicted(0.3), Bounds: both}, "", policy.BelowThreshold},
		"one side has none":          {policy.Case{Prediction: predicted(0.99), Bounds: one}, "", policy.NoCertificate},
		"the other has one":          {policy.Case{Prediction: predicted(0.01), Bounds: one}, crisol.NotFixed, policy.CertifiedSide},
		"no certificate at all":      {policy.Case{Prediction: predicted(0)}, "", policy.NoCertificate},
		"no model":                   {policy.Case{Bounds: both, Missing: "the file is corrupt"}, "", policy.NoModel},
		"no number":                  {policy.Case{Bounds: both, Prediction: predicted(math.NaN())}, "", policy.NoModel},
		"no threshold":               {policy.Case{Bounds: policy.Bounds{Fixed: policy.Bound{Certified: true, Threshold: math.NaN()}}, Prediction: predicted(1)}, "", policy.BelowThreshold},
		"the caller is careful":      {policy.Case{Prediction: predicted(0.95), Bounds: both, Threshold: 0.99}, "", policy.CallerCareful},
		"the caller can't be bold":   {policy.Case{Prediction: predicted(0.85), Bounds: both, Threshold: 0.1}, "", policy.BelowThreshold},
		"demoted":                    {policy.Case{Prediction: predicted(0.99), Bounds: demoted}, "", policy.Demoted},
		"the breaker is open":        {policy.Case{Missing: "it failed", Breaker: true}, "", policy.BreakerOpen},
		"by threshold":               {policy.Case{Rule: policy.Threshold, Prediction: predicted(0.8)}, crisol.Fixed, policy.SureEnough},
		"by threshold, certified":    {policy.Case{Rule: policy.Threshold, Prediction: predicted(0.95), Bounds: both}, crisol.Fixed, policy.CertifiedSide},
		"by threshold, not sure":     {policy.Case{Rule: policy.Threshold, Prediction: predicted(0.79), Bounds: both}, "", policy.BelowThreshold},
		"by threshold, careful":      {policy.Case{Rule: policy.Threshold, Prediction: predicted(0.85), Threshold: 0.9}, "", policy.CallerCareful},
		"by threshold, demoted":      {policy.Case{Rule: policy.Threshold, Prediction: predicted(0.95), Bounds: demoted}, "", policy.Demoted},
		"by threshold, assurance":    {policy.Case{Rule: policy.Threshold, Prediction: predicted(0.95), MinAssurance: crisol.A1}, "", policy.MinAssurance},
		"assurance":                  {policy.Case{Prediction: predicted(0.99), Bounds: both, MinAssurance: crisol.A1}, "", policy.MinAssurance},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.Decide(c.given)
			if got.Verdict != c.want || got.Reason != c.why || got.Text == "" || got.Trusted() != (c.want != "") || got.Certified != (c.why == policy.CertifiedSide) || got.Trusted() && (got.Risk == 1) == got.Certified {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestCareful: nothing that a caller asks for makes the model decide what it would not decide by itself, and it never
// decides without a certificate for the side, below its threshold, or beyond the two sides.
func TestCareful(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := func(name string) policy.Bound {
			return policy.Bound{Certified: rapid.Bool().Draw(t, name), Threshold: rapid.Float64Range(0.5, 1).Draw(t, name+" threshold"), Demoted: rapid.Bool().Draw(t, name+" demoted")}
		}
		rule := rapid.SampledFrom([]policy.Rule{policy.Certified, policy.Threshold}).Draw(t, "rule")
		c := policy.Case{Rule: rule, Prediction: predicted(rapid.Float64Range(-0.1, 1.1).Draw(t, "p")), Bounds: policy.Bounds{Fixed: bound("fixed"), NotFixed: bound("not fixed")}}
		plain := policy.Decide(c)
		c.Threshold = rapid.Float64().Draw(t, "asked")
		c.MinAssurance = rapid.SampledFrom([]crisol.Assurance{crisol.A0, crisol.A1, crisol.A4}).Draw(t, "assurance")
		got := policy.Decide(c)
		switch {
		case got.Trusted() && got.Verdict != plain.Verdict:
			t.Fatalf("the caller made %+v of %+v", got, plain)
		case rule == policy.Threshold && got.Trusted() && !got.Certified && got.Confidence < policy.DefaultThreshold:
			t.Fatalf("%+v", got)
		case rule == policy.Threshold && !got.Certified:
		case got.Verdict == crisol.Fixed && !(c.Bounds.Fixed.Certified && c.Prediction.Probability >= c.Bounds.Fixed.Threshold && c.Prediction.Probability <= 1),
			got.Verdict == crisol.NotFixed && !(c.Bounds.NotFixed.Certified && 1-c.Prediction.Probability >= c.Bounds.NotFixed.Threshold):
			t.Fatalf("%+v", got)
		}
	})
}
