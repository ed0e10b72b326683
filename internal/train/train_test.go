package train_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"crisol"
	"crisol/internal/dataset"
	"crisol/internal/predict"
	"crisol/internal/random"
	"crisol/internal/train"
)

// made are rows of 80 groups: the first feature tells the label in most of them, an n-gram tells the rest, and another
// n-gram is the group's own.
func made(noise float64) train.Data {
	stream := random.New(7)
	d := train.Data{RowsDigest: "r", Set: dataset.Set{Header: dataset.Header{FeatureVersion: "f1", Features: []string{"tells", "noise"}, Buckets: 512, CorpusDigest: "c"}}}
	for group := range 80 {
		for k := range 8 {
			fixed := k%2 == 0
			tells := 0.0
			if fixed {
				tells = 1
			}
			row := dataset.Row{ID: fmt.Sprintf("%03d-%d", group, k), Verdict: crisol.NotFixed, Vector: dataset.Vector{tells + noise*(stream.Float64()-0.5), stream.Float64()}}
			bucket := uint16(1)
			if fixed {
				row.Verdict, bucket = crisol.Fixed, 2
			}
			if k == 7 {
				row.Vector[0] = math.NaN()
			}
			row.NGrams = dataset.NGrams{{Bucket: bucket, Count: 1}, {Bucket: uint16(100 + group), Count: 2}}
			d.Rows, d.Groups, d.Folds = append(d.Rows, row), append(d.Groups, group), append(d.Folds, group%5)
		}
	}
	return d
}

func TestRun(t *testing.T) {
	d := made(0.5)
	rf, gbdt, err := train.Run(t.Context(), d, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, trained := range []train.Trained{rf, gbdt} {
		b := trained.Bundle
		for i, row := range d.Rows {
			if (trained.Probabilities[i] > 0.5) != row.Fixed() {
				t.Errorf("%s: row %s of verdict %s has %v out of fold", b.Version, row.ID, row.Verdict, trained.Probabilities[i])
			}
		}
		p, err := b.Predict(predict.Features{Version: "f1", Vector: []float64{1, 0.5}, NGrams: dataset.NGrams{{Bucket: 2, Count: 1}}})
		if err != nil || !p.Valid {
			t.Errorf("%s: %+v, %v", b.Version, p, err)
		}
		if c := b.Certificates.NotFixed; c.Groups != 80 || c.Errors != 0 || (c.Abstains && c.Needed == 0) {
			t.Errorf("%s: %+v", b.Version, c)
		}
		if v := b.Provenance; v.Rows != 640 || v.Fixed != 320 || v.Groups != 80 || v.RowsDigest != "r" || v.Settings["trees"] == nil {
			t.Errorf("%+v", v)
		}
	}
}

// TestReproducible: neither the number of workers nor another run changes a byte.
func TestReproducible(t *testing.T) {
	var first [][]byte
	for _, workers := range []int{1, 3, 8} {
		rf, gbdt, err := train.Run(t.Context(), made(1.5), train.Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		for i, trained := range []train.Trained{rf, gbdt} {
			file, err := trained.Bundle.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if len(first) < 2 {
				first = append(first, file)
			} else if !bytes.Equal(first[i], file) {
				t.Errorf("%d workers made another %s", workers, trained.Bundle.Version)
			}
		}
	}
}

// TestUnseen: labels that only a group's own n-gram tells can't be told of a group that was left out.
func TestUnseen(t *testing.T) {
	d := made(0)
	stream := random.New(3)
	for i := range d.Rows {
		fixed := d.Groups[i]%2 == 0
		d.Rows[i].Verdict = crisol.NotFixed
		if fixed {
			d.Rows[i].Verdict = crisol.Fixed
		}
		d.Rows[i].Vector = dataset.Vector{stream.Float64(), stream.Float64()}
		d.Rows[i].NGrams = d.Rows[i].NGrams[1:]
	}
	rf, gbdt, err := train.Run(t.Context(), d, train.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, trained := range []train.Trained{rf, gbdt} {
		right := 0
		for i, row := range d.Rows {
			if (trained.Probabilities[i] > 0.5) == row.Fixed() {
				right++
			}
		}
		if share := float64(right) / float64(len(d.Rows)); share > 0.65 {
			t.Errorf("%s: %.2f of the labels of unseen groups were told by nothing", trained.Bundle.Version, share)
		}
		if c := trained.Bundle.Certificates; !c.Fixed.Abstains || !c.NotFixed.Abstains {
			t.Errorf("%s is certified: %+v", trained.Bundle.Version, c)
		}
	}
}

func TestRefused(t *testing.T) {
	torn := made(1)
	torn.Folds[0] = 4
	few := made(1)
	for i := range few.Folds {
		few.Folds[i] %= 2
	}
	for i := range few.Groups {
		few.Groups[i] = i
	}
	one := made(1)
	for i := range one.Rows {
		one.Rows[i].Verdict = crisol.Fixed
	}
	for name, d := range map[string]train.Data{"a group in two folds": torn, "two folds": few, "one label": one} {
		if _, _, err := train.Run(t.Context(), d, train.Options{}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
