// Package evaluate says how good predictions are, and how sure that is. In go labelled rows and, for each model or
// baseline, the probability that it gave each row without having seen its group; out come figures with intervals,
// differences between models with intervals, and the points of the usual curves. The package also splits rows so that
// nothing that a model learnt from tells on the rows it is judged by.
//
// Every interval is a cluster bootstrap's: whole groups are drawn with replacement, because rows of one group succeed and
// fail together, and all models are measured on the same draws, so that differences are paired. Intervals are
// percentiles at 95 %, shifted by the bootstrap's own estimate of bias (Efron, Tibshirani: An Introduction to the
// Bootstrap, 1993, chapters 10 and 13). The same seed gives the same figures, whatever the number of workers.
//
// The package knows nothing of patches or models, and reads and writes nothing; package report renders its figures.
package evaluate

import (
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"time"

	"crisol"
	"crisol/internal/certify"
)

// Row is a labelled row. Group is the unit of every guarantee and interval: see Components.
type Row struct {
	Group         int
	Vulnerability string
	Class         string // of the weakness
	Operator      string // how the patch was made
	Ecosystem     string
	Time          time.Time // of the vulnerability's publication
	Label         bool      // fixed
	Weight        float64   // above 0
	Fold          int       // the part of the rows that the row's model didn't learn from, from 0: see Folds
}

// Column holds the probabilities of `fixed` that one model gave, one a row.
type Column struct {
	Name          string
	Probabilities []float64
}

// Options steer an evaluation. The zero value means 1000 resamples of seed 0, certificates at delta 10 %, and one worker
// for each processor.
type Options struct {
	Resamples int // of the bootstrap; 0 means 1000
	Seed      uint64
	Delta     float64 // of certificates; 0 means 0.1
	Draws     int     // of certificates; 0 means 1
	Workers   int     // 0 means one for each processor; the figures don't depend on it
	// Reference is what Brier skill is measured against, one probability a row; nil means BaseRate of the rows, which needs
	// their folds. A split without folds gives the base rate of the rows that were learnt from.
	Reference []float64
}

func (o Options) withDefaults() (Options, error) {
	if o.Resamples == 0 {
		o.Resamples = 1000
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Resamples < 0 || o.Workers < 0 {
		return o, crisol.Errorf(crisol.KindInput, "evaluate: %d resamples by %d workers: want numbers above 0", o.Resamples, o.Workers)
	}
	return o, nil
}

// Estimate is a figure with its 95 % interval. NaN, null in JSON, stands for what the rows can't tell, such as an AUC of
// rows that share one label.
type Estimate struct{ Value, Low, High float64 }

type estimate struct {
	Value *float64 `json:"value"`
	Low   *float64 `json:"low"`
	High  *float64 `json:"high"`
}

// MarshalJSON writes NaN as null.
func (e Estimate) MarshalJSON() ([]byte, error) {
	known := func(x float64) *float64 {
		if math.IsNaN(x) {
			return nil
		}
		return &x
	}
	return json.Marshal(estimate{known(e.Value), known(e.Low), known(e.High)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Estimate) UnmarshalJSON(b []byte) error {
	var read estimate
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	known := func(x *float64) float64 {
		if x == nil {
			return math.NaN()
		}
		return *x
	}
	*e = Estimate{known(read.Value), known(read.Low), known(read.High)}
	return nil
}

// Figures are what is known of one column.
type Figures struct {
	Name         string              `json:"name"`
	Metrics      map[Metric]Estimate `json:"metrics"`
	Confusion    Confusion           `json:"confusion"`
	Certificates []Certified         `json:"certificates"` // for each of Risks
	Curves       Curves              `json:"curves"`
	Classes      []Slice             `json:"classes"`
	Operators    []Slice             `json:"operators"`
	Ecosystems   []Slice             `json:"ecosystems"`
}

// Certified are the certificates at one alpha.
type Certified struct {
	Alpha float64 `json:"alpha"`
	certify.Certificates
}

// Difference is a column's figures less those of another, on the same resamples.
type Difference struct {
	Of      string              `json:"of"`
	Less    string              `json:"less"`
	Metrics map[Metric]Estimate `json:"metrics"`
}

// Result is an evaluation: the columns in the order given, and the first one's differences from each of the others.
type Result struct {
	Rows            int          `json:"rows"`
	Groups          int          `json:"groups"`
	Vulnerabilities int          `json:"vulnerabilities"`
	Rate            float64      `json:"rate"` // weighted share of rows that are fixed
	Resamples       int          `json:"resamples"`
	Seed            uint64       `json:"seed"`
	Columns         []Figures    `json:"columns"`
	Differences     []Difference `json:"differences"`
}

// Evaluate measures columns on rows.
func Evaluate(rows []Row, columns []Column, options Options) (*Result, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := check(rows, columns); err != nil {
		return nil, err
	}
	base := options.Reference
	if base == nil {
		base = BaseRate(rows)
	}
	if err := probabilities(Column{"reference", base}, len(rows)); err != nil {
		return nil, err
	}
	views := make([]*view, len(columns))
	certificates := make([][]Certified, len(columns))
	for i, c := range columns {
		if certificates[i], err = certified(rows, c, options); err != nil {
			return nil, err
		}
		views[i] = newView(rows, c.Probabilities, base, certificates[i])
	}
	b := resample(rows, views, options)
	result := &Result{Rows: len(rows), Groups: len(groupsOf(rows)), Resamples: options.Resamples, Seed: options.Seed}
	result.Vulnerabilities = len(distinct(rows, func(r Row) string { return r.Vulnerability }))
	result.Rate = share(rows)
	for i, c := range columns {
		result.Columns = append(result.Columns, Figures{
			Name: c.Name, Metrics: b.estimates(i), Confusion: views[i].confusion(weightsOf(rows)), Certificates: certificates[i],
			Curves:     views[i].curves(weightsOf(rows), b.bins(i)),
			Classes:    slicesOf(rows, c.Probabilities, func(r Row) string { return r.Class }),
			Operators:  slicesOf(rows, c.Probabilities, func(r Row) string { return r.Operator }),
			Ecosystems: slicesOf(rows, c.Probabilities, func(r Row) string { return r.Ecosystem }),
		})
		if i > 0 {
			result.Differences = append(result.Differences, Difference{Of: columns[0].Name, Less: c.Name, Metrics: b.differences(0, i)})
		}
	}
	return result, nil
}

func check(rows []Row, columns []Column) error {
	if len(rows) == 0 || len(columns) == 0 {
		return crisol.Errorf(crisol.KindInput, "evaluate: %d rows and %d columns: want some of both", len(rows), len(columns))
	}
	fold := map[int]int{}
	for i, r := range rows {
		if f, known := fold[r.Group]; known && f != r.Fold {
			return crisol.Errorf(crisol.KindInput, "evaluate: group %d is in folds %d and %d: a model that learnt from a group can't be judged by it", r.Group, f, r.Fold)
		}
		fold[r.Group] = r.Fold
		if !(r.Weight > 0) || math.IsInf(r.Weight, 0) || r.Fold < 0 {
			return crisol.Errorf(crisol.KindInput, "evaluate: row %d has weight %g and fold %d: want a finite weight above 0 and a fold from 0", i, r.Weight, r.Fold)
		}
	}
	var names []string
	for _, c := range columns {
		if c.Name == "" || slices.Contains(names, c.Name) {
			return crisol.Errorf(crisol.KindInput, "evaluate: column %q: want names, each once", c.Name)
		}
		names = append(names, c.Name)
		if err := probabilities(c, len(rows)); err != nil {
			return err
		}
	}
	return nil
}

func probabilities(c Column, rows int) error {
	if len(c.Probabilities) != rows {
		return crisol.Errorf(crisol.KindInput, "evaluate: column %q has %d probabilities for %d rows", c.Name, len(c.Probabilities), rows)
	}
	for i, p := range c.Probabilities {
		if !(p >= 0 && p <= 1) {
			return crisol.Errorf(crisol.KindInput, "evaluate: column %q gives row %d probability %g", c.Name, i, p)
		}
	}
	return nil
}

// certified certifies a column at each of Risks.
func certified(rows []Row, c Column, o Options) ([]Certified, error) {
	cases := make([]certify.Case, len(rows))
	for i, r := range rows {
		cases[i] = certify.Case{Group: r.Group, Score: c.Probabilities[i], Fixed: r.Label}
	}
	var all []Certified
	for _, alpha := range Risks {
		both, err := certify.Certify(cases, certify.Plan{Alpha: alpha, Delta: o.Delta, Draws: o.Draws, Seed: o.Seed})
		if err != nil {
			return nil, err
		}
		all = append(all, Certified{alpha, both})
	}
	return all, nil
}

// groupsOf returns the groups that occur, ascending.
func groupsOf(rows []Row) []int {
	var groups []int
	for _, r := range rows {
		groups = append(groups, r.Group)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

func distinct(rows []Row, key func(Row) string) []string {
	var names []string
	for _, r := range rows {
		names = append(names, key(r))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func weightsOf(rows []Row) []float64 {
	weights := make([]float64, len(rows))
	for i, r := range rows {
		weights[i] = r.Weight
	}
	return weights
}

func share(rows []Row) float64 {
	fixed, total := 0.0, 0.0
	for _, r := range rows {
		total += r.Weight
		if r.Label {
			fixed += r.Weight
		}
	}
	return fixed / total
}

// Slice is how a column does on the rows that share a name.
type Slice struct {
	Name   string   `json:"name"`
	Rows   int      `json:"rows"`
	Groups int      `json:"groups"`
	Rate   float64  `json:"rate"` // of fixed
	Mean   float64  `json:"mean"` // probability given
	Wrong  float64  `json:"wrong"`
	Brier  float64  `json:"brier"`
	AUC    Estimate `json:"auc"` // its interval isn't computed
}

func slicesOf(rows []Row, probabilities []float64, key func(Row) string) []Slice {
	var all []Slice
	for _, name := range distinct(rows, key) {
		var own []Row
		var given []float64
		for i, r := range rows {
			if key(r) == name {
				own, given = append(own, r), append(given, probabilities[i])
			}
		}
		v := newView(own, given, given, nil)
		w := weightsOf(own)
		c := v.confusion(w)
		s := Slice{Name: name, Rows: len(own), Groups: len(groupsOf(own)), Rate: share(own)}
		s.Wrong = (c.FalseFixed + c.FalseNotFixed) / c.total()
		s.Brier = v.mean(w, brier)
		s.Mean = v.mean(w, func(p float64, _ bool) float64 { return p })
		s.AUC = Estimate{concordance(v.ascending, w), math.NaN(), math.NaN()}
		all = append(all, s)
	}
	return all
}
