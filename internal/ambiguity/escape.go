package ambiguity

import (
	"strconv"
	"strings"
	"unicode"
)

// escape reads what follows a backslash outside of a class.
func (p *parser) escape() *node {
	if p.pos >= len(p.text) {
		return p.fail("a backslash at the end")
	}
	c := p.text[p.pos]
	switch {
	case c == 'b':
		p.pos++
		return p.node(&node{op: opAssert, cond: atWord})
	case c == 'B':
		p.pos++
		return p.node(&node{op: opAssert, cond: notAtWord})
	case p.python && c == 'A':
		p.pos++
		return p.node(&node{op: opAssert, cond: atBegin})
	case p.python && (c == 'Z' || c == 'z'):
		p.pos++
		return p.node(&node{op: opAssert, cond: atVeryEnd})
	case c == 'k' && p.pos+1 < len(p.text) && p.text[p.pos+1] == '<' && len(p.names) > 0:
		p.pos += 2
		return p.named(p.until('>'))
	case c >= '1' && c <= '9':
		if n, ok := p.reference(); ok {
			return p.backref(n)
		}
	}
	s, _ := p.escaped()
	return p.setNode(s)
}

// reference reads the number of a group that exists; other digits are an octal escape or stand for themselves.
func (p *parser) reference() (int, bool) {
	start := p.pos
	n, _ := p.number()
	if n <= p.total {
		return n, true
	}
	p.pos = start
	return 0, false
}

// escaped reads an escape that stands for characters. single tells whether it stands for one, which a range may use.
func (p *parser) escaped() (s set, single bool) {
	c := p.text[p.pos]
	p.pos++
	switch c {
	case 'd':
		return digits, false
	case 'D':
		return digits.not(), false
	case 'w':
		return words, false
	case 'W':
		return words.not(), false
	case 's':
		return blanks, false
	case 'S':
		return blanks.not(), false
	case 'p', 'P':
		if p.unicode || p.python {
			return p.property(c == 'P'), false
		}
	}
	r := p.escapedRune(c)
	return newSet(span{r, r}), true
}

var controls = map[rune]rune{'n': '\n', 't': '\t', 'r': '\r', 'f': '\f', 'v': '\v'}

func (p *parser) escapedRune(c rune) rune {
	if r, known := controls[c]; known {
		return r
	}
	switch {
	case c >= '0' && c <= '7':
		p.pos--
		return p.digits(3, 8)
	case c == 'x':
		return p.hex(2, c)
	case c == 'u' && p.pos < len(p.text) && p.text[p.pos] == '{' && p.unicode:
		p.pos++
		n, err := strconv.ParseUint(p.until('}'), 16, 32)
		if err != nil || n > maxRune {
			p.fail("a wrong \\u{}")
			return 0
		}
		return rune(n)
	case c == 'u':
		return p.hex(4, c)
	case c == 'U' && p.python:
		return min(p.hex(8, c), maxRune)
	case c == 'a' && p.python:
		return '\a'
	case c == 'c' && p.pos < len(p.text) && unicode.IsLetter(p.text[p.pos]):
		p.pos++
		return p.text[p.pos-1] % 32
	}
	return c
}

// hex reads exactly count digits; without them the letter stands for itself.
func (p *parser) hex(count int, letter rune) rune {
	start := p.pos
	r := p.digits(count, 16)
	if p.pos-start != count {
		p.pos = start
		return letter
	}
	return r
}

func (p *parser) digits(most int, base int64) rune {
	var n int64
	for i := 0; i < most && p.pos < len(p.text); i++ {
		d, err := strconv.ParseInt(string(p.text[p.pos]), int(base), 32)
		if err != nil || n*base+d > maxRune {
			break
		}
		n = n*base + d
		p.pos++
	}
	return rune(n)
}

// property reads the name of a Unicode property. One that Go doesn't know counts as any letter, which is noted.
func (p *parser) property(negative bool) set {
	name := ""
	if p.take("{") {
		name = p.until('}')
	} else if p.pos < len(p.text) {
		name = string(p.text[p.pos])
		p.pos++
	}
	if _, value, found := strings.Cut(name, "="); found {
		name = value
	}
	if strings.HasPrefix(name, "^") {
		negative, name = !negative, name[1:]
	}
	table := unicode.Categories[name]
	for _, tables := range []map[string]*unicode.RangeTable{unicode.Scripts, unicode.Properties} {
		if table == nil {
			table = tables[name]
		}
	}
	if table == nil {
		p.note("Unicode property " + name)
		table = unicode.L
	}
	if negative {
		return tableSet(table).not()
	}
	return tableSet(table)
}

// class reads what follows an opening bracket.
func (p *parser) class() *node {
	negative := p.take("^")
	var parts set
	first := true
	for p.more() {
		if c := p.text[p.pos]; c == ']' && (!first || !p.python) {
			p.pos++
			return p.closeClass(newSet(parts...), negative)
		}
		first = false
		parts = append(parts, p.member()...)
	}
	return p.fail("a class that is never closed")
}

func (p *parser) closeClass(s set, negative bool) *node {
	n := p.setNode(s)
	if negative {
		n.set = n.set.not()
	}
	return n
}

// member reads a character, a range or a named class.
func (p *parser) member() set {
	lo, single := p.classItem()
	if !single || p.pos+1 >= len(p.text) || p.text[p.pos] != '-' || p.text[p.pos+1] == ']' {
		return lo
	}
	p.pos++
	hi, single := p.classItem()
	if !single {
		return union(lo, newSet(span{'-', '-'}), hi)
	}
	if lo[0].lo > hi[0].lo {
		p.fail("a range with its ends the wrong way round")
		return nil
	}
	return newSet(span{lo[0].lo, hi[0].lo})
}

func (p *parser) classItem() (s set, single bool) {
	c := p.text[p.pos]
	p.pos++
	if c != '\\' {
		return newSet(span{c, c}), true
	}
	if p.pos >= len(p.text) {
		p.fail("a class that is never closed")
		return newSet(span{c, c}), true
	}
	if p.text[p.pos] == 'b' {
		p.pos++
		return newSet(span{'\b', '\b'}), true
	}
	return p.escaped()
}
