package cache

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// What Redis holds under a key, in little endian:
//
//	 0  1   form, wireForm
//	 1 16   root of the table of generations
//	17  8   counter of everything
//	25  8   counter of the slot
//	33  8   end of life, milliseconds since 1970
//	41  4   CRC-32C over the identity, the bytes before and the value
//	45      value
//
// The sum finds what was cut, damaged or written under a wrong key by accident. It is no defence against somebody who
// may write to the Redis: whoever may do that decides answers, and must be trusted.
const (
	wireForm   = 1
	wireSum    = 41
	wireHeader = 45
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode makes the bytes for Redis.
func encode(id identity, t *table, value []byte, end time.Time) []byte {
	b := make([]byte, wireHeader, wireHeader+len(value))
	b[0] = wireForm
	copy(b[1:], t.root[:])
	binary.LittleEndian.PutUint64(b[17:], t.counters[allSlots])
	binary.LittleEndian.PutUint64(b[25:], t.counters[id.slot])
	binary.LittleEndian.PutUint64(b[33:], uint64(end.UnixMilli()))
	binary.LittleEndian.PutUint32(b[wireSum:], sum(id, b[:wireSum], value))
	return append(b, value...)
}

func sum(id identity, header, value []byte) uint32 {
	var head [len(Key{}) + 3]byte
	copy(head[:], id.key[:])
	binary.LittleEndian.PutUint16(head[len(Key{}):], id.slot)
	head[len(Key{})+2] = byte(id.kind)
	s := crc32.Update(0, castagnoli, head[:])
	s = crc32.Update(s, castagnoli, header)
	return crc32.Update(s, castagnoli, value)
}

// found says what became of bytes from Redis.
type found uint8

const (
	foundValid   found = iota
	foundStale         // of another generation, or past its life
	foundDamaged       // not what encode makes
)

// decode takes the value out of bytes from Redis, and how long it may still live at now. The value is a part of b.
func decode(id identity, t *table, b []byte, now time.Time) (value []byte, life time.Duration, f found) {
	if len(b) < wireHeader || b[0] != wireForm || binary.LittleEndian.Uint32(b[wireSum:]) != sum(id, b[:wireSum], b[wireHeader:]) {
		return nil, 0, foundDamaged
	}
	end := time.UnixMilli(int64(binary.LittleEndian.Uint64(b[33:])))
	life = end.Sub(now)
	if [16]byte(b[1:17]) != t.root || binary.LittleEndian.Uint64(b[17:]) != t.counters[allSlots] ||
		binary.LittleEndian.Uint64(b[25:]) != t.counters[id.slot] || life <= 0 {
		return nil, 0, foundStale
	}
	return b[wireHeader:], life, foundValid
}
