// Package policy decides who decides: the model, or a wargame.
//
// In go what a model predicts for one patch, where its certificate allows it to be trusted, and what the caller asked
// for; out comes a verdict by the model, or none, with the reason. It is a pure function, and it fails closed: whatever
// isn't plainly allowed goes to the wargame. It knows nothing of how predictions, certificates and trials come about.
package policy

import (
	"fmt"
	"math"

	"crisol"
)

// Reason says why the model decides, or why it doesn't.
type Reason string

// The reasons.
const (
	CertifiedSide  Reason = "certified_side"   // the model decides under its certificate
	NoModel        Reason = "no_model"         // there is no prediction
	MinAssurance   Reason = "min_assurance"    // the caller wants evidence that only a trial gives
	NoCertificate  Reason = "no_certificate"   // the side that the prediction is on has no certificate
	BelowThreshold Reason = "below_threshold"  // the prediction isn't as sure as the certificate wants
	CallerCareful  Reason = "caller_threshold" // nor as sure as the caller wants
)

// Bound is where one side of the model may be trusted.
type Bound struct {
	// Certified is whether there is a certificate for the side.
	Certified bool
	// Threshold is the least confidence, calibrated and from 0.5 to 1, from which the side is trusted.
	Threshold float64
	// Risk bounds the share of wrong verdicts among those that are decided, on vulnerabilities never seen before.
	Risk float64
	// Why says in words what stands behind it, or why there is none.
	Why string
}

// Bounds are those of both sides.
type Bounds struct{ Fixed, NotFixed Bound }

// Case is one patch to decide about.
type Case struct {
	Prediction *crisol.MLPrediction // nil where there is none
	// Missing says why there is no prediction.
	Missing string
	Bounds  Bounds
	// Threshold is the confidence that the caller wants, from 0 to 1; it can only make the policy more careful.
	Threshold    float64
	MinAssurance crisol.Assurance
}

// Decision says who decides. Verdict is empty where a wargame must.
type Decision struct {
	Verdict    crisol.Verdict
	Confidence float64 // in the verdict
	Risk       float64 // that bounds how often such a verdict is wrong
	Reason     Reason
	Text       string
}

// Trusted says whether the model decides.
func (d Decision) Trusted() bool { return d.Verdict != "" }

// Decide says who decides about one patch.
func Decide(c Case) Decision {
	p := c.Prediction
	switch {
	case p == nil:
		return fight(NoModel, "there is no prediction: %s", c.Missing)
	case !(p.Probability >= 0 && p.Probability <= 1):
		return fight(NoModel, "the prediction %v is no probability", p.Probability)
	case c.MinAssurance > crisol.A0:
		return fight(MinAssurance, "assurance %s was asked for, and only a trial gives any", c.MinAssurance)
	}
	verdict, confidence, bound := crisol.Fixed, p.Probability, c.Bounds.Fixed
	if p.Probability < 0.5 {
		verdict, confidence, bound = crisol.NotFixed, 1-p.Probability, c.Bounds.NotFixed
	}
	switch {
	case !bound.Certified:
		return fight(NoCertificate, "%s predicts %s with %.3f, but has no certificate for that: %s", p.ModelVersion, verdict, confidence, bound.Why)
	case math.IsNaN(bound.Threshold) || confidence < bound.Threshold:
		return fight(BelowThreshold, "%s predicts %s with %.3f, and is trusted from %.3f on", p.ModelVersion, verdict, confidence, bound.Threshold)
	case confidence < c.Threshold:
		return fight(CallerCareful, "%s predicts %s with %.3f, and the caller wants %.3f", p.ModelVersion, verdict, confidence, c.Threshold)
	}
	text := fmt.Sprintf("%s predicts %s with %.3f, under a certificate from %.3f on: %s", p.ModelVersion, verdict, confidence, bound.Threshold, bound.Why)
	return Decision{Verdict: verdict, Confidence: confidence, Risk: bound.Risk, Reason: CertifiedSide, Text: text}
}

func fight(reason Reason, format string, args ...any) Decision {
	return Decision{Reason: reason, Text: fmt.Sprintf(format, args...)}
}
