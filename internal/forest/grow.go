package forest

import "math/bits"

// Both ensembles grow trees by one rule. Each row brings a pair: for a forest g is its weight where its label is true,
// else 0, and h its weight; for boosting g is the negative gradient of the loss and h the second derivative, both times
// the weight. A leaf's value is G/(H+L2), and a split gains G²/(H+L2) of its sides over that of their union: the
// second-order gain of arXiv 1603.02754, and with L2 = 0 half of the decrease of the Gini impurity.

// item is a training row on its way down a tree.
type item struct {
	g, h float64
	row  uint32
}

// cell sums the items of a bin or a node.
type cell struct {
	g, h float64
	rows int
}

func (c *cell) add(o cell) {
	c.g += o.g
	c.h += o.h
	c.rows += o.rows
}

func (c cell) minus(o cell) cell { return cell{c.g - o.g, c.h - o.h, c.rows - o.rows} }

func sum(items []item) (total cell) {
	for i := range items {
		total.g += items[i].g
		total.h += items[i].h
	}
	total.rows = len(items)
	return total
}

// histogram is one feature's cells at one node. The bits of filled are the bins that have rows.
type histogram struct {
	cells  [bins]cell
	filled uint64
}

func (h *histogram) count(items []item, column []uint8) {
	filled := h.filled
	for i := range items {
		it := &items[i]
		bin := column[it.row] % bins
		c := &h.cells[bin]
		c.g += it.g
		c.h += it.h
		c.rows++
		filled |= 1 << bin
	}
	h.filled = filled
}

func (h *histogram) clear() {
	for filled := h.filled; filled != 0; filled &= filled - 1 {
		h.cells[bits.TrailingZeros64(filled)] = cell{}
	}
	h.filled = 0
}

// subtract takes another histogram's rows out: a node's histogram less one child's is the other child's.
func (h *histogram) subtract(o *histogram) {
	for filled := o.filled; filled != 0; filled &= filled - 1 {
		bin := bits.TrailingZeros64(filled)
		h.cells[bin] = h.cells[bin].minus(o.cells[bin])
		if h.cells[bin].rows == 0 {
			h.cells[bin] = cell{} // what is left of g and h is rounding
			h.filled &^= 1 << bin
		}
	}
}

// rule says when a node may be split, and what a split is worth.
type rule struct {
	depth   int     // of the deepest leaf; a tree of depth 0 is one leaf
	rows    int     // least rows of a leaf
	hessian float64 // least sum of h of a leaf
	l2      float64
	rate    float64 // what leaves are multiplied by
	// gainful: a split must improve on its node. A forest also splits where one feature alone gains nothing, as in an
	// exclusive or, while a node holds both labels.
	gainful bool
}

func (r *rule) score(c cell) float64 { return c.g * c.g / (c.h + r.l2) }

// mayGrow says whether a node at a depth could have children.
func (r *rule) mayGrow(c cell, depth int) bool {
	return depth < r.depth && c.rows >= 2*r.rows && (r.gainful || c.g != 0 && c.g != c.h)
}

// split is a way to part a node.
type split struct {
	feature     int
	cut         uint8 // bins up to this one go left
	missingLeft bool
	gain        float64
}

func (s *split) goesLeft(bin uint8) bool {
	if bin == 0 {
		return s.missingLeft
	}
	return bin <= s.cut
}

// best returns the feature's best split of a node with the given total. Where bins between two filled ones are empty,
// the cut lies in the middle of them.
func (r *rule) best(h *histogram, total cell) (best split, found bool) {
	least := 0.0
	if r.gainful {
		least = 1e-10 * (total.h + r.l2)
	}
	parent := r.score(total)
	consider := func(left cell, cut int, missingLeft bool) {
		right := total.minus(left)
		if min(left.rows, right.rows) < r.rows || min(left.h, right.h) < r.hessian || left.h <= 0 || right.h <= 0 {
			return
		}
		gain := r.score(left) + r.score(right) - parent
		if r.gainful && gain <= least {
			return
		}
		if !found || gain > best.gain {
			best, found = split{cut: uint8(cut), missingLeft: missingLeft, gain: gain}, true
		}
	}
	missing, left := h.cells[0], cell{}
	for values := h.filled &^ 1; values != 0; {
		bin := bits.TrailingZeros64(values)
		values &= values - 1
		left.add(h.cells[bin])
		if values == 0 {
			if missing.rows > 0 {
				consider(left, bins, false)
			}
			break
		}
		cut := (bin + bits.TrailingZeros64(values) - 1) / 2
		if missing.rows == 0 {
			consider(left, cut, 2*left.h >= total.h)
			continue
		}
		consider(left, cut, false)
		with := left
		with.add(missing)
		consider(with, cut, true)
	}
	return best, found
}

// knot is a node of a tree that grows. The root is knot 0, so a child of 0 says that it is a leaf.
type knot struct {
	split
	left, right int
	value       float32
	total       cell
}

// sapling is a tree that grows: its items, ordered so that every knot's items lie together, and its knots.
type sapling struct {
	*rule
	data         *binned
	items, spare []item
	knots        []knot
}

func (s *sapling) leaf(total cell) int {
	s.knots = append(s.knots, knot{total: total, value: narrow(s.rate * total.g / (total.h + s.l2))})
	return len(s.knots) - 1
}

// part moves the items of the split's left side to the front, keeping the order of each side, and returns their number.
func (s *sapling) part(items []item, by *split) int {
	column := s.data.columns[by.feature]
	left, right := 0, 0
	for _, it := range items {
		if by.goesLeft(column[it.row]) {
			items[left] = it
			left++
		} else {
			s.spare[right] = it
			right++
		}
	}
	copy(items[left:], s.spare[:right])
	return left
}

// fell lays the knots out by levels.
func (s *sapling) fell() timber {
	t := newTimber(len(s.knots))
	order := make([]int, 1, len(s.knots)) // knots by level; the root is knot 0
	for at := range s.knots {
		k := &s.knots[order[at]]
		if t.values[at] = k.value; k.left == 0 {
			continue
		}
		t.values[at], t.slots[at] = s.data.threshold(k.feature, k.cut), uint16(2*k.feature+2)
		if !k.missingLeft {
			t.slots[at]++
		}
		t.shares[at] = share(s.knots[k.left].total.h, s.knots[k.right].total.h)
		order = append(order, k.left, k.right)
	}
	return t
}

// leastShare of the weight goes to either side of every split, so that no product of shares along a path vanishes.
const leastShare = 1.0 / (1 << 24)

// share is the part of the weight that went left.
func share(left, right float64) float32 {
	return float32(max(leastShare, min(1-leastShare, left/(left+right))))
}
