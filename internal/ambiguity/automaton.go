package ambiguity

import (
	"math/bits"
	"slices"
)

// bitset is a set of small numbers, atoms for the most part.
type bitset []uint64

func newBitset(size int) bitset      { return make(bitset, (size+63)/64) }
func (b bitset) add(i int)           { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool      { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) meets(o bitset) bool { return b.first(o) >= 0 }

// first returns the lowest number in both sets, or -1.
func (b bitset) first(o bitset) int {
	for i, w := range b {
		if w &= o[i]; w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return -1
}

func (b bitset) join(o bitset) {
	for i := range b {
		b[i] |= o[i]
	}
}

func (b bitset) and(o bitset) bitset {
	out := make(bitset, len(b))
	for i := range b {
		out[i] = b[i] & o[i]
	}
	return out
}

func (b bitset) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

func (b bitset) list() []int {
	var all []int
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			all = append(all, i*64+bits.TrailingZeros64(w))
		}
	}
	return all
}

// edge leads to a state. double tells that a matcher has two ways to go it without reading a character in between, as
// from one a to the next in (a+)+.
type edge struct {
	to     int
	double bool
}

// automaton is an expression's automaton of positions: a state is a place in the expression that has just read a
// character of sets[state]. State 0 is the beginning of the text. Those in from read what an unanchored search skips.
type automaton struct {
	sets  []bitset
	out   [][]edge
	from  []int // the states of a search that hasn't begun, one for each kind of character
	atoms []atom
}

// place is how a fragment is entered or left: through a position, if some conditions hold.
type place struct {
	at    int
	cond  cond
	count uint8 // ways to do so, 2 for more
}

// fragment is a part of the automaton in the making.
type fragment struct{ first, last, null []place }

type link struct {
	from, to int
	cond     cond
}

// builder makes an automaton by positions (Glushkov), with the number of ways between them.
type builder struct {
	expr   *Expr
	copies int // how often a counted part is written out; more of it counts as any number
	states int // how many positions there may be
	sets   []set
	links  map[link]uint8
	open   map[int]bool // groups whose backreference is being written out
	over   bool
}

// build returns nil if the automaton would have more states than allowed.
func build(e *Expr, states int) *automaton {
	for _, copies := range []int{12, 4, 2, 1} {
		b := &builder{expr: e, copies: copies, states: states, sets: []set{nil}, links: map[link]uint8{}, open: map[int]bool{}}
		whole := b.fragment(e.root)
		if b.over {
			continue
		}
		b.follow([]place{{at: 0, count: 1}}, whole.first)
		return b.finish()
	}
	return nil
}

func (b *builder) fragment(n *node) fragment {
	if b.over {
		return fragment{}
	}
	switch n.op {
	case opSet:
		return b.position(n.set)
	case opConcat:
		f := epsilon(0)
		for _, sub := range n.subs {
			f = b.concat(f, b.fragment(sub))
		}
		return f
	case opAlt:
		var f fragment
		for _, sub := range n.subs {
			g := b.fragment(sub)
			f = fragment{join(f.first, g.first), join(f.last, g.last), join(f.null, g.null)}
		}
		return f
	case opRepeat:
		return b.repeat(n)
	case opGroup, opAtomic:
		return b.fragment(n.subs[0])
	case opAssert:
		return epsilon(n.cond)
	case opLook:
		return b.lookaround(n)
	case opBackref:
		return b.backref(n.group)
	}
	return epsilon(0)
}

func epsilon(c cond) fragment { return fragment{null: []place{{cond: c, count: 1}}} }

func (b *builder) position(s set) fragment {
	if len(b.sets) >= b.states {
		b.over = true
		return fragment{}
	}
	b.sets = append(b.sets, s)
	here := []place{{at: len(b.sets) - 1, count: 1}}
	return fragment{first: here, last: here}
}

// lookaround enters the body of a lookahead and never leaves it: whatever is slow in there is found on the way, and
// what follows is as if it weren't there. The body of a lookbehind is left out.
func (b *builder) lookaround(n *node) fragment {
	if n.behind {
		return epsilon(0)
	}
	f := epsilon(0)
	f.first = b.fragment(n.subs[0]).first
	return f
}

// backref reads what the group would read; the automaton can't remember what it did read.
func (b *builder) backref(group int) fragment {
	n := b.expr.groups[group]
	if n == nil || b.open[group] {
		return epsilon(0)
	}
	b.open[group] = true
	defer delete(b.open, group)
	return b.fragment(n)
}

// repeat writes a loop's copies out: a{2,4} as aa(a(a)?)?, a{2,} as aa+.
func (b *builder) repeat(n *node) fragment {
	least, most := min(n.min, b.copies), n.max
	if most > b.copies {
		most = unbounded
	}
	if most == 0 {
		return epsilon(0)
	}
	body := n.subs[0]
	f := epsilon(0)
	for i := 0; i < least-1 || (i < least && most != unbounded); i++ {
		f = b.concat(f, b.fragment(body))
	}
	if most == unbounded {
		g := b.fragment(body)
		b.follow(g.last, g.first)
		if least == 0 {
			g.null = epsilon(0).null
		}
		return b.concat(f, g)
	}
	return b.concat(f, b.optional(body, most-least))
}

func (b *builder) optional(body *node, times int) fragment {
	f := epsilon(0)
	for range times {
		f = b.concat(b.fragment(body), f)
		f.null = epsilon(0).null
	}
	return f
}

func (b *builder) concat(f, g fragment) fragment {
	b.follow(f.last, g.first)
	return fragment{
		first: join(f.first, cross(f.null, g.first)),
		last:  join(g.last, cross(g.null, f.last)),
		null:  cross(f.null, g.null),
	}
}

// cross goes through the places after each way to match nothing.
func cross(null, places []place) []place {
	var out []place
	for _, n := range null {
		passed := make([]place, len(places))
		for i, p := range places {
			passed[i] = place{p.at, p.cond | n.cond, min(2, p.count*n.count)}
		}
		out = join(out, passed)
	}
	return out
}

// join adds up the ways through equal places. Both lists are sorted and so is what it returns.
func join(a, b []place) []place {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]place, 0, len(a)+len(b))
	out = append(append(out, a...), b...)
	slices.SortFunc(out, func(x, y place) int {
		if x.at != y.at {
			return x.at - y.at
		}
		return int(x.cond) - int(y.cond)
	})
	kept := out[:1]
	for _, p := range out[1:] {
		if last := &kept[len(kept)-1]; last.at == p.at && last.cond == p.cond {
			last.count = min(2, last.count+p.count)
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// follow links every place of last with every one of first.
func (b *builder) follow(last, first []place) {
	if len(b.links)+len(last)*len(first) > 40*b.states {
		b.over = true
		return
	}
	for _, l := range last {
		for _, f := range first {
			k := link{l.at, f.at, l.cond | f.cond}
			b.links[k] = min(2, b.links[k]+l.count*f.count)
		}
	}
}

// state is a position, or a half of one: where conditions look at characters, positions are split into those that read
// a word's character, a line's end, or another.
type state struct{ position, kind int }

var kinds = []set{words, newlines, union(words, newlines).not()}

const (
	kindWord = iota
	kindLine
	kindOther
	kindAny // conditions don't look at characters
)

// finish turns positions and links into states and edges.
func (b *builder) finish() *automaton {
	states, ranges := b.split()
	a := &automaton{out: make([][]edge, len(states))}
	a.sets, a.atoms = atomise(ranges)
	index := map[int][]int{}
	for i, s := range states {
		index[s.position] = append(index[s.position], i)
		if s.position == searching {
			a.from = append(a.from, i)
		}
	}
	keys := make([]link, 0, len(b.links))
	for k := range b.links {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y link) int {
		if x.from != y.from {
			return x.from - y.from
		}
		if x.to != y.to {
			return x.to - y.to
		}
		return int(x.cond) - int(y.cond)
	})
	for _, k := range keys {
		for _, j := range index[k.to] {
			for _, i := range index[k.from] {
				a.link(i, j, states, k.cond, b.links[k])
			}
			if k.from == 0 {
				for _, i := range a.from {
					a.link(i, j, states, k.cond, 1)
				}
			}
		}
	}
	for _, j := range a.from {
		a.link(0, j, states, 0, 1)
		for _, i := range a.from {
			a.link(i, j, states, 0, 1)
		}
	}
	return a
}

// searching is the position of a search that hasn't begun.
const searching = -1

// split lists the states with the characters that each reads.
func (b *builder) split() (states []state, ranges []set) {
	byKind := false
	for k := range b.links {
		byKind = byKind || k.cond&(atWord|notAtWord|atBeginLine|atEndLine) != 0
	}
	add := func(position int, s set) {
		if !byKind {
			states, ranges = append(states, state{position, kindAny}), append(ranges, s)
			return
		}
		for kind, chars := range kinds {
			if part := s.and(chars); len(part) > 0 {
				states, ranges = append(states, state{position, kind}), append(ranges, part)
			}
		}
	}
	states, ranges = append(states, state{0, kindOther}), append(ranges, set{})
	for position, s := range b.sets[1:] {
		add(position+1, s)
	}
	if !b.expr.sticky {
		add(searching, anything)
	}
	return states, ranges
}

// link adds an edge if its conditions can hold between the two states.
func (a *automaton) link(i, j int, states []state, c cond, count uint8) {
	if !possible(states[i], states[j], c) || a.sets[j].empty() {
		return
	}
	for k, e := range a.out[i] {
		if e.to == j {
			a.out[i][k].double = true
			return
		}
	}
	a.out[i] = append(a.out[i], edge{to: j, double: count > 1})
}

func possible(from, to state, c cond) bool {
	start := from.position == 0
	switch {
	case c&(atEnd|atVeryEnd) != 0:
		return false // something is read afterwards
	case c&atBegin != 0 && !start:
		return false
	case c&atBeginLine != 0 && !start && from.kind != kindLine:
		return false
	case c&atEndLine != 0 && to.kind != kindLine:
		return false
	}
	change := (from.kind == kindWord) != (to.kind == kindWord)
	return (c&atWord == 0 || change) && (c&notAtWord == 0 || !change)
}
