package predict

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"crisol"
	"crisol/internal/forest"
	"crisol/internal/linear"
)

// magic begins every file; its last character is the version of the format.
const magic = "crisol model 1\n"

// maxFile bounds what is read: a model of ten thousand rows is a few megabytes.
const maxFile = 256 << 20

// Encode returns the bundle's file: the magic, three parts (the manifest as JSON, the weights of the n-grams, the trees),
// each after its length as a little-endian uint32, and the SHA-256 of all before.
func (b *Bundle) Encode() ([]byte, error) {
	manifest, err := json.Marshal(b.Manifest)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest of %s: %w", b.Version, err)
	}
	grams, err := b.NGrams.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode the n-grams of %s: %w", b.Version, err)
	}
	file := []byte(magic)
	for _, part := range [][]byte{manifest, grams, b.Trees.Encode()} {
		file = binary.LittleEndian.AppendUint32(file, uint32(len(part)))
		file = append(file, part...)
	}
	sum := sha256.Sum256(file)
	return append(file, sum[:]...), nil
}

// Decode reads a bundle's file. What isn't whole, isn't ours or doesn't fit together is an error of the input.
func Decode(file []byte) (*Bundle, error) {
	b, err := decode(file)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the model: %w", err)
	}
	sum := sha256.Sum256(file)
	b.Digest = hex.EncodeToString(sum[:])
	return b, nil
}

func decode(file []byte) (*Bundle, error) {
	parts, err := split(file)
	if err != nil {
		return nil, err
	}
	b := &Bundle{NGrams: &linear.Model{}}
	decoder := json.NewDecoder(bytes.NewReader(parts[0]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&b.Manifest); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if err := b.NGrams.UnmarshalBinary(parts[1]); err != nil {
		return nil, fmt.Errorf("its n-grams: %w", err)
	}
	if b.Trees, err = forest.Decode(parts[2]); err != nil {
		return nil, fmt.Errorf("its trees: %w", err)
	}
	return b, b.check()
}

func split(file []byte) ([][]byte, error) {
	switch {
	case len(file) > maxFile:
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	case len(file) < len(magic) || string(file[:len(magic)-2]) != magic[:len(magic)-2]:
		return nil, fmt.Errorf("it isn't a model of Crisol's")
	case string(file[:len(magic)]) != magic:
		return nil, fmt.Errorf("its format is %q, and %q is read", file[:len(magic)-1], magic[:len(magic)-1])
	case len(file) < len(magic)+sha256.Size:
		return nil, fmt.Errorf("it is truncated")
	}
	body, sum := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("it is damaged or truncated: its checksum doesn't match")
	}
	rest := body[len(magic):]
	parts := make([][]byte, 3)
	for i := range parts {
		if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, fmt.Errorf("part %d is truncated", i+1)
		}
		size := binary.LittleEndian.Uint32(rest)
		parts[i], rest = rest[4:4+size], rest[4+size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes are left over", len(rest))
	}
	return parts, nil
}

// check refuses parts that don't belong together.
func (b *Bundle) check() error {
	names := b.Trees.Names()
	switch {
	case b.Version == "" || b.Calibration == nil:
		return fmt.Errorf("it has no version or no calibration")
	case b.Trees.FeatureSet() != b.FeatureVersion:
		return fmt.Errorf("its trees read features of version %q, its manifest says %q", b.Trees.FeatureSet(), b.FeatureVersion)
	case len(names) != len(b.Features)+1 || names[len(names)-1] != NGramFeature:
		return fmt.Errorf("its trees read %d features, its manifest names %d and the n-grams' score", len(names), len(b.Features))
	case b.NGrams.Columns() != 0:
		return fmt.Errorf("its n-grams have %d dense columns", b.NGrams.Columns())
	}
	for i, name := range b.Features {
		if names[i] != name {
			return fmt.Errorf("feature %d is %q to its trees and %q to its manifest", i, names[i], name)
		}
	}
	return nil
}
