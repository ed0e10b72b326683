package certify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"crisol"
)

// Side is one of the two things that a model can predict.
type Side string

// The sides.
const (
	Fixed    Side = "fixed"
	NotFixed Side = "not_fixed"
)

// Case is a labelled patch with the probability of `fixed` that a model gave it.
type Case struct {
	// Group is the vulnerability's group: vulnerabilities of one package, of one CVE or with near-duplicate fixes share one.
	Group int
	// Score is a calibrated probability, of a model that hadn't seen the group.
	Score float64
	Fixed bool
}

// Plan is what is fixed before the labels are looked at. The zero value means alpha 5 %, delta 10 % and one draw of seed 0.
type Plan struct {
	// Alpha is the risk to certify, in (0, 1/2). 0 means 0.05.
	Alpha float64
	// Delta is the probability, over the labelled vulnerabilities, that any of the two certificates is wrong, in (0, 1).
	// Each side gets half of it. 0 means 0.1.
	Delta float64
	// Draws is how many times one patch a group is drawn. 0 means 1. With more, each draw is tested at half the level and
	// the median draw's threshold is certified, which costs labels and takes the luck out of the draw.
	Draws int
	// Seed decides the draws. Trying several until one certifies voids the certificate.
	Seed uint64
}

func (p Plan) withDefaults() (Plan, error) {
	if p.Alpha == 0 {
		p.Alpha = 0.05
	}
	if p.Delta == 0 {
		p.Delta = 0.1
	}
	if p.Draws == 0 {
		p.Draws = 1
	}
	if !(p.Alpha > 0 && p.Alpha < 0.5) || !(p.Delta > 0 && p.Delta < 1) || p.Draws < 0 || p.Draws > 1000 {
		return p, crisol.Errorf(crisol.KindInput, "certify: alpha %g, delta %g, %d draws: want alpha in (0, 0.5), delta in (0, 1) and 1 to 1000 draws", p.Alpha, p.Delta, p.Draws)
	}
	return p, nil
}

// level is what each test of one draw and side is held to.
func (p Plan) level() float64 {
	if p.Draws > 1 {
		return p.Delta / 4
	}
	return p.Delta / 2
}

// Certificate bounds the risk of one side: unless the labels were unlucky, which has a probability of at most Delta for
// both sides together, at most a share Alpha of the patches decided on this side is decided wrongly, on vulnerabilities of
// the same kind that were never seen. The zero value decides nothing.
type Certificate struct {
	Side Side `json:"side"`
	// Abstains is whether nothing could be certified. Reason says why, or what stands behind the threshold.
	Abstains bool   `json:"abstains"`
	Reason   string `json:"reason"`
	// Threshold is the score from which on (Fixed) or down to which (NotFixed) the side decides; 0 where it abstains.
	Threshold float64 `json:"threshold"`
	Alpha     float64 `json:"alpha"`
	Delta     float64 `json:"delta"`
	// Groups were drawn from, one patch each; Decided of the patches lie on the side's side of the threshold (of the first
	// threshold that was tested, where the side abstains), and Errors of those have the other label.
	Groups  int `json:"groups"`
	Decided int `json:"decided"`
	Errors  int `json:"errors"`
	// Upper is the largest risk that Decided and Errors leave possible, by Clopper and Pearson at the level of the test.
	Upper float64 `json:"upper"`
	// Needed is how many further decided patches without an error, each of a new group, would have certified the first
	// threshold; 0 where the side doesn't abstain, and where its risk seems to be above alpha.
	Needed int    `json:"needed"`
	Draws  int    `json:"draws"`
	Seed   uint64 `json:"seed"`
}

// Decides says whether a score is one that the certificate covers.
func (c Certificate) Decides(score float64) bool {
	switch {
	case c.Abstains:
		return false
	case c.Side == Fixed:
		return score >= c.Threshold
	case c.Side == NotFixed:
		return score <= c.Threshold
	default:
		return false
	}
}

// Certificates are those of both sides.
type Certificates struct {
	Fixed    Certificate `json:"fixed"`
	NotFixed Certificate `json:"not_fixed"`
}

// UnmarshalJSON reads a certificate and refuses unknown keys and values that no test can have given.
func (c *Certificate) UnmarshalJSON(b []byte) error {
	type plain Certificate
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	var read plain
	if err := decoder.Decode(&read); err != nil {
		return crisol.Errorf(crisol.KindInput, "read certificate: %w", err)
	}
	if err := Certificate(read).check(); err != nil {
		return crisol.Errorf(crisol.KindInput, "read certificate: %w", err)
	}
	*c = Certificate(read)
	return nil
}

func (c Certificate) check() error {
	plan, err := Plan{Alpha: c.Alpha, Delta: c.Delta, Draws: c.Draws}.withDefaults()
	switch {
	case err != nil:
		return err
	case c.Alpha == 0 || c.Delta == 0 || c.Draws == 0:
		return fmt.Errorf("alpha, delta and draws must be said")
	case c.Side != Fixed && c.Side != NotFixed:
		return fmt.Errorf("side %q: want %q or %q", c.Side, Fixed, NotFixed)
	case c.Errors < 0 || c.Decided < c.Errors || c.Groups < c.Decided || c.Needed < 0 || c.Reason == "" || !(c.Upper >= 0 && c.Upper <= 1):
		return fmt.Errorf("%d errors of %d decided of %d groups, upper bound %g, %d needed, reason %q: they don't fit together", c.Errors, c.Decided, c.Groups, c.Upper, c.Needed, c.Reason)
	case c.Abstains && c.Threshold != 0:
		return fmt.Errorf("a side that abstains has no threshold, got %g", c.Threshold)
	case c.Abstains:
		return nil
	case Tail(c.Errors, c.Decided, c.Alpha) > plan.level()*(1+1e-9):
		return fmt.Errorf("%d errors of %d decided don't certify a risk of %g at level %g", c.Errors, c.Decided, c.Alpha, plan.level())
	case c.Side == Fixed && !(c.Threshold >= 0.5 && c.Threshold <= 1), c.Side == NotFixed && !(c.Threshold >= 0 && c.Threshold < 0.5):
		return fmt.Errorf("threshold %g isn't on the side %q", c.Threshold, c.Side)
	}
	return nil
}

// reason puts a certificate's figures into words.
func (c Certificate) reason(level float64) string {
	sure := 100 * (1 - level)
	risk := 100 * c.Alpha
	least := Least(0, c.Alpha, level)
	switch {
	case !c.Abstains:
		return fmt.Sprintf("%d of %d vulnerability groups decided, %d wrongly: the risk is below %.3g %% at %.4g %% confidence", c.Decided, c.Groups, c.Errors, risk, sure)
	case c.Needed == 0:
		return fmt.Sprintf("%d of %d decided patches, one a vulnerability group, are wrong: more labels won't certify a risk below %.3g %%, only a better model will", c.Errors, c.Decided, risk)
	case c.Decided == 0:
		return fmt.Sprintf("none of %d vulnerability groups is on this side; %d clean labels are the least that certify a risk below %.3g %% at %.4g %% confidence", c.Groups, least, risk, sure)
	default:
		more := int(math.Ceil(float64(c.Needed) * float64(c.Groups) / float64(c.Decided)))
		return fmt.Sprintf("%d of %d vulnerability groups decided, %d wrongly, don't certify a risk below %.3g %% at %.4g %% confidence: %d more clean labels are needed, which takes about %d more groups", c.Decided, c.Groups, c.Errors, risk, sure, c.Needed, more)
	}
}
