package evaluate

import (
	"math"
	"slices"
	"sync"

	"crisol/internal/random"
)

// bootstrap holds the figures of every column: measured once on the rows, and once on each resample.
type bootstrap struct {
	value  [][]float64   // column, metric
	draws  [][][]float64 // resample, column, metric
	binned [][][]float64 // resample, column, bin: the share of fixed; NaN where nothing of the bin was drawn
	bin    [][]float64   // column, bin
}

// resample measures all columns. Resample n depends on the seed and n alone, so any worker may compute it.
func resample(rows []Row, views []*view, o Options) *bootstrap {
	weights := weightsOf(rows)
	b := &bootstrap{draws: make([][][]float64, o.Resamples), binned: make([][][]float64, o.Resamples)}
	b.value, b.bin = measureAll(views, weights)
	names := groupsOf(rows)
	group := make([]int, len(rows)) // index into names
	for i, r := range rows {
		group[i], _ = slices.BinarySearch(names, r.Group)
	}
	var wait sync.WaitGroup
	for worker := range o.Workers {
		wait.Go(func() {
			times := make([]float64, len(names))
			w := make([]float64, len(rows))
			for n := worker; n < o.Resamples; n += o.Workers {
				clear(times)
				for r, k := random.New(o.Seed, uint64(n)), 0; k < len(names); k++ {
					times[r.IntN(len(names))]++
				}
				for i := range w {
					w[i] = weights[i] * times[group[i]]
				}
				b.draws[n], b.binned[n] = measureAll(views, w)
			}
		})
	}
	wait.Wait()
	return b
}

func measureAll(views []*view, w []float64) (metrics, bins [][]float64) {
	count := len(Metrics())
	for _, v := range views {
		m := make([]float64, count)
		v.measure(w, m)
		metrics = append(metrics, m)
		bins = append(bins, v.observed(w))
	}
	return metrics, bins
}

// observed is the share of fixed in each bin of the calibration curve.
func (v *view) observed(w []float64) []float64 {
	fixed, total := make([]float64, Bins), make([]float64, Bins)
	for i, x := range w {
		total[v.bin[i]] += x
		if v.label[i] {
			fixed[v.bin[i]] += x
		}
	}
	for b := range fixed {
		fixed[b] /= total[b]
	}
	return fixed
}

func (b *bootstrap) estimates(column int) map[Metric]Estimate {
	all := map[Metric]Estimate{}
	for m, name := range Metrics() {
		all[name] = interval(b.value[column][m], len(b.draws), func(n int) float64 { return b.draws[n][column][m] })
	}
	return all
}

func (b *bootstrap) differences(column, other int) map[Metric]Estimate {
	all := map[Metric]Estimate{}
	for m, name := range Metrics() {
		value := b.value[column][m] - b.value[other][m]
		all[name] = interval(value, len(b.draws), func(n int) float64 { return b.draws[n][column][m] - b.draws[n][other][m] })
	}
	return all
}

func (b *bootstrap) bins(column int) []Estimate {
	all := make([]Estimate, Bins)
	for k := range all {
		all[k] = interval(b.bin[column][k], len(b.draws), func(n int) float64 { return b.binned[n][column][k] })
	}
	return all
}

// interval is the bias-corrected percentile interval of a value by its resamples. Resamples that can't tell are left out;
// where most can't, there is no interval. The correction matters most for calibration errors, which resampling itself
// inflates.
func interval(value float64, n int, draw func(int) float64) Estimate {
	none := Estimate{value, math.NaN(), math.NaN()}
	var draws []float64
	below := 0.0
	for k := range n {
		x := draw(k)
		if math.IsNaN(x) {
			continue
		}
		draws = append(draws, x)
		switch {
		case x < value:
			below++
		case x == value:
			below += 0.5
		}
	}
	if math.IsNaN(value) || 2*len(draws) < n || len(draws) < 2 {
		return none
	}
	slices.Sort(draws)
	size := float64(len(draws))
	bias := quantile(min(max(below, 0.5), size-0.5) / size)
	const z = 1.959963984540054
	at := func(z float64) float64 {
		p := math.Erfc(-(2*bias+z)/math.Sqrt2) / 2
		return draws[min(max(int(math.Floor(p*size)), 0), len(draws)-1)]
	}
	return Estimate{value, at(-z), at(z)}
}

// quantile of the standard normal distribution.
func quantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }
