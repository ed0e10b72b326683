package forest

import (
	"context"
	"math"
	"slices"

	"crisol"
	"crisol/internal/random"
)

// Boosting says how gradient boosting is done. The zero value of a field stands for its default.
type Boosting struct {
	Trees    int     // 200
	Depth    int     // of the deepest leaf, at most MaxDepth: 5
	Rate     float64 // the part of each tree's step that is taken, above 0 and at most 1: 0.1
	LeafRows int     // least rows in a leaf: 20
	Hessian  float64 // least sum of the loss's second derivative in a leaf: 0.001
	L2       float64 // added to that sum where a leaf's value is made; negative means none: 1
	Rows     float64 // part of the rows that each tree is trained on, drawn without replacement: 1
	Columns  float64 // part of the features that each tree may use, drawn without replacement: 1
	Seed     uint64  // of the randomness
	Workers  int     // goroutines, which change nothing but the time: one for each processor
}

func (p Boosting) settle(features int) (Boosting, error) {
	p.Trees, p.Depth, p.LeafRows = or(p.Trees, 200), or(p.Depth, 5), or(p.LeafRows, 20)
	p.Rate, p.Hessian, p.L2 = or(p.Rate, 0.1), or(p.Hessian, 1e-3), max(0, or(p.L2, 1))
	p.Rows, p.Columns = or(p.Rows, 1), or(p.Columns, 1)
	for _, part := range []struct {
		name  string
		value float64
	}{{"rate", p.Rate}, {"rows", p.Rows}, {"columns", p.Columns}} {
		if !(part.value > 0 && part.value <= 1) {
			return p, crisol.Errorf(crisol.KindInput, "train: %s must be above 0 and at most 1, not %g", part.name, part.value)
		}
	}
	if !(p.Hessian > 0) || !(p.L2 < math.Inf(1)) {
		return p, crisol.Errorf(crisol.KindInput, "train: hessian %g must be above 0, and l2 %g finite", p.Hessian, p.L2)
	}
	return p, inRange(
		bound{"trees", p.Trees, 1, MaxTrees}, bound{"depth", p.Depth, 1, MaxDepth}, bound{"leaf rows", p.LeafRows, 1, math.MaxInt32},
		bound{"features", features, 1, MaxFeatures}, bound{"workers", p.Workers, 0, 1 << 10},
	)
}

// Train boosts trees, beginning with the log-odds of the rows' weight. It ends early, with ctx's error, only when ctx
// does.
func (p Boosting) Train(ctx context.Context, d Dataset) (*Model, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	p, err := p.settle(len(d.Names))
	if err != nil {
		return nil, err
	}
	m := d.model(GradientBoosting)
	m.base = d.logOdds()
	b := newBooster(p, &d, float64(m.base))
	for tree := range p.Trees {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		m.add(b.step(tree))
	}
	return m.settle(), nil
}

// logOdds is of all rows. Rounding it to float32 hides that processors differ in the last bit of a logarithm.
func (d *Dataset) logOdds() float32 {
	var weight [2]float64
	for i, label := range d.Labels {
		weight[class(label)] += d.weight(i)
	}
	return narrow(math.Log(weight[1]) - math.Log(weight[0]))
}

// booster is one training by boosting.
type booster struct {
	sapling
	p       Boosting
	d       *Dataset
	workers int
	rows    []uint32      // that have weight
	sums    []float64     // by row: the output so far
	used    []int         // features of the present tree, ascending
	pool    [][]histogram // for reuse; each has one histogram for each feature used
}

func newBooster(p Boosting, d *Dataset, base float64) *booster {
	b := &booster{p: p, d: d, workers: workers(p.Workers), rows: d.weighted(), sums: make([]float64, len(d.Rows))}
	b.data = d.bin(b.workers)
	b.rule = &rule{depth: p.Depth, rows: p.LeafRows, hessian: p.Hessian, l2: p.L2, rate: p.Rate, gainful: true}
	b.items, b.spare = make([]item, 0, len(b.rows)), make([]item, len(b.rows))
	for i := range b.sums {
		b.sums[i] = base
	}
	return b
}

// step grows one tree along the gradient of the loss, and adds its values to the sums.
func (b *booster) step(tree int) timber {
	r := random.New(b.p.Seed, uint64(tree))
	b.used = part(r, len(b.d.Names), b.p.Columns)
	sampled := part(r, len(b.rows), b.p.Rows)
	b.items, b.knots = b.items[:len(sampled)], b.knots[:0]
	const chunk = 1024
	each(b.workers, (len(sampled)+chunk-1)/chunk, func(_, part int) {
		for i := part * chunk; i < min(len(sampled), (part+1)*chunk); i++ {
			b.items[i] = b.gradient(b.rows[sampled[i]])
		}
	})
	b.branch(b.items, 0, b.histograms(b.items))
	b.advance(sampled)
	return b.fell()
}

// gradient returns the row's item: for the log loss of probability p and label y, w(y-p) and wp(1-p).
func (b *booster) gradient(row uint32) item {
	w, p := b.d.weight(int(row)), sigmoid(b.sums[row])
	return item{g: float64(w * (float64(class(b.d.Labels[row])) - p)), h: float64(w * p * (1 - p)), row: row}
}

// part draws a part of the numbers 0 to n-1, at least one of them, and returns them ascending.
func part(r *random.Stream, n int, share float64) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if share == 1 {
		return all
	}
	k := max(1, int(math.Round(share*float64(n))))
	for i := range k {
		j := i + r.IntN(n-i)
		all[i], all[j] = all[j], all[i]
	}
	slices.Sort(all[:k])
	return all[:k]
}

// branch grows the part of the tree that the items go through, and returns its topmost knot. It owns the histograms,
// which are of these items; nil where a child is too small or too deep to grow.
func (b *booster) branch(items []item, depth int, hists []histogram) int {
	total := sum(items)
	at := b.leaf(total)
	var by split
	found := b.mayGrow(total, depth)
	if found {
		by, found = b.choose(hists, total)
	}
	if !found {
		b.release(hists)
		for _, it := range items {
			b.sums[it.row] += float64(b.knots[at].value)
		}
		return at
	}
	mid := b.part(items, &by)
	ofLeft, ofRight := b.divide(items[:mid], items[mid:], depth+1, hists)
	left := b.branch(items[:mid], depth+1, ofLeft)
	right := b.branch(items[mid:], depth+1, ofRight)
	b.knots[at].split, b.knots[at].left, b.knots[at].right = by, left, right
	return at
}

// divide makes the children's histograms of their parent's: it counts the smaller child's and subtracts them.
func (b *booster) divide(left, right []item, depth int, parent []histogram) (ofLeft, ofRight []histogram) {
	if depth >= b.depth || max(len(left), len(right)) < 2*b.rule.rows {
		b.release(parent)
		return nil, nil
	}
	smaller := left
	if len(right) < len(left) {
		smaller = right
	}
	counted := b.histograms(smaller)
	for i := range parent {
		parent[i].subtract(&counted[i])
	}
	if len(right) < len(left) {
		return parent, counted
	}
	return counted, parent
}

// histograms counts the items by every feature used.
func (b *booster) histograms(items []item) []histogram {
	var hists []histogram
	if last := len(b.pool) - 1; last >= 0 {
		hists, b.pool = b.pool[last], b.pool[:last]
	} else {
		hists = make([]histogram, len(b.used))
	}
	crew := b.workers
	if len(items)*len(hists) < 1<<15 {
		crew = 1 // it is done before another goroutine would have begun
	}
	each(crew, len(hists), func(_, i int) {
		hists[i].clear()
		hists[i].count(items, b.data.columns[b.used[i]])
	})
	return hists
}

func (b *booster) release(hists []histogram) {
	if hists != nil {
		b.pool = append(b.pool, hists)
	}
}

// choose returns the best split among all features used; of equal ones the first.
func (b *booster) choose(hists []histogram, total cell) (best split, found bool) {
	for i := range hists {
		by, ok := b.best(&hists[i], total)
		if ok && (!found || by.gain > best.gain) {
			by.feature = b.used[i]
			best, found = by, true
		}
	}
	return best, found
}

// advance adds the tree's values to the sums of the rows that it wasn't trained on.
func (b *booster) advance(sampled []int) {
	for i, row := range b.rows {
		if len(sampled) > 0 && sampled[0] == i {
			sampled = sampled[1:]
			continue
		}
		at := 0
		for k := &b.knots[at]; k.left != 0; k = &b.knots[at] {
			at = k.right
			if k.goesLeft(b.data.columns[k.feature][row]) {
				at = k.left
			}
		}
		b.sums[row] += float64(b.knots[at].value)
	}
}
