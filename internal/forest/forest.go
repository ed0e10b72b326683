// Package forest learns and asks ensembles of decision trees: a random forest (Breiman, Machine Learning 45, 2001) and
// gradient boosting of the log loss by second-order steps (Friedman, Annals of Statistics 29(5), 2001; Chen and
// Guestrin, KDD 2016, arXiv 1603.02754), both grown by histograms and kept in one node format.
//
// What enters: rows of numbers with labels and weights, or the bytes of a model. What leaves: a model, the
// probability of a row's being labelled true, the share that each feature has in it, and the model's bytes. It refuses
// to know what a feature means, where a model is kept, and what is decided by a probability.
//
// The same rows, settings and seed give the same bytes on every machine and with every number of workers: each tree
// draws from a generator of its own, sums are taken in a fixed order, products are rounded before they are added, and
// the exponential is our own (math.Exp differs between processors).
package forest

import (
	"math"

	"crisol"
)

// Limits of a model. Depth and features follow from the node's 16-bit fields; trees bound what a file can ask for.
const (
	MaxFeatures = 255
	MaxDepth    = 15
	MaxTrees    = 10_000
)

// Kind says how the trees' values become a prediction.
type Kind uint8

// The kinds of a model.
const (
	RandomForest     Kind = 1 // the mean of the trees' values, which are shares of positive weight
	GradientBoosting Kind = 2 // the sigmoid of a base and the sum of the trees' values, which are log-odds
)

// String names the kind as listings show it.
func (k Kind) String() string {
	switch k {
	case RandomForest:
		return "random_forest"
	case GradientBoosting:
		return "gradient_boosting"
	default:
		return "unknown"
	}
}

// slots is the width of the table in which a row is looked up: slot 0 is for leaves, and feature f lies in slots 2f+2
// and 2f+3. They differ where the value is missing, which is how a node chooses the side of a missing value.
const slots = 2 * (MaxFeatures + 1)

// table is a row laid out by slots, as keys.
type table [slots]int32

// node is a split or a leaf in 8 bytes, which take one load. The low 32 bits are a split's threshold as a key or a leaf's
// value as float32, then 16 bits are the slot that a split asks for, 0 in a leaf, and 16 bits the distance to the left
// child, 0 in a leaf. The right child follows the left one. A row goes left where its slot holds at most the threshold.
// A leaf's slot holds the least key, so that a leaf is its own next node and a walk needs no test for leaves.
type node uint64

func leaf(value float32) node { return node(math.Float32bits(value)) }

func fork(threshold float32, slot uint16) node {
	return node(uint32(key(threshold))) | node(slot)<<32
}

func (n node) threshold() int32  { return int32(uint32(n)) }
func (n node) value() float32    { return math.Float32frombits(uint32(n)) }
func (n node) slot() uint16      { return uint16(n >> 32) }
func (n node) child() uint32     { return uint32(n >> 48) }
func (n node) to(by uint16) node { return n | node(by)<<48 }

// next returns the distance from n to the child that a row goes to. The compiler makes it without a branch.
func (n node) next(row *table) uint32 {
	var right uint32
	if row[n.slot()%slots] > n.threshold() {
		right = 1
	}
	return n.child() + right
}

// key maps a float32 to an integer of the same order, as integers compare faster. It is its own inverse but for -0, which
// becomes 0, and for NaN, which has no order.
func key(x float32) int32 {
	b := int32(math.Float32bits(x + 0)) // -0 + 0 is 0
	return b ^ (b >> 31 & math.MaxInt32)
}

func unkey(k int32) float32 {
	return math.Float32frombits(uint32(k ^ (k >> 31 & math.MaxInt32)))
}

// Model is a trained ensemble. It doesn't change, and may be asked by many at once. Forest.Train, Boosting.Train and Decode make it.
type Model struct {
	kind       Kind
	featureSet string
	names      []string
	base       float32 // what the trees' sum begins with, in log-odds; 0 for a random forest

	nodes  []node    // of each tree together; see lay
	shares []float32 // for each split the share of its training weight that went left; 0 for leaves
	trees  []tree
	mean   float64 // the expected output over the training weights, where Explain begins
	woods  woods   // the trees as Explain reads them
}

// tree is one tree's place among the nodes: its root, and the longest walk from there to a leaf.
type tree struct {
	root  uint32
	depth uint32
}

// Kind says how the model predicts.
func (m *Model) Kind() Kind { return m.kind }

// FeatureSet is the version of the features that the model was trained on.
func (m *Model) FeatureSet() string { return m.featureSet }

// Names returns a copy of the features' names, in the order of a row.
func (m *Model) Names() []string { return append([]string(nil), m.names...) }

// Trees is the number of trees.
func (m *Model) Trees() int { return len(m.trees) }

// Nodes is the number of nodes of all trees.
func (m *Model) Nodes() int { return len(m.nodes) }

// Predict returns the probability that the row is labelled true. A row has one number for each feature; NaN says that
// it is missing. Predict doesn't allocate.
func (m *Model) Predict(row []float64) (float64, error) {
	output, err := m.Output(row)
	if m.kind == GradientBoosting {
		output = sigmoid(output)
	}
	return output, err
}

// Output returns what the ensemble itself puts out: a probability for a random forest, log-odds for boosting. It is
// the space in which Explain's contributions add up.
func (m *Model) Output(row []float64) (float64, error) {
	if len(row) != len(m.names) {
		return math.NaN(), crisol.Errorf(crisol.KindInput, "predict: the row has %d features, the model has %d", len(row), len(m.names))
	}
	var t table
	spread(row, &t)
	return m.output(&t), nil
}

func (m *Model) output(row *table) float64 {
	sum := float64(m.base) + m.sum(row)
	if m.kind == RandomForest {
		sum /= float64(len(m.trees))
	}
	return sum
}

// sum adds the trees' values. Eight trees are walked at once: a walk waits for memory at every step, and eight waits
// overlap.
func (m *Model) sum(row *table) (total float64) {
	nodes, trees := m.nodes, m.trees
	for ; len(trees) >= 8; trees = trees[8:] {
		depth := uint32(0)
		for _, t := range trees[:8] {
			depth = max(depth, t.depth)
		}
		a, b, c, d := trees[0].root, trees[1].root, trees[2].root, trees[3].root
		e, f, g, h := trees[4].root, trees[5].root, trees[6].root, trees[7].root
		for ; depth > 0; depth-- {
			a += nodes[a].next(row)
			b += nodes[b].next(row)
			c += nodes[c].next(row)
			d += nodes[d].next(row)
			e += nodes[e].next(row)
			f += nodes[f].next(row)
			g += nodes[g].next(row)
			h += nodes[h].next(row)
		}
		for _, leaf := range [8]uint32{a, b, c, d, e, f, g, h} {
			total += float64(nodes[leaf].value())
		}
	}
	for _, t := range trees {
		total += float64(nodes[m.leaf(t, row)].value())
	}
	return total
}

// leaf returns the leaf in which a row ends.
func (m *Model) leaf(t tree, row *table) uint32 {
	at := t.root
	for m.nodes[at].slot() != 0 {
		at += m.nodes[at].next(row)
	}
	return at
}

// spread lays a row out by slots. In a feature's first slot a missing value is less than every threshold, in its
// second slot greater.
func spread(row []float64, t *table) {
	t[0] = math.MinInt32
	for f, wide := range row {
		low := key(narrow(wide))
		high := low
		if wide != wide {
			low, high = math.MinInt32, math.MaxInt32
		}
		t[(2*f+2)%slots], t[(2*f+3)%slots] = low, high
	}
}

// narrow rounds a value to the precision in which thresholds are kept. Training and prediction see the same narrow
// values, so they agree on every row. What is beyond float32 becomes its largest value; NaN stays.
func narrow(x float64) float32 {
	return max(-math.MaxFloat32, min(math.MaxFloat32, float32(x)))
}

// sigmoid is 1/(1+exp(-x)).
func sigmoid(x float64) float64 { return 1 / (1 + exp(-x)) }

// exp is FreeBSD's e_exp.c, with every product rounded before it is added: the processors' fused operations would round
// otherwise, and training would give other bytes there. Beyond 700 on either side it is held at that bound.
func exp(x float64) float64 {
	const (
		ln2High = 6.93147180369123816490e-01
		ln2Low  = 1.90821492927058770002e-10
		log2e   = 1.44269504088896338700e+00
		p1      = 1.66666666666666657415e-01
		p2      = -2.77777777770155933842e-03
		p3      = 6.61375632143793436117e-05
		p4      = -1.65339022054652515390e-06
		p5      = 4.13813679705723846039e-08
	)
	x = max(-700, min(700, x))
	k := math.Floor(float64(x*log2e) + 0.5)
	high, low := x-float64(k*ln2High), float64(k*ln2Low)
	r := high - low
	t := float64(r * r)
	c := p4 + float64(t*p5)
	c = p3 + float64(t*c)
	c = p2 + float64(t*c)
	c = p1 + float64(t*c)
	c = r - float64(t*c)
	y := 1 - ((low - float64(r*c)/(2-c)) - high)
	return y * math.Float64frombits(uint64(int64(k)+1023)<<52)
}
