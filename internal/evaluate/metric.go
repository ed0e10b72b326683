package evaluate

import (
	"cmp"
	"math"
	"slices"

	"crisol/internal/certify"
)

// Metric names a figure.
type Metric string

// The figures. Rows count with their weights throughout.
const (
	// AUC is the probability that a fixed row gets more than one that isn't; ties count half.
	AUC Metric = "auc"
	// ClassAUC and VulnerabilityAUC take pairs of rows of one class, of one vulnerability, only: what is left of the AUC
	// once the class, the vulnerability, is known.
	ClassAUC         Metric = "auc_within_class"
	VulnerabilityAUC Metric = "auc_within_vulnerability"
	// Brier is the mean squared distance of probability and label; BrierSkill is 1 less its ratio to that of the base rate
	// of the other folds.
	Brier      Metric = "brier"
	BrierSkill Metric = "brier_skill"
	// LogLoss is the mean of -log of what the label was given, in nats, with probabilities kept 1e-6 from 0 and 1.
	LogLoss Metric = "log_loss"
	// ECE is the expected calibration error over Bins bins of equal weight: the mean distance, over bins, of mean
	// probability and share of fixed. It can't be 0 on finite rows, for chance alone parts the two.
	ECE Metric = "ece"
	// RMSCalibration is the root mean squared distance over the same bins, less what chance adds (Kumar, Liang, Ma:
	// Verified uncertainty calibration, NeurIPS 2019, arXiv 1909.10155); 0 where chance explains all of it. Chance is that
	// of independent rows; rows that go together leave some of it in.
	RMSCalibration Metric = "rms_calibration_debiased"
	// Area is that under the risk-coverage curve (Geifman, Uziel, El-Yaniv, ICLR 2019, arXiv 1805.08206): the mean share of
	// wrong rows among the surest c, over all c.
	Area Metric = "risk_coverage_area"
	// Accuracy, Precision, Recall and F1 are those of `fixed`, predicted from 1/2 on.
	Accuracy  Metric = "accuracy"
	Precision Metric = "precision"
	Recall    Metric = "recall"
	F1        Metric = "f1"
)

// Risks are the risks at which coverage is reported.
var Risks = [3]float64{0.01, 0.02, 0.05}

var percent = [3]string{"1", "2", "5"}

// Coverage is the largest share of rows that the side can decide while at most the given one of Risks of them is decided
// wrongly, on these very rows: a threshold that was chosen by the labels it is judged by, hence the best to hope for.
func Coverage(side certify.Side, risk int) Metric {
	return Metric("coverage_" + string(side) + "_" + percent[risk])
}

// CertifiedCoverage is the share of rows that the side decides under a certificate for the given one of Risks.
func CertifiedCoverage(side certify.Side, risk int) Metric {
	return Metric("certified_" + string(side) + "_" + percent[risk])
}

// CertifiedTotal is the share of rows that either side decides under a certificate for the given one of Risks.
func CertifiedTotal(risk int) Metric { return Metric("certified_both_" + percent[risk]) }

// Bins is how many bins of equal weight calibration is judged in.
const Bins = 15

// Metrics lists every figure, in the order of reports.
func Metrics() []Metric {
	all := []Metric{AUC, ClassAUC, VulnerabilityAUC, Brier, BrierSkill, LogLoss, ECE, RMSCalibration, Area, Accuracy, Precision, Recall, F1}
	for _, side := range []certify.Side{certify.Fixed, certify.NotFixed} {
		for risk := range Risks {
			all = append(all, Coverage(side, risk))
		}
	}
	for _, side := range []certify.Side{certify.Fixed, certify.NotFixed} {
		for risk := range Risks {
			all = append(all, CertifiedCoverage(side, risk))
		}
	}
	for risk := range Risks {
		all = append(all, CertifiedTotal(risk))
	}
	return all
}

// Confusion counts rows by weight, at probability 1/2.
type Confusion struct {
	TrueFixed     float64 `json:"true_fixed"`
	FalseFixed    float64 `json:"false_fixed"`
	TrueNotFixed  float64 `json:"true_not_fixed"`
	FalseNotFixed float64 `json:"false_not_fixed"`
}

func (c Confusion) total() float64 {
	return c.TrueFixed + c.FalseFixed + c.TrueNotFixed + c.FalseNotFixed
}

// item is a row as an order of rows holds it. Rows of one block can't be told apart by the order; pairs are counted within
// a segment only.
type item struct {
	row            int
	label          bool
	block, segment int
}

// view is a column made ready to be measured under many weights: every order is sorted once.
type view struct {
	probability []float64
	base        []float64
	label       []bool
	// ascending goes by probability; byClass and byVulnerability by segment, then probability; surest by distance from
	// 1/2, the farthest first.
	ascending, byClass, byVulnerability, surest []item
	decided                                     []uint8 // a bit for each certificate, see certificateBit
	bin                                         []int   // of equal weight under the rows' own weights, for the calibration curve
}

func newView(rows []Row, probability, base []float64, certificates []Certified) *view {
	v := &view{probability: probability, base: base, decided: make([]uint8, len(rows))}
	for i, r := range rows {
		v.label = append(v.label, r.Label)
		for risk, c := range certificates {
			if c.Fixed.Decides(probability[i]) {
				v.decided[i] |= certificateBit(0, risk)
			}
			if c.NotFixed.Decides(probability[i]) {
				v.decided[i] |= certificateBit(1, risk)
			}
		}
	}
	one := func(int) string { return "" }
	sure := func(i int) float64 { return -math.Abs(probability[i] - 0.5) }
	given := func(i int) float64 { return probability[i] }
	v.ascending = v.order(one, given)
	v.byClass = v.order(func(i int) string { return rows[i].Class }, given)
	v.byVulnerability = v.order(func(i int) string { return rows[i].Vulnerability }, given)
	v.surest = v.order(one, sure)
	v.bin = make([]int, len(rows))
	v.eachBin(weightsOf(rows), func(i, bin int) { v.bin[i] = bin })
	return v
}

func certificateBit(side, risk int) uint8 { return 1 << (side*len(Risks) + risk) }

// order sorts rows by segment and key and numbers segments and blocks of equal keys.
func (v *view) order(segment func(int) string, key func(int) float64) []item {
	items := make([]item, len(v.label))
	for i := range items {
		items[i] = item{row: i, label: v.label[i]}
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(segment(a.row), segment(b.row)), cmp.Compare(key(a.row), key(b.row)), cmp.Compare(a.row, b.row))
	})
	for k := 1; k < len(items); k++ {
		before, it := items[k-1], &items[k]
		it.segment, it.block = before.segment, before.block
		switch {
		case segment(before.row) != segment(it.row):
			it.segment++
			it.block++
		case key(before.row) != key(it.row):
			it.block++
		}
	}
	return items
}

// measure computes every figure under weights, in the order of Metrics.
func (v *view) measure(w []float64, out []float64) {
	c := v.confusion(w)
	total := c.total()
	ece, rms := v.calibration(w)
	loss := v.mean(w, brier)
	at := copy(out, []float64{
		concordance(v.ascending, w), concordance(v.byClass, w), concordance(v.byVulnerability, w),
		loss, skill(loss, v.reference(w)), v.mean(w, surprise), ece, rms, v.area(w),
		(c.TrueFixed + c.TrueNotFixed) / total,
		c.TrueFixed / (c.TrueFixed + c.FalseFixed),
		c.TrueFixed / (c.TrueFixed + c.FalseNotFixed),
		2 * c.TrueFixed / (2*c.TrueFixed + c.FalseFixed + c.FalseNotFixed),
	})
	for _, side := range []certify.Side{certify.Fixed, certify.NotFixed} {
		covered := v.coverage(side, w)
		at += copy(out[at:], covered[:])
	}
	v.certified(w, out[at:])
}

// concordance is the AUC over pairs within segments: the Mann-Whitney statistic over its largest value.
func concordance(order []item, w []float64) float64 {
	won, pairs := 0.0, 0.0
	for k := 0; k < len(order); {
		segment, below, above := order[k].segment, 0.0, 0.0 // weights of the labels false and true, so far
		for k < len(order) && order[k].segment == segment {
			block, yes, no := order[k].block, 0.0, 0.0
			for ; k < len(order) && order[k].block == block; k++ {
				if x := w[order[k].row]; order[k].label {
					yes += x
				} else {
					no += x
				}
			}
			won += yes * (below + no/2)
			below, above = below+no, above+yes
		}
		pairs += below * above
	}
	return won / pairs // NaN without pairs
}

func brier(p float64, label bool) float64 {
	if label {
		p = 1 - p
	}
	return p * p
}

// skill is NaN against a reference that is never wrong: nothing is left to gain.
func skill(loss, reference float64) float64 {
	if reference == 0 {
		return math.NaN()
	}
	return 1 - loss/reference
}

func surprise(p float64, label bool) float64 {
	if !label {
		p = 1 - p
	}
	return -math.Log(min(max(p, 1e-6), 1-1e-6))
}

func (v *view) mean(w []float64, of func(p float64, label bool) float64) float64 {
	sum, total := 0.0, 0.0
	for i, x := range w {
		if x > 0 {
			sum += x * of(v.probability[i], v.label[i])
			total += x
		}
	}
	return sum / total
}

// reference is the Brier score of the base rate.
func (v *view) reference(w []float64) float64 {
	sum, total := 0.0, 0.0
	for i, x := range w {
		sum += x * brier(v.base[i], v.label[i])
		total += x
	}
	return sum / total
}

// eachBin calls f with the bin of every row that has weight: rows of one probability share a bin, that of their middle.
func (v *view) eachBin(w []float64, f func(row, bin int)) {
	total := 0.0
	for _, x := range w {
		total += x
	}
	below := 0.0
	for k := 0; k < len(v.ascending); {
		end, own := k, 0.0
		for ; end < len(v.ascending) && v.ascending[end].block == v.ascending[k].block; end++ {
			own += w[v.ascending[end].row]
		}
		bin := min(int((below+own/2)/total*Bins), Bins-1)
		for ; k < end; k++ {
			f(v.ascending[k].row, bin)
		}
		below += own
	}
}

func (v *view) calibration(w []float64) (ece, rms float64) {
	var mass, square, given, fixed [Bins]float64
	total := 0.0
	v.eachBin(w, func(i, bin int) {
		x := w[i]
		total += x
		mass[bin] += x
		square[bin] += x * x
		given[bin] += x * v.probability[i]
		if v.label[i] {
			fixed[bin] += x
		}
	})
	for b := range Bins {
		if mass[b] == 0 {
			continue
		}
		rate := fixed[b] / mass[b]
		gap := given[b]/mass[b] - rate
		ece += mass[b] / total * math.Abs(gap)
		chance := 0.0
		if n := mass[b] * mass[b] / square[b]; n > 1 { // the effective number of rows
			chance = rate * (1 - rate) / (n - 1)
		}
		rms += mass[b] / total * (gap*gap - chance)
	}
	return ece, math.Sqrt(max(rms, 0))
}

// wrong says whether a row is decided wrongly at 1/2.
func (v *view) wrong(i int) bool { return (v.probability[i] >= 0.5) != v.label[i] }

// descent walks rows from the surest on and calls f after each block with the weights covered and wrong so far.
func (v *view) descent(w []float64, f func(own, covered, wrong float64, at item)) {
	covered, wrong := 0.0, 0.0
	for k := 0; k < len(v.surest); {
		block, before := v.surest[k].block, covered
		for ; k < len(v.surest) && v.surest[k].block == block; k++ {
			i := v.surest[k].row
			covered += w[i]
			if v.wrong(i) {
				wrong += w[i]
			}
		}
		if covered > before {
			f(covered-before, covered, wrong, v.surest[k-1])
		}
	}
}

func (v *view) area(w []float64) float64 {
	sum, total := 0.0, 0.0
	v.descent(w, func(own, covered, wrong float64, _ item) {
		sum += own * wrong / covered
		total = covered
	})
	return sum / total
}

// coverage is what a side covers at each of Risks.
func (v *view) coverage(side certify.Side, w []float64) (at [len(Risks)]float64) {
	covered, wrong, total := 0.0, 0.0, 0.0
	for _, x := range w {
		total += x
	}
	for n := 0; n < len(v.ascending); {
		k := func(n int) item { // the surest of the side first
			if side == certify.Fixed {
				return v.ascending[len(v.ascending)-1-n]
			}
			return v.ascending[n]
		}
		block := k(n).block
		if (v.probability[k(n).row] >= 0.5) != (side == certify.Fixed) {
			break
		}
		for ; n < len(v.ascending) && k(n).block == block; n++ {
			covered += w[k(n).row]
			if v.wrong(k(n).row) {
				wrong += w[k(n).row]
			}
		}
		for r, risk := range Risks {
			if wrong <= risk*covered {
				at[r] = covered / total
			}
		}
	}
	return at
}

// certified fills in the shares that certificates cover: a side after the other, then both.
func (v *view) certified(w []float64, out []float64) {
	total := 0.0
	clear(out)
	for i, x := range w {
		total += x
		for risk := range Risks {
			fixed, not := v.decided[i]&certificateBit(0, risk) != 0, v.decided[i]&certificateBit(1, risk) != 0
			if fixed {
				out[risk] += x
			}
			if not {
				out[len(Risks)+risk] += x
			}
			if fixed || not {
				out[2*len(Risks)+risk] += x
			}
		}
	}
	for i := range out {
		out[i] /= total
	}
}

func (v *view) confusion(w []float64) (c Confusion) {
	for i, x := range w {
		switch fixed := v.probability[i] >= 0.5; {
		case fixed && v.label[i]:
			c.TrueFixed += x
		case fixed:
			c.FalseFixed += x
		case v.label[i]:
			c.FalseNotFixed += x
		default:
			c.TrueNotFixed += x
		}
	}
	return c
}
