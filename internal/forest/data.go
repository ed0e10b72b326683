package forest

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"crisol"
)

// Dataset is what a model is trained on.
type Dataset struct {
	// FeatureSet is the version of the features; the model keeps it. At most 255 bytes.
	FeatureSet string
	// Names of the features, each once, in the order of a row. At most MaxFeatures, of at most 255 bytes.
	Names []string
	// Rows hold one number for each feature. NaN says that it is missing: a split learns the side to which missing
	// values go, and sends them with the greater part of the weight where it saw none. Values are rounded to float32.
	Rows [][]float64
	// Labels, one for each row. Both must be there.
	Labels []bool
	// Weights, one for each row; nil gives every row 1. A row of weight 0 is not trained on; others weigh 1e-12 to 1e12,
	// so that no sum of squares overflows.
	Weights []float64
}

func (d *Dataset) check() error {
	switch {
	case len(d.Rows) == 0:
		return crisol.Errorf(crisol.KindInput, "train: no rows")
	case len(d.Labels) != len(d.Rows):
		return crisol.Errorf(crisol.KindInput, "train: %d labels for %d rows", len(d.Labels), len(d.Rows))
	case d.Weights != nil && len(d.Weights) != len(d.Rows):
		return crisol.Errorf(crisol.KindInput, "train: %d weights for %d rows", len(d.Weights), len(d.Rows))
	case int64(len(d.Rows)) > math.MaxInt32:
		return crisol.Errorf(crisol.KindInput, "train: %d rows, more than %d", len(d.Rows), math.MaxInt32)
	}
	if err := checkNames(d.FeatureSet, d.Names); err != nil {
		return crisol.Errorf(crisol.KindInput, "train: %w", err)
	}
	for i, row := range d.Rows {
		if len(row) != len(d.Names) {
			return crisol.Errorf(crisol.KindInput, "train: row %d has %d features, there are %d names", i, len(row), len(d.Names))
		}
	}
	return d.checkWeights()
}

func (d *Dataset) checkWeights() error {
	var rows [2]int
	for i, label := range d.Labels {
		w := d.weight(i)
		if w == 0 {
			continue
		}
		if !(w >= 1e-12 && w <= 1e12) {
			return crisol.Errorf(crisol.KindInput, "train: row %d has weight %g; it must be 0, or 1e-12 to 1e12", i, w)
		}
		rows[class(label)]++
	}
	if rows[0] == 0 || rows[1] == 0 {
		return crisol.Errorf(crisol.KindInput, "train: %d rows labelled false and %d labelled true have weight; both labels are needed", rows[0], rows[1])
	}
	return nil
}

func (d *Dataset) weight(row int) float64 {
	if d.Weights == nil {
		return 1
	}
	return d.Weights[row]
}

// weighted returns the rows that have weight.
func (d *Dataset) weighted() []uint32 {
	rows := make([]uint32, 0, len(d.Rows))
	for i := range d.Rows {
		if d.weight(i) > 0 {
			rows = append(rows, uint32(i))
		}
	}
	return rows
}

func class(label bool) int {
	if label {
		return 1
	}
	return 0
}

// bins is the number of bins of a feature: bin 0 holds missing values, the others ascending ranges of values.
const bins = 64

// binned is the training rows by columns of bins.
type binned struct {
	columns [][]uint8   // [feature][row]
	edges   [][]float32 // [feature][bin-1]: the greatest value of the bin; the last bin has no edge
}

// threshold returns the value that separates the bins up to cut from those after it.
func (b *binned) threshold(feature int, cut uint8) float32 {
	if int(cut) > len(b.edges[feature]) {
		return math.MaxFloat32 // every value on the left, missing ones on the right
	}
	return b.edges[feature][cut-1]
}

// bin sorts every feature into bins of about equal weight.
func (d *Dataset) bin(workers int) *binned {
	b := &binned{columns: make([][]uint8, len(d.Names)), edges: make([][]float32, len(d.Names))}
	each(workers, len(d.Names), func(_, f int) {
		values := make([]weighed, 0, len(d.Rows))
		for i, row := range d.Rows {
			if x := narrow(row[f]); x == x && d.weight(i) > 0 {
				values = append(values, weighed{x, d.weight(i)})
			}
		}
		b.edges[f] = edges(values)
		b.columns[f] = make([]uint8, len(d.Rows))
		for i, row := range d.Rows {
			b.columns[f][i] = find(b.edges[f], narrow(row[f]))
		}
	})
	return b
}

// find returns the bin of a value.
func find(edges []float32, x float32) uint8 {
	if x != x {
		return 0
	}
	at, _ := slices.BinarySearch(edges, x)
	return uint8(at + 1)
}

// weighed is a value and the weight of the rows that have it.
type weighed struct {
	value  float32
	weight float64
}

// edges cuts values into at most 63 bins: one for each distinct value where that suffices, else bins of about equal
// weight. An edge lies halfway between the neighbouring values. A value that is heavier than a bin's share fills one
// alone, and what is left is shared anew among the bins that are left.
func edges(values []weighed) (cuts []float32) {
	values = distinct(values)
	left := 0.0
	for _, v := range values {
		left += v.weight
	}
	full, room := 0.0, bins-1
	for i := 0; i+1 < len(values) && room > 1; i++ {
		full += values[i].weight
		remaining := len(values) - i - 1
		if remaining < room || full >= left/float64(room) || full+values[i+1].weight/2 > left/float64(room) {
			cuts = append(cuts, halfway(values[i].value, values[i+1].value))
			left, full, room = left-full, 0, room-1
		}
	}
	return cuts
}

// distinct sorts values and merges equal ones.
func distinct(values []weighed) []weighed {
	slices.SortStableFunc(values, func(a, b weighed) int { return cmp.Compare(a.value, b.value) })
	merged := values[:0]
	for _, v := range values {
		if last := len(merged) - 1; last >= 0 && merged[last].value == v.value {
			merged[last].weight += v.weight
			continue
		}
		merged = append(merged, v)
	}
	return merged
}

// halfway returns a threshold t between two values, a <= t < b, as exactly as float32 allows.
func halfway(a, b float32) float32 {
	t := float32((float64(a)+float64(b))/2) + 0 // not -0
	if t >= b {
		return a
	}
	return t
}

// workers returns the number of goroutines to use; 0 means one for each processor.
func workers(asked int) int {
	if asked > 0 {
		return asked
	}
	return runtime.GOMAXPROCS(0)
}

// each calls do for 0 to n-1 on up to a number of goroutines, and returns when all have ended. do is told which
// goroutine it runs on.
func each(workers, n int, do func(worker, i int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			do(0, i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(worker, int(i))
			}
		})
	}
	wg.Wait()
}
