package study_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/dataset"
	"crisol/internal/evaluate/report"
	"crisol/internal/random"
	"crisol/internal/study"
)

// made are rows of 60 packages in two ecosystems, by two operators; one feature tells the label, with noise.
func made(t testing.TB) *study.Study {
	t.Helper()
	stream := random.New(5)
	set := dataset.Set{Header: dataset.Header{FeatureVersion: "f1", Features: []string{"class", "tells"}, Baseline: []string{"lines_added", "lines_removed", "cwe"}, Buckets: 64}}
	for p := range 60 {
		ecosystem := "npm"
		if p%3 == 0 {
			ecosystem = "pypi"
		}
		for k := range 6 {
			fixed := stream.Float64() < 0.4
			row := dataset.Row{
				ID: fmt.Sprintf("%02d-%d", p, k), Scenario: fmt.Sprint("s", p), CVE: fmt.Sprintf("CVE-20%02d-%d", 10+p%10, p), Package: fmt.Sprint("p", p), Ecosystem: ecosystem, Class: []string{"xss", "redos"}[p%2],
				Operator: []string{"official", "mutant"}[k%2], Verdict: crisol.NotFixed, NGrams: dataset.NGrams{{Bucket: uint16(p % 60), Count: 1}},
			}
			tells := stream.Float64()
			if fixed {
				row.Verdict, tells = crisol.Fixed, tells+0.5
			}
			row.Vector = dataset.Vector{float64(p % 2), tells}
			row.Baseline = dataset.Vector{float64(stream.IntN(30)), float64(stream.IntN(9)), 79}
			set.Rows = append(set.Rows, row)
		}
	}
	s, err := study.New(set, "digest", study.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReport(t *testing.T) {
	s := made(t)
	var said []string
	o := study.Options{Seed: 1, Resamples: 40, Vulnerability: []string{"class"}, Progress: func(text string) { said = append(said, text) }}
	models, err := s.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if m := models.Forest.Bundle.Provenance.Measured; m["auc"] < 0.75 || m["auc"] > 0.95 {
		t.Errorf("%v", m)
	}
	r, err := s.Report(t.Context(), models, o)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(r.Splits))
	for i, split := range r.Splits {
		names[i] = split.Name
	}
	if got := strings.Join(names, ", "); got != "Unseen groups, By time, npm to others, Leave one operator out" {
		t.Errorf("splits: %s", got)
	}
	blind, leak := false, 0
	for _, c := range r.Checks {
		blind = blind || (strings.Contains(c.Name, "vulnerability, no patch") && c.Met)
		if strings.Contains(c.Name, "telling the operator") {
			if leak++; !c.Met {
				t.Errorf("operators that leave no trace are told apart: %+v", c)
			}
		}
	}
	if !blind || leak != 2 {
		t.Errorf("%+v", r.Checks)
	}
	if tables := report.Markdown(r, 2); !strings.Contains(tables, "nine regex features") || !strings.Contains(tables, "rate of the class") {
		t.Error(tables)
	}
	if len(said) == 0 {
		t.Error("nothing was said")
	}
}

// TestSame: the same rows and seed give the same bytes.
func TestSame(t *testing.T) {
	var files [2][]byte
	for i := range files {
		models, err := made(t).Train(t.Context(), study.Options{Seed: 1, Workers: 1 + 3*i})
		if err != nil {
			t.Fatal(err)
		}
		if files[i], err = models.Forest.Bundle.Encode(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two trainings differ")
	}
}

func TestTooLittle(t *testing.T) {
	header := dataset.Header{FeatureVersion: "f1", Features: []string{"a"}, Buckets: 4}
	few := dataset.Set{Header: header, Rows: []dataset.Row{{ID: "1", Verdict: crisol.Fixed, Vector: dataset.Vector{1}}, {ID: "2", Verdict: crisol.NotFixed, Vector: dataset.Vector{0}}}}
	for name, set := range map[string]dataset.Set{"no rows": {Header: header}, "fewer groups than folds": few} {
		if _, err := study.New(set, "", study.Options{}); err == nil || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStatic: what static checks decide is no row to learn from, and is counted.
func TestStatic(t *testing.T) {
	set := made(t).Set
	set.Rows = slices.Clone(set.Rows)
	n := len(set.Rows)
	for i := range 10 {
		set.Rows[i].Static = crisol.NotFixed
	}
	s, err := study.New(set, "digest", study.Options{Seed: 1})
	if err != nil || len(s.Rows) != n-10 || len(s.Groups) != n-10 {
		t.Fatalf("%d rows, %v", len(s.Rows), err)
	}
}
