package forest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"

	"crisol"
)

// A model's bytes, all numbers little-endian:
//
//	magic         8 bytes
//	version       uint16
//	kind          uint8, and a byte that is 0
//	size          uint64, of the whole, checksum included
//	base          float32
//	features      uint16
//	trees         uint16
//	nodes         uint32, of all trees
//	splits        uint32, of all trees
//	feature set   uint8 length, and so many bytes of UTF-8
//	names         for each feature as above
//	sizes         for each tree uint16: its nodes
//	slots         for each node uint16: 0 in a leaf; 2f+2 sends a missing feature f to the left, 2f+3 to the right
//	values        for each node float32: a split's threshold, a leaf's value
//	shares        for each split float32, of its training weight that went left
//	checksum      SHA-256 of all that is before it
//
// A tree's nodes lie level by level. The k-th split's children are nodes 2k+1 and 2k+2 of its tree, so a child needs no
// number of its own, and no file can hold a cycle.
const (
	magic      = "\x8bcrisolF"
	version    = 1 // below 256
	headerSize = len(magic) + 2 + 2 + 8 + 4 + 2 + 2 + 4 + 4
	maxName    = 255
)

// Encode returns the model's bytes, the same for the same model.
func (m *Model) Encode() []byte {
	var sizes, slots, values, shares []byte
	for i := range m.trees {
		t := m.timber(i)
		sizes = binary.LittleEndian.AppendUint16(sizes, uint16(len(t.slots)))
		for n, slot := range t.slots {
			slots = binary.LittleEndian.AppendUint16(slots, slot)
			values = binary.LittleEndian.AppendUint32(values, math.Float32bits(t.values[n]))
			if slot != 0 {
				shares = binary.LittleEndian.AppendUint32(shares, math.Float32bits(t.shares[n]))
			}
		}
	}
	b := append([]byte(magic), version, 0, byte(m.kind), 0)
	b = binary.LittleEndian.AppendUint64(b, 0) // the size, once it is known
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(m.base))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.names)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.trees)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.nodes)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(shares)/4))
	for _, text := range append([]string{m.featureSet}, m.names...) {
		b = append(append(b, byte(len(text))), text...)
	}
	b = slices.Concat(b, sizes, slots, values, shares)
	binary.LittleEndian.PutUint64(b[len(magic)+4:], uint64(len(b)+sha256.Size))
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Decode makes a model of its bytes. It accepts exactly what Encode writes: anything else is an error of KindInput that
// says what is wrong. It allocates in proportion to the data, whatever sizes they claim.
func Decode(data []byte) (*Model, error) {
	m, err := decode(data)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "decode model: %w", err)
	}
	return m, nil
}

func decode(data []byte) (*Model, error) {
	if err := checkFrame(data); err != nil {
		return nil, err
	}
	r := reader{data: data[len(magic)+2 : len(data)-sha256.Size]}
	m := &Model{kind: Kind(r.uint8())}
	reserved := r.uint8()
	r.take(8)
	m.base = r.float32()
	features, trees, nodes, splits := int(r.uint16()), int(r.uint16()), int(r.uint32()), int(r.uint32())
	switch {
	case m.kind != RandomForest && m.kind != GradientBoosting:
		return nil, crisol.Errorf(crisol.KindInput, "kind %d is unknown", m.kind)
	case reserved != 0:
		return nil, crisol.Errorf(crisol.KindInput, "the reserved byte is %d, not 0", reserved)
	case !finite(m.base) || m.kind == RandomForest && math.Float32bits(m.base) != 0:
		return nil, crisol.Errorf(crisol.KindInput, "base %g is not one of a %s", m.base, m.kind)
	case features < 1 || features > MaxFeatures:
		return nil, crisol.Errorf(crisol.KindInput, "%d features; 1 to %d can be", features, MaxFeatures)
	case trees < 1 || trees > MaxTrees:
		return nil, crisol.Errorf(crisol.KindInput, "%d trees; 1 to %d can be", trees, MaxTrees)
	}
	texts := make([]string, features+1)
	for i := range texts {
		texts[i] = string(r.take(int(r.uint8())))
	}
	if r.short {
		return nil, crisol.Errorf(crisol.KindInput, "the names end before all %d are there", features)
	}
	m.featureSet, m.names = texts[0], texts[1:]
	if err := checkNames(m.featureSet, m.names); err != nil {
		return nil, err
	}
	if want := 2*trees + (2+4)*nodes + 4*splits; len(r.data) != want {
		return nil, crisol.Errorf(crisol.KindInput, "%d trees of %d nodes with %d splits take %d bytes, and %d are there", trees, nodes, splits, want, len(r.data))
	}
	return m, m.readTrees(&r, trees, nodes, splits)
}

// checkFrame checks what can be told of any version: the magic, the version, the size and the checksum.
func checkFrame(data []byte) error {
	if !bytes.HasPrefix(data, []byte(magic)) {
		return crisol.Errorf(crisol.KindInput, "this is not a model of Crisol: it doesn't begin with its magic bytes")
	}
	if len(data) < headerSize+sha256.Size {
		return crisol.Errorf(crisol.KindInput, "truncated: %d bytes are less than a header and a checksum", len(data))
	}
	switch v := binary.LittleEndian.Uint16(data[len(magic):]); {
	case v > version:
		err := crisol.Errorf(crisol.KindInput, "format version %d is newer than %d, which this program reads", v, version)
		return crisol.WithHint(err, "update crisol, or train the model with this version")
	case v < version:
		return crisol.Errorf(crisol.KindInput, "format version %d doesn't exist", v)
	}
	size := binary.LittleEndian.Uint64(data[len(magic)+4:])
	switch have := uint64(len(data)); {
	case have < size:
		return crisol.Errorf(crisol.KindInput, "truncated: %d bytes of %d", have, size)
	case have > size:
		return crisol.Errorf(crisol.KindInput, "%d bytes follow the model's %d", have-size, size)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return crisol.Errorf(crisol.KindInput, "corrupt: the checksum is not that of the content")
	}
	return nil
}

// readTrees reads nodes whose number has been checked against the data's length.
func (m *Model) readTrees(r *reader, trees, nodes, splits int) error {
	sizes := make([]int, trees)
	total := 0
	for i := range sizes {
		sizes[i] = int(r.uint16())
		total += sizes[i]
	}
	if total != nodes {
		return crisol.Errorf(crisol.KindInput, "the trees have %d nodes together, not %d", total, nodes)
	}
	slotsOf := reader{data: r.take(2 * nodes)}
	values := reader{data: r.take(4 * nodes)}
	m.nodes, m.shares, m.trees = make([]node, 0, nodes), make([]float32, 0, nodes), make([]tree, 0, trees)
	for i, size := range sizes {
		t, err := m.readTree(size, &slotsOf, &values, r)
		if err == nil && t.depth() > MaxDepth {
			err = crisol.Errorf(crisol.KindInput, "deeper than %d", MaxDepth)
		}
		if err != nil {
			return crisol.Errorf(crisol.KindInput, "tree %d: %w", i, err)
		}
		m.add(t)
	}
	if len(r.data) != 0 || r.short {
		return crisol.Errorf(crisol.KindInput, "the trees don't have the %d splits that are told", splits)
	}
	m.settle()
	return nil
}

// readTree reads one tree, and checks that it is one: that every split's children lie behind it, and that every node but
// the root is a child.
func (m *Model) readTree(size int, slotsOf, values, shares *reader) (timber, error) {
	t := newTimber(size)
	child := 1
	for i := range size {
		slot, value := slotsOf.uint16(), values.float32()
		t.slots[i], t.values[i] = slot, value
		if !finite(value) {
			return t, crisol.Errorf(crisol.KindInput, "node %d has value %g", i, value)
		}
		if slot == 0 {
			if m.kind == RandomForest && !(value >= 0 && value <= 1) {
				return t, crisol.Errorf(crisol.KindInput, "leaf %d has value %g, which is no probability", i, value)
			}
			continue
		}
		switch t.shares[i] = shares.float32(); {
		case slot == 1 || int(slot)/2 > len(m.names):
			return t, crisol.Errorf(crisol.KindInput, "node %d asks for a feature that isn't there (slot %d)", i, slot)
		case child <= i || child+1 >= size:
			return t, crisol.Errorf(crisol.KindInput, "node %d has child %d, which isn't behind it in a tree of %d nodes", i, child, size)
		case math.Float32bits(value) == math.Float32bits(float32(math.Copysign(0, -1))):
			return t, crisol.Errorf(crisol.KindInput, "node %d has threshold -0, which is written as 0", i)
		case !(t.shares[i] >= leastShare && t.shares[i] < 1):
			return t, crisol.Errorf(crisol.KindInput, "node %d has a share of %g, which isn't between %.2g and 1", i, t.shares[i], leastShare)
		}
		child += 2
	}
	if size != child {
		return t, crisol.Errorf(crisol.KindInput, "%d nodes with %d splits are no tree", size, child/2)
	}
	return t, nil
}

// checkNames checks a feature set's version and its features' names.
func checkNames(set string, names []string) error {
	if len(names) < 1 || len(names) > MaxFeatures {
		return crisol.Errorf(crisol.KindInput, "%d features; 1 to %d can be", len(names), MaxFeatures)
	}
	if len(set) > maxName || !utf8.ValidString(set) {
		return crisol.Errorf(crisol.KindInput, "the feature set %.300q is longer than %d bytes or no UTF-8", set, maxName)
	}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if name == "" || len(name) > maxName || !utf8.ValidString(name) {
			return crisol.Errorf(crisol.KindInput, "feature %d is named %.300q; a name is 1 to %d bytes of UTF-8", i, name, maxName)
		}
		if seen[name] {
			return crisol.Errorf(crisol.KindInput, "two features are named %q", name)
		}
		seen[name] = true
	}
	return nil
}

func finite(x float32) bool { return x-x == 0 }

// reader takes numbers off data. Past the end it gives zeros, and remembers that it was short.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.data) {
		r.short, r.data = true, nil
		return nil
	}
	taken := r.data[:n]
	r.data = r.data[n:]
	return taken
}

func (r *reader) uint8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) float32() float32 { return math.Float32frombits(r.uint32()) }
