// Package naive reads a forest's bytes by the description of the format, and does what package forest does in the
// plainest way: it shares no code with it, and is what tests and benchmarks hold forest against.
//
// What enters: bytes that forest wrote (others make it panic). What leaves: predictions and Shapley values. It refuses
// to know how fast it could be.
package naive

import (
	"encoding/binary"
	"math"
)

// Ensemble is a model as trees of pointers.
type Ensemble struct {
	Mean     bool // of a random forest; else the trees' values are added to Base
	Base     float64
	Features int
	Trees    []*Node
}

// Node is a split or a leaf.
type Node struct {
	Leaf        bool
	Value       float64 // of a leaf
	Feature     int
	Threshold   float32
	MissingLeft bool
	Share       float64 // of the training weight that went left
	Left, Right *Node
}

// Read reads a model.
func Read(b []byte) *Ensemble {
	u16 := func(at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
	f32 := func(at int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[at:])) }
	e := &Ensemble{Mean: b[10] == 1, Base: float64(f32(20)), Features: u16(24), Trees: make([]*Node, u16(26))}
	nodes := u32(28)
	sizes := 36
	for range e.Features + 1 {
		sizes += 1 + int(b[sizes])
	}
	slot := sizes + 2*len(e.Trees)
	value := slot + 2*nodes
	share := value + 4*nodes
	for i := range e.Trees {
		tree := make([]*Node, u16(sizes+2*i))
		for n := range tree {
			tree[n] = &Node{}
		}
		splits := 0
		for _, n := range tree {
			if s := u16(slot); s == 0 {
				n.Leaf, n.Value = true, float64(f32(value))
			} else {
				n.Feature, n.MissingLeft, n.Threshold, n.Share = s/2-1, s%2 == 0, f32(value), float64(f32(share))
				n.Left, n.Right = tree[2*splits+1], tree[2*splits+2]
				splits++
				share += 4
			}
			slot, value = slot+2, value+4
		}
		e.Trees[i] = tree[0]
	}
	return e
}

// left says whether a row goes left.
func (n *Node) left(row []float64) bool {
	x := row[n.Feature]
	if math.IsNaN(x) {
		return n.MissingLeft
	}
	return max(-math.MaxFloat32, min(math.MaxFloat32, float32(x))) <= n.Threshold
}

func (n *Node) predict(row []float64) float64 {
	switch {
	case n.Leaf:
		return n.Value
	case n.left(row):
		return n.Left.predict(row)
	default:
		return n.Right.predict(row)
	}
}

// Output is a row's probability in a random forest, its log-odds in boosting.
func (e *Ensemble) Output(row []float64) float64 {
	return e.total(e.Base, func(tree *Node) float64 { return tree.predict(row) })
}

func (e *Ensemble) total(sum float64, of func(tree *Node) float64) float64 {
	for _, tree := range e.Trees {
		sum += of(tree)
	}
	if e.Mean {
		sum /= float64(len(e.Trees))
	}
	return sum
}

// expected is a tree's value when only the features of a set are known: others go both ways.
func (n *Node) expected(row []float64, known func(feature int) bool) float64 {
	switch {
	case n.Leaf:
		return n.Value
	case !known(n.Feature):
		return n.Share*n.Left.expected(row, known) + (1-n.Share)*n.Right.expected(row, known)
	case n.left(row):
		return n.Left.expected(row, known)
	default:
		return n.Right.expected(row, known)
	}
}

// Shapley computes the base and the contributions by the definition: over all subsets of the features. It takes time in
// proportion to two to the power of their number.
func (e *Ensemble) Shapley(row []float64) (base float64, contributions []float64) {
	values := make([]float64, 1<<e.Features)
	for set := range values {
		values[set] = e.total(e.Base, func(tree *Node) float64 {
			return tree.expected(row, func(f int) bool { return set>>f&1 == 1 })
		})
	}
	contributions = make([]float64, e.Features)
	for i := range contributions {
		for set, value := range values {
			if set>>i&1 == 0 {
				contributions[i] += weight(set, e.Features) * (values[set|1<<i] - value)
			}
		}
	}
	return values[0], contributions
}

// weight is |S|! (F-|S|-1)! / F!.
func weight(set, features int) float64 {
	size := 0
	for ; set != 0; set &= set - 1 {
		size++
	}
	product := 1 / float64(features)
	for i := 1; i <= size; i++ {
		product *= float64(i) / float64(features-i)
	}
	return product
}

// TreeSHAP computes the contributions by algorithm 2 of Lundberg, Erion and Lee (arXiv 1802.03888).
func (e *Ensemble) TreeSHAP(row []float64) []float64 {
	contributions := make([]float64, e.Features)
	for _, tree := range e.Trees {
		shap(tree, row, contributions, nil, step{-1, 1, 1, 0})
	}
	if e.Mean {
		for i := range contributions {
			contributions[i] /= float64(len(e.Trees))
		}
	}
	return contributions
}

// step is an element of the path: a feature, the parts of the flow that pass when it isn't known (zero) and when it is
// (one), and the weight of the sets of the element's size.
type step struct {
	feature           int
	zero, one, weight float64
}

func shap(n *Node, row, contributions []float64, path []step, last step) {
	path = extend(path, last)
	if n.Leaf {
		for i := 1; i < len(path); i++ {
			w := 0.0
			for _, s := range unwind(path, i) {
				w += s.weight
			}
			contributions[path[i].feature] += w * (path[i].one - path[i].zero) * n.Value
		}
		return
	}
	hot, cold, share := n.Left, n.Right, n.Share
	if !n.left(row) {
		hot, cold, share = cold, hot, 1-share
	}
	zero, one := 1.0, 1.0
	for i := 1; i < len(path); i++ {
		if path[i].feature == n.Feature {
			zero, one = path[i].zero, path[i].one
			path = unwind(path, i)
			break
		}
	}
	shap(hot, row, contributions, path, step{n.Feature, zero * share, one, 0})
	shap(cold, row, contributions, path, step{n.Feature, zero * (1 - share), 0, 0})
}

func extend(path []step, last step) []step {
	path = append(append([]step(nil), path...), last)
	l := len(path) - 1
	if l == 0 {
		path[0].weight = 1
	}
	for i := l - 1; i >= 0; i-- {
		path[i+1].weight += last.one * path[i].weight * float64(i+1) / float64(l+1)
		path[i].weight = last.zero * path[i].weight * float64(l-i) / float64(l+1)
	}
	return path
}

func unwind(path []step, i int) []step {
	path = append([]step(nil), path...)
	l := len(path) - 1
	next, zero, one := path[l].weight, path[i].zero, path[i].one
	for j := l - 1; j >= 0; j-- {
		if one != 0 {
			w := path[j].weight
			path[j].weight = next * float64(l+1) / (float64(j+1) * one)
			next = w - path[j].weight*zero*float64(l-j)/float64(l+1)
		} else {
			path[j].weight = path[j].weight * float64(l+1) / (zero * float64(l-j))
		}
	}
	for j := i; j < l; j++ {
		path[j].feature, path[j].zero, path[j].one = path[j+1].feature, path[j+1].zero, path[j+1].one
	}
	return path[:l]
}
