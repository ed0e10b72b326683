package ambiguity

// instruction kinds of a compiled matcher.
type code int

const (
	codeMatch   code = iota
	codeSet          // one character of set
	codeSplit        // try x, then y
	codeJump         // go on at x
	codeSave         // keep the place in slot x
	codeAssert       // cond holds here
	codeEnter        // begin the loop x
	codeLoop         // another round of the loop x at y, or past it
	codeRound        // the end of a round of the loop x, back to y
	codeSub          // match what follows up to x by itself
	codeHere         // the end of a lookbehind
	codeBackref      // the text of the group x again
)

type instruction struct {
	code code
	x, y int
	set  set
	low  [2]uint64 // the ASCII part of set
	cond cond
	node *node // codeLoop, codeSub
	// width of a lookbehind's body; most may be unbounded.
	least, most int
}

// program is an expression as a backtracking matcher runs it.
type program struct {
	code   []instruction
	groups int
	loops  int
	sticky bool
	begins bool // no match can begin but at the text's beginning
}

func compile(e *Expr) *program {
	p := &program{groups: e.count, sticky: e.sticky, begins: begins(e.root)}
	p.add(e.root)
	p.emit(instruction{code: codeMatch})
	return p
}

// begins tells whether n starts with the text's beginning in every branch. Engines don't search on for those.
func begins(n *node) bool {
	switch n.op {
	case opAssert:
		return n.cond == atBegin
	case opGroup, opAtomic:
		return begins(n.subs[0])
	case opConcat:
		return begins(n.subs[0])
	case opAlt:
		for _, sub := range n.subs {
			if !begins(sub) {
				return false
			}
		}
		return true
	}
	return false
}

func (p *program) emit(i instruction) int {
	p.code = append(p.code, i)
	return len(p.code) - 1
}

func (p *program) add(n *node) {
	switch n.op {
	case opSet:
		p.emit(instruction{code: codeSet, set: n.set, low: n.set.low()})
	case opConcat:
		for _, sub := range n.subs {
			p.add(sub)
		}
	case opAlt:
		p.addAlt(n)
	case opRepeat:
		p.addRepeat(n)
	case opGroup:
		p.emit(instruction{code: codeSave, x: 2 * n.group})
		p.add(n.subs[0])
		p.emit(instruction{code: codeSave, x: 2*n.group + 1})
	case opAssert:
		p.emit(instruction{code: codeAssert, cond: n.cond})
	case opLook, opAtomic:
		p.addSub(n)
	case opBackref:
		p.emit(instruction{code: codeBackref, x: n.group})
	}
}

func (p *program) addAlt(n *node) {
	var ends []int
	for i, sub := range n.subs {
		if i == len(n.subs)-1 {
			p.add(sub)
			break
		}
		split := p.emit(instruction{code: codeSplit})
		p.code[split].x = len(p.code)
		p.add(sub)
		ends = append(ends, p.emit(instruction{code: codeJump}))
		p.code[split].y = len(p.code)
	}
	for _, end := range ends {
		p.code[end].x = len(p.code)
	}
}

// addRepeat compiles a loop. One whose body takes at least a character, without numbers, needs no counter.
func (p *program) addRepeat(n *node) {
	least, _ := width(n.subs[0])
	simple := least > 0 && n.max == unbounded && n.min <= 1
	switch {
	case n.min == 0 && n.max == 1:
		split := p.emit(instruction{code: codeSplit})
		p.add(n.subs[0])
		p.choose(split, split+1, len(p.code), n.lazy)
	case simple && n.min == 0:
		split := p.emit(instruction{code: codeSplit})
		p.add(n.subs[0])
		p.emit(instruction{code: codeJump, x: split})
		p.choose(split, split+1, len(p.code), n.lazy)
	case simple:
		top := len(p.code)
		p.add(n.subs[0])
		split := p.emit(instruction{code: codeSplit})
		p.choose(split, top, split+1, n.lazy)
	default:
		p.addCounted(n)
	}
}

func (p *program) choose(split, in, out int, lazy bool) {
	if lazy {
		in, out = out, in
	}
	p.code[split].x, p.code[split].y = in, out
}

func (p *program) addCounted(n *node) {
	loop := p.loops
	p.loops++
	p.emit(instruction{code: codeEnter, x: loop})
	top := p.emit(instruction{code: codeLoop, x: loop, node: n})
	p.add(n.subs[0])
	p.emit(instruction{code: codeRound, x: loop, y: top, node: n})
	p.code[top].y = len(p.code)
}

func (p *program) addSub(n *node) {
	least, most := width(n.subs[0])
	sub := p.emit(instruction{code: codeSub, node: n, least: least, most: most})
	p.add(n.subs[0])
	if n.behind {
		p.emit(instruction{code: codeHere})
	} else {
		p.emit(instruction{code: codeMatch})
	}
	p.code[sub].x = len(p.code)
}

// width returns how many characters n takes at least and at most.
func width(n *node) (least, most int) {
	switch n.op {
	case opSet:
		return 1, 1
	case opGroup, opAtomic:
		return width(n.subs[0])
	case opBackref:
		return 0, unbounded
	case opRepeat:
		a, b := width(n.subs[0])
		if b != 0 {
			b = times(b, n.max)
		}
		return min(a*n.min, maxCount), b
	case opConcat:
		for _, sub := range n.subs {
			a, b := width(sub)
			least = min(least+a, maxCount)
			if most = sum(most, b); most == unbounded {
				continue
			}
		}
		return least, most
	case opAlt:
		least, most = width(n.subs[0])
		for _, sub := range n.subs[1:] {
			a, b := width(sub)
			least = min(least, a)
			if b == unbounded || most == unbounded {
				most = unbounded
			} else {
				most = max(most, b)
			}
		}
		return least, most
	}
	return 0, 0
}

func times(a, b int) int {
	if a == unbounded || b == unbounded || (b > 0 && a > maxCount/b) {
		return unbounded
	}
	return a * b
}

func sum(a, b int) int {
	if a == unbounded || b == unbounded || a+b > maxCount {
		return unbounded
	}
	return a + b
}
