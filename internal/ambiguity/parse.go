package ambiguity

import (
	"slices"
	"strings"
	"unicode"

	"crisol"
)

// What Parse takes at most. An expression beyond these is refused rather than read in part.
const (
	maxPattern = 20_000  // characters of a pattern
	maxDepth   = 150     // groups inside of groups
	maxNodes   = 40_000  // parts of a parsed expression
	maxSpans   = 200_000 // ranges of all its classes; one \p{L} has 600
	maxCount   = 1 << 20 // a quantifier's numbers; larger ones count as this
	unbounded  = -1
)

// op says what a node of a parsed expression does.
type op int

const (
	opEmpty op = iota
	opSet
	opConcat
	opAlt
	opRepeat
	opGroup
	opAssert
	opLook
	opAtomic
	opBackref
)

// cond is a set of conditions on one place in a text.
type cond uint8

const (
	atBegin     cond = 1 << iota // the beginning of the text
	atEnd                        // the end of the text, or the line feed that ends it
	atBeginLine                  // after a line's end, or at the beginning
	atEndLine                    // before a line's end, or at the end
	atWord                       // between a word and something else
	notAtWord
	atVeryEnd // the end of the text
	conds     = iota
)

// node is a part of a parsed expression. Which fields count depends on op.
type node struct {
	op       op
	set      set     // opSet
	subs     []*node // opConcat, opAlt; the others with a body have one
	min, max int     // opRepeat; max may be unbounded
	lazy     bool    // opRepeat
	group    int     // opGroup, opBackref: the number of the group
	cond     cond    // opAssert
	negative bool    // opLook
	behind   bool    // opLook
}

// Expr is a parsed regular expression.
type Expr struct {
	root   *node
	groups map[int]*node
	count  int  // capturing groups
	sticky bool // tried at the beginning of the text only
	notes  map[string]bool
}

// Approximations names the parts of the expression that the automaton reads as more than they are. Families are
// confirmed by a matcher that knows most of them; what the automaton dismisses because of them isn't.
func (e *Expr) Approximations() []string {
	var all []string
	for note := range e.notes {
		all = append(all, note)
	}
	slices.Sort(all)
	return all
}

// Parse reads an expression in the syntax that JavaScript and Python share, with what each has of its own where the two
// don't collide. The flags are i, s, m, u, v, x, and those without a meaning here (g, d, a, L), and three of this package's
// own: y for an expression that is tried at the beginning of the text only (JavaScript's sticky, Python's re.match), Z
// for one that must reach the end (re.fullmatch has both), and P for Python's reading where it isn't JavaScript's: \A, \Z,
// {,n}, []a], \p without a flag, and $ before a final line feed.
func Parse(pattern, flags string) (*Expr, error) {
	p := &parser{text: []rune(pattern), names: map[string]int{}, expr: &Expr{groups: map[int]*node{}, notes: map[string]bool{}}}
	if len(p.text) > maxPattern {
		return nil, crisol.Errorf(crisol.KindInput, "parse expression: %d characters, %d at most", len(p.text), maxPattern)
	}
	full, err := p.readFlags(flags)
	if err != nil {
		return nil, err
	}
	p.scanGroups()
	root := p.alternatives(0)
	if p.err == nil && p.pos < len(p.text) {
		p.fail("an unmatched )")
	}
	if p.err != nil {
		return nil, p.err
	}
	if full {
		root = p.node(&node{op: opConcat, subs: []*node{root, {op: opAssert, cond: atVeryEnd}}})
	}
	p.expr.root = root
	return p.expr, nil
}

// mode is the flags in force at one place of an expression.
type mode struct{ fold, all, lines, verbose bool }

type parser struct {
	text    []rune
	pos     int
	mode    mode
	unicode bool // u or v
	python  bool
	expr    *Expr
	total   int // capturing groups in the whole text
	opened  int
	names   map[string]int
	nodes   int
	spans   int
	err     error
}

func (p *parser) readFlags(flags string) (full bool, err error) {
	for _, f := range flags {
		switch f {
		case 'i', 's', 'm', 'x':
			p.mode.set(f, true)
		case 'u', 'v':
			p.unicode = true
		case 'y':
			p.expr.sticky = true
		case 'P':
			p.python = true
		case 'Z':
			full = true
		case 'g', 'd', 'a', 'L':
		default:
			return false, crisol.Errorf(crisol.KindInput, "parse expression: unknown flag %q", f)
		}
	}
	return full, nil
}

func (m *mode) set(flag rune, on bool) {
	switch flag {
	case 'i':
		m.fold = on
	case 's':
		m.all = on
	case 'm':
		m.lines = on
	case 'x':
		m.verbose = on
	}
}

// fail keeps the first error; every loop of the parser ends once there is one.
func (p *parser) fail(what string) *node {
	if p.err == nil {
		p.err = crisol.Errorf(crisol.KindInput, "parse expression: %s at character %d", what, p.pos)
	}
	p.pos = len(p.text)
	return &node{op: opEmpty}
}

func (p *parser) node(n *node) *node {
	if p.nodes++; p.nodes > maxNodes {
		return p.fail("too many parts")
	}
	return n
}

func (p *parser) note(what string) { p.expr.notes[what] = true }

// scanGroups counts capturing groups and learns their names beforehand: \2 may stand before the second group.
func (p *parser) scanGroups() {
	class := false
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			p.scanGroup(string(p.text[i+1 : min(i+64, len(p.text))]))
		}
	}
}

func (p *parser) scanGroup(rest string) {
	if !strings.HasPrefix(rest, "?") {
		p.total++
		return
	}
	rest = strings.TrimPrefix(rest[1:], "P")
	if !strings.HasPrefix(rest, "<") || strings.HasPrefix(rest, "<=") || strings.HasPrefix(rest, "<!") {
		return
	}
	p.total++
	if name, _, found := strings.Cut(rest[1:], ">"); found {
		if _, again := p.names[name]; !again {
			p.names[name] = p.total
		}
	}
}

func (p *parser) more() bool { return p.err == nil && p.pos < len(p.text) }

// take steps over a literal text if it comes next.
func (p *parser) take(literal string) bool {
	runes := []rune(literal)
	if p.pos+len(runes) > len(p.text) || !slices.Equal(p.text[p.pos:p.pos+len(runes)], runes) {
		return false
	}
	p.pos += len(runes)
	return true
}

// until takes the text up to a closing character and steps over that.
func (p *parser) until(end rune) string {
	for i := p.pos; i < len(p.text); i++ {
		if p.text[i] == end {
			taken := string(p.text[p.pos:i])
			p.pos = i + 1
			return taken
		}
	}
	p.fail("no " + string(end))
	return ""
}

func (p *parser) alternatives(depth int) *node {
	if depth > maxDepth {
		return p.fail("groups too deep")
	}
	saved := p.mode
	defer func() { p.mode = saved }()
	branches := []*node{p.sequence(depth)}
	for p.more() && p.take("|") {
		branches = append(branches, p.sequence(depth))
	}
	if len(branches) == 1 {
		return branches[0]
	}
	return p.node(&node{op: opAlt, subs: branches})
}

func (p *parser) sequence(depth int) *node {
	var parts []*node
	for p.more() {
		if p.mode.verbose && p.skipVerbose() {
			continue
		}
		if c := p.text[p.pos]; c == '|' || c == ')' {
			break
		}
		part := p.quantified(p.atom(depth))
		if part.op != opEmpty {
			parts = append(parts, part)
		}
	}
	switch len(parts) {
	case 0:
		return &node{op: opEmpty}
	case 1:
		return parts[0]
	}
	return p.node(&node{op: opConcat, subs: parts})
}

func (p *parser) skipVerbose() bool {
	switch c := p.text[p.pos]; {
	case unicode.IsSpace(c):
		p.pos++
	case c == '#':
		for p.pos < len(p.text) && p.text[p.pos] != '\n' {
			p.pos++
		}
	default:
		return false
	}
	return true
}

func (p *parser) atom(depth int) *node {
	c := p.text[p.pos]
	switch c {
	case '*', '+', '?':
		return p.fail("nothing to repeat")
	case '(':
		p.pos++
		return p.group(depth)
	case '[':
		p.pos++
		return p.class()
	case '\\':
		p.pos++
		return p.escape()
	}
	p.pos++
	switch c {
	case '^':
		return p.assert(atBegin, atBeginLine)
	case '$':
		if p.python {
			return p.assert(atEnd, atEndLine)
		}
		return p.assert(atVeryEnd, atEndLine)
	case '.':
		if p.mode.all {
			return p.node(&node{op: opSet, set: anything})
		}
		return p.node(&node{op: opSet, set: newlines.not()})
	}
	return p.one(c)
}

func (p *parser) assert(text, line cond) *node {
	if p.mode.lines {
		text = line
	}
	return p.node(&node{op: opAssert, cond: text})
}

func (p *parser) one(c rune) *node { return p.setNode(newSet(span{c, c})) }

func (p *parser) setNode(s set) *node {
	if p.spans += len(s); p.spans > maxSpans {
		return p.fail("too many ranges")
	}
	if p.mode.fold {
		s = s.fold()
	}
	return p.node(&node{op: opSet, set: s})
}

// quantified reads the quantifiers behind a part, if there are any.
func (p *parser) quantified(body *node) *node {
	for p.more() {
		if p.mode.verbose && p.skipVerbose() {
			continue
		}
		least, most, found := p.quantifier()
		if !found {
			break
		}
		if most != unbounded && least > most {
			return p.fail("a quantifier with its numbers the wrong way round")
		}
		repeat := &node{op: opRepeat, subs: []*node{body}, min: least, max: most}
		repeat.lazy = p.take("?")
		possessive := !repeat.lazy && p.take("+")
		body = p.node(repeat)
		if possessive {
			p.note("possessive quantifier")
			body = p.node(&node{op: opAtomic, subs: []*node{body}})
		}
		if !p.python {
			break // a second quantifier has nothing to repeat
		}
	}
	return body
}

func (p *parser) quantifier() (least, most int, found bool) {
	switch {
	case p.take("*"):
		return 0, unbounded, true
	case p.take("+"):
		return 1, unbounded, true
	case p.take("?"):
		return 0, 1, true
	case p.text[p.pos] == '{':
		return p.counted()
	}
	return 0, 0, false
}

// counted reads {n}, {n,} and {n,m}; anything else in braces is text.
func (p *parser) counted() (least, most int, found bool) {
	start := p.pos
	p.pos++
	least, has := p.number()
	if !has && !p.python {
		p.pos = start
		return 0, 0, false
	}
	most = least
	if p.take(",") {
		if n, bound := p.number(); bound {
			most = n
		} else if most = unbounded; !has {
			p.pos = start
			return 0, 0, false
		}
		has = true
	}
	if !has || !p.take("}") {
		p.pos = start
		return 0, 0, false
	}
	return least, most, true
}

func (p *parser) number() (int, bool) {
	n, start := 0, p.pos
	for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
		n = min(n*10+int(p.text[p.pos]-'0'), maxCount)
		p.pos++
	}
	return n, p.pos > start
}

// group reads what follows an opening parenthesis.
func (p *parser) group(depth int) *node {
	if !p.take("?") {
		return p.capture(depth)
	}
	switch {
	case p.take(":"):
		return p.body(depth)
	case p.take("="):
		return p.look(depth, false, false)
	case p.take("!"):
		return p.look(depth, true, false)
	case p.take("<="):
		return p.look(depth, false, true)
	case p.take("<!"):
		return p.look(depth, true, true)
	case p.take("P="):
		return p.named(p.until(')'))
	case p.take("P<"), p.take("<"):
		p.until('>')
		return p.capture(depth)
	case p.take(">"):
		p.note("atomic group")
		return p.node(&node{op: opAtomic, subs: []*node{p.body(depth)}})
	case p.take("#"):
		p.until(')')
		return &node{op: opEmpty}
	case p.take("("):
		p.note("conditional group")
		p.until(')')
		return p.body(depth)
	}
	return p.inlineFlags(depth)
}

func (p *parser) body(depth int) *node {
	body := p.alternatives(depth + 1)
	if p.err == nil && !p.take(")") {
		return p.fail("a group that is never closed")
	}
	return body
}

func (p *parser) capture(depth int) *node {
	p.opened++
	number := p.opened
	n := p.node(&node{op: opGroup, group: number})
	n.subs = []*node{p.body(depth)}
	p.expr.groups[number] = n
	p.expr.count = max(p.expr.count, number)
	return n
}

func (p *parser) look(depth int, negative, behind bool) *node {
	if behind {
		p.note("lookbehind")
	} else {
		p.note("lookahead")
	}
	return p.node(&node{op: opLook, negative: negative, behind: behind, subs: []*node{p.body(depth)}})
}

// inlineFlags reads (?i), which holds up to the group's end, and (?i-s:...).
func (p *parser) inlineFlags(depth int) *node {
	next, on := p.mode, true
	for p.more() {
		c := p.text[p.pos]
		p.pos++
		switch c {
		case 'i', 's', 'm', 'x':
			next.set(c, on)
		case 'a', 'L', 'u', 'U':
		case '-':
			on = false
		case ')':
			p.mode = next
			return &node{op: opEmpty}
		case ':':
			saved := p.mode
			p.mode = next
			body := p.body(depth)
			p.mode = saved
			return body
		default:
			return p.fail("an unknown kind of group")
		}
	}
	return p.fail("a group that is never closed")
}

func (p *parser) named(name string) *node {
	number, known := p.names[name]
	if !known {
		return p.fail("a reference to a group that doesn't exist")
	}
	return p.backref(number)
}

func (p *parser) backref(number int) *node {
	p.note("backreference")
	return p.node(&node{op: opBackref, group: number})
}
