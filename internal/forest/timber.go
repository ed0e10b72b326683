package forest

// timber is a tree as it is stored: level by level, so that the k-th split's children are nodes 2k+1 and 2k+2.
type timber struct {
	values []float32 // a split's threshold, a leaf's value
	slots  []uint16  // 0 in a leaf; 2f+2 sends a missing feature f to the left, 2f+3 to the right
	shares []float32 // of a split's training weight that went left; 0 in a leaf
}

func newTimber(nodes int) timber {
	return timber{make([]float32, nodes), make([]uint16, nodes), make([]float32, nodes)}
}

// lefts returns for each node its left child, 0 for a leaf.
func (t timber) lefts() []int {
	lefts := make([]int, len(t.slots))
	child := 1
	for i, slot := range t.slots {
		if slot != 0 {
			lefts[i] = child
			child += 2
		}
	}
	return lefts
}

// depth returns the number of steps to the deepest leaf.
func (t timber) depth() (deepest uint32) {
	depths := make([]uint32, len(t.slots))
	for i, left := range t.lefts() {
		deepest = max(deepest, depths[i])
		if left != 0 {
			depths[left], depths[left+1] = depths[i]+1, depths[i]+1
		}
	}
	return deepest
}

// expected returns the mean of the leaves by the training weight that reached them.
func (t timber) expected() float64 {
	lefts, means := t.lefts(), make([]float64, len(t.slots))
	for i := len(means) - 1; i >= 0; i-- {
		means[i] = float64(t.values[i])
		if left, share := lefts[i], float64(t.shares[i]); left != 0 {
			means[i] = share*means[left] + (1-share)*means[left+1]
		}
	}
	return means[0]
}

// add plants a tree in the model.
func (m *Model) add(t timber) {
	m.trees = append(m.trees, tree{uint32(len(m.nodes)), t.depth()})
	m.mean += t.expected()
	p := planter{m, t, t.lefts()}
	p.put(0)
	p.lay(0, len(m.nodes)-1)
	root := m.trees[len(m.trees)-1].root
	m.woods.add(m.nodes[root:], m.shares[root:])
}

// settle ends planting.
func (m *Model) settle() *Model {
	m.mean += float64(m.base)
	if m.kind == RandomForest {
		m.mean /= float64(len(m.trees))
	}
	return m
}

// planter lays a tree out for walks: a pair of siblings, their children behind them, and then what is below, which
// brings two steps of a walk into one line of the processor's cache where it is 64 bytes.
type planter struct {
	m     *Model
	t     timber
	lefts []int
}

// lay lays out what is below a node, which lies at a place already.
func (p *planter) lay(node, at int) {
	left := p.lefts[node]
	if left == 0 {
		return
	}
	pair := p.pair(at, left)
	var below [4]struct{ node, at int }
	n := 0
	for side := range 2 {
		child := p.lefts[left+side]
		if child == 0 {
			continue
		}
		place := p.pair(pair+side, child)
		below[n].node, below[n].at = child, place
		below[n+1].node, below[n+1].at = child+1, place+1
		n += 2
	}
	for _, b := range below[:n] {
		p.lay(b.node, b.at)
	}
}

// pair puts two siblings at the end, tells their parent, and returns the place of the first.
func (p *planter) pair(parent, left int) int {
	at := len(p.m.nodes)
	p.m.nodes[parent] = p.m.nodes[parent].to(uint16(at - parent))
	p.put(left)
	p.put(left + 1)
	return at
}

func (p *planter) put(i int) {
	n := leaf(p.t.values[i])
	if p.lefts[i] != 0 {
		n = fork(p.t.values[i], p.t.slots[i])
	}
	p.m.nodes = append(p.m.nodes, n)
	p.m.shares = append(p.m.shares, p.t.shares[i])
}

// timber returns a tree of the model as it is stored.
func (m *Model) timber(tree int) timber {
	root, end := int(m.trees[tree].root), len(m.nodes)
	if tree+1 < len(m.trees) {
		end = int(m.trees[tree+1].root)
	}
	t := newTimber(end - root)
	order := make([]int, 1, end-root)
	order[0] = root
	for i := range t.values {
		at := order[i]
		n := m.nodes[at]
		if t.values[i], t.slots[i], t.shares[i] = n.value(), n.slot(), m.shares[at]; n.slot() != 0 {
			t.values[i] = unkey(n.threshold())
			left := at + int(n.child())
			order = append(order, left, left+1)
		}
	}
	return t
}
