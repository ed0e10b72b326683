// Package dataset holds what models learn from: one row of numbers for each labelled candidate patch, with what is needed
// to split and weigh rows, and no code of anybody's.
//
// A file of rows is gzipped JSON lines: a header, which names the version of the features and each of them, and then the
// rows in a fixed order. The same rows give the same bytes, so that a model can be reproduced from a file in the
// repository. The package knows neither how features are computed nor what is learnt.
package dataset

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"crisol"
)

// Schema names the form of a file.
const Schema = "crisol/rows/v1"

// Bounds on what is read: a file is foreign input.
const (
	maxLine     = 1 << 20
	maxRows     = 2_000_000
	maxFeatures = 1024
	maxWeight   = 1e6
)

// Header says what the numbers of a file's rows are.
type Header struct {
	Schema string `json:"schema"`
	// FeatureVersion is features.Version of the code that computed the rows.
	FeatureVersion string `json:"feature_version"`
	// Features names the columns of every Vector, in order.
	Features []string `json:"features"`
	// Baseline names the columns of every Baseline vector.
	Baseline []string `json:"baseline"`
	// Buckets is how many buckets n-grams are hashed into.
	Buckets int `json:"buckets"`
	// CorpusDigest is the SHA-256 of the corpus that the rows were computed from, in hex.
	CorpusDigest string `json:"corpus_digest"`
}

// Row is one labelled candidate.
type Row struct {
	// ID is the candidate's digest.
	ID        string `json:"id"`
	Scenario  string `json:"scenario"`
	CVE       string `json:"cve,omitempty"`
	Package   string `json:"package"`
	Ecosystem string `json:"ecosystem"`
	Class     string `json:"class"`
	// Operator says how the candidate was made. Models never see it.
	Operator string `json:"operator"`
	// Static is what the checks that need no model decide, and no model is asked then; "" where they leave it open.
	Static  crisol.Verdict `json:"static,omitempty"`
	Verdict crisol.Verdict `json:"verdict"`
	// Weight is how many rows of its like it stands for: 1/propensity of one that a service sampled. 0, which is 1, marks a
	// row of a corpus, of which certificates are made.
	Weight float64 `json:"weight,omitempty"`
	// Vector has one number a feature; NaN, written as null, where a feature has no value.
	Vector Vector `json:"vector"`
	// Baseline has the features of package baseline.
	Baseline Vector `json:"baseline"`
	// NGrams are hashed counts of tokens, by ascending bucket.
	NGrams NGrams `json:"ngrams"`
}

// Fixed is the label: whether a wargame found the candidate to be a fix.
func (r Row) Fixed() bool { return r.Verdict == crisol.Fixed }

// Weighs is the row's weight, 1 where none is written.
func (r Row) Weighs() float64 {
	if r.Weight == 0 {
		return 1
	}
	return r.Weight
}

// Vector is a row's features; NaN is null in JSON.
type Vector []float64

// MarshalJSON writes NaN as null; infinities can't be written.
func (v Vector) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(x) {
			b = append(b, "null"...)
			continue
		}
		text, err := json.Marshal(x)
		if err != nil {
			return nil, fmt.Errorf("feature %d: %w", i, err)
		}
		b = append(b, text...)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Vector) UnmarshalJSON(b []byte) error {
	var read []*float64
	if err := json.Unmarshal(b, &read); err != nil {
		return err
	}
	*v = make(Vector, len(read))
	for i, x := range read {
		if (*v)[i] = math.NaN(); x != nil {
			(*v)[i] = *x
		}
	}
	return nil
}

// NGram is how often n-grams of one bucket occur, at most 255 times.
type NGram struct {
	Bucket uint16
	Count  uint8
}

// NGrams are written as a flat list: bucket, count, bucket, count.
type NGrams []NGram

// MarshalJSON writes the flat list.
func (g NGrams) MarshalJSON() ([]byte, error) {
	flat := make([]int, 0, 2*len(g))
	for _, n := range g {
		flat = append(flat, int(n.Bucket), int(n.Count))
	}
	return json.Marshal(flat)
}

// UnmarshalJSON reads the flat list.
func (g *NGrams) UnmarshalJSON(b []byte) error {
	var flat []int
	if err := json.Unmarshal(b, &flat); err != nil {
		return err
	}
	if len(flat)%2 != 0 {
		return fmt.Errorf("n-grams: %d numbers are no pairs", len(flat))
	}
	*g = make(NGrams, 0, len(flat)/2)
	for i := 0; i < len(flat); i += 2 {
		bucket, count := flat[i], flat[i+1]
		if bucket < 0 || bucket > math.MaxUint16 || count < 1 || count > math.MaxUint8 || (i > 0 && bucket <= flat[i-2]) {
			return fmt.Errorf("n-grams: bucket %d with count %d is out of order or out of range", bucket, count)
		}
		*g = append(*g, NGram{uint16(bucket), uint8(count)})
	}
	return nil
}

// Set is a whole file.
type Set struct {
	Header
	Rows []Row
}

// Write writes the rows by ascending ID.
func Write(w io.Writer, s Set) error {
	s.Schema = Schema
	rows := slices.SortedFunc(slices.Values(s.Rows), func(a, b Row) int { return strings.Compare(a.ID, b.ID) })
	if err := s.check(rows); err != nil {
		return err
	}
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	encoder := json.NewEncoder(zipped)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s.Header); err != nil {
		return fmt.Errorf("write the header of rows: %w", err)
	}
	for _, row := range rows {
		if err := encoder.Encode(row); err != nil {
			return fmt.Errorf("write row %s: %w", row.ID, err)
		}
	}
	if err := zipped.Close(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// Read reads a file of rows and checks it.
func Read(r io.Reader) (Set, error) {
	var s Set
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return s, crisol.Errorf(crisol.KindInput, "read rows: %w", err)
	}
	lines := bufio.NewScanner(zipped)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; lines.Scan(); n++ {
		if n > maxRows {
			return s, crisol.Errorf(crisol.KindInput, "read rows: more than %d", maxRows)
		}
		if err := s.line(n, lines.Bytes()); err != nil {
			return s, crisol.Errorf(crisol.KindInput, "read rows: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return s, crisol.Errorf(crisol.KindInput, "read rows: %w", err)
	}
	if s.Schema == "" {
		return s, crisol.Errorf(crisol.KindInput, "read rows: there is no header")
	}
	if err := s.check(s.Rows); err != nil {
		return s, err
	}
	return s, nil
}

func (s *Set) line(n int, text []byte) error {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if n == 1 {
		if err := decoder.Decode(&s.Header); err != nil {
			return err
		}
		if s.Schema != Schema {
			return fmt.Errorf("schema %q: want %q", s.Schema, Schema)
		}
		return nil
	}
	var row Row
	if err := decoder.Decode(&row); err != nil {
		return err
	}
	s.Rows = append(s.Rows, row)
	return nil
}

// check refuses rows that don't fit the header, that have no label, or that come twice.
func (s *Set) check(rows []Row) error {
	if s.FeatureVersion == "" || len(s.Features) == 0 || len(s.Features) > maxFeatures || s.Buckets < 1 || s.Buckets > math.MaxUint16+1 {
		return crisol.Errorf(crisol.KindInput, "rows: the header names %d features of version %q and %d buckets", len(s.Features), s.FeatureVersion, s.Buckets)
	}
	for i, row := range rows {
		switch {
		case len(row.Vector) != len(s.Features), len(row.Baseline) != len(s.Baseline):
			return crisol.Errorf(crisol.KindInput, "row %s has %d and %d features, not %d and %d", row.ID, len(row.Vector), len(row.Baseline), len(s.Features), len(s.Baseline))
		case row.Static != "" && row.Static != crisol.NotFixed && row.Static != crisol.Broken:
			return crisol.Errorf(crisol.KindInput, "row %s: static checks never say %q", row.ID, row.Static)
		case row.Verdict != crisol.Fixed && row.Verdict != crisol.NotFixed && row.Verdict != crisol.Broken:
			return crisol.Errorf(crisol.KindInput, "row %s: verdict %q is no label", row.ID, row.Verdict)
		case !(row.Weight >= 0 && row.Weight <= maxWeight):
			return crisol.Errorf(crisol.KindInput, "row %s has weight %g, want 0 to %g", row.ID, row.Weight, float64(maxWeight))
		case row.ID == "" || (i > 0 && rows[i-1].ID >= row.ID):
			return crisol.Errorf(crisol.KindInput, "row %d, %q, is missing its ID, comes twice or is out of order", i, row.ID)
		case len(row.NGrams) > 0 && int(row.NGrams[len(row.NGrams)-1].Bucket) >= s.Buckets:
			return crisol.Errorf(crisol.KindInput, "row %s: bucket %d of %d", row.ID, row.NGrams[len(row.NGrams)-1].Bucket, s.Buckets)
		}
	}
	return nil
}
