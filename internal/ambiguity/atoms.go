package ambiguity

import (
	"cmp"
	"slices"
	"strings"
)

// atom stands for all characters that are in the same ranges.
type atom struct {
	char  rune // the most welcome of them
	other rune // the next, or 0
}

// add considers one more character.
func (a *atom) add(r rune) {
	switch {
	case a.char == r:
	case a.char < 0 || welcome(r) < welcome(a.char):
		if a.char > 0 {
			a.other = a.char
		}
		a.char = r
	case a.other == 0 || welcome(r) < welcome(a.other):
		a.other = r
	}
}

// atomise divides all characters into atoms. It returns each range as a set of atoms; atoms are numbered by how welcome
// they are in a text.
func atomise(ranges []set) ([]bitset, []atom) {
	distinct, which := distinctSets(ranges)
	groups := map[string]int{}
	var found []atom
	var members []string
	for _, piece := range cut(distinct) {
		if surrogates.has(piece.lo) {
			continue
		}
		key := signature(distinct, piece)
		i, known := groups[key]
		if !known {
			i = len(found)
			groups[key] = i
			found, members = append(found, atom{char: -1}), append(members, key)
		}
		found[i].add(piece.lo)
		for r := piece.lo + 1; r <= min(piece.hi, 0xff); r++ {
			found[i].add(r)
		}
	}
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(welcome(found[a].char), welcome(found[b].char)), cmp.Compare(found[a].char, found[b].char))
	})
	atoms := make([]atom, len(found))
	sets := make([]bitset, len(distinct))
	for i := range sets {
		sets[i] = newBitset(len(found))
	}
	for number, i := range order {
		atoms[number] = found[i]
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
