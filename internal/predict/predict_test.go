package predict_test

import (
	"bytes"
	"crypto/sha256"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"crisol"
	"crisol/internal/calibrate"
	"crisol/internal/certify"
	"crisol/internal/dataset"
	"crisol/internal/forest"
	"crisol/internal/linear"
	"crisol/internal/predict"
	"crisol/internal/random"
)

// trained is a small bundle: the label is whether the first feature is above a half.
func trained(t testing.TB, version string) *predict.Bundle {
	t.Helper()
	stream := random.New(1)
	var rows [][]float64
	var labels []bool
	var samples []linear.Sample
	for range 300 {
		row := []float64{stream.Float64(), stream.Float64(), 0}
		label := row[0] > 0.5
		bucket := 1
		if label {
			bucket = 2
		}
		grams := predict.Sparse(dataset.NGrams{{Bucket: uint16(bucket), Count: 1}})
		samples = append(samples, linear.Sample{Sparse: grams, Label: label, Weight: 1})
		rows, labels = append(rows, row), append(labels, label)
	}
	grams, err := linear.Fit(samples, linear.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i][2] = grams.Score(nil, samples[i].Sparse)
	}
	trees, err := forest.Forest{Trees: 20, Depth: 4, Seed: 1}.Train(t.Context(), forest.Dataset{FeatureSet: "f1", Names: []string{"a", "b", predict.NGramFeature}, Rows: rows, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	curve, err := calibrate.FitPlatt(calibrate.Data{Scores: trees.OutOfBag, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return &predict.Bundle{
		Manifest: predict.Manifest{
			Version: version, FeatureVersion: "f1", Features: []string{"a", "b"}, Buckets: 16, Calibration: curve,
			Certificates: certify.Certificates{
				Fixed:    certify.Certificate{Side: certify.Fixed, Abstains: true, Reason: "too few labels", Alpha: 0.05, Delta: 0.05, Draws: 1},
				NotFixed: certify.Certificate{Side: certify.NotFixed, Reason: "0 errors", Threshold: 0.2, Alpha: 0.05, Delta: 0.05, Groups: 100, Decided: 80, Upper: 0.04, Draws: 1},
			},
		},
		NGrams: grams, Trees: trees.Model,
	}
}

func encode(t testing.TB, b *predict.Bundle) []byte {
	t.Helper()
	file, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func features(a, b float64, bucket uint16) predict.Features {
	return predict.Features{Version: "f1", Vector: []float64{a, b}, NGrams: dataset.NGrams{{Bucket: bucket, Count: 3}}}
}

func TestPredict(t *testing.T) {
	b := trained(t, "rf_v1")
	yes, err := b.Explain(features(0.9, 0.3, 2), 2)
	if err != nil || !yes.Valid || yes.Probability < 0.9 || yes.ModelVersion != "rf_v1" || len(yes.Explanation) != 2 {
		t.Errorf("%+v, %v", yes, err)
	}
	for _, c := range yes.Explanation {
		if c.Feature == "b" {
			t.Errorf("what tells nothing explains: %+v", yes.Explanation)
		}
	}
	no, err := b.Predict(features(0.1, 0.3, 1))
	if err != nil || no.Valid || no.Probability > 0.1 {
		t.Errorf("%+v, %v", no, err)
	}
	if p, err := b.Explain(features(math.NaN(), 0.3, 1), 9); err != nil || len(p.Explanation) > 2 {
		t.Errorf("%+v, %v", p, err)
	}
	old := features(1, 1, 1)
	old.Version = "f0"
	short := features(1, 1, 1)
	short.Vector = short.Vector[:1]
	for _, f := range []predict.Features{old, short} {
		if _, err := b.Predict(f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestBounds(t *testing.T) {
	bounds := trained(t, "rf_v1").Bounds()
	if bounds.Fixed.Certified || bounds.Fixed.Why != "too few labels" || !bounds.NotFixed.Certified || bounds.NotFixed.Threshold != 0.8 || bounds.NotFixed.Risk != 0.05 {
		t.Errorf("%+v", bounds)
	}
	if none := (&predict.Manifest{}).Bounds(); none.Fixed.Certified || none.NotFixed.Certified {
		t.Errorf("a model without certificates: %+v", none)
	}
}

func TestRoundTrip(t *testing.T) {
	b := trained(t, "rf_v1")
	file := encode(t, b)
	read, err := predict.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, encode(t, read)) {
		t.Error("decoding and encoding gave other bytes")
	}
	for _, a := range []float64{0, 0.49, 0.51, 1} {
		x, _ := b.Predict(features(a, 0.5, 2))
		y, err := read.Predict(features(a, 0.5, 2))
		if err != nil || x.Probability != y.Probability {
			t.Errorf("%v: %v and %v", a, x, y)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	file := encode(t, trained(t, "rf_v1"))
	resealed := func(change func([]byte)) []byte {
		body := bytes.Clone(file[:len(file)-sha256.Size])
		change(body)
		sum := sha256.Sum256(body)
		return append(body, sum[:]...)
	}
	flipped := bytes.Clone(file)
	flipped[len(flipped)/2] ^= 1
	mixed := trained(t, "rf_v1")
	mixed.FeatureVersion = "f2"
	renamed := trained(t, "rf_v1")
	renamed.Features = []string{"b", "a"}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":               {nil, "isn't a model"},
		"foreign":             {bytes.Repeat([]byte("PK\x03\x04"), 100), "isn't a model"},
		"truncated":           {file[:len(file)/2], "damaged or truncated"},
		"a byte short":        {file[:len(file)-1], "damaged or truncated"},
		"only the magic":      {file[:15], "truncated"},
		"a bit flipped":       {flipped, "damaged"},
		"another format":      {append([]byte("crisol model 2\n"), file[15:]...), "format"},
		"an absurd size":      {resealed(func(b []byte) { b[15], b[18] = 0xff, 0xff }), "truncated"},
		"a manifest of noise": {resealed(func(b []byte) { b[20] = 0 }), "manifest"},
		"other features":      {encode(t, mixed), "features of version"},
		"features swapped":    {encode(t, renamed), "feature 0"},
	} {
		if _, err := predict.Decode(c.file); err == nil || crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegistry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	r := &predict.Registry{Dir: dir, Shipped: fstest.MapFS{"rf_v1.model": {Data: encode(t, trained(t, "rf_v1"))}, "gbdt_v1.model": {Data: []byte("crisol model 1\n...")}}}
	list, err := r.List()
	if err != nil || len(list) != 2 || list[0].Version != "gbdt_v1" || list[0].Error == "" || list[1].Error != "" || !list[1].Champion || !list[1].Shipped {
		t.Fatalf("%+v, %v", list, err)
	}
	if b, err := r.Champion(); err != nil || b.Version != "rf_v1" {
		t.Errorf("%v, %v", b, err)
	}
	for _, version := range []string{"gbdt_v1", "none", "../rf_v1", ""} {
		if err := r.Promote(version); err == nil {
			t.Errorf("%q was promoted", version)
		}
	}
	if err := r.Keep(trained(t, "rf_v2")); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote("rf_v2"); err != nil {
		t.Fatal(err)
	}
	again := &predict.Registry{Dir: dir, Shipped: r.Shipped}
	if b, err := again.Champion(); err != nil || b.Version != "rf_v2" {
		t.Errorf("%v, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rf_v1.model"), encode(t, trained(t, "rf_v2")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Open("rf_v1"); err == nil || !strings.Contains(err.Error(), "holds rf_v2") {
		t.Errorf("a model under another's name: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, trained(f, "rf_v1")))
	f.Fuzz(func(t *testing.T, file []byte) {
		// The checksum would stop every change: it is made to match.
		if len(file) > sha256.Size {
			sum := sha256.Sum256(file[:len(file)-sha256.Size])
			copy(file[len(file)-sha256.Size:], sum[:])
		}
		b, err := predict.Decode(file)
		if err != nil {
			if crisol.KindOf(err) != crisol.KindInput {
				t.Fatal(err)
			}
			return
		}
		_, _ = b.Predict(predict.Features{Version: b.FeatureVersion, Vector: make([]float64, len(b.Features))})
	})
}
