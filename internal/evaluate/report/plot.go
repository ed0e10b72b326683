package report

import (
	"fmt"
	"math"
	"strings"

	"crisol/internal/evaluate"
)

// A plot is 400 by 320 pixels; its axes leave room for numbers on the left and below. page.html draws the same frame.
const (
	left, right = 52.0, 388.0
	top, bottom = 12.0, 272.0
)

// lines bounds how many models one plot shows, and is the number of colours in the style.
const lines = 6

// plot is a drawing of lines, bars and points on the unit square, its Y axis from low to high.
type plot struct {
	Title, X, Y string
	About       string // read aloud in place of the drawing
	low, high   float64
	Paths       []path
	Rects       []rect
	Marks       []mark
	Ticks       []tick
	Legend      []entry
}

type path struct{ Class, D string }

type rect struct{ Class, X, Y, Width, Height string }

// mark is a point with its interval.
type mark struct{ X, Y, Low, High, Radius string }

type tick struct{ X1, Y1, X2, Y2, TX, TY, Anchor, Text string }

type entry struct{ Class, Name string }

func number(x float64) string { return fmt.Sprintf("%.1f", x) }

func (p *plot) x(v float64) float64 { return left + v*(right-left) }

func (p *plot) y(v float64) float64 {
	return bottom - (min(max(v, p.low), p.high)-p.low)/(p.high-p.low)*(bottom-top)
}

// line adds a curve.
func (p *plot) line(class string, points []evaluate.Point) {
	if len(points) == 0 {
		return
	}
	var b strings.Builder
	for i, at := range points {
		fmt.Fprintf(&b, "%c%.1f %.1f", "ML"[min(i, 1)], p.x(at.X), p.y(at.Y))
	}
	p.Paths = append(p.Paths, path{class, b.String()})
}

// grid adds ticks at fifths of the X axis and at the given number of steps of the Y axis, written with the given verb.
func (p *plot) grid(steps int, verb string) {
	for i := range 6 {
		v := float64(i) / 5
		x := number(p.x(v))
		p.Ticks = append(p.Ticks, tick{x, number(bottom), x, number(bottom + 4), x, number(bottom + 18), "middle", fmt.Sprintf("%.1f", v)})
	}
	for i := range steps + 1 {
		v := p.low + float64(i)/float64(steps)*(p.high-p.low)
		y := number(p.y(v))
		p.Ticks = append(p.Ticks, tick{number(left), y, number(right), y, number(left - 6), number(p.y(v) + 4), "end", fmt.Sprintf(verb, math.Abs(v))})
	}
}

func colour(i int) string { return fmt.Sprintf("line c%d", i) }

func (p *plot) legend(r *evaluate.Result, curve func(evaluate.Curves) []evaluate.Point) {
	for i, f := range r.Columns {
		if i == lines {
			break
		}
		p.line(colour(i), curve(f.Curves))
		p.Legend = append(p.Legend, entry{fmt.Sprintf("c%d", i), f.Name})
	}
}

func rocPlot(r *evaluate.Result) plot {
	p := plot{Title: "ROC", X: "false alarms", Y: "fixed patches found", high: 1}
	p.About = fmt.Sprintf("Receiver operating characteristic; area under the curve of %s.", summary(r, evaluate.AUC))
	p.grid(5, "%.1f")
	p.line("guide", []evaluate.Point{{X: 0, Y: 0}, {X: 1, Y: 1}})
	p.legend(r, func(c evaluate.Curves) []evaluate.Point { return c.ROC })
	return p
}

func riskPlot(r *evaluate.Result) plot {
	p := plot{Title: "Risk and coverage", X: "share decided, the surest first", Y: "wrong among the decided"}
	for i, f := range r.Columns {
		for _, at := range f.Curves.RiskCoverage {
			if i < lines && at.X >= 0.02 { // the first few patches leap
				p.high = max(p.high, at.Y)
			}
		}
	}
	p.high = max(math.Ceil(p.high*20)/20, 0.05)
	p.About = fmt.Sprintf("Risk-coverage curve; area under the curve of %s.", summary(r, evaluate.Area))
	p.grid(5, "%.2f")
	p.legend(r, func(c evaluate.Curves) []evaluate.Point { return c.RiskCoverage })
	return p
}

func calibrationPlot(f evaluate.Figures) plot {
	p := plot{Title: "Calibration of " + f.Name, X: "probability given", Y: "share fixed", high: 1}
	p.About = fmt.Sprintf("Calibration in %d bins of equal weight with 95 %% intervals; expected calibration error %s.", evaluate.Bins, shown(f.Metrics[evaluate.ECE], plain))
	p.grid(5, "%.1f")
	p.line("guide", []evaluate.Point{{X: 0, Y: 0}, {X: 1, Y: 1}})
	var through []evaluate.Point
	for _, b := range f.Curves.Calibration {
		e := b.Observed
		if math.IsNaN(e.Low) || math.IsNaN(e.High) {
			e.Low, e.High = e.Value, e.Value
		}
		p.Marks = append(p.Marks, mark{number(p.x(b.Given)), number(p.y(e.Value)), number(p.y(e.Low)), number(p.y(e.High)), "3.5"})
		through = append(through, evaluate.Point{X: b.Given, Y: e.Value})
	}
	p.line("line c0", through)
	return p
}

func histogramPlot(f evaluate.Figures) plot {
	p := plot{Title: "Probabilities of " + f.Name, X: "probability given", Y: "share of patches"}
	p.Legend = []entry{{"c1", "fixed, upwards"}, {"c2", "not fixed, downwards"}}
	p.About = "Histogram of probabilities by label."
	for _, b := range f.Curves.Histogram {
		p.high = max(p.high, b.Fixed, b.NotFixed)
	}
	p.high = max(math.Ceil(p.high*20)/20, 0.05)
	p.low = -p.high
	p.grid(4, "%.3f")
	zero := p.y(0)
	wide := (right - left) / evaluate.Bars
	for i, b := range f.Curves.Histogram {
		x, w := number(left+float64(i)*wide+1), number(wide-2)
		p.Rects = append(p.Rects,
			rect{"bar c1", x, number(p.y(b.Fixed)), w, number(zero - p.y(b.Fixed))},
			rect{"bar c2", x, number(zero), w, number(p.y(-b.NotFixed) - zero)})
	}
	return p
}

func summary(r *evaluate.Result, metric evaluate.Metric) string {
	var list []string
	for i, f := range r.Columns {
		if i < lines {
			list = append(list, f.Name+" "+shown(f.Metrics[metric], plain))
		}
	}
	return strings.Join(list, ", ")
}

func plots(r *evaluate.Result) []plot {
	if len(r.Columns) == 0 {
		return nil
	}
	return []plot{rocPlot(r), riskPlot(r), calibrationPlot(r.Columns[0]), histogramPlot(r.Columns[0])}
}
