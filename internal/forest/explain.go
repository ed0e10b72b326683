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
		x.walk(t.root, &ones)
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
var gauss = func() (rule struct{ points, weights lanes }) {
	for i, half := range [4][2]float64{
		{0.183434642495649804939476142360184, 0.362683783378361982965150449277196},
		{0.525532409916328985817739049189246, 0.313706645877887287337962201986601},
		{0.796666477413626739591553936475830, 0.222381034453374470544355994426241},
		{0.960289856497536231683560868569473, 0.101228536290376259152531354309962},
	} {
		rule.points[i], rule.points[7-i] = (1-half[0])/2, (1+half[0])/2
		rule.weights[i], rule.weights[7-i] = half[1]/2, half[1]/2
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

func (w *way) follow(share float64, passed bool) (next way) {
	next.share, next.passed = w.share*share, w.passed && passed
	for k, t := range gauss.points {
		factor := next.share * (1 - t)
		if next.passed {
			factor += t
		}
		next.factor[k], next.less[k] = factor, 1/factor
	}
	return next
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
}

// walk adds the contributions of the splits under a node, whose path has the given product, and returns the sum over
// its leaves of the leaf's product times its value times the rule's weights.
func (x *explainer) walk(at uint32, product *lanes) (sum lanes) {
	n := x.m.nodes[at]
	if n.slot() == 0 {
		for k := range sum {
			sum[k] = product[k] * float64(n.value()) * gauss.weights[k]
		}
		return sum
	}
	feature := n.slot()/2 - 1
	before := x.ways[feature]
	left, taken := n.child(), n.next(&x.row)
	shares := [2]float64{float64(x.m.shares[at]), 1 - float64(x.m.shares[at])}
	for side, share := range shares {
		child := left + uint32(side)
		after := before.follow(share, child == taken)
		var below lanes
		for k := range below {
			below[k] = product[k] * before.less[k] * after.factor[k]
		}
		x.ways[feature] = after
		below = x.walk(at+child, &below)
		// What the splits above of the same feature counted for these leaves holds no longer: the feature's whole way counts.
		now, was := 0.0, 0.0
		for k, s := range below {
			now += s * after.less[k]
			was += s * before.less[k]
			sum[k] += s
		}
		x.contributions[feature] += after.given()*now - before.given()*was
	}
	x.ways[feature] = before
	return sum
}
