package ambiguity

import (
	"slices"
	"sync"
	"unicode"
)

// maxRune is the last code point that a set can hold.
const maxRune = unicode.MaxRune

// span is a range of code points, both ends included.
type span struct{ lo, hi rune }

// set holds code points as sorted spans that neither touch nor overlap.
type set []span

// newSet sorts and joins spans.
func newSet(spans ...span) set {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b span) int { return int(a.lo) - int(b.lo) })
	out := sorted[:0]
	for _, s := range sorted {
		if last := len(out) - 1; last >= 0 && s.lo <= out[last].hi+1 {
			out[last].hi = max(out[last].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	return set(out)
}

// union joins sets.
func union(sets ...set) set {
	var spans []span
	for _, s := range sets {
		spans = append(spans, s...)
	}
	return newSet(spans...)
}

// not returns every code point outside of s.
func (s set) not() set {
	out, next := set{}, rune(0)
	for _, sp := range s {
		if sp.lo > next {
			out = append(out, span{next, sp.lo - 1})
		}
		next = sp.hi + 1
	}
	if next <= maxRune {
		out = append(out, span{next, maxRune})
	}
	return out
}

// and returns what both sets hold.
func (s set) and(other set) set {
	out := set{}
	for i, j := 0, 0; i < len(s) && j < len(other); {
		lo, hi := max(s[i].lo, other[j].lo), min(s[i].hi, other[j].hi)
		if lo <= hi {
			out = append(out, span{lo, hi})
		}
		if s[i].hi < other[j].hi {
			i++
		} else {
			j++
		}
	}
	return out
}

// has tells whether r is in s.
func (s set) has(r rune) bool {
	_, found := slices.BinarySearchFunc(s, r, func(sp span, r rune) int {
		switch {
		case sp.hi < r:
			return -1
		case sp.lo > r:
			return 1
		}
		return 0
	})
	return found
}

// low returns the ASCII part of s as bits.
func (s set) low() (bits [2]uint64) {
	for _, sp := range s {
		for r := sp.lo; r <= min(sp.hi, 0x7f); r++ {
			bits[r/64] |= 1 << (r % 64)
		}
	}
	return bits
}

// The named classes as JavaScript has them. Python's \d and \w know more letters than these; a text built from these
// works there as well.
var (
	digits   = newSet(span{'0', '9'})
	words    = newSet(span{'0', '9'}, span{'A', 'Z'}, span{'a', 'z'}, span{'_', '_'})
	blanks   = newSet(span{'\t', '\r'}, span{' ', ' '}, span{0xa0, 0xa0}, span{0x1680, 0x1680}, span{0x2000, 0x200a}, span{0x2028, 0x2029}, span{0x202f, 0x202f}, span{0x205f, 0x205f}, span{0x3000, 0x3000}, span{0xfeff, 0xfeff})
	newlines = newSet(span{'\n', '\n'}, span{'\r', '\r'}, span{0x2028, 0x2029})
	anything = newSet(span{0, maxRune})
	// surrogates can't be part of a Go string, so no text is made of them.
	surrogates = newSet(span{0xd800, 0xdfff})
)

// folds lists the code points that have another case, in order.
var folds = sync.OnceValue(func() []rune {
	var all []rune
	for _, r := range unicode.CaseRanges {
		for c := rune(r.Lo); c <= rune(r.Hi); c++ {
			if unicode.SimpleFold(c) != c {
				all = append(all, c)
			}
		}
	}
	return all
})

// fold adds the other cases of what s holds. ASCII and the rest stay apart, as in JavaScript without the flag u.
func (s set) fold() set {
	var more []span
	candidates := s.few()
	if candidates == nil {
		candidates = folds()
	}
	for _, c := range candidates {
		if !s.has(c) {
			continue
		}
		for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
			if (f < 0x80) == (c < 0x80) {
				more = append(more, span{f, f})
			}
		}
	}
	if len(more) == 0 {
		return s
	}
	return newSet(append(more, s...)...)
}

// few lists what a small set holds; it returns nil for a large one.
func (s set) few() []rune {
	all := []rune{}
	for _, sp := range s {
		if int(sp.hi-sp.lo)+len(all) > 100 {
			return nil
		}
		for c := sp.lo; c <= sp.hi; c++ {
			all = append(all, c)
		}
	}
	return all
}

// tableSet reads one of Go's Unicode tables.
func tableSet(table *unicode.RangeTable) set {
	var spans []span
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			spans = append(spans, span{lo, hi})
			return
		}
		for c := lo; c <= hi; c += stride {
			spans = append(spans, span{c, c})
		}
	}
	for _, r := range table.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range table.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	return newSet(spans...)
}
