package forest

import (
	"crisol"
)

// Explanation says what each feature of a row adds to the model's output, in the output's own space (see Model.Output).
// Base and Contributions add up to Output.
type Explanation struct {
	Output        float64
	Base          float64   // the expected output, by the weights of the training rows
	Contributions []float64 // one for each feature
}

// Explain computes the row's exact Shapley values for the path-dependent expectation: a feature that isn't known lets a
// row go both ways, by the shares of the training weight that did (TreeSHAP: Lundberg, Erion and Lee, 2018, arXiv
// 1802.03888, algorithm 2).
//
// The values are that algorithm's, the way to them another. Of a leaf with value v, whose path asks for features j with
// z_j the product of shares along j's splits and o_j 1 where the row passes all of them, else 0, feature i's value is
//
//	v (o_i - z_i) sum over sets S of the others of |S|! (d-|S|-1)! / d! prod_{j in S} o_j prod_{j not in S} z_j
//	= v (o_i - z_i) integral from 0 to 1 of prod_{j != i} (o_j t + z_j (1-t)) dt
//
// as the weight of S is the Beta integral of t^|S| (1-t)^(d-|S|-1). The integrand is a polynomial of a degree below
// MaxDepth, which the eight-point Gauss-Legendre rule integrates exactly. So a walk over the tree carries the product at
// eight points, and a node costs the same however deep it lies (the idea of Linear TreeSHAP, Yu et al. 2022, arXiv
// 2209.08192).
func (m *Model) Explain(row []float64) (Explanation, error) {
	if len(row) != len(m.names) {
		return Explanation{}, crisol.Errorf(crisol.KindInput, "explain: the row has %d features, the model has %d", len(row), len(m.names))
	}
	x := explainer{m: m, contributions: make([]float64, len(row)), ways: make([]way, len(row))}
	spread(row, &x.row)
	for i := range x.ways {
		x.ways[i] = unasked
	}
	for _, t := range m.trees {
		x.levels[0].product = ones
		x.walk(t.root, 0)
	}
	if m.kind == RandomForest {
		for i := range x.contributions {
			x.contributions[i] /= float64(len(m.trees))
		}
	}
	return Explanation{m.output(&x.row), m.mean, x.contributions}, nil
}

// lanes are a polynomial's values at the points of the rule.
type lanes [8]float64

var ones = lanes{1, 1, 1, 1, 1, 1, 1, 1}

// gauss is the eight-point Gauss-Legendre rule on 0 to 1: exact up to degree 15 (Abramowitz and Stegun, table 25.4).
// rest is 1 - points, and inverse 1/rest.
var gauss = func() (rule struct{ points, weights, rest, inverse lanes }) {
	for i, half := range [4][2]float64{
		{0.183434642495649804939476142360184, 0.362683783378361982965150449277196},
		{0.525532409916328985817739049189246, 0.313706645877887287337962201986601},
		{0.796666477413626739591553936475830, 0.222381034453374470544355994426241},
		{0.960289856497536231683560868569473, 0.101228536290376259152531354309962},
	} {
		rule.points[i], rule.points[7-i] = (1-half[0])/2, (1+half[0])/2
		rule.weights[i], rule.weights[7-i] = half[1]/2, half[1]/2
	}
	for k, t := range rule.points {
		rule.rest[k], rule.inverse[k] = 1-t, 1/(1-t)
	}
	return rule
}()

// way is how a path has asked for one feature so far.
type way struct {
	share  float64 // z: the product of the shares along its splits
	passed bool    // o: the row passes all of them
	factor lanes   // of the path's product, at each point
	less   lanes   // 1/factor, which takes it out
}

// unasked is of a feature that the path hasn't asked for: it has no part in the product.
var unasked = way{share: 1, passed: true, factor: ones, less: ones}

// follow is the way of before, one split further.
func (w *way) follow(before *way, share float64, passed bool) {
	w.share, w.passed = before.share*share, before.passed && passed
	if !w.passed {
		inverse := 1 / w.share
		for k := range w.factor {
			w.factor[k], w.less[k] = w.share*gauss.rest[k], inverse*gauss.inverse[k]
		}
		return
	}
	for k, t := range gauss.points {
		factor := t + w.share*gauss.rest[k]
		w.factor[k], w.less[k] = factor, 1/factor
	}
}

// given is what the feature's being known changes: o - z.
func (w *way) given() float64 {
	if w.passed {
		return 1 - w.share
	}
	return -w.share
}

// explainer is the explanation of one row.
type explainer struct {
	m             *Model
	row           table
	ways          []way // by feature
	contributions []float64
	// levels are what a walk needs at each depth, so that it takes no memory as it goes.
	levels [MaxDepth + 2]level
}

// level is one node on the walk's path: the product of the path that leads to it, the sum over the leaves below it of the
// leaf's product times its value times the rule's weights, and how the path had asked for its feature.
type level struct {
	product, sum lanes
	before       way
}

// walk adds the contributions of the splits under a node and leaves the sum over its leaves in its level.
func (x *explainer) walk(at uint32, depth int) {
	l, n := &x.levels[depth], x.m.nodes[at]
	if n.slot() == 0 {
		value := float64(n.value())
		for k := range l.sum {
			l.sum[k] = l.product[k] * value * gauss.weights[k]
		}
		return
	}
	feature := n.slot()/2 - 1
	w := &x.ways[feature]
	l.before, l.sum = *w, lanes{}
	left, taken := n.child(), n.next(&x.row)
	share := float64(x.m.shares[at])
	below := &x.levels[depth+1]
	for child := range uint32(2) {
		w.follow(&l.before, share, child+left == taken)
		for k := range below.product {
			below.product[k] = l.product[k] * l.before.less[k] * w.factor[k]
		}
		x.walk(at+left+child, depth+1)
		// What the splits above of the same feature counted for these leaves holds no longer: the feature's whole way counts.
		now, was := 0.0, 0.0
		for k, s := range below.sum {
			now += s * w.less[k]
			was += s * l.before.less[k]
			l.sum[k] += s
		}
		x.contributions[feature] += w.given()*now - l.before.given()*was
		share = 1 - share
	}
	*w = l.before
}
