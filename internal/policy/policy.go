// Package policy decides who decides: the model, or a wargame.
//
// In go what a model predicts for one patch, where its certificate allows it to be trusted, and what the caller asked
// for; out comes a verdict by the model, or none, with the reason. It is a pure function, and it fails closed: whatever
// isn't plainly allowed goes to the wargame. It knows nothing of how predictions, certificates and trials come about.
package policy

import (
	"fmt"

	"crisol"
)

// Reason says why the model decides, or why it doesn't.
type Reason string

// The reasons.
const (
	CertifiedSide  Reason = "certified_side"   // the model decides under its certificate
	SureEnough     Reason = "threshold"        // the model decides because it is as sure as the rule wants, with no certificate
	NoModel        Reason = "no_model"         // there is no prediction
	BreakerOpen    Reason = "breaker_open"     // the model failed again and again, and isn't asked for a while
	Demoted        Reason = "ab_demotion"      // A/B tests showed the side to be wrong too often
	MinAssurance   Reason = "min_assurance"    // the caller wants evidence that only a trial gives
	NoCertificate  Reason = "no_certificate"   // the side that the prediction is on has no certificate
	BelowThreshold Reason = "below_threshold"  // the prediction isn't as sure as the certificate wants
	CallerCareful  Reason = "caller_threshold" // nor as sure as the caller wants
)

// Rule says what a model needs in order to decide.
type Rule string

// The rules.
const (
	Certified Rule = "certified" // a certificate for the side, and the confidence that it wants. The zero value is the same
	Threshold Rule = "threshold" // a calibrated confidence, whether certified or not
)

// DefaultThreshold is the confidence that Threshold wants.
const DefaultThreshold = 0.8

// ParseRule reads the name of a rule; "" is Certified.
func ParseRule(name string) (Rule, error) {
	switch Rule(name) {
	case "", Certified:
		return Certified, nil
	case Threshold:
		return Threshold, nil
	}
	return "", crisol.Errorf(crisol.KindInput, "policy %q: want %s or %s", name, Certified, Threshold)
}

// Bound is where one side of the model may be trusted.
type Bound struct {
	// Certified is whether there is a certificate for the side.
	Certified bool
	// Demoted is set where tests in service took the trust away; then there is no certificate either.
	Demoted bool
	// Threshold is the least confidence, calibrated and from 0.5 to 1, from which the side is trusted, or, without a
	// certificate, would be.
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
	Rule       Rule
	Prediction *crisol.MLPrediction // nil where there is none
	// Missing says why there is no prediction, and Breaker that the model wasn't asked.
	Missing string
	Breaker bool
	Bounds  Bounds
	// Threshold is the confidence that the caller wants, from 0 to 1; it can only make the policy more careful.
	Threshold    float64
	MinAssurance crisol.Assurance
}

// Decision says who decides. Verdict is empty where a wargame must.
type Decision struct {
	Verdict    crisol.Verdict
	Confidence float64 // in the verdict
	Risk       float64 // that bounds how often such a verdict is wrong; 1 where nothing does
	Certified  bool    // whether the verdict stands under a certificate
	Reason     Reason
	Text       string
}

// Side is what a prediction says: its verdict, how sure it is of it, and where that side may be trusted.
func (b Bounds) Side(probability float64) (crisol.Verdict, float64, Bound) {
	if probability < 0.5 {
		return crisol.NotFixed, 1 - probability, b.NotFixed
	}
	return crisol.Fixed, probability, b.Fixed
}

// Confident says whether a prediction is as sure as its side's threshold wants, whoever decides.
func (b Bounds) Confident(probability float64) bool {
	_, confidence, bound := b.Side(probability)
	return confidence >= bound.Threshold
}

// Trusted says whether the model decides.
func (d Decision) Trusted() bool { return d.Verdict != "" }

// Decide says who decides about one patch.
func Decide(c Case) Decision {
	p := c.Prediction
	switch {
	case p == nil && c.Breaker:
		return fight(BreakerOpen, "there is no prediction: %s", c.Missing)
	case p == nil:
		return fight(NoModel, "there is no prediction: %s", c.Missing)
	case !(p.Probability >= 0 && p.Probability <= 1):
		return fight(NoModel, "the prediction %v is no probability", p.Probability)
	case c.MinAssurance > crisol.A0:
		return fight(MinAssurance, "assurance %s was asked for, and only a trial gives any", c.MinAssurance)
	}
	verdict, confidence, bound := c.Bounds.Side(p.Probability)
	says := fmt.Sprintf("%s predicts %s with %.3f", p.ModelVersion, verdict, confidence)
	trusted := bound.Certified && confidence >= bound.Threshold
	switch {
	case bound.Demoted:
		return fight(Demoted, "%s, but is not trusted with that: %s", says, bound.Why)
	case c.Rule == Threshold && confidence < max(DefaultThreshold, c.Threshold):
		return fight(below(confidence, DefaultThreshold), "%s, and %.3f is wanted", says, max(DefaultThreshold, c.Threshold))
	case c.Rule == Threshold && !trusted:
		return Decision{Verdict: verdict, Confidence: confidence, Risk: 1, Reason: SureEnough, Text: says + ", which is as sure as the policy wants; no certificate stands behind it"}
	case !bound.Certified:
		return fight(NoCertificate, "%s, but has no certificate for that: %s", says, bound.Why)
	case !trusted:
		return fight(BelowThreshold, "%s, and is trusted from %.3f on", says, bound.Threshold)
	case confidence < c.Threshold:
		return fight(CallerCareful, "%s, and the caller wants %.3f", says, c.Threshold)
	}
	text := fmt.Sprintf("%s, under a certificate from %.3f on: %s", says, bound.Threshold, bound.Why)
	return Decision{Verdict: verdict, Confidence: confidence, Risk: bound.Risk, Certified: true, Reason: CertifiedSide, Text: text}
}

// below says whose wish it is that a confidence falls short of.
func below(confidence, rule float64) Reason {
	if confidence < rule {
		return BelowThreshold
	}
	return CallerCareful
}

func fight(reason Reason, format string, args ...any) Decision {
	return Decision{Reason: reason, Text: fmt.Sprintf(format, args...)}
}
