package forest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"crisol"
	"crisol/internal/forest"
)

// seal writes the size and the checksum that fit a model's body.
func seal(body []byte) []byte {
	b := slices.Clone(body)
	if len(b) >= 20 {
		binary.LittleEndian.PutUint64(b[12:], uint64(len(b)+sha256.Size))
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func unseal(model []byte) []byte { return slices.Clone(model[:len(model)-sha256.Size]) }

// tiny has one tree: a split on f1 at about 0, and two leaves.
func tiny(t testing.TB) []byte {
	d := generate(30, 50, 2, 0, func(row []float64) bool { return row[1] > 0 })
	for i, row := range d.Rows {
		row[0], row[1] = 1, math.Copysign(1, row[1])
		d.Labels[i] = row[1] > 0
	}
	m := trainForest(t, d, forest.Forest{Trees: 1, Whole: true}).Model
	if m.Nodes() != 3 {
		t.Fatalf("the tree has %d nodes", m.Nodes())
	}
	return m.Encode()
}

func TestEncodedModelComesBack(t *testing.T) {
	for _, l := range learners {
		d := generate(1, 800, 6, 0.1, additive)
		punch(d.Rows, 0.1)
		m := l.train(t, d)
		b := m.Encode()
		back, err := forest.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Encode(), b) {
			t.Errorf("%s: other bytes come back", l.name)
		}
		if back.Kind() != m.Kind() || back.FeatureSet() != "test/1" || !slices.Equal(back.Names(), m.Names()) || back.Trees() != m.Trees() || back.Nodes() != m.Nodes() {
			t.Errorf("%s: another model comes back", l.name)
		}
		if !slices.Equal(predict(t, back, d.Rows), predict(t, m, d.Rows)) {
			t.Errorf("%s: other predictions come back", l.name)
		}
		if a, b := explain(t, back, d.Rows[0]), explain(t, m, d.Rows[0]); a.Base != b.Base || !slices.Equal(a.Contributions, b.Contributions) {
			t.Errorf("%s: other explanations come back", l.name)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	model := tiny(t)
	// Places in tiny: header 36, "test/1" 7, two names of 3, then 1 size, 3 slots, 3 values, 1 share.
	const sizes, slotsAt = 49, 51
	const values, share = slotsAt + 6, slotsAt + 6 + 12
	if len(model) != share+4+sha256.Size {
		t.Fatalf("the model has %d bytes; the places below are wrong", len(model))
	}
	u16 := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint16(b[at:], v) }
	}
	u32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
	}
	f32 := func(at int, v float32) func([]byte) { return u32(at, math.Float32bits(v)) }
	u8 := func(at int, v byte) func([]byte) { return func(b []byte) { b[at] = v } }
	nan := float32(math.NaN())
	for _, c := range []struct {
		name, want string
		change     func(b []byte)
	}{
		{"foreign", "not a model of Crisol", u8(0, 'x')},
		{"newer", "format version 2 is newer than 1", u16(8, 2)},
		{"no version", "format version 0", u16(8, 0)},
		{"kind", "kind 9 is unknown", u8(10, 9)},
		{"reserved", "the reserved byte is 1", u8(11, 1)},
		{"base of a random forest", "base 1", f32(20, 1)},
		{"no number as base", "base NaN", f32(20, nan)},
		{"no features", "0 features", u16(24, 0)},
		{"features past the limit", "256 features", u16(24, 256)},
		{"more features than names", "the names end before all 200", u16(24, 200)},
		{"no trees", "0 trees", u16(26, 0)},
		{"trees past the limit", "10001 trees", u16(26, 10_001)},
		{"more trees than data", "10000 trees of 3 nodes", u16(26, 10_000)},
		{"more nodes than data", "4294967295 nodes", u32(28, math.MaxUint32)},
		{"fewer nodes", "2 nodes", u32(28, 2)},
		{"more splits than data", "4294967295 splits", u32(32, math.MaxUint32)},
		{"feature set", "no UTF-8", u8(37, 0xff)},
		{"name", "bytes of UTF-8", u8(44, 0xff)},
		{"same names", `two features are named "f0"`, u8(48, '0')},
		{"tree's size", "together, not 3", u16(sizes, 5)},
		{"feature past the last", "feature that isn't there (slot 6)", u16(slotsAt, 6)},
		{"slot 1", "feature that isn't there (slot 1)", u16(slotsAt, 1)},
		{"no root", "no tree", u16(slotsAt, 0)},
		{"child past the end", "node 1 has child 3", u16(slotsAt+2, 2)},
		{"threshold NaN", "node 0 has value NaN", f32(values, nan)},
		{"threshold infinite", "node 0 has value +Inf", f32(values, float32(math.Inf(1)))},
		{"leaf NaN", "node 1 has value NaN", f32(values+4, nan)},
		{"leaf above 1", "leaf 1 has value 1.5", f32(values+4, 1.5)},
		{"leaf below 0", "leaf 1 has value -1", f32(values+4, -1)},
		{"share 0", "share of 0", f32(share, 0)},
		{"share that vanishes", "share of 1e-30", f32(share, 1e-30)},
		{"threshold -0", "threshold -0", f32(values, float32(math.Copysign(0, -1)))},
		{"share 1", "share of 1", f32(share, 1)},
		{"share NaN", "share of NaN", f32(share, nan)},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := unseal(model)
			c.change(body)
			_, err := forest.Decode(seal(body))
			refused(t, err, c.want)
		})
	}
	newer := unseal(model)
	u16(8, 2)(newer)
	if _, err := forest.Decode(seal(newer)); crisol.HintOf(err) == "" {
		t.Error("a newer format gives no hint")
	}
	_, err := forest.Decode(append(slices.Clone(model), 0))
	refused(t, err, "1 bytes follow")
	_, err = forest.Decode(nil)
	refused(t, err, "not a model of Crisol")
}

// A root with one child, and a chain whose child would lie before it.
func TestDecodeRefusesWhatIsNoTree(t *testing.T) {
	for _, c := range []struct {
		name, want string
		slots      []uint16
	}{
		{"a leaf too many", "no tree", []uint16{2, 0, 0, 0}},
		{"a split behind its children", "isn't behind it", []uint16{0, 0, 2}},
		{"an orphan that splits", "isn't behind it", []uint16{2, 0, 0, 2, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := unseal(tiny(t))[:49]
			splits := 0
			body = binary.LittleEndian.AppendUint16(body, uint16(len(c.slots)))
			for _, s := range c.slots {
				body = binary.LittleEndian.AppendUint16(body, s)
				if s != 0 {
					splits++
				}
			}
			for range c.slots {
				body = binary.LittleEndian.AppendUint32(body, 0)
			}
			for range splits {
				body = binary.LittleEndian.AppendUint32(body, math.Float32bits(0.5))
			}
			binary.LittleEndian.PutUint32(body[28:], uint32(len(c.slots)))
			binary.LittleEndian.PutUint32(body[32:], uint32(splits))
			_, err := forest.Decode(seal(body))
			refused(t, err, c.want)
		})
	}
}

func TestDecodeRefusesDeepTrees(t *testing.T) {
	for _, depth := range []int{forest.MaxDepth, forest.MaxDepth + 1} {
		body := unseal(tiny(t))[:49]
		body = binary.LittleEndian.AppendUint16(body, uint16(2*depth+1))
		slots := []uint16{2}
		for range depth - 1 {
			slots = append(slots, 0, 2) // each level a leaf and a split
		}
		for _, s := range append(slots, 0, 0) {
			body = binary.LittleEndian.AppendUint16(body, s)
		}
		for range 2*depth + 1 {
			body = binary.LittleEndian.AppendUint32(body, 0)
		}
		for range depth {
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(0.5))
		}
		binary.LittleEndian.PutUint32(body[28:], uint32(2*depth+1))
		binary.LittleEndian.PutUint32(body[32:], uint32(depth))
		m, err := forest.Decode(seal(body))
		if depth > forest.MaxDepth {
			refused(t, err, "deeper than 15")
			continue
		}
		if err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
		adds(t, m, []float64{1, 1}, explain(t, m, []float64{1, 1}))
	}
}

func TestDecodeRefusesEveryCutAndEveryFlippedByte(t *testing.T) {
	model := tiny(t)
	for i := range model {
		if _, err := forest.Decode(model[:i]); err == nil {
			t.Fatalf("the first %d bytes of %d are accepted", i, len(model))
		}
		flipped := slices.Clone(model)
		flipped[i] ^= 0x10
		if _, err := forest.Decode(flipped); err == nil {
			t.Fatalf("byte %d is flipped and accepted", i)
		}
	}
}

// FuzzDecode seals what it is given, so that the parser behind the checksum is reached; the input as it is must be
// refused or come back too.
func FuzzDecode(f *testing.F) {
	f.Add(unseal(tiny(f)))
	d := generate(1, 60, 3, 0.1, two)
	f.Add(unseal(boost(f, d, forest.Boosting{Trees: 2, Depth: 2, LeafRows: 5}).Encode()))
	f.Add(unseal(trainForest(f, d, forest.Forest{Trees: 9, Depth: 3}).Model.Encode()))
	f.Add(tiny(f))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, b := range [][]byte{body, seal(body)} {
			m, err := forest.Decode(b)
			if err != nil {
				if crisol.KindOf(err) != crisol.KindInput {
					t.Fatalf("%v is of kind %s", err, crisol.KindOf(err))
				}
				continue
			}
			if !bytes.Equal(m.Encode(), b) {
				t.Fatal("other bytes come back")
			}
			ask(t, m)
		}
	})
}

// ask asks an accepted model for rows of every sort.
func ask(t *testing.T, m *forest.Model) {
	row := make([]float64, len(m.Names()))
	for _, x := range []float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		for f := range row {
			row[f] = x
		}
		p, err := m.Predict(row)
		if err != nil || !(p >= 0 && p <= 1) {
			t.Fatalf("probability %g, %v", p, err)
		}
		if m.Nodes() < 1000 {
			e, err := m.Explain(row)
			if err != nil {
				t.Fatal(err)
			}
			for f, c := range e.Contributions {
				if math.IsNaN(c) {
					t.Fatalf("feature %d contributes NaN", f)
				}
			}
		}
	}
}
