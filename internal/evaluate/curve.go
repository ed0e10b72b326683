package evaluate

import "math"

// Point is a point of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Bin is a point of the calibration curve: rows that were given about the same probability.
type Bin struct {
	Given    float64  `json:"given"` // mean
	Observed Estimate `json:"observed"`
	Weight   float64  `json:"weight"` // share of all rows
}

// Bar is a bar of the histogram of probabilities: the share of all rows in it, by label.
type Bar struct {
	Fixed    float64 `json:"fixed"`
	NotFixed float64 `json:"not_fixed"`
}

// Bars is how many bars of equal width the histogram has.
const Bars = 20

// points bounds how many points a curve is thinned to.
const points = 200

// Curves are the points of one column's plots.
type Curves struct {
	// ROC has the share of false alarms as X and the share of fixed rows found as Y.
	ROC []Point `json:"roc"`
	// RiskCoverage has the share of rows decided as X, the surest first, and the share of those that is wrong as Y.
	RiskCoverage []Point   `json:"risk_coverage"`
	Calibration  []Bin     `json:"calibration"`
	Histogram    [Bars]Bar `json:"histogram"`
}

func (v *view) curves(w []float64, observed []Estimate) Curves {
	c := Curves{ROC: thin(v.roc(w)), Calibration: v.reliability(w, observed)}
	total := 0.0
	for i, x := range w {
		total += x
		bar := &c.Histogram[min(int(v.probability[i]*Bars), Bars-1)]
		if v.label[i] {
			bar.Fixed += x
		} else {
			bar.NotFixed += x
		}
	}
	for i := range c.Histogram {
		c.Histogram[i].Fixed /= total
		c.Histogram[i].NotFixed /= total
	}
	v.descent(w, func(_, covered, wrong float64, _ item) {
		c.RiskCoverage = append(c.RiskCoverage, Point{covered / total, wrong / covered})
	})
	c.RiskCoverage = thin(c.RiskCoverage)
	return c
}

func (v *view) roc(w []float64) []Point {
	fixed, not := 0.0, 0.0
	for i, x := range w {
		if v.label[i] {
			fixed += x
		} else {
			not += x
		}
	}
	if fixed == 0 || not == 0 {
		return nil
	}
	list := []Point{{0, 0}}
	found, alarms := 0.0, 0.0
	for k := len(v.ascending) - 1; k >= 0; k-- {
		it := v.ascending[k]
		if it.label {
			found += w[it.row]
		} else {
			alarms += w[it.row]
		}
		if k == 0 || v.ascending[k-1].block != it.block {
			list = append(list, Point{alarms / not, found / fixed})
		}
	}
	return list
}

func (v *view) reliability(w []float64, observed []Estimate) []Bin {
	var given, mass [Bins]float64
	total := 0.0
	for i, x := range w {
		given[v.bin[i]] += x * v.probability[i]
		mass[v.bin[i]] += x
		total += x
	}
	var list []Bin
	for b := range mass {
		if mass[b] > 0 && !math.IsNaN(observed[b].Value) {
			list = append(list, Bin{given[b] / mass[b], observed[b], mass[b] / total})
		}
	}
	return list
}

// thin keeps the ends of a curve and points evenly spread by number between them.
func thin(list []Point) []Point {
	if len(list) <= points {
		return list
	}
	kept := make([]Point, points)
	for i := range kept {
		kept[i] = list[i*(len(list)-1)/(points-1)]
	}
	return kept
}
