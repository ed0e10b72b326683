package certify

import (
	"encoding/json"
	"math"

	"crisol"
)

// EProcess tests, label by label and for as long as one likes, the hypothesis that a side's risk is alpha or more. It
// begins at 1 and is never negative; while the hypothesis holds, the probability that it ever reaches 1/delta is at most
// delta (Ville 1939). So one may look after every label, stop whenever one likes, and certify when 1/delta is reached:
// no number of labels has to be fixed beforehand. The zero value certifies nothing; use NewEProcess.
//
// The bet. Someone who doubts the hypothesis bets on every label. If the bettor takes the risk to be r < alpha, the
// wealth is multiplied by (1-r)/(1-alpha) where the label is right and by r/alpha where it is wrong, which is the
// likelihood ratio and the same as 1 + l (alpha - loss) with l = (alpha-r) / (alpha (1-alpha)): a fair bet at risk alpha, a
// losing one above it (Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS-B 86, 2024,
// arXiv 2010.09686). Three bettors share the stake, with r = 0, alpha/4 and alpha/2, and their mean is the e-process. The
// first alone would need Least(0, alpha, delta) labels, and an error would ruin it; the three need 67 labels where it needs
// 59 (alpha and delta 5 %), and stand errors.
//
// The unit of time is one audited label, not one decision. Active sampling (Xu, Karampatziakis, Mineiro: Active,
// anytime-valid risk controlling prediction sets, NeurIPS 2024, arXiv 2406.10490) is mostly written with all decisions,
// where one that isn't audited has the estimated loss 0 and an audited one its loss over its propensity. That loss is
// bounded by 1/floor, which bounds the stake to about floor. Leaving out the decisions that weren't audited gives as much
// and needs no record of them: let q be the propensity of a decision that was audited, f the least propensity that any
// decision could have had at that time, and weight = f/q, in (0, 1]. Given the past and that the decision was audited,
//
//	E[(alpha - loss) f/q] = f (alpha - risk) / P(audited) <= 0   where risk >= alpha,
//
// because being audited has multiplied the chance of seeing this decision by q / P(audited). So 1 + l weight (alpha - loss)
// is a fair bet again, whatever the past made of f, q and the stake. Where the propensity depends on the past alone and not
// on the request (a rate that is raised after errors, say) f = q and the weight is 1: nothing is lost by sampling.
//
// What it takes. Given all labels before it, each label errs with a probability of alpha or more if the hypothesis holds:
// true of independent requests, and of any dependence that doesn't push the risk of the next one below alpha. Copies of one
// request, and patches of one vulnerability, aren't independent: count one of them. The order of the labels mustn't depend
// on what they say: where wrong ones take longer to be judged, they must be waited for. Once it certifies, the risk was
// below alpha on the requests seen so far; it promises nothing about requests of another kind: that is ShiryaevRoberts' part.
type EProcess struct {
	alpha  float64
	wealth [3]float64 // logarithm, one a bettor
}

// doubters are the risks that the bettors take to be true, as parts of alpha, with their shares of the stake.
var doubters = [3]struct{ part, share float64 }{{0, 0.5}, {0.25, 0.25}, {0.5, 0.25}}

// NewEProcess begins a test at risk alpha, in (0, 1/2).
func NewEProcess(alpha float64) (EProcess, error) {
	if !(alpha > 0 && alpha < 0.5) {
		return EProcess{}, crisol.Errorf(crisol.KindInput, "e-process: alpha %g: want a risk in (0, 0.5)", alpha)
	}
	return EProcess{alpha: alpha}, nil
}

// Observe bets on one label. Weight is the least propensity over the label's own, in (0, 1]; a label of any other weight
// can't be trusted and counts as an error in full.
func (e *EProcess) Observe(wrong bool, weight float64) {
	wrong, weight = failClosed(wrong, weight)
	for k, d := range doubters {
		e.wealth[k] += math.Log1p(weight * gain(d.part*e.alpha, e.alpha, wrong))
	}
}

// Value is the e-process: how many times the stake the bettors have made.
func (e EProcess) Value() float64 { return e.after(0) }

// Certifies says whether the value has reached 1/delta.
func (e EProcess) Certifies(delta float64) bool { return e.alpha > 0 && e.Value() >= 1/delta }

// Needed is the least number of further labels of weight 1 that let the value reach 1/delta: all of them right.
func (e EProcess) Needed(delta float64) int {
	if e.alpha == 0 || !(delta > 0) {
		return math.MaxInt32
	}
	high := 1
	for e.after(high) < 1/delta {
		high *= 2
	}
	low := -1 // after(low) < 1/delta, if there were one
	for low+1 < high {
		if middle := (low + high) / 2; e.after(middle) < 1/delta {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// after is the value that n further right labels lead to.
func (e EProcess) after(n int) float64 {
	sum := 0.0
	for k, d := range doubters {
		sum += d.share * math.Exp(e.wealth[k]+float64(n)*math.Log1p(gain(d.part*e.alpha, e.alpha, false)))
	}
	return sum
}

// gain is what a stake of 1 on risk r wins, at odds that are fair at risk alpha.
func gain(r, alpha float64, wrong bool) float64 {
	if wrong {
		return r/alpha - 1
	}
	return (1-r)/(1-alpha) - 1
}

func failClosed(wrong bool, weight float64) (bool, float64) {
	if weight > 0 && weight <= 1 {
		return wrong, weight
	}
	return true, 1
}

// eProcess is how an e-process is written: a bettor without wealth left is null, since JSON knows no infinity.
type eProcess struct {
	Alpha  float64    `json:"alpha"`
	Wealth []*float64 `json:"log_wealth"`
}

// MarshalJSON writes the state of the test.
func (e EProcess) MarshalJSON() ([]byte, error) {
	written := eProcess{Alpha: e.alpha}
	for _, w := range e.wealth {
		if math.IsInf(w, -1) {
			written.Wealth = append(written.Wealth, nil)
		} else {
			written.Wealth = append(written.Wealth, &w)
		}
	}
	return json.Marshal(written)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *EProcess) UnmarshalJSON(b []byte) error {
	var written eProcess
	if err := json.Unmarshal(b, &written); err != nil {
		return crisol.Errorf(crisol.KindInput, "read e-process: %w", err)
	}
	read, err := NewEProcess(written.Alpha)
	if err != nil {
		return err
	}
	if len(written.Wealth) != len(read.wealth) {
		return crisol.Errorf(crisol.KindInput, "read e-process: %d bettors, want %d", len(written.Wealth), len(read.wealth))
	}
	for k, w := range written.Wealth {
		read.wealth[k] = math.Inf(-1)
		if w != nil {
			read.wealth[k] = *w
		}
	}
	*e = read
	return nil
}
