// Package experiment holds the statistics of A/B truth: which predictions are compared with a wargame, what the comparisons
// say about a model, and how a model's right to decide is earned and lost.
//
// In go labels (predictions that were compared with a wargame, with the probability with which they were chosen), in the
// order in which they were judged. Out come a coin that chooses, weighted estimates with intervals, the state of trust of
// each model and side with the events that changed it, the drift of what models are asked, and how a challenger compares
// with the champion. All are pure functions of labels, so that every process that reads the same labels comes to the same
// conclusions; nothing about trust needs to be kept beside them.
//
// The package refuses to know how labels are kept, who runs wargames, and what time it is.
package experiment

import (
	"fmt"
	"time"

	"crisol"
	"crisol/internal/certify"
)

// Stratum says how sure a prediction was.
type Stratum string

// The strata.
const (
	Confident   Stratum = "confident"   // at or above its side's threshold: the model decides, or would
	Unconfident Stratum = "unconfident" // below it: a wargame decides in any case
)

// Label is one prediction that was compared with a wargame.
type Label struct {
	// Seq orders comparisons by when they were judged; above 0, gaps allowed. The labels of one comparison, of the champion and
	// of challengers, share it.
	Seq int64
	// At is when the request was answered or, if a wargame decided, when it was asked. Began and Judged are when the wargame
	// began and was over; a Began of zero means At.
	At, Began, Judged time.Time

	Model string
	Side  certify.Side // that was predicted
	// Score is the probability of fixed, Confidence that of the predicted side.
	Score, Confidence float64
	// Threshold is the confidence from which the side is, or would be, trusted.
	Threshold float64
	Stratum   Stratum
	// Decided is whether the answer that was given was the model's.
	Decided bool
	// Propensity is the probability with which the prediction was chosen to be compared, in (0, 1].
	Propensity float64
	// Floor is the least propensity that any confident prediction of this model and side could have had at that time. 0 means
	// Propensity: what was chosen depended on earlier labels at most, and not on the request. A challenger's labels need it,
	// since they are chosen by what the champion says.
	Floor float64
	// Verdict is the wargame's. Fixed is positive; NotFixed and Broken are negative; Inconclusive tells nothing, and counts
	// as an error of the model wherever a guarantee is given.
	Verdict crisol.Verdict

	// Request identifies what was asked: patch, scenario and their versions. Labels of one request count once for trust, as
	// long as the side keeps its state. Empty: each is one of its own.
	Request string
	// Group identifies the vulnerability. Patches for one vulnerability fail together, so a group counts once towards a
	// certificate, with the first of its labels. Empty: each label is a group of its own.
	Group string
}

// Truth says whether the wargame found the patch to be a fix; known is false where it couldn't tell.
func (l Label) Truth() (fixed, known bool) {
	return l.Verdict == crisol.Fixed, l.Verdict != crisol.Inconclusive
}

// Wrong is whether the prediction counts as an error in a guarantee: it was refuted, or couldn't be confirmed.
func (l Label) Wrong() bool {
	fixed, known := l.Truth()
	return !known || fixed != (l.Side == certify.Fixed)
}

func (l Label) began() time.Time {
	if l.Began.IsZero() {
		return l.At
	}
	return l.Began
}

// weight is the label's in an e-process: see certify.EProcess.
func (l Label) weight() float64 {
	if l.Floor == 0 {
		return 1
	}
	return l.Floor / l.Propensity
}

func (l Label) check() error {
	err := l.fault()
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "label %d: %w", l.Seq, err)
	}
	return nil
}

func (l Label) fault() error {
	switch {
	case l.Seq <= 0:
		return fmt.Errorf("want a sequence number above 0")
	case l.Model == "":
		return fmt.Errorf("want a model's version")
	case l.Side != certify.Fixed && l.Side != certify.NotFixed:
		return fmt.Errorf("side %q: want %q or %q", l.Side, certify.Fixed, certify.NotFixed)
	case !(l.Score >= 0 && l.Score <= 1), !(l.Confidence >= 0 && l.Confidence <= 1):
		return fmt.Errorf("score %g, confidence %g: want probabilities", l.Score, l.Confidence)
	case !(l.Threshold >= 0 && l.Threshold <= 1):
		return fmt.Errorf("threshold %g: want a probability", l.Threshold)
	case l.Stratum != Confident && l.Stratum != Unconfident:
		return fmt.Errorf("stratum %q: want %q or %q", l.Stratum, Confident, Unconfident)
	case !(l.Propensity > 0 && l.Propensity <= 1):
		return fmt.Errorf("propensity %g: want a probability above 0", l.Propensity)
	case !(l.Floor >= 0 && l.Floor <= l.Propensity):
		return fmt.Errorf("floor %g: want at most the propensity, %g", l.Floor, l.Propensity)
	}
	switch l.Verdict {
	case crisol.Fixed, crisol.NotFixed, crisol.Broken, crisol.Inconclusive:
		return nil
	}
	return fmt.Errorf("verdict %q: want one of the four", l.Verdict)
}
