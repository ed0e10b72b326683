package dataset_test

import (
	"bytes"
	"compress/gzip"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"crisol"
	"crisol/internal/dataset"
)

func set() dataset.Set {
	return dataset.Set{
		Header: dataset.Header{FeatureVersion: "f1", Features: []string{"a", "b"}, Baseline: []string{"n"}, Buckets: 16, CorpusDigest: "c"},
		Rows: []dataset.Row{
			{ID: "2", Scenario: "s", Package: "p", Ecosystem: "npm", Class: "redos", Operator: "official", Verdict: crisol.Fixed, Vector: dataset.Vector{math.NaN(), 0.1}, Baseline: dataset.Vector{1}, NGrams: dataset.NGrams{{3, 1}, {15, 255}}},
			{ID: "1", Scenario: "s", CVE: "CVE-2020-1", Package: "p", Ecosystem: "npm", Class: "redos", Operator: "noop", Verdict: crisol.NotFixed, Vector: dataset.Vector{-3e300, 2}, Baseline: dataset.Vector{1}},
		},
	}
}

func write(t *testing.T, s dataset.Set) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := dataset.Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	file := write(t, set())
	got, err := dataset.Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want := set()
	want.Schema = dataset.Schema
	slices.Reverse(want.Rows)
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(file, write(t, got)) {
		t.Error("the same rows gave other bytes")
	}
}

func TestRefused(t *testing.T) {
	for name, spoil := range map[string]func(*dataset.Set){
		"no version":      func(s *dataset.Set) { s.FeatureVersion = "" },
		"short vector":    func(s *dataset.Set) { s.Rows[0].Vector = s.Rows[0].Vector[:1] },
		"no label":        func(s *dataset.Set) { s.Rows[1].Verdict = crisol.Inconclusive },
		"twice":           func(s *dataset.Set) { s.Rows[1].ID = "2" },
		"bucket too high": func(s *dataset.Set) { s.Rows[0].NGrams[1].Bucket = 16 },
	} {
		s := set()
		spoil(&s)
		if err := dataset.Write(&bytes.Buffer{}, s); crisol.KindOf(err) != crisol.KindInput || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := write(t, set())
	for name, text := range map[string]string{
		"not zipped": "{}",
		"truncated":  string(file[:len(file)-9]),
		"empty":      zip(t, ""),
		"foreign":    zip(t, `{"schema":"crisol/rows/v9","feature_version":"f1","features":["a"],"buckets":4,"corpus_digest":""}`),
		"unknown key": zip(t, `{"schema":"crisol/rows/v1","feature_version":"f1","features":["a"],"buckets":4,"corpus_digest":""}
{"id":"1","patch":"+a"}`),
		"odd n-grams": zip(t, `{"schema":"crisol/rows/v1","feature_version":"f1","features":["a"],"buckets":4,"corpus_digest":""}
{"id":"1","verdict":"fixed","vector":[1],"ngrams":[1]}`),
		"n-grams out of order": zip(t, `{"schema":"crisol/rows/v1","feature_version":"f1","features":["a"],"buckets":4,"corpus_digest":""}
{"id":"1","verdict":"fixed","vector":[1],"ngrams":[3,1,2,1]}`),
	} {
		if _, err := dataset.Read(strings.NewReader(text)); err == nil || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := dataset.Write(&b, set()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := dataset.Read(bytes.NewReader(file))
		if err != nil {
			if crisol.KindOf(err) != crisol.KindInput {
				t.Fatal(err)
			}
			return
		}
		if err := dataset.Write(&bytes.Buffer{}, s); err != nil {
			t.Fatal(err)
		}
	})
}
