package forest

/*
#include "shapley.h"
*/
import "C"

import (
	"sync"
	"unsafe"

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
// 2209.08192). shapley.c says what is done at a node.
func (m *Model) Explain(row []float64) (Explanation, error) {
	if len(row) != len(m.names) {
		return Explanation{}, crisol.Errorf(crisol.KindInput, "explain: the row has %d features, the model has %d", len(row), len(m.names))
	}
	var t table
	spread(row, &t)
	contributions := m.shapley(&t, wide)
	if m.kind == RandomForest {
		for i := range contributions {
			contributions[i] /= float64(len(m.trees))
		}
	}
	return Explanation{m.output(&t), m.mean, contributions}, nil
}

// wide says whether this machine computes four numbers at once.
var wide = bool(C.forest_has_wide())

// shapley adds the trees' contributions up, by feature.
func (m *Model) shapley(row *table, wide bool) []float64 {
	w := &m.woods
	places, _ := w.scratch.Get().(*[]C.forest_place)
	if places == nil {
		fresh := make([]C.forest_place, w.largest)
		places = &fresh
	}
	defer w.scratch.Put(places)
	contributions := make([]float64, C.FOREST_FEATURES)
	C.forest_explain(unsafe.SliceData(w.trees), C.uint32_t(len(w.trees)), unsafe.SliceData(w.splits), unsafe.SliceData(w.leaves), &gauss,
		(*C.int32_t)(unsafe.Pointer(row)), unsafe.SliceData(*places), (*C.double)(unsafe.SliceData(contributions)), C.bool(wide))
	return contributions[:len(m.names)]
}

// woods are a model's trees as they are explained.
type woods struct {
	trees   []C.forest_count
	splits  []C.forest_split
	leaves  []C.forest_leaf
	largest int       // the number of nodes of the largest tree
	scratch sync.Pool // *[]C.forest_place
}

// add adds a tree, by its nodes and shares.
func (w *woods) add(nodes []node, shares []float32) {
	type link struct{ prior, via uint16 }
	var last [slots / 2]link // by feature, on the way to the node
	links := make([]link, len(nodes))
	var walk func(at uint16)
	walk = func(at uint16) {
		n := nodes[at]
		if n.slot() == 0 {
			return
		}
		feature, left := n.slot()/2, at+uint16(n.child())
		links[at] = last[feature]
		for child := left; child <= left+1; child++ {
			last[feature] = link{at, child}
			walk(child)
		}
		last[feature] = links[at]
	}
	walk(0)
	splits, leaves := len(w.splits), len(w.leaves)
	for i, n := range nodes {
		if n.slot() == 0 {
			w.leaves = append(w.leaves, C.forest_leaf{value: C.float(n.value()), at: C.uint16_t(i)})
			continue
		}
		w.splits = append(w.splits, C.forest_split{
			threshold: C.int32_t(n.threshold()), share: C.float(shares[i]), slot: C.uint16_t(n.slot()), at: C.uint16_t(i),
			left: C.uint16_t(i + int(n.child())), prior: C.uint16_t(links[i].prior), via: C.uint16_t(links[i].via),
		})
	}
	w.trees = append(w.trees, C.forest_count{splits: C.uint32_t(len(w.splits) - splits), leaves: C.uint32_t(len(w.leaves) - leaves)})
	w.largest = max(w.largest, len(nodes))
}

// gauss is the eight-point Gauss-Legendre rule on 0 to 1: exact up to degree 15 (Abramowitz and Stegun, table 25.4).
var gauss = func() (rule C.forest_rule) {
	for i, half := range [4][2]float64{
		{0.183434642495649804939476142360184, 0.362683783378361982965150449277196},
		{0.525532409916328985817739049189246, 0.313706645877887287337962201986601},
		{0.796666477413626739591553936475830, 0.222381034453374470544355994426241},
		{0.960289856497536231683560868569473, 0.101228536290376259152531354309962},
	} {
		rule.points[i], rule.points[7-i] = C.double((1-half[0])/2), C.double((1+half[0])/2)
		rule.weights[i], rule.weights[7-i] = C.double(half[1]/2), C.double(half[1]/2)
	}
	for k, t := range rule.points {
		rule.rest[k] = 1 - t
	}
	return rule
}()
