package certify

import (
	"encoding/json"

	"crisol"
)

// ShiryaevRoberts watches for a side's risk to rise above alpha, label by label. Its value is the sum, over all past
// labels, of what a bet that the risk rose just then would have made since: V = (1 + V) x factor (Shiryaev 1963; Roberts
// 1966). As an e-detector (Shin, Ramdas, Rinaldo: E-detectors, NEJSDS 2024, arXiv 2203.03532; likelihood ratios of bets as
// in arXiv 2110.06177) it needs no model of the errors: while the risk is alpha or less given the past, V minus the number of
// labels is no better than a fair game, so the mean number of labels until V first reaches A is at least A. An alarm at
// A = 1500 comes falsely once in 1500 labels or less often, on average, if the risk stays at alpha, and far more rarely below.
//
// Three bettors share the stake: they take the risk to have become 2, 3 and 6 times alpha, in the same bets as those of
// EProcess with the sides exchanged. The unit of time, weights and what is taken for granted are EProcess's; with one
// difference: where the order of labels does depend on what they say, alarms come somewhat early or late, and that is all.
//
// The zero value never raises an alarm; use NewShiryaevRoberts.
type ShiryaevRoberts struct {
	alpha float64
	sum   [3]float64 // one a bettor
}

// believers are the risks that the bettors take to have come about, as multiples of alpha, with their shares of the stake.
var believers = [3]struct{ times, share float64 }{{2, 0.25}, {3, 0.5}, {6, 0.25}}

// NewShiryaevRoberts begins to watch for a risk above alpha, in (0, 1/2).
func NewShiryaevRoberts(alpha float64) (ShiryaevRoberts, error) {
	if !(alpha > 0 && alpha < 0.5) {
		return ShiryaevRoberts{}, crisol.Errorf(crisol.KindInput, "detector: alpha %g: want a risk in (0, 0.5)", alpha)
	}
	return ShiryaevRoberts{alpha: alpha}, nil
}

// Observe bets on one label; weights are those of EProcess.Observe.
func (d *ShiryaevRoberts) Observe(wrong bool, weight float64) {
	if d.alpha == 0 {
		return
	}
	wrong, weight = failClosed(wrong, weight)
	for k, b := range believers {
		risk := min(b.times*d.alpha, (1+d.alpha)/2)
		d.sum[k] = (1 + d.sum[k]) * (1 + weight*gain(risk, d.alpha, wrong))
	}
}

// Value is the detector's, to be held against the mean number of labels that false alarms shall be apart.
func (d ShiryaevRoberts) Value() float64 {
	total := 0.0
	for k, b := range believers {
		total += b.share * d.sum[k]
	}
	return total
}

// detector is how a detector is written.
type detector struct {
	Alpha float64   `json:"alpha"`
	Sums  []float64 `json:"sums"`
}

// MarshalJSON writes the state of the detector.
func (d ShiryaevRoberts) MarshalJSON() ([]byte, error) {
	return json.Marshal(detector{d.alpha, d.sum[:]})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *ShiryaevRoberts) UnmarshalJSON(b []byte) error {
	var written detector
	if err := json.Unmarshal(b, &written); err != nil {
		return crisol.Errorf(crisol.KindInput, "read detector: %w", err)
	}
	read, err := NewShiryaevRoberts(written.Alpha)
	if err != nil {
		return err
	}
	if len(written.Sums) != len(read.sum) {
		return crisol.Errorf(crisol.KindInput, "read detector: %d bettors, want %d", len(written.Sums), len(read.sum))
	}
	for k, sum := range written.Sums {
		if !(sum >= 0) {
			return crisol.Errorf(crisol.KindInput, "read detector: a sum of %g", sum)
		}
		read.sum[k] = sum
	}
	*d = read
	return nil
}
