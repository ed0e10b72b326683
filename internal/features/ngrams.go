package features

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"crisol/internal/syntax"
)

// Buckets is how many buckets n-grams are hashed into.
const Buckets = 4096

// Count is how often n-grams of a bucket occur, at most maxCount times.
type Count struct {
	Bucket uint16
	N      uint8
}

const (
	maxCount  = 15
	maxGrams  = 20_000 // tokens
	longestNG = 3
)

// NGrams counts the n-grams, of one to three tokens, of what the patch removes and of what it adds, by ascending bucket.
// Names are kept but for the package's own; strings and numbers are reduced to their kind.
func NGrams(in Input) []Count { return Read(in).NGrams() }

// NGrams counts the n-grams of what was read; see the function of that name.
func (c *Reading) NGrams() []Count {
	counts := map[uint16]uint8{}
	pkg := strings.ToLower(lastSegment(c.vulnerability.Package))
	left := maxGrams
	for _, f := range c.files {
		f.before.grams('-', pkg, counts, &left)
		f.after.grams('+', pkg, counts, &left)
	}
	out := make([]Count, 0, len(counts))
	for _, bucket := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, Count{bucket, counts[bucket]})
	}
	return out
}

// grams counts the n-grams of the changed tokens; those that stand together are taken together.
func (s *side) grams(sign byte, pkg string, counts map[uint16]uint8, left *int) {
	var before [longestNG - 1]uint64 // hashes of the tokens before
	have := 0
	for i, t := range s.tokens {
		if !s.changed[i] {
			have = 0
			continue
		}
		if *left--; *left < 0 {
			return
		}
		h := hash(s.normal(t, pkg))
		gram := fnvOffset ^ uint64(sign)
		for n := 0; n <= have; n++ {
			if n == 0 {
				gram = mix(gram, h)
			} else {
				gram = mix(gram, before[have-n])
			}
			if bucket := uint16((gram ^ gram>>29) % Buckets); counts[bucket] < maxCount {
				counts[bucket]++
			}
		}
		if have < len(before) {
			before[have] = h
			have++
		} else {
			copy(before[:], before[1:])
			before[len(before)-1] = h
		}
	}
}

const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

// hash is FNV-1a.
func hash(text []byte) uint64 {
	h := fnvOffset
	for _, c := range text {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

func mix(h, x uint64) uint64 {
	h = (h ^ x) * fnvPrime
	return h ^ h>>31
}

// normal is the form of a token in n-grams.
func (s *side) normal(t syntax.Token, pkg string) []byte {
	text := s.text(t)
	switch t.Kind {
	case syntax.Numeral:
		if len(text) > 2 {
			return []byte("<number>")
		}
	case syntax.Text:
		return bucketOf(unquoted(text))
	case syntax.Pattern:
		return []byte("<regex>")
	case syntax.Word:
		if len(pkg) > 3 && bytes.Contains(lower(text), []byte(pkg)) {
			return []byte("<package>")
		}
	}
	return text
}

// bucketOf reduces a string to its kind. What attacks and filters are made of is kept.
func bucketOf(inner []byte) []byte {
	switch {
	case len(inner) == 0:
		return []byte("<empty>")
	case len(inner) <= 12 && (dangerous(inner) || len(inner) <= 2):
		return inner
	case bytes.ContainsAny(inner, "<>"):
		return []byte("<markup>")
	case bytes.ContainsAny(inner, " "):
		return []byte("<sentence>")
	case bytes.ContainsAny(inner, "/\\"):
		return []byte("<path>")
	}
	return []byte("<word>")
}

func sorted(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
