package cache

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key is a digest of everything that decides an answer. It holds no reference to what it was made of, so that a key
// that is kept does not keep a request's body.
type Key [sha256.Size]byte

// KeyOf digests parts. Each goes in behind its length, so that no two lists of parts have one text: "a", "bc" is not
// "ab", "c".
func KeyOf(parts ...[]byte) Key {
	h := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	var k Key
	h.Sum(k[:0])
	return k
}

// slots is the number of generations beside the one of everything. A scope's slot is a hash of its name: the table of
// generations has a bounded size whatever scopes there are, and costs nothing to ask. What two scopes share by chance
// is only that they are invalidated together.
const slots = 4096

// allSlots is the index of the generation of everything.
const allSlots = slots

// slotOf is FNV-1a with a final mix (the low bits of FNV alone spread badly over names that differ in a digit). Every
// instance must compute the same, so it is not seeded.
func slotOf(scope string) uint16 {
	h := uint64(14695981039346656037)
	for i := range len(scope) {
		h = (h ^ uint64(scope[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return uint16(h % slots)
}
