// Command model measures what a model costs: training, asking and explaining, beside the plainest way and beside
// scikit-learn, on the same made-up rows in one run.
//
//	go run ./bench/model
//
// Times are the processor's, so that a busy machine changes them little; medians come with their range. Quote the ratios.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/forest"
	"crisol/internal/forest/naive"
)

func main() {
	b := bench{out: os.Stdout}
	flag.IntVar(&b.rows, "rows", 20_000, "training rows")
	flag.IntVar(&b.features, "features", 60, "features of a row")
	flag.IntVar(&b.trees, "trees", 200, "trees")
	flag.IntVar(&b.depth, "depth", 12, "depth of the random forest")
	flag.IntVar(&b.rounds, "rounds", 101, "rounds of each measurement of asking")
	flag.Parse()
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/model:", err)
		os.Exit(1)
	}
}

type bench struct {
	rows, features, trees, depth, rounds int
	out                                  io.Writer
}

// unseen is the number of rows that are asked for.
const unseen = 4000

func (b bench) run(ctx context.Context) error {
	seen, fresh := b.generate(1, b.rows), b.generate(2, unseen)
	b.printf("%d rows of %d features, %d trees of depth %d, one goroutine\n\n", b.rows, b.features, b.trees, b.depth)
	theirs, err := b.scikitLearn(ctx, seen, fresh)
	if err != nil {
		return err
	}
	var grown forest.Trained
	fitForest, err := cpu(func() (err error) {
		grown, err = forest.Forest{Trees: b.trees, Depth: b.depth, Seed: 1, Workers: 1}.Train(ctx, seen)
		return err
	})
	if err != nil {
		return err
	}
	var boosted *forest.Model
	fitBoosting, err := cpu(func() (err error) {
		boosted, err = forest.Boosting{Trees: b.trees, Seed: 1, Workers: 1}.Train(ctx, seen)
		return err
	})
	if err != nil {
		return err
	}
	b.training("a random forest", fitForest, b.auc(grown.Model, fresh), theirs, theirs.Forest)
	b.training("gradient boosting of depth 5", fitBoosting, b.auc(boosted, fresh), theirs, theirs.Boosting)
	b.asking("a random forest", grown.Model, fresh, theirs, theirs.Forest)
	b.asking("gradient boosting of depth 5", boosted, fresh, theirs, theirs.Boosting)
	b.explaining(grown.Model, fresh)
	return nil
}

func (b bench) printf(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format, args...) }

// generate makes rows of measures, counts and flags, of which some tell something together.
func (b bench) generate(seed uint64, rows int) forest.Dataset {
	r := rand.New(rand.NewPCG(seed, 1))
	d := forest.Dataset{FeatureSet: "bench"}
	for f := range b.features {
		d.Names = append(d.Names, "f"+strconv.Itoa(f))
	}
	for range rows {
		row := make([]float64, b.features)
		z := 0.0
		for f := range row {
			x := r.NormFloat64()
			switch f % 3 {
			case 1:
				x = math.Floor(math.Exp(x))
			case 2:
				x = math.Round(r.Float64())
			}
			row[f] = x
			if f > 0 && f%4 == 0 {
				z += row[f] * (row[f-1] - 1)
			}
		}
		z = row[0] + 0.8*z/math.Sqrt(float64(b.features)/8)
		d.Rows = append(d.Rows, row)
		d.Labels = append(d.Labels, r.Float64() < 1/(1+math.Exp(-2*z)))
	}
	return d
}

// cpu returns the processor time that this process spends in do.
func cpu(do func() error) (time.Duration, error) {
	before := processTime()
	err := do()
	return processTime() - before, err
}

func processTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // only an unknown who can fail
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// onThread returns the processor time that do takes on its thread, in microseconds.
func onThread(do func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	do()
	return (threadTime() - before).Seconds() * 1e6
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // only an unknown clock can fail
	}
	return time.Duration(t.Nano())
}

func (b bench) training(name string, ours time.Duration, auc float64, theirs *scikitLearn, t timings) {
	b.printf("train %s: CPU time (area under the curve on %d unseen rows)\n", name, unseen)
	b.printf("  %-36s %8.2f s  (%.4f)\n", "crisol", ours.Seconds(), auc)
	if theirs.Version != "" {
		b.printf("  %-36s %8.2f s  (%.4f)  %.1f times crisol's\n", "scikit-learn "+theirs.Version, t.Fit, t.AUC, t.Fit/ours.Seconds())
	}
	b.printf("\n")
}

// way is one way to ask, by name.
type way struct {
	name string
	ask  func(row []float64)
	took []float64 // a row, in microseconds
	cold []float64 // the first row after the other ways had the caches
}

// batch is the number of rows of one round: short, so that most rounds aren't interrupted.
const batch = 200

// interleave asks each way for the same rows in turn.
func (b bench) interleave(rows [][]float64, ways []way) {
	for round := range b.rounds + 1 {
		from := round * batch % (len(rows) - batch)
		for i := range ways {
			cold := onThread(func() { ways[i].ask(rows[from]) })
			for _, row := range rows[len(rows)-batch/4:] {
				ways[i].ask(row)
			}
			warm := onThread(func() {
				for _, row := range rows[from : from+batch] {
					ways[i].ask(row)
				}
			})
			if round > 0 { // the first doesn't count
				ways[i].took = append(ways[i].took, warm/batch)
				ways[i].cold = append(ways[i].cold, cold)
			}
		}
	}
}

func (b bench) asking(name string, m *forest.Model, fresh forest.Dataset, theirs *scikitLearn, t timings) {
	plain := naive.Read(m.Encode())
	flat := flatten(plain)
	total := 0.0
	ways := []way{
		{name: "crisol", ask: func(row []float64) { p, _ := m.Output(row); total += p }},
		{name: "nodes of pointers, recursion", ask: func(row []float64) { total -= plain.Output(row) }},
		{name: "slices, loop", ask: func(row []float64) { total += flat.output(row) }},
	}
	b.interleave(fresh.Rows, ways)
	b.printf("ask %s of %d nodes for one row: median of %d rounds of %d rows, interleaved\n", name, m.Nodes(), b.rounds, batch)
	b.table(ways)
	b.printf("  %-36s %9.2f us\n", "crisol, first row after other work", median(ways[0].cold))
	if theirs.Version != "" {
		single := median(t.Single) * 1e6
		b.printf("  %-36s %9.2f us  %.0f times crisol's\n", "scikit-learn, one row", single, single/median(ways[0].took))
		b.printf("  %-36s %9.2f us  %.1f times crisol's\n", fmt.Sprintf("scikit-learn, a row of %d at once", unseen), t.Batch*1e6, t.Batch*1e6/median(ways[0].took))
	}
	b.printf("\n")
	if math.IsNaN(total) {
		panic("no number")
	}
}

func (b bench) explaining(m *forest.Model, fresh forest.Dataset) {
	plain := naive.Read(m.Encode())
	ours, theirs := []float64{}, []float64{}
	for _, row := range fresh.Rows[:5] {
		ours = append(ours, onThread(func() { _, _ = m.Explain(row) }))
		theirs = append(theirs, onThread(func() { plain.TreeSHAP(row) }))
	}
	b.printf("explain one row of the random forest: median of 5 rows, interleaved\n")
	b.table([]way{{name: "crisol", took: ours}, {name: "algorithm 2 as written", took: theirs}})
	b.printf("\n")
}

func (b bench) table(ways []way) {
	for i, w := range ways {
		b.printf("  %-36s %9.2f us (%.2f to %.2f)", w.name, median(w.took), slices.Min(w.took), slices.Max(w.took))
		if i > 0 {
			b.printf("  %.1f times crisol's", median(w.took)/median(ways[0].took))
		}
		b.printf("\n")
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// flat is an ensemble as most programs would keep it: a slice for each thing that a node has.
type flat struct {
	mean                 bool
	base                 float64
	roots, left, right   []int
	feature              []int // -1 for a leaf
	threshold, leafValue []float64
}

func flatten(e *naive.Ensemble) *flat {
	f := &flat{mean: e.Mean, base: e.Base}
	for _, tree := range e.Trees {
		f.roots = append(f.roots, f.add(tree))
	}
	return f
}

func (f *flat) add(n *naive.Node) int {
	at := len(f.feature)
	f.left, f.right = append(f.left, 0), append(f.right, 0)
	f.threshold, f.leafValue = append(f.threshold, float64(n.Threshold)), append(f.leafValue, n.Value)
	if n.Leaf {
		f.feature = append(f.feature, -1)
		return at
	}
	f.feature = append(f.feature, n.Feature)
	f.left[at] = f.add(n.Left)
	f.right[at] = f.add(n.Right)
	return at
}

func (f *flat) output(row []float64) float64 {
	sum := f.base
	for _, at := range f.roots {
		for f.feature[at] >= 0 {
			if row[f.feature[at]] <= f.threshold[at] {
				at = f.left[at]
			} else {
				at = f.right[at]
			}
		}
		sum += f.leafValue[at]
	}
	if f.mean {
		sum /= float64(len(f.roots))
	}
	return sum
}

// auc is the probability that a true row scores above a false one, half of the ties counted.
func (b bench) auc(m *forest.Model, d forest.Dataset) float64 {
	var scores [2][]float64
	for i, row := range d.Rows {
		p, err := m.Predict(row)
		if err != nil {
			panic(err) // the rows are the model's own
		}
		class := 0
		if d.Labels[i] {
			class = 1
		}
		scores[class] = append(scores[class], p)
	}
	slices.Sort(scores[0])
	wins := 0.0
	for _, p := range scores[1] {
		below, _ := slices.BinarySearch(scores[0], p)
		upTo, _ := slices.BinarySearch(scores[0], math.Nextafter(p, 2))
		wins += float64(below+upTo) / 2
	}
	return wins / float64(len(scores[0])*len(scores[1]))
}

//go:embed sklearn.py
var program string

// scikitLearn is what the program prints; Version is empty where it isn't installed.
type scikitLearn struct {
	Version          string
	Forest, Boosting timings
}

// timings are in seconds.
type timings struct {
	Fit, Batch, AUC float64
	Single          []float64
}

func (b bench) scikitLearn(ctx context.Context, seen, fresh forest.Dataset) (*scikitLearn, error) {
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(ctx, python, "-c", "import sklearn").Run() != nil {
			continue
		}
		args := []string{"-W", "ignore", "-c", program}
		for _, n := range []int{len(seen.Rows), len(fresh.Rows), b.features, b.trees, b.depth} {
			args = append(args, strconv.Itoa(n))
		}
		cmd := exec.CommandContext(ctx, python, args...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(append(numbers(seen), numbers(fresh)...)), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("run scikit-learn: %w", err)
		}
		theirs := &scikitLearn{}
		if err := json.Unmarshal(out, theirs); err != nil {
			return nil, fmt.Errorf("read scikit-learn's answer: %w", err)
		}
		return theirs, nil
	}
	b.printf("scikit-learn isn't installed (Debian: apt-get install python3-sklearn): its lines are left out\n\n")
	return &scikitLearn{}, nil
}

func numbers(d forest.Dataset) (b []byte) {
	add := func(x float64) { b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x)) }
	for _, row := range d.Rows {
		for _, x := range row {
			add(x)
		}
	}
	for _, label := range d.Labels {
		if label {
			add(1)
		} else {
			add(0)
		}
	}
	return b
}
