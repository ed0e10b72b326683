package diff

import (
	"maps"
	"slices"
	"strings"
)

// contextLines stand before and after each change, as in every unified diff.
const contextLines = 3

// Between returns the patch that turns the files of before into those of after, by path. A path that only one of the two
// has is created or deleted. Unchanged files are left out; so the Patch may have no Files.
//
// Lines that occur once on both sides are matched first (Bram Cohen's patience diff), what lies between them by the
// shortest edit script (Myers, Algorithmica 1, 1986), or as a whole where that would take too long.
func Between(before, after map[string]string) *Patch {
	paths := slices.Collect(maps.Keys(before))
	for path := range after {
		if _, both := before[path]; !both {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	p := &Patch{}
	for _, path := range paths {
		old, had := before[path]
		now, has := after[path]
		if had && has && old == now {
			continue
		}
		f := File{Old: path, New: path, Op: Modify, Hunks: hunks(old, now)}
		if had && has {
			trimCR(f.Hunks) // as Parse does, so that the text of the patch reads back as the same
		}
		switch {
		case !had:
			f.Op, f.Old, f.Mode = Create, "", 0o644
		case !has:
			f.Op, f.New, f.OldMode = Delete, "", 0o644
		}
		p.Files = append(p.Files, f)
	}
	return p
}

// Edit says that the bytes of a text from Old to OldEnd are replaced by those of the other text from New to NewEnd.
type Edit struct{ Old, OldEnd, New, NewEnd int }

// Edits are what Between finds of two texts, in order and in bytes. They are whole lines.
func Edits(before, after []byte) []Edit {
	was, is := textLines(string(before)), textLines(string(after))
	changes := compare(was, is)
	out := make([]Edit, len(changes))
	i, j, old, now := 0, 0, 0, 0 // lines, and the bytes up to them
	for at, c := range changes {
		for ; i < c.old; i, j = i+1, j+1 {
			old, now = old+len(was[i]), now+len(is[j])
		}
		e := Edit{Old: old, New: now}
		for ; i < c.oldEnd; i++ {
			old += len(was[i])
		}
		for ; j < c.nowEnd; j++ {
			now += len(is[j])
		}
		e.OldEnd, e.NewEnd = old, now
		out[at] = e
	}
	return out
}

// replacement says that the old lines from Old to OldEnd are replaced by the new ones from New to NewEnd.
type replacement struct{ old, oldEnd, now, nowEnd int }

// hunks are the changes from one text to another, with context.
func hunks(old, now string) (list []Hunk) {
	was, is := textLines(old), textLines(now)
	changes := compare(was, is)
	for i := 0; i < len(changes); {
		j := i + 1
		for j < len(changes) && changes[j].old-changes[j-1].oldEnd <= 2*contextLines {
			j++
		}
		list = append(list, hunk(was, is, changes[i:j]))
		i = j
	}
	return list
}

// textLines cuts a text into lines that keep their newline.
func textLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// hunk renders changes that lie close together.
func hunk(was, is []string, changes []replacement) Hunk {
	from := max(0, changes[0].old-contextLines)
	to := min(len(was), changes[len(changes)-1].oldEnd+contextLines)
	h := Hunk{OldStart: from + 1}
	add := func(op byte, lines []string) {
		for _, line := range lines {
			text, whole := strings.CutSuffix(line, "\n")
			h.Lines = append(h.Lines, Line{Op: op, Text: text, NoEOL: !whole})
		}
	}
	at := from
	for _, c := range changes {
		add(' ', was[at:c.old])
		add('-', was[c.old:c.oldEnd])
		add('+', is[c.now:c.nowEnd])
		at = c.oldEnd
	}
	add(' ', was[at:to])
	if old, _ := h.counts(); old == 0 {
		h.OldStart = from
	}
	return h
}

// compare lists what differs, in order. Neighbouring replacements are joined.
func compare(was, is []string) (list []replacement) {
	c := comparison{was: was, is: is}
	c.span(0, len(was), 0, len(is))
	for _, r := range c.found {
		if n := len(list); n > 0 && list[n-1].oldEnd == r.old && list[n-1].nowEnd == r.now {
			list[n-1].oldEnd, list[n-1].nowEnd = r.oldEnd, r.nowEnd
			continue
		}
		list = append(list, r)
	}
	return list
}

type comparison struct {
	was, is []string
	found   []replacement
}

// span compares was[a:b] with is[c:d].
func (x *comparison) span(a, b, c, d int) {
	for a < b && c < d && x.was[a] == x.is[c] {
		a, c = a+1, c+1
	}
	for a < b && c < d && x.was[b-1] == x.is[d-1] {
		b, d = b-1, d-1
	}
	switch {
	case a == b && c == d:
		return
	case a == b || c == d:
		x.found = append(x.found, replacement{a, b, c, d})
		return
	}
	anchors := x.anchors(a, b, c, d)
	if len(anchors) == 0 {
		x.shortest(a, b, c, d)
		return
	}
	for _, at := range anchors {
		x.span(a, at[0], c, at[1])
		a, c = at[0]+1, at[1]+1
	}
	x.span(a, b, c, d)
}

// anchors are the pairs of lines that occur once in either span, in an order that both have.
func (x *comparison) anchors(a, b, c, d int) [][2]int {
	type seen struct{ old, now, olds, nows int }
	lines := map[string]*seen{}
	for i := a; i < b; i++ {
		s := lines[x.was[i]]
		if s == nil {
			s = &seen{}
			lines[x.was[i]] = s
		}
		s.old, s.olds = i, s.olds+1
	}
	for i := c; i < d; i++ {
		if s := lines[x.is[i]]; s != nil {
			s.now, s.nows = i, s.nows+1
		}
	}
	var pairs [][2]int
	for i := a; i < b; i++ {
		if s := lines[x.was[i]]; s.olds == 1 && s.nows == 1 {
			pairs = append(pairs, [2]int{i, s.now})
		}
	}
	return rising(pairs)
}

// rising is the longest subsequence of pairs, sorted by their first number, whose second rises too.
func rising(pairs [][2]int) [][2]int {
	var tails []int // by length, the pair that ends the subsequence with the least second number
	before := make([]int, len(pairs))
	for i, p := range pairs {
		n, _ := slices.BinarySearchFunc(tails, p[1], func(j, second int) int { return pairs[j][1] - second })
		if before[i] = -1; n > 0 {
			before[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	if len(tails) == 0 {
		return nil
	}
	var out [][2]int
	for i := tails[len(tails)-1]; i >= 0; i = before[i] {
		out = append(out, pairs[i])
	}
	slices.Reverse(out)
	return out
}

// mostEdits bounds the search for the shortest edit script: its memory grows with the square.
const mostEdits = 800

// shortest finds the shortest edit script of a span, or replaces it as a whole.
func (x *comparison) shortest(a, b, c, d int) {
	n, m := b-a, d-c
	limit := min(n+m, mostEdits)
	furthest := make([]int, 2*limit+2) // by diagonal k = i - j, the furthest i reached; k is at limit+k
	var trace [][]int
	for edits := 0; edits <= limit; edits++ {
		trace = append(trace, slices.Clone(furthest[limit-edits:limit+edits+1]))
		for k := -edits; k <= edits; k += 2 {
			i := step(furthest, limit, edits, k)
			for i < n && i-k < m && i-k >= 0 && x.was[a+i] == x.is[c+i-k] {
				i++
			}
			furthest[limit+k] = i
			if i >= n && i-k >= m {
				x.retrace(trace, a, c, n, m)
				return
			}
		}
	}
	x.found = append(x.found, replacement{a, b, c, d})
}

// step is where an edit on diagonal k leads: down from k+1, or right from k-1, whichever had come further.
func step(furthest []int, limit, edits, k int) int {
	switch {
	case edits == 0:
		return 0
	case k == -edits || k != edits && furthest[limit+k-1] < furthest[limit+k+1]:
		return furthest[limit+k+1]
	}
	return furthest[limit+k-1] + 1
}

// retrace walks the edits back from the end of both spans.
func (x *comparison) retrace(trace [][]int, a, c, i, j int) {
	var back []replacement
	for edits := len(trace) - 1; edits > 0; edits-- {
		row := trace[edits] // the diagonals from -edits to edits, as they were before this edit
		at := func(k int) int { return row[k+edits] }
		k := i - j
		down := k == -edits || k != edits && at(k-1) < at(k+1)
		from := k + 1
		if !down {
			from = k - 1
		}
		pi := at(from)
		pj := pi - from
		if down {
			back = append(back, replacement{a + pi, a + pi, c + pj, c + pj + 1})
		} else {
			back = append(back, replacement{a + pi, a + pi + 1, c + pj, c + pj})
		}
		i, j = pi, pj
	}
	slices.Reverse(back)
	x.found = append(x.found, back...)
}
