package forest

import (
	"context"
	"math"

	"crisol"
	"crisol/internal/random"
)

// Forest says how a random forest is grown. The zero value of a field stands for its default.
type Forest struct {
	Trees    int    // 200
	Depth    int    // of the deepest leaf, at most MaxDepth: 12
	LeafRows int    // least distinct rows in a leaf: 1
	Features int    // features tried at each split, not counting those that are constant there: the square root of all
	Whole    bool   // train each tree on all rows, not on a bootstrap sample; no row is out of bag then
	Seed     uint64 // of the randomness
	Workers  int    // goroutines, which change nothing but the time: one for each processor
}

// Trained is a random forest with its out-of-bag scores.
type Trained struct {
	Model *Model
	// OutOfBag has for each row the mean value of the trees whose sample it isn't in, NaN where there is no such tree.
	// It tells of unseen rows, not of unseen groups: near copies of a row may be in the sample.
	OutOfBag []float64
}

func (f Forest) settle(features int) (Forest, error) {
	f.Trees, f.Depth, f.LeafRows = or(f.Trees, 200), or(f.Depth, 12), or(f.LeafRows, 1)
	f.Features = or(f.Features, max(1, int(math.Sqrt(float64(features)))))
	err := inRange(
		bound{"trees", f.Trees, 1, MaxTrees}, bound{"depth", f.Depth, 1, MaxDepth}, bound{"leaf rows", f.LeafRows, 1, math.MaxInt32},
		bound{"features of a split", f.Features, 1, features}, bound{"workers", f.Workers, 0, 1 << 10},
	)
	return f, err
}

// Train grows a random forest. It ends early, with ctx's error, only when ctx does.
func (f Forest) Train(ctx context.Context, d Dataset) (Trained, error) {
	if err := d.check(); err != nil {
		return Trained{}, err
	}
	f, err := f.settle(len(d.Names))
	if err != nil {
		return Trained{}, err
	}
	b := &bagging{
		Forest: f, d: &d, workers: workers(f.Workers), rows: d.weighted(),
		rule:   rule{depth: f.Depth, rows: f.LeafRows, rate: 1},
		timber: make([]timber, f.Trees), bags: make([]bitset, f.Trees),
	}
	b.data = d.bin(b.workers)
	growers := make([]grower, b.workers)
	each(b.workers, f.Trees, func(worker, tree int) {
		if ctx.Err() == nil {
			b.grow(&growers[worker], tree)
		}
	})
	if ctx.Err() != nil {
		return Trained{}, ctx.Err()
	}
	m := d.model(RandomForest)
	for _, t := range b.timber {
		m.add(t)
	}
	m.settle()
	return Trained{m, b.outOfBag(m)}, nil
}

// model returns a model without trees.
func (d *Dataset) model(kind Kind) *Model {
	return &Model{kind: kind, featureSet: d.FeatureSet, names: append([]string(nil), d.Names...)}
}

// bagging is one training of a random forest.
type bagging struct {
	Forest
	d       *Dataset
	data    *binned
	rule    rule
	workers int
	rows    []uint32 // that have weight
	timber  []timber // by tree
	bags    []bitset // by tree, the rows of its sample
}

// grower is what one goroutine grows its trees with, one after the other.
type grower struct {
	sapling
	random   *random.Stream
	features []int // in the order in which they were last drawn
	perSplit int
	hist     histogram
	counts   []uint32
}

func (b *bagging) grow(g *grower, tree int) {
	if g.counts == nil {
		*g = grower{
			sapling:  sapling{rule: &b.rule, data: b.data, items: make([]item, len(b.rows)), spare: make([]item, len(b.rows))},
			features: make([]int, len(b.d.Names)), perSplit: b.Features, counts: make([]uint32, len(b.rows)),
		}
	}
	g.random, g.knots = random.New(b.Seed, uint64(tree)), g.knots[:0]
	for i := range g.features {
		g.features[i] = i
	}
	b.sample(g, tree)
	g.branch(g.items, 0)
	b.timber[tree] = g.fell()
}

// sample draws as many rows as there are, with replacement, and weighs each by the number of times that it was drawn.
func (b *bagging) sample(g *grower, tree int) {
	clear(g.counts)
	for range b.rows {
		if b.Whole {
			break
		}
		g.counts[g.random.IntN(len(b.rows))]++
	}
	b.bags[tree] = newBitset(len(b.d.Rows))
	g.items = g.items[:0]
	for i, row := range b.rows {
		times := float64(g.counts[i])
		if b.Whole {
			times = 1
		}
		if times == 0 {
			continue
		}
		it := item{h: times * b.d.weight(int(row)), row: row}
		if b.d.Labels[row] {
			it.g = it.h
		}
		g.items = append(g.items, it)
		b.bags[tree].set(int(row))
	}
}

// branch grows the part of the tree that the items go through, and returns its topmost knot.
func (g *grower) branch(items []item, depth int) int {
	total := sum(items)
	at := g.leaf(total)
	if !g.mayGrow(total, depth) {
		return at
	}
	by, found := g.choose(items, total)
	if !found {
		return at
	}
	mid := g.part(items, &by)
	left := g.branch(items[:mid], depth+1)
	right := g.branch(items[mid:], depth+1)
	g.knots[at].split, g.knots[at].left, g.knots[at].right = by, left, right
	return at
}

// choose returns the best split among features drawn at random, until enough of them weren't constant here.
func (g *grower) choose(items []item, total cell) (best split, found bool) {
	for i, varying := 0, 0; i < len(g.features) && varying < g.perSplit; i++ {
		j := i + g.random.IntN(len(g.features)-i)
		g.features[i], g.features[j] = g.features[j], g.features[i]
		f := g.features[i]
		g.hist.count(items, g.data.columns[f])
		if g.hist.filled&(g.hist.filled-1) != 0 {
			varying++
			by, ok := g.best(&g.hist, total)
			if ok && (!found || by.gain > best.gain) {
				by.feature = f
				best, found = by, true
			}
		}
		g.hist.clear()
	}
	return best, found
}

// outOfBag asks for every row the trees that haven't seen it.
func (b *bagging) outOfBag(m *Model) []float64 {
	const chunk = 256
	scores := make([]float64, len(b.d.Rows))
	each(b.workers, (len(scores)+chunk-1)/chunk, func(_, part int) {
		var t table
		for row := part * chunk; row < min(len(scores), (part+1)*chunk); row++ {
			spread(b.d.Rows[row], &t)
			total, trees := 0.0, 0
			for i, tree := range m.trees {
				if !b.bags[i].has(row) {
					total += float64(m.nodes[m.leaf(tree, &t)].value())
					trees++
				}
			}
			scores[row] = total / float64(trees) // 0/0 is NaN
		}
	})
	return scores
}

// bitset is a set of rows.
type bitset []uint64

func newBitset(n int) bitset    { return make(bitset, (n+63)/64) }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]>>(i%64)&1 == 1 }

// or returns value, or standard where it is 0.
func or[T int | float64](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

// bound is a setting and the range that it must lie in.
type bound struct {
	name        string
	value       int
	least, most int
}

func inRange(bounds ...bound) error {
	for _, b := range bounds {
		if b.value < b.least || b.value > b.most {
			return crisol.Errorf(crisol.KindInput, "train: %s must be %d to %d, not %d", b.name, b.least, b.most, b.value)
		}
	}
	return nil
}
