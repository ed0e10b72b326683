package diff

import (
	"errors"
	"strings"
)

// text is the content of a file, with an index of its lines.
type text struct {
	s     string
	start []uint32 // where each line begins
}

func newText(s string) text {
	t := text{s: s, start: make([]uint32, 0, strings.Count(s, "\n")+1)}
	for pos := 0; pos < len(s); {
		t.start = append(t.start, uint32(pos))
		n := strings.IndexByte(s[pos:], '\n')
		if n < 0 {
			break
		}
		pos += n + 1
	}
	return t
}

func (t text) len() int { return len(t.start) }

// raw returns the lines from i to before j as they stand.
func (t text) raw(i, j int) string { return t.s[t.at(i):t.at(j)] }

func (t text) at(i int) int {
	if i >= len(t.start) {
		return len(t.s)
	}
	return int(t.start[i])
}

// line returns line i without its newline, and whether it has one.
func (t text) line(i int) (string, bool) { return strings.CutSuffix(t.raw(i, i+1), "\n") }

// unterminated says whether the last line lacks its newline.
func (t text) unterminated() bool { return t.s != "" && t.s[len(t.s)-1] != '\n' }

// ending is the line ending that some lines have in common.
type ending int

const (
	noEnding ending = iota // there is no line with an ending
	lf
	crlf
	mixed
)

func (e ending) and(line string) ending {
	this := lf
	if strings.HasSuffix(line, "\r") {
		this = crlf
	}
	if e == noEnding || e == this {
		return this
	}
	return mixed
}

func (e ending) String() string { return [...]string{"none", "LF", "CRLF", "mixed"}[e] }

// ending returns what the lines from i to before j have in common.
func (t text) ending(i, j int) ending {
	e := noEnding
	for ; i < j && e != mixed; i++ {
		if line, eol := t.line(i); eol {
			e = e.and(line)
		}
	}
	return e
}

// endings returns what the hunk's old lines, and all of its lines, have in common.
func (h Hunk) endings() (old, all ending) {
	for _, l := range h.Lines {
		if l.NoEOL {
			continue
		}
		all = all.and(l.Text)
		if l.Op != '+' {
			old = old.and(l.Text)
		}
	}
	return old, all
}

// errNowhere: the hunk's old lines are nowhere in the file. errAmbiguous: they are in several places, and the hunk has
// too little context to choose. errCostly: finding out took too long.
var (
	errNowhere   = errors.New("its lines are not in the file")
	errAmbiguous = errors.New("its lines are not where it says, and in several other places: give as many lines of context after the change as before it")
	errCostly    = errors.New("too many places in the file look alike, finding the right one takes too long")
)

// budget bounds the comparisons of one Apply, in units of about a line.
type budget int64

// placer finds where the hunks of one file belong.
type placer struct {
	text   text
	frozen int // lines before this one are settled; the context at a hunk's end may be the next one's too
	drift  int // by how much the last hunk was moved
	left   *budget
}

// pattern is a hunk's old side, ready to be compared.
type pattern struct {
	old            []Line
	leading, trail int  // lines of context
	atEnd          bool // the new side has no final newline: the hunk must reach the end of the file
}

func (h Hunk) pattern() pattern {
	var p pattern
	changed := false
	for _, l := range h.Lines {
		switch {
		case l.Op != ' ':
			changed, p.trail = true, 0
		case changed:
			p.trail++
		default:
			p.leading++
		}
		if l.Op != '+' {
			p.old = append(p.old, l)
		}
		p.atEnd = p.atEnd || l.NoEOL && l.Op == '+'
	}
	return p
}

// place returns the line, counted from 0, where the hunk's old lines begin, and whether a line ending or the final
// newline had to be overlooked. It moves on behind the hunk.
func (pl *placer) place(h Hunk) (at int, mended bool, err error) {
	p := h.pattern()
	guess := h.index() + pl.drift
	for _, mended = range []bool{false, true} {
		at, err = pl.find(p, guess, mended)
		if err == nil {
			pl.drift = at - h.index()
			pl.frozen = at + len(p.old) - p.trail
			return at, mended, nil
		}
		if !errors.Is(err, errNowhere) {
			break
		}
	}
	return 0, false, err
}

// find searches as GNU patch does without fuzz: at the announced place, then at the nearest one, the one further down
// where two are equally near. A hunk with less context on one side than on the other was cut off by the start or the
// end of its file and belongs there; hunks written by hand are often cut anywhere, so it is taken at the announced place
// too, and elsewhere if there is one such place only.
func (pl *placer) find(p pattern, guess int, mended bool) (int, error) {
	low, high := pl.frozen, pl.text.len()-len(p.old)
	fits := func(at int) bool { return at >= low && at <= high && pl.match(p, at, mended) }
	switch {
	case len(p.old) == 0:
		if !fits(guess) {
			return 0, errNowhere
		}
		return guess, nil
	case p.leading < p.trail && guess <= 0:
		return pl.findCut(fits, []int{0, guess}, low, high)
	case p.trail < p.leading:
		return pl.findCut(fits, []int{high, guess}, low, high)
	}
	for away := max(0, low-guess, guess-high); guess-away >= low || guess+away <= high; away++ {
		for _, at := range []int{guess + away, guess - away} {
			if fits(at) {
				return at, nil
			}
		}
		if pl.spent() {
			return 0, errCostly
		}
	}
	return 0, errNowhere
}

// findCut takes the first of some places that fits, or else the only one between low and high.
func (pl *placer) findCut(fits func(at int) bool, first []int, low, high int) (int, error) {
	for _, at := range first {
		if fits(at) {
			return at, nil
		}
	}
	found := -1
	for at := low; at <= high; at++ {
		if fits(at) {
			if found >= 0 {
				return 0, errAmbiguous
			}
			found = at
		}
		if pl.spent() {
			return 0, errCostly
		}
	}
	if found < 0 {
		return 0, errNowhere
	}
	return found, nil
}

// spent takes the cost of looking at one place off the budget, and says whether it is used up.
func (pl *placer) spent() bool {
	*pl.left--
	return *pl.left < 0
}

// match compares the pattern with the file at a line.
func (pl *placer) match(p pattern, at int, mended bool) bool {
	if p.atEnd && at+len(p.old) != pl.text.len() {
		return false
	}
	for i, l := range p.old {
		*pl.left -= budget(1 + len(l.Text)/64)
		if *pl.left < 0 || !pl.same(l, at+i, mended) {
			return false
		}
	}
	return true
}

func (pl *placer) same(l Line, at int, mended bool) bool {
	have, eol := pl.text.line(at)
	if eol == l.NoEOL && (!mended || at != pl.text.len()-1) {
		return false
	}
	if mended {
		return strings.TrimSuffix(have, "\r") == strings.TrimSuffix(l.Text, "\r")
	}
	return have == l.Text
}
