package ambiguity

// machine runs a program over a text the way backtracking engines do: one attempt after the other, in the order that
// the expression asks for, with nothing remembered between them. It counts its steps, which is the point of it.
//
// Where JavaScript and Python differ, it does what makes a family hold in both: $ matches before a final line feed, too.
type machine struct {
	prog   *program
	text   []rune
	slots  []int // places of groups, then the rounds and the last place of each loop
	stack  []frame
	target int // where a lookbehind must end
	steps  int
	limit  int
}

// frame is either an attempt to return to (pc >= 0) or a slot to put back.
type frame struct{ pc, pos int }

// run searches text and returns whether it matched and how many steps that took. A run that would take more steps than
// limit stops there, which over tells.
func (p *program) run(text []rune, limit int) (matched bool, steps int, over bool) {
	m := &machine{prog: p, text: text, slots: make([]int, 2*(p.groups+1)+2*p.loops), limit: limit}
	last := len(text)
	if p.sticky || p.begins {
		last = 0
	}
	for start := 0; start <= last && m.steps <= limit && !matched; start++ {
		for i := range m.slots {
			m.slots[i] = -1
		}
		m.stack = m.stack[:0]
		m.steps++
		_, matched = m.attempt(0, start)
	}
	return matched, m.steps, m.steps > limit
}

// attempt runs from pc at pos until a match or until nothing is left to try. What lies above the stack's present height
// on return belongs to the caller.
func (m *machine) attempt(pc, pos int) (end int, ok bool) {
	base := len(m.stack)
	for m.steps <= m.limit {
		m.steps++
		in := &m.prog.code[pc]
		if in.code == codeMatch || (in.code == codeHere && pos == m.target) {
			return pos, true
		}
		pc, pos, ok = m.step(in, pc, pos)
		if ok {
			continue
		}
		if pc, pos, ok = m.back(base); !ok {
			return 0, false
		}
	}
	return 0, false
}

// back undoes what was kept since the last choice and returns to its other branch.
func (m *machine) back(base int) (pc, pos int, ok bool) {
	for len(m.stack) > base {
		f := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if f.pc >= 0 {
			return f.pc, f.pos, true
		}
		m.slots[-f.pc-1] = f.pos
	}
	return 0, 0, false
}

func (m *machine) keep(slot, value int) {
	m.stack = append(m.stack, frame{pc: -slot - 1, pos: m.slots[slot]})
	m.slots[slot] = value
}

func (m *machine) step(in *instruction, pc, pos int) (int, int, bool) {
	switch in.code {
	case codeSet:
		if pos < len(m.text) && in.reads(m.text[pos]) {
			return pc + 1, pos + 1, true
		}
		return 0, 0, false
	case codeSplit:
		m.stack = append(m.stack, frame{pc: in.y, pos: pos})
		return in.x, pos, true
	case codeJump:
		return in.x, pos, true
	case codeSave:
		m.keep(in.x, pos)
		return pc + 1, pos, true
	case codeAssert:
		return pc + 1, pos, m.holds(in.cond, pos)
	case codeEnter:
		m.keep(m.loop(in.x), 0)
		m.keep(m.loop(in.x)+1, -1)
		return pc + 1, pos, true
	case codeLoop:
		return m.rounds(in, pc, pos)
	case codeRound:
		least := in.node.min
		stuck := m.slots[m.loop(in.x)+1] == pos && m.slots[m.loop(in.x)] > least
		return in.y, pos, !stuck
	case codeSub:
		return m.sub(in, pc, pos)
	case codeBackref:
		return m.again(in.x, pc, pos)
	}
	return 0, 0, false
}

// reads tells whether r is in the instruction's set.
func (in *instruction) reads(r rune) bool {
	if r < 0x80 {
		return in.low[r/64]&(1<<(r%64)) != 0
	}
	return in.set.has(r)
}

// loop is the slot of a loop's rounds; the next one holds where its last round began.
func (m *machine) loop(i int) int { return 2*(m.prog.groups+1) + 2*i }

func (m *machine) rounds(in *instruction, pc, pos int) (int, int, bool) {
	done, least, most := m.slots[m.loop(in.x)], in.node.min, in.node.max
	switch {
	case pos < 0: // the second choice of a lazy loop
		pos = -pos - 1
	case most != unbounded && done >= most:
		return in.y, pos, true
	case done >= least && in.node.lazy:
		m.stack = append(m.stack, frame{pc: pc, pos: -pos - 1})
		return in.y, pos, true
	case done >= least:
		m.stack = append(m.stack, frame{pc: in.y, pos: pos})
	}
	m.keep(m.loop(in.x), done+1)
	m.keep(m.loop(in.x)+1, pos)
	return pc + 1, pos, true
}

func (m *machine) again(group, pc, pos int) (int, int, bool) {
	from, to := m.slots[2*group], m.slots[2*group+1]
	if from < 0 || to < from {
		return pc + 1, pos, true
	}
	for i := from; i < to; i++ {
		m.steps++
		if pos >= len(m.text) || m.text[pos] != m.text[i] {
			return 0, 0, false
		}
		pos++
	}
	return pc + 1, pos, true
}

// sub matches a lookaround or an atomic group: what it tried on the way is forgotten once it is decided.
func (m *machine) sub(in *instruction, pc, pos int) (int, int, bool) {
	base := len(m.stack)
	var end int
	var ok bool
	if in.node.behind {
		ok = m.behind(in, pc, pos)
	} else {
		end, ok = m.attempt(pc+1, pos)
	}
	if ok && !in.node.negative {
		m.forget(base)
	} else {
		m.undo(base)
	}
	if in.node.op == opLook {
		end, ok = pos, ok != in.node.negative
	}
	return in.x, end, ok
}

func (m *machine) behind(in *instruction, pc, pos int) bool {
	saved := m.target
	defer func() { m.target = saved }()
	m.target = pos
	first := 0
	if in.most != unbounded {
		first = max(0, pos-in.most)
	}
	for start := pos - in.least; start >= first && m.steps <= m.limit; start-- {
		if _, ok := m.attempt(pc+1, start); ok {
			return true
		}
	}
	return false
}

// forget drops the choices above base and keeps what must be put back.
func (m *machine) forget(base int) {
	kept := m.stack[:base]
	for _, f := range m.stack[base:] {
		if f.pc < 0 {
			kept = append(kept, f)
		}
	}
	m.stack = kept
}

func (m *machine) undo(base int) {
	for len(m.stack) > base {
		f := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if f.pc < 0 {
			m.slots[-f.pc-1] = f.pos
		}
	}
}

func (m *machine) holds(c cond, pos int) bool {
	end := len(m.text)
	switch c {
	case atBegin:
		return pos == 0
	case atEnd:
		return pos == end || (pos == end-1 && m.text[pos] == '\n')
	case atVeryEnd:
		return pos == end
	case atBeginLine:
		return pos == 0 || newlines.has(m.text[pos-1])
	case atEndLine:
		return pos == end || newlines.has(m.text[pos])
	}
	before := pos > 0 && words.has(m.text[pos-1])
	after := pos < end && words.has(m.text[pos])
	return (before != after) == (c == atWord)
}
