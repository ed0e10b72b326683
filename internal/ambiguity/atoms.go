package ambiguity

import (
	"cmp"
	"slices"
	"strings"
)

// atomise divides all characters into atoms: those that are in the same ranges. It returns each range as a set of atoms
// and a character for each atom; atoms are numbered by how welcome that character is in a text.
func atomise(ranges []set) ([]bitset, []rune) {
	distinct, which := distinctSets(ranges)
	pieces := cut(distinct)
	groups := map[string]int{}
	var chars []rune
	var members []string
	for _, piece := range pieces {
		key, r := signature(distinct, piece), representative(piece)
		if r < 0 {
			continue
		}
		i, known := groups[key]
		if !known {
			groups[key] = len(chars)
			chars, members = append(chars, r), append(members, key)
		} else if welcome(r) < welcome(chars[i]) {
			chars[i] = r
		}
	}
	order := make([]int, len(chars))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(welcome(chars[a]), welcome(chars[b])), cmp.Compare(chars[a], chars[b]))
	})
	atoms := make([]rune, len(chars))
	sets := make([]bitset, len(distinct))
	for i := range sets {
		sets[i] = newBitset(len(chars))
	}
	for number, i := range order {
		atoms[number] = chars[i]
		for d := range distinct {
			if members[i][d] == '1' {
				sets[d].add(number)
			}
		}
	}
	out := make([]bitset, len(ranges))
	for i, d := range which {
		out[i] = sets[d]
	}
	return out, atoms
}

func distinctSets(ranges []set) (distinct []set, which []int) {
	seen := map[string]int{}
	for _, s := range ranges {
		var key strings.Builder
		for _, sp := range s {
			key.WriteString(string([]rune{sp.lo % 0xd800, sp.lo / 0xd800, sp.hi % 0xd800, sp.hi / 0xd800}))
		}
		i, known := seen[key.String()]
		if !known {
			i = len(distinct)
			seen[key.String()] = i
			distinct = append(distinct, s)
		}
		which = append(which, i)
	}
	return distinct, which
}

// cut returns the pieces between all ends of the sets' spans.
func cut(sets []set) []span {
	starts := []rune{0, surrogates[0].lo, surrogates[0].hi + 1}
	for _, s := range sets {
		for _, sp := range s {
			starts = append(starts, sp.lo, sp.hi+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	var pieces []span
	for i, lo := range starts {
		hi := rune(maxRune)
		if i+1 < len(starts) {
			hi = starts[i+1] - 1
		}
		if lo <= hi {
			pieces = append(pieces, span{lo, hi})
		}
	}
	return pieces
}

func signature(sets []set, piece span) string {
	key := make([]byte, len(sets))
	for i, s := range sets {
		key[i] = '0'
		if s.has(piece.lo) {
			key[i] = '1'
		}
	}
	return string(key)
}

// favourites are the characters that texts are made of where there is a choice.
const favourites = "a0 \t,;-./!"

// welcome ranks a character: favourites, then printable ASCII, then anything that is a character of its own, then
// controls.
func welcome(r rune) int {
	if i := strings.IndexRune(favourites, r); i >= 0 {
		return i
	}
	switch {
	case r >= 'a' && r <= 'z':
		return 99
	case r > ' ' && r < 0x7f:
		return 100
	case r == '\n':
		return 101
	case r >= 0xa0:
		return 102
	case r > 0:
		return 103
	}
	return 104
}

// representative picks the most welcome character of a piece, or -1 if it holds surrogates only.
func representative(piece span) rune {
	best := piece.lo
	if surrogates.has(best) {
		return -1
	}
	for r := piece.lo; r <= min(piece.hi, 0xff); r++ {
		if welcome(r) < welcome(best) {
			best = r
		}
	}
	return best
}
