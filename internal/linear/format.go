package linear

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"crisol"
)

// magic opens an encoded model: its name and the version of the format.
const magic = "CRLR\x01"

// MarshalBinary encodes the model. The layout, all little-endian:
//
//	"CRLR" 1                                    magic and version
//	float64 intercept
//	uvarint d, then d times float64 mean, scale, coefficient
//	uvarint s, the number of sparse coefficients that aren't zero, then s times uvarint step, float32 coefficient,
//	    where step is the distance from the column before (from -1 for the first)
//	uint32  CRC-32C of all bytes before
func (m *Model) MarshalBinary() ([]byte, error) {
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.intercept))
	b = binary.AppendUvarint(b, uint64(len(m.dense)))
	for j := range m.dense {
		for _, x := range [3]float64{m.mean[j], m.scale[j], m.dense[j]} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	count := 0
	for _, c := range m.sparse {
		if c != 0 {
			count++
		}
	}
	b = binary.AppendUvarint(b, uint64(count))
	last := -1
	for column, c := range m.sparse {
		if c != 0 {
			b = binary.AppendUvarint(b, uint64(column-last))
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(c))
			last = column
		}
	}
	return binary.LittleEndian.AppendUint32(b, checksum(b)), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// UnmarshalBinary decodes what MarshalBinary wrote, and nothing else: another version, a wrong checksum, numbers that
// aren't finite and bytes left over are errors.
func (m *Model) UnmarshalBinary(b []byte) error {
	if len(b) < len(magic)+4 || string(b[:len(magic)]) != magic {
		return crisol.Errorf(crisol.KindInput, "read linear model: %d bytes that don't begin with CRLR version 1", len(b))
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := checksum(body); got != sum {
		return crisol.Errorf(crisol.KindInput, "read linear model: checksum %08x, want %08x: the file is damaged", got, sum)
	}
	d := decoder{rest: body[len(magic):]}
	read := Model{intercept: d.float64()}
	for range d.count(24) {
		read.mean = append(read.mean, d.float64())
		read.scale = append(read.scale, d.float64())
		read.dense = append(read.dense, d.float64())
		if read.scale[len(read.scale)-1] <= 0 {
			d.bad = true
		}
	}
	read.sparse = d.sparse()
	if d.bad || len(d.rest) > 0 {
		return crisol.Errorf(crisol.KindInput, "read linear model: not a model: values out of range, or %d bytes too many", len(d.rest))
	}
	*m = read
	return nil
}

// decoder reads from rest; bad is set, and zeros are returned, once it doesn't hold what was asked for.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return make([]byte, n)
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) float64() float64 {
	x := math.Float64frombits(binary.LittleEndian.Uint64(d.take(8)))
	if math.IsNaN(x) || math.IsInf(x, 0) {
		d.bad = true
	}
	return x
}

// uvarint reads a number in its shortest form.
func (d *decoder) uvarint() uint64 {
	x, n := binary.Uvarint(d.rest)
	if n <= 0 || n != len(binary.AppendUvarint(nil, x)) {
		d.bad = true
		return 0
	}
	d.take(n)
	return x
}

// count reads how many things of at least size bytes follow; more than the rest could hold is bad.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/size) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) sparse() []float32 {
	n := d.count(5)
	if n == 0 {
		return nil
	}
	type entry struct {
		column int
		value  float32
	}
	entries := make([]entry, 0, n)
	column := -1
	for range n {
		step := d.uvarint()
		value := math.Float32frombits(binary.LittleEndian.Uint32(d.take(4)))
		if step == 0 || step > maxColumn || column+int(step) >= maxColumn || value == 0 || math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
			d.bad = true
		}
		if d.bad {
			return nil
		}
		column += int(step)
		entries = append(entries, entry{column, value})
	}
	coefficients := make([]float32, column+1)
	for _, e := range entries {
		coefficients[e.column] = e.value
	}
	return coefficients
}
