package validate_test

import (
	"errors"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/validate"
)

// oracle is a validate.Predictor that answers as it is told.
type oracle struct {
	probability float64
	bounds      policy.Bounds
	err         error
	panics      bool
}

func (o oracle) Predict(*scenario.Scenario, []diff.Touched) (validate.Opinion, error) {
	if o.panics {
		panic("index out of range")
	}
	return validate.Opinion{Prediction: crisol.MLPrediction{Valid: o.probability >= 0.5, Probability: o.probability, ModelVersion: "rf_v1"}, Bounds: o.bounds}, o.err
}

// certified trusts both sides from 0.9 on.
var certified = policy.Bounds{Fixed: policy.Bound{Certified: true, Threshold: 0.9, Risk: 0.05}, NotFixed: policy.Bound{Certified: true, Threshold: 0.9, Risk: 0.05}}

// What patches make of a file: one changes code, the other a comment.
var (
	touched   = []diff.Touched{{Path: "x.js", Before: []byte("f(a)\n"), After: []byte("f(b)\n")}}
	commented = []diff.Touched{{Path: "x.js", Before: []byte("f(a)\n"), After: []byte("f(a) // safe\n")}}
)

func TestMLFirst(t *testing.T) {
	for name, c := range map[string]struct {
		oracle oracle
		order  validate.Order
		want   crisol.Verdict
		method crisol.Method
		reason string
	}{
		"static":                   {oracle{probability: 0.99, bounds: certified}, validate.Order{}, crisol.NotFixed, crisol.MethodStatic, "comments"},
		"the model says fixed":     {oracle{probability: 0.95, bounds: certified}, validate.Order{}, crisol.Fixed, crisol.MethodML, "predicts fixed"},
		"the model says not fixed": {oracle{probability: 0.05, bounds: certified}, validate.Order{}, crisol.NotFixed, crisol.MethodML, "predicts not_fixed"},
		"not sure enough":          {oracle{probability: 0.6, bounds: certified}, validate.Order{}, crisol.Fixed, crisol.MethodWargaming, "fought because rf_v1"},
		"no certificate":           {oracle{probability: 0.99}, validate.Order{}, crisol.Fixed, crisol.MethodWargaming, "no certificate"},
		"a careful caller":         {oracle{probability: 0.95, bounds: certified}, validate.Order{Threshold: 0.99}, crisol.Fixed, crisol.MethodWargaming, "the caller wants"},
		"assurance":                {oracle{probability: 0.95, bounds: certified}, validate.Order{MinAssurance: crisol.A1}, crisol.Fixed, crisol.MethodWargaming, "only a trial gives any"},
		"the model fails":          {oracle{err: errors.New("the file is corrupt")}, validate.Order{}, crisol.Fixed, crisol.MethodFallback, "the file is corrupt"},
		"the model panics":         {oracle{panics: true}, validate.Order{}, crisol.Fixed, crisol.MethodFallback, "panicked"},
	} {
		t.Run(name, func(t *testing.T) {
			files := touched
			if c.method == crisol.MethodStatic {
				files = commented
			}
			f := flow(&arena{report: passing(), holds: true, touched: files})
			f.Predictor = c.oracle
			c.order.Scenario = named("one", "CVE-2020-0001")
			v, err := f.MLFirst(t.Context(), c.order)
			if err != nil {
				t.Fatal(err)
			}
			if v.Verdict != c.want || v.Method != c.method || !strings.Contains(v.Reason, c.reason) || v.PatchValidated != (c.want == crisol.Fixed) || v.ScenarioID != "one" {
				t.Errorf("%+v", v)
			}
			fought := c.method == crisol.MethodWargaming || c.method == crisol.MethodFallback
			if (v.Wargame != nil) != fought || (v.PolicyReason != "") != fought {
				t.Errorf("%+v", v)
			}
			if c.method == crisol.MethodML && (v.ResidualRisk != 0.05 || v.Assurance != crisol.A0 || v.Confidence != 0.95) {
				t.Errorf("%+v", v)
			}
			if (v.Prediction == nil) != (c.method == crisol.MethodStatic || c.method == crisol.MethodFallback) {
				t.Errorf("prediction %+v", v.Prediction)
			}
		})
	}
}

// TestMLFirstWithoutFiles: a patch that doesn't apply is refused; a target that can't be had is fought over, for the
// evidence.
func TestMLFirstWithoutFiles(t *testing.T) {
	order := validate.Order{}
	order.Scenario = named("one", "CVE-2020-0001")
	f := flow(&arena{report: passing(), holds: true, applies: crisol.Errorf(crisol.KindInput, "hunk 1 doesn't apply")})
	if _, err := f.MLFirst(t.Context(), order); crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("%v", err)
	}
	f = flow(&arena{report: passing(), holds: true, applies: crisol.Errorf(crisol.KindInfrastructure, "the registry doesn't answer")})
	if v, err := f.MLFirst(t.Context(), order); err != nil || v.Method != crisol.MethodFallback || !strings.Contains(v.Reason, "doesn't answer") {
		t.Errorf("%+v, %v", v, err)
	}
	f = flow(&arena{report: passing(), holds: true, touched: touched})
	if v, err := f.MLFirst(t.Context(), order); err != nil || v.Method != crisol.MethodFallback || !strings.Contains(v.Reason, "no model is loaded") {
		t.Errorf("%+v, %v", v, err)
	}
}
