package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"crisol/internal/evaluate"
	"crisol/internal/evaluate/report"
	"crisol/internal/random"
)

// example has a model, a baseline with a name that must be escaped, and one that always says 1/2.
func example(t *testing.T) report.Report {
	t.Helper()
	r := random.New(1)
	var rows []evaluate.Row
	model, base, half := evaluate.Column{Name: "rf_v1"}, evaluate.Column{Name: "<b>size|only</b>"}, evaluate.Column{Name: "majority"}
	for i := range 900 {
		p := r.Float64()
		rows = append(rows, evaluate.Row{Group: i / 3, Vulnerability: "v", Class: []string{"CWE-22", "CWE-79", ""}[i%3], Operator: "drop_hunk", Ecosystem: "npm",
			Label: r.Float64() < p, Weight: 1, Fold: i / 3 % 5})
		model.Probabilities = append(model.Probabilities, p)
		base.Probabilities = append(base.Probabilities, 0.5+(p-0.5)*0.2*r.Float64())
		half.Probabilities = append(half.Probabilities, 0.5)
	}
	result, err := evaluate.Evaluate(rows, []evaluate.Column{model, base, half}, evaluate.Options{Resamples: 50})
	if err != nil {
		t.Fatal(err)
	}
	return report.Report{
		Title: "Evaluation of rf_v1", Facts: []report.Fact{{Name: "rows", Value: "sha256:0f & 1e"}},
		Checks: []report.Check{{Name: "AUC", Want: "at least 0.99", Figure: result.Columns[0].Metrics[evaluate.AUC]}, {Name: "no figure", Want: "any", Figure: evaluate.Estimate{Value: math.NaN()}}},
		Splits: []report.Split{{Name: "groups", About: "No package is in two folds.", Result: result}},
	}
}

func TestPageStandsAloneAndIsWellFormed(t *testing.T) {
	page, err := report.HTML(example(t))
	if err != nil {
		t.Fatal(err)
	}
	depth, drawings := 0, 0
	for decoder := xml.NewDecoder(bytes.NewReader(page)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page isn't well-formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			switch e.Name.Local {
			case "svg":
				drawings++
			case "script", "link", "img", "iframe", "b":
				t.Errorf("the page has an element %s", e.Name.Local)
			}
			for _, a := range e.Attr {
				if a.Name.Local == "src" || a.Name.Local == "href" || strings.Contains(a.Value, "NaN") {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			depth--
		}
	}
	if depth != 0 || drawings != 4 {
		t.Errorf("depth %d at the end, %d drawings", depth, drawings)
	}
	for _, text := range []string{"Evaluation of rf_v1", "sha256:0f &amp; 1e", "&lt;b&gt;size|only&lt;/b&gt;", "prefers-color-scheme: dark", "missed", "n/a", "300 groups", "abstains", "unknown", "risk-coverage area"} {
		if !bytes.Contains(page, []byte(text)) {
			t.Errorf("the page doesn't say %q", text)
		}
	}
	for _, text := range []string{"http:", "https:", "url(", "@import", "ZgotmplZ", "<no value>"} {
		if bytes.Contains(page, []byte(text)) {
			t.Errorf("the page has %q", text)
		}
	}
}

func TestMarkdownTablesAreWhole(t *testing.T) {
	text := report.Markdown(example(t), 2)
	columns, tables := 0, 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns == 0 {
			columns, tables = n, tables+1
		}
		if n != columns {
			t.Errorf("%d columns after %d: %s", n, columns, line)
		}
	}
	if tables != 11 {
		t.Errorf("%d tables", tables)
	}
	for _, want := range []string{"## Evaluation of rf\\_v1\n", "### groups\n", "#### Quality\n", "| rf\\_v1 less majority |", "| AUC | at least 0.99 |", "&lt;b>size\\|only&lt;/b>"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestSameFiguresInBothForms(t *testing.T) {
	r := example(t)
	page, err := report.HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	text := report.Markdown(r, 1)
	checked := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| rf") {
			continue
		}
		for _, cell := range strings.Split(strings.Trim(line, "| \n"), " | ")[1:] {
			if checked++; !bytes.Contains(page, []byte(strings.ReplaceAll(cell, "+", "&#43;"))) {
				t.Errorf("the page doesn't have %q", cell)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d figures were compared", checked)
	}
}

func TestEmptyReport(t *testing.T) {
	page, err := report.HTML(report.Report{Title: "nothing"})
	if err != nil || !bytes.Contains(page, []byte("nothing")) {
		t.Errorf("%v", err)
	}
	if got := report.Markdown(report.Report{Title: "nothing"}, 1); got != "# nothing\n" {
		t.Errorf("%q", got)
	}
}
