package linear

import "encoding/binary"

// Seal appends the checksum that makes any bytes worth decoding.
func Seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(append([]byte(nil), body...), checksum(body))
}
