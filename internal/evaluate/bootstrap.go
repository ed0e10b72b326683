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
		e := interval(b.value[column][m], len(b.draws), func(n int) float64 { return b.draws[n][column][m] })
		all[name] = e.within(limits(name))
	}
	return all
}

// limits are the values that a figure can have.
func limits(m Metric) (low, high float64) {
	switch m {
	case BrierSkill:
		return math.Inf(-1), 1
	case LogLoss:
		return 0, math.Inf(1)
	default:
		return 0, 1
	}
}

// within clips the interval; NaN stays.
func (e Estimate) within(low, high float64) Estimate {
	return Estimate{e.Value, min(max(e.Low, low), high), min(max(e.High, low), high)}
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
		all[k] = interval(b.bin[column][k], len(b.draws), func(n int) float64 { return b.binned[n][column][k] }).within(0, 1)
	}
	return all
}

// interval holds the middle 95 % of a value's resamples, shifted by the bias that resampling shows: the distance of the
// resamples' median from the value. Without the shift the interval of a calibration error, which every resample inflates,
// may not even hold the value. Resamples that can't tell are left out; where most can't, there is no interval.
func interval(value float64, n int, draw func(int) float64) Estimate {
	var draws []float64
	for k := range n {
		if x := draw(k); !math.IsNaN(x) {
			draws = append(draws, x)
		}
	}
	if math.IsNaN(value) || 2*len(draws) < n || len(draws) < 2 {
		return Estimate{value, math.NaN(), math.NaN()}
	}
	slices.Sort(draws)
	bias := quantile(draws, 0.5) - value
	return Estimate{value, min(quantile(draws, 0.025)-bias, value), max(quantile(draws, 0.975)-bias, value)}
}

// quantile interpolates between sorted values (type 7 of Hyndman, Fan, American Statistician 50, 1996).
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	k := int(at)
	if k+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[k] + (at-float64(k))*(sorted[k+1]-sorted[k])
}
